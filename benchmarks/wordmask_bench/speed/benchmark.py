"""`wordmask bench`: wordmask and PyTorch on the same photos, weights, words, prompts and cores, in alternation."""

from __future__ import annotations

import functools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from wordmask.dense.windows import cut_windows, resize_for_clip
from wordmask.photo.reading import decode
from wordmask_bench.machine.facts import gpu_megabytes_used
from wordmask_bench.machine.timing import Times, alternate
from wordmask_bench.speed.agreement import equal_pixels, mask_ious, read_answers
from wordmask_bench.speed.plan import Plan, precision_of
from wordmask_bench.speed.progress import Progress, busy
from wordmask_bench.speed.report import Agreement, Measurement, SideFacts, Throughput, ratios
from wordmask_bench.speed.side import Windows, one_window
from wordmask_bench.speed.side_process import SideProcess, closing_all

Prompts = list[dict[str, Any]]
SETTLE = 0.005  # seconds between two sides: threads may busy-wait for a while after a run
RATE_SECONDS = 0.3  # for each matrix size


@dataclass(frozen=True)
class Findings:
    """The measured parts of a speed.report.BenchReport."""

    sides: tuple[SideFacts, ...]
    rates: dict[str, float]
    measurements: list[Measurement]
    throughput: list[Throughput]
    agreement: list[Agreement]


def run(plan: Plan, log: Callable[[str], None]) -> Findings:
    """Measures everything in a plan; `log` takes messages about the progress.

    Raises:
        BenchError: a side failed.
    """
    with tempfile.TemporaryDirectory(prefix="wordmask-bench-") as work, closing_all() as processes:
        if warning := busy():
            log(warning)
        bench = Bench(plan, Path(work), log)
        bench.check_baseline()
        bench.embed_words()
        sides = [bench.start(name, processes) for name in plan.sides]
        measured: list[Measurement] = []
        throughput: list[Throughput] = []
        for windows in plan.windows:  # whole photos before all else, so that the peaks of memory are theirs
            bench.set_windows(windows)
            measured += [bench.photo(photo) for photo in plan.photos[: plan.limit]]
            if len(plan.photos) > 1:
                throughput.append(bench.folder())
        sides = [replace(side, peak_mb=float(bench.sides[side.name].ask("memory")["peak_mb"])) for side in sides]
        agreement: list[Agreement] = []
        for windows in plan.windows:
            bench.set_windows(windows)
            for photo in plan.photos[: plan.limit]:
                agreement += bench.agreement(photo)
        measured += bench.stages()
        return Findings(tuple(sides), bench.rates(), measured, throughput, agreement)


