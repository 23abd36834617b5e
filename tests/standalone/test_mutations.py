"""Files that were changed at random: each is refused by an ArtifactError, or does what the unchanged one does.

`TRACEJIT_FUZZ_FILES=10000 pytest --timeout=0 tests/standalone/test_mutations.py` tries as many.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracejit as tj
from tests.standalone.files import artifact, entries, expected, named, packed, resealed, results
from tracejit.standalone import safetensors

FILES = int(os.environ.get("TRACEJIT_FUZZ_FILES", "300"))
Mutation = Callable[[random.Random], bytes]


def flip_bits(rng: random.Random) -> bytes:
    data = bytearray(artifact())
    for _ in range(rng.choice([1, 1, 2, 8])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def overwrite(rng: random.Random) -> bytes:
    data = bytearray(artifact())
    place, count = rng.randrange(len(data)), rng.choice([1, 4, 64, 4096])
    data[place : place + count] = rng.randbytes(min(count, len(data) - place))
    return bytes(data)


def cut(rng: random.Random) -> bytes:
    return artifact()[: rng.randrange(len(artifact()))]


def cut_out(rng: random.Random) -> bytes:
    begin, end = sorted(rng.randrange(len(artifact()) + 1) for _ in range(2))
    return artifact()[:begin] + artifact()[end:]


def add(rng: random.Random) -> bytes:
    place, more = rng.randrange(len(artifact()) + 1), rng.randbytes(rng.randrange(1, 100))
    return artifact()[:place] + more + artifact()[place:]


def reorder(rng: random.Random) -> bytes:
    parts = [*entries().items()]
    rng.shuffle(parts)
    return packed(dict(parts))


def repeat(rng: random.Random) -> bytes:
    """Bytes of the file at two places: a whole entry, now and then."""
    begin, end = sorted(rng.choice(boundaries()) for _ in range(2))
    return artifact()[:end] + artifact()[begin:]


def boundaries() -> list[int]:
    found, at = [0], artifact().find(b"PK", 1)
    while at >= 0:
        found.append(at)
        at = artifact().find(b"PK", at + 1)
    return found


def swap_contents(rng: random.Random) -> bytes:
    parts = entries()
    one, other = rng.sample([*parts], 2)
    parts[one], parts[other] = parts[other], parts[one]
    return packed(parts)


def drop(rng: random.Random) -> bytes:
    parts = entries()
    parts.pop(rng.choice([*parts]))
    return packed(parts)


PLAIN: list[Mutation] = [
    flip_bits,
    overwrite,
    cut,
    cut_out,
    add,
    reorder,
    repeat,
    swap_contents,
    drop,
]


def mutated(count: int) -> Iterator[bytes]:
    rng = random.Random(0)
    for number in range(count):
        yield PLAIN[number % len(PLAIN)](rng)


def outcome(path: Path, data: bytes, **options: Any) -> Any:
    """What was loaded; None where it was refused as it should be."""
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            return tj.load(path, **options)
        except tj.ArtifactError:
            return None


def test_a_changed_file_is_refused_or_right(tmp_path: Path) -> None:
    refused = 0
    for data in mutated(FILES):
        loaded = outcome(tmp_path / "f.tj", data)
        refused += loaded is None
        if loaded is not None:
            assert data == artifact()
            assert results(loaded) == expected()
    assert refused > 0.9 * FILES


# Files whose hashes fit what was changed: someone has meant it. What they say is checked, and if it is believed it is harmless.

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 70),
    st.sampled_from([-(1 << 63), 1 << 31, 1 << 62, 1 << 70, 1.5]),
    st.sampled_from(
        ["", "x", "float32", "int64", "list", "operator.pow", "arena", "Slot", "Known"]
    ),
    st.just([]),
    st.just({}),
    st.just([0, 1]),
)


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to all parts of a value of JSON's."""
    yield above
    parts = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, part in parts:
        yield from places(part, (*above, key))


