"""The pool of memory, buffers over it, and NumPy's handler that gives memory back to it, as LLVM IR. All of it needs the GIL.

Free blocks are lists by size class, whose links lie in the blocks themselves. A size is rounded up to one of four classes to each
doubling, as `tracejit.runtime.pool.size_class` does.

A buffer is an object: address, bytes asked for, bytes of its block, weak references (`BUFFER_*`).
"""

from __future__ import annotations

import sys

BUFFER_ADDRESS, BUFFER_NBYTES, BUFFER_BLOCK, BUFFER_WEAK, BUFFER_BYTES = 16, 24, 32, 40, 48

LIMIT, IN_USE, CACHED, ALLOCATIONS, REUSES, PEAK = range(6)
"""Words of the pool: the most bytes that it keeps, bytes handed out and kept, blocks made and reused, most bytes handed out."""
CLASSES = 512
_LISTS = 8
"""The word at which the heads of the lists begin."""
WORDS = _LISTS + CLASSES

POOL = f"@tracejit_pool = global [{WORDS} x i64] zeroinitializer, align 64\n"

_IR = r"""
declare ptr @aligned_alloc(i64, i64)
declare void @free(ptr)
declare i64 @llvm.ctlz.i64(i64, i1)
declare i64 @llvm.smax.i64(i64, i64)
declare i64 @llvm.umax.i64(i64, i64)
declare i64 @llvm.umin.i64(i64, i64)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)

define internal i64 @bits(i64 %n) {
  %below = sub i64 %n, 1
  %some = call i64 @llvm.smax.i64(i64 %below, i64 1)
  %zeros = call i64 @llvm.ctlz.i64(i64 %some, i1 true)
  %bits = sub i64 64, %zeros
  ret i64 %bits
}

; How far the sizes of blocks are apart that are as large as this.
define internal i64 @step_of(i64 %n) {
  %bits = call i64 @bits(i64 %n)
  %power = shl i64 1, %bits
  %eighth = lshr i64 %power, 3
  %step = call i64 @llvm.umax.i64(i64 %eighth, i64 64)
  ret i64 %step
}

define i64 @tracejit_block_bytes(i64 %n) {
  %step = call i64 @step_of(i64 %n)
  %some = call i64 @llvm.umax.i64(i64 %n, i64 1)
  %up = add i64 %some, %step
  %up.1 = sub i64 %up, 1
  %mask = sub i64 0, %step
  %bytes = and i64 %up.1, %mask
  ret i64 %bytes
}

define internal ptr @list_of(i64 %bytes) {
  %bits = call i64 @bits(i64 %bytes)
  %many = call i64 @llvm.umax.i64(i64 %bits, i64 3)
  %shift = sub i64 %many, 3
  %below = sub i64 %bytes, 1
  %high = lshr i64 %below, %shift
  %part = and i64 %high, 7
  %row = shl i64 %bits, 3
  %sum = add i64 %row, %part
  %class = call i64 @llvm.umin.i64(i64 %sum, i64 {LAST_CLASS})
  %word = add i64 %class, {LISTS}
  %list = getelementptr i64, ptr @tracejit_pool, i64 %word
  ret ptr %list
}

define internal void @count(i64 %word, i64 %change) {
  %p = getelementptr i64, ptr @tracejit_pool, i64 %word
  %old = load i64, ptr %p
  %new = add i64 %old, %change
  store i64 %new, ptr %p
  ret void
}

; A block of a size that `tracejit_block_bytes` gives; null where there is no memory.
define ptr @tracejit_take(i64 %bytes) {
entry:
  %list = call ptr @list_of(i64 %bytes)
  %head = load ptr, ptr %list
  %none = icmp eq ptr %head, null
  br i1 %none, label %new, label %reuse
reuse:
  %next = load ptr, ptr %head
  store ptr %next, ptr %list
  %less = sub i64 0, %bytes
  call void @count(i64 {CACHED}, i64 %less)
  call void @count(i64 {REUSES}, i64 1)
  br label %found
new:
  call void @count(i64 {ALLOCATIONS}, i64 1)
  %fresh = call ptr @aligned_alloc(i64 64, i64 %bytes)
  %failed = icmp eq ptr %fresh, null
  br i1 %failed, label %again, label %found
again:
  call void @tracejit_empty()
  %last = call ptr @aligned_alloc(i64 64, i64 %bytes)
  %gone = icmp eq ptr %last, null
  br i1 %gone, label %no, label %found
no:
  ret ptr null
found:
  %block = phi ptr [ %head, %reuse ], [ %fresh, %new ], [ %last, %again ]
  call void @count(i64 {IN_USE}, i64 %bytes)
  %used.p = getelementptr i64, ptr @tracejit_pool, i64 {IN_USE}
  %used = load i64, ptr %used.p
  %peak.p = getelementptr i64, ptr @tracejit_pool, i64 {PEAK}
  %peak = load i64, ptr %peak.p
  %most = call i64 @llvm.umax.i64(i64 %used, i64 %peak)
  store i64 %most, ptr %peak.p
  ret ptr %block
}

; Takes a block back; nothing may be able to see it any more.
define void @tracejit_give(ptr %block, i64 %bytes) {
entry:
  %less = sub i64 0, %bytes
  call void @count(i64 {IN_USE}, i64 %less)
  %limit = load i64, ptr @tracejit_pool
  %fits = icmp ule i64 %bytes, %limit
  br i1 %fits, label %keep, label %drop
drop:
  call void @free(ptr %block)
  ret void
keep:
  %list = call ptr @list_of(i64 %bytes)
  %head = load ptr, ptr %list
  store ptr %head, ptr %block
  store ptr %block, ptr %list
  call void @count(i64 {CACHED}, i64 %bytes)
  %cached.p = getelementptr i64, ptr @tracejit_pool, i64 {CACHED}
  %cached = load i64, ptr %cached.p
  %many = icmp ugt i64 %cached, %limit
  br i1 %many, label %trim, label %end
trim:
  ; What was given last is asked for next.
  store ptr null, ptr %list
  call void @shrink(i64 %limit)
  store ptr %block, ptr %list
  call void @shrink(i64 %limit)
  br label %end
end:
  ret void
}

define void @tracejit_empty() {
  call void @shrink(i64 0)
  ret void
}

; Frees kept blocks until no more than so many bytes are kept, or no list has any.
define internal void @shrink(i64 %limit) {
entry:
  %cached.p = getelementptr i64, ptr @tracejit_pool, i64 {CACHED}
  br label %class
class:
  %number = phi i64 [ {LISTS}, %entry ], [ %number.next, %end.of.list ]
  %valid = icmp ult i64 %number, {WORDS}
  br i1 %valid, label %look, label %done
look:
  %list = getelementptr i64, ptr @tracejit_pool, i64 %number
  %head = load ptr, ptr %list
  %none = icmp eq ptr %head, null
  %cached = load i64, ptr %cached.p
  %few = icmp ule i64 %cached, %limit
  %enough = or i1 %none, %few
  br i1 %enough, label %end.of.list, label %free
free:
  %next = load ptr, ptr %head
  store ptr %next, ptr %list
  %part = sub i64 %number, {LISTS}
  %bytes = call i64 @class_bytes(i64 %part)
  %less = sub i64 0, %bytes
  call void @count(i64 {CACHED}, i64 %less)
  call void @free(ptr %head)
  br label %look
end.of.list:
  %number.next = add i64 %number, 1
  br label %class
done:
  ret void
}

; The inverse of `list_of`.
define internal i64 @class_bytes(i64 %class) {
  %bits = lshr i64 %class, 3
  %part = and i64 %class, 7
  %many = call i64 @llvm.umax.i64(i64 %bits, i64 3)
  %shift = sub i64 %many, 3
  %next = add i64 %part, 1
  %bytes = shl i64 %next, %shift
  ret i64 %bytes
}

; Buffers

declare ptr @PyType_GenericAlloc(ptr, i64)
declare void @PyObject_ClearWeakRefs(ptr)
declare ptr @PyErr_NoMemory()
declare i32 @PyBuffer_FillInfo(ptr, ptr, ptr, i64, i32, i32)
declare void @PyObject_Free(ptr)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare i64 @PyLong_AsSsize_t(ptr)
declare ptr @PyErr_Occurred()

@tracejit_buffer_type = global ptr null

define ptr @tracejit_new_buffer(i64 %nbytes) {
entry:
  %bytes = call i64 @tracejit_block_bytes(i64 %nbytes)
  %block = call ptr @tracejit_take(i64 %bytes)
  %failed = icmp eq ptr %block, null
  br i1 %failed, label %no, label %make
no:
  %raised = call ptr @PyErr_NoMemory()
  ret ptr null
make:
  %type = load ptr, ptr @tracejit_buffer_type
  %made = call ptr @PyType_GenericAlloc(ptr %type, i64 0)
  %bad = icmp eq ptr %made, null
  br i1 %bad, label %undo, label %fill
undo:
  call void @tracejit_give(ptr %block, i64 %bytes)
  ret ptr null
fill:
  %address.p = getelementptr i8, ptr %made, i64 {BUFFER_ADDRESS}
  %nbytes.p = getelementptr i8, ptr %made, i64 {BUFFER_NBYTES}
  %block.p = getelementptr i8, ptr %made, i64 {BUFFER_BLOCK}
  store ptr %block, ptr %address.p
  store i64 %nbytes, ptr %nbytes.p
  store i64 %bytes, ptr %block.p
  ret ptr %made
}

; allocate(class, nbytes)
define ptr @tracejit_allocate(ptr %self, ptr %args, i64 %count) {
  %n.p = getelementptr ptr, ptr %args, i64 0
  %n = load ptr, ptr %n.p
  %nbytes = call i64 @PyLong_AsSsize_t(ptr %n)
  %negative = icmp slt i64 %nbytes, 0
  br i1 %negative, label %refuse, label %make
refuse:
  %error = call ptr @PyErr_Occurred()
  %raised = icmp ne ptr %error, null
  br i1 %raised, label %end, label %no
no:
  %none = call ptr @PyErr_NoMemory()
  br label %end
end:
  ret ptr null
make:
  %made = call ptr @tracejit_new_buffer(i64 %nbytes)
  ret ptr %made
}

define void @tracejit_free_buffer(ptr %self) {
entry:
  %weak.p = getelementptr i8, ptr %self, i64 {BUFFER_WEAK}
  %weak = load ptr, ptr %weak.p
  %has.weak = icmp ne ptr %weak, null
  br i1 %has.weak, label %clear, label %give
clear:
  call void @PyObject_ClearWeakRefs(ptr %self)
  br label %give
give:
  %address.p = getelementptr i8, ptr %self, i64 {BUFFER_ADDRESS}
  %block.p = getelementptr i8, ptr %self, i64 {BUFFER_BLOCK}
  %address = load ptr, ptr %address.p
  %bytes = load i64, ptr %block.p
  %empty = icmp eq i64 %bytes, 0
  br i1 %empty, label %free, label %back
back:
  call void @tracejit_give(ptr %address, i64 %bytes)
  br label %free
free:
  %type.p = getelementptr i8, ptr %self, i64 8
  %type = load ptr, ptr %type.p
  call void @PyObject_Free(ptr %self)
  call void @Py_DecRef(ptr %type)
  ret void
}

define i32 @tracejit_export_buffer(ptr %self, ptr %view, i32 %flags) {
  %address.p = getelementptr i8, ptr %self, i64 {BUFFER_ADDRESS}
  %nbytes.p = getelementptr i8, ptr %self, i64 {BUFFER_NBYTES}
  %address = load ptr, ptr %address.p
  %nbytes = load i64, ptr %nbytes.p
  %result = call i32 @PyBuffer_FillInfo(ptr %view, ptr %self, ptr %address, i64 %nbytes, i32 0, i32 %flags)
  ret i32 %result
}

; NumPy's handler for arrays whose memory is the pool's.

declare i64 @{USABLE}(ptr)

define ptr @tracejit_handler_malloc(ptr %context, i64 %n) {
  %bytes = call i64 @tracejit_block_bytes(i64 %n)
  %block = call ptr @tracejit_take(i64 %bytes)
  ret ptr %block
}

define ptr @tracejit_handler_calloc(ptr %context, i64 %count, i64 %size) {
entry:
  %n = mul i64 %count, %size
  %block = call ptr @tracejit_handler_malloc(ptr %context, i64 %n)
  %failed = icmp eq ptr %block, null
  br i1 %failed, label %end, label %zero
zero:
  call void @llvm.memset.p0.i64(ptr %block, i8 0, i64 %n, i1 false)
  br label %end
end:
  ret ptr %block
}

define void @tracejit_handler_free(ptr %context, ptr %block, i64 %n) {
  %bytes = call i64 @tracejit_block_bytes(i64 %n)
  call void @tracejit_give(ptr %block, i64 %bytes)
  ret void
}

; For `resize`, which does not say how large the array was: what the block can hold is the largest size that fits in it.
define ptr @tracejit_handler_realloc(ptr %context, ptr %block, i64 %n) {
entry:
  %made = call ptr @tracejit_handler_malloc(ptr %context, i64 %n)
  %failed = icmp eq ptr %made, null
  br i1 %failed, label %end, label %copy
copy:
  %usable = call i64 @{USABLE}(ptr %block)
  %beyond = add i64 %usable, 1
  %above = call i64 @tracejit_block_bytes(i64 %beyond)
  %step = call i64 @step_of(i64 %beyond)
  %bytes = sub i64 %above, %step
  %kept = call i64 @llvm.umin.i64(i64 %bytes, i64 %n)
  call void @llvm.memcpy.p0.p0.i64(ptr %made, ptr %block, i64 %kept, i1 false)
  call void @tracejit_give(ptr %block, i64 %bytes)
  br label %end
end:
  ret ptr %made
}
"""


def memory_ir() -> str:
    text = POOL + _IR
    values = {
        "BUFFER_ADDRESS": BUFFER_ADDRESS,
        "BUFFER_NBYTES": BUFFER_NBYTES,
        "BUFFER_BLOCK": BUFFER_BLOCK,
        "BUFFER_WEAK": BUFFER_WEAK,
        "USABLE": "malloc_usable_size" if sys.platform == "linux" else "malloc_size",
        "LISTS": _LISTS,
        "LAST_CLASS": CLASSES - 1,
        "WORDS": WORDS,
        "IN_USE": IN_USE,
        "CACHED": CACHED,
        "ALLOCATIONS": ALLOCATIONS,
        "REUSES": REUSES,
        "PEAK": PEAK,
    }
    for name, value in values.items():
        text = text.replace("{" + name + "}", str(value))
    return text
