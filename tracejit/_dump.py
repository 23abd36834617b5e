"""Numbered files of what the compiler made, for `tj.config.dump_dir`."""

from __future__ import annotations

from itertools import count
from pathlib import Path

_graphs = count()


class Dump:
    """A folder per compiled graph, a file per stage: `graph-0002/03-simplify.txt`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / f"graph-{next(_graphs):04}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._stages = count()

    def write(self, stage: str, text: str, suffix: str = "txt") -> None:
        path = self.folder / f"{next(self._stages):02}-{stage}.{suffix}"
        path.write_text(text if text.endswith("\n") else f"{text}\n")


def open_dump(folder: Path | None) -> Dump | None:
    """Where to dump the next graph, if anywhere."""
    return None if folder is None else Dump(folder)
