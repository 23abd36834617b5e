"""What a function is called with to export it: arrays of zeros for those of which only the kind is said, with some open sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, count, product
from typing import Any

from tracejit._errors import at_user_line
from tracejit._gate import late
from tracejit._records import dataclass, field
from tracejit.standalone.combinations import Values
from tracejit.standalone.specs import Spec, spec_of

MOST_AHEAD = 64
"""Combinations of sizes that code is made for."""
Path = tuple[int | str, ...]
"""The place of an argument, or its name, and then the keys of what it is in."""
Axis = tuple[Path, int]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The arguments, as they were given, and the sizes that they leave open.

    axes    where each array has an open size, by its name
    ahead   the combinations that code is made for
    taken   sizes that are numbers
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    arrays: bool
    names: tuple[str, ...]
    axes: dict[Axis, str]
    ahead: tuple[Values, ...]
    taken: frozenset[int]


@dataclass(frozen=True, slots=True)
class Examples:
    """Arguments to call the function with; `values` are those of the sizes, and `ahead` others that it is to hold for."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    names: tuple[str, ...] = ()
    values: Values = ()
    axes: dict[Axis, str] = field(default_factory=dict)
    ahead: tuple[Values, ...] = ()


def wanted(
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    sizes: Mapping[str, Sequence[int]],
    *,
    arrays: bool,
) -> Wanted:
    """Raises ValueError for texts that describe no array, and for sizes that do not go with them."""
    try:
        specs = [*_specs(tuple(args), kwargs)]
    except ValueError as error:
        raise ValueError(at_user_line(f"export: {error}")) from None
    axes = {
        (path, axis): extent
        for path, spec in specs
        for axis, extent in enumerate(spec.shape)
        if isinstance(extent, str)
    }
    names = tuple(dict.fromkeys(axes.values()))
    taken = {extent for _, spec in specs for extent in spec.shape if isinstance(extent, int)}
    ahead = _ahead(names, sizes)
    return Wanted(tuple(args), dict(kwargs), arrays, names, axes, ahead, frozenset(taken))


def _ahead(names: tuple[str, ...], sizes: Mapping[str, Sequence[int]]) -> tuple[Values, ...]:
    for name in (*names, *sizes):
        given = sizes.get(name)
        why = ""
        if name not in names:
            why = f"no argument has an open size {name}"
        elif not given:
            why = f"say for which sizes of {name} code is to be made: sizes={{{name!r}: (1, 8)}}"
        elif not all(type(n) is int and n >= 0 for n in given):
            why = f"the sizes of {name} are whole numbers, got {given!r}"
        if why:
            raise ValueError(at_user_line(f"export: {why}"))
    found = tuple(product(*(sorted({*sizes[name]}) for name in names))) if names else ()
    if len(found) > MOST_AHEAD:
        why = f"{len(found)} combinations of sizes, of which a file has at most {MOST_AHEAD}"
        raise ValueError(at_user_line(f"export: {why}"))
    return found


def _specs(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[tuple[Path, Spec]]:
    named: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
    for key, value in named:
        yield from _inside((key,), value)


def _inside(path: Path, value: Any) -> Iterator[tuple[Path, Spec]]:
    if type(value) is str and (spec := spec_of(value)) is not None:
        yield path, spec
    for key, part in _parts(value):
        yield from _inside((*path, key), part)


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    if type(value) in (list, tuple):
        yield from enumerate(value)
    elif type(value) is dict:
        yield from value.items()


def examples(of: Wanted) -> Iterator[Examples]:
    """Arguments of sizes by which they can be told apart: first such as code is made for, then others, should the function take
    the former for numbers that are equal by chance."""
    tried: set[Values] = set()
    for is_free in (False, True):
        values = _example(of, is_free=is_free)
        if values not in tried:
            tried.add(values)
            yield _with(of, values)


def _example(of: Wanted, *, is_free: bool) -> Values:
    """Sizes of 2 or more that differ from each other, and from those that are numbers."""
    found: list[int] = []
    most = max((*of.taken, *(n for each in of.ahead for n in each)), default=0)
    for place in range(len(of.names)):
        listed = [] if is_free else [each[place] for each in of.ahead]
        several = (n for n in listed if n > 1)
        free = (n for n in chain(several, count(max(most + 1, 2))) if n not in {*of.taken, *found})
        found.append(next(free))
    return tuple(found)


def _with(of: Wanted, values: Values) -> Examples:
    sizes = dict(zip(of.names, values))
    args = tuple([_filled(each, sizes, of.arrays) for each in of.args])
    kwargs = {key: _filled(each, sizes, of.arrays) for key, each in of.kwargs.items()}
    return Examples(args, kwargs, of.names, values, of.axes, of.ahead)


def _filled(value: Any, sizes: Mapping[str, int], arrays: bool) -> Any:
    """The value, with arrays in the place of their descriptions; itself where there is none."""
    if type(value) is str and (spec := spec_of(value)) is not None:
        shape = tuple(sizes[each] if isinstance(each, str) else each for each in spec.shape)
        zeros = late("tracejit").zeros(shape, dtype=spec.dtype)
        return zeros.numpy() if arrays else zeros
    parts = dict(_parts(value))
    filled = {key: _filled(part, sizes, arrays) for key, part in parts.items()}
    if all(filled[key] is part for key, part in parts.items()):
        return value
    return filled if type(value) is dict else type(value)(filled.values())
