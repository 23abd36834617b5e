"""The documents say what is so: their examples run, their listings are the code's, their links lead somewhere."""

from __future__ import annotations

import doctest
import inspect
import re
from pathlib import Path

import pytest

from tracejit import cli

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_the_examples_of_a_document_run(document: Path) -> None:
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, _ = doctest.testfile(str(document), module_relative=False, optionflags=options)
    assert not failed


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_the_links_of_a_document_lead_to_files(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", document.read_text())
    missing = [link for link in links if not (document.parent / link).exists()]
    assert not missing


def test_the_readme_shows_the_demos_own_training_step() -> None:
    demo = pytest.importorskip("tracejit.demo", reason="the packages of the demo are not installed")
    assert inspect.getsource(demo.train_step) in (ROOT / "README.md").read_text()


def test_the_readme_names_only_commands_that_there_are() -> None:
    named = set(re.findall(r"`?tracejit (\w+)`", (ROOT / "README.md").read_text()))
    known = cli.parser().format_help()
    assert all(re.search(rf"^ +{name} ", known, re.MULTILINE) for name in named)
