"""What is said of one function to `library.c`: "tables.h", and the header that programs see, as text."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

from tracejit import __version__
from tracejit._records import dataclass
from tracejit.artifact import LaunchSpec, Plan
from tracejit.runtime.cpu import pool_ir
from tracejit.runtime.pool import ALIGNMENT
from tracejit.runtime.program import Slots
from tracejit.runtime.table import table_words
from tracejit.runtime.workspace import workspace_of
from tracejit.standalone.combinations import Values, named
from tracejit.standalone.library.interface import Input, Item
from tracejit.standalone.machine.frame import Frame, workspace_bytes
from tracejit.standalone.machine.writer import Failure, Kind, Shown, Why
from tracejit.standalone.records import NumberState, State

_CODES = {
    Why.INDEX: "ERROR_INDEX",
    Why.CHANGED: "ERROR_CHANGED",
    Why.ARITHMETIC: "ERROR_ARITHMETIC",
    Why.OVERFLOW: "ERROR_OVERFLOW",
    Why.RAISED: "ERROR_RAISED",
}
_HIDDEN = '__attribute__((visibility("hidden")))'


@dataclass(frozen=True, slots=True, eq=False)
class LevelCode:
    """What a library has for one level and one combination of sizes: the plans, by what launches call them the kernels' symbols,
    and the symbol of the call."""

    level: str
    plans: Sequence[Plan]
    kernels: Mapping[str, str]
    call: str


@dataclass(frozen=True, slots=True, eq=False)
class Combination:
    """All that depends on the sizes, for one combination of those that are open, or for the only one there is."""

    sizes: Values
    inputs: Sequence[Input]
    outputs: Sequence[Item]
    frame: Frame
    failures: Sequence[Failure]
    levels: Sequence[LevelCode]


@dataclass(frozen=True, slots=True, eq=False)
class Interface:
    """All that C sees of a function; `sizes` are the names of those that are open, and `ahead` those that there is code for."""

    name: str
    what: str
    inputs: Sequence[Input]
    outputs: Sequence[Item]
    state: Sequence[Item]
    sizes: Sequence[str]
    ahead: Sequence[Values]


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """What "names.h" and "tables.h" tell; `placed` is where the state's tensors are among the constants, by name, and `runs` has
    of each level the symbol of what runs launches."""

    interface: Interface
    placed: Mapping[str, int]
    runs: Mapping[str, str]
    combinations: Sequence[Combination]

    @property
    def held(self) -> Sequence[State]:
        """The state that the library keeps, in order; the same for all sizes."""
        return self.combinations[0].frame.held


def package_text(name: str) -> str:
    """A file beside this one."""
    return files(__package__).joinpath(name).read_text()


# The header


def header_text(interface: Interface, levels: Sequence[str]) -> str:
    values = {
        "WHAT": interface.what,
        "VERSION": __version__,
        "INPUTS": _listed([each.item for each in interface.inputs]),
        "OUTPUTS": _listed(interface.outputs),
        "STATE": _listed(interface.state),
        "SIZES": _sizes(interface),
        "LEVELS": ", ".join(levels),
    }
    text = package_text("public.h").replace("NAME", interface.name)
    for name, value in values.items():
        text = text.replace(f"@{name}@", value.replace("*/", "* /"))
    return text


def _listed(items: Sequence[Item]) -> str:
    width = max((len(each.name) for each in items), default=0)
    lines = [f"     {each.name:{width}}  {each}" for each in items]
    return "\n".join(lines) or "     none"


def _sizes(interface: Interface) -> str:
    if not interface.sizes:
        return "     none"
    there = (f"     {named(interface.sizes, each)}" for each in interface.ahead)
    return "\n".join([f"     {', '.join(interface.sizes)}; there is code for", *there])


# The tables


def names_text(contents: Contents) -> str:
    return "\n".join(_Tables(contents).names())


def tables_text(contents: Contents) -> str:
    return "\n".join(_Tables(contents).lines())


class _Tables:
    def __init__(self, contents: Contents) -> None:
        self.contents = contents
        self.interface = contents.interface

    def n(self, name: str) -> str:
        return f"{self.interface.name}_{name}"

    def names(self) -> Iterator[str]:
        it, contents = self.interface, self.contents
        yield f'#include "{it.name}.h"'
        yield f"#define N(name) {it.name}_##name"
        changed = any(each.frame.changed for each in contents.combinations)
        values: dict[str, Any] = {
            "INPUTS": len(it.inputs),
            "OUTPUTS": len(it.outputs),
            "STATES": len(it.state),
            "SIZES": len(it.sizes),
            "CHOSEN": len(self.chosen()),
            "COMBINATIONS": len(contents.combinations),
            "LEVELS": len(contents.runs),
            "PROGRAMS": len(contents.combinations[0].levels[0].plans),
            "CHANGES": int(changed),
            "MOST_AXES": 32,
            "LINE": ALIGNMENT,
            "POOL_THREADS": pool_ir.THREADS,
            "POOL_STARTED": pool_ir.STARTED,
            "POOL_MOST_THREADS": pool_ir.MAX_THREADS,
            "VERSION": quoted(__version__),
            "LEVEL_NAMES": quoted(", ".join(contents.runs)),
            "CONSTANTS": self.n("constants"),
        }
        for name, value in values.items():
            yield f"#define {name} {value}"

    def lines(self) -> Iterator[str]:
        it, contents = self.interface, self.contents
        size = pool_ir.CONTEXT_BYTES
        yield f"static _Alignas({size}) unsigned char pool[{size}]; /* what threads find each other by */"
        yield from self.constants()
        yield from self.infos("inputs", [each.item for each in it.inputs])
        yield from self.infos("outputs", it.outputs)
        yield from self.infos("state_infos", it.state)
        yield from _array("const struct state states", map(self.state, contents.held))
        yield from _array("const char *const size_names", map(quoted, it.sizes))
        yield from _array("const struct chosen chosen", self.chosen())
        for symbol in contents.runs.values():
            yield f"extern void {symbol}(void) {_HIDDEN};"
        levels = (f"{{{quoted(level)}, {run}}}" for level, run in contents.runs.items())
        yield from _array("const struct level levels", levels)
        for number, each in enumerate(contents.combinations):
            yield from self.combination(each, number)
        found = map(self.all_of, range(len(contents.combinations)), contents.combinations)
        yield from _array("const struct combination combinations", found)

    def constants(self) -> Iterator[str]:
        name = self.n("constants")
        yield f"extern const unsigned char {name}[] {_HIDDEN};"
        yield package_text("constants.inc").replace("NAME", name)

    def infos(self, array: str, items: Sequence[Item]) -> Iterator[str]:
        found = []
        for number, each in enumerate(items):
            shape, sizes = "NULL", "NULL"
            if each.shape:
                shape = f"{array}_shape_{number}"
                extents = (self.n("ANY_SIZE") if type(n) is str else str(n) for n in each.shape)
                yield f"static const int64_t {shape}[] = {{{', '.join(extents)}}};"
            if any(type(n) is str for n in each.shape):
                sizes = f"{array}_sizes_{number}"
                texts = (quoted(n) if isinstance(n, str) else "NULL" for n in each.shape)
                yield f"static const char *const {sizes}[] = {{{', '.join(texts)}}};"
            flags = f"{int(each.is_number)}, {int(each.is_written)}"
            head = f"{quoted(each.name)}, {self.n(each.dtype.upper())}, {len(each.shape)}"
            found.append(f"{{{head}, {shape}, {flags}, {sizes}}}")
        yield from _array(f"const {self.n('info')} {array}", found)

    def chosen(self) -> list[str]:
        """The axes of arguments that have an open size."""
        places = {name: place for place, name in enumerate(self.interface.sizes)}
        return [
            f"{{{places[extent]}, {number}, {axis}}}"
            for number, each in enumerate(self.interface.inputs)
            for axis, extent in enumerate(each.item.shape)
            if isinstance(extent, str)
        ]

    def state(self, state: State) -> str:
        frames = [each.frame for each in self.contents.combinations]
        changes = int(any(state.slot in frame.changed for frame in frames))
        if isinstance(state, NumberState):
            return f"{{{changes}, 1, 0, {{{_word(state.value)}}}}}"
        place = self.contents.placed.get(state.name, 0)
        return f"{{{changes}, {int(state.is_read)}, {place}, {{0}}}}"

    def combination(self, of: Combination, number: int) -> Iterator[str]:
        def table(kind: str, name: str, items: Iterator[str] | Sequence[str]) -> Iterator[str]:
            return _array(f"const {kind} {name}_{number}", items)

        frame = of.frame
        yield from table("int64_t", "sizes", [*map(str, of.sizes)])
        yield from self.infos(f"inputs_{number}", [each.item for each in of.inputs])
        yield from self.infos(f"outputs_{number}", of.outputs)
        cells = (str(frame.cells[each.slot]) for each in of.inputs)
        yield from table("size_t", "input_cells", cells)
        places = (f"{{{each.found}, {each.wanted or 0}}}" for each in frame.returned)
        yield from table("struct result", "output_places", places)
        held = (f"{{{frame.cells[s.slot]}, {frame.there.get(s.slot, 0)}}}" for s in frame.held)
        yield from table("struct held", "held", held)
        areas = (f"{{{each.word}, {each.offset}}}" for each in frame.areas)
        yield from table("struct area", "areas", areas)
        failures: list[str] = []
        parts: list[str] = []
        for each in of.failures:
            failures.append(f"{{{self.n(_CODES[each.why])}, {len(parts)}, {len(each.parts)}}}")
            parts += map(_part, each.parts)
        yield from table("struct failure", "failures", failures)
        yield from table("struct part", "parts", parts)
        for level in of.levels:
            yield from self.level_tables(level, number)
        codes = (self.code(level, number) for level in of.levels)
        yield from table("struct code", "codes", codes)

    def level_tables(self, level: LevelCode, combination: int) -> Iterator[str]:
        for symbol in sorted({*level.kernels.values()}):
            yield f"extern void {symbol}(void) {_HIDDEN};"
        yield f"extern int64_t {level.call}(word *) {_HIDDEN};"
        kernels = {name: f"{{.code = {symbol}}}" for name, symbol in level.kernels.items()}
        own = f"{level.level}_{combination}"
        for number, plan in enumerate(level.plans):
            launches = [step for step in plan.steps if isinstance(step, LaunchSpec)]
            layout = workspace_of(plan)
            head = "{.pointer = pool}", layout.pointers_at, layout.scratch_at
            words = table_words(launches, kernels, Slots(plan), head)
            yield from _array(
                f"const word table_{own}_{number}",
                (each if isinstance(each, str) else f"{{{_integer(each)}}}" for each in words),
            )
        names = (f"table_{own}_{number}" for number in range(len(level.plans)))
        yield from _array(f"const word *const tables_{own}", names)

    def code(self, level: LevelCode, combination: int) -> str:
        fixed, scratch = workspace_bytes(level.plans)
        return f"{{{level.call}, tables_{level.level}_{combination}, {fixed}, {scratch}}}"

    def all_of(self, number: int, of: Combination) -> str:
        frame = of.frame
        names = "sizes inputs outputs input_cells output_places held areas".split()
        numbers = f"{len(frame.areas)}, {frame.words}, {frame.workspace}"
        tables = ", ".join(f"{each}_{number}" for each in names)
        return f"{{{tables}, {numbers}, failures_{number}, parts_{number}, codes_{number}}}"


def _part(part: str | Shown) -> str:
    """Of a failure's text."""
    if isinstance(part, str):
        return f"{{AS_IS, 0, {quoted(part)}}}"
    is_whole = part.kind is Kind.FLOAT and part.how.endswith("s")
    kind = "AS_PYTHON" if is_whole else f"AS_{part.kind.name}"
    return f"{{{kind}, {part.word}, {quoted('%' + part.how)}}}"


def _array(declaration: str, items: Iterator[str] | Sequence[str]) -> Iterator[str]:
    """A table of C's, which has one element at least."""
    kind, _, name = declaration.rpartition(" ")
    yield f"static {kind} {name}[] = {{"
    listed = [*items]
    empty = "0" if kind.endswith(("size_t", "int64_t", "*const")) else "{0}"
    yield from (f"    {each}," for each in listed or [empty])
    yield "};"


def _integer(number: int) -> str:
    """A literal of 64 bits; the least has none."""
    return f"INT64_C({number})" if number > -(1 << 63) else "INT64_MIN"


def _word(value: Any) -> str:
    """The initial value of a word that holds a number."""
    if type(value) is float:
        value = struct.unpack("<q", struct.pack("<d", value))[0]
    return _integer(int(value))


def quoted(text: str) -> str:
    """A literal of C's."""
    plain = "".join(
        chr(each) if 32 <= each < 127 and each not in b'"\\?' else f"\\{each:03o}"
        for each in text.encode()
    )
    return f'"{plain}"'
