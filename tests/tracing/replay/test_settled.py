"""Training steps that reach tensors by lists, tuples, dicts and objects: what is written to these is seen, in any way."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracejit as tj
from tests.tracing.replay.test_native import bits, native_calls
from tracejit import nn
from tracejit._native import dicts
from tracejit._native.abi import Abi, abi
from tracejit.nn.parameter import Parameter
from tracejit.optim import adam
from tracejit.optim.optimizer import Optimizer
from tracejit.runtime.cpu.native import pinned
from tracejit.runtime.cpu.native.install import installed
from tracejit.runtime.cpu.native.reading import dict_behind
from tracejit.runtime.cpu.native.settled import Parts
from tracejit.runtime.cpu.native.stretches import Stretches
from tracejit.runtime.cpu.native.values import Kind, Value
from tracejit.tracing.replay import tree

pytestmark = pytest.mark.skipif(installed() is None, reason="native code is not used")
SIZE = 2


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "NATIVE_AFTER", 1)


def tensor(start: float) -> tj.Tensor:
    return tj.tensor(np.arange(start, start + SIZE, dtype=np.float32) / 4)


def table_of(kind: type) -> dict[Any, Any] | None:
    """The dict of a class; None where dicts have no versions."""
    found = abi()
    is_told = isinstance(found, Abi) and found.dict_version_at is not None
    return dict_behind(Value(Kind.OBJECT, "", kind.__dict__)) if is_told else None


class World:
    """A model of the user's own, with what trains it; each step writes to it."""

    def __init__(self) -> None:
        self.weights = [Parameter(tensor(k)) for k in range(3)]
        self.slow = [tensor(10 + k) for k in range(3)]
        self.pair = (tensor(20), tensor(21))
        self.totals: dict[Any, Any] = {"loss": tensor(0), "count": tensor(0)}
        self.optimizer = tj.optim.Adam(self.weights, lr=0.125)
        self.kept: list[Any] = []
        """What has been in use, so that nothing new comes to lie where it was."""
        self.calls = 0
        self.x: Any = None
        """What it is trained on, if it is something of its own."""
        self.held: list[Any] = []
        """What somebody else sees of it: no step may change more than it would."""

    def step(self, x: Any) -> Any:
        self.calls += 1
        self.optimizer.zero_grad()
        loss = x.sum() * 0.0
        for place, weight in enumerate(self.weights):
            loss = loss + (weight * x * (place + 1.0)).sum()
        loss.backward()
        self.optimizer.step()
        with tj.no_grad():
            for slow in self.slow:
                slow.mul_(0.5)
                slow.add_(loss)
            first, second = self.pair
            first.add_(second)
            second.mul_(1.5)
            self.totals["loss"].add_(loss)
            self.totals["count"].add_(1.0)
        return loss.detach()

    def seen(self) -> Any:
        """All that a step has an effect on."""
        values = [*self.weights, *self.slow, *self.pair, *self.totals.values()]
        state = [[*each.items()] for each in self.optimizer.state.values()]
        steps = [type(each.get("step")) for each in self.optimizer.state.values()]
        tensors = [each for each in values if isinstance(each, tj.Tensor)]
        versions = [each.storage.version for each in tensors]
        gradients = [each.grad for each in tensors]
        written = [each.autograd is not None and each.autograd.version for each in tensors]
        held = [each() if isinstance(each, weakref.ref) else each for each in self.held]
        return (
            (self.calls, bits(values), [*self.totals], bits(state), steps, versions)
            + (bits(gradients), written, bits(held), _sharing([*gradients, *tensors]))
        )  # fmt: skip


class Other(World):
    """Another class with the same attributes, of which one is shadowed."""

    @property
    def pair(self) -> Any:
        return tensor(90), self.__dict__["pair"][0]

    @pair.setter
    def pair(self, value: Any) -> None:
        self.__dict__["pair"] = value


class Listed(list[Any]):
    """A list that is gone through in another order."""

    def __iter__(self) -> Iterator[Any]:
        return iter([self[place] for place in reversed(range(len(self)))])


