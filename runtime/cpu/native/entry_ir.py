"""The callable whose calls native code takes first, as LLVM IR.

An entry is an object: the Python function that runs its calls, itself, what runs a call (a vectorcall function), and the address
of its ways, or 0 (`tracejit._native.entry` says where). Ways are:

    0 object to hold while they are in use  8 number of ways, then for each way
      code  constants  where the calls that have gone this way are counted

A way is `code(args, nargs, names, constants)`. It gives a new reference, null with an exception, or `MISS`, having done nothing.
What no way takes goes to `function(entry, ...)`, which is Python.
"""

from __future__ import annotations

from tracejit._native import abi
from tracejit._native.entry import ENTRY_FUNCTION, ENTRY_WAYS
from tracejit.runtime.cpu.native.references import references_ir

MISS = 1
"""No object has this address."""
HEAD_WORDS, WAY_WORDS = 2, 3
LARGE_ARRAY = 1 << 14
"""Bytes from which on an array's memory is the pool's: NumPy keeps small memory itself."""
FEW_ARGUMENTS = 256
"""So many are passed on over the stack."""

_IR = r"""
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
@_Py_NoneStruct = external global i8
declare i64 @PyTuple_Size(ptr)
declare ptr @PyMem_Malloc(i64)
declare void @PyMem_Free(ptr)

@tracejit_busy = global ptr null
@tracejit_watch = global ptr null

define ptr @tracejit_call(ptr %self, ptr %args, i64 %flags, ptr %names) {
entry:
  %ways.p = getelementptr i8, ptr %self, i64 {ENTRY_WAYS}
  %ways = load ptr, ptr %ways.p
  %none = icmp eq ptr %ways, null
  br i1 %none, label %dispatch, label %look.around
look.around:
  %busy = load ptr, ptr @tracejit_busy
  %recordings.p = getelementptr i8, ptr %busy, i64 {DICT_SIZE_AT}
  %recordings = load i64, ptr %recordings.p
  %recording = icmp ne i64 %recordings, 0
  br i1 %recording, label %dispatch, label %look.for.watchers
look.for.watchers:
  %watched = call i1 @watched()
  br i1 %watched, label %dispatch, label %prepare
prepare:
  %count = and i64 %flags, 9223372036854775807
  %owner = load ptr, ptr %ways
  call void @retain(ptr %owner)
  %number.p = getelementptr i64, ptr %ways, i64 1
  %number = load i64, ptr %number.p
  %first = getelementptr i64, ptr %ways, i64 {HEAD_WORDS}
  %last = mul i64 %number, {WAY_BYTES}
  %end = getelementptr i8, ptr %first, i64 %last
  br label %look
look:
  %way = phi ptr [ %first, %prepare ], [ %way.next, %next ]
  %more = icmp ne ptr %way, %end
  br i1 %more, label %try, label %miss
try:
  %constants.p = getelementptr i64, ptr %way, i64 1
  %code = load ptr, ptr %way
  %constants = load ptr, ptr %constants.p
  %result = call ptr %code(ptr %args, i64 %count, ptr %names, ptr %constants)
  %result.i = ptrtoint ptr %result to i64
  %missed = icmp eq i64 %result.i, {MISS}
  br i1 %missed, label %next, label %hit
next:
  %way.next = getelementptr i8, ptr %way, i64 {WAY_BYTES}
  br label %look
hit:
  %counter.p = getelementptr i64, ptr %way, i64 2
  %hits.p = load ptr, ptr %counter.p
  %hits = load i64, ptr %hits.p
  %hits.next = add i64 %hits, 1
  store i64 %hits.next, ptr %hits.p
  call void @let_go(ptr %owner)
  ret ptr %result
miss:
  call void @let_go(ptr %owner)
  br label %dispatch
dispatch:
  %slow = call ptr @with_self(ptr %self, ptr %args, i64 %flags, ptr %names)
  ret ptr %slow
}

; function(self, *args, **names)
define internal ptr @with_self(ptr %self, ptr %args, i64 %flags, ptr %names) {
entry:
  %positional = and i64 %flags, 9223372036854775807
  %bare = icmp eq ptr %names, null
  br i1 %bare, label %copy, label %named
named:
  %keywords = call i64 @PyTuple_Size(ptr %names)
  br label %copy
copy:
  %more = phi i64 [ 0, %entry ], [ %keywords, %named ]
  %all = add i64 %positional, %more
  %room = add i64 %all, 1
  %room.bytes = shl i64 %room, 3
  %is.few = icmp ult i64 %all, {FEW_ARGUMENTS}
  br i1 %is.few, label %few, label %many
few:
  %on.stack = alloca ptr, i64 %room
  br label %call
many:
  ; So many may not fit on the stack.
  %held = call ptr @PyMem_Malloc(i64 %room.bytes)
  %failed = icmp eq ptr %held, null
  br i1 %failed, label %refuse, label %call
refuse:
  %raised = call ptr @PyErr_NoMemory()
  ret ptr null
call:
  %given = phi ptr [ %on.stack, %few ], [ %held, %many ]
  store ptr %self, ptr %given
  %rest = getelementptr ptr, ptr %given, i64 1
  %bytes = shl i64 %all, 3
  call void @llvm.memcpy.p0.p0.i64(ptr %rest, ptr %args, i64 %bytes, i1 false)
  %count = add i64 %positional, 1
  %function.p = getelementptr i8, ptr %self, i64 {ENTRY_FUNCTION}
  %function = load ptr, ptr %function.p
  %result = call ptr @PyObject_Vectorcall(ptr %function, ptr %given, i64 %count, ptr %names)
  br i1 %is.few, label %end, label %free
free:
  call void @PyMem_Free(ptr %given)
  br label %end
end:
  ret ptr %result
}

; Whether somebody watches Python run, or it cannot be found out.
define internal i1 @watched() {
entry:
  %argument = alloca ptr
  %first = load ptr, ptr @tracejit_watch
  br label %look
look:
  %question = phi ptr [ %first, %entry ], [ %question.next, %no ]
  %function = load ptr, ptr %question
  %last = icmp eq ptr %function, null
  br i1 %last, label %free, label %ask
ask:
  %given.p = getelementptr i8, ptr %question, i64 8
  %given = load ptr, ptr %given.p
  store ptr %given, ptr %argument
  %alone = icmp eq ptr %given, null
  %count = select i1 %alone, i64 0, i64 1
  %answer = call ptr @PyObject_Vectorcall(ptr %function, ptr %argument, i64 %count, ptr null)
  %failed = icmp eq ptr %answer, null
  br i1 %failed, label %clear, label %compare
clear:
  call void @PyErr_Clear()
  ret i1 true
compare:
  call void @let_go(ptr %answer)
  %is.none = icmp eq ptr %answer, @_Py_NoneStruct
  br i1 %is.none, label %no, label %yes
no:
  %question.next = getelementptr i8, ptr %question, i64 16
  br label %look
yes:
  ret i1 true
free:
  ret i1 false
}

; run(launches, workspace): as `tracejit_run`, called from Python. A long run lets other threads of Python go on meanwhile.

@tracejit_run_function = global ptr null
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)

define ptr @tracejit_run_short(ptr %self, ptr %args, i64 %count) {
  %done = call i1 @run_given(ptr %args, i1 false)
  %result = select i1 %done, ptr @_Py_NoneStruct, ptr null
  ret ptr %result
}

define ptr @tracejit_run_long(ptr %self, ptr %args, i64 %count) {
  %done = call i1 @run_given(ptr %args, i1 true)
  %result = select i1 %done, ptr @_Py_NoneStruct, ptr null
  ret ptr %result
}

define internal i1 @run_given(ptr %args, i1 %long) {
entry:
  %first = load ptr, ptr %args
  %second.p = getelementptr ptr, ptr %args, i64 1
  %second = load ptr, ptr %second.p
  %launches.i = call i64 @PyLong_AsSsize_t(ptr %first)
  %workspace.i = call i64 @PyLong_AsSsize_t(ptr %second)
  %bad.launches = icmp sle i64 %launches.i, 0
  %bad.workspace = icmp sle i64 %workspace.i, 0
  %bad = or i1 %bad.launches, %bad.workspace
  br i1 %bad, label %refuse, label %go
refuse:
  %error = call ptr @PyErr_Occurred()
  %raised = icmp ne ptr %error, null
  br i1 %raised, label %no, label %raise
raise:
  call void @PyErr_BadInternalCall()
  br label %no
no:
  ret i1 false
go:
  %launches = inttoptr i64 %launches.i to ptr
  %workspace = inttoptr i64 %workspace.i to ptr
  %run = load ptr, ptr @tracejit_run_function
  br i1 %long, label %release, label %hold
hold:
  call void %run(ptr %launches, ptr %workspace)
  br label %done
release:
  %state = call ptr @PyEval_SaveThread()
  call void %run(ptr %launches, ptr %workspace)
  call void @PyEval_RestoreThread(ptr %state)
  br label %done
done:
  call void @retain(ptr @_Py_NoneStruct)
  ret i1 true
}

; What the ways share

declare void @PyErr_Clear()
declare void @PyErr_BadInternalCall()
declare i32 @PyErr_ExceptionMatches(ptr)
declare void @PyErr_Fetch(ptr, ptr, ptr)
declare void @PyErr_Restore(ptr, ptr, ptr)
declare void @PyErr_NormalizeException(ptr, ptr, ptr)
declare i32 @PyException_SetTraceback(ptr, ptr)
declare ptr @PyObject_CallFunctionObjArgs(ptr, ...)

@PyExc_Exception = external global ptr
@PyExc_LookupError = external global ptr
@tracejit_missing = private constant [38 x i8] c"what was there before is not any more\00"
declare void @PyErr_SetString(ptr, ptr)
@tracejit_new_array_function = global ptr null
@tracejit_array_type = global ptr null
@tracejit_handler = global ptr null

; What a way gives that goes no further, having done nothing: an exception that is no ordinary error goes on.
define ptr @tracejit_give_up() {
entry:
  %error = call ptr @PyErr_Occurred()
  %fine = icmp eq ptr %error, null
  br i1 %fine, label %miss, label %look
look:
  %class = load ptr, ptr @PyExc_Exception
  %ordinary = call i32 @PyErr_ExceptionMatches(ptr %class)
  %is.ordinary = icmp ne i32 %ordinary, 0
  br i1 %is.ordinary, label %clear, label %raise
clear:
  call void @PyErr_Clear()
  br label %miss
raise:
  ret ptr null
miss:
  ret ptr inttoptr (i64 {MISS} to ptr)
}

; Has `raiser(exception)` raise what the caller is to see; what is read and not there has raised nothing yet.
define void @tracejit_break_off(ptr %raiser) {
entry:
  %class = alloca ptr
  %value = alloca ptr
  %trace = alloca ptr
  %raised = call ptr @PyErr_Occurred()
  %none = icmp eq ptr %raised, null
  br i1 %none, label %missing, label %pass
missing:
  %kind = load ptr, ptr @PyExc_LookupError
  call void @PyErr_SetString(ptr %kind, ptr @tracejit_missing)
  br label %pass
pass:
  call void @PyErr_Fetch(ptr %class, ptr %value, ptr %trace)
  call void @PyErr_NormalizeException(ptr %class, ptr %value, ptr %trace)
  %error = load ptr, ptr %value
  %way = load ptr, ptr %trace
  %no.way = icmp eq ptr %way, null
  br i1 %no.way, label %raise, label %trace.it
trace.it:
  %traced = call i32 @PyException_SetTraceback(ptr %error, ptr %way)
  br label %raise
raise:
  %result = call ptr (ptr, ...) @PyObject_CallFunctionObjArgs(ptr %raiser, ptr %error, ptr null)
  call void @drop(ptr %result)
  %class.now = load ptr, ptr %class
  %trace.now = load ptr, ptr %trace
  call void @drop(ptr %error)
  call void @drop(ptr %class.now)
  call void @drop(ptr %trace.now)
  ret void
}

define internal void @drop(ptr %object) {
entry:
  %none = icmp eq ptr %object, null
  br i1 %none, label %end, label %free
free:
  call void @let_go(ptr %object)
  br label %end
end:
  ret void
}

declare i32 @PyDict_Next(ptr, ptr, ptr, ptr)
declare i64 @PyDict_Size(ptr)

; Whether a dict has these very objects as its keys, in this order.
define i1 @tracejit_has_keys(ptr %dict, ptr %keys, i64 %count) {
entry:
  %position = alloca i64
  %key = alloca ptr
  store i64 0, ptr %position
  %size = call i64 @PyDict_Size(ptr %dict)
  %as.many = icmp eq i64 %size, %count
  br i1 %as.many, label %look, label %no
look:
  %place = phi i64 [ 0, %entry ], [ %next, %same ]
  %more = icmp ult i64 %place, %count
  br i1 %more, label %load, label %yes
load:
  %found = call i32 @PyDict_Next(ptr %dict, ptr %position, ptr %key, ptr null)
  %some = icmp ne i32 %found, 0
  br i1 %some, label %compare, label %no
compare:
  %there = load ptr, ptr %key
  %wanted.p = getelementptr ptr, ptr %keys, i64 %place
  %wanted = load ptr, ptr %wanted.p
  %equal = icmp eq ptr %there, %wanted
  br i1 %equal, label %same, label %no
same:
  %next = add i64 %place, 1
  br label %look
yes:
  ret i1 true
no:
  ret i1 false
}

; Whether the addresses all differ: each is looked for in a table of those before.
define i1 @tracejit_distinct(ptr %objects, i64 %count) {
entry:
  %bits = call i64 @bits(i64 %count)
  %more.bits = add i64 %bits, 1
  %size = shl i64 1, %more.bits
  %mask = sub i64 %size, 1
  %table = alloca ptr, i64 %size
  %bytes = shl i64 %size, 3
  call void @llvm.memset.p0.i64(ptr %table, i8 0, i64 %bytes, i1 false)
  br label %look
look:
  %place = phi i64 [ 0, %entry ], [ %next, %new ]
  %more = icmp ult i64 %place, %count
  br i1 %more, label %hash, label %yes
hash:
  %object.p = getelementptr ptr, ptr %objects, i64 %place
  %object = load ptr, ptr %object.p
  %number = ptrtoint ptr %object to i64
  %mixed = mul i64 %number, -7046029254386353131
  %high = lshr i64 %mixed, 40
  br label %probe
probe:
  %at = phi i64 [ %high, %hash ], [ %at.next, %other ]
  %slot = and i64 %at, %mask
  %slot.p = getelementptr ptr, ptr %table, i64 %slot
  %there = load ptr, ptr %slot.p
  %free = icmp eq ptr %there, null
  br i1 %free, label %new, label %compare
compare:
  %same = icmp eq ptr %there, %object
  br i1 %same, label %no, label %other
other:
  %at.next = add i64 %slot, 1
  br label %probe
new:
  store ptr %object, ptr %slot.p
  %next = add i64 %place, 1
  br label %look
yes:
  ret i1 true
no:
  ret i1 false
}

; Whether all of the integers are in [-base, limit - base).
define i1 @tracejit_in_range(ptr %values, i64 %count, i64 %base, i64 %limit, i1 %short) {
entry:
  br label %look
look:
  %place = phi i64 [ 0, %entry ], [ %next, %inside ]
  %more = icmp ult i64 %place, %count
  br i1 %more, label %load, label %yes
load:
  br i1 %short, label %narrow, label %wide
narrow:
  %narrow.p = getelementptr i32, ptr %values, i64 %place
  %small = load i32, ptr %narrow.p
  %widened = sext i32 %small to i64
  br label %check
wide:
  %wide.p = getelementptr i64, ptr %values, i64 %place
  %large = load i64, ptr %wide.p
  br label %check
check:
  %value = phi i64 [ %widened, %narrow ], [ %large, %wide ]
  %above = add i64 %value, %base
  %fits = icmp ult i64 %above, %limit
  br i1 %fits, label %inside, label %no
inside:
  %next = add i64 %place, 1
  br label %look
yes:
  ret i1 true
no:
  ret i1 false
}

; A row-major array; a large one in memory of the pool, which goes back there with the array.
define ptr @tracejit_new_array(ptr %dtype, i32 %ndim, ptr %shape, i64 %nbytes) {
entry:
  %type = load ptr, ptr @tracejit_array_type
  %make = load ptr, ptr @tracejit_new_array_function
  call void @retain(ptr %dtype)
  %large = icmp uge i64 %nbytes, {LARGE}
  br i1 %large, label %pool, label %numpy
numpy:
  %small = call ptr %make(ptr %type, ptr %dtype, i32 %ndim, ptr %shape, ptr null, ptr null, i32 0, ptr null)
  ret ptr %small
pool:
  %elements = call ptr @tracejit_handler_malloc(ptr null, i64 %nbytes)
  %no.memory = icmp eq ptr %elements, null
  br i1 %no.memory, label %refuse, label %wrap
refuse:
  call void @let_go(ptr %dtype)
  %raised = call ptr @PyErr_NoMemory()
  ret ptr null
wrap:
  %made = call ptr %make(ptr %type, ptr %dtype, i32 %ndim, ptr %shape, ptr null, ptr %elements, i32 {FRESH_ARRAY}, ptr null)
  %failed = icmp eq ptr %made, null
  br i1 %failed, label %undo, label %own
undo:
  call void @tracejit_handler_free(ptr null, ptr %elements, i64 %nbytes)
  ret ptr null
own:
  %flags.p = getelementptr i8, ptr %made, i64 {ARRAY_FLAGS_AT}
  %flags = load i32, ptr %flags.p
  %owned = or i32 %flags, {ARRAY_OWNS_DATA}
  store i32 %owned, ptr %flags.p
  %handler = load ptr, ptr @tracejit_handler
  call void @retain(ptr %handler)
  %handler.p = getelementptr i8, ptr %made, i64 {ARRAY_HANDLER_AT}
  store ptr %handler, ptr %handler.p
  ret ptr %made
}

; Lets go of the references in a part of a frame, which is empty then.
define void @tracejit_release(ptr %frame, i64 %count) {
entry:
  br label %look
look:
  %place = phi i64 [ 0, %entry ], [ %place.next, %next ]
  %more = icmp ult i64 %place, %count
  br i1 %more, label %load, label %done
load:
  %held.p = getelementptr ptr, ptr %frame, i64 %place
  %held = load ptr, ptr %held.p
  %none = icmp eq ptr %held, null
  br i1 %none, label %next, label %free
free:
  store ptr null, ptr %held.p
  call void @let_go(ptr %held)
  br label %next
next:
  %place.next = add i64 %place, 1
  br label %look
done:
  ret void
}
"""


def entry_ir() -> str:
    values = {
        "ENTRY_WAYS": ENTRY_WAYS,
        "HEAD_WORDS": HEAD_WORDS,
        "WAY_BYTES": 8 * WAY_WORDS,
        "ENTRY_FUNCTION": ENTRY_FUNCTION,
        "DICT_SIZE_AT": abi.DICT_SIZE_AT,
        "MISS": MISS,
        "LARGE": LARGE_ARRAY,
        "FEW_ARGUMENTS": FEW_ARGUMENTS,
        "FRESH_ARRAY": abi.FRESH_ARRAY,
        "ARRAY_FLAGS_AT": abi.ARRAY_FLAGS_AT,
        "ARRAY_OWNS_DATA": abi.ARRAY_OWNS_DATA,
        "ARRAY_HANDLER_AT": abi.ARRAY_HANDLER_AT,
    }
    text = references_ir() + _IR
    for name, value in values.items():
        text = text.replace("{" + name + "}", str(value))
    return text
