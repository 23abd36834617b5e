"""Artifacts whose calls enter no Python: which they are, what they hold, and where their machine code comes from."""

from __future__ import annotations

import inspect
import os
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.runtime.native.harness import takes_no_references
from tests.standalone.files import packed, resealed
from tests.standalone.test_quick import CASES, outcome, shown
from tracejit.runtime.cpu.native.install import installed
from tracejit.standalone.artifact import Artifact
from tracejit.standalone.container import unpack

pytestmark = pytest.mark.skipif(installed() is None, reason="native code is not used")

F32 = np.float32
X = np.linspace(-2, 2, 12, dtype=F32).reshape(3, 4)
DECIDING = (
    "decisions", "elements that decide", "an exception", "a clipped step", "a best value", "two averages", "arrays that decide",
)  # fmt: skip
NATIVE = (
    "an array", "a tensor", "no elements", "no dimensions", "parts", "tensors and numbers", "scalars",
    "an argument that is returned", "a layer", "state", "a large array", "a count",
    "a training step", "an average that is kept", "places", *DECIDING,
)  # fmt: skip
"""What machine code takes; the others give a state back, or take lists."""


def line(x: Any) -> Any:
    return x * 2 + 1


def exported(folder: Path, function: Callable[..., Any], args: tuple[Any, ...]) -> Artifact:
    tj.export(function, args, folder / "f.tj")
    found: Artifact = tj.load(folder / "f.tj")
    return found


def taken(loaded: Artifact) -> int:
    """How many calls machine code has taken."""
    ways = getattr(loaded, "_held_ways", None)
    return sum(ways.hits) if ways else 0


@pytest.mark.parametrize("name", CASES)
def test_calls_enter_no_python(name: str, tmp_path: Path) -> None:
    function, args, _ = CASES[name]
    loaded, steps = exported(tmp_path, function, args), tj.load(tmp_path / "f.tj")
    steps._make_quick = steps._settling = None
    for call in range(4):
        assert outcome(loaded, args, {}) == outcome(steps, args, {})
        assert taken(loaded) == (call if name in NATIVE else 0)


def with_constants(x: Any) -> Any:
    first, second = np.array([1, 2, 3, 4], F32), np.array([5, 6, 7, 8], F32)
    return x * first + second, (x * 0.5, x * 0.25, -0.0, 0.0, float("nan"))


def test_constants_of_one_size_are_told_apart(tmp_path: Path) -> None:
    loaded = exported(tmp_path, with_constants, (X,))
    expected = shown(with_constants(X), ())
    for call in range(3):
        assert repr(shown(loaded(X), ())) == repr(expected)
        assert taken(loaded) == call


def test_arrays_may_stand_where_there_were_tensors(tmp_path: Path) -> None:
    loaded = exported(tmp_path, line, (tj.tensor(X),))
    for given in (X, tj.tensor(X), X, tj.tensor(X)):
        result = loaded(given)
        assert type(result) is tj.Tensor
        assert result.numpy().tobytes() == line(X).tobytes()
    assert taken(loaded) == 3
    assert loaded._held_ways.hits == [2, 1]


@pytest.mark.parametrize(
    "name",
    [
        "an array",
        "parts",
        "an argument that is returned",
        "scalars",
        "state",
        "a large array",
        "a count",
        *DECIDING,
    ],
)
def test_calls_hold_on_to_nothing(name: str, tmp_path: Path) -> None:
    function, args, _ = CASES[name]
    loaded = exported(tmp_path, function, args)
    loaded(*args)
    takes_no_references(loaded, (args, {}))  # type: ignore[arg-type]  # another entry
    assert taken(loaded) > 1000


def test_tensors_of_calls_are_held_by_nobody(tmp_path: Path) -> None:
    loaded = exported(tmp_path, line, (tj.tensor(X),))
    given = tj.tensor(X)
    results = [loaded(given) for _ in range(3)]
    assert taken(loaded) == 2
    alive = [weakref.ref(each.storage) for each in (*results, given)]
    del given, results
    assert not any(each() for each in alive)


def test_settings_and_state_that_change_hold_at_once(tmp_path: Path) -> None:
    layer = tj.nn.Linear(4, 5)
    loaded = exported(tmp_path, layer, (tj.tensor(X),))
    first = loaded(X).numpy()
    for factor in (2, 3):
        state = {name: value * factor for name, value in layer.state_dict().items()}
        loaded.load_state_dict(state)
        with tj.config.scope(num_threads=factor):
            assert np.allclose(loaded(X).numpy(), first * factor, rtol=1e-5)
    assert taken(loaded) == 2


