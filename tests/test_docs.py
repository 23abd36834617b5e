"""The documents say what is so: their examples run, their listings are the code's, their links lead somewhere."""

from __future__ import annotations

import doctest
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tracejit import cli
from tracejit.runtime.cpu.target import target_level

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


INTERNALS = ROOT / "docs" / "internals.md"
EXAMPLE = ROOT / "examples" / "standardize.py"
LISTING = re.compile(
    r"<!-- (\S+?)(?:, the first block with \"(.+)\")? -->\n```\n(.*?)```\n", re.DOTALL
)
LEVEL = "avx2"
"""The instruction set of the listings."""


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the example's stages are, by file name; kernels without the hash in their names."""
    try:
        target_level(LEVEL)
    except ValueError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("dump")
    settings = {"TRACEJIT_TARGET": LEVEL, "TRACEJIT_DUMP": str(folder), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, EXAMPLE], env=os.environ | settings, cwd=ROOT, check=True)
    return {
        re.sub(r"-k[0-9a-f]+\.", ".", path.name): re.sub(
            r"\bk[0-9a-f]{20}\b", "kernel", path.read_text()
        )
        for path in folder.rglob("*.*")
    }


def block_with(text: str, pattern: str) -> str:
    """The first basic block of an LLVM function in which `pattern` stands."""
    blocks = re.split(r"^(?=\w+:$)", text, flags=re.MULTILINE)
    return next(block for block in blocks if pattern in block)


def test_the_listings_of_the_internals_are_what_the_stages_make(
    stages: dict[str, str], request: pytest.FixtureRequest
) -> None:
    def current(listing: re.Match[str]) -> str:
        name, pattern, old = listing.groups()
        text = block_with(stages[name], pattern) if pattern else stages[name]
        return listing[0].replace(f"```\n{old}```", f"```\n{text.rstrip()}\n```")

    text = INTERNALS.read_text()
    updated = LISTING.sub(current, text)
    if request.config.getoption("--update-golden"):
        INTERNALS.write_text(updated)
    else:
        assert text == updated
    assert len(LISTING.findall(text)) >= 6


def test_the_internals_show_the_examples_own_function() -> None:
    source = EXAMPLE.read_text()
    assert source[source.index("@tj.compile") : source.index("\n\n\nif")] in INTERNALS.read_text()


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=name_of)
def test_an_example_runs(example: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", example]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout
