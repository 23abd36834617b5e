"""Records are what `dataclasses` makes of the same class, as far as anything can tell."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

import tracejit as tj
from tracejit import _records

Make = Callable[..., Any]


def classes(make: Make, field: Make) -> list[type]:
    @make(frozen=True, slots=True)
    class Point:
        x: int
        y: int = 2
        kind: ClassVar[str] = "point"

        def __len__(self) -> int:
            return self.x + self.y

    @make(frozen=True, slots=True)
    class Derived(Point):
        sum: int = field(init=False)
        names: list[str] = field(default_factory=list, compare=False)
        held: Any = field(default=7, init=False, repr=False)
        made: dict[str, int] = field(default_factory=dict, init=False)

        def __post_init__(self) -> None:
            object.__setattr__(self, "sum", self.x + self.y)

    @make(slots=True)
    class Open:
        a: Any
        b: Any = None

    @make(slots=True, unsafe_hash=True)
    class Hashed:
        a: Any

    @make(slots=True, eq=False)
    class Identity:
        a: Any

        def __repr__(self) -> str:
            return "mine"

    @make(frozen=True, slots=True)
    class Nothing:
        pass

    return [Point, Derived, Open, Hashed, Identity, Nothing]


STANDARD = classes(dataclasses.dataclass, dataclasses.field)
RECORDS = classes(_records._dataclass, _records.field)
PAIRS = [pytest.param(*pair, id=pair[0].__name__) for pair in zip(STANDARD, RECORDS)]
ARGUMENTS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}), ((1,), {}), ((1, 3), {}), ((), {"x": 1, "y": 5}), ((), {"a": 7}), ((1.5,), {"names": ["n"]}), ((1, 2, 3, 4), {}),
    (((),), {}), *([((float("nan"),), {})] if sys.version_info < (3, 13) else []),  # later ones compare field by field
]  # fmt: skip


def test_what_users_keep_in_dataclasses_is_not_taken_apart() -> None:
    @dataclasses.dataclass
    class Settings:
        activation: Any = tj.relu
        dtype: Any = tj.float32

    tj.relu(tj.ones(2))
    assert dataclasses.asdict(Settings()) == {"activation": tj.relu, "dtype": tj.float32}
    assert dataclasses.astuple(Settings()) == (tj.relu, tj.float32)
    assert not dataclasses.is_dataclass(tj.relu)


def outcome(action: Callable[[], Any]) -> Any:
    try:
        return action()
    except Exception as error:
        return type(error)


def about(kind: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """All that can be told of an instance of `kind` with no word of the kind itself."""
    made = outcome(lambda: kind(*args, **kwargs))
    if not isinstance(made, kind):
        return [made]
    other, longer = kind(*args, **kwargs), outcome(lambda: kind(*args, **{**kwargs, "y": 9}))
    changes = (
        lambda: setattr(made, "x", 5),
        lambda: delattr(made, "x"),
        lambda: setattr(made, "unknown", 5),
    )
    has_own_hash = kind.__hash__ is not object.__hash__
    return [
        repr(made),
        made == other,
        made == made,
        made == longer,
        made.__eq__(1),
        outcome(lambda: hash(made)) if has_own_hash else "identity",
        outcome(lambda: len(made)),
        outcome(lambda: made.held),
        [
            isinstance(outcome(change), type) for change in changes
        ],  # of what class is another matter
        repr(made),
        repr(copy.copy(other)),
        repr(copy.deepcopy(other)),
        hasattr(made, "__dict__"),
        kind.__match_args__,
    ]


@pytest.mark.parametrize(("standard", "record"), PAIRS)
@pytest.mark.parametrize(("args", "kwargs"), ARGUMENTS)
def test_instances_behave_as_those_of_dataclasses(
    standard: type, record: type, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    assert about(record, args, kwargs) == about(standard, args, kwargs)


@pytest.mark.parametrize("patience", [1, sys.maxsize], ids=["compiled", "not compiled"])
def test_an_init_makes_the_same_whether_it_is_compiled_or_not(
    patience: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_records, "PATIENCE", patience)
    for standard, record in zip(STANDARD, classes(_records._dataclass, _records.field)):
        first = record.__init__  # type: ignore[misc]  # of whatever class it is
        for args, kwargs in ARGUMENTS:
            assert about(record, args, kwargs) == about(standard, args, kwargs)
        assert patience > 1 or record.__init__ is not first  # type: ignore[misc]


def test_a_field_of_the_standard_library_is_refused() -> None:
    class Mixed:
        a: int = dataclasses.field(default=1)

    with pytest.raises(TypeError, match="a: a field of a record is made by"):
        _records._dataclass(slots=True)(Mixed)


@pytest.mark.parametrize(("standard", "record"), PAIRS)
@pytest.mark.parametrize("changes", [{}, {"x": 8}, {"a": 8}, {"sum": 3}, {"unknown": 1}])
def test_replacing_is_that_of_dataclasses(
    standard: type, record: type, changes: dict[str, Any]
) -> None:
    def replaced(kind: type, replace: Callable[..., Any]) -> Any:
        made = outcome(lambda: kind(3))
        if not isinstance(made, kind):
            return made
        found = outcome(lambda: repr(replace(made, **changes)))
        return isinstance(found, type) or found  # of what class an error is, is another matter

    expected = replaced(standard, dataclasses.replace)
    assert replaced(record, dataclasses.replace) == expected
    assert replaced(record, _records.replace) == expected


@pytest.mark.parametrize(("standard", "record"), PAIRS)
def test_the_fields_are_those_of_dataclasses(standard: type, record: type) -> None:
    assert dataclasses.is_dataclass(record)
    assert repr(dataclasses.fields(record)) == repr(dataclasses.fields(standard))


def test_a_record_is_shown_in_itself_once() -> None:
    made = RECORDS[2](1)
    made.b = [made]
    assert repr(made).endswith("Open(a=1, b=[...])")


def test_defaults_made_anew_are_not_shared() -> None:
    derived = RECORDS[1]
    assert derived(1).names is not derived(1).names


@_records._dataclass(frozen=True, slots=True)
class Stored:
    a: int
    b: tuple[int, ...] = ()


def test_records_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(Stored(1, (2, 3)))) == Stored(1, (2, 3))


def test_an_init_of_the_class_s_own_stays() -> None:
    @_records._dataclass(slots=True)
    class Own:
        a: int

        def __init__(self, twice: int) -> None:
            self.a = twice // 2

    assert Own(8).a == 4


def test_what_is_frozen_says_so() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'a'"):
        Stored(1).a = 2  # type: ignore[misc]
