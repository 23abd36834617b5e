"""What the modules compute, as functions with PyTorch's names and arguments."""

from __future__ import annotations

from tracejit._errors import ShapeError, at_user_line
from tracejit.autograd.tape import no_grad
from tracejit.dtypes import finfo
from tracejit.indexing import check_labels
from tracejit.nn.attention import scaled_dot_product_attention as scaled_dot_product_attention
from tracejit.nn.distances import cosine_embedding_loss as cosine_embedding_loss
from tracejit.nn.distances import cosine_similarity as cosine_similarity
from tracejit.nn.distances import margin_ranking_loss as margin_ranking_loss
from tracejit.nn.distances import normalize as normalize
from tracejit.nn.distances import pairwise_distance as pairwise_distance
from tracejit.nn.distances import triplet_margin_loss as triplet_margin_loss
from tracejit.nn.dropping import check_probability as check_probability
from tracejit.nn.dropping import dropout as dropout
from tracejit.nn.dropping import dropout2d as dropout2d
from tracejit.nn.losses import binary_cross_entropy as binary_cross_entropy
from tracejit.nn.losses import (
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
)
from tracejit.nn.losses import cross_entropy as cross_entropy
from tracejit.nn.losses import huber_loss as huber_loss
from tracejit.nn.losses import kl_div as kl_div
from tracejit.nn.losses import l1_loss as l1_loss
from tracejit.nn.losses import mse_loss as mse_loss
from tracejit.nn.losses import nll_loss as nll_loss
from tracejit.nn.losses import smooth_l1_loss as smooth_l1_loss
from tracejit.nn.nonlinear import elu as elu
from tracejit.nn.nonlinear import glu as glu
from tracejit.nn.nonlinear import hardsigmoid as hardsigmoid
from tracejit.nn.nonlinear import hardswish as hardswish
from tracejit.nn.nonlinear import hardtanh as hardtanh
from tracejit.nn.nonlinear import leaky_relu as leaky_relu
from tracejit.nn.nonlinear import logsigmoid as logsigmoid
from tracejit.nn.nonlinear import mish as mish
from tracejit.nn.nonlinear import prelu as prelu
from tracejit.nn.nonlinear import relu6 as relu6
from tracejit.nn.nonlinear import selu as selu
from tracejit.nn.resampling import interpolate as interpolate
from tracejit.nn.resampling import pad as pad
from tracejit.nn.sliding import adaptive_avg_pool2d as adaptive_avg_pool2d
from tracejit.nn.sliding import avg_pool1d as avg_pool1d
from tracejit.nn.sliding import avg_pool2d as avg_pool2d
from tracejit.nn.sliding import conv1d as conv1d
from tracejit.nn.sliding import conv2d as conv2d
from tracejit.nn.sliding import max_pool1d as max_pool1d
from tracejit.nn.sliding import max_pool2d as max_pool2d
from tracejit.ops import composite
from tracejit.ops.arguments import cast, value
from tracejit.ops.composite import gelu as gelu
from tracejit.ops.composite import silu as silu
from tracejit.ops.composite import stop_gradient
from tracejit.ops.contract import matmul
from tracejit.ops.elementwise import equal, sqrt, square, where
from tracejit.ops.functions import relu as relu
from tracejit.ops.functions import sigmoid as sigmoid
from tracejit.ops.functions import softplus as softplus
from tracejit.ops.functions import tanh as tanh
from tracejit.ops.index import index_value, take
from tracejit.ops.index import one_hot as one_hot
from tracejit.ops.reduce import mean
from tracejit.ops.shape import expand_dims, matrix_transpose
from tracejit.tensor import Tensor


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias, of a weight with shape (out_features, in_features)."""
    x = value(x)
    if x.ndim < 1 or weight.ndim != 2 or x.shape[-1] != weight.shape[1]:
        message = f"linear: {x.aval}, weight {weight.aval}: the last sizes differ"
        raise ShapeError(at_user_line(message))
    product = matmul(x, matrix_transpose(weight))
    return product if bias is None else product + bias


def embedding(x: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Row `x` of `weight`, for integers x of any shape; IndexError for a row that is not there.

    Row `padding_idx`, which may be counted from the end, takes no gradient.
    """
    x, count = index_value(x), len(weight)
    check_labels("embedding", x, count)
    rows = take(weight, x, axis=0)
    if padding_idx is None:
        return rows
    is_padding = equal(expand_dims(x, -1), padding_row(padding_idx, count))
    return where(is_padding, stop_gradient(rows), rows)


