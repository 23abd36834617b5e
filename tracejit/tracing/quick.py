"""Eager ops as machine code: a call of an op that has been seen often is guarded, run and answered without Python."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any
from weakref import WeakSet

from tracejit._config import config
from tracejit._records import dataclass
from tracejit.autograd.tape import base_of
from tracejit.dispatch import Scalar
from tracejit.dtypes import DType, float32, float64
from tracejit.eager import OneOp, OneView
from tracejit.ops.chain import Chain
from tracejit.ops.op import Contract, Op, Params, Pointwise, Reduction, View
from tracejit.runtime.cpu.native.lines import Lines
from tracejit.runtime.cpu.native.ways import Way, Ways, way_of
from tracejit.storage import open_sizes
from tracejit.tensor import Tensor, make
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.code import Pool, Writer
from tracejit.tracing.replay.sources import Source, argument, keyword
from tracejit.tracing.replay.templates import storage_over
from tracejit.tracing.replay.translation import Broken, language

MOST = 16
"""Ways of one op: the least used makes room."""
MOST_VIEWS = 64
"""Ways that are ever made of one kind of view: who looks at one row after another needs another one each time."""
_views: Counter[Op] = Counter()
MOST_CHAINS = 256
"""Chains of views that have machine code at a time."""
_chains: WeakSet[Chain] = WeakSet()
_RECIPES = (Pointwise, Reduction, Contract, View)
_NUMBERS = (bool, int, float)
_ATOMS = (bool, int, str, type(None), DType)
_lock = threading.Lock()
_Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Constant(g.Guard):
    """A number, a text, a dtype, or a tuple of them."""

    source: Source
    value: Any

    def conditions(self, writer: Writer) -> Iterator[str]:
        found = writer.read(self.source)
        if isinstance(self.value, DType):
            yield f"{found} is {writer.pool.name(self.value)}"
            return
        if type(self.value) is not tuple:
            yield from g.Equals(self.source, self.value).conditions(writer)
            return
        yield f"type({found}) is tuple"
        yield f"len({found}) == {len(self.value)}"
        for place, part in enumerate(self.value):
            yield from g.Equals(self.source.item(place), part).conditions(writer)


class _Unfit(Exception):
    """A call that stays in Python."""


def take(
    called: Op,
    given: tuple[Any, ...],
    params: Params,
    op: Op,
    values: tuple[Any, ...],
    settled: Params,
    found: OneOp | OneView,
) -> None:
    """Has machine code take calls like this one: of `called` with `given` and `params`, which became `op` of `values`."""
    if called is not op or not isinstance(op.recipe, _RECIPES):
        return
    if isinstance(op.recipe, View) and _views[op] >= MOST_VIEWS:
        return
    if not _is_same(op, given, params, values, settled):
        return
    key = _key_of(given, params, values, found)
    if op._held_ways is not None and key in op._held_ways.by_key:
        return  # something else has kept it from being used
    try:
        lines, names = _lines(given, params, op, values, settled, found)
    except _Unfit:
        return
    way = way_of(
        lines,
        names,
        positional=len(given),
        keywords=tuple(params),
        arrays={},
        on_break=Broken(op.name),
        language=language(),
    )
    if way is not None:
        with _lock:
            _views[op] += isinstance(op.recipe, View)
            _add(op, key, way)


def take_chain(chain: Chain, x: Any, result: Any) -> None:
    """Has machine code take calls of a chain that gives views, as it gave `result` for `x`."""
    views = _views_between(x, result)
    if len(views) != len(chain.steps) or not _is_plain(x) or x.aval.device != "cpu":
        return
    if chain not in _chains and len(_chains) >= MOST_CHAINS:
        return
    key = config.epoch, type(x), x.layout, x.origin is None
    if chain._held_ways is not None and key in chain._held_ways.by_key:
        return  # something else has kept it from being used
    writer = Writer(Pool())
    grad = "none" if x.origin is None else "part"
    guard = g.TensorIs(argument(0, "0"), type(x), x.aval, x.layout, grad, 0)
    _write_guards(writer, [guard])
    before, lines = "args[0]", []
    name = writer.pool.name
    for place, view in enumerate(views):
        _, op, params = view.origin
        origin = f"({before}, {name(op)}, {name(params)})"
        parts = f"args[0].storage, {name(view.layout)}, {name(view.aval)}, {origin}"
        before = f"part{place}"
        lines.append(f"{before} = {name(make)}({parts})")
    made = Lines(writer.lines, [], [*lines, f"return {before}"])
    way = way_of(
        made,
        writer.pool.names,
        positional=1,
        keywords=(),
        arrays={},
        on_break=Broken("a view"),
        language=language(),
    )
    if way is not None:
        with _lock:
            _chains.add(chain)
            _add(chain, key, way)


def _views_between(x: Any, result: Any) -> list[Any]:
    """The views that lead from one tensor to another, which is the last; none where others lie between."""
    found: list[Any] = []
    while result is not x:
        if type(result) is not Tensor or result.origin is None or result.autograd is not None:
            return []
        found.insert(0, result)
        result = result.origin[0]
    return found


class _Table(Ways):
    """The ways of one op, each by what it is for."""

    def __init__(self, by_key: dict[_Key, Way]) -> None:
        super().__init__([*by_key.values()])
        self.by_key = by_key


def _is_same(
    op: Op, given: tuple[Any, ...], params: Params, values: tuple[Any, ...], settled: Params
) -> bool:
    """Whether the call became this: another thread's, or one that an op made by itself, may have come between."""
    if len(given) != len(values) or not all(map(_may_become, given, values)):
        return False
    again, known = op.coerce(*given, **params)
    return known == settled and all(map(_is_value, again, values))


