"""Libraries for C do what the exported function does, to the bit, call after call, and change nothing where they fail."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.standalone.libraries import (
    Failed,
    Instance,
    Library,
    bits,
    exported,
    needs_compiler,
    value_of,
)
from tests.standalone.test_roundtrip import (
    Counter,
    batch,
    descend,
    layer_norm,
    network,
    numbers,
    scaled_in_place,
    softmax,
    updated_then_checked,
)
from tracejit import nn, optim
from tracejit.demo import train_step

pytestmark = needs_compiler

Make = Callable[..., Instance]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """An instance of the function that is exported."""
    return lambda f, *args, **options: exported(tmp_path, f, *args, **options).create()


def twice(x):
    return x * 2 + 1


def test_an_array_goes_in_and_one_comes_out(tmp_path: Path) -> None:
    library = exported(tmp_path, twice, tj.ones((2, 3)))
    assert library.infos("input") == [("x", "float32", (2, 3), False)]
    assert library.infos("output") == [("result", "float32", (2, 3), False)]
    assert library.infos("state") == []
    assert library["version"]().decode() == tj.__version__
    x = numbers(2, 3)
    assert bits(library.create()(x)) == bits(twice(tj.tensor(x)))


def test_rows_are_normalized(make: Make) -> None:
    x = numbers(16, 33)

    def both(x):
        return softmax(x), layer_norm(tj.asarray(x))

    assert bits(make(both, x)(x)) == bits(tj.compile(both)(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_math_functions_have_rare_ways_in_a_library_too(make: Make, dtype: str) -> None:
    """Where lanes are near 1, negative, or poles."""

    def functions(x):
        return tj.erfinv(x), tj.erfc(x * 20), tj.polygamma(2, x * 4), tj.lgamma(x)

    x = np.concatenate([np.linspace(-1, 1, 41), [1 - 2.0**-20, np.nan, np.inf]]).astype(dtype)
    assert bits(make(functions, x)(x)) == bits(tj.compile(functions)(x))


def special(x):
    return x * 2 + 1, x.sum(), tj.where(x > 0, x, -x), x.mT if x.ndim == 2 else x, None, "text"


def test_shapes_and_values_of_every_kind(make: Make) -> None:
    values = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 3e38]
    arrays = [numbers(*shape) for shape in [(), (0,), (3, 0), (5, 7)]]
    arrays.append(np.array(values, np.float32))

    def f(tensors):
        return [special(each) for each in tensors]

    tensors = [*map(tj.tensor, arrays)]
    assert bits(make(f, tensors)(*arrays)) == bits(f(tensors))


def test_arguments_and_results_may_lie_in_any_strides(make: Make) -> None:
    f = make(special, tj.tensor(numbers(6, 4)))
    expected = {n: bits(special(tj.tensor(numbers(6, 4, seed=n)))) for n in range(4)}
    spread, wide = np.zeros((12, 12), np.float32), np.zeros(200, np.uint8)
    odd = wide[1:97].view(np.float32).reshape(6, 4)
    places = [np.asfortranarray(numbers(6, 4)), spread[::-2, 1::3], spread[10:4:-1, 8:4:-1], odd]
    for n, place in enumerate(places):
        place[...] = numbers(6, 4, seed=n)
        assert bits(f(place)) == expected[n]
        results = np.zeros((6, 4), np.float32), np.zeros((), np.float32)
        place[...] = 0
        turned = np.zeros((12, 8), np.float32)[::2, ::2].T
        outputs = [value_of(each) for each in (place, results[1], results[0], turned)]
        f.run([value_of(numbers(6, 4, seed=n))], outputs)
        assert bits([place, results[1], results[0], turned]) == expected[n]


def test_structures_and_numbers(make: Make) -> None:
    def f(pair, scale, power, *, table):
        a, b = pair
        return {
            "x": (a @ b) * scale,
            "parts": [a[0], (table["c"] + power, power // 3, 7)],
        }

    args = [tj.ones((4, 5)), tj.ones((5, 3))], 1.5, 2
    instance = make(f, *args, kwargs={"table": {"c": tj.ones(2), "d": 1}})
    names = [name for name, *_ in instance.library.infos("input")]
    assert names == ["pair.0", "pair.1", "scale", "power", "table.c"]
    assert [name for name, *_ in instance.library.infos("output")][:2] == [
        "result.x",
        "result.parts.0",
    ]
    a, b, c = numbers(4, 5), numbers(5, 3), numbers(2)
    for scale, power in ((0.5, 7), (3.0, -8)):
        expected = f([tj.tensor(a), tj.tensor(b)], scale, power, table={"c": tj.tensor(c), "d": 1})
        assert bits(instance(a, b, scale, power, c)) == bits(expected)


def test_dtypes(make: Make) -> None:
    names = (
        "float64 float16 bfloat16 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool".split()
    )
    tensors = [tj.tensor([0, 1, 5, 7]).astype(getattr(tj, name)) for name in names]

    def f(tensors):
        sums = [x.sum() for x in tensors[:-1]]
        return [tj.where(x == x[1], x, x[2]) for x in tensors], sums, tensors[-1].all()

    assert bits(make(f, tensors)(*map(np.asarray, tensors))) == bits(f(tensors))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_numbers_are_rounded_to_narrow_floats(make: Make, dtype: str) -> None:
    total = tj.zeros(3).astype(getattr(tj, dtype))

    def f(x, rate):
        total.add_(x * rate)
        return total * rate

    x = tj.tensor([1.0, 2.0, 3.0]).astype(getattr(tj, dtype))
    instance = make(f, x, 0.5)
    for rate in (0.1, 1 / 3, 1e-7, -7e4):
        assert bits(instance(np.asarray(x), rate)) == bits(f(x, rate))


def test_numbers_that_python_computes_by_itself_are_pythons(make: Make) -> None:
    import math

    def f(x, a, b, n):
        measures = math.hypot(a, b), math.hypot(a, b, 0.1), math.gamma(a), math.lgamma(b)
        return x * measures[0], *measures, round(b, 2), round(a * 1e6, n), round(n * 15, -1)

    x = numbers(3)
    instance = make(f, tj.tensor(x), 0.5, 1.5, -3)
    for a, b, n in ((0.1, 0.7, -3), (4.35, -2.675, -5), (-1.25, 1e-300, 1), (21.5, 2.5, 2)):
        found, expected = instance(x, a, b, n), f(tj.tensor(x), a, b, n)
        assert bits(found[0]) == bits(expected[0])
        assert repr((*found[1:],)) == repr(expected[1:])


# Training


def test_a_training_step_goes_on_training(tmp_path: Path) -> None:
    tj.random.seed(5)
    model = network()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    step = tj.compile(train_step)
    library = exported(tmp_path, step, model, optimizer, *batch(0))
    first, second = library.create(), library.create(threads=1)
    expected = []
    for n in range(4):
        expected.append(bits(step(model, optimizer, *batch(n))))
        assert bits(first(*map(np.asarray, batch(n)))) == expected[-1]
    state = first.state()
    for name, value in model.state_dict().items():
        assert bits(state[f"model.{name}"]) == bits(value)
    for name, parameter in model.named_parameters():
        assert bits(state[f"model.{name}.grad"]) == bits(parameter.grad)
    assert {value for name, value in state.items() if name.endswith(".step")} == {4}

    assert "model.0.weight.grad" not in second.state()  # nobody has called it yet
    assert [bits(second(*map(np.asarray, batch(n)))) for n in range(4)] == expected
    assert bits(second.state()) == bits(state)

    third = library.create()
    for name, value in state.items():
        third.set(name, value)
    more = [np.asarray(each) for each in batch(9)]
    assert bits(third(*more)) == bits(first(*more)) == bits(step(model, optimizer, *batch(9)))


def test_the_level_can_be_chosen(tmp_path: Path) -> None:
    from tracejit.runtime.cpu.target import LEVELS, _can_run, host

    names = [name for name, level in LEVELS.items() if _can_run(host(), level)]
    x = numbers(20, 37)

    def f(x):
        return tj.tanh(x @ x.T).sum(axis=0)

    library = exported(tmp_path, f, tj.tensor(x), targets=[f"cpu:{name}" for name in names])
    for name in names:
        instance = library.create(level=name)
        assert library["level"](instance.handle).decode() == name
        with tj.config.scope(target=name):
            assert bits(instance(x)) == bits(tj.compile(f)(tj.tensor(x)))
    assert library["level"](library.create().handle).decode() == names[0]
    with pytest.raises(
        Failed,
        match="z80 is none of the levels of this processor and this library, which was made for",
    ):
        library.create(level="z80")


# State of other kinds


def test_attributes_numbers_and_random_generators_are_state(make: Make) -> None:
    counter, generator = Counter(), tj.random.Generator(3)

    def f(x):
        return counter.add(x), x + generator.normal(x.shape)

    x = np.arange(3, dtype=np.float32)
    instance = make(f, tj.tensor(x))
    for _ in range(3):
        assert bits(instance(x)) == bits(f(tj.tensor(x)))
    assert instance.get("counter.calls") == 3
    assert bits(instance.get("counter.last")) == bits(counter.last)


def test_values_that_trade_places(make: Make) -> None:
    a, b, c = tj.tensor([1.0, 2.0]), tj.tensor([3.0, 4.0]), tj.tensor([5.0, 6.0])

    def turn(x):
        nonlocal a, b, c
        a, b, c = b, c, a + x
        return a, c

    instance = make(turn, tj.ones(2))
    for n in range(5):
        x = np.full(2, n, np.float32)
        assert bits(instance(x)) == bits(turn(tj.tensor(x)))
    assert [instance.get(name).tolist() for name in "abc"] == [a.tolist(), b.tolist(), c.tolist()]


def test_parts_of_what_a_program_makes(tmp_path: Path) -> None:
    """Neither the state nor the caller's memory is written past its end."""
    kept, x = None, numbers(64, 3)

    def f(x):
        nonlocal kept
        kept = (x * 3)[:2]
        return (x * 2 + 1)[:2]

    instance = exported(tmp_path, f, tj.tensor(x)).create()
    for n in range(4):
        x = numbers(64, 3, seed=n)
        room = np.full(256, 7, np.float32)
        begin = -room.ctypes.data % 64 // 4
        part = room[begin : begin + 6].reshape(2, 3)
        instance.run([value_of(x)], [value_of(part)])
        assert bits(part.copy()) == bits(f(tj.tensor(x)))
        assert (np.delete(room, range(begin, begin + 6)) == 7).all()
        assert bits(instance.get("kept")) == bits(kept)


