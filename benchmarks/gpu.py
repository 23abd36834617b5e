"""`python -m benchmarks.gpu`: workloads on a GPU against PyTorch, eager and compiled, and CuPy, where they are there.

Times are those of the device, between events of each system's own stream around several calls: medians of rounds in which the
systems take turns. The ceiling of what only moves memory is the measured bandwidth of a copy. Results are compared with float64
NumPy, training with its first losses on the CPU. The table comes last.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

import tracejit as tj
from tracejit import nn, optim
from tracejit.nn import functional as F
from tracejit.runtime.cuda.driver import Gpu, gpu

ROUNDS = 15
ROUND_SECONDS = 0.02
"""What the calls of one round are to take together."""
BUDGET = 150
"""Seconds after which nothing more is compiled by others."""
EPSILON = 1e-5
LEARNING_RATE = 1e-3
LOSSES = 3
"""Steps of training whose losses are compared."""

Call = Callable[[], Any]
Arrays = list[np.ndarray]


@dataclass(frozen=True)
class Workload:
    """A function of arrays, and what it costs at least."""

    name: str
    arrays: Callable[[np.random.Generator, bool], Arrays]
    nbytes: Callable[[Arrays], int]
    """Bytes that must be read and written; 0 where something else is the limit."""
    expected: Callable[[Arrays], np.ndarray]
    """A part of the result, by NumPy in float64 or by the CPU."""
    tolerance: float = 1e-5


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, np.float32)


# NumPy, in float64, on the first elements or rows

FIRST = 1000


def gelu(x: np.ndarray) -> np.ndarray:
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def expected_chain(arrays: Arrays) -> np.ndarray:
    x, a, b, c = (array[:FIRST].astype(np.float64) for array in arrays)
    return gelu(a * x + b) + np.tanh(c) * np.exp(-x * x)


def expected_softmax(arrays: Arrays) -> np.ndarray:
    x = arrays[0][:4].astype(np.float64)
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def expected_lngelu(arrays: Arrays) -> np.ndarray:
    x, weight, bias = (array.astype(np.float64) for array in (arrays[0][:4], *arrays[1:]))
    centred = x - x.mean(1, keepdims=True)
    h = centred / np.sqrt((centred**2).mean(1, keepdims=True) + EPSILON) * weight + bias
    return x + gelu(h)


def expected_adam(arrays: Arrays) -> np.ndarray:
    """The first row after the first step, in which the corrected moments are the gradient and its square."""
    parameter, gradient = (array[0].astype(np.float64) for array in arrays[:2])
    return parameter - LEARNING_RATE * gradient / (np.abs(gradient) + 1e-8)


def expected_losses(arrays: Arrays) -> np.ndarray:
    step = Tracejit("cpu").mlp(arrays)
    return np.array([step().item() for _ in range(LOSSES)])


# the workloads


def chain_arrays(rng: np.random.Generator, small: bool) -> Arrays:
    return [normal(rng, 5000 if small else 100_000_000) for _ in range(4)]


def softmax_arrays(rng: np.random.Generator, small: bool) -> Arrays:
    return [normal(rng, *((16, 96) if small else (16384, 4096)))]


def lngelu_arrays(rng: np.random.Generator, small: bool) -> Arrays:
    x = softmax_arrays(rng, small)[0]
    return [x, 1 + normal(rng, x.shape[1]) / 10, normal(rng, x.shape[1]) / 10]


def adam_arrays(rng: np.random.Generator, small: bool) -> Arrays:
    """Parameters and gradients in turn."""
    count, size = (2, 24) if small else (8, 4096)
    return [normal(rng, size, size) for _ in range(2 * count)]


def mlp_arrays(batch: int, hidden: int) -> Callable[[np.random.Generator, bool], Arrays]:
    def arrays(rng: np.random.Generator, small: bool) -> Arrays:
        rows, width, pixels = (8, 16, 20) if small else (batch, hidden, 784)
        sizes = ((pixels, width), (width, width), (width, 10))
        weights = [normal(rng, n, m) / np.float32(m**0.5) for m, n in sizes]
        biases = [np.zeros(n, np.float32) for _, n in sizes]
        return [normal(rng, rows, pixels), rng.integers(0, 10, rows), *weights, *biases]

    return arrays


def all_bytes(times: int) -> Callable[[Arrays], int]:
    """The first array so many times, and the others once."""
    return lambda arrays: times * arrays[0].nbytes + sum(array.nbytes for array in arrays[1:])


WORKLOADS = [
    Workload("chain", chain_arrays, all_bytes(2), expected_chain),
    Workload("softmax", softmax_arrays, all_bytes(2), expected_softmax),
    Workload("lngelu", lngelu_arrays, all_bytes(2), expected_lngelu, 1e-4),
    # Of each parameter: itself, its gradient and two moments read, all but the gradient written.
    Workload(
        "adam", adam_arrays, lambda arrays: 7 * sum(a.nbytes for a in arrays) // 2, expected_adam
    ),
    Workload("mlp_128", mlp_arrays(128, 512), lambda _: 0, expected_losses, 1e-3),
    Workload("mlp_4096", mlp_arrays(4096, 2048), lambda _: 0, expected_losses, 1e-3),
]


# the systems: each workload as a call; what it gives is to be seen as an array


class Tracejit:
    """Compiled."""

    name = "tracejit"

    def __init__(self, device: str = "cuda") -> None:
        self.device = device

    def tensors(self, arrays: Arrays) -> list[tj.Tensor]:
        return [tj.tensor(array, device=self.device) for array in arrays]

    def chain(self, arrays: Arrays) -> Call:
        def chain(x: Any, a: Any, b: Any, c: Any) -> Any:
            return F.gelu(a * x + b, approximate="tanh") + tj.tanh(c) * tj.exp(-x * x)

        return self._call(chain, arrays)

    def softmax(self, arrays: Arrays) -> Call:
        return self._call(lambda x: F.softmax(x, -1), arrays)

    def lngelu(self, arrays: Arrays) -> Call:
        def lngelu(x: Any, weight: Any, bias: Any) -> Any:
            return x + F.gelu(
                F.layer_norm(x, x.shape[-1:], weight, bias, EPSILON), approximate="tanh"
            )

        return self._call(lngelu, arrays)

    def adam(self, arrays: Arrays) -> Call:
        tensors = self.tensors(arrays)
        for parameter, gradient in zip(tensors[::2], tensors[1::2], strict=True):
            parameter.requires_grad_().grad = gradient
        optimizer = optim.Adam(tensors[::2], lr=LEARNING_RATE)
        step = tj.compile(optimizer.step)

        def call() -> Any:
            step()
            return tensors[0]

        return call

    def mlp(self, arrays: Arrays) -> Call:
        x, y, *parameters = self.tensors(arrays)
        model = nn.Sequential(*self._layers(parameters))
        optimizer = optim.Adam(model.parameters(), lr=LEARNING_RATE)

        def train_step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        step = tj.compile(train_step)
        return lambda: step(x, y)

    @staticmethod
    def array(value: Any) -> np.ndarray:
        found: np.ndarray = value.detach().cpu().numpy()
        return found

    def event(self) -> Any:
        return gpu().event()

    @staticmethod
    def milliseconds(start: Any, stop: Any) -> float:
        stop.synchronize()
        passed: float = stop.time_since(start)
        return passed

    def _layers(self, parameters: list[Any]) -> Iterator[nn.Module]:
        for place, (weight, bias) in enumerate(zip(parameters[:3], parameters[3:])):
            if place:
                yield nn.ReLU()
            layer = nn.Linear(weight.shape[1], weight.shape[0]).to(self.device)
            with tj.no_grad():
                layer.weight.copy_(weight)
                layer.bias.copy_(bias)
            yield layer

    def _call(self, function: Callable[..., Any], arrays: Arrays) -> Call:
        step, tensors = tj.compile(function), self.tensors(arrays)
        return lambda: step(*tensors)


class Torch:
    """Eager; or compiled, whose optimizer is the fused one."""

    name = "torch"
    is_compiled = False

    def __init__(self) -> None:
        self.torch = import_module("torch")
        if not self.torch.cuda.is_available():
            raise ImportError("PyTorch finds no GPU")

    def compiled(self, function: Any) -> Any:
        return function

    def tensors(self, arrays: Arrays) -> list[Any]:
        return [self.torch.tensor(array, device="cuda") for array in arrays]

    def chain(self, arrays: Arrays) -> Call:
        torch = self.torch

        def chain(x: Any, a: Any, b: Any, c: Any) -> Any:
            gelu = torch.nn.functional.gelu(a * x + b, approximate="tanh")
            return gelu + torch.tanh(c) * torch.exp(-x * x)

        return self._call(chain, arrays)

    def softmax(self, arrays: Arrays) -> Call:
        return self._call(lambda x: self.torch.softmax(x, -1), arrays)

    def lngelu(self, arrays: Arrays) -> Call:
        functional = self.torch.nn.functional

        def lngelu(x: Any, weight: Any, bias: Any) -> Any:
            h = functional.layer_norm(x, x.shape[-1:], weight, bias, EPSILON)
            return x + functional.gelu(h, approximate="tanh")

        return self._call(lngelu, arrays)

    def adam(self, arrays: Arrays) -> Call:
        tensors = self.tensors(arrays)
        for parameter, gradient in zip(tensors[::2], tensors[1::2], strict=True):
            parameter.requires_grad_().grad = gradient
        optimizer = self._adam(tensors[::2])

        def call() -> Any:
            optimizer.step()
            return tensors[0]

        return call

    def mlp(self, arrays: Arrays) -> Call:
        torch = self.torch
        x, y, *parameters = self.tensors(arrays)
        for parameter in parameters:
            parameter.requires_grad_()
        optimizer = self._adam(parameters)

        @self.compiled
        def loss_of(x: Any, y: Any, *parameters: Any) -> Any:
            for place, (weight, bias) in enumerate(zip(parameters[:3], parameters[3:])):
                x = torch.nn.functional.linear(torch.relu(x) if place else x, weight, bias)
            return torch.nn.functional.cross_entropy(x, y)

        def step() -> Any:
            optimizer.zero_grad()
            loss = loss_of(x, y, *parameters)
            loss.backward()
            optimizer.step()
            return loss.detach()

        return step

    @staticmethod
    def array(value: Any) -> np.ndarray:
        found: np.ndarray = value.detach().cpu().numpy()
        return found

    def event(self) -> Any:
        event = self.torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    @staticmethod
    def milliseconds(start: Any, stop: Any) -> float:
        stop.synchronize()
        passed: float = start.elapsed_time(stop)
        return passed

    def _adam(self, parameters: list[Any]) -> Any:
        return self.torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=self.is_compiled)

    def _call(self, function: Callable[..., Any], arrays: Arrays) -> Call:
        step, tensors = self.compiled(function), self.tensors(arrays)
        return lambda: step(*tensors)


class TorchCompiled(Torch):
    name = "torch.compile"
    is_compiled = True

    def compiled(self, function: Any) -> Any:
        return self.torch.compile(function, dynamic=False)


class CuPy:
    """What one fused function or plain ops can say."""

    name = "cupy"

    def __init__(self) -> None:
        self.cupy = import_module("cupy")

    def chain(self, arrays: Arrays) -> Call:
        cupy = self.cupy

        @cupy.fuse()
        def chain(x: Any, a: Any, b: Any, c: Any) -> Any:
            u = a * x + b
            inner = np.float32((2 / np.pi) ** 0.5) * (u + np.float32(0.044715) * u * u * u)
            gelu = u * np.float32(0.5) * (np.float32(1) + cupy.tanh(inner))
            return gelu + cupy.tanh(c) * cupy.exp(-x * x)

        tensors = list(map(cupy.asarray, arrays))
        return lambda: chain(*tensors)

    def softmax(self, arrays: Arrays) -> Call:
        cupy, x = self.cupy, self.cupy.asarray(arrays[0])

        def call() -> Any:
            e = cupy.exp(x - x.max(1, keepdims=True))
            return e / e.sum(1, keepdims=True)

        return call

    def array(self, value: Any) -> np.ndarray:
        found: np.ndarray = self.cupy.asnumpy(value)
        return found

    def event(self) -> Any:
        event = self.cupy.cuda.Event()
        event.record()
        return event

    def milliseconds(self, start: Any, stop: Any) -> float:
        stop.synchronize()
        passed: float = self.cupy.cuda.get_elapsed_time(start, stop)
        return passed


# measuring


@dataclass
class Entry:
    """One system at one workload."""

    system: Any
    call: Call
    calls: int
    """In a round."""
    error: float
    first: float
    """Seconds of the first call."""
    times: list[float] = field(default_factory=list)
    """Milliseconds of a call, by the device's clock."""
    host: list[float] = field(default_factory=list)
    """Microseconds that a call takes the host."""

    def round(self) -> None:
        start, clock = self.system.event(), time.perf_counter()
        for _ in range(self.calls):
            self.call()
        self.host.append((time.perf_counter() - clock) / self.calls * 1e6)
        self.times.append(self.system.milliseconds(start, self.system.event()) / self.calls)

    @property
    def milliseconds(self) -> float:
        return statistics.median(self.times)