def _may_become(arg: Any, value: Any) -> bool:
    return type(arg) in _NUMBERS if type(value) is Scalar else arg is value


def _is_value(found: Any, value: Any) -> bool:
    if type(value) is not Scalar or type(found) is not Scalar:
        return found is value
    same_type = type(found.value) is type(value.value)
    return found.aval is value.aval and same_type and repr(found.value) == repr(value.value)


def _key_of(
    given: tuple[Any, ...], params: Params, values: tuple[Any, ...], found: OneOp | OneView
) -> _Key:
    """Calls with the same one are taken by the same machine code."""
    parts = [
        (type(arg), repr(value.value) if _is_fixed(value) else getattr(arg, "layout", None))
        for arg, value in zip(given, values)
    ]
    return config.epoch, found, repr(params), *parts


def _add(op: Op | Chain, key: _Key, way: Way) -> None:
    table: _Table | None = op._held_ways
    ways = {} if table is None else dict(table.by_key)
    if table is not None and len(ways) >= MOST:
        hits = dict(zip(ways, table.hits))
        del ways[min(hits, key=lambda each: hits[each])]
    op.take_ways(_Table({key: way, **ways}))


def _lines(
    given: tuple[Any, ...],
    params: Params,
    op: Op,
    values: tuple[Any, ...],
    settled: Params,
    found: OneOp | OneView,
) -> tuple[Lines, dict[str, Any]]:
    writer = Writer(Pool())
    name = writer.pool.name
    guards: list[g.Guard] = []
    addresses, scalars = [], []
    for place, (arg, value) in enumerate(zip(given, values)):
        source = argument(place, f"{place}")
        if type(value) is Scalar:
            guards.append(_number(source, arg, value, place))
            scalars.append(
                f"E[{place}], " if isinstance(guards[-1], g.NumberIs) else f"{value.value!r}, "
            )
        elif value is arg and _is_plain(arg):
            grad = "none" if arg.origin is None else "part"
            guards.append(g.TensorIs(source, type(arg), arg.aval, arg.layout, grad, place))
            offset = arg.layout.offset * arg.aval.dtype.itemsize
            addresses.append(f"E[{place}].address + {offset}, ")
        else:
            raise _Unfit
    for param, constant in params.items():
        guards.append(_param(keyword(param), constant))
    _write_guards(writer, guards)
    runs: list[str] = []
    storage, origin = "args[0].storage", f"(args[0], {name(op)}, {name(settled)})"
    if not isinstance(found, OneView):
        out = len(given)
        run = f"{name(found.run)}(({''.join(addresses)}), ({''.join(scalars)}))"
        runs.append(f"E[{out}], = {run}")
        dtype = name(found.aval.dtype)
        storage, origin = f"{name(storage_over)}({dtype}, {found.size}, E[{out}], 0)", "None"
    result = f"return {name(make)}({storage}, {name(found.layout)}, {name(found.aval)}, {origin})"
    return Lines(writer.lines, runs, [result]), writer.pool.names


def _write_guards(writer: Writer, guards: list[g.Guard]) -> None:
    name = writer.pool.name
    writer.add(f"if not ({name(config)}.epoch == {name(config.epoch)}): return 1")
    for guard in guards:
        for condition in guard.conditions(writer):
            writer.add(f"if not ({condition}): return 1")


def _is_plain(arg: Any) -> bool:
    """A tensor that has nothing to do with gradients; its sizes are numbers."""
    if not isinstance(arg, Tensor) or open_sizes(arg.aval, arg.layout) is not None:
        return False
    if arg.origin is not None:
        return base_of(arg).autograd is None
    handle = arg.autograd
    return handle is None or (handle.node is None and not handle.requires_grad)


def _number(source: Source, arg: Any, value: Scalar, slot: int) -> g.Guard:
    """A float may be any; of an integer the op may ask more than its type."""
    if type(arg) not in _NUMBERS:
        raise _Unfit
    return g.Equals(source, arg) if _is_fixed(value) else g.NumberIs(source, type(arg), slot)


def _is_fixed(value: Any) -> bool:
    """Whether machine code is for this number alone."""
    return type(value) is Scalar and value.aval.dtype not in (float32, float64)


def _param(source: Source, constant: Any) -> g.Guard:
    """What an op is told beside its arrays is part of its program."""
    parts = constant if type(constant) is tuple else (constant,)
    if any(type(part) not in _ATOMS for part in parts):
        raise _Unfit
    return _Constant(source, constant)
