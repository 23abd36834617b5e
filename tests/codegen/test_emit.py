"""Emitted loops, folds and accesses against the interpreter, bit for bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.codegen.harness import WIDEST, Machine
from tests.codegen.kernels import (
    EMITTED,
    assert_emitted_as_interpreted,
    at,
    run,
    same_bits,
    samples,
)
from tracejit.codegen.kernel.builder import Element, ScalarBuilder
from tracejit.codegen.kernel.ir import (
    Address,
    Buffer,
    Combine,
    Kernel,
    Kind,
    Size,
    Tree,
    Var,
)
from tracejit.dtypes import (
    DType,
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int64,
    uint8,
)

EXTENTS = (0, 1, 15, 16, 17, 63, 64, 65, 200, 1000)

machines = pytest.mark.parametrize("machine", EMITTED, ids=lambda machine: machine.target.name)


def chain(
    dtypes: list[DType], compute: Callable[..., Element], *, kind: Kind = Kind.VECTOR
) -> Kernel:
    """`out[i] = compute(s, x[i], y[i] ...)`; the last dtype is the output's."""
    s, size = ScalarBuilder(), Size("n")
    *inputs, out = (
        Buffer(dtype, "x", written=k == len(dtypes) - 1) for k, dtype in enumerate(dtypes)
    )
    with s.block() as body, s.loop(1, Kind.PARALLEL), s.loop(size, kind) as i:
        s.store(out, at(i), compute(s, *(s.load(buffer, at(i)) for buffer in inputs)))
    return Kernel((*inputs, out), (size,), (), tuple(body))


@machines
@pytest.mark.parametrize("count", EXTENTS)
def test_tails_of_vector_loops_touch_nothing_beyond(machine: Machine, count: int) -> None:
    kernel = chain([float32, float32, float32], lambda s, x, y: x * y - s.select(x < y, x, 0.5))
    arrays = [
        samples(float32, count, 1),
        samples(float32, count, 2),
        np.full(count + 9, 7, np.float32),
    ]
    *_, out = assert_emitted_as_interpreted(kernel, machine, arrays, [count])
    assert (out[count:] == 7).all()


@machines
@pytest.mark.parametrize("dtype", [float16, bfloat16, int8, uint8, bool_], ids=str)
def test_narrow_dtypes_are_loaded_and_stored_in_masked_tails(
    machine: Machine, dtype: DType
) -> None:
    kernel = chain([dtype, dtype], lambda s, x: s.cast(s.cast(x, float32) * 1.25, dtype))
    for count in (3, 100):
        assert_emitted_as_interpreted(
            kernel, machine, [samples(dtype, count), np.zeros(count, dtype.numpy)], [count]
        )


@machines
def test_a_kernel_with_a_double_has_lanes_for_doubles(machine: Machine) -> None:
    kernel = chain(
        [float32, int64, float64], lambda s, x, k: s.cast(x, float64) + s.cast(k, float64)
    )
    arrays = [samples(float32, 77), samples(int64, 77), np.zeros(77)]
    assert_emitted_as_interpreted(kernel, machine, arrays, [77])


@machines
def test_strided_and_reversed_accesses_are_gathers_and_scatters(machine: Machine) -> None:
    s, size, stride = ScalarBuilder(), Size("n"), Size("stride")
    x, y, out = Buffer(float32, "x"), Buffer(int8, "y"), Buffer(float32, "out", written=True)
    with s.block() as body, s.loop(2, Kind.PARALLEL) as task, s.loop(size, Kind.VECTOR) as i:
        value = s.load(x, Address(((task, 1), (i, stride)), offset=1))
        other = s.cast(s.load(y, at(i, -1)), float32)
        s.store(out, Address(((i, 2), (task, 1))), value + other)
    kernel = Kernel((x, y, out), (size, stride), (), tuple(body))
    for count in (7, 70):
        arrays = [
            samples(float32, 3 * count + 2),
            samples(int8, count),
            np.zeros(2 * count, np.float32),
        ]
        origins = [0, count - 1, 0]
        assert_emitted_as_interpreted(kernel, machine, arrays, [count, 3], tasks=2, origins=origins)


