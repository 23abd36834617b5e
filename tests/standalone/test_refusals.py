"""What an artifact cannot carry is refused, with the line that prevents it, and leaves no trace."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit import executable, nn
from tracejit.dtypes import FLOATING
from tracejit.ops.families import pointwise
from tracejit.ops.registry import REGISTRY

X = tj.ones(3)
seen: list[Any] = []
names = {"a": 1}


def decides(x):
    return tj.zeros(int(x.sum()))  # here


def decides_too_often(x):
    for k in [1, 2, 3, 4, 5, 6, 7]:
        if x.sum() > k:  # here
            x = x - k
    return x


def loops(x):
    found = []
    while x.sum() < 100:  # here
        x = x * 2
        found.append(x)
    return found


def prints_on_another_way(x):
    if x.sum() < 0:
        print("negative")  # here
    return x


def appends_on_another_way(x):
    if x.sum() < 0:
        seen.append(x)  # here
    return x


def keeps_other_shapes(x):
    if x.sum() > 0:
        holder.kept = x * 2
    else:
        holder.kept = x.sum()  # here
    return x


def keeps_a_tensor_or_nothing(x):
    if x.sum() > 0:
        holder.kept = x * 2
    else:
        holder.kept = None  # here
    return x


def appends(x):
    seen.append(x.sum())  # here
    return x


def prints(x):
    print(x.sum())  # here
    return x


def writes_an_argument(x, table):
    table["y"] = x * 2  # here
    return x


def adds_a_key(x):
    names[len(names)] = 2  # here
    return x


def asks_the_clock(x):
    import time

    return x + time.time()  # here


def looks_at_many(x):
    return str(x)  # here


def keeps_an_argument(x):
    holder.kept = x  # here
    return x


class Holder:
    def __init__(self) -> None:
        self.kept: Any = None
        self.count = 0
        self.first = True
        self.part = tj.ones((4, 3))[1]


holder = Holder()


def is_another_at_first(x):
    if holder.first:  # here
        holder.first = False
        return x * 2
    return x


def reads_a_view(x):  # here
    return x + holder.part


def gives_an_object(x):  # here
    made = Holder()
    made.kept = x
    return made


def repeats_by_a_count(x):
    holder.count += 1
    return tj.concat([x] * holder.count)  # here


def tidies_up(x):
    try:
        holder.count += 1
        if str(x):  # here
            return x
    except BaseException:
        holder.count += 1
        raise
    finally:
        holder.count += 1
        seen.append(holder.count)
    return -x


def compares_arguments(x, y):
    if x is y:  # here
        return x
    return x + y


def deletes(x):
    holder.count += 1
    del names["a"]  # here
    return x


class Shared:
    count = 0


def writes_a_class(x):
    holder.count += 1
    Shared.count += 1  # here
    return x


known = {100, 5, 3}


def changes_a_set(x):
    holder.count += 1
    known.add(holder.count)  # here
    return x


def raises(x):
    holder.count += 1
    raise KeyError("mine")


CASES: list[tuple[Callable[..., Any], tuple[Any, ...], str]] = [
    (decides, (), "depends on a number that data gives"),
    (decides_too_often, (), "more than 64 ways"),
    (
        loops,
        (),
        "more than 64 ways .*, as this loop is not closed: found is another from round to round",
    ),
    (prints_on_another_way, (), "prints"),
    (keeps_other_shapes, (), "becomes a value of another kind, dtype or shape"),
    (keeps_a_tensor_or_nothing, (), "becomes a value of another kind, dtype or shape"),
    (appends_on_another_way, (), "global seen gets or loses items"),
    (appends, (), "global seen gets or loses items"),
    (prints, (), "prints"),
    (writes_an_argument, ({"y": 1},), "argument table, an argument, is written"),
    (adds_a_key, (), "len"),
    (asks_the_clock, (), "time.time"),
    (looks_at_many, (), ""),
    (keeps_an_argument, (), "keeps an argument"),
    (is_another_at_first, (), "global holder.first is True in this call"),
    (reads_a_view, (), "is a view of a larger tensor"),
    (gives_an_object, (), "returns a Holder"),
    (
        compares_arguments,
        (X,),
        "it asks whether argument y is argument x|it asks whether argument x is",
    ),
    (deletes, (), "global names gets or loses items"),
    (writes_a_class, (), "Shared.count is written"),
    (changes_a_set, (), "global known gets or loses items"),
    (tidies_up, (), ""),
    (repeats_by_a_count, (), r"holder.count \+ 1 is 1 in this call"),
]


def picture() -> Any:
    state = {name: value for name, value in vars(holder).items() if name != "part"}
    return repr((seen, names, known, Shared.count, state, holder.part.tolist()))


def test_nothing_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(tj.ExportError):
        tj.export(prints, (X,), tmp_path / "f.tj")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("function", "args", "why"), CASES, ids=lambda each: getattr(each, "__name__", "")
)
def test_the_error_names_the_line_and_nothing_has_changed(
    function: Any, args: tuple[Any, ...], why: str, tmp_path: Path
) -> None:
    before = picture()
    lines, first = inspect.getsourcelines(function)
    line = first + next(place for place, text in enumerate(lines) if "# here" in text)
    with pytest.raises(tj.ExportError, match=rf"test_refusals.py:{line}: export: .*{why}"):
        tj.export(function, (X, *args), tmp_path / "f.tj")
    assert picture() == before
    assert not [*tmp_path.iterdir()]


def test_what_the_function_raises_is_raised(tmp_path: Path) -> None:
    before = picture()
    with pytest.raises(KeyError, match="mine"):
        tj.export(raises, (X,), tmp_path / "f.tj")
    assert picture() == before


def test_gradients_left_on_arguments_are_refused(tmp_path: Path) -> None:
    def f(w):
        (w * w).sum().backward()
        return w.grad

    w = tj.ones(3)
    w.requires_grad_()
    with pytest.raises(tj.ExportError, match="the gradient of argument w, an argument, is written"):
        tj.export(f, (w,), tmp_path / "f.tj")
    assert w.grad is None
    tj.export(lambda w: tj.grad(lambda w: (w * w).sum())(w), (w,), tmp_path / "f.tj")
    assert tj.load(tmp_path / "f.tj")(tj.ones(3)).tolist() == [2.0, 2.0, 2.0]


def test_gradients_that_accumulate_are_there_before_the_export(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)

    def accumulate(x):
        loss = model(x).sum()
        loss.backward()
        return loss

    x = tj.ones((2, 3))
    with pytest.raises(tj.ExportError, match="grad is None in this call, and not in the next"):
        tj.export(accumulate, (x,), tmp_path / "f.tj")
    assert model.weight.grad is None
    accumulate(x)
    tj.export(accumulate, (x,), tmp_path / "f.tj")
    loaded = tj.load(tmp_path / "f.tj")
    for _ in range(2):
        assert loaded(x).item() == accumulate(x).item()
    assert loaded.state_dict()["model.weight.grad"].tolist() == (model.weight.grad.tolist())


shared = tj.zeros(3)


def adds_up(x):
    shared.add_(x)
    return shared * 2


@pytest.mark.parametrize("part", [lambda: shared, lambda: shared.detach()[1:2].broadcast_to((3,))])
def test_an_argument_is_apart_from_state_that_is_written(part: Any, tmp_path: Path) -> None:
    with pytest.raises(tj.ExportError, match="argument x shares memory with shared"):
        tj.export(adds_up, (part(),), tmp_path / "f.tj")
    tj.export(adds_up, (part().copy(),), tmp_path / "f.tj")


def test_arguments_that_are_written_are_apart(tmp_path: Path) -> None:
    def f(x, y):
        x += y
        return x

    x = np.arange(4.0)
    with pytest.raises(tj.ExportError, match="argument x shares memory with argument y"):
        tj.export(f, (x[:3], x[1:]), tmp_path / "f.tj")
    tj.export(f, (x[:2], x[2:]), tmp_path / "f.tj")
    loaded = tj.load(tmp_path / "f.tj")
    assert loaded(np.ones(2), np.ones(2)).tolist() == [2.0, 2.0]
    y = np.ones(3)
    with pytest.raises(ValueError, match="shares its memory with another one"):
        loaded(y[:2], y[1:])


def test_numbers_of_numpy_are_no_arguments(tmp_path: Path) -> None:
    with pytest.raises(tj.ExportError, match="argument x is a NumPy number"):
        tj.export(lambda x: x * 2, (np.float32(2),), tmp_path / "f.tj")


def test_a_compiled_function_does_not_export(tmp_path: Path) -> None:
    @tj.compile
    def f(x):
        tj.export(lambda x: x, (x,), tmp_path / "f.tj")

    with pytest.raises(tj.ExportError, match="inside of a compiled function"):
        f(X)
    assert (X + 1).tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("name", ["class", "a b"])
def test_arguments_have_names(name: str, tmp_path: Path) -> None:
    with pytest.raises(tj.ExportError, match=f"an argument is named '{name}', which is no name"):
        tj.export(lambda **named: named[name] + 1, (), tmp_path / "f.tj", kwargs={name: X})


def test_arguments_are_a_tuple(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="args are a tuple of arguments, got a Tensor"):
        tj.export(decides, X, tmp_path / "f.tj")  # type: ignore[arg-type]  # is what is tested


@pytest.mark.parametrize("targets", ["cpu", (), ("gpu",), ("cpu:mmx",)])
def test_targets_are_names_of_targets(targets: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="target"):
        tj.export(decides, (X,), tmp_path / "f.tj", targets=targets)


def test_all_ops_that_there_are_are_the_packages_own() -> None:
    assert REGISTRY.keys() == executable._OWN_OPS.keys()


def test_ops_that_are_not_the_packages_own_are_refused(tmp_path: Path) -> None:
    halved = pointwise("halved", dtypes=FLOATING, eval=lambda x: x / 2, scalar=lambda s, x: x / 2)
    try:
        with pytest.raises(tj.ExportError, match="halved is an op that is not tracejit's own"):
            tj.export(lambda x: halved(x) + 1, (X,), tmp_path / "f.tj")
    finally:
        del REGISTRY["halved"]
