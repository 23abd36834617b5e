"""Combinations of the sizes that an artifact leaves open: which there is native code for, and where it is. What is loaded for
every artifact knows no more of open sizes than this.
"""

from __future__ import annotations

from collections.abc import Sequence

from tracejit.standalone.records import Open

Values = tuple[int, ...]
"""A combination of sizes, in the order of their names."""
NONE = Open((), (), (), (), ())
"""No size is open."""


def named(names: Sequence[str], values: Sequence[int]) -> str:
    """`batch=8, length=128`"""
    return ", ".join(f"{name}={value}" for name, value in zip(names, values))


def folder(values: Values) -> str:
    """Where a file has what is for one combination, in the folder of a target."""
    return f"{','.join(map(str, values))}/" if values else ""


def combinations(sizes: Open) -> tuple[Values, ...]:
    """Those that a file has native code for: one, of no sizes, where none are open."""
    return sizes.ahead if sizes.names else ((),)
