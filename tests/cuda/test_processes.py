"""A GPU among threads, forks, faults and ends of processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tracejit as tj
from tracejit import cli

ROOT = Path(__file__).resolve().parents[2]
Script = Callable[[str], str]


def test_threads_share_a_device(device: str) -> None:
    f = tj.compile(lambda x: tj.softmax(x * 2).sum(1) + x.max(1))
    x = np.random.default_rng(0).standard_normal((8, 30), dtype=np.float32)
    expected = [f(tj.tensor(x + n)).tolist() for n in range(4)]
    found: dict[int, list[list[float]]] = {}

    def work(n: int) -> None:
        there = tj.tensor(x + n, device=device)
        found[n] = [f(there).tolist() for _ in range(10)]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: [expected[n]] * 10 for n in range(4)}


def test_memory_of_a_thread_that_has_ended_is_used_on(device: str) -> None:
    made: list[tj.Tensor] = []
    thread = threading.Thread(target=lambda: made.append(tj.arange(5, device=device) * 2))
    thread.start()
    thread.join()
    assert (made.pop() + 1).tolist() == [1, 3, 5, 7, 9]


def test_memory_may_be_let_go_of_by_any_thread(device: str) -> None:
    made = [tj.ones(5, device=device) for _ in range(3)]
    tj.cuda.empty_cache()
    before = tj.cuda.memory_stats().bytes_in_use
    thread = threading.Thread(target=made.clear)
    thread.start()
    thread.join()
    assert tj.cuda.memory_stats().bytes_in_use == before - 3 * 20


def test_a_forked_child_is_refused_and_its_parent_goes_on(in_a_process: Script) -> None:
    printed = in_a_process(
        """
import os, sys
import tracejit as tj
x = tj.ones(3, device="cuda")
pid = os.fork()
if not pid:
    try:
        x + 1
    except tj.DeviceUnavailable as error:
        print(error, tj.ones(2).sum().item(), flush=True)
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
print((x + 1).tolist())
"""
    )
    child, parent = printed.splitlines()
    assert "script.py:10: cuda:0: the process was forked after CUDA had been used" in child
    assert "'spawn'" in child
    assert child.endswith("2.0")
    assert parent == "[2.0, 2.0, 2.0]"


def test_a_child_may_be_the_first_to_use_it(in_a_process: Script) -> None:
    printed = in_a_process(
        """
import os, sys
import tracejit as tj
pid = os.fork()
if not pid:
    print(tj.ones(2, device="cuda").tolist(), flush=True)
    sys.exit(0)
print(os.waitpid(pid, 0)[1])
"""
    )
    assert printed.split("\n")[:2] == ["[1.0, 1.0]", "0"]


FAULT = """
import tracejit as tj
from tracejit.artifact import *
from tracejit.runtime.cuda.driver import gpu
from tracejit.runtime.cuda.program import CudaProgram
text = '''
struct Segment { void *buffers[1]; long long tasks; };
struct Segments { Segment segment[1]; };
extern "C" __global__ void astray(const __grid_constant__ Segments segments) {
  *((float *)segments.segment[0].buffers[0] + (1ll << 40)) = 1;
}
'''
output = BufferSpec("float32", (1,))
segment = Segment((Argument(Place.OUTPUT, 0),), (), 1)
launch = LaunchSpec("astray", (segment,), note="add  model.py:7", shape=LaunchShape(32, 1))
program = CudaProgram(Plan((KernelSource("astray", text),), (launch,), (), (output,), ()), None, gpu())
for attempt in (lambda: program.run(()), lambda: tj.ones(1, device="cuda").item()):
    try:
        attempt()
    except tj.DeviceError as error:
        print(error)
"""


def test_a_kernel_that_fails_is_named_and_the_device_is_lost(in_a_process: Script) -> None:
    first, second = in_a_process(FAULT).splitlines()
    assert "invalid address" in first
    assert "kernel astray: add  model.py:7" in first
    assert "the process has to be started again" in first
    assert "the driver reports" in second


def test_a_graph_that_fails_is_told(in_a_process: Script) -> None:
    printed = in_a_process(
        FAULT
        + """
import ctypes
ctypes.CDLL("libcuda.so.1").standin_recover()
f = tj.compile(lambda x: x @ x @ x)
x = tj.ones((3, 3), device="cuda")
for _ in range(5):
    f(x)
try:
    program.run(())
except tj.DeviceError:
    pass
try:
    f(x)
except tj.DeviceError as error:
    print(error)
