"""Convolution and pooling against loops in NumPy: values, gradients, and the bits of compiled steps."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import ceil
from typing import Any

import numpy as np
import pytest

import tracejit as tj
import tracejit.nn.functional as F
from tracejit import nn, ops, optim
from tracejit.ops.windows import windows

Pair = tuple[int, int]
RNG = np.random.default_rng(3)


def normal(*shape: int, dtype: Any = np.float64) -> np.ndarray:
    return RNG.standard_normal(shape).astype(dtype)


# oracles


def convolved(
    x: np.ndarray, weight: np.ndarray, stride: Pair, widths: tuple[Pair, Pair], dilation: Pair, groups: int
) -> np.ndarray:  # fmt: skip
    """Each element as the sum that defines it."""
    padded = np.pad(x, ((0, 0), (0, 0), *widths))
    outputs, channels, *size = weight.shape
    spans = [(n - 1) * by + 1 for n, by in zip(size, dilation)]
    counts = [(n - s) // by + 1 for n, s, by in zip(padded.shape[2:], spans, stride)]
    out = np.zeros((len(x), outputs, *counts))
    for n, o, i, j in np.ndindex(*out.shape):
        first = o // (outputs // groups) * channels
        top, left = i * stride[0], j * stride[1]
        window = padded[
            n,
            first : first + channels,
            top : top + spans[0] : dilation[0],
            left : left + spans[1] : dilation[1],
        ]
        out[n, o, i, j] = (window * weight[o]).sum()
    return out


def pooled_by(
    fold: Callable[[np.ndarray, int], float], x: np.ndarray, size: Pair, stride: Pair, padding: Pair, ceil_mode: bool
) -> np.ndarray:  # fmt: skip
    """`fold(elements, places)` of each window: the elements inside x, and the places inside x or its padding."""
    rounded = ceil if ceil_mode else int
    counts = []
    for n, k, s, p in zip(x.shape[2:], size, stride, padding):
        count = rounded((n + 2 * p - k) / s) + 1
        counts.append(count - (ceil_mode and (count - 1) * s >= n + p))
    out = np.empty((*x.shape[:2], *counts))
    for n, c, i, j in np.ndindex(*out.shape):
        begin = [i * stride[0] - padding[0], j * stride[1] - padding[1]]
        end = [min(b + k, extent + p) for b, k, extent, p in zip(begin, size, x.shape[2:], padding)]
        places = (end[0] - begin[0]) * (end[1] - begin[1])
        top, left = max(begin[0], 0), max(begin[1], 0)
        out[n, c, i, j] = fold(x[n, c, top : max(end[0], 0), left : max(end[1], 0)], places)
    return out


# convolution

CONVOLUTIONS: list[tuple[Any, Any, Any, int]] = [
    # stride, padding, dilation, groups
    *product([1, 2, (2, 3)], [0, 1, (2, 1)], [1, (1, 2)], [1, 2]),
    *product([1], ["valid", "same"], [1, 2, (2, 1)], [1, 4]),
]


def both(given: Any) -> Pair:
    return (given, given) if isinstance(given, int) else given


def widths_of(padding: Any, size: tuple[int, ...], dilation: Pair) -> tuple[Pair, Pair]:
    if padding == "same":
        total = [by * (n - 1) for n, by in zip(size, dilation)]
        return (
            (total[0] // 2, total[0] - total[0] // 2),
            (total[1] // 2, total[1] - total[1] // 2),
        )
    top, left = (0, 0) if padding == "valid" else both(padding)
    return ((top, top), (left, left))


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), CONVOLUTIONS, ids=str)
def test_a_convolution_is_the_sum_that_defines_it(
    stride: Any, padding: Any, dilation: Any, groups: int
) -> None:
    x, weight, bias = normal(2, 4, 7, 6), normal(4, 4 // groups, 3, 2), normal(4)
    widths = widths_of(padding, (3, 2), both(dilation))
    expected = convolved(x, weight, both(stride), widths, both(dilation), groups)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    found = F.conv2d(tj.tensor(x), tj.tensor(weight), tj.tensor(bias), **options)
    np.testing.assert_allclose(
        found.numpy(), expected + bias[:, None, None], rtol=1e-12, atol=1e-12
    )
    single = [tj.tensor(array.astype(np.float32)) for array in (x, weight)]
    found = F.conv2d(*single, **options)
    assert found.dtype is tj.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 3, 2, 2), (0, 3, 5, 5)], ids=str)
@pytest.mark.parametrize("size", [(1, 1), (2, 2)], ids=str)
def test_small_windows_images_and_batches_are_convolved(
    shape: tuple[int, ...], size: tuple[int, ...]
) -> None:
    x, weight = normal(*shape), normal(2, 3, *size)
    expected = convolved(x, weight, (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    found = F.conv2d(tj.tensor(x), tj.tensor(weight))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_a_window_of_the_images_size_gives_one_element() -> None:
    x, weight = normal(3, 2, 9, 8), normal(4, 2, 9, 8)
    found = F.conv2d(tj.tensor(x), tj.tensor(weight)).numpy()
    np.testing.assert_allclose(
        found[..., 0, 0], x.reshape(3, -1) @ weight.reshape(4, -1).T, rtol=1e-10
    )


def test_a_convolution_of_sequences_is_one_of_images_of_one_row() -> None:
    x, weight = normal(2, 4, 9), normal(6, 2, 3)
    options = {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}
    widths = ((0, 0), (1, 1))
    expected = convolved(x[:, :, None], weight[:, :, None], (1, 2), widths, (1, 2), 2)[:, :, 0]
    found = F.conv1d(tj.tensor(x), tj.tensor(weight), **options)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_the_batch_axis_may_be_left_out() -> None:
    x, weight = tj.tensor(normal(3, 6, 5)), tj.tensor(normal(2, 3, 2, 2))
    assert F.conv2d(x, weight).tolist() == F.conv2d(x[None], weight)[0].tolist()
    assert F.max_pool2d(x, 2).tolist() == F.max_pool2d(x[None], 2)[0].tolist()
    assert F.avg_pool1d(x[0], 2).tolist() == F.avg_pool1d(x[:1], 2)[0].tolist()


# pooling

POOLS: list[tuple[Any, Any, Any, bool]] = [
    # size, stride, padding, ceil_mode
    *product([2, (3, 2)], [None, 1, (2, 3)], [0, 1], [False, True])
]


@pytest.mark.parametrize(("size", "stride", "padding", "ceil_mode"), POOLS, ids=str)
def test_pools_are_the_folds_that_define_them(
    size: Any, stride: Any, padding: Any, ceil_mode: bool
) -> None:
    x = normal(2, 3, 8, 7)
    steps = both(size if stride is None else stride)

    def expected(fold: Callable[[np.ndarray, int], float]) -> np.ndarray:
        return pooled_by(fold, x, both(size), steps, both(padding), ceil_mode)

    given = tj.tensor(x)
    largest = F.max_pool2d(given, size, stride, padding, ceil_mode=ceil_mode)
    np.testing.assert_array_equal(largest.numpy(), expected(lambda part, _: part.max()))
    for includes, fold in (
        (True, lambda part, places: part.sum() / places),
        (False, lambda part, _: part.sum() / part.size),
    ):
        found = F.avg_pool2d(given, size, stride, padding, ceil_mode, includes)
        np.testing.assert_allclose(found.numpy(), expected(fold), rtol=1e-12, atol=1e-13)


def test_pools_of_sequences_with_dilation() -> None:
    x = normal(2, 3, 9)
    found = F.max_pool1d(tj.tensor(x), 3, 2, dilation=2).numpy()
    expected = np.stack([x[..., k : k + 5 : 2].max(-1) for k in (0, 2, 4)], -1)
    np.testing.assert_array_equal(found, expected)
    found = F.avg_pool1d(tj.tensor(x), 4).numpy()
    np.testing.assert_allclose(found, x[..., :8].reshape(2, 3, 2, 4).mean(-1), rtol=1e-12)


def test_a_divisor_takes_the_place_of_the_count() -> None:
    found = F.avg_pool2d(tj.ones((1, 1, 4, 4)), 2, divisor_override=8)
    assert found.tolist() == [[[[0.5, 0.5], [0.5, 0.5]]]]
    with pytest.raises(ValueError, match="divisor_override must not be zero"):
        F.avg_pool2d(tj.ones((1, 1, 4, 4)), 2, divisor_override=0)


def test_a_pool_of_integers_and_of_nan() -> None:
    assert F.max_pool1d(tj.tensor([[-5, -3, -9]]), 2, padding=1).tolist() == [[-5, -3]]
    found = F.max_pool1d(tj.tensor([[np.nan, 1.0, 2.0, 3.0]]), 2).numpy()
    np.testing.assert_array_equal(found, [[np.nan, 3.0]])


@pytest.mark.parametrize("counts", [1, (2, 3), (8, 7), (3, 2)], ids=str)
def test_adaptive_means_are_those_of_even_parts(counts: Any) -> None:
    x = normal(2, 3, 8, 7)
    rows, columns = both(counts)
    found = F.adaptive_avg_pool2d(tj.tensor(x), counts).numpy()
    assert found.shape == (2, 3, rows, columns)
    for i, j in np.ndindex(rows, columns):
        down = slice(i * 8 // rows, ceil((i + 1) * 8 / rows))
        across = slice(j * 7 // columns, ceil((j + 1) * 7 / columns))
        np.testing.assert_allclose(
            found[..., i, j], x[..., down, across].mean((-1, -2)), rtol=1e-12
        )


# gradients

FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "conv2d": (F.conv2d, (normal(2, 3, 5, 4), normal(4, 3, 2, 3), normal(4))),
    "conv2d of everything": (
        lambda x, w, b: F.conv2d(x, w, b, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2),
        (normal(2, 4, 6, 5), normal(4, 2, 3, 2), normal(4)),
    ),
    "conv2d of the whole": (F.conv2d, (normal(2, 3, 4, 5), normal(2, 3, 4, 5))),
    "conv1d": (lambda x, w: F.conv1d(x, w, stride=2, padding=1), (normal(2, 3, 7), normal(4, 3, 3))),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), (normal(2, 2, 5, 4),)),
    "max_pool2d that overlaps": (lambda x: F.max_pool2d(x, 3, 2, 1), (normal(2, 2, 6, 5),)),
    "max_pool1d": (lambda x: F.max_pool1d(x, 2, ceil_mode=True), (normal(2, 2, 5),)),
    "avg_pool2d": (
        lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        (normal(2, 2, 6, 5),),
    ),
    "avg_pool1d": (lambda x: F.avg_pool1d(x, 2, 1, ceil_mode=True), (normal(2, 2, 5),)),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, (2, 3)), (normal(2, 2, 5, 6),)),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_are_differences(name: str) -> None:
    function, arrays = FUNCTIONS[name]

    def energy(*args: Any) -> Any:
        return ops.sum(ops.square(function(*args)))

    args = [tj.tensor(array) for array in arrays]
    gradients = tj.grad(energy, argnums=tuple(range(len(args))))(*args)
    for place, (array, gradient) in enumerate(zip(arrays, gradients, strict=True)):
        direction, step = normal(*array.shape), 1e-6

        def moved(by: float, place: int = place, direction: np.ndarray = direction) -> float:
            changed = list(args)
            changed[place] = tj.tensor(arrays[place] + by * direction)
            return energy(*changed).item()

        slope = (moved(step) - moved(-step)) / (2 * step)
        assert (gradient.numpy() * direction).sum() == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_of_elements_that_tie_the_first_in_a_window_has_the_gradient() -> None:
    x = tj.ones((1, 1, 3, 3), requires_grad=True)
    F.max_pool2d(x, 2, 1).sum().backward()
    assert x.grad.tolist() == [[[[1, 1, 0], [1, 1, 0], [0, 0, 0]]]]


# compiled


def bits(values: Any) -> list[bytes]:
    return [np.asarray(value).tobytes() for value in values]


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_compiled_values_and_gradients_have_the_eager_bits(name: str, dtype: Any) -> None:
    function, arrays = FUNCTIONS[name]

    def program(*args: Any) -> Any:
        def energy(*args: Any) -> Any:
            return ops.sum(ops.square(F.relu(function(*args))))

        return function(*args), *tj.grad(energy, argnums=tuple(range(len(args))))(*args)

    args = [tj.tensor(array.astype(dtype)) for array in arrays]
    assert bits(tj.compile(program)(*args)) == bits(program(*args))


class Images(nn.Module):
    """Convolutions with padding and strides, both pools."""

    def __init__(self) -> None:
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 6, 3, stride=2, bias=False)
        self.body = nn.Sequential(self.first, nn.ReLU(), nn.MaxPool2d(2), self.second, nn.ReLU())
        self.pool, self.flat = nn.AvgPool2d(2, stride=1), nn.Flatten()
        self.head = nn.Linear(6 * 2 * 2, 3)

    def forward(self, x: tj.Tensor) -> tj.Tensor:
        return self.head(self.flat(self.pool(self.body(x))))


def state_after_training(decorate: Callable[[Any], Any]) -> tuple[list[bytes], Any]:
    tj.random.seed(5)
    model = Images()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    rng = np.random.default_rng(0)

    @decorate
    def step(images: tj.Tensor, labels: tj.Tensor) -> tj.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss

    losses = []
    for _ in range(5):
        images = tj.tensor(rng.standard_normal((7, 1, 14, 14)).astype(np.float32))
        losses.append(step(images, tj.tensor(rng.integers(0, 3, 7))).item())
    assert losses[-1] != losses[0]
    return bits([*losses, *model.state_dict().values()]), step


def test_a_compiled_training_step_gives_the_bits_of_the_eager_one_and_is_replayed() -> None:
    eager, _ = state_after_training(lambda f: f)
    compiled, step = state_after_training(tj.compile)
    assert eager == compiled
    assert tj.explain(step).calls["replay"] >= 3


def test_the_number_of_threads_does_not_change_a_training_step() -> None:
    threads = tj.get_num_threads()
    found = []
    for count in (1, 3):
        tj.set_num_threads(count)
        try:
            found.append(state_after_training(tj.compile)[0])
        finally:
            tj.set_num_threads(threads)
    assert found[0] == found[1]


def test_batches_of_other_sizes_have_the_eager_bits() -> None:
    tj.random.seed(1)
    model = Images()
    compiled = tj.compile(model)
    for batch in (2, 5, 3, 4, 1):
        x = tj.tensor(normal(batch, 1, 14, 14, dtype=np.float32))
        assert bits([compiled(x).detach()]) == bits([model(x).detach()])


# layers


def test_layers_start_as_pytorchs_do() -> None:
    tj.random.seed(0)
    layer = nn.Conv2d(8, 64, 3, groups=2)
    assert layer.weight.shape == (64, 4, 3, 3)
    bound = (4 * 9) ** -0.5
    for parameter in (layer.weight, layer.bias):
        largest = np.abs(parameter.detach().numpy()).max()
        assert 0.9 * bound < largest <= bound
    assert nn.Conv1d(3, 5, 2, bias=False).bias is None


@pytest.mark.parametrize(
    ("layer", "shown"),
    [
        (
            nn.Conv1d(2, 4, 3, 2, padding="valid", bias=False),
            "Conv1d(2, 4, kernel_size=(3,), stride=(2,), padding=valid, bias=False)",
        ),
        (
            nn.Conv2d(4, 4, (3, 1), dilation=2, groups=2),
            "Conv2d(4, 4, kernel_size=(3, 1), stride=(1, 1), dilation=(2, 2), groups=2)",
        ),
        (
            nn.MaxPool1d(3, 2),
            "MaxPool1d(kernel_size=3, stride=2, padding=0, dilation=1, ceil_mode=False)",
        ),
        (nn.AvgPool2d((2, 3)), "AvgPool2d(kernel_size=(2, 3), stride=(2, 3), padding=0)"),
        (nn.AdaptiveAvgPool2d(1), "AdaptiveAvgPool2d(output_size=1)"),
    ],
    ids=lambda case: type(case).__name__,
)
def test_layers_tell_their_arguments(layer: Any, shown: str) -> None:
    assert repr(layer) == shown


LAYERS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "conv1d": (lambda nn: nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 9)),
    "conv2d": (lambda nn: nn.Conv2d(3, 4, (3, 2), padding="same", dilation=2), (2, 3, 6, 5)),
    "max_pool1d": (lambda nn: nn.MaxPool1d(3, 2, 1), (2, 3, 8)),
    "max_pool2d": (lambda nn: nn.MaxPool2d(3, 2, 1, ceil_mode=True), (2, 3, 8, 7)),
    "avg_pool1d": (lambda nn: nn.AvgPool1d(3, padding=1), (2, 3, 8)),
    "avg_pool2d": (lambda nn: nn.AvgPool2d(3, 2, 1, True, False), (2, 3, 8, 7)),
    "adaptive_avg_pool2d": (lambda nn: nn.AdaptiveAvgPool2d((3, 2)), (2, 3, 8, 7)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_computes_and_differentiates_as_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    make, shape = LAYERS[name]
    ours, theirs = make(nn), make(torch.nn)
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    array = normal(*shape, dtype=np.float32)
    x, y = tj.tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    actual, expected = ours(x), theirs(y)
    weight = normal(*actual.shape, dtype=np.float32)
    (actual * weight).sum().backward()
    (expected * torch.tensor(weight)).sum().backward()
    pairs = [(actual.detach(), expected.detach()), (x.grad, y.grad)]
    pairs += [(p.grad, q.grad) for p, q in zip(ours.parameters(), theirs.parameters(), strict=True)]
    for found, wanted in pairs:
        assert tuple(found.shape) == tuple(wanted.shape)
        np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=2e-5, atol=2e-6)


# refusals

IMAGE, KERNEL = tj.ones((2, 4, 5, 5)), tj.ones((6, 4, 3, 3))
HERE = r"test_convolution.py:\d+: "


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: F.conv2d(IMAGE, tj.ones((6, 3, 3, 3))),
            tj.ShapeError,
            r"conv2d: f32\[2,4,5,5\], weight f32\[6,3,3,3\]: expected 3 channels, got 4",
        ),
        (
            lambda: F.conv2d(IMAGE, KERNEL, groups=2),
            tj.ShapeError,
            r"expected 8 channels, got 4 \(groups=2\)",
        ),
        (
            lambda: F.conv2d(IMAGE, KERNEL, groups=4),
            tj.ShapeError,
            "6 outputs do not divide into 4 groups",
        ),
        (
            lambda: F.conv2d(IMAGE, tj.ones((6, 4, 7, 3)), padding=(0, 1)),
            tj.ShapeError,
            r"conv2d: f32\[2,4,5,5\].*: a window of \(7, 3\) does not fit into \(5, 7\)",
        ),
        (
            lambda: F.conv2d(IMAGE, KERNEL, tj.ones(5)),
            tj.ShapeError,
            r"bias f32\[5\] is not one per output",
        ),
        (
            lambda: F.conv2d(IMAGE[0, 0], KERNEL),
            tj.ShapeError,
            r"conv2d: f32\[5,5\]: expected \(N, C, H, W\) or the same without N",
        ),
        (
            lambda: F.conv1d(IMAGE, KERNEL),
            tj.ShapeError,
            r"conv1d: weight f32\[6,4,3,3\]: needs 3 dimensions",
        ),
        (lambda: F.conv2d(IMAGE, KERNEL, stride=2, padding="same"), ValueError, "stride of 1"),
        (lambda: F.conv2d(IMAGE, KERNEL, padding="full"), ValueError, "'same' or 'valid'"),
        (lambda: F.conv2d(IMAGE, KERNEL, stride=0), ValueError, "stride is 2 numbers of 1 or more"),
        (
            lambda: F.conv2d(IMAGE, KERNEL, dilation=(1, 1, 1)),
            ValueError,
            "dilation is 2 numbers",
        ),
        (lambda: F.max_pool2d(IMAGE, 2, padding=2), tj.ShapeError, "padding 2 is not between 0"),
        (
            lambda: F.avg_pool2d(IMAGE, 6),
            tj.ShapeError,
            r"avg_pool2d: f32\[2,4,5,5\]: a window of 6 does not fit into an extent of 5",
        ),
        (lambda: nn.Conv2d(4, 6, 3, groups=4), ValueError, "do not divide into 4 groups"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    call: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=HERE + ".*" + message):
        call()


def test_windows_that_overlap_are_not_written_to() -> None:
    seen = windows(tj.ones(5), (3,), stride=(1,), dilation=(1,))
    for view in (seen, seen[0]):
        with pytest.raises(ValueError, match=r"a view of overlapping windows.*copy"):
            view.add_(1)
    seen.copy().add_(1)
