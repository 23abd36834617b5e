"""The arguments of an export: data, which each call of the artifact is given anew, and objects, which become part of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tracejit._errors import ExportError, at_user_line
from tracejit._records import dataclass, field
from tracejit.standalone.check import is_name
from tracejit.standalone.examples import Examples, Path
from tracejit.tensor import Tensor, from_data
from tracejit.tracing.replay.opened import as_open
from tracejit.tracing.replay.places import names_of_arguments
from tracejit.tracing.replay.sources import Source, argument, keyword
from tracejit.tracing.stand_in import StandIn

_ATOMS = (type(None), bool, int, float, str)


@dataclass(frozen=True, slots=True)
class GivenParameter:
    """An argument that is data."""

    name: str
    is_keyword: bool
    source: Source
    value: Any


@dataclass(frozen=True, slots=True)
class Given:
    """A call's arguments, with copies in the place of tensors and arrays: what is written to these is nobody's loss.

    names, values   of the sizes that are open
    open            which of these a size of an array is, by what recordings know it as (`as_open`)
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    data: tuple[GivenParameter, ...]
    names: tuple[str, ...] = ()
    values: tuple[int, ...] = ()
    open: dict[Any, int] = field(default_factory=dict)

    def is_data(self, source: Source) -> bool:
        """Whether a path begins at an argument that is data."""
        while source.parent is not None:
            source = source.parent
        return any(source.identity == each.source.identity for each in self.data)

    def numbers(self) -> Iterator[Source]:
        """Where Python numbers stand in the data."""
        for each in self.data:
            yield from _numbers_in(each.source, each.value)


def _numbers_in(source: Source, value: Any) -> Iterator[Source]:
    if type(value) in (int, float):
        yield source
    elif type(value) in (list, tuple):
        for place, part in enumerate(value):
            yield from _numbers_in(source.item(place), part)
    elif type(value) is dict:
        for key, part in value.items():
            yield from _numbers_in(source.item(key), part)


def given(function: Callable[..., Any], call: Examples) -> Given:
    names = names_of_arguments(function, len(call.args))
    data: list[GivenParameter] = []
    positional = []
    for place, value in enumerate(call.args):
        name = names[place] or f"argument{place}"
        positional.append(_entered(data, name, False, argument(place, names[place]), value))
    named = {
        name: _entered(data, name, True, keyword(name), value)
        for name, value in call.kwargs.items()
    }
    axes = {
        as_open(_source_of(path, names), axis): call.names.index(name)
        for (path, axis), name in call.axes.items()
    }
    return Given(tuple(positional), named, tuple(data), call.names, call.values, axes)


def _source_of(path: Path, names: Sequence[str]) -> Source:
    first, *keys = path
    source = argument(first, names[first]) if type(first) is int else keyword(str(first))
    for key in keys:
        source = source.item(key)
    return source


def _entered(
    data: list[GivenParameter], name: str, is_keyword: bool, source: Source, value: Any
) -> Any:
    if not is_name(name):
        raise ExportError(at_user_line(f"an argument is named {name!r}, which is no name"))
    if isinstance(value, np.generic):
        raise ExportError(
            at_user_line(
                f"argument {name} is a NumPy number: give an array, or a number of Python's"
            )
        )
    if not is_data(value):
        return value
    copy = _copied(value)
    data.append(GivenParameter(name, is_keyword, source, copy))
    return copy


def is_tensor(value: Any) -> bool:
    """What stands for an array says of itself that it is one."""
    return type(value) is StandIn or isinstance(value, Tensor)


def is_data(value: Any) -> bool:
    """Tensors, arrays, numbers and text, and lists, tuples and dicts of these."""
    kind = type(value)
    if kind in _ATOMS or kind is np.ndarray or isinstance(value, Tensor):
        return True
    if kind in (list, tuple):
        return all(map(is_data, value))
    if kind is dict:
        return all(type(key) in (str, int) for key in value) and all(map(is_data, value.values()))
    return False


def _copied(value: Any) -> Any:
    kind = type(value)
    if kind is np.ndarray:
        return np.array(value, order="C")
    if isinstance(value, Tensor):
        copy = from_data(value.detach())
        return copy.requires_grad_() if value.requires_grad else copy
    if kind in (list, tuple):
        return kind(map(_copied, value))
    if kind is dict:
        return {key: _copied(part) for key, part in value.items()}
    return value
