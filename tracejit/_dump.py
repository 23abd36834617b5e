"""Numbered files of what the compiler made, for `tj.config.dump_dir`."""

from __future__ import annotations

from itertools import count
from pathlib import Path

_counts = {"graph": count(), "replay": count()}


class Dump:
    """A folder per compiled graph, or per piece of a call that is replayed, a file per stage: `graph-0002/03-simplify.txt`."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder / f"{kind}-{next(_counts[kind]):04}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._stages = count()

    def write(self, stage: str, text: str, suffix: str = "txt") -> None:
        path = self.folder / f"{next(self._stages):02}-{stage}.{suffix}"
        path.write_text(text if text.endswith("\n") else f"{text}\n")


def open_dump(folder: Path | None, kind: str = "graph") -> Dump | None:
    """Where to dump the next graph, if anywhere."""
    return None if folder is None else Dump(folder, kind)
