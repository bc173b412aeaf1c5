"""What a photo costs the host when a GPU does its part at once: processor time, latency, photos a second.

    python -m wordmask_bench.studies.host_path [--photo FILE] [--json FILE]

The graphs of the full-size models are replaced by players that answer at once with arrays of the right shapes. Regions
and masks are smooth, as those of trained weights are. Everything else is the product's own code. So the figures are the
host's share of a photo on a GPU, whichever GPU that is.
"""

from __future__ import annotations

import argparse
import functools
import json
import shutil
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask import pipeline
from wordmask.backends import Value, Values
from wordmask.bundle.manifest import Clip, Loftup, Sam2
from wordmask.bundle.opening import Bundle, open_bundle
from wordmask.loading import LoadedGraphs
from wordmask.objects.prompts import extract_prompts
from wordmask.photo.job import Job, stamp
from wordmask.photo.reading import decode
from wordmask.pipeline import Queries, Segmenter
from wordmask.run.local import run_folder
from wordmask.run.request import RunRequest
from wordmask.timing import Clock
from wordmask.types import Options, Vocabulary
from wordmask_bench.speed.side import grid_prompts
from wordmask_bench.speed.smooth import smooth_class_map, smooth_logits

Size = tuple[int, int]
SIZE: Size = (1200, 1800)  # height and width of the photo that is made where none is named
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


