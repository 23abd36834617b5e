"""The kernel IR's builder, printer, verifier, interpreter and hoisting."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.codegen.kernels import same_bits, samples
from tracejit._errors import CompileError
from tracejit.codegen.kernel.builder import Element, ScalarBuilder, constant
from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.kernel.folds import JOINS, SEARCHES, identity
from tracejit.codegen.kernel.hoist import hoist
from tracejit.codegen.kernel.interpret import interpret
from tracejit.codegen.kernel.ir import (
    Address,
    Buffer,
    Carried,
    Combine,
    Const,
    Fold,
    For,
    Kernel,
    Kind,
    Let,
    Load,
    Result,
    Size,
    Stmt,
    Store,
    Tree,
    Var,
)
from tracejit.codegen.kernel.printer import print_kernel
from tracejit.codegen.kernel.scalars import evaluate, fused_multiply_add
from tracejit.codegen.kernel.verify import verify
from tracejit.dtypes import bool_, float16, float32, float64, int8, int32, int64, uint8


def row_softmax() -> Kernel:
    """Three stages over each row, with the exponentials kept in scratch."""
    s, size = ScalarBuilder(), Size("columns")
    x, out = Buffer(float32, "x"), Buffer(float32, "out", written=True)
    kept = Buffer(float32, "kept", scratch=size)
    with s.block() as body, s.loop(Size("rows"), Kind.PARALLEL) as row:
        with s.fold(0, size, Tree.LANES) as fold:
            largest = fold.join(Combine.MAX, s.load(x, Address(((row, size), (fold.index, 1)))))
        with s.fold(0, size, Tree.LANES) as fold:
            term = s.exp(s.load(x, Address(((row, size), (fold.index, 1)))) - largest)
            s.store(kept, Address(((fold.index, 1),)), term)
            total = fold.join(Combine.SUM, term)
        with s.loop(size, Kind.VECTOR) as i:
            value = s.load(kept, Address(((i, 1),))) / total
            s.store(out, Address(((row, size), (i, 1))), value, where=value > 0.5)
    (rows,) = [stmt.extent for stmt in body if isinstance(stmt, For)]
    assert isinstance(rows, Size)
    return Kernel((x, out), (rows, size), (kept,), tuple(body))  # type: ignore[arg-type]


SOFTMAX = """\
kernel(a0: f32*, a1: out f32*, n0, n1):
  t0: f32[n1]
  parallel i0 < n0:
    fold i1 in 0:i64 .. n1 by lanes:
      v0: f32 = a0[i0*n1 + i1]
      v1: f32 = max(v0)
    fold i2 in 0:i64 .. n1 by lanes:
      v2: f32 = a0[i0*n1 + i2]
      v3: f32 = sub(v2, v1)
      v4: f32 = exp(v3)
      t0[i2] = v4
      v5: f32 = sum(v4)
    vector i3 < n1:
      v6: f32 = t0[i3]
      v7: f32 = div(v6, v5)
      v8: b1 = lt(0.5:f32, v7)
      a1[i0*n1 + i3] = v7 if v8
