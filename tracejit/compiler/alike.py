"""Plans of many small graphs: equal ones are planned once, and those alike but for sizes by one plan of open sizes.

A graph is taken apart into its form and its numbers: sizes, strides, bounds. When a form comes again with others, the numbers
that have changed become open sizes (`ir/dim.py`), and the graph is planned with these: what the compiler asks of them is noted.
That plan is one for all numbers that give the same answers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from tracejit._records import dataclass
from tracejit.artifact import Plan
from tracejit.ir.aval import aval
from tracejit.ir.dim import Dim, Sizes, at
from tracejit.ir.graph import Apply, Constant, Effect, Graph, Input, Node, ScalarInput

Compile = Callable[[Graph], Plan]
Numbers = tuple[int, ...]
MOST_OPEN = 8
"""Plans of open sizes of one form."""
MOST_FAILURES = 3
"""A form of which so many plans hold for their own sizes alone is planned for each."""


class AlikePlans:
    """Plans the graphs that it is given by `compile`."""

    def __init__(self, compile: Compile) -> None:
        self._compile = compile
        self._forms: dict[Hashable, _Form] = {}

    def of(self, graph: Graph) -> Plan:
        key, numbers = taken_apart(graph)
        form = self._forms.get(key)
        if form is None:
            form = self._forms[key] = _Form(self._compile)
        return form.plan(graph, numbers)


class _Form:
    """The plans of graphs of one form, by their numbers."""

    def __init__(self, compile: Compile) -> None:
        self._compile = compile
        self._plans: dict[Numbers, Plan] = {}
        self._open: list[_OpenPlan] = []
        self._last: Numbers | None = None
        self._failures = 0

    def plan(self, graph: Graph, numbers: Numbers) -> Plan:
        found = self._plans.get(numbers)
        if found is None:
            found = self._plans[numbers] = self._by_open_sizes(numbers) or self._new(graph, numbers)
        return found

    def _by_open_sizes(self, numbers: Numbers) -> Plan | None:
        plans = (each.plan(numbers) for each in self._open)
        return next(filter(None, plans), None)

    def _new(self, graph: Graph, numbers: Numbers) -> Plan:
        plan = self._compile(graph)
        before, self._last = self._last, numbers
        if before is not None and self._failures < MOST_FAILURES and len(self._open) < MOST_OPEN:
            made = _opened(graph, before, numbers, self._compile)
            # They are the same, or a number was looked at by a way that nothing is noted of.
            if made is not None and made.plan(numbers) == plan:
                self._open.append(made)
            else:
                self._failures += 1
        return plan


@dataclass(frozen=True, slots=True, eq=False)
class _OpenPlan:
    """A plan whose sizes are open; `numbers` are a graph's by them, and `leading` the places of those that the variables are."""

    whole: Plan
    sizes: Sizes
    numbers: tuple[Any, ...]
    leading: tuple[int, ...]

    def plan(self, numbers: Numbers) -> Plan | None:
        """The plan for these numbers; None where it does not hold for them."""
        values = [numbers[place] for place in self.leading]
        if any(value < 0 for value in values):
            return None
        if at(self.numbers, values) != numbers:  # the variables are the first of the atoms
            return None
        atoms = self.sizes.atoms_where_facts_hold(values)
        made: Plan | None = None if atoms is None else _at(self.whole, atoms)
        return made


def _at(value: Any, atoms: Sequence[Any]) -> Any:
    """A record with numbers for its sizes."""
    if type(value) is Dim:
        return value.at(atoms)
    if type(value) is tuple:
        parts = [_at(part, atoms) for part in value]
        return value if all(map(_is, parts, value)) else tuple(parts)
    if is_dataclass(value) and not isinstance(value, type):
        names = [each.name for each in fields(value)]
        old = [getattr(value, name) for name in names]
        new = [_at(part, atoms) for part in old]
        return value if all(map(_is, new, old)) else type(value)(**dict(zip(names, new)))
    return value


def _is(a: object, b: object) -> bool:
    return a is b


# A graph by its form and its numbers


