"""Finds checkpoints that other scripts left on this machine, and says what each is taken for.

No file is opened: it is known by its name, or by the name of the repository in whose folder it lies. Whether it fits
the model is seen when it is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import open_clip
import torch
from huggingface_hub import constants

from wordmask_export.models.backbones import FAMILIES, BackboneChoice
from wordmask_export.models.pipeline import LOFTUP_CHECKPOINTS, Choice, loftup_wanted
from wordmask_export.models.weights import WeightsError

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")
OPENAI = ("ViT-B-16-quickgelu", "ViT-B-32-quickgelu", "ViT-L-14-quickgelu", "ViT-L-14-336-quickgelu")
DINOV2 = {  # as torch hub names Meta's files
    "dinov2_vits14_pretrain": "dinov2s",
    "dinov2_vitb14_pretrain": "dinov2b",
    "dinov2_vits14_reg4_pretrain": "dinov2s_reg",
    "dinov2_vitb14_reg4_pretrain": "dinov2b_reg",
}
SAM2_SIZES = ("large", "base_plus", "small", "tiny")


@dataclass(frozen=True)
class Known:
    """A published model: its part of a bundle, its name for `wordmask build`, and how its checkpoints are called.

    Attributes:
        stems: names of its file anywhere, without suffix.
        repository: on the Hugging Face hub.
        files: names in a folder of that repository.
    """

    part: str
    model: str
    stems: tuple[str, ...]
    repository: str
    files: tuple[str, ...]

    def is_in(self, path: Path) -> bool:
        """Whether a file's name says that it holds this model."""
        if path.stem in self.stems:
            return True
        short = self.repository.rpartition("/")[2]
        folders = {"models--" + self.repository.replace("/", "--"), short}
        return path.name in self.files and not folders.isdisjoint(path.parts)


@dataclass(frozen=True)
class Found:
    """A file and what it is taken for."""

    known: Known
    path: Path


def published() -> Iterator[Known]:
    """All models that can be found."""
    from sam2.build_sam import HF_MODEL_ID_TO_FILENAMES  # noqa: PLC0415  (starts hydra)

    for model in OPENAI:
        entry = open_clip.get_pretrained_cfg(model, "openai")
        stem = entry["url"].rpartition("/")[2].removesuffix(".pt")
        files = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
        yield Known("clip", model, (stem,), entry["hf_hub"].rstrip("/"), files)
    for name in LOFTUP_CHECKPOINTS:
        wanted = loftup_wanted(f"loftup_{name}", "hub")
        yield Known("loftup", wanted.model, (f"loftup_{name}", f"loftup-{name}"), wanted.repository, (wanted.file,))
    for repository, (_, file) in HF_MODEL_ID_TO_FILENAMES.items():
        yield Known("sam2", Path(file).stem, (Path(file).stem,), repository, (file,))
    for name, family in FAMILIES.items():
        stems = tuple(stem for stem, backbone in DINOV2.items() if backbone == name)
        yield Known("backbone", name, stems, family.repository, (family.file,))


def search(folders: Sequence[Path] = ()) -> list[Found]:
    """All checkpoints of published models, by their names.

    Args:
        folders: to search first, then the caches of torch hub, CLIP and Hugging Face.

    Raises:
        WeightsError: a folder does not exist.
    """
    known, found, seen = list(published()), list[Found](), set[Path]()
    for path in _files(folders):
        if path.resolve() not in seen:
            seen.add(path.resolve())
            found += [Found(model, path) for model in known if model.is_in(path)]
    return found


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        if not folder.is_dir():
            raise WeightsError(f"--weights-folder is {folder}, which is no folder")
    for top in (*folders, Path(torch.hub.get_dir()), Path.home() / ".cache" / "clip"):
        for place, _, names in os.walk(top):
            yield from _checkpoints(Path(place, name) for name in names)
    snapshots = Path(constants.HF_HUB_CACHE).glob("models--*/snapshots/*/*")
    yield from sorted(_checkpoints(snapshots), key=lambda path: -path.stat().st_mtime)  # the newest first