"""


def test_a_kernel_prints_as_its_loops() -> None:
    assert print_kernel(verify(row_softmax())) == SOFTMAX


def test_equal_kernels_print_alike_whatever_their_names() -> None:
    assert print_kernel(row_softmax()) == print_kernel(row_softmax())


def test_literals_that_compare_equal_print_apart() -> None:
    texts = {print_kernel(storing(Const(float32, value))) for value in (0.0, -0.0, 1.0)}
    assert len(texts) == 3


def storing(value: Const) -> Kernel:
    out = Buffer(value.dtype, "out", written=True)
    return task(Store(out, Address(), value), buffers=(out,))


def task(*body: Stmt, buffers: tuple[Buffer, ...] = (), sizes: tuple[Size, ...] = ()) -> Kernel:
    return Kernel(buffers, sizes, (), (For(Var(int64, "t"), Const(int64, 1), Kind.PARALLEL, body),))


# the builder


@pytest.fixture
def s() -> ScalarBuilder:
    return ScalarBuilder(index={0: Size("i"), 1: Size("j")}.__getitem__)


def variable(s: ScalarBuilder, dtype: Any = float32) -> Element:
    return s.element(Var(dtype, "x"))


def test_literals_take_the_dtype_beside_them(s: ScalarBuilder) -> None:
    with s.block() as body:
        x, k = variable(s, float64), variable(s, int32)
        (1 - x, k * 3, s.max(x, 0), s.select(x > 1, x, s.const(0.1)))
    literals = [
        arg for stmt in body if isinstance(stmt, Let) for arg in stmt.args if isinstance(arg, Const)
    ]
    assert [literal.dtype for literal in literals] == [float64, int32, float64, float64, float64]


def test_literals_are_rounded_and_wrapped_to_their_dtype() -> None:
    assert constant(0.1, float32).value == float(np.float32(0.1))
    assert constant(-1, uint8).value == 255
    assert constant(200, int8).value == -56


@pytest.mark.parametrize(
    ("operation", "fn"),
    [
        (operator.add, Fn.ADD),
        (operator.truediv, Fn.DIV),
        (operator.lt, Fn.LT),
        (operator.eq, Fn.EQ),
        (operator.ne, Fn.NE),
    ],
)
def test_operators_build_functions(
    s: ScalarBuilder, operation: Callable[..., Element], fn: Fn
) -> None:
    with s.block() as body:
        x, y = variable(s), variable(s)
        operation(x, y)
    assert isinstance(body[0], Let)
    assert body[0].fn is fn
    assert body[0].args == (x.operand, y.operand)


def test_greater_is_less_the_other_way_round(s: ScalarBuilder) -> None:
    with s.block() as body:
        x, y = variable(s), variable(s)
        assert ((x > y).operand, (x >= y).operand) == ((y < x).operand, (y <= x).operand)
    assert len(body) == 2


def test_equal_expressions_are_shared_within_their_scope(s: ScalarBuilder) -> None:
    with s.block() as body:
        x = variable(s)
        first = s.exp(x + 1.0)
        with s.loop(3, Kind.SERIAL):
            assert s.exp(x + 1.0).operand is first.operand
            inner = x * 2.0
        assert (x * 2.0).operand is not inner.operand
    assert len(body) == 4


def test_zero_and_minus_zero_are_not_shared(s: ScalarBuilder) -> None:
    with s.block():
        x = variable(s)
        assert (x + 0.0).operand is not (x + -0.0).operand


def test_loads_are_shared_until_a_store(s: ScalarBuilder) -> None:
    memory = Buffer(float32, "m", written=True)
    with s.block():
        first = s.load(memory, Address())
        assert s.load(memory, Address()).operand is first.operand
        s.store(memory, Address(), first)
        assert s.load(memory, Address()).operand is not first.operand


def test_a_loop_loads_again_what_it_may_have_stored(s: ScalarBuilder) -> None:
    memory = Buffer(float32, "m", written=True)
    with s.block():
        outside = s.load(memory, Address())
        with s.loop(3, Kind.SERIAL):
            assert s.load(memory, Address()).operand is not outside.operand


def test_casts_and_selects_that_do_nothing_are_left_out(s: ScalarBuilder) -> None:
    with s.block() as body:
        x = variable(s)
        condition = variable(s, bool_)
        assert s.cast(x, float32) is x
        assert s.select(condition, x, x).operand is x.operand
        assert s.cast(s.element(Const(int64, 3)), float32).operand == Const(float32, 3.0)
    assert not body


def test_coordinates_come_from_lowering(s: ScalarBuilder) -> None:
    assert s.index(1).operand.dtype is int64
    with pytest.raises(TypeError, match="no coordinates"):
        ScalarBuilder().index(0)


def test_misuse_is_named(s: ScalarBuilder) -> None:
    with s.block():
        with pytest.raises(
            TypeError, match="add: the arguments must share one dtype, got f32, f64"
        ):
            variable(s) + variable(s, float64)
        with pytest.raises(TypeError, match="exp takes 1 arguments, got 2"):
            s.exp(variable(s), variable(s))
        with pytest.raises(AttributeError, match="'sinc'"):
            s.sinc(variable(s))
        with pytest.raises(TypeError, match="no truth value"):
            bool(variable(s) > 0)


# the verifier

A, B, OUT = Buffer(float32, "a"), Buffer(bool_, "b"), Buffer(float32, "out", written=True)
X, Y, C, I = Var(float32, "x"), Var(float32, "y"), Var(bool_, "c"), Var(int64, "i")
ONE = Const(float32, 1.0)
HERE = Address(((I, 1),))
END = Const(int64, 9)


def vector(*body: Stmt) -> For:
    return For(I, END, Kind.VECTOR, body)


def lanes(*body: Stmt, results: tuple[Result, ...] = (), tree: Tree = Tree.LANES) -> Fold:
    return Fold(Var(int64, "k"), Const(int64, 0), END, tree, body, results)


def handing(carried: Carried, tree: Tree = Tree.SERIAL) -> Fold:
    return Fold(Var(int64, "k"), Const(int64, 0), END, tree, (), (), (carried,))


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ((Let(X, Fn.EXP, (Y,)),), "y is not defined here"),
        ((Let(X, Fn.ADD, (ONE,)),), "add takes 2 arguments"),
        ((Let(X, Fn.ADD, (ONE, Const(float64, 1.0))),), "needs f64, got f32"),
        ((Let(C, Fn.ADD, (ONE, ONE)),), "the result is a f32"),
        ((Let(X, Fn.LT, (ONE, ONE)),), "the result is a b1"),
        ((Let(X, Fn.AND, (ONE, ONE)),), "and_ is not defined on f32"),
        ((Let(Var(float16, "h"), Fn.NEG, (Const(float16, 1.0),)),), "neg is not defined on f16"),
        ((Let(X, Fn.EXP, (ONE,)), Let(X, Fn.EXP, (ONE,))), "x is defined twice"),
        ((For(I, END, Kind.SERIAL, (Let(X, Fn.EXP, (ONE,)),)), Let(Y, Fn.EXP, (X,))), "x is not defined here"),
        ((For(I, END, Kind.PARALLEL, ()),), "a PARALLEL loop must be outermost"),
        ((Load(C, A, Address()),), "the buffer holds f32"),
        ((Load(X, A, HERE),), "i is not defined here"),
        ((Load(X, A, Address(), where=Const(bool_, True)),), "a mask needs another value"),
        ((Load(X, Buffer(float32, "z"), Address()),), "z is not a buffer of the kernel"),
        ((Store(A, Address(), ONE),), "a is not written to by this kernel"),
        ((Store(OUT, Address(), Const(int64, 1)),), "needs f32, got i64"),
        ((vector(Store(OUT, Address(), ONE, add=True)),), "lanes may add to one element at once"),
        ((vector(lanes()),), "a LANES fold stands in a vector loop"),
        ((vector(For(Var(int64, "j"), END, Kind.SERIAL, ())),), "a loop stands in a vector loop"),
        ((lanes(lanes()),), "a LANES fold stands in a vector loop or another one"),
        ((lanes(results=(Result(X, Combine.ANY, ONE),)),), "any is not defined on f32"),
        ((lanes(results=(Result(C, Combine.SUM, Const(bool_, True)),)),), "sum is not defined on b1"),
        ((lanes(results=(Result(X, Combine.ARGMAX, ONE),)),), "argmax of f32 is a i64"),
        ((lanes(results=(Result(X, Combine.MAX, Y),)),), "y is not defined here"),
        ((handing(Carried(X, ONE, X, Y), tree=Tree.ROWS),), "only a SERIAL fold carries scalars"),
        ((handing(Carried(X, Y, X, Y)),), "y is not defined here"),
        ((handing(Carried(X, ONE, Y, Y)),), "y is not defined here"),
        ((handing(Carried(X, ONE, Const(float64, 1.0), Y)),), "needs f32, got f64"),
        ((handing(Carried(X, ONE, X, C)),), "the last is a f32"),
        ((handing(Carried(X, ONE, X, X)),), "x is defined twice"),
    ],
)  # fmt: skip
def test_the_verifier_says_what_is_wrong(body: tuple[Stmt, ...], problem: str) -> None:
    with pytest.raises(CompileError, match=problem):
        verify(task(*body, buffers=(A, B, OUT)))


def test_the_verifier_quotes_the_statement() -> None:
    with pytest.raises(CompileError, match=r"`v0: f32 = exp\(\?y\)`: y is not defined here"):
        verify(task(Let(X, Fn.EXP, (Y,))))


def test_lanes_may_not_add_to_one_element() -> None:
    place = Var(int64, "p")
    places = Buffer(int64, "places")
    body = vector(Load(place, places, HERE), Store(OUT, Address(((place, 1),)), ONE, add=True))
    with pytest.raises(CompileError, match="lanes may add to one element at once"):
        verify(task(body, buffers=(places, OUT)))


def test_a_kernel_is_one_parallel_loop() -> None:
    kernel = row_softmax()
    with pytest.raises(CompileError, match="one PARALLEL loop"):
        verify(replace(kernel, body=kernel.body * 2))


# hoisting


def test_what_a_loop_does_not_change_leaves_it() -> None:
    s, size = ScalarBuilder(), Size("n")
    x, scale, out = Buffer(float32, "x"), Buffer(float32, "s"), Buffer(float32, "o", written=True)
    with s.block() as body, s.loop(1, Kind.PARALLEL), s.loop(size, Kind.VECTOR) as i:
        factor = s.exp(s.load(scale, Address()) + 1.0)
        s.store(out, Address(((i, 1),)), s.load(x, Address(((i, 1),))) * factor)
    kernel = Kernel((x, scale, out), (size,), (), tuple(body))  # type: ignore[arg-type]
    assert print_kernel(verify(hoist(kernel))) == HOISTED


HOISTED = """\
kernel(a0: f32*, a1: f32*, a2: out f32*, n0):
  parallel i0 < 1:i64:
    v0: b1 = lt(0:i64, n0)
    v1: f32 = a1[0] if v0 else 0.0:f32
    v2: f32 = add(v1, 1.0:f32)
    v3: f32 = exp(v2)
    vector i1 < n0:
      v4: f32 = a0[i1]
      v5: f32 = mul(v4, v3)
      a2[i1] = v5
