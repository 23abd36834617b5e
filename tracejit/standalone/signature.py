"""The signature of an artifact's calls."""

from __future__ import annotations

import functools
import inspect
from inspect import Signature
from typing import Any, assert_never

from tracejit import dtypes
from tracejit._gate import late
from tracejit.ir.aval import aval
from tracejit.ir.dim import is_open
from tracejit.standalone.binding import trailing
from tracejit.standalone.functions import TYPES
from tracejit.standalone.records import (
    Argument,
    ArrayArgument,
    Call,
    DictArgument,
    DictResult,
    Finish,
    FixedArgument,
    GivenResult,
    Known,
    NumberArgument,
    NumberResult,
    Result,
    SequenceArgument,
    SequenceResult,
    TensorResult,
)
from tracejit.standalone.ways import ways_of


def signature_of(call: Call) -> Signature:
    """As `inspect` has it: arrays are annotated with their dtype and shape."""
    parameters = []
    fixed = trailing(call)
    for parameter in call.parameters:
        as_ = inspect.Parameter
        parameters.append(
            as_(
                parameter.name,
                as_.KEYWORD_ONLY if parameter.is_keyword else as_.POSITIONAL_OR_KEYWORD,
                default=fixed.get(parameter.name, as_.empty),
                annotation=_annotation(parameter.argument),
            )
        )
    return Signature(parameters, return_annotation=_of_all_ways(call))


def _annotation(argument: Argument) -> Any:
    match argument:
        case ArrayArgument(dtype=name, shape=shape):
            return annotation_of(name, shape)
        case NumberArgument(type=name):
            return TYPES[name]
        case FixedArgument(value=value):
            return type(value)
        case SequenceArgument(type=name, parts=parts):
            return _sequence(name, map(_annotation, parts))
        case DictArgument(keys=keys, parts=parts):
            return dict(zip(keys, map(_annotation, parts)))
        case _:
            assert_never(argument)


def _of_all_ways(call: Call) -> Any:
    ends = [way.end for way in ways_of(call)]
    found = [_result_annotation(end.result) for end in ends if isinstance(end, Finish)]
    if not found:
        return Signature.empty
    return functools.reduce(_common, found)


def _common(one: Any, other: Any) -> Any:
    """What is said of results of two ways."""
    if one == other:
        return one
    if type(one) is type(other) and isinstance(one, list | tuple) and len(one) == len(other):
        return _sequence(type(one).__name__, map(_common, one, other))
    are_numbers = one in _NUMBERS and other in _NUMBERS
    return "a number" if are_numbers else "one of several results"


_NUMBERS = (bool, int, float, "a number")


def _result_annotation(result: Result) -> Any:
    match result:
        case TensorResult(memory=memory):
            return annotation_of(memory.dtype, memory.shape)
        case GivenResult():
            return "an argument"
        case NumberResult(value=Known(value=value)):
            return int if is_open(value) else type(value)
        case NumberResult():
            return "a number"
        case SequenceResult(type=name, parts=parts):
            return _sequence(name, map(_result_annotation, parts))
        case DictResult(keys=keys, parts=parts):
            return dict(zip(keys, map(_result_annotation, parts)))
        case _:
            assert_never(result)


def _sequence(name: str, parts: Any) -> Any:
    return list(parts) if name == "list" else tuple(parts)


def annotation_of(dtype: str, shape: tuple[int, ...]) -> object:
    """What is said of an array of this dtype and shape; sizes that are open have their names."""
    if any(map(is_open, shape)):
        return late("tracejit.standalone.specs").shown(dtypes.as_dtype(dtype), shape)
    return aval(dtypes.as_dtype(dtype), shape)
