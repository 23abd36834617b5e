"""What a plan tells of its steps, compared with what its launches point at, and with the ops of its graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.compiler import machines
from tests.compiler.programs import fold_graph, index_graph, long_graph
from tests.compiler.test_slabs import GREEDY
from tracejit import dtypes, nn, optim
from tracejit.artifact import Account, HostCall, LaunchSpec, Place, Plan, Value
from tracejit.compiler import plan_graph
from tracejit.ir.graph import Graph
from tracejit.ops.registry import REGISTRY
from tracejit.runtime.slabs import KERNEL
from tracejit.runtime.workspace import peak_bytes
from tracejit.standalone.lowering import graphs_of
from tracejit.standalone.page.stays import loads_of, stays_of


def rounds(x: Any, w: Any) -> Any:
    for _ in range(60):
        x = tj.tanh(x @ w) * 0.5 + x
        x = x - x.mean()
    return x


def sorts(x: Any, y: Any) -> Any:
    return tj.sort(x + y) * 2, (x * y).sum()


def in_place(x: Any, y: Any) -> Any:
    x[1:] = y[:-1] * 2 + x[:-1]
    return x.sum(axis=0)


def step(model: Any, optimizer: Any, x: Any) -> Any:
    optimizer.zero_grad()
    loss = (model(x) ** 2).mean()
    loss.backward()
    optimizer.step()
    return loss


def trained() -> tuple[Any, ...]:
    tj.random.seed(0)
    model = nn.Sequential(nn.Linear(20, 30), nn.GELU(), nn.Linear(30, 5))
    return model, optim.Adam(model.parameters()), tj.ones((8, 20))


FUNCTIONS: list[tuple[Callable[..., Any], Callable[[], tuple[Any, ...]]]] = [
    (step, trained),
    (rounds, lambda: (tj.ones((8, 8)), tj.ones((8, 8)))),
    (sorts, lambda: (tj.ones((5, 50)), tj.ones((5, 50)))),
    (in_place, lambda: (np.ones((6, 5)), np.ones((6, 5)))),
    (lambda x: x, lambda: (tj.ones(3),)),
]


def planned(graph: Graph, **options: Any) -> Plan:
    told, silent = (plan_graph(graph, tells=tells, **options)[2] for tells in (True, False))
    assert silent.account is None
    assert told.steps == silent.steps
    return told


@pytest.fixture(scope="module", params=["functions", "random", "in slabs", "with less memory"])
def plans(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Plan]:
    if request.param == "functions":
        return [*_of_functions(tmp_path_factory.mktemp("account") / "f.tj")]
    return [*_of_random_graphs(request.param)]


def _of_functions(path: Path) -> Iterator[Plan]:
    for function, make in FUNCTIONS:
        tj.export(function, make(), path)
        yield from map(planned, graphs_of(tj.load(path).graph))


def _of_random_graphs(kind: str) -> Iterator[Plan]:
    for seed in range(15):
        for make in (fold_graph, index_graph, long_graph):
            graph = make(Random(seed), dtypes.float32)
            with pytest.MonkeyPatch.context() as patch:
                if kind == "in slabs":
                    machines.choose(patch, **GREEDY)
                plan = planned(graph)
                if kind == "with less memory":
                    with tj.config.scope(num_threads=1), suppress(tj.MemoryLimitError):
                        limit = int(peak_bytes(plan, 1) * 0.8)
                        plan = planned(graph, memory_limit=limit)
            yield plan


def test_the_plans_are_of_many_kinds(plans: list[Plan], request: pytest.FixtureRequest) -> None:
    steps = [each for plan in plans for each in plan.steps]
    if request.node.callspec.params["plans"] == "functions":
        assert any(isinstance(each, HostCall) for each in steps)
        assert max(len(plan.steps) for plan in plans) >= 60  # the rounds
    if request.node.callspec.params["plans"] == "in slabs":
        assert any(each.kernel == KERNEL for each in steps if isinstance(each, LaunchSpec))
    if request.node.callspec.params["plans"] == "with less memory":
        assert any(plan.threads for plan in plans)


def account_of(plan: Plan) -> Account:
    assert plan.account is not None
    return plan.account


def is_at(value: Value, place: Place, index: int, offset: int) -> bool:
    at = value.at
    is_within = place is Place.INPUT or at.offset <= offset < at.offset + value.nbytes
    return (at.place, at.index) == (place, index) and (is_within or place is Place.SCALAR)


def test_steps_point_at_what_they_are_said_to_read_and_write(plans: list[Plan]) -> None:
    for plan in plans:
        account = account_of(plan)
        assert len(account.steps) == len(plan.steps)
        for step, work in zip(plan.steps, account.steps):
            segments = step.segments if isinstance(step, LaunchSpec) else [step]
            found = {argument for each in segments for argument in each.arguments}
            values = [account.values[n] for n in {*work.reads, *work.writes}]
            for argument in found:
                here = argument.place, argument.index, argument.offset
                assert any(is_at(value, *here) for value in values), (step, argument)
            for value in values:
                assert any(is_at(value, a.place, a.index, a.offset) for a in found), (step, value)


def test_steps_compute_ops_that_there_are(plans: list[Plan]) -> None:
    for plan in plans:
        for step, work in zip(plan.steps, account_of(plan).steps):
            noted = {*step.note.replace(",", " ").replace(";", " ").split()}
            assert all(op.op in REGISTRY for op in work.ops)
            assert {op.op for op in work.ops} <= noted
            assert {op.where for op in work.ops if op.where} <= noted


def test_values_in_scratch_memory_are_written_before_they_are_read(plans: list[Plan]) -> None:
    for plan in plans:
        account = account_of(plan)
        written: set[int] = set()
        for work in account.steps:
            written |= {*work.writes}
            for number in work.reads:
                value = account.values[number]
                assert value.at.place is not Place.ARENA or number in written, value


def test_no_two_values_are_in_one_place_at_once(plans: list[Plan]) -> None:
    for plan in plans:
        stays = stays_of(account_of(plan))
        for place, stay in enumerate(stays):
            assert 0 <= stay.begin_byte < stay.end_byte <= plan.arena_bytes
            assert 0 <= stay.first < stay.end <= len(plan.steps)
            for other in stays[:place]:
                together = stay.first < other.end and other.first < stay.end
                assert not (together and stay.shares_bytes(other)), (stay, other)
        assert max(loads_of(stays, len(plan.steps)), default=0) <= plan.arena_bytes
