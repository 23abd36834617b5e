"""What ways do again and again, as functions: a way is long, and code generation takes as long as the text is.

Each gives a reference that it has put into a place of the frame, or null where it fails.
"""

from __future__ import annotations

from tracejit._native import abi
from tracejit.runtime.cpu.native.memory_ir import BUFFER_ADDRESS
from tracejit.runtime.cpu.native.references import references_ir

_IR = r"""
declare void @Py_IncRef(ptr)
declare ptr @PyObject_GetAttr(ptr, ptr)
declare ptr @PyDict_GetItemWithError(ptr, ptr)
declare i64 @PyLong_AsLongLong(ptr)
declare void @Py_DecRef(ptr)
declare ptr @PyObject_GetItem(ptr, ptr)
declare i32 @PyObject_IsTrue(ptr)
@PyDict_Type = external global i8
@_Py_TrueStruct = external global i8
@_Py_FalseStruct = external global i8

define internal ptr @keep(ptr %found, ptr %place) {
entry:
  %none = icmp eq ptr %found, null
  br i1 %none, label %end, label %hold
hold:
  call void @retain(ptr %found)
  store ptr %found, ptr %place
  br label %end
end:
  ret ptr %found
}

; An attribute that objects of one of two classes have in a slot.
define internal ptr @hinted(ptr %object, ptr %class, ptr %other, i64 %at, ptr %name, ptr %place) {
entry:
  %type.p = getelementptr i8, ptr %object, i64 {TYPE_AT}
  %type = load ptr, ptr %type.p
  %is.first = icmp eq ptr %type, %class
  %is.second = icmp eq ptr %type, %other
  %same = or i1 %is.first, %is.second
  br i1 %same, label %quick, label %slow
quick:
  %slot.p = getelementptr i8, ptr %object, i64 %at
  %held = load ptr, ptr %slot.p
  %kept = call ptr @keep(ptr %held, ptr %place)
  ret ptr %kept
slow:
  %found = call ptr @PyObject_GetAttr(ptr %object, ptr %name)
  store ptr %found, ptr %place
  ret ptr %found
}

define internal ptr @entry_of(ptr %dict, ptr %key, ptr %place) {
  %found = call ptr @PyDict_GetItemWithError(ptr %dict, ptr %key)
  %kept = call ptr @keep(ptr %found, ptr %place)
  ret ptr %kept
}

; What a container, mostly a dict, has under a key.
define internal ptr @item_of(ptr %container, ptr %key, ptr %place) {
entry:
  %type.p = getelementptr i8, ptr %container, i64 {TYPE_AT}
  %type = load ptr, ptr %type.p
  %is.dict = icmp eq ptr %type, @PyDict_Type
  br i1 %is.dict, label %quick, label %ask
quick:
  %entry.found = call ptr @entry_of(ptr %container, ptr %key, ptr %place)
  ret ptr %entry.found
ask:
  %found = call ptr @PyObject_GetItem(ptr %container, ptr %key)
  store ptr %found, ptr %place
  ret ptr %found
}

; 1 or 0 for what counts as true or not, less where that fails.
define internal i32 @truth(ptr %object) {
entry:
  %is.true = icmp eq ptr %object, @_Py_TrueStruct
  br i1 %is.true, label %yes, label %look
look:
  %is.false = icmp eq ptr %object, @_Py_FalseStruct
  br i1 %is.false, label %no, label %ask
ask:
  call void @retain(ptr %object)
  %answer = call i32 @PyObject_IsTrue(ptr %object)
  call void @let_go(ptr %object)
  ret i32 %answer
yes:
  ret i32 1
no:
  ret i32 0
}

; The address of a buffer's memory, 0 where it fails: of a native one, of one over a block, of any other.
define internal i64 @address_in(ptr %buffer, ptr %native, ptr %block, i64 %at, ptr %name) {
entry:
  %type.p = getelementptr i8, ptr %buffer, i64 {TYPE_AT}
  %type = load ptr, ptr %type.p
  %is.native = icmp eq ptr %type, %native
  br i1 %is.native, label %quick, label %more
quick:
  %address.p = getelementptr i8, ptr %buffer, i64 {BUFFER_ADDRESS}
  %address = load i64, ptr %address.p
  ret i64 %address
more:
  %is.block = icmp eq ptr %type, %block
  br i1 %is.block, label %slot, label %ask
slot:
  %slot.p = getelementptr i8, ptr %buffer, i64 %at
  %held = load ptr, ptr %slot.p
  %value = call i64 @PyLong_AsLongLong(ptr %held)
  ret i64 %value
ask:
  %found = call ptr @PyObject_GetAttr(ptr %buffer, ptr %name)
  %none = icmp eq ptr %found, null
  br i1 %none, label %no, label %convert
convert:
  %given = call i64 @PyLong_AsLongLong(ptr %found)
  call void @let_go(ptr %found)
  %wrong = icmp eq i64 %given, -1
  br i1 %wrong, label %no, label %yes
yes:
  ret i64 %given
no:
  ret i64 0
}
"""

PRELUDE = references_ir() + _IR.replace("{TYPE_AT}", str(abi.TYPE_AT)).replace(
    "{BUFFER_ADDRESS}", str(BUFFER_ADDRESS)
)
DECLARED = frozenset(
    (
        "Py_IncRef",
        "Py_DecRef",
        "PyObject_GetAttr",
        "PyDict_GetItemWithError",
        "PyLong_AsLongLong",
        "PyObject_GetItem",
        "PyObject_IsTrue",
    )
)
"""What it declares already."""
