"""Methods that write: each computes a value as the method without the underscore does, then assigns it to the tensor's memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracejit import dispatch, ops
from tracejit._errors import DTypeError, ShapeError, at_user_line
from tracejit.ops.arguments import cast, moved, value, value_or_number
from tracejit.ops.registry import REGISTRY
from tracejit.storage import is_broadcast


def check_writable(target: Any) -> None:
    """Refuses broadcast views, overlapping ones and, as NumPy does, views of them: a write would show in several places."""
    view, kind = target, "a broadcast view"
    while not is_broadcast(view.layout):
        if view.origin is None:
            return
        parent, op, _ = view.origin
        if "overlaps" in op.traits:
            kind = "a view of overlapping windows"
            break
        view = parent
    message = f"{target.aval} is {kind}, whose elements share memory: copy() it before writing"
    raise ValueError(at_user_line(message))


def write(target: Any, source: Any) -> Any:
    """Overwrites `target` with `source`, cast and broadcast, as `target[...] = source` does."""
    check_writable(target)
    source = cast(value_or_number(source), target.aval.dtype)
    if target.aval.device != source.aval.device:
        source = moved(source, target.aval.device)
    source = value(source)
    if source.storage is target.storage and source.layout == target.layout:
        return target  # `t[0] += 1` ends with `t[0] = t[0]`
    # Bound even where the shape is the same: what is assigned has a place of its own on the tape.
    dispatch.assign(
        target, dispatch.bind(REGISTRY["broadcast_to"], (source,), {"shape": target.shape})
    )
    return target


def update(target: Any, result: Any, name: str) -> Any:
    """Overwrites `target` with the result of an op on it, which must be of its shape and of no higher kind of dtype."""
    check_writable(target)
    # Most results have the target's shape and dtype, and equal avals are one object.
    dispatch.assign(
        target, result if result.aval.equals(target.aval) else _fitted(target, result, name)
    )
    return target


def _fitted(target: Any, result: Any, name: str) -> Any:
    """`result` in the dtype of `target`, whose shape it has."""
    if result.shape != target.shape:
        raise ShapeError(
            at_user_line(f"{name}: the result {result.aval} does not fit into {target.aval}")
        )
    kinds = "biuf"
    if (
        kinds.index(result.aval.dtype.kind) > kinds.index(target.aval.dtype.kind)
        and result.aval.dtype.kind + target.aval.dtype.kind != "ui"
    ):
        raise DTypeError(
            at_user_line(
                f"{name}: the result {result.aval} cannot be cast to {target.aval.dtype.name} in place"
            )
        )
    return cast(result, target.aval.dtype)


def _in_place(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return update(self, function(self, *args, **kwargs), name)

    method.__name__ = name
    method.__doc__ = f"`{name[:-1]}`, written to this tensor's memory; returns the tensor."
    return method


class InPlace:
    """What a tensor does to its own memory."""

    __slots__ = ()

    abs_ = _in_place("abs_", ops.abs)
    add_ = _in_place("add_", ops.add)
    addcdiv_ = _in_place("addcdiv_", ops.addcdiv)
    ceil_ = _in_place("ceil_", ops.ceil)
    clip_ = _in_place("clip_", ops.clip)
    clamp_ = _in_place("clamp_", ops.clip)
    cos_ = _in_place("cos_", ops.cos)
    div_ = _in_place("div_", ops.divide)
    exp_ = _in_place("exp_", ops.exp)
    floor_ = _in_place("floor_", ops.floor)
    lerp_ = _in_place("lerp_", ops.lerp)
    log_ = _in_place("log_", ops.log)
    maximum_ = _in_place("maximum_", ops.maximum)
    minimum_ = _in_place("minimum_", ops.minimum)
    mul_ = _in_place("mul_", ops.multiply)
    neg_ = _in_place("neg_", ops.negative)
    pow_ = _in_place("pow_", ops.pow)
    reciprocal_ = _in_place("reciprocal_", ops.reciprocal)
    relu_ = _in_place("relu_", ops.relu)
    round_ = _in_place("round_", ops.round)
    sigmoid_ = _in_place("sigmoid_", ops.sigmoid)
    sin_ = _in_place("sin_", ops.sin)
    sqrt_ = _in_place("sqrt_", ops.sqrt)
    square_ = _in_place("square_", ops.square)
    sub_ = _in_place("sub_", ops.subtract)
    tanh_ = _in_place("tanh_", ops.tanh)

    __iadd__ = add_
    __isub__ = sub_
    __imul__ = mul_
    __itruediv__ = div_
    __ipow__ = pow_
    __ifloordiv__ = _in_place("//=", ops.floor_divide)
    __imod__ = _in_place("%=", ops.remainder)
    __iand__ = _in_place("&=", ops.bitwise_and)
    __ior__ = _in_place("|=", ops.bitwise_or)
    __ixor__ = _in_place("^=", ops.bitwise_xor)
    __ilshift__ = _in_place("<<=", ops.bitwise_left_shift)
    __irshift__ = _in_place(">>=", ops.bitwise_right_shift)

    def copy_(self, source: Any) -> Any:
        """Overwrites the elements with those of `source`, cast and broadcast; returns the tensor."""
        return write(self, source)

    def fill_(self, number: Any) -> Any:
        """Overwrites every element with a number or 0-d tensor; returns the tensor."""
        return write(self, number)

    def masked_fill_(self: Any, mask: Any, number: Any) -> Any:
        """Overwrites the elements where `mask` is true with a number or 0-d tensor; returns the tensor."""
        return write(self, ops.where(mask, cast(value_or_number(number), self.aval.dtype), self))

    def zero_(self) -> Any:
        """Overwrites every element with 0; returns the tensor."""
        return write(self, 0)
