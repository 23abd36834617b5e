"""Recordings as machine code: the stretches of a tree, and what code refers to that is written out there."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tracejit._gate import late
from tracejit._native import abi
from tracejit.autograd.late import LateNode
from tracejit.autograd.node import Handle, next_sequence
from tracejit.autograd.tape import is_grad_enabled, without_grad
from tracejit.dtypes import int32, int64
from tracejit.eager import check_indices
from tracejit.indexing import check_labels
from tracejit.ir.aval import Aval, sizes_in
from tracejit.ir.dim import name_of
from tracejit.ops.arguments import number_as
from tracejit.ops.op import Layout
from tracejit.runtime.buffer import Buffer
from tracejit.runtime.cpu.native import arrays, numbers
from tracejit.runtime.cpu.native.lines import ArrayKind, Lines
from tracejit.runtime.cpu.native.paths import writes_of
from tracejit.runtime.cpu.native.reading import dict_behind, keeps_dict
from tracejit.runtime.cpu.native.settled import Rules
from tracejit.runtime.cpu.native.statements import parsed
from tracejit.runtime.cpu.native.values import Kind, Value
from tracejit.runtime.cpu.native.ways import Language, Way, way_of
from tracejit.storage import Storage, is_row_major, row_major
from tracejit.tensor import Tensor, make
from tracejit.tracing.programs import SizedProgram
from tracejit.tracing.replay.guards.calls import ArgumentsAre
from tracejit.tracing.replay.guards.memory import in_order
from tracejit.tracing.replay.guards.values import typed
from tracejit.tracing.replay.memory import settle
from tracejit.tracing.replay.output import broken_off
from tracejit.tracing.replay.resizing import at_sizes
from tracejit.tracing.replay.segments import element, tensor_over
from tracejit.tracing.replay.templates import array_over, storage_over
from tracejit.tracing.replay.tree import below
from tracejit.tracing.stand_in import raises_nothing

if TYPE_CHECKING:
    from tracejit.tracing.replay.speculate import Speculation
    from tracejit.tracing.replay.tree import Node, Tree


Resize = Callable[[tuple[int, ...]], Any]
"""Gives something that depends on sizes, for these."""


def native_ways(root: Node, tree: Tree) -> list[Way]:
    """The calls that begin with a recording's guards as machine code; what has no translation stays in Python.

    The path that calls keep taking, as one program, comes before all recorded paths with their decisions.
    """
    ahead = root.speculation
    made = [_way(root, tree, _ahead(ahead))] if ahead is not None and ahead.pays else []
    made.append(_way(root, tree, _stretches(root)))
    return [way for way in made if way is not None]


def _way(root: Node, tree: Tree, lines: Lines) -> Way | None:
    given = root.guards[0]
    if not isinstance(given, ArgumentsAre):
        return None
    return way_of(
        lines,
        tree.pool.names,
        positional=given.count,
        keywords=given.keywords,
        arrays=_arrays(lines, tree.pool.names),
        sizes=root.sizes,
        rules=_rules(lines, tree.pool.names),
        on_break=Broken(tree.name),
        language=language(),
    )


def _ahead(ahead: Speculation) -> Lines:
    """A path with its decisions at the end, where all its guards have held."""
    enter = [line for node in ahead.path for line in _split(node.text[0])]
    return Lines(enter, ahead.lines, ahead.path[-1].withheld or [])


def _stretches(root: Node) -> Lines:
    """All recorded ways from a root."""
    goals = [node.end[1] for node in below(root) if node.end is not None and node.end[0] == "goto"]
    return _stretch(root, {node: number for number, node in enumerate(dict.fromkeys(goals))})


def _stretch(node: Node, loops: Mapping[Node, int]) -> Lines:
    """`loops`: the numbers of nodes with which rounds begin."""
    enter, run, _, commit = node.text
    kind, target = node.end or ("leaf", None)
    return Lines(
        _split(enter),
        _split(run),
        _split(commit) if kind == "leaf" else (),
        again=loops[target] if kind == "goto" else None,
        decision=target if kind == "branch" else -1,
        following=tuple(
            (outcome, tuple(_stretch(each, loops) for each in ways))
            for outcome, ways in node.children.items()
        ),
        loop=loops.get(node),
    )


def _split(text: str) -> list[str]:
    return text.split("\n")


class Broken:
    """Raises what a call gets that failed after it had begun to write."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, error: BaseException) -> None:
        if not isinstance(error, Exception):
            raise error
        raise broken_off(error, self.name)


