"""A scalar builder over NumPy arrays: evaluates a Pointwise recipe with no kernel."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy import special

from tracejit import dtypes
from tracejit.codegen.kernel.fn import COMPARISONS, Fn
from tracejit.dtypes import DType
from tracejit.ir.aval import Aval, aval
from tracejit.ops.functions import power
from tracejit.ops.op import Op, Pointwise


def _erf(x: np.ndarray) -> np.ndarray:
    return np.array([math.erf(v) for v in np.ravel(x)], x.dtype).reshape(np.shape(x))


def _erfc(x: np.ndarray) -> np.ndarray:
    return special.erfc(x.astype(np.float64)).astype(x.dtype)


def _erfinv(x: np.ndarray) -> np.ndarray:
    return special.erfinv(x.astype(np.float64)).astype(x.dtype)


def _zeta(s: np.ndarray, x: np.ndarray, scale: np.ndarray, low: np.ndarray) -> np.ndarray:
    """SciPy's, but for minus infinity."""
    wide = np.where(np.isneginf(x), np.nan, x).astype(np.float64)
    factor = np.exp2(scale.astype(np.float64) + low)
    return (special.zeta(s.astype(np.float64), wide) * factor).astype(x.dtype)


def _lgamma(x: np.ndarray) -> np.ndarray:
    """SciPy's, but for minus infinity, where it has that, and C infinity."""
    return special.gammaln(np.where(np.isneginf(x), -x, x))


def _trigamma(x: np.ndarray) -> np.ndarray:
    """SciPy's, but for minus infinity, about which there are poles on one side, and none on the other."""
    wide = np.where(np.isneginf(x), np.nan, x).astype(np.float64)
    return special.polygamma(1, wide).astype(x.dtype)


TABLE: dict[Fn, Callable[..., Any]] = {
    Fn.ADD: np.add, Fn.SUB: np.subtract, Fn.MUL: np.multiply, Fn.DIV: np.divide, Fn.NEG: np.negative, Fn.ABS: np.abs,
    Fn.FLOORDIV: np.floor_divide, Fn.FLOORMOD: np.remainder, Fn.FMOD: np.fmod, Fn.MIN: np.minimum, Fn.MAX: np.maximum,
    Fn.FLOOR: np.floor, Fn.CEIL: np.ceil, Fn.TRUNC: np.trunc, Fn.ROUND: np.rint, Fn.SQRT: np.sqrt,
    Fn.COPYSIGN: np.copysign, Fn.NEXTAFTER: np.nextafter, Fn.SIGNBIT: np.signbit, Fn.EXP: np.exp, Fn.EXPM1: np.expm1,
    Fn.LOG: np.log, Fn.LOG1P: np.log1p, Fn.LOG2: np.log2, Fn.LOG10: np.log10, Fn.POW: power.eval, Fn.SIN: np.sin,
    Fn.COS: np.cos, Fn.TAN: np.tan, Fn.ASIN: np.arcsin, Fn.ACOS: np.arccos, Fn.ATAN: np.arctan, Fn.ATAN2: np.arctan2,
    Fn.SINH: np.sinh, Fn.COSH: np.cosh, Fn.TANH: np.tanh, Fn.ASINH: np.arcsinh, Fn.ACOSH: np.arccosh, Fn.ATANH: np.arctanh,
    Fn.HYPOT: np.hypot, Fn.ERF: _erf, Fn.ERFC: _erfc, Fn.ERFINV: _erfinv, Fn.LGAMMA: _lgamma, Fn.DIGAMMA: special.psi,
    Fn.TRIGAMMA: _trigamma, Fn.ZETA: _zeta,
    Fn.EQ: np.equal, Fn.NE: np.not_equal, Fn.LT: np.less, Fn.LE: np.less_equal,
    Fn.AND: np.bitwise_and, Fn.OR: np.bitwise_or, Fn.XOR: np.bitwise_xor, Fn.NOT: np.invert, Fn.SHL: np.left_shift,
    Fn.SHR: np.right_shift, Fn.SELECT: np.where,
}  # fmt: skip

