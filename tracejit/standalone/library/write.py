"""`tj.export(..., c=folder)`: a function as a library for C."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from tracejit import __version__, portable
from tracejit._errors import ExportError, at_user_line
from tracejit._records import dataclass
from tracejit.artifact import KernelSource
from tracejit.portable import LEVELS
from tracejit.runtime.workspace import aligned
from tracejit.standalone.combinations import Values
from tracejit.standalone.library.build import build, compiler
from tracejit.standalone.library.interface import inputs_of, outputs_of, state_of
from tracejit.standalone.library.tables import (
    Combination,
    Contents,
    Interface,
    LevelCode,
    header_text,
    names_text,
    package_text,
    tables_text,
)
from tracejit.standalone.machine.bodies import CallCode, call_code
from tracejit.standalone.machine.frame import Frame, frame_of
from tracejit.standalone.machine.steps import Placed
from tracejit.standalone.machine.writer import Kind, Unable
from tracejit.standalone.putting import put
from tracejit.standalone.records import Call, Open, Options, Target

_TEXTS = "library.c", "messages.h", "arrays.h", "processor.h"
MOST_STATE = 1 << 30
"""Bytes of tensors in a library: code and data have to be within 2 GiB of each other."""


@dataclass(frozen=True, slots=True, eq=False)
class Sized:
    """The call and its programs' graphs for one combination of sizes; of no sizes, where none are open."""

    values: Values
    call: Call
    graphs: Sequence[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """What a library is made of: a call whose state has values, what it is for the sizes that code is made for, and all tensors
    by name."""

    name: str
    shown: str
    where: str
    sizes: Open
    call: Call
    sized: Sequence[Sized]
    tensors: Mapping[str, np.ndarray]
    options: Options


def write_library(function: Function, targets: Sequence[Target], folder: Path) -> None:
    """Headers, libraries and what build systems find them by, below the folder, which may be moved.

    Raises ExportError for what needs Python, and without a C compiler.
    """
    compiler()
    levels = [name for name in LEVELS if any(each.level == name for each in targets)]
    made = _Library(function, levels)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        for name, content in made.texts.items():
            (place / name).write_text(content)
        with (place / "constants.bin").open("wb") as file:
            made.constants.write(file)
        libraries = build(function.name, place, made.objects)
        header = f"{function.name}.h"
        files = {f"include/{header}": (place / header).read_bytes()}
        files |= {f"lib/{each}": path.read_bytes() for each, path in libraries.items()}
    files |= {each: text.encode() for each, text in _descriptions(function.name).items()}
    for each, data in files.items():
        path = folder / each
        path.parent.mkdir(parents=True, exist_ok=True)
        put(path, [data])


def c_name(name: str | None, shown: str) -> str:
    """The name of a library, by which all of its functions begin. Raises ValueError or ExportError for what is no name in C."""
    if name is None:
        own = shown.rpartition(".")[2]
        if not re.fullmatch(r"[A-Za-z]\w*", own, re.ASCII):
            raise ExportError(at_user_line(f"export: {own!r} is no name in C: give one (name=)"))
        return own
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
        raise ValueError(at_user_line(f"export: {name!r} is no name in C"))
    return name


class _Constants:
    """Bytes that a library holds, one piece after the other, each at a place that is aligned."""

    def __init__(self) -> None:
        self.pieces: list[Any] = []
        self.size = 0
        self._places: dict[bytes, int] = {}

    def add(self, content: Any) -> int:
        place, self.size = self.size, aligned(self.size + len(content))
        self.pieces.append(content)
        return place

    def add_once(self, content: bytes) -> int:
        """Plans for several sizes may have the same."""
        if content not in self._places:
            self._places[content] = self.add(content)
        return self._places[content]

    def write(self, file: Any) -> None:
        for each in self.pieces:
            file.write(each)
            file.write(bytes(aligned(len(each)) - len(each)))
        file.write(bytes(1))  # so that the symbol has something to name


class _Library:
    """Its objects, and the texts that are compiled with them. All symbols begin with its name, so that two of them may be in one
    program; kernels that are alike, for whatever sizes, are there once."""

    def __init__(self, function: Function, levels: Sequence[str]) -> None:
        self.function = function
        self.constants = _Constants()
        self.placed = {
            name: self.constants.add(np.ascontiguousarray(each).reshape(-1).view(np.uint8).data)
            for name, each in function.tensors.items()
        }
        if self.constants.size > MOST_STATE:
            raise ExportError(f"{function.where}: export: for C: the state is larger than 1 GiB")
        self.levels = [_Level(level, f"{function.name}_{level}") for level in levels]
        sized = [*map(self.combination, range(len(function.sized)), function.sized)]
        self.objects = {
            f"{name}.o": data for level in self.levels for name, data in level.objects().items()
        }
        frame, kinds, _ = sized[0]
        combinations = [each for *_, each in sized]
        call = function.call
        interface = Interface(
            function.name,
            f"{function.shown}, defined at {function.where}",
            inputs_of(call),
            outputs_of(call, kinds, function.where),
            state_of(call, frame),
            function.sizes.names,
            function.sizes.ahead,
        )
        runs = {each.name: each.run.name for each in self.levels}
        contents = Contents(interface, self.placed, runs, combinations)
        self.texts = {
            f"{function.name}.h": header_text(interface, levels),
            "names.h": names_text(contents),
            "tables.h": tables_text(contents),
            **{each: package_text(each) for each in _TEXTS},
        }

    def combination(
        self, number: int, sized: Sized
    ) -> tuple[Frame, Mapping[int, Kind], Combination]:
        where = self.function.where
        made = [self.code(level, number, sized) for level in self.levels]
        frame, code, _ = made[0]
        assert all(each.failures == code.failures for _, each, _ in made), (
            "one table for all levels"
        )
        return (
            frame,
            code.kinds,
            Combination(
                sized.values,
                inputs_of(sized.call),
                outputs_of(sized.call, code.kinds, where),
                frame,
                code.failures,
                [each for _, _, each in made],
            ),
        )

    def code(self, level: _Level, number: int, sized: Sized) -> tuple[Frame, CallCode, LevelCode]:
        function, call = self.function, sized.call
        options = function.options
        plans, kernels = portable.planned(
            sized.graphs, level.name, fastmath=options.fastmath, memory_limit=options.memory_limit
        )
        sizes = {name: len(each) for name, each in function.tensors.items() if name[0] == "#"}
        try:
            frame = frame_of(call, plans, sizes)
        except Unable as unable:
            raise ExportError(f"{function.where}: export: for C: {unable}") from None
        placed = Placed(self.placed, [self.constants.add_once(plan.constants) for plan in plans])
        name = f"{level.prefix}_call{number}"
        code = call_code(name, call, plans, frame, placed, function.where)
        level.calls.append(code.source)
        return frame, code, LevelCode(level.name, plans, level.symbols(kernels), name)


class _Level:
    """The functions of one level, whose names begin with `prefix`."""

    def __init__(self, name: str, prefix: str) -> None:
        self.name, self.prefix = name, prefix
        self.run = _renamed(portable.runner_source(), f"{prefix}_run")
        self.kernels: dict[str, KernelSource] = {}
        """By the names that they are planned with."""
        self.calls: list[KernelSource] = []

    def symbols(self, kernels: Mapping[str, KernelSource]) -> dict[str, str]:
        """By what launches call them."""
        for each in sorted(kernels.values(), key=attrgetter("name")):
            if each.name not in self.kernels:
                own = f"{self.prefix}_kernel{len(self.kernels)}"
                self.kernels[each.name] = _renamed(each, own)
        return {use: self.kernels[each.name].name for use, each in kernels.items()}

    def objects(self) -> dict[str, bytes]:
        return portable.objects_of((*self.kernels.values(), self.run, *self.calls), self.name)


def _renamed(source: KernelSource, name: str) -> KernelSource:
    """The same function by another name."""
    text = re.sub(rf"@{re.escape(source.name)}\b", f"@{name}", source.text)
    return replace(source, name=name, text=text)


def _descriptions(name: str) -> dict[str, str]:
    """What pkg-config and CMake read."""
    found = {}
    for path, template in (
        (f"lib/pkgconfig/{name}.pc", "library.pc"),
        (f"lib/cmake/{name}/{name}Config.cmake", "library.cmake"),
    ):
        text = package_text(template)
        found[path] = text.replace("NAME", name).replace("VERSION", __version__)
    return found
