"""Memory of a GPU, and launches of graphs, as LLVM IR. All of it needs the GIL.

What a device has are words (`IN_USE` and so on): counters, functions of the driver, and the heads of lists of free memory by size
class. A size is rounded up to one of sixteen classes to each doubling.

A piece of memory is an object: its address, bytes, the words of its device, and the next one in a list (`MEMORY_*`). One that
nobody holds any more goes to its list as it is, and is handed out again from there. That asks nothing of the driver, so any
thread may let go of memory, in a forked child as well.

A program is words, too (`PROGRAM_*`), with its graphs and the addresses that each is for.
"""

from __future__ import annotations

from tracejit.runtime.cpu.native.references import references_ir

MEMORY_ADDRESS, MEMORY_NBYTES, MEMORY_DEVICE, MEMORY_NEXT, MEMORY_BYTES = 16, 24, 32, 40, 48

IN_USE, CACHED, ALLOCATIONS, REUSES, PEAK = range(5)
"""Words of a device that count: bytes handed out and kept, pieces made and reused, most bytes handed out."""
TYPE, ENTER, COPIER, CONTEXT, STREAM = range(5, 10)
"""The class of memory, what makes the device this thread's current one, what copies within it or says why not, and handles."""
ALLOCATE, FREE, CURRENT, CHANGE, COPY, COPY_WITHIN, LAUNCH = range(10, 17)
"""Functions of the driver."""
DRIVER = (
    "cuMemAlloc_v2", "cuMemFree_v2", "cuCtxGetCurrent", "cuCtxSetCurrent", "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoDAsync_v2", "cuGraphLaunch",
)  # fmt: skip
"""Their names."""
_LISTS, _CLASSES = 24, 64 * 32
DEVICE_WORDS = _LISTS + _CLASSES

PROGRAM_DEVICE, PROGRAM_MISSED, PROGRAM_COUNT = range(3)
"""The words of its device, what is called where there is no graph, and how many addresses a run has."""
PROGRAM_NUMBERS, PROGRAM_NUMBERS_AT, PROGRAM_KNOWN, PROGRAM_IS_KNOWN = range(3, 7)
"""The bytes of its numbers, where they are on the device, and where those are that have been sent there last, if they have."""
PROGRAM_GRAPHS, PROGRAM_FIRST = 7, 8
"""How many graphs there are, and the first: the graph, then the addresses that it is for."""

SYMBOLS = (
    "tracejit_device_take", "tracejit_device_give", "tracejit_device_allocate",
    "tracejit_device_empty", "tracejit_device_run", "tracejit_device_copy",
)  # fmt: skip

