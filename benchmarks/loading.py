"""`python -m benchmarks.loading`: what a process that only runs an artifact takes, beyond importing NumPy.

Fresh processes, in turn with those that import NumPy alone; processor time, which other programs disturb less than the clock's.
What they disturb least is how it compares with NumPy's of the same round.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import tracejit as tj
from benchmarks.measure import ROOT, with_bytecode, write_bytecode
from tracejit import nn

ROUNDS = 25
CLOCK = """
import resource
def taken():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
begin = taken()
exec({program!r})
print(taken() - begin)
"""


def programs(path: Path) -> dict[str, str]:
    load = f"import numpy as np, tracejit as tj; f = tj.load({str(path)!r})"
    return {
        "numpy": "import numpy",
        "numpy, tracejit": "import numpy, tracejit",
        "tj.load of the MLP": load,
        "and a call with an array": f"{load}; f(np.zeros((128, 64), np.float32))",
        "numpy, all of tracejit": "import numpy, tracejit; tracejit.nn",
    }


def export_network(path: Path) -> None:
    """The digits MLP."""
    tj.random.seed(0)
    layers = nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    tj.export(nn.Sequential(*layers), (tj.ones((128, 64)),), path)


def processor_seconds(program: str) -> float:
    """Of a fresh process, its interpreter's own start not counted."""
    command = [sys.executable, "-c", CLOCK.format(program=program)]
    done = subprocess.run(
        command, cwd=ROOT, env=with_bytecode(), capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def measured(path: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds by program, the programs in turn."""
    found: dict[str, list[float]] = {name: [] for name in programs(path)}
    for _ in range(rounds):
        for name, program in programs(path).items():
            found[name].append(processor_seconds(program))
    return found


def main() -> int:
    write_bytecode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mlp.tj")
        export_network(path)
        found = measured(path, ROUNDS)
    alone = found["numpy"]
    for name, seconds in found.items():
        low, median, high = statistics.quantiles(seconds, n=4)
        more = median - statistics.median(alone)
        share = statistics.median(one / other - 1 for one, other in zip(seconds, alone))
        beyond = f"beyond NumPy {1e3 * more:5.1f} ms, {share:.2f} of it" if name != "numpy" else ""
        print(f"{name:26} {1e3 * median:6.1f} ms ({1e3 * low:.1f} to {1e3 * high:.1f})  {beyond}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
