"""Methods that write: each computes a value as the method without the underscore does, then assigns it to the tensor's memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracejit import dispatch
from tracejit._errors import DTypeError, ShapeError, at_user_line
from tracejit.autograd.tape import is_broadcast
from tracejit.ops import elementwise, functions
from tracejit.ops.arguments import cast, value
from tracejit.ops.registry import REGISTRY


def check_writable(target: Any) -> None:
    if is_broadcast(target):
        message = f"{target.aval} is a broadcast view, whose elements share memory: copy() it before writing"
        raise ValueError(at_user_line(message))


def write(target: Any, source: Any) -> Any:
    """Overwrites `target` with `source`, cast and broadcast, as `target[...] = source` does."""
    check_writable(target)
    source = cast(value(source), target.dtype)
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
    if result.shape != target.shape:
        raise ShapeError(
            at_user_line(f"{name}: the result {result.aval} does not fit into {target.aval}")
        )
    kinds = "biuf"
    if (
        kinds.index(result.dtype.kind) > kinds.index(target.dtype.kind)
        and result.dtype.kind + target.dtype.kind != "ui"
    ):
        raise DTypeError(
            at_user_line(
                f"{name}: the result {result.aval} cannot be cast to {target.dtype.name} in place"
            )
        )
    dispatch.assign(target, cast(result, target.dtype))
    return target


def _in_place(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return update(self, function(self, *args, **kwargs), name)

    method.__name__ = name
    method.__doc__ = f"`{name[:-1]}`, written to this tensor's memory; returns the tensor."
    return method


class InPlace:
    """What a tensor does to its own memory."""

    __slots__ = ()

    abs_ = _in_place("abs_", elementwise.abs)
    add_ = _in_place("add_", elementwise.add)
    ceil_ = _in_place("ceil_", elementwise.ceil)
    clip_ = _in_place("clip_", elementwise.clip)
    cos_ = _in_place("cos_", functions.cos)
    div_ = _in_place("div_", elementwise.divide)
    exp_ = _in_place("exp_", functions.exp)
    floor_ = _in_place("floor_", elementwise.floor)
    log_ = _in_place("log_", functions.log)
    maximum_ = _in_place("maximum_", elementwise.maximum)
    minimum_ = _in_place("minimum_", elementwise.minimum)
    mul_ = _in_place("mul_", elementwise.multiply)
    neg_ = _in_place("neg_", elementwise.negative)
    pow_ = _in_place("pow_", functions.pow)
    reciprocal_ = _in_place("reciprocal_", elementwise.reciprocal)
    relu_ = _in_place("relu_", functions.relu)
    round_ = _in_place("round_", elementwise.round)
    sigmoid_ = _in_place("sigmoid_", functions.sigmoid)
    sin_ = _in_place("sin_", functions.sin)
    sqrt_ = _in_place("sqrt_", elementwise.sqrt)
    square_ = _in_place("square_", elementwise.square)
    sub_ = _in_place("sub_", elementwise.subtract)
    tanh_ = _in_place("tanh_", functions.tanh)

    __iadd__ = add_
    __isub__ = sub_
    __imul__ = mul_
    __itruediv__ = div_
    __ipow__ = pow_
    __ifloordiv__ = _in_place("//=", elementwise.floor_divide)
    __imod__ = _in_place("%=", elementwise.remainder)
    __iand__ = _in_place("&=", elementwise.bitwise_and)
    __ior__ = _in_place("|=", elementwise.bitwise_or)
    __ixor__ = _in_place("^=", elementwise.bitwise_xor)
    __ilshift__ = _in_place("<<=", elementwise.bitwise_left_shift)
    __irshift__ = _in_place(">>=", elementwise.bitwise_right_shift)

    def copy_(self, source: Any) -> Any:
        """Overwrites the elements with those of `source`, cast and broadcast; returns the tensor."""
        return write(self, source)

    def fill_(self, number: Any) -> Any:
        """Overwrites every element with a number or 0-d tensor; returns the tensor."""
        return write(self, number)

    def zero_(self) -> Any:
        """Overwrites every element with 0; returns the tensor."""
        return write(self, 0)
