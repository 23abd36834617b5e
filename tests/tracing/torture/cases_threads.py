"""Calls from several threads."""

from __future__ import annotations

import threading

import tracejit as tj
from tests.tracing.torture.harness import case, thrice, vector


@case
def threads(compile):
    @compile
    def f(x, k):
        return x * k + 1

    results = [[None] * 10 for _ in range(4)]

    def work(at):
        for k in range(10):
            results[at][k] = f(vector() + at, float(k % 2))

    workers = [threading.Thread(target=work, args=(at,)) for at in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    yield results


@case
def threads_with_modes_of_their_own(compile):
    w = vector().requires_grad_()
    seen = {}

    @compile
    def f(x):
        return x * w

    for _ in range(3):
        yield f(vector())

    def work():
        with tj.no_grad():
            seen["constant"] = f(vector())
        seen["on the tape"] = f(vector())

    for _ in range(3):
        with tj.no_grad():
            worker = threading.Thread(target=work)
            worker.start()
            worker.join()
            yield f(vector()), seen


@case
def thread_local_state(compile):
    local = threading.local()
    seen = []

    @compile
    def f(x):
        return x * getattr(local, "scale", 1.0)

    def work():
        local.scale = 3.0
        seen.append(f(vector()))

    for local.scale in thrice(2.0, 5.0):
        yield f(vector())
        worker = threading.Thread(target=work)
        worker.start()
        worker.join()
        yield seen
