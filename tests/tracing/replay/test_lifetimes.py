"""A compiled function keeps nothing alive: models, optimizers, tensors and arrays die when their owners let go."""

from __future__ import annotations

import functools
import gc
import linecache
import sys
import types
import weakref
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit.tracing import programs
from tracejit.tracing.closed import is_closed
from tracejit.tracing.compile import MOST_DIVERGENCES
from tracejit.tracing.instrument import functions
from tracejit.tracing.replay import engine, lasting, misses, places, touched, tree
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.tree import MOST_ROOTS


class Model(tj.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = tj.nn.Linear(3, 2)
        self.scale = 2.0
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.layer(x).relu() * self.scale


class Box:
    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def method(self, x):
        return self.weight * x


def train(model, optimizer, x):
    optimizer.zero_grad()
    loss = (model(x) ** 2).mean()
    loss.backward()
    optimizer.step()
    return loss


def training() -> tuple[Any, ...]:
    model = Model()
    return model, tj.optim.Adam(model.parameters(), lr=0.01), tj.ones((4, 3))


def stored(box, x):
    box.weight.add_(x)
    box.last = x * 2
    box.log.append(box.last)
    box.names["x"] = x
    return box.last


def storing() -> tuple[Any, ...]:
    return Box(weight=tj.ones(3), log=[], names={}), tj.ones(3)


def with_callback(box, x):
    return box.callback(x) + box.part(x)


def calling_back() -> tuple[Any, ...]:
    box = Box(weight=tj.ones(3))
    box.callback, box.part = box.method, functools.partial(Box.method, box)
    return box, tj.ones(3)


def of_arrays(a, box):
    a += 1
    box.last = a * 2
    return box.last


def with_arrays() -> tuple[Any, ...]:
    return np.ones(3), Box(last=None)


def by_data(box, x):
    while (box.weight * x).sum() < 100:
        box.weight.mul_(2)
    return box.weight * 1


@pytest.mark.parametrize(
    ("function", "world"),
    [
        (train, training),
        (stored, storing),
        (with_callback, calling_back),
        (of_arrays, with_arrays),
        (by_data, storing),
    ],
)
@pytest.mark.parametrize("verify", [0, 2])
def test_arguments_die_while_the_compiled_function_lives(function: Any, world: Any, verify: int):
    f = tj.compile(function, verify=verify)
    refs = []
    for _ in range(3):
        args = world()
        refs += [weakref.ref(arg) for arg in args]
        for _ in range(5):
            result = f(*args)
        refs.append(weakref.ref(result))
        del args, result
    gc.collect()
    assert [ref for ref in refs if ref() is not None] == []
    assert tj.explain(f).calls["replay"]
    assert tj.explain(f).divergences == ()


def test_arguments_of_calls_in_tier_1_die():
    @tj.compile
    def f(box, x):
        print(box)
        box.last = x * 2
        return box.last

    box, x = Box(last=None), tj.ones(3)
    refs = [weakref.ref(box), weakref.ref(x)]
    for _ in range(4):
        f(box, x)
    assert tj.explain(f).tier == 1
    del box, x
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


def test_arguments_of_calls_that_raised_die():
    @tj.compile
    def f(x):
        return x @ tj.ones((2, 2))

    x = tj.ones(3)
    ref = weakref.ref(x)
    for _ in range(3):
        with pytest.raises(tj.ShapeError):
            f(x)
    del x
    gc.collect()
    assert ref() is None


def test_what_the_function_closes_over_dies_with_it():
    def world() -> list[weakref.ref[Any]]:
        model, optimizer, x = training()
        cache: dict[str, Any] = {}

        @tj.compile
        def f(x):
            cache["last"] = x
            return train(model, optimizer, x)

        for _ in range(5):
            f(x)
        assert tj.explain(f).calls["replay"]
        return [weakref.ref(each) for each in (model, optimizer, x, f, f.function, f.replays.tree)]

    refs = world()
    gc.collect()
    assert [ref for ref in refs if ref() is not None] == []


def test_methods_of_many_instances_leave_none_behind():
    class Layer:
        def __init__(self, k: float) -> None:
            self.weight = tj.full(3, k)

        @tj.compile
        def forward(self, x):
            return x * self.weight

    refs = []
    for k in range(20):
        layer = Layer(float(k))
        assert layer.forward(tj.ones(3)).tolist() == [k] * 3
        refs.append(weakref.ref(layer))
    del layer
    gc.collect()
    assert [ref for ref in refs if ref() is not None] == []
    assert tj.explain(Layer.forward).calls == {"replay": 19, "record": 1, "eager": 0}


def dead(refs: list[weakref.ref[Any]]) -> bool:
    gc.collect()
    return all(ref() is None for ref in refs)


def test_functions_that_were_arguments_die():
    @tj.compile
    def f(g, x):
        return g(x)

    refs = []
    for k in range(3 * MOST_ROOTS):
        weight = tj.full(3, float(k))
        g = made_scaling(weight, 0 if k else 1)
        refs += [weakref.ref(g), weakref.ref(weight)]
        for _ in range(1 + 3 * (k == 0)):
            assert f(g, tj.ones(3)).tolist() == [k or 1.0] * 3
        del g, weight
    assert tj.explain(f).calls["replay"]
    assert dead(refs)
    assert len(f.replays.tree.pool.names) < 100


def test_a_function_at_the_place_of_a_dead_one_is_another():
    @tj.compile
    def f(g, x):
        return g(x)

    ids = set()
    for k in range(200):
        g = made_adding(k) if k % 2 else made_multiplying(k)
        ids.add(id(g))
        assert f(g, tj.ones(3)).tolist() == [k + 1 if k % 2 else k] * 3
        del g
    assert len(ids) < 200, "ids are used again"


def made_scaling(weight: Any, shift: int) -> Any:
    return lambda x: x * weight + shift


def made_adding(k: int) -> Any:
    return lambda x: x + k


def made_multiplying(k: int) -> Any:
    return lambda x: x * k


def test_functions_in_state_die_when_they_are_replaced():
    @tj.compile
    def f(box, x):
        return box.function(x) + box.table["g"](x)

    box = Box(table={})
    refs = []
    for k in range(6):
        weight = tj.full(3, float(k))
        box.function = box.table["g"] = lambda x, weight=weight: x * weight
        refs += [weakref.ref(box.function), weakref.ref(weight)]
        for _ in range(3):
            assert f(box, tj.ones(3)).tolist() == [2.0 * k] * 3
    assert tj.explain(f).calls["replay"] >= 6
    box.function, box.table["g"] = None, None
    del weight
    assert dead(refs)


def test_models_die_whose_methods_were_arguments():
    @tj.compile
    def f(method, x):
        return method(x)

    refs = []
    for _ in range(4):
        model = Model()
        for _ in range(4):
            f(model.forward, tj.ones((4, 3)))
        refs.append(weakref.ref(model))
    assert tj.explain(f).calls["replay"] >= 9
    del model
    assert dead(refs)


def local_class(k: float) -> type:
    class Layer:
        shared = tj.full(3, k)
        kinds: Any = []

        def __init__(self) -> None:
            self.weight = tj.ones(3)

        @property
        def doubled(self):
            return self.weight * 2

        @staticmethod
        def shifted(x):
            return x + k

        @classmethod
        def named(cls, x):
            return x * cls.shared

        def __call__(self, x):
            return self.named(self.shifted(x)) * self.doubled

    class Slotted(Layer):
        __slots__ = ("bias",)

        def __init__(self) -> None:
            super().__init__()
            self.bias = tj.full(3, k)

        def __call__(self, x):
            return super().__call__(x) + self.bias * len(self.kinds)

    return Slotted


def test_local_classes_die_whose_instances_were_arguments():
    @tj.compile
    def f(layer, x):
        return layer(x)

    refs = []
    for k in range(6):
        kind = local_class(float(k))
        layer = kind()
        refs += [weakref.ref(each) for each in (kind, kind.__mro__[1], kind.shared, layer)]
        for _ in range(3):
            assert f(layer, tj.ones(3)).tolist() == [2.0 * k * (1 + k)] * 3
        del kind, layer
    assert tj.explain(f).calls["replay"] >= 6, tj.explain(f)
    assert dead(refs)


def test_objects_of_local_classes_are_made_and_returned():
    @tj.compile
    def f(kind, x):
        made = kind()
        made.weight = x * 2
        return made

    refs = []
    for k in range(3):
        kind = local_class(float(k)).__mro__[1]
        for _ in range(3):
            made = f(kind, tj.ones(3))
            assert type(made) is kind
            assert made.weight.tolist() == [2.0] * 3
        refs += [weakref.ref(kind), weakref.ref(made)]
        del kind, made
    assert tj.explain(f).calls["replay"] >= 3, tj.explain(f)
    assert dead(refs)


def test_models_in_a_closure_die_when_they_are_replaced():
    model, optimizer, x = training()

    @tj.compile
    def f(x):
        return train(model, optimizer, x)

    refs = []
    for _ in range(4):
        model, optimizer, x = training()
        refs += [weakref.ref(model), weakref.ref(optimizer)]
        for _ in range(4):
            f(x)
    assert tj.explain(f).calls["replay"] >= 12
    model = optimizer = None
    assert dead(refs)


def test_models_die_that_the_closure_of_an_argument_holds():
    @tj.compile
    def f(step, x):
        return step(x)

    def stepping() -> tuple[Any, list[weakref.ref[Any]]]:
        model, optimizer, _ = training()
        total = tj.zeros(())

        def step(x):
            nonlocal total
            loss = train(model, optimizer, x)
            total = total + loss.detach()
            return loss

        return step, [weakref.ref(each) for each in (model, optimizer, step)]

    refs = []
    for _ in range(3):
        step, more = stepping()
        refs += more
        for _ in range(4):
            f(step, tj.ones((4, 3)))
        del step
    assert tj.explain(f).calls["replay"] >= 6
    assert dead(refs)


def test_results_die():
    @tj.compile
    def f(w, x):
        loss = (w * x).sum()
        return {"loss": loss, "made": [x * 2, lambda: loss]}

    w, x = tj.ones(3).requires_grad_(), tj.ones(3)
    refs = []
    for _ in range(4):
        result = f(w, x)
        refs += [weakref.ref(each) for each in (result["loss"], *result["made"])]
        del result
    assert tj.explain(f).calls["replay"]
    assert dead(refs)


def test_a_compiled_function_in_a_cycle_dies():
    def world() -> list[weakref.ref[Any]]:
        box = Box(weight=tj.ones(3))

        @tj.compile
        def f(x):
            box.calls = f
            return box.method(x)

        box.f = f
        for _ in range(4):
            f(tj.ones(3))
        return [weakref.ref(each) for each in (box, f, f.function, f.replays.tree)]

    assert dead(world())


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs cells in one module, each with a text of its own."""
    module = types.ModuleType("a_notebook")
    monkeypatch.setitem(sys.modules, "a_notebook", module)
    module.tj = tj  # type: ignore[attr-defined]
    count = 0

    def run(text: str) -> dict[str, Any]:
        nonlocal count
        count += 1
        file = f"<cell {count} of a notebook>"
        monkeypatch.setitem(linecache.cache, file, (len(text), None, text.splitlines(True), file))
        exec(compile(text, file, "exec"), module.__dict__)
        return module.__dict__

    return run


def test_what_a_notebook_defines_again_dies(notebook: Any):
    names = notebook("@tj.compile\ndef f(x):\n    return g(x) + Scale().times(x)\n")
    refs = []
    for k in range(100):
        notebook(
            f"weight{k % 2} = tj.full(3, {k}.0)\n"
            f"def g(x, weight=weight{k % 2}):\n    return x * weight\n"
            f"class Scale:\n    def times(self, x):\n        return x * {k}\n"
        )
        refs += [weakref.ref(names["g"]), weakref.ref(names["Scale"])]
        for _ in range(3):
            assert names["f"](tj.ones(3)).tolist() == [2.0 * k] * 3
    f = names["f"]
    assert tj.explain(f).calls["replay"], tj.explain(f)
    assert dead(refs[:-2])
    assert len(f.replays.tree.pool.names) < 200


def test_what_is_defined_again_dies_beyond_decisions(notebook: Any):
    names = notebook(
        "@tj.compile\ndef f(x):\n    if x.sum() > 0:\n        return g(x)\n    return x - 1\n"
    )
    refs = []
    for k in range(12):
        notebook(f"def g(x):\n    return x * {k}\n")
        refs.append(weakref.ref(names["g"]))
        for _ in range(6):
            assert names["f"](tj.ones(3)).tolist() == [k] * 3
            assert names["f"](-tj.ones(3)).tolist() == [-2.0] * 3
    assert tj.explain(names["f"]).calls["replay"]
    assert dead(refs[:-1])


def test_what_is_known_of_a_recursive_function_does_not_keep_it():
    def made() -> Any:
        def power(x, n):
            return x if n == 0 else x * power(x, n - 1)

        return power

    function = made()
    assert is_closed(function)
    ref = weakref.ref(function)
    del function
    assert dead([ref])


def test_constants_are_kept_only_while_a_variant_needs_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tree, "MOST_ROOTS", few := 30)

    @tj.compile
    def f(x, n):
        return x * len(n)

    sizes = []
    for k in range(3 * few):
        f(tj.ones(k + 1), "n" * k)
        f(tj.ones(k + 1), "n" * k)
        sizes.append(len(f.replays.tree.pool.names))
    assert max(sizes[few:]) <= 1.5 * sizes[few]


def test_the_tree_begins_anew_with_too_many_constants(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tree, "MOST_CONSTANTS", 40)

    @tj.compile
    def f(x):
        return x + 1

    for size in range(1, 20):
        assert f(tj.ones(size)).tolist() == [2.0] * size
        assert f(tj.ones(size)).tolist() == [2.0] * size
        assert len(f.replays.tree.pool.names) < 80


def test_paths_of_numbers_are_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engine, "MOST_SYMBOLIC", 3)

    @tj.compile
    def f(numbers, k, x):
        return x * numbers[k]

    numbers = dict.fromkeys(map(str, range(12)), 0.0)
    for k in range(12):
        for value in range(3):
            numbers[str(k)] = float(value)
            assert f(numbers, str(k), tj.ones(3)).tolist() == [value] * 3
            assert len(f.replays.tree.symbolic) <= 4


def test_places_to_take_back_are_forgotten_with_the_recordings(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(touched, "MOST_PLACES", 5)

    @tj.compile(verify=3)
    def f(names, key, x):
        names[key] = x * 2
        return names[key]

    names: dict[str, Any] = {}
    for k in range(12):
        for _ in range(4):
            f(names, str(k), tj.ones(3))
        assert len(f.replays.touched._places) <= 7
    assert tj.explain(f).divergences == ()


def test_steps_of_programs_are_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(programs, "MOST_STEPS", 50)

    @tj.compile
    def f(x):
        return (x * 2 + 1).sum()

    for size in range(1, 60):
        assert f(tj.ones(size)).item() == 3.0 * size
        assert f.programs._steps <= 60
        assert len(f.programs.compiled) <= 60


def test_logs_are_short():
    @tj.compile
    def f(x, n):
        return x * len(n)

    for k in range(3 * misses.MOST_ENTRIES):
        f(tj.ones(k + 1), "n" * k)
    assert len([*f.replays.misses]) <= misses.MOST_ENTRIES
    f.divergences.extend(map(str, range(100)))
    with pytest.warns(RuntimeWarning, match="last"):
        f._report("last")
    assert len(f.divergences) == MOST_DIVERGENCES
    assert f.divergences[-1] == "last"


def test_what_was_replaced_is_remembered_of_few(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lasting, "_replaced", set())
    monkeypatch.setattr(lasting, "MOST_REPLACED", 10)
    for k in range(50):
        lasting.note_replaced(type(f"Kind{k}", (), {}))
        assert len(lasting._replaced) <= 10


def test_none_is_not_a_dead_object():
    """What guards refer to has died, and None stands in its place."""

    @tj.compile
    def f(box, x):
        part = box.function
        return x if part is None else part(x)

    box = Box(function=made_adding(1))
    for _ in range(3):
        assert f(box, tj.ones(3)).tolist() == [2.0] * 3
    box.function = None
    gc.collect()
    for _ in range(3):
        assert f(box, tj.ones(3)).tolist() == [1.0] * 3


def test_recordings_keep_nothing_of_their_calls():
    @tj.compile
    def f(box, x):
        n = box.n + 1
        box.n = n
        return x * n * float(x.sum())

    box = Box(n=0)
    for _ in range(6):
        f(box, tj.ones(3))
    assert tj.explain(f).calls["replay"]
    kept = {"_definition", "_outermost", "closed", "dead", "drop"}
    recordings = [each for each in gc.get_objects() if type(each) is Recording]
    assert all(vars(each).keys() == kept for each in recordings)


def test_explanations_hold_nothing():
    @tj.compile(on_miss="error")
    def f(layer, g, x):
        return g(layer(x))

    kind = local_class(1.0)
    layer, g = kind(), made_adding(1)
    for _ in range(3):
        f(layer, g, tj.ones(3))
    explained = tj.explain(f)
    with pytest.raises(tj.RecompileError, match="another function object"):
        f(layer, made_adding(2), tj.ones(3))
    refs = [weakref.ref(each) for each in (kind, layer, g)]
    del kind, layer, g
    assert dead(refs)
    assert str(tj.explain(f)) == str(explained)
    assert any("is a Slotted" in guard for guard in explained.guards)


def test_modules_that_are_let_go_die():
    @tj.compile
    def f(module, x):
        return module.g(x)

    refs = []
    for k in range(5):
        module = types.ModuleType(f"not_loaded_{k}")
        file = f"<module {k}>"
        text = f"scale = {k}\ndef g(x):\n    return x * scale\n"
        linecache.cache[file] = len(text), None, text.splitlines(True), file
        exec(compile(text, file, "exec"), module.__dict__)
        for _ in range(3):
            assert f(module, tj.ones(3)).tolist() == [k] * 3
        refs += [weakref.ref(module), weakref.ref(module.g)]
        del module, linecache.cache[file]
    assert tj.explain(f).calls["replay"] >= 5, tj.explain(f)
    assert dead(refs)


def test_instrumented_code_goes_with_the_code(notebook: Any):
    before = len(functions._rewritten)
    for k in range(20):
        names = notebook(f"@tj.compile\ndef f(x):\n    return x * {k}\n")
        assert [names["f"](tj.ones(3)).tolist() for _ in range(3)] == [[k] * 3] * 3
        gc.collect()
        assert len(functions._rewritten) <= before + 2
    assert places._kind_of.cache_info().maxsize is not None


def test_backward_passes_outside_leave_nothing_behind():
    @tj.compile
    def f(w, x):
        return (w * x).sum()

    w, x = tj.ones(3).requires_grad_(), tj.ones(3)
    for _ in range(4):
        f(w, x).backward()
    refs = [weakref.ref(w), weakref.ref(x)]
    del w, x
    gc.collect()
    assert [ref() for ref in refs] == [None, None]
