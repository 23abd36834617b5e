"""Exported libraries, called by way of ctypes."""

from __future__ import annotations

import contextlib
import ctypes
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit import dtypes
from tracejit.standalone.library.build import shared_name

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")

CODES = "ok argument state index changed arithmetic overflow memory processor raised sizes".split()
NAMES = """
    bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64
""".split()
DTYPES = {dtypes.as_dtype(name).numpy: code for code, name in enumerate(NAMES)}


class Number(ctypes.Union):
    _fields_ = [("integer", ctypes.c_int64), ("real", ctypes.c_double)]


class Value(ctypes.Structure):
    _fields_ = [
        ("dtype", ctypes.c_int),
        ("ndim", ctypes.c_int32),
        ("is_number", ctypes.c_int32),
        ("data", ctypes.c_void_p),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("number", Number),
    ]


class Info(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("dtype", ctypes.c_int),
        ("ndim", ctypes.c_int32),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("is_number", ctypes.c_int32),
        ("is_written", ctypes.c_int32),
        ("sizes", ctypes.POINTER(ctypes.c_char_p)),
    ]


class Options(ctypes.Structure):
    _fields_ = [("threads", ctypes.c_int32), ("level", ctypes.c_char_p)]


class Failed(Exception):
    """The code's name, and the message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message


def value_of(given: Any) -> Value:
    """An array, by its own strides, or a number."""
    if isinstance(given, Value):
        return given
    if not isinstance(given, np.ndarray):
        kind = type(given)
        value = Value(NAMES.index({bool: "bool", int: "int64", float: "float64"}[kind]), 0, 1)
        setattr(value.number, "real" if kind is float else "integer", given)
        return value
    axes = ctypes.c_int64 * max(given.ndim, 1)
    shape, strides = axes(*given.shape), axes(*given.strides)
    value = Value(DTYPES[given.dtype], given.ndim, 0, given.ctypes.data, shape, strides)
    value.kept = given
    return value


class Library:
    """What is in a folder that `tj.export(..., c=folder)` has written."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._library = ctypes.CDLL(str(folder / "lib" / shared_name(name)))
        for each in ("message", "version", "level", "size_name"):
            self[each].restype = ctypes.c_char_p
        for each in ("input_info", "output_info", "state_info"):
            self[each].restype = ctypes.POINTER(Info)
        for each in ("input", "output", "state", "size", "combination"):
            self[f"{each}_count"].restype = ctypes.c_size_t
        self["combination"].restype = ctypes.POINTER(ctypes.c_int64)

    def __getitem__(self, name: str) -> Any:
        return getattr(self._library, f"{self.name}_{name}")

    def check(self, code: int) -> None:
        if code:
            raise Failed(CODES[code], self["message"]().decode())

    def infos(self, kind: str) -> list[tuple[str, str, tuple[Any, ...], bool]]:
        """Name, dtype, shape, and whether it is a number, of inputs, outputs or state; sizes that are open are texts."""
        found = []
        for number in range(self[f"{kind}_count"]()):
            info = self[f"{kind}_info"](ctypes.c_size_t(number)).contents
            shape = tuple(_size(info, axis) for axis in range(info.ndim))
            found.append((info.name.decode(), NAMES[info.dtype], shape, bool(info.is_number)))
        return found

    def sizes(self) -> tuple[list[str], list[tuple[int, ...]]]:
        """The names of those that are open, and the combinations that there is code for."""
        names = [
            self["size_name"](ctypes.c_size_t(n)).decode() for n in range(self["size_count"]())
        ]
        found = []
        for number in range(self["combination_count"]()):
            values = self["combination"](ctypes.c_size_t(number))
            found.append(tuple(values[place] for place in range(len(names))))
        return names, found

    def output_shape(self, index: int, given: Sequence[Value]) -> tuple[int, ...]:
        inputs, shape = (Value * len(given))(*given), (ctypes.c_int64 * 33)(*[-7] * 33)
        count = ctypes.c_size_t(len(given))
        self.check(self["output_shape"](ctypes.c_size_t(index), inputs, count, shape))
        ndim = self["output_info"](ctypes.c_size_t(index)).contents.ndim
        assert [*shape[ndim:]] == [-7] * (33 - ndim)
        return tuple(shape[:ndim])

    def create(self, threads: int = 0, level: str | None = None) -> Instance:
        handle = ctypes.c_void_p()
        options = Options(threads, level.encode() if level else None)
        self.check(self["create"](ctypes.byref(handle), ctypes.byref(options)))
        return Instance(self, handle)


