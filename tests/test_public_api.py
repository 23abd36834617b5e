"""The names that programs rely on. A name is added here when it is released, and does not go away unnoticed."""

from __future__ import annotations

import inspect
from types import ModuleType

import pytest

import tracejit as tj
from tracejit import cuda, nn, optim, random

NAMESPACE = """
    Tensor tensor asarray from_numpy from_dlpack devices config set_default_dtype
    bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64
    e inf nan newaxis pi
    arange empty empty_like eye full full_like linspace meshgrid ones ones_like tril triu zeros zeros_like
    abs acos acosh add addcdiv asin asinh atan atan2 atanh bitwise_and bitwise_invert bitwise_left_shift
    bitwise_or bitwise_right_shift bitwise_xor ceil clip copysign cos cosh divide equal erf erfc erfinv exp expm1 floor
    floor_divide greater greater_equal hypot isfinite isinf isnan lerp less less_equal log log10 log1p log2
    logaddexp logical_and logical_not logical_or logical_xor maximum minimum multiply negative not_equal
    lgamma digamma logit polygamma xlogy
    positive pow reciprocal remainder round sign signbit sin sinh sqrt square subtract tan tanh trunc where
    all any argmax argmin count_nonzero cumulative_prod cumulative_sum max mean min prod std sum var
    broadcast_arrays broadcast_to concat expand_dims flip moveaxis pad permute_dims repeat reshape roll split
    squeeze stack tile unstack matrix_transpose
    take take_along_axis one_hot scatter_add argsort diff isin nonzero searchsorted sort
    unique_all unique_counts unique_inverse unique_values can_cast finfo iinfo isdtype result_type
    __array_api_version__ __array_namespace_info__
    matmul tensordot vecdot einsum
    astype softmax log_softmax logsumexp cross_entropy layer_norm gelu relu sigmoid
    grad value_and_grad vjp no_grad enable_grad is_grad_enabled
    compile explain export load synchronize set_num_threads get_num_threads empty_cache
    cuda nn optim random
    TracejitError ShapeError DTypeError AxisError AutogradError CompileError RecompileError MemoryLimitError DeviceUnavailable
    DeviceError DeviceMemoryError ExportError ArtifactError ArtifactRaised
""".split()

TENSOR = """
    T mT abs addcdiv addcdiv_ all any argmax argmin argsort astype backward base broadcast_to clip copy copy_
    cos cpu cuda cumsum detach device dtype exp expand_dims fill_ flatten flip grad grad_fn is_leaf item itemsize lerp
    lerp_ log max mean min mul_ nbytes ndim numpy permute pow prod register_hook relu repeat requires_grad
    requires_grad_ reshape retain_grad roll round shape sigmoid sign sin size split sqrt square squeeze std
    digamma erf erfc erfinv lgamma logit polygamma xlogy
    view view_as reshape_as unsqueeze expand expand_as t contiguous chunk unbind narrow gather index_select index_add scatter_add
    masked_fill masked_fill_ masked_select topk add sub mul div neg rsqrt clamp clamp_ clamp_min clamp_max maximum minimum where
    bmm mm mv norm eq ne lt le gt ge logical_not logical_and logical_or dim numel type_as float double half bfloat16 int long bool
    strides sub_ sum swapaxes tanh to tolist transpose var zero_ add_ div_ to_device __array__
    __array_namespace__ __dlpack__ __dlpack_device__ __array_ufunc__ __array_function__
""".split()

MODULES = {
    nn: """
        Module Parameter Linear Embedding LayerNorm BatchNorm1d Dropout ReLU GELU Tanh Sigmoid Softmax Flatten Sequential
        CrossEntropyLoss MSELoss functional init RNN GRU LSTM RNNCell GRUCell LSTMCell
        Conv1d Conv2d MaxPool1d MaxPool2d AvgPool1d AvgPool2d AdaptiveAvgPool2d
        Identity Unflatten Upsample ModuleList ModuleDict ParameterList ParameterDict BatchNorm2d GroupNorm RMSNorm Dropout2d
        ELU SELU GLU SiLU Mish ReLU6 PReLU LeakyReLU LogSigmoid LogSoftmax Softplus Hardtanh Hardsigmoid Hardswish
        L1Loss HuberLoss SmoothL1Loss NLLLoss BCELoss BCEWithLogitsLoss KLDivLoss CosineEmbeddingLoss MarginRankingLoss
        TripletMarginLoss MultiheadAttention TransformerEncoder TransformerEncoderLayer utils
    """.split(),
    nn.functional: """
        linear embedding softmax log_softmax layer_norm batch_norm dropout cross_entropy mse_loss relu gelu silu sigmoid
        tanh softplus one_hot
        conv1d conv2d max_pool1d max_pool2d avg_pool1d avg_pool2d adaptive_avg_pool2d
        leaky_relu elu selu mish logsigmoid relu6 hardtanh prelu glu hardsigmoid hardswish dropout2d group_norm rms_norm
        l1_loss smooth_l1_loss huber_loss nll_loss binary_cross_entropy binary_cross_entropy_with_logits kl_div
        cosine_similarity pairwise_distance normalize cosine_embedding_loss margin_ranking_loss triplet_margin_loss
        scaled_dot_product_attention interpolate pad
    """.split(),
    nn.utils: "clip_grad_norm_ clip_grad_value_ parameters_to_vector vector_to_parameters".split(),
    optim: """
        Optimizer SGD Adam AdamW RMSprop Adagrad lr_scheduler LRScheduler StepLR CosineAnnealingLR LambdaLR MultiStepLR ConstantLR
        LinearLR ExponentialLR PolynomialLR CosineAnnealingWarmRestarts SequentialLR OneCycleLR ReduceLROnPlateau
    """.split(),
    cuda: """
        device_count empty_cache get_device_name is_available memory_stats pinned_empty reset_peak_memory_stats
        synchronize why_not
    """.split(),
    random: "Generator seed random uniform normal integers bernoulli permutation".split(),
}


@pytest.mark.parametrize("name", NAMESPACE)
def test_the_namespace_has(name: str) -> None:
    assert hasattr(tj, name)


@pytest.mark.parametrize("name", TENSOR)
def test_a_tensor_has(name: str) -> None:
    assert hasattr(tj.Tensor, name)


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in MODULES.items() for name in names]
)
def test_a_module_has(module: ModuleType, name: str) -> None:
    assert hasattr(module, name)


def test_every_public_function_and_class_says_what_it_is() -> None:
    homes = {tj: NAMESPACE, tj.Tensor: [name for name in TENSOR if name[0] != "_"], **MODULES}
    silent = [
        f"{home.__name__}.{name}"
        for home, names in homes.items()
        for name in names
        if callable(value := getattr(home, name)) and not documentation(value)
    ]
    assert not silent


def documentation(value: object) -> str | None:
    """What an op's record, a function or a class says of itself."""
    return getattr(value, "doc", None) or inspect.getdoc(value)
