"""The number of what a GPU's kernels made elsewhere rely on, and which of them a GPU runs."""

from __future__ import annotations

import re
from collections.abc import Iterable

ABI = 1
"""Another one whenever it changes how a launch's parameters are packed (`launches.py`); a test holds what belongs to it."""
SYSTEM = "nvidia"
"""In the place of an operating system: whichever it is, the code is the same."""
ARCHITECTURES = (
    "sm_80", "sm_86", "sm_87", "sm_89", "sm_90", "sm_100", "sm_103", "sm_110", "sm_120", "sm_121",
)  # fmt: skip
"""Those that code can be made for: kernels use what came with the first."""
PTX = "compute_80"
"""What the driver of any of them, and of later ones, compiles itself."""


def best_of(levels: Iterable[str], capability: tuple[int, int]) -> str | None:
    """What a GPU of this capability runs best: the machine code of its generation, no later than it, or else PTX."""
    machine = [made for each in levels if (made := _version(each, "sm")) and made <= capability]
    same = [made for made in machine if made[0] == capability[0]]
    if same:
        major, minor = max(same)
        return f"sm_{major}{minor}"
    portable = [
        each for each in levels if (made := _version(each, "compute")) and made <= capability
    ]
    return max(portable, key=lambda each: _version(each, "compute") or (0, 0), default=None)


def _version(level: str, kind: str) -> tuple[int, int] | None:
    found = re.fullmatch(rf"{kind}_(\d{{1,3}})(\d)", level)
    return (int(found[1]), int(found[2])) if found else None
