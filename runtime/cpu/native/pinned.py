"""Guards that are not asked again while what they have read is as it was: settled ones (`settled.py`).

Where they are asked, each word of memory that they read is noted: a slot, a type, an item, a dict's version or entry.
A later call compares these words, in their order, so that each lies in an object to which an earlier one leads. If all are
the same, all that the guards say is; whoever has written them, and in what way, makes no difference.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

import numpy as np

from tracejit._native.abi import offset_of
from tracejit.runtime.buffer import BlockBuffer
from tracejit.runtime.cpu.native.commits import taken_over
from tracejit.runtime.cpu.native.counts import counts_in
from tracejit.runtime.cpu.native.memory_ir import BUFFER_ADDRESS
from tracejit.runtime.cpu.native.paths import Path
from tracejit.runtime.cpu.native.pins_ir import STEP
from tracejit.runtime.cpu.native.settled import Parts, Rules, parts_of
from tracejit.runtime.cpu.native.statements import Statements, parsed
from tracejit.runtime.cpu.native.values import Kind, Value
from tracejit.runtime.cpu.native.writer import Raw


class Pinned(Statements):
    """Writes guards. `rules` say which are settled, if any are to be."""

    rules: Rules | None = None
    found: dict[Path, Value]
    """What guards have found and hold, by its path."""

    def guards(self, lines: Iterable[str]) -> None:
        """Those of a call, which come before all else."""
        nodes = parsed(lines)
        has_words = self.abi.has_entries and self.abi.instance_dict_at is not None
        parts = None if self.rules is None or not has_words else parts_of(nodes, self.rules)
        self.variables, self.found = {}, {}
        self.counts = counts_in(nodes)
        for node in nodes if parts is None else parts.before:
            self.statement(node)
        if parts is not None:
            _Pins(self, parts).write()
            self.found = {path: self.variables[name] for path, name in parts.taken.items()}
            for node in parts.after:
                self.statement(node)
        self.counts = {}  # other lines have other variables

    def commit(self, lines: Iterable[str]) -> None:
        """The end of a call."""
        names = {path: f"found {place}" for place, path in enumerate(self.found)}
        self.variables = {names[path]: value for path, value in self.found.items()}
        for node in taken_over(parsed(lines), names):
            self.statement(node)


new_table = np.zeros
"""Makes a table; who wants to look at tables puts something else in its place."""


class _Pins:
    """Writes settled guards.

    A table has: how many words are known, the roots, the exports, the addresses of those that are buffers, and the words, each
    after its address.
    """

    def __init__(self, code: Pinned, parts: Parts) -> None:
        self._code = code
        self._parts = parts
        self._roots = [code.as_object(code.variables[name]) for name in parts.roots]
        self._exports_at = 8 * (1 + len(self._roots))
        self._addresses_at = self._exports_at + 8 * len(parts.exports)
        self._words_at = self._addresses_at + 8 * len(parts.exports)
        self._first = code.reserve(len(parts.exports))
        self._place = code.later()
        self._table = code.let(f"inttoptr i64 {code.raw_at(self._place)} to ptr")

    def write(self) -> None:
        code, parts = self._code, self._parts
        take, ask, no, end = (code.fresh("b") for _ in range(4))
        self._compare(take, ask)
        code.enter(take)
        code.help("tracejit_hold", "void", *self._exports())
        addresses = code.at(self._table, self._addresses_at)
        size = f"{8 * len(parts.exports)}"
        code.keep_room("%addresses", 8 * len(parts.exports))
        code.call("llvm.memcpy.p0.p0.i64", "%addresses", addresses, size, "false")
        taken = code.block
        code.jump(end)
        code.enter(ask)
        classes, facts = self._ask(no)
        asked = code.block
        code.jump(end)
        code.enter(no)
        self._let_go()
        code.jump(code.failed)
        code.enter(end)
        for name, fact in zip(parts.facts, facts, strict=True):
            holds = code.let(f"phi i1 [ true, %{taken} ], [ {fact}, %{asked} ]")
            code.variables[name] = Value(Kind.TRUTH, holds)
        for place, name in enumerate(parts.exports):
            text = code.kept(self._first + place)
            code.variables[name] = Value(Kind.OBJECT, text)
            if classes[place] is not None:
                code.classes[text] = classes[place]
            if name in self._parts.buffers:
                code.addresses[text] = 8 * place
        for node in parts.settled:
            if _is_slot(node):
                code.statement(node)

    def _exports(self) -> tuple[str, str, str]:
        """Where the table has them, how many, and where the frame does."""
        code = self._code
        places = code.at(code.frame, 8 * self._first)
        count = len(self._parts.exports)
        return f"ptr {code.at(self._table, self._exports_at)}", f"i64 {count}", f"ptr {places}"

    def _compare(self, take: str, ask: str) -> None:
        code = self._code
        count = code.load(self._table, 0, "i64")
        code.require(code.let(f"icmp ne i64 {count}, 0"), ask)
        for place, root in enumerate(self._roots):
            known = code.load(self._table, 8 * (1 + place))
            code.require(code.let(f"icmp eq ptr {known}, {root}"), ask)
        words = f"ptr {code.at(self._table, self._words_at)}", f"i64 {count}"
        code.branch(code.help("tracejit_same", "i1", *words), take, ask)

    def _ask(self, no: str) -> tuple[list[Any], list[str]]:
        """Asks the guards, in a frame of their own; gives the classes of what they export, and whether facts hold."""
        code, variables, failed = self._code, self._code.variables.copy(), self._code.failed
        start, begin = len(code.lines), code.fresh("b")
        code.enter(begin)
        with code.aside("%aside") as held:
            code.notes, code.failed = 0, no
            self._note_lively()
            for node in self._parts.settled:
                if not _is_slot(node):
                    code.statement(node)
                    self._note_lively()
            facts = [code.condition(test) for test in self._parts.facts.values()]
            for holds in facts:
                code.spoil_unless(holds)
            addresses = [self._address_of(name) for name in self._parts.exports]
            noted, code.notes, code.failed = code.notes, None, failed
        (self._held,) = held
        values = [code.variables[name] for name in self._parts.exports]
        code.variables = variables
        self._keep(noted, [value.text for value in values], addresses)
        self._let_go()
        code.lines[start:start] = self._room(noted, begin)
        table = new_table(self._words_at // 8 + 2 * (noted + STEP), np.int64)
        code.address_of(table)  # held
        code.constants[self._place] = Raw(table.ctypes.data)
        return [code.class_of(value) for value in values], facts

    def _room(self, noted: int, begin: str) -> list[str]:
        """Lines that take empty memory for what guards note and hold: of a large model it is more than the stack may have."""
        code, start = self._code, len(self._code.lines)
        spoiled_at = 16 * noted + 8 * self._held
        room = code.call("PyMem_Calloc", "1", str(spoiled_at + 8))
        for name, at in {"%notes": 0, "%aside": 16 * noted, "%spoiled": spoiled_at}.items():
            code.do(f"{name} = getelementptr i8, ptr {room}, i64 {at}")
        code.branch(code.let(f"icmp ne ptr {room}, null"), begin, code.failed)
        lines = code.lines[start:]
        del code.lines[start:]
        return lines

    def _let_go(self) -> None:
        self._code.help("tracejit_release", "void", "ptr %aside", f"i64 {self._held}")
        self._code.call("PyMem_Free", "%notes")

    def _note_lively(self) -> None:
        known = self._parts.lively & self._code.variables.keys()
        self._code.lively |= {self._code.variables[name].text for name in known}

    def _address_of(self, name: str) -> str:
        """Of the pools' buffers the address is noted, so that it need not be looked up again."""
        if name not in self._parts.buffers:
            return "0"
        code, buffer = self._code, self._code.variables[name]
        address = code.attribute(buffer, "address").text
        kind = code.type_of(buffer)
        block_at = offset_of(BlockBuffer, "address")
        assert block_at is not None
        native, other, block, unknown, end = (code.fresh("b") for _ in range(5))
        code.branch(self._is(kind, code.buffer_type), native, other)
        with code.conditional():
            code.enter(native)
            code.note(buffer.text, BUFFER_ADDRESS, address, "i64")
            code.jump(end)
            code.enter(other)
            code.branch(self._is(kind, BlockBuffer), block, unknown)
            code.enter(block)
            code.note(buffer.text, block_at, code.load(buffer.text, block_at))
            code.jump(end)
            code.enter(unknown)
            code.spoil()
            code.jump(end)
        code.enter(end)
        return address

    def _is(self, text: str, value: Any) -> str:
        return self._code.let(f"icmp eq ptr {text}, {self._code.address_of(value)}")

    def _keep(self, noted: int, exports: list[str], addresses: list[str]) -> None:
        """Nothing else runs meanwhile, so what a table has is of one call."""
        code = self._code
        words = f"ptr {code.at(self._table, self._words_at)}"
        count = code.help("tracejit_keep", "i64", "ptr %notes", f"i64 {noted}", words)
        is_whole = code.let(f"icmp eq i64 {code.load('%spoiled', 0, 'i64')}, 0")
        known = code.let(f"select i1 {is_whole}, i64 {count}, i64 0")
        code.do(f"store i64 {known}, ptr {self._table}")
        for place, root in enumerate(self._roots):
            code.do(f"store ptr {root}, ptr {code.at(self._table, 8 * (1 + place))}")
        for place, text in enumerate(exports):
            code.do(f"store ptr {text}, ptr {code.at(self._table, self._exports_at + 8 * place)}")
        for place, text in enumerate(addresses):
            for at in (code.at(self._table, self._addresses_at), "%addresses"):
                code.do(f"store i64 {text}, ptr {code.at(at, 8 * place)}")
        code.help("tracejit_hold", "void", *self._exports())


def _is_slot(node: ast.stmt) -> bool:
    """Whether it puts something into `E`."""
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript)
