"""`tracejit bench` of an artifact: what it prints, that it finds wrong code, what it makes up; times are not looked at."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.standalone.files import X, artifact, entries, resealed
from tracejit import cli, nn
from tracejit.standalone.bench import _timed, work_of
from tracejit.standalone.inputs import made_up

NUMBER = r"[\d,]+(\.\d+)?"
TIME = rf"{NUMBER} (us|ms|s)"
FORM = [
    r"step\(x: f32\[2,4\]\) -> \(f32\[\], 'a number'\)",
    r"  inputs   made up: .*",
    r"  code     from the file, for (avx512|avx2|sse) of \S+",
    r"  bits     those of the graph, compiled here for the same level",
    rf"  load     {TIME}",
    rf"  first    {TIME}",
    rf"  launches \d+, which move {NUMBER} (B|KiB) and multiply matrices with {NUMBER} MFLOP",
    r"  threads  median      quartiles                  calls/s  GB/s  GFLOP/s",
]
LINE = rf"  \d+ +{TIME} +{TIME} to {TIME} +{NUMBER} +{NUMBER} +({NUMBER}|-)"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "f.tj"
    path.write_bytes(artifact())
    return path


def exported(folder: Path, f: Callable[..., Any], *args: Any) -> Any:
    tj.export(f, args, folder / "g.tj")
    return tj.load(folder / "g.tj")


@pytest.mark.parametrize("threads", [1, 2])
def test_an_artifact_is_compared_and_timed(
    file: Path, capsys: pytest.CaptureFixture[str], threads: int
) -> None:
    with tj.config.scope(num_threads=threads):
        assert cli.main(["bench", str(file), "--seconds", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for form, line in zip(FORM, lines):
        assert re.fullmatch(form, line), line
    timed = lines[len(FORM) :]
    assert [line.split()[0] for line in timed] == [str(n + 1) for n in range(threads)]
    assert all(re.fullmatch(LINE, line) for line in timed)
    assert file.read_bytes() == artifact()


def test_inputs_come_from_a_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = file.with_name("in.npz")
    np.savez(inputs, x=X)
    assert cli.main(["bench", str(file), "--seconds", "0", "--inputs", str(inputs)]) == 0
    assert f"  inputs   {inputs}\n" in capsys.readouterr().out
    np.savez(inputs, y=X)
    assert cli.main(["bench", str(file), "--inputs", str(inputs)]) == 2
    assert "the argument x is missing" in capsys.readouterr().err


def test_code_that_is_not_the_graphs_is_found(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = entries()["graph.txt"]
    assert b"tanh(" in graph
    other = {**entries(), "graph.txt": graph.replace(b"tanh(", b"sin(")}
    file.write_bytes(resealed(other))
    assert cli.main(["bench", str(file), "--seconds", "0"]) == 2
    assert "its native code gives other bits than its graph" in capsys.readouterr().err


def test_a_graph_that_was_compiled_here_is_timed_only(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracejit.standalone.native.best_of", lambda targets, device: None)
    with pytest.warns(RuntimeWarning, match="no native code for this machine"):
        assert cli.main(["bench", str(file), "--seconds", "0"]) == 0
    printed = capsys.readouterr().out
    assert "  code     compiled here: the file has none for this machine\n" in printed
    assert "  bits     not compared: the graph was compiled here\n" in printed


def test_the_state_is_that_of_the_file_again(file: Path) -> None:
    loaded = tj.load(file)
    before = loaded.state_dict()
    _timed(loaded, {"x": X}, before, 0)
    after = loaded.state_dict()
    for name, value in before.items():
        assert np.asarray(after[name]).tobytes() == np.asarray(value).tobytes(), name


def test_an_argument_that_is_written_is_each_time_as_given(tmp_path: Path) -> None:
    def grow(x: Any) -> None:
        x *= 2.0

    loaded = exported(tmp_path, grow, np.ones(3))
    given = {"x": np.ones(3)}
    _timed(loaded, given, {}, 0)
    assert given["x"].tolist() == [1, 1, 1]
    assert cli.main(["bench", str(tmp_path / "g.tj"), "--seconds", "0"]) == 0


def test_made_up_integers_are_places_that_there_are(tmp_path: Path) -> None:
    table = tj.arange(15, dtype=tj.float32).reshape(5, 3)

    def look_up(places: Any, counts: Any, scale: float, parts: Any, mode: str) -> Any:
        row = nn.functional.embedding(places, table) if mode == "rows" else places
        return row * scale + parts["a"][0], counts * 2, parts["b"]

    parts = {"a": (tj.ones(3),), "b": tj.ones(2, dtype=tj.bool)}
    args = tj.zeros(100, dtype=tj.int64), tj.zeros(4, dtype=tj.int32), 2.0, parts, "rows"
    loaded = exported(tmp_path, look_up, *args)
    made = made_up(loaded.manifest.call)
    assert {*made["places"].tolist()} == {*range(5)}
    assert made["counts"].tolist() == [0, 0, 0, 0]
    assert made["scale"] == 1.0
    assert made["mode"] == "rows"
    assert made["parts"]["a"][0].dtype == np.float32
    assert made["parts"]["b"].dtype == bool
    loaded(**made)


def test_products_are_counted_in_launches_of_their_own_and_in_slabs(tmp_path: Path) -> None:
    def attend(q: Any, k: Any, v: Any) -> Any:
        return tj.softmax(q @ k.mT, axis=-1) @ v

    arrays = [tj.ones((4, 256, 64))] * 3
    assert work_of(exported(tmp_path, attend, *arrays)).flops == 2 * 4 * 256 * 256 * (64 + 64)
    model = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 1))
    work = work_of(exported(tmp_path, model, tj.ones((8, 20))))
    assert work.flops == 2 * 8 * (20 * 30 + 30)
    assert work.nbytes >= 4 * (8 * 20 + 20 * 30 + 30 + 30 + 1 + 8)
    assert work_of(exported(tmp_path, tj.exp, tj.ones(5))).flops == 0
