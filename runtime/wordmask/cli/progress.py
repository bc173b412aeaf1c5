"""What a run says while it works and at its end, on a terminal and in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING

from wordmask.formats.terminal import counted, printable

if TYPE_CHECKING:
    from wordmask.outputs.run_record import RunRecord

INTERVAL = 5.0  # seconds between two lines of a log
MOST_WORDS = 5  # in the summary


class Progress:
    """A bar on a terminal; elsewhere a line at the first photo and then every INTERVAL seconds."""

    def __init__(self, count: int, unit: str = "photo", clock: Callable[[], float] = time.monotonic) -> None:
        """Counts up to `count`; the first number that is given is where the rate begins."""
        from tqdm import tqdm

        self._bar = tqdm(total=count, unit=unit, disable=not sys.stderr.isatty())
        self._count, self._unit, self._clock = count, unit, clock
        self._first: tuple[int, float] | None = None
        self._said = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def update(self, done: int) -> None:
        """Takes the number that is done."""
        self._bar.update(done - self._bar.n)
        if not self._bar.disable:
            return
        now = self._clock()
        if self._first is None:
            self._first, self._said = (done, now), now
            self.log(f"{done} of {self._count} {self._unit}s")
        elif now - self._said >= INTERVAL and done < self._count:
            self._said = now
            rate = max(done - self._first[0], 1) / (now - self._first[1])
            left = duration((self._count - done) / rate)
            self.log(f"{done} of {self._count} {self._unit}s, {rate:.3g} {self._unit}s/s, {left} left")

    def log(self, text: str) -> None:
        """Shows a message, above the bar where there is one."""
        self._bar.write(printable(text), file=sys.stderr)


def duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))


def summary(record: RunRecord, photos: int, output: str) -> str:
    """What a finished run says: counts and time, the commonest words, failures by code with the first names."""
    totals = record.totals
    lines = [f"{totals.done} of {photos} photos, {counted(totals.instances, 'mask')}: {output}"]
    rate = f", {totals.images_per_second:.3g} photos/s" if totals.images_per_second else ", nothing was left to do"
    lines.append(f"time: {duration(totals.seconds)}{rate}")
    words = sorted(totals.objects.items(), key=lambda item: -item[1])
    if words:
        named = [f"{count} {word}" for word, count in words[:MOST_WORDS]]
        others = sum(count for _, count in words[MOST_WORDS:])
        lines.append(f"objects: {', '.join([*named, *([f'{others} of other words'] if others else [])])}")
    for code, names in totals.failed.items():
        count = totals.statuses[code]
        more = ", ..." if count > len(names) else ""
        lines.append(f"failed: {count} {code} ({', '.join(names)}{more})")
    return "\n".join(map(printable, lines))
