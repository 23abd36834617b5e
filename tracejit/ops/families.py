"""Constructors of ops: what a family of ops shares, so that a record holds only what is its own.

A family supplies `infer` (broadcasting, dtype checks), `coerce` (promotion), the rounding of float16 and bfloat16 in `eval`,
and the summing of cotangents over axes that an argument was broadcast along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from tracejit import dtypes
from tracejit._errors import DTypeError, ShapeError, at_user_line
from tracejit._records import dataclass
from tracejit.dispatch import Scalar
from tracejit.dtypes import DType
from tracejit.ir.aval import Aval, Shape, aval, same_shape
from tracejit.ir.dim import surely_equal
from tracejit.ops.arguments import (
    NUMBERS,
    SCALARS,
    broadcast_shapes,
    cast,
    in_range,
    is_one,
    number_as,
    one_device,
    refuse,
    value_or_number,
    weak_dtype,
)
from tracejit.ops.op import Extern, Op, Params, Pointwise, Recipe, Reduction, View
from tracejit.ops.registry import REGISTRY, register

Rule = Callable[..., Any]
MIXED_SIGNS = frozenset({dtypes.int64, dtypes.uint64})
"""The two dtypes that only a comparison takes side by side: no integer dtype holds both."""
NO_PARAMS: Params = {}
NARROW_REDUCTION = 256
"""Adjacent reduced axes become one op while the inner ones have fewer elements than this."""


@dataclass(frozen=True, slots=True)
class Vjp:
    """`(ct, out, *args, **params) -> cotangents` from one rule per argument; a rule that is None has no cotangent."""

    rules: tuple[Rule | None, ...]

    def __call__(self, ct: Any, out: Any, *args: Any, **params: Any) -> tuple[Any, ...]:
        """One cotangent per argument, of its shape; None for numbers and integers."""
        return tuple(
            unbroadcast(rule(ct, out, *args, **params), arg.aval)
            if rule is not None and carries_gradient(arg)
            else None
            for rule, arg in zip(self.rules, args)
        )


def carries_gradient(arg: Any) -> bool:
    """Numbers are not differentiated; nor are integers and bools, nor what says so itself."""
    is_float = not isinstance(arg, Scalar) and arg.aval.dtype.is_float
    return is_float and getattr(arg, "is_wanted", True)


def unbroadcast(ct: Any, target: Aval) -> Any:
    """`ct` summed over the axes along which a value of `target` was broadcast."""
    shape: Shape = ct.aval.shape
    if same_shape(shape, target.shape):
        return ct
    lead = len(shape) - len(target.shape)
    pairs = zip(range(lead, len(shape)), shape[lead:], target.shape)
    stretched = (axis for axis, n, m in pairs if not surely_equal(n, m) and m == 1 != n)
    return reshape_to(add_up(ct, (*range(lead), *stretched)), target.shape)


def add_up(x: Any, axes: Sequence[int]) -> Any:
    """The sum over ascending axes, which it removes; float16 and bfloat16 are added in float32 and rounded once."""
    dtype = x.aval.dtype
    x = cast(x, dtypes.float32) if dtype in dtypes.HALF and axes else x
    for group in reduction_groups(x.aval.shape, axes):
        x = REGISTRY["sum"](x, axes=group)
    return cast(x, dtype)


def reduction_groups(shape: Shape, axes: Sequence[int]) -> list[tuple[int, ...]]:
    """Ascending axes as groups of adjacent ones, in the order in which to reduce them: the innermost first.

    It looks at the shape alone, so that the order of additions does not depend on how an array lies in memory. Open sizes are not
    asked whether they are 1, which would join groups, and change no sum.

    >>> reduction_groups((4096, 1024), (0, 1)), reduction_groups((1000, 10), (0, 1))
    ([(1,), (0,)], [(0, 1)])
    """
    groups: list[tuple[int, ...]] = []
    extent = 1
    for axis in reversed(axes):
        size = shape[axis]
        narrow = extent < NARROW_REDUCTION or is_one(size)
        if groups and groups[-1][0] == axis + 1 and narrow:
            groups[-1] = (axis, *groups[-1])
        else:
            groups.append((axis,))
            extent = 1
        extent *= size
    return groups


def reshape_to(x: Any, shape: Shape) -> Any:
    """`x` in another shape of the same size."""
    return x if same_shape(x.aval.shape, shape) else REGISTRY["reshape"](x, shape=shape)


def _vjp(rules: Sequence[Rule | None] | None) -> Vjp | None:
    return None if rules is None else Vjp(tuple(rules))


def in_single(eval: Rule) -> Rule:
    """`eval` with float16 and bfloat16 arguments computed in float32 and the result rounded once."""

    def evaluate(*arrays: Any, **params: Any) -> Any:
        half = next(
            (a.dtype for a in arrays if a.dtype.itemsize == 2 and a.dtype.kind not in "iu"), None
        )
        with np.errstate(all="ignore"):
            if half is None:
                return np.asarray(eval(*arrays, **params))
            result = np.asarray(eval(*(_widened(a) for a in arrays), **params))
            return result.astype(half) if result.dtype == np.float32 else result

    return evaluate


def _widened(array: Any) -> Any:
    return (
        array.astype(np.float32)
        if array.dtype.itemsize == 2 and array.dtype.kind not in "iu"
        else array
    )


def computing_dtype(accepted: Sequence[DType], *given: DType | type) -> DType | None:
    """The dtype that an op on `accepted` computes in: what `given` promote to, or the first that holds the values of each."""
    dtype = dtypes.promote_all(*given)
    if dtype in accepted:
        return dtype
    each = given if all(isinstance(one, DType) for one in given) else (dtype,)
    wider = (
        other
        for other in accepted
        if other is not dtypes.bfloat16 and all(dtypes.can_cast(one, other) for one in each)
    )
    return next(wider, None)


def pointwise(
    name: str,
    *,
    dtypes: Sequence[DType],
    eval: Rule,
    scalar: Rule,
    vjp: Sequence[Rule | None] | None = None,
    result: DType | None = None,
    integers: DType | None = None,
    refuses: Sequence[DType] = (),
    not_differentiable: str | None = None,
    traits: Sequence[str] = (),
    doc: str = "",
) -> Op:
    """An op on elements that broadcast and promote to one dtype of `dtypes`.

    `result` is the result's dtype where it is another; `integers` is what bools and integers are computed in; `refuses` are
    dtypes not to widen. `vjp` has one rule `(ct, out, *args) -> cotangent` per argument.
    """
    return register(
        Op(
            name=name,
            infer=_broadcasting_infer(name, scalar, result),
            eval=in_single(eval),
            recipe=Pointwise(scalar),
            coerce=promoting_coerce(name, tuple(dtypes), integers, tuple(refuses)),
            vjp=_vjp(vjp),
            traits=frozenset(traits),
            doc=doc,
        ),
        not_differentiable=not_differentiable,
    )


def _broadcasting_infer(
    name: str, scalar: Rule, result: DType | None, mixed: frozenset[DType] = frozenset()
) -> Callable[..., Aval]:
    arity = scalar.__code__.co_argcount - 1

    @lru_cache(maxsize=4096)
    def infer(*avals: Aval) -> Aval:
        if len(avals) != arity:
            raise TypeError(at_user_line(f"{name} takes {arity} arguments, got {len(avals)}"))
        given = [a.dtype for a in avals]
        if any(dtype is not given[0] for dtype in given) and set(given) != mixed:
            refuse(DTypeError, name, avals, "the arguments differ in dtype")
        return aval(result or given[0], broadcast_shapes(name, avals), one_device(name, avals))

    return infer


def promoting_coerce(
    name: str, accepted: tuple[DType, ...], integers: DType | None, refuses: tuple[DType, ...]
) -> Callable[..., tuple[tuple[Any, ...], Params]]:
    """The arguments in the dtype of `accepted` that they promote to: bools and integers in `integers`, if that is given."""

    @lru_cache(maxsize=4096)
    def resolve(*given: DType | type) -> DType:
        dtype = dtypes.promote_all(*given)
        if integers is not None and not dtype.is_float:
            return integers
        found = None if dtype in refuses else computing_dtype(accepted, *given)
        if found is None:
            refuse(DTypeError, name, (), f"takes no {dtype.name}")
        return found

    as_they_are = frozenset(d for d in accepted if d.is_float or integers is None)
    """Dtypes that are computed in themselves."""

    def coerce(*args: Any) -> tuple[tuple[Any, ...], Params]:
        # Every op passes here, in eager code and in recordings: what needs no conversion costs no call.
        values = [arg for arg in args if hasattr(arg, "_is_value")]
        if values and (dtype := values[0].aval.dtype) in as_they_are:
            if len(values) == len(args):
                for value in values:
                    if value.aval.dtype is not dtype:
                        break
                else:
                    return args, NO_PARAMS
            elif len(args) == 2 and dtype.is_float:
                first, second = args
                if type(second) is float or type(second) is int:
                    return (first, Scalar(number_as(second, dtype), SCALARS[dtype])), NO_PARAMS
                if type(first) is float or type(first) is int:
                    return (Scalar(number_as(first, dtype), SCALARS[dtype]), second), NO_PARAMS
        known = [arg if hasattr(arg, "_is_value") else value_or_number(arg) for arg in args]
        given: list[Any] = [weak_dtype(arg) for arg in known]
        dtype = resolve(*given)
        return tuple([a if d is dtype else cast(a, dtype) for a, d in zip(known, given)]), {}

    return coerce


def comparison(
    name: str, *, eval: Rule, scalar: Rule, first_negative: bool, second_negative: bool, doc: str
) -> Op:
    """An op from two elements of one dtype to a bool; integers are compared by value, whatever their dtypes.

    A Python integer may lie outside the other argument's range. Of int64 and uint64 the last two arguments give the result where
    the first, or the second, is negative.
    """
    promote = promoting_coerce(name, dtypes.ALL, None, ())

    def coerce(*args: Any) -> tuple[tuple[Any, ...], Params]:
        known = _beyond_as_infinity(tuple(map(value_or_number, args)))
        given = [weak_dtype(arg) for arg in known]
        if dtypes.uint64 not in given or not any(dtype in dtypes.SIGNED for dtype in given):
            return promote(*known)
        wide = (d if d is dtypes.uint64 else dtypes.int64 for d in given)
        return tuple(cast(arg, dtype) for arg, dtype in zip(known, wide)), {}

    def by_value(s: Any, x: Any, y: Any) -> Any:
        if x.dtype is y.dtype:
            return scalar(s, x, y)
        signed, outcome = (y, second_negative) if x.dtype is dtypes.uint64 else (x, first_negative)
        both_positive = scalar(s, s.cast(x, dtypes.uint64), s.cast(y, dtypes.uint64))
        return s.select(signed < 0, s.const(outcome, dtypes.bool_), both_positive)

    return register(
        Op(
            name=name,
            infer=_broadcasting_infer(name, by_value, dtypes.bool_, MIXED_SIGNS),
            eval=in_single(eval),
            recipe=Pointwise(by_value),
            coerce=coerce,
            doc=doc,
        )
    )


def _beyond_as_infinity(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """A Python integer that the other argument's dtype cannot hold compares as an infinity does."""
    strong = [arg.aval.dtype for arg in args if type(arg) not in NUMBERS]
    if len(strong) != 1:
        return args
    return tuple(
        float("inf" if arg > 0 else "-inf")
        if type(arg) is int and not in_range(arg, strong[0])
        else arg
        for arg in args
    )