_SLOTS = frozenset(
    ("aval", "layout", "origin", "autograd", "storage", "node", "requires_grad", "hooks", "pending", "buffer")
)  # fmt: skip
"""Slots of tensors, handles and storages that few calls write; not versions and gradients, which every step does."""
_TABLES = frozenset(("_parameters", "_buffers", "_modules"))


def _rules(lines: Lines, names: Mapping[str, Any]) -> Rules | None:
    """Modules and their parameters stay the same, but where each call gives parameters other memory."""
    if _mentions(lines, {name for name, value in names.items() if value is settle}):
        return None

    def has_text(function: str, keys: str) -> bool:
        is_known = names.get(function) is typed and keys in names
        return is_known and all(kind is str for kind, _ in names[keys])

    def is_table(name: str) -> bool:
        table = _table_behind(names.get(name))
        return table is not None and all(table is not each for each in written)

    commits = tuple(_commits(lines))
    writes = writes_of(map(parsed, commits))
    roots = [names.get(path[0][0]) for path in writes.replaced if len(path[0]) == 1]
    written = [_table_behind(root.__dict__) for root in roots if isinstance(root, type)]
    return Rules(
        _SLOTS, _TABLES, names.get, _is_steady, keeps_dict, has_text, is_table, writes, commits
    )


def _table_behind(value: Any) -> dict[Any, Any] | None:
    """The dict of a class, or of a module of the library: these rarely change, where versions tell that they have not."""
    found = abi.abi()
    if isinstance(found, str) or found.dict_version_at is None:
        return None
    if type(value) is dict:
        name = value.get("__name__", "")
        is_own = isinstance(name, str) and name.startswith("tracejit.")
        return value if is_own and vars(sys.modules.get(name, object)) is value else None
    return dict_behind(Value(Kind.OBJECT, "", value))


def _is_steady(kind: Any) -> bool:
    return isinstance(kind, type) and kind.__module__.startswith(
        ("tracejit.nn.", "tracejit.optim.")
    )


def _commits(lines: Lines) -> Iterator[Sequence[str]]:
    """Those of all ways to go on."""
    yield lines.commit
    for _, ways in lines.following:
        for each in ways:
            yield from _commits(each)


def _mentions(lines: Lines, names: set[str]) -> bool:
    found = (line for commit in _commits(lines) for line in commit)
    return any(f"{name}(" in line for line in found for name in names)


def _arrays(lines: Lines, names: Mapping[str, Any]) -> dict[int, ArrayKind]:
    """The slots of new memory that only becomes an array, all of it in order: its dtype and shape."""
    uses: dict[int, int] = {}
    found = {}
    opened: dict[str, tuple[Any, Resize]] = {}
    if lines.following:  # what becomes an array in one way may become something else in another
        return {}
    for node in _nodes([*lines.run, *lines.commit]):
        match node:
            case ast.Subscript(value=ast.Name(id="E"), slice=slot, ctx=ast.Load()):
                place = ast.literal_eval(slot)
                uses[place] = uses.get(place, 0) + 1
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(
                    func=ast.Name(id=function),
                    args=[ast.Name(id=sizes), ast.Tuple(elts=slots), ast.Name(id=value)],
                ),
            ) if names.get(function) is at_sizes:
                opened[name] = names[value], _resized(names[sizes], names[value], len(slots))
            case ast.Call(
                func=ast.Name(id=function),
                args=[
                    ast.Subscript(value=ast.Name(id="E"), slice=slot),
                    ast.Name(id=dtype),
                    ast.Name(id=layout),
                    ast.Constant(value=0),
                ],
            ) if names.get(function) is array_over:
                if layout in opened:
                    found[ast.literal_eval(slot)] = _array_kind(names[dtype], *opened[layout])
                elif layout in names:
                    found[ast.literal_eval(slot)] = _array_kind(names[dtype], names[layout])
    return {slot: each for slot, each in found.items() if uses[slot] == 1}


