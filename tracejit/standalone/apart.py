"""Whether the memory of the call that is exported was shared in a way that an artifact's cannot be.

An artifact's arguments are new in each call, and never part of its state; and each piece of state has its own memory. Where
nothing shared is written that is no difference; else the function would have done something else with copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tracejit._errors import ExportError
from tracejit._records import dataclass
from tracejit.artifact import BufferSpec
from tracejit.standalone.arguments import is_data
from tracejit.standalone.check import arrays_in
from tracejit.standalone.plans import size_of
from tracejit.standalone.records import TensorState
from tracejit.standalone.script import Script
from tracejit.storage import as_array
from tracejit.tensor import Tensor


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Memory of an argument, or of state."""

    name: str
    is_written: bool
    low: int
    high: int


def check_apart(script: Script, args: Sequence[Any], kwargs: Mapping[str, Any], where: str) -> None:
    """Raises ExportError where memory that is written is reached in another way as well."""
    found = [*_arguments(script, args, kwargs), *_state(script, args, kwargs)]
    for place, one in enumerate(found):
        for other in found[place + 1 :]:
            is_shared = one.low < other.high and other.low < one.high
            if is_shared and (one.is_written or other.is_written):
                why = f"{one.name} shares memory with {other.name}, which the call writes"
                raise ExportError(f"{where}: export: {why}: give it a copy")


def _arguments(
    script: Script, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Iterator[_Stretch]:
    data = [value for value in (*args, *kwargs.values()) if is_data(value)]
    for parameter, value in zip(script.call.parameters, data, strict=True):
        for argument, array in zip(arrays_in(parameter.argument), _arrays(value), strict=True):
            yield _stretch(f"argument {parameter.name}", argument.is_written, array)


def _arrays(value: Any) -> Iterator[Tensor | np.ndarray]:
    """The tensors and arrays in an argument, in the order of its records."""
    if isinstance(value, Tensor | np.ndarray):
        yield value
    elif isinstance(value, list | tuple | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _arrays(part)


def _state(script: Script, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[_Stretch]:
    for state, place in zip(script.call.state, script.places):
        if isinstance(state, TensorState) and state.is_read:
            value = place.follow(tuple(args), dict(kwargs))
            yield _stretch(state.name, state.slot in script.written, value)


def _stretch(name: str, is_written: bool, value: Tensor | np.ndarray) -> _Stretch:
    if isinstance(value, Tensor) and value.aval.device != "cpu":
        return _on_gpu(name, is_written, value)
    array = as_array(value) if isinstance(value, Tensor) else value
    low, high = np.lib.array_utils.byte_bounds(array)
    return _Stretch(name, is_written, int(low), int(high) if array.size else int(low))


def _on_gpu(name: str, is_written: bool, tensor: Tensor) -> _Stretch:
    layout, dtype = tensor.layout, tensor.aval.dtype
    low, high = size_of(BufferSpec(dtype.name, layout.shape, layout.strides), name)
    begin = tensor.storage.realize().address + layout.offset * dtype.itemsize
    return _Stretch(name, is_written, begin + low, begin + high)
