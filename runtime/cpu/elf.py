"""Objects of x86-64 Linux put into memory, which needs no LLVM: loading that takes longer than running most programs.

The objects are those of the code generator, which uses little of the format: code and constants, functions defined or called, and
addresses relative to the place that needs them. Whatever else an object might hold is refused, and LLVM links it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache

from tracejit._records import dataclass

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")
_OFFSET = struct.Struct("<i")

_MAGIC = b"\x7fELF\x02\x01\x01"
_RELOCATABLE, _X86_64 = 1, 62
_PROGBITS, _SYMTAB, _RELA = 1, 2, 4
_WRITE, _ALLOC, _EXECUTE, _TLS = 1, 2, 4, 1 << 10
_UNWIND = 0x70000001
_UNDEFINED, _RESERVED = 0, 0xFF00
_PC32, _PLT32 = 2, 4

_JUMP = bytes.fromhex("ff2500000000")
"""jmp [rip]: to the address that follows it, however far away that is."""


class Unsupported(Exception):
    """Something in an object that is not linked here."""


def can_link() -> bool:
    """Whether this process runs code of x86-64 under Linux."""
    return sys.platform == "linux" and os.uname().machine == "x86_64" and sys.maxsize > 1 << 32


def link(objects: Mapping[str, bytes], find: Callable[[str], int]) -> dict[str, int]:
    """The addresses of the functions that the objects are named for, in memory that is never freed.

    `find` gives the addresses of the functions that they call, or 0. Raises Unsupported.
    """
    image = _Image(find)
    for data in objects.values():
        image.add(_Object(data))
    base = image.loaded()
    return {name: base + image.functions[name] for name in objects}


@dataclass(frozen=True, slots=True)
class _Section:
    kind: int
    flags: int
    content: bytes
    link: int
    applies_to: int
    alignment: int

    @property
    def is_needed(self) -> bool:
        return bool(self.flags & _ALLOC) and self.kind != _UNWIND  # nothing is thrown through it


@dataclass(frozen=True, slots=True)
class _Symbol:
    name: str
    is_global: bool
    section: int
    value: int


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
            if section.kind == _RELA and self.sections[section.applies_to].is_needed:
                for offset, info, addend in _RELOCATION.iter_unpack(section.content):
                    symbol = self.symbols[info >> 32]
                    yield section.applies_to, offset, info & 0xFFFFFFFF, symbol, addend


def _section(data: bytes, at: int) -> _Section:
    _, kind, flags, _, offset, size, link, info, alignment, _ = _SECTION.unpack_from(data, at)
    if (flags & _ALLOC and kind not in (_PROGBITS, _UNWIND)) or (flags & (_WRITE | _TLS) and size):
        raise Unsupported(f"a section of kind {kind} with flags {flags:#x}")
    return _Section(kind, flags, data[offset : offset + size], link, info, max(alignment, 1))


def _text(names: bytes, at: int) -> str:
    return names[at : names.index(b"\0", at)].decode()


class _Image:
    """What is going to be in memory: all code, jumps to functions that lie elsewhere, and, on pages of their own, constants.

    Offsets are from where the image will begin.
    """

    def __init__(self, find: Callable[[str], int]) -> None:
        self.functions: dict[str, int] = {}
        self._find = find
        self._objects: list[_Object] = []
        self._content = bytearray()

    def add(self, object: _Object) -> None:
        self._objects.append(object)

    def loaded(self) -> int:
        """Where the image is, once it is in memory."""
        places = self._laid_out(executable=True)
        for object, sections in places.items():
            for symbol in object.symbols:
                if symbol.is_global and symbol.section in sections:
                    self.functions[symbol.name] = sections[symbol.section] + symbol.value
        jumps = self._jumps()
        self._align(mmap.PAGESIZE)
        code_bytes = len(self._content)
        for object, sections in self._laid_out(executable=False).items():
            places[object] |= sections
        for object, sections in places.items():
            self._resolve(object, sections, jumps)
        return _in_memory(bytes(self._content), code_bytes)

    def _laid_out(self, *, executable: bool) -> dict[_Object, dict[int, int]]:
        """Where the sections of each object have been put that hold code, or that do not."""
        places: dict[_Object, dict[int, int]] = {}
        for object in self._objects:
            places[object] = {}
            for number, section in enumerate(object.sections):
                if section.is_needed and bool(section.flags & _EXECUTE) == executable:
                    self._align(section.alignment)
                    places[object][number] = len(self._content)
                    self._content += section.content
        return places

    def _align(self, alignment: int) -> None:
        self._content += bytes(-len(self._content) % alignment)

    def _jumps(self) -> dict[str, int]:
        """Jumps to the functions that the objects call and do not define."""
        called = {
            symbol.name
            for object in self._objects
            for symbol in object.symbols
            if symbol.is_global and symbol.section == _UNDEFINED
        }
        jumps = {}
        for name in sorted(called - self.functions.keys()):
            address = self._find(name)
            if not address:
                raise Unsupported(f"no symbol {name}")
            self._align(16)
            jumps[name] = len(self._content)
            self._content += _JUMP + address.to_bytes(8, "little")
        return jumps

    def _resolve(self, object: _Object, sections: Mapping[int, int], jumps: dict[str, int]) -> None:
        elsewhere = jumps | self.functions
        for section, offset, kind, symbol, addend in object.relocations():
            if kind not in (_PC32, _PLT32) or symbol.section >= _RESERVED:
                raise Unsupported(f"a relocation of kind {kind} to {symbol.name}")
            if symbol.section == _UNDEFINED:
                target = elsewhere[symbol.name]
            else:
                target = sections[symbol.section] + symbol.value
            place = sections[section] + offset
            _OFFSET.pack_into(self._content, place, target + addend - place)


def _in_memory(content: bytes, code_bytes: int) -> int:
    """Where the content now is; its first part can be run, and none can be written."""
    system = _system()
    base = system.mmap(None, len(content), mmap.PROT_READ | mmap.PROT_WRITE, _PRIVATE, -1, 0)
    if base == _FAILED:
        raise MemoryError(f"no memory for {len(content)} bytes of code")
    ctypes.memmove(base, content, len(content))
    failed = system.mprotect(base, code_bytes, mmap.PROT_READ | mmap.PROT_EXEC)
    if len(content) > code_bytes:
        failed |= system.mprotect(base + code_bytes, len(content) - code_bytes, mmap.PROT_READ)
    if failed:
        system.munmap(base, len(content))
        raise Unsupported("memory that was written may not be run")
    return int(base)


_PRIVATE: int = getattr(mmap, "MAP_PRIVATE", 0) | getattr(mmap, "MAP_ANONYMOUS", 0)
_FAILED = ctypes.c_void_p(-1).value


@cache
def _system() -> ctypes.CDLL:
    system = ctypes.CDLL(None)
    pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    system.mmap.restype = pointer
    system.mmap.argtypes = (pointer, size, number, number, number, ctypes.c_int64)
    system.mprotect.argtypes = (pointer, size, number)
    system.munmap.argtypes = (pointer, size)
    return system
