"""Sums on their way to memory: stored, or added to what is there where the function's %add is set."""

from __future__ import annotations

from tracejit.runtime.cpu.writer import VectorWriter


def write_sum(w: VectorWriter, target: str, value: str, mask: str | None = None) -> None:
    """A vector of sums: in all lanes, or in those where `mask` is set."""
    # What is not added to may be uninitialised, but it is in memory of ours; the sum of it is not used.
    old = w.load_where(mask, target) if mask else w.load(target)
    total = w.let(f"fadd {w.vector} {old}, {value}")
    new = w.let(f"select i1 %add, {w.vector} {total}, {w.vector} {value}")
    if mask:
        w.put_where(mask, target, new)
    else:
        w.put(target, new)


def write_element(w: VectorWriter, target: str, value: str) -> None:
    """One sum."""
    old = w.let(f"load {w.element}, ptr {target}, align {w.size}")
    total = w.let(f"fadd {w.element} {old}, {value}")
    new = w.let(f"select i1 %add, {w.element} {total}, {w.element} {value}")
    w.do(f"store {w.element} {new}, ptr {target}, align {w.size}")
