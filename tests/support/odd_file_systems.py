"""A folder that behaves as on drives of networks and other systems: it refuses what they refuse, by the same errors."""

from __future__ import annotations

import builtins
import errno
import fcntl
import io
import os
import stat
from pathlib import Path

import pytest

BAD_NAMES = frozenset(':?*"<>|\\')


def _is_folder(place: int | str) -> bool:
    return stat.S_ISDIR(os.stat(place).st_mode)  # noqa: PTH116 - of a descriptor too


class OddFolder:
    """Everything below `root` is on the odd file system."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self._monkeypatch, self._root = monkeypatch, str(root)

    def _inside(self, place: object) -> bool:
        if isinstance(place, int):
            place = Path(f"/proc/self/fd/{place}").readlink()
        return isinstance(place, str | os.PathLike) and str(Path(place).absolute()).startswith(self._root)

    def refuse(self, module: object, name: str, code: int, *, path: int = 0, only_folders: bool = False) -> None:
        """Lets a function of the system fail below the root. path: which argument names the place."""
        real = getattr(module, name)

        def refused(*args, **settings):
            place = args[path].fileno() if hasattr(args[path], "fileno") else args[path]
            if self._inside(place) and (not only_folders or _is_folder(place)):
                raise OSError(code, os.strerror(code), str(place))
            return real(*args, **settings)

        self._monkeypatch.setattr(module, name, refused)

    def refuse_all_that_cifs_does(self) -> None:
        """CIFS, exFAT and VirtualBox's folders, together."""
        self.refuse(os, "chmod", errno.EPERM)
        self.refuse(os, "fchmod", errno.EPERM)
        self.refuse(os, "fsync", errno.EINVAL, only_folders=True)
        self.refuse(os, "symlink", errno.EPERM, path=1)
        self.refuse_names()

    def refuse_names(self) -> None:
        """Names that Windows has not."""
        for name, path in (("open", 0), ("mkdir", 0), ("rename", 1), ("replace", 1)):
            real = getattr(os, name)

            def refused(*args, real=real, path=path, **settings):
                if self._inside(args[path]):
                    for part in Path(args[path]).absolute().relative_to(self._root).parts:
                        if BAD_NAMES & set(part) or part != part.rstrip(". ") or part.split(".")[0].lower() == "con":
                            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(args[path]))
                return real(*args, **settings)

            self._monkeypatch.setattr(os, name, refused)

    def refuse_reading(self) -> None:
        """As without permission for the folder."""
        for module, name in ((builtins, "open"), (io, "open"), (os, "open"), (os, "scandir"), (os, "listdir")):
            self.refuse(module, name, errno.EACCES)

    def refuse_all(self) -> None:
        """As without permission for the folder above, too: nothing is known of it."""
        self.refuse_reading()
        for name in ("stat", "lstat"):
            self.refuse(os, name, errno.EACCES)

    def refuse_locks(self, code: int) -> None:
        """No file can be locked."""
        self.refuse(fcntl, "flock", code)
