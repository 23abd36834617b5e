"""One op, one record; and the recipes, which tell the compiler how an op is computed."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Signature, signature
from typing import Any

from tracejit._native.entry import entry_class
from tracejit._records import dataclass, field, whole
from tracejit.dispatch import bind, ripe, stack
from tracejit.ir.aval import Aval

Params = dict[str, Any]
"""Static arguments by name; every value is hashable."""


@dataclass(frozen=True, slots=True)
class Pointwise:
    """Each element of the output from the elements at the same place of the inputs (which broadcast).

    `scalar(s, *elements, **params)` builds the expression: `s` has one method per scalar function, `s.const(value)`,
    `s.cast(x, dtype)` and `s.index(axis)` (the element's int64 coordinate in the output); elements take Python's
    operators, and Python literals beside them take their dtype.
    """

    scalar: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Reduction:
    """A fold over `params["axes"]` (ascending, adjacent, removed from the shape) by the fixed tree.

    `combine` is one of sum, prod, max, min, any, all, argmax, argmin.
    """

    combine: str


@dataclass(frozen=True, slots=True)
class View:
    """The same elements in another arrangement.

    `layout(layout, **params) -> Layout | None`: the strided view of a strided array, or None where only a copy has it.
    """

    layout: Callable[..., Layout | None]


@dataclass(frozen=True, slots=True)
class Gather:
    """`out[i...] = x[.., indices[i...], ..]` along `params["axis"]`: np.take, negative indices counted from the end."""


@dataclass(frozen=True, slots=True)
class ScatterAdd:
    """`base` with `updates` added at `indices` along `params["axis"]`, in ascending order of the update's place."""


@dataclass(frozen=True, slots=True)
class Recurrence:
    """Along `params["axis"]` each element of the output from the one before it and the inputs' elements at its place.

    `scalar(s, before, *elements)` builds the expression, `s.index(0)` being the place along the axis; `first` stands before the
    first element. If `is_sum` it is `before + element`, and elements may be added up in blocks.
    """

    first: float
    scalar: Callable[..., Any]
    is_sum: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """`base` with a part replaced by `value`; `layout(layout, **params)` is that part, as a View's would be."""

    layout: Callable[..., Layout | None]


@dataclass(frozen=True, slots=True)
class Concat:
    """The inputs one after another along `params["axis"]`."""


@dataclass(frozen=True, slots=True)
class Pad:
    """`x` surrounded by the 0-d `value`; `params["widths"]` is ((before, after), ...) per axis."""


@dataclass(frozen=True, slots=True)
class Contract:
    """`[..., m, k] @ [..., k, n]`, leading dimensions broadcast: np.matmul of operands of two dimensions or more."""


@dataclass(frozen=True, slots=True)
class Extern:
    """Computed by the op's own `eval` on NumPy arrays, outside generated code."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """The same elements on `params["device"]`: no part of a graph, as each is of one device."""


Recipe = (
    Pointwise
    | Reduction
    | View
    | Gather
    | ScatterAdd
    | Recurrence
    | Update
    | Concat
    | Pad
    | Contract
    | Extern
    | Transfer
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a view's elements lie in its storage; offset and strides count elements."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0


class _Arguments:
    """`inspect.signature(op)`: the arguments by the names that the op's rules give them."""

    def __get__(self, op: Op | None, owner: type) -> Signature:
        if op is None:
            raise AttributeError("the class Op has the signature of its constructor")
        # A scalar rule takes the builder of expressions first.
        rule, first = (op.recipe.scalar, 1) if isinstance(op.recipe, Pointwise) else (op.infer, 0)
        named = list(signature(rule).parameters.values())[first:]
        return Signature(
            [
                p.replace(kind=p.POSITIONAL_ONLY) if p.kind is p.POSITIONAL_OR_KEYWORD else p
                for p in named
            ]
        )


@whole
@dataclass(frozen=True, slots=True, eq=False)
class Op(entry_class()):  # type: ignore[misc]  # one of two classes
    """All that tracejit knows of one op. Arrays are positional, static arguments keyword-only.

    infer   `(*avals, **params) -> Aval`; raises ShapeError, DTypeError or AxisError
    eval    `(*arrays, **params) -> array`: the NumPy oracle
    vjp     `(ct, out, *args, **params) -> tuple` of one cotangent, or None, per argument
    coerce  `(*args, **params) -> (args, params)`: normalises a call (promotion, axes) before `bind`
    """

    name: str
    infer: Callable[..., Aval]
    eval: Callable[..., Any]
    recipe: Recipe
    coerce: Callable[..., tuple[tuple[Any, ...], Params]]
    vjp: Callable[..., tuple[Any, ...]] | None = None
    jvp: Callable[..., Any] | None = None
    vmap: Callable[..., Any] | None = None
    traits: frozenset[str] = field(default_factory=frozenset)
    doc: str = ""
    _held_ways: Any = field(default=None, init=False, repr=False)
    """What holds the machine code that takes calls."""
    __signature__ = _Arguments()

    def __post_init__(self) -> None:
        self.begin()

    def called(self, /, *args: Any, **params: Any) -> Any:
        """Runs a call."""
        if not params and stack.again is not None:
            result = stack.again(self, args)
            if result is not None:
                return result
        values, settled = self.coerce(*args, **params)
        result = bind(self, values, settled)
        if ripe:
            ripe.pop()(self, args, params)
        return result

    def __repr__(self) -> str:
        return self.name
