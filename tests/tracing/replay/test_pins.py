"""Guards of modules and parameters that are not asked again while the words of memory that they have read are the same."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracejit as tj
from tests.tracing.replay.test_native import bits, taken
from tracejit import nn
from tracejit._native import dicts
from tracejit._native.abi import Abi, abi, offset_of
from tracejit.autograd.node import Handle
from tracejit.nn.parameter import Parameter
from tracejit.ops.op import Layout
from tracejit.runtime.cpu.native import pinned
from tracejit.runtime.cpu.native.install import installed
from tracejit.runtime.cpu.native.writer import Writer
from tracejit.storage import Storage
from tracejit.tensor import Tensor
from tracejit.tracing.replay import tree

_found = abi()
pytestmark = pytest.mark.skipif(installed() is None, reason="native code is not used")
needs_words = pytest.mark.skipif(
    not isinstance(_found, Abi) or not _found.has_entries, reason="dicts are not told by words"
)
SIZE = 3


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "NATIVE_AFTER", 1)


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Those of ways that are written from here on."""
    made: list[np.ndarray] = []

    def zeros(*args: Any) -> np.ndarray:
        made.append(np.zeros(*args))
        return made[-1]

    monkeypatch.setattr(pinned, "new_table", zeros)
    return made


class Scaled(nn.Module):
    """A module of the user's, which writes to itself in each call."""

    def __init__(self) -> None:
        self.scale = Parameter(tj.tensor(np.linspace(0.5, 2.0, SIZE, dtype=np.float32)))
        self.register_buffer("shift", tj.ones(SIZE))
        self.calls = 0

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return x * self.scale + self.shift


class Model:
    """A network, and a compiled function that calls it."""

    def __init__(self) -> None:
        tj.random.seed(7)
        parts = [nn.Linear(SIZE, SIZE), nn.ReLU(), Scaled(), nn.Linear(SIZE, SIZE)]
        self.net = nn.Sequential(*parts)
        net = self.net

        def forward(x: Any) -> Any:
            return net(x)

        self.plain = forward
        self.compiled = tj.compile(forward)
        self.x = tj.tensor(np.linspace(-1, 1, SIZE, dtype=np.float32).reshape(1, SIZE))

    @property
    def linear(self) -> Any:
        return self.net._modules["0"]

    @property
    def weight(self) -> Any:
        return self.linear._parameters["weight"]

    def warm(self) -> Model:
        for _ in range(6):
            self.compiled(self.x)
        assert taken(self.compiled, self.x)
        weight = self.weight
        parts = weight, weight.storage, weight.storage.buffer, weight.autograd, self.linear.__dict__
        self.kept = (
            *parts,
            self.linear,
        )  # else what takes their place might lie at their addresses
        return self

    def agrees(self) -> bool:
        return seen(self.compiled, self.x) == seen(self.plain, self.x)


def seen(f: Callable[..., Any], x: Any) -> Any:
    """The result of a call and its gradients, or the class of what it raises."""
    try:
        result = f(x)
        if not result.requires_grad:
            return bits(result), False
        result.sum().backward()
    except Exception as error:
        return type(error)
    return bits(result), True


def other(kind: Any = np.float32) -> tj.Tensor:
    return tj.tensor(np.arange(SIZE * SIZE).reshape(SIZE, SIZE).astype(kind))


def _memory(model: Model, put: Callable[[Any, str, Any], None]) -> None:
    put(model.weight, "storage", other().storage)


def _by_descriptor(target: Any, name: str, value: Any) -> None:
    type(target).__mro__[1].__dict__[name].__set__(target, value)


def _dtype(model: Model) -> None:
    weight, new = model.weight, other(np.int32)
    weight.aval, weight.layout, weight.storage = new.aval, new.layout, new.storage


def _pending(model: Model) -> None:
    """The memory is there, and a value to come supersedes it."""

    class Recorder:
        def realize(self, storage: Storage) -> None:
            storage.pending, storage.buffer = None, other().storage.buffer

    model.weight.storage.pending = Recorder(), None


def _forget_bias(model: Model) -> None:
    model.linear.bias = None


def _reused(model: Model) -> None:
    """Another parameter, perhaps at the address of the one before."""
    model.kept = ()
    del model.linear._parameters["weight"]
    gc.collect()
    model.linear.weight = Parameter(other())


def _emptied(model: Model) -> None:
    model.linear.__dict__ = {
        **model.linear.__dict__,
        "_parameters": {"weight": Parameter(other()), "bias": None},
    }


class _Doubled(nn.Linear):
    def forward(self, x: Any) -> Any:
        return super().forward(x) * 2.0


