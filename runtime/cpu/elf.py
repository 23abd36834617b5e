"""Objects of x86-64 Linux put into memory, which needs no LLVM: loading that takes longer than running most programs.

The objects are those of the code generator, which uses little of the format: code, constants and zeroed variables, symbols that
are defined or needed, and addresses relative to the place that needs them. Whatever else an object might hold is refused, and
LLVM links it.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")
_OFFSET = struct.Struct("<i")

_MAGIC = b"\x7fELF\x02\x01\x01"
_RELOCATABLE, _X86_64 = 1, 62
_PROGBITS, _SYMTAB, _RELA, _NOBITS = 1, 2, 4, 8
_WRITE, _ALLOC, _EXECUTE, _TLS = 1, 2, 4, 1 << 10
_UNWIND = 0x70000001
_UNDEFINED, _RESERVED = 0, 0xFF00
_NEAR = {2, 4}
"""Relocations to a symbol, or to a jump to it."""
_BY_WORD = {9, 41, 42}
"""Relocations to a word that holds the address of a symbol."""

_JUMP = bytes.fromhex("ff2500000000")
"""jmp [rip]: to the address that follows it, however far away that is."""


class Unsupported(Exception):
    """Something in an object that is not linked here."""


def can_link() -> bool:
    """Whether this process runs code of x86-64 under Linux."""
    return sys.platform == "linux" and os.uname().machine == "x86_64" and sys.maxsize > 1 << 32


def link(objects: Mapping[str, bytes], find: Callable[[str], int]) -> dict[str, int]:
    """The addresses of the functions that the objects are named for, in memory that is never freed.

    `find` gives the addresses of what they need from elsewhere, or 0. Raises Unsupported.
    """
    image = _Image([_Object(data) for data in objects.values()], find)
    base = image.loaded()
    return {name: base + image.places[name] for name in objects}


class _Section:
    """A part of an object; `access` is what may be done with it besides reading, None where it need not be in memory."""

    __slots__ = ("access", "alignment", "applies_to", "content", "kind", "link")

    def __init__(
        self, kind: int, flags: int, content: bytes, link: int, applies_to: int, alignment: int
    ) -> None:
        self.kind, self.content = kind, content
        self.link, self.applies_to, self.alignment = link, applies_to, alignment
        is_needed = flags & _ALLOC and kind != _UNWIND  # nothing is thrown through it
        self.access = flags & (_WRITE | _EXECUTE) if is_needed else None


class _Symbol:
    __slots__ = ("is_global", "name", "section", "value")

    def __init__(self, name: str, is_global: bool, section: int, value: int) -> None:
        self.name, self.is_global, self.section, self.value = name, is_global, section, value


class _Object:
    """The parts of an object's text that matter here."""

    def __init__(self, data: bytes) -> None:
        header = _HEADER.unpack_from(data)
        if not data.startswith(_MAGIC) or header[1:3] != (_RELOCATABLE, _X86_64):
            raise Unsupported("not an object of x86-64")
        at, count = header[6], header[12]
        self.sections = [_section(data, at + place * _SECTION.size) for place in range(count)]
        self.symbols: list[_Symbol] = []
        for section in self.sections:
            if section.kind == _SYMTAB:
                names = self.sections[section.link].content
                self.symbols = [
                    _Symbol(_text(names, name), info >> 4 != 0, where, value)
                    for name, info, _, where, value, _ in _SYMBOL.iter_unpack(section.content)
                ]

    def relocations(self) -> Iterator[tuple[int, int, int, _Symbol, int]]:
        """(section, offset in it, kind, symbol, addend)"""
        for section in self.sections:
            if section.kind == _RELA and self.sections[section.applies_to].access is not None:
                for offset, info, addend in _RELOCATION.iter_unpack(section.content):
                    symbol = self.symbols[info >> 32]
                    yield section.applies_to, offset, info & 0xFFFFFFFF, symbol, addend


def _section(data: bytes, at: int) -> _Section:
    _, kind, flags, _, offset, size, link, info, alignment, _ = _SECTION.unpack_from(data, at)
    known = {_PROGBITS, _UNWIND} if not flags & _WRITE or not size else {_NOBITS}
    if (flags & _ALLOC and kind not in known) or flags & _TLS:
        raise Unsupported(f"a section of kind {kind} with flags {flags:#x}")
    content = bytes(size) if kind == _NOBITS else data[offset : offset + size]
    return _Section(kind, flags, content, link, info, max(alignment, 1))


def _text(names: bytes, at: int) -> str:
    return names[at : names.index(b"\0", at)].decode()


