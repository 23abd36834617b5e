"""All ways through a function, which calls after this one go as well.

The function is recorded as a compiled one is, once for each way that a decision leads to. Then the guards are looked at again:
those that do not hold any more, because a call itself has changed what they read, are of numbers that are state (a step count),
which the next recordings take as inputs, or the function does something else each time, and is not exported.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from tracejit._errors import ExportError
from tracejit._records import dataclass
from tracejit.standalone.apart import check_apart
from tracejit.standalone.arguments import Given, given
from tracejit.standalone.attempts import Attempts
from tracejit.standalone.examples import Examples
from tracejit.standalone.pieces import Piece, Route
from tracejit.standalone.reads import ATOMS, Changed
from tracejit.standalone.records import Open
from tracejit.standalone.script import Script, script_of
from tracejit.standalone.sizes import said_of
from tracejit.storage import as_array
from tracejit.tensor import Tensor
from tracejit.tracing.compile import Compiled
from tracejit.tracing.programs import Options, Programs
from tracejit.tracing.replay.sources import Source

MOST_RECORDINGS = 16
MOST_WAYS = 64
MOST_DECISIONS = 60
"""One inside the other: so are they in the file."""
MOST_PIECES = 300
"""Of which the tree of recordings is sure to keep each."""


@dataclass(frozen=True, slots=True, eq=False)
class Captured:
    """What a function does, and what stands in its state before it; `where` is the line at which the function is defined.

    sizes  those that are open, with what was asked of them
    """

    name: str
    where: str
    options: Options
    script: Script
    sizes: Open
    values: tuple[Any, ...]


def capture(f: Any, call: Examples) -> Captured:
    """Raises ExportError, which names the line, where an artifact cannot do what the function does."""
    function, options = (
        (f.function, f.programs.options) if isinstance(f, Compiled) else (f, Options())
    )
    options = Options(options.fastmath, options.memory_limit)
    attempts = Attempts(function, Programs(options), given(function, call))
    try:
        script = _script(attempts)
        sizes = said_of(attempts.sizes, call.names, call.ahead)
    finally:
        attempts.begin()
    check_apart(script, call.args, call.kwargs, attempts.definition)
    values = tuple(_value(place, attempts.given) for place in script.places)
    return Captured(attempts.tree.name, attempts.definition, options, script, sizes, values)


def _script(attempts: Attempts) -> Script:
    """Decisions on numbers are ways, and loops are closed, where that can be; else numbers have to be what they were, and loops
    are unrolled."""
    try:
        return _with_numbers_open(attempts)
    except ExportError as error:
        refusal = error
    if attempts.has_decided_numbers:
        attempts.decides_numbers = False
        with contextlib.suppress(ExportError):
            return _with_numbers_open(attempts)
    if attempts.has_decided and not attempts.has_too_many:
        attempts.decides_numbers, attempts.tree.unrolls = False, True
        with contextlib.suppress(ExportError):
            return _with_numbers_open(attempts)
    raise refusal


def _with_numbers_open(attempts: Attempts) -> Script:
    """The script in which those numbers among the arguments are inputs that can be: whose value decides nothing."""
    numbers = {source.identity for source in attempts.given.numbers()}
    try:
        script = _settled(attempts, numbers)
    except ExportError:
        is_by_data = attempts.has_too_many and not attempts.has_decided_numbers
        if not numbers or is_by_data:
            raise
        return _settled(attempts, set())
    return _settled(attempts, numbers - script.decisive) if script.decisive else script


def _settled(attempts: Attempts, numbers: set[Any]) -> Script:
    """The script of recordings that the next call would fit as well; `numbers` are the sources of inputs."""
    attempts.tree.symbolic = set(numbers)
    for _ in range(MOST_RECORDINGS):
        attempts.begin()
        try:
            first = _explored(attempts)
            attempts.sizes.is_open = True  # what is asked of them from here on counts as well
            of = attempts.given, attempts.sizes, attempts.function, attempts.definition
            return script_of(first, *of)
        except Changed as changed:
            attempts.tree.symbolic |= changed.sources
    raise ExportError(f"{attempts.definition}: export: each call does something else")


def _explored(attempts: Attempts) -> Piece:
    """The first of the pieces of all ways."""
    ways, route = attempts.ways, Route(attempts.ways)
    attempts.go(route)
    gone = [route]
    while (unknown := ways.unknown()) is not None:
        piece, outcome = unknown
        route = Route(ways, (*piece.history, outcome))
        try:
            attempts.go(route)
            _check_few(attempts)
            gone.append(route)
        except ExportError:
            piece.next.pop(outcome, None)
            if not ways.give_up(piece):
                raise
    for route in gone[:-1]:  # which did not know the guards of those that came later
        if ways.has(route.outcomes):
            attempts.go(Route(ways, tuple(route.outcomes)))
    if attempts.raised is not None and all(leaf.leaf and leaf.leaf.error for leaf in ways.leaves()):
        raise attempts.raised
    assert ways.first is not None
    return ways.first


def _check_few(attempts: Attempts) -> None:
    leaves = attempts.ways.leaves()
    deepest = max(leaves, key=lambda leaf: len([*leaf.above()]))
    decisions = [piece for piece in deepest.above() if len(piece.next) == 2]
    count = len(attempts.ways.pieces())
    if len(leaves) > MOST_WAYS or len(decisions) > MOST_DECISIONS or count > MOST_PIECES:
        attempts.has_too_many = True
        why = f"more than {MOST_WAYS} ways lead through the function"
        for where, reason in attempts.tree.open_loops.items():
            raise ExportError(f"{where}: export: {why}, as this loop is not closed: {reason}")
        raise ExportError(
            f"{decisions[0].where}: export: {why}, two from each decision: use tj.where"
        )


def _value(place: Source, given: Given) -> Any:
    """What stands at a place; None where nothing does, or nothing that an artifact carries."""
    try:
        value = place.follow(given.args, given.kwargs)
    except (AttributeError, KeyError, IndexError, TypeError):
        return None
    if isinstance(value, Tensor):
        return np.array(as_array(value))
    if type(value) is np.ndarray:
        return value.copy()
    return value if type(value) in ATOMS else None
