"""One command that checks wordmask on a machine with a GPU, and leaves a report.

    python -m wordmask_bench.gpu_check --out results/h200

Facts about the machine; on every device the tiny bundle, against ONNX Runtime on the CPU and against the truth; then
with the full-size models a whole photo against PyTorch, a folder, and every stage. The most telling steps come first;
each runs in a process of its own with a time limit; the report is written anew after each.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from wordmask.errors import WordmaskError
from wordmask_bench.gpu_check.plan import (
    FACTS,
    FULL,
    MINUTES,
    TINY,
    VARIANTS,
    Settings,
    Step,
    Variant,
    may_refuse,
    plan,
    unavailable,
)
from wordmask_bench.gpu_check.report import CheckReport, Outcome, read_outcomes, save_json, write_report
from wordmask_bench.gpu_check.step_process import SKIPPED, Running, finish, start
from wordmask_bench.gpu_check.steps import Figures, tiny_device, tiny_reference
from wordmask_bench.machine.child_process import kill_session
from wordmask_bench.machine.facts import facts
from wordmask_bench.machine.timing import Effort

SHORTEST = 15.0  # seconds: with less left, no step is started
DEFAULT_DEVICES = tuple(name for name in VARIANTS if name != "cpu")


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="wordmask_bench.gpu_check", description="Check wordmask on a GPU.")
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of the report, and of bundles and engines built for it")
    add("--bundle", default="tiny", help="bundle that was trained on synthetic scenes (%(default)s)")
    add(
        "--full", metavar="BUNDLE", help="full-size bundle or its skeleton (default: one is built, with random weights)"
    )
    add("--device", nargs="+", choices=VARIANTS, default=DEFAULT_DEVICES, help="(default: all but cpu)")
    add("--only", nargs="+", metavar="STEP", help="steps to do, such as 'full-*'; see the report for their names")
    add("--resume", action="store_true", help="keep the steps that an earlier check in this folder got through")
    add("--minutes", type=float, default=MINUTES, help="no step is started, or goes on, after that (%(default)s)")
    add("--photo", type=Path, help="that is timed as a whole (default: one of 1800x1200 is made)")
    add("--photos", type=int, default=32, help="copies of it in the folder that is timed (%(default)s)")
    add("--scenes", type=int, default=24, help="held-out scenes (%(default)s)")
    add("--max-batch", type=int, default=10, help="of the engines (%(default)s)")
    add("--max-prompts", type=int, default=32, help="of the engines (%(default)s)")
    add("--clip", default="ViT-B-16-quickgelu", help="of the full-size bundle: a name or a JSON file (%(default)s)")
    add("--sam2", default="sam2.1_hiera_tiny", help="likewise: a name or a YAML file (%(default)s)")
    add("--small", action="store_true", help="windows of 64 pixels: with small models, to try the check itself")
    add("--warm-up", type=float, default=Effort.warm_up, metavar="SECONDS", help="before timing (%(default)s)")
    add("--runs", type=int, default=Effort.runs, help="timed runs of each side (%(default)s)")
    add("--step", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def settings_of(args: argparse.Namespace) -> Settings:
    """What the steps need of the command line."""
    return Settings(
        out=args.out,
        tiny=args.bundle,
        full=args.full,
        clip=args.clip,
        sam2=args.sam2,
        small=args.small,
        photo=args.photo,
        photos=args.photos,
        scenes=args.scenes,
        max_batch=args.max_batch,
        max_prompts=args.max_prompts,
        effort=Effort(args.warm_up, args.runs),
    )


class Check:
    """A check under way: what has been found, and what is left."""

    def __init__(self, args: argparse.Namespace, arguments: list[str]) -> None:
        """Args: the parsed command line, and the same as it was given."""
        self.args, self.arguments = args, arguments
        self.deadline = time.monotonic() + args.minutes * 60
        self.steps = plan(args.device, args.only, args.minutes)
        known = {step.name for step in self.steps}
        kept = read_outcomes(args.out) if args.resume else ()
        self.outcomes = [o for o in kept if o.status == "ok" or o.name not in known]
        done = {outcome.name for outcome in self.outcomes}
        self.steps = [step for step in self.steps if step.name not in done]
        self.aside: Running | None = None  # the full-size bundle, built on the CPU beside the first steps on the GPU

    def run(self) -> CheckReport:
        """Does the steps for which there is time, and writes the report after each."""
        waiting = list(self.steps)
        self._write(waiting, finished=False)
        try:
            while waiting and self.deadline - time.monotonic() >= SHORTEST:
                step = waiting[0]
                self._start_aside(waiting)
                self.outcomes.append(self._outcome(step))
                waiting.pop(0)
                self._say(self.outcomes[-1])
                self._write(waiting, finished=False)
        finally:
            if self.aside is not None:
                kill_session(self.aside.process)
        return self._write(waiting, finished=True)

    def _outcome(self, step: Step) -> Outcome:
        found = self._facts()
        reason = unavailable(step.variant, found) if step.variant else None
        if reason is not None:
            return Outcome(step.name, "skipped", 0.0, reason)
        if step.name == FULL and self.aside is not None:
            running, self.aside = self.aside, None
        else:
            running = self._start(step)
        return finish(running, self.deadline)

    def _start(self, step: Step) -> Running:
        alone = step.name in (TINY, FULL)  # sam2 puts tensors on any GPU it sees, also when it is exported
        return start(step.name, self.arguments, self.args.out, step.limit, hide_gpu=alone)

    def _start_aside(self, waiting: list[Step]) -> None:
        """Starts the reference of the full-size models once the facts are known, unless it is next anyway."""
        later = next((step for step in waiting[1:] if step.name == FULL), None)
        if self.aside is None and later is not None and waiting[0].name != FACTS:
            self.aside = self._start(later)

    def _facts(self) -> dict[str, Any]:
        return next((outcome.result for outcome in self.outcomes if outcome.name == FACTS), {})

    def _write(self, waiting: list[Step], *, finished: bool) -> CheckReport:
        options = {key: str(value) if isinstance(value, Path) else value for key, value in vars(self.args).items()}
        report = CheckReport(options, tuple(self.outcomes), tuple(step.name for step in waiting), finished)
        write_report(self.args.out, report)
        return report

    def _say(self, outcome: Outcome) -> None:
        why = f": {outcome.why}" if outcome.why else ""
        print(f"{outcome.name} {outcome.status} {outcome.seconds:.0f} s{why}", flush=True)  # noqa: T201


def figures_of(step: str, settings: Settings) -> Figures:
    """The figures of a step, as they come."""
    if step == FACTS:
        return iter(facts())
    if step == TINY:
        return tiny_reference(settings)
    if step == FULL:
        from wordmask_bench.gpu_check.full_models import full_reference  # noqa: PLC0415

        return full_reference(settings)
    kind, _, name = step.partition("-")
    return _device_step(kind)(settings, VARIANTS[name])


def _device_step(kind: str) -> Callable[[Settings, Variant], Figures]:
    """The step of one kind; what only this kind needs is imported here."""
    match kind:
        case "tiny":
            return tiny_device
        case "photo":
            from wordmask_bench.gpu_check.photo import photo_device  # noqa: PLC0415

            return photo_device
        case "compile":
            from wordmask_bench.gpu_check.photo import compile_device  # noqa: PLC0415

            return compile_device
        case "folder":
            from wordmask_bench.gpu_check.folder import folder_device  # noqa: PLC0415

            return folder_device
        case "full":
            from wordmask_bench.gpu_check.full_models import full_device  # noqa: PLC0415

            return full_device
    from wordmask_bench.gpu_check.cuda_options import options_device  # noqa: PLC0415

    return options_device


def run_step(args: argparse.Namespace) -> int:
    """Does one step in this process; its figures stand in steps/NAME.json as soon as they are known."""
    target = args.out / "steps" / f"{args.step}.json"
    result: dict[str, Any] = {}
    variant = VARIANTS.get(args.step.partition("-")[2])
    try:
        for name, value in figures_of(args.step, settings_of(args)):
            result[name] = value
            save_json(target, result)
    except WordmaskError as error:
        if variant is None or not may_refuse(variant, _facts_of(args.out)):
            raise
        save_json(target, {**result, "skipped": f"refused: {error}"})
        return SKIPPED
    return 0


def _facts_of(out: Path) -> dict[str, Any]:
    path = out / "steps" / f"{FACTS}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; gives 0 unless a step failed."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = parse_args(given)
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.step:
        return run_step(args)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the steps are ended too
    return 1 if Check(args, given).run().failed else 0


if __name__ == "__main__":
    sys.exit(main())
