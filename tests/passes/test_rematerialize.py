"""What is computed anew, in which order, and what that leaves in memory."""

from __future__ import annotations

from tracejit import dtypes
from tracejit.artifact import Argument, Place
from tracejit.ir.aval import aval
from tracejit.ir.cluster import Owner
from tracejit.ir.graph import Input
from tracejit.passes.homes import Unit
from tracejit.passes.order import order_for_memory
from tracejit.passes.rematerialize import rematerialize
from tracejit.passes.timeline import Timeline, Work

KIB = aval(dtypes.float32, (256,))
SMALL = aval(dtypes.float32, (16,))
Program = tuple[list[Unit], dict[Owner, Argument]]


def chain(layers: int, work: float = 100.0) -> Program:
    """There through the layers, and back; on the way back each layer's value is needed again."""
    x = Input(KIB)
    values, units = [x], list[Unit]()
    for _ in range(layers):
        values.append(Input(KIB))
        units.append(Unit((values[-2],), (values[-1],), work=work))
    ct = values[-1]
    for value in reversed(values[:-1]):
        units.append(Unit((ct, value), (new := Input(KIB),), work=work))
        ct = new
    return units, {x: Argument(Place.INPUT, 0), ct: Argument(Place.OUTPUT, 0)}


def within(program: Program, kib: float) -> Timeline:
    work = Work(*program)
    start = Timeline(work, range(len(work.units)))
    return rematerialize(start, lambda arena: arena <= kib * KIB.nbytes)[0]


def reads_what_it_needs(timeline: Timeline) -> bool:
    """Every unit reads memory that holds the value, written completely, that it would read at first."""
    holds: dict[Owner, Owner] = {}
    for number, unit in zip(timeline.order, timeline.units):
        plain = timeline.work.units[number]
        if any(
            read not in timeline.work.fixed and holds.get(read) is not value
            for read, value in zip(unit.reads, plain.reads)
        ):
            return False
        holds.update(zip(unit.writes, plain.writes))
    return True


def test_nothing_is_computed_anew_where_all_fits():
    timeline = within(chain(16), kib=17)
    assert timeline.order == tuple(range(32))


def test_half_the_memory_of_a_chain_costs_half_a_way_there():
    timeline = within(chain(64), kib=32)
    assert len(timeline.order) <= 128 + 34
    assert reads_what_it_needs(timeline)


def test_a_tenth_of_the_memory_costs_a_few_ways_there():
    timeline = within(chain(64), kib=7)
    assert len(timeline.order) < 128 + 4 * 64
    assert reads_what_it_needs(timeline)


def busy(x: Input) -> tuple[list[Unit], Input]:
    """Units that need three times the memory of a value at once, to make a value of it."""
    left, right, result = Input(KIB), Input(KIB), Input(KIB)
    units = [
        Unit((x,), (left,), work=10),
        Unit((x,), (right,), work=10),
        Unit((left, right), (result,), work=10),
    ]
    return units, result


def test_the_cheapest_values_are_computed_anew():
    """Two values of one size are kept; the one that took less work goes."""
    x, dear, cheap, out = (Input(KIB) for _ in range(4))
    between, late = busy(x)
    units = [
        Unit((x,), (dear,), work=1000),
        Unit((x,), (cheap,), work=10),
        *between,
        Unit((dear, cheap, late), (out,), work=10),
    ]
    fixed: dict[Owner, Argument] = {x: Argument(Place.INPUT, 0), out: Argument(Place.OUTPUT, 0)}
    assert within((units, fixed), kib=4).order == (0, 1, 2, 3, 4, 5)
    assert within((units, fixed), kib=3).order == (0, 1, 2, 3, 4, 1, 5)


def test_a_small_value_is_kept_so_that_a_large_one_need_not_be():
    """The source of the large value is over before the peak; a sixteenth of its size, it is kept until it is needed again."""
    x, state, large, out = Input(KIB), Input(SMALL), Input(KIB), Input(KIB)
    between, late = busy(x)
    units = [
        Unit((x,), (state,), work=1000),
        Unit((state,), (large,), work=10),
        *between,
        Unit((large, late), (out,), work=10),
    ]
    fixed: dict[Owner, Argument] = {x: Argument(Place.INPUT, 0), out: Argument(Place.OUTPUT, 0)}
    assert within((units, fixed), kib=3).order == (0, 1, 2, 3, 4, 5)
    assert within((units, fixed), kib=2.5).order == (0, 1, 2, 3, 4, 1, 5)


def test_what_writes_to_an_input_is_not_run_again():
    p, new, middle, late, out = (Input(KIB) for _ in range(5))
    units = [
        Unit((p,), (new,), work=10),
        Unit((p,), (middle,), work=10),
        Unit((middle,), (late,), work=10),
        Unit((late, new), (out,), work=10),
        Unit((new,), (p,), copies=(new, p)),
    ]
    fixed: dict[Owner, Argument] = {p: Argument(Place.INPUT, 0), out: Argument(Place.OUTPUT, 0)}
    timeline = within((units, fixed), kib=0)
    assert timeline.order.count(4) == 1
    assert timeline.order[-1] == 4


def test_an_update_that_frees_memory_runs_as_soon_as_it_can():
    """The gradients are all there before the first is used, unless the order is for memory."""
    x, w = Input(KIB), Input(SMALL)
    gradients = [Input(KIB) for _ in range(5)]
    sums = [Input(SMALL) for _ in range(5)]
    units = [Unit((x,), (each,)) for each in gradients]
    units += [Unit((each,), (total,)) for each, total in zip(gradients, sums)]
    units.append(Unit(tuple(sums), (out := Input(SMALL),)))
    units.append(Unit((out,), (w,), copies=(out, w)))
    fixed: dict[Owner, Argument] = {x: Argument(Place.INPUT, 0), w: Argument(Place.INPUT, 1)}
    order = order_for_memory(units, fixed)
    assert order == [0, 5, 1, 6, 2, 7, 3, 8, 4, 9, 10, 11]