def test_state_is_loaded_while_threads_call(tmp_path: Path) -> None:
    def scaled(x: Any) -> Any:
        return x * FACTOR

    loaded = exported(tmp_path, scaled, (X,))
    name, value = next(iter(loaded.state_dict().items()))
    states = [{name: value * 0 + F32(k)} for k in (1, 2)]
    loaded.load_state_dict(states[0])
    allowed = {(X * F32(k)).tobytes() for k in (1, 2)}
    wrong: list[Any] = []

    def work() -> None:
        wrong.extend(each for _ in range(500) if (each := loaded(X).tobytes()) not in allowed)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for turn in range(500):
        loaded.load_state_dict(states[turn % 2])
    for each in threads:
        each.join()
    assert not wrong
    assert taken(loaded) > 1000


FACTOR = np.full((3, 4), 1, F32)


TOTAL = [0, np.zeros((3, 4), F32)]


def summed(x: Any) -> Any:
    TOTAL[0] += 1
    TOTAL[1] = TOTAL[1] + x
    return TOTAL[1] * 1, TOTAL[0]


def test_calls_that_change_the_state_take_turns_with_those_of_python(tmp_path: Path) -> None:
    loaded = exported(tmp_path, summed, (X,))
    start = TOTAL[0]
    ones, strided = np.ones((3, 4), F32), np.ones((4, 3), F32).T
    seen: list[tuple[int, float]] = []

    def work(given: Any) -> None:
        for _ in range(300):
            total, count = loaded(given)
            assert (total == total[0, 0]).all()
            seen.append((count - start, float(total[0, 0])))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(x,)) for x in (ones, strided) * 3]
        for each in threads:
            each.start()
        for _ in range(100):
            loaded.state_dict()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(before)
    assert sorted(seen) == [(k, float(k)) for k in range(1, 1801)]
    assert 0 < taken(loaded) <= 900


def test_a_turn_of_another_is_waited_for(tmp_path: Path) -> None:
    loaded = exported(tmp_path, summed, (X,))
    first = [loaded(X)[1] for _ in range(3)]
    assert taken(loaded) == 2
    found: list[int] = []
    with loaded._lock:
        waiting = threading.Thread(target=lambda: found.append(loaded(X)[1]))
        waiting.start()
        waiting.join(0.05)
        assert not found
    waiting.join()
    assert found == [first[-1] + 1]
    assert taken(loaded) == 2


def test_steps_and_machine_code_change_the_same_state(tmp_path: Path) -> None:
    function, (x, labels), _ = CASES["a training step"]
    loaded, steps = exported(tmp_path, function, (x, labels)), tj.load(tmp_path / "f.tj")
    steps._make_quick = steps._settling = None
    strided = tj.tensor(np.asfortranarray(x.numpy()).T).T
    for given in (x, x, strided, x, x * 2, strided):
        for bad in (tj.tensor([0, 9, 1]), tj.tensor([0, -1, 1])):
            assert outcome(loaded, (given, bad), {}) == outcome(steps, (given, bad), {})
        assert outcome(loaded, (given, labels), {}) == outcome(steps, (given, labels), {})
        assert shown(loaded.state_dict(), ()) == shown(steps.state_dict(), ())
    assert taken(loaded) == 3  # the first call sets what was not there before
    steps.load_state_dict(loaded.state_dict())
    assert outcome(loaded, (x, labels), {}) == outcome(steps, (x, labels), {})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.parametrize("calls", [0, 3])