class Bench:
    """The sides' processes and the measurements on them."""

    def __init__(self, plan: Plan, work: Path, log: Callable[[str], None]) -> None:
        """Args: work is an empty folder for the results of the sides."""
        self.plan, self.work, self.progress = plan, work, Progress(plan, log)
        self.sides: dict[str, SideProcess] = {}
        self.current: Windows = plan.windows[0]
        self._known: dict[tuple[Path, Windows], Prompts] = {}

    def check_baseline(self) -> None:
        """Loads a baseline's models once: those that are not there are an error before anything is measured."""
        name = self.plan.baselines[0]
        self.progress.begin(f"{name}: whether PyTorch finds the bundle's models")
        setup = self.plan.sides[name]
        with closing_all() as processes:
            processes.append(SideProcess(name, setup.threads, self.work / "cache"))
            processes[0].ask("open", setup=asdict(setup))

    def embed_words(self) -> None:
        """Embeds the vocabulary in a separate process, so that it adds no time or memory to a side."""
        name = self.plan.engines[0]
        self.progress.begin("embedding words")
        setup = self.plan.sides[name]
        with closing_all() as processes:
            processes.append(SideProcess(name, setup.threads, self.work / "cache"))
            processes[0].ask("open", setup=asdict(setup))
            processes[0].ask("words", file=str(self.work / "words.npy"))

    def start(self, name: str, processes: list[SideProcess]) -> SideFacts:
        """Starts a side and measures it up to its first photo; the peak of memory is measured later."""
        self.progress.begin(f"{name}: cold start")
        setup, photo = self.plan.sides[name], self.plan.photos[0]
        prompts = self.prompts(photo) if self.sides else []  # wordmask's first side extracts its own
        on_gpu = any(kind in setup.device for kind in ("cuda", "tensorrt"))
        used = gpu_megabytes_used() if on_gpu else None
        begin = time.perf_counter()
        side = SideProcess(name, setup.threads, self.work / "cache")
        processes.append(side)
        opened = side.ask("open", setup=asdict(setup))
        at_open = time.perf_counter()
        side.ask("windows", choice=self.current)
        side.ask("words", file=str(self.work / "words.npy"))
        at_words = time.perf_counter()
        side.ask("photo", photo=str(photo), prompts=prompts, out=str(self.work / "cold" / name))
        end = time.perf_counter()
        self.sides[name] = side
        seconds = {
            "start": at_open - begin - opened["import"] - opened["load"],
            "import": opened["import"],
            "load": opened["load"],
            "first_photo": end - at_words,
            "total": end - begin - (at_words - at_open),
        }
        self.progress.first_photo[name] = seconds["first_photo"]
        after = gpu_megabytes_used() if used is not None else None
        gpu_mb = after - used if after is not None and used is not None else None
        precision = precision_of(setup, self.plan.bundle.manifest.precision)
        return SideFacts(name, setup.variant, setup.device, precision, seconds, peak_mb=0.0, gpu_mb=gpu_mb)

    def set_windows(self, choice: Windows) -> None:
        """Sets the windows of all following measurements."""
        self.current = choice
        for side in self.sides.values():
            side.ask("windows", choice=choice)

    def prompts(self, photo: Path) -> Prompts:
        """The prompts that all sides give SAM2 for a photo, extracted by the first wordmask side."""
        key = photo, self.current
        if key not in self._known:
            self._known[key] = self.sides[self.plan.engines[0]].ask("prompts", photo=str(photo))["prompts"]
        return self._known[key]

    def count_windows(self, photo: Path) -> int:
        """Number of windows that the photo is cut into."""
        constants = self.plan.bundle.manifest.clip
        if self.current == "one":
            constants = one_window(constants)
        return len(cut_windows(resize_for_clip(decode(photo), constants), constants)[1])

    def photo(self, photo: Path) -> Measurement:
        """Times a photo from its file to written masks, the sides in alternation."""
        windows, prompts = self.count_windows(photo), self.prompts(photo)
        self.progress.begin(f"{photo.name}: {windows} windows, {len(prompts)} prompts")
        inside: dict[str, list[dict[str, float]]] = {name: [] for name in self.sides}

        def once(name: str) -> float:
            out = str(self.work / "photo" / name)
            answer = self._ask(name, "photo", photo=str(photo), prompts=prompts, out=out)
            inside[name].append(answer["stages"])
            return float(answer["ms"])

        times = self._alternate(once, self.sides)
        stages = {name: _medians(runs[-times[name].runs :]) for name, runs in inside.items()}
        found = ratios(times, self.plan.engines)
        return Measurement("photo", photo.name, windows, len(prompts), times, found, stages_ms=stages)

    def folder(self) -> Throughput:
        """Times one pass of each side over all photos."""
        photos = self.plan.photos
        prompts = [self.prompts(photo) for photo in photos]
        rates = {}
        for name in self.sides:
            self.progress.begin(f"{name}: {len(photos)} photos")
            out = str(self.work / "folder" / name)
            answer = self._ask(name, "folder", photos=[str(photo) for photo in photos], prompts=prompts, out=out)
            rates[name] = len(photos) / (answer["ms"] / 1000)
        return Throughput(len(photos), sum(map(self.count_windows, photos)), rates)

    def stages(self) -> list[Measurement]:
        """Times every stage separately, on the first photo, with the last choice of windows."""
        photo = self.plan.photos[0]
        points = next(iter(self.plan.sides.values())).points
        found = []
        for stage in self.plan.stages:
            batches = self.plan.batches if stage in ("clip", "loftup") else (1,)
            for rows in batches:
                self.progress.begin(f"{stage}{f', {rows} windows' if len(batches) > 1 else ''}")
                windows = rows if stage in ("clip", "loftup") else 0
                if stage == "class_map":
                    windows = self.count_windows(photo)
                asked = points if stage in ("sam2_decoder", "masks") else 0
                # extraction of prompts is the same function on both sides
                names = self.plan.engines if stage == "prompts" else list(self.sides)
                for name in names:
                    self.sides[name].ask("stage", name=stage, photo=str(photo), rows=rows)
                times = self._alternate(lambda name: float(self._ask(name, "again")["ms"]), names)
                compared = ratios(times, self.plan.engines)
                found.append(Measurement(stage, photo.name, windows, asked, times, compared))
        return found

    def agreement(self, photo: Path) -> Iterator[Agreement]:
        """Compares every wordmask side with every baseline."""
        self.progress.begin(f"{photo.name}: agreement")
        windows, prompts = self.count_windows(photo), self.prompts(photo)
        answers = {}
        for name, side in self.sides.items():
            out = self.work / "answers.npz"
            side.ask("answers", photo=str(photo), prompts=prompts, out=str(out))
            answers[name] = read_answers(out)
        for engine in self.plan.engines:
            for baseline in self.plan.baselines:
                one, other = answers[engine], answers[baseline]
                ious = mask_ious(one, other)
                mean, worst = (float(ious.mean()), float(ious.min())) if len(ious) else (None, None)
                yield Agreement(
                    side=engine,
                    baseline=baseline,
                    photo=photo.name,
                    windows=windows,
                    prompts=len(prompts),
                    class_map=equal_pixels(one, other),
                    classes=len(np.unique(one.dense)),
                    mask_iou_mean=mean,
                    mask_iou_worst=worst,
                )

    def rates(self) -> dict[str, float]:
        """GFLOP/s of matrix products by precision, measured with PyTorch."""
        name = self.plan.baselines[0]
        self.progress.begin("matrix products")
        found = {}
        for precision in self.plan.precisions:
            arguments = {"precision": precision, "device": self.plan.sides[name].device, "seconds": RATE_SECONDS}
            found[precision] = float(self.sides[name].ask("rate", **arguments)["gflops"])
        return found

    def _ask(self, name: str, command: str, **arguments: Any) -> dict[str, Any]:
        time.sleep(SETTLE)
        return self.sides[name].ask(command, **arguments)

    def _alternate(self, once: Callable[[str], float], names: Iterable[str]) -> dict[str, Times]:
        return alternate({name: functools.partial(once, name) for name in names}, self.plan.effort)


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """Median milliseconds of each stage, from the seconds of each run."""
    return {stage: statistics.median(run[stage] for run in runs) * 1000 for stage in runs[0]}
