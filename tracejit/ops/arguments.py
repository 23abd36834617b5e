"""From what a user passes to what `bind` takes: values, and Python numbers as `Scalar`s of the computing dtype."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from operator import index as as_index
from typing import Any, NoReturn

import numpy as np

from tracejit import dtypes
from tracejit._errors import AxisError, DeviceError, DTypeError, ShapeError, at_user_line
from tracejit.dispatch import Scalar, bind, lift
from tracejit.dtypes import DType
from tracejit.ir.aval import Aval, Shape, aval, surely_same_shape
from tracejit.ir.dim import Dim
from tracejit.ops.registry import REGISTRY
from tracejit.symbols import KINDS, SYMBOLS, concrete, derived, rounded

_WEAK: dict[type, type] = {bool: bool, int: int, float: float, **KINDS}
"""The types of Python numbers, and what each counts as."""
NUMBERS = frozenset(_WEAK)
SCALARS = {dtype: aval(dtype) for dtype in dtypes.ALL}
_RANGES = {
    dtype: (int(np.iinfo(dtype.numpy).min), int(np.iinfo(dtype.numpy).max))
    for dtype in dtypes.INTEGERS
}


def refuse(error: type[Exception], name: str, avals: Iterable[object], why: str) -> NoReturn:
    """Raises `model.py:41: matmul: f32[8,3], f32[4,2]: why`."""
    shown = ", ".join(map(str, avals))
    raise error(at_user_line(f"{name}: {shown}: {why}" if shown else f"{name}: {why}"))


def value_or_number(arg: Any) -> Any:
    """A Python number as it is, a NumPy number as a `Scalar` of its dtype, anything else as a value."""
    if type(arg) in NUMBERS or hasattr(arg, "_is_value"):
        return arg
    if type(arg) is Dim:
        return arg.sizes.number(arg)
    if hasattr(arg, "aval"):  # it stands for an array, or for a number of NumPy's
        return lift(arg)
    if isinstance(arg, np.generic):
        return Scalar(python_number(arg), aval(dtypes.from_numpy(arg.dtype)))
    if isinstance(arg, bool | int | float):  # an IntEnum, a subclass of float
        return python_number(arg)
    if isinstance(arg, complex):
        raise DTypeError(at_user_line(f"complex numbers are not supported yet: got {arg}"))
    return lift(arg)


def python_number(number: Any) -> bool | int | float:
    """A Python number of the value of a number of any kind."""
    if isinstance(number, np.generic):
        dtype = dtypes.from_numpy(number.dtype)
        return {"b": bool, "i": int, "u": int, "f": float}[dtype.kind](number)
    for kind in (bool, int, float):
        if isinstance(number, kind):
            return kind(number)
    raise DTypeError(at_user_line(f"{number!r} is not a real number"))


def weak_dtype(arg: Any) -> DType | type:
    """The dtype of an argument, or the Python type of a weak number."""
    return _WEAK.get(type(arg)) or arg.aval.dtype


def cast(arg: Any, dtype: DType) -> Any:
    """`arg` in `dtype`: numbers as Scalars, values by an explicit `astype` where their dtype is another."""
    if type(arg) in NUMBERS:
        return Scalar(number_as(arg, dtype), SCALARS[dtype])
    if arg.aval.dtype is dtype:
        return arg
    if isinstance(arg, Scalar):
        return Scalar(number_as(arg.value, dtype), SCALARS[dtype])
    return REGISTRY["astype"](arg, dtype=dtype)


def copied(x: Any) -> Any:
    """`x` in memory of its own, where a function promises a new array and has nothing to compute."""
    return REGISTRY["astype"](x, dtype=x.aval.dtype)


def number_as(number: bool | int | float, dtype: DType) -> bool | int | float:
    """A Python number of `dtype`'s values; OverflowError where an integer dtype does not hold it, as in NumPy."""
    if type(number) in SYMBOLS:
        if dtype is dtypes.float32 and isinstance(number, float):
            # A program rounds its scalars itself: replays need not do it before.
            return rounded(number, ctypes.c_float(concrete(number)).value)
        return (
            number
            if dtype is dtypes.float64 and isinstance(number, float)
            else derived(number_as, number, dtype)
        )
    if dtype is dtypes.float64:
        return float(number)
    if dtype is dtypes.float32:
        return ctypes.c_float(number).value
    if dtype is dtypes.bool_:
        return bool(number)
    if dtype.is_float:
        with np.errstate(over="ignore"):
            return float(dtype.numpy.type(number))
    least, most = _RANGES[dtype]
    if not least <= number <= most:
        raise OverflowError(at_user_line(f"Python integer {number} out of bounds for {dtype.name}"))
    return int(number)


def in_range(number: bool | int | float, dtype: DType) -> bool:
    """Whether an integer dtype holds `number`; other dtypes hold every number."""
    if dtype not in _RANGES:
        return True
    least, most = _RANGES[dtype]
    return least <= number <= most


