"""Hashes that name content: of texts and bytes.

By BLAKE2 as `hashlib` has it, without `hashlib` itself: that loads OpenSSL, which takes 4 MiB and as long as a small program.
"""

from __future__ import annotations

try:
    from _blake2 import blake2b
except ImportError:  # an interpreter built otherwise
    from hashlib import blake2b


def digest(content: str | bytes) -> str:
    """64 hexadecimal digits.

    >>> digest("text")[:8] == digest(b"text")[:8]
    True
    """
    data = content.encode() if isinstance(content, str) else content
    return blake2b(data, digest_size=32).hexdigest()


def checksum(data: bytes, size: int) -> bytes:
    """`size` bytes, at most 64."""
    return blake2b(data, digest_size=size).digest()
