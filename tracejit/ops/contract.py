"""Contractions: one record, `matmul`, and what is brought to it by permuting and reshaping."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod
from operator import index as as_index
from typing import Any, NoReturn

import numpy as np

from tracejit import dtypes
from tracejit._errors import DTypeError, ShapeError, at_user_line
from tracejit.ir.aval import Aval, aval
from tracejit.ops.arguments import (
    broadcast_shapes,
    cast,
    normal_axes,
    normal_axis,
    one_device,
    refuse,
    value,
)
from tracejit.ops.elementwise import multiply
from tracejit.ops.families import extern, record, reshape_to
from tracejit.ops.index import diagonal
from tracejit.ops.op import Contract, Op
from tracejit.ops.reduce import any, sum
from tracejit.ops.shape import (
    broadcast_to,
    expand_dims,
    matrix_transpose,
    moveaxis,
    permute_dims,
    ravel,
    squeeze,
)

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

# the records


def _matmul_infer(x: Aval, y: Aval) -> Aval:
    if x.ndim < 2 or y.ndim < 2:
        _refuse(ShapeError, x, y, "needs two dimensions or more")
    if x.dtype is not y.dtype:
        _refuse(DTypeError, x, y, "the dtypes differ")
    if x.shape[-1] != y.shape[-2]:
        _refuse(ShapeError, x, y, f"inner sizes differ ({x.shape[-1]} != {y.shape[-2]})")
    lead = broadcast_shapes("matmul", (x, y), x.shape[:-2], y.shape[:-2])
    return aval(x.dtype, (*lead, x.shape[-2], y.shape[-1]), one_device("matmul", (x, y)))


def _refuse(error: type[Exception], x: Aval, y: Aval, why: str) -> NoReturn:
    refuse(error, "matmul", (f"{x} @ {y}",), why)


_matmul: Op = record(
    "matmul",
    infer=_matmul_infer,
    eval=np.matmul,
    recipe=Contract(),
    vjp=(
        lambda ct, out, x, y: _matmul(ct, matrix_transpose(y)),
        lambda ct, out, x, y: _matmul(matrix_transpose(x), ct),
    ),
    doc="Matrix products over the last two axes of float32 or float64; the leading axes broadcast.",
)


def _in_parts_infer(x: Aval, y: Aval, *, depth: int) -> Aval:
    return _matmul_infer(x, y)


def _in_parts_eval(x: np.ndarray, y: np.ndarray, *, depth: int) -> np.ndarray:
    starts = range(0, x.shape[-1], depth)
    products = [x[..., k : k + depth] @ y[..., k : k + depth, :] for k in starts]
    return reduce(np.add, products) if products else x @ y


_matmul_in_parts: Op = record(
    "matmul_in_parts",
    infer=_in_parts_infer,
    eval=_in_parts_eval,
    recipe=Contract(),
    vjp=(
        lambda ct, out, x, y, *, depth: _matmul(ct, matrix_transpose(y)),
        lambda ct, out, x, y, *, depth: _matmul(matrix_transpose(x), ct),
    ),
    doc="`matmul` as the sum of the products over `depth` values of the inner axis each: what such a sum in a program becomes.",
)
_matmul_exact: Op = extern(
    "matmul_exact",
    infer=_matmul_infer,
    eval=np.matmul,
    doc="Matrix products of bools (any and) or integers (wrapping).",
)


# products of matrices and vectors


def matmul(x: Any, y: Any) -> Any:
    """The matrix product over the last two axes; leading axes broadcast, a vector is a row on the left, a column on the right.

    float16 and bfloat16 are multiplied in float32 and rounded once; integers wrap; bools give "any of and".

    >>> import tracejit as tj
    >>> tj.matmul(tj.tensor([[1.0, 2.0], [3.0, 4.0]]), tj.tensor([1.0, 1.0]))
    tensor([3., 7.])
    """
    x, y = value(x), value(y)
    if not x.aval.shape or not y.aval.shape:
        _refuse(ShapeError, x.aval, y.aval, "needs one dimension or more; use multiply")
    inner = x.aval.shape[-1], y.aval.shape[-2 if y.aval.ndim > 1 else -1]
    if inner[0] != inner[1]:
        _refuse(ShapeError, x.aval, y.aval, f"inner sizes differ ({inner[0]} != {inner[1]})")
    match x.aval.ndim, y.aval.ndim:
        case 1, 1:
            return _inner(x, y)
        case 1, _:
            return squeeze(_product(expand_dims(x, 0), y), -2)
        case _, 1:
            return squeeze(_product(x, expand_dims(y, 1)), -1)
        case _:
            return _product(x, y)


def _product(x: Any, y: Any) -> Any:
    """`x @ y` of two dimensions or more, in the dtype that both promote to."""
    if y.aval.ndim == 2 < x.aval.ndim:
        # One matrix for the whole stack: one large product instead of many small ones.
        *lead, columns = x.aval.shape
        rows = reshape_to(x, (prod(lead), columns))
        return reshape_to(_product(rows, y), (*lead, y.aval.shape[-1]))
    dtype = dtypes.promote(x.aval.dtype, y.aval.dtype)
    if not dtype.is_float:
        return _matmul_exact(cast(x, dtype), cast(y, dtype))
    single = dtypes.float32 if dtype in dtypes.HALF else dtype
    return cast(_matmul(cast(x, single), cast(y, single)), dtype)


def _inner(x: Any, y: Any) -> Any:
    """The sum of products over the last axis, in the dtype that both promote to; the other axes broadcast."""
    dtype = dtypes.promote(x.aval.dtype, y.aval.dtype)
    if dtype is dtypes.bool_:
        return any(multiply(x, y), axis=-1)
    single = dtypes.float32 if dtype in dtypes.HALF else dtype
    return cast(sum(multiply(cast(x, single), cast(y, single)), axis=-1, dtype=single), dtype)


def vecdot(x: Any, y: Any, *, axis: int = -1) -> Any:
    """The sum of products along `axis`; the other axes broadcast.

    >>> import tracejit as tj
    >>> tj.vecdot(tj.tensor([[1.0, 2.0], [3.0, 4.0]]), tj.tensor([1.0, 1.0]))
    tensor([3., 7.])
    """
    x, y = value(x), value(y)
    m, n = (v.aval.shape[normal_axis(axis, v.aval.ndim, "vecdot")] for v in (x, y))
    if m != n:
        refuse(ShapeError, "vecdot", (x.aval, y.aval), f"axis {axis} differs ({m} != {n})")
    return _inner(moveaxis(x, axis, -1), moveaxis(y, axis, -1))


def outer(x: Any, y: Any) -> Any:
    """x[i] * y[j] of the raveled arrays.

    >>> import tracejit as tj
    >>> tj.outer(tj.tensor([1, 2]), tj.tensor([3, 4]))
    tensor([[3, 4],
            [6, 8]])
    """
    return multiply(expand_dims(ravel(x), 1), expand_dims(ravel(y), 0))


def dot(x: Any, y: Any) -> Any:
    """np.dot: the last axis of `x` with the last but one (or only) axis of `y`; of a scalar, the product.

    >>> import tracejit as tj
    >>> tj.dot(tj.tensor([1.0, 2.0]), tj.tensor([3.0, 4.0]))
    tensor(11.)
    """
    x, y = value(x), value(y)
    if not x.aval.shape or not y.aval.shape:
        return multiply(x, y)
    if y.aval.ndim <= 2:
        return matmul(x, y)
    return tensordot(x, y, axes=((-1,), (-2,)))


def tensordot(x: Any, y: Any, *, axes: int | Sequence[Any] = 2) -> Any:
    """The sum of products over pairs of axes: the last `axes` of x with the first of y, or two lists of axes.

    >>> import tracejit as tj
    >>> tj.tensordot(tj.ones((2, 3)), tj.ones((2, 3)), axes=((0, 1), (0, 1)))
    tensor(6.)
    """
    x, y = value(x), value(y)
    first, second = _paired_axes(x.aval, y.aval, axes)
    if [x.aval.shape[a] for a in first] != [y.aval.shape[b] for b in second]:
        refuse(
            ShapeError,
            "tensordot",
            (x.aval, y.aval),
            f"the sizes of axes {first} and {second} differ",
        )
    x_rest = [a for a in range(x.aval.ndim) if a not in first]
    y_rest = [b for b in range(y.aval.ndim) if b not in second]
    inner = prod(x.aval.shape[a] for a in first)
    x_shape, y_shape = [x.aval.shape[a] for a in x_rest], [y.aval.shape[b] for b in y_rest]
    left = reshape_to(permute_dims(x, (*x_rest, *first)), (prod(x_shape), inner))
    right = reshape_to(permute_dims(y, (*second, *y_rest)), (inner, prod(y_shape)))
    return reshape_to(_product(left, right), (*x_shape, *y_shape))


def _paired_axes(x: Aval, y: Aval, axes: int | Sequence[Any]) -> tuple[list[int], list[int]]:
    if isinstance(axes, tuple | list):
        given = [list(part) if isinstance(part, tuple | list) else [part] for part in axes]
    else:
        count = as_index(axes)  # type: ignore[arg-type]  # an int is left
        given = [list(range(-count, 0)), list(range(count))]
    if len(given) != 2 or len(given[0]) != len(given[1]):
        refuse(
            ShapeError,
            "tensordot",
            (x, y),
            f"axes must be an int or two lists of one length, got {axes}",
        )
    first, second = (
        [normal_axis(axis, a.ndim, "tensordot") for axis in part] for a, part in zip((x, y), given)
    )
    normal_axes(first, x.ndim, "tensordot"), normal_axes(second, y.ndim, "tensordot")
    return first, second


# einsum


def einsum(equation: str, *operands: Any) -> Any:
    """Sums of products by index letters, as np.einsum: "ij,jk->ik", "...ij->...ji", "ii".

    Operands are contracted in pairs from the left. Without "->" the result has the letters that occur once, sorted.

    >>> import tracejit as tj
    >>> tj.einsum("ij,ij->i", tj.ones((2, 3)), tj.ones((2, 3)))
    tensor([3., 3.])
    """
    values = [value(x) for x in operands]
    labels, result = _parsed(equation, [v.aval for v in values])
    extents = _extents(labels, [v.aval for v in values])
    terms = [_distinct(_stretched(v, names, extents), names) for v, names in zip(values, labels)]
    x, x_names = terms[0]
    for at, (y, y_names) in enumerate(terms[1:], 2):
        later = set(result).union(*(names for _, names in terms[at:]))
        x, x_names = _pair(x, x_names, y, y_names, later)
    x, x_names = _without(x, x_names, set(result))
    return permute_dims(x, [x_names.index(name) for name in result])


def _parsed(equation: str, avals: Sequence[Aval]) -> tuple[list[str], str]:
    """Index letters of each operand and of the result; an ellipsis becomes letters that are not used."""
    inputs, arrow, result = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) != len(avals):
        refuse(
            ShapeError,
            "einsum",
            avals,
            f"{equation!r} has {len(terms)} terms for {len(avals)} operands",
        )
    spare = [letter for letter in LETTERS if letter not in equation]
    hidden = [
        a.ndim - len(term.replace("...", "")) if "..." in term else 0
        for term, a in zip(terms, avals)
    ]
    dots = "".join(spare[: max(hidden, default=0)])
    labels = [
        t.replace("...", dots[len(dots) - n :] if n > 0 else "") for t, n in zip(terms, hidden)
    ]
    for term, a in zip(labels, avals):
        if len(term) != a.ndim or not all(letter in LETTERS for letter in term):
            refuse(ShapeError, "einsum", avals, f"{equation!r} does not fit the dimensions of {a}")
    if arrow:
        result = result.replace("...", dots)
    else:
        joined = "".join(labels)
        result = dots + "".join(
            sorted(x for x in set(joined) if joined.count(x) == 1 and x not in dots)
        )
    if len(set(result)) != len(result) or not set(result) <= set("".join(labels)):
        refuse(
            ShapeError,
            "einsum",
            avals,
            f"{equation!r} has a letter in its result twice, or only there",
        )
    return labels, result


def _extents(labels: Sequence[str], avals: Sequence[Aval]) -> dict[str, int]:
    extents: dict[str, int] = {}
    for names, a in zip(labels, avals):
        own = dict(zip(names, a.sizes))
        for name, extent in zip(names, a.sizes):
            known = extents.setdefault(name, extent)
            # One is repeated to fit another operand, and never to make a diagonal.
            other = known if own[name] == extent else own[name]
            if other != extent and (own[name] != extent or 1 not in (known, extent)):
                refuse(
                    ShapeError,
                    "einsum",
                    avals,
                    f"the sizes of {name!r} differ ({other} != {extent})",
                )
            extents[name] = extent if known == 1 else known
    return extents


def _stretched(x: Any, names: str, extents: dict[str, int]) -> Any:
    return broadcast_to(x, tuple(extents[name] for name in names))


def _distinct(x: Any, names: str) -> tuple[Any, str]:
    """A letter that occurs twice in one operand means its diagonal."""
    for name in dict.fromkeys(names):
        while names.count(name) > 1:
            first = names.index(name)
            second = names.index(name, first + 1)
            x = diagonal(x, axis1=first, axis2=second)
            names = names[:first] + names[first + 1 : second] + names[second + 1 :] + name
    return x, names


def _without(x: Any, names: str, wanted: set[str]) -> tuple[Any, str]:
    """Sums over the letters that nobody wants."""
    axes = tuple(at for at, name in enumerate(names) if name not in wanted)
    if not axes:
        return x, names
    return sum(x, axis=axes, dtype=x.aval.dtype), "".join(name for name in names if name in wanted)


def _pair(x: Any, x_names: str, y: Any, y_names: str, later: set[str]) -> tuple[Any, str]:
    """Two operands as one, summed over the letters that both have and nothing later needs."""
    x, x_names = _without(x, x_names, later | set(y_names))
    y, y_names = _without(y, y_names, later | set(x_names))
    both = [name for name in x_names if name in y_names]
    batch = "".join(name for name in both if name in later)
    inner = "".join(name for name in both if name not in later)
    x_rest = "".join(name for name in x_names if name not in both)
    y_rest = "".join(name for name in y_names if name not in both)
    x = permute_dims(x, [x_names.index(name) for name in batch + x_rest + inner])
    y = permute_dims(y, [y_names.index(name) for name in batch + inner + y_rest])
    return _grouped(x, y, len(batch), len(x_rest), len(inner)), batch + x_rest + y_rest


def _grouped(x: Any, y: Any, batch: int, x_rest: int, inner: int) -> Any:
    """The product of x[batch, x_rest, inner] and y[batch, inner, y_rest], each of any number of axes."""
    lead, rows = x.aval.shape[:batch], x.aval.shape[batch : batch + x_rest]
    columns = y.aval.shape[batch + inner :]
    shape = (*lead, *rows, *columns)
    if not inner:
        x = reshape_to(x, (*lead, *rows, *(1 for _ in columns)))
        return multiply(x, reshape_to(y, (*lead, *(1 for _ in rows), *columns)))
    depth = prod(y.aval.shape[batch : batch + inner])
    if not rows and not columns:
        return _inner(reshape_to(x, (*lead, depth)), reshape_to(y, (*lead, depth)))
    left = reshape_to(x, (*lead, prod(rows), depth))
    return reshape_to(_product(left, reshape_to(y, (*lead, depth, prod(columns)))), shape)


def trace(x: Any, *, offset: int = 0) -> Any:
    """The sum along a diagonal of the last two axes.

    >>> import tracejit as tj
    >>> tj.trace(tj.tensor([[1, 2], [3, 4]]))
    tensor(5)
    """
    return sum(diagonal(x, offset=offset, axis1=-2, axis2=-1), axis=-1)


def kron(x: Any, y: Any) -> Any:
    """The Kronecker product of two matrices.

    >>> import tracejit as tj
    >>> tj.kron(tj.tensor([[1, 2]]), tj.tensor([[1], [1]]))
    tensor([[1, 2],
            [1, 2]])
    """
    x, y = value(x), value(y)
    if x.aval.ndim != 2 or y.aval.ndim != 2:
        raise ShapeError(at_user_line(f"kron: {x.aval}, {y.aval}: needs two matrices"))
    (m, n), (p, q) = x.aval.shape, y.aval.shape
    return reshape_to(
        multiply(reshape_to(x, (m, 1, n, 1)), reshape_to(y, (1, p, 1, q))), (m * p, n * q)
    )


__all__ = ["dot", "einsum", "kron", "matmul", "outer", "tensordot", "trace", "vecdot"]
