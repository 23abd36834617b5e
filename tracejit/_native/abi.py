"""Where CPython and NumPy keep what native code reads, found out and checked on objects at hand.

Native code is used only if all of it holds. Another NumPy, a build without the GIL, another interpreter: then `fault` says what
differs, and calls take the plain path, which gives the same results.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from functools import cache
from types import FunctionType, MemberDescriptorType
from typing import Any

import numpy as np

from tracejit._native import dicts
from tracejit._native.words import word as word
from tracejit._records import dataclass

TYPE_AT = 8
SIZE_AT = 16
"""Of what has a size: tuples and lists."""
TUPLE_ITEMS_AT = tuple.__basicsize__
LIST_ITEMS_AT = 24
"""Where a list keeps the address of its items."""
FLOAT_AT = 16
DICT_SIZE_AT = 16
INTEGER_SIZE_AT, INTEGER_DIGITS_AT = 16, 24
"""Where an integer keeps how many digits of 30 bits it has, and these, in words of 32 bits."""
TWO_DIGITS = 2 << 3 if sys.version_info >= (3, 12) else 2
ONE_DIGIT = TWO_DIGITS >> 1
"""The size of a positive integer of two digits, as most addresses are, and of one, as most counts are."""
LARGEST_KEPT = 256
"""Of the integers of which Python keeps one each."""
FLAGS_AT = 168
"""Where a type keeps its flags."""

ARRAY_DATA_AT, ARRAY_NDIM_AT, ARRAY_SHAPE_AT, ARRAY_STRIDES_AT = 16, 24, 32, 40
ARRAY_DTYPE_AT, ARRAY_FLAGS_AT, ARRAY_HANDLER_AT = 56, 64, 88
NEW_ARRAY = 94
"""The place of `PyArray_NewFromDescr` in NumPy's table of functions."""
ARRAY_OWNS_DATA = 0x4
FRESH_ARRAY = 0x501
"""Flags of a row-major array that can be written."""

_MEMBER_AT, _KIND_AT, _OFFSET_AT = 40, 8, 16
"""Where a member descriptor keeps the address of its definition, and that the kind and the offset."""
_OBJECT_MEMBERS = (6, 16)
"""Kinds of members that are references."""
_NUMPY_VERSIONS = (0x1000009, 0x2000000)
"""Of the binary interface."""
_GET_HANDLER = 305
"""The place of `PyDataMem_GetHandler` in NumPy's table."""


class _Fault(Exception):
    """Something is not where it is expected."""


@dataclass(frozen=True, slots=True)
class Abi:
    """What had to be looked up: offsets in functions, and the address of NumPy's table of functions."""

    code_at: int
    defaults_at: int
    numpy_table: int
    dict_version_at: int | None
    """Where dicts keep a number that no other state of any dict ever had, if they do."""
    writes_values_apart: bool
    """Whether that number stays where values are written that dicts have apart."""
    has_entries: bool
    """Whether dicts keep their keys and values where `tracejit._native.dicts` says."""
    instance_dict_at: int | None
    """Where objects of ordinary classes keep their dict, once somebody has asked for it."""


@cache
def abi() -> Abi | str:
    """The interface, or what of it is other than expected."""
    try:
        return _checked()
    except _Fault as fault:
        return str(fault)


@cache
def keeps_addresses() -> bool:
    """Whether arrays have the address of their first element where it is expected."""
    try:
        _check_interpreter()
        _check_arrays()
    except _Fault:
        return False
    return True


def _checked() -> Abi:
    _check_interpreter()
    _check_objects()
    _check_members()
    _check_arrays()
    return Abi(
        code_at=_field_of(lambda function: function.__code__),
        defaults_at=_field_of(lambda function: function.__defaults__),
        numpy_table=_numpy_table(),
        dict_version_at=dicts.VERSION_AT if dicts.have_versions() else None,
        writes_values_apart=dicts.WRITES_VALUES_APART,
        has_entries=dicts.have_entries(),
        instance_dict_at=dicts.INSTANCE_DICT_AT if dicts.lie_before_objects() else None,
    )


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise _Fault(what)


def _check_interpreter() -> None:
    _expect(sys.implementation.name == "cpython", f"this is {sys.implementation.name}, not CPython")
    _expect(struct.calcsize("P") == 8, "addresses do not have 64 bits")
    _expect(sys.byteorder == "little", "the machine is big-endian")
    _expect("t" not in getattr(sys, "abiflags", ""), "this Python has no GIL")
    _expect(object.__basicsize__ == 16, f"objects begin with {object.__basicsize__} bytes, not 16")


