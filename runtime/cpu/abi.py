"""The number of what machine code made elsewhere relies on: how launches, workspaces and the pool's context are laid out."""

from __future__ import annotations

import os
import sys

ABI = 1
"""Another one whenever `runner_ir`, the slabs' kernel, or the dims of products change; a test holds what belongs to it."""


def system() -> str:
    """The operating system and the kind of processor that machine code is for."""
    machine = os.uname().machine if hasattr(os, "uname") else "unknown"
    return f"{sys.platform}-{machine}"
