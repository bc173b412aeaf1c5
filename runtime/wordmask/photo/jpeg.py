"""Decodes JPEG and tells a whole file from a cut or a garbled one.

libjpeg fills in for lost data and only warns, and Pillow drops the warnings. But Pillow reads through a file object, so
what the decoder asks for can be watched: an intact scan needs its very last byte, and needs nothing after it.

- One scan without restart markers (most photos): at no cost. The end marker is withheld; a decoder that is content
  before the last byte was left with too much data, one that asks for more had too little.
- One scan with restart markers: the same for each stretch between them, as an image of its own (above _MOST_STRETCHES
  every n-th, so that damage within one stretch can pass).
- Several scans (progressive): decoded twice. With bytes added to each scan the picture must not change, else data were
  missing; declared taller, the added rows must stay blank, else data were left over. Scans must not be missing.

What is not seen:
- Damage that leaves every code valid and their number right. libjpeg does not warn of it either: a JPEG has no
  checksum, and most single flipped bits only shift a brightness or spoil a block.
- Of the damage that libjpeg warns of: nearly none in single scans; in progressive files about one case in six, with
  restart markers in them one in two.
- Any that keeps the markers whole, if the file is lossless or arithmetic coded.

A file without an end marker is whole if the picture does not depend on what follows its data.
"""

from __future__ import annotations

import contextlib
import io

import numpy as np
from PIL import Image, JpegImagePlugin

from wordmask.errors import PhotoError
from wordmask.photo.header import check_size
from wordmask.photo.jpeg_markers import (
    DRI,
    PROGRESSIVE,
    RESTART,
    SEQUENTIAL,
    Layout,
    is_complete,
    is_single,
    read_layout,
)
from wordmask.photo.kind import unsupported

# libjpeg keeps 64 bits in reserve: a scan that is complete takes at most this much of what follows it.
_RESERVE = bytes.fromhex("5a33c6913ea76c12")
_FILLERS = (8 * _RESERVE, 8 * bytes(255 - byte for byte in _RESERVE))
_MOST_STRETCHES = 1024
_EOI, _DNL = b"\xff\xd9", b"\xff\xdc\0\4"
_EXAMINED = frozenset({*SEQUENTIAL, PROGRESSIVE})
_RARE = {0xC3: "lossless JPEG", **dict.fromkeys((0xC9, 0xCA, 0xCB), "JPEG with arithmetic coding")}
_LARGEST_SIDE = 65500  # libjpeg's JPEG_MAX_DIMENSION
_MISSING, _LEFT_OVER, _INCOMPLETE = "image data are missing", "image data are left over", "scans are missing"


def decode_jpeg(data: bytes, max_pixels: int) -> tuple[Image.Image, str | None, str | None]:
    """Decodes the first image of a JPEG file and looks for damage.

    Args:
        data: the file; what follows the image is ignored (a second image, a film).
        max_pixels: most pixels allowed.

    Returns:
        The loaded image as it is stored, what is wrong with it (None where nothing was found), and a note (None where
        there is none).

    Raises:
        PhotoError: TOO_LARGE, DECODE (damaged header), TRUNCATED, DEPTH (12 bits a channel), CORRUPT (beyond decoding),
            UNSUPPORTED (hierarchical, a height that follows the pixels, or a coding that this libjpeg does not know).
    """
    layout = read_layout(data)
    frame = layout.frame
    _check_kind(layout, data)
    check_size(frame.width, frame.height, max_pixels)
    if frame.precision != 8:
        found = f"the JPEG has {frame.precision} bits a channel, expected 8"
        raise PhotoError("DEPTH", f"{found}: convert it to an 8-bit JPEG or PNG")
    if not layout.has_end:
        return _decode_without_end(data, layout), None, "the JPEG has no end marker, but all of its data"
    data = data[: layout.end]
    image, damage = _examine(data, layout)
    if image is None or damage is not None:
        image = _load(data) if frame.kind in _EXAMINED else _load_rare(data, frame.kind)
    return image, damage, None


