"""The PyTorch pipeline's segmentors: class maps, with or without LoftUp and SAM2, and their mIoU on PASCAL VOC."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import Floats
from wordmask.compat.guided_masks import shared_segmenter
from wordmask.dense.photo_features import enlarge
from wordmask.errors import BundleError
from wordmask.photo.reading import check_rgb
from wordmask.text.queries import Queries
from wordmask.text.vocabulary import Vocabulary
from wordmask.timing import StageTimer
from wordmask.types import Options

LOFTUP = "loftup_clip"
SegMap = NDArray[np.int64]


class VocResult(TypedDict):
    """What `evaluate_on_pascal_voc` found.

    Keys:
        mIoU: mean over the 21 classes, in per cent.
        per_class: IoU in per cent by class name; nan for a class that neither occurs nor was found.
        photos: how many were measured.
    """

    mIoU: float
    per_class: dict[str, float]
    photos: int


class LoftUpSCLIPSegmentor:
    """CLIP with correlative self-attention, its features upsampled by LoftUp: a class for every pixel.

    Attributes:
        segmenter: the `wordmask.Segmenter` that does the work.
        options: of its `segment`: LoftUp at every pixel, or none.
        use_loftup, use_sam, use_pamr, verbose: as given.
    """

    def __init__(
        self,
        device: str = "cpu",
        use_loftup: bool = True,
        loftup_model_name: str = LOFTUP,
        use_sam: bool = False,
        use_pamr: bool = False,
        verbose: bool = True,
        *,
        bundle: str | Path | None = None,
    ) -> None:
        """Loads a bundle.

        Args:
            device: `cpu`, `cuda` or any other that `wordmask.Segmenter` takes.
            use_loftup: upsample with LoftUp; bilinearly without.
            loftup_model_name: the upsampler. The default takes the one in the bundle, any other must be that one.
            use_sam: `segment` refines its map with SAM2. `predict_dense` never does.
            use_pamr: refine the logits by the photo's colours (see wordmask.dense.pamr); seconds a photo.
            verbose: print what is loaded, and the seconds that each call takes.
            bundle: name or folder (see `wordmask.bundle.find_bundle`).

        Raises:
            BundleError: the bundle is missing or damaged, or lacks what is asked for.
            DeviceError: the device is not available.
        """
        self.use_loftup, self.use_sam, self.use_pamr, self.verbose = use_loftup, use_sam, use_pamr, verbose
        self.segmenter = shared_segmenter(bundle, device)
        # the thresholds of the PyTorch script, which prompted with points and did not check masks against the class map
        self.options = Options(
            use_loftup=use_loftup,
            upsample="full",
            pamr=use_pamr,
            min_region_size=100,
            across_words_iou=1.0,
            min_score=0.0,
            mask_pieces="all",
            mask_prompts=False,
        )
        self._check(loftup_model_name)
        self._log(f"{self.segmenter.bundle.folder} on {device}, {'LoftUp' if use_loftup else 'bilinear upsampling'}")

    def _check(self, loftup_model_name: str) -> None:
        folder, models = self.segmenter.bundle.folder, self.segmenter.manifest.models
        if self.segmenter.uses_loftup(self.options) and loftup_model_name not in (LOFTUP, models["loftup"].name):
            raise BundleError(
                f"{folder}: its upsampler is {models['loftup'].name}, not {loftup_model_name}: "
                "`wordmask build --loftup` makes a bundle with another"
            )

    def predict_dense(
        self,
        image: NDArray[np.uint8],
        class_names: Sequence[str],
        return_logits: bool = True,
        return_features: bool = True,
    ) -> tuple[SegMap, Floats | None, Floats | None]:
        """The most probable class of every pixel; no background words are added.

        The logits of a synonym line ("cup, mug") are the highest of its words. Features and logits go together: logits
        are the features' product with the words' unit embeddings, times the scale. Arrays above 1 GiB (512 channels of
        half a megapixel) lie in a temporary file ($TMPDIR), and are numpy arrays all the same: ask only for what you
        need.

        Args:
            image: u8 (H, W, 3), RGB.
            class_names: C different class names.
            return_logits: else None in their place.
            return_features: else None; without LoftUp there are none.

        Returns:
            The class map i64 (H, W), indices into class_names; logits f32 (C, H, W): cosine similarities times the
            bundle's logit scale (40 for CLIP), their softmax over the classes being the probabilities; upsampled
            features f32 (D, H, W), of about unit length.

        Raises:
            ValueError: the image is no RGB image.
            VocabularyError: no class names, an empty one, or the same one twice.
        """
        photo, timer = check_rgb(image), StageTimer()
        size = (photo.shape[0], photo.shape[1])
        queries = self._queries(class_names)
        return_features = return_features and self.use_loftup
        if not (return_logits or return_features):
            dense = self.segmenter.class_map(photo, queries, self.options, timer)
            self._log_seconds(timer)
            return dense.index.astype(np.int64), None, None
        features = None
        if return_features:
            features = self.segmenter.features(photo, timer)
            similarities = np.tensordot(queries.embeddings, features, axes=1)  # (Q, D) x (D, h, w)
            with timer.measure("resizing"):
                features = enlarge(features, size)
        else:
            similarities = self.segmenter.similarities(photo, queries, self.options, timer)
        with timer.measure("resizing"):
            logits = self._logits(similarities, queries, photo)
        seg_map = logits.argmax(axis=0)
        self._log_seconds(timer)
        return seg_map, logits if return_logits else None, features

    def segment(self, image: NDArray[np.uint8], class_names: Sequence[str]) -> SegMap:
        """The class map alone: i64 (H, W), indices into class_names.

        With use_sam SAM2's masks are painted over it, the surest on top, with the thresholds of
        `wordmask.Options`; arguments and errors are those of `predict_dense`.
        """
        if not self.use_sam:
            return self.predict_dense(image, class_names, return_logits=False, return_features=False)[0]
        found = self.segmenter.segment(check_rgb(image), self._queries(class_names), self.options)
        return np.where(found.semantic > 0, found.semantic, found.dense).astype(np.int64) - 1

    def _queries(self, class_names: Sequence[str]) -> Queries:
        return self.segmenter.embed(Vocabulary.parse(class_names, merge=False))

    def _logits(self, similarities: Floats, queries: Queries, photo: NDArray[np.uint8]) -> Floats:
        scale = self.segmenter.manifest.clip.logit_scale
        if self.use_pamr:
            logits = np.concatenate(list(self.segmenter.refined(similarities, photo)), axis=1) * np.float32(scale)
        else:
            logits = enlarge(similarities, (photo.shape[0], photo.shape[1]), scale)
        if len(queries.class_starts) == len(logits):
            return logits
        return np.maximum.reduceat(logits, queries.class_starts, axis=0)

    def _log_seconds(self, timer: StageTimer) -> None:
        self._log(", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in timer.seconds.items()))

    def _log(self, text: str) -> None:
        if self.verbose:
            print(f"[wordmask] {text}", flush=True)  # noqa: T201  (that is what verbose asks for)


class SCLIPSegmentor:
    """CLIP with correlative self-attention without LoftUp: class scores of patches, resized bilinearly.

    Attributes:
        segmenter: the `wordmask.Segmenter` that does the work.
        options: of its `segment`.
        use_sam: as given.
    """

    def __init__(
        self,
        device: str = "cpu",
        use_sam: bool = False,
        use_pamr: bool = False,
        verbose: bool = True,
        *,
        bundle: str | Path | None = None,
    ) -> None:
        """Loads a bundle; arguments and errors are those of `LoftUpSCLIPSegmentor`."""
        self._dense = LoftUpSCLIPSegmentor(
            device, use_loftup=False, use_sam=use_sam, use_pamr=use_pamr, verbose=verbose, bundle=bundle
        )
        self.segmenter, self.options, self.use_sam = self._dense.segmenter, self._dense.options, use_sam

    def predict_dense(
        self, image: NDArray[np.uint8], class_names: Sequence[str], return_logits: bool = True
    ) -> tuple[SegMap, Floats | None]:
        """Class map i64 (H, W) and logits f32 (C, H, W), as `LoftUpSCLIPSegmentor.predict_dense` gives them."""
        seg_map, logits, _ = self._dense.predict_dense(image, class_names, return_logits, return_features=False)
        return seg_map, logits

    def segment(self, image: NDArray[np.uint8], class_names: Sequence[str]) -> SegMap:
        """The class map alone, with use_sam refined by SAM2; see `LoftUpSCLIPSegmentor.segment`."""
        return self._dense.segment(image, class_names)


def evaluate_on_pascal_voc(
    segmentor: LoftUpSCLIPSegmentor | SCLIPSegmentor, root: str | Path = "data", limit: int | None = None
) -> VocResult:
    """Measures a segmentor on PASCAL VOC 2012's validation set with its background, by SCLIP's protocol.

    With use_sam the map that SAM2's masks are painted on is measured. `wordmask eval` does more.

    Args:
        segmentor: measured with the settings that it was made with.
        root: folder that holds VOCdevkit/VOC2012, or VOC2012 itself.
        limit: the first photos only.

    Raises:
        ValueError: the dataset is not there; the message shows the layout that is expected.
    """
    from wordmask_bench.quality.dataset import evaluate  # noqa: PLC0415  (the benchmarks)

    report = evaluate(
        segmentor.segmenter,
        dataset="voc21",
        root=root,
        limit=limit,
        loftup=segmentor.options.use_loftup,
        masks=segmentor.use_sam,
        options=segmentor.options,
    )
    figures = report.maps["masks_over_dense"] if segmentor.use_sam else report.figures
    return {
        "mIoU": 100 * figures.miou,
        "per_class": {name: 100 * iou for name, iou in figures.per_class.items()},
        "photos": report.photos,
    }
