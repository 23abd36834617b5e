"""sin, cos and tan of large arguments: within their bounds against mpmath, and the same bits on a GPU."""

from __future__ import annotations

import re

import mpmath
import numpy as np
import pytest

from tests.codegen.harness import RUNNABLE, WIDEST, module_text, run
from tests.codegen.kernels import EMULATED, same_bits, skip_unless_emulated
from tests.codegen.kernels import run as run_kernel
from tests.codegen.test_emit_scalars import INPUTS, one_output_each
from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.kernel.ir import Kind
from tracejit.codegen.llvm.math_far import INVERSE_PI
from tracejit.dtypes import DType, float32, float64

FUNCTIONS = {Fn.SIN: mpmath.sin, Fn.COS: mpmath.cos, Fn.TAN: mpmath.tan}
ULPS = 1.3
NEAREST = {
    float64: [6381956970095103.0 * 2.0**797, 5.319372648326541e255, 1.7976931348623157e308, 1e22, 2.0**970],
    float32: [16367173 * 2.0**72, 3.4028234663852886e38, 2.0**104, 100000.01, 1.6777216e7],
}  # fmt: skip
"""The arguments of either format that are nearest to a multiple of pi / 2, the largest, and others of interest."""


def far(dtype: DType, count: int, seed: int = 0) -> np.ndarray:
    """Arguments of all exponents beyond the near reduction's reach, and some before it."""
    rng = np.random.default_rng(seed)
    exponents = rng.integers(*((28, 1024) if dtype is float64 else (15, 128)), count)
    some = np.ldexp(rng.uniform(1, 2, count), exponents - 1).astype(dtype.numpy)
    return np.concatenate(
        [some * rng.choice([-1, 1], count).astype(dtype.numpy), NEAREST[dtype]]
    ).astype(dtype.numpy)


def test_the_table_is_one_over_pi() -> None:
    digits = sum(word << 32 * place for place, word in enumerate(reversed(INVERSE_PI[2:])))
    with mpmath.workprec(1400):
        assert digits == int(mpmath.floor(2 ** (32 * len(INVERSE_PI[2:])) / mpmath.pi))
    least_exponent, greatest = 1023 - 10, 2047
    for exponent in (least_exponent, greatest):
        place = exponent - 1012
        assert 0 <= place
        assert (place >> 5) + 7 <= len(INVERSE_PI)


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
@pytest.mark.parametrize("fn", FUNCTIONS, ids=str)
def test_errors_stay_within_the_bound(fn: Fn, dtype: DType) -> None:
    x = far(dtype, 300)
    for value, found in zip(x, run(fn, dtype, WIDEST, x)):
        with mpmath.workprec(1300):
            exact = FUNCTIONS[fn](mpmath.mpf(float(value)))
            unit = float(np.spacing(np.abs(dtype.numpy.type(float(exact)))))
            assert abs(mpmath.mpf(float(found)) - exact) <= ULPS * unit, value


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_infinities_have_no_angle(dtype: DType) -> None:
    x = np.array([np.inf, -np.inf, np.nan], dtype.numpy)
    for fn in FUNCTIONS:
        assert np.isnan(run(fn, dtype, WIDEST, x)).all()


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_all_widths_and_a_gpu_have_the_same_bits(dtype: DType) -> None:
    x = far(dtype, 160, seed=1)
    x = np.concatenate([x, np.array([np.inf, 1.5, -0.0, np.nan], dtype.numpy)])
    expected = {fn: run(fn, dtype, WIDEST, x) for fn in FUNCTIONS}
    for target in RUNNABLE:
        for fn, want in expected.items():
            assert same_bits(run(fn, dtype, target, x), want).all()
    skip_unless_emulated()
    kernel = one_output_each(dtype, [(fn, dtype) for fn in FUNCTIONS], Kind.VECTOR)
    made = [np.zeros(x.size, dtype.numpy) for _ in FUNCTIONS]
    run_kernel(kernel, EMULATED, [*[x] * INPUTS, np.zeros(x.size, bool), *made], [x.size], tasks=1)
    for found, want in zip(made, expected.values()):
        assert same_bits(found, want).all()


def test_the_way_of_far_arguments_is_out_of_line_and_calls_nothing() -> None:
    text = module_text(Fn.SIN, float32, WIDEST.target)
    assert not re.search(r"declare.*@sinf", text)
    assert re.search(r"define internal float @far\.sin\.f32\(float %x0\) noinline cold", text)