def _array_kind(dtype: np.dtype[Any], layout: Any, resize: Resize | None = None) -> ArrayKind:
    def shape_at(values: tuple[int, ...]) -> tuple[int, ...] | None:
        placed = layout if resize is None else resize(values)
        return placed.shape if placed == row_major(placed.shape) else None

    return ArrayKind(dtype, len(layout.shape), shape_at)


def _resized(sizes: Any, value: Any, count: int) -> Resize:
    """What is a value at sizes, of which the first ones count."""
    return lambda values: at_sizes(sizes, values[:count], value)


def _nodes(lines: list[str]) -> Iterator[ast.AST]:
    return (
        node
        for line in lines
        if "E[" in line and not line.startswith(" ")
        for statement in parsed([line])
        for node in ast.walk(statement)
    )


# What is written out. Values in, value out; None where a call is to be an ordinary one.


def _storage_over(code: Any, given: list[Value]) -> Value | None:
    dtype, size, buffer, version = given
    nothing = code.constant(None)
    parts = {
        "dtype": dtype,
        "size": size,
        "buffer": buffer,
        "pending": nothing,
        "version": version,
        "written": nothing,
        "escaped": code.constant(False),
    }
    made: Value = code.create(Storage, parts)
    return made


def _make(code: Any, given: list[Value]) -> Value | None:
    storage, layout, aval, origin = given if len(given) == 4 else (*given, code.constant(None))
    if not (isinstance(aval.constant, Aval) and aval.constant.open is None) and not aval.parts:
        return None
    if origin.constant is not None and not (_is_closed(layout.constant) or layout.parts):
        return None
    parts = {"storage": storage, "layout": layout, "aval": aval, "origin": origin}
    made: Value = code.create(Tensor, {**parts, "autograd": code.constant(None)})
    return made


def _is_closed(layout: Any) -> bool:
    """Whether it is a layout that is known, with no open sizes: what is no view has none but in its shape."""
    return isinstance(layout, Layout) and sizes_in((*layout.strides, layout.offset)) is None


def _typed_keys(code: Any, given: list[Value]) -> Value | None:
    return Value(Kind.LATE, "", parts=(typed, *given))


def _has_keys(code: Any, found: Value, wanted: Value) -> str:
    """Keys are as a rule the very objects that they were."""
    container = found.parts[1]
    if code.class_of(container) is not dict:
        return "false"
    keys = [key for _, key in wanted.constant]
    code.note_keys(container.text, len(keys))
    listed = np.array([*map(id, keys), 0], np.int64)
    code.address_of(tuple(keys))
    code.address_of(listed)
    at = code.let(f"inttoptr i64 {code.raw(listed.ctypes.data)} to ptr")
    words = f"ptr {code.as_object(container)}", f"ptr {at}", f"i64 {len(keys)}"
    result: str = code.help("tracejit_has_keys", "i1", *words)
    return result


def _in_order(code: Any, given: list[Value]) -> Value | None:
    return Value(Kind.LATE, "", parts=(in_order, *given))


def _are_in_order(code: Any, found: Value, strides: Value) -> str:
    """Where arrays have strides and shape, or two tuples of integers."""
    _, shape, itemsize = found.parts
    step = f"i64 {itemsize.constant}"
    if strides.kind is Kind.SIZES and shape.kind is Kind.SIZES and strides.text == shape.text:
        places = f"ptr {code.sizes_at(strides)}", f"ptr {code.sizes_at(shape)}"
        return code.help("tracejit_array_in_order", "i1", *places, f"i64 {code.rank_of(shape.text)}", step)  # fmt: skip
    if (code.class_of(strides), code.class_of(shape)) == (tuple, tuple):
        places = f"ptr {strides.text}", f"ptr {shape.text}"
        return code.help("tracejit_tuple_in_order", "i1", *places, step)
    return "false"


