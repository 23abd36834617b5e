"""What guards have read, kept and compared, as LLVM IR: words of memory, each with its address."""

from __future__ import annotations

from tracejit._native import dicts
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

; Notes the words that tell what a dict has under a key (`tracejit._native.dicts`), besides those of where its keys and values lie
; and how the keys are laid out, or of a steady dict its version and where its values lie: the key and the value, or, where it has
; no such key, how many keys there are, and its version. Without versions the latter is told by the hashes of all keys, each after
; the key itself, if there is room for so many: in a place of the dict's, so that other looks into it note no more.
define void @tracejit_note_entry(ptr %dict, ptr %key, i64 %hash, ptr %notes, ptr %spoiled, i1 %is.steady, ptr %all, i64 %room) {
entry:
  %values.p = getelementptr i8, ptr %dict, i64 {VALUES_AT}
  %values = load ptr, ptr %values.p
  %are.inside = icmp eq ptr %values, null
  %is.told = and i1 %is.steady, %are.inside
  br i1 %is.told, label %end, label %prepare
prepare:
  %keys.p = getelementptr i8, ptr %dict, i64 {KEYS_AT}
  %keys = load ptr, ptr %keys.p
  %is.general = call i1 @has_hashes(ptr %keys)
  %before = select i1 %is.general, i64 {HASH_BYTES}, i64 0
  %step = add i64 %before, 16
  %entries = call ptr @entries_of(ptr %keys)
  %count.p = getelementptr i8, ptr %keys, i64 {COUNT_AT}
  %count = load i64, ptr %count.p
  %second = getelementptr {ptr, i64}, ptr %notes, i64 1
  br label %look
look:
  %place = phi i64 [ 0, %prepare ], [ %next, %on ]
  %found = phi i64 [ -1, %prepare ], [ %found.next, %on ]
  %more = icmp ult i64 %place, %count
  br i1 %more, label %compare, label %write
compare:
  %at = mul i64 %place, %step
  %there = getelementptr i8, ptr %entries, i64 %at
  %there.key.p = getelementptr i8, ptr %there, i64 %before
  %there.key = load ptr, ptr %there.key.p
  %is.gone = icmp eq ptr %there.key, null
  %is.same = icmp eq ptr %there.key, %key
  %is.known = or i1 %is.gone, %is.same
  br i1 %is.known, label %on, label %weigh
weigh:
  %text.hash.p = getelementptr i8, ptr %there.key, i64 {TEXT_HASH_AT}
  %hash.p = select i1 %is.general, ptr %there, ptr %text.hash.p
  %there.hash = load i64, ptr %hash.p
  %is.alike = icmp eq i64 %there.hash, %hash
  br i1 %is.alike, label %give.up, label %on
give.up:
  ; They may be equal, and only who looks for one finds out.
  store i64 1, ptr %spoiled
  br label %end
on:
  %is.it = phi i1 [ %is.same, %compare ], [ false, %weigh ]
  %found.next = select i1 %is.it, i64 %place, i64 %found
  %next = add i64 %place, 1
  br label %look
write:
  %is.none = icmp slt i64 %found, 0
  br i1 %is.none, label %look.for.version, label %write.entry
look.for.version:
  call void @note(ptr %notes, ptr %count.p)
  br i1 {HAS_VERSIONS}, label %write.version, label %weigh.room
write.version:
  %version.p = getelementptr i8, ptr %dict, i64 {VERSION_AT}
  call void @note(ptr %second, ptr %version.p)
  br label %end
weigh.room:
  %is.enough = icmp ule i64 %count, %room
  br i1 %is.enough, label %look.at.key, label %give.up
look.at.key:
  %nth = phi i64 [ 0, %weigh.room ], [ %nth.next, %key.done ]
  %nth.next = add i64 %nth, 1
  %is.left = icmp ult i64 %nth, %count
  br i1 %is.left, label %write.key, label %end
write.key:
  %nth.at = mul i64 %nth, %step
  %nth.entry = getelementptr i8, ptr %entries, i64 %nth.at
  %nth.key.p = getelementptr i8, ptr %nth.entry, i64 %before
  %nth.note = getelementptr [2 x {ptr, i64}], ptr %all, i64 %nth
  call void @note(ptr %nth.note, ptr %nth.key.p)
  %nth.key = load ptr, ptr %nth.key.p
  %nth.is.gone = icmp eq ptr %nth.key, null
  br i1 %nth.is.gone, label %key.done, label %write.hash
write.hash:
  %nth.text.p = getelementptr i8, ptr %nth.key, i64 {TEXT_HASH_AT}
  %nth.hash.p = select i1 %is.general, ptr %nth.entry, ptr %nth.text.p
  %nth.hash.note = getelementptr {ptr, i64}, ptr %nth.note, i64 1
  call void @note(ptr %nth.hash.note, ptr %nth.hash.p)
  br label %key.done
key.done:
  br label %look.at.key
write.entry:
  %found.at = mul i64 %found, %step
  %found.entry = getelementptr i8, ptr %entries, i64 %found.at
  %key.p = getelementptr i8, ptr %found.entry, i64 %before
  %inside.p = getelementptr i8, ptr %key.p, i64 8
  %first.p = getelementptr i8, ptr %values, i64 {FIRST_VALUE_AT}
  %apart.p = getelementptr ptr, ptr %first.p, i64 %found
  %value.p = select i1 %are.inside, ptr %inside.p, ptr %apart.p
  call void @note(ptr %notes, ptr %key.p)
  call void @note(ptr %second, ptr %value.p)
  br label %end
end:
  ret void
}

