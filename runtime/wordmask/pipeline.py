"""The whole chain. Only this module knows the order of the stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import Floats, Photo
from wordmask.backends import Graph
from wordmask.backends.lazy import LateGraph
from wordmask.backends.onnxruntime.graph import default_threads
from wordmask.bundle.manifest import Clip, Manifest
from wordmask.bundle.opening import Bundle, open_bundle
from wordmask.dense.branch import DenseBranch, Upsampler
from wordmask.dense.classmap import ClassMap, classify, join
from wordmask.dense.device_classmap import MAX_CLASSES, classify_on_device
from wordmask.dense.pamr import load_pamr, refined_bands
from wordmask.dense.photo_features import upsampled_features
from wordmask.dense.similarities import Similarities, Words
from wordmask.dense.windows import resize_for_clip
from wordmask.errors import BundleError
from wordmask.loading import LoadedGraphs, load_graphs, upsampling, uses_loftup
from wordmask.memory import with_less
from wordmask.objects.instances import make_instances
from wordmask.objects.masks import paint
from wordmask.objects.prompts import extract_prompts
from wordmask.objects.sam2 import BATCH as PROMPTS_A_RUN
from wordmask.objects.sam2 import decode_prompts, encode_photo, resize_for_sam2
from wordmask.photo.reading import check_rgb, decode
from wordmask.text.embedder import WordEmbedder
from wordmask.text.queries import Queries
from wordmask.text.word_lists import default_background
from wordmask.timing import Clock
from wordmask.types import EncodedPhoto, Options, Prompt, Segmentation, Vocabulary

if TYPE_CHECKING:
    from wordmask.bundle.engines import Precision

__all__ = ["Clock", "Queries", "Segmenter"]  # the first two are handed on


class Segmenter:
    """A loaded bundle: photos and words in, labelled masks out.

    Safe to call from several threads; the graphs are loaded once, CLIP's text tower at the first word it does not know.
    """

    def __init__(
        self,
        bundle: str | Path | Bundle | None = None,
        *,
        device: str = "cpu",
        upsampler_device: str | None = None,
        threads: int | None = None,
        tensorrt_precision: Precision = "fp16",
    ) -> None:
        """Loads a bundle's graphs.

        Args:
            bundle: a folder or a name (see wordmask.bundle.find_bundle).
            device: for all stages: `cpu`, `cuda[:N]`, `tensorrt[:N]` (with the engines that `wordmask engines` builds)
                or `tensorrt-rtx[:N]`.
            upsampler_device: for LoftUp alone; `device` by default.
            threads: CPU threads of one stage; all cores by default.
            tensorrt_precision: of the engines that `tensorrt` takes.

        Raises:
            BundleError: the bundle is missing, damaged or mixed.
            DeviceError: the device is not available.
            EngineError: the bundle has no TensorRT engine that fits.
            MissingExtraError: what the device needs is not installed.
            ValueError: no threads.
        """
        if threads is not None and threads < 1:
            raise ValueError(f"threads is {threads}: it must be at least 1")
        self.bundle = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
        loaded = load_graphs(
            self.bundle,
            device=device,
            upsampler_device=upsampler_device,
            threads=threads,
            tensorrt_precision=tensorrt_precision,
        )
        self._take(loaded, threads)

    @classmethod
    def from_graphs(
        cls, bundle: Bundle, graphs: Mapping[str, Graph], *, on_cpu: bool, threads: int | None = None
    ) -> Segmenter:
        """A segmenter over graphs that somebody else runs, such as a server.

        Args:
            bundle: whose manifest tells what the graphs are, and which holds the tokenizer's merges.
            graphs: by the names in wordmask.loading.STAGES; without `loftup` where the bundle has none.
            on_cpu: a processor runs them: they are fed small tiles and single windows, which fit its caches.
            threads: CPU threads of the arithmetic around the graphs; all cores by default.
        """
        segmenter = cls.__new__(cls)
        segmenter.bundle = bundle
        segmenter._take(LoadedGraphs(graphs, on_cpu, on_cpu), threads)
        return segmenter

    def _take(self, loaded: LoadedGraphs, threads: int | None) -> None:
        self._loaded, self._graphs, self._threads = loaded, loaded.graphs, threads or default_threads()
        self._pamr = LateGraph(partial(load_pamr, self._threads))
        self._embedder = WordEmbedder.of_bundle(self.bundle, self._graphs["clip_text"])

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        return self.bundle.manifest

    def cancel(self) -> None:
        """Makes graph runs under way, and all later ones, end with an error. For signal handlers."""
        for graph in (*self._graphs.values(), self._pamr):
            graph.cancel()

    def __call__(
        self,
        image: str | Path | NDArray[np.uint8],
        words: Sequence[str],
        *,
        background: Sequence[str] | None = None,
        options: Options | None = None,
    ) -> Segmentation:
        """Segments one photo.

        Args:
            image: a file, or RGB u8 (H, W, 3).
            words: class lines; commas inside one separate synonyms.
            background: words that take pixels and are left out of the results; None takes the default list.
            options: thresholds and prompts.

        Raises:
            PhotoError: the file cannot be used; ValueError: the array cannot.
            VocabularyError: no words.
        """
        clock = Clock()
        with clock.measure("decode"):
            photo = decode(image) if isinstance(image, str | Path) else check_rgb(image)
        vocabulary = Vocabulary.parse(words, default_background() if background is None else background)
        with clock.measure("words"):
            queries = self.embed(vocabulary)
        return self.segment(photo, queries, options or Options(), clock)

    def embed(self, vocabulary: Vocabulary) -> Queries:
        """Embeds a vocabulary; do it once for many photos.

        Words that this bundle embedded before come from memory or from the cache on disk.
        """
        return self._embedder.embed(vocabulary)

    def segment(
        self,
        photo: Photo,
        queries: Queries,
        options: Options,
        clock: Clock,
        *,
        dense: ClassMap | None = None,
        encoded: EncodedPhoto | None = None,
    ) -> Segmentation:
        """The chain on a decoded photo u8 (H, W, 3). SAM2's encoder runs beside CLIP, LoftUp and the prompts.

        A class map of the photo that is known already (the background's index is the last) spares CLIP and LoftUp, an
        encoding of it SAM2's encoder.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="sam2") as side_branch:
            encoding = side_branch.submit(lambda: encoded or self.encode(photo, clock))
            dense = dense or self.class_map(photo, queries, options, clock)
            count = len(queries.vocabulary.classes)
            with clock.measure("prompts"):
                prompts = extract_prompts(dense.index, dense.confidence, count, options)
            encoded = encoding.result()
        with clock.measure("sam2_decoder"):
            low_res, iou = self.decode(encoded, prompts)
        with clock.measure("masks"):
            instances = make_instances(
                prompts,
                low_res,
                iou,
                queries.vocabulary.names,
                encoded.size,
                iou_threshold=options.iou_threshold,
                mask_threshold=self.manifest.sam2.mask_threshold,
            )
            semantic = paint(instances, encoded.size)
        return Segmentation(
            words=queries.vocabulary.names,
            semantic=semantic,
            dense=(dense.index.astype(np.uint16) + np.uint16(1)) * (dense.index < count),
            confidence=dense.confidence,
            instances=instances,
            word_confidence=tuple(dense.best[:count].tolist()),
            prompt_count=len(prompts),
            seconds=clock.seconds,
        )

    def encode(self, photo: Photo, clock: Clock | None = None) -> EncodedPhoto:
        """What SAM2's decoder needs of a decoded photo u8 (H, W, 3); a clock is told the seconds."""
        with (clock or Clock()).measure("sam2_encoder"):
            square = resize_for_sam2(photo, self.manifest.sam2.image_size)
            return encode_photo(self._graphs["sam2_encoder"], square, (photo.shape[0], photo.shape[1]))

    def decode(self, encoded: EncodedPhoto, prompts: Sequence[Prompt]) -> tuple[Floats, Floats]:
        """SAM2's masks for prompts on an encoded photo.

        Args:
            encoded: of `encode`.
            prompts: N prompts of that photo.

        Returns:
            Logits f32 (N, m, m), m being the manifest's mask_size: `wordmask.objects.masks.upsample` makes masks of
            them; and SAM2's estimate of each mask's IoU, f32 (N,).
        """
        graph = self._graphs["sam2_decoder"]
        constants = self.manifest.sam2
        most = graph.rows or PROMPTS_A_RUN
        return with_less(lambda rows: decode_prompts(graph, encoded, prompts, constants, rows), most)

    def class_map(self, photo: Photo, queries: Queries, options: Options, clock: Clock) -> ClassMap:
        """The most probable class of every pixel of a photo u8 (H, W, 3), before SAM2."""
        words = Words(queries.embeddings, queries.class_starts)
        if self._classifies_on_device(words, options):
            return with_less(
                lambda windows: self._device_class_map(photo, words, options, clock, windows),
                self._loaded.windows_a_run,
            )
        return self._host_class_map(photo, words, options, clock, self._loaded.windows_a_run)

    def _classifies_on_device(self, words: Words, options: Options) -> bool:
        """Whether LoftUp's logits stay on its device and are classified there."""
        return (
            self._loaded.class_map is not None
            and words.mixing is None
            and len(words.class_starts) <= MAX_CLASSES
            and not options.pamr
            and options.upsample_scope != "image"
            and self.uses_loftup(options)
            and self.upsample(options) == "full"
        )

    def _device_class_map(
        self, photo: Photo, words: Words, options: Options, clock: Clock, windows_a_run: int
    ) -> ClassMap:
        """The class map by the device's graph; by the host where a run cannot take all windows."""
        assert self._loaded.class_map is not None
        resized = resize_for_clip(photo, self.manifest.clip)
        branch = self._branch(windows_a_run)
        found = branch.on_device(resized, words, self._loftup(options, windows_a_run), clock.measure)
        if found is None:
            return self._host_class_map(photo, words, options, clock, windows_a_run)
        logits, corners = found
        with clock.measure("class_map"):
            return classify_on_device(
                self._loaded.class_map,
                logits,
                corners,
                (resized.shape[0], resized.shape[1]),
                words.class_starts,
                (photo.shape[0], photo.shape[1]),
                self.manifest.clip.logit_scale,
            )

    def _host_class_map(
        self, photo: Photo, words: Words, options: Options, clock: Clock, windows_a_run: int
    ) -> ClassMap:
        """The class map by numpy, from similarities on the host."""
        logits = self._maps(photo, words, options, clock, self.manifest.clip, windows_a_run)
        size = (photo.shape[0], photo.shape[1])
        scale = self.manifest.clip.logit_scale

        def classified(maps: Floats, size: tuple[int, int]) -> ClassMap:
            return classify(maps, words.class_starts, size, scale, mixing=words.mixing, threads=self._threads)

        if options.pamr:  # linear in the words too
            with clock.measure("pamr"):
                bands = self.refined(logits, photo)
                return join([classified(band, (band.shape[1], band.shape[2])) for band in bands])
        with clock.measure("class_map"):
            return classified(logits, size)

    def similarities(
        self, photo: Photo, queries: Queries, options: Options, clock: Clock, *, short_side: int | None = None
    ) -> Floats:
        """Cosine similarity of a photo's pixels with all words, windows joined: what becomes a class map.

        Args:
            photo: u8 (H, W, 3).
            queries: Q words.
            options: how the features are upsampled.
            clock: is told the time.
            short_side: pixels the photo's short side is resized to; None takes the bundle's.

        Returns:
            f32 (Q, h, w), of the size to which the photo was resized.
        """
        constants = self.manifest.clip if short_side is None else replace(self.manifest.clip, short_side=short_side)
        words = Words(queries.embeddings, queries.class_starts)
        maps = self._maps(photo, words, options, clock, constants, self._loaded.windows_a_run)
        return Similarities(maps, words.mixing).part(slice(None), slice(None))

    def _maps(
        self, photo: Photo, words: Words, options: Options, clock: Clock, constants: Clip, windows_a_run: int
    ) -> Floats:
        """Similarities f32 (C, h, w) of a photo's pixels with the words' probes, windows joined."""
        resized = resize_for_clip(photo, constants)
        return with_less(lambda windows: self._similarities(resized, words, options, clock, windows), windows_a_run)

    def _similarities(self, resized: Photo, words: Words, options: Options, clock: Clock, windows_a_run: int) -> Floats:
        """Of the pixels of a resized photo with the words' probes: f32 (C, H, W)."""
        dense = self._branch(windows_a_run)
        if not self.uses_loftup(options):
            return dense.bilinear(resized, words, clock.measure)
        selective, whole_photo = self.upsample(options) == "selective", options.upsample_scope == "image"
        loftup = self._loftup(options, windows_a_run)
        if selective or whole_photo:
            return dense.chosen(resized, words, loftup, clock.measure, selective=selective, whole_photo=whole_photo)
        return dense.sharpened(resized, words, loftup, clock.measure)

    def _branch(self, windows_a_run: int) -> DenseBranch:
        clip = self._graphs["clip_image"]
        return DenseBranch(clip, self.manifest.clip, windows_a_run, self._threads, self._loaded.kept)

    def _loftup(self, options: Options, windows_a_run: int) -> Upsampler:
        constants = self.manifest.loftup
        assert constants is not None  # uses_loftup
        return Upsampler(self._graphs["loftup"], constants, self._loaded.tiling(windows_a_run))

    def upsample(self, options: Options) -> Literal["full", "selective"]:
        """Where LoftUp is evaluated with these options, if it is."""
        return upsampling(options, on_cpu=self._loaded.loftup_on_cpu)

    def uses_loftup(self, options: Options) -> bool:
        """Whether LoftUp will run with these options.

        Raises:
            BundleError: it was asked for and the bundle has none.
        """
        return uses_loftup(self.bundle, options)

    def features(self, photo: Photo, clock: Clock) -> Floats:
        """LoftUp's features of every pixel, at the size in which CLIP sees the photo.

        They are of unit length in each window and averaged where windows overlap, so that their product with the words'
        embeddings is what `similarities` gives with LoftUp on every window. The graph is loaded at the first call.

        Args:
            photo: u8 (H, W, 3).
            clock: is told the time.

        Returns:
            f32 (D, h, w).

        Raises:
            BundleError: the bundle has no LoftUp.
        """
        constants = self.manifest.loftup
        if constants is None:
            raise BundleError(f"{self.bundle.folder}: the bundle was built without LoftUp, it has no such features")
        clip, graph = self._graphs["clip_image"], self._graphs["loftup_features"]
        resized = resize_for_clip(photo, self.manifest.clip)

        def run(windows: int) -> Floats:
            loftup = Upsampler(graph, constants, self._loaded.tiling(windows))
            return upsampled_features(resized, clip, self.manifest.clip, loftup, windows)

        with clock.measure("features"):
            return with_less(run, self._loaded.windows_a_run)

    def refined(self, similarities: Floats, photo: Photo) -> Iterator[Floats]:
        """Similarities f32 (Q, h, w) of a photo u8 (H, W, 3), refined by its colours (see wordmask.dense.pamr).

        Yields:
            Bands of the photo from top to bottom, f32 (Q, rows, W).
        """
        resized = resize_for_clip(photo, self.manifest.clip)
        return refined_bands(self._pamr, similarities, resized, (photo.shape[0], photo.shape[1]))
