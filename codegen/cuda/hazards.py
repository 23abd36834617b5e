"""Where the threads of a team must meet: before one reads or writes memory that another has written or read.

A team does a task's statements one after another, each shared among its threads in a way of its own. Within a vector loop or a
fold along lanes each element belongs to one thread, and iterations are independent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

from tracejit._records import dataclass, field
from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.kernel.ir import (
    Buffer,
    Fold,
    For,
    Kernel,
    Kind,
    Let,
    Load,
    Stmt,
    Store,
    Tree,
)
from tracejit.dtypes import bool_


@dataclass(slots=True)
class Accesses:
    """Memory read and written since the team has met."""

    read: set[Buffer] = field(default_factory=set)
    """By each thread at places of its own."""
    read_alike: set[Buffer] = field(default_factory=set)
    """By all threads at the same place."""
    written: set[Buffer] = field(default_factory=set)
    is_shared: bool = True
    """Whether each thread writes at places of its own; else one writes for all."""

    def clashes(self, other: Accesses) -> bool:
        """Whether what comes in `other` must wait until all threads have done this."""
        if not self.written.isdisjoint(other.read | other.read_alike | other.written):
            return True
        return any(
            may_be_replaced(old, new, at_one_place=old in self.read_alike and other.is_shared)
            for old in self.read | self.read_alike
            for new in other.written
        )

    def add(self, other: Accesses) -> None:
        self.read |= other.read
        self.read_alike |= other.read_alike
        self.written |= other.written

    def clear(self) -> None:
        self.read.clear()
        self.read_alike.clear()
        self.written.clear()


def may_be_replaced(old: Buffer, new: Buffer, *, at_one_place: bool) -> bool:
    """Whether a write to `new` may replace what is read from `old`: the same memory, or an argument that is updated in place.

    Such an argument is read at the very places that are written, each before: never where all threads read one place, and each
    then writes its own.
    """
    if old is new:
        return True
    are_arguments = old.scratch is None and new.scratch is None
    is_pair = are_arguments and not old.written and old.dtype.itemsize == new.dtype.itemsize
    return is_pair and not at_one_place


def accesses(body: Sequence[Stmt], without: frozenset[Buffer] = frozenset()) -> Accesses:
    """Of all statements, but for those of some buffers."""
    found = Accesses()
    for stmt in statements(body):
        match stmt:
            case Load(buffer=buffer) | Store(buffer=buffer) if buffer in without:
                pass
            case Load(buffer=buffer):
                found.read.add(buffer)
            case Store(buffer=buffer, add=add):
                found.written.add(buffer)
                if add:
                    found.read.add(buffer)
            case Let() | For() | Fold():
                pass
            case _:
                assert_never(stmt)
    return found


def statements(body: Sequence[Stmt]) -> Iterator[Stmt]:
    """All of them, the inner ones too."""
    for stmt in body:
        yield stmt
        if isinstance(stmt, For | Fold):
            yield from statements(stmt.body)


def has_teams(kernel: Kernel) -> bool:
    """Whether there is anything for several threads to share."""
    return any(map(is_shared, statements(kernel.body)))


def is_shared(stmt: Stmt) -> bool:
    """Whether the statement is one that the threads of a team share."""
    if isinstance(stmt, For):
        return stmt.kind is Kind.VECTOR
    return isinstance(stmt, Fold) and stmt.tree is Tree.LANES


def meetings(kernel: Kernel, *, is_shared: bool = True) -> set[Stmt]:
    """The statements before which a team must meet. Where there is nothing to share, a team is one thread.

    is_shared   whether scratch is memory that all threads see, and not each thread's own
    """
    found: set[Stmt] = set()
    if not has_teams(kernel):
        return found
    own = frozenset() if is_shared else frozenset(kernel.scratch)
    for loop in kernel.body:
        _Finder(found, own).block(loop.body, Accesses())
    return found


class _Finder:
    """Walks what all threads of a team go through; the body of a loop twice, for what one iteration leaves to the next."""

    def __init__(self, found: set[Stmt], own: frozenset[Buffer] = frozenset()) -> None:
        self.found = found
        self.own = own

    def block(self, body: Sequence[Stmt], before: Accesses) -> None:
        for stmt in body:
            self.stmt(stmt, before)

    def stmt(self, stmt: Stmt, before: Accesses) -> None:
        if isinstance(stmt, For | Fold) and not self.is_divided(stmt):
            self.block(stmt.body, before)
            self.block(stmt.body, before)
            return
        own = accesses([stmt], without=self.own)
        if isinstance(stmt, Load | Store):
            own.is_shared = False
            own.read_alike, own.read = own.read, set()
        if stmt in self.found or before.clashes(own):
            self.found.add(stmt)
            before.clear()
        before.add(own)
        if isinstance(stmt, For) and is_columns(stmt):
            _Finder(self.found, self.own).block(stmt.body, Accesses())

    def is_divided(self, stmt: For | Fold) -> bool:
        """Whether its iterations may be shared among the threads."""
        if is_shared(stmt):
            return True
        return isinstance(stmt, Fold) and (is_independent(stmt) or stmt.tree is Tree.ROWS)


def is_columns(loop: For) -> bool:
    """Whether a vector loop is done by rows of threads: it holds folds that can be shared among them."""
    folds = [stmt for stmt in loop.body if isinstance(stmt, Fold)]
    return any(fold.tree is Tree.ROWS or is_independent(fold) for fold in folds)


def is_independent(fold: Fold) -> bool:
    """Whether a fold of no results is a loop whose iterations touch memory of their own."""
    inside = list(statements(fold.body))
    stores = [stmt for stmt in inside if isinstance(stmt, Store)]
    reads = {stmt.buffer for stmt in inside if isinstance(stmt, Load)}
    return not (fold.results or fold.carried) and all(
        not store.add
        and store.buffer not in reads
        and any(var is fold.index for var, _ in store.address.terms)
        for store in stores
    )


def rare_body(loop: For, meetings: set[Stmt]) -> For | None:
    """The last statement of a serial loop, if it is one that runs once or not at all, and all before it only finds that out."""
    *before, last = loop.body
    if not isinstance(last, For) or last.kind is not Kind.SERIAL or last in meetings:
        return None
    finds_out = all(isinstance(stmt, Let | Load) and stmt not in meetings for stmt in before)
    choices = {
        stmt.var
        for stmt in before
        if isinstance(stmt, Let) and stmt.fn is Fn.CAST and stmt.args[0].dtype is bool_
    }
    return last if finds_out and last.extent in choices else None