class Instance:
    def __init__(self, library: Library, handle: ctypes.c_void_p) -> None:
        self.library, self.handle = library, handle

    def __del__(self) -> None:
        self.library["destroy"](self.handle)

    def __call__(self, *given: Any) -> list[Any]:
        """The results: arrays and numbers."""
        inputs = [value_of(each) for each in given]
        infos = self.library.infos("output")
        shapes = [self.library.output_shape(number, inputs) for number in range(len(infos))]
        outputs = [
            _empty(name, dtype, shape, is_number)
            for (name, dtype, _, is_number), shape in zip(infos, shapes, strict=True)
        ]
        found = self.run(inputs, [value_of(each) for each in outputs])
        return [
            _number(value) if value.is_number else array
            for value, array in zip(found, outputs, strict=True)
        ]

    def run(self, given: Sequence[Value], outputs: Sequence[Value]) -> Any:
        inputs, results = (Value * len(given))(*given), (Value * len(outputs))(*outputs)
        sizes = ctypes.c_size_t(len(given)), ctypes.c_size_t(len(outputs))
        self.library.check(self.library["run"](self.handle, inputs, sizes[0], results, sizes[1]))
        return results

    def get(self, name: str) -> Any:
        infos = {each[0]: each for each in self.library.infos("state")}
        array = _empty(*infos.get(name, (name, "float32", (), False)))
        value = value_of(array)
        self.library.check(
            self.library["get_state"](self.handle, name.encode(), ctypes.byref(value))
        )
        return _number(value) if value.is_number else array

    def set(self, name: str, given: Any) -> None:
        value = value_of(given)
        self.library.check(
            self.library["set_state"](self.handle, name.encode(), ctypes.byref(value))
        )

    def state(self) -> dict[str, Any]:
        """All state that is there."""
        found = {}
        for name, *_ in self.library.infos("state"):
            with contextlib.suppress(Failed):
                found[name] = self.get(name)
        return found


def _size(info: Any, axis: int) -> Any:
    if info.shape[axis] != -1:
        assert not info.sizes or info.sizes[axis] is None
        return info.shape[axis]
    return info.sizes[axis].decode()


def _empty(_: str, dtype: str, shape: tuple[int, ...], is_number: bool) -> Any:
    kind = dtypes.as_dtype(dtype).numpy
    nbytes = int(np.prod(shape)) * kind.itemsize
    memory = np.empty(nbytes + 64, np.uint8)
    begin = -memory.ctypes.data % 64  # so that machine code writes there
    return 0 if is_number else memory[begin : begin + nbytes].view(kind).reshape(shape)


def _number(value: Value) -> bool | int | float:
    name = NAMES[value.dtype]
    if name == "float64":
        return float(value.number.real)
    return bool(value.number.integer) if name == "bool" else int(value.number.integer)


def bits(values: Any) -> Any:
    """All that can be told of arrays and numbers, however nested, in the order that C has them in; without None and text."""
    if isinstance(values, Mapping):
        values = list(values.values())
    if isinstance(values, list | tuple):
        return [each for part in values for each in bits(part)]
    if values is None or isinstance(values, str):
        return []
    if isinstance(values, tj.Tensor):
        values = np.asarray(values.detach())
    if isinstance(values, np.ndarray | np.generic):
        return [(values.dtype.name, values.shape, values.tobytes())]
    return [repr(values)]


def exported(folder: Path, f: Any, *args: Any, name: str = "f", **options: Any) -> Library:
    tj.export(f, args, c=folder, name=name, **options)
    return Library(folder, name)
