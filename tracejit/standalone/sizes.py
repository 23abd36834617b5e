"""Sizes that an artifact leaves open: what is said of them, and records and graphs for some of them.

Records have open sizes (`tracejit.ir.dim`) where others have numbers. For a combination of sizes they become what an artifact's
records are that was exported for these alone, and are checked, run and written as such.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from tracejit._errors import ArtifactError, RecompileError
from tracejit.ir.dim import ATOMS, Dim, Sizes
from tracejit.ir.dim import at as size_at
from tracejit.standalone.combinations import NONE, Values, named
from tracejit.standalone.records import Condition, Open, Quotient

FUNCTIONS = {sign: function for function, sign in ATOMS.items()}
_WHERE = "entry manifest.json: sizes that are open are not said as they should be"
MOST_SIZES = 64
"""Variables, and what is made of them."""
T = TypeVar("T")


def variables(names: Sequence[str], values: Sequence[int]) -> Sizes:
    """Sizes that have these values now."""
    sizes = Sizes()
    for name, value in zip(names, values, strict=True):
        sizes.variable(value, name)
    return sizes


# Writing


def said_of(sizes: Sizes, names: Sequence[str], ahead: Sequence[Values]) -> Open:
    """What a manifest says of sizes that a recording has left open, and of what was asked of them."""
    made = tuple(
        Quotient(ATOMS[atom[0]], atom[1], atom[2]) for atom in sizes.made if atom is not None
    )
    asked = tuple(
        Condition(size, relation, outcome, _claim(size, relation, outcome), where)  # type: ignore[arg-type]  # see `Dim`
        for (size, relation), outcome in sizes.facts.items()
        for where in [sizes.lines[size, relation]]
    )
    return Open(tuple(names), tuple(sizes.values[: len(names)]), made, asked, tuple(ahead))


def fixed(sizes: Open) -> Iterator[tuple[str, Condition]]:
    """The sizes that can only be what they were, with what says so."""
    for place, name in enumerate(sizes.names):
        for asked in sizes.conditions:
            size: Any = asked.size
            is_alone = [monomial for monomial, _ in size.terms if monomial] == [(place,)]
            if asked.relation == "eq" and asked.outcome and is_alone:
                yield name, asked
                break


def _claim(size: Dim, relation: str, outcome: bool) -> str:
    """`batch != 1`"""
    constant = size.at([0] * len(size.sizes.made))
    rest = size - constant
    is_negative = all(by < 0 for _, by in rest.terms)
    sign = {"eq": ("!=", "=="), "lt": (">=", "<")}[relation][outcome]
    if is_negative:
        rest, constant, sign = -rest, -constant, {"<": ">", ">=": "<="}.get(sign, sign)
    text = rest.text([*map(str, size.sizes.labels)])
    return f"{text.replace('+-1*', '-').replace('+-', '-')} {sign} {-constant}"


# Reading


def sizes_in(said: Any) -> Sizes | None:
    """The open sizes that the JSON of an `Open` tells of; None where there are none. Raises ArtifactError.

    What else it says is checked where the record is read: here it is found out what `{"size": "n0"}` means there.
    """
    if type(said) is not dict or not said.get("names"):
        return None
    try:
        names, recorded, made = said["names"], said["recorded"], said["quotients"]
        if len(names) + len(made) > MOST_SIZES:
            raise ValueError("there are too many")
        sizes = variables(names, [_count(value) for value in recorded])
        for each in made:
            first, second = (_operand(each[key], sizes) for key in ("first", "second"))
            known = len(sizes.made)
            sizes.divided(FUNCTIONS[each["function"]], first, second)
            if len(sizes.made) == known:
                raise ValueError("a quotient is none of its own")
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise ArtifactError(f"{_WHERE}: {error!r:.100}") from None
    return sizes


def with_sizes(manifest: Any) -> Any:
    """The JSON of a manifest, with open sizes where it says `{"size": "n0"}`. Raises ArtifactError."""
    sizes = sizes_in(manifest["sizes"])
    try:
        return manifest if sizes is None else _with_sizes(manifest, sizes)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise ArtifactError(f"{_WHERE}: {error!r:.100}") from None


def _with_sizes(value: Any, sizes: Sizes) -> Any:
    if type(value) is list:
        return [_with_sizes(part, sizes) for part in value]
    if type(value) is not dict:
        return value
    if value.keys() == {"size"}:
        return sizes.read(str(value["size"]))
    return {name: _with_sizes(part, sizes) for name, part in value.items()}


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 40:
        raise ValueError(f"{value!r:.40} is no size")
    return value


def _operand(value: Any, sizes: Sizes) -> Any:
    return sizes.read(value["size"]) if type(value) is dict else _integer(value)


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r:.40} is no number")
    return value


def sizes_of(said: Open) -> Sizes:
    """Open sizes as they are said to be, for graphs."""
    sizes = variables(said.names, said.recorded)
    found: list[Any] = [sizes.of({(place,): 1}) for place in sizes.variables]
    for each in said.quotients:
        operands = (size_at(each.first, found), size_at(each.second, found))
        found.append(sizes.divided(FUNCTIONS[each.function], *operands))
    return sizes


def check_sizes(sizes: Open) -> None:
    """Raises ArtifactError where the record, which is one, says what cannot be."""
    names = sizes.names
    is_right = len({*names}) == len(names) == len(sizes.recorded)
    is_right &= all(each.isidentifier() for each in names)
    is_right &= all(len(each) == len(names) and min(each) >= 0 for each in sizes.ahead if names)
    is_right &= bool(sizes.ahead) if names else sizes == NONE
    is_right &= len({*sizes.ahead}) == len(sizes.ahead)
    is_right &= all(each.relation in ("eq", "lt") for each in sizes.conditions)
    if not is_right:
        raise ArtifactError(_WHERE)
    for values in sizes.ahead:
        try:
            atoms_of(sizes, values)
        except RecompileError as error:
            raise ArtifactError(f"{_WHERE}: {error}") from None


# Some sizes


def atoms_of(sizes: Open, values: Values) -> list[int]:
    """The values of all sizes for a combination. Raises RecompileError, with the user's line, where what was recorded is for
    others."""
    found = [*values]
    for each in sizes.quotients:
        second = size_at(each.second, found)
        if second == 0:
            break  # which was asked before it was divided
        found.append(FUNCTIONS[each.function](size_at(each.first, found), second))
    for asked in sizes.conditions:
        size: Any = asked.size
        if type(size) is Dim and max(size.atoms, default=0) >= len(found):
            continue
        value = size_at(size, found)
        if (value == 0 if asked.relation == "eq" else value < 0) is not asked.outcome:
            line = f"{asked.where}: " if asked.where else ""
            why = f"what is done was recorded for {asked.text}"
            raise RecompileError(f"{line}{why}; now {named(sizes.names, values)}")
    if len(found) < len(values) + len(sizes.quotients):
        raise RecompileError(f"what is done is not known for {named(sizes.names, values)}")
    return found


def for_sizes(record: T, atoms: Sequence[int]) -> T:
    """A record, or a tuple of some, with numbers in the place of open sizes."""
    return _for_sizes(record, atoms)


def _for_sizes(value: Any, atoms: Sequence[int]) -> Any:
    kind = type(value)
    if kind is Dim:
        return value.at(atoms)
    if kind is tuple:
        return tuple([_for_sizes(part, atoms) for part in value])
    if not hasattr(kind, "__match_args__"):
        return value
    parts = {name: getattr(value, name) for name in kind.__match_args__}
    new = {name: _for_sizes(part, atoms) for name, part in parts.items()}
    changed = {name: part for name, part in new.items() if part is not parts[name]}
    return replace(value, **changed) if changed else value
