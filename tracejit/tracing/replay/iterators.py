"""Kinds of iterators and views that native code walks through without calling code that nobody knows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from types import GeneratorType
from typing import Any

from tracejit.symbols import View


class Table:
    """What is iterated, or unpacked as `**table`, in the place of a dict some of whose numbers are symbols."""

    def __init__(self, table: dict[Any, Any], read: Callable[[Any], Any]) -> None:
        self.keys = table.keys
        self._table = table
        self._read = read

    def __iter__(self) -> Iterator[Any]:
        return iter(self._table)

    def __getitem__(self, key: Any) -> Any:
        return self._read(key)


VIEWS = frozenset({type({}.items()), type({}.keys()), type({}.values()), View})
ITERATORS = VIEWS | {
    type(iter([])), type(iter(())), type(iter({})), type(iter({}.items())), type(iter({}.values())), type(iter(set())),
    type(iter("")), type(iter(b"")), type(iter(range(0))), type(iter(range(1 << 70))), type(reversed([])),
    type(reversed({})), zip, enumerate, map, filter, reversed,
    GeneratorType, itertools.chain, itertools.islice, itertools.count, itertools.product, itertools.repeat,
    itertools.accumulate, itertools.starmap, itertools.zip_longest, itertools.cycle, itertools.takewhile,
    itertools.dropwhile, itertools.combinations, itertools.permutations, itertools.pairwise,
}  # fmt: skip
