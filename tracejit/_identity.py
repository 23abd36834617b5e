"""Objects told apart by identity, whatever their `__eq__` says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

K = TypeVar("K")
T = TypeVar("T")


def each_once(items: Iterable[tuple[K, T]]) -> Iterator[tuple[K, T]]:
    """The pairs whose second part is an object that has not come before."""
    seen: set[int] = set()
    held: list[T] = []  # so that no id is used twice
    for name, item in items:
        if id(item) not in seen:
            seen.add(id(item))
            held.append(item)
            yield name, item
