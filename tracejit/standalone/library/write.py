"""`tj.export(..., c=folder)`: a function as a library for C."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tracejit import __version__, portable
from tracejit._errors import ExportError, at_user_line
from tracejit._records import dataclass
from tracejit.artifact import KernelSource
from tracejit.portable import LEVELS
from tracejit.runtime.workspace import aligned
from tracejit.standalone.library.build import build, compiler
from tracejit.standalone.library.interface import inputs_of, outputs_of, state_of
from tracejit.standalone.library.tables import (
    Contents,
    Interface,
    LevelCode,
    header_text,
    package_text,
    tables_text,
)
from tracejit.standalone.machine.bodies import CallCode, call_code
from tracejit.standalone.machine.frame import Frame, frame_of
from tracejit.standalone.machine.steps import Placed
from tracejit.standalone.machine.writer import Unable
from tracejit.standalone.putting import put
from tracejit.standalone.records import Call, Options, Target

MOST_STATE = 1 << 30
"""Bytes of tensors in a library: code and data have to be within 2 GiB of each other."""


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """What a library is made of: a call whose state has values, its programs' graphs, and all tensors by name."""

    name: str
    shown: str
    where: str
    call: Call
    graphs: Sequence[Any]
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

    def add(self, content: Any) -> int:
        place, self.size = self.size, aligned(self.size + len(content))
        self.pieces.append(content)
        return place

    def write(self, file: Any) -> None:
        for each in self.pieces:
            file.write(each)
            file.write(bytes(aligned(len(each)) - len(each)))
        file.write(bytes(1))  # so that the symbol has something to name


class _Library:
    """Its objects, and the texts that are compiled with them."""

    def __init__(self, function: Function, levels: Sequence[str]) -> None:
        self.function = function
        self.constants = _Constants()
        self.placed = {
            name: self.constants.add(np.ascontiguousarray(each).reshape(-1).view(np.uint8).data)
            for name, each in function.tensors.items()
        }
        if self.constants.size > MOST_STATE:
            raise ExportError(f"{function.where}: export: for C: the state is larger than 1 GiB")
        self.objects: dict[str, bytes] = {}
        made = [self.level(level) for level in levels]
        frame, code, _ = made[0]
        assert all(each.failures == code.failures for _, each, _ in made), (
            "one table for all levels"
        )
        call = function.call
        interface = Interface(
            function.name,
            f"{function.shown}, defined at {function.where}",
            inputs_of(call),
            outputs_of(call, code.kinds, function.where),
            state_of(call, frame),
        )
        contents = Contents(
            interface, frame, self.placed, [each for _, _, each in made], code.failures
        )
        self.texts = {
            f"{function.name}.h": header_text(interface, levels),
            "tables.h": tables_text(contents),
            **{each: package_text(each) for each in ("library.c", "arrays.h", "processor.h")},
        }

    def level(self, level: str) -> tuple[Frame, CallCode, LevelCode]:
        """All names begin with the library's, so that two of them may be in one program."""
        function, call = self.function, self.function.call
        prefix = f"{function.name}_{level}"
        options = function.options
        plans, kernels = portable.planned(
            function.graphs, level, fastmath=options.fastmath, memory_limit=options.memory_limit
        )
        sizes = {name: len(each) for name, each in function.tensors.items() if name[0] == "#"}
        try:
            frame = frame_of(call, plans, sizes)
        except Unable as unable:
            raise ExportError(f"{function.where}: export: for C: {unable}") from None
        placed = Placed(self.placed, [self.constants.add(plan.constants) for plan in plans])
        code = call_code(f"{prefix}_call", call, plans, frame, placed, function.where)
        unique = {each.name: each for each in kernels.values()}
        renamed = {
            name: _renamed(each, f"{prefix}_kernel{number}")
            for number, (name, each) in enumerate(sorted(unique.items()))
        }
        run = _renamed(portable.runner_source(), f"{prefix}_run")
        sources = (*renamed.values(), run, code.source)
        objects = portable.objects_of(sources, level)
        self.objects |= {f"{name}.o": data for name, data in objects.items()}
        symbols = {use: renamed[each.name].name for use, each in kernels.items()}
        return frame, code, LevelCode(level, plans, symbols, code.source.name, run.name)


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
