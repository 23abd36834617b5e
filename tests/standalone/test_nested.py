"""Artifacts that are called where something follows the call: in compiled functions, in exports, on the tape."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit import nn
from tracejit.ops.registry import REGISTRY

X = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)


def line(x: Any) -> Any:
    return x * 2 + 1


def parts(x: Any, n: int) -> Any:
    return {"sum": np.sum(x), "rows": [x[1:] * n, x]}


COUNT = [0]


def counted(x: Any) -> Any:
    COUNT[0] += 1
    return x * COUNT[0], COUNT[0]


def grown(x: Any) -> None:
    x *= 2


def exported(folder: Path, function: Any, *args: Any) -> Any:
    tj.export(function, args, folder / "f.tj")
    return tj.load(folder / "f.tj")


def inputs(count: int) -> list[np.ndarray]:
    return [X * np.float32(1 + n) for n in range(count)]


def bits(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: bits(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [bits(part) for part in value]
    array = np.asarray(value.detach() if isinstance(value, tj.Tensor) else value)
    return type(value), array.dtype, array.shape, array.tobytes()


def test_a_compiled_function_of_arrays_calls_one(tmp_path: Path) -> None:
    loaded = exported(tmp_path, line, X)

    def outer(x: Any) -> Any:
        return np.exp(loaded(x + 1)) - loaded(x)

    compiled = tj.compile(outer)
    for x in inputs(6):
        assert bits(compiled(x)) == bits(outer(x))
    reasons = tj.explain(compiled).reasons
    assert any("artifact line is called, and does more than" in each for each in reasons)


def test_a_compiled_function_of_tensors_calls_one(tmp_path: Path) -> None:
    loaded = exported(tmp_path, line, tj.tensor(X))

    def outer(x: Any) -> Any:
        return (loaded(x * 3) - x).sum()

    compiled = tj.compile(outer)
    for x in map(tj.tensor, inputs(6)):
        assert bits(compiled(x)) == bits(outer(x))


def test_what_it_is_given_and_gives_is_what_it_would_be_outside(tmp_path: Path) -> None:
    loaded = exported(tmp_path, parts, X, 3)
    compiled = tj.compile(lambda x: loaded(x.T.copy().T, 3))
    for x in inputs(4):
        found = compiled(x)
        assert bits(found) == bits(parts(x, 3))
        assert type(found["sum"]) is np.float32


def test_an_argument_that_it_gives_back_is_the_callers(tmp_path: Path) -> None:
    loaded = exported(tmp_path, lambda x: (x, x + 1), X)

    @tj.compile
    def outer(x: Any) -> Any:
        same, more = loaded(x)
        return same is x, same, more

    for x in inputs(3):
        is_same, same, more = outer(x)
        assert is_same
        assert same is x
        assert (more == x + 1).all()


def test_its_state_goes_on_from_call_to_call(tmp_path: Path) -> None:
    loaded = exported(tmp_path, counted, X)
    start = COUNT[0]

    @tj.compile
    def outer(x: Any) -> Any:
        total = x * 0
        for _ in range(3):
            more, count = loaded(x)
            total = total + more
        return total, count

    for call, x in enumerate(inputs(5)):
        counts = [np.float32(start + 3 * call + n) for n in (1, 2, 3)]
        total, count = outer(x)
        assert count == counts[-1]
        assert total.tobytes() == sum((x * n for n in counts), x * 0).tobytes()


def rewritten(x: Any, loaded: Any) -> Any:
    """What was read before a call writes is what was there; what is read afterwards is what it wrote."""
    y = x * 3
    loaded(x)
    z = x * 3
    loaded(x)
    loaded(y)
    return y, z, x[1:] - 1


@pytest.mark.parametrize("convert", [np.array, tj.tensor])
def test_what_it_writes_to_an_argument_is_written(convert: Any, tmp_path: Path) -> None:
    loaded = exported(tmp_path, grown, convert(X))
    compiled = tj.compile(lambda x: rewritten(x, loaded))
    for x in inputs(4):
        given, expected = convert(x), convert(x)
        assert bits(compiled(given)) == bits(rewritten(expected, loaded))
        assert bits(given) == bits(expected) == bits(convert(x * 4))


def test_memory_that_is_written_is_no_other_arguments_in_a_compiled_function(
    tmp_path: Path,
) -> None:
    def move(x: Any, y: Any) -> None:
        x += y

    loaded = exported(tmp_path, move, X.copy(), X.copy())
    for function in (loaded, tj.compile(lambda x, y: loaded(x, y))):
        with pytest.raises(ValueError, match="shares its memory"):
            function(X, X)


@pytest.mark.parametrize("wrong", [X[:2], X.astype(np.float64), X.T, 1.5])
def test_what_is_wrong_is_told_as_outside(wrong: Any, tmp_path: Path) -> None:
    loaded = exported(tmp_path, line, X)
    with pytest.raises((TypeError, ValueError)) as outside:
        loaded(wrong)
    with pytest.raises(type(outside.value)) as inside:
        tj.compile(lambda x: loaded(x))(wrong)
    assert str(inside.value).partition(": ")[2] == str(outside.value).partition(": ")[2]


def test_a_number_is_no_array(tmp_path: Path) -> None:
    loaded = exported(tmp_path, line, np.array(2.0, np.float32))
    with pytest.raises(TypeError, match="got a float32"):
        loaded(np.sum(X))
    with pytest.raises(TypeError, match="got a float32"):
        tj.compile(lambda x: loaded(np.sum(x)))(X)


def test_an_export_of_a_call_is_refused(tmp_path: Path) -> None:
    loaded = exported(tmp_path, line, X)
    with pytest.raises(tj.ExportError, match="artifact line is called, and does more"):
        tj.export(lambda x: loaded(x) + 1, (X,), tmp_path / "g.tj")
    of_tensors = exported(tmp_path, line, tj.tensor(X))
    with pytest.raises(
        tj.ExportError, match=r"artifact line \d+ is an op that is not tracejit's own"
    ):
        tj.export(lambda x: of_tensors(x) + 1, (tj.tensor(X),), tmp_path / "g.tj")


# Replays


def replays(compiled: Any, calls: list[tuple[Any, ...]], function: Any) -> int:
    """How many of the calls, which do what Python does, are replayed."""
    for args in calls:
        assert bits(compiled(*args)) == bits(function(*args))
    return tj.explain(compiled).calls["replay"]


MODEL = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))


@pytest.mark.parametrize("native", [True, False])
def test_calls_of_one_that_only_computes_are_replayed(tmp_path: Path, native: bool) -> None:
    tj.export(MODEL, (tj.tensor(X),), tmp_path / "f.tj")
    loaded = tj.load(tmp_path / "f.tj", native=native)

    def outer(x: Any, scale: float) -> Any:
        again = loaded(x * scale)
        return loaded(x) + again * 2, loaded(x).sum()

    compiled = tj.compile(outer)
    calls = [(tj.tensor(x), 0.5 + n) for n, x in enumerate(inputs(8))]
    assert replays(compiled, calls, outer) >= 5
    assert not tj.explain(compiled).reasons


def test_replays_see_a_state_that_was_set(tmp_path: Path) -> None:
    tj.export(MODEL, (tj.tensor(X),), tmp_path / "f.tj")
    loaded = tj.load(tmp_path / "f.tj")

    def outer(x: Any) -> Any:
        return loaded(x) * 2 + loaded(tj.ones((3, 4)))

    compiled = tj.compile(outer)
    calls = [(tj.tensor(x),) for x in inputs(4)]
    assert replays(compiled, calls, outer) >= 2
    before = bits(compiled(*calls[0]))
    loaded.load_state_dict({name: value * 3 for name, value in loaded.state_dict().items()})
    assert replays(compiled, calls, outer) >= 6
    assert bits(compiled(*calls[0])) != before


def test_a_part_of_a_tensor_may_be_given_to_one(tmp_path: Path) -> None:
    loaded = exported(tmp_path, MODEL, tj.tensor(X))

    def outer(x: Any) -> Any:
        return loaded(x.mT[1:4]) - loaded(x[:, 1:4].mT.mT.mT)

    compiled = tj.compile(outer)
    calls = [
        (tj.tensor(np.outer(np.arange(4.0), np.arange(4.0) + n).astype(np.float32)),)
        for n in range(6)
    ]
    assert replays(compiled, calls, outer) >= 4


def test_one_with_open_sizes_is_an_op_for_each(tmp_path: Path) -> None:
    tj.export(MODEL, ("float32[n, 4]",), tmp_path / "f.tj", sizes={"n": (1, 3)})
    loaded = tj.load(tmp_path / "f.tj")

    def outer(x: Any) -> Any:
        return loaded(x) * 2

    compiled = tj.compile(outer)
    calls = [(tj.tensor(X[:size]),) for size in (3, 1, 3, 1, 3, 1, 3, 1)]
    assert replays(compiled, calls, outer) >= 4


def test_others_say_why_their_calls_are_made_by_python(tmp_path: Path) -> None:
    def decides(x: Any) -> Any:
        return x * 2 if x.sum() > 0 else x

    x = tj.tensor(X)
    for number, function in enumerate((decides, counted, lambda x: (x, x + 1), lambda x: x.mT)):
        tj.export(function, (x,), tmp_path / f"{number}.tj")
        loaded = tj.load(tmp_path / f"{number}.tj")
        compiled = tj.compile(lambda x: loaded(x))  # noqa: B023  # it is called in this round
        for _ in range(3):
            compiled(x)
        assert tj.explain(compiled).calls["replay"] == 0
        (told,) = tj.explain(compiled).reasons
        assert "is called, and does more than to make a tensor of tensors" in told


def called_once(folder: Path) -> str:
    """The op that an artifact was."""
    before = {*REGISTRY}
    loaded = exported(folder, line, tj.tensor(X))
    tj.compile(lambda x: loaded(x))(tj.tensor(X))
    (new,) = {*REGISTRY} - before
    return new


def test_an_op_goes_with_its_artifact(tmp_path: Path) -> None:
    new = called_once(tmp_path)
    assert new.startswith("artifact line ")
    gc.collect()
    assert new not in REGISTRY


# Gradients

NO_GRADIENT = r"test_nested.py:\d+: artifact line, called at .*test_nested.py:\d+, has no gradient: .*detached"


@pytest.fixture
def loaded(tmp_path: Path) -> Any:
    return exported(tmp_path, line, tj.tensor(X))


def test_a_gradient_through_a_call_is_refused(loaded: Any) -> None:
    for _ in range(4):
        x = tj.tensor(X, requires_grad=True)
        for given in (x, x * 2, x[:]):
            result = loaded(given)
            assert bits(result.detach()) == bits(line(given.detach()))
            with pytest.raises(tj.AutogradError, match=NO_GRADIENT):
                result.sum().backward()


def test_grad_does_not_pass_over_a_call(loaded: Any) -> None:
    def loss(x: Any) -> Any:
        return (loaded(x) + x * x).sum()

    for function in (loss, tj.compile(loss)):
        for _ in range(3):
            with pytest.raises(tj.AutogradError, match=NO_GRADIENT):
                tj.grad(function)(tj.tensor(X))


def test_a_call_apart_from_what_the_gradient_is_of_is_data(loaded: Any) -> None:
    def loss(x: Any) -> Any:
        with tj.no_grad():
            scale = loaded(x)
        return (loaded(x.detach()) * scale * x).sum()

    for function in (loss, tj.compile(loss)):
        for _ in range(3):
            gradient = tj.grad(function)(tj.tensor(X))
            assert gradient.numpy().tobytes() == (line(X) * line(X)).tobytes()


def test_a_parameter_may_be_given_where_no_gradient_is_wanted(loaded: Any) -> None:
    weight = nn.Parameter(tj.tensor(X))
    with tj.no_grad():
        results = [loaded(weight) for _ in range(4)]
    assert {each.numpy().tobytes() for each in results} == {line(X).tobytes()}
    assert not any(each.requires_grad for each in results)
