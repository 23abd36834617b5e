"""Imports inside functions, of modules that are loaded: they read `sys.modules` and attributes."""

from __future__ import annotations

import builtins
import importlib.util
import sys
from types import ModuleType
from typing import Any

from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.hooks import attributes
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.sources import constant


def imported(
    recording: Recording, value: Any, module: str, name: str, scope: dict[str, Any]
) -> None:
    """`from module import name`, or `import module` without a name, has bound `value`."""
    read = constant(vars(builtins), "builtins").item("__import__")
    recording.read(read, builtins.__import__)
    if module.startswith("."):
        _depends_on_package(recording, scope)
        module = importlib.util.resolve_name(module, scope["__package__"])
    found = _loaded(recording, module)
    if name and type(found) is ModuleType and name in vars(found):
        found = attributes.read_attribute(recording, found, name, lambda function: function)
    elif name:
        recording.deny(f"{name} is imported from {module}, which does not have it")
    elif module.partition(".")[0] != module and found is not value:
        found = _loaded(recording, module.partition(".")[0])
    if found is not value:
        recording.deny("a name is imported that is bound to something else, or may change")


def _loaded(recording: Recording, module: str) -> Any:
    found = sys.modules.get(module, g.MISSING)
    if found is g.MISSING:
        recording.deny(f"import of {module}, which is not loaded")
        return found
    return recording.read(constant(sys.modules, "sys.modules").item(module), found)


def _depends_on_package(recording: Recording, scope: dict[str, Any]) -> None:
    recording.read(recording.globals(scope).item("__package__"), scope.get("__package__"))
