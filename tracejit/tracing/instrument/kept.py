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
        case slice():
            return all(map(_is_of_source, _parts(constant)))
    return type(constant) in _LITERALS


_LITERALS = {bool, int, float, complex, str, bytes, type(None), type(...)}


def _key(code: CodeType) -> str:
    """All that rewritten code follows from: the code says what its source says, up to names of files and places of lines."""
    # In later formats it also depends on who else holds a constant.
    content = marshal.dumps(_without_slices(code), 2)
    settings = "\0".join((sys.version, sources(), __name__)).encode()
    return digest(settings + content)


def _without_slices(constant: Any) -> Any:
    """A constant with lists, which no source gives, for slices: from 3.14 on they are constants, which no old format has."""
    match constant:
        case CodeType():
            return constant.replace(co_consts=tuple(map(_without_slices, constant.co_consts)))
        case tuple():
            return tuple(map(_without_slices, constant))
        case slice():
            return [*map(_without_slices, _parts(constant))]
    return constant


def _parts(constant: slice) -> tuple[Any, Any, Any]:
    return constant.start, constant.stop, constant.step