def logical(name: str, *, eval: Rule, scalar: Rule, doc: str = "") -> Op:
    """An op on truth values: arguments of any dtype are true where they are not zero."""

    def coerce(*args: Any) -> tuple[tuple[Any, ...], Params]:
        return tuple(cast(value_or_number(arg), dtypes.bool_) for arg in args), {}

    return register(
        Op(
            name=name,
            infer=_broadcasting_infer(name, scalar, dtypes.bool_),
            eval=in_single(eval),
            recipe=Pointwise(scalar),
            coerce=coerce,
            doc=doc,
        )
    )


def reduction(
    name: str,
    *,
    dtypes: Sequence[DType],
    eval: Rule,
    vjp: Rule | None = None,
    result: DType | None = None,
    combine: str | None = None,
    needs_elements: bool = False,
    not_differentiable: str | None = None,
    doc: str = "",
) -> Op:
    """A fold over `axes`, which are ascending, adjacent, and removed; `needs_elements` where no elements have no result.

    `combine` is the fold where it is not the one that the op is named after.
    """

    @lru_cache(maxsize=4096)
    def infer(x: Aval, *, axes: tuple[int, ...]) -> Aval:
        if x.dtype not in dtypes:
            refuse(DTypeError, name, (x,), f"takes no {x.dtype.name}")
        if (
            not axes
            or axes != tuple(range(axes[0], axes[-1] + 1))
            or not 0 <= axes[0] <= axes[-1] < x.ndim
        ):
            refuse(ShapeError, name, (x,), f"axes must be ascending and adjacent, got {axes}")
        if needs_elements and any(x.shape[axis] == 0 for axis in axes):
            refuse(
                ShapeError,
                name,
                (x,),
                f"the reduced axes {axes} hold no elements, which have no {name}",
            )
        return aval(result or x.dtype, x.shape[: axes[0]] + x.shape[axes[-1] + 1 :], x.device)

    return register(
        Op(
            name=name,
            infer=infer,
            eval=in_single(eval),
            recipe=Reduction(combine or name),
            coerce=as_given,
            vjp=_vjp(None if vjp is None else (vjp,)),
            doc=doc,
        ),
        not_differentiable=not_differentiable,
    )