def test_arguments_are_written_where_they_lie(tmp_path: Path) -> None:
    w, x = np.array([1, 2], np.float32), np.array([1, 0.5], np.float32)
    library = exported(tmp_path, descend, tj.tensor(w), tj.tensor(x), 0.5, name="descend")
    instance, twin = library.create(), tj.tensor(w)
    for rate in (0.5, 0.25):
        assert bits(instance(w, x, rate)) == bits(descend(twin, tj.tensor(x), rate))
    assert bits(w) == bits(twin)
    with pytest.raises(Failed, match="argument w is written by the call: its elements have to lie"):
        instance(np.ones(4, np.float32)[::2], x, 0.5)
    with pytest.raises(Failed, match="w is written, and shares memory with x"):
        instance(w, w, 0.5)


def test_arguments_that_are_returned_are_copied(make: Make) -> None:
    def f(w, x):
        w.add_(x)
        return w, x, w

    w, x = np.ones(3, np.float32), numbers(3)
    found = make(f, tj.tensor(w), tj.tensor(x))(w, x)
    assert bits(found) == bits([w, x, w]) == bits(f(tj.ones(3), tj.tensor(x)))


def test_an_error_after_a_write_undoes_it(tmp_path: Path) -> None:
    w, x = np.ones(1, np.float32), numbers(4, 3)
    labels = [np.array(each) for each in ([0, 1, 2, 0], [0, 1, 3, 0], [2, -1, 2, 0])]
    given = map(tj.tensor, (w, x, labels[0]))
    instance = exported(tmp_path, updated_then_checked, *given, name="updated").create()
    for wrong in labels[1:]:
        with pytest.raises(Failed, match="label is out of bounds for 3 classes") as failed:
            instance(w, x, wrong)
        assert failed.value.code == "index"
        assert w.tolist() == [1.0]
    twin = tj.ones(1)
    assert bits(instance(w, x, labels[0])) == bits(
        updated_then_checked(twin, tj.tensor(x), tj.tensor(labels[0]))
    )
    assert bits(w) == bits(twin)


