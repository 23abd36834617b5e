"""Expressions and conditions of replay code, from Python's syntax tree."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from operator import or_
from typing import Any

import numpy as np

from tracejit._native import abi
from tracejit.runtime.cpu.native.counts import is_small
from tracejit.runtime.cpu.native.reading import dict_behind
from tracejit.runtime.cpu.native.sized import Sized
from tracejit.runtime.cpu.native.values import Kind, Unsupported, Value, known_to

_BINARY = {
    ast.Add: "PyNumber_Add", ast.Sub: "PyNumber_Subtract", ast.Mult: "PyNumber_Multiply",
    ast.Div: "PyNumber_TrueDivide", ast.FloorDiv: "PyNumber_FloorDivide", ast.Mod: "PyNumber_Remainder",
    ast.BitAnd: "PyNumber_And", ast.BitOr: "PyNumber_Or", ast.BitXor: "PyNumber_Xor",
    ast.LShift: "PyNumber_Lshift", ast.RShift: "PyNumber_Rshift", ast.MatMult: "PyNumber_MatrixMultiply",
}  # fmt: skip
_ORDER = {ast.Lt: 0, ast.LtE: 1, ast.Eq: 2, ast.NotEq: 3, ast.Gt: 4, ast.GtE: 5}
"""Python's numbers of comparisons."""
_IDENTICAL_IS_EQUAL = (str, bytes, int, bool, tuple, type(None))
"""Classes of which an object equals itself, without asking."""
_NUMBERS = (int, float, bool)
Emit = Callable[[Any, list[Value]], Value | None]
"""Writes a call of a function; None where this one is to be an ordinary call."""