def _check_kind(layout: Layout, data: bytes) -> None:
    frame = layout.frame
    if frame.kind not in _EXAMINED and frame.kind not in _RARE:
        raise unsupported("hierarchical JPEG")
    if frame.height == 0 and layout.scans and _DNL in data[layout.scans[0].end :]:
        raise PhotoError("UNSUPPORTED", "the JPEG states its height behind its pixels (DNL): save it as PNG first")


def _decode_without_end(data: bytes, layout: Layout) -> Image.Image:
    """The image of a file that ends with its last scan's data, if none of them are missing.

    Then nothing may depend on what follows the data. Their last byte is filled up with ones, so that a zero there
    (but for FF 00, a stuffed FF) is space that was set aside for a copy that stopped.
    """
    end, is_one_scan = layout.scans[-1].end, is_single(data, layout)
    whole = data[:end] + _EOI
    is_filled = data[end - 1] == 0 and data[end - 2] != 0xFF
    can_be_said = layout.frame.kind in _EXAMINED and (is_one_scan or not any(scan.interval for scan in layout.scans))
    with contextlib.suppress(PhotoError):
        if can_be_said and not is_filled:
            image, damage = _examine(whole, layout, every_stretch=True)
            shown = _uncropped(whole, layout) if is_one_scan else whole
            if damage is None and _is_independent(shown, layout):
                return image or _load(whole)
    raise PhotoError("TRUNCATED", f"the JPEG has no end marker in its {len(data)} bytes: copy or download it again")


def _is_independent(data: bytes, layout: Layout) -> bool:
    """Whether the picture stays as it is, whatever follows the data of its scans."""
    picture = np.asarray(_load(data))
    others = (np.asarray(_load(_with_reserves(data, layout, filler))) for filler in _FILLERS)
    return all(np.array_equal(picture, other) for other in others)


