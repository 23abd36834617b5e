"""Several GPUs in one process: each computes what the CPU does, in its own memory; they meet only where they are told to."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.cuda import test_ops as ops
from tests.cuda.artifacts import bits
from tests.cuda.test_native import entered, since, training
from tests.emulation import standin
from tracejit import nn, optim
from tracejit.nn import functional as F
from tracejit.runtime.cuda.driver import gpu

X = np.random.default_rng(0).standard_normal((6, 40), dtype=np.float32)
LABELS = np.arange(6) % 4
Two = tuple[str, str]
Script = Callable[[str], str]


def test_all_are_listed(two: Two) -> None:
    assert tj.devices() == ["cpu", *two]
    assert tj.cuda.device_count() == 2
    assert tj.cuda.get_device_name(1) == tj.cuda.get_device_name("cuda:1") == "host emulation"
    with pytest.raises(
        tj.DeviceUnavailable, match=r"test_several.py:\d+: cuda:2: the driver finds 2 GPUs"
    ):
        tj.zeros(1, device="cuda:2")


# Each computes as the CPU does


@pytest.mark.parametrize(("arity", "dtype"), [(1, "float32"), (1, "int32"), (2, "float64"), (3, "float32")])  # fmt: skip
def test_pointwise_ops_of_the_second(second: str, arity: int, dtype: str) -> None:
    ops.test_pointwise_ops(second, arity, dtype)


def test_folds_of_the_second(second: str) -> None:
    ops.test_folds(second, "float32")


@pytest.mark.parametrize("op", ops.OTHERS[::3])
def test_other_ops_of_the_second(second: str, op: Callable[..., Any]) -> None:
    ops.test_other_ops_eager_and_compiled(second, op)


@pytest.mark.parametrize("function", ops.LAYERS[::4])
def test_gradients_of_the_second(second: str, function: Callable[..., Any]) -> None:
    ops.test_gradients_of_layers(second, function)


def given(device: str) -> tuple[tj.Tensor, tj.Tensor]:
    return tj.tensor(X, device=device), tj.tensor(LABELS, device=device)


def test_a_training_step_of_the_second(second: str) -> None:
    here, eager, step = training("cpu"), training(second), tj.compile(training(second))
    for _ in range(6):
        loss = here(*given("cpu")).item()
        assert eager(*given(second)).item() == loss
        assert step(*given(second)).item() == loss


def test_random_numbers_of_the_second(second: str) -> None:
    drawn = []
    for device in ("cpu", second):
        tj.random.default_generator.on(device)
        tj.random.seed(7)
        drawn.append(tj.random.normal((5,), device=device).tolist())
        drawn.append(F.dropout(tj.ones(9, device=device), 0.5).tolist())
    assert drawn[:2] == drawn[2:]


def test_a_function_with_the_second_as_its_device(second: str) -> None:
    f = tj.compile(lambda x, y: tj.softmax(x @ y.T), device=second)
    wanted = tj.compile(lambda x, y: tj.softmax(x @ y.T))(tj.tensor(X), tj.tensor(X))
    for x in (X, tj.tensor(X), tj.tensor(X, device="cuda:0"), tj.tensor(X, device=second)):
        made = f(x, X)
        assert made.device == second
        assert bits(made) == bits(wanted)


# Both in one process


def test_replays_on_both_in_turn_are_a_launch_each_without_python(two: Two) -> None:
    steps = {device: tj.compile(training(device)) for device in two}
    arguments = {device: given(device) for device in two}
    losses = [[steps[d](*arguments[d]).item() for d in two] for _ in range(10)]
    assert all(first == second for first, second in losses)
    assert len({first for first, _ in losses}) == 10

    def both() -> None:
        for device in two:
            steps[device](*arguments[device])

    both()
    assert entered(both) == []
    before = standin.counts()
    both()
    assert since(before) == {"graph_launches": 2, "copies_in": 2}


def test_one_function_serves_both_and_loads_its_kernels_into_each(two: Two) -> None:
    f = tj.compile(lambda x, n: tj.softmax((x @ x.T) * n, axis=0) @ x - 0.625)
    wanted = [bits(f(tj.tensor(X), float(n))) for n in range(12)]
    there = {device: tj.tensor(X, device=device) for device in two}
    before = standin.counts()
    f(there[two[0]], 0.0)
    first = (standin.counts() - before)["modules"]
    before = standin.counts()
    f(there[two[1]], 0.0)
    assert (standin.counts() - before)["modules"] == first
    before = standin.counts()
    for n, each in enumerate(wanted):
        for device in two:
            made = f(there[device], float(n))
            assert made.device == device
            assert bits(made) == each
    assert "modules" not in standin.counts() - before


def test_threads_have_a_device_each(two: Two) -> None:
    here = training("cpu")
    wanted = [here(*given("cpu")).item() for _ in range(12)]
    found: dict[str, list[float]] = {}

    def work(device: str) -> None:
        step, arguments = tj.compile(training(device)), given(device)
        losses = [step(*arguments).item() for _ in range(6)]
        found[device] = losses + [step(*arguments).item() for _ in range(6)]

    for device in two:  # models draw from one generator
        thread = threading.Thread(target=work, args=(device,))
        thread.start()
        thread.join()
    assert found == dict.fromkeys(two, wanted)


def test_threads_on_both_at_once(two: Two) -> None:
    f = tj.compile(lambda x, n: tj.softmax(tj.softmax(x @ x.T * n) @ x) @ x.T)
    wanted = {n: bits(f(tj.tensor(X), float(n))) for n in range(4)}
    found: dict[int, list[object]] = {}

    def work(n: int) -> None:
        x = tj.tensor(X, device=two[n % 2])
        found[n] = [bits(f(x, float(n))) for _ in range(12)]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: [wanted[n]] * 12 for n in range(4)}


def test_a_model_moves_from_one_to_the_other_and_goes_on_training(two: Two) -> None:
    def trained(places: tuple[str, str]) -> list[float]:
        tj.random.seed(0)
        model = nn.Sequential(nn.Linear(40, 8), nn.ReLU(), nn.Linear(8, 4)).to(places[0])
        losses, kept = [], None
        for place in places:
            model.to(place)
            optimizer = optim.Adam(model.parameters(), lr=1e-2)
            if kept is not None:
                optimizer.load_state_dict(kept)

            @tj.compile
            def step(x: tj.Tensor, y: tj.Tensor, optimizer: Any = optimizer) -> tj.Tensor:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                return loss

            losses += [step(*given(place)).item() for _ in range(5)]
            kept = optimizer.state_dict()
        return losses

    assert trained(two) == trained(("cpu", "cpu"))


def test_values_move_between_them_within_a_replayed_call(two: Two) -> None:
    @tj.compile
    def f(x: tj.Tensor) -> tuple[tj.Tensor, tj.Tensor]:
        there = (x + 1).to(two[1]) * 2
        return there, there.to(two[0]) - x

    for n in range(6):
        there, here = f(tj.full((3,), float(n), device=two[0]))
        assert (there.device, here.device) == (two[1], two[0])
        assert there.tolist() == [2.0 * (n + 1)] * 3
        assert here.tolist() == [n + 2.0] * 3
    assert tj.explain(f).calls == {"replay": 5, "record": 1, "eager": 0}


def test_gradients_flow_from_one_to_the_other(two: Two) -> None:
    x = tj.tensor([1.0, 2.0], device=two[0], requires_grad=True)
    y = x.to(two[1])
    (y * y).sum().backward()
    assert x.grad is not None
    assert x.grad.device == two[0]
    assert x.grad.tolist() == [2, 4]


@pytest.mark.parametrize(
    "mix",
    [
        lambda a, b: a + b,
        lambda a, b: a @ b.T,
        lambda a, b: tj.where(a > 0, a, b),
        lambda a, b: tj.concat([a, b]),
        lambda a, b: a * b[0, 0],
        lambda a, b: F.mse_loss(a, b),
    ],
)
def test_they_are_not_mixed(two: Two, mix: Callable[..., Any]) -> None:
    one, other = (tj.tensor(X, device=device) for device in two)
    for pair in ((one, other), (other, one)):
        for f in (mix, tj.compile(mix)):
            with pytest.raises(
                tj.DeviceError,
                match=r"test_several.py:\d+: \w+: .*@cuda:\d.*@cuda:\d.*different devices.*\.to\(",
            ):
                f(*pair)


def test_a_model_and_a_batch_apart_are_told_with_the_line(two: Two) -> None:
    model = nn.Linear(40, 8).to(two[1])
    with pytest.raises(tj.DeviceError, match=r"test_several.py:\d+: .*@cuda:0.*@cuda:1"):
        model(tj.tensor(X, device=two[0]))


def test_a_write_and_indices_come_from_the_other(two: Two) -> None:
    one, other = (tj.tensor(X, device=device) for device in two)
    one[1:] = other[1:] * 2
    np.testing.assert_array_equal(one.cpu().numpy(), np.concatenate([X[:1], X[1:] * 2]))
    other.copy_(one)
    assert bits(other) == bits(one)
    places = tj.tensor([2, 0], device=two[0])
    np.testing.assert_array_equal(tj.take(other, places, axis=0).cpu().numpy(), one.cpu().numpy()[[2, 0]])  # fmt: skip


# Copies


@pytest.mark.parametrize(
    "part", [lambda x: x, lambda x: x.T, lambda x: x[1:, ::3], lambda x: x[2, 5], lambda x: x[:0]]
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "bool"])
def test_copies_from_one_to_the_other(two: Two, part: Callable[..., Any], dtype: str) -> None:
    x = tj.tensor(X, device=two[0]).astype(dtype)
    before = standin.counts()
    there = part(x).to(two[1])
    asked = standin.counts() - before
    assert not {"copies_out", "copies_in", "waits"} & asked.keys()
    assert there.device == two[1]
    assert bits(there) == bits(part(tj.tensor(X).astype(dtype)))


def test_they_go_by_way_of_the_host_where_devices_are_no_peers(in_a_process: Script) -> None:
    printed = in_a_process(
        """
