"""tracejit: write eager Python, run fused kernels, never get another answer.

>>> import tracejit as tj
>>> x = tj.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> y = (x * x).sum()
>>> y.backward()
>>> x.grad
tensor([2., 4., 6.])
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from types import ModuleType
from typing import TYPE_CHECKING

from tracejit._config import config as config
from tracejit._gate import late
from tracejit.standalone import export as export
from tracejit.standalone import load as load

if TYPE_CHECKING:
    from tracejit._namespace import *  # noqa: F403  # type checkers see all names at once

_HERE = sys.modules[__name__].__path__
__version__ = "0.1.0.dev0"


class _Late(ModuleType):
    """This module until the first of its other names is asked for: a program that only runs artifacts waits for none of them.

    Then `_namespace` gives it all of them, and makes it a module like any other.
    """

    def __getattr__(self, name: str) -> object:
        if _is_of_any_module(name) or _is_internal(name):
            raise AttributeError(_absent(name))
        late("tracejit._namespace")
        if name not in vars(self):
            raise AttributeError(_absent(name))
        return vars(self)[name]

    def __setattr__(self, name: str, value: object) -> None:
        if name != "tensor" or not isinstance(value, ModuleType):  # the name is that of a function
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        late("tracejit._namespace")
        return sorted(vars(self))


def _is_of_any_module(name: str) -> bool:
    """Whether it is something such as `__warningregistry__`, which is asked of all modules that there are."""
    is_special = name.startswith("__") and name.endswith("__")
    return is_special and name != "__all__" and not name.startswith("__array_")


def _is_internal(name: str) -> bool:
    """Whether it is a module that users do not know by this name: `from tracejit import dtypes` asks before it imports it."""
    public = name in ("autograd", "cuda", "nn", "optim", "random", "tensor")
    return not public and PathFinder.find_spec(f"tracejit.{name}", _HERE) is not None


def _absent(name: str) -> str:
    return f"module {__name__!r} has no attribute {name!r}"


sys.modules[__name__].__class__ = _Late
