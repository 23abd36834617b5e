"""How many threads to use: the cores that this process may run on."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path


@cache
def available_cores() -> int:
    """Cores in this process's affinity mask and within its control group's quota, at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(cores, _quota(Path("/sys/fs/cgroup"), cores)))


def _quota(root: Path, cores: int) -> int:
    """The cores that a control group's CPU quota amounts to, rounded up; `cores` where there is no quota."""
    try:
        limit, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            limit = (root / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return cores
    if not (limit.isdigit() and period.isdigit() and int(period)):
        return cores  # "max" or -1: no limit
    return -(-int(limit) // int(period))