_IR = r"""
declare i64 @llvm.ctlz.i64(i64, i1)
declare i64 @llvm.umax.i64(i64, i64)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare i32 @memcmp(ptr, ptr, i64)
declare ptr @PyType_GenericAlloc(ptr, i64)
declare void @PyObject_Free(ptr)
declare ptr @PyObject_CallNoArgs(ptr)
declare ptr @PyObject_CallFunction(ptr, ptr, ...)
declare i64 @PyLong_AsSsize_t(ptr)
declare ptr @PyErr_Occurred()
@_Py_TrueStruct = external global i8
@_Py_NoneStruct = external global i8
@missed.format = private constant [4 x i8] c"LLi\00"
@copier.format = private constant [4 x i8] c"LLL\00"

; How many bits a size below this has.
define internal i64 @bits(i64 %n) {
  %below = sub i64 %n, 1
  %some = call i64 @llvm.umax.i64(i64 %below, i64 1)
  %zeros = call i64 @llvm.ctlz.i64(i64 %some, i1 true)
  %bits = sub i64 64, %zeros
  ret i64 %bits
}

define internal i64 @piece_bytes(i64 %n) {
  %some = call i64 @llvm.umax.i64(i64 %n, i64 1)
  %bits = call i64 @bits(i64 %some)
  %power = shl i64 1, %bits
  %part = lshr i64 %power, 5
  %step = call i64 @llvm.umax.i64(i64 %part, i64 1)
  %up = add i64 %some, %step
  %up.1 = sub i64 %up, 1
  %mask = sub i64 0, %step
  %bytes = and i64 %up.1, %mask
  ret i64 %bytes
}

define internal ptr @list_of(ptr %device, i64 %bytes) {
  %bits = call i64 @bits(i64 %bytes)
  %many = call i64 @llvm.umax.i64(i64 %bits, i64 5)
  %shift = sub i64 %many, 5
  %below = sub i64 %bytes, 1
  %high = lshr i64 %below, %shift
  %part = and i64 %high, 31
  %row = shl i64 %bits, 5
  %class = add i64 %row, %part
  %word = add i64 %class, {LISTS}
  %list = getelementptr i64, ptr %device, i64 %word
  ret ptr %list
}

define internal void @count(ptr %device, i64 %word, i64 %change) {
  %p = getelementptr i64, ptr %device, i64 %word
  %old = load i64, ptr %p
  %new = add i64 %old, %change
  store i64 %new, ptr %p
  ret void
}

define internal ptr @word(ptr %words, i64 %place) {
  %p = getelementptr i64, ptr %words, i64 %place
  %found = load ptr, ptr %p
  ret ptr %found
}

; Has this thread's current device be this one; false with an exception where it cannot be. A thread that has none asks Python.
define internal i1 @entered(ptr %device) {
entry:
  %now = alloca ptr
  store ptr null, ptr %now
  %current = call ptr @word(ptr %device, i64 {CURRENT})
  %status = call i32 %current(ptr %now)
  %context = call ptr @word(ptr %device, i64 {CONTEXT})
  %there = load ptr, ptr %now
  %same = icmp eq ptr %there, %context
  %fine = icmp eq i32 %status, 0
  %is.here = and i1 %same, %fine
  br i1 %is.here, label %yes, label %look
look:
  %some = icmp ne ptr %there, null
  %is.other = and i1 %some, %fine
  br i1 %is.other, label %change, label %ask
change:
  %set = call ptr @word(ptr %device, i64 {CHANGE})
  %status.set = call i32 %set(ptr %context)
  %is.set = icmp eq i32 %status.set, 0
  br i1 %is.set, label %yes, label %ask
ask:
  %enter = call ptr @word(ptr %device, i64 {ENTER})
  %done = call ptr @PyObject_CallNoArgs(ptr %enter)
  %failed = icmp eq ptr %done, null
  br i1 %failed, label %no, label %drop
drop:
  call void @let_go(ptr %done)
  br label %yes
no:
  ret i1 false
yes:
  ret i1 true
}

; A new reference to memory; null where there is none, with an exception where something else is wrong than that.
define ptr @tracejit_device_take(ptr %device, i64 %nbytes) {
entry:
  %address = alloca i64
  %bytes = call i64 @piece_bytes(i64 %nbytes)
  %list = call ptr @list_of(ptr %device, i64 %bytes)
  %head = load ptr, ptr %list
  %none = icmp eq ptr %head, null
  br i1 %none, label %new, label %reuse
reuse:
  %next.p = getelementptr i8, ptr %head, i64 {MEMORY_NEXT}
  %next = load ptr, ptr %next.p
  store ptr %next, ptr %list
  %less = sub i64 0, %bytes
  call void @count(ptr %device, i64 {CACHED}, i64 %less)
  call void @count(ptr %device, i64 {REUSES}, i64 1)
  store i64 1, ptr %head
  br label %found
new:
  %is.here = call i1 @entered(ptr %device)
  br i1 %is.here, label %allocate, label %no
allocate:
  %function = call ptr @word(ptr %device, i64 {ALLOCATE})
  %status = call i32 %function(ptr %address, i64 %bytes)
  %fine = icmp eq i32 %status, 0
  br i1 %fine, label %make, label %again
again:
  call void @tracejit_device_empty(ptr %device)
  %status.again = call i32 %function(ptr %address, i64 %bytes)
  %fine.again = icmp eq i32 %status.again, 0
  br i1 %fine.again, label %make, label %no
make:
  %there = load i64, ptr %address
  %type = call ptr @word(ptr %device, i64 {TYPE})
  %made = call ptr @PyType_GenericAlloc(ptr %type, i64 0)
  %bad = icmp eq ptr %made, null
  br i1 %bad, label %undo, label %fill
undo:
  %free = call ptr @word(ptr %device, i64 {FREE})
  %freed = call i32 %free(i64 %there)
  br label %no
fill:
  %address.p = getelementptr i8, ptr %made, i64 {MEMORY_ADDRESS}
  %bytes.p = getelementptr i8, ptr %made, i64 {MEMORY_NBYTES}
  %device.p = getelementptr i8, ptr %made, i64 {MEMORY_DEVICE}
  store i64 %there, ptr %address.p
  store i64 %bytes, ptr %bytes.p
  store ptr %device, ptr %device.p
  call void @count(ptr %device, i64 {ALLOCATIONS}, i64 1)
  br label %found
found:
  %memory = phi ptr [ %head, %reuse ], [ %made, %fill ]
  call void @count(ptr %device, i64 {IN_USE}, i64 %bytes)
  %used.p = getelementptr i64, ptr %device, i64 {IN_USE}
  %used = load i64, ptr %used.p
  %peak.p = getelementptr i64, ptr %device, i64 {PEAK}
  %peak = load i64, ptr %peak.p
  %most = call i64 @llvm.umax.i64(i64 %used, i64 %peak)
  store i64 %most, ptr %peak.p
  ret ptr %memory
no:
  ret ptr null
}

; Nobody holds the memory any more.
define void @tracejit_device_give(ptr %memory) {
  %bytes.p = getelementptr i8, ptr %memory, i64 {MEMORY_NBYTES}
  %device.p = getelementptr i8, ptr %memory, i64 {MEMORY_DEVICE}
  %next.p = getelementptr i8, ptr %memory, i64 {MEMORY_NEXT}
  %bytes = load i64, ptr %bytes.p
  %device = load ptr, ptr %device.p
  %less = sub i64 0, %bytes
  call void @count(ptr %device, i64 {IN_USE}, i64 %less)
  call void @count(ptr %device, i64 {CACHED}, i64 %bytes)
  %list = call ptr @list_of(ptr %device, i64 %bytes)
  %head = load ptr, ptr %list
  store ptr %head, ptr %next.p
  store ptr %memory, ptr %list
  ret void
}

; allocate(device, nbytes): memory, or None where there is none.
define ptr @tracejit_device_allocate(ptr %self, ptr %args, i64 %count) {
entry:
  %first = load ptr, ptr %args
  %second.p = getelementptr ptr, ptr %args, i64 1
  %second = load ptr, ptr %second.p
  %device.i = call i64 @PyLong_AsSsize_t(ptr %first)
  %nbytes = call i64 @PyLong_AsSsize_t(ptr %second)
  %device = inttoptr i64 %device.i to ptr
  %found = call ptr @tracejit_device_take(ptr %device, i64 %nbytes)
  %none = icmp eq ptr %found, null
  br i1 %none, label %ask, label %end
ask:
  %error = call ptr @PyErr_Occurred()
  %raised = icmp ne ptr %error, null
  br i1 %raised, label %end, label %say
say:
  call void @retain(ptr @_Py_NoneStruct)
  br label %end
end:
  %result = phi ptr [ %found, %entry ], [ null, %ask ], [ @_Py_NoneStruct, %say ]
  ret ptr %result
}

; Gives all memory that nobody holds back to the driver; the device is the thread's current one.
define void @tracejit_device_empty(ptr %device) {
entry:
  %free = call ptr @word(ptr %device, i64 {FREE})
  %type = call ptr @word(ptr %device, i64 {TYPE})
  br label %class
class:
  %number = phi i64 [ {LISTS}, %entry ], [ %number.next, %end.of.list ]
  %valid = icmp ult i64 %number, {WORDS}
  br i1 %valid, label %look, label %done
look:
  %list = getelementptr i64, ptr %device, i64 %number
  %head = load ptr, ptr %list
  %none = icmp eq ptr %head, null
  br i1 %none, label %end.of.list, label %drop
drop:
  %next.p = getelementptr i8, ptr %head, i64 {MEMORY_NEXT}
  %next = load ptr, ptr %next.p
  store ptr %next, ptr %list
  %address.p = getelementptr i8, ptr %head, i64 {MEMORY_ADDRESS}
  %address = load i64, ptr %address.p
  %freed = call i32 %free(i64 %address)
  %bytes.p = getelementptr i8, ptr %head, i64 {MEMORY_NBYTES}
  %bytes = load i64, ptr %bytes.p
  %less = sub i64 0, %bytes
  call void @count(ptr %device, i64 {CACHED}, i64 %less)
  call void @PyObject_Free(ptr %head)
  call void @let_go(ptr %type)
  br label %look
end.of.list:
  %number.next = add i64 %number, 1
  br label %class
done:
  ret void
}

; Enqueues a run of a program on these addresses with these numbers; false with an exception where it cannot be done.
define i1 @tracejit_device_run(ptr %program, ptr %addresses, ptr %numbers) {
entry:
  %device = call ptr @word(ptr %program, i64 {PROGRAM_DEVICE})
  %is.here = call i1 @entered(ptr %device)
  br i1 %is.here, label %begin, label %no
begin:
  %count.p = getelementptr i64, ptr %program, i64 {PROGRAM_COUNT}
  %count = load i64, ptr %count.p
  %nbytes = shl i64 %count, 3
  %graph.bytes = add i64 %nbytes, 8
  br label %search
search:
  %graphs.p = getelementptr i64, ptr %program, i64 {PROGRAM_GRAPHS}
  %graphs = load i64, ptr %graphs.p
  br label %look
look:
  %place = phi i64 [ 0, %search ], [ %place.next, %other ]
  %more = icmp ult i64 %place, %graphs
  br i1 %more, label %compare, label %miss
compare:
  %far = mul i64 %place, %graph.bytes
  %first = getelementptr i64, ptr %program, i64 {PROGRAM_FIRST}
  %graph.p = getelementptr i8, ptr %first, i64 %far
  %known.p = getelementptr i8, ptr %graph.p, i64 8
  %differs = call i32 @memcmp(ptr %known.p, ptr %addresses, i64 %nbytes)
  %same = icmp eq i32 %differs, 0
  br i1 %same, label %send, label %other
other:
  %place.next = add i64 %place, 1
  br label %look
send:
  %sent = call i32 @sent(ptr %program, ptr %device, ptr %numbers)
  %is.sent = icmp eq i32 %sent, 0
  br i1 %is.sent, label %launch, label %miss
launch:
  %graph = load ptr, ptr %graph.p
  %function = call ptr @word(ptr %device, i64 {LAUNCH})
  %stream = call ptr @word(ptr %device, i64 {STREAM})
  %status = call i32 %function(ptr %graph, ptr %stream)
  %fine = icmp eq i32 %status, 0
  br i1 %fine, label %yes, label %miss
miss:
  %told = phi i32 [ 0, %look ], [ %sent, %send ], [ %status, %launch ]
  %missed = call ptr @word(ptr %program, i64 {PROGRAM_MISSED})
  %addresses.i = ptrtoint ptr %addresses to i64
  %numbers.i = ptrtoint ptr %numbers to i64
  %answer = call ptr (ptr, ptr, ...) @PyObject_CallFunction(
      ptr %missed, ptr @missed.format, i64 %addresses.i, i64 %numbers.i, i32 %told)
  %failed = icmp eq ptr %answer, null
  br i1 %failed, label %no, label %answered
answered:
  call void @let_go(ptr %answer)
  %again = icmp eq ptr %answer, @_Py_TrueStruct
  br i1 %again, label %search, label %yes
no:
  ret i1 false
yes:
  ret i1 true
}

; Enqueues a copy within a device; false with an exception where it cannot be done.
define i1 @tracejit_device_copy(ptr %device, i64 %target, i64 %source, i64 %nbytes) {
entry:
  %nothing = icmp eq i64 %nbytes, 0
  br i1 %nothing, label %yes, label %begin
begin:
  %is.here = call i1 @entered(ptr %device)
  br i1 %is.here, label %copy, label %no
copy:
  %function = call ptr @word(ptr %device, i64 {COPY_WITHIN})
  %stream = call ptr @word(ptr %device, i64 {STREAM})
  %status = call i32 %function(i64 %target, i64 %source, i64 %nbytes, ptr %stream)
  %fine = icmp eq i32 %status, 0
  br i1 %fine, label %yes, label %ask
ask:
  %copier = call ptr @word(ptr %device, i64 {COPIER})
  %answer = call ptr (ptr, ptr, ...) @PyObject_CallFunction(
      ptr %copier, ptr @copier.format, i64 %target, i64 %source, i64 %nbytes)
  %failed = icmp eq ptr %answer, null
  br i1 %failed, label %no, label %answered
answered:
  call void @let_go(ptr %answer)
  br label %yes
no:
  ret i1 false
yes:
  ret i1 true
}

; Has a program's numbers be on the device; what the driver says. Runs before this one, which are enqueued, read those before.
define internal i32 @sent(ptr %program, ptr %device, ptr %numbers) {
entry:
  %nbytes.p = getelementptr i64, ptr %program, i64 {PROGRAM_NUMBERS}
  %nbytes = load i64, ptr %nbytes.p
  %is.known.p = getelementptr i64, ptr %program, i64 {PROGRAM_IS_KNOWN}
  %is.known = load i64, ptr %is.known.p
  %known = call ptr @word(ptr %program, i64 {PROGRAM_KNOWN})
  %nothing = icmp eq i64 %nbytes, 0
  br i1 %nothing, label %fine, label %look
look:
  %some = icmp ne i64 %is.known, 0
  br i1 %some, label %compare, label %send
compare:
  %differs = call i32 @memcmp(ptr %known, ptr %numbers, i64 %nbytes)
  %same = icmp eq i32 %differs, 0
  br i1 %same, label %fine, label %send
send:
  call void @llvm.memcpy.p0.p0.i64(ptr %known, ptr %numbers, i64 %nbytes, i1 false)
  %address.p = getelementptr i64, ptr %program, i64 {PROGRAM_NUMBERS_AT}
  %address = load i64, ptr %address.p
  %stream = call ptr @word(ptr %device, i64 {STREAM})
  %copy = call ptr @word(ptr %device, i64 {COPY})
  %status = call i32 %copy(i64 %address, ptr %known, i64 %nbytes, ptr %stream)
  %done = icmp eq i32 %status, 0
  %now = zext i1 %done to i64
  store i64 %now, ptr %is.known.p
  ret i32 %status
fine:
  ret i32 0
}
"""


def native_ir() -> str:
    values = {
        "LISTS": _LISTS,
        "WORDS": DEVICE_WORDS,
        **{name: value for name, value in globals().items() if type(value) is int},
    }
    text = references_ir() + _IR
    for name, value in values.items():
        text = text.replace("{" + name + "}", str(value))
    return text
