"""`python -m benchmarks.summary FILE`: the figures of a JSON file as a Markdown table, workloads by systems."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import duration

Figures = dict[str, Any]


def markdown(measurements: Sequence[Figures]) -> str:
    """Medians, in brackets how many times as fast as NumPy; the fastest in bold."""
    systems = list(dict.fromkeys(m["system"] for m in measurements))
    lines = [
        f"| workload | {' | '.join(systems)} |",
        f"|---|{'---:|' * len(systems)}",
    ]
    for workload in dict.fromkeys(m["workload"] for m in measurements):
        row = {m["system"]: m for m in measurements if m["workload"] == workload}
        cells = (cell(row, system) for system in systems)
        lines.append(f"| {workload} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(row: dict[str, Figures], system: str) -> str:
    medians = {name: figures["median"] for name, figures in row.items() if figures["median"]}
    if system not in medians:
        return "-"
    median = medians[system]
    text = duration(median)
    if system != "numpy" and "numpy" in medians:
        text += f" ({medians['numpy'] / median:.2g}x)"
    return f"**{text}**" if median == min(medians.values()) else text


def main() -> None:
    record = json.loads(Path(sys.argv[1]).read_text())
    machine = record["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    for threads in dict.fromkeys(m["threads"] for m in record["measurements"]):
        print(
            f"{machine['processor']}, {threads} threads; Python {machine['python']}, {versions}\n"
        )
        print(markdown([m for m in record["measurements"] if m["threads"] == threads]), end="\n\n")


if __name__ == "__main__":
    main()
