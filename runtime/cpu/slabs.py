"""The kernel of `tracejit.runtime.slabs`, as LLVM IR."""

from __future__ import annotations

from tracejit.artifact import KernelSource
from tracejit.runtime.slabs import KERNEL

_TEXT = r"""
; dims: 0 calls, then the addresses of these kernels, then what `dims_of` has written.
define void @NAME(ptr %context, ptr %buffers, ptr %dims, i64 %begin, i64 %end, ptr %scratch) {
entry:
  %calls = load i64, ptr %dims
  %kernels = getelementptr i64, ptr %dims, i64 1
  %table = getelementptr ptr, ptr %kernels, i64 %calls
  %parts = load i64, ptr %table
  %scratch.at.p = getelementptr i64, ptr %table, i64 1
  %scratch.at = load i64, ptr %scratch.at.p
  %first = getelementptr i64, ptr %table, i64 2
  %inner = getelementptr i8, ptr %scratch, i64 %scratch.at
  br label %slabs
slabs:
  %slab = phi i64 [ %begin, %entry ], [ %slab.next, %slab.done ]
  %more = icmp slt i64 %slab, %end
  br i1 %more, label %look, label %done
look:
  %number = phi i64 [ 0, %slabs ], [ %number.next, %call ]
  %part = phi ptr [ %first, %slabs ], [ %part.next, %call ]
  %another = icmp ult i64 %number, %parts
  br i1 %another, label %begin.part, label %slab.done
begin.part:
  %kernel.number = load i64, ptr %part
  %tasks.p = getelementptr i64, ptr %part, i64 1
  %pointers.p = getelementptr i64, ptr %part, i64 2
  %sizes.p = getelementptr i64, ptr %part, i64 3
  %pointers.at = getelementptr i64, ptr %part, i64 4
  %tasks = load i64, ptr %tasks.p
  %pointers = load i64, ptr %pointers.p
  %sizes = load i64, ptr %sizes.p
  br label %point
point:
  %index = phi i64 [ 0, %begin.part ], [ %index.next, %store ]
  %some = icmp ult i64 %index, %pointers
  br i1 %some, label %store, label %call
store:
  %word = mul i64 %index, 3
  %place.p = getelementptr i64, ptr %pointers.at, i64 %word
  %offset.p = getelementptr i64, ptr %place.p, i64 1
  %advance.p = getelementptr i64, ptr %place.p, i64 2
  %place = load i64, ptr %place.p
  %offset = load i64, ptr %offset.p
  %advance = load i64, ptr %advance.p
  %is.scratch = icmp slt i64 %place, 0
  %buffer.index = select i1 %is.scratch, i64 0, i64 %place
  %buffer.p = getelementptr ptr, ptr %buffers, i64 %buffer.index
  %buffer = load ptr, ptr %buffer.p
  %base = select i1 %is.scratch, ptr %scratch, ptr %buffer
  %gone = mul i64 %slab, %advance
  %moved = add i64 %gone, %offset
  %pointer = getelementptr i8, ptr %base, i64 %moved
  %pointer.p = getelementptr ptr, ptr %scratch, i64 %index
  store ptr %pointer, ptr %pointer.p
  %index.next = add i64 %index, 1
  br label %point
call:
  %words = mul i64 %pointers, 3
  %sizes.at = getelementptr i64, ptr %pointers.at, i64 %words
  %kernel.p = getelementptr ptr, ptr %kernels, i64 %kernel.number
  %kernel = load ptr, ptr %kernel.p
  call void %kernel(ptr %context, ptr %scratch, ptr %sizes.at, i64 0, i64 %tasks, ptr %inner)
  %part.next = getelementptr i64, ptr %sizes.at, i64 %sizes
  %number.next = add i64 %number, 1
  br label %look
slab.done:
  %slab.next = add i64 %slab, 1
  br label %slabs
done:
  ret void
}
"""


def slabs_source() -> KernelSource:
    """The kernel that calls the others."""
    return KernelSource(KERNEL, _TEXT.replace("@NAME", f"@{KERNEL}"))
