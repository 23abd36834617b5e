"""The number of what a GPU's kernels made elsewhere rely on, and which of them a GPU runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

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
    known = {each: (kind, made) for each in levels for kind, made in _versions(each)}
    fitting = [each for each, (_, made) in known.items() if made <= capability]
    ptx = [each for each in fitting if known[each][0] == "compute"]
    own = [each for each in fitting if each not in ptx and known[each][1][0] == capability[0]]
    return max(own or ptx, key=known.__getitem__, default=None)


def _versions(level: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """The kind of code, and the capability that it needs; nothing for what names none."""
    found = re.fullmatch(r"(sm|compute)_(\d{1,3})(\d)", level)
    if found:
        yield found[1], (int(found[2]), int(found[3]))
