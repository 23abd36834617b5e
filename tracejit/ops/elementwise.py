"""Arithmetic, rounding, choice and signs, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit import dtypes
from tracejit._errors import DTypeError
from tracejit.dtypes import ALL, FLOATING, NUMERIC, DType, bool_
from tracejit.ir.aval import Aval, Shape, aval
from tracejit.ops.arguments import (
    NUMBERS,
    broadcast_shapes,
    cast,
    copied,
    in_range,
    on,
    one_device,
    refuse,
    value,
    value_or_number,
    weak_dtype,
)
from tracejit.ops.families import computing_dtype, extern, pointwise, record
from tracejit.ops.logic import (
    bitwise_and,
    bitwise_invert,
    bitwise_left_shift,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    equal,
    greater,
    greater_equal,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    not_equal,
    signbit,
)
from tracejit.ops.op import Op, Params, Pointwise, Transfer


def _zero_gradient(ct: Any, out: Any, *args: Any) -> Any:
    return zeros_like(ct)


def zeros_like(x: Any) -> Any:
    """Zeros of `x`'s shape and dtype that depend on nothing."""
    return constant_like(value(x), 0)


def constant_like(
    x: Any, number: float, *, shape: Shape | None = None, dtype: DType | None = None
) -> Any:
    """`number` in every place of `x`'s shape and dtype, or those given, on the device of `x`."""
    kept = x.aval.shape if shape is None else shape
    return constant(shape=kept, dtype=dtype or x.aval.dtype, value=number, **on(x.aval.device))


def _constant_aval(*, shape: Shape, dtype: DType, value: float, device: str = "cpu") -> Aval:
    return aval(dtype, shape, device)


constant: Op = record(
    "constant",
    infer=_constant_aval,
    eval=lambda *, shape, dtype, value, device="cpu": np.full(shape, value, dtype.numpy),
    recipe=Pointwise(lambda s, *, shape, dtype, value, device="cpu": s.const(value, dtype)),
    traits=("constant",),
    doc="An array of `shape` and `dtype` whose elements are all the number `value`, which is part of the program.",
    vjp=(),
)


# conversion


def _astype_scalar(s: Any, x: Any, *, dtype: DType) -> Any:
    # NumPy converts to bfloat16, and integers to float16, by way of float32.
    if dtype is dtypes.bfloat16 or (dtype is dtypes.float16 and not x.dtype.is_float):
        x = s.cast(x, dtypes.float32)
    return s.cast(x, dtype)


def _astype_eval(x: Any, *, dtype: DType) -> Any:
    with np.errstate(all="ignore"):
        x = x.astype(np.float32) if dtype is dtypes.bfloat16 else x
        return x.astype(dtype.numpy)


_cast_to: Op = record(
    "astype",
    infer=lambda x, *, dtype: aval(dtype, x.shape, x.device),
    eval=_astype_eval,
    recipe=Pointwise(_astype_scalar),
    vjp=(lambda ct, out, x, dtype: cast(ct, x.aval.dtype),),
    doc="The elements converted to `dtype`.",
)


to_device: Op = record(
    "to_device",
    infer=lambda x, *, device: aval(x.dtype, x.shape, device),
    eval=lambda x, *, device: x,
    recipe=Transfer(),
    vjp=(lambda ct, out, x, device: to_device(ct, device=x.aval.device),),
    doc="The elements on another device.",
)


def astype(x: Any, dtype: Any, *, copy: bool = True) -> Any:
    """`x` converted to `dtype`, by NumPy's rules; where it has that dtype, a copy, or `x` itself if not `copy`.

    Floats become integers by truncation; bools are true where the element is not zero.

    >>> import tracejit as tj
    >>> tj.astype(tj.tensor([1.7, -1.7]), "int32")
    tensor([ 1, -1], dtype=int32)
    """
    x, wanted = value(x), dtypes.as_dtype(dtype)
    return copied(x) if copy and x.aval.dtype is wanted else cast(x, wanted)


# arithmetic

