"""A name for the sources of this package as they are, for what is made by them and kept on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache

from tracejit._errors import OWN_CODE


@cache
def sources() -> str:
    """Another text once a source of this package has been written to; reading them all would take too long."""
    return "\n".join(sorted(line for folder in OWN_CODE for line in _files(folder)))


def _files(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                status = entry.stat()
                # The time of the last change cannot be set, as that of the last write is by installers.
                yield f"{entry.path} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
            elif entry.is_dir(follow_symlinks=False) and not entry.name.startswith("__"):
                yield from _files(entry.path)
