"""The text of `print_graph` read back."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tracejit import dtypes
from tracejit._errors import Location
from tracejit.ir.aval import Aval, aval
from tracejit.ir.dim import Sizes
from tracejit.ir.graph import Apply, Constant, Effect, Graph, Input, Node, ScalarInput

if TYPE_CHECKING:
    from tracejit.ops.op import Op

_LINE = re.compile(
    r"%(?P<name>\d+): (?P<aval>\S+) = (?P<expression>.*?)(?:  # (?P<loc>[^'\"]+:\d+))?$"
)
_AVAL = re.compile(r"(?P<dtype>\w+)\[(?P<dims>[^\]]*)\](?:@(?P<device>\S+))?$")
_VALUE = re.compile(r"%(\d+)")
_STRING_OR_VALUE = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|%(\d+)""")
_DTYPES = {dtype.short: dtype for dtype in dtypes.ALL}
_WORDS: dict[str, Any] = {
    **{dtype.name: dtype for dtype in dtypes.ALL},
    "nan": float("nan"),
    "inf": float("inf"),
}


def parse_graph(text: str, ops: Mapping[str, Op], sizes: Sizes | None = None) -> Graph:
    """The graph that `text` shows, its ops looked up by name; ValueError, with the line, where the text is none.

    `sizes` are what the open ones in it (`n0`) belong to, where it may have some.

    >>> print(parse_graph("%0: f32[2] = input()\\nreturn %0", {}).outputs[0].aval)
    f32[2]
    """
    return _Parser(ops, sizes).parse(text)


class _Parser:
    def __init__(self, ops: Mapping[str, Op], sizes: Sizes | None) -> None:
        self.ops = ops
        self.sizes = sizes
        self.nodes: dict[str, Node] = {}

    def parse(self, text: str) -> Graph:
        outputs: tuple[Node, ...] = ()
        effects: list[Effect] = []
        for number, line in enumerate(text.splitlines(), 1):
            try:
                if line.startswith("return"):
                    outputs = self.values(line)
                elif line.startswith("write"):
                    effects.append(self.effect(line))
                else:
                    self.node(line)
            except (KeyError, ValueError, SyntaxError) as error:
                raise ValueError(f"line {number}: {line!r}: {error}") from error
        inputs = (node for node in self.nodes.values() if isinstance(node, Input | ScalarInput))
        return Graph(tuple(inputs), outputs, tuple(effects))

    def values(self, line: str) -> tuple[Node, ...]:
        return tuple(self.nodes[name] for name in _VALUE.findall(line))

    def effect(self, line: str) -> Effect:
        target, value = self.values(line)
        if not isinstance(target, Input):
            raise ValueError("only an input is written")
        return Effect(target, value)

    def node(self, line: str) -> None:
        found = _LINE.match(line)
        if found is None:
            raise ValueError("not of the form '%0: f32[2] = op(...)'")
        loc = None
        if found["loc"]:
            file, _, number = found["loc"].rpartition(":")
            loc = Location(file, int(number))
        self.nodes[found["name"]] = self.make(
            found["expression"], parse_aval(found["aval"], self.sizes), loc
        )

    def make(self, expression: str, aval: Aval, loc: Location | None) -> Node:
        call = ast.parse(_STRING_OR_VALUE.sub(_as_name, expression), mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError("not a call of an op")
        params = tuple(
            (str(keyword.arg), literal(keyword.value, self.sizes)) for keyword in call.keywords
        )
        match call.func.id:
            case "input":
                known = dict(params)
                return Input(aval, known.get("strides"), loc, known.get("memory"))
            case "scalar":
                return ScalarInput(aval, loc)
            case "number":
                return Constant(aval, literal(call.args[0]), loc)
            case name:
                inputs = tuple(
                    self.nodes[arg.id[1:]] for arg in call.args if isinstance(arg, ast.Name)
                )
                return Apply(self.ops[name], inputs, params, aval, loc)


def _as_name(found: re.Match[str]) -> str:
    return found[1] or f"_{found[2]}"


def literal(node: ast.expr, sizes: Sizes | None = None) -> Any:
    """A Python literal in which dtypes, nan and inf are words, and open sizes those of `sizes`."""
    match node:
        case ast.Name(id=word) if word in _WORDS or sizes is None:
            return _WORDS[word]
        case ast.Tuple(elts=parts):
            return tuple([literal(part, sizes) for part in parts])
        case ast.Name() | ast.BinOp() if sizes is not None:
            return sizes.read(ast.unparse(node).replace(" ", ""))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -literal(operand)
        case _:
            return ast.literal_eval(node)


def parse_aval(text: str, sizes: Sizes | None = None) -> Aval:
    """`f32[128,2]@cuda:0` as an aval.

    >>> parse_aval("f32[128,2]").shape
    (128, 2)
    """
    found = _AVAL.match(text)
    if found is None or found["dtype"] not in _DTYPES:
        raise ValueError(f"{text!r} is no aval")
    dims = [part for part in found["dims"].split(",") if part]
    shape = tuple(map(int if sizes is None else sizes.read, dims))
    return aval(_DTYPES[found["dtype"]], shape, found["device"] or "cpu")
