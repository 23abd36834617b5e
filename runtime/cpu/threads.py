"""How many threads to use: the cores that this process may run on; and work shared among threads of Python's."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@cache
def available_cores() -> int:
    """Cores in this process's affinity mask and within its control groups' quotas, at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quotas = [_quota(group) for group in _groups(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))]
    return max(1, min([cores, *(quota for quota in quotas if quota)]))


def _groups(membership: Path, root: Path) -> list[Path]:
    """The folders of the control groups that this process is in, from `root` down to its own."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []
    groups = [root, root / "cpu"]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        group = root / "cpu" if controllers else root
        for part in Path(path).parts[1:]:
            group /= part
            groups.append(group)
    return groups


def _quota(group: Path) -> int | None:
    """The cores that a control group's quota amounts to, rounded up; None where it has none."""
    try:
        limit, period = (group / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            limit = (group / "cpu.cfs_quota_us").read_text().strip()
            period = (group / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not (limit.isdigit() and period.isdigit() and int(period)):
        return None  # "max", or -1
    return -(-int(limit) // int(period))


def in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], threads: int
) -> list[Result]:
    """The results in order of the items, which are begun in order. Raises the first error after all have ended.

    As an executor of `concurrent.futures`, which takes longer to import than a kernel to compile.
    """
    results: dict[int, Result] = {}
    errors: list[BaseException] = []
    waiting = iter(enumerate(items))
    lock = threading.Lock()

    def work() -> None:
        while not errors:
            with lock:
                number, item = next(waiting, (-1, None))
            if item is None:
                return
            try:
                results[number] = function(item)
            except BaseException as error:
                errors.append(error)

    others = [threading.Thread(target=work) for _ in range(min(threads, len(items)) - 1)]
    for thread in others:
        thread.start()
    work()
    for thread in others:
        thread.join()
    if errors:
        raise errors.pop(0)  # which refers to this frame: nothing here may refer to it
    return [results[number] for number in range(len(items))]
