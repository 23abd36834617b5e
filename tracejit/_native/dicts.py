"""Where CPython's dicts have what tells their content, found out and checked on dicts at hand.

A dict's version is a number that no other state of any dict has ever had. Up to Python 3.12 it tells all; 3.14 has none. From
3.13 on, a dict that shares its keys with others of a class has its values apart, as a rule in the object whose attributes they
are, and there attributes are set with no new version, and in 3.13.0 with no word to who watches the dict. The version tells all
but them.

What a dict has under a key is told by words of it as well, whatever else is written to it: where its keys lie, and its values, if
these are apart; how its keys are laid out; the key's own place among them, and the value's. Keys that are shared are only added
to: what is not among them is told by how many they are. Of any keys it is told by their hashes, if none is the hash of what is
missing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from tracejit._native.words import byte, word

VERSION_AT, KEYS_AT, VALUES_AT = 24, 32, 40
LAYOUT_AT, INDEX_BYTES_AT, KIND_AT, COUNT_AT, INDEX_AT = 8, 9, 10, 24, 32
"""Where keys have how they are laid out, in a word: among others the logarithm of the bytes of their index, and of which kind
they are; where they have how many they are, and their index, after which they lie."""
GENERAL = 0
"""The kind of keys of which each has its hash before it; others are texts, which have it themselves."""
HASH_BYTES = 8
TEXT_HASH_AT = 24
HASH_FUNCTION_AT = 120
"""Where a type keeps the function that gives its objects' hashes."""
FIRST_VALUE_AT = 8 if sys.version_info >= (3, 13) else 0

INSTANCE_DICT_AT = -24
MANAGED_DICT = 1 << 4
"""A flag of types: Python keeps the dicts of their objects, before these."""

_HAS_VERSIONS = sys.version_info < (3, 14)
_IS_KNOWN = sys.version_info < (3, 15)
WRITES_VALUES_APART = sys.version_info >= (3, 13)
"""Whether values may be written with no new version, where they are apart."""


def _new_owner() -> Any:
    """An object of a class of its own, which shares its keys with no other."""
    return type("Owner", (), {})()


def have_versions() -> bool:
    """Whether every change of a dict, in whatever way, is told by its version or by values that are apart, and a look is none."""
    if not _HAS_VERSIONS:
        return False
    owner = _new_owner()
    names = vars(owner)
    changes: tuple[Callable[[], object], ...] = (
        lambda: setattr(owner, "first", 1), lambda: setattr(owner, "first", 2), lambda: names.update(second=3),
        lambda: names.setdefault("third", 4), lambda: names.pop("second"), lambda: delattr(owner, "first"),
        lambda: names.__ior__({"third": 5}), names.popitem, lambda: names.update(a=1, b=2), names.clear,
        lambda: setattr(owner, "first", 1), lambda: names.update({7: 8}), lambda: setattr(owner, "first", 2),
    )  # fmt: skip
    seen = {_state_of(names)}
    for change in changes:
        change()
        state = _state_of(names)
        names.get("third"), len(names), list(names)
        if state in seen or state != _state_of(names):
            return False
        seen.add(state)
    return _state_of(names.copy()) not in seen


def _state_of(names: dict[Any, Any]) -> tuple[Any, ...]:
    version, values = word(id(names) + VERSION_AT), word(id(names) + VALUES_AT)
    is_apart = WRITES_VALUES_APART and values != 0
    return version, values, *(_entries_of(names) if is_apart else ())


def _entries_of(names: dict[Any, Any]) -> Iterator[tuple[int, int, int]]:
    """The addresses of keys and values, and the keys' hashes, as machine code finds them."""
    keys, values = word(id(names) + KEYS_AT), word(id(names) + VALUES_AT)
    is_general = byte(keys + KIND_AT) == GENERAL
    before = HASH_BYTES if is_general else 0
    entry = keys + INDEX_AT + (1 << byte(keys + INDEX_BYTES_AT))
    for place in range(word(keys + COUNT_AT)):
        key = word(entry + before)
        at = values + FIRST_VALUE_AT + 8 * place if values else entry + before + 8
        if key:
            yield key, word(at), word(entry if is_general else key + TEXT_HASH_AT)
        entry += before + 16


def have_entries() -> bool:
    """Whether dicts have their keys and values where they are expected: attributes, texts, and keys of any kind."""
    if not _IS_KNOWN:
        return False
    owner = _new_owner()
    for name in ("first", "second", "third"):
        setattr(owner, name, object())
    texts: dict[Any, Any] = {f"name {place}": object() for place in range(200)}
    del texts["name 7"]
    anything = {key: object() for key in ("first", 5, 0.5, owner)}
    return _hash_functions_are_found() and all(
        {*_entries_of(names)} == {(id(key), id(value), hash(key)) for key, value in names.items()}
        for names in (vars(owner), texts, anything, {})
    )


def _hash_functions_are_found() -> bool:
    plain, inherited, *others = (
        word(id(kind) + HASH_FUNCTION_AT) for kind in (object, type(_new_owner()), str, int, tuple)
    )
    return plain == inherited and len({plain, *others}) == 4


def lie_before_objects() -> bool:
    """Whether objects of ordinary classes have their dict there, once somebody has asked for it."""
    owners = [_new_owner() for _ in range(3)]
    for place, owner in enumerate(owners):
        owner.__dict__.update({f"name{k}": k for k in range(place * 40)})
    return all(
        type(owner).__flags__ & MANAGED_DICT
        and word(id(owner) + INSTANCE_DICT_AT) == id(owner.__dict__)
        for owner in owners
    )
