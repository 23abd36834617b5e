"""Objects from the code generator put into memory: by our own linker, or by LLVM, which takes long to load."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import sys
import threading
from collections.abc import Iterable, Mapping
from functools import cache

from tracejit._errors import CompileError
from tracejit._gate import Gate, late
from tracejit.runtime.cpu import elf
from tracejit.runtime.cpu import target as _target  # noqa: F401  # whose gate is passed inside this one, so made before

LLVM = "tracejit.runtime.cpu.llvm"
"""Loaded when there is something to compile, or to link that is not linked here."""
gate = Gate()
"""Whoever is in LLVM, or at the disk cache, is inside: a child that inherits either half way could not use it."""
_linking = threading.Lock()


def link(objects: Mapping[str, bytes], texts: Iterable[str] = ()) -> dict[str, int]:
    """The addresses of the functions that the objects are named for, which nobody else is given. Raises CompileError, which names
    what is missing of all that the `texts`, of which the objects are made, declare.
    """
    with gate, _linking:
        return _linked(objects, texts)


def _linked(objects: Mapping[str, bytes], texts: Iterable[str]) -> dict[str, int]:
    if elf.can_link():
        with contextlib.suppress(elf.Unsupported):
            return elf.link(objects, address_of)
    _functions()  # those of libm are found among the process's own once it is loaded
    try:
        addresses: dict[str, int] = late(LLVM).link(objects)
    except RuntimeError as error:
        absent = [symbol for symbol in sorted(_declared(texts)) if not address_of(symbol)]
        reason = f"no symbol {', '.join(absent)}" if absent else str(error)
        raise CompileError(f"kernels {', '.join(objects)}: not linked: {reason}") from None
    return addresses


@cache
def _functions() -> list[ctypes.CDLL]:
    """Where the functions are that kernels may call. Python need not be linked to libm."""
    libraries = [ctypes.CDLL(None)] if os.name != "nt" else []
    if sys.platform == "linux":
        libraries.append(ctypes.CDLL("libm.so.6", mode=ctypes.RTLD_GLOBAL))
    return libraries


def address_of(symbol: str) -> int:
    """Of a function of libc or libm; 0 where there is none."""
    for library in _functions():
        with contextlib.suppress(AttributeError):
            return ctypes.cast(getattr(library, symbol), ctypes.c_void_p).value or 0
    return 0


def _declared(texts: Iterable[str]) -> set[str]:
    """The functions that the texts declare, but for LLVM's own."""
    declared = re.compile(r"^declare [^@]*@([\w.$]+)", re.MULTILINE)
    symbols = {symbol for text in texts for symbol in declared.findall(text)}
    return {symbol for symbol in symbols if not symbol.startswith("llvm.")}
