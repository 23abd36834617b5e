"""What has open sizes, at other sizes: avals, layouts, tuples, and the tape's rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from tracejit._records import dataclass
from tracejit.autograd.late import Step
from tracejit.autograd.tape import _Apply, _Replace
from tracejit.ir.aval import Aval, aval
from tracejit.ir.dim import Sizes, at, plain
from tracejit.ir.resize import sizes_inside
from tracejit.ops.op import Layout
from tracejit.tracing.replay.code import Pool


@dataclass(frozen=True, slots=True, eq=False)
class Resizing:
    """How a replay finds out what things with open sizes are for its own: `slots` are those of the variables."""

    sizes: Sizes
    slots: tuple[int, ...]

    def text(self, pool: Pool, value: Any) -> str:
        """Code for `value` at the sizes of the replay."""
        values = slots_text(self.slots)
        return f"{pool.name(at_sizes)}({pool.name(self.sizes)}, {values}, {pool.name(value)})"


def slots_text(slots: Iterable[int]) -> str:
    """A tuple of what is in slots."""
    return f"({''.join(f'E[{slot}], ' for slot in slots)})"


def at_sizes(sizes: Sizes, values: tuple[int, ...], value: Any) -> Any:
    """`value` for these of the variables."""
    return converted(value, partial(at, atoms=sizes.atoms(values)))


def converted(value: Any, convert: Callable[[Any], Any]) -> Any:
    """`value` with `convert` applied to its sizes, and tuples of them."""
    match value:
        case Aval():
            return aval(value.dtype, convert(value.shape), value.device)
        case Layout():
            parts = value.shape, value.strides, value.offset
            return Layout(*map(convert, parts))
        case _Apply():
            steps = tuple(
                (op, places, _params(params, convert))
                for op, places, params in value.pullback.steps
            )
            return _Apply(replace(value.pullback, steps=steps))
        case _Replace():
            return _Replace(tuple((op, _params(params, convert)) for op, params in value.path))
        case Step():
            rule = converted(value.rule, convert)
            return replace(value, aval=converted(value.aval, convert), rule=rule)
        case tuple() if any(isinstance(part, Step) for part in value):
            return tuple(converted(part, convert) for part in value)
    return convert(value)


def closed(value: Any) -> Any:
    """`value` with the sizes of now."""
    return converted(value, plain)


def _params(params: dict[str, Any], convert: Callable[[Any], Any]) -> dict[str, Any]:
    return {name: convert(value) for name, value in params.items()}


def open_sizes_of(value: Any) -> Sizes | None:
    """What the open sizes in `value` belong to; None if there are none."""
    match value:
        case Aval():
            return value.open
        case Layout():
            return sizes_inside((value.shape, value.strides, value.offset))
        case _Apply():
            parts: Iterable[Any] = (params for _, _, params in value.pullback.steps)
            return sizes_inside(tuple(part for params in parts for part in params.values()))
        case _Replace():
            return sizes_inside(tuple(part for _, params in value.path for part in params.values()))
        case Step():
            return open_sizes_of(value.aval) or open_sizes_of(value.rule)
        case tuple() if any(isinstance(part, Step) for part in value):
            return next((sizes for sizes in map(open_sizes_of, value) if sizes is not None), None)
    return sizes_inside(value)
