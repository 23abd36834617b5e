"""The disk cache gives back what was put into it, or nothing."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

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
    (entry,) = disk.entries()
    entry.path.write_bytes(content)
    assert disk.get(KEY) is None
    assert not disk.entries()
    disk.put(KEY, b"code" * 20)
    assert disk.get(KEY) == b"code" * 20


def test_a_truncated_entry_is_not_believed(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path, 1 << 20)
    disk.put(KEY, bytes(range(200)))
    (entry,) = disk.entries()
    whole = entry.path.read_bytes()
    for length in range(len(whole)):
        entry.path.write_bytes(whole[:length])
        assert disk.get(KEY) is None


def size(disk: DiskCache) -> int:
    return sum(entry.nbytes for entry in disk.entries())


def test_entries_unused_for_longest_are_evicted(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path, 5000)
    keys = [f"{index:02x}" + "0" * 62 for index in range(8)]
    for hours, key in enumerate(keys[:4]):
        disk.put(key, bytes(1000))
        os.utime(disk._path(key), (hours * 3600, hours * 3600))
    for key in keys[4:]:
        disk.put(key, bytes(1000))
    assert [disk.get(key) is not None for key in keys] == [False] * 4 + [True] * 4
    assert size(disk) <= 5000


def test_an_entry_that_was_read_outlives_one_that_was_written_later(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path, 1 << 20)
    for seconds, key in enumerate((KEY, OTHER)):
        disk.put(key, bytes(1000))
        os.utime(disk._path(key), (seconds, seconds))
    disk.get(KEY)
    assert disk.trim(1500) == 1
    assert disk.get(OTHER) is None
    assert disk.get(KEY) == bytes(1000)


def test_what_is_larger_than_half_of_the_cache_is_not_kept(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path, 5000)
    disk.put(KEY, bytes(1000))
    disk.put(OTHER, bytes(4000))
    assert disk.get(KEY) is not None
    assert disk.get(OTHER) is None


def test_what_a_killed_writer_left_behind_goes_after_a_while(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path, 5000)
    disk.put(KEY, b"code")
    folder = disk._path(KEY).parent
    left, being_written = folder / ".new-1", folder / ".new-2"
    left.write_bytes(b"half an ent")
    being_written.write_bytes(b"half an ent")
    os.utime(left, (1e9, 1e9))
    disk.put(OTHER, bytes(1000))
    assert not left.exists()
    assert being_written.exists()
    assert len(disk.entries()) == 2


def test_many_processes_that_write_little_keep_near_the_limit_too(tmp_path: Path) -> None:
    """Each alone writes a tenth of what it would look after; they write three times the limit."""
    for number in range(2000):
        DiskCache(tmp_path, 64_000).put(f"{number:064x}"[::-1], bytes(100 - 16))
    assert size(DiskCache(tmp_path, 64_000)) <= 80_000


def test_a_directory_that_cannot_be_made_only_means_no_caching(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    disk = DiskCache(tmp_path / "file", 1 << 20)
    disk.put(KEY, b"code")
    assert disk.get(KEY) is None


class FullDisk:
    """A file on a disk that is full half way through what is written."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def write(self, content: bytes) -> None:
        self.file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = DiskCache(tmp_path, 1 << 20)
    disk.put(KEY, b"code")
    really_open = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode="r": FullDisk(really_open(path, mode)))
    disk.put(OTHER, b"more")
    monkeypatch.undo()
    assert disk.get(OTHER) is None
    assert disk.get(KEY) == b"code"  # what is there can be read still
    assert [path.name for path in disk.directory.glob("??/*")] == [KEY[2:]]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
def test_programs_run_where_no_file_can_be_written(
    tmp_path: Path, run_python: Callable[..., str]
) -> None:
    run_python(f"""
import resource, sys
import tracejit as tj
sys.dont_write_bytecode = True  # a half of it would stay
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
tj.config.cache_dir = {str(tmp_path)!r}
x = tj.arange(1000, dtype=tj.float32)
assert (tj.compile(lambda x: x * 2 + 1)(x).numpy() == x.numpy() * 2 + 1).all()
""")
    assert not list(tmp_path.glob("objects/??/*"))


@pytest.mark.skipif(sys.platform == "win32", reason="files have no such modes")
def test_an_entry_that_cannot_be_marked_as_used_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    disk = DiskCache(tmp_path, 1 << 20)
    disk.put(KEY, b"code")
    monkeypatch.setattr(os, "utime", refuse)
    assert disk.get(KEY) == b"code"


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


def test_eight_processes_may_write_at_once(tmp_path: Path) -> None:
    """Fifty entries of which six have room: all the time entries are read, written, replaced and evicted."""
    writer = f"""
import pathlib, random, sys
from tracejit.runtime.cache import DiskCache

disk = DiskCache(pathlib.Path({str(tmp_path)!r}), 20_000)
for _ in range(200):
    number = random.randrange(50)
    key = f"{{number:02x}}" + "0" * 62
    data = disk.get(key)
    assert data is None or data == bytes([number]) * 3000, key
    disk.put(key, bytes([number]) * 3000)
assert disk._is_writable
"""
    processes = [subprocess.Popen([sys.executable, "-c", writer]) for _ in range(8)]
    assert [process.wait() for process in processes] == [0] * 8
    disk = DiskCache(tmp_path, 20_000)
    assert 1 < len(disk.entries()) <= 6
    assert size(disk) <= 20_000
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
