"""`wordmask check`: the options, and what they mean. Imports nothing heavy until it runs."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from wordmask.cli.arguments import add_device
from wordmask.cli.device import open_for_device
from wordmask.cli.exit_status import FAILED, OK
from wordmask.formats.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wordmask_bench.bundle_check.judgement import Finding

VERDICTS = {
    "random": "the weights are random: the chain runs, and its masks mean nothing",
    "warning": "these weights do not behave as trained ones should",
    "ok": "the weights behave as trained ones should",
}
UNTRIED = "The limits have never been held against published weights: a warning is a reason to look, not a proof."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask check`."""
    parser.add_argument("bundle", nargs="?", metavar="BUNDLE", help="name or folder (default: as `run` finds it)")
    parser.add_argument("--strict", action="store_true", help="fail if the weights are random or there is a warning")
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_device(parser.add_argument_group("devices"))


def run(args: argparse.Namespace) -> int:
    """Runs `wordmask check`; gives the exit status: 0 also with warnings, unless --strict."""
    from wordmask.pipeline import Segmenter
    from wordmask_bench.bundle_check.examples import photos, scenes
    from wordmask_bench.bundle_check.judgement import judge
    from wordmask_bench.bundle_check.measures import measure
    from wordmask_bench.quality.metrics import without_nan

    bundle = open_for_device(args, args.bundle)
    domain = bundle.manifest.domain
    segmenter = Segmenter(bundle, device=args.device, threads=args.threads)
    rows = []
    for example in scenes() if domain == "synthetic" else photos():
        print(printable(f"looking at the picture of: {example.name}"), file=sys.stderr, flush=True)
        rows.append(measure(segmenter, example))
    findings = list(judge(rows, random=domain == "random"))
    verdict = "random" if domain == "random" else _worst(findings)
    if args.json:
        found, figures = ([without_nan(asdict(each)) for each in those] for those in (findings, rows))
        print(json.dumps({"verdict": verdict, "findings": found, "figures": figures}, indent=1))
    else:
        print(table(findings, verdict, domain))
    return FAILED if args.strict and verdict != "ok" else OK


def _worst(findings: Sequence[Finding]) -> str:
    return "warning" if any(finding.state == "warning" for finding in findings) else "ok"


def table(findings: Sequence[Finding], verdict: str, domain: str) -> str:
    """Everything, for people: a line a finding, then what it means."""
    from wordmask_bench.bundle_check.judgement import advice

    stage, picture = (max(len(getattr(each, name)) for each in findings) for name in ("stage", "picture"))
    lines = [f"{f.state:<8} {f.stage:<{stage}}  {f.picture:<{picture}}  {printable(f.text)}" for f in findings]
    lines += ["", *advice(findings), VERDICTS[verdict]]
    if domain == "photos":
        lines.append(UNTRIED)
    return "\n".join(lines)
