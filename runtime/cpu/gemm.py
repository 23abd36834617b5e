"""The matrix-product kernels, as LLVM IR: register tiles over panels of B, for any strides and sizes.

A task is one block of C. For each 256 values of K and each panel of columns it packs B (unless few rows will read it), then
runs down the rows of A with a tile of accumulators that stay in registers: rows x vectors. Every accumulator is one chain of
multiply-adds in ascending order of K, so no tile shape, stride or block changes a result.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial

from tracejit.artifact import KernelSource
from tracejit.runtime.cpu.target import Level
from tracejit.runtime.cpu.writer import Writer
from tracejit.runtime.gemm import DIMS, KERNELS

DEPTH = 256
"""Values of K in one partial sum."""
_DIRECT_ROWS = 12
"""Rows up to which B is read in place: packing costs as much as reading it twice."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A register tile's vectors across, and the row counts that it comes in, largest first."""

    vectors: int
    rows: tuple[int, ...]


_SHAPES = {
    "avx512": (Shape(4, (6, 3, 1)), Shape(1, (12, 4, 1))),
    "neon": (Shape(4, (6, 3, 1)), Shape(1, (12, 4, 1))),
}
_SIXTEEN_REGISTERS = (Shape(2, (6, 3, 1)), Shape(1, (6, 3, 1)))


@cache
def gemm_source(dtype: str, level: Level) -> KernelSource:
    """The kernel for `dtype` on processors of `level`."""
    name = f"{KERNELS[dtype]}_{level.name}"
    return KernelSource(name, _Gemm(dtype, level).module(name))


