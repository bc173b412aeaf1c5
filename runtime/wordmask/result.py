"""What a Segmenter gives: a Segmentation that is a sequence of objects, draws itself and becomes other formats."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, overload

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordmask import extras
from wordmask.arrays import BoolMask, Floats
from wordmask.errors import PhotoError, VocabularyError
from wordmask.formats import pictures
from wordmask.formats.coco import coco_photo_document
from wordmask.formats.objects_table import COLUMNS, notebook_html, object_row, summary
from wordmask.formats.overlay import draw
from wordmask.objects.masks import paint
from wordmask.photo.sources import Source, read_source
from wordmask.rle import decode_box
from wordmask.system.files import write_bytes
from wordmask.types import Instance, Segmentation

if TYPE_CHECKING:
    from pandas import DataFrame

NOTEBOOK_SIDE = 1000  # pixels of a picture's longer side in a notebook, at most


@dataclass(frozen=True, eq=False, repr=False)
class Result(Segmentation):
    """What was found in one photo: N objects in falling score, by index, slice and iteration.

    Two are equal if the same was found, whatever `path`, `photo` and `seconds` are.

    Attributes:
        path: of the photo; None where it was no file.
        photo: u8 (H, W, 3), its pixels as displayed; None where they were not kept. Then they are read from `path`
            when they are needed.
        error: None, where a FailedPhoto has its error.
        words, semantic, dense, confidence, instances, word_confidence, prompt_count, seconds: see Segmentation.
    """

    path: Path | None = None
    photo: NDArray[np.uint8] | None = None
    error: ClassVar[None] = None

    def __len__(self) -> int:
        return len(self.instances)

    def __iter__(self) -> Iterator[Instance]:
        return iter(self.instances)

    @overload
    def __getitem__(self, index: int) -> Instance: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Instance | Self:
        return self._of(self.instances[index]) if isinstance(index, slice) else self.instances[index]

    def __repr__(self) -> str:
        return summary(self)

    @property
    def masks(self) -> BoolMask:
        """The objects' masks, bool (N, H, W); made at each call."""
        masks = np.zeros((len(self), *self.semantic.shape), np.bool_)
        for mask, instance in zip(masks, self.instances, strict=True):
            x0, y0, x1, y1 = instance.box
            mask[y0:y1, x0:x1] = decode_box(instance.mask, instance.box)
        return masks

    @property
    def boxes(self) -> Floats:
        """f32 (N, 4): x0, y0, x1, y1 in pixels, x1 and y1 exclusive."""
        return np.array([instance.box for instance in self.instances], np.float32).reshape(-1, 4)

    @property
    def scores(self) -> Floats:
        """f32 (N,), 0 to 1, falling."""
        return np.array([instance.score for instance in self.instances], np.float32)

    @property
    def labels(self) -> list[str]:
        """The objects' N words."""
        return [instance.word for instance in self.instances]

    @property
    def class_ids(self) -> NDArray[np.int64]:
        """i64 (N,), indices into `words`."""
        return np.array([instance.class_index for instance in self.instances], np.int64)

    def filter(self, *, min_score: float = 0.0, words: str | Iterable[str] | None = None) -> Self:
        """The result with some of its objects. `semantic` is painted anew; what is known before SAM2 stays.

        Args:
            min_score: the lowest score that stays.
            words: one or several of `words`, in any case; None keeps all.

        Raises:
            VocabularyError: a word was not asked for.
        """
        named = self.words if words is None else [words] if isinstance(words, str) else words
        wanted = {word.casefold() for word in named}
        unknown = sorted(wanted - {word.casefold() for word in self.words})
        if unknown:
            raise VocabularyError(f"{unknown[0]!r} was not asked for: the words are {', '.join(self.words[:20])}")
        return self._of(each for each in self if each.score >= min_score and each.word.casefold() in wanted)

    def _of(self, instances: Iterable[Instance]) -> Self:
        kept = tuple(instances)
        height, width = self.semantic.shape
        return replace(self, instances=kept, semantic=paint(kept, (height, width)))

    def plot(self, photo: Source | None = None) -> NDArray[np.uint8]:
        """Draws the objects over the photo; see wordmask.formats.overlay.draw.

        Args:
            photo: the photo, where the result neither holds its pixels nor has its path.

        Returns:
            u8 (H, W, 3), RGB.

        Raises:
            PhotoError: the photo cannot be read again.
            ValueError: there is no photo, or it has another size.
        """
        return draw(self._pixels() if photo is None else read_source(photo).pixels, self)

    def _pixels(self) -> NDArray[np.uint8]:
        if self.photo is not None:
            return self.photo
        if self.path is None:
            raise ValueError("the result holds no photo: draw with plot(photo), or stream with keep_photo=True")
        return read_source(self.path).pixels

    def save(self, path: str | Path) -> None:
        """Writes the picture of `plot` (.png, .jpg, .jpeg) or COCO annotations (.json), by the path's suffix.

        Raises:
            OutputError: it cannot be written.
            PhotoError: the photo cannot be read again.
            ValueError: another suffix, or there is no photo to draw on.
        """
        path = Path(path)
        if path.suffix.lower() == ".png":
            content = pictures.png(self.plot())
        elif path.suffix.lower() in (".jpg", ".jpeg"):
            content = pictures.jpeg(self.plot())
        elif path.suffix.lower() == ".json":
            content = self._coco()
        else:
            raise ValueError(f"{path} ends with {path.suffix!r}, expected .png or .jpg (a picture) or .json (COCO)")
        write_bytes(path, content)

    def show(self) -> None:
        """Shows the picture with a table in a notebook, else the picture in the system's viewer."""
        shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
        if getattr(shell, "kernel", None) is not None:
            sys.modules["IPython"].display.display(self)
        else:
            Image.fromarray(self.plot()).show()

    def to_coco(self) -> dict[str, Any]:
        """The annotations.json that `wordmask run` writes for this photo alone: COCO instances with RLE masks."""
        document: dict[str, Any] = json.loads(self._coco())
        return document

    def _coco(self) -> bytes:
        return coco_photo_document("photo" if self.path is None else self.path.name, self)

    def to_json(self) -> str:
        """The objects as a JSON list: the columns of `to_pandas`, and `mask` with its `size` and COCO's `counts`."""
        masks = [{"size": list(each.mask.size), "counts": each.mask.counts} for each in self.instances]
        rows = [{**object_row(each), "mask": mask} for each, mask in zip(self.instances, masks, strict=True)]
        return json.dumps(rows, ensure_ascii=False)

    def to_pandas(self) -> DataFrame:
        """The objects as a pandas.DataFrame of N rows.

        Columns: word, class_id (index into `words`), score, x0, y0, x1, y1 (pixels, exclusive ends), area (pixels),
        clip_confidence, sam_iou, agreement.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        extras.need("Result.to_pandas", "pandas", extras.PANDAS)
        from pandas import DataFrame  # noqa: PLC0415

        return DataFrame([object_row(instance) for instance in self.instances], columns=list(COLUMNS))

    def _repr_html_(self) -> str:
        picture = self._notebook_picture()
        return notebook_html(self, None if picture is None else pictures.jpeg(picture))

    def _repr_png_(self) -> bytes | None:
        picture = self._notebook_picture()
        return None if picture is None else pictures.png(picture)

    def _notebook_picture(self) -> NDArray[np.uint8] | None:
        """The picture of `plot`, shrunk; None where there is no photo (any more)."""
        try:
            picture = self.plot()
        except ValueError:  # PhotoError is one
            return None
        shrink = NOTEBOOK_SIDE / max(picture.shape)
        if shrink >= 1:
            return picture
        return np.asarray(cv2.resize(picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True)
class FailedPhoto:
    """Stands in a stream for a photo without a result: a sequence of no objects.

    Attributes:
        path: of the photo; None where it was no file.
        error: why it has no result.
    """

    path: Path | None
    error: PhotoError
    instances: ClassVar[tuple[()]] = ()

    @property
    def code(self) -> str:
        """The short name of the error; see PhotoError."""
        return self.error.code

    @property
    def boxes(self) -> Floats:
        """f32 (0, 4)."""
        return np.empty((0, 4), np.float32)

    @property
    def scores(self) -> Floats:
        """f32 (0,)."""
        return np.empty(0, np.float32)

    @property
    def labels(self) -> list[str]:
        """Empty."""
        return []

    @property
    def class_ids(self) -> NDArray[np.int64]:
        """i64 (0,)."""
        return np.empty(0, np.int64)

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[Instance]:
        return iter(self.instances)

    def __repr__(self) -> str:
        return f"{self.code}: {self.error}"
