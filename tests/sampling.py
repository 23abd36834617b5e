"""What tests of random functions share: modules of their text, and samples of seeds."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

Tally = TypeVar("Tally")
Check = Callable[[int, Path, Tally], str]
"""What is wrong with the function of a seed, whose file may be put into the folder; "" where nothing is."""


def module_of(text: str, path: Path) -> Any:
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def sampled(
    check: Check[Tally],
    tally: Tally,
    seed: int,
    count: int,
    say: Callable[[str], Any] | None = None,
) -> tuple[list[str], Tally]:
    """What is wrong with the functions of so many seeds, and the tally that they were counted in."""
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(seed, seed + count):
            fault = check(number, Path(folder), tally)
            if fault:
                wrong.append(fault)
                if say is not None:
                    say(fault)
    return wrong, tally


def options(about: str | None) -> argparse.Namespace:
    """`--seed` and `--count` of the command line."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=50)
    return parser.parse_args()


def look(sample: Callable[..., tuple[list[str], Any]], about: str | None, *more: Any) -> None:
    """A sample by the command line, which prints what is wrong, the tally and `more`, and ends the process."""
    given = options(about)
    wrong, tally = sample(given.seed, given.count, print)
    print(f"{len(wrong)} wrong", tally, *more, sep="; ")
    sys.exit(bool(wrong))
