"""A program runs its plan, whatever the threads, and allocates nothing that it can reuse."""

from __future__ import annotations

import dataclasses
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.plans import SCALE, count_plan, kernel, scale_plan
from tracejit._config import config
from tracejit.artifact import Argument, BufferSpec, HostCall, LaunchSpec, Place, Plan, Segment
from tracejit.runtime.cpu.pool import thread_pool
from tracejit.runtime.cpu.threads import _groups, _quota, available_cores
from tracejit.runtime.device import get_num_threads, set_num_threads
from tracejit.runtime.pool import memory_stats
from tracejit.runtime.program import Program
from tracejit.runtime.scalars import struct_format, write_slots

F32 = np.dtype("float32")


def no_host(call: HostCall, inputs: list[np.ndarray], output: np.ndarray) -> None:
    raise AssertionError("the plan has no host calls")


def address(array: np.ndarray) -> int:
    return int(array.ctypes.data)


def run_scale(program: Program, x: np.ndarray, factor: float) -> np.ndarray:
    (buffer,) = program.run([address(x)], [factor])
    return buffer.array(F32, x.shape)


def test_a_launch_reads_inputs_and_scalars_and_writes_outputs() -> None:
    x = np.arange(8, dtype=F32)
    assert run_scale(Program(scale_plan(8), no_host), x, 2.5).tolist() == (x * 2.5).tolist()


@pytest.mark.parametrize("threads", [1, 2, 3])
@given(tasks=st.lists(st.integers(0, 50), min_size=1, max_size=6), grain=st.integers(1, 7))
def test_every_task_is_done_once_with_scratch_of_its_own(
    threads: int, tasks: list[int], grain: int
) -> None:
    counts = np.zeros(sum(tasks), np.int64)
    with config.scope(num_threads=threads):
        Program(count_plan(tasks, grain), no_host).run([address(counts)])
    assert (counts == 1).all()


def test_a_launch_is_shared_if_it_has_several_chunks_and_the_workers_are_prompt() -> None:
    pool = thread_pool()

    def shared(tasks: int) -> bool:
        before, counts = pool.jobs, np.zeros(tasks, np.int64)
        Program(count_plan([tasks], 10), no_host).run([address(counts)])
        assert (counts == 1).all()
        return pool.jobs > before

    with config.scope(num_threads=2):
        pool.work_alone(until=0)
        assert not shared(10)
        assert shared(20)
        pool.work_alone(until=2**63 - 1)
        assert not shared(20)
        assert shared(1000)
        pool.work_alone(until=0)


def test_many_runs_with_many_chunks_lose_no_task() -> None:
    counts = np.zeros(4096, np.int64)
    program = Program(count_plan([4000, 96], 16), no_host)
    with config.scope(num_threads=4):
        for _ in range(300):
            program.run([address(counts)])
    assert (counts == 300).all()


def test_the_number_of_threads_may_change_between_runs() -> None:
    counts = np.zeros(512, np.int64)
    program = Program(count_plan([512], 1), no_host)
    for turn in range(60):
        with config.scope(num_threads=1 + turn * 7 % 5):
            program.run([address(counts)])
    assert (counts == 60).all()


def test_threads_are_made_when_there_is_work_for_several(run_python: Callable[..., str]) -> None:
    script = """
import numpy as np
from tests.runtime.plans import *
from tracejit.runtime.program import Program
from tracejit.runtime.cpu.pool import thread_pool
for tasks in (10, 100_000):
    x = np.ones(tasks, np.float32)
    Program(scale_plan(tasks), None).run([x.ctypes.data], [1.0])
    print(thread_pool().workers)
"""
    assert run_python(script, TRACEJIT_NUM_THREADS="3").split() == ["0", "2"]
    assert run_python(script, TRACEJIT_NUM_THREADS="1").split() == ["0", "0"]


def test_a_forked_child_makes_threads_of_its_own(run_python: Callable[..., str]) -> None:
    script = """
import os
import numpy as np
from tests.runtime.plans import *
from tracejit.runtime.program import Program
from tracejit.runtime.cpu.pool import thread_pool

x = np.ones(100_000, np.float32)
program = Program(scale_plan(100_000), None)

def right(factor):
    return bool((program.run([x.ctypes.data], [factor])[0].array(x.dtype, x.shape) == factor).all())

assert right(2.0)
child = os.fork()
if child == 0:
    assert thread_pool().workers == 0
    assert right(3.0)
    assert thread_pool().workers == 1
    assert Program(scale_plan(100_000, salt="made in the child"), None)
    grandchild = os.fork()
    if grandchild == 0:
        os._exit(0 if right(4.0) else 1)
    os._exit(os.waitpid(grandchild, 0)[1])
assert os.waitpid(child, 0)[1] == 0
assert right(5.0)
print("right")
"""
    assert run_python(script, TRACEJIT_NUM_THREADS="2").split() == ["right"]


