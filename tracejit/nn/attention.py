"""Attention as a function."""

from __future__ import annotations

from math import sqrt
from typing import Any

from tracejit._errors import ShapeError, at_user_line
from tracejit.dtypes import bool_
from tracejit.nn.dropping import dropout
from tracejit.ops.arguments import value
from tracejit.ops.composite import softmax
from tracejit.ops.contract import matmul
from tracejit.ops.creation import arange
from tracejit.ops.elementwise import add, greater_equal, multiply, where
from tracejit.ops.shape import expand_dims, matrix_transpose
from tracejit.tensor import Tensor

NEVER = float("-inf")


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value_: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """softmax(query key^T scale + mask) value, of query (..., L, E), key (..., S, E) and value (..., S, D): (..., L, D).

    `scale` is 1 / sqrt(E) by default. A mask of bools tells where to look, one of floats is added to the scores; where it
    `is_causal`, no query looks at a key after its own place. `dropout_p` drops weights whenever it is not 0.

    >>> import tracejit as tj
    >>> x = tj.tensor([[1.0], [3.0]])
    >>> scaled_dot_product_attention(tj.zeros((2, 1)), x, x, is_causal=True)
    tensor([[1.],
            [2.]])
    """
    query, key = value(query), value(key)
    if attn_mask is not None and is_causal:
        message = "scaled_dot_product_attention: either attn_mask or is_causal, not both"
        raise ValueError(at_user_line(message))
    weights = attention_weights(query, key, attn_mask, is_causal=is_causal, scale=scale)
    return matmul(dropout(weights, dropout_p), value_)


def attention_weights(
    query: Any, key: Any, mask: Any, *, is_causal: bool = False, scale: float | None = None
) -> Any:
    """What share each query (..., L, E) takes of each key (..., S, E): (..., L, S)."""
    if min(query.ndim, key.ndim) < 2 or query.shape[-1] != key.shape[-1]:
        message = f"attention: query {query.aval}, key {key.aval}: the last sizes differ"
        raise ShapeError(at_user_line(message))
    scores = matmul(query, matrix_transpose(key))
    scores = multiply(scores, 1 / sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        length, size = scores.shape[-2:]
        rows, columns = (arange(n, device=scores.device) for n in (length, size))
        mask = greater_equal(expand_dims(rows, -1), columns)
    if mask is not None:
        mask = value(mask)
        is_choice = mask.aval.dtype is bool_
        scores = where(mask, scores, NEVER) if is_choice else add(scores, mask)
    return softmax(scores)
