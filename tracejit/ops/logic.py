"""Comparison, logic and bits, element by element. None of them has a gradient: the results are bools or integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.dtypes import FLOATING, INTEGERS, bool_
from tracejit.ops.families import comparison, logical, pointwise
from tracejit.ops.op import Op

BITS = (bool_, *INTEGERS)

# comparison

equal: Op = comparison(
    "equal",
    eval=np.equal,
    scalar=lambda s, x, y: s.eq(x, y),
    first_negative=False,
    second_negative=False,
    doc="x == y.",
)
not_equal: Op = comparison(
    "not_equal",
    eval=np.not_equal,
    scalar=lambda s, x, y: s.ne(x, y),
    first_negative=True,
    second_negative=True,
    doc="x != y; true of NaN.",
)
less: Op = comparison(
    "less",
    eval=np.less,
    scalar=lambda s, x, y: s.lt(x, y),
    first_negative=True,
    second_negative=False,
    doc="x < y.",
)
less_equal: Op = comparison(
    "less_equal",
    eval=np.less_equal,
    scalar=lambda s, x, y: s.le(x, y),
    first_negative=True,
    second_negative=False,
    doc="x <= y.",
)
greater: Op = comparison(
    "greater",
    eval=np.greater,
    scalar=lambda s, x, y: s.lt(y, x),
    first_negative=False,
    second_negative=True,
    doc="x > y.",
)
greater_equal: Op = comparison(
    "greater_equal",
    eval=np.greater_equal,
    scalar=lambda s, x, y: s.le(y, x),
    first_negative=False,
    second_negative=True,
    doc="x >= y.",
)


def _predicate(name: str, eval: Any, scalar: Any, doc: str) -> Op:
    return pointwise(name, dtypes=FLOATING, result=bool_, eval=eval, scalar=scalar, doc=doc)


isnan: Op = _predicate("isnan", np.isnan, lambda s, x: x != x, "Whether x is NaN.")
isinf: Op = _predicate(
    "isinf", np.isinf, lambda s, x: s.abs(x) == float("inf"), "Whether x is an infinity."
)
isfinite: Op = _predicate(
    "isfinite",
    np.isfinite,
    lambda s, x: s.abs(x) < float("inf"),
    "Whether x is neither NaN nor inf.",
)
signbit: Op = _predicate(
    "signbit", np.signbit, lambda s, x: s.signbit(x), "Whether x's sign is minus; true of -0.0."
)


# logic and bits

logical_and: Op = logical(
    "logical_and", eval=np.logical_and, scalar=lambda s, x, y: x & y, doc="Both are true."
)
logical_or: Op = logical(
    "logical_or", eval=np.logical_or, scalar=lambda s, x, y: x | y, doc="At least one is true."
)
logical_xor: Op = logical(
    "logical_xor", eval=np.logical_xor, scalar=lambda s, x, y: x ^ y, doc="Exactly one is true."
)
logical_not: Op = logical(
    "logical_not", eval=np.logical_not, scalar=lambda s, x: ~x, doc="x is false."
)


def _bits(name: str, eval: Any, scalar: Any, doc: str) -> Op:
    return pointwise(name, dtypes=BITS, eval=eval, scalar=scalar, doc=doc)


bitwise_and: Op = _bits(
    "bitwise_and", np.bitwise_and, lambda s, x, y: x & y, "x & y, of integers or bools."
)
bitwise_or: Op = _bits(
    "bitwise_or", np.bitwise_or, lambda s, x, y: x | y, "x | y, of integers or bools."
)
bitwise_xor: Op = _bits(
    "bitwise_xor", np.bitwise_xor, lambda s, x, y: x ^ y, "x ^ y, of integers or bools."
)
bitwise_invert: Op = _bits(
    "bitwise_invert", np.invert, lambda s, x: ~x, "~x, of integers or bools."
)
bitwise_left_shift: Op = pointwise(
    "bitwise_left_shift",
    dtypes=INTEGERS,
    eval=np.left_shift,
    scalar=lambda s, x, y: x << y,
    doc="x << y; 0 where y is the width or more.",
)
bitwise_right_shift: Op = pointwise(
    "bitwise_right_shift",
    dtypes=INTEGERS,
    eval=np.right_shift,
    scalar=lambda s, x, y: x >> y,
    doc="x >> y, of signed integers arithmetic; 0 or -1 where y is the width or more.",
)

__all__ = [
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "equal",
    "greater",
    "greater_equal",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "not_equal",
    "signbit",
]
