"""Hooks that do what Python does, some of which take notes; and what a call of a function comes to."""

from __future__ import annotations

import builtins
import operator
import sys
import traceback
from collections.abc import Callable
from itertools import groupby
from typing import Any

OPERATORS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "Add": (operator.add, operator.iadd),
    "Sub": (operator.sub, operator.isub),
    "Mult": (operator.mul, operator.imul),
    "MatMult": (operator.matmul, operator.imatmul),
    "Div": (operator.truediv, operator.itruediv),
    "FloorDiv": (operator.floordiv, operator.ifloordiv),
    "Mod": (operator.mod, operator.imod),
    "Pow": (operator.pow, operator.ipow),
    "LShift": (operator.lshift, operator.ilshift),
    "RShift": (operator.rshift, operator.irshift),
    "BitAnd": (operator.and_, operator.iand),
    "BitOr": (operator.or_, operator.ior),
    "BitXor": (operator.xor, operator.ixor),
}
UNARY = {"USub": operator.neg, "UAdd": operator.pos, "Invert": operator.invert}
COMPARISONS = {
    "Eq": operator.eq,
    "NotEq": operator.ne,
    "Lt": operator.lt,
    "LtE": operator.le,
    "Gt": operator.gt,
    "GtE": operator.ge,
    "Is": operator.is_,
    "IsNot": operator.is_not,
    "In": lambda left, right: left in right,
    "NotIn": lambda left, right: left not in right,
}


class Plain:
    def read_global(self, name):
        variables = sys._getframe(1).f_globals
        if name in variables:
            return variables[name]
        if name in vars(builtins):
            return vars(builtins)[name]
        raise NameError(f"name {name!r} is not defined", name=name)

    def read_cell(self, read):
        assert len(read.__closure__) == 1
        return read()

    def wrote_global(self, name):
        assert name in sys._getframe(1).f_globals

    def wrote_cell(self, read):
        read()

    def imported(self, value, module, name):
        pass

    def read_attribute(self, owner, name):
        return getattr(owner, name)

    def write_attribute(self, value, owner, name):
        setattr(owner, name, value)

    def delete_attribute(self, owner, name):
        delattr(owner, name)

    def read_item(self, owner, key):
        return owner[key]

    read_part = read_item

    def write_item(self, value, owner, key):
        owner[key] = value

    def delete_item(self, owner, key):
        del owner[key]

    def binary(self, op, left, right):
        return OPERATORS[op][0](left, right)

    def in_place(self, op, left, right):
        return OPERATORS[op][1](left, right)

    def unary(self, op, operand):
        return UNARY[op](operand)

    def compare(self, op, left, right):
        return COMPARISONS[op](left, right)

    def truth(self, value):
        return bool(value)

    def loop_entered(self, number):
        assert isinstance(number, int)

    def loop_head(self, number, names, values):
        assert isinstance(number, int)
        assert len(names.split()) == len(values)
        return values

    def loop_tested(self, value):
        assert isinstance(value, bool)
        return value

    def counter(self, number, function, *args):
        return list(function(*args)), 0

    def goes_on(self, counter, place):
        return place < len(counter)

    def counted(self, counter, place):
        return counter[place], place + 1

    def formatted(self, value, conversion, spec):
        made = {"": lambda value: value, "s": str, "r": repr, "a": ascii}[conversion](value)
        return format(made, spec)

    def joined(self, *parts):
        return "".join(parts)

    def _same(self, value):
        return value

    iterate = iterate_unpacked = unpack = key = context = _same
    exception_class = raised = asserted = matched = callee = made_function = _same


PLAIN = Plain()


class Noting:
    """Plain hooks that note their names, and those of their arguments that are text."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def hook(*arguments: Any) -> Any:
            texts = [argument for argument in arguments if isinstance(argument, str)]
            self.notes.append(" ".join([name, *texts]))
            if name == "read_global":  # looks at the frame that calls it
                variables = {**vars(builtins), **sys._getframe(1).f_globals}
                return variables[texts[0]]
            return None if name == "wrote_global" else getattr(PLAIN, name)(*arguments)

        return hook


def outcome(function: Callable[..., Any], *arguments: Any) -> tuple[str, str, list[int]]:
    """What a call gives, what it raises, and the lines that the exception passes in the file of the function."""
    try:
        return repr(function(*arguments)), "", []
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        file = function.__code__.co_filename
        lines = [frame.lineno or 0 for frame in frames if frame.filename == file]
        causes = f"{error.__cause__!r} {error.__context__!r}"
        return "", f"{error!r} {causes}", [line for line, _ in groupby(lines)]
