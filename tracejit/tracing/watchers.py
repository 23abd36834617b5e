"""Whether somebody watches Python run: what is watched is not replayed."""

from __future__ import annotations

import sys
from typing import Any

_MONITORING: Any = getattr(sys, "monitoring", None)
"""There from Python 3.12 on."""
_WATCHERS = (0, 1, 3, 4)
"""The numbers of tools but for profilers and optimizers, which do not mind what is not run."""


def is_watched() -> bool:
    """Whether a debugger, or another tool that follows the lines of Python, is at work on this thread."""
    return sys.gettrace() is not None or (_MONITORING is not None and _is_monitored())


def _is_monitored() -> bool:
    return any(
        _MONITORING.get_tool(tool) is not None and _MONITORING.get_events(tool)
        for tool in _WATCHERS
    )
