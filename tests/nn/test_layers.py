"""Layers against their formulas in NumPy, and against PyTorch, gradients included, where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj
import tracejit.nn.functional as F
from tracejit import nn


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


LAYERS: list[tuple[str, Callable[[Any], Any], tuple[int, ...]]] = [
    ("linear", lambda nn: nn.Linear(4, 3), (5, 4)),
    ("linear without bias", lambda nn: nn.Linear(4, 3, bias=False), (2, 5, 4)),
    ("linear of a vector", lambda nn: nn.Linear(4, 3), (4,)),
    ("relu", lambda nn: nn.ReLU(), (3, 4)),
    ("sigmoid", lambda nn: nn.Sigmoid(), (3, 4)),
    ("tanh", lambda nn: nn.Tanh(), (3, 4)),
    ("gelu", lambda nn: nn.GELU(), (3, 4)),
    ("gelu by tanh", lambda nn: nn.GELU(approximate="tanh"), (3, 4)),
    ("softmax", lambda nn: nn.Softmax(dim=1), (3, 4)),
    ("layer norm", lambda nn: nn.LayerNorm(4), (3, 4)),
    ("layer norm over two", lambda nn: nn.LayerNorm((3, 4), eps=1e-3), (2, 3, 4)),
    ("layer norm alone", lambda nn: nn.LayerNorm(4, elementwise_affine=False), (3, 4)),
    ("batch norm", lambda nn: nn.BatchNorm1d(4), (6, 4)),
    ("batch norm of sequences", lambda nn: nn.BatchNorm1d(4, momentum=0.3), (3, 4, 5)),
    ("batch norm by plain means", lambda nn: nn.BatchNorm1d(4, momentum=None), (6, 4)),
    ("batch norm in evaluation", lambda nn: nn.BatchNorm1d(4).eval(), (6, 4)),
    ("batch norm of images", lambda nn: nn.BatchNorm2d(3), (2, 3, 4, 5)),
    ("batch norm of images in evaluation", lambda nn: nn.BatchNorm2d(3).eval(), (2, 3, 4, 5)),
    ("batch norm alone", lambda nn: nn.BatchNorm2d(3, affine=False), (2, 3, 4, 5)),
    (
        "batch norm without running means",
        lambda nn: nn.BatchNorm1d(4, track_running_stats=False).eval(),
        (6, 4),
    ),
    ("group norm", lambda nn: nn.GroupNorm(2, 4), (3, 4, 5)),
    ("group norm of images", lambda nn: nn.GroupNorm(4, 4, eps=1e-3), (2, 4, 3, 5)),
    ("group norm alone", lambda nn: nn.GroupNorm(1, 4, affine=False), (3, 4)),
    ("rms norm", lambda nn: nn.RMSNorm(4), (3, 4)),
    ("rms norm over two", lambda nn: nn.RMSNorm((3, 4), eps=1e-3), (2, 3, 4)),
    ("leaky relu", lambda nn: nn.LeakyReLU(0.2), (3, 4)),
    ("elu", lambda nn: nn.ELU(1.5), (3, 4)),
    ("selu", lambda nn: nn.SELU(), (3, 4)),
    ("silu", lambda nn: nn.SiLU(), (3, 4)),
    ("mish", lambda nn: nn.Mish(), (3, 4)),
    ("relu6", lambda nn: nn.Sequential(nn.Linear(4, 4), nn.ReLU6()), (3, 4)),
    ("hardtanh", lambda nn: nn.Hardtanh(-0.5, 0.7), (3, 4)),
    ("hard sigmoid", lambda nn: nn.Hardsigmoid(), (3, 4)),
    ("hard swish", lambda nn: nn.Hardswish(), (3, 4)),
    ("log sigmoid", lambda nn: nn.LogSigmoid(), (3, 4)),
    ("softplus", lambda nn: nn.Softplus(), (3, 4)),
    ("log softmax", lambda nn: nn.LogSoftmax(dim=1), (3, 4)),
    ("prelu", lambda nn: nn.PReLU(), (3, 4)),
    ("prelu of channels", lambda nn: nn.PReLU(4, 0.1), (3, 4, 2)),
    ("glu", lambda nn: nn.GLU(1), (3, 4, 2)),
    ("identity", lambda nn: nn.Identity(3, of="anything"), (3, 4)),
    ("unflatten", lambda nn: nn.Unflatten(1, (2, -1)), (3, 4)),
    ("upsample", lambda nn: nn.Upsample(scale_factor=2), (2, 3, 4, 5)),
    ("upsample to a size", lambda nn: nn.Upsample(size=(7, 3)), (2, 3, 4, 5)),
    (
        "a transformer",
        lambda nn: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True),
            2,
            nn.LayerNorm(4),
            **({"enable_nested_tensor": False} if nn.__name__ == "torch.nn" else {}),
        ),
        (3, 5, 4),
    ),
    (
        "a transformer with the norm first",
        lambda nn: nn.TransformerEncoderLayer(4, 2, 8, 0.0, "gelu", norm_first=True),
        (5, 3, 4),
    ),
    ("flatten", lambda nn: nn.Flatten(), (2, 3, 4)),
    ("a network", lambda nn: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), (5, 4)),
]


@pytest.mark.parametrize(
    ("make", "shape"), [case[1:] for case in LAYERS], ids=[c[0] for c in LAYERS]
)
def test_a_layer_computes_and_differentiates_as_pytorchs(
    make: Callable[[Any], Any], shape: tuple[int, ...]
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    ours, theirs = make(nn), make(torch.nn)
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    x, y = tj.tensor(normal(*shape), requires_grad=True), torch.tensor(normal(*shape))
    y.requires_grad_()
    for step in range(2):
        ours.zero_grad(), theirs.zero_grad()
        x.grad = y.grad = None
        actual, expected = ours(x), theirs(y)
        weight = normal(*actual.shape, seed=step + 1)
        (actual * weight).sum().backward()
        (expected * torch.tensor(weight)).sum().backward()
        close(actual.detach(), expected.detach())
        close(x.grad, y.grad)
    for (name, parameter), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        close(parameter.grad, other.grad, name)
    for (name, buffer), other in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        close(buffer, other, name)
    assert list(ours.state_dict()) == list(theirs.state_dict())


def close(actual: Any, expected: Any, name: str = "") -> None:
    assert tuple(actual.shape) == tuple(expected.shape)
    np.testing.assert_allclose(actual.numpy(), expected.numpy(), rtol=2e-5, atol=2e-6, err_msg=name)


def test_linear_is_a_product_with_the_transposed_weight() -> None:
    layer = nn.Linear(4, 3)
    x = normal(2, 5, 4)
    expected = x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    np.testing.assert_allclose(layer(tj.tensor(x)).detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_linear_refuses_other_sizes() -> None:
    with pytest.raises(tj.ShapeError, match=r"test_layers.py:\d+: linear: f32\[2,5\]"):
        nn.Linear(4, 3)(tj.ones((2, 5)))


def test_layer_norm_brings_rows_to_mean_0_and_variance_1() -> None:
    y = nn.LayerNorm(64)(tj.tensor(normal(3, 64) * 5 + 2)).detach().numpy()
    np.testing.assert_allclose(y.mean(1), 0, atol=1e-6)
    np.testing.assert_allclose(y.var(1), 1, atol=1e-4)


def test_layer_norm_refuses_other_sizes() -> None:
    with pytest.raises(tj.ShapeError, match=r"are not \(4,\)"):
        nn.LayerNorm(4)(tj.ones((2, 5)))


def test_batch_norm_tracks_the_batches_only_in_training() -> None:
    layer = nn.BatchNorm1d(2)
    memory = layer.running_mean
    layer(tj.tensor([[1.0, 2.0], [3.0, 6.0]]))
    assert layer.running_mean is memory
    np.testing.assert_allclose(memory.numpy(), [0.2, 0.4], rtol=1e-6)
    np.testing.assert_allclose(layer.running_var.numpy(), [1.1, 1.7], rtol=1e-6)
    layer.eval()(tj.tensor([[9.0, 9.0], [9.0, 9.0]]))
    assert layer.num_batches_tracked.item() == 1


@pytest.mark.parametrize("shape", [(4,), (3, 5), (3, 4, 5, 6)])
def test_batch_norm_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(tj.ShapeError, match="BatchNorm1d"):
        nn.BatchNorm1d(4)(tj.ones(shape))


def test_batch_norm_needs_two_values_in_training() -> None:
    with pytest.raises(ValueError, match="more than one value"):
        nn.BatchNorm1d(4)(tj.ones((1, 4)))


def test_dropout_keeps_the_mean_and_the_seed_decides_what_is_dropped() -> None:
    x = tj.ones(10_000)
    first, second = (nn.Dropout(0.25, generator=tj.random.Generator(7))(x) for _ in range(2))
    assert first.tolist() == second.tolist()
    values, counts = np.unique(first.numpy(), return_counts=True)
    np.testing.assert_allclose(values, [0, 4 / 3], rtol=1e-6)
    assert 2300 < counts[0] < 2700


def test_dropout_goes_on_in_its_stream() -> None:
    layer = nn.Dropout(0.5, generator=tj.random.Generator(7))
    assert layer(tj.ones(100)).tolist() != layer(tj.ones(100)).tolist()


def test_dropout_passes_gradients_where_it_keeps() -> None:
    x = tj.ones(100, requires_grad=True)
    y = nn.Dropout(0.5, generator=tj.random.Generator(7))(x)
    y.sum().backward()
    assert x.grad.tolist() == y.tolist()


@pytest.mark.parametrize(("p", "expected"), [(0.0, 1.0), (1.0, 0.0)])
def test_dropout_of_nothing_and_of_all(p: float, expected: float) -> None:
    assert nn.Dropout(p)(tj.ones(3)).tolist() == [expected] * 3


def test_dropout_refuses_what_is_no_probability() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        nn.Dropout(1.5)


def test_embedding_picks_rows_and_adds_up_their_gradients() -> None:
    layer = nn.Embedding(5, 2)
    rows = layer(tj.tensor([[1, 3], [1, 1]]))
    assert rows.shape == (2, 2, 2)
    assert rows[0, 1].tolist() == layer.weight[3].tolist()
    rows.sum().backward()
    assert layer.weight.grad.tolist() == [[0, 0], [3, 3], [0, 0], [1, 1], [0, 0]]


@pytest.mark.parametrize("row", [-1, 5])
def test_embedding_refuses_rows_that_are_not_there(row: int) -> None:
    with pytest.raises(IndexError, match=f"label {row} is out of bounds for 5"):
        nn.Embedding(5, 2)(tj.tensor([0, row]))


def test_cross_entropy_is_the_mean_loss_of_the_labels() -> None:
    logits, labels = normal(6, 4), np.array([0, 3, 1, 1, 2, 0])
    z = logits.astype(np.float64)
    losses = np.log(np.exp(z).sum(1)) - z[np.arange(6), labels]
    loss = nn.CrossEntropyLoss()(tj.tensor(logits), tj.tensor(labels))
    assert loss.item() == pytest.approx(losses.mean(), rel=1e-6)
    each = F.cross_entropy(tj.tensor(logits), tj.tensor(labels), reduction="none")
    np.testing.assert_allclose(each.numpy(), losses, rtol=1e-5)


@pytest.mark.parametrize("label", [-1, 4])
def test_cross_entropy_refuses_labels_that_are_no_class(label: int) -> None:
    with pytest.raises(IndexError, match=f"label {label} is out of bounds for 4 classes"):
        F.cross_entropy(tj.ones((2, 4)), tj.tensor([0, label]))


def test_cross_entropy_of_probabilities() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    logits, target = normal(3, 4), np.abs(normal(3, 4, seed=1))
    expected = torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(target))
    actual = F.cross_entropy(tj.tensor(logits), tj.tensor(target))
    assert actual.item() == pytest.approx(expected.item(), rel=1e-6)


def test_mse_is_the_mean_square() -> None:
    loss = nn.MSELoss()(tj.tensor([1.0, 2.0]), tj.tensor([3.0, 2.0]))
    assert loss.item() == 2.0


def test_a_linear_layer_starts_within_its_bounds_and_from_the_seed() -> None:
    tj.random.seed(3)
    first = nn.Linear(100, 50)
    tj.random.seed(3)
    second = nn.Linear(100, 50)
    weight = first.weight.detach().numpy()
    assert weight.tolist() == second.weight.tolist()
    assert np.abs(weight).max() <= 0.1
    assert np.abs(weight).max() > 0.09
    assert weight.std() == pytest.approx(0.2 / 12**0.5, rel=0.05)


@pytest.mark.parametrize(
    ("fill", "std"),
    [
        (nn.init.kaiming_uniform_, (2 / 100) ** 0.5),
        (nn.init.kaiming_normal_, (2 / 100) ** 0.5),
        (nn.init.xavier_uniform_, (2 / 300) ** 0.5),
        (nn.init.xavier_normal_, (2 / 300) ** 0.5),
    ],
)
def test_an_initialisation_has_its_spread(fill: Callable[[Any], Any], std: float) -> None:
    values = fill(tj.zeros((200, 100))).numpy()
    assert values.std() == pytest.approx(std, rel=0.05)
    assert abs(values.mean()) < 0.05 * std


def test_an_initialisation_by_fan_needs_a_matrix() -> None:
    with pytest.raises(tj.ShapeError, match="two dimensions"):
        nn.init.kaiming_uniform_(tj.zeros(3))


def test_a_network_learns() -> None:
    tj.random.seed(0)
    x = tj.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = tj.tensor([0, 1, 1, 0])
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
    optimizer = tj.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    assert model(x).argmax(1).tolist() == y.tolist()
