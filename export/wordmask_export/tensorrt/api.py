"""The `tensorrt` module as building needs it: which version, where its messages go, how a build is stopped."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from wordmask.backends.tensorrt.cuda import import_tensorrt
from wordmask.errors import EngineError, install_hint

OLDEST = (10, 13)
SHOWN = 5  # messages in an error
LONGEST = 300  # characters of each


class EngineBuildError(EngineError):
    """An engine could not be built; the message says where and what to do."""


def usable_tensorrt() -> Any:
    """The tensorrt module, if it is one that this package can build with.

    Raises:
        MissingExtraError: it is not installed.
        DeviceError: it cannot be loaded.
        EngineBuildError: it is too old.
    """
    trt = import_tensorrt()
    if version(trt) < OLDEST:
        raise EngineBuildError(
            f"TensorRT {trt.__version__} is too old: 10.13 or later is needed; {install_hint('trt')} brings it"
        )
    return trt


def version(trt: Any) -> tuple[int, int]:
    """Major and minor version of the module."""
    major, minor = re.findall(r"\d+", trt.__version__)[:2]
    return int(major), int(minor)


def make_logger(trt: Any, log: Callable[[str], None]) -> Any:
    """A TensorRT logger that passes messages on and keeps errors in `messages`."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.messages: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if int(severity) > int(trt.ILogger.Severity.INFO):
                return
            log(f"{severity.name.lower()}: {message}")
            if int(severity) <= int(trt.ILogger.Severity.ERROR):
                self.messages.append(message.strip())

    return Logger()


def make_monitor(trt: Any, cancelled: Callable[[], bool]) -> Any:
    """A TensorRT progress monitor that ends the build when it is cancelled."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None: ...

        def phase_finish(self, phase: str) -> None: ...

        def step_complete(self, phase: str, step: int) -> bool:
            return not cancelled()

    return Monitor()


def last(messages: list[str]) -> str:
    """The last messages, as the end of a sentence."""
    return f": {' | '.join(message[:LONGEST] for message in messages[-SHOWN:])}" if messages else ""
