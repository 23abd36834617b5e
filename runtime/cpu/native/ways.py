"""Ways: replay code as machine code, and the table by which an entry finds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tracejit._digest import digest
from tracejit._native import abi
from tracejit._records import dataclass
from tracejit.artifact import KernelSource
from tracejit.runtime.buffer import Buffer
from tracejit.runtime.cache import disk_cache
from tracejit.runtime.cpu.compile import load_kernels
from tracejit.runtime.cpu.native.install import installed
from tracejit.runtime.cpu.native.lines import ArrayKind, Lines
from tracejit.runtime.cpu.native.objects import Native
from tracejit.runtime.cpu.native.settled import Rules
from tracejit.runtime.cpu.native.stretches import Stretches
from tracejit.runtime.cpu.native.values import Unsupported
from tracejit.runtime.cpu.native.writer import HELPERS, Raw

LONG = 400
"""Lines of LLVM text: a short way is worth good code, of a long one the making would take longest."""
MOST_WAYS = 4096
"""Machine code is never freed: so many different ways are made in one process."""


@dataclass(frozen=True, slots=True, eq=False)
class Language:
    """What code refers to besides Python; `Expressions` and `Reader` say what these are for."""

    intrinsics: Mapping[Any, Callable[..., Any]]
    hints: Mapping[str, tuple[type, type]]
    equal: tuple[type, ...]
    equalities: Mapping[Any, Callable[..., str]]
    parts: Mapping[tuple[type, str], type]
    resized: Mapping[Any, Callable[..., Any]]
    run_at: Any


class Way:
    """Machine code, and the constants that it is called with.

    held      the objects that the constants are the addresses of
    counter   how many calls it has taken
    """

    __slots__ = ("address", "constants", "counter", "held")

    def __init__(self, address: int, constants: np.ndarray, held: tuple[Any, ...]) -> None:
        self.address = address
        self.constants = constants
        self.held = held
        self.counter = np.zeros(1, np.int64)

    @property
    def calls(self) -> int:
        return int(self.counter[0])

    @property
    def words(self) -> tuple[int, int, int]:
        """What a table says of it."""
        return self.address, self.constants.ctypes.data, self.counter.ctypes.data


def way_of(
    lines: Lines,
    names: Mapping[str, Any],
    *,
    positional: int,
    keywords: tuple[str, ...],
    arrays: Mapping[int, ArrayKind],
    on_break: Callable[[BaseException], Any],
    language: Language,
    sizes: tuple[int, ...] = (),
    rules: Rules | None = None,
    wants: Callable[[KernelSource], bool] = lambda source: True,
) -> Way | None:
    """The code as machine code; None where it has no translation.

    names      what the code refers to
    keywords   the names of the last arguments, in order
    arrays     the slots of new memory that only becomes an array
    on_break   called with an exception that came after there was no way back; it raises what the caller is to see
    sizes      the slots of open sizes, in the order in which they are handed on
    rules      which guards are about what stays the same as a rule
    wants      whether a text is to be loaded; where it is not there is no way
    """
    native, found = installed(), abi.abi()
    if native is None or isinstance(found, str) or len(_texts) >= MOST_WAYS:
        return None
    stretches = Stretches(found, native.buffer, language.hints)
    stretches.names = dict(names)
    stretches.intrinsics = dict(language.intrinsics)
    stretches.equal = language.equal
    stretches.equalities = dict(language.equalities)
    stretches.wrap = Buffer.wrap
    stretches.parts = language.parts
    stretches.resized = dict(language.resized)
    stretches.run_at = language.run_at
    stretches.rules = rules
    stretches.arrays, stretches.size_slots = dict(arrays), sizes
    stretches.on_break = on_break
    stretches.positional, stretches.keywords = positional, keywords
    try:
        stretches.begin()
        stretches.all_of(lines)
        return _loaded(stretches, native, wants)
    except Unsupported as reason:
        unsupported[str(reason)] = unsupported.get(str(reason), 0) + 1
        return None


unsupported: dict[str, int] = {}
"""Why code has stayed in Python, and how often."""
_texts: set[str] = set()


def _loaded(
    stretches: Stretches, native: Native, wants: Callable[[KernelSource], bool]
) -> Way | None:
    body = stretches.text("NAME")
    name = "way" + digest(body)[:20]
    is_long = len(stretches.lines) > LONG
    source = KernelSource(name, body.replace("@NAME(", f"@{name}("), is_long)
    if not wants(source):
        return None
    _texts.add(name)
    address = load_kernels([source], disk_cache())[name]
    helpers = [native.addresses[helper] for helper in HELPERS]
    words = [each.number if isinstance(each, Raw) else id(each) for each in stretches.constants]
    return Way(address, np.array([*helpers, *words], np.int64), tuple(stretches.constants))


class Ways:
    """The table of an entry's ways."""

    def __init__(self, ways: Sequence[Way]) -> None:
        self.ways = tuple(ways)
        self.before: Any = None
        words = [id(self), len(ways)]
        for way in ways:
            words += way.words
        self._words = np.array(words, np.int64)

    @property
    def address(self) -> int:
        return int(self._words.ctypes.data)

    @property
    def call_address(self) -> int:
        native = installed()
        assert native is not None, "there are ways only where there is native code"
        return native.addresses["tracejit_call"]

    @property
    def hits(self) -> list[int]:
        """The calls that each has taken since it was made."""
        return [way.calls for way in self.ways]
