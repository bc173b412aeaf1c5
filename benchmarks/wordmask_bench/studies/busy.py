"""How busy the engines are over a folder: the share of the wall time in which at least one graph runs.

    python -m wordmask_bench.studies.busy --bundle tiny --images scenes/ --vocabulary @scenes/words.txt

Everything else a run does (decoding, class map, prompts, masks, writing) should hide behind the graphs.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from wordmask.backends import Graph, Value, Values
from wordmask.loading import IN_FLIGHT
from wordmask.pipeline import Segmenter
from wordmask.run.find_photos import find_photos
from wordmask.run.local import run_folder
from wordmask.run.request import RunControl, RunRequest
from wordmask.text.vocabulary import ClassLine, Vocabulary
from wordmask.text.word_lists import class_lines


class TimedGraph:
    """A graph that notes the start and the end of each of its runs."""

    def __init__(self, graph: Graph, spans: list[tuple[float, float]]) -> None:
        self._graph, self._spans = graph, spans
        self.cancel = graph.cancel

    @property
    def preferred_batch_size(self) -> int | None:
        """See wordmask.backends.Graph."""
        return self._graph.preferred_batch_size

    def run(self, inputs: Values, keep: Collection[str] = ()) -> dict[str, Value]:
        """See wordmask.backends.Graph."""
        start = time.perf_counter()
        try:
            return self._graph.run(inputs, keep)
        finally:
            self._spans.append((start, time.perf_counter()))


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """Length of the union of spans (start, end)."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def measure(
    segmenter: Segmenter, images: Sequence[Path], lines: Sequence[str | ClassLine], in_flight: int
) -> dict[str, float]:
    """Runs over the photos into a folder that is thrown away; words are embedded before."""
    jobs, queries = find_photos(images), segmenter.embed(Vocabulary.parse(lines))
    spans: list[tuple[float, float]] = []
    graphs = {name: TimedGraph(graph, spans) for name, graph in segmenter.graphs.items()}
    timed = Segmenter(segmenter.bundle, loaded=replace(segmenter.loaded, graphs=graphs), threads=segmenter.threads)
    memory: list[float] = []
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        request = RunRequest(jobs, queries, Path(out), in_flight=in_flight)
        record = run_folder(timed, request, RunControl(progress=lambda done: memory.append(_megabytes())))
        wall = time.perf_counter() - start
    busy = covered(spans)
    return {
        "photos": len(jobs),
        "ok": record.totals.done,
        "seconds": wall,
        "photos_per_second": len(jobs) / wall,
        "engines_busy": busy / wall,
        "peak_mb_after_two_fifths": memory[len(memory) * 2 // 5],
        "peak_mb": memory[-1],
    }


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--in-flight", type=int, default=IN_FLIGHT)
    parser.add_argument("--images", type=Path, nargs="+", required=True)
    parser.add_argument("--vocabulary", nargs="+", required=True)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    segmenter = Segmenter(args.bundle, device=args.device, threads=args.threads)
    figures = measure(segmenter, args.images, class_lines(args.vocabulary), args.in_flight)
    print(", ".join(f"{name} {value:.4g}" for name, value in figures.items()))  # noqa: T201
    if args.json:
        facts = {"bundle": segmenter.manifest.bundle_id, "device": args.device, "in_flight": args.in_flight}
        args.json.write_text(json.dumps({**facts, **figures}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