def _checkpoints(paths: Iterable[Path]) -> Iterator[Path]:
    return (path for path in sorted(paths) if path.suffix in SUFFIXES and path.is_file() and path.stat().st_size)


def choose_found(choice: Choice, folders: Sequence[Path], report: Callable[[str], None], *, any_sam2: bool) -> Choice:
    """The same choice with the checkpoints that were found; those that are given as files stay.

    Args:
        choice: of models; CLIP with OpenAI's weights or a file.
        folders: to search first.
        report: takes the list of what was found.
        any_sam2: if the chosen SAM2 is not there, take the largest that is.

    Raises:
        WeightsError: a checkpoint is missing; the message says how to get it.
    """
    clip = choice.clip if choice.clip.endswith("-quickgelu") else f"{choice.clip}-quickgelu"
    wanted = {"clip": clip} if choice.clip_weights == "openai" else {}
    if choice.loftup != "none" and choice.loftup_weights == "hub":
        wanted["loftup"] = choice.loftup
    found = search(folders)
    if choice.sam2_weights == "hub":
        wanted["sam2"] = _largest_sam2(found, choice.sam2) if any_sam2 else choice.sam2
    paths = _take(found, wanted, report)
    weights = {part: str(path) for part, path in paths.items()}
    return replace(
        choice,
        clip=wanted.get("clip", choice.clip),
        sam2=wanted.get("sam2", choice.sam2),
        clip_weights=weights.get("clip", choice.clip_weights),
        loftup_weights=weights.get("loftup", choice.loftup_weights),
        sam2_weights=weights.get("sam2", choice.sam2_weights),
    )


def choose_found_backbone(
    choice: BackboneChoice, folders: Sequence[Path], report: Callable[[str], None]
) -> BackboneChoice:
    """The same for a bundle for features; see choose_found."""
    wanted = {"backbone": choice.backbone} if choice.backbone_weights == "hub" else {}
    if choice.loftup_weights == "hub":
        wanted["loftup"] = f"loftup_{choice.backbone}"
    weights = {part: str(path) for part, path in _take(search(folders), wanted, report).items()}
    return replace(
        choice,
        backbone_weights=weights.get("backbone", choice.backbone_weights),
        loftup_weights=weights.get("loftup", choice.loftup_weights),
    )


def _largest_sam2(found: Sequence[Found], preferred: str) -> str:
    there = {each.known.model for each in found if each.known.part == "sam2"}
    names = [f"{family}_hiera_{size}" for size in SAM2_SIZES for family in ("sam2.1", "sam2")]
    return next((name for name in (preferred, *names) if name in there), preferred)


def _take(found: Sequence[Found], wanted: Mapping[str, str], report: Callable[[str], None]) -> dict[str, Path]:
    """The first file of each wanted model; reports all files.

    Raises:
        WeightsError: one is missing.
    """
    paths: dict[str, Path] = {}
    lines = []
    for each in found:
        used = wanted.get(each.known.part) == each.known.model and each.known.part not in paths
        if used:
            paths[each.known.part] = each.path
        size = f"{each.path.stat().st_size / 1e6:.1f} MB"
        lines.append(f"  {'used' if used else 'not used':<9} {each.known.model:<24} {each.path} ({size})")
    report("\n".join(["checkpoints on this machine, by their names:", *(lines or ["  none"])]))
    missing = [_missing(part, model) for part, model in wanted.items() if part not in paths]
    if missing:
        raise WeightsError(
            "these weights were not found:\n" + "\n".join(missing) + "\n"
            "--weights-folder DIR searches another folder; without --from-torch-hub-cache they are downloaded"
        )
    return paths


def _missing(part: str, model: str) -> str:
    known = next((each for each in published() if (each.part, each.model) == (part, model)), None)
    if known is None:
        return f"  {model}: it is none of the models that are searched for; pass its file as --{part}-weights PATH"
    page = f"{constants.ENDPOINT}/{known.repository}"
    return f"  {model}: {known.files[0]} from {page}, or pass it as --{part}-weights PATH"