@machines
def test_loaded_indices_gather(machine: Machine) -> None:
    s, size, width = ScalarBuilder(), Size("n"), Size("width")
    x, places, out = (
        Buffer(float64, "x"),
        Buffer(int64, "places"),
        Buffer(float64, "out", written=True),
    )
    with s.block() as body, s.loop(3, Kind.PARALLEL) as row, s.loop(size, Kind.VECTOR) as i:
        place = s.load(places, at(i)).operand
        assert isinstance(place, Var)
        value = s.load(x, Address(((row, width), (place, 1))))
        s.store(out, Address(((row, size), (i, 1))), value)
    kernel = Kernel((x, places, out), (size, width), (), tuple(body))
    rng = np.random.default_rng(1)
    arrays = [samples(float64, 33), rng.integers(0, 11, 50), np.zeros(150)]
    assert_emitted_as_interpreted(kernel, machine, arrays, [50, 11], tasks=3)


@machines
def test_masks_keep_accesses_inside_the_array(machine: Machine) -> None:
    """A window of three round each element; both ends lack a neighbour."""
    s, size = ScalarBuilder(), Size("n")
    x, out = Buffer(float32, "x"), Buffer(float32, "out", written=True)
    with s.block() as body, s.loop(1, Kind.PARALLEL), s.loop(size, Kind.VECTOR) as i:
        index = s.element(i)
        left = s.load(x, at(i, offset=-1), index > 0, 10.0)
        right = s.load(x, at(i, offset=1), index + 1 < s.element(size), -10.0)
        odd = (index & 1) == 1
        s.store(out, at(i), left + right, where=odd)
    kernel = Kernel((x, out), (size,), (), tuple(body))
    for count in (1, 16, 33, 130):
        arrays = [samples(float32, count), np.full(count, 3, np.float32)]
        assert_emitted_as_interpreted(kernel, machine, arrays, [count])


@machines
def test_a_mask_that_all_lanes_share_is_obeyed(machine: Machine) -> None:
    s, size = ScalarBuilder(), Size("n")
    flags, x, out = (
        Buffer(bool_, "flags"),
        Buffer(float32, "x"),
        Buffer(float32, "out", written=True),
    )
    with s.block() as body, s.loop(2, Kind.PARALLEL) as task:
        flag = s.load(flags, at(task))
        first = s.load(x, at(task, 1000), where=flag, other=2.0)
        with s.loop(size, Kind.VECTOR) as i:
            own = s.load(x, at(i), where=flag, other=1.0)
            s.store(out, Address(((i, 1), (task, size))), own + first, where=~flag)
    kernel = Kernel((flags, x, out), (size,), (), tuple(body))
    arrays = [np.array([True, False]), samples(float32, 40), np.zeros(80, np.float32)]
    assert_emitted_as_interpreted(kernel, machine, arrays, [40], tasks=2)


@machines
def test_stages_of_a_row_share_scratch(machine: Machine) -> None:
    """Softmax without the exponential: a maximum, a sum whose terms are kept, and a last pass."""
    s, size = ScalarBuilder(), Size("n")
    x, out = Buffer(float32, "x"), Buffer(float32, "out", written=True)
    before = Buffer(bool_, "before", scratch=3)
    kept = Buffer(float32, "kept", scratch=size)
    with s.block() as body, s.loop(2, Kind.PARALLEL) as row:
        with s.fold(0, size, Tree.LANES) as fold:
            here = Address(((row, size), (fold.index, 1)))
            largest = fold.join(Combine.MAX, s.load(x, here))
        s.store(before, Address(offset=2), largest > 0)
        with s.fold(0, size, Tree.LANES) as fold:
            here = Address(((row, size), (fold.index, 1)))
            term = s.load(x, here) - largest
            s.store(kept, at(fold.index), term * term)
            total = fold.join(Combine.SUM, term)
        with s.loop(size, Kind.VECTOR) as i:
            flag = s.cast(s.load(before, Address(offset=2)), float32)
            s.store(out, Address(((row, size), (i, 1))), s.load(kept, at(i)) / total + flag)
    kernel = Kernel((x, out), (size,), (before, kept), tuple(body))
    for count in (5, 64, 150):
        arrays = [samples(float32, 2 * count), np.zeros(2 * count, np.float32)]
        assert_emitted_as_interpreted(kernel, machine, arrays, [count], tasks=2)


