"""Counting references, as LLVM IR: `@retain(object)` and `@let_go(object)`, the first one written out, and if there is one."""

from __future__ import annotations

import sys

_COUNTED = r"""
declare void @_Py_Dealloc(ptr)

define internal void @retain(ptr %object) {
  %count = load i64, ptr %object
  %more = add i64 %count, 1
  store i64 %more, ptr %object
  ret void
}

define internal void @let_go(ptr %object) {
entry:
  %count = load i64, ptr %object
  %less = sub i64 %count, 1
  store i64 %less, ptr %object
  %gone = icmp eq i64 %less, 0
  br i1 %gone, label %free, label %end
free:
  call void @_Py_Dealloc(ptr %object)
  br label %end
end:
  ret void
}
"""
_IMMORTAL = r"""
declare void @_Py_Dealloc(ptr)

; From Python 3.12 on some objects are never freed: the lower half of their count is negative. From 3.14 on there are flags in the
; upper half.
define internal void @retain(ptr %object) {
entry:
  %low = load i32, ptr %object
  %immortal = icmp slt i32 %low, 0
  br i1 %immortal, label %end, label %count
count:
  %more = add i32 %low, 1
  store i32 %more, ptr %object
  br label %end
end:
  ret void
}

define internal void @let_go(ptr %object) {
entry:
  %low = load i32, ptr %object
  %immortal = icmp slt i32 %low, 0
  br i1 %immortal, label %end, label %count
count:
  %less = sub i32 %low, 1
  store i32 %less, ptr %object
  %gone = icmp eq i32 %less, 0
  br i1 %gone, label %free, label %end
free:
  call void @_Py_Dealloc(ptr %object)
  br label %end
end:
  ret void
}
"""
_CALLED = r"""
define internal void @retain(ptr %object) {
  call void @Py_IncRef(ptr %object)
  ret void
}

define internal void @let_go(ptr %object) {
  call void @Py_DecRef(ptr %object)
  ret void
}
"""


_FIRST_UNKNOWN = (3, 15)
"""The first version of which it is not known how it counts."""


def references_ir() -> str:
    """How this Python counts; one that is not known yet is asked to."""
    if sys.version_info >= _FIRST_UNKNOWN:
        return _CALLED
    return _IMMORTAL if sys.version_info >= (3, 12) else _COUNTED


def alone_ir() -> str:
    """`%is.alone`: whether there is one reference to `%object`; false where this Python's counting is not known."""
    if sys.version_info >= (3, 14):
        return "  %is.alone = and i1 false, false\n"
    kind = "i32" if sys.version_info >= (3, 12) else "i64"
    return (
        f"  %references = load {kind}, ptr %object\n  %is.alone = icmp eq {kind} %references, 1\n"
    )


def retained_ir() -> str:
    """`@retain(%object)`, without the call."""
    if sys.version_info >= _FIRST_UNKNOWN:
        return "  call void @retain(ptr %object)\n"
    is_new = sys.version_info >= (3, 12)
    kind, kept = ("i32", "%new.count") if is_new else ("i64", "%more.count")
    lines = [
        f"%count.before = load {kind}, ptr %object",
        f"%more.count = add {kind} %count.before, 1",
    ]
    if is_new:
        lines.append("%immortal = icmp slt i32 %count.before, 0")
        lines.append("%new.count = select i1 %immortal, i32 %count.before, i32 %more.count")
    return "".join(f"  {line}\n" for line in [*lines, f"store {kind} {kept}, ptr %object"])
