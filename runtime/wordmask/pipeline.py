"""The Segmenter: composes the stages. No other module depends on their order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import Floats, Photo
from wordmask.backends import Graph
from wordmask.backends.lazy import LazyGraph
from wordmask.backends.memory import halve_batch_on_oom
from wordmask.bundle.domains import DOMAINS, warn_of_weights
from wordmask.bundle.engines import Precision
from wordmask.bundle.manifest import Clip, Manifest
from wordmask.bundle.opening import Bundle, PipelineBundle, open_bundle
from wordmask.dense.branch import DenseBranch
from wordmask.dense.classmap import ClassMap, classify, join
from wordmask.dense.device_classmap import can_classify, classify_on_device
from wordmask.dense.pamr import load_pamr, refined_bands
from wordmask.dense.photo_features import upsampled_features
from wordmask.dense.similarities import Similarities, Words
from wordmask.dense.windows import clip_scale, resize_for_clip, with_stride
from wordmask.errors import BundleError
from wordmask.loading import LoadedGraphs, load_graphs, photos_in_flight, upsampling, uses_loftup, uses_mask_prompts
from wordmask.objects.instances import make_instances
from wordmask.objects.mask_choice import MaskChooser, choose_as_sam2, choose_by_region, region_logits
from wordmask.objects.masks import paint
from wordmask.objects.prompts import PromptSource, extract_prompts
from wordmask.objects.regions import REGION_SIZE
from wordmask.objects.sam2 import BATCH as PROMPTS_A_RUN
from wordmask.objects.sam2 import MaskDecoder, MaskSource, decode_prompts, encode_photo
from wordmask.predictor import Predictor
from wordmask.result import Result
from wordmask.system.limits import processors
from wordmask.text.embedder import WordEmbedder
from wordmask.text.queries import Queries
from wordmask.text.vocabulary import Vocabulary
from wordmask.timing import StageTimer
from wordmask.types import EncodedPhoto, Options, Prompt

__all__ = ["Queries", "Segmenter", "StageTimer"]  # the first and the last are handed on
Clock = StageTimer  # its former name

CLIP_REGION_SIZE = 23  # pixels of a photo as CLIP sees it: of the smallest region, where that is less than REGION_SIZE


class Segmenter(Predictor):
    """A loaded bundle: photos and words in, labelled masks out. Safe to call from several threads.

    Attributes:
        bundle, threads, prompt_source, mask_source: as given.
        loaded: the graphs and how they are fed.
        embedder: of words; loads CLIP's text tower at the first word that is not in its cache.
    """

    def __init__(
        self,
        bundle: str | Path | PipelineBundle | None = None,
        *,
        device: str = "cpu",
        upsampler_device: str | None = None,
        threads: int | None = None,
        tensorrt_precision: Precision = "fp16",
        loaded: LoadedGraphs | None = None,
        prompt_source: PromptSource = extract_prompts,
        mask_source: MaskSource = decode_prompts,
    ) -> None:
        """Loads a bundle's graphs.

        Args:
            bundle: a folder, a name, a packed file or hf:OWNER/NAME (see wordmask.bundle.find_bundle). One that was not
                trained on photos brings a WordmaskWarning, once per process.
            device: for all stages: `cpu`, `openvino`, `openvino:bf16`, `cuda[:N]`, `tensorrt[:N]` (with the engines
                that `wordmask engines` builds), `tensorrt-rtx[:N]`, or `auto` for the fastest of this machine (see
                wordmask.backends.auto).
            upsampler_device: for LoftUp alone; `device` by default.
            threads: CPU threads of one stage; all cores by default.
            tensorrt_precision: of the engines that `tensorrt` takes.
            loaded: graphs to run instead of loading the bundle's on the devices.
            prompt_source: makes the prompts of a class map.
            mask_source: decodes prompts with the graph `sam2_decoder`.

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
        warn_of_weights(self.manifest.bundle_id, DOMAINS.get(self.manifest.domain))
        self.loaded = loaded or load_graphs(
            self.bundle,
            device=device,
            upsampler_device=upsampler_device,
            threads=threads,
            tensorrt_precision=tensorrt_precision,
        )
        self.threads = threads or processors()
        self.prompt_source, self.mask_source = prompt_source, mask_source
        self._pamr = LazyGraph(partial(load_pamr, self.threads))
        self.embedder = WordEmbedder.of_bundle(self.bundle, self.graphs["clip_text"])

    @classmethod
    def from_graphs(
        cls, bundle: PipelineBundle, graphs: Mapping[str, Graph], *, on_cpu: bool, threads: int | None = None
    ) -> Segmenter:
        """A segmenter over graphs that run elsewhere, such as in a server.

        Args:
            bundle: whose manifest describes the graphs, and which holds the tokenizer's merges.
            graphs: by the names in wordmask.loading.STAGES; without `loftup` where the bundle has none.
            on_cpu: a processor runs them: they are fed small tiles and single windows, which fit its caches.
            threads: CPU threads of the arithmetic around the graphs; all cores by default.
        """
        return cls(bundle, loaded=LoadedGraphs(graphs, on_cpu, on_cpu), threads=threads)

    @property
    def graphs(self) -> Mapping[str, Graph]:
        """The loaded graphs, by their names in the manifest."""
        return self.loaded.graphs

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self.bundle.manifest

    @property
    def photos_in_flight(self) -> int:
        """The number of photos that `stream` processes at the same time."""
        return photos_in_flight(on_cpu=self.loaded.clip_on_cpu)

    def cancel(self) -> None:
        """Ends graph runs under way, and all later ones, with an error. For signal handlers."""
        for graph in (*self.graphs.values(), self._pamr):
            graph.cancel()

    def embed(self, vocabulary: Vocabulary) -> Queries:
        """Embeds a vocabulary; do it once for many photos.

        Words that this bundle embedded before come from memory or from the cache on disk.
        """
        return self.embedder.embed(vocabulary)

    def segment(
        self,
        photo: Photo,
        queries: Queries,
        options: Options,
        timer: StageTimer | None = None,
        *,
        dense: ClassMap | None = None,
        encoded: EncodedPhoto | None = None,
    ) -> Result:
        """Segments a decoded photo. SAM2's encoder runs beside CLIP, LoftUp and the prompts.

        Args:
            photo: u8 (H, W, 3).
            queries: of `embed`.
            options: thresholds and prompts.
            timer: takes the seconds of each stage.
            dense: a class map of the photo (the background's index is the last), instead of running CLIP and LoftUp.
            encoded: an encoding of the photo, instead of running SAM2's encoder.
        """
        timer = timer or StageTimer()
        with ThreadPoolExecutor(1, thread_name_prefix="sam2") as side_branch:
            encoding = side_branch.submit(lambda: encoded or self.encode(photo, timer))
            dense = dense or self.class_map(photo, queries, options, timer)
            prompts = self._prompts(dense, queries, options, timer)
            encoded = encoding.result()
        return self._result(dense, encoded, prompts, queries, options, timer)

    def segment_from(
        self, dense: ClassMap, encoded: EncodedPhoto, queries: Queries, options: Options, timer: StageTimer
    ) -> Result:
        """The rest of `segment`, from a photo's class map and encoding: prompts and masks."""
        prompts = self._prompts(dense, queries, options, timer)
        return self._result(dense, encoded, prompts, queries, options, timer)

    def _prompts(self, dense: ClassMap, queries: Queries, options: Options, timer: StageTimer) -> list[Prompt]:
        with timer.measure("prompts"):
            smallest = self.min_region_size((dense.index.shape[0], dense.index.shape[1]), options)
            sized = replace(options, min_region_size=smallest)
            return self.prompt_source(dense.index, dense.confidence, len(queries.vocabulary.classes), sized)

    def _result(
        self,
        dense: ClassMap,
        encoded: EncodedPhoto,
        prompts: Sequence[Prompt],
        queries: Queries,
        options: Options,
        timer: StageTimer,
    ) -> Result:
        with timer.measure("sam2_decoder"):
            choose = choose_as_sam2 if options.mask_choice == "sam2" else choose_by_region(dense.index)
            class_map = dense.index if uses_mask_prompts(self.bundle, options) else None
            low_res, iou = self.decode(encoded, prompts, choose, class_map)
        with timer.measure("masks"):
            names, threshold = queries.vocabulary.names, self.manifest.sam2.mask_threshold
            instances = make_instances(
                prompts, low_res, iou, names, dense.index, dense.confidence, options, mask_threshold=threshold
            )
            semantic = paint(instances, encoded.size)
        return Result(
            words=names,
            semantic=semantic,
            dense=dense.labels(len(names)),
            confidence=dense.confidence,
            instances=instances,
            word_confidence=tuple(dense.best[: len(names)].tolist()),
            prompt_count=len(prompts),
            seconds=timer.seconds,
        )

    def min_region_size(self, size: tuple[int, int], options: Options) -> int:
        """The smallest region that gets a prompt in a photo of that height and width, in pixels of the photo."""
        if options.min_region_size is not None:
            return options.min_region_size
        return max(1, min(REGION_SIZE, round(CLIP_REGION_SIZE / clip_scale(size, self.manifest.clip) ** 2)))

    def encode(self, photo: Photo, timer: StageTimer | None = None) -> EncodedPhoto:
        """What SAM2's decoder needs of a decoded photo u8 (H, W, 3); the timer takes the seconds."""
        with (timer or StageTimer()).measure("sam2_encoder"):
            side = self.manifest.sam2.image_size
            return encode_photo(self.graphs["sam2_encoder"], photo, side, self.loaded.sam2_square)

    def decode(
        self,
        encoded: EncodedPhoto,
        prompts: Sequence[Prompt],
        choose: MaskChooser = choose_as_sam2,
        class_map: NDArray[np.integer] | None = None,
    ) -> tuple[Floats, Floats]:
        """SAM2's masks for prompts on an encoded photo.

        Args:
            encoded: of `encode`.
            prompts: N prompts of that photo.
            choose: takes one of SAM2's four masks for each prompt.
            class_map: integers (H, W); each prompt's region in it becomes the mask of the prompt.

        Returns:
            Logits f32 (N, m, m), m being the manifest's mask_size: `wordmask.objects.masks.upsample` makes masks of
            them; and SAM2's estimate of each mask's IoU, f32 (N,).
        """
        constants = self.manifest.sam2
        graph = self.graphs["sam2_decoder" if class_map is None else "sam2_mask_decoder"]
        regions = None if class_map is None else region_logits(class_map, constants.mask_size)
        decoder = MaskDecoder(graph, constants, choose, pick=self.loaded.pick_masks, regions=regions)
        most = graph.preferred_batch_size or PROMPTS_A_RUN
        return halve_batch_on_oom(
            lambda batch: self.mask_source(replace(decoder, batch_size=batch), encoded, prompts), most
        )

    def class_map(self, photo: Photo, queries: Queries, options: Options, timer: StageTimer | None = None) -> ClassMap:
        """The most probable class of every pixel of a photo u8 (H, W, 3), before SAM2."""
        timer, words = timer or StageTimer(), Words(queries.embeddings, queries.class_starts)
        most = self.loaded.windows_a_run
        everywhere = self.uses_loftup(options) and self.upsample(options) == "full"
        if self.loaded.class_map is None or not everywhere or not can_classify(words, options):
            return self._host_class_map(photo, words, options, timer, most)
        return halve_batch_on_oom(lambda windows: self._device_class_map(photo, words, options, timer, windows), most)

    def _device_class_map(
        self, photo: Photo, words: Words, options: Options, timer: StageTimer, windows: int
    ) -> ClassMap:
        """The class map by the device's graph; by the host where a run cannot take all windows."""
        assert self.loaded.class_map is not None
        resized, scale = resize_for_clip(photo, self.manifest.clip), self.manifest.clip.logit_scale
        upsampler = self.loaded.upsampler("loftup", self.manifest.loftup, windows)
        found = self._branch(windows, timer, options).upsample_on_device(resized, words, upsampler)
        if found is None:
            return self._host_class_map(photo, words, options, timer, windows)
        small, size = (resized.shape[0], resized.shape[1]), (photo.shape[0], photo.shape[1])
        with timer.measure("class_map"):
            return classify_on_device(self.loaded.class_map, *found, small, words.class_starts, size, scale)

    def _host_class_map(
        self, photo: Photo, words: Words, options: Options, timer: StageTimer, windows: int
    ) -> ClassMap:
        """The class map by numpy, from similarities on the host."""
        logits = self._maps(photo, words, options, timer, self.manifest.clip, windows)
        scale = self.manifest.clip.logit_scale

        def classified(maps: Floats, size: tuple[int, int]) -> ClassMap:
            return classify(maps, words.class_starts, size, scale, projection=words.projection, threads=self.threads)

        if options.pamr:  # linear in the words too
            with timer.measure("pamr"):
                bands = self.refined(logits, photo)
                return join([classified(band, (band.shape[1], band.shape[2])) for band in bands])
        with timer.measure("class_map"):
            return classified(logits, (photo.shape[0], photo.shape[1]))

    def similarities(
        self,
        photo: Photo,
        queries: Queries,
        options: Options,
        timer: StageTimer | None = None,
        *,
        short_side: int | None = None,
    ) -> Floats:
        """Cosine similarity of a photo's pixels with all words, windows joined: what becomes a class map.

        Args:
            photo: u8 (H, W, 3).
            queries: Q words.
            options: how the features are upsampled.
            timer: takes the seconds of each stage.
            short_side: pixels the photo's short side is resized to; None takes the bundle's.

        Returns:
            f32 (Q, h, w), of the size to which the photo was resized.
        """
        constants = self.manifest.clip if short_side is None else replace(self.manifest.clip, short_side=short_side)
        words = Words(queries.embeddings, queries.class_starts)
        maps = self._maps(photo, words, options, timer or StageTimer(), constants, self.loaded.windows_a_run)
        return Similarities(maps, words.projection).part(slice(None), slice(None))

    def _maps(
        self, photo: Photo, words: Words, options: Options, timer: StageTimer, constants: Clip, windows_a_run: int
    ) -> Floats:
        """Similarities f32 (C, h, w) of a photo's pixels with the words' basis, windows joined."""
        resized = resize_for_clip(photo, constants)

        def run(windows: int) -> Floats:
            branch = self._branch(windows, timer, options)
            if not self.uses_loftup(options):
                return branch.bilinear(resized, words)
            upsampler = self.loaded.upsampler("loftup", self.manifest.loftup, windows)
            selective, whole_photo = self.upsample(options) == "selective", options.upsample_scope == "image"
            if selective or whole_photo:
                return branch.upsample_selected(resized, words, upsampler, selective=selective, whole_photo=whole_photo)
            return branch.upsample_windows(resized, words, upsampler)

        return halve_batch_on_oom(run, windows_a_run)

    def _branch(self, windows_a_run: int, timer: StageTimer, options: Options) -> DenseBranch:
        clip, constants = self.graphs["clip_image"], with_stride(self.manifest.clip, options.stride)
        return DenseBranch(clip, constants, windows_a_run, self.threads, self.loaded.kept, timer)

    def upsample(self, options: Options) -> Literal["full", "selective"]:
        """Where LoftUp is evaluated with these options, if it is."""
        return upsampling(options, on_cpu=self.loaded.loftup_on_cpu)

    def uses_loftup(self, options: Options) -> bool:
        """Whether LoftUp will run with these options.

        Raises:
            BundleError: it was asked for and the bundle has none.
        """
        return uses_loftup(self.bundle, options)

    def features(self, photo: Photo, timer: StageTimer | None = None) -> Floats:
        """LoftUp's features of every pixel, at the size in which CLIP sees the photo.

        They are of unit length in each window and averaged where windows overlap, so that their product with the words'
        embeddings is what `similarities` gives with LoftUp on every window. The graph is loaded at the first call.

        Args:
            photo: u8 (H, W, 3).
            timer: takes the seconds.

        Returns:
            f32 (D, h, w).

        Raises:
            BundleError: the bundle has no LoftUp.
        """
        if self.manifest.loftup is None:
            raise BundleError(f"{self.bundle.folder}: the bundle was built without LoftUp, it has no such features")
        clip, constants = self.graphs["clip_image"], self.manifest.clip
        resized = resize_for_clip(photo, constants)

        def run(windows: int) -> Floats:
            upsampler = self.loaded.upsampler("loftup_features", self.manifest.loftup, windows)
            return upsampled_features(resized, clip, constants, upsampler, windows)

        with (timer or StageTimer()).measure("features"):
            return halve_batch_on_oom(run, self.loaded.windows_a_run)

    def refined(self, similarities: Floats, photo: Photo) -> Iterator[Floats]:
        """Similarities f32 (Q, h, w) of a photo u8 (H, W, 3), refined by its colours (see wordmask.dense.pamr).

        Yields:
            Bands of the photo from top to bottom, f32 (Q, rows, W).
        """
        resized = resize_for_clip(photo, self.manifest.clip)
        return refined_bands(self._pamr, similarities, resized, (photo.shape[0], photo.shape[1]))
