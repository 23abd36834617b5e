"""What is loaded does what the exported function does, to the bit, call after call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit import nn, optim
from tracejit.demo import train_step
from tracejit.nn import functional as F

Load = Callable[..., Any]


@pytest.fixture
def exported(tmp_path: Path) -> Load:
    def export(f: Any, *args: Any, native: bool = True, **options: Any) -> Any:
        tj.export(f, args, tmp_path / "f.tj", **options)
        return tj.load(tmp_path / "f.tj", native=native)

    return export


def bits(value: Any) -> Any:
    """All that can be told of a result."""
    if isinstance(value, tj.Tensor):
        array = np.asarray(value.detach())
        return "tensor", array.dtype.name, array.shape, array.tobytes()
    if isinstance(value, np.ndarray | np.generic):
        return type(value).__name__, value.dtype.name, value.shape, value.tobytes()
    if isinstance(value, list | tuple):
        return type(value).__name__, [*map(bits, value)]
    if isinstance(value, dict):
        return [(key, bits(part)) for key, part in value.items()]
    return type(value).__name__, repr(value)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def layer_norm(x):
    mean = tj.mean(x, axis=1, keepdims=True)
    variance = tj.mean((x - mean) ** 2, axis=1, keepdims=True)
    return (x - mean) / tj.sqrt(variance + 1e-5)


@pytest.mark.parametrize("native", [True, False])
def test_arrays_give_arrays_and_tensors_tensors(exported: Load, native: bool) -> None:
    x = numbers(16, 33)
    assert bits(exported(softmax, x, native=native)(x)) == bits(tj.compile(softmax)(x))
    t = tj.tensor(x)
    assert bits(exported(layer_norm, t, native=native)(t)) == bits(layer_norm(t))


def special(x):
    return x * 2 + 1, x.sum(), tj.where(x > 0, x, -x)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (5, 7)])
def test_shapes_of_every_kind(exported: Load, shape: tuple[int, ...]) -> None:
    x = tj.tensor(numbers(*shape))
    assert bits(exported(special, x)(x)) == bits(special(x))


def test_nan_infinity_and_signed_zeros(exported: Load) -> None:
    x = tj.tensor([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 3e38])
    assert bits(exported(special, x)(x)) == bits(special(x))


def test_arguments_may_lie_in_any_strides(exported: Load) -> None:
    x = numbers(6, 6)
    f = exported(special, tj.tensor(x))
    for part in (tj.tensor(x).T, tj.tensor(numbers(12, 6))[::2], tj.tensor(numbers(8, 6))[1:7]):
        assert bits(f(part)) == bits(special(part))
    g = exported(softmax, x.T)
    for array in (x.T, numbers(12, 6)[::2], np.asfortranarray(x)):
        assert bits(g(array)) == bits(tj.compile(softmax)(array))


@pytest.mark.parametrize("level", ["avx512", "avx2", "sse"])
def test_other_levels_have_their_own_bits(exported: Load, level: str) -> None:
    from tracejit.runtime.cpu.target import LEVELS, _can_run, host

    if not _can_run(host(), LEVELS[level]):
        pytest.skip(f"this processor has no {level}")
    x, w = numbers(20, 37), numbers(37, 11)
    f = exported(lambda x, w: np.tanh(x @ w).sum(axis=0), x, w, targets=(f"cpu:{level}",))
    assert f.target.level == level
    with tj.config.scope(target=level):
        expected = tj.compile(lambda x, w: np.tanh(x @ w).sum(axis=0))(x, w)
    assert bits(f(x, w)) == bits(expected)


# Training


def network(dropout: float = 0.1) -> Any:
    return nn.Sequential(
        nn.Linear(12, 16), nn.ReLU(), nn.BatchNorm1d(16), nn.Dropout(dropout), nn.Linear(16, 4)
    )


def batch(n: int) -> tuple[Any, Any]:
    return tj.tensor(numbers(8, 12, seed=n)), tj.tensor(np.arange(n, n + 8) % 4)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.Adam(p, lr=0.01),
        lambda p: optim.AdamW(p, lr=0.01),
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    ],
)
def test_a_training_step_goes_on_training(exported: Load, make: Any, native: bool) -> None:
    tj.random.seed(5)
    model = network()
    optimizer = make(model.parameters())
    step = tj.compile(train_step)
    loaded = exported(step, model, optimizer, *batch(0), native=native)
    for n in range(4):
        assert bits(loaded(*batch(n))) == bits(step(model, optimizer, *batch(n)))
    state = loaded.state_dict()
    for name, value in model.state_dict().items():
        assert bits(state[f"model.{name}"]) == bits(value)
    (steps,) = {each["step"] for each in optimizer.state.values()}
    assert {value for name, value in state.items() if name.endswith(".step")} == {steps} == {4}
    for name, parameter in model.named_parameters():
        assert bits(state[f"model.{name}.grad"]) == bits(parameter.grad)


def test_a_whole_recipe(exported: Load) -> None:
    """Weight decay, a schedule, gradients cut to a norm, an average of the weights, the best loss so far."""
    model = network()
    optimizer = optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.1)
    schedule = optim.CosineAnnealingLR(optimizer, T_max=50)
    average = {name: p.detach().copy() for name, p in model.named_parameters()}
    best, counts = tj.tensor(1e9), {"steps": 0}

    def step(images, labels):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        norm = tj.sqrt(sum((p.grad**2).sum() for p in model.parameters()))
        with tj.no_grad():
            for p in model.parameters():
                p.grad.mul_(tj.minimum(1 / (norm + 1e-6), tj.tensor(1.0)))
        optimizer.step()
        schedule.step()
        with tj.no_grad():
            for name, p in model.named_parameters():
                average[name].lerp_(p, 0.1)
            best.copy_(tj.minimum(best, loss))
        counts["steps"] += 1
        return {"loss": loss.item(), "norm": norm, "rate": optimizer.param_groups[0]["lr"]}

    loaded = exported(step, *batch(0))
    for n in range(4):
        assert bits(loaded(*batch(n))) == bits(step(*batch(n)))
    state = loaded.state_dict()
    assert bits({name: state[f"average.{name}"] for name in average}) == bits(average)
    assert (state["counts.steps"], state["schedule.last_epoch"]) == (4, 4)
    assert bits(state["best"]) == bits(best)


class Network(nn.Module):
    """Convolution, pooling, a recurrence, an embedding, attention."""

    def __init__(self) -> None:
        self.convolution, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.LayerNorm(16)
        self.recurrence, self.embedding = nn.LSTM(16, 8, batch_first=True), nn.Embedding(11, 8)
        self.attention, self.out = nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x):
        images, words = x
        seen = F.max_pool2d(F.gelu(self.convolution(images)), 2)
        states, _ = self.recurrence(self.norm(seen.reshape(len(seen), 4, 16)))
        read = self.embedding(words)
        looked_at = tj.softmax(self.attention(states) @ read.mT / 8**0.5, axis=-1) @ read
        return self.out(states[:, -1] + looked_at.mean(axis=1))


def test_layers_of_all_kinds_are_trained(exported: Load) -> None:
    model = Network()
    optimizer = optim.Adam(model.parameters())
    rng = np.random.default_rng(0)
    images, words = tj.tensor(numbers(6, 1, 8, 8)), tj.tensor(rng.integers(0, 11, (6, 7)))
    labels = tj.tensor(np.arange(6) % 4)
    loaded = exported(train_step, model, optimizer, (images, words), labels)
    step = tj.compile(train_step)
    for _ in range(3):
        expected = step(model, optimizer, (images, words), labels)
        assert bits(loaded((images, words), labels)) == bits(expected)
    with pytest.raises(IndexError, match="embedding: label 12 is out of bounds for 11 classes"):
        loaded((images, words * 0 + 12), labels)


def test_the_steps_before_the_export_count(exported: Load) -> None:
    model = network()
    optimizer = optim.Adam(model.parameters())
    for n in range(3):
        train_step(model, optimizer, *batch(n))
    loaded = exported(train_step, model, optimizer, *batch(0))
    assert loaded.state_dict()["optimizer.state[model.0.weight].step"] == 3
    for n in range(3):
        assert bits(loaded(*batch(n))) == bits(train_step(model, optimizer, *batch(n)))


def test_a_learning_rate_is_state_that_can_be_set(exported: Load) -> None:
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    loaded = exported(train_step, model, optimizer, *batch(0))
    for n in range(3):
        optimizer.param_groups[0]["lr"] = rate = 0.1 / (n + 1)
        loaded.load_state_dict({"optimizer.param_groups.0.lr": rate}, strict=False)
        assert bits(loaded(*batch(n))) == bits(train_step(model, optimizer, *batch(n)))


def test_a_decision_on_a_number_that_goes_another_way_is_an_error(exported: Load) -> None:
    model = network()
    loaded = exported(train_step, model, optim.SGD(model.parameters(), lr=0.1), *batch(0))
    before = loaded.state_dict()
    loaded.load_state_dict({"optimizer.param_groups.0.lr": -1.0}, strict=False)
    with pytest.raises(
        tj.RecompileError, match=r"param_groups.0.lr < 0 was False .*; now it is True"
    ):
        loaded(*batch(0))
    loaded.load_state_dict({"optimizer.param_groups.0.lr": 0.1}, strict=False)
    assert bits(loaded.state_dict()) == bits(before)


def test_a_number_that_becomes_another_type_is_an_error(exported: Load) -> None:
    exponent = 5

    def f(x):
        nonlocal exponent
        exponent -= 2
        return x * 2**exponent

    loaded = exported(f, tj.ones(1))
    assert [loaded(tj.ones(1)).item() for _ in range(2)] == [8.0, 2.0]
    with pytest.raises(tj.RecompileError, match=r"operator\.pow gave a int, and now a float"):
        loaded(tj.ones(1))
    assert loaded.state_dict() == {"exponent": 1}


def test_a_model_is_a_function_with_its_own_names(exported: Load) -> None:
    model = network().eval()
    loaded = exported(model, batch(0)[0])
    assert {*loaded.state_dict()} == {*model.state_dict()} - {"2.num_batches_tracked"}
    assert str(loaded.signature) == "(input: f32[8,12]) -> f32[8,4]".replace(
        "input", next(iter(loaded.signature.parameters))
    )
    x = batch(3)[0]
    assert bits(loaded(x)) == bits(model(x))
    trained = network().eval()
    loaded.load_state_dict(trained.state_dict(), strict=False)
    assert bits(loaded(x)) == bits(trained(x))


def test_state_saved_and_loaded_is_the_same_state(exported: Load) -> None:
    model = network()
    optimizer = optim.Adam(model.parameters())
    loaded = exported(train_step, model, optimizer, *batch(0))
    loaded(*batch(0))
    state = loaded.state_dict()
    after = bits(loaded(*batch(1)))
    loaded(*batch(2))
    loaded.load_state_dict(state)
    assert bits(loaded(*batch(1))) == after


# State of other kinds


class Counter:
    def __init__(self) -> None:
        self.calls = 0
        self.total = tj.zeros(3)
        self.last = None

    def add(self, x):
        self.calls += 1
        self.total.add_(x * self.calls)
        self.last = x * 0.5
        return self.total.sum(), self.calls


def test_attributes_of_objects_are_state(exported: Load) -> None:
    counter, x = Counter(), tj.tensor([1.0, 2.0, 3.0])
    loaded = exported(counter.add, x)
    assert counter.calls == 0
    assert counter.last is None
    for _ in range(3):
        assert bits(loaded(x)) == bits(counter.add(x))
    assert bits(loaded.state_dict()["total"]) == bits(counter.total)
    assert bits(loaded.state_dict()["last"]) == bits(counter.last)
    assert loaded.state_dict()["calls"] == 3


calls = 10


def counted(x):
    global calls
    calls += 2
    return x * calls


def test_global_variables_are_state(exported: Load) -> None:
    x = tj.ones(2)
    loaded = exported(counted, x)
    assert calls == 10
    assert [bits(loaded(x)) for _ in range(3)] == [bits(counted(x)) for _ in range(3)]
    assert loaded.state_dict() == {"calls": 16}


latest = None


def remembering(x):
    global latest
    latest = x * 2
    return x


def test_variables_that_are_only_written_are_state(exported: Load) -> None:
    loaded = exported(remembering, tj.ones(2))
    assert latest is None
    loaded(tj.ones(2))
    assert loaded.state_dict()["latest"].tolist() == [2.0, 2.0]


running = np.zeros(3)


def accumulated(x):
    running[...] += x
    return running * 2


def test_arrays_outside_are_state(exported: Load) -> None:
    loaded = exported(accumulated, np.ones(3))
    assert running.tolist() == [0, 0, 0]
    for n in range(3):
        assert bits(loaded(np.full(3, float(n)))) == bits(accumulated(np.full(3, float(n))))
    assert bits(loaded.state_dict()) == bits({"running": running})


def test_a_number_that_comes_out_as_it_was_by_chance_is_state(exported: Load) -> None:
    holder = {"last": 0.0}

    def f(x):
        y = x + holder["last"]
        holder["last"] = x.sum().item()
        return y

    loaded = exported(f, tj.zeros(2))
    for n in range(3):
        assert bits(loaded(tj.ones(2) * n)) == bits(f(tj.ones(2) * n))


def averaging() -> Any:
    average, count = tj.zeros(4), 0

    def add(x):
        nonlocal average, count
        count += 1
        average = average + (x - average) / count
        return average

    return add


def test_variables_of_functions_around_are_state(exported: Load) -> None:
    function = averaging()
    loaded = exported(function, tj.ones(4))
    for n in range(4):
        x = tj.tensor(numbers(4, seed=n))
        assert bits(loaded(x)) == bits(function(x))
    assert {*loaded.state_dict()} == {"average", "count"}


def test_random_numbers_go_on(exported: Load) -> None:
    generator = tj.random.Generator(3)

    def noisy(x):
        return x + generator.normal(x.shape)

    loaded = exported(noisy, tj.zeros(5))
    for _ in range(3):
        assert bits(loaded(tj.zeros(5))) == bits(noisy(tj.zeros(5)))


# Arguments and results


def structured(pair, table, scale, power, *, shift):
    a, b = pair
    x = (a @ b) * scale + shift
    return {"x": x, "parts": [x[0], (x.sum(), power)], "kept": table["c"], 3: None}


def test_structures_go_in_and_out(exported: Load) -> None:
    def call(f: Any, seed: int, scale: float) -> Any:
        pair = [tj.tensor(numbers(4, 5, seed=seed)), tj.tensor(numbers(5, 3, seed=seed + 1))]
        return f(pair, {"c": tj.ones(2) * seed, "d": 1}, scale, 2, shift=0.5)

    pair = [tj.ones((4, 5)), tj.ones((5, 3))]
    loaded = exported(structured, pair, {"c": tj.ones(2), "d": 1}, 1.5, 2, kwargs={"shift": 0.25})
    for seed in (1, 7):
        assert bits(call(loaded, seed, seed / 3)) == bits(call(structured, seed, seed / 3))


def counted_down(x, times, rates, exponent, *, wanted=None):
    for _ in range(times):
        x = x * rates["by"][0]
    return x * exponent, rates["by"][1] + exponent, wanted


def test_numbers_are_given_anew_unless_they_decide(exported: Load) -> None:
    x = tj.tensor([1.0, 2.0])
    args = (x, 3, {"by": [0.5, 7]}, 2)
    loaded = exported(counted_down, *args, kwargs={"wanted": "text"})
    assert str(loaded.signature).startswith(
        "(x: f32[2], times: int, rates: {'by': [<class 'float'>, <class 'int'>]}, exponent: int, *, wanted: str = 'text')"
    )
    for times, rates, exponent in ((3, [0.25, 1], 3), (0, [1.5, -4], 2), (7, [0.5, 0], 1)):
        given = x, times, {"by": rates}, exponent
        assert bits(loaded(*given)) == bits(counted_down(*given, wanted="text"))
    with pytest.raises(ValueError, match="argument wanted was 'text'"):
        loaded(*args, wanted="other")
    with pytest.raises(TypeError, match="argument exponent is of type int, got float"):
        loaded(x, 3, {"by": [0.5, 7]}, 2.0)


def test_numbers_that_decide_hold_for_the_value_that_they_had(exported: Load) -> None:
    x = tj.ones(2)
    loaded = exported(lambda x, times: tj.concat([x] * times), x, 3)
    assert loaded(x, 3).tolist() == [1.0] * 6
    with pytest.raises(ValueError, match="argument times was 3 when the function was exported"):
        loaded(x, 4)


def test_an_argument_that_is_returned_is_the_callers(exported: Load) -> None:
    loaded = exported(lambda x, y: (x, [y, x]), tj.ones(2), np.ones(3))
    x, y = tj.zeros(2), np.zeros(3)
    first, (second, third) = loaded(x, y)
    assert first is x
    assert second is y
    assert third is x


def test_one_tensor_met_twice_in_the_result_is_one(exported: Load) -> None:
    def twice(x):
        y = x + 1
        return y, y, y[1:]

    first, second, part = exported(twice, tj.ones(3))(tj.ones(3))
    assert first is second
    first.add_(1)
    assert part.tolist() == [3.0, 3.0]


def test_what_is_returned_of_the_state_is_a_copy(exported: Load) -> None:
    weight = tj.ones(3)

    def step(x):
        weight.add_(x)
        return weight

    loaded = exported(step, tj.ones(3))
    result = loaded(tj.ones(3))
    result.zero_()
    assert loaded(tj.ones(3)).tolist() == [3.0, 3.0, 3.0]


def descend(w, x, rate):
    loss = ((w * x).sum() - 1) ** 2
    w.sub_(rate * loss * x)
    return loss


def test_arguments_are_written_where_they_lie(exported: Load) -> None:
    w, x = tj.tensor([1.0, 2.0]), tj.tensor([1.0, 0.5])
    loaded = exported(descend, w, x, 0.5)
    assert w.tolist() == [1.0, 2.0]
    twin = tj.tensor([1.0, 2.0])
    for rate in (0.5, 0.25):
        assert bits(loaded(w, x, rate)) == bits(descend(twin, x, rate))
    assert bits(w) == bits(twin)


def scaled_in_place(x, indices):
    x *= 2
    return x[indices] + 1


def test_arrays_are_written_and_a_failed_call_leaves_them(exported: Load) -> None:
    x, indices = np.arange(4.0), np.array([0, 3])
    loaded = exported(scaled_in_place, x, indices)
    assert x.tolist() == [0, 1, 2, 3]
    twin = x.copy()
    assert bits(loaded(x, indices)) == bits(scaled_in_place(twin, indices))
    assert bits(x) == bits(twin)


def updated_then_checked(w, x, labels):
    w.add_(x.sum())
    return F.cross_entropy(x * w, labels)


def test_an_error_after_a_write_undoes_it(exported: Load) -> None:
    w, x = tj.ones(1), tj.tensor(numbers(4, 3))
    loaded = exported(updated_then_checked, w, x, tj.tensor([0, 1, 2, 0]))
    with pytest.raises(IndexError, match="label 3 is out of bounds for 3 classes"):
        loaded(w, x, tj.tensor([0, 1, 3, 0]))
    assert w.tolist() == [1.0]
    twin = tj.ones(1)
    labels = tj.tensor([2, 1, 2, 0])
    assert bits(loaded(w, x, labels)) == bits(updated_then_checked(twin, x, labels))
    assert bits(w) == bits(twin)


def numbers_of(x):
    total = x.sum().item()
    return total, total * 2, x * total, int(x[0]) + 1


def test_numbers_read_from_tensors(exported: Load) -> None:
    loaded = exported(numbers_of, tj.ones(3))
    for n in range(3):
        x = tj.tensor(numbers(3, seed=n) * 9)
        assert bits(loaded(x)) == bits(numbers_of(x))


def ordered(x, y):
    order = tj.argsort(x)
    return tj.sort(x), order, y @ y.T, tj.take(x, order, axis=0)


def test_ops_that_numpy_computes(exported: Load) -> None:
    x, y = tj.tensor(numbers(9)), tj.tensor(np.arange(12).reshape(3, 4))
    loaded = exported(ordered, x, y)
    assert bits(loaded(x, y)) == bits(ordered(x, y))


def test_calls_of_several_programs(exported: Load) -> None:
    def long(x):
        for n in range(30):
            x = tj.sin(x) + n
        return x

    x = tj.tensor(numbers(17))
    with tj.config.scope(node_budget=20):
        loaded = exported(long, x)
        assert loaded.graph.count("return") > 1
        assert bits(loaded(x)) == bits(tj.compile(long)(x))


constant = [tj.ones(3)]


def test_state_may_be_named_as_anything(exported: Load) -> None:
    loaded = exported(lambda x: x * constant[0] + tj.tensor([1.0, 2.0, 3.0]), tj.ones(3))
    assert loaded(tj.ones(3)).tolist() == [2.0, 3.0, 4.0]
    assert [*loaded.state_dict()] == ["constant.0"]


def test_constants_made_in_the_call(exported: Load) -> None:
    def f(x):
        table = tj.tensor([1.0, 2.0, 3.0])
        table.add_(x)
        return table, tj.tensor([[1, 2], [3, 4]])

    loaded = exported(f, tj.ones(3))
    for _ in range(2):
        result = loaded(tj.ones(3))
        assert bits(result) == bits(f(tj.ones(3)))
        result[1].zero_()


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "int32", "uint8", "bool"])
def test_dtypes(exported: Load, dtype: str) -> None:
    wanted = getattr(tj, dtype)
    x = tj.tensor([0, 1, 5, 7]).astype(wanted)
    held = tj.tensor([1, 0, 1, 1]).astype(wanted)

    def f(x):
        return tj.where(x == held, x, held), x.sum() if dtype != "bool" else x.all()

    assert bits(exported(f, x)(x)) == bits(f(x))


def test_options_of_compiling_are_kept(exported: Load) -> None:
    f = tj.compile(lambda x: tj.log(1 + x), fastmath=True, memory_limit=1 << 20)
    x = tj.tensor(numbers(50) ** 2)
    for native in (True, False):
        assert bits(exported(f, x, native=native)(x)) == bits(f(x))


def test_calls_of_threads_take_turns(exported: Load) -> None:
    from concurrent.futures import ThreadPoolExecutor

    counter = Counter()
    loaded = exported(counter.add, tj.ones(3))
    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(lambda _: loaded(tj.ones(3))[1], range(40))]
    assert sorted(found) == [*range(1, 41)]


def test_calls_that_change_nothing_need_not_wait(exported: Load) -> None:
    from concurrent.futures import ThreadPoolExecutor

    model = nn.Linear(5, 3)
    loaded = exported(model, tj.ones((4, 5)))
    inputs = [tj.tensor(numbers(4, 5, seed=n)) for n in range(40)]
    with loaded._lock, ThreadPoolExecutor(4) as pool:
        found = [*pool.map(loaded, inputs)]
    assert [*map(bits, found)] == [bits(model(x)) for x in inputs]


def test_inside_a_compiled_function_python_calls_it(exported: Load) -> None:
    counter = Counter()
    loaded = exported(counter.add, tj.ones(3))
    outer = tj.compile(lambda x: loaded(x * 2)[0] + 1)
    assert [outer(tj.ones(3)).item() for _ in range(3)] == [7.0, 19.0, 37.0]
