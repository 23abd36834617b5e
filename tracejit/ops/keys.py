"""What the key of `x[key]` selects, found from the shape alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit import dtypes
from tracejit._errors import at_user_line
from tracejit._records import dataclass
from tracejit.ir.aval import Aval
from tracejit.ops.arguments import as_extent, cast, refuse, value
from tracejit.ops.op import Params
from tracejit.ops.slicing import indices_of, length_of, stack


@dataclass(frozen=True, slots=True)
class Basic:
    """What integers, slices and new axes select: a slice of each axis, and the shape in which it is seen."""

    start: tuple[int, ...]
    stop: tuple[int, ...]
    step: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def bounds(self) -> Params:
        return {"start": self.start, "stop": self.stop, "step": self.step}


@dataclass(frozen=True, slots=True)
class Selection:
    """A key taken apart: `basic` keeps an axis of extent 1 for each integer and new axis where `arrays` are to follow.

    arrays   axis of the basic part -> array of indices
    dropped  axes of the basic part that integers selected from
    """

    basic: Basic
    arrays: dict[int, Any]
    dropped: tuple[int, ...]


def select(shape: tuple[int, ...], key: Any) -> Selection:
    """What `key` selects from an array of `shape`. IndexError as in NumPy."""
    bounds: list[tuple[int, int, int]] = []
    seen: list[int] = []
    arrays: dict[int, Any] = {}
    dropped: list[int] = []
    for item in _full_key(shape, key):
        if item is None:
            seen.append(1)
            continue
        extent = shape[len(bounds)]
        if isinstance(item, slice):
            bounds.append(_slice_bounds(item, extent))
        elif _is_integer(item):
            place = _place(as_extent(item), extent, len(bounds))
            bounds.append((place, place + 1, 1))
            dropped.append(len(seen))
        else:
            arrays[len(seen)] = _index_array(item, extent, len(bounds))
            bounds.append((0, extent, 1))
        seen.append(length_of(*bounds[-1]))
    if len(arrays) > 1:
        _broadcast_together([array.aval.shape for array in arrays.values()])
    start, stop, step = zip(*bounds) if bounds else ((), (), ())
    if not arrays:
        seen = [extent for at, extent in enumerate(seen) if at not in dropped]
    return Selection(Basic(start, stop, step, tuple(seen)), arrays, tuple(dropped))


def _full_key(shape: tuple[int, ...], key: Any) -> list[Any]:
    """`key` with one item for each axis: an ellipsis, or the end, stands for whole axes."""
    items = list(key) if isinstance(key, tuple) else [key]
    ellipses = [at for at, item in enumerate(items) if item is Ellipsis]
    used = sum(item is not None and item is not Ellipsis for item in items)
    if len(ellipses) > 1:
        raise IndexError(at_user_line("an index can only have a single ellipsis ('...')"))
    if used > len(shape):
        raise IndexError(
            at_user_line(
                f"too many indices: the array has {len(shape)} dimensions, {used} were indexed"
            )
        )
    at = ellipses[0] if ellipses else len(items)
    return [*items[:at], *[slice(None)] * (len(shape) - used), *items[at + 1 :]]


def _is_integer(item: Any) -> bool:
    if isinstance(item, bool | np.bool_):
        raise IndexError(
            at_user_line("a bool is no index; a mask is an array of the shape that it selects from")
        )
    if isinstance(item, np.ndarray) and not hasattr(item, "aval"):
        return not item.shape and item.dtype.kind in "iu"
    return hasattr(item, "__index__") and not hasattr(item, "aval")


def _slice_bounds(item: slice, extent: int) -> tuple[int, int, int]:
    start, stop, step = indices_of(item, extent)
    if item.start is None and item.stop is None and step > 0:
        return start, stop, step
    # Bounds of an empty slice may lie outside the axis.
    return (start, stop, step) if length_of(start, stop, step) else (0, 0, 1)


def _place(index: int, extent: int, axis: int) -> int:
    if not -extent <= index < extent:
        raise IndexError(
            at_user_line(f"index {index} is out of bounds for axis {axis} with size {extent}")
        )
    return index + extent if index < 0 else index


def _index_array(item: Any, extent: int, axis: int) -> Any:
    """An array of int64 indices; those already known are checked."""
    if isinstance(item, slice | float | str):
        raise IndexError(
            at_user_line(
                f"{item!r} is no index: use integers, slices, None, ... or arrays of integers"
            )
        )
    if isinstance(item, list) and _is_computed(item):
        item = stack([cast(value(part), dtypes.int64) for part in item])
    if not hasattr(item, "aval"):
        known = np.asarray(item)
        known = known if known.size else known.astype(np.int64)
        if known.dtype.kind in "iu" and known.size:
            _place(int(known.min()), extent, axis)
            _place(int(known.max()), extent, axis)
        item = value(known)
    if item.aval.dtype is dtypes.bool_:
        raise IndexError(
            at_user_line(
                "a mask gives a shape that depends on data; use where, or nonzero for indices"
            )
        )
    integers_only("index", item.aval)
    return cast(item, dtypes.int64)


def _is_computed(indices: list[Any]) -> bool:
    """Whether it is a list of integers, some of which are not known yet."""
    computed = [part for part in indices if hasattr(part, "aval")]
    known = [part for part in indices if not hasattr(part, "aval")]
    are_integers = all(part.aval.dtype.is_integer and not part.aval.shape for part in computed)
    return (
        bool(computed)
        and are_integers
        and all(isinstance(part, int | np.integer) and type(part) is not bool for part in known)
    )


def _broadcast_together(shapes: list[tuple[int, ...]]) -> None:
    """IndexError, as in NumPy, unless arrays of indices of these shapes broadcast."""
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        shown = " and ".join(map(str, shapes))
        raise IndexError(
            at_user_line(f"arrays of indices of shapes {shown} do not broadcast")
        ) from None


def integers_only(name: str, indices: Aval) -> None:
    """IndexError unless `indices` are of an integer dtype."""
    if not indices.dtype.is_integer:
        refuse(IndexError, name, (indices,), "an index must be of an integer dtype")


def index_value(indices: Any) -> Any:
    """An array of indices as a value; an empty list holds integers."""
    if isinstance(indices, list | tuple) and not np.asarray(indices).size:
        return value(np.asarray(indices, np.int64))
    return value(indices)
