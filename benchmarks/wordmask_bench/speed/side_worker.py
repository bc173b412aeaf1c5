"""One side of the benchmark in a process of its own: reads commands and writes answers as lines of JSON.

With separate processes memory is measured per side, models load once, and runs of the sides can alternate. Nothing
heavy is imported before the first command, because imports are part of the cold start.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Answer = dict[str, Any]


class Worker:
    """The commands; each returns the content of its answer."""

    def __init__(self) -> None:
        self.side: Any = None  # a speed.side.Side
        self.run: Callable[[], object] | None = None

    def open(self, setup: dict[str, Any]) -> Answer:
        """Imports the side and loads its models."""
        from wordmask.bundle.strict_json import parse_as  # noqa: PLC0415
        from wordmask_bench.speed import side as interface  # noqa: PLC0415

        self.interface = interface
        parsed: interface.Setup = parse_as(interface.Setup, setup, "setup")
        start = time.perf_counter()
        if parsed.variant == "wordmask":
            from wordmask_bench.speed.wordmask_side import WordmaskSide  # noqa: PLC0415

            make: Callable[[interface.Setup], object] = WordmaskSide
        else:
            from wordmask_bench.speed.torch_side import EagerSide  # noqa: PLC0415

            make = EagerSide
        imported = time.perf_counter()
        self.side = make(parsed)
        return {"import": imported - start, "load": time.perf_counter() - imported}

    def windows(self, choice: str) -> Answer:
        """Sets how photos are cut into windows."""
        self.side.windows(choice)
        return {}

    def words(self, file: str) -> Answer:
        """Computes or reads the vocabulary's embeddings."""
        self.side.words(Path(file))
        return {}

    def prompts(self, photo: str) -> Answer:
        """Extracts a photo's prompts; only on wordmask's side."""
        return {"prompts": self.interface.prompts_to_json(self.side.prompts(Path(photo)))}

    def photo(self, photo: str, prompts: list[dict[str, Any]], out: str) -> Answer:
        """Runs one photo from its file to the output files."""
        given = self.interface.prompts_from_json(prompts)
        start = time.perf_counter()
        stages = self.side.photo(Path(photo), given, Path(out))
        return {"ms": (time.perf_counter() - start) * 1000, "stages": stages}

    def folder(self, photos: list[str], prompts: list[list[dict[str, Any]]], out: str) -> Answer:
        """Runs many photos from their files to the output files."""
        given = [self.interface.prompts_from_json(rows) for rows in prompts]
        start = time.perf_counter()
        self.side.folder([Path(photo) for photo in photos], given, Path(out))
        return {"ms": (time.perf_counter() - start) * 1000}

    def answers(self, photo: str, prompts: list[dict[str, Any]], out: str) -> Answer:
        """Writes class map and masks (packed bits) to the file `out`."""
        import numpy as np  # noqa: PLC0415

        dense, masks = self.side.answers(Path(photo), self.interface.prompts_from_json(prompts))
        np.savez(out, dense=dense, masks=np.packbits(masks, axis=-1))
        return {}

    def stage(self, name: str, photo: str, rows: int) -> Answer:
        """Prepares a stage for the command `again`."""
        self.run = self.side.stage(name, Path(photo), rows)
        return {}

    def again(self) -> Answer:
        """Runs the prepared stage once."""
        assert self.run is not None  # `stage` comes first
        start = time.perf_counter()
        self.run()
        return {"ms": (time.perf_counter() - start) * 1000}

    def rate(self, precision: str, device: str, seconds: float) -> Answer:
        """Measures the machine's rate of matrix products; only on PyTorch's side."""
        from wordmask_bench.machine.hardware import matrix_rate  # noqa: PLC0415

        return {"gflops": matrix_rate(precision, device, seconds)}

    def memory(self) -> Answer:
        """Peak memory of this process so far, and whether torch is imported."""
        return {"peak_mb": peak_megabytes(), "torch": "torch" in sys.modules}


def peak_megabytes() -> float:
    """Largest resident size of this process; ru_maxrss may include that of the parent process."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    import resource  # noqa: PLC0415

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024**2 if sys.platform == "darwin" else peak / 1024


def pin(threads: int) -> None:
    """Restricts this process to a number of cores, where the system supports it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def main() -> int:
    """Answers commands until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # output of libraries goes to stderr, not among the answers
    pin(int(sys.argv[1]))
    worker = Worker()
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(worker, command.pop("do"))(**command)
        except Exception as error:  # the benchmark's process reports it
            answer = {"error": f"{type(error).__name__}: {error}"}
            if not type(error).__module__.startswith("wordmask"):
                import traceback  # noqa: PLC0415

                traceback.print_exc()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