class Twins:
    """Two such worlds, of which one is trained by compiled steps."""

    def __init__(self) -> None:
        self.worlds = World(), World()
        self.step = tj.compile(World.step)
        self.x = tensor(1)

    def warm(self) -> Twins:
        for _ in range(6):
            assert self.agree()
        before = native_calls(self.step)
        assert self.agree()
        assert native_calls(self.step) == before + 1
        for world in self.worlds:
            world.kept += [*vars(world).values(), *world.weights, *world.slow, *world.pair]
            world.kept += [*world.totals.values(), *world.optimizer.state.values(), vars(world)]
            world.kept += [
                value for each in world.optimizer.state.values() for value in each.values()
            ]
        return self

    def agree(self) -> bool:
        compiled, plain = self.worlds
        found = outcome(lambda: self.step(compiled, self.given(compiled)))
        wanted = outcome(lambda: World.step(plain, self.given(plain)))
        return (found, compiled.seen()) == (wanted, plain.seen())

    def given(self, world: World) -> Any:
        return self.x if world.x is None else world.x

    def change(self, mutation: str) -> None:
        for world in self.worlds:
            MUTATIONS[mutation](world)


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return bits(call())
    except Exception as error:
        return type(error)


def _sharing(values: list[Any]) -> list[int]:
    """Which are the same objects: of each, the first place."""
    return [next(n for n, other in enumerate(values) if other is each) for each in values]


def _swap(items: Any) -> None:
    items[0], items[-1] = items[-1], items[0]


def _refill(container: Any) -> None:
    held = container.copy()
    container.clear()
    (container.extend if isinstance(container, list) else container.update)(held)


def _first_state(world: World) -> Any:
    return world.optimizer.state[world.optimizer.param_groups[0]["params"][0]]


def _new_dict(world: World) -> None:
    world.__dict__ = {**world.__dict__, "pair": (tensor(30), tensor(31))}


def _last_first(names: dict[Any, Any]) -> None:
    first = next(iter(names))
    names[first] = names.pop(first)


def _another_key(names: dict[Any, Any]) -> None:
    """An equal one that is another object."""
    held = names.copy()
    names.clear()
    names.update({"".join([*key]): value for key, value in held.items()})


def _count(world: World, start: int, *, shared: bool = False) -> None:
    """Has steps be counted from there on; each has an integer of its own, unless it is `shared`."""
    for state in world.optimizer.state.values():
        state["step"] = start if shared else int(str(start))


def _version(world: World, start: int) -> None:
    for tensor in (*world.weights, *world.slow, *world.pair):
        tensor.storage.version = int(str(start))


def _hold_numbers(world: World) -> None:
    world.held += [_first_state(world)["step"], world.slow[0].storage.version]


def _hold_views(world: World) -> None:
    _count(world, 1000)
    grads = [weight.grad for weight in world.weights]
    world.held += [grads[0], grads[1][1:], weakref.ref(grads[2]), grads[2].numpy()]


def _foreign(world: World, *, overlap: bool) -> None:
    """Memory of NumPy's."""
    array = np.arange(3 * SIZE, dtype=np.float32)
    world.kept.append(array)
    world.slow[0] = tj.asarray(array[:SIZE])
    start = 1 if overlap else SIZE
    world.slow[1] = tj.asarray(array[start : start + SIZE])


