"""What the array API asks for beyond the ops: a say in copies and devices, and results whose shape depends on values.

The latter wait for pending work. Their values come from NumPy; gradients flow through them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tracejit import ops
from tracejit._config import config
from tracejit._errors import ShapeError, at_user_line
from tracejit.dispatch import lift
from tracejit.dtypes import ALL, HALF, DType, int64, isdtype
from tracejit.ops.arguments import copied, moved, value
from tracejit.runtime.device import default_device, gpus
from tracejit.storage import as_array
from tracejit.tensor import check_device

if TYPE_CHECKING:
    from tracejit.tensor import Tensor

MOST_DIMENSIONS = 64
"""NumPy's limit, which sees every tensor."""


# copies and devices


def astype(x: Any, dtype: Any, *, copy: bool = True, device: str | None = None) -> Tensor:
    """`x` converted to `dtype`, by NumPy's rules; where it has that dtype, a copy, or `x` itself if not `copy`.

    Floats become integers by truncation; bools are true where the element is not zero.

    >>> import tracejit as tj
    >>> tj.astype(tj.tensor([1.7, -1.7]), "int32")
    tensor([ 1, -1], dtype=int32)
    """
    made = ops.astype(x, dtype, copy=copy)
    return made if device is None else moved(made, check_device(device))


def reshape(x: Any, shape: int | Sequence[int], *, copy: bool | None = None) -> Tensor:
    """`x` in another shape of the same size; one extent may be -1 and is then computed.

    A view where the elements lie so that there is one, unless `copy` is True; ValueError where there is none and `copy` is
    False.

    >>> import tracejit as tj
    >>> tj.reshape(tj.arange(6), (2, -1))
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    x = value(x)
    made = ops.reshape(x, shape)
    if copy is None:
        return made
    is_view = made.storage is x.storage
    if not copy and not is_view:
        raise ValueError(at_user_line(f"reshape: {x.aval} becomes {made.aval} only by a copy"))
    return copied(made) if copy and is_view else made


def broadcast_arrays(*arrays: Any) -> list[Tensor]:
    """All arrays repeated to their common shape.

    >>> import tracejit as tj
    >>> [x.shape for x in tj.broadcast_arrays(tj.zeros((2, 1)), tj.zeros(3))]
    [(2, 3), (2, 3)]
    """
    return list(ops.broadcast_arrays(*arrays))


# shapes that depend on values


def nonzero(x: Any) -> tuple[Tensor, ...]:
    """For each axis the indices (int64) of the elements that are not zero, in row-major order.

    >>> import tracejit as tj
    >>> tj.nonzero(tj.tensor([[0, 5], [7, 0]]))
    (tensor([0, 1]), tensor([1, 0]))
    """
    x = value(x)
    if not x.aval.shape:
        raise ShapeError(at_user_line(f"nonzero: {x.aval} has no axis; reshape it to (1,)"))
    return tuple(moved(lift(places), x.aval.device) for places in np.nonzero(as_array(x)))


class UniqueAll(NamedTuple):
    """The distinct elements, where each first stands, which one each element is, and how often each is there."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """The distinct elements, and how often each is there."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """The distinct elements, and which one each element is."""

    values: Tensor
    inverse_indices: Tensor


def unique_all(x: Any) -> UniqueAll:
    """The distinct elements in ascending order, each NaN one of its own, with their places, inverse places and counts.

    >>> import tracejit as tj
    >>> tj.unique_all(tj.tensor([7, 5, 7])).inverse_indices
    tensor([1, 0, 1])
    """
    x = value(x)
    _, indices, inverse, counts = np.unique(
        as_array(x), return_index=True, return_inverse=True, return_counts=True, equal_nan=False
    )
    values = ops.take(ops.ravel(x), indices)
    found = (lift(each) for each in (indices, inverse.reshape(x.aval.shape), counts))
    return UniqueAll(values, *(moved(each, x.aval.device) for each in found))


def unique_counts(x: Any) -> UniqueCounts:
    """The distinct elements in ascending order, each NaN one of its own, and how often each is there.

    >>> import tracejit as tj
    >>> tj.unique_counts(tj.tensor([7, 5, 7])).counts
    tensor([1, 2])
    """
    found = unique_all(x)
    return UniqueCounts(found.values, found.counts)


def unique_inverse(x: Any) -> UniqueInverse:
    """The distinct elements in ascending order, each NaN one of its own, and which of them each element is.

    >>> import tracejit as tj
    >>> tj.unique_inverse(tj.tensor([[7, 5, 7]])).inverse_indices
    tensor([[1, 0, 1]])
    """
    found = unique_all(x)
    return UniqueInverse(found.values, found.inverse_indices)


def unique_values(x: Any) -> Tensor:
    """The distinct elements in ascending order, each NaN one of its own.

    >>> import tracejit as tj
    >>> tj.unique_values(tj.tensor([7, 5, 7]))
    tensor([5, 7])
    """
    return unique_all(x).values


# the namespace


def devices() -> list[str]:
    """The devices that can be used here: `cpu`, and GPUs as `cuda:0`.

    >>> devices()[0]
    'cpu'
    """
    return ["cpu", *gpus()]


class NamespaceInfo:
    """What the array API lets programs ask of a namespace."""

    def capabilities(self) -> dict[str, Any]:
        """Which optional parts of the standard there are."""
        return {
            "boolean indexing": True,
            "data-dependent shapes": True,
            "max dimensions": MOST_DIMENSIONS,
        }

    def default_device(self) -> str:
        """Where tensors are made."""
        return default_device()

    def devices(self) -> list[str]:
        """The devices that can be used here."""
        return devices()

    def default_dtypes(self, *, device: str | None = None) -> dict[str, DType]:
        """The dtypes of what is made with none named."""
        check_device(device)
        return {"real floating": config.default_dtype, "integral": int64, "indexing": int64}

    def dtypes(self, *, device: str | None = None, kind: Any = None) -> dict[str, DType]:
        """The standard's dtypes that there are, of one `kind` (see `isdtype`) or all; float16 and bfloat16 are not among them."""
        check_device(device)
        of_kind = (dtype for dtype in ALL if kind is None or isdtype(dtype, kind))
        return {dtype.name: dtype for dtype in of_kind if dtype not in HALF}


def namespace_info() -> NamespaceInfo:
    """What the namespace can do, and with which devices and dtypes."""
    return NamespaceInfo()
