"""How many threads to use: the cores that this process may run on; and work shared among threads of Python's."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar

from tracejit._config import config

Item = TypeVar("Item")
Result = TypeVar("Result")


@cache
def available_cores() -> int:
    """Cores in this process's affinity mask and within its control groups' quotas, at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quotas = [_quota(group) for group in _groups("/proc/self/cgroup", "/sys/fs/cgroup")]
    return max(1, min([cores, *(quota for quota in quotas if quota)]))


def get_num_threads() -> int:
    """How many threads a program may use, the calling one included; at first one for each core that the process may use."""
    return config.num_threads or available_cores()


def _groups(membership: str, root: str) -> list[str]:
    """The folders of the control groups that this process is in, from `root` down to its own."""
    try:
        lines = _text(membership).splitlines()
    except OSError:
        return []
    groups = [root, f"{root}/cpu"]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        group = f"{root}/cpu" if controllers else root
        for part in filter(None, path.split("/")):
            group += f"/{part}"
            groups.append(group)
    return groups


def _quota(group: str) -> int | None:
    """The cores that a control group's quota amounts to, rounded up; None where it has none."""
    try:
        limit, period = _text(f"{group}/cpu.max").split()
    except (OSError, ValueError):
        try:
            limit = _text(f"{group}/cpu.cfs_quota_us").strip()
            period = _text(f"{group}/cpu.cfs_period_us").strip()
        except OSError:
            return None
    if not (limit.isdigit() and period.isdigit() and int(period)):
        return None  # "max", or -1
    return -(-int(limit) // int(period))


def _text(path: str) -> str:
    with open(path) as file:  # noqa: PTH123  # pathlib takes longer to load than a small program to run
        return file.read()


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