def test_indices_out_of_range_leave_everything(make: Make) -> None:
    x, indices = np.arange(4.0), np.array([0, -4])
    instance, twin = make(scaled_in_place, x, indices), np.arange(4.0)
    assert bits(instance(x, indices)) == bits(scaled_in_place(twin, indices))
    for wrong in ([0, 4], [-5, 0], [2**62, 0], [-(2**63), 0], [2**63 - 1, 0]):
        with pytest.raises(Failed, match="index is out of bounds for axis 0 with size 4"):
            instance(x, np.array(wrong))
    assert bits(x) == bits(twin)


def test_numbers_that_fail_leave_the_state(make: Make) -> None:
    count, total = 2**62, tj.zeros(2)

    def f(x, by):
        nonlocal count
        total.add_(x)
        count += by
        return total / (count // by)

    instance = make(f, tj.ones(2), 1)
    x = np.ones(2, np.float32)
    instance(x, 2**61)
    before = bits(instance.state())
    for by, code in ((2**62, "overflow"), (0, "arithmetic")):
        with pytest.raises(Failed) as failed:
            instance(x, by)
        assert failed.value.code == code
        assert "test_library.py:" in failed.value.message
        assert bits(instance.state()) == before


def test_a_decision_that_comes_out_otherwise_is_an_error(make: Make) -> None:
    model = nn.Linear(3, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    images, labels = numbers(4, 3), np.array([0, 1, 1, 0])
    instance = make(train_step, model, optimizer, tj.tensor(images), tj.tensor(labels))
    instance.set("optimizer.param_groups.0.lr", -1.0)
    before = bits(instance.state())
    with pytest.raises(Failed, match=r"param_groups.0.lr < 0 was False when") as failed:
        instance(images, labels)
    assert failed.value.code == "changed"
    assert bits(instance.state()) == before


# Errors


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Library:
    weight = tj.tensor(numbers(3, 2))
    folder = tmp_path_factory.mktemp("product")
    return exported(
        folder, lambda x, rate: (x @ weight) * rate, tj.ones((4, 3)), 0.5, name="product"
    )


def test_what_is_given_is_checked(product: Library) -> None:
    instance, x, out = product.create(), numbers(4, 3), np.empty((4, 2), np.float32)

    def refused(given: list[Any], results: list[Any], message: str, code: str = "argument") -> None:
        with pytest.raises(Failed) as failed:
            instance.run([*map(value_of, given)], [*map(value_of, results)])
        assert (failed.value.code, failed.value.message) == (code, message)

    refused([x.astype(float), 0.5], [out], "argument x is float32[4,3], got float64[4,3]")
    refused([x.T, 0.5], [out], "argument x is float32[4,3], got float32[3,4]")
    refused([x[0], 0.5], [out], "argument x is float32[4,3], got float32[3]")
    refused([1.0, 0.5], [out], "argument x is float32[4,3], got a number of float64")
    refused([x, 1], [out], "argument rate is a number of float64, got a number of int64")
    refused([x, np.array(0.5)], [out], "argument rate is a number of float64, got float64[]")
    refused([x, 0.5], [x], "result result is float32[4,2], got float32[4,3]")
    refused([x], [out], "2 arguments and 1 results are wanted, and 1 and 1 given")
    nowhere = value_of(x)
    nowhere.data = None
    refused([nowhere, 0.5], [out], "argument x has no memory")
    strange = value_of(x)
    strange.dtype = 99
    refused([strange, 0.5], [out], "argument x is float32[4,3], got no dtype[4,3]")
    shared = x.reshape(-1)[:8].reshape(4, 2)
    refused([x, 0.5], [shared], "result is written, and shares memory with x")
    one = np.lib.stride_tricks.as_strided(out, (4, 2), (4, 4))
    refused([x, 0.5], [one], "result result is written, and its elements share memory")
    assert bits(instance(x, 0.5)) == bits(instance(x.copy(), 0.5))


def test_arrays_without_elements_lie_anywhere(make: Make) -> None:
    def f(w, x):
        w.add_(x.sum())
        return w * 2

    x = numbers(4)
    instance = make(f, tj.ones((0, 3)), tj.tensor(x))
    inside = np.lib.stride_tricks.as_strided(x[1:], (0, 3), (8, 8))
    instance.run([value_of(inside), value_of(x)], [value_of(inside)])


def test_null_pointers_are_errors(product: Library) -> None:
    instance = product.create()
    for call in (
        lambda: product["create"](None, None),
        lambda: product["run"](None, None, 0, None, 0),
        lambda: product["run"](instance.handle, None, 2, None, 1),
        lambda: product["get_state"](instance.handle, b"weight", None),
        lambda: product["set_state"](instance.handle, b"weight", None),
    ):
        with pytest.raises(Failed) as failed:
            product.check(call())
        assert failed.value.code == "argument"
    product["destroy"](None)
    assert product["level"](None) == b""


def test_state_is_found_by_name_and_checked(product: Library) -> None:
    instance, other, x = product.create(), product.create(), numbers(4, 3)
    before = bits(instance(x, 1.0))
    for name in ("bias", ""):
        with pytest.raises(Failed, match=f"there is no state {name}") as failed:
            instance.get(name)
        assert failed.value.code == "state"
    for wrong in (np.ones((2, 3), np.float32), np.ones((3, 2)), 1.0):
        with pytest.raises(Failed, match=r"state weight is float32\[3,2\], got ") as failed:
            instance.set("weight", wrong)
        assert failed.value.code == "argument"
    assert bits(instance(x, 1.0)) == before
    weight = numbers(2, 3, seed=4).T
    instance.set("weight", weight)
    assert bits(instance.get("weight")) == bits(weight.copy())
    expected = tj.compile(lambda x, w: (x @ w) * 1.0)(tj.tensor(x), tj.tensor(weight.copy()))
    assert bits(instance(x, 1.0)) == bits(expected)
    assert bits(other(x, 1.0)) == before


# Threads


def test_threads_share_an_instance_that_nothing_changes(product: Library) -> None:
    instance = product.create(threads=2)
    inputs = [numbers(4, 3, seed=n) for n in range(200)]
    expected = [bits(instance(x, 0.5)) for x in inputs]
    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(lambda x: bits(instance(x, 0.5)), inputs)] == expected


def test_threads_that_change_an_instance_take_turns(make: Make) -> None:
    counter = Counter()
    instance = make(counter.add, tj.ones(3))
    x = np.ones(3, np.float32)
    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(lambda _: instance(x)[1], range(200))]
    assert sorted(found) == [*range(1, 201)]
    assert instance.get("calls") == 200


