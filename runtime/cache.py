"""Compiled code kept on disk between processes: bounded, private to the user, and never trusted without its checksum."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
import warnings
from functools import cache
from pathlib import Path

from tracejit._config import config
from tracejit._digest import checksum
from tracejit._records import dataclass

_CHECKSUM_BYTES = 16
_UNFINISHED = ".new-"
"""How the name of a file begins that is still being written."""
_STALE = 600
"""Seconds: a file that has been unfinished for so long is one whose writer was killed."""


def default_directory() -> Path:
    """The platform's place for what can be made anew."""
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/tracejit"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local")) / "tracejit"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tracejit"


def disk_cache() -> DiskCache | None:
    """The cache that the settings ask for; None where they allow it no bytes."""
    if not config.cache_bytes:
        return None
    return _opened(config.cache_dir or default_directory(), config.cache_bytes)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the cache."""

    used: float
    """When it was last read or written, in seconds since the epoch."""
    nbytes: int
    path: Path

    @property
    def is_unfinished(self) -> bool:
        return self.path.name.startswith(_UNFINISHED)

    def remove(self) -> None:
        with contextlib.suppress(OSError):  # another process removed it, or the disk is read-only
            self.path.unlink(missing_ok=True)


class DiskCache:
    """Bytes by key, in a directory of their own under `directory`.

    Several processes may use one directory: entries appear whole or not at all. What goes wrong with the disk (it is full, or
    read-only) only means that nothing more is kept. A directory that another user could write to is not used, and a warning
    says so. The entries unused for longest go first, so that there are at most `limit` bytes.
    """

    def __init__(self, directory: Path, limit: int) -> None:
        self.directory = directory / "objects"
        self.limit = limit
        self._folder = str(self.directory)
        self._is_usable = self._is_writable = _is_private(self.directory)
        # Looking how full the directory is takes a while. Processes that write little each look as often, all together, as
        # one that writes as much: each begins at another point of the way to its first look.
        self._look_after = limit // 64 + 1
        self._written = int.from_bytes(os.urandom(8), "big") % self._look_after

    def get(self, key: str) -> bytes | None:
        """What `put` kept under `key`, or None; an entry that is damaged is removed."""
        if not self._is_usable:
            return None
        path = f"{self._folder}/{key[:2]}/{key[2:]}"  # a Path takes longer to make than the file to read
        try:
            with open(path, "rb") as file:  # noqa: PTH123
                data = _checked(file.read())
        except OSError:
            return None
        with contextlib.suppress(OSError):  # the disk may be read-only
            if data is None:
                os.unlink(path)  # noqa: PTH108
            else:
                os.utime(path)
        return data

    def put(self, key: str, data: bytes) -> None:
        """Keeps `data` under `key`, if that can be done."""
        if not self._is_writable or len(data) > self.limit // 2:
            return
        path = self._path(key)
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            _write_whole(path, _checksum(data) + data)
        except OSError:
            self._is_writable = False
            return
        self._written += len(data)
        if self._written > self._look_after:
            self._written = 0
            # An eighth is left for what other processes write before they look.
            self.trim(self.limit - self.limit // 8)

    def entries(self) -> list[Entry]:
        """All that is kept, the one unused for longest first."""
        return [file for file in self._files() if not file.is_unfinished]

    def trim(self, limit: int) -> int:
        """Removes the entries unused for longest until at most `limit` bytes are left, and says how many it removed.

        What the writers of unfinished files have left behind when they were killed goes, too.
        """
        files = self._files()
        excess = sum(file.nbytes for file in files) - limit
        abandoned = time.time() - _STALE
        removed = []
        for file in files:
            if file.used < abandoned if file.is_unfinished else excess > 0:
                file.remove()
                excess -= file.nbytes
                removed.append(file)
        return sum(not file.is_unfinished for file in removed)

    def clear(self) -> None:
        """Removes all entries, and what was left unfinished."""
        for file in self._files():
            file.remove()

    def _files(self) -> list[Entry]:
        files = []
        for path in self.directory.glob("??/*"):
            with contextlib.suppress(OSError):  # another process removed it
                status = path.stat()
                files.append(Entry(status.st_mtime, status.st_size, path))
        return sorted(files, key=lambda file: file.used)

    def _path(self, key: str) -> Path:
        return self.directory / key[:2] / key[2:]


@cache
def _opened(directory: Path, limit: int) -> DiskCache:
    return DiskCache(directory, limit)


def _checksum(data: bytes) -> bytes:
    return checksum(data, _CHECKSUM_BYTES)


def _checked(content: bytes) -> bytes | None:
    data = content[_CHECKSUM_BYTES:]
    return data if _checksum(data) == content[:_CHECKSUM_BYTES] else None


def _write_whole(path: Path, content: bytes) -> None:
    """The file is there with all of its content, or nothing is."""
    unfinished = path.with_name(_UNFINISHED + os.urandom(8).hex())
    try:
        with unfinished.open("xb") as file:
            file.write(content)
        unfinished.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise


def _is_private(directory: Path) -> bool:
    """Whether the directory is there, or could be made, and is the user's alone."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.lstat()
    except OSError:
        return False
    if not hasattr(os, "geteuid"):
        return True
    ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    if ours and not status.st_mode & 0o077:
        return True
    warnings.warn(
        f"{directory}: others could write to this directory, so compiled code is not kept there "
        "(make it yours, mode 0700, or set TRACEJIT_CACHE_DIR)",
        RuntimeWarning,
        stacklevel=2,
    )
    return False
