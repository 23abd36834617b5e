"""Exceptions that calls end with: of Python's own classes, and of some that stand for the user's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from tracejit._errors import ArtifactRaised
from tracejit.standalone.functions import ERRORS
from tracejit.standalone.records import Atom, Known, Raise, Slot, Text, Written

CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "": lambda value: value,
    "s": str,
    "r": repr,
    "a": ascii,
}


def maker_of(end: Raise) -> Callable[[Sequence[Any]], Exception]:
    """What makes the exception, by the slots of a call that ends so."""
    kind, args = class_of(end), end.args
    return lambda slots: kind(*[_told(each, slots) for each in args])


def class_of(end: Raise) -> type[Exception]:
    return _stand_in(end.name, end.bases) if end.name else ERRORS[end.bases[0]]


@cache
def _stand_in(name: str, bases: tuple[str, ...]) -> type[Exception]:
    """A class that is named as the user's; what is pickled is made anew where it is read."""
    module, _, own = name.partition(":")
    members = {
        "__module__": module,
        "__qualname__": own,
        "__doc__": f"Stands for {own} of the module {module}, in which an artifact was exported.",
        "__reduce__": lambda self: (_remade, (name, bases, self.args)),
    }
    return type(
        own.rpartition(".")[2], (ArtifactRaised, *[ERRORS[each] for each in bases]), members
    )


def _remade(name: str, bases: tuple[str, ...], args: tuple[Any, ...]) -> Exception:
    return _stand_in(name, bases)(*args)


def shown_name(end: Raise) -> str:
    """The class as a traceback shows it."""
    return end.name.replace(":", ".") or end.bases[0]


def same_always(end: Raise) -> tuple[Atom, ...] | None:
    """What the exception is made of; None where that depends on what the call was given."""
    found = tuple(each for each in end.args if not isinstance(each, Slot | Text))
    return found if len(found) == len(end.args) else None


def is_modest(spec: str) -> bool:
    """Whether a number that is written so takes little room: no width and no precision has more than three digits."""
    runs = "".join(each if each.isdigit() else " " for each in spec).split()
    return max(map(len, runs), default=0) < 4


def slots_told(end: Raise) -> Iterator[int]:
    """The slots that an exception is made of."""
    for each in end.args:
        if isinstance(each, Slot):
            yield each.slot
        for part in each.parts if isinstance(each, Text) else ():
            if isinstance(part, Written) and isinstance(part.value, Slot):
                yield part.value.slot


def _told(arg: Any, slots: Sequence[Any]) -> Any:
    if isinstance(arg, Text):
        return "".join([_written(part, slots) for part in arg.parts])
    return slots[arg.slot] if isinstance(arg, Slot) else arg


def _written(part: str | Written, slots: Sequence[Any]) -> str:
    if isinstance(part, str):
        return part
    value = part.value.value if isinstance(part.value, Known) else slots[part.value.slot]
    return format(CONVERSIONS[part.conversion](value), part.spec)
