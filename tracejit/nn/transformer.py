"""Attention of several heads, and the encoder of transformers (Vaswani et al., 2017)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from tracejit._errors import ShapeError, at_user_line
from tracejit.dtypes import bool_
from tracejit.nn import functional as F
from tracejit.nn import init
from tracejit.nn.attention import NEVER, attention_weights
from tracejit.nn.container import ModuleList
from tracejit.nn.dropout import Dropout
from tracejit.nn.linear import Linear
from tracejit.nn.module import Module
from tracejit.nn.normalization import LayerNorm
from tracejit.nn.parameter import Parameter
from tracejit.ops.arguments import value
from tracejit.ops.contract import matmul
from tracejit.ops.elementwise import add, where
from tracejit.tensor import Tensor


class MultiheadAttention(Module):
    """Attention of `num_heads` heads over parts of `embed_dim` features each.

    Called with query (L, N, E), key and value (S, N, E), or with the first two dimensions exchanged if `batch_first`. Gives the
    result, of the query's shape, and the weights (N, L, S), averaged over the heads, or None without `need_weights`.

    Masks of bools tell where *not* to look, masks of floats are added to the scores: `attn_mask` of shape (L, S) or
    (N * num_heads, L, S), `key_padding_mask` of shape (N, S).

    >>> import tracejit as tj
    >>> x = tj.ones((2, 5, 8))
    >>> result, weights = MultiheadAttention(8, 2, batch_first=True)(x, x, x)
    >>> result.shape, weights.shape
    ((2, 5, 8), (2, 5, 5))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        batch_first: bool = False,
    ) -> None:
        if num_heads < 1 or embed_dim % num_heads:
            message = (
                f"MultiheadAttention: {embed_dim} features do not divide into {num_heads} heads"
            )
            raise ValueError(at_user_line(message))
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.dropout, self.batch_first = dropout, batch_first
        self.in_proj_weight = Parameter(init.empty(3 * embed_dim, embed_dim))
        self.in_proj_bias = Parameter(init.empty(3 * embed_dim)) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.xavier_uniform_(self.in_proj_weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
        if self.out_proj.bias is not None:
            init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value_: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """`is_causal` tells that `attn_mask` is the causal one, which is looked at all the same."""
        del is_causal
        given = value(query), value(key), value(value_)
        if any(x.ndim != 3 or x.shape[-1] != self.embed_dim for x in given):
            message = f"MultiheadAttention({self.embed_dim}): expected three dimensions, the last of {self.embed_dim}"
            raise ShapeError(
                at_user_line(f"{message}, got {', '.join(str(x.aval) for x in given)}")
            )
        if not self.batch_first:
            given = tuple(x.swapaxes(0, 1) for x in given)
        q, k, v = (self._heads(x, place) for place, x in enumerate(given))
        mask = self._mask(attn_mask, key_padding_mask, q, k)
        weights = attention_weights(q, k, mask)
        mixed = matmul(F.dropout(weights, self.dropout, self.training), v).swapaxes(1, 2)
        result = self.out_proj(mixed.reshape(given[0].shape))
        shown = None
        if need_weights:
            shown = weights.mean(axis=1) if average_attn_weights else weights
        return result if self.batch_first else result.swapaxes(0, 1), shown

    def _heads(self, x: Any, place: int) -> Any:
        """x (N, L, E) as queries, keys or values: (N, heads, L, E / heads)."""
        rows = slice(place * self.embed_dim, (place + 1) * self.embed_dim)
        bias = None if self.in_proj_bias is None else self.in_proj_bias[rows]
        y = F.linear(x, self.in_proj_weight[rows], bias)
        count, length, width = y.shape
        return y.reshape((count, length, self.num_heads, width // self.num_heads)).swapaxes(1, 2)

    def _mask(self, attn_mask: Any, key_padding_mask: Any, q: Any, k: Any) -> Any:
        """What is added to the scores (N, heads, L, S)."""
        (count, heads, length, _), size = q.shape, k.shape[2]
        total = None
        if attn_mask is not None:
            total = _added(attn_mask, q)
            if total.ndim == 3:
                total = total.reshape((count, heads, length, size))
        if key_padding_mask is not None:
            padding = _added(key_padding_mask, q).reshape((count, 1, 1, size))
            total = padding if total is None else add(total, padding)
        return total


def _added(mask: Any, x: Any) -> Any:
    """A mask as what is added to scores."""
    mask = value(mask)
    return where(mask, NEVER, 0.0).astype(x.dtype) if mask.aval.dtype is bool_ else mask


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}


class TransformerEncoderLayer(Module):
    """Attention of a sequence to itself, then two linear layers, each with a residual branch and layer norm.

    The norm comes after the branch is added, or with `norm_first` at its beginning.

    >>> import tracejit as tj
    >>> TransformerEncoderLayer(8, 2, 16, batch_first=True)(tj.ones((2, 5, 8))).shape
    (2, 5, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
    ) -> None:
        if isinstance(activation, str) and activation not in _ACTIVATIONS:
            message = f"TransformerEncoderLayer: activation is 'relu', 'gelu' or a function, got {activation!r}"
            raise ValueError(at_user_line(message))
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, batch_first=batch_first)
        self.linear1 = Linear(d_model, dim_feedforward)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model)
        self.norm1, self.norm2 = (LayerNorm(d_model, layer_norm_eps) for _ in range(2))
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)
        self.activation = _ACTIVATIONS[activation] if isinstance(activation, str) else activation
        self.norm_first = norm_first

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        masks = src_mask, src_key_padding_mask
        if self.norm_first:
            src = src + self._attended(self.norm1(src), *masks)
            return src + self._fed(self.norm2(src))
        src = self.norm1(src + self._attended(src, *masks))
        return self.norm2(src + self._fed(src))

    def _attended(self, x: Tensor, mask: Tensor | None, padding: Tensor | None) -> Tensor:
        result, _ = self.self_attn(x, x, x, padding, need_weights=False, attn_mask=mask)
        return self.dropout1(result)

    def _fed(self, x: Tensor) -> Tensor:
        return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))


class TransformerEncoder(Module):
    """Copies of a layer, one after another, and a `norm` after them."""

    def __init__(self, encoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        self.layers = ModuleList(copy.deepcopy(encoder_layer) for _ in range(num_layers))
        self.norm = norm

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, is_causal)
        return src if self.norm is None else self.norm(src)
