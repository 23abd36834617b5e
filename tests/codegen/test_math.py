"""The math functions: accurate to their documented bounds, right at the edges, and the same bits on every vector width."""

from __future__ import annotations

import math
import re
from pathlib import Path

import llvmlite.binding as llvm
import mpmath
import numpy as np
import pytest

from tests.codegen.accuracy import (
    DTYPES,
    IN_DOUBLE,
    distance_in_ulp,
    errors_in_ulp,
    exactly,
    extended,
    has_extended,
    largest_term,
    samples,
)
from tests.codegen.harness import RUNNABLE, WIDEST, module_text, run
from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.llvm.math import MATH
from tracejit.codegen.llvm.target import AVX2, NEON
from tracejit.dtypes import DType, float32, float64

PROMISE = 2.0
EXACT = {Fn.FMOD: np.fmod, Fn.FLOORMOD: np.remainder, Fn.NEXTAFTER: np.nextafter}
ROUNDED = [fn for fn in MATH if fn not in EXACT]
TABLE = Path(__file__).parents[2] / "docs" / "ulp.md"


def documented() -> dict[tuple[str, DType], float]:
    """The rows of docs/ulp.md: `| exp | 0.92 | 0.90 |`"""
    rows = re.findall(r"^\| (\w+) \| ([\d.]+) \| ([\d.]+) \|$", TABLE.read_text(), re.MULTILINE)
    return {(row[0], dtype): float(row[1 + k]) for row in rows for k, dtype in enumerate(DTYPES)}


BOUNDS = documented()


def test_the_documented_table_has_a_row_for_each_function_within_the_promise() -> None:
    assert {name for name, _ in BOUNDS} == {fn.method for fn in MATH}
    assert max(BOUNDS.values()) <= PROMISE


def in_wider_format() -> list[tuple[Fn, DType]]:
    """Where NumPy, or what stands for it, computes in a format that is wider than the function's."""
    of_numpy = [fn for fn in ROUNDED if fn not in IN_DOUBLE and fn is not Fn.ZETA]
    doubles = of_numpy if has_extended else []
    return [(fn, float32) for fn in (*of_numpy, *IN_DOUBLE)] + [(fn, float64) for fn in doubles]


@pytest.mark.parametrize(("fn", "dtype"), in_wider_format(), ids=str)
def test_errors_stay_within_the_documented_bound(fn: Fn, dtype: DType) -> None:
    args = samples(fn, dtype, count=10_000)
    errors = errors_in_ulp(dtype, run(fn, dtype, WIDEST, *args), extended(fn, dtype, *args))
    assert_within(fn, dtype, errors, args)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("fn", ROUNDED, ids=str)
def test_errors_against_mpmath_stay_within_the_documented_bound(fn: Fn, dtype: DType) -> None:
    args = samples(fn, dtype, count=60, seed=1)
    got = run(fn, dtype, WIDEST, *args)
    # mpmath has one zero; the signs of ours are tested with the edges.
    is_plain = np.all(np.isfinite([got, *args]) & (np.array([got, *args]) != 0), axis=0)
    args, got = tuple(arg[is_plain] for arg in args), got[is_plain]
    with mpmath.workprec(120):
        points = [tuple(mpmath.mpf(float(x)) for x in point) for point in zip(*args)]
        errors = [
            distance_in_ulp(
                dtype, float(value), exactly(fn, *point), largest_term(fn, dtype, *point)
            )
            for value, point in zip(got, points)
        ]
    assert_within(fn, dtype, np.array(errors), args)


def assert_within(fn: Fn, dtype: DType, errors: np.ndarray, args: tuple[np.ndarray, ...]) -> None:
    worst = int(np.argmax(errors))
    point = [arg[worst] for arg in args]
    assert errors[worst] <= BOUNDS[fn.method, dtype], f"{errors[worst]:.3f} ulp at {point}"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("fn", EXACT, ids=str)
def test_remainders_and_neighbours_are_numpys_to_the_bit(fn: Fn, dtype: DType) -> None:
    args = samples(fn, dtype, count=10_000)
    with np.errstate(all="ignore"):
        expected = EXACT[fn](*args)
    np.testing.assert_array_equal(bits(run(fn, dtype, WIDEST, *args)), bits(expected))


INF, NAN, PI = math.inf, math.nan, math.pi