standin.install().standin_set_devices(2)
standin.install().standin_set_peers(0)
import tracejit as tj
x = tj.arange(5, dtype="float32", device="cuda:0") * 2
before = standin.counts()
there = x.to("cuda:1")
print({k: v for k, v in (standin.counts() - before).items() if k != "allocations"})
print(there.device, there[1:].to("cuda:0").to("cuda:1").tolist())
"""
    )
    counted, values = printed.splitlines()
    assert counted == str({"copies_in": 1, "copies_out": 1, "waits": 1})
    assert values == "cuda:1 [2.0, 4.0, 6.0, 8.0]"


def test_integers_that_the_host_knows_are_known_after_a_copy(two: Two) -> None:
    labels = tj.tensor(LABELS, device=two[0]).to(two[1])
    before = standin.counts()
    assert labels.tolist() == LABELS.tolist()
    assert "waits" not in standin.counts() - before


# Memory


def test_memory_is_counted_and_given_back_for_each(two: Two) -> None:
    kept = tj.ones(4096, device=two[1])
    before = [tj.cuda.memory_stats(device) for device in two]
    made = [tj.ones(4096, device=two[1]) for _ in range(3)]
    after = [tj.cuda.memory_stats(device) for device in two]
    assert after[0] == before[0]
    assert after[1].bytes_in_use - before[1].bytes_in_use == 3 * 16384
    del made
    tj.ones(4096, device=two[0])
    cached = [tj.cuda.memory_stats(device).bytes_cached for device in two]
    assert cached[1] >= 3 * 16384
    tj.cuda.empty_cache(1)
    assert tj.cuda.memory_stats(two[0]).bytes_cached == cached[0]
    assert tj.cuda.memory_stats(two[1]).bytes_cached == 0
    tj.cuda.empty_cache()
    assert tj.cuda.memory_stats(0).bytes_cached == 0
    assert kept.sum().item() == 4096


def test_one_may_have_none_left(two: Two) -> None:
    tj.cuda.empty_cache()
    in_use = [tj.cuda.memory_stats(device).bytes_in_use for device in two]
    standin.install().standin_set_limit(max(in_use) + (1 << 20))
    try:
        with pytest.raises(tj.DeviceMemoryError, match=r"test_several.py:\d+: cuda:1 is out of"):
            tj.ones(1 << 20, device=two[1])
        assert tj.ones(1000, device=two[0]).sum().item() == 1000
        assert tj.ones(1000, device=two[1]).sum().item() == 1000
    finally:
        standin.install().standin_set_limit(1 << 30)


def current() -> int:
    found = ctypes.c_void_p()
    assert standin.install().cuCtxGetCurrent(ctypes.byref(found)) == 0
    return found.value or 0


def test_memory_of_one_may_end_while_the_other_is_current(two: Two) -> None:
    pinned = tj.cuda.pinned_empty(100, device=two[1])
    gpu(0).enter()
    del pinned
    assert current() == gpu(0).context.handle
    thread = threading.Thread(target=[tj.cuda.pinned_empty(100, device=two[1])].clear)
    thread.start()
    thread.join()


def test_another_library_may_make_another_current(two: Two) -> None:
    f = tj.compile(lambda x: tj.softmax(x @ x.T) @ x)
    x = tj.tensor(X, device=two[0])
    wanted = bits(f(tj.tensor(X)))
    handle = ctypes.c_void_p(gpu(1).context.handle)
    for _ in range(12):
        standin.install().cuCtxSetCurrent(handle)
        assert bits(f(x)) == wanted
        standin.install().cuCtxSetCurrent(handle)
        assert (x + 1)[0, 0].item() == X[0, 0] + 1


# Other libraries


class Other:
    def __init__(self, interface: dict[str, Any]) -> None:
        self.__cuda_array_interface__ = interface


def test_other_libraries_are_told_the_device(two: Two) -> None:
    there = tj.tensor(X, device=two[1])
    assert there.__dlpack_device__() == (2, 1)
    shown = there.__cuda_array_interface__
    assert shown["stream"] == gpu(1).stream.handle
    made = tj.asarray(Other({**shown, "stream": 1}))
    assert made.device == two[1]
    assert bits(made) == bits(there)
    twin = tj.from_dlpack(there)
    assert twin.device == two[1]
    twin += 1
    np.testing.assert_array_equal(there.cpu().numpy(), X + 1)
    assert tj.from_dlpack(there, device=two[0]).device == two[0]
    with pytest.raises(BufferError, match=r"a tensor on cuda:1 becomes one on DLPack's device"):
        there.__dlpack__(dl_device=(2, 0))


# Files


def test_an_artifact_on_the_second(second: str, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(40, 8), nn.ReLU())
    tj.export(model, (tj.tensor(X),), tmp_path / "f.tj", targets=("cpu", "cuda"))
    there = tj.load(tmp_path / "f.tj", device=second)
    assert there.device == second
    for x in (X, tj.tensor(X, device=second), tj.tensor(X, device="cuda:0")):
        made = there(x)
        assert made.device == second
        assert bits(made) == bits(model(tj.tensor(X)).detach())


# Faults, forks and ends


def test_a_fault_of_one_leaves_the_other(in_a_process: Script) -> None:
    from tests.cuda.test_processes import FAULT

    script = FAULT.replace("gpu())", "gpu(1))").replace('device="cuda"', 'device="cuda:1"')
    printed = in_a_process(
        "standin.install().standin_set_devices(2)\n"
        + script
        + """
