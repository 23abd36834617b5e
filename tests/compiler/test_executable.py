"""What is kept of compiled programs: who compiles the same again gets the same program without compiling, and nobody another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.ir.graphs import apply
from tracejit import _sources, dtypes, executable
from tracejit._config import config
from tracejit._errors import Location
from tracejit.artifact import HostCall, LaunchSpec
from tracejit.compiler import compile_graph
from tracejit.executable import Executable, executable_of
from tracejit.ir.aval import aval
from tracejit.ir.graph import Apply, Graph, Input
from tracejit.kept_plan import NotKept, packed, unpacked
from tracejit.ops import contract, sort  # noqa: F401  # they register their ops
from tracejit.ops.registry import REGISTRY
from tracejit.runtime.cache import DiskCache
from tracejit.runtime.cpu import compile as kernels


@pytest.fixture(autouse=True)
def disk(tmp_path: Path) -> Iterator[DiskCache]:
    with config.scope(cache_dir=tmp_path):
        yield DiskCache(tmp_path, config.cache_bytes)


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[Graph]:
    """The graphs that the compiler has been given."""
    seen: list[Graph] = []
    really = executable._compiled

    def noted(graph: Graph, fastmath: bool, memory_limit: int | None) -> Executable:
        seen.append(graph)
        return really(graph, fastmath, memory_limit)

    monkeypatch.setattr(executable, "_compiled", noted)
    return seen


def chain(*, line: int = 1, size: int = 10) -> Graph:
    """x @ x, and its exponential plus one, at lines of their own."""
    x = Input(aval(dtypes.float32, (size, size)))
    product = at(line, apply("matmul", x, x))
    return Graph((x,), (at(line + 1, apply("exp", at(line + 2, apply("add", product, x)))),))


def at(line: int, node: Apply) -> Apply:
    return replace(node, loc=Location("/somewhere/model.py", line))


def computed(made: Executable, size: int = 10) -> bytes:
    x = np.linspace(-1, 1, size * size, dtype=np.float32)
    (buffer,) = made.run([x.ctypes.data])
    return buffer.array(np.dtype(np.float32), (size * size,)).tobytes()


def test_a_graph_that_was_compiled_before_is_not_compiled_again(compilations: list[Graph]) -> None:
    first, second = executable_of(chain()), executable_of(chain())
    assert len(compilations) == 1
    assert second.plan == replace(first.plan, kernels=())
    assert computed(second) == computed(first)


def test_notes_name_the_lines_of_the_graph_that_is_run(compilations: list[Graph]) -> None:
    executable_of(chain())
    notes = [step.note for step in executable_of(chain(line=40)).launches]
    assert len(compilations) == 1
    assert notes == [step.note for step in compile_graph(chain(line=40)).launches]
    assert "model.py:42" in " ".join(notes)


def test_another_text_or_setting_is_compiled(compilations: list[Graph]) -> None:
    executable_of(chain())
    executable_of(chain(size=11))
    executable_of(chain(), fastmath=True)
    executable_of(chain(), memory_limit=1 << 30)
    with config.scope(fuse=False):
        executable_of(chain())
    with config.scope(target="sse"):
        executable_of(chain())
    assert len(compilations) == 6


def test_another_source_of_the_package_is_another_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "inner" / "pass.py"
    source.parent.mkdir()
    source.write_text("x = 1")
    before = list(_sources._files(str(tmp_path)))
    source.write_text("x = 2")
    assert len(before) == 1
    assert list(_sources._files(str(tmp_path))) != before
    key = executable._key("text", False, None, "machine")
    monkeypatch.setattr(executable, "sources", lambda: "others")
    assert executable._key("text", False, None, "machine") != key


def test_every_source_that_makes_programs_is_looked_at() -> None:
    for file in (executable.__file__, compile_graph.__code__.co_filename, kernels.__file__):
        assert f"{Path(file).resolve()} " in _sources.sources()


def test_who_wants_to_see_the_stages_gets_them(compilations: list[Graph], tmp_path: Path) -> None:
    executable_of(chain())
    with config.scope(dump_dir=tmp_path / "dump"):
        executable_of(chain())
    with config.scope(verify_ir=True):
        executable_of(chain())
    assert len(compilations) == 3


def test_nothing_is_kept_of_ops_that_are_not_the_packages(
    compilations: list[Graph], disk: DiskCache
) -> None:
    op = REGISTRY["negative"]
    parts = {name: getattr(op, name) for name in op.__match_args__}
    foreign = type(op)(**parts)  # as equal as can be, but its rules may change
    x = Input(aval(dtypes.float32, (3,)))
    graph = Graph((x,), (Apply(foreign, (x,), (), x.aval),))
    executable_of(graph)
    executable_of(graph)
    assert len(compilations) == 2


def test_what_lacks_a_kernel_is_compiled(
    compilations: list[Graph], disk: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = executable_of(chain())
    expected = computed(first)
    for entry in disk.entries():
        if b"\x7fELF" in entry.path.read_bytes():
            entry.remove()
            break
    monkeypatch.setattr(kernels, "_addresses", {})  # as in a new process
    assert computed(executable_of(chain())) == expected
    assert len(compilations) == 2
    assert computed(executable_of(chain())) == expected
    assert len(compilations) == 2


def test_damaged_entries_are_made_anew(compilations: list[Graph], disk: DiskCache) -> None:
    expected = computed(executable_of(chain()))
    for entry in disk.entries():
        entry.path.write_bytes(entry.path.read_bytes()[:-1])
    assert computed(executable_of(chain())) == expected
    assert len(compilations) == 2


def test_without_a_cache_every_graph_is_compiled(compilations: list[Graph]) -> None:
    with config.scope(cache_bytes=0):
        executable_of(chain())
        executable_of(chain())
    assert len(compilations) == 2


def test_plans_with_calls_of_numpy_are_kept(compilations: list[Graph]) -> None:
    x = Input(aval(dtypes.float32, (4, 3)))
    graph = Graph((x,), (apply("sort", x, axis=1, stable=True),))
    made = executable_of(graph)
    assert [type(step) for step in made.launches] == [HostCall]
    assert executable_of(graph).plan == made.plan
    assert len(compilations) == 1


def test_plans_come_back_as_they_were() -> None:
    plan = compile_graph(chain()).plan
    assert any(isinstance(step, LaunchSpec) for step in plan.steps)
    call = HostCall(
        "f",
        (("dtype", dtypes.bfloat16), ("x", (1, -0.0, None, "a", True))),
        (),
        (),
        plan.outputs[0],
    )
    plan = replace(plan, steps=(*plan.steps, call))
    again, uses = unpacked(packed(plan, {"k": ("name", "key")}))
    assert repr(again) == repr(replace(plan, kernels=()))
    assert again.steps[-1].params[0][1] is dtypes.bfloat16
    assert uses == {"k": ("name", "key")}


@pytest.mark.parametrize("value", [np.float64(1.0), object(), [1], np.zeros(2)])
def test_what_is_no_number_and_no_text_is_not_kept(value: object) -> None:
    plan = compile_graph(chain()).plan
    call = HostCall("f", (("value", value),), (), (), plan.outputs[0])
    with pytest.raises(NotKept):
        packed(replace(plan, steps=(call,)), {})
