"""`t[key]` and `t[key] = value`, with NumPy's meaning.

Slices, integers, None and `...` give views; arrays of integers gather copies. How many elements a mask selects is known only
once its values are, so to read by a mask waits for pending work; to fill by one does not.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from tracejit import dispatch, dtypes
from tracejit._errors import at_user_line
from tracejit.inplace import check_writable, write
from tracejit.ir.aval import Aval
from tracejit.ops.arguments import cast, moved, value, value_or_number
from tracejit.ops.chain import Chain
from tracejit.ops.elementwise import where
from tracejit.ops.index import getitem, select, set_item, view_ops
from tracejit.ops.registry import REGISTRY
from tracejit.ops.shape import expand_dims, reshape
from tracejit.storage import as_array

if TYPE_CHECKING:
    from tracejit.tensor import Tensor

NUMBERS = (bool, int, float, np.generic)


def get(x: Tensor, key: Any) -> Tensor:
    """`x[key]`"""
    if x.aval.open is None:
        plain = key if type(key) is int else _plain_key(key)
        if plain is not None:
            part: Tensor = (_parts.get((x.aval, plain)) or _part_of(x.aval, key, plain))(x)
            return part
    source, items = _without_masks(x, key)
    found = getitem(source, items)
    # `x[:]` is a view of x, not x.
    return found if found is not x else dispatch.bind(REGISTRY["reshape"], (x,), {"shape": x.shape})


def _plain_key(key: Any) -> tuple[Any, ...] | None:
    """What a key of integers, slices, None and `...` says, as something that can be looked up; None for any other key."""
    parts: list[Any] = []
    for item in key if type(key) is tuple else (key,):
        kind = type(item)
        if kind is slice:
            start, stop, step = bounds = item.start, item.stop, item.step
            if not (type(start) in _PLAIN and type(stop) in _PLAIN and type(step) in _PLAIN):
                return None
            parts.append(bounds)
        elif kind in _PLAIN or item is Ellipsis:
            parts.append(item)
        else:
            return None
    return tuple(parts)


_PLAIN = frozenset({int, type(None)})
_parts: dict[tuple[Aval, Any], Chain] = {}
"""By what is indexed and the key: what gives the part."""
MOST_KEYS = 1 << 12


def _part_of(x: Aval, key: Any, plain: Any) -> Chain:
    if len(_parts) >= MOST_KEYS:
        _parts.clear()
    made = _parts[x, plain] = Chain(*view_ops(x.sizes, key))
    return made


def put(x: Tensor, key: Any, given: Any) -> None:
    """`x[key] = given`"""
    mask = _as_mask(key)
    if mask is not None and mask.shape == x.shape and _is_single(given):
        check_writable(x)
        write(x, where(moved(mask, x.aval.device), _element(given, x), x))
        return
    x, key = _without_masks(x, key)
    if not select(x.shape, key).arrays:
        part = get(x, key)
        write(part, _trimmed(given, part.ndim))
        return
    check_writable(x)
    write(x, set_item(x, key, given))


def _as_mask(item: Any) -> Any:
    """`item` as a value, if it is a bool or an array of bools."""
    if isinstance(item, list) and item:
        item = np.asarray(item) if not any(hasattr(part, "aval") for part in item) else item
    if isinstance(item, bool):
        return dispatch.lift(item)
    is_array = isinstance(item, np.ndarray | np.bool_) or hasattr(item, "aval")
    if not is_array or item.dtype not in (dtypes.bool_, np.bool_):
        return None
    return dispatch.lift(item)


def _without_masks(x: Tensor, key: Any) -> tuple[Tensor, tuple[Any, ...]]:
    """`key` with every mask replaced by the integer arrays that it stands for, and what they are to select from.

    A mask of no dimensions selects all or nothing along a new axis.
    """
    items = key if isinstance(key, tuple) else (key,)
    masks = list(map(_as_mask, items))
    if all(mask is None for mask in masks):
        return x, items
    begins = _first_axes(x.ndim, items, masks)
    x = expand_dims(
        x, [at for at, mask in zip(begins, masks) if mask is not None and not mask.shape]
    )
    found: list[Any] = []
    for item, mask, begin in zip(items, masks, begins):
        if mask is None:
            found.append(item)
            continue
        places = np.atleast_1d(as_array(mask))
        extents = x.shape[begin : begin + places.ndim]
        fits = len(extents) == places.ndim and all(
            n in (0, extent) for n, extent in zip(places.shape, extents)
        )
        if not fits:
            message = f"a mask of shape {places.shape} does not fit axes of shape {extents}"
            raise IndexError(at_user_line(message))
        found.extend(np.nonzero(places))
    return x, tuple(found)


def _first_axes(ndim: int, items: tuple[Any, ...], masks: list[Any]) -> list[int]:
    """The first axis that each item selects from, counted with the new axes of masks of no dimensions."""
    widths = [
        0 if item is None or item is Ellipsis else 1 if mask is None else max(mask.ndim, 1)
        for item, mask in zip(items, masks)
    ]
    new = sum(mask is not None and not mask.shape for mask in masks)
    whole = ndim + new - sum(widths)  # what an ellipsis stands for
    steps = (whole if item is Ellipsis else width for item, width in zip(items, widths))
    return [0, *accumulate(steps)][:-1]


def _is_single(given: Any) -> bool:
    return isinstance(given, NUMBERS) or getattr(given, "size", 0) == 1


def _element(given: Any, x: Tensor) -> Any:
    """One element in `x`'s dtype."""
    element = value(cast(value_or_number(given), x.aval.dtype))
    return moved(reshape(element, ()), x.aval.device)


def _trimmed(given: Any, ndim: int) -> Any:
    """NumPy lets a value have more dimensions than the part it is written to, where the extra ones hold one element."""
    if isinstance(given, NUMBERS):
        return given
    given = dispatch.lift(given)
    extra = given.ndim - ndim
    return (
        reshape(given, given.shape[extra:])
        if extra > 0 and set(given.shape[:extra]) == {1}
        else given
    )


def check_labels(name: str, labels: Any, count: int) -> None:
    """IndexError for a label that is not in range(count). The labels are looked at: a recording computes them first."""
    if not hasattr(labels, "layout") or not labels.aval.dtype.is_integer or not labels.size:
        return
    values = as_array(labels)
    least, most = int(values.min()), int(values.max())
    if least < 0 or most >= count:
        message = (
            f"{name}: label {least if least < 0 else most} is out of bounds for {count} classes"
        )
        raise IndexError(at_user_line(message))