def _set_class(target: Any, kind: type) -> None:
    target.__class__ = kind


def _rebuilt(model: Model, twin: Callable[[Any], Any]) -> None:
    model.net._modules["0"] = twin(model.linear)
    with tj.no_grad():
        model.weight.mul_(-1.5)


MUTATIONS: dict[str, Callable[[Model], Any]] = {
    "elements": lambda m: _in_place(m.weight),
    "memory": lambda m: _memory(m, setattr),
    "memory, past the class": lambda m: _memory(m, object.__setattr__),
    "memory, by the slot": lambda m: _memory(m, _by_descriptor),
    "buffer": lambda m: setattr(m.weight.storage, "buffer", other().storage.buffer),
    "pending": _pending,
    "layout": lambda m: setattr(m.weight, "layout", Layout((SIZE, SIZE), (1, SIZE))),
    "dtype": _dtype,
    "dtype alone": lambda m: setattr(m.weight, "aval", other(np.int32).aval),
    "class of a parameter": lambda m: _set_class(m.weight, Tensor),
    "class of a module": lambda m: _set_class(m.linear, _Doubled),
    "no gradient": lambda m: m.weight.requires_grad_(False),
    "no gradients": lambda m: m.net.requires_grad_(False),
    "flag of the handle": lambda m: setattr(m.weight.autograd, "requires_grad", False),
    "no handle": lambda m: setattr(m.weight, "autograd", None),
    "another handle": lambda m: setattr(m.weight, "autograd", Handle(None, 0, requires_grad=False)),
    "hook": lambda m: m.weight.register_hook(lambda g: g * 2),
    "part of another": lambda m: m.linear._parameters.update(weight=_as_parameter(tj.ones((2 * SIZE, SIZE))[::2])),
    "new parameter": lambda m: setattr(m.linear, "weight", Parameter(other())),
    "new parameter, past the class": lambda m: m.linear._parameters.update(weight=Parameter(other())),
    "another one at its address": _reused,
    "no bias": _forget_bias,
    "another dict": _emptied,
    "shadowed": lambda m: m.linear.__dict__.update(weight=other()),
    "forward of its own": lambda m: m.linear.__dict__.update(forward=lambda x: x * 3.0),
    "new module": lambda m: m.net._modules.update({"0": nn.Linear(SIZE, SIZE)}),
    "a module less": lambda m: m.net._modules.pop("1"),
    "modules in another order": lambda m: m.net._modules.update({"1": m.net._modules.pop("1")}),
    "buffer of a module": lambda m: m.net._modules["2"].register_buffer("shift", tj.zeros(SIZE)),
    "dtype of the model": lambda m: m.net.to(tj.float64) and setattr(m, "x", m.x.astype(tj.float64)),
    "state": lambda m: m.linear.load_state_dict({"weight": other(), "bias": tj.ones(SIZE)}),
    "copied": lambda m: _rebuilt(m, copy.deepcopy),
    "pickled": lambda m: _rebuilt(m, lambda module: pickle.loads(pickle.dumps(module))),
    "evaluation": lambda m: m.net.eval(),
    "gradient": lambda m: setattr(m.weight, "grad", other()),
}  # fmt: skip


def _in_place(weight: Any) -> None:
    with tj.no_grad():
        weight.mul_(-2.0)


def _as_parameter(tensor: Any) -> Any:
    tensor.requires_grad_()
    tensor.__class__ = Parameter
    return tensor


@needs_words
def test_a_call_compares_words_instead_of_asking(tables: list[np.ndarray]):
    model = Model().warm()
    (table,) = tables
    count = int(table[0])
    assert count > 40
    table[0] = 0  # nothing is known
    assert taken(model.compiled, model.x)
    assert table[0] == count


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_what_has_changed_is_seen(mutation: str):
    model = Model().warm()
    MUTATIONS[mutation](model)
    for _ in range(4):
        assert model.agrees()


PATCHES: dict[str, tuple[Any, str, Any]] = {
    "function": (nn.functional, "linear", lambda x, weight, bias=None: x * 3.0),
    "module": (nn.linear, "F", SimpleNamespace(linear=lambda x, weight, bias=None: x * 4.0)),
    "method": (nn.Linear, "forward", lambda self, x: x * 5.0),
    "method of a base": (nn.Module, "__call__", lambda self, *args: args[0] * 6.0),
    "method before one of a base": (nn.Linear, "__call__", lambda self, *args: args[0] * 7.0),
    "descriptor before an attribute": (nn.Sequential, "_modules", property(lambda self: {})),
    "attribute of the user's class": (Scaled, "forward", lambda self, x: x * 8.0),
}


