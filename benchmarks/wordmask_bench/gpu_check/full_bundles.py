"""The full-size bundles of the check: built with random weights, filled from a skeleton, or given; in fp32 and fp16."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import onnx

from wordmask.bundle.manifest_reading import FILE_NAME, read_manifest
from wordmask.bundle.search import find_bundle
from wordmask.system.limits import processors
from wordmask.text.vocabulary import Vocabulary
from wordmask.text.word_lists import default_background
from wordmask.types import Options
from wordmask_bench.gpu_check.plan import Settings, Variant
from wordmask_bench.gpu_check.skeleton import fill
from wordmask_bench.speed.side import Setup
from wordmask_bench.speed.side import Variant as SideVariant
from wordmask_bench.torch_baseline.files import ModelFiles
from wordmask_export.graphs.onnx_export import describe
from wordmask_export.precision.policy import convert

WORDS = 20  # beside the default background


def full_folder(settings: Settings) -> Path:
    """Where the full-size bundle stands, or will stand."""
    if settings.full is None or settings.from_skeleton:
        return settings.work("full")
    return find_bundle(settings.full)


def make_full(settings: Settings) -> dict[str, float]:
    """Builds the bundle with random weights, or fills it from a skeleton; gives the parity figures of a build."""
    folder = full_folder(settings)
    if settings.from_skeleton:
        assert settings.full is not None
        fill(Path(settings.full), folder)
        return {}
    from wordmask_export.build import build  # noqa: PLC0415
    from wordmask_export.graphs.specs import Protocol  # noqa: PLC0415
    from wordmask_export.models.pipeline import Choice  # noqa: PLC0415

    choice = Choice(clip=settings.clip, sam2=settings.sam2, weights="random:0")
    protocol = Protocol(window=64, stride=32, short_side=96, long_side=256) if settings.small else Protocol()
    return build(folder, choice, protocol, report=lambda text: print(text, flush=True)).parity  # noqa: T201


def make_half(bundle: Path, half: Path) -> None:
    """Writes an fp32 bundle's fp16 form into a folder that does not exist yet."""
    manifest = read_manifest(bundle)
    half.mkdir(parents=True)
    shutil.copyfile(bundle / manifest.clip.merges.file, half / manifest.clip.merges.file)
    graphs = {}
    for name, entry in manifest.graphs.items():
        onnx.save(onnx.load(bundle / entry.file), half / entry.file)
        convert(half / entry.file, name, "fp16")
        graphs[name] = replace(entry, **asdict(describe(half / entry.file)))
    whole = replace(manifest, precision="fp16", graphs=graphs, parity={}).sealed()
    (half / FILE_NAME).write_text(whole.to_json(), encoding="utf-8")


def full_bundles(settings: Settings, variant: Variant) -> dict[str, Path]:
    """The folders of the full-size bundle by precision; of TensorRT, whose engines have their own, the one bundle."""
    folder, half = full_folder(settings), settings.work("full-fp16")
    if variant.precision is not None:
        return {variant.precision: folder}
    found: dict[str, Path] = {read_manifest(folder).precision: folder}
    return found | ({"fp16": half} if (half / FILE_NAME).is_file() else {})


def setup_of(settings: Settings, variant: Variant, folder: Path, side: SideVariant = "wordmask") -> Setup:
    """What a side of a whole photo works with: 20 words beside the default background, prompts on a grid.

    Masks and regions are smooth where the weights are random (see wordmask_bench.speed.smooth). Checks of masks that
    the PyTorch chain does not make are off.
    """
    files = (name if name.endswith((".json", ".yaml")) else None for name in (settings.clip, settings.sam2))
    return Setup(
        variant=side,
        bundle=str(folder),
        device=variant.device if side == "wordmask" else variant.torch_device,
        threads=processors(),
        vocabulary=Vocabulary.parse([f"thing {number}" for number in range(WORDS)], default_background()),
        options=Options(upsample="full", mask_pieces="all", min_score=0.0, across_words_iou=1.0),
        grid=settings.max_prompts,
        points=settings.max_prompts,
        models=ModelFiles(**dict(zip(("clip", "sam2"), files, strict=True))),
        tensorrt_precision=variant.precision or "fp16",
    )