def _uncropped(data: bytes, layout: Layout) -> bytes:
    """The same JPEG of one scan, declared as large as its blocks are."""
    frame = layout.frame
    height, width = (
        min(-(-side // unit) * unit, _LARGEST_SIDE)
        for side, unit in zip((frame.height, frame.width), frame.unit[::-1], strict=True)
    )
    return data[: frame.start + 5] + _as_size(height) + _as_size(width) + data[frame.start + 9 :]


def _examine(data: bytes, layout: Layout, *, every_stretch: bool = False) -> tuple[Image.Image | None, str | None]:
    """The image, if it was decoded on the way, and what is wrong with it."""
    frame = layout.frame
    image: Image.Image | None = None
    damage = layout.damage
    if damage is None and frame.kind in SEQUENTIAL and is_single(data, layout):
        scan = layout.scans[0]
        if scan.interval:
            damage = _check_stretches(data, layout, every=every_stretch)
        else:
            image, damage = _decode_watched(data[: scan.end], scan.start)
    elif damage is None and frame.kind in {*SEQUENTIAL, PROGRESSIVE}:
        image, damage = _decode_several_scans(data, layout) if is_complete(data, layout) else (None, _INCOMPLETE)
    return image, damage


def _load(data: bytes) -> Image.Image:
    try:
        image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
        image.load()
    except OSError as error:
        raise PhotoError("CORRUPT", f"the JPEG's data are damaged beyond decoding ({error}): copy it again") from error
    return image


def _load_rare(data: bytes, kind: int) -> Image.Image:
    """Decodes what not every libjpeg can."""
    try:
        return _load(data)
    except PhotoError as error:
        raise unsupported(_RARE[kind]) from error


class _Watched(io.BytesIO):
    """A file that hands out the bytes before and after `border` in separate reads, and notes what was asked for."""

    def __init__(self, data: bytes, border: int) -> None:
        super().__init__(data)
        self.border = border
        self.crossed = False
        self.exhausted = False

    def read(self, size: int | None = -1, /) -> bytes:
        position = self.tell()
        if position < self.border:
            left = self.border - position
            return super().read(left if size is None or size < 0 else min(size, left))
        self.crossed = True
        data = super().read(size)
        self.exhausted = self.exhausted or not data
        return data


def _decode_watched(data: bytes, start: int) -> tuple[Image.Image | None, str | None]:
    """Decodes a JPEG of one scan that ends with its coded data, without EOI. start: of those data."""
    # Zeros and ones at the end may be padding: what must be asked for is the byte before them.
    border = max(start, len(data[start:].rstrip(b"\x00\xff")) + start - 1)
    file = _Watched(data + _RESERVE, border)
    try:
        image = JpegImagePlugin.JpegImageFile(file)
        image.load()
    except OSError:
        return None, _MISSING
    if file.exhausted:
        return None, _MISSING
    return image, None if file.crossed else _LEFT_OVER


def _check_stretches(data: bytes, layout: Layout, *, every: bool) -> str | None:
    """Checks a single scan with restart markers: their number and order, and what stands between two of them."""
    frame, scan = layout.frame, layout.scans[0]
    unit_width, unit_height = frame.unit
    columns, rows = -(-frame.width // unit_width), -(-frame.height // unit_height)
    coded = data[scan.start : scan.end]
    numbers = [marker[0][-1] & 7 for marker in RESTART.finditer(coded)]
    if numbers != [index % 8 for index in range(-(-columns * rows // scan.interval) - 1)]:
        return "restart markers are missing or out of order"
    header = b"\xff\xd8"
    for start, end in layout.tables:
        if start != frame.start and data[start + 1] != DRI:
            header += data[start:end]
    frame_header = data[frame.start : frame.start + 2 + int.from_bytes(data[frame.start + 2 : frame.start + 4], "big")]
    stretches = RESTART.split(coded)
    for index in range(0, len(stretches), 1 if every else -(-len(stretches) // _MOST_STRETCHES)):
        units = min(scan.interval, columns * rows - index * scan.interval)
        across = units if units * unit_width <= _LARGEST_SIDE else columns
        if units % across:
            continue  # a stretch over parts of rows that is too long for one row: not seen in practice
        size = _as_size(unit_height * (units // across)) + _as_size(unit_width * across)
        small = header + frame_header[:5] + size + frame_header[9:] + data[scan.header : scan.start]
        _, damage = _decode_watched(small + stretches[index], len(small))
        if damage is not None:
            return damage
    return None


def _as_size(length: int) -> bytes:
    return length.to_bytes(2, "big")


def _decode_several_scans(data: bytes, layout: Layout) -> tuple[Image.Image | None, str | None]:
    """Decodes with bytes added to each scan, and again declared taller; see the module's docstring."""
    frame = layout.frame
    unit_width, unit_height = frame.unit
    columns, full_height = -(-frame.width // unit_width), -(-frame.height // unit_height) * unit_height
    # Up to seven bits that fill the last byte of a scan can be read as a bit each of the next seven units.
    first_rows = 8 // columns + 1
    taller_height = full_height + (first_rows + 2) * unit_height
    if taller_height > _LARGEST_SIDE:
        return None, None
    image = _load(_with_reserves(data, layout, _FILLERS[0]))
    taller = np.asarray(_load(data[: frame.start + 5] + _as_size(taller_height) + data[frame.start + 7 :]))
    inner = max(frame.height - 2, 0)  # chroma of the last rows mixes with that of the added ones
    if not np.array_equal(np.asarray(image)[:inner], taller[:inner]):
        return None, _MISSING
    blank = taller[-1, -1]
    rest = taller[full_height + first_rows * unit_height + 1 :]
    first = taller[full_height + 2 : full_height + unit_height - 1, 8 * unit_width + 1 :]
    if np.any(rest != blank) or np.any(first != blank):
        return None, _LEFT_OVER
    return image, None


def _with_reserves(data: bytes, layout: Layout, filler: bytes) -> bytes:
    """The same JPEG with bytes after the data of each scan and stretch, which a decoder skips unless it lacks data."""
    parts, position = [], 0
    for scan in layout.scans:
        coded = data[scan.start : scan.end]
        if scan.interval:
            coded = RESTART.sub(lambda marker: filler + marker[0], coded)
        parts += [data[position : scan.start], coded, filler]
        position = scan.end
    return b"".join([*parts, data[position:]])