def as_given(*args: Any, **params: Any) -> tuple[tuple[Any, ...], Params]:
    """The coerce of records whose user-level function has normalised the call."""
    return tuple(map(value_or_number, args)), params


def view(
    name: str,
    *,
    infer: Rule,
    eval: Rule,
    layout: Rule,
    vjp: Rule | None,
    traits: Sequence[str] = (),
    doc: str = "",
) -> Op:
    """The same elements in another arrangement, of any dtype; `infer` gives the shape.

    The trait "overlaps" says that several of the view's elements may be one.
    """

    @lru_cache(maxsize=4096)
    def infer_aval(x: Aval, **params: Any) -> Aval:
        return aval(x.dtype, infer(x, **params), x.device)

    return register(
        Op(
            name=name,
            infer=infer_aval,
            eval=eval,
            recipe=View(layout),
            coerce=as_given,
            vjp=Vjp((vjp,)),
            traits=frozenset(traits),
            doc=doc,
        )
    )


def record(
    name: str,
    *,
    infer: Callable[..., Aval],
    eval: Rule,
    recipe: Recipe,
    vjp: Sequence[Rule | None] | Rule | None = None,
    coerce: Callable[..., tuple[tuple[Any, ...], Params]] = as_given,
    not_differentiable: str | None = None,
    traits: Sequence[str] = (),
    doc: str = "",
) -> Op:
    """An op of no larger family; `vjp` is one rule per argument, or a function that gives all cotangents."""
    return register(
        Op(
            name=name,
            infer=lru_cache(maxsize=4096)(infer),
            eval=eval,
            recipe=recipe,
            coerce=coerce,
            vjp=vjp if vjp is None or callable(vjp) else Vjp(tuple(vjp)),
            traits=frozenset(traits),
            doc=doc,
        ),
        not_differentiable=not_differentiable,
    )


def extern(name: str, **fields: Any) -> Op:
    """An op with no kernel: its `eval` computes it."""
    return record(name, recipe=Extern(), **fields)