def padding_row(padding_idx: int, count: int) -> int:
    """`padding_idx` counted from the front of `count` rows."""
    if not -count <= padding_idx < count:
        message = f"embedding: padding_idx {padding_idx} is not one of {count} rows"
        raise ValueError(at_user_line(message))
    return padding_idx % count


def softmax(x: Tensor, dim: int = -1) -> Tensor:
    """exp(x) divided by its sum along `dim`."""
    return composite.softmax(x, axis=dim)


def log_softmax(x: Tensor, dim: int = -1) -> Tensor:
    """log(softmax(x)), without overflow."""
    return composite.log_softmax(x, axis=dim)


def layer_norm(
    x: Tensor,
    normalized_shape: tuple[int, ...],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last dimensions, whose shape is `normalized_shape`."""
    x, shape = value(x), tuple(normalized_shape)
    check_last("layer_norm", x, shape)
    axes = tuple(range(-len(shape), 0))
    return composite.layer_norm(x, weight, bias, axis=axes, eps=eps)


def group_norm(
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) over groups of the channels of x (N, C, ...), times weight (C), plus bias (C).

    >>> import tracejit as tj
    >>> group_norm(tj.tensor([[1.0, 3.0, 5.0, 7.0]]), 2, eps=0.0)
    tensor([[-1.,  1., -1.,  1.]])
    """
    x = value(x)
    if x.ndim < 2 or num_groups < 1 or x.shape[1] % num_groups:
        message = f"group_norm: {x.aval}: the channels (dimension 1) do not divide into {num_groups} groups"
        raise ShapeError(at_user_line(message))
    parts = x.reshape((x.shape[0], num_groups, x.shape[1] // num_groups, *x.shape[2:]))
    even = composite.layer_norm(parts, axis=tuple(range(2, parts.ndim)), eps=eps).reshape(x.shape)
    along = (-1, *(1,) * (x.ndim - 2))
    even = even if weight is None else even * weight.reshape(along)
    return even if bias is None else even + bias.reshape(along)


def rms_norm(
    x: Tensor,
    normalized_shape: tuple[int, ...],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """x / sqrt(mean(x**2) + eps) * weight over the last dimensions, whose shape is `normalized_shape` (Zhang and Sennrich, 2019).

    `eps` is by default the distance from 1 to the next number of the dtype.

    >>> import tracejit as tj
    >>> rms_norm(tj.tensor([3.0, -3.0]), (2,))
    tensor([ 1., -1.])
    """
    given, shape = value(x), tuple(normalized_shape)
    check_last("rms_norm", given, shape)
    x, dtype = composite.computed(given)
    least = finfo(dtype).eps if eps is None else eps
    spread = mean(square(x), axis=tuple(range(-len(shape), 0)), keepdims=True)
    scaled = x * (1 / sqrt(spread + least))
    return cast(scaled if weight is None else scaled * weight, dtype)


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | Tensor = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias, the others being vectors along dimension 1 of x.

    In training by the mean and variance of x, of which the running ones, where there are any, take the share `momentum`.

    >>> import tracejit as tj
    >>> batch_norm(tj.tensor([[1.0], [3.0]]), None, None, training=True, eps=0.0)
    tensor([[-1.],
            [ 1.]])
    """
    x = value(x)
    if training:
        return composite.batch_norm(
            x, *_statistics(x, running_mean, running_var, momentum), weight, bias, eps=eps
        )
    if running_mean is None or running_var is None:
        message = "batch_norm: running_mean and running_var are needed where it is not training"
        raise ValueError(at_user_line(message))
    return composite.batch_norm(x, running_mean, running_var, weight, bias, eps=eps)


def _statistics(
    x: Tensor, running_mean: Tensor | None, running_var: Tensor | None, share: float | Tensor
) -> tuple[Tensor, Tensor]:
    """The mean and variance of each channel, which are noted in the running ones."""
    axes = (0, *range(2, x.ndim))
    count = x.size // x.shape[1]
    if count < 2:
        message = f"batch_norm: more than one value per channel is needed in training, got {x.aval}"
        raise ValueError(at_user_line(message))
    mean, var = x.mean(axis=axes), x.var(axis=axes)
    with no_grad():
        if running_mean is not None:
            running_mean.add_((mean.detach() - running_mean) * share)
        if running_var is not None:
            unbiased = var.detach() * (count / (count - 1))
            running_var.add_((unbiased - running_var) * share)
    return mean, var


def check_last(name: str, x: Tensor, shape: tuple[int, ...]) -> None:
    if not shape or x.shape[-len(shape) :] != shape:
        message = f"{name}: {x.aval}: the last dimensions are not {shape}"
        raise ShapeError(at_user_line(message))
