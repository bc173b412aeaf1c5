"""Walks through the chunks of a PNG: checks those that make the picture, and leaves out those that do not.

Pillow refuses a PNG for a text of more than a megabyte or for a wrong checksum of a comment. Neither changes a pixel,
so that the decoders get the PNG without them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from wordmask.errors import PhotoError
from wordmask.photo.kind import PNG_SIGNATURE

_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
# Texts in which tools keep the EXIF orientation.
_WITH_ORIENTATION = frozenset({b"Raw profile type exif", b"XML:com.adobe.xmp", b"exif", b"xmp"})
_MOST_TEXT, _MOST_PROFILE = 1 << 20, 1 << 26  # bytes, inflated; the first is Pillow's limit
_GREY, _RGB = 0, 2


@dataclass(frozen=True)
class Png:
    """A PNG without what changes neither pixels nor orientation.

    Attributes:
        data: the file for a decoder.
        depth: bits of a sample.
        key: the transparent colour in units of the stored samples, of one (grey) or three; None if there is none.
        several: it is an animation.
        profile: the colour profile; None if there is none or it is damaged.
    """

    data: bytes
    depth: int
    key: tuple[int, ...] | None
    several: bool
    profile: bytes | None


@dataclass(frozen=True)
class _Chunk:
    name: bytes
    content: memoryview
    whole: memoryview  # with length and checksum
    sound: bool


def read_png(data: bytes) -> Png:
    """Checks a PNG's chunks up to IEND against their lengths and checksums, which Pillow does not do for the pixels.

    Damaged ancillary chunks (texts, profiles, times) are left out; what follows IEND is ignored.

    Raises:
        PhotoError: DECODE (damage that may change pixels), UNSUPPORTED (Apple's own kind of PNG).
    """
    kept: list[bytes | memoryview] = [PNG_SIGNATURE]
    frames, pixels_begun, first_is_frame, size = 0, False, False, len(PNG_SIGNATURE)
    key: tuple[int, ...] | None = None
    profile: bytes | None = None
    depth, colour = data[24:26] if len(data) > 25 else (0, 0)
    for chunk in _chunks(data):
        size += len(chunk.whole)
        if chunk.name == b"CgBI":
            advice = "convert it with 'pngcrush -revert-iphone-optimizations in.png out.png'"
            raise PhotoError("UNSUPPORTED", f"the file is a PNG for iPhones (CgBI), which is not read: {advice}")
        if chunk.name == b"tRNS" and colour in (_GREY, _RGB):
            key = _colour_key(bytes(chunk.content), depth, colour)
        elif _is_needed(chunk):
            kept.append(chunk.whole)
        pixels_begun = pixels_begun or chunk.name == b"IDAT"
        first_is_frame = first_is_frame or (chunk.name == b"fcTL" and not pixels_begun)
        if chunk.name == b"iCCP" and chunk.sound:
            profile = _inflated(bytes(chunk.content).partition(b"\0")[2][1:], _MOST_PROFILE)
        elif chunk.name == b"acTL" and chunk.sound:
            frames = int.from_bytes(chunk.content[:4], "big")
    return Png(
        data=data if sum(map(len, kept)) == size else b"".join(kept),
        depth=depth,
        key=key,
        several=frames > 0 and frames + (not first_is_frame) > 1,
        profile=profile,
    )


def _chunks(data: bytes) -> Iterator[_Chunk]:
    view, position, name = memoryview(data), len(PNG_SIGNATURE), b""
    while name != b"IEND":
        length = int.from_bytes(data[position : position + 4], "big")
        name = data[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(data):
            raise PhotoError("DECODE", f"the PNG ends inside its chunk {name!r} (byte {len(data)}): copy it again")
        sound = zlib.crc32(view[position + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")
        if not sound and (not name[:1].islower() or name == b"tRNS"):
            raise PhotoError("DECODE", f"the PNG's chunk {name!r} at byte {position} is damaged: copy it again")
        yield _Chunk(name, view[position + 8 : end - 4], view[position:end], sound)
        position = end


def _is_needed(chunk: _Chunk) -> bool:
    """Whether a decoder needs the chunk for the pixels or the orientation."""
    if not chunk.name[:1].islower() or chunk.name == b"tRNS":
        return True
    if chunk.name == b"eXIf":
        return chunk.sound
    if chunk.name not in _TEXTS or not chunk.sound:
        return False
    keyword, _, text = bytes(chunk.content).partition(b"\0")
    if keyword not in _WITH_ORIENTATION:
        return False
    if chunk.name == b"zTXt":
        return text[:1] == b"\0" and _inflated(text[1:], _MOST_TEXT) is not None
    if chunk.name == b"iTXt" and text[:1] == b"\1":
        return _inflated(text[2:].split(b"\0", 2)[-1], _MOST_TEXT) is not None
    return len(text) <= _MOST_TEXT


def _inflated(data: bytes, most: int) -> bytes | None:
    """Decompressed data; None if they are damaged or more than `most` bytes."""
    try:
        found = zlib.decompressobj().decompress(data, most + 1)
    except zlib.error:
        return None
    return found if len(found) <= most else None


def _colour_key(content: bytes, depth: int, colour: int) -> tuple[int, ...]:
    count = 1 if colour == _GREY else 3
    if len(content) < 2 * count:
        raise PhotoError("DECODE", f"the PNG's chunk b'tRNS' has {len(content)} bytes: copy it again")
    most = (1 << depth) - 1
    return tuple(int.from_bytes(content[2 * i : 2 * i + 2], "big") & most for i in range(count))
