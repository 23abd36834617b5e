"""Compiled code kept on disk between processes: bounded, private to the user, and never trusted without its checksum."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
import tempfile
import time
import warnings
from functools import cache
from pathlib import Path

from tracejit._config import config

_CHECKSUM_BYTES = 16
_TOUCH_AFTER = 3600
"""Seconds: an entry read again within this time is not marked as used again."""


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


class DiskCache:
    """Bytes by key, in a directory of their own under `directory`.

    Several processes may use one directory: entries appear whole or not at all. What goes wrong with the disk (it is full, or
    read-only) only means that nothing is kept. A directory that another user could write to is not used, and a warning says so.
    The entries unused for longest go first once there are more than `limit` bytes.
    """

    def __init__(self, directory: Path, limit: int) -> None:
        self.directory = directory / "objects"
        self.limit = limit
        self._written = limit  # so that the first write looks how full the directory is
        self._usable = _is_private(self.directory)

    def get(self, key: str) -> bytes | None:
        """What `put` kept under `key`, or None; an entry that is damaged is removed."""
        if not self._usable:
            return None
        path = self._path(key)
        try:
            content = path.read_bytes()
            data = _checked(content)
            if data is None:
                path.unlink(missing_ok=True)
            elif time.time() - path.stat().st_mtime > _TOUCH_AFTER:
                os.utime(path)
        except OSError:
            return None
        return data

    def put(self, key: str, data: bytes) -> None:
        """Keeps `data` under `key`, if that can be done."""
        if not self._usable:
            return
        path = self._path(key)
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            _write_beside(path, _checksum(data) + data)
        except OSError:
            self._usable = False
            return
        self._written += len(data)
        if self._written > self.limit // 16:
            self._written = 0
            self._evict()

    def entries(self) -> list[Path]:
        """The files of all entries."""
        return [path for path in self.directory.glob("??/*") if not path.name.startswith(".")]

    def clear(self) -> None:
        """Removes all entries."""
        for path in self.entries():
            path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.directory / key[:2] / key[2:]

    def _evict(self) -> None:
        found = []
        for path in self.directory.glob("??/*"):
            with contextlib.suppress(OSError):  # another process removed it
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        excess = sum(size for _, size, _ in found) - self.limit
        for _, size, path in sorted(found):
            if excess <= 0:
                return
            excess -= size
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


@cache
def _opened(directory: Path, limit: int) -> DiskCache:
    return DiskCache(directory, limit)


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_CHECKSUM_BYTES).digest()


def _checked(content: bytes) -> bytes | None:
    data = content[_CHECKSUM_BYTES:]
    return data if _checksum(data) == content[:_CHECKSUM_BYTES] else None


def _write_beside(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
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
