"""Which guards of a replay are about what stays the same from call to call, as a rule.

These are modules, optimizers, the tensors that they hold, and what else leads to such (`leading.py`), lists, tuples and dicts.
Guards may be asked in any order that has each variable set before it is read: all of them are to hold, and none does anything.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tracejit._records import dataclass
from tracejit.runtime.cpu.native.commits import names_read, taken_over
from tracejit.runtime.cpu.native.leading import Leading
from tracejit.runtime.cpu.native.memory_guards import split
from tracejit.runtime.cpu.native.paths import Path, Paths, Writes, is_given
from tracejit.runtime.cpu.native.statements import parsed

FEW = 2
"""Tensors that are worth it."""


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """What is settled.

    slots      attributes that tensors, their storages and handles have in slots, and that rarely change
    tables     entries of objects' dicts that are dicts which rarely change, whatever else is written to these objects
    constant   the object that a name is that of, if it is
    is_steady  whether the dicts of a class's objects rarely change
    has_dict   whether objects of a class keep a dict as Python does by itself
    has_text   whether two constants are a function that gives a dict's keys, and such keys, all of them text
    is_table   whether a constant is, or shows, a dict that rarely changes: a class's, a module's
    writes     what the replay writes
    commits    the lines by which it does
    """

    slots: frozenset[str]
    tables: frozenset[str]
    constant: Callable[[str], Any]
    is_steady: Callable[[Any], bool]
    has_dict: Callable[[Any], bool]
    has_text: Callable[[str, str], bool]
    is_table: Callable[[str], bool]
    writes: Writes
    commits: tuple[Sequence[str], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Guards in the order in which they are asked.

    roots    what settled lines read that is found out at each call
    exports  what settled lines find out that is needed afterwards; of these, `buffers` are those of tensors
    lively   dicts that may be written in each call, but not what is read of them
    taken    what commits look for again and settled lines have found: by the path, the variable
    facts    variables that say whether conditions hold, which are asked after settled lines; as a rule they do
    """

    before: list[ast.stmt]
    settled: list[ast.stmt]
    after: list[ast.stmt]
    roots: list[str]
    exports: list[str]
    buffers: set[str]
    lively: set[str]
    taken: dict[Path, str]
    facts: dict[str, ast.expr]


def parts_of(nodes: Iterable[ast.stmt], rules: Rules) -> Parts | None:
    """The guards apart; None where too few are settled."""
    named = [*_once_named(nodes)]
    apart = _Apart(rules, Leading(named, rules.writes).names)
    for whole in named:
        for node in split(whole, apart.found, apart.facts):
            apart.add(node)
    if len(apart.buffers) < FEW:
        return None
    taken = _taken_by(rules.commits, apart.by_path())
    needed = {name for node in apart.after for name in names_in(node)} | apart.kept
    needed |= {*taken.values()}
    read = {name for node in apart.settled for name in names_in(node)}
    return Parts(
        apart.before,
        apart.settled,
        apart.after,
        sorted(read & apart.early),
        sorted(needed & apart.found),
        apart.buffers,
        apart.lively,
        taken,
        apart.facts,
    )


def _taken_by(commits: Iterable[Sequence[str]], found: dict[Path, str]) -> dict[Path, str]:
    """What they need of what has been found."""
    named = {path: f"found {name}" for path, name in found.items()}
    read = set[str]().union(*(names_read(taken_over(parsed(each), named)) for each in commits))
    return {path: name for path, name in found.items() if named[path] in read}


