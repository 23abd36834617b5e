"""What guards have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tracejit._records import dataclass
from tracejit.tensor import Tensor
from tracejit.tracing.replay.code import Writer


class Was:
    """Stands in a guard that is kept for an object, or a class, that is not: its class's name, or its own."""

    def __init__(self, name: str) -> None:
        self.__name__ = name


@dataclass(frozen=True, slots=True, eq=False)
class Guard:
    """Something that has to be as it was; `where` is the user's line that depended on it."""

    def conditions(self, writer: Writer) -> Iterator[str]:
        """Expressions that are true where the guard holds; lines may be added between them."""
        raise NotImplementedError

    def kept(self) -> Guard:
        """The guard as explanations need it, without the objects that are the user's to let go."""
        return self

    def now(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """What stands there now, for explanations."""
        source = getattr(self, "source", None)
        if source is None:
            return ""
        try:
            return shown(source.follow(args, kwargs))
        except (AttributeError, KeyError, IndexError, ValueError, TypeError, ReferenceError):
            return "missing"


def shown(value: Any) -> str:
    if type(value) in (bool, int, float, str, bytes, type(None)):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    if isinstance(value, Tensor):
        return str(value.aval)
    if isinstance(value, np.number) and type(value).__module__ == "numpy":
        return repr(value)
    return f"a {type(value).__name__}"