def test_python_threads_may_run_one_program_at_once() -> None:
    program = Program(two_step_plan(50_000), no_host)
    x = np.linspace(0, 1, 50_000, dtype=F32)
    wrong = []

    def work(factor: float) -> None:
        for _ in range(100):
            (buffer,) = program.run([address(x)], [factor])
            if not np.array_equal(buffer.array(F32, x.shape), x * F32.type(factor) ** 2):
                wrong.append(factor)

    threads = [threading.Thread(target=work, args=(2.0**power,)) for power in range(3)]
    with config.scope(num_threads=3):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def two_step_plan(size: int) -> Plan:
    """y = x * k * k by way of the arena."""
    source = kernel(SCALE)
    halfway = Argument(Place.ARENA, 0, 64)
    scalar = Argument(Place.SCALAR, 0)
    first = (Argument(Place.INPUT, 0), halfway, scalar)
    second = (halfway, Argument(Place.OUTPUT, 0), scalar)
    launches = tuple(
        LaunchSpec(source.name, (Segment(arguments, (), size),), 1000)
        for arguments in (first, second)
    )
    spec = BufferSpec("float32", (size,))
    return Plan((source,), launches, (spec,), (spec,), ("float32",), 64 + 4 * size)


def test_repeated_runs_allocate_nothing_new() -> None:
    program = Program(two_step_plan(1000), no_host)
    x = np.ones(1000, F32)
    program.run([address(x)], [1.0])
    before = memory_stats()
    for _ in range(10):
        program.run([address(x)], [1.0])
    after = memory_stats()
    assert after.allocations == before.allocations
    assert after.bytes_in_use == before.bytes_in_use


def test_an_output_that_is_kept_is_not_overwritten() -> None:
    program = Program(scale_plan(100), no_host)
    x = np.ones(100, F32)
    kept = [run_scale(program, x, float(factor)) for factor in range(5)]
    assert [array[0] for array in kept] == [0, 1, 2, 3, 4]


def test_host_calls_stand_between_launches() -> None:
    source = kernel(SCALE)
    spec = BufferSpec("float32", (4,))
    transposed = BufferSpec("float32", (2, 2), (1, 2))
    scalar = Argument(Place.SCALAR, 0)
    arena, output = Argument(Place.ARENA, 0), Argument(Place.OUTPUT, 0)
    constant, other = Argument(Place.CONSTANT, 0, 4), Argument(Place.ARENA, 0, 64)

    def launch(*arguments: Argument) -> LaunchSpec:
        return LaunchSpec(source.name, (Segment((*arguments, scalar), (), 4),))

    call = HostCall(
        "add", (("twice", True),), (arena, constant, other), (transposed, BufferSpec("float32", ())),
        BufferSpec("float32", (2, 2)),
    )  # fmt: skip
    seen = []

    def host(call: HostCall, inputs: list[np.ndarray], output: np.ndarray) -> None:
        seen.append((call.op, dict(call.params)))
        output[...] = inputs[0] + inputs[1]

    plan = Plan(
        (source,), (launch(Argument(Place.INPUT, 0), arena), call, launch(other, output)),
        (spec,), (spec,), ("float32",), 128, np.array([0, 100], F32).tobytes(),
    )  # fmt: skip
    x = np.arange(4, dtype=F32)
    (buffer,) = Program(plan, host).run([address(x)], [2.0])
    assert buffer.array(F32, (4,)).tolist() == [200, 208, 204, 212]
    assert seen == [("add", {"twice": True})]


def test_a_launch_may_write_to_an_input() -> None:
    source = kernel(SCALE)
    place = Argument(Place.INPUT, 0)
    launch = LaunchSpec(source.name, (Segment((place, place, Argument(Place.SCALAR, 0)), (), 4),))
    spec = BufferSpec("float32", (4,))
    x = np.arange(4, dtype=F32)
    assert (
        Program(Plan((source,), (launch,), (spec,), (), ("float32",)), no_host).run(
            [address(x)], [3.0]
        )
        == []
    )
    assert x.tolist() == [0, 3, 6, 9]


