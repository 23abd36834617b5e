"""What was measured, as a table and as a record."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.measure import Measurement

PACKAGES = ["numpy", "tracejit", "llvmlite", "torch", "jax", "numba", "scipy"]
HEADER = [
    "workload",
    "system",
    "threads",
    "median",
    "min",
    "speed-up",
    "over best",
    "first call",
    "from disk",
    "memory",
    "error",
]


def table(measurements: Sequence[Measurement]) -> str:
    """A line per measurement, compared with the others of its workload and number of threads.

    "speed-up" is NumPy's median over the system's, "over best" the system's over that of the fastest.
    """
    body = []
    for _, group in groupby(measurements, key=lambda m: (m.workload, m.threads)):
        compared = list(group)
        medians = {m.system: m.median for m in compared if m.median is not None}
        body.extend(line(m, medians) for m in compared)
    return aligned([HEADER, *body])


def line(m: Measurement, medians: dict[str, float]) -> list[str]:
    start = [m.workload, m.system, str(m.threads)]
    if m.failure:
        return [*start, "failed: " + m.failure.strip().splitlines()[-1][:60]]
    if not m.is_correct:
        return [*start, f"wrong: {m.error:.1e} from float64 NumPy"]
    numpy, best = medians.get("numpy"), min(medians.values(), default=None)
    return [
        *start,
        duration(m.median),
        duration(m.minimum),
        ratio(numpy, m.median),
        ratio(m.median, best),
        duration(m.first_call),
        duration(m.first_call_from_disk),
        f"{m.peak_bytes / 2**20:.0f} MiB" if m.peak_bytes else "-",
        f"{m.error:.0e}",
    ]


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.2f} {unit}"
    return f"{seconds / 1e-6:.1f} us"


def ratio(a: float | None, b: float | None) -> str:
    return "-" if a is None or b is None else f"{a / b:.2f}"


def aligned(lines: Sequence[Sequence[str]]) -> str:
    columns = len(lines[0])
    full = [entry for entry in lines if len(entry) == columns]
    widths = [max(len(entry[i]) for entry in full) for i in range(columns)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < 2 or len(entry) < columns else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(entry, widths, strict=False))
        ).rstrip()
        for entry in lines
    )


def machine() -> dict[str, Any]:
    """Where and with what it was measured."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": dict(versions()),
    }


def processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [entry.split(":", 1)[1].strip() for entry in lines if entry.startswith("model name")]
    return names[0] if names else platform.processor()


def versions() -> list[tuple[str, str]]:
    found = []
    for package in PACKAGES:
        try:
            found.append((package, importlib.metadata.version(package)))
        except PackageNotFoundError:
            continue
    return found