def value(arg: Any) -> Any:
    """`arg` as a value, Python numbers included."""
    if isinstance(arg, Scalar):
        if type(arg.value) in SYMBOLS:
            return bind(REGISTRY["fill"], (arg,), {"shape": ()})
        return lift(np.asarray(arg.value, arg.aval.dtype.numpy))
    return lift(arg)


def normal_axis(axis: int, ndim: int, name: str) -> int:
    """`axis` counted from the front."""
    axis = as_index(axis)
    if not -ndim <= axis < ndim:
        raise AxisError(
            at_user_line(f"{name}: axis {axis} is out of bounds for an array of {ndim} dimensions")
        )
    return axis % ndim


def normal_axes(axis: int | Sequence[int] | None, ndim: int, name: str) -> tuple[int, ...]:
    """Axes as ascending numbers from the front; None means all."""
    if axis is None:
        return tuple(range(ndim))
    axes = [normal_axis(a, ndim, name) for a in as_list(axis)]
    if len(set(axes)) != len(axes):
        raise ShapeError(at_user_line(f"{name}: an axis is named twice in {axis}"))
    return tuple(sorted(axes))


_INT = frozenset({int})


def normal_shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    """A shape given as an int or a sequence."""
    if type(shape) is tuple and _INT.issuperset(map(type, shape)):
        return shape
    return tuple(as_extent(extent) for extent in as_list(shape))


def new_shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    """The shape of what is to be made: no extent is negative."""
    wanted = normal_shape(shape)
    if any(type(extent) is int and extent < 0 for extent in wanted):
        raise ValueError(at_user_line(f"negative dimensions are not allowed, got {wanted}"))
    return wanted


def as_extent(number: Any) -> Any:
    """An integer as an int; an open size as it is."""
    return number if type(number) is Dim else as_index(number)


def as_float(count: Any) -> float:
    """A number of elements, or about as many, as a Python float."""
    number: float = (
        derived(float, count.sizes.number(count)) if type(count) is Dim else float(count)
    )
    return number


def as_list(numbers: Any) -> list[Any]:
    """Several numbers, or one, as a list."""
    return list(numbers) if isinstance(numbers, tuple | list) else [numbers]


def broadcast_shapes(name: str, avals: Sequence[Aval], *shapes: Shape) -> Shape:
    """The shape that `shapes` (by default the avals') broadcast to; ShapeError, naming the avals, where there is none."""
    shapes = shapes or tuple(a.shape for a in avals)
    first = shapes[0]
    if all(surely_same_shape(shape, first) for shape in shapes):
        return first
    ndim = max(map(len, shapes))
    result = []
    for axis in range(-ndim, 0):
        extents = distinct([s[axis] for s in shapes if -axis <= len(s) and not is_one(s[axis])])
        if len(extents) > 1:  # only now is it asked of open sizes
            extents = [extent for extent in extents if extent != 1]
        if len(extents) > 1:
            clash = " != ".join(str(e) for e in sorted(extents, key=str))
            refuse(ShapeError, name, avals, f"the shapes do not broadcast (axis {axis}: {clash})")
        result.append(extents[0] if extents else 1)
    return tuple(result)


def is_one(extent: Any) -> bool:
    """Whether a number, and no open size, is 1."""
    return type(extent) is not Dim and extent == 1


def distinct(values: Iterable[Any]) -> list[Any]:
    """Each of the values once. Open sizes, and shapes of them, are compared: their hashes are none of numbers."""
    found: list[Any] = []
    for each in values:
        if each not in found:
            found.append(each)
    return found


def one_device(name: str, avals: Sequence[Aval]) -> str:
    """The device of an op's arguments: numbers, which are the CPU's, go along with arrays."""
    devices = {a.device for a in avals}
    if len(devices) > 1:
        devices = {a.device for a in avals if a.shape or a.device != "cpu"}
    if len(devices) > 1:
        refuse_devices(name, avals)
    return devices.pop() if devices else "cpu"


def check_devices(name: str, avals: Sequence[Aval]) -> None:
    """DeviceError unless all the arrays of an op, those of no dimensions too, are on one device."""
    if len({a.device for a in avals}) > 1:
        refuse_devices(name, avals)


def refuse_devices(name: str, avals: Iterable[Aval]) -> NoReturn:
    shown = [f"{a.text(','.join(map(str, a.shape)))}{'@cpu' * (a.device == 'cpu')}" for a in avals]
    why = "the arguments are on different devices: move one by .to(device)"
    refuse(DeviceError, name, shown, why)


def on(device: str) -> dict[str, str]:
    """The parameter that says where the result of an op without arrays is to be; the CPU goes without saying."""
    return {} if device == "cpu" else {"device": device}


def moved(x: Any, device: str) -> Any:
    """`x`, a value or a number, on a device: itself where it is there."""
    if isinstance(x, Scalar):
        return REGISTRY["fill"](x, shape=(), **on(device))
    return x if x.aval.device == device else REGISTRY["to_device"](x, device=device)
