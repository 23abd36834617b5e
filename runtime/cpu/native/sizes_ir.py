"""What ways ask about sizes, as LLVM IR: the record of a combination, and whether strides are those of row-major order."""

from __future__ import annotations

from tracejit._native import abi

MIX = 0x9E3779B97F4A7C15
"""What the hash of sizes is multiplied with for each of them."""
RECORD_SIZES_AT = 16
"""Where a record has its sizes: before them are the object that owns it, and whether the way is for them."""

_IR = r"""
; The record of these sizes in a table of them, null where it has none: as `combinations.py` fills it.
define ptr @tracejit_find(ptr %table, ptr %sizes, i64 %count) {
entry:
  %mask = load i64, ptr %table
  %records = getelementptr i64, ptr %table, i64 1
  br label %hash
hash:
  %place = phi i64 [ 0, %entry ], [ %place.next, %mix ]
  %so.far = phi i64 [ 0, %entry ], [ %mixed, %mix ]
  %more = icmp ult i64 %place, %count
  br i1 %more, label %mix, label %probe
mix:
  %size.p = getelementptr i64, ptr %sizes, i64 %place
  %size = load i64, ptr %size.p
  %changed = xor i64 %so.far, %size
  %product = mul i64 %changed, {MIX}
  %high = lshr i64 %product, 32
  %mixed = xor i64 %product, %high
  %place.next = add i64 %place, 1
  br label %hash
probe:
  %at = phi i64 [ %so.far, %hash ], [ %at.next, %other ]
  %slot = and i64 %at, %mask
  %record.p = getelementptr ptr, ptr %records, i64 %slot
  %record = load ptr, ptr %record.p
  %none = icmp eq ptr %record, null
  br i1 %none, label %no, label %look
look:
  %own = getelementptr i8, ptr %record, i64 {RECORD_SIZES_AT}
  br label %compare
compare:
  %axis = phi i64 [ 0, %look ], [ %axis.next, %same ]
  %rest = icmp ult i64 %axis, %count
  br i1 %rest, label %next, label %yes
next:
  %wanted.p = getelementptr i64, ptr %sizes, i64 %axis
  %wanted = load i64, ptr %wanted.p
  %found.p = getelementptr i64, ptr %own, i64 %axis
  %found = load i64, ptr %found.p
  %equal = icmp eq i64 %wanted, %found
  br i1 %equal, label %same, label %other
same:
  %axis.next = add i64 %axis, 1
  br label %compare
other:
  %at.next = add i64 %at, 1
  br label %probe
yes:
  ret ptr %record
no:
  ret ptr null
}

; Whether an array's strides are these of row-major order.
define i1 @tracejit_array_in_order(ptr %strides, ptr %shape, i64 %rank, i64 %itemsize) {
entry:
  br label %look
look:
  %axis = phi i64 [ %rank, %entry ], [ %before, %same ]
  %step = phi i64 [ %itemsize, %entry ], [ %step.next, %same ]
  %more = icmp ne i64 %axis, 0
  br i1 %more, label %compare, label %yes
compare:
  %before = sub i64 %axis, 1
  %stride.p = getelementptr i64, ptr %strides, i64 %before
  %stride = load i64, ptr %stride.p
  %equal = icmp eq i64 %stride, %step
  br i1 %equal, label %same, label %no
same:
  %size.p = getelementptr i64, ptr %shape, i64 %before
  %size = load i64, ptr %size.p
  %step.next = mul i64 %step, %size
  br label %look
yes:
  ret i1 true
no:
  ret i1 false
}

; The same of tuples of integers.
define i1 @tracejit_tuple_in_order(ptr %strides, ptr %shape, i64 %itemsize) {
entry:
  %rank.p = getelementptr i8, ptr %shape, i64 {SIZE_AT}
  %rank = load i64, ptr %rank.p
  %other.p = getelementptr i8, ptr %strides, i64 {SIZE_AT}
  %other = load i64, ptr %other.p
  %as.many = icmp eq i64 %rank, %other
  br i1 %as.many, label %look, label %no
look:
  %axis = phi i64 [ %rank, %entry ], [ %before, %same ]
  %step = phi i64 [ %itemsize, %entry ], [ %step.next, %same ]
  %more = icmp ne i64 %axis, 0
  br i1 %more, label %compare, label %yes
compare:
  %before = sub i64 %axis, 1
  %stride = call i64 @integer_in(ptr %strides, i64 %before)
  %equal = icmp eq i64 %stride, %step
  br i1 %equal, label %same, label %no
same:
  %size = call i64 @integer_in(ptr %shape, i64 %before)
  %step.next = mul i64 %step, %size
  br label %look
yes:
  ret i1 true
no:
  ret i1 false
}

; An integer of a tuple; -1 for one that is none, or is too large.
define internal i64 @integer_in(ptr %tuple, i64 %place) {
entry:
  %items = getelementptr i8, ptr %tuple, i64 {TUPLE_ITEMS_AT}
  %item.p = getelementptr ptr, ptr %items, i64 %place
  %item = load ptr, ptr %item.p
  %value = call i64 @PyLong_AsSsize_t(ptr %item)
  %suspect = icmp eq i64 %value, -1
  br i1 %suspect, label %clear, label %end
clear:
  call void @PyErr_Clear()
  br label %end
end:
  ret i64 %value
}
"""


def sizes_ir() -> str:
    text = _IR
    values = {
        "MIX": MIX - (1 << 64),
        "RECORD_SIZES_AT": RECORD_SIZES_AT,
        "SIZE_AT": abi.SIZE_AT,
        "TUPLE_ITEMS_AT": abi.TUPLE_ITEMS_AT,
    }
    for name, value in values.items():
        text = text.replace("{" + name + "}", str(value))
    return text