MUTATIONS: dict[str, Callable[[World], Any]] = {
    "item": lambda w: w.slow.__setitem__(1, tensor(40)),
    "weight": lambda w: w.weights.__setitem__(1, Parameter(tensor(41))),
    "items swapped": lambda w: _swap(w.slow),
    "weights swapped": lambda w: _swap(w.weights),
    "slice": lambda w: w.slow.__setitem__(slice(0, 2), [tensor(42), tensor(43)]),
    "slice turned": lambda w: w.slow.__setitem__(slice(None), w.slow[::-1]),
    "slice of another length": lambda w: w.slow.__setitem__(slice(1, 2), [tensor(44), tensor(45)]),
    "append": lambda w: w.slow.append(tensor(46)),
    "pop": lambda w: w.slow.pop(),
    "pop and append": lambda w: (w.slow.pop(), w.slow.append(tensor(47))),
    "insert": lambda w: w.slow.insert(0, w.slow.pop()),
    "remove": lambda w: w.slow.__delitem__(0),
    "sort": lambda w: w.slow.sort(key=lambda each: -float(each.sum())),
    "reverse": lambda w: w.slow.reverse(),
    "extend": lambda w: w.slow.extend([tensor(48), tensor(49)]),
    "grow": lambda w: w.slow.__iadd__([tensor(50)] * 0 + [tensor(50)]),
    "init": lambda w: w.slow.__init__([tensor(51), tensor(52), tensor(53)]),  # type: ignore[misc]  # to be seen, too
    "empty": lambda w: w.slow.clear(),
    "refilled": lambda w: _refill(w.slow),
    "another list": lambda w: setattr(w, "slow", [*w.slow[1:], tensor(54)]),
    "tuple": lambda w: setattr(w, "slow", tuple(w.slow)),
    "class of lists": lambda w: setattr(w, "slow", Listed(w.slow)),
    "another pair": lambda w: setattr(w, "pair", w.pair[::-1]),
    "pair of one": lambda w: setattr(w, "pair", (w.pair[0], w.pair[0])),
    "by object": lambda w: object.__setattr__(w, "pair", (tensor(60), tensor(61))),
    "by vars": lambda w: vars(w).update(pair=(tensor(62), tensor(63))),
    "by the dict": lambda w: w.__dict__.__setitem__("pair", (tensor(64), tensor(65))),
    "by merging": lambda w: w.__dict__.__ior__({"pair": (tensor(66), tensor(67))}),
    "popped and set": lambda w: setattr(w, "slow", w.__dict__.pop("slow")[::-1]),
    "deleted and set": lambda w: (delattr(w, "pair"), setattr(w, "pair", (tensor(68), tensor(69)))),
    "more attributes": lambda w: [setattr(w, f"more{k}", k) for k in range(40)],
    "key that is no text": lambda w: vars(w).update({1: 2}),  # type: ignore[call-overload]  # it is possible
    "another dict": _new_dict,
    "dict refilled": lambda w: _refill(vars(w)),
    "class": lambda w: setattr(w, "__class__", Other),
    "entry": lambda w: w.totals.__setitem__("loss", tensor(70)),
    "entry updated": lambda w: w.totals.update(loss=tensor(71)),
    "entry popped and set": lambda w: w.totals.__setitem__("loss", w.totals.pop("loss") * 2.0),
    "entry more": lambda w: w.totals.setdefault("more", tensor(72)),
    "entries swapped": lambda w: w.totals.update(loss=w.totals["count"], count=w.totals["loss"]),
    "entries in another order": lambda w: _last_first(w.totals),
    "entries refilled": lambda w: _refill(w.totals),
    "last entry": lambda w: w.totals.popitem(),
    "entries of any kind": lambda w: w.totals.update({3: tensor(73)}),
    "another key": lambda w: _another_key(w.totals),
    "group": lambda w: w.optimizer.param_groups[0]["params"].reverse(),
    "group's list": lambda w: w.optimizer.param_groups[0].update(params=w.weights[:2]),
    "group more": lambda w: w.optimizer.param_groups[0].update(more=1),
    "rate": lambda w: w.optimizer.param_groups[0].update(lr=0.25),
    "state": lambda w: _first_state(w).update(exp_avg=tensor(80)),
    "state's step": lambda w: _first_state(w).update(step=7),
    "state in another order": lambda w: _last_first(_first_state(w)),
    "state more": lambda w: _first_state(w).update(more=tensor(81)),
    "state less": lambda w: _first_state(w).pop("exp_avg_sq"),
    "another state": lambda w: w.optimizer.state.update({w.weights[0]: dict(_first_state(w))}),
    "states refilled": lambda w: _refill(w.optimizer.state),
    "loaded": lambda w: w.optimizer.load_state_dict(w.optimizer.state_dict()),
    "another optimizer": lambda w: setattr(w, "optimizer", tj.optim.Adam(w.weights, lr=0.5)),
    "calls": lambda w: setattr(w, "calls", 100),
    "elements": lambda w: w.slow[0].mul_(3.0),
    "gradient": lambda w: setattr(w.weights[0], "grad", tensor(95)),
    "no gradient": lambda w: setattr(w.weights[0], "grad", None),
    "gradients cleared": lambda w: w.optimizer.zero_grad(),
    "gradient of another": lambda w: setattr(w.weights[0], "grad", w.weights[1].grad),
    "gradient that is a weight": lambda w: setattr(w.weights[0], "grad", w.slow[0]),
    "gradient's storage": lambda w: setattr(w.weights[0].grad, "storage", w.slow[0].storage),
    "gradient's memory": lambda w: setattr(w.weights[0].grad.storage, "buffer", w.slow[0].storage.buffer),
    "gradient held": lambda w: w.held.append(w.weights[0].grad),
    "gradient's storage held": lambda w: w.kept.append(w.weights[0].grad.storage),
    "gradients viewed": _hold_views,
    "gradient accumulated": lambda w: (w.weights[0] * 2.0).sum().backward(),
    "gradient of a gradient": lambda w: w.weights[0].grad.requires_grad_(),
    "many steps": lambda w: _count(w, 5000),
    "many steps in all": lambda w: _count(w, 5000, shared=True),
    "many steps of one": lambda w: _first_state(w).update(step=5000),
    "steps, kept by Python": lambda w: _count(w, 255),
    "steps below none": lambda w: _count(w, -5),
    "steps of a digit": lambda w: _count(w, (1 << 30) - 2),
    "steps of two digits": lambda w: _count(w, (1 << 60) - 2),
    "steps of 63 bits": lambda w: _count(w, (1 << 62) - 2),
    "steps of any size": lambda w: _count(w, 1 << 70),
    "steps that are a float": lambda w: _first_state(w).update(step=5000.0),
    "steps that are true": lambda w: _first_state(w).update(step=True),
    "numbers held": lambda w: (_count(w, 5000), _version(w, 5000), _hold_numbers(w)),
    "many versions": lambda w: _version(w, 5000),
    "versions of a digit": lambda w: _version(w, (1 << 30) - 3),
    "shared storage": lambda w: setattr(w.slow[0], "storage", w.slow[1].storage),
    "memory of others": lambda w: _foreign(w, overlap=False),
    "memory of others that overlaps": lambda w: _foreign(w, overlap=True),
    "memory that is given, too": lambda w: setattr(w, "x", w.slow[0]),
    "memory that is given, too, of another tensor": lambda w: setattr(w, "x", w.slow[1].detach()),
    "weight that is given, too": lambda w: setattr(w, "x", w.weights[2]),
    "given for itself": lambda w: setattr(w, "x", tensor(7)),
}  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_what_has_changed_is_seen(mutation: str):
    twins = Twins().warm()
    twins.change(mutation)
    for _ in range(4):
        assert twins.agree()