OPERATORS = {
    "add": Fn.ADD, "sub": Fn.SUB, "mul": Fn.MUL, "truediv": Fn.DIV, "and": Fn.AND, "or": Fn.OR, "xor": Fn.XOR,
    "lshift": Fn.SHL, "rshift": Fn.SHR, "lt": Fn.LT, "le": Fn.LE, "eq": Fn.EQ, "ne": Fn.NE,
}  # fmt: skip


class Element:
    """An array of elements, all computed alike."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, array: np.ndarray) -> None:
        self.array = np.asarray(array)

    @property
    def dtype(self) -> DType:
        return dtypes.from_numpy(self.array.dtype)

    def __neg__(self) -> Element:
        return BUILDER.apply(Fn.NEG, self)

    def __invert__(self) -> Element:
        return BUILDER.apply(Fn.NOT, self)

    def __gt__(self, other: Any) -> Element:
        return BUILDER.apply(Fn.LT, other, self)

    def __ge__(self, other: Any) -> Element:
        return BUILDER.apply(Fn.LE, other, self)


for name, function in OPERATORS.items():
    setattr(Element, f"__{name}__", lambda x, y, fn=function: BUILDER.apply(fn, x, y))
    if name not in ("lt", "le", "eq", "ne"):
        setattr(Element, f"__r{name}__", lambda x, y, fn=function: BUILDER.apply(fn, y, x))


class ArrayBuilder:
    """The `s` of a recipe. Like the kernels' own, it refuses arguments of several dtypes."""

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        self.shape = shape

    def __getattr__(self, method: str) -> Callable[..., Element]:
        found = next((fn for fn in Fn if fn.method == method), None)
        if found is None:
            raise AttributeError(method)
        return partial(self.apply, found)

    def apply(self, fn: Fn, *args: Any) -> Element:
        chosen = args[1:] if fn is Fn.SELECT else args
        given = {arg.dtype for arg in chosen if isinstance(arg, Element)}
        assert len(args) == fn.arity, fn
        assert len(given) == 1, (fn, given)
        (dtype,) = given
        arrays = [a.array if isinstance(a, Element) else np.asarray(a, dtype.numpy) for a in chosen]
        if fn is Fn.SELECT:
            assert args[0].dtype is dtypes.bool_
            arrays.insert(0, args[0].array)
        result = Element(TABLE[fn](*arrays))
        assert result.dtype is (dtypes.bool_ if fn in COMPARISONS else dtype), (
            fn,
            dtype,
            result.dtype,
        )
        return result

    def const(self, value: Any, dtype: DType | None = None) -> Any:
        return value if dtype is None else Element(np.asarray(value, dtype.numpy))

    def cast(self, x: Element, dtype: DType) -> Element:
        return x if x.dtype is dtype else Element(x.array.astype(dtype.numpy))

    def index(self, axis: int) -> Element:
        return Element(np.indices(self.shape, np.int64)[axis])


BUILDER = ArrayBuilder()


def evaluate(op: Op, *arrays: np.ndarray, **params: Any) -> np.ndarray:
    """The op by its scalar rule: float16 and bfloat16 in float32, rounded at the end."""
    assert isinstance(op.recipe, Pointwise)
    out = op.infer(*(aval_of(a) for a in arrays), **params)
    wide = [
        a.astype(np.float32) if dtypes.from_numpy(a.dtype) in dtypes.HALF else a for a in arrays
    ]
    with np.errstate(all="ignore"):
        result = op.recipe.scalar(ArrayBuilder(out.sizes), *map(Element, wide), **params)
        array = result.array if isinstance(result, Element) else np.asarray(result)
        return np.broadcast_to(array.astype(out.dtype.numpy), out.sizes)


def aval_of(array: np.ndarray) -> Aval:
    return aval(dtypes.from_numpy(array.dtype), array.shape)
