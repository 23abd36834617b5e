"""Libraries for C whose calls choose sizes: the bits of the compiled function for each, one state for all."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.standalone.libraries import Failed, Library, bits, exported, needs_compiler, value_of
from tests.standalone.test_roundtrip import network, numbers
from tests.standalone.test_sizes import CASES, made
from tracejit import cli, optim
from tracejit.demo import train_step

pytestmark = needs_compiler


def flat(value: Any) -> list[Any]:
    """The arrays and numbers of arguments, in order."""
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, list | tuple):
        return [each for part in value for each in flat(part)]
    return [np.asarray(value) if isinstance(value, tj.Tensor) else value]


@pytest.mark.parametrize("case", CASES)
def test_all_sizes_give_the_bits_of_the_compiled_function(tmp_path: Path, case: str) -> None:
    f, specs, ahead, arrays = CASES[case]
    library = exported(tmp_path, f, *specs, sizes=ahead, arrays=arrays)
    instance, compiled = library.create(), tj.compile(f)
    names, combinations = library.sizes()
    assert {*names} == {*ahead}
    for values in (*combinations, *combinations):
        args = [made(spec, dict(zip(names, values)), arrays) for spec in specs]
        assert bits(instance(*flat(args))) == bits(compiled(*args))


def scored(x, y):
    """Several names, in several places; results of sizes that are made of them, and numbers that are sizes."""
    n, m = x.shape[0], y.shape[0]
    pairs = (x[:, None] * y[None]).reshape(-1)
    return {
        "pairs": pairs,
        "half": x[: n // 2],
        "both": tj.concat([x, y, y]),
        "n": n,
        "nm": n * m + 1,
    }


@pytest.fixture(scope="module")
def open_library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    folder = tmp_path_factory.mktemp("scored")
    sizes = {"n": (2, 4, 5), "m": (1, 3)}
    return exported(folder, scored, "float32[n]", "float32[m]", sizes=sizes, name="scored")


def test_what_is_open_is_told(open_library: Library) -> None:
    names, combinations = open_library.sizes()
    assert names == ["n", "m"]
    assert combinations == [(2, 1), (2, 3), (4, 1), (4, 3), (5, 1), (5, 3)]
    assert open_library.infos("input") == [
        ("x", "float32", ("n",), False),
        ("y", "float32", ("m",), False),
    ]
    assert open_library.infos("output") == [
        ("result.pairs", "float32", ("n*m",), False),
        ("result.half", "float32", ("(n // 2)",), False),
        ("result.both", "float32", ("2*m+n",), False),
        ("result.n", "int64", (), True),
        ("result.nm", "int64", (), True),
    ]
    assert open_library["size_name"](2) is None
    assert not open_library["combination"](6)


def test_the_header_tells_what_is_open(tmp_path: Path) -> None:
    sizes = {"n": (2, 5), "m": (1,)}
    library = exported(tmp_path, scored, "float32[n]", "float32[m]", sizes=sizes, name="scored")
    told = (tmp_path / "include/scored.h").read_text()
    for part in (
        "     x  float32[n]\n",
        "     result.pairs  float32[n*m]\n",
        "     n, m; there is code for\n     n=2, m=1\n     n=5, m=1\n*/",
    ):
        assert part in told
    assert library.sizes()[1] == [(2, 1), (5, 1)]


def test_fixed_sizes_are_one_combination_of_none(tmp_path: Path) -> None:
    library = exported(tmp_path, lambda x: x * 2, tj.ones(3))
    assert library.sizes() == ([], [()])
    assert library.output_shape(0, [value_of(numbers(3))]) == (3,)
    assert "calls choose" not in (tmp_path / "include/f.h").read_text().split("*/")[0]
    assert "Sizes that each call chooses:\n     none\n*/" in (tmp_path / "include/f.h").read_text()


def test_shapes_of_results_are_known_before_the_call(open_library: Library) -> None:
    x, y = value_of(numbers(5)), value_of(numbers(3))
    x.data = y.data = None  # nothing but dtypes and shapes is looked at
    shapes = [open_library.output_shape(number, [x, y]) for number in range(5)]
    assert shapes == [(15,), (2,), (11,), (), ()]
    with pytest.raises(Failed, match="there are 5 results, and none of number 5"):
        open_library.output_shape(5, [x, y])
    with pytest.raises(Failed, match="2 arguments are wanted, and 1 given"):
        open_library.output_shape(0, [x])
    with pytest.raises(Failed, match=r"argument x is float32\[n\], got float64\[5\]"):
        open_library.output_shape(0, [value_of(numbers(5).astype(float)), y])


def test_strides_and_results_are_checked_for_the_sizes_of_the_call(open_library: Library) -> None:
    instance = open_library.create()
    x, y = numbers(10)[::-2], numbers(9, seed=1)[::3]
    results = [np.zeros(30, np.float32)[::2], np.zeros(2, np.float32), np.zeros(11, np.float32)]
    outputs = [*map(value_of, results), value_of(0), value_of(0)]
    found = instance.run([value_of(x), value_of(y)], outputs)
    expected = scored(tj.tensor(x.copy()), tj.tensor(y.copy()))
    given = [*results, *(int(each.number.integer) for each in [*found][3:])]
    assert bits([np.ascontiguousarray(each) for each in results] + given[3:]) == bits(expected)
    outputs[1] = value_of(np.zeros(3, np.float32))
    with pytest.raises(Failed, match=r"result result.half is float32\[2\], got float32\[3\]"):
        instance.run([value_of(x), value_of(y)], outputs)


def test_sizes_that_do_not_fit_are_told(tmp_path: Path, open_library: Library) -> None:
    instance, x, y = open_library.create(), numbers(5), numbers(3)
    there = "n=2, m=1; n=2, m=3; n=4, m=1; n=4, m=3; n=5, m=1; n=5, m=3"
    with pytest.raises(Failed) as failed:
        instance(numbers(3), y)
    expected = f"there is no code for n=3, m=3, but for {there}"
    assert (failed.value.code, failed.value.message) == ("sizes", expected)
    for wrong in (numbers(5, 1), numbers(5).astype(np.int32), 1.0):
        with pytest.raises(Failed, match=r"argument x is float32\[n\], got ") as failed:
            instance(wrong, y)
        assert failed.value.code == "argument"
    negative = value_of(x)
    negative.shape[0] = -1
    with pytest.raises(Failed, match="there is no code for n=-1, m=3"):
        open_library.output_shape(0, [negative, value_of(y)])
    nowhere = value_of(x)
    nowhere.data = None
    with pytest.raises(Failed, match="argument x has no memory"):
        instance(nowhere, y)

    def add(x, y):
        return x + y

    specs = "float32[batch, 3]", "float32[batch, 3]"
    both = exported(tmp_path, add, *specs, sizes={"batch": (2, 4)}, name="add")
    message = "batch is 2 by argument x, and 4 by argument y"
    with pytest.raises(Failed) as failed:
        both.create()(numbers(2, 3), numbers(4, 3))
    assert (failed.value.code, failed.value.message) == ("argument", message)
    with pytest.raises(Failed, match=r"argument y is float32\[batch,3\], got float32\[2,4\]"):
        both.create()(numbers(2, 3), numbers(2, 4))


def test_many_sizes_are_told_as_far_as_there_is_room(tmp_path: Path) -> None:
    sizes = {"a_name_of_some_length": range(1000, 1064)}
    library = exported(tmp_path, lambda x: x + 1, "float32[a_name_of_some_length]", sizes=sizes)
    with pytest.raises(Failed) as failed:
        library.create()(numbers(3))
    assert failed.value.message.startswith("there is no code for a_name_of_some_length=3, but for ")
    assert len(failed.value.message) == 1023
    x = numbers(1063)
    assert bits(library.create()(x)) == bits(x + 1)


def steps() -> tuple[Callable[..., Any], Any, Any]:
    tj.random.seed(5)
    model = network()
    return tj.compile(train_step), model, optim.Adam(model.parameters(), lr=0.01)


def rows_of(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    classes = np.random.default_rng(seed).integers(0, 4, size)
    return numbers(size, 12, seed=seed), classes


def test_a_training_step_goes_on_with_other_sizes(tmp_path: Path) -> None:
    step, model, optimizer = steps()
    specs = model, optimizer, "float32[batch, 12]", "int64[batch]"
    tj.export(step, specs, tmp_path / "step.tj", sizes={"batch": (2, 4, 9)})
    library = exported(tmp_path, step, *specs, sizes={"batch": (2, 4, 9)})
    loaded, first, second = tj.load(tmp_path / "step.tj"), library.create(), library.create()
    assert "model.0.weight.grad" not in first.state()
    for n, size in enumerate((4, 9, 4, 2, 2, 9, 4)):
        images, labels = rows_of(size, n)
        expected = bits(step(model, optimizer, tj.tensor(images), tj.tensor(labels)))
        assert bits(first(images, labels)) == expected == bits(loaded(images, labels))
        state = first.state()
        for name, value in model.state_dict().items():
            assert bits(state[f"model.{name}"]) == bits(value)
        if n % 2:  # into memory that belongs to frames of several sizes by now, and out of it
            for name, value in state.items():
                second.set(name, value)
            assert bits(second.state()) == bits(state)
            first, second = second, first
    assert {value for name, value in state.items() if name.endswith(".step")} == {7}


def test_state_that_calls_of_some_sizes_leave_as_it_is(tmp_path: Path) -> None:
    """For no rows the write has no elements; what other calls have written stays."""
    kept, total = tj.zeros((4, 2)), tj.zeros(())

    def f(x):
        kept[1:3].add_(x.sum())
        total.add_(x.sum())
        return kept * 2, x * total

    library = exported(tmp_path, f, "float32[n, 2]", sizes={"n": (0, 1, 3)})
    instance = library.create()
    for n, size in enumerate((3, 0, 1, 0, 3)):
        x = numbers(size, 2, seed=n)
        assert bits(instance(x)) == bits(f(tj.tensor(x)))
    assert bits(instance.get("kept")) == bits(kept)


def test_decisions_loops_and_exceptions(tmp_path: Path) -> None:
    calls = 0

    def f(x):
        nonlocal calls
        calls += 1
        if not tj.isfinite(x).all():
            raise ValueError("not finite")
        rounds = 0
        while x.max() > 1:
            x, rounds = x / 2, rounds + x.shape[0]
        return x, rounds

    instance = exported(tmp_path, f, "float32[n, 2]", sizes={"n": (1, 3)}).create()
    for n, size in enumerate((3, 1, 3)):
        x = 10 * np.abs(numbers(size, 2, seed=n))
        assert bits(instance(x)) == bits(f(tj.tensor(x)))
        with pytest.raises(Failed, match="ValueError: not finite"):
            instance(np.full((4 - size, 2), np.nan, np.float32))
    assert instance.get("calls") == 6


def test_indices_are_checked_by_the_sizes_of_the_call(tmp_path: Path) -> None:
    library = exported(
        tmp_path, lambda x, at: x[at], "float32[n]", "int64[k]", sizes={"n": (3, 6), "k": (2,)}
    )
    instance = library.create()
    for n in (3, 6):
        x = numbers(n)
        assert bits(instance(x, np.array([n - 1, -n]))) == bits(x[[n - 1, -n]])
        with pytest.raises(Failed, match=f"out of bounds for axis 0 with size {n}"):
            instance(x, np.array([0, n]))


def test_threads_call_one_instance_with_several_sizes(tmp_path: Path) -> None:
    weight, total = tj.tensor(numbers(3, 2)), tj.zeros(())

    def product(x):
        return tj.tanh(x @ weight)

    def counted(x):
        total.add_(x.sum())
        return total

    sizes = {"n": (1, 16, 64)}
    given = [numbers((1, 16, 64)[n % 3], 3, seed=n) for n in range(150)]
    instance = exported(tmp_path, product, "float32[n, 3]", sizes=sizes, name="product").create(2)
    expected = [bits(instance(x)) for x in given]
    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(lambda x: bits(instance(x)), given)] == expected
    changing = exported(tmp_path, counted, "float32[n, 3]", sizes=sizes, name="counted").create(2)
    ones = [np.ones((len(x), 3), np.float32) for x in given]
    with ThreadPoolExecutor(8) as pool:
        [*pool.map(changing, ones)]
    assert changing.get("total") == sum(x.size for x in given)


def test_a_level_has_code_for_all_sizes(tmp_path: Path) -> None:
    from tracejit.runtime.cpu.target import LEVELS, _can_run, host

    names = [name for name, level in LEVELS.items() if _can_run(host(), level)]
    how = {"targets": [f"cpu:{name}" for name in names], "sizes": {"n": (1, 20)}}

    def f(x):
        return tj.tanh(x @ x.T).sum(axis=0)

    library = exported(tmp_path, f, "float32[n, 37]", **how)
    for name in names:
        instance = library.create(level=name)
        with tj.config.scope(target=name):
            for size in (20, 1):
                x = numbers(size, 37)
                assert bits(instance(x)) == bits(tj.compile(f)(tj.tensor(x)))


def test_alike_kernels_are_stored_once(tmp_path: Path) -> None:
    """Of sizes that are planned alike."""
    archives = []
    for sizes in ((1000,), (1000, 2000, 3000)):
        folder = tmp_path / str(len(sizes))
        exported(folder, lambda x: tj.exp(x) * 2, "float32[n]", sizes={"n": sizes})
        data = (folder / "lib/libf.a").read_bytes()
        archives.append(
            {part.partition(b"/")[0] for part in data.split(b"\n") if b"_kernel" in part[:40]}
        )
    assert archives[0] == archives[1]


def test_the_command_leaves_sizes_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "exported_open.py").write_text("def twice(x):\n    return x * 2\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    command = ["export", "exported_open:twice", "--args", "float32[n,3]", "--c", "out"]
    assert cli.main([*command, "--sizes", "n=1,8"]) == 0
    assert capsys.readouterr().out == "out: a library for C\n"
    library = Library(tmp_path / "out", "twice")
    assert library.sizes() == (["n"], [(1,), (8,)])
    assert bits(library.create()(numbers(8, 3))) == bits(numbers(8, 3) * 2)