"""


def test_what_leaves_two_loops_is_computed_once() -> None:
    s, size = ScalarBuilder(), Size("n")
    x, scale, out = Buffer(float32, "x"), Buffer(float32, "s"), Buffer(float32, "o", written=True)
    with s.block() as body, s.loop(1, Kind.PARALLEL):
        for _ in range(2):
            with s.loop(size, Kind.VECTOR) as i:
                factor = s.exp(s.load(scale, Address()))
                s.store(out, Address(((i, 1),)), s.load(x, Address(((i, 1),))) * factor)
    kernel = Kernel((x, scale, out), (size,), (), tuple(body))  # type: ignore[arg-type]
    assert print_kernel(kernel).count("exp(") == 2
    assert print_kernel(verify(hoist(kernel))).count("exp(") == 1


def test_a_load_stays_in_the_loop_that_stores_there() -> None:
    s = ScalarBuilder()
    out = Buffer(float32, "o", written=True)
    with s.block() as body, s.loop(1, Kind.PARALLEL), s.loop(3, Kind.SERIAL):
        s.store(out, Address(), s.load(out, Address()) * 2.0)
    kernel = Kernel((out,), (), (), tuple(body))  # type: ignore[arg-type]
    assert print_kernel(hoist(kernel)) == print_kernel(kernel)
    memory = np.ones(1, np.float32)
    interpret(hoist(kernel), [memory], [])
    assert memory[0] == 8


def test_hoisting_changes_no_result() -> None:
    outcomes = []
    for kernel in (row_softmax(), hoist(row_softmax())):
        arrays = [samples(float32, 3 * 50), np.zeros(3 * 50, np.float32)]
        interpret(verify(kernel), arrays, [3, 50])
        outcomes.append(arrays[1])
    assert same_bits(*outcomes).all()


# the meaning of scalars and folds


@pytest.mark.parametrize("combine", [combine for combine in Combine if combine not in SEARCHES])
def test_the_identity_of_a_fold_changes_nothing(combine: Combine) -> None:
    dtype = bool_ if combine in (Combine.ANY, Combine.ALL) else float32
    nothing = dtype.numpy.type(identity(combine, dtype).value)
    values = samples(dtype, 200)
    joined = [evaluate(JOINS[combine], dtype, (value, nothing)) for value in values]
    assert same_bits(np.array(joined, dtype.numpy), values).all()


def test_fma_rounds_once() -> None:
    a = np.float32(1 + 2**-12)
    assert fused_multiply_add(a, a, -np.float32(1 + 2**-11)) == np.float32(2**-24)
    tiny = np.float32(2**-60)
    assert fused_multiply_add(a, a, tiny) == np.float32(1 + 2**-11 + 2**-23)


def test_an_access_outside_an_array_is_found() -> None:
    with pytest.raises(IndexError, match=r"out\[0\] is outside an array of 0"):
        interpret(storing(ONE), [np.zeros(0, np.float32)], [])


def test_what_is_carried_is_printed_where_it_begins_and_ends() -> None:
    s, size = ScalarBuilder(), Size("n")
    x, out = Buffer(float32, "x"), Buffer(float32, "o", written=True)
    with s.block() as body, s.loop(1, Kind.PARALLEL):
        with s.fold(0, size, Tree.SERIAL) as fold:
            before = fold.carry(constant(0, float32))
            factor = s.exp(s.load(x, Address()))
            last = fold.hand_on(before, before + s.load(x, Address(((fold.index, 1),))) * factor)
        s.store(out, Address(), last)
    kernel = Kernel((x, out), (size,), (), tuple(body))  # type: ignore[arg-type]
    assert print_kernel(verify(hoist(kernel))) == CARRIED


CARRIED = """\
kernel(a0: f32*, a1: out f32*, n0):
  parallel i0 < 1:i64:
    v0: b1 = lt(0:i64, n0)
    v1: f32 = a0[0] if v0 else 0.0:f32
    v2: f32 = exp(v1)
    fold i1 in 0:i64 .. n0 by serial:
      v3: f32 from 0.0:f32
      v4: f32 = a0[i1]
      v5: f32 = mul(v4, v2)
      v6: f32 = add(v3, v5)
      v7: f32 = last of v3 then v6
    a1[0] = v7
"""
