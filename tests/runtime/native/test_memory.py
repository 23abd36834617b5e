"""Memory of the native pool is handed out again only when nothing can see it any more, and all of it comes back."""

from __future__ import annotations

import ctypes
import gc
import math
import os
import pickle
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import tracejit as tj
from tracejit.artifact import KernelSource
from tracejit.runtime.buffer import Buffer
from tracejit.runtime.cpu.compile import load_kernels
from tracejit.runtime.cpu.native import memory_ir
from tracejit.runtime.cpu.native.entry_ir import LARGE_ARRAY
from tracejit.runtime.cpu.native.install import installed
from tracejit.runtime.cpu.native.objects import Native
from tracejit.runtime.pool import empty_cache, memory_stats, size_class

found = installed()
if found is None:
    pytest.skip("native code is not used", allow_module_level=True)
NATIVE: Native = found
SIZES = [4, 60, 1000, 3000, 20_000, 131_072]
"""Elements of float64: up to 1 MiB."""


def function(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    return ctypes.PYFUNCTYPE(result, *arguments)(NATIVE.addresses[name])


block_bytes = function("tracejit_block_bytes", ctypes.c_int64, ctypes.c_int64)


def words() -> Any:
    return NATIVE.words("tracejit_pool", memory_ir.WORDS)


# Sizes and lists


def test_blocks_have_the_sizes_that_the_pool_in_python_gives():
    near = [(1 << power) + more for power in range(3, 50) for more in (-1, 0, 1, 1 << power - 1)]
    for nbytes in [*range(5000), *near]:
        assert block_bytes(nbytes) == size_class(nbytes)


def test_no_bytes_have_a_block_whatever_the_compiler_knows():
    """Where it sees the number, it computes the size itself."""
    text = (
        memory_ir.memory_ir()
        + "define i64 @no_bytes() {\n  %n = call i64 @tracejit_block_bytes(i64 0)\n  ret i64 %n\n}\n"
    )
    text = text.replace(memory_ir.POOL, memory_ir.POOL.replace("global", "internal global"))
    address = load_kernels([KernelSource("no_bytes", text)], None)["no_bytes"]
    assert ctypes.CFUNCTYPE(ctypes.c_int64)(address)() == size_class(0)


def test_a_block_is_given_back_to_the_list_of_its_size():
    for nbytes in (0, 1, 64, 65, 192, 320, 5000, 1 << 20):
        empty_cache()
        before = words()[memory_ir.CACHED]
        buffer = Buffer.allocate(nbytes)
        address = buffer.address
        del buffer
        assert words()[memory_ir.CACHED] == before + size_class(nbytes)
        assert Buffer.allocate(nbytes).address == address
    empty_cache()
    assert words()[memory_ir.CACHED] == 0


def test_what_is_kept_stays_within_the_limit(monkeypatch: pytest.MonkeyPatch):
    empty_cache()
    limit, pool = words()[memory_ir.LIMIT], words()
    try:
        pool[memory_ir.LIMIT] = 100_000
        sizes = [1 << power for power in range(6, 18)]
        held = [Buffer.allocate(nbytes) for nbytes in sizes for _ in range(3)]
        while held:
            held.pop(len(held) // 2)
            assert pool[memory_ir.CACHED] <= 100_000
        last = Buffer.allocate(65536)
        address = last.address
        del last
        assert Buffer.allocate(65536).address == address, "what was given last is kept"
    finally:
        pool[memory_ir.LIMIT] = limit


def test_sizes_that_there_cannot_be():
    for nbytes in (-1, 1 << 62):
        with pytest.raises(MemoryError):
            Buffer.allocate(nbytes)
    with pytest.raises((OverflowError, MemoryError)):
        Buffer.allocate(1 << 70)
    with pytest.raises(TypeError):
        Buffer.allocate("many")  # type: ignore[arg-type]


def test_a_buffer_is_given_back_after_its_last_weak_reference_was_told():
    told: list[bool] = []
    buffer = Buffer.allocate(100)
    ref = weakref.ref(buffer, lambda ref: told.append(ref() is None))
    del buffer
    assert told == [True]
    assert ref() is None


# Arrays that own memory of the pool


def scaled(size: int) -> np.ndarray:
    """A large array that a compiled function has made."""
    a = np.arange(float(size))
    assert a.nbytes >= LARGE_ARRAY
    results = [SCALE(a) for _ in range(5)]
    assert results[-1].flags.owndata
    assert get_handler_name(results[-1]) == "tracejit"
    return results[-1]


SCALE = tj.compile(lambda a: a * 2.0, dynamic=False)
get_handler_name = np._core.multiarray.get_handler_name  # type: ignore[attr-defined]  # private


def test_it_is_an_array_like_those_that_numpy_makes():
    result, expected = scaled(20_000), np.arange(20_000.0) * 2.0
    assert result.flags.num == expected.flags.num
    assert result.base is None
    assert result.tobytes() == expected.tobytes()


CHANGES: dict[str, Callable[[np.ndarray], Any]] = {
    "larger": lambda a: a.resize(3 * a.size, refcheck=False),
    "a little larger": lambda a: a.resize(a.size + 1, refcheck=False),
    "smaller": lambda a: a.resize(10, refcheck=False),
    "nothing": lambda a: a.resize(0, refcheck=False),
    "of another rank": lambda a: a.resize((a.size // 8, 8), refcheck=False),
    "state of another": lambda a: a.__setstate__(np.arange(10, dtype=np.int16).__reduce__()[2]),
    "sorted": lambda a: a.sort(),
    "swapped": lambda a: a.byteswap(inplace=True),
    "filled": lambda a: a.fill(3),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("size", [4096, 20_000, 131_072, 131_073])
def test_an_array_of_the_pool_that_changes(name: str, size: int):
    expected = np.arange(float(size)) * 2.0
    result = scaled(size)
    in_use = memory_stats().bytes_in_use
    nbytes = size_class(result.nbytes)
    CHANGES[name](expected)
    CHANGES[name](result)
    assert result.tobytes() == expected.tobytes()
    assert result.dtype == expected.dtype
    others = [scaled(size) for _ in range(3)]
    assert result.tobytes() == expected.tobytes()
    del result, others
    gc.collect()
    assert memory_stats().bytes_in_use <= in_use - nbytes


# Everything at once


def as_numbers(value: Any) -> np.ndarray:
    """What is seen now, without the help of what is looked at."""
    return np.array(value, copy=True)


def at_address(held: tuple[np.ndarray, dict[str, Any]]) -> np.ndarray:
    """What lies where an array said that it begins."""
    _, interface = held
    shape = interface["shape"]
    return np.array((ctypes.c_double * math.prod(shape)).from_address(interface["data"][0]))


def in_child(work: Callable[[], bool]) -> bool:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if work() else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def pickled(array: np.ndarray) -> np.ndarray:
    copy: np.ndarray = pickle.loads(pickle.dumps(array))
    return copy


def as_tuple(value: Any) -> tuple[Any, ...]:
    return value if type(value) is tuple else (value,)


def twice(a: Any) -> Any:
    return a * 2.0


def more(a: Any) -> Any:
    b = a + 1.0
    return b, b * 3.0, a[1:]


def part(a: Any) -> Any:
    return (a * 3.0)[: len(a) // 2]


def changed(a: Any) -> Any:
    a += 1.0
    return a * 0.5


FUNCTIONS = {
    function: tj.compile(function, dynamic=False) for function in (twice, more, part, changed)
}


@dataclass(eq=False)
class Seen:
    """Something that shows memory, and an array of NumPy's own with which all has been done that was done with it."""

    value: Any
    twin: np.ndarray
    read: Callable[[Any], np.ndarray] = as_numbers


class Memory(RuleBasedStateMachine):
    """Calls, views, exports and deletions in any order; after each step all that is held shows what it must."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Seen] = []
        self.count = 0.0

    def picked(self, data: st.DataObject, *kinds: type) -> Seen | None:
        among = [each for each in self.seen if isinstance(each.value, kinds)]
        return data.draw(st.sampled_from(among)) if among else None

    @rule(size=st.sampled_from(SIZES), tensor=st.booleans())
    def start(self, size: int, tensor: bool) -> None:
        self.count += 1000.0
        numbers = np.arange(float(size)) + self.count
        self.seen.append(Seen(tj.tensor(numbers) if tensor else numbers.copy(), numbers))

    @rule(data=st.data(), function=st.sampled_from([*FUNCTIONS]), times=st.integers(1, 6))
    def call(self, data: st.DataObject, function: Any, times: int) -> None:
        given = self.picked(data, np.ndarray, tj.Tensor)
        if given is None or given.twin.size < 2:
            return
        if function is changed and not getattr(given.value, "flags", given.twin.flags).writeable:
            return
        for _ in range(times):
            results = as_tuple(FUNCTIONS[function](given.value))
            twins = as_tuple(function(given.twin))
            self.seen += map(Seen, results[: len(twins)], twins)

    @rule(data=st.data(), step=st.sampled_from([slice(1, None), slice(None, None, 2), slice(3)]))
    def view(self, data: st.DataObject, step: slice) -> None:
        given = self.picked(data, np.ndarray, tj.Tensor)
        if given is not None:
            self.seen.append(Seen(given.value[step], given.twin[step]))

    @rule(data=st.data(), how=st.sampled_from([tj.Tensor.numpy, np.asarray, np.from_dlpack]))
    def as_array(self, data: st.DataObject, how: Any) -> None:
        given = self.picked(data, tj.Tensor)
        if given is not None:
            self.seen.append(Seen(how(given.value), given.twin))

    @rule(data=st.data(), how=st.sampled_from([tj.asarray, tj.from_dlpack]))
    def as_tensor(self, data: st.DataObject, how: Any) -> None:
        given = self.picked(data, np.ndarray)
        if given is not None and given.value.flags.writeable:
            self.seen.append(Seen(how(given.value), given.twin))

    @rule(data=st.data(), how=st.sampled_from([memoryview, np.ravel, pickled]))
    def exported(self, data: st.DataObject, how: Any) -> None:
        given = self.picked(data, np.ndarray)
        if given is not None:
            self.seen.append(Seen(how(given.value), how(given.twin)))

    @rule(data=st.data())
    def addressed(self, data: st.DataObject) -> None:
        given = self.picked(data, np.ndarray)
        if given is not None and given.value.flags.c_contiguous:
            held = given.value, given.value.__array_interface__
            self.seen.append(Seen(held, given.twin, at_address))

    @rule(data=st.data(), size=st.sampled_from([1, 5, 5000, 40_000]))
    def resized(self, data: st.DataObject, size: int) -> None:
        given = self.picked(data, np.ndarray)
        if given is None or not given.value.flags.owndata:
            return
        others = [each for each in self.seen if each is not given]
        if any(np.shares_memory(each.twin, given.twin) for each in others):
            return
        given.twin = np.resize(given.twin, size) if size <= given.twin.size else given.twin.copy()
        given.twin.resize(size, refcheck=False)
        given.value.resize(size, refcheck=False)

    @rule(data=st.data(), number=st.floats(-9, 9))
    def written(self, data: st.DataObject, number: float) -> None:
        given = self.picked(data, np.ndarray, tj.Tensor)
        if given is None or not getattr(given.value, "flags", given.twin.flags).writeable:
            return
        given.twin[:1] = number
        given.value[:1] = number

    @precondition(lambda self: self.seen)
    @rule(data=st.data(), few=st.integers(1, 6))
    def deleted(self, data: st.DataObject, few: int) -> None:
        for _ in range(min(few, len(self.seen))):
            self.seen.pop(data.draw(st.integers(0, len(self.seen) - 1)))

    @rule()
    def emptied(self) -> None:
        empty_cache()
        assert words()[memory_ir.CACHED] == 0

    @precondition(lambda self: self.seen)
    @rule()
    def forked(self) -> None:
        assert in_child(self.goes_on)
        self.shows_what_it_must()

    def goes_on(self) -> bool:
        """In a child process, which has the parent's memory as its own."""
        self.shows_what_it_must()
        self.seen[: len(self.seen) // 2] = []
        given = np.arange(20_000.0)
        results = [FUNCTIONS[twice](given) for _ in range(4)]
        self.shows_what_it_must()
        return all(result.tobytes() == twice(given).tobytes() for result in results)

    @invariant()
    def shows_what_it_must(self) -> None:
        for each in self.seen:
            assert each.read(each.value).tobytes() == each.twin.tobytes()

    @invariant()
    def keeps_no_more_than_the_limit(self) -> None:
        assert 0 <= words()[memory_ir.CACHED] <= words()[memory_ir.LIMIT]

    def teardown(self) -> None:
        self.seen.clear()


TestMemory = Memory.TestCase
TestMemory.settings = settings(max_examples=60, stateful_step_count=30)


def test_all_memory_comes_back():
    """Once the programs are there, which have some of their own."""
    calls = [
        (function, np.arange(float(size)), tj.arange(float(size)))
        for function in FUNCTIONS
        for size in SIZES
    ]

    def call_all() -> list[Any]:
        return [
            FUNCTIONS[function](each)
            for function, *given in calls
            for each in given
            for _ in range(6)
        ]

    call_all()
    gc.collect()
    before = memory_stats().bytes_in_use
    held = call_all()
    assert memory_stats().bytes_in_use > before
    held.reverse()
    while held:
        held.pop(len(held) // 3)
    gc.collect()
    assert memory_stats().bytes_in_use == before
    assert sum(tj.explain(f).calls["replay"] for f in FUNCTIONS.values()) > len(calls)
