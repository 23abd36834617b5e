"""Keys of dicts, elements of sets and places in sequences: which of them is meant is part of what is recorded."""

from __future__ import annotations

from typing import Any

from tracejit.symbols import SYMBOLS, concrete, settled
from tracejit.tensor import Tensor
from tracejit.tracing.replay.hooks.containers import expand, is_container, is_fixed_key
from tracejit.tracing.replay.kinds import ATOMS, found_on, is_numpy_number
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.stand_in import StandIn


def key_name(recording: Recording, key: Any) -> Any:
    """What a source calls a key: an atom itself, an object that is found by identity its source; None for any other."""
    if (type(key) in ATOMS and type(key) is not slice) or is_fixed_key(recording, key):
        return key
    if isinstance(key, Tensor) or found_on(type(key), "__eq__") is vars(object)["__eq__"]:
        return recording.outside.get(id(key))
    return None


def plain_key(key: Any) -> Any:
    """A key without symbols: what it selects is decided by its value."""
    if type(key) is slice:
        return slice(settled(key.start), settled(key.stop), settled(key.step))
    return tuple(map(plain_key, key)) if type(key) is tuple else settled(key)


def native_index(recording: Recording, key: Any) -> Any:
    """A place, or a slice, that native code takes: no object of the user's says which."""
    key = plain_key(key)
    if not _is_index(key):
        recording.deny(f"a {type(key).__name__} is, or has, an index of its own making")
    return key


def _is_index(key: Any) -> bool:
    if type(key) is slice:
        return all(map(_is_index, (key.start, key.stop, key.step)))
    if type(key) is tuple:
        return all(map(_is_index, key))
    return (
        type(key) in ATOMS
        or type(key) is StandIn
        or isinstance(key, Tensor)
        or is_numpy_number(key)
    )


def hash_key(recording: Recording, key: Any, *, among_state: bool = False) -> Any:
    """A key of a dict, or an element of a set, without symbols: it is about to be hashed, and compared with others.

    `among_state`: the others were there before the call, so that a replay finds it, or not, as Python would.
    """
    kind = type(key)
    refuse_nan(recording, key)
    if kind in SYMBOLS:
        return settled(key)
    if kind in ATOMS or kind is StandIn or is_numpy_number(key) or is_fixed_key(recording, key):
        return key
    if not recording.live:
        return key
    if kind is frozenset or kind is tuple or (is_container(key) and isinstance(key, tuple)):
        expand(recording, key, deep=False)
        hashed = [hash_key(recording, part, among_state=among_state) for part in key]
        return tuple(hashed) if kind is tuple else key
    if isinstance(key, Tensor) or is_told_apart(recording, key):
        if not among_state:
            recording.compare(key)
    elif found_on(kind, "__hash__") is None:  # Python refuses it
        recording.class_has(kind, "__hash__", exact=True)
    else:
        recording.deny(f"a {kind.__name__}, which decides itself what it is equal to, is a key")
    return key


def refuse_nan(recording: Recording, value: Any) -> None:
    """A NaN is found among others by identity, of which nothing is known."""
    number = concrete(value)
    if type(number) in (float, complex) and number != number:
        recording.deny("a NaN is looked for, or is a key")


def is_told_apart(recording: Recording, value: Any) -> bool:
    """Whether `==` and `hash` of an object say nothing but which object it is."""
    kind = type(value)
    is_plain = (
        found_on(kind, "__eq__") is vars(object)["__eq__"]
        and found_on(kind, "__hash__") is vars(object)["__hash__"]
    )
    if not is_plain or not (recording.is_outside(value) or recording.is_made(value)):
        return False
    recording.class_has(kind, "__eq__")
    recording.class_has(kind, "__hash__")
    return True
