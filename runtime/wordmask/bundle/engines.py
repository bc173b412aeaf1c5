"""TensorRT engines beside a bundle's graphs: what each is built for, how it is found, and when it is not trusted.

A plan is executable code for one GPU architecture and one version of TensorRT. It stands in
`<bundle>/engines/<key>/engine.plan` with a sidecar, engine.json; the key is a hash of all it was built for. TensorRT
gets a plan only if its sidecar fits this machine and this bundle, its sha256 is the sidecar's, and only its owner,
who is this user or root, may write it.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from wordmask.bundle.manifest import File, GraphEntry, Tensor
from wordmask.bundle.strict_json import parse_as, read_json
from wordmask.errors import EngineError, ManifestError

SCHEMA = 1
FOLDER, SIDECAR, PLAN = "engines", "engine.json", "engine.plan"
ROWS = ("B", "N", "T")  # symbols of independent rows: padding with further rows changes no result

Precision = Literal["fp32", "fp16", "bf16"]


@dataclass(frozen=True)
class Range:
    """Sizes a symbol may take: the least, the one to optimise for, the largest."""

    minimum: int
    optimum: int
    maximum: int


Profile = dict[str, Range]  # by symbol of the graph's interface


@dataclass(frozen=True)
class Target:
    """What plans run on: TensorRT's version, and the GPU's architecture such as sm_90."""

    tensorrt: str
    architecture: str


@dataclass(frozen=True)
class Request:
    """Everything that an engine depends on.

    Attributes:
        graph: its name in the manifest.
        onnx_sha256: of the bundle's ONNX file.
        precision: of weights and arithmetic, islands apart.
        profiles: one a bucket of rows, smallest first.
        target: what it is for.
    """

    graph: str
    onnx_sha256: str
    precision: Precision
    profiles: tuple[Profile, ...]
    target: Target

    @property
    def key(self) -> str:
        """Name of the engine's folder."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return f"{self.graph}-{hashlib.sha256(canonical.encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class Sidecar:
    """engine.json.

    Attributes:
        schema: of this file.
        request: what the engine was built for.
        plan: its file.
        gpu: name of the GPU it was built on.
        layers: layers by the type of their first output, such as {"HALF": 211, "FLOAT": 9}.
        seconds: the build took.
    """

    schema: int
    request: Request
    plan: File
    gpu: str
    layers: dict[str, int]
    seconds: float

    def to_json(self) -> str:
        """The text of engine.json."""
        return json.dumps(asdict(self), indent=1) + "\n"


def shape_of(tensor: Tensor, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """A tensor's shape where its symbols have these sizes; H follows from H+4."""
    follows = {symbol.partition("+")[0]: size - int(symbol.partition("+")[2] or 0) for symbol, size in sizes.items()}
    return tuple({**follows, **sizes}[size] if isinstance(size, str) else size for size in tensor.shape)


def read_sidecar(folder: Path) -> Sidecar:
    """Reads `<bundle>/engines/<key>/engine.json`.

    Raises:
        EngineError: missing, unknown schema or field, wrong type, or not what its folder's name says.
    """
    path = folder / SIDECAR
    try:
        sidecar = parse_as(Sidecar, read_json(path), "engine")
    except ManifestError as error:
        raise EngineError(f"{path}: cannot be used ({error}); build the engine again") from error
    assert isinstance(sidecar, Sidecar)
    if sidecar.schema != SCHEMA or sidecar.request.key != folder.name or sidecar.plan.file != PLAN:
        raise EngineError(f"{path}: is of another version or another engine; build the engine again")
    return sidecar


def sidecars(bundle: Path) -> Iterator[tuple[Path, Sidecar]]:
    """All engines of a bundle with a readable sidecar, and their folders, by name."""
    for folder in sorted((bundle / FOLDER).glob("*-*")):
        try:
            yield folder, read_sidecar(folder)
        except EngineError:
            continue


def find_engine(
    bundle: Path, name: str, entry: GraphEntry, precision: Precision, target: Target
) -> tuple[Path, Sidecar]:
    """The engine of a graph for this machine: its folder and sidecar.

    Raises:
        EngineError: there is none; the message lists the others and the command that builds it.
    """
    others = []
    for folder, sidecar in sidecars(bundle):
        request = sidecar.request
        if request.graph != name:
            continue
        if (request.onnx_sha256, request.precision, request.target) == (entry.sha256, precision, target):
            return folder, sidecar
        stale = "" if request.onnx_sha256 == entry.sha256 else ", of another build of the bundle"
        at = request.target
        others.append(f"{request.precision} for {at.architecture} and TensorRT {at.tensorrt}{stale}")
    found = f" (there is {'; '.join(others)})" if others else ""
    raise EngineError(
        f"{bundle}: no {precision} engine of {name} for {target.architecture} and TensorRT {target.tensorrt}{found}: "
        f"`wordmask engines {bundle} --tensorrt-precision {precision}` builds it"
    )


def read_plan(folder: Path, sidecar: Sidecar) -> bytes:
    """The plan, if it may be executed.

    Raises:
        EngineError: it is foreign, open to others' writing, a link, or not the one that was built.
    """
    for path in (folder.parent, folder, folder / PLAN):
        check_owner(path)
    path = folder / PLAN
    try:
        facts = path.lstat()
        plain = stat.S_ISREG(facts.st_mode) and facts.st_size == sidecar.plan.size  # a pipe would block
        plan = path.read_bytes() if plain else b""
    except OSError as error:
        raise EngineError(f"{path}: cannot be read ({error.strerror}); build the engine again") from error
    if not plain or hashlib.sha256(plan).hexdigest() != sidecar.plan.sha256:
        raise EngineError(f"{path}: not the plan that was built (size or sha256): a plan is code, so it is refused")
    return plan


def check_owner(path: Path) -> None:
    """Raises EngineError unless a file or folder is there, is no link, and only this user or root may write it."""
    try:
        facts = path.lstat()
    except OSError as error:
        raise EngineError(f"{path}: cannot be read ({error.strerror}); build the engine again") from error
    if stat.S_ISLNK(facts.st_mode):
        raise EngineError(f"{path}: is a link: a plan is code, so only real files are used")
    if os.name != "posix":
        return
    if facts.st_uid not in (0, os.getuid()):
        raise EngineError(f"{path}: belongs to user {facts.st_uid}: a plan is code, so only your own or root's is used")
    if facts.st_mode & (stat.S_IWOTH | stat.S_IWGRP):
        raise EngineError(f"{path}: others may write it: a plan is code, so it is refused; chmod go-w {path}")
