"""The source text of a function, with the proof that it is: compiled as it stands, it gives the very code of the function.

A file that was edited, another lambda on the same line, code that something rewrote on import: none of them passes.
"""

from __future__ import annotations
import __future__

import ast
import copy
import functools
import inspect
import linecache
import sys
import warnings
from collections.abc import Iterable, Iterator
from types import CodeType
from typing import Any

from tracejit._records import dataclass
from tracejit.tracing.instrument.refusal import refusal
from tracejit.tracing.instrument.scopes import Function, parameters

_FUTURE = (
    functools.reduce(
        int.__or__,
        (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names),
    )
    & ~inspect.CO_NESTED
)
PLACE_FLAGS = inspect.CO_NESTED | getattr(inspect, "CO_METHOD", 0)
"""Flags of code that say where its text stands, and nothing of what it does."""
_CONTENT = (
    "co_name", "co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_firstlineno", "co_code", "co_names",
    "co_varnames", "co_cellvars", "co_freevars", "co_linetable", "co_exceptiontable",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """A function's syntax tree, and what of its surroundings decides how that is compiled."""

    function: ast.FunctionDef | ast.Lambda
    """Without what belongs to the function object: decorators, defaults, annotations."""
    class_name: str | None
    imports: list[ast.stmt]
    code: CodeType

    @property
    def defers_annotations(self) -> bool:
        """Whether a `def` does not run its annotations: they are text, under `from __future__ import annotations`, or code of
        their own, from Python 3.14 on."""
        are_text = bool(self.code.co_flags & __future__.annotations.compiler_flag)
        return are_text or sys.version_info >= (3, 14)

    def compiled(self) -> CodeType:
        """The code of the function, compiled apart from its file, by the rules that hold where it stands."""
        flags = self.code.co_flags & _FUTURE
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the user has seen them when the file was compiled
            code: CodeType = compile(
                self._module(), self.code.co_filename, "exec", flags=flags, dont_inherit=True
            )
        for _ in range(3 if self.class_name else 2):
            code = next(inner for inner in code.co_consts if isinstance(inner, CodeType))
        return code

    def _module(self) -> ast.Module:
        """`def around(free names): [class C:] the function`: free names, private names and `__class__` are what they were.

        The imports are there because the compiler calls methods of imported names in another way, from 3.11 on.
        """
        own = self.class_name or self.code.co_name
        free = [
            name for name in self.code.co_freevars if name != "__class__" or not self.class_name
        ]
        lines = [f"def around({', '.join(free)}):"]
        if own.isidentifier() and own not in free:
            lines.append(f" global {own}")
        lines.append(f" class {self.class_name}: pass" if self.class_name else " pass")
        module = ast.parse("\n".join(lines))
        around: Any = module.body[0]
        holder = around.body[-1] if self.class_name else around
        function = self.function
        holder.body[-1] = ast.Expr(function) if isinstance(function, ast.Lambda) else function
        module.body = [*self.imports, around]
        return ast.fix_missing_locations(module)


def source_of(code: CodeType, module_globals: dict[str, Any]) -> Source:
    """The source of a function with this code."""
    file, line = code.co_filename, code.co_firstlineno
    if code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        raise refusal("an async function", file, line)
    text = _text(file, module_globals)
    if not text:
        raise refusal(f"no source text for {file}")
    index = _indexed(text)
    if index is None:
        raise refusal(f"the source text of {file} no longer parses")
    for function, class_name in index.functions.get((line, code.co_name), ()):
        source = Source(_bare(function), class_name, index.imports, code)
        if _gives(source, code):
            return source
    raise refusal(
        "the source text is not that of this function: it was edited, or rewritten", file, line
    )


def _gives(source: Source, code: CodeType) -> bool:
    try:
        return _content(source.compiled()) == _content(code)
    except SyntaxError:  # `nonlocal`, say, of a name that is not there
        return False


def _content(constant: Any) -> Any:
    """A constant in a form that equals another's only if code with either does the same: 0.0 is not -0.0, nor 1 True."""
    match constant:
        case CodeType():
            fields = (getattr(constant, field) for field in _CONTENT)
            flags = constant.co_flags & ~PLACE_FLAGS
            return (*fields, flags, *map(_content, constant.co_consts))
        case tuple():
            return tuple(map(_content, constant))
        case frozenset():
            return frozenset(map(_content, constant))
    return type(constant), repr(constant)


# The text of a file


def _text(file: str, module_globals: dict[str, Any]) -> str:
    if file.startswith("<frozen "):
        file = module_globals.get("__file__", file)
    linecache.checkcache(file)
    return "".join(linecache.getlines(file, module_globals))


_Placed = tuple[ast.FunctionDef | ast.Lambda, str | None]
"""A function, and the innermost class that it stands in, at whatever depth."""


@dataclass(frozen=True, slots=True)
class _Index:
    functions: dict[tuple[int, str], list[_Placed]]
    """By first line and name."""
    imports: list[ast.stmt]


@functools.lru_cache(maxsize=32)
def _indexed(text: str) -> _Index | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None
    functions: dict[tuple[int, str], list[_Placed]] = {}
    for function, class_name in _functions(tree):
        functions.setdefault(_place(function), []).append((function, class_name))
    return _Index(functions, list(_imports(tree.body)))


def _functions(tree: ast.Module) -> Iterator[_Placed]:
    pending: list[tuple[ast.AST, str | None]] = [(tree, None)]
    while pending:
        node, class_name = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            yield node, class_name
        inner = node.name if isinstance(node, ast.ClassDef) else class_name
        pending.extend((child, inner) for child in ast.iter_child_nodes(node))


def _place(function: ast.FunctionDef | ast.Lambda) -> tuple[int, str]:
    """The first line and the name that the code of a function has."""
    if isinstance(function, ast.Lambda):
        return function.lineno, "<lambda>"
    decorators = [decorator.lineno for decorator in function.decorator_list]
    return min([function.lineno, *decorators]), function.name


def _imports(statements: Iterable[ast.AST]) -> Iterator[ast.stmt]:
    """The imports of a module, those in its `if` and `try` included."""
    for statement in statements:
        if isinstance(statement, ast.Import):
            yield statement
        elif isinstance(statement, ast.ImportFrom):
            if statement.module != "__future__" and statement.names[0].name != "*":
                yield statement
        elif not isinstance(statement, Function | ast.ClassDef | ast.expr):
            yield from _imports(ast.iter_child_nodes(statement))


def _bare(function: ast.FunctionDef | ast.Lambda) -> ast.FunctionDef | ast.Lambda:
    """A copy without decorators, defaults and annotations."""
    bare = copy.deepcopy(function)
    for parameter in parameters(bare.args):
        parameter.annotation = None
    bare.args.defaults = []
    bare.args.kw_defaults = [None] * len(bare.args.kwonlyargs)
    if isinstance(bare, ast.FunctionDef):
        bare.returns = None
        if hasattr(bare, "type_params"):
            bare.type_params = []
        # The code begins at the first decorator: one stays, of no meaning, as the mark of that line.
        first = bare.decorator_list[:1]
        bare.decorator_list = [ast.copy_location(ast.Constant(None), mark) for mark in first]
    return bare