add: Op = pointwise(
    "add",
    dtypes=ALL,
    eval=np.add,
    scalar=lambda s, x, y: x | y if x.dtype is bool_ else x + y,
    vjp=(lambda ct, out, x, y: ct, lambda ct, out, x, y: ct),
    doc="x + y; of bools, or.",
)
subtract: Op = pointwise(
    "subtract",
    dtypes=NUMERIC,
    refuses=(bool_,),
    eval=np.subtract,
    scalar=lambda s, x, y: x - y,
    vjp=(lambda ct, out, x, y: ct, lambda ct, out, x, y: negative(ct)),
    doc="x - y; not of bools.",
)
multiply: Op = pointwise(
    "multiply",
    dtypes=ALL,
    eval=np.multiply,
    scalar=lambda s, x, y: x & y if x.dtype is bool_ else x * y,
    vjp=(lambda ct, out, x, y: multiply(ct, y), lambda ct, out, x, y: multiply(ct, x)),
    doc="x * y; of bools, and.",
)
divide: Op = pointwise(
    "divide",
    dtypes=FLOATING,
    integers=dtypes.float64,
    eval=np.divide,
    scalar=lambda s, x, y: x / y,
    vjp=(
        lambda ct, out, x, y: divide(ct, y),
        lambda ct, out, x, y: negative(divide(multiply(ct, out), y)),
    ),
    doc="x / y; integers are divided in float64.",
)


def _floor_divide(s: Any, x: Any, y: Any) -> Any:
    if not x.dtype.is_float:
        return s.floordiv(x, y)
    rest = s.fmod(x, y)
    quotient = (x - rest) / y
    quotient = s.select((rest != 0) & ((y < 0) ^ (rest < 0)), quotient - 1, quotient)
    whole = s.floor(quotient)
    whole = s.select(quotient - whole > 0.5, whole + 1, whole)
    whole = s.select(quotient == 0, s.copysign(s.const(0.0, x.dtype), x / y), whole)
    return s.select(y == 0, x / y, whole)


floor_divide: Op = pointwise(
    "floor_divide",
    dtypes=NUMERIC,
    eval=np.floor_divide,
    scalar=_floor_divide,
    vjp=(_zero_gradient, _zero_gradient),
    doc="x / y rounded to minus infinity, as NumPy's; an integer divided by 0 is 0.",
)
remainder: Op = pointwise(
    "remainder",
    dtypes=NUMERIC,
    eval=np.remainder,
    scalar=lambda s, x, y: s.floormod(x, y),
    vjp=(
        lambda ct, out, x, y: ct,
        lambda ct, out, x, y: negative(multiply(ct, floor_divide(x, y))),
    ),
    doc="x - y * floor(x / y), with the sign of y; an integer modulo 0 is 0.",
)
negative: Op = pointwise(
    "negative",
    dtypes=NUMERIC,
    refuses=(bool_,),
    eval=np.negative,
    scalar=lambda s, x: -x,
    vjp=(lambda ct, out, x: negative(ct),),
    doc="-x; not of bools.",
)
positive: Op = pointwise(
    "positive",
    dtypes=NUMERIC,
    refuses=(bool_,),
    eval=np.positive,
    scalar=lambda s, x: x,
    vjp=(lambda ct, out, x: ct,),
    doc="x; not of bools.",
)
abs: Op = pointwise(
    "abs",
    dtypes=ALL,
    eval=np.abs,
    scalar=lambda s, x: x if x.dtype.kind in "bu" else s.abs(x),
    vjp=(lambda ct, out, x: multiply(ct, sign(x)),),
    doc="|x|; its gradient at 0 is 0.",
)


def _sign(s: Any, x: Any) -> Any:
    below = 0 if x.dtype.kind == "u" else s.select(x < 0, s.const(-1, x.dtype), 0)
    known = s.select(x > 0, s.const(1, x.dtype), below)
    return s.select(x != x, x, known) if x.dtype.is_float else known


sign: Op = pointwise(
    "sign",
    dtypes=NUMERIC,
    refuses=(bool_,),
    eval=np.sign,
    scalar=_sign,
    vjp=(_zero_gradient,),
    doc="-1, 0 or 1; NaN of NaN.",
)
square: Op = pointwise(
    "square",
    dtypes=NUMERIC,
    eval=np.square,
    scalar=lambda s, x: x * x,
    vjp=(lambda ct, out, x: multiply(ct, add(x, x)),),
    doc="x * x.",
)
sqrt: Op = pointwise(
    "sqrt",
    dtypes=FLOATING,
    eval=np.sqrt,
    scalar=lambda s, x: s.sqrt(x),
    vjp=(lambda ct, out, x: divide(ct, add(out, out)),),
    doc="The square root; NaN below 0.",
)