class Player:
    """Answers for a graph at once."""

    rows = None

    def __init__(self, name: str, size: Size, sam2: Sam2) -> None:
        """Args: name of the graph, height and width of the photo, SAM2's constants."""
        self.name, self.size, self.sam2 = name, size, sam2

    def run(self, inputs: Values, keep: Collection[str] = ()) -> Any:
        """See wordmask.backends.Graph."""
        del keep
        return getattr(self, f"_{self.name}")(inputs)

    def cancel(self) -> None:
        """Nothing is under way."""

    def _clip_image(self, inputs: Values) -> Mapping[str, Value]:
        windows, side = inputs["image"].shape[:2]
        return {"features": OnDevice(windows, DIM, side // 16, side // 16)}

    def _loftup(self, inputs: Values) -> Mapping[str, Value]:
        windows, height, width = inputs["inside"].shape
        return {"logits": OnDevice(windows, inputs["text"].shape[0], height - 4, width - 4)}

    def _class_map(self, inputs: Values) -> Mapping[str, Value]:
        _, confidence = smooth_class_map(self.size, PROMPTS, WORDS)
        logits, rows = inputs["logits"], inputs["above"].shape[0]
        assert isinstance(logits, OnDevice)
        band = slice(logits.row, logits.row + rows)
        logits.row += rows
        best = np.ones(logits.shape[1], np.float32)
        return {"index": _bytes_of(self.size)[band].copy(), "confidence": confidence[band].copy(), "best": best}

    def _sam2_encoder(self, inputs: Values) -> Mapping[str, Value]:
        side = inputs["image"].shape[1]
        channels = {"image_embed": (256, 16), "high_res_0": (32, 4), "high_res_1": (64, 8)}
        return {name: OnDevice(1, count, side // step, side // step) for name, (count, step) in channels.items()}

    def _sam2_decoder(self, inputs: Values) -> Mapping[str, Value]:
        prompts = inputs["point_coords"].shape[0]
        masks = smooth_logits(self.size, PROMPTS, self.sam2.mask_size)[:prompts].copy()
        return {"masks": masks, "iou": np.full(prompts, 0.9, np.float32)}


@functools.lru_cache(maxsize=2)
def _bytes_of(size: Size) -> NDArray[np.uint8]:
    return smooth_class_map(size, PROMPTS, WORDS)[0].astype(np.uint8)


def made_photo(size: Size) -> NDArray[np.uint8]:
    """A photo of soft shapes and some grain, u8 (H, W, 3), whose JPEG is about as large as a real one's."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (size[0] // 60 + 1, size[1] // 60 + 1, 3), np.uint8)
    smooth = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC).astype(np.float32)
    return np.clip(smooth + random.normal(0, 6, (*size, 3)), 0, 255).astype(np.uint8)


def played_segmenter(size: Size) -> Segmenter:
    """A Segmenter with the full-size models' protocol whose graphs are players."""
    bundle = full_size(open_bundle("tiny"))
    sam2 = bundle.manifest.sam2
    graphs = {name: Player(name, size, sam2) for name in ("clip_image", "clip_text", "loftup")}
    graphs |= {name: Player(name, size, sam2) for name in ("sam2_encoder", "sam2_decoder")}
    segmenter = Segmenter.from_graphs(bundle, graphs, on_cpu=False)
    segmenter._loaded = LoadedGraphs(graphs, False, False, ("features",), Player("class_map", size, sam2))
    return segmenter


def full_size(bundle: Bundle) -> Bundle:
    """The bundle with the constants of ViT-B/16, the published LoftUp and SAM2."""
    manifest = bundle.manifest
    clip: Clip = replace(manifest.clip, dim=DIM, patch=16, window=224, stride=112, short_side=336, long_side=2048)
    frequencies = tuple(np.exp(np.linspace(-2, 10, FREQUENCIES)).tolist())
    phases = [[[0.5] * scalars] * FREQUENCIES for scalars in (5, 2)]
    pixel, key = (tuple(tuple(map(tuple, block)) for block in (each, each)) for each in phases)
    loftup = Loftup(frequencies, pixel, frequencies, key, heads=4)
    return replace(bundle, manifest=replace(manifest, clip=clip, loftup=loftup, sam2=Sam2(1024, 256, 0.0)))


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
    segmenter, asked, options = played_segmenter(size), queries(), Options(upsample="full")
    vars(pipeline)["extract_prompts"] = functools.partial(_exactly, extract_prompts)
    latency = []
    for _ in range(LATENCY_RUNS + 2):
        start = time.perf_counter()
        segmenter.segment(decode(photo), asked, options, Clock())
        latency.append((time.perf_counter() - start) * 1000)
    figures: dict[str, Any] = {
        "photo": f"{size[1]}x{size[0]}",
        "words": WORDS + BACKGROUND,
        "prompts": PROMPTS,
        "latency_ms": float(np.median(latency[2:])),
    }
    with tempfile.TemporaryDirectory(prefix="wordmask-host-") as work:
        paths = [Path(shutil.copyfile(photo, Path(work) / f"{number}{photo.suffix}")) for number in range(photos)]
        for in_flight in IN_FLIGHT:
            figures[f"in_flight_{in_flight}"] = _run(segmenter, paths, asked, Path(work) / f"out{in_flight}", in_flight)
    figures["cpu_ms_per_photo"] = min(figures[f"in_flight_{n}"]["cpu_ms_per_photo"] for n in IN_FLIGHT)
    return figures


def _run(segmenter: Segmenter, paths: Sequence[Path], asked: Queries, out: Path, in_flight: int) -> dict[str, Any]:
    jobs = [Job(path, str(number), number + 1, stamp(path)) for number, path in enumerate(paths)]
    processor, start = time.process_time(), time.perf_counter()
    request = RunRequest(jobs, asked, out, Options(upsample="full"), restart=True, in_flight=in_flight)
    totals = run_folder(segmenter, request)
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    assert totals.statuses["ok"] == len(paths), totals.statuses
    return {
        "photos_per_second": len(paths) / seconds,
        "cpu_ms_per_photo": processor * 1000 / len(paths),
        "stages_ms": {stage: float(np.median(values)) * 1000 for stage, values in totals.seconds.items()},
    }


def _exactly(extract: Any, index: NDArray[Any], confidence: NDArray[Any], classes: int, options: Options) -> Any:
    """Extracts prompts, for the time it takes, and gives those of the grid, so that their number is known."""
    extract(index, confidence, classes, options)
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
            cv2.imwrite(str(photo), made_photo(SIZE), [cv2.IMWRITE_JPEG_QUALITY, 85])
        figures = measure(photo, args.photos)
    print(json.dumps(figures, indent=1))  # noqa: T201
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
