"""The disk cache gives back what was put into it, or nothing."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tracejit._config import config
from tracejit.runtime import cache
from tracejit.runtime.cache import DiskCache, default_directory, disk_cache

KEY = "ab" + "0" * 62
OTHER = "cd" + "0" * 62


def test_what_is_put_is_got_by_another_cache_of_the_directory(tmp_path: Path) -> None:
    DiskCache(tmp_path, 1 << 20).put(KEY, b"code")
    assert DiskCache(tmp_path, 1 << 20).get(KEY) == b"code"
    assert DiskCache(tmp_path, 1 << 20).get(OTHER) is None


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 100])
def test_a_damaged_entry_is_removed_and_can_be_made_anew(tmp_path: Path, content: bytes) -> None:
    disk = DiskCache(tmp_path, 1 << 20)
    disk.put(KEY, b"code" * 20)
    (path,) = disk.entries()
    path.write_bytes(content)
    assert disk.get(KEY) is None
    assert not disk.entries()
    disk.put(KEY, b"code" * 20)
    assert disk.get(KEY) == b"code" * 20


def test_entries_unused_for_longest_are_evicted(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path, 5000)
    keys = [f"{index:02x}" + "0" * 62 for index in range(8)]
    for hours, key in enumerate(keys[:4]):
        disk.put(key, bytes(1000))
        os.utime(disk._path(key), (hours * 3600, hours * 3600))
    for key in keys[4:]:
        disk.put(key, bytes(1000))
    assert [disk.get(key) is not None for key in keys] == [False] * 4 + [True] * 4
    assert sum(path.stat().st_size for path in disk.entries()) <= 5000


def test_reading_an_old_entry_makes_it_young(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path, 1 << 20)
    disk.put(KEY, b"code")
    (path,) = disk.entries()
    os.utime(path, (1e9, 1e9))
    disk.get(KEY)
    assert time.time() - path.stat().st_mtime < 100


def test_a_directory_that_cannot_be_made_only_means_no_caching(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    disk = DiskCache(tmp_path / "file", 1 << 20)
    disk.put(KEY, b"code")
    assert disk.get(KEY) is None


def test_a_full_disk_only_means_no_caching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    disk = DiskCache(tmp_path, 1 << 20)
    monkeypatch.setattr(cache, "_write_beside", full)
    disk.put(KEY, b"code")
    assert disk.get(KEY) is None


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no mode here")
def test_a_directory_that_others_can_write_to_is_refused_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "objects").mkdir(mode=0o700)
    (tmp_path / "objects").chmod(0o777)
    with pytest.warns(RuntimeWarning, match="others could write"):
        disk = DiskCache(tmp_path, 1 << 20)
    disk.put(KEY, b"code")
    assert disk.get(KEY) is None
    assert not disk.entries()


def test_the_directory_is_the_users_alone(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path / "new", 1 << 20)
    assert disk.directory.stat().st_mode & 0o777 == 0o700


def test_eight_processes_may_write_at_once(tmp_path: Path, run_python: Callable[..., str]) -> None:
    run_python(f"""
import multiprocessing, pathlib
from tracejit.runtime.cache import DiskCache

def write(number):
    disk = DiskCache(pathlib.Path({str(tmp_path)!r}), 20_000)
    for turn in range(50):
        key = f"{{turn % 5:02x}}" + "0" * 62
        data = disk.get(key)
        assert data is None or data == bytes([turn % 5]) * 3000
        disk.put(key, bytes([turn % 5]) * 3000)

if __name__ == "__main__":
    processes = [multiprocessing.get_context("fork").Process(target=write, args=(n,)) for n in range(8)]
    for process in processes: process.start()
    for process in processes: process.join()
    assert all(process.exitcode == 0 for process in processes)
""")
    disk = DiskCache(tmp_path, 20_000)
    assert len(disk.entries()) == 5
    assert not list(disk.directory.glob("??/.new-*"))


def test_the_settings_choose_directory_and_size(tmp_path: Path) -> None:
    with config.scope(cache_dir=tmp_path, cache_bytes=1234):
        disk = disk_cache()
        assert disk is not None
        assert disk.directory.parent == tmp_path
        assert disk.limit == 1234
    with config.scope(cache_bytes=0):
        assert disk_cache() is None


def test_the_default_directory_is_the_platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_directory() == Path("/somewhere/tracejit")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_directory() == Path.home() / ".cache/tracejit"
