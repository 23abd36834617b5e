"""A gate lets threads pass together, and none but its keeper while it is shut."""

from __future__ import annotations

import threading

from tests.runtime.plans import SCALE, kernel
from tracejit.runtime.cpu import compile as compiler
from tracejit.runtime.cpu.compile import load_kernels
from tracejit.runtime.gate import Gate


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