class _Apart:
    """Takes guards in turn. `leading`: variables that lead to tensors which stay the same."""

    def __init__(self, rules: Rules, leading: set[str]) -> None:
        self._rules = rules
        self._leading = leading
        self._paths = Paths()
        self.before: list[ast.stmt] = []
        self.settled: list[ast.stmt] = []
        self.after: list[ast.stmt] = []
        self.early: set[str] = set()
        """Variables, and slots of `E`, that are set before."""
        self.found: set[str] = set()
        """Those that settled lines set."""
        self.kept: set[str] = set()
        """What slots of `E` hold."""
        self.buffers: set[str] = set()
        self.lively: set[str] = set()
        self.facts: dict[str, ast.expr] = {}
        self._dicts: set[str] = set()
        """Those that rarely change."""
        self._rows: set[str] = set()
        """Lists and tuples."""
        self._kinds: dict[str, Any] = {}
        """The class of a variable's object."""
        self._late: set[str] = set()

    def add(self, node: ast.stmt) -> None:
        read, made = names_in(node), _targets(node)
        self._paths.learn(node)
        if read & self._late:
            self._put(self.after, self._late, node, made)
        elif self._is_settled(node):
            slots = {name for name in made if name.startswith("E[")}
            self._put(self.settled, self.found, node, made - slots)
            self.kept |= read if slots else set()
            self._late |= slots
        elif read & self.found:
            self._put(self.after, self._late, node, made)
        else:
            self._put(self.before, self.early, node, made)
            self._note_table(node)
        self._note_class(node)

    def by_path(self) -> dict[Path, str]:
        """What settled lines find."""
        found = {self._paths.path(ast.Name(name, ast.Load())): name for name in self.found}
        return {path: name for path, name in found.items() if path not in (None, (name,))}

    def _put(self, lines: list[ast.stmt], names: set[str], node: ast.stmt, made: set[str]) -> None:
        lines.append(node)
        names |= made

    def _note_table(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign(
                targets=[ast.Name(id=target)], value=ast.Subscript(slice=ast.Constant(value=key))
            ) if key in self._rules.tables:
                self._dicts.add(target)

    def _note_class(self, node: ast.stmt) -> None:
        match node:
            case ast.If(
                test=ast.UnaryOp(
                    operand=ast.Compare(
                        left=ast.Call(func=ast.Name(id="type"), args=[ast.Name(id=name)]),
                        ops=[ast.Is()],
                        comparators=[ast.Name(id=constant)],
                    )
                )
            ):
                kind = self._kinds[name] = self._rules.constant(constant)
                self._rows |= {name} if kind in (list, tuple) else set()
                self.lively |= {name} if kind is dict and name not in self._dicts else set()

    def _is_settled(self, node: ast.stmt) -> bool:
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value):
                return self._is_step(target, value)
            case ast.Assign(targets=[ast.Tuple(elts=[*targets])], value=ast.Name(id=name)):
                is_known = name in self._dicts or name in self.lively & self.found
                return is_known and all(isinstance(each, ast.Name) for each in targets)
            case ast.Assign(
                targets=[ast.Subscript(value=ast.Name(id="E"))], value=ast.Name(id=name)
            ):
                return name in self.found
            case ast.If(test=ast.UnaryOp(op=ast.Not(), operand=test), body=[ast.Return()]):
                return self._is_plain(test)
        return False

    # Steps from one object to another

    def _is_step(self, target: str, value: ast.expr) -> bool:
        """From an object to its dict, into dicts, lists and tuples, and from tensors on by their slots."""
        match value:
            case ast.Attribute(value=ast.Name(id=name), attr="__dict__"):
                return self._is_dict(target, name)
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str())) if (
                name in self._dicts
            ):
                self._dicts |= set() if self._is_written(target) else {target}
                return True
            case ast.Subscript() if self._is_entry(value):
                return True
            case ast.Subscript(value=ast.Name(id=name), slice=key):
                is_key = isinstance(key, ast.Name) and key.id in self.found
                is_entry = is_key or (isinstance(key, ast.Constant) and type(key.value) is str)
                is_place = (
                    isinstance(key, ast.Constant) and type(key.value) is int and key.value >= 0
                )
                fits = name in self._rows if is_place else name in self._dicts | self.lively
                return fits and (is_entry or is_place) and self._leads(target, value, name)
            case ast.Attribute(value=ast.Name(), attr=attribute) if self._is_slot(value):
                self.buffers |= {target} if attribute == "buffer" else set()
                return True
        return False

    def _is_dict(self, target: str, name: str) -> bool:
        kind = self._kinds.get(name)
        if self._rules.is_steady(kind) and not self._is_written(target):
            self._dicts.add(target)
            return True
        self.lively.add(target)
        return self._rules.has_dict(kind) and target in self._leading

    def _is_written(self, name: str) -> bool:
        """Whether the replay writes to what a variable holds."""
        return self._paths.path(ast.Name(name, ast.Load())) in self._rules.writes.filled

    def _leads(self, target: str, value: ast.expr, container: str) -> bool:
        """Whether a step leads to what stays the same, from a container that stays, too."""
        path, start = self._paths.path(value), self._paths.path(ast.Name(container, ast.Load()))
        return (
            target in self._leading
            and path not in self._rules.writes.replaced
            and start is not None
            and start not in self._rules.writes.changed
            and (container in self.found or not is_given(start))
        )

    def _is_slot(self, node: ast.expr) -> bool:
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                return name in self.found and attribute in self._rules.slots
        return False

    # Conditions

    def _is_plain(self, test: ast.expr) -> bool:
        """Whether a condition looks at nothing but identities, types, keys, sizes, slots, and values that never change."""
        match test:
            case ast.BoolOp(values=parts):
                return all(map(self._is_plain, parts))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return self._is_plain(operand)
            case ast.Attribute():
                return self._is_slot(test)
            case ast.Compare(
                left=ast.Constant(), ops=[ast.In() | ast.NotIn()], comparators=[ast.Name(id=name)]
            ):
                return name in self._dicts or self._rules.is_table(name)
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr="isdisjoint"), args=[ast.Name()]
            ):
                return self._rules.is_table(name)
            case ast.Compare(left=ast.Call(func=ast.Name(id="len")) as call, ops=[ast.Eq()]):
                return self._is_size(call)
            case ast.Compare(
                left=ast.Call(func=ast.Name(id=function), args=[ast.Name(id=name)]),
                ops=[ast.Eq()],
                comparators=[ast.Name(id=keys)],
            ):
                is_known = name in self._dicts or name in self.lively & self.found
                return is_known and self._rules.has_text(function, keys)
            case ast.Compare(
                left=ast.Attribute(attr="layout") as left,
                ops=[ast.Eq()],
                comparators=[ast.Name(id=name)],
            ):
                return self._is_slot(left) and name not in self.early | self.found
            case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot()], comparators=[right]):
                is_known = bool((names_in(left) | names_in(right)) & (self.found | self._dicts))
                is_known |= self._is_entry(left)
                return is_known and self._is_operand(left) and self._is_operand(right)
        return False

    def _is_size(self, call: ast.Call) -> bool:
        """Of a list or tuple, or how many different objects there are."""
        match call.args:
            case [ast.Name(id=name)]:
                return name in self._rows & self.found
            case [ast.Set()]:
                return names_in(call) <= self.found
        return False

    def _is_operand(self, node: ast.expr) -> bool:
        match node:
            case ast.Constant() | ast.Name():
                return True
            case ast.Call(func=ast.Name(id="type"), args=[ast.Name()]):
                return True
        return self._is_slot(node) or self._is_entry(node)

    def _is_entry(self, node: ast.expr) -> bool:
        """Of a class or a module."""
        match node:
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str())):
                return self._rules.is_table(name)
        return False