def test_a_value_that_a_gradient_needs_is_known_to_be_another_after_a_step():
    twins = Twins().warm()
    twins.change("many versions")
    twins.change("many steps")
    found = []
    for world in twins.worlds:
        (weight, *_) = world.weights
        needed = (weight * weight).sum()
        assert twins.agree()
        found.append(outcome(lambda needed=needed: needed.backward()))
    assert found == [tj.AutogradError, tj.AutogradError]


def _faster(optimizer: Any) -> Any:
    return [{**group, "lr": 0.5} for group in optimizer.__dict__["param_groups"]]


PATCHES: dict[str, tuple[Any, str, Any]] = {
    "what a base has": (tj.optim.Adam, "zero_grad", lambda self: None),
    "method": (Optimizer, "zero_grad", lambda self: None),
    "global": (adam, "_numbers", lambda *args, known=adam._numbers: [2.0 * each for each in known(*args)]),
    "descriptor before an attribute": (tj.optim.Adam, "param_groups", property(_faster)),
    "descriptor of a base": (Optimizer, "param_groups", property(_faster)),
    "descriptor of the user's": (World, "pair", property(lambda world: vars(world)["pair"][::-1])),
}  # fmt: skip
"""What of classes and modules becomes something else, or comes to be."""


@pytest.mark.parametrize("patch", PATCHES)
def test_what_has_changed_of_classes_and_modules_is_seen(
    patch: str, monkeypatch: pytest.MonkeyPatch
):
    twins = Twins().warm()
    before = twins.worlds[0].weights[0].detach().numpy().copy()
    monkeypatch.setattr(*PATCHES[patch], raising=False)
    assert twins.agree()
    assert twins.agree()
    monkeypatch.undo()
    assert twins.agree()
    assert (before != twins.worlds[0].weights[0].detach().numpy()).any()


@settings(max_examples=8, deadline=None)
@given(st.lists(st.sampled_from(sorted(MUTATIONS)), min_size=2, max_size=8))
def test_random_changes(mutations: list[str]):
    twins = Twins().warm()
    for mutation in mutations:
        try:
            twins.change(mutation)
        except (AttributeError, IndexError, KeyError, StopIteration, TypeError, ValueError):
            return  # what it is about is gone
        for _ in range(2):
            assert twins.agree(), mutation


