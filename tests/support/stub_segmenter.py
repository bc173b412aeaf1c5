"""A segmenter without graphs: quick, deterministic, and ill-behaved where a photo's first pixel tells it to be."""

from __future__ import annotations

import enum
import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from wordmask.dense.classmap import ClassMap
from wordmask.errors import DeviceError, NumericError
from wordmask.rle import encode
from wordmask.text.queries import Queries
from wordmask.types import EncodedPhoto, Instance, Segmentation


class Trouble(enum.Enum):
    """What a photo brings about, by the colour of its first pixel."""

    NONE = (1, 1, 1)
    KILLS = (255, 0, 0)
    KILLS_BESIDE_ANOTHER = (255, 128, 0)
    NAN = (0, 255, 0)
    BUG = (0, 0, 255)
    OUT_OF_MEMORY = (255, 0, 255)
    OUT_OF_MEMORY_BESIDE_ANOTHER = (255, 255, 0)
    ORT_OUT_OF_MEMORY = (0, 255, 255)
    DEVICE_GONE = (255, 255, 255)
    STUCK = (128, 128, 128)


def write_photos(folder: Path, count: int, troubles: dict[int, Trouble] | None = None, *, side: int = 40) -> Path:
    """Photos 000.png, 001.png, ... of random squares."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(count)
    for number in range(count):
        pixels = np.kron(random.integers(0, 256, (5, 4, 3), np.uint8), np.ones((side // 4, side // 4, 1), np.uint8))
        pixels[0, 0] = (troubles or {}).get(number, Trouble.NONE).value
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    return folder


class StubSegmenter:
    """Bright, red and green squares are the words' objects."""

    def __init__(
        self, bundle: object = None, *, delay: float = 0.0, bundle_id: str = "stub", **settings: object
    ) -> None:
        time.sleep(float(os.environ.get("STUB_LOADING", "0")))
        self.delay = float(os.environ.get("STUB_DELAY", delay))
        self.manifest = SimpleNamespace(
            bundle_id=bundle_id, domain="photos", precision="fp32", models={}, graphs={}, clip=None, loftup=None
        )
        self.bundle = SimpleNamespace(folder=Path("stub"), manifest=self.manifest)
        self.calls: list[threading.Thread] = []
        self.most_at_once = self._at_once = 0
        self._lock, self._cancelled = threading.Lock(), threading.Event()

    def upsample(self, options):
        return "full"

    def min_region_size(self, size, options):
        return options.min_region_size or 100

    def uses_loftup(self, options):
        return False

    def embed(self, vocabulary):
        return Queries(vocabulary, np.zeros((0, 0), np.float32), ())

    def cancel(self):
        self._cancelled.set()

    def segment(self, photo, queries, options, timer):
        dense, encoded = self.class_map(photo, queries, options, timer), self.encode(photo, timer)
        return self.segment_from(dense, encoded, queries, options, timer)

    def encode(self, photo, timer):
        maps = {"image_embed": photo.astype(np.float32), "high_res_0": np.zeros(1), "high_res_1": np.zeros(1)}
        return EncodedPhoto(maps, photo.shape[:2])

    def segment_from(self, dense, encoded, queries, options, timer):
        return segmented(encoded.maps["image_embed"].astype(np.uint8), queries.vocabulary.names, timer.seconds)

    def class_map(self, photo, queries, options, timer):
        with self._lock:
            self.calls.append(threading.current_thread())
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            with timer.measure("stub"):
                if self._cancelled.wait(self.delay):
                    raise RuntimeError("Exiting due to terminate flag being set to true.")
                self._make_trouble(tuple(photo[0, 0].tolist()))
                return ClassMap(
                    photo[..., 0].astype(np.int32), photo[..., 0].astype(np.float32), np.zeros(1, np.float32)
                )
        finally:
            with self._lock:
                self._at_once -= 1

    def _make_trouble(self, colour):
        trouble = Trouble(colour) if colour in {each.value for each in Trouble} else Trouble.NONE
        alone = self._at_once == 1
        if trouble is Trouble.KILLS or (trouble is Trouble.KILLS_BESIDE_ANOTHER and not alone):
            os.kill(os.getpid(), signal.SIGKILL)
        elif trouble is Trouble.NAN:
            raise NumericError("loftup.onnx: the output 'logits' holds NaN or infinity")
        elif trouble is Trouble.BUG:
            raise ZeroDivisionError("a bug")
        elif trouble is Trouble.OUT_OF_MEMORY or (trouble is Trouble.OUT_OF_MEMORY_BESIDE_ANOTHER and not alone):
            raise MemoryError
        elif trouble is Trouble.ORT_OUT_OF_MEMORY:
            raise RuntimeError(
                "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer"
            )
        elif trouble is Trouble.DEVICE_GONE:
            raise DeviceError("cudaErrorLaunchFailure")
        elif trouble is Trouble.STUCK:
            time.sleep(60)


def segmented(photo, words, seconds):
    """Word i is where channel i is bright."""
    height, width = photo.shape[:2]
    instances = []
    semantic = np.zeros((height, width), np.uint16)
    for i in range(min(len(words), 3)):
        mask = photo[..., i] > 200
        if not mask.any():
            continue
        ys, xs = np.nonzero(mask)
        box = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
        score = float(mask.mean())
        points = np.array([[xs[0], ys[0]]], np.float32)
        code = encode(mask)
        instances.append(
            Instance(words[i], i, code, box, int(mask.sum()), score, 1.0, score, points, np.ones(1, np.int32))
        )
        semantic[mask] = i + 1
    confidence = photo.max(axis=2).astype(np.float32) / 255
    best = tuple(float(photo[..., i % 3].max()) / 255 for i in range(len(words)))
    return Segmentation(words, semantic, semantic, confidence, tuple(instances), best, len(instances), seconds)


def install() -> None:
    """Puts it in the place of the real one, in this process."""
    import wordmask.pipeline

    wordmask.pipeline.Segmenter = StubSegmenter
