"""Recurrent layers against their equations in NumPy, against finite differences, and against PyTorch where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj
import tracejit.nn.functional as F
from tracejit import nn, optim

Array = np.ndarray


def normal(*shape: int, seed: int = 0, dtype: str = "float32") -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# The equations, one step and one sequence at a time


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def rnn_step(x: Array, h: Array, _: Array | None) -> tuple[Array, None]:
    return np.tanh(x + h), None


def gru_step(x: Array, h: Array, state: tuple[Array, Any]) -> tuple[Array, None]:
    (xr, xz, xn), (hr, hz, hn) = np.split(x, 3), np.split(h, 3)
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    return (1 - z) * np.tanh(xn + r * hn) + z * state[0], None


def lstm_step(x: Array, h: Array, state: tuple[Array, Any]) -> tuple[Array, Array]:
    i, f, g, o = np.split(x + h, 4)
    c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


STEPS: dict[str, Callable[..., Any]] = {"RNN": rnn_step, "GRU": gru_step, "LSTM": lstm_step}
NAMES = list(STEPS)


def run_cell(step: Any, p: dict[str, Array], suffix: str, x: Array, state: Any) -> Any:
    outputs = []
    for row in x:
        product = p[f"weight_ih{suffix}"] @ row + p.get(f"bias_ih{suffix}", 0)
        state_product = p[f"weight_hh{suffix}"] @ state[0] + p.get(f"bias_hh{suffix}", 0)
        state = step(product, state_product, state)
        outputs.append(state[0])
    return np.stack(outputs), state


def run_sequence(layer: Any, x: Array, hs: Array, cs: Array) -> tuple[Array, list[Any]]:
    """One sequence of shape (L, input_size) through all layers; hs and cs are the states before it."""
    p = {name: tensor.numpy().astype("float64") for name, tensor in layer.state_dict().items()}
    step, ends = STEPS[type(layer).__name__], []
    for depth in range(layer.num_layers):
        outputs = []
        for suffix in ["", "_reverse"] if layer.bidirectional else [""]:
            turn = slice(None, None, -1 if suffix else 1)
            state = hs[len(ends)], cs[len(ends)]
            output, end = run_cell(step, p, f"_l{depth}{suffix}", x[turn], state)
            outputs.append(output[turn])
            ends.append(end)
        x = np.concatenate(outputs, -1)
    return x, ends


def oracle(layer: Any, x: Array, hs: Array, cs: Array) -> list[Array]:
    """(output, h) or (output, h, c) of a batch of shape (L, N, input_size)."""
    runs = [
        run_sequence(layer, x[:, n].astype("float64"), hs[:, n], cs[:, n])
        for n in range(x.shape[1])
    ]
    states = [
        np.stack([np.stack([end[which] for end in ends]) for _, ends in runs], 1)
        for which in range(2 if type(layer).__name__ == "LSTM" else 1)
    ]
    return [np.stack([output for output, _ in runs], 1), *states]


def flat(result: Any) -> list[Any]:
    """The tensors of a result, in order."""
    return [t for part in result for t in flat(part)] if isinstance(result, tuple) else [result]


def close(actual: Any, expected: Any, tolerance: float, name: str = "") -> None:
    actual, expected = (
        np.asarray(v.detach() if hasattr(v, "detach") else v) for v in (actual, expected)
    )
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance, err_msg=name)


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no bias": {"bias": False, "num_layers": 3},
    "both directions": {"bidirectional": True, "num_layers": 2},
    "batch first": {"batch_first": True},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", NAMES)
def test_a_layer_computes_its_equations(name: str, options: str, dtype: str) -> None:
    layer = getattr(nn, name)(3, 5, **OPTIONS[options]).to(getattr(tj, dtype))
    cells = layer.num_layers * (1 + layer.bidirectional)
    hs, cs = (normal(cells, 2, 5, seed=seed, dtype=dtype) for seed in (1, 2))
    given = (tj.tensor(hs), tj.tensor(cs)) if name == "LSTM" else tj.tensor(hs)
    x = normal(4, 2, 3, dtype=dtype)
    turned = tj.tensor(x.swapaxes(0, 1) if layer.batch_first else x)
    for state, h, c in ((given, hs, cs), (None, hs * 0, cs * 0)):
        output, *states = flat(layer(turned, state))
        output = output.swapaxes(0, 1) if layer.batch_first else output
        for actual, expected in zip([output, *states], oracle(layer, x, h, c), strict=True):
            assert actual.dtype is getattr(tj, dtype)
            close(actual, expected, 1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_sequence_without_a_batch_is_a_batch_of_one(name: str) -> None:
    layer = getattr(nn, name)(3, 5, num_layers=2, batch_first=True)
    x = tj.tensor(normal(4, 3))
    h = tj.tensor(normal(2, 5, seed=1))
    alone = flat(layer(x, (h, h) if name == "LSTM" else h))
    batch = h.reshape((2, 1, 5))
    output, *states = flat(layer(x.reshape((1, 4, 3)), (batch, batch) if name == "LSTM" else batch))
    close(alone[0], output[0], 1e-6)
    for actual, expected in zip(alone[1:], states, strict=True):
        close(actual, expected[:, 0], 1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_is_its_cell_along_the_sequence(name: str) -> None:
    layer, cell = getattr(nn, name)(3, 5), getattr(nn, f"{name}Cell")(3, 5)
    state_dict = layer.state_dict()
    cell.load_state_dict({key: state_dict[f"{key}_l0"] for key in cell.state_dict()})
    x = tj.tensor(normal(4, 2, 3))
    output, states = layer(x)
    state = None
    for step, expected in zip(x, output, strict=True):
        state = cell(step, state)
        close(flat(state)[0], expected, 1e-6)
    for actual, expected in zip(flat(state), flat(states), strict=True):
        close(actual, expected[0], 1e-6)


def test_a_cell_takes_one_vector() -> None:
    cell = nn.LSTMCell(3, 5)
    x = tj.tensor(normal(1, 3))
    for alone, batch in zip(cell(x[0]), cell(x), strict=True):
        close(alone, batch[0], 1e-6)


def test_a_relu_layer_and_its_cell_rectify() -> None:
    layer, cell = nn.RNN(3, 5, nonlinearity="relu"), nn.RNNCell(3, 5, nonlinearity="relu")
    x = normal(1, 2, 3)
    p = {name: tensor.numpy() for name, tensor in layer.state_dict().items()}
    expected = np.maximum(x @ p["weight_ih_l0"].T + p["bias_ih_l0"] + p["bias_hh_l0"], 0)
    close(layer(tj.tensor(x))[0], expected, 1e-6)
    cell.load_state_dict({key: p[f"{key}_l0"] for key in cell.state_dict()})
    close(cell(tj.tensor(x[0])), expected[0], 1e-6)


def test_a_sequence_of_one_step_ends_in_its_output() -> None:
    output, (h, _) = nn.LSTM(3, 5)(tj.ones((1, 2, 3)))
    assert output.shape == h.shape == (1, 2, 5)
    assert output.tolist() == h.tolist()


def test_a_batch_of_none_has_results_of_none() -> None:
    output, (h, c) = nn.LSTM(3, 5)(tj.ones((4, 0, 3)))
    assert (output.shape, h.shape, c.shape) == ((4, 0, 5), (1, 0, 5), (1, 0, 5))


# Gradients


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    layer = getattr(nn, name)(2, 3, num_layers=2, bidirectional=True).to(tj.float64)
    shapes = [(3, 2, 2), (4, 2, 3), (4, 2, 3)][: 3 if name == "LSTM" else 2]
    x, *states = (
        tj.tensor(normal(*shape, seed=seed, dtype="float64"), requires_grad=True)
        for seed, shape in enumerate(shapes)
    )

    @tj.compile
    def loss() -> tj.Tensor:
        results = flat(layer(x, tuple(states) if name == "LSTM" else states[0]))
        return sum((tj.sin(result + n) ** 2).sum() for n, result in enumerate(results))

    loss().backward()
    for place, leaf in enumerate([x, *states, *layer.parameters()]):
        direction = normal(*leaf.shape, seed=9, dtype="float64")
        sides = []
        for by in (1e-5, -1e-5):
            with tj.no_grad():
                leaf.add_(tj.tensor(direction * by))
                sides.append(loss().item())
                leaf.sub_(tj.tensor(direction * by))
        slope, expected = (leaf.grad.numpy() * direction).sum(), (sides[0] - sides[1]) / 2e-5
        np.testing.assert_allclose(slope, expected, rtol=1e-6, atol=1e-8, err_msg=str(place))


@pytest.mark.parametrize("options", ["no bias", "both directions", "batch first"])
@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients_are_pytorchs(name: str, options: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    ours, theirs = (getattr(lib, name)(3, 5, **OPTIONS[options]) for lib in (nn, torch.nn))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert repr(ours) == repr(theirs)
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    x, y = tj.tensor(normal(4, 2, 3), requires_grad=True), torch.tensor(normal(4, 2, 3))
    y.requires_grad_()
    actual, expected = flat(ours(x)), flat(theirs(y))
    for seed, (ours_part, theirs_part) in enumerate(zip(actual, expected, strict=True)):
        close(ours_part, theirs_part, 1e-5)
        weight = normal(*ours_part.shape, seed=seed)
        (ours_part * weight).sum().backward(retain_graph=True)
        (theirs_part * torch.tensor(weight)).sum().backward(retain_graph=True)
    close(x.grad, y.grad, 2e-5)
    for (key, parameter), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        close(parameter.grad, other.grad, 2e-5, key)


# Compiled


def trained(name: str, decorate: Callable[[Any], Any]) -> tuple[list[Any], Any]:
    """Losses and parameters of four training steps, and the step."""
    tj.random.seed(3)
    table, head = nn.Embedding(7, 4), nn.Linear(6, 7)
    layer = getattr(nn, name)(4, 6, num_layers=2, dropout=0.25)
    model = nn.Sequential(table, head, layer)
    optimizer = optim.SGD(model.parameters(), lr=0.5)

    @decorate
    def step(words: tj.Tensor, labels: tj.Tensor) -> tj.Tensor:
        optimizer.zero_grad()
        output, _ = layer(table(words))
        loss = F.cross_entropy(head(output).reshape((-1, 7)), labels.reshape((-1,)))
        loss.backward()
        optimizer.step()
        return loss

    rng = np.random.default_rng(0)
    batches = [[tj.tensor(rng.integers(0, 7, (5, 3))) for _ in range(2)] for _ in range(4)]
    losses = [step(*batch).item() for batch in batches]
    return [losses, *(parameter.tolist() for parameter in model.parameters())], step


@pytest.mark.parametrize("name", NAMES)
def test_a_compiled_training_step_has_the_bits_of_the_eager_one_and_is_replayed(name: str) -> None:
    eager, _ = trained(name, lambda f: f)
    compiled, step = trained(name, tj.compile)
    assert compiled == eager
    assert (
        tj.explain(step).calls["replay"] == 2
    )  # SGD counts its steps, an input from the second on


def test_each_layer_of_a_compiled_sequence_has_one_product_of_its_inputs_and_one_for_each_step() -> (
    None
):
    layer = tj.compile(nn.LSTM(3, 5, num_layers=2))
    with tj.no_grad():
        layer(tj.tensor(normal(4, 2, 3)))
    kernels = [str(kernel) for kernel in tj.explain(layer).kernels]
    assert sum("matmul" in kernel for kernel in kernels) == 2 * (1 + 4)


def test_lengths_and_batches_of_other_sizes_give_the_bits_of_eager() -> None:
    layer = nn.GRU(3, 5)
    compiled = tj.compile(layer)
    for length, batch in ((4, 2), (4, 3), (4, 7), (2, 2), (1, 1)):
        x = tj.tensor(normal(length, batch, 3))
        for actual, expected in zip(compiled(x), layer(x), strict=True):
            assert actual.tolist() == expected.tolist()


# Parameters


@pytest.mark.parametrize("name", NAMES)
def test_parameters_start_uniform_in_the_inverse_root_of_the_hidden_size(name: str) -> None:
    layer = getattr(nn, name)(40, 25)
    for parameter in layer.parameters():
        values = parameter.detach().numpy()
        assert 0.15 < np.abs(values).max() <= 0.2
        assert abs(values.mean()) < 0.05


def test_parameters_have_pytorchs_names_order_and_shapes() -> None:
    shapes = {name: p.shape for name, p in nn.LSTM(3, 5, 2, bidirectional=True).named_parameters()}
    parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ends = ("_l0", "_l0_reverse", "_l1", "_l1_reverse")
    assert list(shapes) == [part + end for end in ends for part in parts]
    assert shapes["weight_ih_l0"] == (20, 3)
    assert shapes["weight_ih_l1"] == (20, 10)
    assert shapes["weight_hh_l1_reverse"] == (20, 5)
    assert shapes["bias_hh_l0"] == (20,)


def test_the_text_of_a_layer_names_what_is_not_the_default() -> None:
    layer = nn.GRU(3, 5, num_layers=2, batch_first=True, dropout=0.5)
    assert repr(layer) == "GRU(3, 5, num_layers=2, batch_first=True, dropout=0.5)"
    cell = nn.RNNCell(3, 5, bias=False, nonlinearity="relu")
    assert repr(cell) == "RNNCell(3, 5, bias=False, nonlinearity=relu)"


def test_a_state_dict_makes_a_second_layer_the_first() -> None:
    first, second = nn.GRU(3, 5, 2, bidirectional=True), nn.GRU(3, 5, 2, bidirectional=True)
    second.load_state_dict(first.state_dict())
    x = tj.tensor(normal(4, 2, 3))
    assert [t.tolist() for t in second(x)] == [t.tolist() for t in first(x)]


def test_dropout_falls_between_layers_and_only_in_training() -> None:
    layer = nn.LSTM(3, 5, num_layers=2, dropout=1.0)
    x = tj.tensor(normal(4, 2, 3))
    _, (h, _) = layer(x)
    _, (other, _) = layer(x * 2)
    assert h[0].tolist() != other[0].tolist()
    assert h[1].tolist() == other[1].tolist()
    _, (h, _) = layer.eval()(x)
    assert h[1].tolist() != other[1].tolist()


# Errors


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(3,), (4, 2, 5), (4, 5), (4, 2, 1, 3)])
def test_a_layer_refuses_other_shapes(name: str, shape: tuple[int, ...]) -> None:
    expected = rf"test_recurrent.py:\d+: {name}\(3, 5\): expected \(L, N, 3\) or \(L, 3\), got f32"
    with pytest.raises(tj.ShapeError, match=expected):
        getattr(nn, name)(3, 5)(tj.ones(shape))


def test_a_cell_refuses_other_shapes() -> None:
    expected = r"GRUCell\(3, 5\): expected \(N, 3\) or \(3,\), got f32\[2,4\]"
    with pytest.raises(tj.ShapeError, match=expected):
        nn.GRUCell(3, 5)(tj.ones((2, 4)))


def test_a_sequence_has_a_step() -> None:
    with pytest.raises(tj.ShapeError, match=r"one step or more, got f32\[0,2,3\]"):
        nn.LSTM(3, 5)(tj.ones((0, 2, 3)))


@pytest.mark.parametrize("shapes", [[(1, 2, 5)], [(1, 2, 5), (1, 3, 5)], [(2, 5), (2, 5)]])
def test_a_state_of_another_shape_is_refused(shapes: list[tuple[int, ...]]) -> None:
    expected = r"test_recurrent.py:\d+: LSTM: the state of f32\[4,2,3\] has shape \(1, 2, 5\) and"
    with pytest.raises(tj.ShapeError, match=expected):
        nn.LSTM(3, 5)(tj.ones((4, 2, 3)), tuple(map(tj.ones, shapes)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 0}, "hidden_size is 1 or more, got 0"),
        ({"hidden_size": 5, "num_layers": 0}, "num_layers is 1 or more, got 0"),
        ({"hidden_size": 5, "dropout": 1.5}, "between 0 and 1"),
        ({"hidden_size": 5, "nonlinearity": "sin"}, "'tanh' or 'relu', got 'sin'"),
    ],
)
def test_options_without_a_meaning_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"test_recurrent.py:\d+: .*{message}"):
        nn.RNN(3, **options)
