"""Settings: typed, from the environment, assigned or for a block."""

from __future__ import annotations

import contextlib
import copy
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import tracejit as tj
from tracejit._config import Config


def test_the_environment_sets_what_is_not_assigned(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRACEJIT_EAGER", "numpy")
    monkeypatch.setenv("TRACEJIT_NUM_THREADS", "3")
    monkeypatch.setenv("TRACEJIT_VERIFY_IR", "1")
    monkeypatch.setenv("TRACEJIT_DUMP", str(tmp_path))
    monkeypatch.setenv("TRACEJIT_DEFAULT_DTYPE", "float64")
    config = Config()
    assert (config.eager, config.num_threads, config.verify_ir) == ("numpy", 3, True)
    assert (config.dump_dir, config.default_dtype) == (tmp_path, tj.float64)


def test_a_scope_restores_what_was_before_even_after_an_error() -> None:
    before = tj.config.node_budget
    with contextlib.suppress(ZeroDivisionError), tj.config.scope(node_budget=5, fuse=False):
        assert (tj.config.node_budget, tj.config.fuse) == (5, False)
        1 / 0
    assert (tj.config.node_budget, tj.config.fuse) == (before, True)


def test_there_is_one_record_of_settings_whoever_copies_it() -> None:
    for twin in (
        copy.copy(tj.config),
        copy.deepcopy(tj.config),
        pickle.loads(pickle.dumps(tj.config)),
    ):
        assert twin is tj.config


def test_bad_names_and_values_are_refused() -> None:
    with pytest.raises(AttributeError, match="no setting 'eagr'"):
        tj.config.eagr = "numpy"
    for name, value in [
        ("eager", "fast"),
        ("num_threads", -1),
        ("verify_ir", "maybe"),
        ("default_dtype", tj.int8),
    ]:
        with (
            pytest.raises(ValueError, match=rf"{name} \(TRACEJIT_"),
            tj.config.scope(**{name: value}),
        ):
            pass


def test_the_epoch_moves_with_every_change() -> None:
    epoch = tj.config.epoch
    with tj.config.scope(fuse=False):
        assert tj.config.epoch > epoch


def test_printing_shows_every_setting_with_its_help() -> None:
    text = str(tj.config)
    assert "node_budget = 20000" in text
    assert "(TRACEJIT_NODE_BUDGET)" in text


def test_a_bad_environment_is_told_at_import() -> None:
    program = "import os; os.environ['TRACEJIT_FUSE'] = 'x'; import tracejit"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent.parent,
    )
    assert "fuse (TRACEJIT_FUSE) = 'x': expected one of" in done.stderr
