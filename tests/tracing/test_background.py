"""`background=True`: calls go on op by op until the compiled program is there, with the same bits before and after."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary, ref

import numpy as np
import pytest

import tracejit as tj
from tests.tracing import programs as random_programs
from tests.tracing.fuzz.runner import MODES, Mode, run_sample
from tests.tracing.replay.test_speculation import Trainer, batches
from tests.tracing.replay.test_threads import in_child, in_threads
from tests.tracing.test_random_programs import assert_same
from tracejit import nn, optim
from tracejit.nn import functional as F
from tracejit.tracing import programs
from tracejit.tracing.background import BACKGROUND
from tracejit.tracing.programs import LateProgram
from tracejit.tracing.stepwise import Stepwise

ROOT = Path(__file__).parents[2]


class Watch:
    """Holds the compiler's thread back until it is released, and counts runs op by op."""

    def __init__(self) -> None:
        self.by_op = 0
        self._free = threading.Event()

    def hold(self) -> None:
        self._free.clear()

    def release(self) -> None:
        """Afterwards all that was asked for is compiled."""
        self._free.set()
        tj.synchronize()

    def wait(self) -> None:
        assert self._free.wait(60)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    tj.synchronize()
    monkeypatch.setattr(programs, "_known", WeakValueDictionary())  # other tests' are no concern
    watch = Watch()
    make, run = LateProgram.make, Stepwise.run

    def held(self: LateProgram) -> None:
        if threading.current_thread().daemon:
            watch.wait()
        make(self)

    def counted(self: Stepwise, *args: Any) -> Any:
        watch.by_op += 1
        return run(self, *args)

    monkeypatch.setattr(LateProgram, "make", held)
    monkeypatch.setattr(Stepwise, "run", counted)
    yield watch
    watch.release()


def bits(value: Any) -> Any:
    """All that can be seen of tensors, arrays, numbers and sequences of them."""
    if isinstance(value, list | tuple):
        return [bits(part) for part in value]
    if isinstance(value, tj.Tensor):
        return bits(value.detach().numpy())
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.name, value.shape, value.tobytes()
    return repr(value)


def vector(seed: int = 0, size: int = 7) -> tj.Tensor:
    return tj.tensor(np.random.default_rng(seed).normal(size=size).astype(np.float32))


def chain(x: tj.Tensor) -> tj.Tensor:
    return (tj.tanh(x * 2) + x).exp().sum() / x.sum()


def test_calls_run_op_by_op_until_the_program_is_there_and_then_do_not(watch: Watch):
    f = tj.compile(chain, background=True)
    assert [bits(f(vector(n))) for n in range(3)] == [bits(chain(vector(n))) for n in range(3)]
    assert watch.by_op == 3
    assert f.calls == {"replay": 2, "record": 1, "eager": 0}
    found = tj.explain(f)
    assert (found.compiling, found.kernels) == (1, ())
    assert "compiling in the background: 1 program\n" in str(found)
    watch.release()
    assert [bits(f(vector(n))) for n in range(3)] == [bits(chain(vector(n))) for n in range(3)]
    assert watch.by_op == 3
    assert f.calls == {"replay": 5, "record": 1, "eager": 0}  # no new recording
    found = tj.explain(f)
    assert found.compiling == 0
    assert found.kernels == tj.explain(ran_once(tj.compile(chain))).kernels
    assert "in the background" not in str(found)


def ran_once(f: Any) -> Any:
    f(vector())
    return f


def test_what_was_recorded_early_reads_its_runner_and_what_is_recorded_late_holds_it(watch: Watch):
    f, g = (tj.compile(chain, background=True) for _ in range(2))
    early = runner_of(ran_once(f))
    assert isinstance(early, LateProgram)
    assert ".run(" in f.replays.tree.roots[0].text[1]
    watch.release()
    late = runner_of(ran_once(g))
    assert late == early.run == early.executable.program.run
    assert ".run(" not in g.replays.tree.roots[0].text[1]


def runner_of(f: Any, recording: int = 0) -> Any:
    """What a recording, counted from the newest, runs at its end."""
    return f.replays.tree.roots[recording].instructions[-1].run


