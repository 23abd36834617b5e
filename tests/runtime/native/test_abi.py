"""Native code is used only where Python and NumPy are as it expects them, and results are the same where it is not."""

from __future__ import annotations

import ctypes
import gc
import json
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tracejit._config import config
from tracejit._native import abi, dicts, entry
from tracejit._native.entry import PlainMethod
from tracejit.runtime.cpu.native import install
from tracejit.runtime.cpu.native.objects import native


@pytest.fixture(autouse=True)
def _unknown() -> Iterator[None]:
    """What is found out here is forgotten afterwards."""
    abi.abi.cache_clear()
    entry.entry_class.cache_clear()
    yield
    abi.abi.cache_clear()
    entry.entry_class.cache_clear()


def fault() -> str:
    """What differs; then nothing native is used."""
    found = abi.abi()
    assert isinstance(found, str)
    assert entry.entry_class() is PlainMethod
    assert native.__wrapped__(None) == found
    return found


def test_here_all_is_as_expected():
    found = abi.abi()
    assert isinstance(found, abi.Abi), found
    if config.native_calls:
        assert entry.entry_class() is not PlainMethod
        assert install.why_not() is None


def set_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "implementation", SimpleNamespace(name="otherpython"))


def set_width(monkeypatch: pytest.MonkeyPatch) -> None:
    real = struct.calcsize
    monkeypatch.setattr(struct, "calcsize", lambda text: 4 if text == "P" else real(text))


def set_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "byteorder", "big")


def set_free_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "abiflags", "t")


MACHINES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "this is otherpython, not CPython": set_name,
    "addresses do not have 64 bits": set_width,
    "the machine is big-endian": set_order,
    "this Python has no GIL": set_free_threads,
}


@pytest.mark.parametrize("expected", MACHINES)
def test_another_machine_or_python(monkeypatch: pytest.MonkeyPatch, expected: str):
    MACHINES[expected](monkeypatch)
    assert fault() == expected


PLACES: dict[str, tuple[str, int]] = {
    "TYPE_AT": ("objects keep their type elsewhere", 0),
    "SIZE_AT": ("tuples or lists keep their length elsewhere", 8),
    "TUPLE_ITEMS_AT": ("tuples or lists keep their items elsewhere", 16),
    "LIST_ITEMS_AT": ("tuples or lists keep their items elsewhere", 16),
    "FLOAT_AT": ("floats keep their value elsewhere", 8),
    "INTEGER_SIZE_AT": ("integers keep their digits elsewhere", 8),
    "INTEGER_DIGITS_AT": ("integers keep their digits elsewhere", 16),
    "DICT_SIZE_AT": ("dicts keep their size elsewhere", 8),
    "FLAGS_AT": ("types keep their flags elsewhere", 160),
    "ARRAY_DATA_AT": ("arrays keep their address elsewhere", 8),
    "ARRAY_NDIM_AT": ("arrays keep their rank elsewhere", 8),
    "ARRAY_SHAPE_AT": ("arrays keep their shape or strides elsewhere", 40),
    "ARRAY_STRIDES_AT": ("arrays keep their shape or strides elsewhere", 32),
    "ARRAY_DTYPE_AT": ("arrays keep their dtype elsewhere", 48),
    "ARRAY_FLAGS_AT": ("arrays keep their flags elsewhere", 16),
    "ARRAY_HANDLER_AT": ("arrays keep who frees their memory elsewhere", 80),
}


@pytest.mark.parametrize("name", PLACES)
def test_something_lies_elsewhere(monkeypatch: pytest.MonkeyPatch, name: str):
    expected, place = PLACES[name]
    assert getattr(abi, name) != place
    monkeypatch.setattr(abi, name, place)
    if name == "LIST_ITEMS_AT":
        # What lies at the wrong place is no address to look at.
        monkeypatch.setattr(abi, "word", lambda at, real=abi.word: real(at) if at % 8 == 0 else 0)
    assert fault() == expected


def test_every_place_is_checked():
    places = {name for name in vars(abi) if name.endswith("_AT") and not name.startswith("_")}
    assert places == PLACES.keys()


def test_methods_are_made_otherwise(monkeypatch: pytest.MonkeyPatch):
    """Methods of built-in classes are, which stand for those."""
    monkeypatch.setattr(abi._Sample, "sampled", property(lambda self: [].append))
    assert fault() == "methods are made otherwise"


