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
  %digits = load i64, ptr %table
  %radices = getelementptr i64, ptr %table, i64 1
  %scratch.at.p = getelementptr i64, ptr %radices, i64 %digits
  %scratch.at = load i64, ptr %scratch.at.p
  %all.p = getelementptr i64, ptr %scratch.at.p, i64 1
  %all = load i64, ptr %all.p
  %first = getelementptr i64, ptr %scratch.at.p, i64 2
  %words = add i64 %digits, 3
  %inner = getelementptr i8, ptr %scratch, i64 %scratch.at
  br label %slabs
slabs:
  %slab = phi i64 [ %begin, %entry ], [ %slab.next, %slab.done ]
  %more = icmp slt i64 %slab, %end
  br i1 %more, label %groups, label %done
groups:
  %group = phi i64 [ 0, %slabs ], [ %group.next, %group.done ]
  %group.p = phi ptr [ %first, %slabs ], [ %part, %group.done ]
  %some.group = icmp ult i64 %group, %all
  br i1 %some.group, label %begin.group, label %slab.done
begin.group:
  %count = load i64, ptr %group.p
  %parts.p = getelementptr i64, ptr %group.p, i64 1
  %parts = load i64, ptr %parts.p
  %first.part = getelementptr i64, ptr %group.p, i64 2
  br label %round.begin
round.begin:
  %round = phi i64 [ 0, %begin.group ], [ %round.next, %round.done ]
  br label %look
look:
  %number = phi i64 [ 0, %round.begin ], [ %number.next, %call ]
  %part = phi ptr [ %first.part, %round.begin ], [ %part.next, %call ]
  %another = icmp ult i64 %number, %parts
  br i1 %another, label %begin.part, label %round.done
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
  br i1 %some, label %begin.pointer, label %call
begin.pointer:
  %word = mul i64 %index, %words
  %place.p = getelementptr i64, ptr %pointers.at, i64 %word
  %offset.p = getelementptr i64, ptr %place.p, i64 1
  %advances = getelementptr i64, ptr %place.p, i64 2
  %step.p = getelementptr i64, ptr %advances, i64 %digits
  %place = load i64, ptr %place.p
  %offset = load i64, ptr %offset.p
  %step = load i64, ptr %step.p
  %is.scratch = icmp slt i64 %place, 0
  %buffer.index = select i1 %is.scratch, i64 0, i64 %place
  %buffer.p = getelementptr ptr, ptr %buffers, i64 %buffer.index
  %buffer = load ptr, ptr %buffer.p
  %base = select i1 %is.scratch, ptr %scratch, ptr %buffer
  %stepped = mul i64 %round, %step
  %start = add i64 %offset, %stepped
  br label %digit
digit:
  %left = phi i64 [ %digits, %begin.pointer ], [ %at, %move ]
  %rest = phi i64 [ %slab, %begin.pointer ], [ %rest.next, %move ]
  %gone = phi i64 [ %start, %begin.pointer ], [ %gone.next, %move ]
  %is.digit = icmp ne i64 %left, 0
  br i1 %is.digit, label %move, label %store
move:
  %at = sub i64 %left, 1
  %radix.p = getelementptr i64, ptr %radices, i64 %at
  %radix = load i64, ptr %radix.p
  %advance.p = getelementptr i64, ptr %advances, i64 %at
  %advance = load i64, ptr %advance.p
  %value = urem i64 %rest, %radix
  %rest.next = udiv i64 %rest, %radix
  %moved = mul i64 %value, %advance
  %gone.next = add i64 %gone, %moved
  br label %digit
store:
  %pointer = getelementptr i8, ptr %base, i64 %gone
  %pointer.p = getelementptr ptr, ptr %scratch, i64 %index
  store ptr %pointer, ptr %pointer.p
  %index.next = add i64 %index, 1
  br label %point
call:
  %pointer.words = mul i64 %pointers, %words
  %sizes.at = getelementptr i64, ptr %pointers.at, i64 %pointer.words
  %kernel.p = getelementptr ptr, ptr %kernels, i64 %kernel.number
  %kernel = load ptr, ptr %kernel.p
  call void %kernel(ptr %context, ptr %scratch, ptr %sizes.at, i64 0, i64 %tasks, ptr %inner)
  %part.next = getelementptr i64, ptr %sizes.at, i64 %sizes
  %number.next = add i64 %number, 1
  br label %look
round.done:
  %round.next = add i64 %round, 1
  %again = icmp ult i64 %round.next, %count
  br i1 %again, label %round.begin, label %group.done
group.done:
  %group.next = add i64 %group, 1
  br label %groups
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
