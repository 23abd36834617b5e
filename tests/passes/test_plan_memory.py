"""Memory plans: what shares, what takes over, what must not."""

from __future__ import annotations

from tracejit import dtypes
from tracejit.artifact import Argument, Place
from tracejit.ir.aval import aval
from tracejit.ir.cluster import Owner
from tracejit.ir.graph import Input
from tracejit.passes.homes import Unit
from tracejit.passes.plan_memory import Memory, plan_memory

KIB = aval(dtypes.float32, (256,))


def value() -> Input:
    return Input(KIB)


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
