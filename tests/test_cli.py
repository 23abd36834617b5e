"""The command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracejit import cli
from tracejit._config import config
from tracejit.runtime.cpu.native import install


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cache of this test's own."""
    with config.scope(cache_dir=tmp_path):
        yield tmp_path


def test_the_cache_is_shown_and_emptied(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = folder / "objects" / "ab" / "cdef"
    entry.parent.mkdir(parents=True)
    (folder / "objects").chmod(0o700)
    entry.write_bytes(b"x" * 1000)
    assert cli.main(["cache", "--clear"]) == 0
    assert f"{folder / 'objects'}: 1 entries, 0.0 MiB" in capsys.readouterr().out
    assert not entry.exists()


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
