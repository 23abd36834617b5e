"""Kinds of iterators that native code advances without calling code that nobody knows."""

from __future__ import annotations

import itertools
from types import GeneratorType

ITERATORS = frozenset({
    type(iter([])), type(iter(())), type(iter({})), type(iter({}.items())), type(iter({}.values())), type(iter(set())),
    type(iter("")), type(iter(b"")), type(iter(range(0))), type(iter(range(1 << 70))), type(reversed([])),
    type(reversed({})), type({}.items()), type({}.keys()), type({}.values()), zip, enumerate, map, filter, reversed,
    GeneratorType, itertools.chain, itertools.islice, itertools.count, itertools.product, itertools.repeat,
    itertools.accumulate, itertools.starmap, itertools.zip_longest, itertools.cycle, itertools.takewhile,
    itertools.dropwhile, itertools.combinations, itertools.permutations, itertools.pairwise,
})  # fmt: skip
