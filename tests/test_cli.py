"""The command line."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tracejit import cli, install_cuda
from tracejit._config import config
from tracejit.runtime.cache import DiskCache
from tracejit.runtime.cpu.native import install


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cache of this test's own."""
    with config.scope(cache_dir=tmp_path):
        yield tmp_path


@pytest.fixture
def disk(folder: Path) -> DiskCache:
    """Three entries, used at the beginning of three years."""
    disk = DiskCache(folder, 1 << 20)
    for year in (2021, 2022, 2023):
        key = f"{year}" + "0" * 60
        disk.put(key, bytes(1000))
        used = time.mktime((year, 1, 1, 12, 0, 0, 0, 0, -1))
        os.utime(disk._path(key), (used, used))
    return disk


def years(disk: DiskCache) -> list[int]:
    return [time.localtime(entry.used).tm_year for entry in disk.entries()]


def test_the_cache_is_shown(disk: DiskCache, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cache"]) == 0
    shown = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert shown == {
        "directory": str(disk.directory),
        "entries": "3",
        "size": "3.0 KiB (3048 bytes)",
        "limit": "1.0 GiB",
        "last": "used  from 2021-01-01 12:00 to 2023-01-01 12:00",
    }


def test_the_cache_is_emptied(disk: DiskCache, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cache", "--clear"]) == 0
    assert capsys.readouterr().out.startswith("removed 3 entries\n")
    assert not disk.entries()


@pytest.mark.parametrize(
    ("size", "left"),
    [("1G", [2021, 2022, 2023]), ("2K", [2022, 2023]), ("1500", [2023]), ("0", [])],
)
def test_trimming_leaves_the_entries_used_last(disk: DiskCache, size: str, left: list[int]) -> None:
    assert cli.main(["cache", "--trim", size]) == 0
    assert years(disk) == left


@pytest.mark.parametrize(
    ("text", "size"),
    [("100", 100), ("100M", 100 << 20), ("1.5 GiB", 3 << 29), ("2kb", 2048), ("7B", 7)],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert cli.nbytes(text) == size


@pytest.mark.parametrize("text", ["", "M", "ten", "-5", "5 X"])
def test_what_is_no_size_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["cache", f"--trim={text}"])
    assert "is no size such as 500000, 100M or 1.5G" in capsys.readouterr().err


def test_no_cache_is_shown_as_off(capsys: pytest.CaptureFixture[str]) -> None:
    with config.scope(cache_bytes=0):
        assert cli.main(["cache"]) == 0
    assert "off: cache_bytes" in capsys.readouterr().out


def test_doctor_says_why_calls_go_through_python(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "_state", ["arrays keep their address elsewhere"])
    assert cli.main(["doctor"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("calls"))
    assert line.endswith("through Python, which is slower: arrays keep their address elsewhere")


def test_doctor_compiles_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    assert "compiles, and agrees with NumPy" in capsys.readouterr().out


def test_doctor_tells_what_a_gpu_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    lines = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert {"driver", "pycuda", "NVRTC", "GPU"} <= lines.keys()
    if "there is no NVIDIA driver" in lines["driver"]:
        assert lines["GPU"].startswith("not used: there is no NVIDIA driver")


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "cpu:1"])
def test_demo_on_a_device_that_is_not_there_says_so_in_a_line(
    device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["demo", "--device", device]) == 2
    printed = capsys.readouterr()
    assert not printed.out
    (line,) = printed.err.splitlines()
    assert line.startswith(f"tracejit: --device {device}: there is no ")


def test_what_cannot_be_installed_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install_cuda, "PIP", ["pip-is-missing"])
    assert cli.main(["doctor", "--install-cuda"]) == 2
    assert "pip-is-missing is not there" in capsys.readouterr().err


def test_demo_without_its_packages_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    assert cli.main(["demo"]) == 2
    assert "pip install 'tracejit[demo]'" in capsys.readouterr().err


def test_bench_outside_a_checkout_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bench", "small_1"]) == 2
    assert "source checkout" in capsys.readouterr().err


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(SystemExit):
        cli.main(["cache", "--purge"])
