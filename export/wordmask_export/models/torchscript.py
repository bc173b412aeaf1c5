"""Reads the weights out of a TorchScript archive, as OpenAI published CLIP in, without running anything of it.

torch.jit.load would compile the archive's code and run its `__setstate__` methods. The modules' attributes stand in a
pickle beside the code, the tensors' values in files of their own.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_DTYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
}


class _Module:
    """A module of the archive: its attributes alone."""


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive; torch.save writes zip files too, without constants."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """All tensors of an archive's modules by their names in state_dict, also those that are no parameters.

    Raises:
        pickle.UnpicklingError: the archive names a class that modules and tensors do not need.
        Exception: it is damaged, in ways that zipfile, pickle and torch each tell by errors of their own.
    """
    with zipfile.ZipFile(path) as archive:
        (data,) = (name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl"))
        with archive.open(data) as stream:
            root = _Reader(stream, archive, data.removesuffix(".pkl")).load()
    return dict(_tensors(root, "", set()))


def _tensors(module: object, prefix: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    if not isinstance(module, _Module) or id(module) in seen:  # a module that occurs twice would make endless names
        return
    seen.add(id(module))
    for name, value in vars(module).items():
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value
        else:
            yield from _tensors(value, f"{prefix}{name}.", seen)


class _Reader(pickle._Unpickler):  # noqa: SLF001  (the C one takes memory for any index that a pickle names)
    """Unpickles modules and tensors, and refuses everything else."""

    def __init__(self, stream: Any, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(stream)
        self._archive, self._folder = archive, folder
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        """The few things that a pickle of modules names."""
        if module.partition(".")[0] == "__torch__":
            return type(name, (_Module,), {})
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch.jit._pickle":  # marks the type of a list
            return self._unmarked
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"Unsupported class {module}.{name}")

    def persistent_load(self, pid: Any) -> Tensor:
        """The values of a storage, one-dimensional."""
        _, dtype, key, _, count = pid
        if key not in self._storages:
            content = bytearray(self._archive.read(f"{self._folder}/{key}"))
            self._storages[key] = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
        values = self._storages[key]
        if len(values) != count:
            raise pickle.UnpicklingError(f"storage {key} has {len(values)} values, expected {count}")
        return values

    def _tensor(self, values: Tensor, offset: int, size: Any, stride: Any, *_: object) -> Tensor:
        return values.as_strided(size, stride, offset)

    def _unmarked(self, values: object, *_: object) -> object:
        return values
