"""`tracejit export`, `inspect` and `run`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.standalone.libraries import Library, bits, needs_compiler
from tracejit import cli

SOURCE = """
import tracejit as tj

model = tj.nn.Linear(3, 2)
scale = 0.5

def apply(x, pair, rate):
    return {"y": model(x) * scale * rate, "sum": pair[0] + pair[1]}

def score(x, rate):
    return model(x) * scale * rate, None

def asks(x):
    print(x.sum())
    return -x
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands run."""
    (tmp_path / "exported_module.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_function_is_exported_inspected_and_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = "float32[4,3], 2.0"
    command = ["export", "exported_module:score", "--args", args, "-o", "f.tj", "--numpy"]
    assert cli.main([*command, "--target", "cpu"]) == 0
    assert capsys.readouterr().out.startswith("f.tj: ")

    assert cli.main(["inspect", "f.tj"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("score(x: f32[4,3], rate: float) -> (")
    for part in [
        "defined at exported_module.py:10",
        "model.weight: f32[2,3]",
        "scale = 0.5  exported_module.py:11",
        "grad mode = True",
        "target cpu ",
        "matmul  exported_module.py:11",
        "%0: f32[4,3] = input(",
    ]:
        assert part in told

    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.savez("in.npz", x=x, rate=3.0)
    assert cli.main(["run", "f.tj", "--inputs", "in.npz", "-o", "out.npz"]) == 0
    assert capsys.readouterr().out == "result.0: float32[4, 2]\n"
    import exported_module  # type: ignore[import-not-found]

    with np.load("out.npz") as found:
        expected, _ = exported_module.score(x, 3.0)
        assert found["result.0"].tobytes() == np.asarray(expected.detach()).tobytes()


@needs_compiler
def test_a_library_for_c_is_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["export", "exported_module:score", "--args", "float32[4,3], 2.0", "--c", "out"]
    assert cli.main([*command, "--name", "scored"]) == 0
    assert capsys.readouterr().out == "out: a library for C\n"
    assert cli.main([*command, "-o", "f.tj"]) == 0
    assert capsys.readouterr().out.endswith("iB\nout: a library for C\n")
    assert Path("out/include/score.h").exists()
    library = Library(folder / "out", "scored")
    assert library.infos("input") == [
        ("x", "float32", (4, 3), False),
        ("rate", "float64", (), True),
    ]
    assert [each[0] for each in library.infos("state")] == ["model.bias", "model.weight"]
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    import exported_module  # type: ignore[import-not-found]

    import tracejit as tj

    assert bits(library.create()(x, 3.0)) == bits(exported_module.score(tj.tensor(x), 3.0))


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("export exported_module:score", "say where to: -o FILE for an artifact, --c FOLDER"),
        ("export exported_module -o f.tj", "not of the form module:function"),
        ("export nowhere:f -o f.tj", "nowhere:f: No module named"),
        ("export exported_module:f -o f.tj", "has no attribute 'f'"),
        ("export exported_module:scale -o f.tj", "exported_module:scale is no function"),
        ("export exported_module:asks --args float31[2] -o f.tj", "'float31' is none of bool"),
        ("export exported_module:asks --args x -o f.tj", "'x' is neither a number nor"),
        ("export exported_module:asks --args float32[2 -o f.tj", "not of the form float32"),
        (
            "export exported_module:asks --args float32[2] -o f.tj",
            "exported_module.py:14: export: ",
        ),
        ("inspect missing.tj", "missing.tj"),
        ("inspect exported_module.py", "not an artifact"),
        ("run exported_module.py", "not an artifact"),
    ],
)
def test_what_cannot_be_done_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], command: str, message: str
) -> None:
    assert cli.main(command.split()) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "f.tj").exists()


def test_arrays_are_given_by_the_names_of_arguments(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import tracejit as tj
    from tracejit.standalone.commands import _found

    f = _found("exported_module:apply")
    tj.export(f, (tj.ones((4, 3)), [tj.ones(2), tj.ones(2)], 1.5), "f.tj")
    parts = {"x": np.ones((4, 3), np.float32), "pair.0": np.ones(2, np.float32)}
    np.savez("in.npz", **parts)
    assert cli.main(["run", "f.tj", "--inputs", "in.npz"]) == 2
    assert "the argument pair.1 is missing" in capsys.readouterr().err
    parts |= {"pair.1": np.ones(2, np.float32), "rate": np.float64(2)}
    np.savez("in.npz", **parts, more=1)
    assert cli.main(["run", "f.tj", "--inputs", "in.npz"]) == 2
    assert "there is no argument more" in capsys.readouterr().err
    np.savez("in.npz", **parts)
    assert cli.main(["run", "f.tj", "--inputs", "in.npz", "-o", "out.npz"]) == 0
    assert capsys.readouterr().out == "result.y: float32[4, 2]\nresult.sum: float32[2]\n"
