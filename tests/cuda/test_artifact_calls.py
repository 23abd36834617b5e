"""Calls of artifacts on a GPU are the launches of compiled functions: graphs, and no Python for their steps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.cuda.artifacts import X, bits
from tests.cuda.test_native import entered, since
from tests.emulation import standin
from tests.standalone.files import resealed, step
from tracejit import nn, optim
from tracejit.nn import functional as F
from tracejit.standalone import entry
from tracejit.standalone.container import unpack

LABELS = np.arange(6) % 4
ENTRY = {"called", "_deny_recording", "live"}
"""What takes the turn of a call that changes the state."""
Load = Callable[..., tuple[Any, Any]]


@pytest.fixture
def hidden(emulated: str) -> Iterator[str]:
    """An emulated GPU whose memory nobody else can touch."""
    standin.install().standin_set_hidden(1)
    yield emulated
    standin.install().standin_set_hidden(0)


@pytest.fixture
def load(hidden: str, tmp_path: Path) -> Load:
    """A function as it runs from one file on the CPU, and on a GPU."""

    def loaded(f: Any, *args: Any, **options: Any) -> tuple[Any, Any]:
        path = tmp_path / "f.tj"
        tj.export(f, args, path, targets=("cpu", "cuda"), **options)
        return tj.load(path), tj.load(path, device=hidden)

    return loaded


def train(model, optimizer, x, y):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss


def network() -> Any:
    tj.random.seed(0)
    return nn.Sequential(nn.Linear(40, 8), nn.ReLU(), nn.Linear(8, 4))


def training() -> tuple[Any, ...]:
    model = network()
    return model, optim.Adam(model.parameters()), tj.tensor(X), tj.tensor(LABELS)


def there(*arrays: Any) -> tuple[tj.Tensor, ...]:
    return tuple(tj.tensor(each, device="cuda") for each in arrays)


def agree(pair: tuple[Any, Any], here: tuple[Any, ...], far: tuple[Any, ...], count: int) -> None:
    for _ in range(count):
        assert bits(pair[1](*far)) == bits(pair[0](*here))
    if pair[0].state_dict():
        assert bits(pair[1].state_dict()) == bits(pair[0].state_dict())


def test_a_call_is_one_launch_and_enters_no_python(load: Load) -> None:
    pair = load(network(), tj.tensor(X))
    here, far = (tj.tensor(X),), there(X)
    agree(pair, here, far, 8)
    before = standin.counts()
    assert entered(lambda: pair[1](*far)) == []
    assert since(before) == {"graph_launches": 1}
    agree(pair, here, far, 1)


def test_a_training_step_is_one_launch_and_enters_what_takes_its_turn(load: Load) -> None:
    pair = load(train, *training())
    here, far = (tj.tensor(X), tj.tensor(LABELS)), there(X, LABELS)
    agree(pair, here, far, 4)
    for _ in range(12):  # until memory has gone round
        pair[1](*far)
    before = standin.counts()
    assert set(entered(lambda: pair[1](*far))) <= ENTRY
    assert since(before) == {"graph_launches": 1, "copies_in": 1}  # Adam's numbers change
    for _ in range(13):
        pair[0](*here)
    agree(pair, here, far, 1)


def test_decisions_loops_and_errors_are_those_of_the_steps(load: Load) -> None:
    tj.random.seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    batch = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
    pair = load(step, model, optim.Adam(model.parameters()), tj.tensor(batch))
    for factor in (1, 1, 1, 9, 9, 1, 30, 9):  # of several rounds, of none
        agree(pair, (tj.tensor(batch * factor),), there(batch * factor), 1)
    for each, given in ((pair[0], tj.tensor), (pair[1], lambda x: there(x)[0])):
        with pytest.raises(ArithmeticError, match="the loss is nan"):
            each(given(batch * np.inf))
    agree(pair, (tj.tensor(batch),), there(batch), 3)
    names = entered(lambda: pair[1](*there(batch)))
    assert "act" not in names  # what a step is where they are taken one by one
    assert names.count("_seen") == 2


def counted(x, limit):
    total = x * 0
    while total.sum() < limit:
        total += x
        x = x * 2
    return total, x


def test_rounds_of_a_loop_are_machine_code(load: Load) -> None:
    pair = load(counted, tj.ones(5), 100.0)
    ones = np.ones(5, np.float32)
    for limit in (100.0, 30.0, 3000.0, -1.0, 100.0):
        agree(pair, (tj.tensor(ones), limit), (*there(ones), limit), 1)
    (far,) = there(ones)
    names = entered(lambda: pair[1](far, 3000.0))
    assert "act" not in names
    assert names.count("pause") >= 5


def test_arrays_are_sent_and_come_back(load: Load) -> None:
    pair = load(lambda x, n: (np.exp(x * n), x.max()), X, 2.0)
    for n in (1.0, 0.5, 2.0):
        agree(pair, (X, n), (X, n), 2)
    before = standin.counts()
    pair[1](X, 0.5)
    asked = since(before)
    assert asked["graph_launches"] == 1
    assert "act" not in entered(lambda: pair[1](X, 0.5))


def test_parts_and_shared_results_go_step_by_step(load: Load) -> None:
    pair = load(lambda x: (y := x * 2, y.T, y[1:]), tj.tensor(X))
    agree(pair, (tj.tensor(X),), there(X), 3)
    view = there(np.concatenate([X, X]))[0][6:]
    agree(pair, (tj.tensor(X),), (view,), 3)


def test_labels_out_of_range_are_the_same_errors(load: Load) -> None:
    pair = load(train, *training())
    here, far = (tj.tensor(X), tj.tensor(LABELS)), there(X, LABELS)
    agree(pair, here, far, 4)
    wrong = LABELS + 4
    with pytest.raises(IndexError, match=r"test_artifact_calls.py:\d+: .*out of bounds"):
        pair[1](far[0], *there(wrong))
    moved = there(wrong)[0] + 0  # the host does not know it
    with pytest.raises(IndexError, match=r"test_artifact_calls.py:\d+: .*out of bounds"):
        pair[1](far[0], moved)
    agree(pair, here, far, 2)


def test_results_are_the_callers_own(load: Load) -> None:
    pair = load(lambda x: (x, x * 1), tj.tensor(X))
    (far,) = there(X)
    for _ in range(4):
        given, made = pair[1](far)
        assert given is far
        made += 1
    np.testing.assert_array_equal(far.cpu().numpy(), X)


def test_a_tensor_with_a_gradient_is_told(load: Load) -> None:
    pair = load(network(), tj.tensor(X))
    for _ in range(4):
        pair[1](*there(X))
    x = tj.tensor(X, device="cuda", requires_grad=True)
    made = pair[1](x)
    with pytest.raises(tj.AutogradError, match="artifact"):
        made.sum().backward()


def test_threads_take_turns_with_a_state(load: Load) -> None:
    pair = load(train, *training())
    far, here = there(X, LABELS), (tj.tensor(X), tj.tensor(LABELS))
    losses: list[float] = []

    def work() -> None:
        losses.extend(pair[1](*far).item() for _ in range(8))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(losses) == sorted(pair[0](*here).item() for _ in range(32))
    assert bits(pair[1].state_dict()) == bits(pair[0].state_dict())


def test_a_step_without_memory_has_done_nothing(load: Load) -> None:
    pair = load(train, *training())
    far, here = there(X, LABELS), (tj.tensor(X), tj.tensor(LABELS))
    agree(pair, here, far, 6)
    tj.cuda.empty_cache()
    standin.install().standin_set_limit(1)
    try:
        with pytest.raises(tj.DeviceMemoryError, match="Nothing was lost"):
            pair[1](*far)
    finally:
        standin.install().standin_set_limit(1 << 30)
    agree(pair, here, far, 2)


def test_open_sizes_have_ways_of_their_own(load: Load) -> None:
    pair = load(network(), "float32[batch, 40]", sizes={"batch": (2, 6)})
    for rows in (2, 6, 2, 6, 2, 6, 2, 6):
        agree(pair, (tj.tensor(X[:rows]),), there(X[:rows]), 1)
    far = {rows: there(X[:rows]) for rows in (2, 6)}
    for rows in (2, 6) * 3:
        pair[1](*far[rows])
    before = standin.counts()
    assert entered(lambda: [pair[1](*far[rows]) for rows in (2, 6)]) in ([], ["<listcomp>"])
    assert since(before) == {"graph_launches": 2}


def test_late_devices_give_the_same(load: Load) -> None:
    standin.install().standin_set_late(1)
    try:
        pair = load(train, *training())
        agree(pair, (tj.tensor(X), tj.tensor(LABELS)), there(X, LABELS), 8)
    finally:
        standin.install().standin_set_late(0)


def test_the_steps_give_the_same_without_machine_code(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry, "is_ready", lambda *of: False)
    pair = load(train, *training())
    far = there(X, LABELS)
    agree(pair, (tj.tensor(X), tj.tensor(LABELS)), far, 4)
    names = entered(lambda: pair[1](*far))
    assert names.count("run") == 1  # of the program
    assert "act" not in names


ALONE = """
standin.install().standin_set_hidden(1)
import sys
import numpy as np
import tracejit as tj
from tests.cuda.test_native import entered
from tracejit.standalone import settling
from tracejit.tracing.background import BACKGROUND
settling.PATIENCE, BACKGROUND.at_once = 1, True
loaded = tj.load({path!r}, device="cuda")
x = np.random.default_rng(0).standard_normal((6, 40), dtype=np.float32)
given = tj.tensor(x, device="cuda"), tj.tensor(np.arange(6) % 4, device="cuda")
print(*(loaded(*given).item().hex() for _ in range(8)))
names = entered(lambda: loaded(*given))
print(names.count("run"), names.count("act"), {{"llvmlite", "tracejit.compiler"}} & {{*sys.modules}})
"""


def as_it_is(parts: dict[str, bytes]) -> dict[str, bytes]:
    return parts


def without(parts: dict[str, bytes]) -> dict[str, bytes]:
    return {name: each for name, each in parts.items() if "/call/" not in name}


def as_noise(parts: dict[str, bytes]) -> dict[str, bytes]:
    return {name: b"noise" if "/call/" in name else each for name, each in parts.items()}


@pytest.mark.parametrize(("change", "runs"), [(as_it_is, 0), (without, 1), (as_noise, 1)])
def test_a_process_without_llvm_takes_what_the_file_has(
    hidden: str,
    in_a_process: Callable[[str], str],
    tmp_path: Path,
    change: Callable[[dict[str, bytes]], dict[str, bytes]],
    runs: int,
) -> None:
    path = tmp_path / "f.tj"
    tj.export(train, training(), path, targets=("cpu", "cuda"))
    here = tj.load(path)
    parts = {name: bytes(each) for name, each in unpack(path.read_bytes()).items()}
    assert sum(name.startswith("cuda-sm_90/call/") for name in parts) >= 4
    path.write_bytes(resealed(change(parts)))
    losses, asked = in_a_process(ALONE.format(path=str(path))).splitlines()
    wanted = (here(tj.tensor(X), tj.tensor(LABELS)).item().hex() for _ in range(8))
    assert losses == " ".join(wanted)
    assert asked == f"{runs} 0 set()"  # runs of programs by Python, and steps
