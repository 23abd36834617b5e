"""The file: a zip of stored entries, of which there is one form only: to read it is to compare it with what would be written.

Times, attributes and extra fields are fixed, the entries follow each other without gaps, and the archive's comment holds the
SHA-256 of the first entry, which lists those of the others. Nothing is compressed: no entry can be larger than the file.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Iterable, Mapping

from tracejit._errors import ArtifactError
from tracejit._gate import late
from tracejit._records import dataclass

try:
    if sys.version_info >= (3, 12):
        from _sha2 import sha256 as small_sha256
    else:
        from _sha256 import sha256 as small_sha256  # type: ignore[import-not-found]  # known of 3.12 only
except ImportError:  # an interpreter built otherwise
    from hashlib import sha256 as small_sha256

Bytes = bytes | memoryview

_LOCAL = struct.Struct("<IHHHHHIIIHH")
_CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
_END = struct.Struct("<IHHHHIIH")
_LOCAL_MAGIC, _CENTRAL_MAGIC, _END_MAGIC = 0x04034B50, 0x02014B50, 0x06054B50
_VERSION, _UTF8, _STORED = 20, 1 << 11, 0
_TIME, _DATE = 0, (1 << 5) | 1
"""Midnight of 1 January 1980, which is where the format's time begins."""
MOST_BYTES = (1 << 32) - 1
"""The format's own limit, without an extension."""
MOST_ENTRIES = 10_000
MOST_NAME = 200


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a zip says of an entry; `at` is where it begins in the file."""

    name: bytes
    crc: int
    size: int
    at: int

    @property
    def local(self) -> bytes:
        head = (_LOCAL_MAGIC, _VERSION, _UTF8, _STORED, _TIME, _DATE, self.crc, self.size)
        return _LOCAL.pack(*head, self.size, len(self.name), 0) + self.name

    @property
    def central(self) -> bytes:
        head = (_CENTRAL_MAGIC, _VERSION, _VERSION, _UTF8, _STORED, _TIME, _DATE, self.crc)
        tail = (self.size, self.size, len(self.name), 0, 0, 0, 0, 0, self.at)
        return _CENTRAL.pack(*head, *tail) + self.name

    @property
    def end(self) -> int:
        return self.at + _LOCAL.size + len(self.name) + self.size


def pack(entries: Mapping[str, Bytes]) -> list[Bytes]:
    """The file, in parts that follow each other. Raises ValueError where it would be larger than the format allows."""
    parts: list[Bytes] = []
    listed: list[_Entry] = []
    at = 0
    for name, content in entries.items():
        entry = _Entry(name.encode(), zlib.crc32(content), len(content), at)
        at = entry.end
        if at > MOST_BYTES:
            raise ValueError(f"entry {name}: an artifact has at most {MOST_BYTES} bytes")
        parts += (entry.local, content)
        listed.append(entry)
    first = next(iter(entries.values()), b"")
    return [*parts, _directory(listed, first)]


def unpack(data: Bytes) -> dict[str, memoryview]:
    """The entries, in their order. Raises ArtifactError for any file that `pack` would not have written."""
    view = memoryview(data)
    found: dict[str, memoryview] = {}
    listed: list[_Entry] = []
    at = 0
    while len(listed) < MOST_ENTRIES and _magic(view, at) == _LOCAL_MAGIC:
        entry, content = _read(view, at)
        name = entry.name.decode()
        if name in found:
            raise ArtifactError(f"entry {name}: it is there twice")
        found[name] = content
        listed.append(entry)
        at = entry.end
    if not listed:
        raise ArtifactError("not an artifact: it does not begin with an entry of a zip file")
    if view[at:] != _directory(listed, next(iter(found.values()))):
        raise ArtifactError(
            "the archive's directory: it does not list the entries that are there, or the file was cut, altered or added to"
        )
    return found


def _magic(view: memoryview, at: int) -> int:
    return int.from_bytes(view[at : at + 4], "little")


def _read(view: memoryview, at: int) -> tuple[_Entry, memoryview]:
    """The entry that begins at a place, and its content."""
    if len(view) - at < _LOCAL.size:
        raise ArtifactError(f"the entry at byte {at}: the file ends in it")
    header = _LOCAL.unpack_from(view, at)
    crc, size, length = header[6], header[8], header[9]
    begin = at + _LOCAL.size + length
    name = bytes(view[at + _LOCAL.size : begin])
    try:
        shown = name.decode()
    except UnicodeDecodeError:
        raise ArtifactError(f"the entry at byte {at}: its name is no text") from None
    if not 0 < length <= MOST_NAME or not shown.isprintable():
        raise ArtifactError(f"the entry at byte {at}: its name is empty, too long or no text")
    entry = _Entry(name, crc, size, at)
    if view[at:begin] != entry.local:
        raise ArtifactError(f"entry {shown}: its header is not one that tracejit writes")
    if begin + size > len(view):
        raise ArtifactError(f"entry {shown}: the file ends in it")
    content = view[begin : begin + size]
    if zlib.crc32(content) != crc:
        raise ArtifactError(f"entry {shown}: its content is damaged")
    return entry, content


def _directory(entries: Iterable[_Entry], first: Bytes) -> bytes:
    """What follows the entries."""
    listed = [*entries]
    central = b"".join(entry.central for entry in listed)
    comment = f"sha256 {sha256(first)}".encode()
    at = listed[-1].end if listed else 0
    count = len(listed)
    end = _END.pack(_END_MAGIC, 0, 0, count, count, len(central), at, len(comment))
    return central + end + comment


SMALL = 1 << 21
"""Bytes from where on it is worth loading OpenSSL, which takes 3 ms, and hashes five times as fast."""


def sha256(content: Bytes) -> str:
    if len(content) < SMALL and "hashlib" not in sys.modules:
        return small_sha256(content).hexdigest()
    return late("hashlib").sha256(content).hexdigest()