class Step:
    """A training step: dropout, an optimizer that writes in place, a backward pass inside."""

    def __init__(self) -> None:
        tj.random.seed(3)
        self.model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.4), nn.Linear(16, 3))
        self.optimizer = optim.AdamW(self.model.parameters(), lr=1e-2)

    def __call__(self, x: tj.Tensor, y: tj.Tensor) -> tj.Tensor:
        loss = F.cross_entropy(self.model(x), y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss


def test_a_training_step_has_the_same_bits_before_and_after(watch: Watch):
    def trained(wrap: Callable[[Any], Any], between: Callable[[int], None]) -> Any:
        step = Step()
        run = wrap(step.__call__)
        losses = []
        for n, (x, y) in enumerate(batches(8, bad=0)):
            losses.append(run(tj.tensor(np.nan_to_num(x)), tj.tensor(y)))
            between(n)
        return bits([losses, *step.model.parameters()])

    expected = trained(lambda f: f, lambda n: None)
    assert (
        trained(
            lambda f: tj.compile(f, background=True), lambda n: watch.release() if n == 3 else None
        )
        == expected
    )
    assert watch.by_op >= 4


def views(x: tj.Tensor) -> Any:
    """Writes to views, reads them, and writes to what came from outside."""
    y = x.reshape(2, -1)
    y[0] += 1
    y.T[1:] *= 2
    z = y[:, ::-1]
    x[::2] = x[1::2]
    return z + y, z, x


def test_views_that_are_written_in_place(watch: Watch):
    f = tj.compile(views, background=True)
    for n in range(6):
        if n == 3:
            watch.release()
        x, same = vector(n, 8), vector(n, 8)
        assert bits([f(x), x]) == bits([views(same), same])
    assert watch.by_op == 3


def test_arrays_that_are_changed_in_place(watch: Watch):
    def update(a: np.ndarray, b: np.ndarray) -> Any:
        a += b
        a[1:] *= np.exp(-b[:-1])
        np.add(a, 1, out=b[::-1])
        return a.sum(), b[:2]

    f, plain = tj.compile(update, background=True), tj.compile(update)
    for n in range(6):
        if n == 3:
            watch.release()
        given = [np.linspace(0, 1, 6) + n, np.ones(6)]
        same = [array.copy() for array in given]
        assert bits([f(*given), given]) == bits([plain(*same), same])
    assert watch.by_op == 3


def test_decisions_on_data_cut_a_call_into_programs_and_become_one(
    watch: Watch, replayed_by_python: None
):
    eager, late = Trainer(), Trainer()
    step = tj.compile(late.step, background=True)
    for n, (x, y) in enumerate(batches(24, bad=17)):
        expected = eager.step(tj.tensor(x), tj.tensor(y)).item()
        np.testing.assert_equal(step(tj.tensor(x), tj.tensor(y)).item(), expected)
        assert late.state() == eager.state()
        if n == 5:
            found = [root.speculation for root in step.replays.tree.roots if root.speculation]
            assert all(not each.pays and not each.hits for each in found)  # not compiled yet
        if n >= 5:
            watch.release()
    found = [root.speculation for root in step.replays.tree.roots if root.speculation]
    assert sum(each.hits for each in found) > 0


def test_gradients_outside_are_compiled_in_the_background_too(watch: Watch):
    f = tj.compile(chain, background=True)

    def gradient(run: Any) -> Any:
        x = vector().requires_grad_()
        run(x).backward()
        return bits(x.grad)

    assert gradient(f) == gradient(chain)
    assert watch.by_op == 2
    assert tj.explain(f).compiling == 2
    watch.release()
    assert tj.explain(f).compiling == 0
    assert gradient(f) == gradient(chain)
    assert watch.by_op == 2


def test_each_size_runs_op_by_op_first(watch: Watch):
    f = tj.compile(chain, background=True, dynamic=True)
    sizes = (5, 6, 9)
    for _ in range(2):
        for size in sizes:
            assert bits(f(vector(size, size))) == bits(chain(vector(size, size)))
    assert f.calls["record"] == 1
    assert watch.by_op == 6
    watch.release()
    for size in sizes:
        assert bits(f(vector(size, size))) == bits(chain(vector(size, size)))
    assert watch.by_op == 6


def test_comparing_waits_for_the_program_and_finds_no_difference(watch: Watch):
    f = tj.compile(chain, background=True, verify=2)
    for n in range(6):
        assert bits(f(vector(n))) == bits(chain(vector(n)))
    assert f.calls["eager"] == 3
    found = tj.explain(f)
    assert found.divergences == ()
    assert found.compiling == 0


def test_programs_that_numpy_runs_are_there_at_once(watch: Watch):
    with tj.config.scope(eager="numpy"):
        f = ran_once(tj.compile(chain, background=True))
        assert tj.explain(f).compiling == 0
        assert bits(f(vector())) == bits(chain(vector()))
    assert watch.by_op == 0


def test_an_op_that_fails_raises_and_leaves_the_rest_as_it_was(watch: Watch):
    x = vector()

    def f(x: tj.Tensor, at: tj.Tensor) -> tj.Tensor:
        x.add_(1)
        return tj.take(x, at)

    compiled = tj.compile(f, background=True)
    for at in ([1, 2], [0, 1], [2, 99], [3, 4]):
        outcomes = []
        for run in (f, compiled):
            mine = x.copy()
            try:
                outcomes.append(bits([run(mine, tj.tensor(at)), mine]))
            except IndexError as error:
                outcomes.append([str(error).partition(": ")[2], bits(mine)])
        assert outcomes[0] == outcomes[1]
    with pytest.raises(tj.ShapeError):
        compiled(x, tj.ones((3, 2)) @ tj.ones(5))


# The compiler fails


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    executable_of = programs.executable_of

    def fail(*args: Any, **options: Any) -> Any:
        if threading.current_thread().daemon:
            raise tj.CompileError("no such kernel")
        return executable_of(*args, **options)

    monkeypatch.setattr(programs, "executable_of", fail)


def test_a_program_that_cannot_be_compiled_stays_op_by_op(watch: Watch, broken: None):
    f = tj.compile(lambda x: x * 1.25 - 0.75, background=True)
    f(vector())
    first = f.function.__code__.co_firstlineno
    told = (
        rf"test_background\.py:{first}: a program could not be compiled, .*: CompileError: no such"
    )
    with pytest.warns(RuntimeWarning, match=told) as caught:
        watch.release()
    assert [warning.lineno for warning in caught] == [first]
    for n in range(3):  # no further warnings, which would be errors here
        assert bits(f(vector(n))) == bits(vector(n) * 1.25 - 0.75)
    watch.release()
    assert watch.by_op == 4
    found = tj.explain(f)
    assert (found.compiling, len(found.failures)) == (0, 1)
    assert "not compiled: test_background.py" in str(found)


def test_a_warning_that_is_made_an_error_is_told_and_the_thread_goes_on(
    watch: Watch, broken: None, monkeypatch: pytest.MonkeyPatch
):
    told: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    f, g = (tj.compile(body, background=True) for body in (chain, lambda x: x - 5.5))
    ran_once(f)
    ran_once(g)
    watch.release()  # under the tests' filters warnings are errors
    assert [each.exc_type for each in told] == [RuntimeWarning, RuntimeWarning]
    assert len(tj.explain(f).failures) == len(tj.explain(g).failures) == 1


def test_what_nobody_holds_any_more_is_not_compiled(watch: Watch, monkeypatch: pytest.MonkeyPatch):
    blocker = ran_once(tj.compile(chain, background=True))
    f = ran_once(tj.compile(lambda x: x * 7.5, background=True))
    program = ref(f.programs.compiled[0].program)
    del f
    gc.collect()
    assert program() is None
    watch.release()
    assert tj.explain(blocker).compiling == 0


# Settings


def test_settings_that_change_while_it_compiles_are_not_mixed(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
):
    executable_of = programs.executable_of
    begun, go_on = threading.Event(), threading.Event()

    def slow(*args: Any, **options: Any) -> Any:
        if threading.current_thread().daemon:
            begun.set()
            assert go_on.wait(60)
        return executable_of(*args, **options)

    monkeypatch.setattr(programs, "executable_of", slow)
    f = ran_once(tj.compile(lambda x: (x * 2).exp() + 1, background=True))
    watch._free.set()
    assert begun.wait(60)
    with tj.config.scope(fuse=False):
        go_on.set()
        tj.synchronize()
        assert tj.explain(f).compiling == 1  # what was made of two settings is thrown away
        f(vector())
        tj.synchronize()
        assert len(tj.explain(f).kernels) > 1
        early, before = runner_of(f, -1), watch.by_op
        assert early.is_late
    f(vector())  # the first recording fits again, and asks for its program again
    assert watch.by_op == before + 1
    tj.synchronize()
    assert not early.is_late
    assert len(early.executable.launches) == 1


def test_a_setting_that_no_program_depends_on_does_not_keep_it_late(watch: Watch):
    f = ran_once(tj.compile(chain, background=True))
    before = tj.get_num_threads()
    tj.set_num_threads(1)
    try:
        ran_once(f)
        watch.release()
        assert not runner_of(f).is_late
    finally:
        tj.set_num_threads(before)


# Threads, processes, exit


def test_threads_that_call_at_once(watch: Watch):
    f = tj.compile(chain, background=True)

    def work(number: int) -> Any:
        if number == 2:
            watch._free.set()
        return [bits(f(vector(n))) for n in range(20)]

    expected = [bits(chain(vector(n))) for n in range(20)]
    assert all(found == expected for found in in_threads(work))
    tj.synchronize()
    assert tj.explain(f).compiling == 0


def test_there_is_one_thread(watch: Watch):
    for scale in (1.5, 2.5, 3.5):
        ran_once(tj.compile(lambda x, scale=scale: x * scale, background=True))
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("tracejit compiler") == 1


@pytest.mark.parametrize("is_done", [False, True])
def test_a_forked_child_compiles_what_it_needs(watch: Watch, is_done: bool):
    f = ran_once(tj.compile(chain, background=True))
    if is_done:
        watch.release()

    def child() -> bool:
        watch._free.set()
        same = bits(f(vector(1))) == bits(chain(vector(1)))
        tj.synchronize()
        return (
            same and tj.explain(f).compiling == 0 and bits(f(vector(1))) == bits(chain(vector(1)))
        )

    assert in_child(child)
    assert in_child(child)  # the parent, and another child, are as before
    assert tj.explain(f).compiling == (not is_done)


def test_a_child_waits_for_what_its_parent_had_begun(watch: Watch):
    f = ran_once(tj.compile(chain, background=True))

    def child() -> bool:
        watch._free.set()
        tj.synchronize()
        return tj.explain(f).compiling == 0

    assert in_child(child)


def test_children_made_while_the_compiler_works_can_compile():
    """Forks at all moments of many compilations: none may inherit the compiler half way."""
    body = "def f(x):\n return (x * {0}).exp().sum(axis=0) @ (x + {0}) + tj.tanh(x - {0})\n"
    for number in range(12):
        names: dict[str, Any] = {"tj": tj}
        exec(body.format(number + 0.5), names)
        f = tj.compile(names["f"], background=True)
        x = tj.ones((number + 2, number + 2))
        f(x)

        def child(f: Any = f, x: Any = x, number: int = number) -> bool:
            same = bits(f(x)) == bits(f.function(x))
            tj.ones(3 + number).sin().sum().item()
            tj.synchronize()
            return same and tj.explain(f).compiling == 0

        assert in_child(child)


SCRIPT = """
import atexit, time
{first}
import tracejit as tj

def body(x):
    for _ in range(300):
        x = tj.tanh(x @ x + x.sum(axis=0))
    return x

f = tj.compile(body, background=True, dynamic=False)
x = tj.ones((5, 5))
{last}
f(x)
time.sleep({pause})
assert tj.explain(f).compiling == 1
"""

AT_EXIT = (
    "atexit.register(lambda: (f(x), tj.sinh(x * 2).tolist(), tj.synchronize(), (x - 9).tolist()))"
)
"""Handlers run in the order opposite to that in which they were registered, and importing tracejit registers its own."""


@pytest.mark.parametrize("pause", [0.0, 0.03, 0.2])
@pytest.mark.parametrize(
    ("first", "last"),
    [("", ""), (AT_EXIT, ""), ("", AT_EXIT)],
    ids=["no handler", "a handler after", "a handler before"],
)
def test_a_program_may_end_while_the_compiler_works(
    tmp_path: Path, pause: float, first: str, last: str
):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.format(first=first, last=last, pause=pause))
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TRACEJIT_CACHE_DIR": str(tmp_path / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# Random programs


def test_random_programs_have_the_bits_of_eager_ones():
    rng = np.random.default_rng(7)
    kinds = ["binary", "unary", "view", "fold", "write", "look", "drop", "expose"]
    for _ in range(30):
        program = [(str(rng.choice(kinds)), *map(int, rng.integers(0, 100, 3))) for _ in range(20)]
        with np.errstate(all="ignore"):
            expected, seen = random_programs.run(program, random_programs.world())
            run = tj.compile(random_programs.run, background=True)
            for _ in range(2):
                found, found_seen = run(program, random_programs.world())
                assert found_seen == seen
                for x, y in zip(found, expected, strict=True):
                    assert_same(x, y)
                tj.synchronize()


def in_background(function: Any) -> Any:
    return tj.compile(function, background=True)


@pytest.mark.parametrize("mode", MODES)
def test_fuzzed_programs_answer_as_eager_ones_do(mode: Mode):
    outcome = run_sample(mode, seed=11, count=10, compile=in_background)
    assert not outcome.wrong, "\n".join(map(str, outcome.wrong))
    assert outcome.replayed > 0


def test_the_worker_has_nothing_left():
    tj.synchronize()
    assert not BACKGROUND._jobs