# What is noted


class Table:
    """A way's: what is settled of its guards, and the words that these have read."""

    def __init__(self, parts: Parts, words: np.ndarray) -> None:
        self.parts = parts
        self.all = words
        first = 1 + len(parts.roots) + 2 * len(parts.exports)
        self.words = words[first : first + 2 * int(words[0])].reshape(-1, 2)

    @property
    def holds(self) -> bool:
        """Whether there are words, and each is as it was noted."""
        same = (ctypes.c_int64.from_address(int(at)).value == value for at, value in self.words)
        return len(self.words) > 0 and all(same)

    def forget(self, places: set[int]) -> int:
        """Has the words at these addresses compared with themselves; how many there are."""
        (found,) = np.nonzero(np.isin(self.words[:, 0], [*places]))
        self.words[found, 0] = self.words.ctypes.data + 16 * found + 8
        return len(found)


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Table]:
    """Gives that of the one way that is written from here on."""
    made: list[np.ndarray] = []
    parted: list[Parts] = []
    parts_of = pinned.parts_of

    def noted(nodes: Any, rules: Any) -> Parts | None:
        found = parts_of(nodes, rules)
        parted.extend([found] if found else [])
        return found

    def zeros(*args: Any) -> np.ndarray:
        made.append(np.zeros(*args))
        return made[-1]

    monkeypatch.setattr(pinned, "parts_of", noted)
    monkeypatch.setattr(pinned, "new_table", zeros)
    return lambda: Table(*parted, *made)  # only one of each, or there is no such call


def test_all_that_a_step_reaches_is_compared(tables: Callable[[], Table]):
    twins = Twins().warm()
    table = tables()
    world, _ = twins.worlds
    assert table.holds
    reached = [*world.weights, *world.slow, *world.pair, *world.totals.values()]
    own = ("calls", "kept", "x", "held")
    reached += [value for name, value in vars(world).items() if name not in own]
    reached += [_first_state(world)[name] for name in ("exp_avg", "exp_avg_sq")]
    noted = {int(each) for each in table.words[:, 1]}
    assert all(id(each) in noted for each in reached)


def test_steps_change_no_words(tables: Callable[[], Table]):
    twins = Twins().warm()
    table = tables()
    before = table.all.copy()
    for _ in range(3):
        assert twins.agree()
        assert table.holds
    assert (table.all == before).all()


def places_of_entry(names: dict[Any, Any], key: str) -> set[int]:
    """Where a dict that has its values among its keys has one of them."""
    address = id(names)
    keys = ctypes.c_int64.from_address(address + 32).value
    size = ctypes.c_uint8.from_address(keys + 9).value
    return {keys + 32 + (1 << size) + 16 * [*names].index(key) + 8}


def count_of_keys(names: dict[Any, Any]) -> set[int]:
    return {id(names) + 16, ctypes.c_int64.from_address(id(names) + 32).value + 24}


def items_of(items: list[Any]) -> int:
    return ctypes.c_int64.from_address(id(items) + 24).value


NEEDED: dict[str, tuple[Callable[[World], set[int]], str]] = {
    "size of a list": (lambda w: {id(w.slow) + 16}, "append"),
    "item": (lambda w: {items_of(w.slow) + 8}, "item"),
    "items": (lambda w: {items_of(w.weights), items_of(w.weights) + 16}, "weights swapped"),
    "entry": (lambda w: places_of_entry(w.totals, "loss"), "entry"),
    "entry of a state": (lambda w: places_of_entry(_first_state(w), "exp_avg"), "state"),
    "keys": (lambda w: count_of_keys(_first_state(w)), "state more"),
    "object's dict": (lambda w: {id(w) - 24}, "another dict"),
}
"""What is not compared -> where it lies, and a change that is not seen then."""


@pytest.mark.parametrize("word", NEEDED)
def test_each_word_is_needed(word: str, tables: Callable[[], Table]):
    places, mutation = NEEDED[word]
    twins = Twins()
    # So many that their dict does not have its values apart, which are moved where it is replaced.
    twins.change("more attributes")
    twins.warm()
    wanted = places(twins.worlds[0])
    assert tables().forget(wanted) >= len(wanted)
    twins.change(mutation)
    before = native_calls(twins.step)
    agree = twins.agree()
    assert native_calls(twins.step) == before + 1
    assert not agree or not is_taken_after(mutation)


