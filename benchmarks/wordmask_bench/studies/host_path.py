"""What a photo costs the host when a GPU does its part at once: processor time, latency, photos a second.

    python -m wordmask_bench.studies.host_path [--photo FILE] [--json FILE]

The graphs of the full-size models are replaced by stand-ins that return arrays of the right shapes at once. Regions
and masks are smooth, as those of trained weights are. Everything else is the product's own code. So the figures are the
host's share of a photo on a GPU, whichever GPU that is.
"""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
import time
from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import Floats
from wordmask.backends import Value, Values
from wordmask.bundle.manifest import HALO, Clip, Loftup, Sam2
from wordmask.bundle.opening import PipelineBundle, open_bundle
from wordmask.loading import STAGES, LoadedGraphs
from wordmask.objects.mask_choice import CANDIDATES
from wordmask.objects.prompts import extract_prompts
from wordmask.photo.reading import decode
from wordmask.pipeline import Queries, Segmenter
from wordmask.text.vocabulary import Vocabulary
from wordmask.types import Options, Prompt
from wordmask_bench.speed.folder_run import copies, run_photos, write_made_photo
from wordmask_bench.speed.side import grid_prompts
from wordmask_bench.speed.smooth import smooth_class_map, smooth_logits

Size = tuple[int, int]
WORDS, BACKGROUND, PROMPTS = 20, 26, 32
DIM, FREQUENCIES = 512, 20  # of CLIP's features; of LoftUp's published positional features
IN_FLIGHT = (1, 2, 4)
LATENCY_RUNS = 15


class OnDevice:
    """A tensor of which the host knows only the shape; see wordmask.backends.DeviceTensor."""

    def __init__(self, *shape: int) -> None:
        """Args: its sizes."""
        self.shape = shape
        self.dtype = np.dtype(np.float32)
        self.row = 0  # of the photo: the first that no band of a class map has had yet

    def numpy(self) -> NDArray[Any]:
        """Nothing that the host should ask for."""
        raise AssertionError("the host fetches a tensor that should stay on the device")