def _element(code: Any, given: list[Value]) -> Value | None:
    buffer, dtype, offset = given
    if not isinstance(dtype.constant, np.dtype) or dtype.constant.name not in numbers.ELEMENTS:
        return None
    address = code.attribute(buffer, "address").text
    at = code.let(f"add i64 {address}, {code.as_integer(offset)}")
    return numbers.element_at(code, at, dtype.constant.name)


def _number_as(code: Any, given: list[Value]) -> Value | None:
    number, dtype = given
    return numbers.number_as(code, number, dtype.constant.name) if dtype.is_constant else None


def _tensor_over(code: Any, given: list[Value]) -> Value | None:
    return Value(Kind.LATE, "", parts=(tensor_over, *given))


def _check_labels(code: Any, given: list[Value]) -> Value | None:
    _, labels, count = given
    return _checked(code, check_labels, given, labels, 0, count.constant)


def _check_indices(code: Any, given: list[Value]) -> Value | None:
    _, indices, _, extent = given
    count = extent.constant
    if type(count) is not int:
        return None
    return _checked(code, check_indices, given, indices, count, 2 * count)


def _checked(
    code: Any,
    function: Callable[..., Any],
    given: list[Value],
    tensor: Value,
    base: Any,
    limit: Any,
) -> Value | None:
    """Goes on where all elements are in [-base, limit - base); None for a tensor that is to be looked at in another way."""
    if tensor.kind is not Kind.LATE or type(limit) is not int:
        return None
    _, buffer, aval, layout = tensor.parts
    dtype, placed = getattr(_shape_of(aval), "dtype", None), _shape_of(layout)
    if dtype not in (int32, int64) or not _is_all_in_order(placed):
        return None
    size = str(aval.constant.size) if aval.is_constant else _read_size(code, aval)
    if _shape_of(aval).device == "cpu":
        address = code.attribute(buffer, "address").text
        code.require(_in_range(code, address, size, dtype.itemsize, placed, base, limit))
        return code.constant(None)

    def look() -> str:
        code.called(code.address_of(function), list(map(code.as_object, given)))
        return "true"  # it has not raised

    mirror, has_mirror = _mirror(code, buffer)

    def is_fine() -> str:
        address = code.load(mirror(), abi.ARRAY_DATA_AT, "i64")
        return _in_range(code, address, size, dtype.itemsize, placed, base, limit)

    code.require(code.true_or(code.both(has_mirror, is_fine), look))
    return code.constant(None)


def _mirror(code: Any, buffer: Value) -> tuple[Callable[[], str], str]:
    """The array of what a GPU's memory holds that the host has sent there, and whether there is one."""
    kind = late("tracejit.runtime.cuda.memory").DeviceBuffer
    at = abi.offset_of(kind, "mirror")
    text = code.as_object(buffer)
    is_kind = code.let(f"icmp eq ptr {code.load(text, abi.TYPE_AT)}, {code.address_of(kind)}")

    def mirror() -> str:
        found: str = code.load(text, at)
        return found

    return mirror, code.both(
        is_kind, lambda: code.let(f"icmp ne ptr {mirror()}, {code.address_of(None)}")
    )


def _in_range(
    code: Any, address: str, size: str, itemsize: int, placed: Layout, base: int, limit: int
) -> str:
    """Whether all elements, which are in order, are in [-base, limit - base)."""
    first = code.let(f"add i64 {address}, {placed.offset * itemsize}")
    return arrays.in_range(code, first, size, itemsize, base, limit)


def _shape_of(value: Value) -> Any:
    """A constant, or with open sizes what becomes one at those of the call."""
    return value.parts[0] if value.parts else value.constant


