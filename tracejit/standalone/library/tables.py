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
from tracejit.standalone.library.interface import Input, Item
from tracejit.standalone.machine.frame import Frame, workspace_bytes
from tracejit.standalone.machine.writer import Failure, Why
from tracejit.standalone.records import NumberState, State

_CODES = {
    Why.INDEX: "ERROR_INDEX",
    Why.CHANGED: "ERROR_CHANGED",
    Why.ARITHMETIC: "ERROR_ARITHMETIC",
    Why.OVERFLOW: "ERROR_OVERFLOW",
    Why.RAISED: "ERROR_RAISED",
}


@dataclass(frozen=True, slots=True, eq=False)
class LevelCode:
    """What a library has for one level: the plans, by what launches call them the kernels' symbols, and two functions'."""

    level: str
    plans: Sequence[Plan]
    kernels: Mapping[str, str]
    call: str
    run: str


@dataclass(frozen=True, slots=True, eq=False)
class Interface:
    """All that C sees of a function."""

    name: str
    what: str
    inputs: Sequence[Input]
    outputs: Sequence[Item]
    state: Sequence[Item]


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """What "tables.h" tells; `placed` is where the state's tensors are among the constants, by name."""

    interface: Interface
    frame: Frame
    placed: Mapping[str, int]
    levels: Sequence[LevelCode]
    failures: Sequence[Failure]


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


# The tables


def tables_text(contents: Contents) -> str:
    return "\n".join(_Tables(contents).lines())


class _Tables:
    def __init__(self, contents: Contents) -> None:
        self.contents = contents
        self.interface = contents.interface

    def n(self, name: str) -> str:
        return f"{self.interface.name}_{name}"

    def lines(self) -> Iterator[str]:
        it = self.interface
        yield f'#include "{it.name}.h"'
        yield f"#define N(name) {it.name}_##name"
        yield from self.numbers()
        yield from self.constants()
        yield from self.infos("inputs", [each.item for each in it.inputs])
        yield from self.infos("outputs", it.outputs)
        yield from self.infos("state_infos", it.state)
        cells = [self.contents.frame.cells[each.slot] for each in it.inputs]
        yield from _array("const size_t input_cells", map(str, cells))
        places = (f"{{{each.found}, {each.wanted or 0}}}" for each in self.contents.frame.returned)
        yield from _array("const struct result output_places", places)
        yield from _array("const struct state states", map(self.state, self.contents.frame.held))
        areas = self.contents.frame.areas
        yield from _array(
            "const struct area areas", (f"{{{each.word}, {each.offset}}}" for each in areas)
        )
        yield from _array(
            "const struct failure failures",
            (f"{{{self.n(_CODES[f.why])}, {quoted(f.text)}}}" for f in self.contents.failures),
        )
        for level in self.contents.levels:
            yield from self.level_tables(level)
        yield from _array("const struct level levels", map(self.level, self.contents.levels))

    def numbers(self) -> Iterator[str]:
        frame, it = self.contents.frame, self.interface
        values: dict[str, Any] = {
            "INPUTS": len(it.inputs),
            "OUTPUTS": len(it.outputs),
            "STATES": len(it.state),
            "AREAS": len(frame.areas),
            "LEVELS": len(self.contents.levels),
            "PROGRAMS": len(self.contents.levels[0].plans),
            "WORDS": frame.words,
            "WORKSPACE": frame.workspace,
            "CHANGES": int(bool(frame.changed)),
            "MOST_AXES": 32,
            "LINE": ALIGNMENT,
            "POOL_THREADS": pool_ir.THREADS,
            "POOL_STARTED": pool_ir.STARTED,
            "POOL_MOST_THREADS": pool_ir.MAX_THREADS,
            "VERSION": quoted(__version__),
            "LEVEL_NAMES": quoted(", ".join(each.level for each in self.contents.levels)),
            "CONSTANTS": self.n("constants"),
        }
        for name, value in values.items():
            yield f"#define {name} {value}"
        size = pool_ir.CONTEXT_BYTES
        yield f"static _Alignas({size}) unsigned char pool[{size}]; /* what threads find each other by */"

    def constants(self) -> Iterator[str]:
        name = self.n("constants")
        yield f'extern const unsigned char {name}[] __attribute__((visibility("hidden")));'
        yield package_text("constants.inc").replace("NAME", name)

    def infos(self, array: str, items: Sequence[Item]) -> Iterator[str]:
        for number, each in enumerate(items):
            if each.shape:
                yield f"static const int64_t {array}_{number}[] = {{{_joined(each.shape)}}};"
        found = []
        for number, each in enumerate(items):
            shape = f"{array}_{number}" if each.shape else "NULL"
            flags = f"{int(each.is_number)}, {int(each.is_written)}"
            dtype = self.n(each.dtype.upper())
            found.append(f"{{{quoted(each.name)}, {dtype}, {len(each.shape)}, {shape}, {flags}}}")
        yield from _array(f"const {self.n('info')} {array}", found)

    def state(self, state: State) -> str:
        frame = self.contents.frame
        cell, changes = frame.cells[state.slot], int(state.slot in frame.changed)
        if isinstance(state, NumberState):
            return f"{{{cell}, {changes}, 0, 0, {{{_word(state.value)}}}}}"
        there = frame.there.get(state.slot, 0)
        return f"{{{cell}, {changes}, {there}, {self.contents.placed.get(state.name, 0)}, {{0}}}}"

    def level_tables(self, level: LevelCode) -> Iterator[str]:
        hidden = '__attribute__((visibility("hidden")))'
        for symbol in (*sorted({*level.kernels.values()}), level.run):
            yield f"extern void {symbol}(void) {hidden};"
        yield f"extern int64_t {level.call}(word *) {hidden};"
        kernels = {name: f"{{.code = {symbol}}}" for name, symbol in level.kernels.items()}
        for number, plan in enumerate(level.plans):
            launches = [step for step in plan.steps if isinstance(step, LaunchSpec)]
            layout = workspace_of(plan)
            head = "{.pointer = pool}", layout.pointers_at, layout.scratch_at
            words = table_words(launches, kernels, Slots(plan), head)
            yield from _array(
                f"const word table_{level.level}_{number}",
                (each if isinstance(each, str) else f"{{{_integer(each)}}}" for each in words),
            )
        names = (f"table_{level.level}_{number}" for number in range(len(level.plans)))
        yield from _array(f"const word *const tables_{level.level}", names)

    def level(self, level: LevelCode) -> str:
        fixed, scratch = workspace_bytes(level.plans)
        names = f"{quoted(level.level)}, {level.call}, {level.run}, tables_{level.level}"
        return f"{{{names}, {fixed}, {scratch}}}"


def _array(declaration: str, items: Iterator[str] | Sequence[str]) -> Iterator[str]:
    """A table of C's, which has one element at least."""
    kind, _, name = declaration.rpartition(" ")
    yield f"static {kind} {name}[] = {{"
    listed = [*items]
    yield from (f"    {each}," for each in listed or ["0" if kind == "const size_t" else "{0}"])
    yield "};"


def _joined(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


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