def names_in(node: ast.AST) -> set[str]:
    """The variables, and slots of `E`, that are read."""
    found = set()
    for each in ast.walk(node):
        match each:
            case ast.Name(id=name, ctx=ast.Load()) if name[0] in "svw":
                found.add(name)
            case ast.Subscript(value=ast.Name(id="E"), ctx=ast.Load()):
                found.add(ast.unparse(each))
    return found


def _targets(node: ast.stmt) -> set[str]:
    found = set()
    for each in ast.walk(node):
        match each:
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.Subscript(value=ast.Name(id="E"), ctx=ast.Store()):
                found.add(ast.unparse(each))
    return found


def _once_named(nodes: Iterable[ast.stmt]) -> Iterable[ast.stmt]:
    """The same with a name of its own for each variable: guards of several segments begin anew to name theirs."""
    names: dict[str, str] = {}
    for place, node in enumerate(nodes):
        parts = [each for each in ast.walk(node) if isinstance(each, ast.Name)]
        for each in parts:
            if isinstance(each.ctx, ast.Load):
                each.id = names.get(each.id, each.id)
        for each in parts:
            if isinstance(each.ctx, ast.Store):
                new = f"{each.id}_{place}" if each.id in names else each.id
                names[each.id] = new
                each.id = new
        yield node