def test_large_work_is_shared_among_the_chosen_threads(make: Make, tmp_path: Path) -> None:
    x = numbers(256, 512)

    def f(x):
        return tj.exp(x).sum(axis=1), x @ x.T

    instance = make(f, tj.tensor(x))
    expected = bits(f(tj.tensor(x)))
    for threads in (1, 2, 5):
        several = instance.library.create(threads=threads)
        assert instance.library["threads"](several.handle) == threads
        assert [bits(several(x)) for _ in range(3)] == [expected] * 3
    with pytest.raises(Failed, match="-1 is no number of threads"):
        instance.library.create(threads=-1)
    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(lambda _: bits(instance(x)), range(24))] == [expected] * 24


# What is refused


def test_a_library_needs_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler -O2")
    with pytest.raises(
        tj.ExportError, match="needs a C compiler, and there is no no-such-compiler: install"
    ):
        tj.export(twice, (tj.ones(3),), c=tmp_path / "out")
    monkeypatch.setenv("CC", "cc --no-such-option")
    with pytest.raises(tj.ExportError, match="no-such-option"):
        tj.export(twice, (tj.ones(3),), c=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_needs_python_is_refused_with_the_line(tmp_path: Path) -> None:
    import math

    def sorted_(x):
        return tj.sort(x)

    def measured(x, a):
        return x * math.gcd(a, 4)

    wanted = {
        r"test_library.py:\d+: export: for C: gcd of numbers is not done without Python": (
            measured,
            (tj.ones(3), 6),
        ),
        r"export: for C: sort is computed by NumPy \(.*test_library.py:\d+": (
            sorted_,
            (tj.ones(3),),
        ),
    }
    for message, (function, args) in wanted.items():
        with pytest.raises(tj.ExportError, match=message):
            tj.export(function, args, c=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_names_are_names_in_c(tmp_path: Path) -> None:
    with pytest.raises(tj.ExportError, match="is no name in C: give one"):
        tj.export(lambda x: x, (tj.ones(3),), c=tmp_path)
    with pytest.raises(ValueError, match="'2x' is no name in C"):
        tj.export(twice, (tj.ones(3),), c=tmp_path, name="2x")
    with pytest.raises(TypeError, match="neither a path nor a folder"):
        tj.export(twice, (tj.ones(3),))


def test_a_whole_network_is_exported(make: Make) -> None:
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 10)).eval()

    def infer(images):
        return tj.softmax(model(images), axis=1)

    x = numbers(16, 64)
    assert bits(make(infer, tj.tensor(x))(x)) == bits(tj.compile(infer)(tj.tensor(x)))