def entry(system: Any, workload: Workload, arrays: Arrays, expected: np.ndarray) -> Entry | None:
    """The system ready to be timed; None where it does not do this. Raises AssertionError for a wrong result."""
    make = getattr(system, workload.name.partition("_")[0], None)
    if make is None:
        return None
    start = time.perf_counter()
    call = make(arrays)
    found = [system.array(call())]
    first = time.perf_counter() - start
    if expected.ndim == 1 and workload.name.startswith("mlp"):
        found = [np.array([*found, *(system.array(call()) for _ in range(LOSSES - 1))])]
    error = deviation(found[0], expected)
    assert error < workload.tolerance, f"{system.name}: {workload.name} is off by {error:.1e}"
    for _ in range(5):
        call()
    warm = Entry(system, call, 3, error, first)
    warm.round()
    calls = min(max(int(ROUND_SECONDS * 1e3 / max(warm.milliseconds, 1e-3)), 1), 200)
    return Entry(system, call, calls, error, first)


def deviation(found: np.ndarray, expected: np.ndarray) -> float:
    part = (
        found[tuple(slice(n) for n in expected.shape)] if found.ndim == expected.ndim else found[0]
    )
    return float(np.linalg.norm(part - expected) / np.linalg.norm(expected))


def bandwidth(device: Gpu, nbytes: int) -> float:
    """Bytes a second that a copy on the device reads and writes."""
    source, target = (device.allocate(nbytes) for _ in range(2))
    times = []
    for _ in range(ROUNDS):
        start = device.event()
        for _ in range(5):
            device.copy(target.address, source.address, nbytes)
        times.append(Tracejit.milliseconds(start, device.event()) / 5)
    return 2 * nbytes / statistics.median(times) * 1e3