@pytest.mark.skipif(installed() is None or table_of(Optimizer) is None, reason="no versions")
def test_the_version_of_a_class_is_needed(
    tables: Callable[[], Table], monkeypatch: pytest.MonkeyPatch
):
    twins = Twins().warm()
    names = table_of(Optimizer)
    assert names is not None
    assert tables().forget({id(names) + dicts.VERSION_AT}) == 1
    monkeypatch.setattr(*PATCHES["method"])
    before = native_calls(twins.step)
    twins.agree()
    assert native_calls(twins.step) == before + 1


def is_taken_after(mutation: str) -> bool:
    """Whether machine code takes a step after a change where all is compared."""
    twins = Twins().warm()
    twins.change(mutation)
    before = native_calls(twins.step)
    assert twins.agree()
    return native_calls(twins.step) == before + 1


def steps_of(count: int) -> dict[str, Callable[[Any], Any]]:
    """Training steps of models of so many parameters, by how they reach these."""
    tj.random.seed(1)
    model = nn.Sequential(*(nn.Linear(SIZE, SIZE) for _ in range(count // 2)))
    weights = [*model.parameters()]
    adam = tj.optim.Adam(weights)
    sgd = tj.optim.SGD(weights, lr=0.125, momentum=0.5)

    def with_adam(x: Any) -> Any:
        adam.zero_grad()
        loss = model(x).sum()
        loss.backward()
        adam.step()
        return loss

    def with_sgd(x: Any) -> Any:
        sgd.zero_grad()
        loss = model(x).sum()
        loss.backward()
        sgd.step()
        return loss

    def with_list(x: Any) -> Any:
        loss = model(x).sum()
        loss.backward()
        with tj.no_grad():
            for weight in weights:
                weight.sub_(weight.grad * 0.125)
                weight.grad = None
        return loss

    return {"Adam": with_adam, "SGD": with_sgd, "list": with_list}


PER_PARAMETER = {"Adam": 6, "SGD": 4, "list": 2}
"""Lines that are asked in each call: how many steps were made, and that there is no gradient."""
CALLS_PER_PARAMETER = {"Adam": 48, "SGD": 38, "list": 16}
"""Of functions, in the machine code of a call whose words are the same, ways for what is rare included."""
LOOKS_PER_PARAMETER = {"Adam": 2, "SGD": 2, "list": 0}
"""Into dicts: for how many steps were made, and to write that."""


class Written:
    """What is written of ways from here on: the parts of their guards, and the text of the code for settled calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.parts: list[Any] = []
        self.texts: list[list[str]] = []
        parts_of, ask, text = pinned.parts_of, pinned._Pins._ask, Stretches.text
        asked: list[range] = []

        def noted(nodes: Any, rules: Any) -> Parts | None:
            self.parts.append(parts_of(nodes, rules))
            return self.parts[-1]

        def measured(pins: Any, no: str) -> Any:
            start = len(pins._code.lines)
            found = ask(pins, no)
            asked.append(range(start, len(pins._code.lines)))
            return found

        def kept(stretches: Any, name: str) -> str:
            if asked:
                gone = asked.pop()
                self.texts.append(stretches.lines[: gone.start] + stretches.lines[gone.stop :])
            return text(stretches, name)

        monkeypatch.setattr(pinned, "parts_of", noted)
        monkeypatch.setattr(pinned._Pins, "_ask", measured)
        monkeypatch.setattr(Stretches, "text", kept)


@pytest.mark.parametrize("way", PER_PARAMETER)
def test_little_is_done_for_a_parameter_in_each_call(way: str, monkeypatch: pytest.MonkeyPatch):
    written = Written(monkeypatch)
    counts = 4, 12
    for count in counts:
        step = tj.compile(steps_of(count)[way])
        for _ in range(6):
            step(tensor(1))
        assert native_calls(step)
    few, many = written.parts
    more = counts[1] - counts[0]
    asked = [len(parts.before) + len(parts.after) for parts in (few, many)]
    assert asked[1] - asked[0] <= PER_PARAMETER[way] * more
    assert len(many.settled) - len(few.settled) >= 15 * more
    for what, most in {" call ": CALLS_PER_PARAMETER, "@looked_up(": LOOKS_PER_PARAMETER}.items():
        found = [sum(what in line for line in lines) for lines in written.texts]
        assert found[1] - found[0] <= most[way] * more, (what, found)
