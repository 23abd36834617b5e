"""Random graphs that reach every kind of loop nest, and ways to run them."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit._config import config
from tracejit.compiler import compile_graph
from tracejit.dtypes import DType
from tracejit.ir.aval import aval
from tracejit.ir.graph import Effect, Graph, Input, Node
from tracejit.ops import index, scan  # noqa: F401  # they register their ops

UNARY = ("negative", "abs", "exp", "tanh", "square", "sqrt", "floor", "sign")
BINARY = ("add", "subtract", "multiply", "maximum", "minimum", "divide")
EXTENTS = (1, 2, 3, 5, 17, 40, 70)


def fold_graph(rnd: Random, dtype: DType) -> Graph:
    """Chains with broadcasting, folds over any axes, keepdims, permutations and effects."""
    shape = tuple(rnd.choice(EXTENTS) for _ in range(rnd.choice((1, 2, 2, 3))))
    if rnd.random() < 0.3:  # equal extents tell whether dimensions are taken for one another
        shape = shape[:1] * len(shape)
    inputs = []
    for _ in range(rnd.choice((1, 2, 3))):
        dims = tuple(1 if rnd.random() < 0.2 else extent for extent in shape)
        inputs.append(Input(aval(dtype, dims[1:] if rnd.random() < 0.2 else dims)))
    values: list[Node] = [*inputs]
    for _ in range(rnd.randint(2, 14)):
        x = rnd.choice(values[-6:])
        kind = rnd.random()
        if kind < 0.3:
            values.append(apply(rnd.choice(UNARY), x))
        elif kind < 0.65:
            y = rnd.choice([v for v in values if _broadcasts(v, x)])
            wide = apply(rnd.choice(BINARY), x, y)
            values += [wide] if wide.aval.size < 500_000 else []
        elif kind < 0.85 and x.aval.ndim:
            values += _fold(rnd, x)
        elif kind < 0.92 and x.aval.ndim > 1:
            axes = tuple(rnd.sample(range(x.aval.ndim), x.aval.ndim))
            values.append(apply("permute", x, axes=axes))
        else:
            values.append(apply("reshape", x, shape=(x.aval.size,)))
    return _graph(rnd, inputs, values, inputs)


def _fold(rnd: Random, x: Node) -> list[Node]:
    first = rnd.randrange(x.aval.ndim)
    last = rnd.randrange(first, x.aval.ndim)
    folded = apply(rnd.choice(("sum", "max", "min", "sum")), x, axes=tuple(range(first, last + 1)))
    if rnd.random() < 0.3:
        return [folded]
    kept = tuple(1 if first <= axis <= last else n for axis, n in enumerate(x.aval.sizes))
    return [folded, apply("reshape", folded, shape=kept)]


def index_graph(rnd: Random, dtype: DType) -> Graph:
    """Slices with steps, updates, concatenation, gathers, scatters and scans, mixed with arithmetic and effects."""
    shape = (rnd.choice((1, 3, 17, 40)), rnd.choice((1, 2, 5, 33, 70)))
    x, y = Input(aval(dtype, shape)), Input(aval(dtype, shape))
    indices = Input(aval(dtypes.int64, (rnd.choice((1, 4, 9)),)))
    values: list[Node] = [x, y]
    for _ in range(rnd.randint(2, 10)):
        source = rnd.choice(values[-5:])
        new = _index_op(rnd, source, values, indices)
        values += [value for value in new if value.aval.size <= 100_000]
    return _graph(rnd, [x, y, indices], values, [x, y])


def _index_op(rnd: Random, x: Node, values: list[Node], indices: Node) -> list[Node]:
    kind = rnd.choice(
        ("unary", "binary", "slice", "update", "concat", "take", "scatter", "scan", "sum", "turn")
    )
    axis = rnd.randrange(x.aval.ndim) if x.aval.ndim else 0
    match kind if x.aval.ndim else "unary":
        case "unary":
            return [apply(rnd.choice(UNARY), x)]
        case "binary":
            return [
                apply(rnd.choice(BINARY), x, rnd.choice([v for v in values if v.aval is x.aval]))
            ]
        case "slice" | "update" as kind:
            bounds = _bounds(rnd, x.aval.sizes)
            part = apply("slice", x, **bounds)
            if kind == "slice":
                return [part]
            return [part, apply("update", x, apply(rnd.choice(UNARY), part), **bounds)]
        case "concat":
            fits = [v for v in values if _same_but(v.aval.shape, x.aval.shape, axis)]
            return [apply("concat", x, rnd.choice(fits), axis=axis)]
        case "take":
            return [apply("take", x, indices, axis=axis)]
        case "scatter":
            return [
                apply("scatter_add", x, indices, apply("take", x, indices, axis=axis), axis=axis)
            ]
        case "scan":
            decay = apply("tanh", rnd.choice([v for v in values if v.aval is x.aval]))
            return [
                apply("cumulative_sum", x, axis=axis),
                apply("linear_scan", x, decay, axis=axis),
            ]
        case "sum":
            return [apply("sum", x, axes=(axis,))]
        case _:
            return [apply("permute", x, axes=tuple(reversed(range(x.aval.ndim))))]


def _bounds(rnd: Random, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    ranges = []
    for extent in shape:
        first = rnd.randrange(extent)
        last = rnd.randrange(first, extent)
        step = rnd.choice((1, 1, 2, -1))
        ranges.append((last, first - 1, step) if step < 0 else (first, last + 1, step))
    start, stop, step = zip(*ranges)
    return {"start": start, "stop": stop, "step": step}


def _same_but(a: tuple[Any, ...], b: tuple[Any, ...], axis: int) -> bool:
    return len(a) == len(b) and all(p == q for n, (p, q) in enumerate(zip(a, b)) if n != axis)


def _broadcasts(a: Node, b: Node) -> bool:
    pairs = zip(reversed(a.aval.sizes), reversed(b.aval.sizes))
    return all(p == q or 1 in (p, q) for p, q in pairs)


def product_graph(rnd: Random, dtype: DType) -> Graph:
    """Products of square matrices, maps and folds of them, one written over another."""
    n = rnd.choice((5, 20, 33))
    inputs = [Input(aval(dtype, (n, n))) for _ in range(3)]
    bias = Input(aval(dtype, (n,)))
    values: list[Node] = [*inputs]
    for _ in range(rnd.randint(3, 9)):
        x, y = rnd.choice(values[-4:]), rnd.choice(values[-4:])
        match rnd.choice(("product", "product", "map", "map", "bias", "turn", "fold")):
            case "product":
                values.append(apply("matmul", x, y))
            case "map":
                values.append(apply(rnd.choice(("add", "multiply", "maximum")), x, y))
            case "bias":
                values.append(apply("tanh", apply("add", x, bias)))
            case "turn":
                values.append(apply("permute", x, axes=(1, 0)))
            case _:
                axis = rnd.choice((0, 1))
                total = apply("sum", x, axes=(axis,))
                shape = (1, n) if axis == 0 else (n, 1)
                values.append(apply("subtract", x, apply("reshape", total, shape=shape)))
    return _graph(rnd, [*inputs, bias], values, inputs)


def _graph(rnd: Random, inputs: list[Input], values: list[Node], writable: list[Input]) -> Graph:
    made = values[len(writable) :] or values
    outputs = tuple(rnd.sample(made, min(len(made), rnd.choice((1, 2, 3)))))
    effects = []
    for target in writable if rnd.random() < 0.5 else ():
        fits = [v for v in values if v.aval is target.aval and v is not target]
        if fits:
            effects.append(Effect(target, rnd.choice(fits)))
    return Graph(tuple(inputs), outputs, tuple(effects))


def arrays_of(graph: Graph, seed: int) -> list[np.ndarray]:
    """Values in [-2, 2] with some NaN, infinities and zeros of both signs; indices within three of either end."""
    rng = np.random.default_rng(seed)
    arrays = []
    for node in graph.inputs:
        if node.aval.dtype is dtypes.int64:
            arrays.append(rng.integers(-1, 1, node.aval.sizes))
            continue
        array = np.clip(rng.standard_normal(node.aval.sizes), -2, 2)
        special = rng.choice([np.nan, np.inf, -np.inf, -0.0, 0.0], array.shape)
        odd = rng.random(array.shape) < (0.02 if seed % 3 == 0 else 0)
        arrays.append(np.where(odd, special, array).astype(node.aval.dtype.numpy))
    return arrays


def run(graph: Graph, arrays: list[np.ndarray], **settings: Any) -> list[np.ndarray]:
    """The outputs, then the inputs as they are afterwards; `arrays` stay as they are."""
    mine = [array.copy() for array in arrays]
    with config.scope(**settings):
        executable = compile_graph(graph)
    buffers = executable.run([array.ctypes.data for array in mine])
    pairs = zip(buffers, graph.outputs)
    return [b.array(node.aval.dtype.numpy, node.aval.sizes).copy() for b, node in pairs] + mine


def long_graph(rnd: Random, dtype: DType) -> Graph:
    """Values of one shape, kept for long: forward through many ops, then back through them, with effects on the way's ends."""
    kinds = ["pointwise", "norm", "turn", "join", "update"]
    n = rnd.choice((16, 33, 64))
    if rnd.random() < 0.3:  # the scratch of products hides values that are small
        kinds, n = [*kinds, "product"], 160
    x, w = Input(aval(dtype, (n, n))), Input(aval(dtype, (n, n)))
    states = [Input(aval(dtype, (n, n))) for _ in range(rnd.choice((0, 1, 2)))]
    kept: list[Node] = [x]
    for _ in range(rnd.randint(3, 20)):
        kept.append(_square_op(rnd, kinds, kept[-1], rnd.choice([w, *kept[-3:], *states])))
    value = kept[-1]
    for other in reversed(kept):
        if rnd.random() < 0.8:
            value = _square_op(rnd, kinds, value, other)
    outputs = [value, *rnd.sample(kept, rnd.choice((0, 1)))]
    effects = [
        Effect(state, apply("subtract", state, _square_op(rnd, kinds, value, rnd.choice(kept))))
        for state in states
    ]
    return Graph((x, w, *states), tuple(outputs), tuple(effects))


def _square_op(rnd: Random, kinds: list[str], x: Node, y: Node) -> Node:
    """Of two square matrices one, of numbers that stay small."""
    match rnd.choice(kinds):
        case "product":
            return apply("tanh", apply("matmul", x, y))
        case "pointwise":
            return apply(rnd.choice(("minimum", "maximum")), apply("tanh", x), y)
        case "norm":
            rows = apply("reshape", apply("max", x, axes=(1,)), shape=(x.aval.sizes[0], 1))
            return apply("maximum", apply("subtract", x, rows), apply("sin", y))
        case "turn":
            return apply("maximum", apply("permute", x, axes=(1, 0)), y)
        case "join":
            half = x.aval.sizes[0] // 2
            top = apply("slice", x, start=(0, 0), stop=(half, x.aval.sizes[1]), step=(1, 1))
            rest = apply("slice", y, start=(half, 0), stop=x.aval.sizes, step=(1, 1))
            return apply("concat", top, rest, axis=0)
        case _:
            part = {"start": (0, 1), "stop": (2, 3), "step": (1, 1)}
            return apply("update", x, apply("slice", y, **part), **part)