EDGES = [
    (Fn.EXP, (-INF,), 0.0),
    (Fn.EXP, (1000.0,), INF),
    (Fn.EXP, (-0.0,), 1.0),
    (Fn.EXPM1, (-0.0,), -0.0),
    (Fn.EXPM1, (-INF,), -1.0),
    (Fn.EXPM1, (INF,), INF),
    (Fn.LOG, (-0.0,), -INF),
    (Fn.LOG, (1.0,), 0.0),
    (Fn.LOG, (-1e-40,), NAN),
    (Fn.LOG, (INF,), INF),
    (Fn.LOG2, (2.0**-140,), -140.0),
    (Fn.LOG10, (0.0,), -INF),
    (Fn.LOG1P, (-0.0,), -0.0),
    (Fn.LOG1P, (-1.0,), -INF),
    (Fn.LOG1P, (-1.5,), NAN),
    (Fn.SIN, (-0.0,), -0.0),
    (Fn.SIN, (INF,), NAN),
    (Fn.COS, (-INF,), NAN),
    (Fn.TAN, (-0.0,), -0.0),
    (Fn.ASIN, (-0.0,), -0.0),
    (Fn.ASIN, (1.0,), PI / 2),
    (Fn.ASIN, (1.5,), NAN),
    (Fn.ACOS, (1.0,), 0.0),
    (Fn.ACOS, (-1.0,), PI),
    (Fn.ATAN, (-INF,), -PI / 2),
    (Fn.ATAN, (-0.0,), -0.0),
    (Fn.ATAN2, (0.0, -0.0), PI),
    (Fn.ATAN2, (-0.0, -1.0), -PI),
    (Fn.ATAN2, (-0.0, 0.0), -0.0),
    (Fn.ATAN2, (INF, -INF), 3 * PI / 4),
    (Fn.ATAN2, (1.0, -INF), PI),
    (Fn.ATAN2, (-1.0, 0.0), -PI / 2),
    (Fn.ATAN2, (NAN, INF), NAN),
    (Fn.SINH, (-0.0,), -0.0),
    (Fn.SINH, (-INF,), -INF),
    (Fn.COSH, (-INF,), INF),
    (Fn.TANH, (-0.0,), -0.0),
    (Fn.TANH, (-INF,), -1.0),
    (Fn.ASINH, (-0.0,), -0.0),
    (Fn.ASINH, (-INF,), -INF),
    (Fn.ACOSH, (1.0,), 0.0),
    (Fn.ACOSH, (0.5,), NAN),
    (Fn.ATANH, (-1.0,), -INF),
    (Fn.ATANH, (1.5,), NAN),
    (Fn.HYPOT, (INF, NAN), INF),
    (Fn.HYPOT, (-3.0, 4.0), 5.0),
    (Fn.ERF, (-0.0,), -0.0),
    (Fn.ERF, (INF,), 1.0),
    (Fn.ERFC, (0.0,), 1.0),
    (Fn.ERFC, (-0.0,), 1.0),
    (Fn.ERFC, (1e-30,), 1.0),
    (Fn.ERFC, (INF,), 0.0),
    (Fn.ERFC, (-INF,), 2.0),
    (Fn.ERFC, (30.0,), 0.0),
    (Fn.ERFINV, (0.0,), 0.0),
    (Fn.ERFINV, (-0.0,), -0.0),
    (Fn.ERFINV, (1.0,), INF),
    (Fn.ERFINV, (-1.0,), -INF),
    (Fn.ERFINV, (1.5,), NAN),
    (Fn.ERFINV, (-INF,), NAN),
    (Fn.LGAMMA, (0.0,), INF),
    (Fn.LGAMMA, (-0.0,), INF),
    (Fn.LGAMMA, (1.0,), 0.0),
    (Fn.LGAMMA, (2.0,), 0.0),
    (Fn.LGAMMA, (-3.0,), INF),
    (Fn.LGAMMA, (-1e20,), INF),
    (Fn.LGAMMA, (INF,), INF),
    (Fn.LGAMMA, (-INF,), INF),
    (Fn.DIGAMMA, (0.0,), -INF),
    (Fn.DIGAMMA, (-0.0,), INF),
    (Fn.DIGAMMA, (-1e-310,), INF),
    (Fn.DIGAMMA, (-3.0,), NAN),
    (Fn.DIGAMMA, (-1e20,), NAN),
    (Fn.DIGAMMA, (INF,), INF),
    (Fn.DIGAMMA, (-INF,), NAN),
    (Fn.TRIGAMMA, (-0.0,), INF),
    (Fn.TRIGAMMA, (1e-300,), INF),
    (Fn.TRIGAMMA, (-1e-300,), INF),
    (Fn.TRIGAMMA, (-3.0,), INF),
    (Fn.TRIGAMMA, (INF,), 0.0),
    (Fn.TRIGAMMA, (-INF,), NAN),
    (Fn.ZETA, (3.0, 0.0, 1.0, 0.0), INF),
    (Fn.ZETA, (3.0, -0.0, 1.0, 0.0), INF),
    (Fn.ZETA, (3.0, -4.0, 1.0, 0.0), INF),
    (Fn.ZETA, (3.0, -1e20, 1.0, 0.0), INF),
    (Fn.ZETA, (15.0, 1e-30, 1.0, 0.0), INF),
    (Fn.ZETA, (15.0, -1e-30, 1.0, 0.0), -INF),
    (Fn.ZETA, (16.0, -1e-30, 1.0, 0.0), INF),
    (Fn.ZETA, (3.0, INF, 1.0, 0.0), 0.0),
    (Fn.ZETA, (3.0, -INF, 1.0, 0.0), NAN),
    (Fn.ZETA, (3.0, NAN, 1.0, 0.0), NAN),
    (Fn.ZETA, (100.0, 1e38, 1.0, 0.0), 0.0),
    (Fn.POW, (NAN, 0.0), 1.0),
    (Fn.POW, (1.0, NAN), 1.0),
    (Fn.POW, (-1.0, -INF), 1.0),
    (Fn.POW, (-2.0, 3.0), -8.0),
    (Fn.POW, (-2.0, 0.5), NAN),
    (Fn.POW, (-0.0, -3.0), -INF),
    (Fn.POW, (-0.0, 2.0), 0.0),
    (Fn.POW, (-INF, 3.0), -INF),
    (Fn.POW, (-INF, -0.5), 0.0),
    (Fn.POW, (0.5, INF), 0.0),
    (Fn.POW, (NAN, 1.0), NAN),
    (Fn.FMOD, (-6.0, 3.0), -0.0),
    (Fn.FMOD, (1.0, 0.0), NAN),
    (Fn.FMOD, (-1.0, INF), -1.0),
    (Fn.FLOORMOD, (-1.0, INF), INF),
    (Fn.FLOORMOD, (6.0, -3.0), -0.0),
    (Fn.FLOORMOD, (-1.0, 3.0), 2.0),
    (Fn.NEXTAFTER, (0.0, -0.0), -0.0),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("fn", "args", "expected"), EDGES, ids=str)