def _check_objects() -> None:
    first, second = object(), "another"
    pair, items, number = (first, second), [first, second], 0.1
    for each in (first, pair, items, number, _checked):
        _expect(word(id(each) + TYPE_AT) == id(type(each)), "objects keep their type elsewhere")
    places = [id(pair) + TUPLE_ITEMS_AT, word(id(items) + LIST_ITEMS_AT)]
    for place, container in zip(places, (pair, items), strict=True):
        _expect(word(id(container) + SIZE_AT) == 2, "tuples or lists keep their length elsewhere")
        found = word(place), word(place + 8)
        _expect(found == (id(first), id(second)), "tuples or lists keep their items elsewhere")
    found_number = ctypes.c_double.from_address(id(number) + FLOAT_AT).value
    _expect(found_number == number, "floats keep their value elsewhere")
    address, count = 5 << 30 | 7, (1 << 30) - 1
    _expect(
        word(id(address) + INTEGER_SIZE_AT) == TWO_DIGITS
        and word(id(address) + INTEGER_DIGITS_AT) == 5 << 32 | 7
        and word(id(count) + INTEGER_SIZE_AT) == ONE_DIGIT
        and word(id(count) + INTEGER_DIGITS_AT) & 0xFFFFFFFF == count,
        "integers keep their digits elsewhere",
    )
    names = {name: name for name in "abc"}
    _expect(word(id(names) + DICT_SIZE_AT) == 3, "dicts keep their size elsewhere")
    method = _Sample().sampled
    found = word(id(method) + 16), word(id(method) + 24)
    wanted = id(_Sample.sampled), id(method.__self__)  # type: ignore[attr-defined]  # a method
    _expect(found == wanted and word(id(method) + 40) != 0, "methods are made otherwise")
    for kind in (int, _Fault, np.ndarray):
        flags = ctypes.c_ulong.from_address(id(kind) + FLAGS_AT).value
        _expect(flags == kind.__flags__, "types keep their flags elsewhere")


class _Sample:
    __slots__ = ("first", "second")

    first: object
    second: object

    def sampled(self) -> None:
        """A method to look at."""


def _check_members() -> None:
    sample = _Sample()
    sample.first, sample.second = object(), object()
    for name, value in (("first", sample.first), ("second", sample.second)):
        at = offset_of(_Sample, name)
        _expect(
            at is not None
            and 16 <= at < _Sample.__basicsize__
            and word(id(sample) + at) == id(value),
            "slots lie elsewhere",
        )


def offset_of(kind: type, name: str) -> int | None:
    """Where objects of a class keep the reference in a slot; None where the class has no slot of this name."""
    member = next((each.__dict__[name] for each in kind.__mro__ if name in each.__dict__), None)
    if type(member) is not MemberDescriptorType:
        return None
    definition = word(id(member) + _MEMBER_AT)
    if ctypes.c_int.from_address(definition + _KIND_AT).value not in _OBJECT_MEMBERS:
        return None
    return word(definition + _OFFSET_AT)


def _field_of(read: Any) -> int:
    """Where functions keep what `read` gives."""
    samples: list[FunctionType] = [_sampled, _another]  # type: ignore[list-item]  # they are
    for at in range(16, FunctionType.__basicsize__, 8):
        if all(word(id(each) + at) == id(read(each)) for each in samples):
            return at
    raise _Fault("functions keep their code or defaults elsewhere")


def _sampled(a: int = 1) -> int:
    return a


def _another(a: int = 2, b: str = "") -> str:
    return b * a


def _check_arrays() -> None:
    whole = np.arange(24.0).reshape(2, 3, 4)
    frozen = np.arange(3, dtype=np.int16)
    frozen.flags.writeable = False
    for array in (whole, whole[:, ::2, 1:], whole.T, frozen, np.zeros(()), np.zeros((0, 5), bool)):
        at, ndim = id(array), array.ndim
        _expect(word(at + ARRAY_DATA_AT) == _data_of(array), "arrays keep their address elsewhere")
        found = ctypes.c_int.from_address(at + ARRAY_NDIM_AT).value
        _expect(found == ndim, "arrays keep their rank elsewhere")
        for where, sizes in ((ARRAY_SHAPE_AT, array.shape), (ARRAY_STRIDES_AT, array.strides)):
            first = word(at + where)
            seen = tuple(word(first + 8 * axis) for axis in range(ndim))
            _expect(seen == sizes, "arrays keep their shape or strides elsewhere")
        _expect(word(at + ARRAY_DTYPE_AT) == id(array.dtype), "arrays keep their dtype elsewhere")
        flags = ctypes.c_int.from_address(at + ARRAY_FLAGS_AT).value
        _expect(flags == array.flags.num, "arrays keep their flags elsewhere")


def _data_of(array: np.ndarray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _numpy_table() -> int:
    pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    try:
        table: int = pointer(np._core._multiarray_umath._ARRAY_API, None)  # type: ignore[attr-defined]  # private
    except AttributeError:
        raise _Fault("NumPy has its table of functions elsewhere") from None
    version = ctypes.CFUNCTYPE(ctypes.c_uint)(word(table))()
    _expect(version in _NUMPY_VERSIONS, f"NumPy's binary interface is {version:#x}")
    _check_new_array(word(table + 8 * NEW_ARRAY), word(table + 8 * _GET_HANDLER))
    return table


def _check_new_array(address: int, get_handler: int) -> None:
    """Makes an array, and looks whether it is what was asked for and has a place for who frees it."""
    signature = ctypes.PYFUNCTYPE(
        ctypes.py_object, ctypes.py_object, ctypes.py_object, ctypes.c_int, ctypes.c_void_p,
        ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p,
    )  # fmt: skip
    shape = (ctypes.c_int64 * 2)(2, 3)
    dtype = np.dtype(np.int32)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(dtype))  # which the function takes
    made = signature(address)(np.ndarray, dtype, 2, ctypes.addressof(shape), None, None, 0, None)
    _expect(
        type(made) is np.ndarray and made.shape == (2, 3) and made.dtype is dtype,
        "NumPy makes arrays by another function",
    )
    handler = ctypes.PYFUNCTYPE(ctypes.py_object)(get_handler)()
    _expect(
        np.ndarray.__basicsize__ > ARRAY_HANDLER_AT
        and word(id(made) + ARRAY_HANDLER_AT) == id(handler),
        "arrays keep who frees their memory elsewhere",
    )
