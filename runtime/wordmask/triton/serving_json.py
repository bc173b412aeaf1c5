"""serving.json: settings of the Python model in a Triton model repository, beside the bundle's manifest."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from wordmask.bundle.engines import Profile
from wordmask.bundle.strict_json import parse_as, read_json
from wordmask.errors import BundleError, ManifestError

SCHEMA = 1
FILE_NAME = "serving.json"


@dataclass(frozen=True)
class Served:
    """A graph of the bundle as the server has it.

    Attributes:
        model: its name on the server.
        rows: most rows of a request; None if the server does not limit them.
        profiles: of a TensorRT engine, in its order; none of an ONNX graph.
    """

    model: str
    rows: int | None
    profiles: tuple[Profile, ...]


@dataclass(frozen=True)
class Serving:
    """serving.json.

    Attributes:
        schema: of this file.
        graphs: by their names in wordmask.loading.STAGES.
        on_cpu: a processor runs them.
        in_flight: photos under way at once in one process of the Python model.
        workers: such processes on the machine; they share its cores.
    """

    schema: int
    graphs: dict[str, Served]
    on_cpu: bool
    in_flight: int
    workers: int

    def to_json(self) -> str:
        """The text of serving.json."""
        return json.dumps(asdict(self), indent=1) + "\n"


def read_serving(folder: Path) -> Serving:
    """Reads serving.json of a model's version folder.

    Raises:
        BundleError: missing, unknown schema or field, or wrong type.
    """
    path = folder / FILE_NAME
    try:
        serving = parse_as(Serving, read_json(path), "serving")
    except ManifestError as error:
        raise BundleError(f"{path}: {error}; write the repository again with `wordmask triton`") from error
    assert isinstance(serving, Serving)
    if serving.schema != SCHEMA:
        found = f"schema is {serving.schema}, this version of wordmask reads {SCHEMA}"
        raise BundleError(f"{path}: {found}: write the repository again with `wordmask triton`")
    return serving