def systems() -> list[Any]:
    found: list[Any] = [Tracejit()]
    for kind in (Torch, TorchCompiled, CuPy):
        with suppress(ImportError):
            found.append(kind())
    return found


def compared(workload: Workload, everyone: list[Any], arrays: Arrays, begun: float) -> list[Entry]:
    """The systems that do this, timed in turn. Raises AssertionError where tracejit's result is wrong."""
    expected = workload.expected(arrays)
    entries = []
    for system in everyone:
        if getattr(system, "is_compiled", False) and time.perf_counter() - begun > BUDGET:
            print(f"{workload.name}: {system.name} is left out, for lack of time")
            continue
        try:
            found = entry(system, workload, arrays, expected)
        except Exception as error:  # another's failure is no reason to end
            if isinstance(system, Tracejit):
                raise
            print(f"{workload.name}: {system.name} fails: {type(error).__name__}: {error}"[:300])
            continue
        if found is not None:
            entries.append(found)
    for _ in range(ROUNDS):
        for each in entries:
            each.round()
    return entries


def lines(name: str, entries: list[Entry], floor: float) -> Iterator[str]:
    """`floor` is the time that moving the bytes takes, in milliseconds; 0 where that is not the limit."""
    for each in entries:
        share = f"{floor / each.milliseconds:7.0%}" if floor else "      -"
        host = statistics.median(each.host)
        yield (
            f"{name:<10}{each.system.name:<15}{each.milliseconds:10.4f}{share}"
            f"{host:11.1f}{each.first:10.2f}{each.error:11.1e}"
        )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="workloads on a GPU, against others")
    parser.add_argument("--small", action="store_true", help="sizes that only show that it runs")
    small = parser.parse_args(argv).small
    if (why := tj.cuda.why_not()) is not None:
        print(why)
        return 2
    begun = time.perf_counter()
    device, everyone = gpu(), systems()
    rate = bandwidth(device, 1 << (16 if small else 30))
    print(f"{device.name} ({device.architecture}), {', '.join(each.name for each in everyone)}")
    table = []
    for workload in WORKLOADS:
        arrays = workload.arrays(np.random.default_rng(0), small)
        floor = workload.nbytes(arrays) / rate * 1e3
        found = [*lines(workload.name, compared(workload, everyone, arrays, begun), floor)]
        print(*found, sep="\n", flush=True)
        table += found
        tj.cuda.empty_cache()
    print(
        f"\n{device.name}; a copy reads and writes {rate / 1e9:,.0f} GB/s; {time.perf_counter() - begun:.0f} s in all"
    )
    print("workload  system          device ms   copy    host us   first s      error")
    print(*table, sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