"""
    )
    assert "the driver reports: cuGraphLaunch failed: " in printed.splitlines()[-1]


def test_a_process_ends_quietly(in_a_process: Script) -> None:
    printed = in_a_process(
        """
import sys, threading
import tracejit as tj
sys.stderr = sys.stdout
kept = tj.compile(lambda x: tj.softmax(x) @ x)(tj.ones((3, 3), device="cuda"))
event = threading.Event()
def work():
    tj.ones(2, device="cuda").sum().item()
    event.set()
    threading.Event().wait()
threading.Thread(target=work, daemon=True).start()
event.wait()

class Last:
    x = tj.ones(3, device="cuda")
sys.modules["held"] = Last  # until modules are taken apart
import builtins
builtins.held = f = tj.compile(lambda x: x @ x @ x)
for _ in range(5):
    builtins.made = f(tj.ones((3, 3), device="cuda"))
print("done")
"""
    )
    assert printed == "done\n"


NO_DRIVER = """
import tracejit as tj
print(tj.devices(), tj.cuda.is_available(), tj.cuda.device_count())
print(tj.cuda.why_not())
try:
    tj.ones(1).to("cuda")
except tj.DeviceUnavailable as error:
    print(error)
"""


def run(script: str) -> list[str]:
    command = [sys.executable, "-c", f"import sys, ctypes, importlib.util\n{script}"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_without_a_driver_it_is_told_what_is_missing() -> None:
    hidden = "import tracejit.runtime.cuda.driver as d; d.LIBRARY = 'libcuda-missing.so'\n"
    devices, why, error = run(hidden + NO_DRIVER)
    assert devices == "['cpu'] False 0"
    assert why.startswith(
        "there is no NVIDIA driver (libcuda-missing.so is not found): install that of the GPU"
    )
    assert error.endswith(f"cuda:0: {why}")


def test_without_pycuda_the_command_that_mends_it_is_told() -> None:
    hidden = (
        "import tracejit.runtime.cuda.driver as d; d.LIBRARY = 'libc.so.6'\n"
        "found = importlib.util.find_spec\n"
        "d.find_spec = lambda name: None if name == 'pycuda' else found(name)\n"
    )
    devices, why, error = run(hidden + NO_DRIVER)
    assert devices == "['cpu'] False 0"
    assert why.startswith("pycuda is not installed: pip install 'tracejit[cuda]'")
    assert error.endswith(why)


def test_only_a_program_that_asks_for_a_gpu_loads_pycuda() -> None:
    names = "pycuda", "tracejit.runtime.cuda.driver"
    script = f"import tracejit as tj; tj.ones(2).sum().item(); print([name in sys.modules for name in {names}])"
    assert run(script) == ["[False, False]"]


@pytest.mark.parametrize("device", ["tpu", "cuda:x", "cpu:1"])
def test_what_is_no_device_is_refused(device: str) -> None:
    with pytest.raises(tj.DeviceUnavailable, match=f"{device}: there is no such device"):
        tj.zeros(1, device=device)


def test_a_second_process_loads_no_compiler(in_a_process: Script) -> None:
    script = """
import sys
import tracejit as tj
f = tj.compile(lambda x: tj.softmax(x @ x + 0.1234).sum(1))
print([f(tj.full((3, 3), n / 7, device="cuda")).tolist() for n in range(3)])
print("tracejit.compiler" in sys.modules)
"""
    first, second = (in_a_process(script).splitlines() for _ in range(2))
    assert first[0] == second[0]
    assert (first[1], second[1]) == ("True", "False")


def test_doctor_tells_of_the_device(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("GPU")]
    assert tj.cuda.get_device_name() in line
    assert line.endswith("computes what the CPU does")


def test_a_thread_may_begin_with_a_write(device: str) -> None:
    x, y = tj.zeros(6, device=device), tj.ones(6, device=device)

    def write() -> None:
        x[1:] = y[:5]

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    assert x.tolist() == [0, 1, 1, 1, 1, 1]


def test_a_kernel_is_loaded_once_whichever_programs_launch_it(in_a_process: Script) -> None:
    printed = in_a_process(
        """
import tracejit as tj
f = tj.compile(lambda x: tj.softmax(x @ x.T) @ x)
x, y = (tj.ones((40, 40), device="cuda") for _ in range(2))
before = standin.counts()
f(x)
print((standin.counts() - before)["modules"] == len({k.name for k in tj.explain(f).kernels}) > 1)
before = standin.counts()
tj.compile(lambda x: tj.softmax(x @ x.T) @ x)(y)
f(y)
print("modules" in standin.counts() - before)
"""
    )
    assert printed == "True\nFalse\n"
