"""Follows the markers of a JPEG file (ITU-T T.81, annex B): what is coded where, and whether it reaches its end."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wordmask.errors import PhotoError
from wordmask.photo.kind import unsupported

_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
SEQUENTIAL, PROGRESSIVE = frozenset({0xC0, 0xC1}), 0xC2
_EOI, _SOS, DRI, _JPEG_LS = 0xD9, 0xDA, 0xDD, 0xF7
_STAND_ALONE = frozenset({0x01, *range(0xD0, 0xDA)})
_SKIPPED = frozenset({*range(0xE0, 0xF0), 0xFE})
_AFTER_SCAN = frozenset({0xC4, _EOI, _SOS, 0xDB, 0xDC, DRI}) | _SKIPPED
_MARKER = re.compile(rb"\xff([^\x00\xff])", re.DOTALL)
_END_OF_CODE = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # neither a stuffed byte nor a restart
MOST_SCANS = 100  # usual are 10; each goes over the whole picture, however few bytes it has
RESTART = re.compile(rb"\xff+[\xd0-\xd7]")


@dataclass(frozen=True)
class Frame:
    """A frame header. start: of its marker; components: identifiers; unit: width and height of an MCU in pixels."""

    start: int
    kind: int
    precision: int
    height: int
    width: int
    components: tuple[int, ...]
    unit: tuple[int, int]


@dataclass(frozen=True)
class Scan:
    """header: where its SOS segment starts; start and end: its coded data; interval: units between restarts or 0."""

    header: int
    start: int
    end: int
    interval: int


@dataclass(frozen=True)
class Layout:
    """tables: the segments before the first scan but for APPn and COM; end: after EOI; damage: None if well formed.

    has_end: False if the file ends in the data of its last scan, so that `end` is the file's.
    """

    frame: Frame
    scans: tuple[Scan, ...]
    tables: tuple[tuple[int, int], ...]
    end: int
    damage: str | None = None
    has_end: bool = True


def read_layout(data: bytes) -> Layout:
    """Follows the markers from the start to EOI; embedded thumbnails are skipped with their segments."""
    frame: Frame | None = None
    scans: list[Scan] = []
    tables: list[tuple[int, int]] = []
    interval, position, coded = 0, 2, -1
    while (marker := _MARKER.search(data, position)) is not None:
        code, start, position = marker[1][0], marker.start(), marker.end()
        if code == _EOI and frame is not None and scans:
            return Layout(frame, tuple(scans), tuple(tables), position)
        if code in _STAND_ALONE:
            continue
        position += max(2, int.from_bytes(data[position : position + 2], "big"))
        if position > len(data):
            break
        if code == _JPEG_LS:
            raise unsupported("JPEG-LS")
        if code in _SOF:
            frame = _read_frame(data[start:position], start, frame)
        elif code == DRI:
            interval = int.from_bytes(data[start + 4 : start + 6], "big")
        if code != _SOS:
            tables += [(start, position)] if not scans and code not in _SKIPPED else []
            continue
        coded, end = position, _END_OF_CODE.search(data, position)
        if end is None:
            scans.append(Scan(start, coded, max(len(data.rstrip(b"\xff")), coded), interval))
            return _layout_without_end(data, frame, tuple(scans), tuple(tables))
        # A marker may be preceded by any number of 0xFF.
        position = coded + len(data[coded : end.start()].rstrip(b"\xff"))
        scans.append(Scan(start, coded, position, interval))
        if len(scans) > MOST_SCANS:
            raise PhotoError("DECODE", f"the JPEG has more than {MOST_SCANS} scans, which none needs: save it anew")
        if end[1][0] not in _AFTER_SCAN:
            break
    return _broken_layout(data, frame, tuple(scans), tuple(tables), coded)


def _layout_without_end(
    data: bytes, frame: Frame | None, scans: tuple[Scan, ...], tables: tuple[tuple[int, int], ...]
) -> Layout:
    if frame is None:
        raise PhotoError("DECODE", f"the JPEG ends in its header (byte {len(data)}): copy or download it again")
    return Layout(frame, scans, tables, len(data), has_end=False)


def _broken_layout(
    data: bytes, frame: Frame | None, scans: tuple[Scan, ...], tables: tuple[tuple[int, int], ...], coded: int
) -> Layout:
    """What to make of a file whose markers do not lead to EOI. coded: start of the last scan's data, -1 if none."""
    if frame is None or coded < 0:
        raise PhotoError("DECODE", f"the JPEG ends in its header (byte {len(data)}): copy or download it again")
    end = data.find(b"\xff\xd9", coded)  # coded data cannot contain this
    if end < 0:
        raise PhotoError("TRUNCATED", f"the JPEG has no end marker in its {len(data)} bytes: copy or download it again")
    return Layout(frame, scans, tables, end + 2, "a marker stands where none can be")


def _read_frame(segment: bytes, start: int, earlier: Frame | None) -> Frame:
    count = segment[9] if len(segment) > 9 else 0
    if earlier is not None or count < 1 or len(segment) < 10 + 3 * count:
        raise PhotoError("DECODE", f"the JPEG's frame header at byte {start} is damaged: copy or download it again")
    samplings = segment[11 : 10 + 3 * count : 3]
    horizontal, vertical = max(byte >> 4 for byte in samplings), max(byte & 15 for byte in samplings)
    return Frame(
        start=start,
        kind=segment[1],
        precision=segment[4],
        height=int.from_bytes(segment[5:7], "big"),
        width=int.from_bytes(segment[7:9], "big"),
        components=tuple(segment[10 : 10 + 3 * count : 3]),
        unit=(8 * horizontal, 8 * vertical) if count > 1 else (8, 8),
    )


def is_single(data: bytes, layout: Layout) -> bool:
    """Whether one scan carries all components."""
    return len(layout.scans) == 1 and data[layout.scans[0].header + 4] == len(layout.frame.components)


def is_complete(data: bytes, layout: Layout) -> bool:
    """Whether the scans bring every component, and in progressive files every coefficient to its last bit."""
    missing_bits: dict[tuple[int, int], int] = {}
    for scan in layout.scans:
        count = data[scan.header + 4]
        first, last, bits = data[scan.start - 3 : scan.start]
        if layout.frame.kind in SEQUENTIAL:
            first, last, bits = 0, 63, 0
        for component in data[scan.header + 5 : scan.header + 5 + 2 * count : 2]:
            missing_bits |= {(component, index): bits & 15 for index in range(first, min(last, 63) + 1)}
    return all(
        missing_bits.get((component, index)) == 0 for component in layout.frame.components for index in range(64)
    )
