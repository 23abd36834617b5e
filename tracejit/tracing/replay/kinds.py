"""What kinds of values there are to a recording."""

from __future__ import annotations

import enum
from types import (
    BuiltinFunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import numpy as np

from tracejit.dtypes import DType, FloatLimits, IntegerLimits
from tracejit.ir.aval import Aval
from tracejit.ops.op import Op
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.lasting import NUMPY_FUNCTION

ATOMS = frozenset({
    type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented), range, slice,
})  # fmt: skip


FIXED = (
    type, ModuleType, BuiltinFunctionType, np.ufunc, WrapperDescriptorType, MethodDescriptorType, MethodWrapperType,
    GetSetDescriptorType, MemberDescriptorType, DType, FloatLimits, IntegerLimits, Aval, Op, np.dtype,
)  # fmt: skip
"""Objects that are what they are: their identity says all."""


BOUND = (BuiltinFunctionType, MethodWrapperType)
"""Functions in C that may be methods of an object, whose state is theirs."""


def is_own_module(name: str | None) -> bool:
    """Whether a module is one of tracejit's, whose functions and variables are taken not to change."""
    return name is not None and (name == "tracejit" or name.startswith("tracejit."))


def found_on(owner: type, name: str) -> Any:
    """What the class has under the name, without asking descriptors, or its own class."""
    for each in _bases(owner):
        names = _names(each)
        if name in names:
            return names[name]
    return g.MISSING


_bases = type.__dict__["__mro__"].__get__
_names = type.__dict__["__dict__"].__get__
"""Whatever a metaclass says of them."""


def is_numpy_number(value: Any) -> bool:
    """Whether `value` is a NumPy number; a stand-in only says that it is one, and a record can be written."""
    return issubclass(type(value), np.generic) and not issubclass(type(value), np.void)


def can_be_input(value: Any) -> bool:
    """Whether a value is a number that becomes an input once it changes; NumPy's integers mostly say where or how many."""
    is_floating = isinstance(value, np.floating) and is_numpy_number(value)
    return type(value) in (int, float) or (is_floating and value.dtype.itemsize <= 8)


def is_fixed(value: Any) -> bool:
    """Whether an object is what it is: its identity says all."""
    if type(value) in BOUND:
        return value.__self__ is None or isinstance(value.__self__, ModuleType | type)
    return isinstance(value, FIXED) or type(value) is NUMPY_FUNCTION or isinstance(value, enum.Enum)


def is_library(owner: type) -> bool:
    """Whether a class is one of tracejit's own, whose meaning is known; layers and optimizers are as a user's."""
    return is_own_module(owner.__module__) and not owner.__module__.startswith(
        ("tracejit.nn", "tracejit.optim")
    )


def same_atom(before: Any, value: Any) -> bool:
    kind = type(value)
    if kind not in ATOMS or type(before) is not kind:
        return False
    return bool(before == value) or value != value