def test_a_forked_child_calls_as_its_parent_does(calls: int, tmp_path: Path) -> None:
    loaded = exported(tmp_path, line, (X,))
    for _ in range(calls):
        loaded(X)
    child = os.fork()
    if not child:
        before = taken(loaded)
        same = [loaded(X).tobytes() == line(X).tobytes() for _ in range(4)]
        os._exit(0 if all(same) and taken(loaded) >= before + 3 else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_that_is_forked_within_a_turn_has_turns_of_its_own(tmp_path: Path) -> None:
    loaded = exported(tmp_path, summed, (X,))
    *_, last = [loaded(X)[1] for _ in range(3)]
    with loaded._lock:
        child = os.fork()
        if not child:
            counts = [loaded(X)[1] for _ in range(3)]
            os._exit(0 if counts == [last + 1, last + 2, last + 3] and taken(loaded) == 5 else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_recording_is_told_of_calls(tmp_path: Path) -> None:
    x = tj.tensor(X)
    loaded = exported(tmp_path, line, (x,))
    for _ in range(3):
        loaded(x)

    @tj.compile
    def outer(x: Any) -> Any:
        return loaded(x) - 1

    for _ in range(3):
        assert outer(x).numpy().tobytes() == (line(X) - 1).tobytes()
    assert outer.calls == {"replay": 2, "record": 1, "eager": 0}


def test_an_artifact_is_no_method_and_shows_its_signature(tmp_path: Path) -> None:
    loaded = exported(tmp_path, line, (X,))
    owner = type("Owner", (), {"call": loaded})
    assert owner().call is owner.call is loaded
    for _ in range(3):
        assert owner().call(X).tobytes() == line(X).tobytes()
    assert inspect.signature(loaded) == loaded.signature


# Where the machine code comes from

SCRIPT = """
import sys
sys.modules.update(llvmlite=None, sympy=None)  # they could not be imported
import numpy as np
import tracejit as tj
from tracejit.standalone import settling
from tracejit.tracing.background import BACKGROUND

X = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)
loaded = tj.load({path!r})
given = {given}
results = [np.asarray(loaded(given)).tobytes().hex() for _ in range(settling.PATIENCE)]
BACKGROUND.wait()
results += [np.asarray(loaded(given)).tobytes().hex() for _ in range(3)]
print(*{{*results}}, sum(getattr(loaded, "_held_ways").hits) if hasattr(loaded, "_held_ways") else 0)
"""


@pytest.fixture
def alone(run_python: Callable[..., str]) -> Callable[..., list[str]]:
    """The results, and how many calls machine code took, in a process with no LLVM and no cache."""

    def run(path: Path, given: str = "X") -> list[str]:
        script = SCRIPT.format(path=str(path), given=given)
        return run_python(script, TRACEJIT_CACHE_BYTES="0").split()

    return run


@pytest.mark.parametrize(("function", "example", "given"), [
    (line, X, "X"), (line, tj.tensor(X), "X"), (line, tj.tensor(X), "tj.tensor(X)"), (tj.nn.Linear(4, 5), tj.tensor(X), "X"),
])  # fmt: skip
def test_a_process_without_llvm_takes_it_from_the_file(
    function: Any, example: Any, given: str, tmp_path: Path, alone: Callable[..., list[str]]
) -> None:
    expected = np.asarray(exported(tmp_path, function, (example,))(example))
    assert alone(tmp_path / "f.tj", given) == [expected.tobytes().hex(), "3"]


def as_other_python(name: str, content: bytes) -> tuple[str, bytes]:
    """The text that this process would have is not there."""
    return name.replace("/call/", "/call/0"), content


def as_no_object(name: str, content: bytes) -> tuple[str, bytes]:
    return name, content[: len(content) // 2]


def as_noise(name: str, content: bytes) -> tuple[str, bytes]:
    return name, b"noise"


@pytest.mark.parametrize("change", [as_other_python, as_no_object, as_noise])
def test_calls_stay_in_python_where_the_file_has_none_that_fits(
    change: Callable[[str, bytes], tuple[str, bytes]],
    tmp_path: Path,
    alone: Callable[..., list[str]],
) -> None:
    exported(tmp_path, line, (X,))
    parts = {k: bytes(v) for k, v in unpack((tmp_path / "f.tj").read_bytes()).items()}
    assert packed(parts) == (tmp_path / "f.tj").read_bytes()
    changed = dict(change(k, v) if "/call/" in k else (k, v) for k, v in parts.items())
    assert changed != parts
    (tmp_path / "f.tj").write_bytes(resealed(changed))
    assert alone(tmp_path / "f.tj") == [line(X).tobytes().hex(), "0"]


def test_wrong_arguments_are_refused_as_before(tmp_path: Path) -> None:
    loaded = exported(tmp_path, line, (X,))
    wrong = [X[:2], X.T, X.astype(np.float64), [1.0], None, "x"]
    before = [outcome(loaded, (each,), {}) for each in wrong]
    for _ in range(3):
        loaded(X)
    assert [outcome(loaded, (each,), {}) for each in wrong] == before
    assert outcome(loaded, (), {}) != outcome(loaded, (X, X), {})
    assert shown(loaded(x=X), ()) == shown(loaded(X), ())