class Expressions(Sized):
    """Writes expressions.

    names        the objects that code refers to
    intrinsics   write calls of some functions
    equal        classes whose objects equal themselves
    equalities   of calls of some functions: write a condition that is true only where the result equals another value
    resized      of functions that give something at the sizes of a call: given their other arguments, which are constants, and
                 how many sizes there are, it makes a function of sizes
    """

    names: dict[str, Any]
    intrinsics: dict[Any, Emit]
    equal: tuple[type, ...] = ()
    equalities: dict[Any, Callable[[Any, Value, Value], str]]
    resized: dict[Any, Callable[[Any, Any, int], Callable[[tuple[int, ...]], Any]]]

    variables: dict[str, Value]
    slots: dict[int, Value]

    # Values

    def value(self, node: ast.expr, *, is_held: bool = True) -> Value:
        """Unless `is_held`, what a dict has is only looked at, before anything else can happen."""
        match node:
            case ast.Constant(value=constant):
                return self.constant(constant)
            case ast.Name(id=name):
                return self._name(name)
            case ast.Attribute(value=owner, attr=name):
                return self.attribute(self.value(owner), name)
            case ast.Slice(lower=None, upper=None, step=None):
                return self.constant(slice(None))
            case ast.Subscript(value=owner, slice=key):
                return self._subscript(owner, key, is_held=is_held)
            case ast.Call():
                return self._call(node)
            case ast.Tuple() | ast.List() | ast.Set() | ast.Dict():
                return self._display(node)
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(op, self.value(left), self.value(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._negative(operand)
            case ast.UnaryOp(op=ast.Not()):
                return Value(Kind.TRUTH, self.condition(node))
            case ast.BoolOp(op=ast.Or(), values=[first, ast.Tuple(elts=[])]):
                return self._or_nothing(self.value(first))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self._comparison(node, op, left, right)
            case ast.IfExp():
                raise Unsupported("a choice between two expressions")
        raise Unsupported(f"{type(node).__name__} in {ast.unparse(node)}")

    def _or_nothing(self, value: Value) -> Value:
        """`value or ()`"""
        text, nothing = self.as_object(value), self.address_of(())
        return Value(
            Kind.OBJECT, self.let(f"select i1 {self.truth_of(value)}, ptr {text}, ptr {nothing}")
        )

    def _name(self, name: str) -> Value:
        if name in self.variables:
            return self.variables[name]
        if name in self.names:
            return self.constant(self.names[name])
        if not hasattr(builtins, name):
            raise Unsupported(f"the name {name}")
        return self.constant(getattr(builtins, name))

    def _subscript(self, owner: ast.expr, key: ast.expr, *, is_held: bool) -> Value:
        if isinstance(owner, ast.Name) and owner.id in ("E", "args", "kwargs"):
            return self._given(owner.id, ast.literal_eval(key))
        return self.item(self.value(owner), self.value(key), is_held=is_held)

    def _given(self, kind: str, place: Any) -> Value:
        if kind == "E":
            if place not in self.slots:
                raise Unsupported(f"slot {place}, which has no value")
            return self.slots[place]
        if kind == "args":
            return Value(Kind.OBJECT, self._argument(place))
        if place not in self.keywords:
            raise Unsupported(f"the keyword {place}")
        at = self.positional + self.keywords.index(place)
        return Value(Kind.OBJECT, self._argument(at))

    positional = 0
    keywords: tuple[str, ...] = ()

    def _argument(self, place: int) -> str:
        """The caller holds its arguments. Each is read once, so that what is known of it stays known."""
        found = self._arguments.get(place)
        if found is None:
            found = self._arguments[place] = self.load("%args", 8 * place)
        return found

    _arguments: dict[int, str]

    def _binary(self, op: ast.operator, left: Value, right: Value) -> Value:
        if isinstance(op, ast.Add | ast.Mult) and left.kind is Kind.INTEGER:
            # An address and an offset: both are far from where they would overflow.
            sign = "add" if isinstance(op, ast.Add) else "mul"
            return Value(
                Kind.INTEGER, self.let(f"{sign} i64 {left.text}, {self.as_integer(right)}")
            )
        is_count = isinstance(op, ast.Add) and left.kind is Kind.SIZE and is_small(right.constant)
        if is_count and self.failed != "broken":  # of larger numbers Python takes the call
            self.require(self.let(f"icmp slt i64 {left.text}, {1 << 62}"))
            return Value(Kind.SIZE, self.let(f"add i64 {left.text}, {right.constant}"))
        operands = self.as_object(left), self.as_object(right)
        if isinstance(op, ast.Pow):
            return Value(Kind.OBJECT, self.new("PyNumber_Power", *operands, self.address_of(None)))
        return Value(Kind.OBJECT, self.new(_BINARY[type(op)], *operands))

    def _negative(self, operand: ast.expr) -> Value:
        if isinstance(operand, ast.Constant) and isinstance(operand.value, _NUMBERS):
            return self.constant(-operand.value)
        return Value(
            Kind.OBJECT, self.new("PyNumber_Negative", self.as_object(self.value(operand)))
        )

    def _display(self, node: ast.Tuple | ast.List | ast.Set | ast.Dict) -> Value:
        try:
            constant = ast.literal_eval(node)
        except ValueError:
            pass
        else:
            if isinstance(constant, tuple):
                return self.constant(constant)
        if isinstance(node, ast.Dict):
            return self._dict(node)
        if [type(each) for each in node.elts] == [ast.Starred]:
            (only,) = node.elts
            assert isinstance(only, ast.Starred)
            if not isinstance(node, ast.List):
                raise Unsupported("a starred display")
            return self._typed(
                self.new("PySequence_List", self.as_object(self.value(only.value))), list
            )
        parts = [self.as_object(self.value(each)) for each in node.elts]
        if isinstance(node, ast.Set):
            made = self.new("PySet_New", "null")
            for part in parts:
                self.succeeded(self.call("PySet_Add", made, part))
            return self._typed(made, set)
        return self.tuple_of(parts) if isinstance(node, ast.Tuple) else self.list_of(parts)

    def _dict(self, node: ast.Dict) -> Value:
        entries = []
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                raise Unsupported("a starred dict")
            entries.append((self.as_object(self.value(key)), self.as_object(self.value(value))))
        made = self.new("PyDict_New")
        for entry in entries:
            self.succeeded(self.call("PyDict_SetItem", made, *entry))
        return self._typed(made, dict)

    def tuple_of(self, parts: list[str]) -> Value:
        made = self.new("PyTuple_New", str(len(parts)))
        for place, part in enumerate(parts):
            self.retain(part)
            self.do(f"store ptr {part}, ptr {self.at(made, abi.TUPLE_ITEMS_AT + 8 * place)}")
        return self._typed(made, tuple)

    def list_of(self, parts: list[str]) -> Value:
        made = self.new("PyList_New", "0")
        for part in parts:
            self.succeeded(self.call("PyList_Append", made, part))
        return self._typed(made, list)

    def _typed(self, text: str, kind: type) -> Value:
        self.classes[text] = kind
        return Value(Kind.OBJECT, text)

    # Calls

    def _call(self, node: ast.Call) -> Value:
        if (
            isinstance(node.func, ast.Name)
            and node.func.id in _KNOWN
            and node.func.id not in self.variables
        ):
            known = _KNOWN[node.func.id](self, node)
            if known is not None:
                return known
        if any(isinstance(each, ast.Starred) for each in node.args):
            raise Unsupported("starred arguments")
        names = tuple(keyword.arg for keyword in node.keywords)
        if None in names:
            raise Unsupported("starred keywords")
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        if isinstance(node.func, ast.Attribute):
            return self._method(node.func, given, names)  # type: ignore[arg-type]  # no None
        function = self.value(node.func)
        resized = self._resized(function, node.args)
        if resized is not None:
            return resized
        intrinsic: Emit | None = known_to(self.intrinsics, function)
        if intrinsic is not None and not names:
            values = list(map(self._for_ourselves, given))
            written = intrinsic(self, values)
            if written is not None:
                return written
        else:
            values = list(map(self.value, given))
        arguments = [self.as_object(each) for each in values]
        return Value(Kind.OBJECT, self.called(function.text, arguments, names))  # type: ignore[arg-type]

    def _for_ourselves(self, node: ast.expr) -> Value:
        """What is written out does not care whether a tuple of constants is always the same one."""
        if isinstance(node, ast.Tuple):
            names = [each.id for each in node.elts if isinstance(each, ast.Name)]
            if names and len(names) == len(node.elts) and self.names.keys() >= {*names}:
                return self.constant(tuple(self.names[name] for name in names))
        return self.value(node)

    def _resized(self, function: Value, given: list[ast.expr]) -> Value | None:
        """What a call gives that depends on sizes alone."""
        resize = known_to(self.resized, function)
        match given:
            case [sizes, ast.Tuple(elts=slots), of] if resize is not None and self.has_record:
                value = self.value(of).constant
                convert = resize(self.value(sizes).constant, value, len(slots))
                return self.at_sizes(value, convert)
        return None

    def _method(
        self, function: ast.Attribute, given: list[ast.expr], names: tuple[str, ...]
    ) -> Value:
        owner = self.value(function.value)
        values = list(map(self.value, given))
        if function.attr == "isdisjoint" and dict_behind(owner) is not None:
            return self._has_none(owner, *values)
        arguments = list(map(self.as_object, values))
        if self.class_of(owner) is list and function.attr == "append" and not names:
            self.succeeded(self.call("PyList_Append", owner.text, *arguments))
            return self.constant(None)
        if names:
            raise Unsupported("a method with keywords")
        listed = self.array_of([self.as_object(owner), *arguments])
        count = str(1 + len(arguments))
        name = self.address_of(function.attr)
        return Value(
            Kind.OBJECT, self.new("PyObject_VectorcallMethod", name, listed, count, "null")
        )

    def _has_none(self, names: Value, keys: Value) -> Value:
        """Whether a class has no attribute of any of these names."""
        found = "false"
        for key in keys.constant:
            found = self.let(f"or i1 {found}, {self.contains(names, self.constant(key))}")
        return Value(Kind.TRUTH, self.let(f"xor i1 {found}, true"))

    # Conditions

    def condition(self, node: ast.expr) -> str:
        """Whether a condition holds, as an i1."""
        match node:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return self.let(f"xor i1 {self.condition(operand)}, true")
            case ast.BoolOp(op=op, values=parts):
                return self._joined(isinstance(op, ast.And), parts)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self._compared(op, left, right)
            case ast.Name(id="kwargs"):
                return "true" if self.keywords else "false"
        return self.truth_of(self._glance(node))

    def _glance(self, node: ast.expr) -> Value:
        """What is only looked at, before anything else can happen."""
        if isinstance(node, ast.Attribute):
            return self.attribute(self.value(node.value), node.attr, is_held=False)
        return self.value(node)

    def count_distinct(self, values: list[Value]) -> Value:
        """How many different objects there are; some smaller number where two are the same."""
        listed = self.array_of([self.as_object(each) for each in values])
        count = len(values)
        apart = self.help("tracejit_distinct", "i1", f"ptr {listed}", f"i64 {count}")
        return Value(Kind.INTEGER, self.let(f"select i1 {apart}, i64 {count}, i64 {count - 1}"))

    def _joined(self, is_and: bool, parts: list[ast.expr]) -> str:
        """Parts are looked at until one decides."""
        end = self.fresh("b")
        was_conditional = self.is_conditional
        known = self.classes.copy()
        read = self._arguments.copy()
        outcomes = []
        for part in parts[:-1]:
            found = self.condition(part)
            outcomes.append(("false" if is_and else "true", self.block))
            more = self.fresh("b")
            self.branch(found, *((more, end) if is_and else (end, more)))
            self.enter(more)
            self.is_conditional = True
            if is_and:
                self.assume(part)
        outcomes.append((self.condition(parts[-1]), self.block))
        self.is_conditional = was_conditional
        self.jump(end)
        self.enter(end)
        self.classes, self._arguments = known, read
        return self.let(
            "phi i1 " + ", ".join(f"[ {value}, %{block} ]" for value, block in outcomes)
        )

    def assume(self, node: ast.expr) -> None:
        """The condition holds from here on: what it says of classes is known."""
        match node:
            case ast.BoolOp(op=ast.And(), values=parts):
                for part in parts:
                    self.assume(part)
            case ast.Compare(
                left=ast.Call(func=ast.Name(id="type"), args=[ast.Name(id=name)]),
                ops=[ast.Is()],
                comparators=[ast.Name() as kind],
            ) if name in self.variables:
                found = self._name(kind.id).constant
                if isinstance(found, type):
                    self.classes[self.variables[name].text] = found
            case ast.Compare(
                left=ast.Name(id=name), ops=[ast.Is()], comparators=[ast.Name() as other]
            ) if name in self.variables and other.id in self.names:
                self.classes[self.variables[name].text] = type(self.names[other.id])

    def _compared(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> str:
        match op:
            case ast.Is() | ast.IsNot():
                same = self._same(left, right)
                return same if isinstance(op, ast.Is) else self.let(f"xor i1 {same}, true")
            case ast.In() | ast.NotIn():
                found = self._is_among(left, right)
                if found is None:
                    found = self.contains(self.value(right), self.value(left))
                return found if isinstance(op, ast.In) else self.let(f"xor i1 {found}, true")
            case ast.Eq():
                return self._equal(left, right)
        return self.truth_of(self._ordered(op, self.value(left), self.value(right)))

    def _is_among(self, left: ast.expr, right: ast.expr) -> str | None:
        """`id(x) in (id(y), id(z))`"""
        match left, right:
            case ast.Call(func=ast.Name(id="id"), args=[one]), ast.Tuple(elts=[*others]):
                text, found = self.as_object(self.value(one)), "false"
                for other in others:
                    assert isinstance(other, ast.Call)
                    same = f"icmp eq ptr {text}, {self.as_object(self.value(other.args[0]))}"
                    found = self.let(f"or i1 {found}, {self.let(same)}")
                return found
        return None

    def _comparison(self, node: ast.expr, op: ast.cmpop, left: ast.expr, right: ast.expr) -> Value:
        if isinstance(op, ast.Is | ast.IsNot | ast.In | ast.NotIn):
            return Value(Kind.TRUTH, self._compared(op, left, right))
        return self._ordered(op, self.value(left), self.value(right))

    def _ordered(self, op: ast.cmpop, left: Value, right: Value) -> Value:
        if self._is_small(left, right):
            kind = ("slt", "sle", "eq", "ne", "sgt", "sge")[_ORDER[type(op)]]
            texts = f"{self._as_i64(left)}, {self._as_i64(right)}"
            return Value(Kind.TRUTH, self.let(f"icmp {kind} i64 {texts}"))
        number = str(_ORDER[type(op)])
        operands = self.as_object(left), self.as_object(right)
        return Value(Kind.OBJECT, self.new("PyObject_RichCompare", *operands, number))

    def _same(self, left: ast.expr, right: ast.expr) -> str:
        match left:
            case ast.Call(func=ast.Name(id="type"), args=[of]):
                return self._is_class(self.value(of), self.value(right))
        second = self.value(right)
        first = self._glance(left) if second.is_constant else self.value(left)
        if first.kind is Kind.TRUTH and type(second.constant) is bool:
            return first.text if second.constant else self.let(f"xor i1 {first.text}, true")
        return self.let(f"icmp eq ptr {self.as_object(first)}, {self.as_object(second)}")

    def _is_class(self, value: Value, kind: Value) -> str:
        return self.let(f"icmp eq ptr {self.type_of(value)}, {kind.text}")

    def _equal(self, left: ast.expr, right: ast.expr) -> str:
        known = self._equal_arguments(left, right) or self._equal_sizes(left, right)
        if known is not None:
            return known
        first, second = self.value(left), self.value(right)
        for late, other in ((first, second), (second, first)):
            if late.kind is Kind.LATE and late.parts[0] in self.equalities:
                are_equal = self.equalities[late.parts[0]](self, late, other)
                return self._or_else(first, second, are_equal)
        if self._is_small(first, second):
            return self.let(f"icmp eq i64 {self._as_i64(first)}, {self._as_i64(second)}")
        if type(second.constant) is float and self.class_of(first) is float:
            held = self.load(first.text, abi.FLOAT_AT, "double")
            return self.let(f"fcmp oeq double {held}, {_double(second.constant)}")
        return self._equal_objects(first, second)

    def _equal_arguments(self, left: ast.expr, right: ast.expr) -> str | None:
        """Keywords are looked at before all else."""
        if ast.unparse(left) == "tuple(kwargs)":
            return "true" if ast.literal_eval(right) == self.keywords else "false"
        if ast.unparse(left) == "{*map(type, kwargs)}":
            return "true"  # names in a call are strings
        return None

    def _is_small(self, first: Value, second: Value) -> bool:
        are_known = [each.kind in (Kind.INTEGER, Kind.SIZE) for each in (first, second)]
        are_small = [
            type(each.constant) is int and abs(each.constant) < 1 << 62 for each in (first, second)
        ]
        return any(are_known) and all(map(or_, are_known, are_small))

    def _as_i64(self, value: Value) -> str:
        return str(value.constant) if type(value.constant) is int else value.text

    def _equal_objects(self, first: Value, second: Value) -> str:
        texts = self.as_object(first), self.as_object(second)
        constant = second.constant
        equals_itself = type(constant) in (*_IDENTICAL_IS_EQUAL, *self.equal)
        if not equals_itself and not isinstance(constant, np.dtype):
            return self.truth_of(self._ordered(ast.Eq(), first, second))
        same = self.let(f"icmp eq ptr {texts[0]}, {texts[1]}")
        return self._or_else(first, second, same)

    def _or_else(self, first: Value, second: Value, are_equal: str) -> str:
        """Whether two are equal, which Python is asked where it is not clear."""

        def ask() -> str:
            self.spoil()
            return self.truth_of(self._ordered(ast.Eq(), first, second))

        return self.true_or(are_equal, ask)

    def _equal_sizes(self, left: ast.expr, right: ast.expr) -> str | None:
        """Shape, strides and flags of an array, compared where they lie."""
        match left, right:
            case ast.Attribute(value=owner, attr="shape" | "strides" as name), ast.Tuple(
                elts=sizes
            ):
                array = self.value(owner)
                if self.class_of(array) is not np.ndarray:
                    return None
                return self.are_sizes(array.text, name, [ast.literal_eval(each) for each in sizes])
            case (
                ast.BinOp(
                    left=ast.Attribute(value=ast.Attribute(value=owner, attr="flags"), attr="num"),
                    op=ast.BitAnd(),
                    right=ast.Constant(value=mask),
                ),
                ast.Constant(value=wanted),
            ):
                array = self.value(owner)
                if self.class_of(array) is not np.ndarray:
                    return None
                flags = self.load(array.text, abi.ARRAY_FLAGS_AT, "i32")
                masked = self.let(f"and i32 {flags}, {mask!r}")
                return self.let(f"icmp eq i32 {masked}, {wanted!r}")
        return None


def _double(value: float) -> str:
    """A float in LLVM's words, to the last bit."""
    return f"0x{np.float64(value).view(np.uint64):016X}"


def _known_len(translator: Expressions, node: ast.Call) -> Value | None:
    match node.args:
        case [ast.Name(id="args")]:
            return Value(Kind.INTEGER, str(translator.positional))
        case [
            ast.Set(
                elts=[ast.Starred(value=ast.Call(args=[ast.Name(id="id"), ast.Tuple(elts=parts)]))]
            )
        ]:
            return translator.count_distinct([translator.value(each) for each in parts])
        case [ast.Set(elts=[_, *_] as parts)]:
            # Of buffers, which are equal only to themselves.
            return translator.count_distinct([translator.value(each) for each in parts])
        case [only]:
            return translator.length(translator.value(only))
    return None


def _known_type(translator: Expressions, node: ast.Call) -> Value | None:
    match node.args:
        case [only]:
            return Value(
                Kind.OBJECT, translator.borrowed(translator.type_of(translator.value(only)))
            )
    return None


_KNOWN: dict[str, Callable[[Any, ast.Call], Value | None]] = {
    "len": _known_len,
    "type": _known_type,
}
