"""Rewritten code kept on disk: for code that was rewritten before, no source text has to be found, proved and compiled again."""

from __future__ import annotations

import marshal
import sys
from types import CodeType
from typing import Any

from tracejit._digest import digest
from tracejit._sources import sources
from tracejit.runtime.cache import disk_cache


def kept(code: CodeType) -> CodeType | None:
    """The rewritten code of this very code; None where none is kept."""
    disk = disk_cache() if _is_of_source(code) else None
    content = disk.get(_key(code)) if disk else None
    return marshal.loads(content) if content else None


def keep(code: CodeType, rewritten: CodeType) -> None:
    """Notes that the code has been proved to be that of its source, and rewritten."""
    disk = disk_cache()
    if disk is not None:
        disk.put(_key(code), marshal.dumps(rewritten))


def _is_of_source(constant: Any) -> bool:
    """Whether it holds only what source text can say: `marshal` writes an array as it does the text of its bytes."""
    match constant:
        case CodeType():
            return all(map(_is_of_source, constant.co_consts))
        case tuple() | frozenset():
            return all(map(_is_of_source, constant))
    return type(constant) in _LITERALS


_LITERALS = {bool, int, float, complex, str, bytes, type(None), type(...)}


def _key(code: CodeType) -> str:
    """All that rewritten code follows from: the code says what its source says, up to names of files and places of lines."""
    content = marshal.dumps(
        code, 2
    )  # in later formats it also depends on who else holds a constant
    settings = "\0".join((sys.version, sources(), __name__)).encode()
    return digest(settings + content)
