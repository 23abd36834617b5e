"""The text of a kernel: for people, and as its identity (equal texts are equal kernels, whatever their variables are called)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from tracejit.codegen.kernel.ir import (
    Address,
    Buffer,
    Const,
    Extent,
    Fold,
    For,
    Kernel,
    Let,
    Load,
    Operand,
    Size,
    Stmt,
    Store,
    Var,
)

INDENT = "  "


def print_kernel(kernel: Kernel) -> str:
    """The kernel as text; names are given in order of appearance: a(rgument), n (size), t (scratch), i(ndex), v(ariable)."""
    return "\n".join(_Printer(kernel).lines(kernel)) + "\n"


def print_statement(kernel: Kernel, stmt: Stmt) -> str:
    """The first line of a statement, named as in the kernel's text."""
    printer = _Printer(kernel)
    list(printer.lines(kernel))
    return printer.first_lines.get(stmt, "a statement that is not in the kernel")


class _Printer:
    def __init__(self, kernel: Kernel) -> None:
        self.names: dict[Buffer | Size | Var, str] = {}
        self.counts: dict[str, int] = {}
        self.first_lines: dict[Stmt, str] = {}
        for buffer in kernel.buffers:
            self.name(buffer, "a")
        for size in kernel.sizes:
            self.name(size, "n")
        for buffer in kernel.scratch:
            self.name(buffer, "t")
        self.streamed = kernel.streamed

    def name(self, thing: Buffer | Size | Var, letter: str) -> str:
        number = self.counts.get(letter, 0)
        self.counts[letter] = number + 1
        self.names[thing] = f"{letter}{number}"
        return self.names[thing]

    def lines(self, kernel: Kernel) -> Iterator[str]:
        arguments = [self.argument(buffer) for buffer in kernel.buffers]
        arguments += [self.names[size] for size in kernel.sizes]
        yield f"kernel({', '.join(arguments)}):"
        for buffer in kernel.scratch:
            extent = self.extent(buffer.scratch) if buffer.scratch is not None else "?"
            yield f"{INDENT}{self.names[buffer]}: {buffer.dtype}[{extent}]"
        yield from self.block(kernel.body, INDENT)

    def argument(self, buffer: Buffer) -> str:
        how = "stream " if buffer in self.streamed else "out " if buffer.written else ""
        return f"{self.names[buffer]}: {how}{buffer.dtype}*"

    def block(self, body: tuple[Stmt, ...], indent: str) -> Iterator[str]:
        for stmt in body:
            for line in self.stmt(stmt):
                self.first_lines.setdefault(stmt, line)
                yield indent + line

    def stmt(self, stmt: Stmt) -> Iterator[str]:
        match stmt:
            case Let(var=var, fn=fn, args=args):
                value = f"{fn.method}({', '.join(map(self.operand, args))})"
                yield f"{self.define(var)} = {value}"
            case Load(var=var):
                value = self.place(stmt.buffer, stmt.address)
                if stmt.where is not None and stmt.other is not None:
                    value += f" if {self.operand(stmt.where)} else {self.operand(stmt.other)}"
                yield f"{self.define(var)} = {value}"
            case Store():
                place = self.place(stmt.buffer, stmt.address)
                where = f" if {self.operand(stmt.where)}" if stmt.where is not None else ""
                yield f"{place} {'+=' if stmt.add else '='} {self.operand(stmt.value)}{where}"
            case For(kind=kind, extent=extent):
                extent_text = self.operand(extent)
                yield f"{kind.value} {self.name(stmt.index, 'i')} < {extent_text}:"
                yield from self.block(stmt.body, INDENT)
            case Fold(tree=tree):
                ends = f"{self.operand(stmt.start)} .. {self.operand(stmt.stop)}"
                yield f"fold {self.name(stmt.index, 'i')} in {ends} by {tree.value}:"
                for each in stmt.carried:
                    yield f"{INDENT}{self.define(each.var)} from {self.operand(each.first)}"
                yield from self.block(stmt.body, INDENT)
                for each in stmt.carried:
                    value = f"{self.operand(each.var)} then {self.operand(each.next)}"
                    yield f"{INDENT}{self.define(each.last)} = last of {value}"
                for result in stmt.results:
                    value = f"{result.combine.value}({self.operand(result.value)})"
                    yield f"{INDENT}{self.define(result.var)} = {value}"
            case _:
                assert_never(stmt)

    def define(self, var: Var) -> str:
        return f"{self.name(var, 'v')}: {var.dtype}"

    def operand(self, operand: Operand) -> str:
        if isinstance(operand, Const):
            return f"{operand.value!r}:{operand.dtype}"
        return self.names.get(operand, f"?{operand.name}")

    def extent(self, extent: Extent) -> str:
        return str(extent) if isinstance(extent, int) else self.operand(extent)

    def place(self, buffer: Buffer, address: Address) -> str:
        terms = [self.term(index, stride) for index, stride in address.terms]
        if address.offset != 0 or not terms:
            terms.append(self.extent(address.offset))
        return f"{self.names.get(buffer, f'?{buffer.name}')}[{' + '.join(terms)}]"

    def term(self, index: Var, stride: Extent) -> str:
        return (
            self.operand(index) if stride == 1 else f"{self.operand(index)}*{self.extent(stride)}"
        )
