"""Values that note what is done with them, and the list of the cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

NOTES: list[str] = []
CASES: list[Callable[..., Any]] = []


def case(function):
    CASES.append(function)
    return function


def note(value):
    NOTES.append(repr(value))
    return value


class Noisy:
    """Notes whatever is done with it."""

    def __init__(self, name, items=(), truth=True):
        self.__dict__.update(name=name, items=items, is_true=truth)

    def __repr__(self):
        return self.name

    def _say(self, what):
        NOTES.append(f"{self.name}.{what}")

    def __getattr__(self, name):
        self._say(f"get {name}")
        if name.startswith("missing"):
            raise AttributeError(name)
        return Noisy(f"{self.name}.{name}")

    def __setattr__(self, name, value):
        self._say(f"set {name} {value!r}")

    def __delattr__(self, name):
        self._say(f"del {name}")

    def __getitem__(self, key):
        self._say(f"getitem {key!r}")
        return Noisy(f"{self.name}[{key!r}]")

    def __setitem__(self, key, value):
        self._say(f"setitem {key!r} {value!r}")

    def __delitem__(self, key):
        self._say(f"delitem {key!r}")

    def __iter__(self):
        self._say("iter")
        return iter(self.items)

    def __contains__(self, value):
        self._say(f"contains {value!r}")
        return False

    def __bool__(self):
        self._say("bool")
        return self.is_true

    def __call__(self, *args, **kwargs):
        self._say(f"call {args} {kwargs}")
        return Noisy(f"{self.name}()")

    def __format__(self, spec):
        self._say(f"format {spec}")
        return f"<{self.name}>"

    def __enter__(self):
        self._say("enter")
        return Noisy(f"{self.name} entered", self.items)

    def __exit__(self, kind, error, trace):
        self._say(f"exit {error!r}")
        return "swallow" in self.name

    def _binary(name):  # noqa: N805  called by the class itself
        def method(self, other):
            self._say(f"{name} {other!r}")
            return Noisy(f"({self.name} {name} {other!r})", truth=self.is_true)

        return method

    __add__, __radd__, __iadd__ = _binary("+"), _binary("r+"), _binary("+=")
    __sub__, __mul__, __matmul__ = _binary("-"), _binary("*"), _binary("@")
    __truediv__, __floordiv__, __mod__ = _binary("/"), _binary("//"), _binary("%")
    __pow__, __lshift__, __rshift__ = _binary("**"), _binary("<<"), _binary(">>")
    __and__, __or__, __xor__ = _binary("&"), _binary("|"), _binary("^")
    __lt__, __le__, __gt__, __ge__ = _binary("<"), _binary("<="), _binary(">"), _binary(">=")
    __eq__, __ne__ = _binary("=="), _binary("!=")
    __hash__ = object.__hash__

    def __neg__(self):
        self._say("neg")
        return self

    __pos__ = __invert__ = __neg__


def noisy(name, **kwargs):
    NOTES.append(f"made {name}")
    return Noisy(name, **kwargs)


def false(name):
    return noisy(name, truth=False)
