"""Records of decisions and loops, made by hand: what they mean, and what is refused of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit.ir.graph import Graph
from tracejit.standalone import records as r
from tracejit.standalone.capture import Captured, capture
from tracejit.standalone.combinations import NONE
from tracejit.standalone.container import pack
from tracejit.standalone.examples import Examples
from tracejit.standalone.exporting import _entries
from tracejit.standalone.loops import counts
from tracejit.standalone.native import target_of
from tracejit.standalone.reading import from_json
from tracejit.standalone.script import Script
from tracejit.standalone.ways import bodies_of, ways_of
from tracejit.tracing.programs import Options

X = tj.ones(3)
WHOLE = ("float32", (3,), (1,))


def graph_of(f: Any, *args: Any) -> Graph:
    (graph,) = capture(f, Examples(args, {})).script.graphs
    return graph


def load(
    call: r.Call, graphs: tuple[Graph, ...], tmp_path: Path, values: Any = (), native: bool = True
) -> Any:
    script = Script(call, graphs, {"#0": np.zeros(12, np.uint8)}, (), (), frozenset(), frozenset())
    captured = Captured("f", "here", Options(), script, NONE, values)
    path = tmp_path / "f.tj"
    path.write_bytes(b"".join(pack(_entries(captured, [target_of("cpu")]))))
    return tj.load(path, native=native)


GRAPHS = graph_of(lambda x: x * 0.5, X), graph_of(lambda x: x.max(), X)
CONSTANT = r.Constant(6, "#0", True)
ARGUMENT = r.Parameter("x", False, r.ArrayArgument(0, *WHOLE[:2], False, False))
STATE = r.NumberState("rounds", 1, 7, "int"), r.TensorState("kept", 10, *WHOLE[:2], False, False)


def run(program: int, source: int, target: int) -> r.Run:
    """Program 0 takes the number that it multiplies by."""
    return r.Run(program, ((source, 0),), (r.Known(0.5),) if program == 0 else (), (target,))


def number(slot: int, memory: int) -> r.Element:
    return r.Element(slot, r.Memory(memory, "float32", (), ()))


def compute(slot: int, name: str, *operands: r.Operand) -> r.Compute:
    return r.Compute(slot, name, operands, None, "here")


def halved() -> r.Call:
    """Halves until the maximum is at most 1, and counts the rounds; NaN is an error, of which the state tells."""
    finish = r.Finish(
        (r.NumberUpdate(1, r.Slot(5)), r.TensorUpdate(10, r.Memory(4, *WHOLE))),
        r.SequenceResult(
            "tuple",
            (r.TensorResult(0, r.Memory(4, *WHOLE), "tensor"), r.NumberResult(r.Slot(5))),
        ),
    )
    again = r.Body(
        (run(0, 4, 8), compute(9, "operator.add", r.Slot(5), r.Known(1))), r.Again(0, (8, 9))
    )
    test = (run(1, 4, 2), number(3, 2), compute(7, "operator.gt", r.Slot(3), r.Known(1.0)))
    rounds = r.Loop(((4, 13), (5, 14)), r.Body(test, r.Decide(7, again, r.Body((), finish), "w")))
    begin = (CONSTANT, run(0, 0, 13), compute(14, "same", r.Known(1)))
    asked = (run(1, 0, 11), number(12, 11), compute(15, "operator.eq", r.Slot(12), r.Slot(12)))
    failed = r.Raise(
        (r.NumberUpdate(1, r.Known(-1)),), ("ValueError",), "", ("diverged", 3), "here"
    )
    body = r.Body(asked, r.Decide(15, r.Body(begin, rounds), r.Body((), failed), "here"))
    return r.Call(16, (ARGUMENT,), STATE, body)


def by_python(x: Any) -> Any:
    x, rounds = x * 0.5, 1
    while x.max() > 1:
        x, rounds = x * 0.5, rounds + 1
    return x, rounds


@pytest.mark.parametrize("native", [True, False])
def test_decisions_loops_and_errors_are_run(tmp_path: Path, native: bool) -> None:
    before = counts.made
    loaded = load(halved(), GRAPHS, tmp_path, (7, None), native)
    assert len([*ways_of(halved())]) == 2
    for values in ([1, 2, 3], [100, 5, -7], [0, 0, 0], [1e30, 1, 1]):
        x = tj.tensor(np.array(values, np.float32))
        found, rounds = loaded(x)
        expected, count = by_python(x)
        assert (found.tolist(), rounds) == (expected.tolist(), count)
        assert loaded.state_dict()["kept"].tolist() == expected.tolist()
        assert loaded.state_dict()["rounds"] == count
    assert counts.made - before == (4 if native else 0)
    kept = loaded.state_dict()["kept"].tolist()
    with pytest.raises(ValueError, match="diverged") as raised:
        loaded(tj.tensor([np.nan, 1.0, 2.0]))
    assert raised.value.args == ("diverged", 3)
    assert loaded.state_dict()["rounds"] == -1
    assert loaded.state_dict()["kept"].tolist() == kept


def test_what_a_loop_carries_is_moved_all_at_once(tmp_path: Path) -> None:
    """Two numbers change places in each round."""
    back = r.Body((compute(6, "operator.add", r.Slot(4), r.Known(1)),), r.Again(0, (3, 2, 6)))
    numbers = tuple(r.NumberResult(r.Slot(slot)) for slot in (2, 3, 4))
    end = r.Body((), r.Finish((), r.SequenceResult("list", numbers)))
    test = (compute(5, "operator.lt", r.Slot(4), r.Slot(0)),)
    loop = r.Loop(((2, 7), (3, 8), (4, 9)), r.Body(test, r.Decide(5, back, end, "here")))
    begin = tuple(
        compute(slot, "same", r.Known(value)) for slot, value in ((7, "a"), (8, "b"), (9, 0))
    )
    parameter = r.Parameter("n", False, r.NumberArgument(0, "int"))
    loaded = load(
        r.Call(10, (parameter,), (), r.Body((r.Constant(1, "#0", True), *begin), loop)),
        (),
        tmp_path,
    )
    assert [loaded(n) for n in range(3)] == [["a", "b", 0], ["b", "a", 1], ["a", "b", 2]]


def test_rounds_of_a_loop_around_begin_one_within_anew(tmp_path: Path) -> None:
    """Counts the pairs of two ranges."""
    outer = r.Body((compute(8, "operator.add", r.Slot(2), r.Known(1)),), r.Again(1, (8, 5)))
    inner = (
        compute(9, "operator.add", r.Slot(4), r.Known(1)),
        compute(10, "operator.add", r.Slot(5), r.Known(1)),
    )
    test = (compute(7, "operator.lt", r.Slot(4), r.Slot(1)),)
    inside = r.Loop(
        ((4, 11), (5, 3)), r.Body(test, r.Decide(7, r.Body(inner, r.Again(0, (9, 10))), outer, "h"))
    )
    zero = compute(11, "same", r.Known(0))
    done = r.Body((), r.Finish((), r.NumberResult(r.Slot(3))))
    first = (compute(6, "operator.lt", r.Slot(2), r.Slot(0)),)
    around = r.Loop(
        ((2, 12), (3, 13)), r.Body(first, r.Decide(6, r.Body((zero,), inside), done, "h"))
    )
    begin = (
        compute(12, "same", r.Known(0)),
        compute(13, "same", r.Known(0)),
        r.Constant(14, "#0", False),
    )
    parameters = tuple(
        r.Parameter(name, False, r.NumberArgument(slot, "int")) for slot, name in enumerate("nm")
    )
    loaded = load(r.Call(15, parameters, (), r.Body(begin, around)), (), tmp_path)
    assert [loaded(n, m) for n, m in ((0, 5), (3, 0), (3, 4), (1, 1))] == [0, 0, 12, 1]


# What is refused


def changed(body: r.Body, place: int, **changes: Any) -> r.Body:
    """The body with another one at a place among those within, in order."""
    target = [*bodies_of(body)][place]

    def rebuilt(each: r.Body) -> r.Body:
        if each is target:
            return replace(each, **changes)
        match each.end:
            case r.Decide(true=true, false=false):
                return replace(
                    each, end=replace(each.end, true=rebuilt(true), false=rebuilt(false))
                )
            case r.Loop(body=inner):
                return replace(each, end=replace(each.end, body=rebuilt(inner)))
        return each

    return rebuilt(body)


FIRST, BEFORE, ROUND, AGAIN, DONE, FAILED = range(6)
FAULTS: dict[str, tuple[int, Callable[[r.Body], dict[str, Any]], str]] = {
    "a decision on memory": (FIRST, lambda b: {"end": replace(b.end, slot=11)}, "slot 11 holds no number"),
    "a decision on nothing": (FIRST, lambda b: {"end": replace(b.end, slot=3)}, "slot 3 holds no number"),
    "what another way has filled": (FAILED, lambda b: {"steps": (run(0, 13, 2),)}, "slot 13 holds no memory"),
    "what only a round has filled": (DONE, lambda b: {"steps": (run(0, 8, 9),)}, "slot 8 holds no memory"),
    "a slot filled twice on a way": (AGAIN, lambda b: {"steps": (*b.steps, run(0, 4, 13))}, "slot 13 is filled twice"),
    "a carried slot that is filled": (BEFORE, lambda b: {"steps": (*b.steps, run(0, 0, 4))}, "slot 4 is filled twice"),
    "what is carried is empty": (BEFORE, lambda b: {"end": replace(b.end, carried=((4, 9), (5, 14)))}, "slot 9 is not carried"),
    "an argument is carried": (BEFORE, lambda b: {"end": replace(b.end, carried=((4, 0), (5, 14)))}, "slot 0 is not carried"),
    "a constant of all calls is carried": (
        BEFORE,
        lambda b: {
            "steps": (replace(CONSTANT, is_private=False), *b.steps[1:]),
            "end": replace(b.end, carried=((4, 6), (5, 14))),
        },
        "slot 6 is not carried",
    ),
    "a number in the place of memory": (AGAIN, lambda b: {"end": r.Again(0, (9, 9))}, "a round leaves other slots"),
    "memory of another size": (AGAIN, lambda b: {"end": r.Again(0, (2, 9))}, "a round leaves other slots"),
    "too few slots": (AGAIN, lambda b: {"end": r.Again(0, (8,))}, "a round leaves other slots"),
    "a round of no loop": (AGAIN, lambda b: {"end": r.Again(1, (8, 9))}, "there is no loop 1 around"),
    "a round of a loop outside": (AGAIN, lambda b: {"end": r.Again(-1, (8, 9))}, "there is no loop -1 around"),
    "a round outside of the loop": (FAILED, lambda b: {"end": r.Again(0, (0,))}, "there is no loop 0 around"),
    "a round that copies": (AGAIN, lambda b: {"steps": (r.Copy(0), *b.steps)}, "a round of a loop makes copies"),
    "an exception that is none": (FAILED, lambda b: {"end": replace(b.end, bases=("SystemExit",))}, "SystemExit"),
    "an update by an exception": (
        FAILED,
        lambda b: {"end": replace(b.end, updates=(r.NumberUpdate(2, r.Known(1)),))},
        "there is no state in slot 2",
    ),
    "a result of another way": (DONE, lambda b: {"end": r.Finish((), r.NumberResult(r.Slot(9)))}, "slot 9 holds no number"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_ways_are_checked(fault: str, tmp_path: Path) -> None:
    place, change, message = FAULTS[fault]
    call = halved()
    body = changed(call.body, place, **change([*bodies_of(call.body)][place]))
    with pytest.raises(tj.ArtifactError, match=f"entry manifest.json: .*{message}"):
        load(replace(call, body=body), GRAPHS, tmp_path, (7, None))


def test_bodies_that_are_nested_too_deeply_are_refused() -> None:
    text = '{"is": "Body", "steps": [], "end": {"is": "Decide", "slot": 0, "where": "", "false": {}, "true": '
    with pytest.raises(tj.ArtifactError, match="nested too deeply"):
        from_json((text * 5000 + "{}" + "}}" * 5000).encode(), r.Body, "manifest.json")
