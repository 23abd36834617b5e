"""Every import goes down the layers, and optional or heavy packages enter by one door each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

LEVELS = {
    "tracejit._collection": 0,
    "tracejit._config": 0,
    "tracejit._digest": 0,
    "tracejit._dump": 0,
    "tracejit._errors": 0,
    "tracejit._gate": 0,
    "tracejit._identity": 0,
    "tracejit._json": 0,
    "tracejit._native": 0,
    "tracejit._records": 0,
    "tracejit._sources": 0,
    "tracejit._tree": 0,
    "tracejit.artifact": 0,
    "tracejit.dtypes": 0,
    "tracejit.dispatch": 1,
    "tracejit.ir": 1,
    "tracejit.symbols": 1,
    "tracejit.ops": 2,
    "tracejit.codegen": 3,
    "tracejit.passes": 3,
    "tracejit.runtime": 3,
    "tracejit.transforms": 3,
    "tracejit.backends": 4,
    "tracejit.compiler": 4,
    "tracejit.cubins": 4,
    "tracejit.executable": 4,
    "tracejit.kept_plan": 4,
    "tracejit.portable": 4,
    "tracejit.autograd": 5,
    "tracejit.creation": 5,
    "tracejit.eager": 5,
    "tracejit.exchange": 5,
    "tracejit.indexing": 5,
    "tracejit.inplace": 5,
    "tracejit.interop": 5,
    "tracejit.numpy_functions": 5,
    "tracejit.methods": 2,
    "tracejit.namesakes": 2,
    "tracejit.random": 5,
    "tracejit.standard": 5,
    "tracejit.storage": 5,
    "tracejit.tensor": 5,
    "tracejit.tracing": 5,
    "tracejit.standalone": 6,
    "tracejit": 6,
}
"""Module prefix -> level; the longest prefix counts, so that whatever is not named stands at the top."""

REACH = {
    "tracejit.codegen": (2, {"tracejit.codegen"}),
    "tracejit.runtime": (0, {"tracejit.runtime"}),
}
"""Prefix -> the highest level that it may import from, and what else it may."""

DOORS = {
    "llvmlite": "tracejit.runtime.cpu",
    "pycuda": "tracejit.runtime.cuda",
}
"""A package -> the only modules that may import it."""


def modules() -> dict[str, Path]:
    found = {}
    for folder in ("tracejit", "codegen", "runtime"):
        for path in (ROOT / folder).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            full = name if folder == "tracejit" else f"tracejit.{name}"
            if folder == "tracejit" and full.startswith(("tracejit.codegen", "tracejit.runtime")):
                continue  # the links: Python 3.13 follows them, 3.11 does not
            found[full.removesuffix(".__init__")] = path
    return found


MODULES = modules()


def runs_at_run_time(tree: ast.Module) -> Iterator[ast.AST]:
    """The nodes of a module but for the blocks under `if TYPE_CHECKING`."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            todo.extend(node.orelse)
            continue
        yield node
        todo.extend(ast.iter_child_nodes(node))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, module) of each import, anywhere in the file, that is made at run time."""
    for node in runs_at_run_time(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield node.lineno, inner if inner in MODULES else str(node.module)


def is_within(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(f"{prefix}.")


def prefix_of(module: str) -> str:
    return max((prefix for prefix in LEVELS if is_within(module, prefix)), key=len)


def complaint(module: str, imported: str) -> str | None:
    """Why `module` may not import `imported`, or None."""
    for package, door in DOORS.items():
        if is_within(imported, package) and not is_within(module, door):
            return f"only {door} imports {package}"
    if imported.split(".")[0] in ("codegen", "runtime"):
        return "under the bare name the modules would exist twice"
    if not is_within(imported, "tracejit"):
        return None
    home, target = prefix_of(module), prefix_of(imported)
    if home == target:
        return None
    highest, others = REACH.get(home, (LEVELS[home], set()))
    if LEVELS[target] <= highest or target in others:
        return None
    return f"{home} (level {LEVELS[home]}) may not import {target} (level {LEVELS[target]})"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_from_its_level_and_below(module: str) -> None:
    path = MODULES[module]
    faults = [
        f"{path.relative_to(ROOT)}:{line}: {module} imports {imported}: {why}"
        for line, imported in imports(path)
        if (why := complaint(module, imported))
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("tracejit.codegen.llvm.emit", "tracejit.runtime.cpu"),
        ("tracejit.codegen.kernel.lower", "tracejit.passes.fuse"),
        ("tracejit.codegen.llvm.emit", "llvmlite.ir"),
        ("tracejit.runtime.program", "tracejit.codegen.kernel.ir"),
        ("tracejit.runtime.cache", "tracejit.ir.graph"),
        ("tracejit.ops.reduce", "tracejit.compiler"),
        ("tracejit.ir.graph", "tracejit.ops.op"),
        ("tracejit.compiler", "runtime.cpu"),
        ("tracejit.tensor", "tracejit.nn"),
    ],
)
def test_an_import_up_or_across_the_layers_is_told(module: str, imported: str) -> None:
    assert complaint(module, imported)


def test_the_links_are_relative_and_lead_to_the_top_level_folders() -> None:
    for name in ("codegen", "runtime"):
        link = ROOT / "tracejit" / name
        assert link.is_symlink()
        assert link.readlink() == Path("..") / name