@machines
def test_serial_loops_add_to_memory_in_order(machine: Machine) -> None:
    s, size = ScalarBuilder(), Size("n")
    places, x, out = (
        Buffer(int64, "places"),
        Buffer(float32, "x"),
        Buffer(float32, "out", written=True),
    )
    with s.block() as body, s.loop(1, Kind.PARALLEL), s.loop(size, Kind.SERIAL) as i:
        place = s.load(places, at(i))
        assert isinstance(place.operand, Var)
        s.store(out, at(place.operand), s.load(x, at(i)), where=place > 1, add=True)
    kernel = Kernel((places, x, out), (size,), (), tuple(body))
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 6, 90), samples(float32, 90), np.ones(6, np.float32)]
    assert_emitted_as_interpreted(kernel, machine, arrays, [90])


@machines
def test_vector_loops_add_to_their_own_elements(machine: Machine) -> None:
    s, size = ScalarBuilder(), Size("n")
    x, out = Buffer(float32, "x"), Buffer(float32, "out", written=True)
    with s.block() as body, s.loop(1, Kind.PARALLEL), s.loop(size, Kind.VECTOR) as i:
        value = s.load(x, at(i))
        s.store(out, at(i), value, where=value < 2, add=True)
    kernel = Kernel((x, out), (size,), (), tuple(body))
    arrays = [samples(float32, 90), samples(float32, 90, 1)]
    assert_emitted_as_interpreted(kernel, machine, arrays, [90])


@machines
def test_uniform_values_are_known_to_vectors(machine: Machine) -> None:
    """Scalars of all levels beside vectors: a size, a 0-d input, the task, a fold's result."""
    s, size, factor = ScalarBuilder(), Size("n"), Size("factor")
    x, scale, out = (
        Buffer(float32, "x"),
        Buffer(float32, "scale"),
        Buffer(float32, "out", written=True),
    )
    with s.block() as body, s.loop(size, Kind.PARALLEL) as row:
        with s.fold(0, size, Tree.LANES) as fold:
            total = fold.join(Combine.SUM, s.load(x, Address(((row, size), (fold.index, 1)))))
        with s.loop(size, Kind.VECTOR) as i:
            here = Address(((row, size), (i, 1)))
            value = s.load(x, here) * s.load(scale, Address()) + total * total
            number = s.element(i) * s.element(factor) + s.element(row)
            s.store(out, here, value + s.cast(number, float32))
    kernel = Kernel((x, scale, out), (size, factor), (), tuple(body))
    arrays = [samples(float32, 37 * 37), np.array([1.5], np.float32), np.zeros(37 * 37, np.float32)]
    assert_emitted_as_interpreted(kernel, machine, arrays, [37, -3], tasks=37)


@machines
def test_a_loop_of_one_iteration_may_store_without_a_stride(machine: Machine) -> None:
    s, size = ScalarBuilder(), Size("n")
    x, y, out = Buffer(float32, "x"), Buffer(float32, "y"), Buffer(float32, "out", written=True)
    with s.block() as body, s.loop(3, Kind.PARALLEL) as task, s.loop(size, Kind.VECTOR) as i:
        s.store(out, at(task), s.load(out, at(task)) + s.load(x, Address(((task, 1), (i, 1)))))
        s.store(out, at(task, 1, 3), s.load(y, at(task)))
    kernel = Kernel((x, y, out), (size,), (), tuple(body))
    arrays = [samples(float32, 3, 1), samples(float32, 3, 2), samples(float32, 6, 3)]
    assert_emitted_as_interpreted(kernel, machine, arrays, [1], tasks=3)


