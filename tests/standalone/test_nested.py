"""Artifacts that are called where something follows the call: in compiled functions, in exports, on the tape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit import nn

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
    assert any("Artifact" in each for each in tj.explain(compiled).reasons)


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
    with pytest.raises(tj.ExportError, match="Artifact, which is not known to be pure"):
        tj.export(lambda x: loaded(x) + 1, (X,), tmp_path / "g.tj")


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
