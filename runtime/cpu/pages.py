"""Pages of a library that were touched once and need not stay in memory: they are in its file.

The system maps 16 pages for each that is touched. Of LLVM's library 36 MiB are in memory once it is loaded, and 38 while it makes
code: those are others, for the greater part.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

_MAGIC = b"\x7fELF\x02\x01"
_TABLE = struct.Struct("<32xQ14xHH")
"""Of the file's header: where the segments are described, the bytes and number of descriptions."""
_SEGMENT = struct.Struct("<IIQQQQQQ")
_LOADED, _WRITABLE = 1, 2
_DROP = 4
"""MADV_DONTNEED: what is mapped from a file and was never written is read from it again when it is touched."""


def let_go(library: str) -> None:
    """Has the system take back the pages of a loaded library, by the end of its path, that can be read from its file again."""
    for start, nbytes in _spans(library):
        _advise()(start, nbytes, _DROP)


@cache
def _advise() -> Callable[[int, int, int], int]:
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return advise


@cache
def _spans(library: str) -> tuple[tuple[int, int], ...]:
    """The segments of a position-independent library that nobody may write to; none where they are not known."""
    if sys.platform != "linux" or sys.maxsize < 1 << 32:
        return ()
    base = _base(library)
    if base is None or ctypes.string_at(base, len(_MAGIC)) != _MAGIC:
        return ()
    table, step, number = _TABLE.unpack(ctypes.string_at(base, _TABLE.size))
    spans = []
    for place in range(base + table, base + table + number * step, step):
        kind, access, _, address, _, _, nbytes, _ = _SEGMENT.unpack(
            ctypes.string_at(place, _SEGMENT.size)
        )
        if kind == _LOADED and not access & _WRITABLE:
            spans.append(_whole_pages(base + address, base + address + nbytes))
    return tuple(spans)


def _whole_pages(start: int, stop: int) -> tuple[int, int]:
    first, last = -(-start // mmap.PAGESIZE), stop // mmap.PAGESIZE
    return first * mmap.PAGESIZE, max(last - first, 0) * mmap.PAGESIZE


def _base(library: str) -> int | None:
    """Where the beginning of a loaded library's file is."""
    try:
        mappings = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return None
    for mapping in mappings:
        span, _, offset, *_ = mapping.split(maxsplit=5)
        if mapping.endswith(library) and not int(offset, 16):
            return int(span.split("-")[0], 16)
    return None
