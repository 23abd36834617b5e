"""What ways do again and again, as functions: a way is long, and code generation takes as long as the text is.

Each gives a reference that it has put into a place of the frame, or null where it fails.
"""

from __future__ import annotations

from functools import cache

from tracejit._native import abi, dicts
from tracejit._native.abi import Abi
from tracejit.runtime.cpu.native.memory_ir import BUFFER_ADDRESS
from tracejit.runtime.cpu.native.references import alone_ir, references_ir

_IR = r"""
declare void @Py_IncRef(ptr)
declare ptr @PyObject_GetAttr(ptr, ptr)
declare ptr @PyDict_GetItemWithError(ptr, ptr)
declare i64 @PyLong_AsLongLong(ptr)
declare void @Py_DecRef(ptr)
declare ptr @PyObject_GetItem(ptr, ptr)
declare i32 @PyObject_IsTrue(ptr)
declare ptr @PyErr_Occurred()
@PyLong_Type = external global i8
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

define internal ptr @entry_of(ptr %dict, ptr %key, ptr %memo, ptr %place) {
  %found = call ptr @looked_up(ptr %dict, ptr %key, ptr %memo)
  %kept = call ptr @keep(ptr %found, ptr %place)
  ret ptr %kept
}

; Whether a dict has a key: 1 or 0, less where looking for it fails.
define internal i32 @has_key(ptr %dict, ptr %key, ptr %memo) {
entry:
  %found = call ptr @looked_up(ptr %dict, ptr %key, ptr %memo)
  %none = icmp eq ptr %found, null
  br i1 %none, label %ask, label %yes
ask:
  %error = call ptr @PyErr_Occurred()
  %absent = icmp eq ptr %error, null
  %answer = select i1 %absent, i32 0, i32 -1
  ret i32 %answer
yes:
  ret i32 1
}

; What a container, mostly a dict, has under a key.
define internal ptr @item_of(ptr %container, ptr %key, ptr %memo, ptr %place) {
entry:
  %type.p = getelementptr i8, ptr %container, i64 {TYPE_AT}
  %type = load ptr, ptr %type.p
  %is.dict = icmp eq ptr %type, @PyDict_Type
  br i1 %is.dict, label %quick, label %ask
quick:
  %entry.found = call ptr @entry_of(ptr %container, ptr %key, ptr %memo, ptr %place)
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

; An integer of 64 bits; -1 may be the sign of an exception.
define internal i64 @integer_of(ptr %object) {
entry:
  %type.p = getelementptr i8, ptr %object, i64 {TYPE_AT}
  %type = load ptr, ptr %type.p
  %size.p = getelementptr i8, ptr %object, i64 {INTEGER_SIZE_AT}
  %size = load i64, ptr %size.p
  %is.integer = icmp eq ptr %type, @PyLong_Type
  %has.two = icmp eq i64 %size, {TWO_DIGITS}
  %known = and i1 %is.integer, %has.two
  br i1 %known, label %digits, label %look
look:
  %has.one = icmp eq i64 %size, {ONE_DIGIT}
  %is.small = and i1 %is.integer, %has.one
  br i1 %is.small, label %digit, label %ask
digit:
  %only.p = getelementptr i8, ptr %object, i64 {INTEGER_DIGITS_AT}
  %only = load i32, ptr %only.p
  %only.wide = zext i32 %only to i64
  ret i64 %only.wide
digits:
  %digits.p = getelementptr i8, ptr %object, i64 {INTEGER_DIGITS_AT}
  %both = load i64, ptr %digits.p
  %low = and i64 %both, 4294967295
  %high = lshr i64 %both, 32
  %shifted = shl i64 %high, 30
  %value = or i64 %low, %shifted
  ret i64 %value
ask:
  %converted = call i64 @PyLong_AsLongLong(ptr %object)
  ret i64 %converted
}

; Has an integer be this one, or so much more, if only who asks holds it: nobody can tell it from a new one then. Small ones are
; not made so: Python has them once.
define internal i1 @is_now(ptr %object, i64 %number, i1 %is.more) {
entry:
  %is.none = icmp eq ptr %object, null
  br i1 %is.none, label %no, label %look
look:
{ALONE}  %type.p = getelementptr i8, ptr %object, i64 {TYPE_AT}
  %type = load ptr, ptr %type.p
  %is.integer = icmp eq ptr %type, @PyLong_Type
  %is.own = and i1 %is.alone, %is.integer
  br i1 %is.own, label %measure, label %no
measure:
  %size.p = getelementptr i8, ptr %object, i64 {INTEGER_SIZE_AT}
  %size = load i64, ptr %size.p
  %digit.p = getelementptr i8, ptr %object, i64 {INTEGER_DIGITS_AT}
  %before = load i32, ptr %digit.p
  %before.wide = zext i32 %before to i64
  %start = select i1 %is.more, i64 %before.wide, i64 0
  %sum = add i64 %start, %number
  %above = sub i64 %sum, {FIRST_MADE}
  %fits = icmp ult i64 %above, {ROOM_ABOVE}
  %has.one = icmp eq i64 %size, {ONE_DIGIT}
  %is.all = and i1 %fits, %has.one
  br i1 %is.all, label %write, label %no
write:
  %digit = trunc i64 %sum to i32
  store i32 %digit, ptr %digit.p
  ret i1 true
no:
  ret i1 false
}

; The address of a buffer's memory, 0 where it fails: of a native one, of one of two classes that have it in a slot, of any other.
define internal i64 @address_in(ptr %buffer, ptr %native, ptr %block, ptr %remote, i64 %at, ptr %name) {
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
  %is.remote = icmp eq ptr %type, %remote
  %has.slot = or i1 %is.block, %is.remote
  br i1 %has.slot, label %slot, label %ask
slot:
  %slot.p = getelementptr i8, ptr %buffer, i64 %at
  %held = load ptr, ptr %slot.p
  %value = call i64 @integer_of(ptr %held)
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

_LOOK_UP = r"""
; What a dict has under a key, borrowed, or null. Where the dict is still the version that a memo is of, that has the answer.
define internal ptr @looked_up(ptr %dict, ptr %key, ptr %memo) {
entry:
  %is.new = icmp eq ptr %memo, null
{WEIGHED}  br i1 {IS_ANEW}, label %anew, label %compare
anew:
  %fresh = call ptr @PyDict_GetItemWithError(ptr %dict, ptr %key)
  ret ptr %fresh
compare:
  %version.p = getelementptr i8, ptr %dict, i64 {VERSION_AT}
  %version = load i64, ptr %version.p
  %known = load i64, ptr %memo
  %entry.p = getelementptr i8, ptr %memo, i64 8
  %same = icmp eq i64 %version, %known
  br i1 %same, label %again, label %look
again:
  %remembered = load ptr, ptr %entry.p
  ret ptr %remembered
look:
  %found = call ptr @PyDict_GetItemWithError(ptr %dict, ptr %key)
  %none = icmp eq ptr %found, null
  br i1 %none, label %ask, label %keep
ask:
  %error = call ptr @PyErr_Occurred()
  %absent = icmp eq ptr %error, null
  br i1 %absent, label %keep, label %end
keep:
  store i64 %version, ptr %memo
  store ptr %found, ptr %entry.p
  br label %end
end:
  ret ptr %found
}
"""
_VALUES_WEIGHED = """\
  %values.p = getelementptr i8, ptr %dict, i64 {VALUES_AT}
  %values = load ptr, ptr %values.p
  %are.apart = icmp ne ptr %values, null
  %is.anew = or i1 %is.new, %are.apart