print(tj.arange(3, device="cuda:0").tolist())
try:
    tj.ones(3, device="cuda:0").to("cuda:1")
except tj.DeviceError as error:
    print(error)
print((tj.arange(3, device="cuda:0") * 2).tolist())
"""
    )
    first, second, third, fourth, fifth = printed.splitlines()
    assert "cuda:1: the driver reports: " in first
    assert "Nothing on the device can be used any more" in first
    assert "cuda:1: the driver reports: " in second
    assert third == "[0, 1, 2]"
    assert "cuda:1: the driver reports: " in fourth
    assert fifth == "[0, 2, 4]"


def test_a_process_with_both_forks_and_ends_quietly(in_a_process: Script) -> None:
    printed = in_a_process(
        """
standin.install().standin_set_devices(2)
import os, sys, threading
import tracejit as tj
made = {}
def work(n):
    made[n] = tj.ones(3, device=f"cuda:{n}") + n
threads = [threading.Thread(target=work, args=(n,)) for n in (0, 1)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
held = tj.cuda.pinned_empty(3, device=1)
pid = os.fork()
if not pid:
    try:
        made[1] * 2
    except tj.DeviceUnavailable as error:
        print(error, flush=True)
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
print([(made[n] * 2).tolist() for n in (1, 0)])
"""
    )
    child, parent = printed.splitlines()
    assert "cuda:1: the process was forked after CUDA had been used" in child
    assert parent == "[[4.0, 4.0, 4.0], [2.0, 2.0, 2.0]]"