def test_slots_lie_elsewhere(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(abi, "offset_of", lambda kind, name: 8)
    assert fault() == "slots lie elsewhere"
    monkeypatch.setattr(abi, "offset_of", lambda kind, name: None)
    abi.abi.cache_clear()
    entry.entry_class.cache_clear()
    assert fault() == "slots lie elsewhere"


def test_functions_keep_their_parts_elsewhere():
    with pytest.raises(abi._Fault, match="functions keep their code or defaults elsewhere"):
        abi._field_of(lambda function: object())


def test_numpy_s_table_is_elsewhere(monkeypatch: pytest.MonkeyPatch):
    private: Any = np
    monkeypatch.delattr(private._core._multiarray_umath, "_ARRAY_API")
    assert fault() == "NumPy has its table of functions elsewhere"


@pytest.mark.parametrize("place", [0, abi._GET_HANDLER - 1])
def test_numpy_makes_arrays_by_another_function(monkeypatch: pytest.MonkeyPatch, place: int):
    """The functions stand where others are looked for; the one that makes arrays is called, so a stand-in is."""
    made = np.zeros((2, 2))
    signature = ctypes.PYFUNCTYPE(ctypes.py_object, *[ctypes.c_void_p] * 8)
    stand_in = signature(lambda *given: made)
    address = ctypes.cast(stand_in, ctypes.c_void_p).value
    real = abi._check_new_array
    monkeypatch.setattr(abi, "_check_new_array", lambda _, handler: real(address, handler))
    assert fault() == "NumPy makes arrays by another function"


def test_numpy_s_binary_interface_is_another(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(abi, "_NUMPY_VERSIONS", ())
    assert fault().startswith("NumPy's binary interface is 0x")


def test_members_that_are_no_references_have_no_place():
    class Slotted:
        __slots__ = ("x",)
        y = 1

    assert abi.offset_of(Slotted, "x") is not None
    assert abi.offset_of(Slotted, "y") is None
    assert abi.offset_of(Slotted, "nothing") is None
    assert abi.offset_of(type(len), "__self__") is None
    assert abi.offset_of(type("Shadowed", (Slotted,), {"x": 1}), "x") is None


# An entry without native code


class Plain(PlainMethod):
    def called(self, /, *args: Any, **kwargs: Any) -> Any:
        return self, args, kwargs


def test_a_plain_entry_is_called_and_bound_as_a_function_is():
    plain = Plain()
    plain.begin()
    plain.take_ways(None)
    assert plain(1, self=2) == (plain, (1,), {"self": 2})
    owner = type("Owner", (), {"method": plain})
    instance = owner()
    assert owner.method is plain
    assert instance.method(1, b=2) == (plain, (instance, 1), {"b": 2})


SCRIPT = """
import json, sys
import numpy as np
import tracejit as tj
from tracejit import eager
from tracejit._native.entry import PlainMethod, entry_class
from tracejit.runtime.cpu.native.install import why_not
from tracejit.tracing.background import BACKGROUND
from tracejit.tracing.replay import tree

tree.NATIVE_AFTER, eager.QUICK_AFTER, BACKGROUND.at_once = 1, 2, True
found = []


def note(value):
    value = value.detach().numpy() if isinstance(value, tj.Tensor) else np.asarray(value)
    found.append([str(value.dtype), value.shape, value.tobytes().hex()])


class Layer:
    def __init__(self):
        self.weight = tj.tensor([0.5, -1.0, 3.0])

    @tj.compile
    def method(self, x, /, y=1.0, *, scale=2.0):
        return (self.weight * x + y) * scale


@tj.compile
def branches(x):
    return x * 2.0 if x.sum() > 0 else [x - 1.0, x.sum().item()]


@tj.compile
def train(model, optimizer, x):
    optimizer.zero_grad()
    loss = (model(x) ** 2).mean()
    loss.backward()
    optimizer.step()
    return loss


@tj.compile
def of_arrays(a):
    a += 1.0
    return np.exp(a * 0.01), (a * 2.0)[:5]


tj.random.seed(0)
layer = Layer()
model = tj.nn.Sequential(tj.nn.Linear(3, 4), tj.nn.ReLU(), tj.nn.Linear(4, 1))
optimizer = tj.optim.Adam(model.parameters(), lr=0.1)
a = np.linspace(-1.0, 1.0, 5000)
for k in range(12):
    x = tj.tensor([1.0, -2.0, 0.1]) * (-1.0) ** k
    note(layer.method(x))
    note(layer.method(x, scale=k, y=0.3))
    note(Layer.method(layer, x, y=-0.0))
    result = branches(x)
    for part in result if isinstance(result, list) else [result]:
        note(part)
    note(train(model, optimizer, tj.ones((2, 3)) * (0.1 * k)))
    for part in of_arrays(a):
        note(part)
    note(x + 1.5), note(x @ x), note(x.sum(axis=0)), note(1 / x), note(x > 0.1)
for parameter in model.parameters():
    note(parameter), note(parameter.grad)
replayed = [tj.explain(f).calls["replay"] for f in (Layer.method, branches, train, of_arrays)]
is_native = entry_class() is not PlainMethod
ways = sum(getattr(f, "_ways_address", 0) != 0 for f in (Layer.method, branches, train, of_arrays))
json.dump([found, replayed, is_native, ways, why_not()], sys.stdout)
"""


def test_results_are_the_same_without_native_code(run_python: Callable[..., str]):
    with_native, without = (
        json.loads(run_python(SCRIPT, TRACEJIT_NATIVE_CALLS=value)) for value in ("1", "0")
    )
    assert with_native[0] == without[0]
    assert with_native[1] == without[1]
    assert min(without[1]) > 3
    assert without[2:] == [False, 0, "the setting native_calls is off"]
    if isinstance(abi.abi(), abi.Abi):
        assert with_native[2:] == [True, 4, None]


def test_the_check_keeps_the_counts_of_references_as_they_are() -> None:
    # Not float64's, of which `np.zeros(())` loses count.
    dtypes = [np.dtype(name) for name in ("int16", "int32", "int64")]
    counts = []
    for _ in range(3):
        abi.abi.cache_clear()
        assert isinstance(abi.abi(), abi.Abi)
        gc.collect()
        counts.append(list(map(sys.getrefcount, dtypes)))
    assert counts[1] == counts[2]


# Dicts, which are looked at by words only where these are as expected


def careful(at: int) -> int:
    """The word at an address, 0 where there is none."""
    with Path("/proc/self/mem").open("rb", buffering=0) as memory:
        try:
            memory.seek(at)
            return int.from_bytes(memory.read(8), "little", signed=True)
        except (OSError, OverflowError, ValueError):
            return 0


DICT_PLACES = {
    "KEYS_AT": 16, "VALUES_AT": 16, "INDEX_BYTES_AT": 10, "KIND_AT": 9, "COUNT_AT": 16, "INDEX_AT": 40, "TEXT_HASH_AT": 16,
    "FIRST_VALUE_AT": 16, "HASH_FUNCTION_AT": 112,
}  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read through a file of Linux's")
@pytest.mark.parametrize("name", DICT_PLACES)
def test_dicts_that_have_their_keys_elsewhere(monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setattr(dicts, "word", careful)
    monkeypatch.setattr(dicts, "byte", lambda at: careful(at) & 63)
    assert dicts.have_entries()
    assert getattr(dicts, name) != DICT_PLACES[name]
    monkeypatch.setattr(dicts, name, DICT_PLACES[name])
    assert not dicts.have_entries()


def test_every_place_in_dicts_is_checked():
    places = {name for name in vars(dicts) if name.endswith("_AT")}
    others = {"VERSION_AT", "LAYOUT_AT", "INSTANCE_DICT_AT"}
    assert places == DICT_PLACES.keys() | others
    layout = range(dicts.LAYOUT_AT, dicts.LAYOUT_AT + 8)
    assert {dicts.INDEX_BYTES_AT, dicts.KIND_AT} < {*layout}


def test_dicts_whose_versions_do_not_tell(monkeypatch: pytest.MonkeyPatch):
    assert dicts.have_versions() == (sys.version_info < (3, 14))
    monkeypatch.setattr(dicts, "_HAS_VERSIONS", True)
    monkeypatch.setattr(dicts, "VERSION_AT", 0)
    assert not dicts.have_versions()


def test_dicts_that_lie_elsewhere(monkeypatch: pytest.MonkeyPatch):
    assert dicts.lie_before_objects()
    monkeypatch.setattr(dicts, "INSTANCE_DICT_AT", 0)
    assert not dicts.lie_before_objects()


def test_another_python_has_other_dicts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dicts, "_HAS_VERSIONS", False)
    monkeypatch.setattr(dicts, "_IS_KNOWN", False)
    assert not dicts.have_versions()
    assert not dicts.have_entries()