"""
"""Values that a dict has apart may be others while its version stays."""
_LOOK_UP_ANEW = r"""
define internal ptr @looked_up(ptr %dict, ptr %key, ptr %memo) {
  %found = call ptr @PyDict_GetItemWithError(ptr %dict, ptr %key)
  ret ptr %found
}
"""
DECLARED = frozenset(
    (
        "Py_IncRef",
        "Py_DecRef",
        "PyObject_GetAttr",
        "PyDict_GetItemWithError",
        "PyLong_AsLongLong",
        "PyObject_GetItem",
        "PyObject_IsTrue",
        "PyErr_Occurred",
    )
)
"""What it declares already."""


@cache
def prelude(found: Abi) -> str:
    """For this interface."""
    look_up = _LOOK_UP_ANEW if found.dict_version_at is None else _LOOK_UP
    weighed, is_anew = (
        (_VALUES_WEIGHED, "%is.anew") if found.writes_values_apart else ("", "%is.new")
    )
    look_up = look_up.replace("{WEIGHED}", weighed).replace("{IS_ANEW}", is_anew)
    text = references_ir() + _IR + look_up
    numbers = {
        "TYPE_AT": abi.TYPE_AT,
        "BUFFER_ADDRESS": BUFFER_ADDRESS,
        "INTEGER_SIZE_AT": abi.INTEGER_SIZE_AT,
        "INTEGER_DIGITS_AT": abi.INTEGER_DIGITS_AT,
        "TWO_DIGITS": abi.TWO_DIGITS,
        "ONE_DIGIT": abi.ONE_DIGIT,
        "FIRST_MADE": abi.LARGEST_KEPT + 1,
        "ROOM_ABOVE": (1 << 30) - abi.LARGEST_KEPT - 1,
        "ALONE": alone_ir(),
        "VERSION_AT": found.dict_version_at,
        "VALUES_AT": dicts.VALUES_AT,
    }
    for name, number in numbers.items():
        text = text.replace(f"{{{name}}}", str(number))
    return text