def test_a_plan_of_nothing_runs() -> None:
    spec = BufferSpec("float32", (0, 3))
    plan = Plan((), (), (), (spec,), ())
    (buffer,) = Program(plan, no_host).run([])
    assert buffer.array(F32, (0, 3)).shape == (0, 3)


def test_a_factor_too_large_for_its_dtype_becomes_infinite() -> None:
    x = np.ones(4, F32)
    assert np.isposinf(run_scale(Program(scale_plan(4), no_host), x, 1e300)).all()


def test_another_number_of_inputs_or_scalars_is_an_error() -> None:
    program = Program(scale_plan(4), no_host)
    in_use = memory_stats().bytes_in_use
    for inputs, scalars in [([], [1.0]), ([0, 0], [1.0]), ([0], []), ([0], [1.0, 2.0])]:
        with pytest.raises(ValueError):
            program.run(inputs, scalars)
    assert memory_stats().bytes_in_use == in_use


def test_a_host_call_that_fails_gives_its_memory_back() -> None:
    call = HostCall("fail", (), (Argument(Place.OUTPUT, 0),), (), BufferSpec("float32", (4,)))
    program = Program(Plan((), (call,), (), (BufferSpec("float32", (4,)),), ()), no_host)
    in_use = memory_stats().bytes_in_use
    with pytest.raises(AssertionError, match="no host calls"):
        program.run([])
    assert memory_stats().bytes_in_use == in_use


SCALARS = [
    ("bool", True), ("int8", -3), ("int16", -300), ("int32", -70_000), ("int64", -(1 << 40)),
    ("uint8", 200), ("uint16", 60_000), ("uint32", 1 << 31), ("uint64", (1 << 64) - 1),
    ("float16", 0.1), ("bfloat16", 0.1), ("float32", 0.1), ("float64", 0.1),
]  # fmt: skip


def test_scalars_of_all_dtypes_fill_slots_of_eight_bytes() -> None:
    names = [name for name, _ in SCALARS]
    plan = dataclasses.replace(scale_plan(4), scalars=("float32", *names))
    call = HostCall(
        "copy", (), tuple(Argument(Place.SCALAR, 1 + i) for i in range(len(names))) + (Argument(Place.OUTPUT, 0),),
        tuple(BufferSpec(name, ()) for name in names), BufferSpec("float32", (4,)),
    )  # fmt: skip
    got = []
    program = Program(
        dataclasses.replace(plan, steps=(call,)),
        lambda call, inputs, output: got.extend(array.item() for array in inputs),
    )
    program.run([0], [1.0, *[value for _, value in SCALARS]])
    rounded = {
        "float16": float(np.float16(0.1)),
        "bfloat16": float(ml_dtypes.bfloat16(0.1)),
        "float32": float(F32.type(0.1)),
    }
    assert got == [rounded.get(name, value) for name, value in SCALARS]


def test_both_ways_of_writing_scalars_give_the_same_bytes() -> None:
    names = [name for name, _ in SCALARS if name != "bfloat16"]
    values = [value for name, value in SCALARS if name != "bfloat16"]
    quick, slow = np.zeros(8 * len(names), np.uint8), np.zeros(8 * len(names), np.uint8)
    struct.pack_into(f"={struct_format(names)}", quick, 0, *values)
    write_slots(slow, 0, names, values)
    assert np.array_equal(quick, slow)
    assert struct_format(["bfloat16"]) is None


def test_the_number_of_threads_is_a_setting() -> None:
    with config.scope(num_threads=0):
        assert get_num_threads() == available_cores()
        set_num_threads(3)
        assert config.num_threads == 3
        assert thread_pool().threads == 3
    with pytest.raises(ValueError, match="at least 1, not 0"):
        set_num_threads(0)
    with pytest.raises(TypeError):
        set_num_threads(1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.cfs_quota_us": "400000", "cpu.cfs_period_us": "100000"}, 4),
        ({"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_a_control_groups_quota_is_a_number_of_cores(
    tmp_path: Path, files: dict[str, str], cores: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text + "\n")
    assert _quota(str(tmp_path)) == cores


def test_the_quotas_of_all_enclosing_control_groups_count(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("4:cpu,cpuacct:/old\n3:memory:/other\n0::/user/job\n")
    groups = [
        str(Path(group).relative_to(tmp_path)) for group in _groups(str(membership), str(tmp_path))
    ]
    assert groups == [".", "cpu", "cpu/old", "user", "user/job"]
    assert _groups(str(tmp_path / "absent"), str(tmp_path)) == []