def taken_apart(graph: Graph) -> tuple[Hashable, Numbers]:
    """All of a graph but for its numbers, and these."""
    place = {node: n for n, node in enumerate(graph.nodes)}
    numbers: list[int] = []
    form: list[Any] = []
    for node in graph.nodes:
        form.append(node.loc)
        match node:
            case Apply(op=op, inputs=inputs, params=params):
                form += (op, *[place[each] for each in inputs], _form(params, numbers))
            case Input(aval=kind, strides=strides, memory=memory):
                form += (
                    kind.dtype,
                    kind.device,
                    memory,
                    _form(kind.shape, numbers),
                    _form(strides, numbers),
                )
            case ScalarInput(aval=kind):
                form += ("number", kind)
            case Constant(aval=kind, value=value):
                form += ("constant", kind, type(value), repr(value))
    form += [place[each] for each in graph.outputs]
    form += [(place[each.target], place[each.value]) for each in graph.effects]
    return tuple(form), tuple(numbers)


def _form(value: Any, numbers: list[int]) -> Hashable:
    if type(value) is int:
        numbers.append(value)
        return int
    if type(value) is tuple:
        return tuple([_form(part, numbers) for part in value])
    return (float, repr(value)) if type(value) is float else (type(value), value)


def _with(value: Any, numbers: Iterator[Any]) -> Any:
    """A value with other numbers."""
    if type(value) is int:
        return next(numbers)
    return tuple([_with(part, numbers) for part in value]) if type(value) is tuple else value


def _put_together(graph: Graph, numbers: Iterable[Any]) -> Graph:
    """A graph of the same form with other numbers."""
    given = iter(numbers)
    new: dict[Node, Node] = {}
    for node in graph.nodes:
        match node:
            case Apply(op=op):
                inputs = tuple(new[each] for each in node.inputs)
                params = _with(node.params, given)
                kind = op.infer(*(each.aval for each in inputs), **dict(params))
                new[node] = Apply(op, inputs, params, kind, node.loc)
            case Input():
                shape, strides = _with(node.aval.shape, given), _with(node.strides, given)
                kind = aval(node.aval.dtype, shape, node.aval.device)
                new[node] = Input(kind, strides, node.loc, node.memory)
            case _:
                new[node] = node
    inputs_of: Any = tuple(new[each] for each in graph.inputs)
    targets: Any = [new[each.target] for each in graph.effects]
    effects = [Effect(to, new[each.value]) for to, each in zip(targets, graph.effects)]
    return Graph(inputs_of, tuple(new[each] for each in graph.outputs), tuple(effects))


# Plans of open sizes


def _opened(graph: Graph, before: Numbers, numbers: Numbers, compile: Compile) -> _OpenPlan | None:
    """The plan with open sizes for the numbers that have changed; None where it would hold for these alone."""
    sizes = Sizes(estimates=True)
    made, leading = _open_numbers(sizes, before, numbers)
    try:
        plan = compile(_put_together(graph, made))
    except Exception:  # something that can do only with numbers
        return None
    sizes.is_open = False
    is_fixed = any(asked[1] == "eq" and outcome for asked, outcome in sizes.facts.items())
    return None if is_fixed else _OpenPlan(plan, sizes, made, leading)


def _open_numbers(
    sizes: Sizes, before: Numbers, numbers: Numbers
) -> tuple[tuple[Any, ...], tuple[int, ...]]:
    """The numbers by sizes, those that move together by one; and the places of the variables."""
    moves = [now - then for now, then in zip(numbers, before)]
    leading: list[int] = []
    variables: list[Any] = []
    for place in sorted(range(len(moves)), key=lambda each: abs(moves[each])):
        is_led = any(not moves[place] % moves[lead] for lead in leading)
        if moves[place] and numbers[place] >= 0 and not is_led:
            leading.append(place)
            variables.append(sizes.variable(numbers[place]))
    found: list[Any] = []
    for number, move in zip(numbers, moves):
        pairs = zip(leading, variables)
        lead, size = next((pair for pair in pairs if move and not move % moves[pair[0]]), (0, None))
        by = move // moves[lead] if size is not None else 0
        found.append(number if size is None else number + by * (size - numbers[lead]))
    return tuple(found), tuple(leading)
