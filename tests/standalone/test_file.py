"""The file: what is in it, that there is one form of it, and what is said of a file that is not as it should be."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tracejit as tj
from tests.standalone.files import X, artifact, entries, expected, named, packed, resealed, results
from tracejit import portable
from tracejit.runtime.cpu import elf
from tracejit.runtime.cpu.target import LEVELS, runs_baseline
from tracejit.standalone import safetensors
from tracejit.standalone.container import pack, unpack

Load = Callable[..., Any]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(data: bytes, **options: Any) -> Any:
        path = tmp_path / "f.tj"
        path.write_bytes(data)
        return tj.load(path, **options)

    return load


def test_the_file_is_a_zip_of_stored_entries() -> None:
    with zipfile.ZipFile(io.BytesIO(artifact())) as file:
        assert file.testzip() is None
        names = file.namelist()
        assert names[:3] == ["manifest.json", "graph.txt", "state.safetensors"]
        assert names[3].endswith("/plan.json")
        assert names[4].endswith("/account.json")
        assert all(name.endswith(".o") for name in names[5:])
        assert {each.compress_type for each in file.infolist()} == {zipfile.ZIP_STORED}
        assert {each.date_time for each in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        manifest = json.loads(file.read("manifest.json"))
        assert manifest["format"] == "tracejit artifact"
        for entry in manifest["entries"]:
            content = file.read(entry["name"])
            assert entry["nbytes"] == len(content)
            assert entry["sha256"] == hashlib.sha256(content).hexdigest()


def test_the_same_function_gives_the_same_file(tmp_path: Path) -> None:
    model = tj.nn.Linear(3, 2)
    for name in ("a.tj", "b.tj"):
        tj.export(model, (tj.ones((4, 3)),), tmp_path / name)
    assert (tmp_path / "a.tj").read_bytes() == (tmp_path / "b.tj").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tj", "b.tj"]


def test_an_export_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "f.tj"
    path.write_text("old")
    with pytest.raises(tj.ExportError):
        tj.export(lambda x: print(x), (tj.ones(2),), path)
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_packing_and_unpacking(count: int) -> None:
    parts = {f"entry-{n}": bytes(range(n * 50)) for n in range(count)}
    data = b"".join(pack(parts))
    if not count:
        with pytest.raises(tj.ArtifactError, match="not an artifact"):
            unpack(data)
        return
    found = unpack(data)
    assert [*found] == [*parts]
    assert {name: bytes(content) for name, content in found.items()} == parts


def test_a_zip_that_another_program_wrote_is_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", "{}" * 1000)
    with pytest.raises(tj.ArtifactError, match=r"manifest.json: its header is not one"):
        unpack(file.getvalue())


# Files that are not as they should be


def changed(name: str, content: bytes) -> dict[str, bytes]:
    return {**entries(), name: content}


def with_manifest(change: Callable[[Any], None]) -> bytes:
    parts = entries()
    manifest = json.loads(parts["manifest.json"])
    change(manifest)
    return packed({**parts, "manifest.json": json.dumps(manifest).encode()})


def parameters_in_no_order(manifest: Any) -> None:
    (first,) = manifest["call"]["parameters"]
    named = {"is": "FixedArgument", "value": None}
    other = {"is": "Parameter", "name": "other", "is_keyword": True, "argument": named}
    manifest["call"]["parameters"] = [other, first]


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def duplicated() -> bytes:
    """The second entry twice, in a zip that is whole otherwise."""
    parts = entries()
    twice = {**parts, "graph.tXt": parts["graph.txt"]}
    return packed(twice).replace(b"graph.tXt", b"graph.txt")


FAULTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "not an artifact"),
    "text": (lambda: b"#!/bin/sh\n" * 50, "not an artifact"),
    "cut": (lambda: artifact()[:-1], "directory"),
    "cut in an entry": (lambda: artifact()[: len(artifact()) // 3], "the file ends in it"),
    "longer": (lambda: artifact() + b"\0", "directory"),
    "a flipped bit in the graph": (
        lambda: flipped(artifact(), artifact().index(b"%0: ")),
        "graph.txt: its content is damaged",
    ),
    "a flipped bit in the comment": (lambda: flipped(artifact(), len(artifact()) - 1), "directory"),
    "twice": (duplicated, "graph.txt: it is there twice"),
    "another order": (
        lambda: packed(dict([*entries().items()][:1] + [*entries().items()][:0:-1])),
        "manifest.json: it lists other entries",
    ),
    "no manifest": (
        lambda: packed({k: v for k, v in entries().items() if k != "manifest.json"}),
        "manifest.json: it is not the first",
    ),
    "an entry more": (
        lambda: packed({**entries(), "more": b""}),
        "other entries than there are: more",
    ),
    "an entry less": (
        lambda: packed({k: v for k, v in entries().items() if k != named(".o")}),
        r"other entries than there are: cpu-\w+/\w+\.o",
    ),
    "a missing object": (
        lambda: resealed({k: v for k, v in entries().items() if k != named("run.o")}),
        r"entry cpu-\w+/\w+\.o: it is missing",
    ),
    "a missing plan": (
        lambda: resealed({k: v for k, v in entries().items() if k != named("plan.json")}),
        r"entry cpu-\w+/plan.json: it is missing",
    ),
    "another graph": (
        lambda: packed(changed("graph.txt", b"return")),
        "graph.txt: it is not the one that the manifest lists",
    ),
    "a graph that is no text": (
        lambda: resealed(changed("graph.txt", b"\xff")),
        "graph.txt: it is no text",
    ),
    "an object that is none": (
        lambda: resealed(changed(named(".o"), b"\x7fELF")),
        "cannot be linked",
    ),
    "no JSON": (lambda: packed(changed("manifest.json", b"{")), "manifest.json: it is no JSON"),
    "deep JSON": (
        lambda: packed(changed("manifest.json", b"[" * 100_000)),
        "manifest.json: it is nested too deeply",
    ),
    "another format": (lambda: with_manifest(lambda m: m.update(format="x")), "not of the format"),
    "a later version": (
        lambda: with_manifest(lambda m: m.update(version=99, more=1)),
        "version 99, and this tracejit reads up to 1: install a later one",
    ),
    "no version": (lambda: with_manifest(lambda m: m.update(version="1")), "'1' is no version"),
    "an unknown field": (lambda: with_manifest(lambda m: m.update(more=1)), "unknown: more"),
    "a missing field": (
        lambda: with_manifest(lambda m: m.pop("baked")),
        "missing or unknown: baked",
    ),
    "a field of another type": (
        lambda: with_manifest(lambda m: m.update(name=1)),
        "manifest.json: name: 1 is no str",
    ),
    "slots that are none": (
        lambda: with_manifest(lambda m: m["call"].update(slots=0)),
        "call: slot . is none of its slots",
    ),
    "a parameter that is a keyword": (
        lambda: with_manifest(lambda m: m["call"]["parameters"][0].update(name="class")),
        "call: a parameter's name is no name",
    ),
    "parameters in no order": (
        lambda: with_manifest(parameters_in_no_order),
        "parameters by place come after those by name",
    ),
    "state that is not there": (
        lambda: resealed(changed("state.safetensors", safetensors.written({}))),
        "state .*: the file does not hold it",
    ),
    "state of no use": (
        lambda: resealed(
            changed(
                "state.safetensors",
                safetensors.written(
                    {
                        **safetensors.read(entries()["state.safetensors"], "s"),
                        "more": np.ones(2),
                    }
                ),
            )
        ),
        "tensors of no use: more",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_error_names_the_entry(load: Load, fault: str) -> None:
    make, message = FAULTS[fault]
    with pytest.raises(tj.ArtifactError, match=message):
        load(make())


def test_resealing_alone_changes_nothing(load: Load) -> None:
    assert results(load(resealed(entries()))) == expected()


def test_the_expected_hash_is_that_of_the_file(load: Load) -> None:
    digest = hashlib.sha256(artifact()).hexdigest()
    assert results(load(artifact(), sha256=digest.upper())) == expected()
    with pytest.raises(tj.ArtifactError, match=f"its SHA-256 is {digest}"):
        load(artifact(), sha256="0" * 64)


def other_target(**changes: Any) -> bytes:
    return with_manifest(lambda m: m["targets"][0].update(changes))


@pytest.mark.parametrize(
    "changes", [{"system": "plan9-mips"}, {"abi": 0}, {"level": "neon"}, {"name": "cuda"}]
)
def test_code_of_another_machine_is_not_run_and_that_is_said(load: Load, changes: Any) -> None:
    with pytest.warns(RuntimeWarning, match="no native code for this machine"):
        loaded = load(other_target(**changes))
    assert loaded.target is None
    assert results(loaded) == expected()


def test_code_of_another_level_than_the_settings_ask_for_is_not_run(load: Load) -> None:
    levels = [level for level in LEVELS if runs_baseline(level)]
    if len(levels) < 2:
        pytest.skip("this processor has one level")
    with (
        tj.config.scope(target=levels[-1]),
        pytest.warns(RuntimeWarning, match="no native code for this machine"),
    ):
        loaded = load(artifact())
    assert loaded.target is None


def test_llvm_links_where_nothing_else_can(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elf, "can_link", lambda: False)
    monkeypatch.setattr(portable, "_linked", {})
    assert results(load(artifact())) == expected()


def test_objects_are_linked_once(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    load(artifact())
    monkeypatch.setattr(portable, "link", lambda objects: pytest.fail("linked again"))
    assert results(load(artifact())) == expected()


def test_without_native_code_none_is_looked_at(load: Load) -> None:
    parts = {name: b"" if name.endswith(".o") else each for name, each in entries().items()}
    assert results(load(resealed(parts), native=False)) == expected()


# Plans


def with_plan(change: Callable[[Any], None]) -> bytes:
    parts = entries()
    name = named("plan.json")
    plan = json.loads(parts[name])
    change(plan)
    return resealed({**parts, name: json.dumps(plan).encode()})


def first_argument(plan: Any) -> Any:
    return plan["plans"][0]["steps"][0]["segments"][0]["arguments"][0]


def product(plan: Any) -> tuple[Any, Any]:
    """A launch of a matrix product, and its segment of it."""
    for step in plan["plans"][0]["steps"]:
        names = step["kernels"] or [step["kernel"]] * len(step["segments"])
        for name, segment in zip(names, step["segments"]):
            if name.startswith("tracejit_gem"):
                return step, segment
    raise AssertionError("there is none")


PLANS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a product of other sizes": (
        lambda p: product(p)[1]["dims"].__setitem__(2, 1000),
        "an argument outside its",
    ),
    "a product of no tasks": (
        lambda p: product(p)[1]["dims"].__setitem__(3, 0) or product(p)[1].update(tasks=7),
        "the dims are of no product|an argument outside its",
    ),
    "a product without scratch": (lambda p: product(p)[0].update(scratch_bytes=0), "scratch"),
    "no such kernel": (
        lambda p: p["plans"][0]["steps"][0].update(kernel="k0"),
        "there is no kernel 'k0'",
    ),
    "an offset past the end": (
        lambda p: first_argument(p).update(offset=1 << 30),
        "an argument outside its",
    ),
    "an offset before the beginning": (
        lambda p: first_argument(p).update(offset=-8),
        "an argument outside its",
    ),
    "an input that is none": (
        lambda p: first_argument(p).update(place="input", index=99),
        "an argument of no memory",
    ),
    "a place that is none": (
        lambda p: first_argument(p).update(place="stack"),
        "'stack' is none of",
    ),
    "too much memory": (
        lambda p: p["plans"][0].update(arena_bytes=1 << 50),
        "scratch memory is too large",
    ),
    "other inputs": (
        lambda p: p["plans"][0]["inputs"].pop(),
        "it writes no input|an argument of no memory",
    ),
    "another shape": (
        lambda p: p["plans"][0]["inputs"][0].update(shape=[1 << 20, 4]),
        "an array outside the memory",
    ),
    "no plan": (lambda p: p["plans"].clear(), "there is no program 0"),
    "a dim that is no word": (
        lambda p: p["plans"][0]["steps"][0]["segments"][0]["dims"].append(1 << 70),
        "the number is too large",
    ),
}


@pytest.mark.parametrize("fault", PLANS)
def test_a_plan_stays_within_its_memory(load: Load, fault: str) -> None:
    change, message = PLANS[fault]
    with pytest.raises(tj.ArtifactError, match=message):
        load(with_plan(change))


# safetensors


def tensors() -> dict[str, np.ndarray]:
    values = np.arange(6).reshape(2, 3)
    names = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split()
    found = {name: values.astype(name) for name in names}
    found["bfloat16"] = values.astype(ml_dtypes.bfloat16)
    return {
        **found,
        "empty": np.zeros((0, 3)),
        "number": np.float32(2.5).reshape(()),
        "ü": values.T,
    }


def test_tensors_are_written_and_read() -> None:
    data = safetensors.written(tensors())
    found = safetensors.read(data, "s")
    assert found.keys() == tensors().keys()
    for name, array in tensors().items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
    assert data == safetensors.written(dict(reversed(tensors().items())))


def test_the_safetensors_package_agrees() -> None:
    package = importlib.import_module("safetensors.numpy")
    ours = {name: array for name, array in tensors().items() if name != "bfloat16"}
    theirs = package.load(safetensors.written(ours))
    assert {name: array.tobytes() for name, array in theirs.items()} == {
        name: array.tobytes() for name, array in ours.items()
    }
    contiguous = {name: np.ascontiguousarray(array) for name, array in ours.items()}
    back = safetensors.read(package.save(contiguous, {"made": "elsewhere"}), "s")
    assert {name: array.tobytes() for name, array in back.items()} == {
        name: array.tobytes() for name, array in ours.items()
    }


def header(about: Any, content: bytes = bytes(8)) -> bytes:
    text = about if isinstance(about, bytes) else json.dumps(about).encode()
    return struct.pack("<Q", len(text)) + text + content


def tensor(begin: int, end: int, shape: Any = (2,), dtype: Any = "F32") -> Any:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "longer than it is"),
        (struct.pack("<Q", 1 << 62), "longer than it is"),
        (header(b"[]"), "no JSON object"),
        (header(b'{"a": 1, "a": 2}'), "a name is there twice"),
        (header(b"\xff"), "no JSON"),
        (header({"a": tensor(0, 8), "b": tensor(0, 8)}), "overlap"),
        (header({"a": tensor(0, 16)}, bytes(8)), "not as many"),
        (header({"a": tensor(8, 16)}, bytes(8)), "outside"),
        (header({"a": tensor(0, 8)}, bytes(9)), "1 bytes of no tensor"),
        (header({"a": tensor(8, 16)}, bytes(16)), "gaps"),
        (header({"a": tensor(0, 8, [-2])}), "no list of sizes"),
        (header({"a": tensor(0, 8, [True])}), "no list of sizes"),
        (header({"a": tensor(0, 8, dtype="F31")}), "no dtype"),
        (header({"a": tensor(0, 8, dtype=["F32"])}), "no dtype"),
        (header({"a": {"dtype": "F32"}}), "other parts"),
    ],
)
def test_tensors_that_are_none_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(tj.ArtifactError, match=message):
        safetensors.read(data, "s")


def test_an_unknown_call_is_refused_by_name(load: Load) -> None:
    loaded = load(artifact())
    assert str(loaded.signature) == "(x: f32[2,4]) -> (f32[], 'a number')"
    for call, message in [
        (lambda: loaded(), "argument x is missing"),
        (lambda: loaded(X, X), "1 arguments by place are taken, and 2 given"),
        (lambda: loaded(X, x=X), "argument x is given twice"),
        (lambda: loaded(y=X), "there is no argument y"),
        (lambda: loaded(3.0), r"argument x is f32\[2,4\], got a float"),
        (lambda: loaded(X.T), r"argument x is f32\[2,4\], got float32\[4, 2\]"),
        (lambda: loaded(tj.tensor(X).astype(tj.float64)), r"got f64\[2,4\]"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            call()
    assert results(loaded) == expected()


def test_state_that_does_not_fit_is_refused_whole(load: Load) -> None:
    loaded = load(artifact())
    state = loaded.state_dict()
    for change, message in [
        (
            {"model.0.weight": np.ones((2, 2), np.float32)},
            r"model.0.weight is float32\[3, 4\], not",
        ),
        ({"more": 1}, "unexpected: more"),
        ({"optimizer.param_groups.0.lr": 1}, "lr is of type float, not int"),
    ]:
        with pytest.raises(RuntimeError, match=message):
            loaded.load_state_dict({**state, "model.0.bias": tj.ones(3), **change})
    with pytest.raises(RuntimeError, match=r"missing: model\.0\.bias"):
        loaded.load_state_dict({k: v for k, v in state.items() if k != "model.0.bias"})
    assert results(loaded) == expected()
