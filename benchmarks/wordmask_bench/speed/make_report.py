"""The report of a benchmark: the measurements with the facts that they depend on."""

from __future__ import annotations

import datetime
from dataclasses import asdict

from wordmask_bench.machine.hardware import machine
from wordmask_bench.speed.benchmark import Findings
from wordmask_bench.speed.compute_bound import GraphWork, with_share
from wordmask_bench.speed.plan import Plan
from wordmask_bench.speed.report import KIND, SCHEMA, BenchReport, Subject


def make_report(plan: Plan, found: Findings) -> BenchReport:
    """Adds the machine, the bundle and the options to the measurements."""
    manifest = plan.bundle.manifest
    first = next(iter(plan.sides.values()))
    words = sum(map(len, first.vocabulary.classes)) + len(first.vocabulary.background)
    work = GraphWork(plan.bundle, words)
    limits = {side.name: found.rates[side.precision] for side in found.sides if side.name in plan.engines}
    loftup = manifest.loftup is not None and first.options.use_loftup is not False
    default = asdict(type(first.options)())
    return BenchReport(
        schema=SCHEMA,
        kind=KIND,
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        subject=Subject(
            bundle=manifest.bundle_id,
            domain=manifest.domain,
            precision=manifest.precision,
            models={name: model.name for name, model in manifest.models.items()},
            classes=len(first.vocabulary.classes),
            words=words,
            prompt_source="extracted" if first.grid is None else "grid",
            options={name: value for name, value in asdict(first.options).items() if value != default[name]},
            threads=first.threads,
        ),
        machine=machine(),
        effort=plan.effort,
        rates=found.rates,
        sides=found.sides,
        measurements=tuple(with_share(row, work.gflop(row, loftup=loftup), limits) for row in found.measurements),
        throughput=tuple(found.throughput),
        agreement=tuple(found.agreement),
    )