@pytest.mark.parametrize("patch", PATCHES)
def test_what_has_changed_of_classes_and_modules_is_seen(
    patch: str, monkeypatch: pytest.MonkeyPatch
):
    model = Model().warm()
    before = seen(model.compiled, model.x)
    monkeypatch.setattr(*PATCHES[patch], raising=False)
    assert model.agrees()
    assert seen(model.compiled, model.x) != before
    monkeypatch.undo()
    assert seen(model.compiled, model.x) == before


@settings(max_examples=8, deadline=None)
@given(st.lists(st.sampled_from(sorted(MUTATIONS)), min_size=2, max_size=8))
def test_random_changes(mutations: list[str]):
    model = Model().warm()
    for mutation in mutations:
        try:
            MUTATIONS[mutation](model)
        except (KeyError, AttributeError, RuntimeError, TypeError, ValueError):
            continue  # there is no weight any more, or it is of another kind
        for _ in range(2):
            assert model.agrees(), mutation


NEEDED = {
    "storage": (offset_of(Tensor, "storage"), "memory"),
    "layout": (offset_of(Tensor, "layout"), "layout"),
    "aval": (offset_of(Tensor, "aval"), "dtype alone"),
    "autograd": (offset_of(Tensor, "autograd"), "another handle"),
    "requires_grad": (offset_of(Handle, "requires_grad"), "flag of the handle"),
    "hooks": (offset_of(Handle, "hooks"), "hook"),
    "buffer": (offset_of(Storage, "buffer"), "buffer"),
    "pending": (offset_of(Storage, "pending"), "pending"),
    "class": (8, "class of a parameter"),
    "dict": (-24, "another dict"),
    **({"version": (24, "new parameter")} if dicts.have_versions() else {}),
}
"""What is not noted -> where it lies, and a change that is not seen then."""


@needs_words
@pytest.mark.parametrize("word", NEEDED)
def test_each_word_is_needed(word: str, monkeypatch: pytest.MonkeyPatch):
    offset, mutation = NEEDED[word]
    note = Writer.note

    def fewer(self: Any, pointer: str, at: int, value: str, kind: str = "ptr") -> None:
        if at != offset or (word == "version") != (kind == "i64"):
            note(self, pointer, at, value, kind)

    monkeypatch.setattr(Writer, "note", fewer)
    model = Model()
    # So many attributes that their dict does not have its values apart, which are moved where it is replaced.
    for k in range(40):
        setattr(model.linear, f"more{k}", k)
    model.warm()
    MUTATIONS[mutation](model)
    assert not model.agrees() or taken(model.compiled, model.x) != _is_taken_after(
        mutation, monkeypatch
    )


def _is_taken_after(mutation: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether machine code takes a call after a change where all is noted."""
    monkeypatch.undo()
    monkeypatch.setattr(tree, "NATIVE_AFTER", 1)
    model = Model().warm()
    MUTATIONS[mutation](model)
    return taken(model.compiled, model.x)


@needs_words
def test_gradients_that_are_written_change_no_words(tables: list[np.ndarray]):
    model = Model().warm()
    (table,) = tables
    words = table.copy()
    for _ in range(3):
        model.compiled(model.x).sum().backward()
        model.net.zero_grad()
    assert (table == words).all()


def test_a_dead_model_is_let_go_of():
    model = Model().warm()
    compiled = model.compiled
    memory = [weakref.ref(parameter.storage) for parameter in model.net.parameters()]
    compiled.function.__closure__[0].cell_contents = None
    del model
    gc.collect()
    assert not any(ref() is not None for ref in memory)


def test_threads_that_change_a_model_and_call_it():
    model = Model().warm()
    values = [other(), other() * -1.0]
    allowed = []
    for value in values:
        with tj.no_grad():
            model.weight.copy_(value)
        allowed.append(bits(model.plain(model.x)))
    stop = threading.Event()

    def change() -> None:
        place = 0
        while not stop.is_set():
            model.linear.weight = Parameter(values[place])
            place = 1 - place

    thread = threading.Thread(target=change)
    thread.start()
    try:
        found = [bits(model.compiled(model.x)) for _ in range(3000)]
    finally:
        stop.set()
        thread.join()
    assert all(each in allowed for each in found)


def test_two_models_of_one_function():
    models = [Model().net for _ in range(3)]
    x = Model().x

    def f(model: Any, x: Any) -> Any:
        return model(x)

    compiled = tj.compile(f)
    for _ in range(5):
        for model in models:
            assert bits(compiled(model, x)) == bits(f(model, x))
            with tj.no_grad():
                model._modules["0"].weight.add_(0.5)
    assert taken(compiled, models[1], x)