def test_edges_are_those_of_annex_f(
    fn: Fn, dtype: DType, args: tuple[float, ...], expected: float
) -> None:
    got = run(fn, dtype, WIDEST, *(np.array([arg]) for arg in args))
    np.testing.assert_array_equal(bits(got), bits(np.array([expected], dtype.numpy)))


@pytest.mark.parametrize("fn", [fn for fn in ROUNDED if fn.arity == 1], ids=str)
def test_nan_stays_nan(fn: Fn) -> None:
    assert all(np.isnan(run(fn, dtype, WIDEST, np.array([np.nan])))[0] for dtype in DTYPES)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("fn", [Fn.SIN, Fn.COS, Fn.TANH, Fn.ERF], ids=str)
def test_results_stay_within_minus_one_and_one(fn: Fn, dtype: DType) -> None:
    (x,) = samples(fn, dtype, count=20_000, seed=2)
    assert np.nanmax(np.abs(run(fn, dtype, WIDEST, x))) <= 1


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("fn", MATH, ids=str)
def test_bits_are_the_same_on_every_vector_width_and_in_scalar_code(fn: Fn, dtype: DType) -> None:
    args = samples(fn, dtype, count=500, seed=3)
    expected = bits(run(fn, dtype, WIDEST, *args))
    for machine in RUNNABLE:
        for scalar in (False, True):
            got = run(fn, dtype, machine, *args, scalar=scalar)
            np.testing.assert_array_equal(bits(got), expected, machine.target.name)


def bits(values: np.ndarray) -> np.ndarray:
    """The bits of floats, with one NaN for all."""
    canonical = np.where(np.isnan(values), values.dtype.type(np.nan), values)
    return canonical.view(f"u{values.itemsize}")


OWN = re.compile(r"\b(?:fmodf?|(?:far|reflected|positive|term)\.\w+)\b")
"""What is called for rare arguments, and what is too long to be in line."""
CALLS = {
    "aarch64-unknown-linux-gnu": ("generic", r"\bbl\t(\S+)"),
    "arm64-apple-macosx": ("apple-m1", r"\bbl\t_?(\S+)"),
    "x86_64-unknown-linux-gnu": ("haswell", r"(\w+)@(?:PLT|GOTPCREL)"),
}


@pytest.mark.parametrize("triple", CALLS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("fn", MATH, ids=str)
def test_code_with_fma_calls_libm_for_rare_arguments_only(
    fn: Fn, dtype: DType, triple: str
) -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    cpu, pattern = CALLS[triple]
    target = AVX2 if triple.startswith("x86") else NEON
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=2)
    module = llvm.parse_assembly(module_text(fn, dtype, target))
    module.triple = triple
    called = set(re.findall(pattern, machine.emit_assembly(module)))
    assert all(OWN.search(name) for name in called), called
