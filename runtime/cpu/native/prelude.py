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

; What an object has in a slot.
define internal ptr @slot(ptr %object, i64 %at, ptr %place) {
  %slot.p = getelementptr i8, ptr %object, i64 %at
  %found = load ptr, ptr %slot.p
  %kept = call ptr @keep(ptr %found, ptr %place)
  ret ptr %kept
}

; An attribute that objects of one class have in a slot.
define internal ptr @hinted(ptr %object, ptr %class, i64 %at, ptr %name, ptr %place) {
entry:
  %type.p = getelementptr i8, ptr %object, i64 {TYPE_AT}
  %type = load ptr, ptr %type.p
  %same = icmp eq ptr %type, %class
  br i1 %same, label %quick, label %slow
quick:
  %kept = call ptr @slot(ptr %object, i64 %at, ptr %place)
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
    ("Py_IncRef", "PyObject_GetAttr", "PyDict_GetItemWithError", "PyLong_AsLongLong", "Py_DecRef")
)
"""What it declares already."""