@machines
def test_a_negative_extent_is_no_iteration(machine: Machine) -> None:
    kernel = chain([float32, float32], lambda s, x: x * 2.0)
    arrays = [np.ones(80, np.float32), np.zeros(80, np.float32)]
    assert_emitted_as_interpreted(kernel, machine, arrays, [-5], origins=[70, 70])


def test_nothing_is_read_for_a_loop_that_is_not_entered() -> None:
    """The load of x is hoisted out of a loop of no iterations, and x has no elements."""
    s, size = ScalarBuilder(), Size("n")
    x, out = Buffer(float32, "x"), Buffer(float32, "out", written=True)
    with s.block() as body, s.loop(1, Kind.PARALLEL), s.loop(size, Kind.VECTOR) as i:
        s.store(out, at(i), s.load(x, Address(offset=size)))
    kernel = Kernel((x, out), (size,), (), tuple(body))
    run(
        kernel,
        WIDEST,
        [np.zeros(0, np.float32), np.zeros(0, np.float32)],
        [0],
        tasks=1,
        origins=[1 << 44, 0],
    )


@machines
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_division_by_one_scalar_is_rounded_as_a_division(machine: Machine, dtype: DType) -> None:
    kernel = scaled(dtype)
    count, rng = 3000, np.random.default_rng(0)
    divisors = np.concatenate(
        [samples(dtype, 40), 1 + rng.integers(0, 99, 60) * np.finfo(dtype.numpy).eps]
    )
    rows = np.where(
        rng.random(count) < 0.5, rng.standard_normal(count), rng.integers(1, 200, count)
    )
    for values in (rows.astype(dtype.numpy), samples(dtype, count)):
        for divisor in divisors.astype(dtype.numpy):
            out = np.zeros_like(values)
            run(kernel, machine, [values, divisor.reshape(1), out], [count], tasks=1)
            with np.errstate(all="ignore"):
                assert same_bits(out, values / divisor).all(), divisor


@machines
def test_coordinates_are_divided_as_integers_are(machine: Machine) -> None:
    s, size = ScalarBuilder(), Size("n")
    x, scale = Buffer(int64, "x"), Buffer(int64, "scale")
    outs = [Buffer(int64, "out", written=True) for _ in range(2)]
    with s.block() as body, s.loop(1, Kind.PARALLEL), s.loop(size, Kind.VECTOR) as i:
        number, divisor = s.load(x, at(i)), s.load(scale, Address())
        s.store(outs[0], at(i), number // divisor)
        s.store(outs[1], at(i), number % divisor)
    kernel = Kernel((x, scale, *outs), (size,), (), tuple(body))
    count, rng = 400, np.random.default_rng(0)
    for divisor in (1, 2, 3, 10, 1000, 2**31 - 1, 2**51 - 1, 2**51, 2**51 + 1, 0, -7):
        near = rng.integers(0, 2**51, count) // max(divisor, 1) * divisor + rng.integers(
            -1, 2, count
        )
        for values in (np.abs(near), np.arange(count), samples(int64, count)):
            arrays = [values, np.array([divisor]), *(np.zeros(count, np.int64) for _ in outs)]
            run(kernel, machine, arrays, [count], tasks=1)
            safe = divisor or 1
            least = values == np.iinfo(np.int64).min
            assert (arrays[2] == np.where(divisor, values // safe, 0))[~least].all(), divisor
            assert (arrays[3] == np.where(divisor, values % safe, 0))[~least].all(), divisor


def scaled(dtype: DType) -> Kernel:
    s, size = ScalarBuilder(), Size("n")
    x, scale, out = Buffer(dtype, "x"), Buffer(dtype, "scale"), Buffer(dtype, "out", written=True)
    with s.block() as body, s.loop(1, Kind.PARALLEL), s.loop(size, Kind.VECTOR) as i:
        s.store(out, at(i), s.load(x, at(i)) / s.load(scale, Address()))
    return Kernel((x, scale, out), (size,), (), tuple(body))