; Notes that a dict has had so many keys, none of which is gone, and which, besides where its keys and values lie, how
; the keys are laid out, and how large it is.
define void @tracejit_note_keys(ptr %dict, i64 %count, ptr %notes, ptr %spoiled) {
entry:
  %values.p = getelementptr i8, ptr %dict, i64 {VALUES_AT}
  %values = load ptr, ptr %values.p
  %keys.p = getelementptr i8, ptr %dict, i64 {KEYS_AT}
  %keys = load ptr, ptr %keys.p
  %count.p = getelementptr i8, ptr %keys, i64 {COUNT_AT}
  %there.count = load i64, ptr %count.p
  %are.inside = icmp eq ptr %values, null
  %are.as.many = icmp eq i64 %there.count, %count
  %is.plain = and i1 %are.inside, %are.as.many
  br i1 %is.plain, label %prepare, label %give.up
give.up:
  store i64 1, ptr %spoiled
  ret void
prepare:
  call void @note(ptr %notes, ptr %count.p)
  %is.general = call i1 @has_hashes(ptr %keys)
  %before = select i1 %is.general, i64 {HASH_BYTES}, i64 0
  %step = add i64 %before, 16
  %entries = call ptr @entries_of(ptr %keys)
  br label %look
look:
  %place = phi i64 [ 0, %prepare ], [ %next, %write ]
  %more = icmp ult i64 %place, %count
  br i1 %more, label %write, label %end
write:
  %at = mul i64 %place, %step
  %there = getelementptr i8, ptr %entries, i64 %at
  %key.p = getelementptr i8, ptr %there, i64 %before
  %next = add i64 %place, 1
  %note = getelementptr {ptr, i64}, ptr %notes, i64 %next
  call void @note(ptr %note, ptr %key.p)
  br label %look
end:
  ret void
}

define internal i1 @has_hashes(ptr %keys) {
  %kind.p = getelementptr i8, ptr %keys, i64 {KIND_AT}
  %kind = load i8, ptr %kind.p
  %is.general = icmp eq i8 %kind, {GENERAL}
  ret i1 %is.general
}

define internal ptr @entries_of(ptr %keys) {
  %log.p = getelementptr i8, ptr %keys, i64 {INDEX_BYTES_AT}
  %log = load i8, ptr %log.p
  %log.wide = zext i8 %log to i64
  %bytes = shl i64 1, %log.wide
  %index = getelementptr i8, ptr %keys, i64 {INDEX_AT}
  %entries = getelementptr i8, ptr %index, i64 %bytes
  ret ptr %entries
}

define internal void @note(ptr %note, ptr %word.p) {
  %word = load i64, ptr %word.p
  %word.note.p = getelementptr {ptr, i64}, ptr %note, i64 0, i32 1
  store ptr %word.p, ptr %note
  store i64 %word, ptr %word.note.p
  ret void
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
_DICTS = (
    "VERSION_AT", "KEYS_AT", "VALUES_AT", "KIND_AT", "GENERAL", "HASH_BYTES", "INDEX_BYTES_AT", "INDEX_AT", "COUNT_AT",
    "TEXT_HASH_AT", "FIRST_VALUE_AT",
)  # fmt: skip
"""Of `tracejit._native.dicts`."""


def pins_ir() -> str:
    parts = []
    for place in range(STEP):
        following = f"compare{place + 1}" if place + 1 < STEP else "same"
        parts.append(_COMPARISON.replace("{N}", str(place)).replace("{NEXT}", following))
    text = _IR.replace("{COMPARISONS}", "".join(parts)).replace("{RETAINED}", retained_ir())
    values: dict[str, object] = {
        "STEP": STEP,
        "LAST": STEP - 1,
        "HAS_VERSIONS": str(dicts.have_versions()).lower(),
        **{name: getattr(dicts, name) for name in _DICTS},
    }
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text
