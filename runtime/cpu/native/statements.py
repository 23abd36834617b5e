"""Statements of replay code: guards, runs of programs, effects, and the result."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tracejit._native import abi
from tracejit._native.abi import offset_of
from tracejit.runtime.cpu.native.counts import is_small
from tracejit.runtime.cpu.native.expressions import Expressions
from tracejit.runtime.cpu.native.lines import ArrayKind
from tracejit.runtime.cpu.native.remote import RemotePrograms
from tracejit.runtime.cpu.native.runs import (
    FixedRun,
    SizedRun,
    can_run,
    program_behind,
)
from tracejit.runtime.cpu.native.values import Kind, Unsupported, Value
from tracejit.runtime.program import RemoteProgram


class Statements(RemotePrograms, Expressions):
    """Translates lines one after the other; those of guards, of runs and of the commit have variables of their own.

    counts   variables of guards that are only used as numbers, and the slots that have these
    arrays   the slots of new memory that is to be that of an array
    run_at   the function by which programs with open sizes are run: a method of what has one for each combination
    """

    counts: Mapping[str, int] = MappingProxyType({})
    arrays: Mapping[int, ArrayKind]
    run_at: Any = None

    def begin(self) -> None:
        """Looks whether the call has as many arguments as this way is for, and by these names."""
        self.slots = {}
        self._arguments = {}
        self.begin_sizes()
        self.require(self.let(f"icmp eq i64 %nargs, {self.positional}"))
        if not self.keywords:
            self.require(self.let("icmp eq ptr %names, null"))
            return
        self.require(self.let("icmp ne ptr %names, null"))
        size = self.load("%names", abi.SIZE_AT, "i64")
        self.require(self.let(f"icmp eq i64 {size}, {len(self.keywords)}"))
        for place, name in enumerate(self.keywords):
            given = self.load("%names", abi.TUPLE_ITEMS_AT + 8 * place)
            self.require(self.let(f"icmp eq ptr {given}, {self.address_of(sys.intern(name))}"))

    def section(self, lines: Iterable[str]) -> None:
        """Lines of one Python function."""
        self.variables = {}
        for node in parsed(lines):
            self.statement(node)

    def statement(self, node: ast.stmt) -> None:
        match node:
            case ast.If(
                test=ast.UnaryOp(op=ast.Not(), operand=test), body=[ast.Return()], orelse=[]
            ):
                if self.is_guard_of_sizes(*_read_in(test)):
                    self.leave_to_sizes(ast.unparse(test))
                    return
                self.require(self.condition(test))
                self.assume(test)
            case ast.If(test=test, body=[ast.Raise() | ast.Return()], orelse=[]):
                self.require(self.let(f"xor i1 {self.condition(test)}, true"))
            case ast.Assign(targets=[target], value=value):
                self._assign(target, value)
            case ast.AugAssign(target=ast.Attribute(value=owner, attr=name), op=op, value=value):
                self._change(self.value(owner), name, op, self.value(value))
            case ast.Expr(value=ast.Call() as call):
                if self._program_of(call) is None:
                    self.value(call)
                else:
                    self._run(call)
            case ast.Return(value=value):
                self._return(value)
            case ast.Pass():
                pass
            case _:
                raise Unsupported(f"{type(node).__name__}: {ast.unparse(node)}")

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        match target:
            case ast.Name(id=name):
                is_held = name not in self.counts
                self.variables[name] = self.value(value, is_held=is_held)
            case ast.Subscript(value=ast.Name(id="E"), slice=slot):
                self._set_slot(ast.literal_eval(slot), value)
            case ast.Subscript(value=owner, slice=key):
                self._set_item(self.value(owner), self.value(key), self.value(value))
            case ast.Attribute(value=owner, attr=name):
                self._set_attribute(self.value(owner), name, self.value(value))
            case ast.Tuple(elts=targets):
                self._unpack(targets, value)
            case _:
                raise Unsupported(f"assignment to {ast.unparse(target)}")

    def _set_slot(self, slot: int, value: ast.expr) -> None:
        if slot == -1:
            self.way_back, self.failed = self.failed, "broken"  # from here on there is no way back
            return
        found = self.value(value)
        if isinstance(value, ast.Name) and self.counts.get(value.id) == slot:
            found = Value(Kind.SIZE, self.as_integer(found))
        self.slots[slot] = found

    def _unpack(self, targets: list[ast.expr], value: ast.expr) -> None:
        if isinstance(value, ast.Call) and self._program_of(value) is not None:
            found = self._run(value, [self._array_kind(target) for target in targets])
        elif isinstance(value, ast.Tuple) and len(value.elts) == len(targets):
            found = [self.value(each) for each in value.elts]
        else:
            found = self._parts(self.value(value), len(targets))
        for target, each in zip(targets, found, strict=True):
            match target:
                case ast.Name(id=name):
                    self.variables[name] = each
                case ast.Subscript(value=ast.Name(id="E"), slice=slot):
                    self.slots[ast.literal_eval(slot)] = each
                case _:
                    raise Unsupported(f"unpacking to {ast.unparse(target)}")

    def _parts(self, container: Value, count: int) -> list[Value]:
        """What a container of so many gives when it is gone through."""
        if self.class_of(container) is dict:
            return self._keys(container.text, count)
        if self.class_of(container) in (tuple, list):
            listed = container
        else:
            listed = Value(Kind.OBJECT, self.new("PySequence_List", self.as_object(container)))
            self.classes[listed.text] = list
        size = self.length(listed)
        self.require(self.let(f"icmp eq i64 {size.text}, {count}"))
        return [self.item(listed, self.constant(place)) for place in range(count)]

    def _keys(self, text: str, count: int) -> list[Value]:
        self.note_keys(text, count)
        size = self.load(text, abi.DICT_SIZE_AT, "i64")
        self.require(self.let(f"icmp eq i64 {size}, {count}"))
        self.do("store i64 0, ptr %position")
        keys = []
        pair = self.array_of(["null", "null"])
        for _ in range(count):
            found = self.call("PyDict_Next", text, "%position", pair, self.at(pair, 8))
            self.require(self.let(f"icmp ne i32 {found}, 0"))
            keys.append(Value(Kind.OBJECT, self.borrowed(self.load(pair, 0))))
        return keys

    def _set_item(self, container: Value, key: Value, value: Value) -> None:
        is_dict = self.class_of(container) is dict
        end = self.fresh("b")
        if is_dict and value.kind is Kind.SIZE and type(key.constant) is str:
            other = self.fresh("b")
            before = self.entry(container.text, key)
            done = self.let(f"call i1 @is_now(ptr {before}, i64 {value.text}, i1 false)")
            self.branch(done, end, other)
            self.enter(other)
        with self.conditional():
            texts = self.as_object(container), self.as_object(key), self.as_object(value)
            function = "PyDict_SetItem" if is_dict else "PyObject_SetItem"
            self.succeeded(self.call(function, *texts))
        self.jump(end)
        self.enter(end)

    def _change(self, owner: Value, name: str, op: ast.operator, by: Value) -> None:
        """An integer in a slot is written over where nobody else holds it."""
        kind = self.class_of(owner)
        at = None if kind is None else offset_of(kind, name)
        end = self.fresh("b")
        if at is not None and isinstance(op, ast.Add) and is_small(by.constant):
            other = self.fresh("b")
            before = self.load(owner.text, at)
            done = self.let(f"call i1 @is_now(ptr {before}, i64 {by.constant}, i1 true)")
            self.branch(done, end, other)
            self.enter(other)
        with self.conditional():
            changed = self._binary(op, self.attribute(owner, name), by)
            self._set_attribute(owner, name, changed)
        self.jump(end)
        self.enter(end)

    def _set_attribute(self, owner: Value, name: str, value: Value) -> None:
        text, new = self.as_object(owner), self.as_object(value)
        kind = self.class_of(owner)
        at = None if kind is None else offset_of(kind, name)
        hint = self.hints.get(name) if kind is None else None
        if at is not None:
            self._set_slot_of(text, at, new)
        elif hint is None:
            self.succeeded(self.call("PyObject_SetAttr", text, self.address_of(name), new))
        else:
            self._set_hinted(text, name, new, hint[0])

    def _set_hinted(self, text: str, name: str, new: str, hint: type) -> None:
        at = offset_of(hint, name)
        assert at is not None
        kind = self.load(text, abi.TYPE_AT)
        quick, slow, end = (self.fresh("b") for _ in range(3))
        self.branch(self.let(f"icmp eq ptr {kind}, {self.address_of(hint)}"), quick, slow)
        self.enter(quick)
        self._set_slot_of(text, at, new)
        self.jump(end)
        self.enter(slow)
        self.succeeded(self.call("PyObject_SetAttr", text, self.address_of(name), new))
        self.jump(end)
        self.enter(end)

    def _set_slot_of(self, text: str, at: int, new: str) -> None:
        """The old reference becomes the frame's: what it was held by may run code when it goes, which is to find all done."""
        old = self.load(text, at)
        self.retain(new)
        self.do(f"store ptr {new}, ptr {self.at(text, at)}")
        self.hold(old)

    def fill(self, made: str, kind: type, parts: dict[str, Value]) -> None:
        """Puts references into the slots of a new object."""
        for name, value in parts.items():
            at = offset_of(kind, name)
            if at is None:
                raise Unsupported(f"{kind.__name__} without a slot {name}")
            text = self.as_object(value)
            self.retain(text)
            self.do(f"store ptr {text}, ptr {self.at(made, at)}")

    def create(self, kind: type, parts: dict[str, Value]) -> Value:
        """A new object of a class with slots, by what is in them: the class's own code is not run."""
        made = self.new("PyType_GenericAlloc", self.address_of(kind), "0")
        self.classes[made] = kind
        self.fill(made, kind, parts)
        return Value(Kind.OBJECT, made)

    def _return(self, value: ast.expr | None) -> None:
        result = self.constant(None) if value is None else self.value(value)
        text = self.as_object(result)
        self.retain(text)
        self.results.append((text, self.block))
        self.jump("leave")

    def _program_of(self, call: ast.Call) -> FixedRun | SizedRun | RemoteProgram | None:
        """What a call runs, if that is a program that native code can run by itself."""
        match call.func:
            case ast.Name(id=name) if name in self.names:
                method: Any = self.names[name]
            case ast.Attribute(value=ast.Name(id=name), attr="run") if name in self.names:
                method = getattr(self.names[name], "run", None)  # which is replaced only once
            case _:
                return None
        program = program_behind(method)
        if program is not None:
            is_native = can_run(program) and _is_plain(call, 2)
            return FixedRun(program) if is_native else None
        owner = getattr(method, "__self__", None)
        if isinstance(owner, RemoteProgram):
            return owner if _is_plain(call, 2) and self.can_enqueue(owner) else None
        is_sized = self.has_record and getattr(method, "__func__", None) is self.run_at
        return self._sized_run(call, owner) if is_sized and _is_plain(call, 3) else None

    def _sized_run(self, call: ast.Call, owner: Any) -> SizedRun | None:
        sizes, *_ = call.args
        assert isinstance(sizes, ast.Tuple)
        first = program_behind(owner.first.runner)
        if first is None or not can_run(first):
            return None
        return SizedRun(first, owner, len(sizes.elts))

    def _array_kind(self, target: ast.expr) -> ArrayKind | None:
        match target:
            case ast.Subscript(value=ast.Name(id="E"), slice=slot):
                return self.arrays.get(ast.literal_eval(slot))
        return None

    def _run(self, call: ast.Call, arrays: Sequence[ArrayKind | None] = ()) -> list[Value]:
        program = self._program_of(call)
        assert program is not None
        *_, addresses, scalars = call.args
        assert isinstance(addresses, ast.Tuple)
        assert isinstance(scalars, ast.Tuple)
        given = [self.as_integer(self.value(each)) for each in addresses.elts]
        numbers = [self.value(each) for each in scalars.elts]
        if isinstance(program, RemoteProgram):
            for place in program.written_integers:
                self._forget_mirror(program, given[place], addresses.elts[place])
            made = self.enqueue_program(program, given, numbers)
        else:
            made = self.run_program(program, given, numbers, arrays)
        self.way_back = "broken"
        return made

    def _forget_mirror(self, program: RemoteProgram, address: str, node: ast.expr) -> None:
        """Of memory that is about to be written: what the host remembers of it is of no use any more."""
        kind = program.native().buffer_type
        at = offset_of(kind, "mirror")
        assert at is not None
        (owner,) = (
            each
            for each in ast.walk(node)
            if isinstance(each, ast.Subscript) and isinstance(each.value, ast.Name)
        )
        buffer = self.as_object(self.value(owner))
        is_whole = self.let(
            f"icmp eq ptr {self.load(buffer, abi.TYPE_AT)}, {self.address_of(kind)}"
        )
        quick, slow, end = (self.fresh("b") for _ in range(3))
        self.branch(is_whole, quick, slow)
        self.enter(quick)
        self._set_slot_of(buffer, at, self.address_of(None))
        self.jump(end)
        self.enter(slow)  # a part of a buffer
        forget = self.address_of(program.native().forget)
        self.called(forget, [self.as_object(Value(Kind.INTEGER, address))])
        self.jump(end)
        self.enter(end)


def parsed(lines: Iterable[str]) -> list[ast.stmt]:
    """The statements of lines."""
    text = "\n".join(lines)
    try:
        return ast.parse(text).body
    except SystemError:  # Python's parser, up to 3.12, mistakes another thread's depth for its own
        return ast.parse(text).body


def _read_in(node: ast.expr) -> tuple[set[str], set[Any]]:
    """The names in an expression, and what is looked up by constants, None standing for all else that is."""
    parts = [*ast.walk(node)]
    keys = [each.slice for each in parts if isinstance(each, ast.Subscript)]
    slots = {key.value if isinstance(key, ast.Constant) else None for key in keys}
    return {each.id for each in parts if isinstance(each, ast.Name)}, slots


def _is_plain(call: ast.Call, count: int) -> bool:
    return len(call.args) == count and all(isinstance(each, ast.Tuple) for each in call.args)
