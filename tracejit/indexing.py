"""`t[key]` and `t[key] = value`, with NumPy's meaning.

Slices, integers, None and `...` give views; arrays of integers gather copies. How many elements a mask selects is known only
once its values are, so to read by a mask waits for pending work; to fill by one does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tracejit import dispatch, dtypes
from tracejit.inplace import check_writable, write
from tracejit.ops.arguments import cast
from tracejit.ops.elementwise import where
from tracejit.ops.index import getitem, select, set_item
from tracejit.ops.registry import REGISTRY
from tracejit.ops.shape import reshape
from tracejit.storage import as_array

if TYPE_CHECKING:
    from tracejit.tensor import Tensor

NUMBERS = (bool, int, float, np.generic)


def get(x: Tensor, key: Any) -> Tensor:
    """`x[key]`"""
    part = getitem(x, _without_masks(key))
    # `x[:]` is a view of x, not x.
    return part if part is not x else dispatch.bind(REGISTRY["reshape"], (x,), {"shape": x.shape})


def put(x: Tensor, key: Any, value: Any) -> None:
    """`x[key] = value`"""
    mask = _as_mask(key)
    if mask is not None and mask.shape == x.shape and _is_single(value):
        check_writable(x)
        write(x, where(mask, _element(value, x), x))
        return
    key = _without_masks(key)
    if not select(x.shape, key).arrays:
        part = get(x, key)
        write(part, _trimmed(value, part.ndim))
        return
    check_writable(x)
    write(x, set_item(x, key, _trimmed(value, getitem(x.detach(), key).ndim)))


def _as_mask(item: Any) -> Any:
    """`item` as a value, if it is an array of bools."""
    if isinstance(item, list) and item:
        item = np.asarray(item) if not any(hasattr(part, "aval") for part in item) else item
    is_array = isinstance(item, np.ndarray) or hasattr(item, "aval")
    if not is_array or item.dtype not in (dtypes.bool_, np.bool_) or not item.shape:
        return None
    return dispatch.lift(item)


def _without_masks(key: Any) -> Any:
    """`key` with every mask replaced by the integer arrays that it stands for."""
    items: list[Any] = []
    for item in key if isinstance(key, tuple) else (key,):
        mask = _as_mask(item)
        items.extend((item,) if mask is None else np.nonzero(as_array(mask)))
    return tuple(items)


def _is_single(value: Any) -> bool:
    return isinstance(value, NUMBERS) or getattr(value, "size", 0) == 1


def _element(value: Any, x: Tensor) -> Any:
    """One element in `x`'s dtype."""
    value = dispatch.lift(np.asarray(value) if isinstance(value, NUMBERS) else value)
    return cast(reshape(value, ()), x.aval.dtype)


def _trimmed(value: Any, ndim: int) -> Any:
    """NumPy lets a value have more dimensions than the part it is written to, where the extra ones hold one element."""
    if isinstance(value, NUMBERS):
        return value
    value = dispatch.lift(value)
    extra = value.ndim - ndim
    return (
        reshape(value, value.shape[extra:])
        if extra > 0 and set(value.shape[:extra]) == {1}
        else value
    )