class _Gemm(Writer):
    """Writes the module of one dtype and level."""

    def __init__(self, dtype: str, level: Level) -> None:
        super().__init__()
        self.element, self.size, suffix = (
            ("float", 4, "f32") if dtype == "float32" else ("double", 8, "f64")
        )
        self.lanes = level.vector_bytes // self.size
        self.vector = f"<{self.lanes} x {self.element}>"
        self.suffix = f"v{self.lanes}{suffix}"
        self.has_fma = level.has_fma
        self.wide, self.narrow = _SHAPES.get(level.name, _SIXTEEN_REGISTERS)
        width = f'"prefer-vector-width"="{8 * level.vector_bytes}"'
        self.attributes = f"nounwind {width} {width.replace('prefer', 'min-legal')}"

    def module(self, name: str) -> str:
        self.lines.append(self._declarations())
        for shape in (self.wide, self.narrow):
            for rows in shape.rows:
                self._tile(shape, rows)
            self._down(shape)
            self._pack(shape)
            self._panel(shape)
        self._block_of_c()
        self._kernel(name)
        return "\n".join(self.lines) + f"\nattributes #0 = {{ {self.attributes} }}\n"

    def _declarations(self) -> str:
        v, s, n = self.vector, self.suffix, self.lanes
        return f"""\
declare i64 @llvm.smin.i64(i64, i64)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare {v} @llvm.fma.{s}({v}, {v}, {v})
declare {v} @llvm.masked.load.{s}.p0(ptr, <{n} x i1>, {v})
declare void @llvm.masked.store.{s}.p0({v}, ptr, <{n} x i1>)
"""

    # C += A @ B on registers

    _TILE = (
        "ptr %a, i64 %a.row, i64 %a.column, ptr %b, i64 %b.row, i64 %depth, ptr %c, i64 %c.row, "
        "i64 %columns, i1 %add"
    )

    def _tile(self, shape: Shape, rows: int) -> None:
        """C (rows x columns) = or += A (rows x depth) @ B (depth x columns); strides in bytes."""
        with self.function(f"internal void @tile_{shape.vectors}_{rows}({self._TILE}) #0"):
            row_offsets = [self.let(f"mul i64 %a.row, {row}") for row in range(rows)]
            zeros = [(self.vector, "zeroinitializer")] * (rows * shape.vectors)
            ends = [("ptr", "%a"), ("ptr", "%b")]
            with self.carrying("0", "%depth", "1", ends + zeros) as (_, carried, nexts):
                a, b, *sums = carried
                nexts += [self.at(a, "%a.column"), self.at(b, "%b.row")]
                columns = [
                    self._load(self.at(b, str(v * self.lanes * self.size)))
                    for v in range(shape.vectors)
                ]
                for row in range(rows):
                    value = self._splat(self.at(a, row_offsets[row]))
                    for v, column in enumerate(columns):
                        nexts.append(
                            self._multiply_add(value, column, sums[row * shape.vectors + v])
                        )
            mask = self._mask("%columns")
            for row in range(rows):
                c = self.at("%c", self.let(f"mul i64 %c.row, {row}"))
                for v in range(shape.vectors):
                    target = self.at(c, str(v * self.lanes * self.size))
                    self._store(
                        target, sums[row * shape.vectors + v], mask, whole=shape is self.wide
                    )

    def _store(self, target: str, value: str, mask: str, whole: bool) -> None:
        """Stores `value`, or adds it; the lanes of a narrow tile only where `mask` is set."""
        v, n, align = self.vector, self.lanes, f"ptr align {self.size}"
        # What is not added to may be uninitialised, but it is in memory of ours; the sum of it is not used.
        if whole:
            old = self.let(f"load {v}, ptr {target}, align {self.size}")
        else:
            old = self._load_where(mask, target)
        total = self.let(f"fadd {v} {old}, {value}")
        new = self.let(f"select i1 %add, {v} {total}, {v} {value}")
        if whole:
            self.do(f"store {v} {new}, ptr {target}, align {self.size}")
        else:
            self.do(
                f"call void @llvm.masked.store.{self.suffix}.p0({v} {new}, {align} {target}, <{n} x i1> {mask})"
            )

    def _down(self, shape: Shape) -> None:
        """The tiles of one panel, from the first row to the last."""
        signature = f"internal void @down_{shape.vectors}(i64 %rows, {self._TILE}) #0"
        with self.function(signature):
            start = "0"
            for rows in shape.rows:
                stop = self.let(f"sub i64 %rows, {rows - 1}")
                with self.carrying(start, stop, str(rows), [("i64", start)]) as (
                    row,
                    carried,
                    nexts,
                ):
                    nexts.append(self.let(f"add i64 {row}, {rows}"))
                    a = self.at("%a", self.let(f"mul i64 {row}, %a.row"))
                    c = self.at("%c", self.let(f"mul i64 {row}, %c.row"))
                    self.do(
                        f"call void @tile_{shape.vectors}_{rows}(ptr {a}, i64 %a.row, i64 %a.column, ptr %b, i64 %b.row, "
                        f"i64 %depth, ptr {c}, i64 %c.row, i64 %columns, i1 %add)"
                    )
                start = carried[0]

    # B into a panel: `depth` rows of the tile's width, zeros beyond the last column

    _PACK = (
        "ptr %panel, i64 %panel.row, ptr %b, i64 %b.row, i64 %b.column, i64 %depth, i64 %columns"
    )

    def _pack(self, shape: Shape) -> None:
        with self.function(f"internal void @pack_{shape.vectors}({self._PACK}) #0"):
            with self.finish_when(self.let(f"icmp eq i64 %b.column, {self.size}")):
                self._pack_rows(shape)
            full = self.let(f"icmp eq i64 %columns, {shape.vectors * self.lanes}")
            unit_row = self.let(f"icmp eq i64 %b.row, {self.size}")
            even = self.let(f"and i64 %depth, {-self.lanes}")
            transposed = self.let(
                f"select i1 {self.let(f'and i1 {full}, {unit_row}')}, i64 {even}, i64 0"
            )
            self._pack_squares(transposed)
            self._pack_elements(shape, transposed)

    def _pack_rows(self, shape: Shape) -> None:
        """Columns of unit stride."""
        mask = self._mask("%columns")
        with self.loop("0", "%depth", "1") as k:
            source = self.at("%b", self.let(f"mul i64 {k}, %b.row"))
            target = self.at("%panel", self.let(f"mul i64 {k}, %panel.row"))
            for v in range(shape.vectors):
                offset = str(v * self.lanes * self.size)
                load = self._load if shape is self.wide else partial(self._load_where, mask)
                self._put(self.at(target, offset), load(self.at(source, offset)))

    def _pack_squares(self, depth: str) -> None:
        """Rows of unit stride: squares of lanes x lanes; depth and columns are multiples of the lanes."""
        with (
            self.loop("0", depth, str(self.lanes)) as k,
            self.loop("0", "%columns", str(self.lanes)) as j,
        ):
            source = self._moved("%b", (j, "%b.column"), (k, str(self.size)))
            target = self._moved("%panel", (k, "%panel.row"), (j, str(self.size)))
            square = []
            for _ in range(self.lanes):
                square.append(self._load(source))
                source = self.at(source, "%b.column")
            for row in self._transposed(square):
                self._put(target, row)
                target = self.at(target, "%panel.row")

    def _pack_elements(self, shape: Shape, start: str) -> None:
        """Any strides and any number of columns, from row `start`."""
        with self.loop(start, "%depth", "1") as k:
            source = self._moved("%b", (k, "%b.row"))
            target = self._moved("%panel", (k, "%panel.row"))
            for v in range(shape.vectors):
                self._put(self.at(target, str(v * self.lanes * self.size)), "zeroinitializer")
            with self.loop("0", "%columns", "1") as j:
                element = self._moved(source, (j, "%b.column"))
                value = self.let(f"load {self.element}, ptr {element}, align {self.size}")
                place = self._moved(target, (j, str(self.size)))
                self.do(f"store {self.element} {value}, ptr {place}, align {self.size}")

    def _transposed(self, rows: list[str]) -> list[str]:
        """A square of vectors, transposed by exchanging halves, quarters, ... of pairs of rows."""
        lanes, width = self.lanes, self.lanes // 2
        while width:
            low = [(i & ~width) + (lanes if i & width else 0) for i in range(lanes)]
            high = [(i | width) + (lanes if i & width else 0) for i in range(lanes)]
            new = list(rows)
            for i in range(lanes):
                if not i & width:
                    new[i] = self._shuffle(rows[i], rows[i | width], low)
                    new[i | width] = self._shuffle(rows[i], rows[i | width], high)
            rows, width = new, width // 2
        return rows

    def _shuffle(self, x: str, y: str, lanes: list[int]) -> str:
        mask = ", ".join(f"i32 {lane}" for lane in lanes)
        return self.let(
            f"shufflevector {self.vector} {x}, {self.vector} {y}, <{self.lanes} x i32> <{mask}>"
        )

    # panels, blocks, tasks

    _BLOCK = (
        "i64 %rows, ptr %a, i64 %a.row, i64 %a.column, ptr %b, i64 %b.row, i64 %b.column, i64 %depth, "
        "ptr %c, i64 %c.row, i64 %columns, i1 %add, ptr %scratch"
    )

    def _panel(self, shape: Shape) -> None:
        """One panel of columns: B in place, or packed, and then down the rows."""
        width = shape.vectors * self.lanes
        panel_row = width * self.size
        pack = f"(ptr %scratch, i64 {panel_row}, ptr %b, i64 %b.row, i64 %b.column, i64 %depth, i64 %columns)"

        def down(b: str, row: str) -> None:
            self.do(
                f"call void @down_{shape.vectors}(i64 %rows, ptr %a, i64 %a.row, i64 %a.column, ptr {b}, i64 {row}, "
                "i64 %depth, ptr %c, i64 %c.row, i64 %columns, i1 %add)"
            )

        with self.function(f"internal void @panel_{shape.vectors}({self._BLOCK}) #0"):
            full = self.let(f"icmp eq i64 %columns, {width}")
            unit_column = self.let(f"icmp eq i64 %b.column, {self.size}")
            few = self.let(f"icmp sle i64 %rows, {_DIRECT_ROWS}")
            readable = self.let(f"and i1 {full}, {unit_column}")
            with self.finish_when(self.let(f"and i1 {readable}, {few}")):
                down("%b", "%b.row")
            self.do(f"call void @pack_{shape.vectors}{pack}")
            down("%scratch", str(panel_row))

    def _block_of_c(self) -> None:
        """One block of C: partial sums over K, each panel by panel."""
        with self.function(f"internal void @block({self._BLOCK}) #0"):
            with self.finish_when(self.let("icmp eq i64 %depth, 0")):
                nbytes = self.let(f"mul i64 %columns, {self.size}")
                with self.loop("0", "%rows", "1") as row:
                    c = self.at("%c", self.let(f"mul i64 {row}, %c.row"))
                    self.do(f"call void @llvm.memset.p0.i64(ptr {c}, i8 0, i64 {nbytes}, i1 false)")
            with self.loop("0", "%depth", str(DEPTH)) as k:
                depth = self.let(
                    f"call i64 @llvm.smin.i64(i64 {self.let(f'sub i64 %depth, {k}')}, i64 {DEPTH})"
                )
                a = self.at("%a", self.let(f"mul i64 {k}, %a.column"))
                b = self.at("%b", self.let(f"mul i64 {k}, %b.row"))
                add = self.let(f"icmp ne i64 {k}, 0")
                start = "0"
                for shape in (self.wide, self.narrow):
                    start = self._panels(shape, start, a, b, depth, add)

    def _panels(self, shape: Shape, start: str, a: str, b: str, depth: str, add: str) -> str:
        """All panels of this width from column `start`; gives the first column that is left."""
        width = shape.vectors * self.lanes
        stop = "%columns" if shape is self.narrow else self.let(f"sub i64 %columns, {width - 1}")
        with self.carrying(start, stop, str(width), [("i64", start)]) as (j, carried, nexts):
            nexts.append(self.let(f"add i64 {j}, {width}"))
            left = self.let(f"sub i64 %columns, {j}")
            columns = self.let(f"call i64 @llvm.smin.i64(i64 {left}, i64 {width})")
            b_panel = self.at(b, self.let(f"mul i64 {j}, %b.column"))
            c = self.at("%c", self.let(f"mul i64 {j}, {self.size}"))
            self.do(
                f"call void @panel_{shape.vectors}(i64 %rows, ptr {a}, i64 %a.row, i64 %a.column, ptr {b_panel}, i64 %b.row, "
                f"i64 %b.column, i64 {depth}, ptr {c}, i64 %c.row, i64 {columns}, i1 {add}, ptr %scratch)"
            )
        return carried[0]

    def _kernel(self, name: str) -> None:
        signature = f"void @{name}(ptr %context, ptr %buffers, ptr %dims, i64 %begin, i64 %end, ptr %scratch) #0"
        with self.function(signature):
            a, b, c = (
                self.let(f"load ptr, ptr {self.at('%buffers', str(8 * i))}") for i in range(3)
            )
            d = {
                dim: self.let(f"load i64, ptr {self.at('%dims', str(8 * i))}")
                for i, dim in enumerate(DIMS)
            }
            for dim in DIMS[5:]:
                d[dim] = self.let(f"mul i64 {d[dim]}, {self.size}")
            down = self._parts(d["M"], d["block_m"])
            across = self._parts(d["N"], d["block_n"])
            with self.loop("%begin", "%end", "1") as task:
                rest, column = self._split(task, across)
                batch, row = self._split(rest, down)
                i = self.let(f"mul i64 {row}, {d['block_m']}")
                j = self.let(f"mul i64 {column}, {d['block_n']}")
                rows = self._clip(d["M"], i, d["block_m"])
                columns = self._clip(d["N"], j, d["block_n"])
                a_block = self._moved(a, (batch, d["a_batch"]), (i, d["a_row"]))
                b_block = self._moved(b, (batch, d["b_batch"]), (j, d["b_column"]))
                c_block = self._moved(
                    c, (batch, d["c_batch"]), (i, d["c_row"]), (j, str(self.size))
                )
                self.do(
                    f"call void @block(i64 {rows}, ptr {a_block}, i64 {d['a_row']}, i64 {d['a_column']}, ptr {b_block}, "
                    f"i64 {d['b_row']}, i64 {d['b_column']}, i64 {d['K']}, ptr {c_block}, i64 {d['c_row']}, i64 {columns}, "
                    "i1 false, ptr %scratch)"
                )

    def _parts(self, size: str, part: str) -> str:
        up = self.let(f"sub i64 {self.let(f'add i64 {size}, {part}')}, 1")
        return self.let(f"sdiv i64 {up}, {part}")

    def _split(self, index: str, count: str) -> tuple[str, str]:
        return self.let(f"sdiv i64 {index}, {count}"), self.let(f"srem i64 {index}, {count}")

    def _clip(self, size: str, start: str, block: str) -> str:
        return self.let(
            f"call i64 @llvm.smin.i64(i64 {self.let(f'sub i64 {size}, {start}')}, i64 {block})"
        )

    def _moved(self, pointer: str, *steps: tuple[str, str]) -> str:
        return self.at(
            pointer, *[self.let(f"mul i64 {index}, {stride}") for index, stride in steps]
        )

    # vectors

    def _load(self, pointer: str) -> str:
        return self.let(f"load {self.vector}, ptr {pointer}, align {self.size}")

    def _load_where(self, mask: str, pointer: str) -> str:
        """Zero, and no access to memory, in the lanes where `mask` is not set."""
        v, n = self.vector, self.lanes
        return self.let(
            f"call {v} @llvm.masked.load.{self.suffix}.p0(ptr align {self.size} {pointer}, "
            f"<{n} x i1> {mask}, {v} zeroinitializer)"
        )

    def _put(self, pointer: str, value: str) -> None:
        self.do(f"store {self.vector} {value}, ptr {pointer}, align {self.size}")

    def _splat(self, pointer: str) -> str:
        value = self.let(f"load {self.element}, ptr {pointer}, align {self.size}")
        single = self.let(f"insertelement {self.vector} poison, {self.element} {value}, i64 0")
        return self.let(
            f"shufflevector {self.vector} {single}, {self.vector} poison, <{self.lanes} x i32> zeroinitializer"
        )

    def _multiply_add(self, x: str, y: str, z: str) -> str:
        v = self.vector
        if self.has_fma:
            return self.let(f"call {v} @llvm.fma.{self.suffix}({v} {x}, {v} {y}, {v} {z})")
        return self.let(f"fadd {v} {self.let(f'fmul {v} {x}, {y}')}, {z}")

    def _mask(self, columns: str) -> str:
        """The lanes below `columns`."""
        n = self.lanes
        single = self.let(f"insertelement <{n} x i64> poison, i64 {columns}, i64 0")
        limit = self.let(
            f"shufflevector <{n} x i64> {single}, <{n} x i64> poison, <{n} x i32> zeroinitializer"
        )
        lanes = ", ".join(f"i64 {lane}" for lane in range(n))
        return self.let(f"icmp slt <{n} x i64> <{lanes}>, {limit}")
