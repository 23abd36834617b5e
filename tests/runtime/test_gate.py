"""A gate lets threads pass together, and none but its keeper while it is shut."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.runtime.plans import SCALE, kernel
from tracejit._gate import Gate, late
from tracejit.runtime.cpu import compile as compiler
from tracejit.runtime.cpu import link
from tracejit.runtime.cpu.compile import load_kernels


def test_several_threads_are_inside_at_a_time() -> None:
    gate, both = Gate(), threading.Barrier(2)

    def work() -> None:
        with gate:
            both.wait(60)

    thread = threading.Thread(target=work)
    thread.start()
    work()
    thread.join()
    assert not both.broken


def test_who_shuts_it_waits_for_those_inside_and_keeps_out_all_others() -> None:
    gate, inside, leave = Gate(), threading.Event(), threading.Event()
    passed: list[str] = []

    def first() -> None:
        with gate:
            inside.set()
            assert leave.wait(60)
            passed.append("first")

    def second() -> None:
        with gate:
            passed.append("second")

    one, two = threading.Thread(target=first), threading.Thread(target=second)
    one.start()
    assert inside.wait(60)
    threading.Timer(0.01, leave.set).start()
    gate.shut()
    assert passed == ["first"]
    two.start()
    with gate:  # the keeper may
        passed.append("keeper")
    two.join(0.05)
    assert gate.is_kept
    assert passed == ["first", "keeper"]
    gate.open()
    two.join()
    one.join()
    assert passed == ["first", "keeper", "second"]


def test_threads_that_want_one_kernel_compile_it_once() -> None:
    before = compiler.counts.compiled
    found: list[int] = []
    start = threading.Barrier(4)

    def work() -> None:
        start.wait(60)
        source = kernel(SCALE, "wanted by four")
        found.append(load_kernels([source])[source.name])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert compiler.counts.compiled == before + 1
    assert len(found) == 4
    assert len(set(found)) == 1


def test_a_fork_waits_for_those_inside_and_the_child_may_pass() -> None:
    gate, inside, leave = Gate(), threading.Event(), threading.Event()
    left: list[bool] = []

    def work() -> None:
        with gate:
            inside.set()
            assert leave.wait(60)
            left.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    assert inside.wait(60)
    threading.Timer(0.05, leave.set).start()
    child = os.fork()
    if child == 0:
        with gate:
            os._exit(0 if left else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    thread.join()
    with gate:
        pass


def test_exit_waits_for_those_inside_and_lets_none_but_the_main_thread_in_again(
    run_python: Callable[..., str],
) -> None:
    script = """
import os, threading, time
from tracejit._gate import Gate, late
import atexit

def last():
    with gate:  # the main thread may
        print("last", flush=True)
    time.sleep(0.1)

def work():
    with gate:
        inside.set()
        time.sleep(0.1)
        os.write(1, b"left\\n")
    with gate:
        os.write(1, b"again\\n")

atexit.register(last)  # runs after the gate's own
gate, inside = Gate(), threading.Event()
threading.Thread(target=work, daemon=True).start()
inside.wait()
"""
    assert run_python(script).split() == ["left", "last"]


@pytest.mark.parametrize("name", ["compiled", "_linked"])
def test_whoever_is_in_llvm_is_inside(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    module = link if name == "_linked" else late("tracejit.runtime.cpu.llvm")
    work = getattr(module, name)

    def watched(*args: Any) -> Any:
        seen.append(threading.get_ident() in link.gate._inside)
        return work(*args)

    monkeypatch.setattr(module, name, watched)
    load_kernels([kernel(SCALE, f"inside {name}")])
    assert seen == [True]
