"""What guards have read, kept and compared, as LLVM IR: words of memory, each with its address."""

from __future__ import annotations

from tracejit.runtime.cpu.native.references import retained_ir

_IR = r"""
; Whether so many words of memory, a multiple of {STEP}, are what they were. Each lies in an object to which an earlier one leads.
define i1 @tracejit_same(ptr %words, i64 %count) {
entry:
  %bytes = shl i64 %count, 4
  %end = getelementptr i8, ptr %words, i64 %bytes
  br label %look
look:
  %here = phi ptr [ %words, %entry ], [ %next, %same ]
  %next = getelementptr {ptr, i64}, ptr %here, i64 {STEP}
  %done = icmp eq ptr %here, %end
  br i1 %done, label %yes, label %compare0
{COMPARISONS}
same:
  br label %look
yes:
  ret i1 true
no:
  ret i1 false
}

; Keeps the words that were noted, of those that may have been; how many they are, with some at the end that are like themselves.
define i64 @tracejit_keep(ptr %notes, i64 %count, ptr %words) {
entry:
  br label %look
look:
  %place = phi i64 [ 0, %entry ], [ %next, %kept ]
  %filled = phi i64 [ 0, %entry ], [ %more.filled, %kept ]
  %more = icmp ult i64 %place, %count
  br i1 %more, label %copy, label %done
copy:
  %note.p = getelementptr {ptr, i64}, ptr %notes, i64 %place
  %note = load {ptr, i64}, ptr %note.p
  %word.p = getelementptr {ptr, i64}, ptr %words, i64 %filled
  store {ptr, i64} %note, ptr %word.p
  %address = extractvalue {ptr, i64} %note, 0
  %is.some = icmp ne ptr %address, null
  %one = zext i1 %is.some to i64
  %more.filled = add i64 %filled, %one
  br label %kept
kept:
  %next = add i64 %place, 1
  br label %look
done:
  %rest = and i64 %filled, {LAST}
  %is.full = icmp eq i64 %rest, 0
  br i1 %is.full, label %end, label %pad
pad:
  %at = phi i64 [ %filled, %done ], [ %at.next, %pad ]
  %pad.p = getelementptr {ptr, i64}, ptr %words, i64 %at
  %pad.value.p = getelementptr {ptr, i64}, ptr %words, i64 %at, i32 1
  store ptr %pad.value.p, ptr %pad.p
  %at.next = add i64 %at, 1
  %at.rest = and i64 %at.next, {LAST}
  %is.padded = icmp eq i64 %at.rest, 0
  br i1 %is.padded, label %end, label %pad
end:
  %all = phi i64 [ %filled, %done ], [ %at.next, %pad ]
  ret i64 %all
}

; Holds objects, in the places of a frame.
define void @tracejit_hold(ptr %objects, i64 %count, ptr %places) {
entry:
  br label %look
look:
  %place = phi i64 [ 0, %entry ], [ %next, %hold ]
  %more = icmp ult i64 %place, %count
  br i1 %more, label %hold, label %done
hold:
  %object.p = getelementptr ptr, ptr %objects, i64 %place
  %object = load ptr, ptr %object.p
  %place.p = getelementptr ptr, ptr %places, i64 %place
  store ptr %object, ptr %place.p
{RETAINED}  %next = add i64 %place, 1
  br label %look
done:
  ret void
}
"""


_COMPARISON = """\
compare{N}:
  %address{N}.p = getelementptr {ptr, i64}, ptr %here, i64 {N}
  %address{N} = load ptr, ptr %address{N}.p
  %value{N}.p = getelementptr {ptr, i64}, ptr %here, i64 {N}, i32 1
  %value{N} = load i64, ptr %value{N}.p
  %found{N} = load i64, ptr %address{N}
  %equal{N} = icmp eq i64 %found{N}, %value{N}
  br i1 %equal{N}, label %{NEXT}, label %no
"""
STEP = 4
"""So many words are compared in one round."""


def pins_ir() -> str:
    parts = []
    for place in range(STEP):
        following = f"compare{place + 1}" if place + 1 < STEP else "same"
        parts.append(_COMPARISON.replace("{N}", str(place)).replace("{NEXT}", following))
    text = _IR.replace("{COMPARISONS}", "".join(parts)).replace("{RETAINED}", retained_ir())
    return text.replace("{STEP}", str(STEP)).replace("{LAST}", str(STEP - 1))
