"""`python -m benchmarks.calls`: what small calls cost, tracejit's and its peers', interleaved in one process.

Results are checked before anything is timed. A peer that is not installed is left out.
"""

from __future__ import annotations

import statistics
import time
import timeit
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import cycle
from typing import Any

import numpy as np

import tracejit as tj
from benchmarks.replay import network, train_step
from benchmarks.systems.numpy_suite import sum_of_lines
from tracejit import nn, optim

ROUNDS = 15
WARM = 150
"""Calls after which nothing is recorded or compiled any more."""
SETTLE = 0.25
"""Seconds between systems: the idle threads of some spin for that long, on a core that the next one needs."""

Call = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function and its arguments."""
Contest = tuple[str, int, dict[str, Call]]
"""What is done, how often in a round, and how each system does it."""


def line(x: Any) -> Any:
    return x * 2 + 1


def contests() -> Iterator[Contest]:
    yield "x*2+1, NumPy array of 4", 50_000, dict(_lines([np.arange(4.0, dtype=np.float32)], line))
    yield "x*2+1, NumPy arrays of 4 to 7 in turn", 10_000, {"tracejit": open_sizes()}
    arrays = [np.full((4, 16), k, np.float32) for k in range(50)]
    yield "50 NumPy arrays of 4x16", 500, dict(_lines(arrays, sum_of_lines))
    for size, calls in ((4, 2000), (1_000_000, 20)):
        data = np.linspace(0, 1, size, dtype=np.float32)
        yield f"eager x*2+1 on a tensor of {size}", calls, dict(_eager(data, line))
    for what, view in VIEWS.items():
        yield f"eager {what} of a tensor of 1,000 x 1,000", 5000, dict(_views(view))
    yield "MLP training step, batch 1, width 4", 500, {"tracejit": training_step()}
    for parameters in (2, 100):
        what = f"forward through 50 layers of {parameters} parameters, width 4"
        yield what, 500, {"tracejit": deep_forward(parameters)}


def _lines(arrays: list[np.ndarray], function: Callable[..., Any]) -> Iterator[tuple[str, Call]]:
    expected = function(*arrays)
    compiled = {"numpy": function, "tracejit": tj.compile(function)}
    if find_spec("numba"):
        import numba

        compiled["numba"] = numba.njit(fastmath=True)(function)
    for system, run in compiled.items():
        np.testing.assert_allclose(run(*arrays), expected, rtol=1e-5)
        yield system, (run, tuple(arrays))


def _eager(data: np.ndarray, function: Callable[..., Any]) -> Iterator[tuple[str, Call]]:
    tensor = tj.tensor(data)
    np.testing.assert_allclose(function(tensor).numpy(), function(data), rtol=1e-6)
    yield "tracejit", (function, (tensor,))
    if find_spec("torch"):
        import torch

        torch.set_num_threads(tj.get_num_threads())
        yield "torch", (function, (torch.tensor(data),))


def open_sizes() -> Call:
    """One recording, called with an array of another size each time; what fetches that takes 0.02 us of it."""
    turns = cycle([np.arange(float(size), dtype=np.float32) for size in (4, 5, 6, 7)])
    f = tj.compile(line)
    return lambda: f(next(turns)), ()


def _views(view: Callable[[Any], Any]) -> Iterator[tuple[str, Call]]:
    data = np.zeros((1000, 1000), np.float32)
    yield "tracejit", (view, (tj.tensor(data),))
    if find_spec("torch"):
        import torch

        yield "torch", (view, (torch.tensor(data),))


VIEWS: dict[str, Callable[[Any], Any]] = {
    "x[0]": lambda x: x[0],
    "x[1:]": lambda x: x[1:],
    "x[:, 0]": lambda x: x[:, 0],
    "x[None]": lambda x: x[None],
    "x.T": lambda x: x.T,
    "x.reshape(-1)": lambda x: x.reshape(-1),
    "x.reshape(500, 2000)": lambda x: x.reshape(500, 2000),
}


def training_step() -> Call:
    model = network(4, 3, 4)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    return tj.compile(train_step), (
        model,
        optimizer,
        tj.ones((1, 4)),
        tj.zeros(1, dtype=tj.int64),
    )


def deep_forward(parameters: int) -> Call:
    """50 layers, which share their parameters or have some each: as many kernels."""
    layers = [nn.Linear(4, 4) for _ in range(parameters // 2)]
    model = nn.Sequential(
        *[each for k in range(50) for each in (layers[k % len(layers)], nn.ReLU())]
    )

    def forward(x: Any) -> Any:
        with tj.no_grad():
            return model(x)

    return tj.compile(forward), (tj.ones((1, 4)),)


def timer(call: Call) -> timeit.Timer:
    """Times the call as it is written, with its arguments by name."""
    function, arguments = call
    names = {f"a{place}": argument for place, argument in enumerate(arguments)}
    return timeit.Timer(f"f({', '.join(names)})", globals={"f": function, **names})


def measured(calls: int, systems: dict[str, Call]) -> dict[str, float]:
    """Seconds of a call: the median of rounds that the systems take turns in."""
    timers = {system: timer(call) for system, call in systems.items()}
    taken: dict[str, list[float]] = {system: [] for system in systems}
    for each in timers.values():
        each.timeit(WARM)
        tj.synchronize()
    for _ in range(ROUNDS):
        for system, each in timers.items():
            time.sleep(SETTLE if len(timers) > 1 else 0)
            taken[system].append(each.timeit(calls) / calls)
    return {system: statistics.median(each) for system, each in taken.items()}


def main() -> int:
    for what, calls, systems in contests():
        figures = measured(calls, systems)
        shown = ", ".join(f"{system} {1e6 * each:,.3f} us" for system, each in figures.items())
        print(f"{what}: {shown}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