class _Image:
    """What is going to be in memory: code and jumps, constants and addresses, variables, each on pages of their own.

    Places are counted from where the image begins.
    """

    def __init__(self, objects: Sequence[_Object], find: Callable[[str], int]) -> None:
        self.places: dict[str, int] = {}
        """Of what the objects define for others."""
        self._objects = objects
        self._find = find
        self._sections: dict[tuple[_Object, int], int] = {}
        self._content = bytearray()

    def loaded(self) -> int:
        """The address of the image, once it is in memory."""
        self._put(_EXECUTE)
        jumps = {name: self._jump(name) for name in self._needed(_NEAR) - self._defined()}
        code_bytes = self._page()
        self._put(0)
        words = {name: self._word(0) for name in self._needed(_BY_WORD)}
        fixed_bytes = self._page()
        self._put(_WRITE)
        for object, symbol in self._symbols():
            if symbol.section != _UNDEFINED:
                self.places[symbol.name] = self._sections[object, symbol.section] + symbol.value
        self._resolve(jumps | self.places, words)
        base = _reserved(len(self._content))
        for name, word in words.items():
            here = self.places.get(name)
            address = self._elsewhere(name) if here is None else base + here
            self._content[word : word + 8] = address.to_bytes(8, "little")
        _fill(base, bytes(self._content), code_bytes, fixed_bytes)
        return base

    def _put(self, access: int) -> None:
        """Puts down the sections of this access."""
        for object in self._objects:
            for number, section in enumerate(object.sections):
                if section.access == access:
                    self._align(section.alignment)
                    self._sections[object, number] = len(self._content)
                    self._content += section.content

    def _page(self) -> int:
        self._align(_page_bytes())
        return len(self._content)

    def _align(self, alignment: int) -> None:
        self._content += bytes(-len(self._content) % alignment)

    def _jump(self, name: str) -> int:
        self._align(16)
        self._content += _JUMP
        return self._word(self._elsewhere(name)) - len(_JUMP)

    def _word(self, value: int) -> int:
        place = len(self._content)
        self._content += value.to_bytes(8, "little")
        return place

    def _elsewhere(self, name: str) -> int:
        address = self._find(name)
        if not address:
            raise Unsupported(f"no symbol {name}")
        return address

    def _symbols(self) -> Iterator[tuple[_Object, _Symbol]]:
        """Those that the objects define for others, or need."""
        for object in self._objects:
            for symbol in object.symbols:
                if symbol.is_global:
                    yield object, symbol

    def _defined(self) -> set[str]:
        return {symbol.name for _, symbol in self._symbols() if symbol.section != _UNDEFINED}

    def _needed(self, kinds: set[int]) -> set[str]:
        """The global symbols that relocations of these kinds lead to."""
        return {
            symbol.name
            for object in self._objects
            for _, _, kind, symbol, _ in object.relocations()
            if kind in kinds and symbol.is_global
        }

    def _resolve(self, near: Mapping[str, int], words: Mapping[str, int]) -> None:
        for object in self._objects:
            for section, offset, kind, symbol, addend in object.relocations():
                if kind in _BY_WORD and symbol.is_global:
                    target = words[symbol.name]
                elif kind not in _NEAR or symbol.section >= _RESERVED:
                    raise Unsupported(f"a relocation of kind {kind} to {symbol.name}")
                elif symbol.section == _UNDEFINED:
                    target = near[symbol.name]
                else:
                    target = self._sections[object, symbol.section] + symbol.value
                place = self._sections[object, section] + offset
                _OFFSET.pack_into(self._content, place, target + addend - place)


def _reserved(nbytes: int) -> int:
    base = _system().mmap(None, nbytes, _MAY_READ | _MAY_WRITE, _PRIVATE, -1, 0)
    if base == _FAILED:
        raise MemoryError(f"no memory for {nbytes} bytes of code")
    return int(base)


def _fill(base: int, content: bytes, code_bytes: int, fixed_bytes: int) -> None:
    """Puts the content into memory: code, which can be run then, what can only be read, and what can be written."""
    ctypes.memmove(base, content, len(content))
    protect = _system().mprotect
    failed = protect(base, code_bytes, _MAY_READ | _MAY_RUN)
    if fixed_bytes > code_bytes:
        failed |= protect(base + code_bytes, fixed_bytes - code_bytes, _MAY_READ)
    if failed:
        _system().munmap(base, len(content))
        raise Unsupported("memory that was written may not be run")


_MAY_READ, _MAY_WRITE, _MAY_RUN = 1, 2, 4
_PRIVATE = 0x02 | 0x20
"""Linux's numbers for memory that nobody else sees, and that is no file's; Python has them in a module that has to be loaded."""
_FAILED = ctypes.c_void_p(-1).value


def _page_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE")


@cache
def _system() -> ctypes.CDLL:
    system = ctypes.CDLL(None)
    pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    system.mmap.restype = pointer
    system.mmap.argtypes = (pointer, size, number, number, number, ctypes.c_int64)
    system.mprotect.argtypes = (pointer, size, number)
    system.munmap.argtypes = (pointer, size)
    return system