class InstantGraph:
    """A graph that returns at once."""

    preferred_batch_size = None

    def __init__(self, name: str, size: Size, sam2: Sam2) -> None:
        """Args: name of the graph, height and width of the photo, SAM2's constants."""
        self.name, self.size, self.sam2 = name, size, sam2

    def run(self, inputs: Values, keep: Collection[str] = ()) -> dict[str, Value]:
        """See wordmask.backends.Graph."""
        del keep
        outputs: dict[str, Value] = getattr(self, f"_{self.name}")(inputs)
        return outputs

    def cancel(self) -> None:
        """Nothing is under way."""

    def _clip_image(self, inputs: Values) -> dict[str, Value]:
        windows, side = inputs["image"].shape[:2]
        return {"features": OnDevice(windows, DIM, side // 16, side // 16)}

    def _loftup(self, inputs: Values) -> dict[str, Value]:
        windows, height, width = inputs["inside"].shape
        return {"logits": OnDevice(windows, inputs["text"].shape[0], height - 2 * HALO, width - 2 * HALO)}

    def _class_map(self, inputs: Values) -> dict[str, Value]:
        _, confidence = smooth_class_map(self.size, PROMPTS, WORDS)
        logits, rows = inputs["logits"], inputs["above"].shape[0]
        assert isinstance(logits, OnDevice)
        band = slice(logits.row, logits.row + rows)
        logits.row += rows
        best = np.ones(logits.shape[1], np.float32)
        return {"index": _bytes_of(self.size)[band].copy(), "confidence": confidence[band].copy(), "best": best}

    def _sam2_square(self, inputs: Values) -> dict[str, Value]:
        side = inputs["rows"].shape[0]
        return {"square": OnDevice(1, side, side, 3)}

    def _sam2_encoder(self, inputs: Values) -> dict[str, Value]:
        side = inputs["image"].shape[1]
        channels = {"image_embed": (256, 16), "high_res_0": (32, 4), "high_res_1": (64, 8)}
        return {name: OnDevice(1, count, side // step, side // step) for name, (count, step) in channels.items()}

    def _sam2_decoder(self, inputs: Values) -> dict[str, Value]:
        prompts, side = inputs["point_coords"].shape[0], self.sam2.mask_size
        iou = np.full((prompts, CANDIDATES), 0.9, np.float32)
        return {"masks": OnDevice(prompts, CANDIDATES, side, side), "iou": iou}

    def _pick_masks(self, inputs: Values) -> dict[str, Value]:
        prompts = inputs["choice"].shape[0]
        return {"picked": smooth_logits(self.size, PROMPTS, self.sam2.mask_size)[:prompts].copy()}


@functools.lru_cache(maxsize=2)
def _bytes_of(size: Size) -> NDArray[np.uint8]:
    return smooth_class_map(size, PROMPTS, WORDS)[0].astype(np.uint8)


def instant_segmenter(size: Size) -> Segmenter:
    """A Segmenter with the full-size models' protocol whose graphs return at once."""
    bundle = full_size(open_bundle("tiny"))
    sam2 = bundle.manifest.sam2
    graphs = {name: InstantGraph(name, size, sam2) for name in STAGES}
    around = (InstantGraph(name, size, sam2) for name in ("class_map", "sam2_square", "pick_masks"))
    loaded = LoadedGraphs(graphs, False, False, ("features",), *around)
    return Segmenter(bundle, loaded=loaded, prompt_source=extract_then_count)


def full_size(bundle: PipelineBundle) -> PipelineBundle:
    """The bundle with the constants of ViT-B/16, the published LoftUp and SAM2."""
    manifest = bundle.manifest
    clip: Clip = replace(manifest.clip, dim=DIM, patch=16, window=224, stride=112, short_side=336, long_side=2048)
    frequencies = tuple(np.exp(np.linspace(-2, 10, FREQUENCIES)).tolist())
    phases = [[[0.5] * scalars] * FREQUENCIES for scalars in (5, 2)]
    pixel, key = (tuple(tuple(map(tuple, block)) for block in (each, each)) for each in phases)
    loftup = Loftup(frequencies, pixel, frequencies, key, heads=4)
    graphs = {name: graph for name, graph in manifest.graphs.items() if name != "sam2_mask_decoder"}
    full = replace(
        manifest, domain="photos", graphs=graphs, clip=clip, loftup=loftup, sam2=Sam2(1024, 256, 0.0)
    )  # no weights are used
    return replace(bundle, manifest=full)


def queries() -> Queries:
    """20 words, and 26 of the background."""
    names = [f"thing {number}" for number in range(WORDS)]
    vocabulary = Vocabulary.parse(names, [f"ground {number}" for number in range(BACKGROUND)])
    vectors = np.random.default_rng(1).normal(size=(WORDS + BACKGROUND, DIM)).astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return Queries(vocabulary, unit, tuple(range(WORDS + 1)))


def measure(photo: Path, photos: int) -> dict[str, Any]:
    """All figures, of copies of one photo.

    Args:
        photo: its file.
        photos: of the folder run.
    """
    pixels = decode(photo)
    size = (pixels.shape[0], pixels.shape[1])
    segmenter, asked, options = instant_segmenter(size), queries(), Options(upsample="full")
    latency = []
    for _ in range(LATENCY_RUNS + 2):
        start = time.perf_counter()
        segmenter.segment(decode(photo), asked, options)
        latency.append((time.perf_counter() - start) * 1000)
    figures: dict[str, Any] = {
        "photo": f"{size[1]}x{size[0]}",
        "words": WORDS + BACKGROUND,
        "prompts": PROMPTS,
        "latency_ms": float(np.median(latency[2:])),
    }
    with tempfile.TemporaryDirectory(prefix="wordmask-host-") as work:
        paths = copies(photo, photos, Path(work) / "photos")
        for in_flight in IN_FLIGHT:
            out = Path(work) / f"out{in_flight}"
            found = run_photos(segmenter, asked, options, paths, out, in_flight=in_flight)
            figures[f"in_flight_{in_flight}"] = asdict(found)
    figures["cpu_ms_per_photo"] = min(figures[f"in_flight_{n}"]["cpu_ms_per_photo"] for n in IN_FLIGHT)
    return figures


def extract_then_count(
    index: NDArray[np.integer[Any]], confidence: Floats, classes: int, options: Options
) -> list[Prompt]:
    """Extracts prompts, for the time it takes, and gives those of the grid, so that their number is known."""
    extract_prompts(index, confidence, classes, options)
    return grid_prompts((index.shape[0], index.shape[1]), PROMPTS, classes)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, help="(default: one of 1800x1200 is made)")
    parser.add_argument("--photos", type=int, default=24, help="copies in the folder run (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wordmask-photo-") as work:
        photo = args.photo
        if photo is None:
            photo = Path(work) / "made.jpg"
            write_made_photo(photo)
        figures = measure(photo, args.photos)
    print(json.dumps(figures, indent=1))  # noqa: T201
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