def _reciprocal(s: Any, x: Any) -> Any:
    if x.dtype.is_float:
        return 1 / x
    unit = x == 1 if x.dtype.kind == "u" else (x == 1) | (x == -1)
    return s.select(unit, x, 0)


def _reciprocal_eval(x: Any) -> Any:
    return (
        np.reciprocal(x)
        if x.dtype.kind not in "iu"
        else np.where(np.isin(x, (1, -1)), x, 0).astype(x.dtype)
    )


reciprocal: Op = pointwise(
    "reciprocal",
    dtypes=NUMERIC,
    eval=_reciprocal_eval,
    scalar=_reciprocal,
    vjp=(lambda ct, out, x: negative(multiply(ct, multiply(out, out))),),
    doc="1 / x; of integers truncated, as NumPy's, and 0 of 0.",
)


# rounding


def _rounding(name: str, eval: Any, doc: str) -> Op:
    return pointwise(
        name,
        dtypes=ALL,
        eval=lambda x: x if x.dtype.kind in "biu" else eval(x),
        scalar=lambda s, x: getattr(s, name)(x) if x.dtype.is_float else x,
        vjp=(_zero_gradient,),
        doc=doc,
    )


floor: Op = _rounding(
    "floor", np.floor, "The largest whole number at most x; integers as they are."
)
ceil: Op = _rounding("ceil", np.ceil, "The least whole number at least x; integers as they are.")
trunc: Op = _rounding("trunc", np.trunc, "The whole part of x; integers as they are.")
round: Op = _rounding(
    "round", np.rint, "The nearest whole number, halves to even; integers as they are."
)


# the larger, the smaller, and choice


def _share(ct: Any, first: Any, second: Any) -> Any:
    """`ct` where `first` beats `second`, half of it where they are equal."""
    return where(first, ct, where(second, multiply(ct, 0.5), 0.0))


maximum: Op = pointwise(
    "maximum",
    dtypes=ALL,
    eval=np.maximum,
    scalar=lambda s, x, y: x | y if x.dtype is bool_ else s.max(x, y),
    vjp=(
        lambda ct, out, x, y: _share(ct, greater(x, y), equal(x, y)),
        lambda ct, out, x, y: _share(ct, greater(y, x), equal(x, y)),
    ),
    doc="The larger element; NaN if either is NaN. Equal elements share the gradient equally.",
)
minimum: Op = pointwise(
    "minimum",
    dtypes=ALL,
    eval=np.minimum,
    scalar=lambda s, x, y: x & y if x.dtype is bool_ else s.min(x, y),
    vjp=(
        lambda ct, out, x, y: _share(ct, less(x, y), equal(x, y)),
        lambda ct, out, x, y: _share(ct, less(y, x), equal(x, y)),
    ),
    doc="The smaller element; NaN if either is NaN. Equal elements share the gradient equally.",
)
_clip: Op = pointwise(
    "clip",
    dtypes=NUMERIC,
    eval=lambda x, least, most: np.minimum(np.maximum(x, least), most),
    scalar=lambda s, x, least, most: s.min(s.max(x, least), most),
    vjp=(
        lambda ct, out, x, least, most: where(equal(x, out), ct, 0.0),
        lambda ct, out, x, least, most: where(
            logical_and(less(x, least), equal(out, least)), ct, 0.0
        ),
        lambda ct, out, x, least, most: where(
            logical_or(greater(x, most), greater(least, most)), ct, 0.0
        ),
    ),
    doc="x limited to between `least` and `most`.",
)


def clip(x: Any, min: Any = None, max: Any = None) -> Any:
    """`x` limited to between `min` and `max`, either of which may be None; `max` wins where they cross.

    Python bounds beyond an integer dtype's range limit nothing. The gradient passes where x is within the bounds, ends
    included.

    >>> import tracejit as tj
    >>> tj.clip(tj.tensor([-1.0, 0.5, 9.0]), 0.0, 1.0)
    tensor([0. , 0.5, 1. ])
    """
    x = value(x)
    dtype = dtypes.promote_all(
        *(weak_dtype(value_or_number(arg)) for arg in (x, min, max) if arg is not None)
    )
    return _clip(x, _bound(min, dtype, -1), _bound(max, dtype, 1))