def put(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """A copy with something else at a place."""
    if not place:
        return new
    key, *rest = place
    copy = value.copy()
    copy[key] = put(value[key], tuple(rest), new)
    return copy


def changed_json(data: st.DataObject, name: str) -> dict[str, bytes]:
    parts = entries()
    value = json.loads(parts[name])
    for _ in range(data.draw(st.integers(1, 2))):
        value = put(value, data.draw(st.sampled_from([*places(value)][1:])), data.draw(VALUES))
    return {**parts, name: json.dumps(value).encode()}


@settings(max_examples=max(FILES // 3, 1))
@given(st.data())
def test_a_manifest_that_was_changed_on_purpose_is_harmless(data: st.DataObject) -> None:
    folder = Path(os.environ["TRACEJIT_CACHE_DIR"])
    loaded = outcome(folder / "manifest.tj", packed(changed_json(data, "manifest.json")))
    if loaded is not None:
        call(loaded)


def test_a_program_is_given_numbers_for_its_scalars(tmp_path: Path) -> None:
    parts = entries()
    value = json.loads(parts["manifest.json"])
    scalars = [at for at in places(value) if at[-3:-2] == ("scalars",) and at[-1] == "value"]
    assert scalars
    for wrong in ("", "1", None):
        said = put(value, scalars[0], wrong)
        data = packed({**parts, "manifest.json": json.dumps(said).encode()})
        assert outcome(tmp_path / "f.tj", data) is None


def call(loaded: Any) -> None:
    """Calls it, whatever it takes now; it may raise what the function might, or go round a loop for ever."""
    given = [
        each.default if each.default is not each.empty else sample(each.annotation)
        for each in loaded.signature.parameters.values()
    ]
    try:
        with at_most(0.5):
            loaded(*given)
        loaded.state_dict()
    except (
        TimeoutError,
        tj.RecompileError,
        ArithmeticError,
        TypeError,
        ValueError,
        IndexError,
        MemoryError,
    ):
        pass


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Inside the block TimeoutError is raised when so much time has passed."""

    def stop(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def sample(annotation: Any) -> Any:
    shape = getattr(annotation, "shape", None)
    return 1 if shape is None else np.ones(shape, annotation.dtype.numpy)


@settings(max_examples=max(FILES // 3, 1))
@given(st.data())
def test_a_plan_that_was_changed_on_purpose_is_refused_or_loaded(data: st.DataObject) -> None:
    """It is not run: what its kernels make of other dims, their code knows alone."""
    outcome(
        Path(os.environ["TRACEJIT_CACHE_DIR"], "plan.tj"),
        resealed(changed_json(data, named("plan.json"))),
    )


@settings(max_examples=max(FILES // 10, 1))
@given(st.data())
def test_a_graph_that_was_changed_on_purpose_is_harmless(data: st.DataObject) -> None:
    whole = entries()["graph.txt"].decode().splitlines()
    lines = whole.copy()
    place = data.draw(st.integers(0, len(lines) - 1))
    other = data.draw(st.sampled_from(whole))
    kind = data.draw(st.sampled_from(["remove", "repeat", "replace", "number", "text"]))
    if kind == "remove":
        del lines[place]
    elif kind == "repeat":
        lines.insert(place, other)
    elif kind == "replace":
        lines[place] = other
    elif kind == "number":
        digit = str(data.draw(st.integers(0, 99)))
        lines[place] = lines[place].replace(data.draw(st.sampled_from("0123456789")), digit)
    else:
        lines[place] = lines[place][: data.draw(st.integers(0, len(lines[place])))]
    parts = {**entries(), "graph.txt": "\n".join(lines).encode()}
    path = Path(os.environ["TRACEJIT_CACHE_DIR"], "graph.tj")
    loaded = outcome(path, resealed(parts), native=False)
    if loaded is not None:
        call(loaded)


@settings(max_examples=max(FILES // 3, 1))
@given(st.data())
def test_tensors_that_were_changed_on_purpose_are_refused_or_read(data: st.DataObject) -> None:
    whole = entries()["state.safetensors"]
    size = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + size])
    changed = put(header, data.draw(st.sampled_from([*places(header)][1:])), data.draw(VALUES))
    text = json.dumps(changed).encode()
    content = whole[8 + size :]
    count = data.draw(st.sampled_from([len(content), len(content) - 4, 0]))
    length = data.draw(st.sampled_from([len(text), len(text) - 1, 1 << 40]))
    try:
        found = safetensors.read(length.to_bytes(8, "little") + text + content[:count], "s")
    except tj.ArtifactError:
        return
    assert sum(array.nbytes for array in found.values()) == count


@pytest.mark.parametrize("mutate", PLAIN)
def test_every_mutation_changes_something(mutate: Mutation) -> None:
    rng = random.Random(1)
    assert any(mutate(rng) != artifact() for _ in range(3))
