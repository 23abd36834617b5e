"""What a dict has under a key, and that it has nothing there, is told by words: while these are the same, so is that."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracejit._native import dicts
from tracejit._native.words import word
from tracejit.runtime.cpu.native.install import installed

_native = installed()
pytestmark = pytest.mark.skipif(
    _native is None or not dicts.have_entries(), reason="dicts are not looked at by words"
)
ROOM = 32
NAMES = [f"name{place}" for place in range(12)]
"""Attributes."""
Words = list[tuple[int, int]]
"""Addresses of words, and these."""


class Attributes:
    """Its objects share their keys."""


def note(names: dict[Any, Any], key: Any, room: int = ROOM) -> Words | None:
    """The words that tell what is under a key, in the order in which they are compared; None where none do."""
    assert _native is not None
    places = ctypes.c_int64 * (4 + 4 * room)
    notes, spoiled = places(), ctypes.c_int64()
    function = ctypes.PYFUNCTYPE(
        None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_bool, ctypes.c_void_p,
        ctypes.c_int64,
    )(_native.addresses["tracejit_note_entry"])  # fmt: skip
    at = ctypes.addressof(notes)
    others = ctypes.addressof(spoiled), False, at + 32, room
    function(id(names), id(key), hash(key), at, *others)
    if spoiled.value:
        return None
    keys = word(id(names) + dicts.KEYS_AT)
    before = [id(names) + dicts.KEYS_AT, id(names) + dicts.VALUES_AT, keys + dicts.LAYOUT_AT]
    noted = [pair for pair in zip(notes[::2], notes[1::2]) if pair[0]]
    return [*((each, word(each)) for each in before), *noted]


def holds(words: Words) -> bool:
    return all(word(at) == value for at, value in words)


def of_attributes() -> dict[Any, Any]:
    return vars(Attributes())


def of_texts() -> dict[Any, Any]:
    return {}


def of_anything() -> dict[Any, Any]:
    return {0: None, (1, 2): None}


KINDS = [of_attributes, of_texts, of_anything]


def _text(place: int) -> str:
    """An equal one each time, which is another object."""
    return "".join(["na", f"me{place}"])


def _refill(names: dict[Any, Any], change: Callable[[Any], Any]) -> None:
    """The same entries in the same order, with other keys."""
    held = {change(key): value for key, value in names.items()}
    names.clear()
    names.update(held)


def _rename(names: dict[Any, Any], place: int) -> None:
    """Another key stands where one stood."""
    _refill(names, lambda key: f"other{place}" if key == NAMES[place] else key)


def _rename_back(names: dict[Any, Any], place: int) -> None:
    _refill(names, lambda key: NAMES[place] if str(key).startswith("other") else key)


CHANGES: list[Callable[[dict[Any, Any], int], Any]] = [
    lambda names, place: names.update({NAMES[place]: object()}),
    lambda names, place: names.update({_text(place): object()}),
    lambda names, place: names.setdefault(NAMES[place], object()),
    lambda names, place: names.pop(NAMES[place], None),
    lambda names, place: names.popitem() if names else None,
    lambda names, place: names.clear() if place == 0 else None,
    lambda names, place: names.update({(place,): object()}) if place > 9 else None,
    lambda names, place: names.update({f"more{k}": k for k in range(place * 4)}),
    lambda names, place: _refill(names, lambda key: key),
    lambda names, place: _refill(names, lambda key: "".join([*key]) if type(key) is str else key),
    _rename,
    _rename_back,
]  # fmt: skip
changes = st.lists(
    st.tuples(st.sampled_from(range(len(CHANGES))), st.integers(0, len(NAMES) - 1)), max_size=6
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(KINDS), changes, changes, st.sampled_from(NAMES))
def test_while_the_words_are_the_same_so_is_what_they_tell(
    make: Any, before: list[Any], after: list[Any], key: str
):
    names = make()
    names.update({name: object() for name in NAMES[::2]})
    for change, place in before:
        CHANGES[change](names, place)
    found = names.get(key)
    words = note(names, key)
    if words is None:
        return
    assert holds(words)
    for change, place in after:
        CHANGES[change](names, place)
        assert not holds(words) or names.get(key) is found


@pytest.mark.parametrize("make", KINDS)
def test_that_there_is_no_such_key_is_told(make: Any):
    names = make()
    names.update(dict.fromkeys(NAMES[:8]))
    words = note(names, NAMES[8])
    assert words is not None
    names.update(dict.fromkeys(NAMES[:8]))
    if not dicts.have_versions():  # where there are, any change is seen
        assert holds(words)
    names[NAMES[8]] = 1
    assert not holds(words)


@pytest.mark.parametrize("make", KINDS)
def test_a_key_that_takes_another_s_place_is_seen(make: Any):
    """Its dict is as large, and its keys may lie where those of before did."""
    names = make()
    names.update(dict.fromkeys(NAMES[:8]))
    for place in range(8):
        words = note(names, f"other{place}")
        assert words is not None
        _rename(names, place)
        assert not holds(words)


@pytest.mark.skipif(dicts.have_versions(), reason="a version tells it, whatever keys there are")
def test_too_many_keys_tell_nothing():
    names = dict.fromkeys(NAMES)
    assert note(names, "other", len(NAMES)) is not None
    assert note(names, "other", len(NAMES) - 1) is None
    assert note(names, NAMES[0], 0) is not None


def test_a_key_with_the_same_hash_tells_nothing():
    class Alike(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return False

        def __hash__(self) -> int:
            return hash(NAMES[0])

    names: dict[Any, Any] = {Alike("another"): 1, "name": 2}
    assert note(names, NAMES[0]) is None
    assert note(names, NAMES[1]) is not None
