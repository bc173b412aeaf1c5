"""A run as one value, made once by the command line or another caller, and passed whole to the workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from threading import Event
from typing import Any

from wordmask.backends.device import parse_device
from wordmask.bundle.manifest import Manifest
from wordmask.bundle.opening import PipelineBundle
from wordmask.loading import IN_FLIGHT, check_options, upsampling, uses_loftup
from wordmask.outputs.layout import CLASS_MAPS, ENCODINGS, SHARDS
from wordmask.outputs.run_record import BundleRecord
from wordmask.photo.job import Job
from wordmask.photo.options import ReadOptions
from wordmask.photo.url import Place
from wordmask.pipeline import Segmenter
from wordmask.text.queries import Queries
from wordmask.types import Options


@dataclass(frozen=True)
class OutputOptions:
    """Which optional outputs to write; see `wordmask run --help`."""

    overlay: bool = False
    save_dense: bool = False
    report: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        """Folders of the outputs that every finished photo has."""
        dense = ("dense", "confidence") if self.save_dense else ()
        return ("semantic", *dense, *(("overlay",) if self.overlay else ()), SHARDS)


@dataclass(frozen=True, eq=False)
class RunRequest:
    """What to segment, how, and what to write.

    Attributes:
        jobs: the photos.
        queries: the vocabulary with its embeddings.
        out: the output folder, made if missing; a URL on a cluster.
        options: thresholds, prompts and upsampling.
        outputs: the optional outputs.
        reading: how photos are read.
        in_flight: photos processed at the same time (by each worker of a cluster); the results do not depend on it.
        restart: see outputs.resume.prepare, likewise reuse and retry_quarantined.
        keep_intermediate: keep what is known of each photo before its prompts (see run.intermediate). `reuse` keeps it
            too, and goes on from what was kept.
        retry_quarantined: process photos again at which a process died twice.
        settings: further settings for run.json. A run is continued only with the same ones (but see
            outputs.resume.RESUME_MAY_DIFFER).
    """

    jobs: Sequence[Job]
    queries: Queries
    out: Place
    options: Options = field(default_factory=Options)
    outputs: OutputOptions = field(default_factory=OutputOptions)
    reading: ReadOptions = field(default_factory=ReadOptions)
    in_flight: int = IN_FLIGHT
    restart: bool = False
    keep_intermediate: bool = False
    reuse: bool = False
    retry_quarantined: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.in_flight < 1:
            raise ValueError(f"in_flight is {self.in_flight}: it must be at least 1")

    @property
    def keeps(self) -> bool:
        """Whether intermediate results are kept."""
        return self.keep_intermediate or self.reuse

    @property
    def kinds(self) -> tuple[str, ...]:
        """Folders of what every finished photo has; a photo without one of them is processed again."""
        return (*self.outputs.kinds, *((CLASS_MAPS, ENCODINGS) if self.keeps else ()))

    def recorded_settings(self, info: SegmenterInfo) -> dict[str, Any]:
        """The settings in run.json, which a run that is continued must share."""
        options = {**asdict(self.options), "upsample": info.upsample}
        return {**self.settings, **asdict(self.reading), **options, **asdict(self.outputs)}


@dataclass(frozen=True)
class SegmenterInfo:
    """What run.json records of the models.

    Attributes:
        manifest: of the bundle.
        loftup: whether LoftUp upsamples the features.
        upsample: where LoftUp is evaluated: "full" or "selective".
    """

    manifest: Manifest
    loftup: bool
    upsample: str

    @property
    def bundle(self) -> BundleRecord:
        """The entry `bundle` of run.json."""
        manifest = self.manifest
        models = {name: model.name for name, model in manifest.models.items()}
        return BundleRecord(manifest.bundle_id, manifest.domain, manifest.precision, models, self.loftup)

    @classmethod
    def of(cls, segmenter: Segmenter, options: Options) -> SegmenterInfo:
        """Describes a loaded segmenter.

        Raises:
            BundleError: see wordmask.loading.check_options.
        """
        check_options(segmenter.bundle, options)
        return cls(segmenter.manifest, segmenter.uses_loftup(options), segmenter.upsample(options))

    @classmethod
    def of_bundle(cls, bundle: PipelineBundle, options: Options, upsampler_device: str) -> SegmenterInfo:
        """Describes segmenters that other processes load; raises DeviceError, too, for an unknown device name."""
        check_options(bundle, options)
        on_cpu = parse_device(upsampler_device).on_cpu and "loftup" in bundle.manifest.graphs
        return cls(bundle.manifest, uses_loftup(bundle, options), upsampling(options, on_cpu=on_cpu))


@dataclass(frozen=True)
class RunControl:
    """How a caller follows and ends a run.

    Attributes:
        stop: when set, the run ends soon.
        log: takes a message for the user, about a photo or the run.
        progress: takes the number of finished photos, after each.
    """

    stop: Event = field(default_factory=Event)
    log: Callable[[str], None] = lambda text: None
    progress: Callable[[int], None] = lambda done: None