def _is_all_in_order(layout: Any) -> bool:
    """Whether it is so for all values of open sizes: those of now may be equal by chance."""
    if sizes_in((*layout.strides, *layout.shape, layout.offset)) is None:
        return is_row_major(layout)
    own = row_major(layout.shape).strides
    return type(layout.offset) is int and [*map(name_of, layout.strides)] == [*map(name_of, own)]


def _read_size(code: Any, aval: Value) -> str:
    text: str = code.as_integer(code.attribute(aval, "size"))
    return text


def _late_node(code: Any, given: list[Value]) -> Value | None:
    steps, leaves = given
    known = _shape_of(steps)
    if not isinstance(known, tuple):
        return None
    last, aval = known[-1], code.constant(known[-1].aval)
    if steps.parts:
        aval = code.attribute(code.item(steps, code.constant(len(known) - 1)), "aval")
    sequence = code.called(code.address_of(next_sequence), [])
    parts = {
        "name": code.constant(last.name),
        "aval": aval,
        "loc": code.constant(last.loc),
        "hooks": code.constant(()),
        "sequence": Value(Kind.OBJECT, sequence),
        "_steps": steps,
        "_leaves": leaves,
        "_real": code.constant(None),
    }
    made: Value = code.create(LateNode, parts)
    return made


def _handle(code: Any, given: list[Value]) -> Value | None:
    node, version, requires_grad = given
    parts = {"node": node, "version": version, "requires_grad": requires_grad}
    made: Value = code.create(
        Handle, {**parts, "grad": code.constant(None), "hooks": code.constant(())}
    )
    return made


def _is_grad_enabled(code: Any, given: list[Value]) -> Value | None:
    size = code.load(code.address_of(without_grad), abi.DICT_SIZE_AT, "i64")
    return _unless(code, code.let(f"icmp eq i64 {size}, 0"), is_grad_enabled)


def _raises_nothing(code: Any, given: list[Value]) -> Value | None:
    """NumPy keeps its mode in a variable of the context: while that is what it was, the answer is."""
    private: Any = np
    variable = getattr(private._core.umath, "_extobj_contextvar", None)
    if variable is None or not raises_nothing():
        return None
    now = variable.get()
    found = code.context_variable(variable)
    return _unless(code, code.let(f"icmp eq ptr {found}, {code.address_of(now)}"), raises_nothing)


def _unless(code: Any, is_known: str, function: Callable[[], bool]) -> Value:
    """True where that is known, else what the function says."""

    def ask() -> str:
        answer: str = code.truth_of(Value(Kind.OBJECT, code.called(code.address_of(function), [])))
        return answer

    return Value(Kind.TRUTH, code.true_or(is_known, ask))


def _parameters() -> type:
    """The library's other class of tensors, where it is loaded."""
    own = [each for each in Tensor.__subclasses__() if each.__module__ == "tracejit.nn.parameter"]
    return own[0] if own else Tensor


@cache
def language() -> Language:
    return Language(
        intrinsics={
            storage_over: _storage_over,
            make: _make,
            array_over: arrays.array_over,
            Buffer.wrap: arrays.wrap,
            element: _element,
            number_as: _number_as,
            tensor_over: _tensor_over,
            typed: _typed_keys,
            in_order: _in_order,
            check_labels: _check_labels,
            check_indices: _check_indices,
            LateNode: _late_node,
            Handle: _handle,
            is_grad_enabled: _is_grad_enabled,
            raises_nothing: _raises_nothing,
        },
        hints=dict.fromkeys(("buffer", "pending", "version", "written"), (Storage, Storage))
        | dict.fromkeys(("node", "requires_grad", "hooks", "grad"), (Handle, Handle))
        | dict.fromkeys(("storage", "autograd"), (Tensor, _parameters())),
        equal=(Layout, Aval),
        equalities={typed: _has_keys, in_order: _are_in_order},
        parts={
            (Tensor, "aval"): Aval,
            (Tensor, "layout"): Layout,
            (Aval, "shape"): tuple,
            (Layout, "strides"): tuple,
        },
        resized={at_sizes: _resized},
        run_at=SizedProgram.run_at,
    )  # fmt: skip
