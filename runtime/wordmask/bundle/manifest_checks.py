"""Checks a well-formed manifest: numbers in their ranges, and graphs with the inputs and outputs of the runtime.

Without this, a stride of 0 would be an endless loop, and a graph without "tokens" a crash in the middle of a run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from wordmask.bundle.strict_json import member, show
from wordmask.errors import ManifestError

if TYPE_CHECKING:
    from wordmask.bundle.manifest import Clip, FeaturesManifest, File, GraphEntry, Loftup, Manifest, Sam2, Tensor

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_PIXELS = 1 << 14  # of a side: more than any photo or window has
Shape = tuple[int | None, ...]  # None: any size, or a symbol
Interface = tuple[dict[str, Shape], dict[str, Shape]]  # inputs and outputs by name


def check_contents(manifest: Manifest) -> None:
    """Checks the value of each field.

    Raises:
        ManifestError: names the field and what was expected.
    """
    for name, graph in manifest.graphs.items():
        _check_file(member("manifest.graphs", name), graph)
    _check_file("manifest.clip.merges", manifest.clip.merges)
    _check_clip(manifest.clip)
    if manifest.loftup is not None:
        _check_loftup(manifest.loftup)
    _check_sam2(manifest.sam2)
    _check_graphs(manifest.graphs, dict(_interfaces(manifest)), {"loftup_cpu", "loftup_features", "sam2_mask_decoder"})


def check_features(manifest: FeaturesManifest) -> None:
    """The same for a bundle for features only."""
    for name, graph in manifest.graphs.items():
        _check_file(member("manifest.graphs", name), graph)
    backbone = manifest.backbone
    for name in ("dim", "patch", "window"):
        _expect_size(f"manifest.backbone.{name}", getattr(backbone, name))
    fits = backbone.window % backbone.patch == 0
    _expect("manifest.backbone.window", backbone.window, fits, f"a multiple of patch, {backbone.patch}")
    _check_loftup(manifest.loftup)
    side, grid, dim = backbone.window, backbone.window // backbone.patch, backbone.dim
    interfaces: dict[str, Interface] = {
        "backbone_image": ({"image": (None, side, side, 3)}, {"features": (None, dim, grid, grid)}),
        "loftup_features": _loftup_features(dim, manifest.loftup),
    }
    _check_graphs(manifest.graphs, interfaces, set())


def _check_file(where: str, file: File) -> None:
    _expect(f"{where}.file", file.file, bool(_FILE_NAME.fullmatch(file.file)), "the name of a file in the bundle")
    _expect(f"{where}.sha256", file.sha256, bool(_SHA256.fullmatch(file.sha256)), "64 hexadecimal digits")
    _expect(f"{where}.size", file.size, file.size > 0, "a number of bytes")


def _check_clip(clip: Clip) -> None:
    for name in ("dim", "patch", "window", "stride", "short_side", "long_side"):
        _expect_size(f"manifest.clip.{name}", getattr(clip, name))
    _expect("manifest.clip.window", clip.window, clip.window % clip.patch == 0, f"a multiple of patch, {clip.patch}")
    _expect("manifest.clip.stride", clip.stride, clip.stride <= clip.window, f"at most window, {clip.window}")
    _expect("manifest.clip.long_side", clip.long_side, clip.long_side >= clip.short_side, "at least short_side")
    _expect("manifest.clip.logit_scale", clip.logit_scale, clip.logit_scale > 0, "a positive number")
    _expect("manifest.clip.context_length", clip.context_length, 3 <= clip.context_length <= 1 << 16, "3 to 65536")
    _expect("manifest.clip.templates", clip.templates, bool(clip.templates), "at least one")
    for index, template in enumerate(clip.templates):
        _expect(f"manifest.clip.templates[{index}]", template, "{}" in template, 'a text with "{}" in it')


def _check_loftup(loftup: Loftup) -> None:
    _expect("manifest.loftup.heads", loftup.heads, loftup.heads > 0, "a positive number")
    for name, frequencies, phases, scalars in (
        ("phases", loftup.frequencies, loftup.phases, 5),
        ("key_phases", loftup.key_frequencies, loftup.key_phases, 2),
    ):
        found = (len(phases), {len(block) for block in phases}, {len(row) for block in phases for row in block})
        fits = bool(frequencies) and found == (2, {len(frequencies)}, {scalars})
        expected = f"2 blocks of a row a frequency ({len(frequencies)}) with {scalars} numbers each"
        _expect(f"manifest.loftup.{name}", phases, fits, expected)


def _check_sam2(sam2: Sam2) -> None:
    _expect_size("manifest.sam2.image_size", sam2.image_size)
    _expect_size("manifest.sam2.mask_size", sam2.mask_size)


def _check_graphs(graphs: dict[str, GraphEntry], interfaces: Mapping[str, Interface], optional: set[str]) -> None:
    for name in sorted(interfaces.keys() - optional - graphs.keys()):
        raise ManifestError(f"manifest.graphs.{name} is missing: the runtime needs this graph")
    for name, graph in graphs.items():
        where = member("manifest.graphs", name)
        if name not in interfaces:
            raise ManifestError(f"{where} is not a graph that this version knows: {', '.join(interfaces)}")
        _expect(f"{where}.file", graph.file, graph.file.endswith(".onnx"), "a name that ends with .onnx")
        _check_interface(where, graph, interfaces[name])


def _interfaces(manifest: Manifest) -> Iterator[tuple[str, Interface]]:
    """The interface of each graph, as far as the runtime depends on it."""
    clip, side, mask = manifest.clip, manifest.sam2.image_size, manifest.sam2.mask_size
    grid = clip.window // clip.patch
    yield "clip_image", ({"image": (None, clip.window, clip.window, 3)}, {"features": (None, clip.dim, grid, grid)})
    yield "clip_text", ({"tokens": (None, None)}, {"embeddings": (None, clip.dim)})
    if manifest.loftup is not None:
        features = _loftup_features(clip.dim, manifest.loftup)
        for name in ("loftup", "loftup_cpu"):
            yield name, ({**features[0], "text": (None, clip.dim)}, {"logits": (None, None, None, None)})
        yield "loftup_features", features
    maps: dict[str, Shape] = dict.fromkeys(("image_embed", "high_res_0", "high_res_1"), (None, None, None, None))
    prompts: dict[str, Shape] = {
        "point_coords": (None, None, 2),
        "point_labels": (None, None),
    }
    yield "sam2_encoder", ({"image": (None, side, side, 3)}, maps)
    answers: dict[str, Shape] = {"masks": (None, 4, mask, mask), "iou": (None, 4)}
    yield "sam2_decoder", ({**maps, **prompts}, answers)
    yield "sam2_mask_decoder", ({**maps, **prompts, "mask_prompts": (None, 1, mask, mask)}, answers)


def _loftup_features(dim: int, loftup: Loftup) -> Interface:
    waves, keys = 2 * len(loftup.frequencies), 4 * len(loftup.key_frequencies)
    inputs: dict[str, Shape] = {
        "features": (None, dim, None, None),
        "guidance": (None, None, None, 3),
        "inside": (None, None, None),
        "colour_table": (None, 3, 256, waves + 1),
        "row_table": (None, None, waves),
        "column_table": (None, None, waves),
        "key_table": (None, keys),
    }
    return inputs, {"features_out": (None, dim, None, None)}


def _check_interface(where: str, graph: GraphEntry, interface: Interface) -> None:
    for kind, tensors, expected in (("inputs", graph.inputs, interface[0]), ("outputs", graph.outputs, interface[1])):
        names = [tensor.name for tensor in tensors]
        _expect(f"{where}.{kind}", names, sorted(names) == sorted(expected), f"tensors named {', '.join(expected)}")
        for index, tensor in enumerate(tensors):
            shape = expected[tensor.name]
            shown = ", ".join("any" if size is None else str(size) for size in shape)
            _expect(f"{where}.{kind}[{index}].shape", tensor.shape, _fits(tensor, shape), f"({shown})")


def _fits(tensor: Tensor, shape: Shape) -> bool:
    return len(tensor.shape) == len(shape) and all(
        expected in (None, size) for size, expected in zip(tensor.shape, shape, strict=True)
    )


def _expect_size(where: str, size: int) -> None:
    _expect(where, size, 1 <= size <= _MOST_PIXELS, f"1 to {_MOST_PIXELS}")


def _expect(where: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise ManifestError(f"{where} is {show(value)}, expected {expected}")