def _bound(bound: Any, dtype: DType, side: int) -> Any:
    """`bound`, or the dtype's own limit on that side."""
    if bound is not None and not (type(bound) in NUMBERS and not in_range(bound, dtype)):
        return bound
    if dtype.is_float:
        return side * float("inf")
    limits = dtypes.iinfo(dtype)
    side = side if bound is None else (1 if bound > 0 else -1)
    return int(limits.max if side > 0 else limits.min)


def _where_infer(condition: Aval, x: Aval, y: Aval) -> Aval:
    avals = (condition, x, y)
    if condition.dtype is not bool_ or x.dtype is not y.dtype:
        refuse(DTypeError, "where", avals, "takes a bool and two values of one dtype")
    return aval(x.dtype, broadcast_shapes("where", avals), one_device("where", avals))


def _where_coerce(condition: Any, x: Any, y: Any) -> tuple[tuple[Any, ...], Params]:
    condition, x, y = map(value_or_number, (condition, x, y))
    dtype = dtypes.promote_all(weak_dtype(x), weak_dtype(y))
    return (cast(condition, bool_), cast(x, dtype), cast(y, dtype)), {}


where: Op = record(
    "where",
    infer=_where_infer,
    eval=np.where,
    recipe=Pointwise(lambda s, condition, x, y: s.select(condition, x, y)),
    coerce=_where_coerce,
    vjp=(
        None,
        lambda ct, out, condition, x, y: where(condition, ct, 0.0),
        lambda ct, out, condition, x, y: where(condition, 0.0, ct),
    ),
    doc="x where the condition holds (is not zero), else y.",
)


# signs and neighbours of floats

copysign: Op = pointwise(
    "copysign",
    dtypes=FLOATING,
    eval=np.copysign,
    scalar=lambda s, x, y: s.copysign(x, y),
    vjp=(
        lambda ct, out, x, y: where(equal(signbit(x), signbit(y)), ct, negative(ct)),
        _zero_gradient,
    ),
    doc="|x| with the sign of y.",
)
_nextafter_single: Op = pointwise(
    "nextafter",
    dtypes=(dtypes.float32, dtypes.float64),
    eval=np.nextafter,
    scalar=lambda s, x, y: s.nextafter(x, y),
    not_differentiable="a step of one unit in the last place has no derivative",
    doc="The next number after x towards y.",
)
# A kernel computes float16 in float32, where the next number is another one.
_nextafter_half: Op = extern(
    "nextafter_half",
    infer=lambda x, y: aval(
        x.dtype, broadcast_shapes("nextafter", (x, y)), one_device("nextafter", (x, y))
    ),
    eval=lambda x, y: np.asarray(np.nextafter(x, y)),
    not_differentiable="a step of one unit in the last place has no derivative",
    doc="The next float16 or bfloat16 after x towards y.",
)


def nextafter(x: Any, y: Any) -> Any:
    """The next number after `x` towards `y`, in the floating-point dtype that both promote to.

    >>> import tracejit as tj
    >>> tj.nextafter(tj.tensor(1.0), 2.0) > 1.0
    tensor(True)
    """
    x, y = value_or_number(x), value_or_number(y)
    dtype = computing_dtype(FLOATING, weak_dtype(x), weak_dtype(y))
    if dtype in dtypes.HALF:
        return _nextafter_half(cast(x, dtype), cast(y, dtype))
    return _nextafter_single(x, y)


# parts of complex numbers, of which there are only real ones so far


def real(x: Any) -> Any:
    """The real part: `x` itself, as its numbers are real."""
    return value(x)


def imag(x: Any) -> Any:
    """The imaginary part: zeros, as `x`'s numbers are real."""
    return zeros_like(value(x))


def conj(x: Any) -> Any:
    """The complex conjugate: a copy, as `x`'s numbers are real.

    >>> import tracejit as tj
    >>> tj.conj(tj.tensor([1.0, -2.0]))
    tensor([ 1., -2.])
    """
    return positive(x)


__all__ = [
    "abs", "add", "astype", "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift",
    "bitwise_xor", "ceil", "clip", "conj", "copysign", "divide", "equal", "floor", "floor_divide", "greater", "greater_equal",
    "imag", "isfinite", "isinf", "isnan", "less", "less_equal", "logical_and", "logical_not", "logical_or", "logical_xor",
    "maximum", "minimum", "multiply", "negative", "nextafter", "not_equal", "positive", "real", "reciprocal", "remainder",
    "round", "sign", "signbit", "sqrt", "square", "subtract", "trunc", "where",
]  # fmt: skip
