"""Random graphs, and values for their inputs that include NaN, infinities and both zeros."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tracejit import dtypes
from tracejit._errors import Location
from tracejit.ir.aval import aval
from tracejit.ir.graph import Apply, Constant, Effect, Graph, Input, Node, ScalarInput, params_key
from tracejit.ops import elementwise as e
from tracejit.ops import reduce, shape, slicing  # noqa: F401  # they register their ops
from tracejit.ops.registry import REGISTRY

FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 3.0, 1e30, float("inf"), float("-inf"), float("nan"))
BINARY = (e.add, e.subtract, e.multiply, e.divide, e.maximum, e.minimum)
UNARY = (e.negative, e.abs, e.positive, e.sqrt)
COMPARISONS = (e.less, e.equal, e.greater_equal)


def apply(name: str, *inputs: Node, loc: Location | None = None, **params: Any) -> Apply:
    op = REGISTRY[name]
    return Apply(op, inputs, params_key(params), op.infer(*(x.aval for x in inputs), **params), loc)


@st.composite
def graphs(draw: st.DrawFn, most: int = 14) -> Graph:
    """Graphs of float32, float64 and bool values of shapes (), (3,), (2,3) and (3,2)."""
    inputs: list[Any] = [
        Input(aval(dtypes.float32, (2, 3)), draw(st.sampled_from([None, (1, 2)]))),
        Input(aval(dtypes.float32, (3,))),
        Input(aval(dtypes.bool_, (2, 3))),
        ScalarInput(aval(dtypes.float32)),
    ]
    nodes: list[Node] = [*inputs]
    nodes += [Constant(aval(dtypes.float32), draw(st.sampled_from(FLOATS))) for _ in range(2)]
    for line in range(draw(st.integers(1, most))):
        nodes.append(draw(_applies(nodes, Location("model.py", line))))
    outputs = draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=3))
    writable = [node for node in nodes if node.aval is inputs[0].aval]
    effects = [Effect(inputs[0], draw(st.sampled_from(writable)))] if draw(st.booleans()) else []
    return Graph(tuple(inputs), tuple(outputs), tuple(effects))


@st.composite
def _applies(draw: st.DrawFn, nodes: list[Node], loc: Location) -> Apply:
    def pick(*, kind: str = "f", like: Node | None = None) -> Node:
        fits = [
            n
            for n in nodes
            if n.aval.dtype.kind == kind
            and (like is None or (n.aval.dtype is like.aval.dtype and _broadcast(n, like)))
        ]
        return draw(st.sampled_from(fits))

    x = pick()
    match draw(
        st.sampled_from(
            ["binary"] * 4 + ["unary", "compare", "not", "where", "cast", "view", "update", "sum"]
        )
    ):
        case "binary":
            return apply(draw(st.sampled_from(BINARY)).name, x, pick(like=x), loc=loc)
        case "unary":
            return apply(draw(st.sampled_from(UNARY)).name, x, loc=loc)
        case "compare":
            return apply(draw(st.sampled_from(COMPARISONS)).name, x, pick(like=x), loc=loc)
        case "not":
            return apply("logical_not", pick(kind="b"), loc=loc)
        case "where":
            y = pick(like=x)
            wide = apply("add", x, y)
            fits = [n for n in nodes if n.aval.dtype is dtypes.bool_ and _broadcast(n, wide)]
            return apply("where", draw(st.sampled_from(fits)), x, y, loc=loc) if fits else wide
        case "cast":
            return apply(
                "astype", x, dtype=draw(st.sampled_from([dtypes.float32, dtypes.float64])), loc=loc
            )
        case "update" if x.aval.shape == (2, 3):
            start = draw(st.sampled_from([0, 1]))
            part = apply("slice", x, start=(start, 0), stop=(2, 3), step=(1, 1))
            row = pick(like=part)
            if row.aval.ndim == 2 and row.aval.shape != part.aval.shape:
                row = part
            return apply("update", x, row, start=(start, 0), stop=(2, 3), step=(1, 1), loc=loc)
        case "sum" if x.aval.ndim:
            return apply("sum", x, axes=(x.aval.ndim - 1,), loc=loc)
        case _:
            return _view(draw, x, loc)


def _view(draw: st.DrawFn, x: Node, loc: Location) -> Apply:
    match x.aval.shape:
        case (2, 3) | (3, 2):
            start = draw(st.sampled_from([0, 1]))
            return draw(
                st.sampled_from(
                    [
                        apply("permute", x, axes=(1, 0), loc=loc),
                        apply("reshape", x, shape=x.aval.shape[::-1], loc=loc),
                        apply(
                            "slice", x, start=(start, 0), stop=x.aval.shape, step=(1, 1), loc=loc
                        ),
                    ]
                )
            )
        case (3,) | ():
            return apply("broadcast_to", x, shape=(2, 3), loc=loc)
        case same:
            return apply("broadcast_to", x, shape=same, loc=loc)


def _broadcast(x: Node, y: Node) -> bool:
    try:
        np.broadcast_shapes(x.aval.sizes, y.aval.sizes)
    except ValueError:
        return False
    return True


def arrays_for(graph: Graph, seed: int) -> tuple[list[np.ndarray], list[Any]]:
    """Values for the inputs, and for the numbers."""
    rng = np.random.default_rng(seed)
    arrays, scalars = [], []
    for node in graph.inputs:
        with np.errstate(all="ignore"):
            values = rng.choice(FLOATS, size=node.aval.sizes).astype(node.aval.dtype.numpy)
        if isinstance(node, Input):
            arrays.append(values)
        else:
            scalars.append(values.item())
    return arrays, scalars


def assert_same_bits(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    """Equal dtypes, shapes and bits; all NaNs are alike."""
    assert len(found) == len(expected)
    for x, y in zip(found, expected):
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        if x.dtype == dtypes.bfloat16.numpy:  # whose NaNs NumPy's comparison does not know
            x, y = x.astype(np.float32), y.astype(np.float32)
        np.testing.assert_array_equal(x, y)
        if x.dtype.kind == "f":
            known = ~np.isnan(x)
            np.testing.assert_array_equal(np.signbit(x)[known], np.signbit(y)[known])
