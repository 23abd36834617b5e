"""What is shipped: one top-level package, complete, in the wheel and in the source distribution alike."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ["pyproject.toml", "README.md", "LICENSE", "tracejit", "codegen", "runtime"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, so that a build leaves nothing behind in the working tree."""
    copy = tmp_path_factory.mktemp("tree")
    for name in SHIPPED:
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, copy)
        else:
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=ignore)
    return copy


@pytest.fixture(scope="module")
def sdist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tree, tmp_path_factory.mktemp("sdist"), "sdist")


def build(tree: Path, out: Path, kind: str) -> Path:
    command = [sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "-o", str(out)]
    done = subprocess.run([*command, str(tree)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


def names_in(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def modules_in(names: set[str]) -> set[str]:
    return {name for name in names if name.endswith(".py")}


def library_files(names: set[str]) -> set[str]:
    """What a library for C is made of, besides modules."""
    inside = {name for name in names if name.startswith("tracejit/standalone/library/")}
    return {name for name in inside if not name.endswith((".py", ".pyc"))}


def library_files_of(tree: Path) -> set[str]:
    return library_files({str(path.relative_to(tree)) for path in tree.rglob("*.*")})


def modules_of(tree: Path) -> set[str]:
    """The name that each module of the tree is shipped under."""
    own = {str(path.relative_to(tree)) for path in (tree / "tracejit").rglob("*.py")}
    linked = [path for name in ("codegen", "runtime") for path in (tree / name).rglob("*.py")]
    return own | {f"tracejit/{path.relative_to(tree)}" for path in linked}


def test_the_wheel_holds_every_module_under_one_package(tree: Path, tmp_path: Path) -> None:
    names = names_in(build(tree, tmp_path, "wheel"))
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"tracejit"}
    assert modules_in(names) == modules_of(tree)
    assert "tracejit/py.typed" in names
    assert library_files(names) == library_files_of(tree)


def test_a_wheel_built_from_the_sdist_is_as_complete(
    sdist: Path, tree: Path, tmp_path: Path
) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    names = names_in(build(unpacked, tmp_path / "out", "wheel"))
    assert modules_in(names) == modules_of(tree)
    assert library_files(names) == library_files_of(tree)


def test_the_sdist_holds_the_licence(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        assert any(name.endswith("/LICENSE") for name in archive.getnames())
