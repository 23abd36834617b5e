"""`tracejit bench` of an artifact: whether its native code gives the graph's bits, and what a call takes.

Each batch of calls begins with the state of the file, so that none computes with what the ones before it have made of it.
"""

from __future__ import annotations

import statistics
import time
import timeit
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from tracejit import standalone
from tracejit._config import config
from tracejit._gate import late
from tracejit._records import dataclass
from tracejit.artifact import LaunchSpec
from tracejit.runtime.device import get_num_threads

BATCH_SECONDS = 0.02
LEAST_BATCHES = 5
WARM_CALLS = 3


@dataclass(frozen=True, slots=True)
class Work:
    """What the programs of a call do: launches, bytes read and written, floating-point operations of matrix products."""

    launches: int
    nbytes: int
    flops: int


@dataclass(slots=True)
class Timing:
    """Seconds of a call on so many threads, one figure for each batch."""

    threads: int
    seconds: list[float]

    @property
    def quartiles(self) -> tuple[float, float, float]:
        low, median, high = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return low, median, high


def bench(
    path: Path, inputs: str | None, seconds: float, sizes: Mapping[str, int]
) -> Iterator[str]:
    """Lines that tell what was measured, in so many seconds of calls of these sizes, if any are open.

    Raises ArtifactError where the bits are not the graph's.
    """
    start = time.perf_counter()
    loaded = _loaded(path, sizes)
    load_seconds = time.perf_counter() - start
    call = loaded.manifest.call
    reader = late("tracejit.standalone.inputs")
    given = reader.made_up(call) if inputs is None else reader.read_inputs(call, inputs)
    yield f"{loaded.__name__}{loaded.signature}"
    yield f"  inputs   {inputs or 'made up: normal numbers, zeros for integers that nothing is known of'}"
    yield f"  code     {_code(loaded)}"
    before = loaded.state_dict()
    arguments = _fresh(given)
    start = time.perf_counter()
    loaded(**arguments)
    first_seconds = time.perf_counter() - start
    yield f"  bits     {_compared(path, sizes, loaded, given, before)}"
    yield f"  load     {_time(load_seconds)}"
    yield f"  first    {_time(first_seconds)}"
    work = work_of(loaded)
    yield f"  launches {work.launches}, which move {late('tracejit.cli').in_units(work.nbytes)}{_flops(work)}"
    yield "  threads  median      quartiles                  calls/s  GB/s  GFLOP/s"
    for timing in _timed(loaded, given, before, seconds):
        yield _line(timing, work)


def _loaded(path: Path, sizes: Mapping[str, int], **how: Any) -> Any:
    """The artifact, or, where it leaves sizes open, that for the given ones, or else for the first that there is code for."""
    found: Any = standalone.load(path, **how)
    if not found.manifest.sizes.names:
        return found
    return found.at(**(sizes or dict(zip(found.sizes, found.ahead[0]))))


def work_of(loaded: Any) -> Work:
    products = late("tracejit.standalone.products")
    plans = [loaded.plans[number] for number in loaded.runs]
    steps = [step for plan in plans for step in plan.steps]
    launches = [step for step in steps if isinstance(step, LaunchSpec)]
    nbytes = sum(step.nbytes for step in steps)
    return Work(len(steps), nbytes, sum(map(products.flops_of, launches)))


# Whether it is right


def _compared(
    path: Path,
    sizes: Mapping[str, int],
    loaded: Any,
    given: Mapping[str, Any],
    before: Mapping[str, Any],
) -> str:
    """Compares two calls with those of the graph, compiled here for the same level."""
    if loaded.target is None:
        return "not compared: the graph was compiled here"
    with config.scope(target=loaded.target.level):
        other = _loaded(path, sizes, native=False)
        loaded.load_state_dict(before, strict=False)
        ours, theirs = _fresh(given), _fresh(given)
        for _ in range(2):
            pairs = (loaded(**ours), other(**theirs)), (ours, theirs)
            states = loaded.state_dict(), other.state_dict()
            if any(_bits(one) != _bits(two) for one, two in (*pairs, states)):
                raise late("tracejit._errors").ArtifactError(
                    f"{path}: its native code gives other bits than its graph"
                )
    return "those of the graph, compiled here for the same level"


def _bits(value: Any) -> Any:
    """What is equal for results of the same structure, types and bits."""
    if isinstance(value, Mapping):
        return [(key, _bits(part)) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [*map(_bits, value)]
    array = np.asarray(value.detach() if hasattr(value, "detach") else value)
    return type(value), array.dtype, array.shape, array.tobytes()


def _fresh(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that a call may write to."""
    return deepcopy(dict(given))


# What it takes


def _timed(
    loaded: Any, given: Mapping[str, Any], before: Mapping[str, Any], seconds: float
) -> list[Timing]:
    """Batches on one thread and on all, in turn; afterwards the state is that of the file again."""
    timings = [Timing(threads, []) for threads in sorted({1, get_num_threads()})]
    calls = 0
    end = time.perf_counter() + seconds
    while len(timings[-1].seconds) < LEAST_BATCHES or time.perf_counter() < end:
        for timing in timings:
            with config.scope(num_threads=timing.threads):
                loaded.load_state_dict(before, strict=False)
                timer = _timer(loaded, _fresh(given))
                taken = timer.timeit(WARM_CALLS) / WARM_CALLS
                calls = calls or max(1, round(BATCH_SECONDS / taken))
                timing.seconds.append(timer.timeit(calls) / calls)
    loaded.load_state_dict(before, strict=False)
    return timings


def _timer(loaded: Any, arguments: Mapping[str, Any]) -> timeit.Timer:
    """Times the call as one would write it."""
    keywords = {each.name: each.is_keyword for each in loaded.manifest.call.parameters}
    written = [f"{name}={name}" if keywords[name] else name for name in arguments]
    return timeit.Timer(f"_loaded({', '.join(written)})", globals={**arguments, "_loaded": loaded})


# How it is told


def _code(loaded: Any) -> str:
    if loaded.target is None:
        return "compiled here: the file has none for this machine"
    return f"from the file, for {loaded.target.level} of {loaded.target.system}"


def _flops(work: Work) -> str:
    return f" and multiply matrices with {work.flops / 1e6:.3g} MFLOP" if work.flops else ""


def _line(timing: Timing, work: Work) -> str:
    low, median, high = timing.quartiles
    between = f"{_time(low)} to {_time(high)}"
    computed = f"{work.flops / median / 1e9:.1f}" if work.flops else "-"
    rates = f"{work.nbytes / median / 1e9:4.1f}  {computed:>7}"
    return f"  {timing.threads:<8} {_time(median):<11} {between:<24} {1 / median:9,.0f}  {rates}"


def _time(seconds: float) -> str:
    unit, size = next(
        ((unit, size) for unit, size in (("s", 1.0), ("ms", 1e-3)) if seconds >= size), ("us", 1e-6)
    )
    return f"{seconds / size:.1f} {unit}"
