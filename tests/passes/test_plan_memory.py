"""Memory plans: what shares, what takes over, what must not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracejit import dtypes
from tracejit.artifact import Argument, Place
from tracejit.ir.aval import aval
from tracejit.ir.cluster import Owner
from tracejit.ir.graph import Input
from tracejit.passes.homes import Unit, nbytes
from tracejit.passes.plan_memory import Memory, plan_memory

KIB = aval(dtypes.float32, (256,))


def value() -> Input:
    return Input(KIB)


def at_output(number: int = 0) -> Argument:
    return Argument(Place.OUTPUT, number)


def at_input(number: int = 0) -> Argument:
    return Argument(Place.INPUT, number)


def offset(memory: Memory, owner: Owner) -> int:
    assert memory.places[owner].place is Place.ARENA
    return memory.places[owner].offset


def in_place(source: Owner, target: Owner) -> Unit:
    return Unit((source,), (target,), frozenset({(source, target)}))


def test_values_that_are_never_needed_at_once_share_memory():
    x, a, b, c = value(), value(), value(), value()
    units = [Unit((x,), (a,)), Unit((a,), (b,)), Unit((b,), (c,))]
    memory = plan_memory(units, {x: at_input()})
    assert memory.arena_bytes == 2 * KIB.nbytes
    assert offset(memory, a) == offset(memory, c) != offset(memory, b)


def test_a_result_takes_over_the_memory_of_its_dying_operand():
    x, a, b = value(), value(), value()
    memory = plan_memory([Unit((x,), (a,)), in_place(a, b)], {x: at_input()})
    assert offset(memory, a) == offset(memory, b)
    assert memory.arena_bytes == KIB.nbytes


def test_an_operand_that_is_needed_later_keeps_its_memory():
    x, a, b, c = value(), value(), value(), value()
    units = [Unit((x,), (a,)), in_place(a, b), Unit((a, b), (c,))]
    memory = plan_memory(units, {x: at_input()})
    assert offset(memory, a) != offset(memory, b)


def test_an_update_writes_straight_to_the_input_it_replaces():
    p, new = value(), value()
    units = [in_place(p, new), Unit((new,), (p,), copies=(new, p))]
    memory = plan_memory(units, {p: at_input()})
    assert memory.places[new] == at_input()
    assert memory.dropped == {1}
    assert memory.arena_bytes == 0


def test_an_input_that_is_read_later_is_written_at_the_end():
    p, new, other = value(), value(), value()
    units = [in_place(p, new), Unit((p,), (other,)), Unit((new,), (p,), copies=(new, p))]
    memory = plan_memory(units, {p: at_input()})
    assert memory.places[new].place is Place.ARENA
    assert not memory.dropped


def test_an_input_whose_neighbour_is_read_later_is_written_at_the_end():
    p, view = Input(KIB, memory=1), Input(KIB, memory=1)
    new, other = value(), value()
    units = [in_place(p, new), Unit((view,), (other,)), Unit((new,), (p,), copies=(new, p))]
    memory = plan_memory(units, {p: at_input(0), view: at_input(1)})
    assert not memory.dropped


def test_no_value_lives_in_an_input_beyond_its_replacement():
    """The second value of the kernel is read after the input has been written over: it may not live there."""
    p, new, other, out = value(), value(), value(), value()
    both = frozenset({(p, new), (p, other)})
    units = [
        Unit((p,), (other, new), both),
        Unit((new,), (p,), copies=(new, p)),
        Unit((other,), (out,)),
    ]
    memory = plan_memory(units, {p: at_input(), out: Argument(Place.OUTPUT, 0)})
    assert memory.places[new] == at_input()
    assert memory.places[other].place is Place.ARENA


def test_an_operand_read_out_of_step_is_not_written_over():
    x, a, b = value(), value(), value()
    memory = plan_memory([Unit((x,), (a,)), Unit((a,), (b,))], {x: at_input()})
    assert offset(memory, a) != offset(memory, b)


def test_a_value_lies_in_the_memory_of_an_output_that_is_still_to_be_written():
    x, a, b, out = value(), value(), value(), value()
    units = [Unit((x,), (a,)), Unit((a,), (b,)), Unit((b,), (out,))]
    memory = plan_memory(units, {x: at_input(), out: at_output()})
    assert memory.places[a] == memory.places[out] == at_output()
    assert memory.arena_bytes == KIB.nbytes


def test_an_operand_that_ends_with_an_output_lives_in_its_memory():
    x, a, b, out = value(), value(), value(), value()
    units = [Unit((x,), (a,)), in_place(a, b), in_place(b, out)]
    memory = plan_memory(units, {x: at_input(), out: at_output()})
    assert memory.places[a] == memory.places[b] == memory.places[out]
    assert memory.arena_bytes == 0


def test_a_value_that_is_needed_beside_an_output_has_memory_of_its_own():
    x, a, out, later = value(), value(), value(), value()
    units = [Unit((x,), (a,)), in_place(a, out), Unit((a, out), (later,))]
    memory = plan_memory(units, {x: at_input(), out: at_output(), later: at_output(1)})
    assert memory.places[a].place is Place.ARENA


def test_a_value_larger_than_an_output_lies_in_the_arena():
    x, out = value(), Input(aval(dtypes.float32, (8,)))
    a = value()
    memory = plan_memory([Unit((x,), (a,)), Unit((a,), (out,))], {x: at_input(), out: at_output()})
    assert memory.places[a].place is Place.ARENA


@given(data=st.data())
def test_nothing_that_is_needed_is_written_over_and_the_arena_ends_where_its_values_do(data):
    """Random units; at each the values that are still needed lie apart, but for those that take over another's memory."""
    units, fixed = data.draw(programs())
    memory = plan_memory(units, fixed)
    last = {owner: n for n, unit in enumerate(units) for owner in (*unit.reads, *unit.writes)}
    last |= {owner: len(units) for owner, at in fixed.items() if at.place is Place.OUTPUT}
    alive: list[Input] = []
    for number, unit in enumerate(units):
        for owner in unit.writes:
            for other in alive:
                is_taken_over = last[other] == number and (other, owner) in unit.aligned
                assert is_taken_over or apart(memory, owner, other)
        alive = [owner for owner in (*alive, *unit.writes) if last[owner] > number]
    ends = [at.offset + nbytes(o) for o, at in memory.places.items() if at.place is Place.ARENA]
    assert memory.arena_bytes == max(ends, default=0)


def apart(memory: Memory, a: Owner, b: Owner) -> bool:
    first, second = memory.places[a], memory.places[b]
    if (first.place, first.index) != (second.place, second.index):
        return True
    return first.offset + nbytes(a) <= second.offset or second.offset + nbytes(b) <= first.offset


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[Unit], dict[Owner, Argument]]:
    """Each unit writes a new value of some of the last ones, in step with them or not; some values are outputs."""
    x = value()
    fixed: dict[Owner, Argument] = {x: at_input()}
    values, units = [x], list[Unit]()
    for _ in range(draw(st.integers(1, 12))):
        reads = draw(st.lists(st.sampled_from(values[-6:]), min_size=1, max_size=3, unique=True))
        new = Input(draw(st.sampled_from([KIB, KIB, aval(dtypes.float32, (700,))])))
        beside = [each for each in reads if draw(st.booleans())]
        units.append(Unit(tuple(reads), (new,), frozenset((each, new) for each in beside)))
        values.append(new)
        if draw(st.integers(0, 3)) == 0:
            fixed[new] = at_output(len(fixed))
    return units, fixed
