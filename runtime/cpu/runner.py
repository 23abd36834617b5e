"""The loop over a plan's launches, as LLVM IR: `tracejit_run(launches, workspace)`.

Both arguments are int64 words, the first written by `tracejit.runtime.table`, the other by `tracejit.runtime.program`. The
launches, the same in every call:

    0 context  1 loops  2 bytes from the workspace to the pointers  3 bytes to the scratch, then for each loop
      0 rounds  1 launches of a round  2 words of this loop, then for each launch
        0 segments  1 tasks  2 grain  3 scratch bytes  4 arguments  5 words of this launch
        segments * (kernel, first task, tasks, first argument, words from the launch's start to the dims)
        arguments * (word of the workspace that holds an address, bytes to add, and by how much both grow with each round)
        the segments' dims

The workspace of one call: 0 threads that may take part (there is scratch for so many), then addresses, and whatever the two
offsets and the addresses lead to.
"""

from __future__ import annotations

from tracejit.runtime.cpu.pool_ir import CHUNKS_PER_THREAD, pool_ir
from tracejit.runtime.cpu.target import Host

RUN = "tracejit_run"

_RUN = r"""
declare i64 @llvm.umin.i64(i64, i64)
declare i64 @llvm.umax.i64(i64, i64)

%job = type { ptr, ptr, ptr, ptr, i64 }  ; context, launch, pointers, scratch, tasks in a chunk

define internal void @chunk(ptr %job, i64 %chunk, i64 %worker) {
entry:
  %size.p = getelementptr %job, ptr %job, i64 0, i32 4
  %launch.p = getelementptr %job, ptr %job, i64 0, i32 1
  %size = load i64, ptr %size.p
  %launch = load ptr, ptr %launch.p
  %tasks.p = getelementptr i64, ptr %launch, i64 1
  %tasks = load i64, ptr %tasks.p
  %begin = mul i64 %chunk, %size
  %stop = add i64 %begin, %size
  %end = call i64 @llvm.umin.i64(i64 %stop, i64 %tasks)
  call void @tasks(ptr %job, i64 %begin, i64 %end, i64 %worker)
  ret void
}

; Tasks [begin, end) of a launch, segment by segment.
define internal void @tasks(ptr %job, i64 %begin, i64 %end, i64 %worker) {
entry:
  %context = load ptr, ptr %job
  %launch.p = getelementptr %job, ptr %job, i64 0, i32 1
  %pointers.p = getelementptr %job, ptr %job, i64 0, i32 2
  %scratch.p = getelementptr %job, ptr %job, i64 0, i32 3
  %launch = load ptr, ptr %launch.p
  %pointers = load ptr, ptr %pointers.p
  %scratch.all = load ptr, ptr %scratch.p
  %segments = load i64, ptr %launch
  %scratch.bytes.p = getelementptr i64, ptr %launch, i64 3
  %scratch.bytes = load i64, ptr %scratch.bytes.p
  %scratch.offset = mul i64 %scratch.bytes, %worker
  %scratch = getelementptr i8, ptr %scratch.all, i64 %scratch.offset
  br label %look
look:
  %index = phi i64 [ 0, %entry ], [ %index.next, %next ]
  %more = icmp ult i64 %index, %segments
  br i1 %more, label %segment, label %done
segment:
  %word = mul i64 %index, 5
  %word.kernel = add i64 %word, 6
  %kernel.p = getelementptr i64, ptr %launch, i64 %word.kernel
  %first.p = getelementptr i64, ptr %kernel.p, i64 1
  %count.p = getelementptr i64, ptr %first.p, i64 1
  %argument.p = getelementptr i64, ptr %first.p, i64 2
  %dims.p = getelementptr i64, ptr %first.p, i64 3
  %first = load i64, ptr %first.p
  %count = load i64, ptr %count.p
  %before = icmp ult i64 %first, %end
  br i1 %before, label %clip, label %done
clip:
  %after = add i64 %first, %count
  %lo = call i64 @llvm.umax.i64(i64 %begin, i64 %first)
  %hi = call i64 @llvm.umin.i64(i64 %end, i64 %after)
  %some = icmp ult i64 %lo, %hi
  br i1 %some, label %call, label %next
call:
  %kernel = load ptr, ptr %kernel.p
  %argument = load i64, ptr %argument.p
  %dims.word = load i64, ptr %dims.p
  %buffers = getelementptr ptr, ptr %pointers, i64 %argument
  %dims = getelementptr i64, ptr %launch, i64 %dims.word
  %from = sub i64 %lo, %first
  %to = sub i64 %hi, %first
  call void %kernel(ptr %context, ptr %buffers, ptr %dims, i64 %from, i64 %to, ptr %scratch)
  br label %next
next:
  %index.next = add i64 %index, 1
  br label %look
done:
  ret void
}

; Runs the launches in order.
define void @tracejit_run(ptr %table, ptr %workspace) {
entry:
  %job = alloca %job
  %loops.p = getelementptr i64, ptr %table, i64 1
  %pointers.at.p = getelementptr i64, ptr %table, i64 2
  %scratch.at.p = getelementptr i64, ptr %table, i64 3
  %start = getelementptr i64, ptr %table, i64 4
  %context = load ptr, ptr %table
  %loops = load i64, ptr %loops.p
  %pointers.at = load i64, ptr %pointers.at.p
  %scratch.at = load i64, ptr %scratch.at.p
  %threads = load i64, ptr %workspace
  %pointers = getelementptr i8, ptr %workspace, i64 %pointers.at
  %scratch = getelementptr i8, ptr %workspace, i64 %scratch.at
  %job.launch = getelementptr %job, ptr %job, i64 0, i32 1
  %job.pointers = getelementptr %job, ptr %job, i64 0, i32 2
  %job.scratch = getelementptr %job, ptr %job, i64 0, i32 3
  %job.size = getelementptr %job, ptr %job, i64 0, i32 4
  %wanted.chunks = mul i64 %threads, {CHUNKS_PER_THREAD}
  store ptr %context, ptr %job
  store ptr %pointers, ptr %job.pointers
  store ptr %scratch, ptr %job.scratch
  br label %loop
loop:
  %which.loop = phi i64 [ 0, %entry ], [ %which.loop.next, %loop.end ]
  %loop.p = phi ptr [ %start, %entry ], [ %loop.next, %loop.end ]
  %another.loop = icmp ult i64 %which.loop, %loops
  br i1 %another.loop, label %enter, label %done
enter:
  %launches.p = getelementptr i64, ptr %loop.p, i64 1
  %loop.words.p = getelementptr i64, ptr %loop.p, i64 2
  %first.launch = getelementptr i64, ptr %loop.p, i64 3
  %rounds = load i64, ptr %loop.p
  %launches = load i64, ptr %launches.p
  %loop.words = load i64, ptr %loop.words.p
  br label %round
round:
  %turn = phi i64 [ 0, %enter ], [ %turn.next, %round.end ]
  %another.round = icmp ult i64 %turn, %rounds
  br i1 %another.round, label %look, label %loop.end
loop.end:
  %which.loop.next = add i64 %which.loop, 1
  %loop.next = getelementptr i64, ptr %loop.p, i64 %loop.words
  br label %loop
look:
  %number = phi i64 [ 0, %round ], [ %number.next, %next ]
  %launch = phi ptr [ %first.launch, %round ], [ %launch.next, %next ]
  %more = icmp ult i64 %number, %launches
  br i1 %more, label %resolve, label %round.end
round.end:
  %turn.next = add i64 %turn, 1
  br label %round
resolve:
  store ptr %launch, ptr %job.launch
  %tasks.p = getelementptr i64, ptr %launch, i64 1
  %grain.p = getelementptr i64, ptr %launch, i64 2
  %arguments.p = getelementptr i64, ptr %launch, i64 4
  %words.p = getelementptr i64, ptr %launch, i64 5
  %segments = load i64, ptr %launch
  %tasks = load i64, ptr %tasks.p
  %grain = load i64, ptr %grain.p
  %arguments = load i64, ptr %arguments.p
  %words = load i64, ptr %words.p
  %segment.words = mul i64 %segments, 5
  %table.word = add i64 %segment.words, 6
  %sources = getelementptr i64, ptr %launch, i64 %table.word
  br label %argument
argument:
  %index = phi i64 [ 0, %resolve ], [ %index.next, %store ]
  %another = icmp ult i64 %index, %arguments
  br i1 %another, label %store, label %weigh
store:
  %place = shl i64 %index, 2
  %which.p = getelementptr i64, ptr %sources, i64 %place
  %offset.p = getelementptr i64, ptr %which.p, i64 1
  %which.step.p = getelementptr i64, ptr %which.p, i64 2
  %offset.step.p = getelementptr i64, ptr %which.p, i64 3
  %which.first = load i64, ptr %which.p
  %offset.first = load i64, ptr %offset.p
  %which.step = load i64, ptr %which.step.p
  %offset.step = load i64, ptr %offset.step.p
  %which.moved = mul i64 %which.step, %turn
  %offset.moved = mul i64 %offset.step, %turn
  %which = add i64 %which.first, %which.moved
  %offset = add i64 %offset.first, %offset.moved
  %address.p = getelementptr i64, ptr %workspace, i64 %which
  %base = load i64, ptr %address.p
  %address = add i64 %base, %offset
  %pointer.p = getelementptr i64, ptr %pointers, i64 %index
  store i64 %address, ptr %pointer.p
  %index.next = add i64 %index, 1
  br label %argument
weigh:
  ; Divisions take longer than many a kernel.
  %several.grains = icmp ugt i64 %tasks, %grain
  %threaded = icmp ugt i64 %threads, 1
  %shared = and i1 %several.grains, %threaded
  br i1 %shared, label %split, label %alone
split:
  ; Larger chunks than the grain where that still gives each thread several.
  %even = udiv i64 %tasks, %wanted.chunks
  %size = call i64 @llvm.umax.i64(i64 %grain, i64 %even)
  store i64 %size, ptr %job.size
  %up = add i64 %tasks, %size
  %up.1 = sub i64 %up, 1
  %chunks = udiv i64 %up.1, %size
  %several = icmp ugt i64 %chunks, 1
  br i1 %several, label %together, label %alone
together:
  %ran = call i1 @parallel_for(ptr %context, ptr @chunk, ptr %job, i64 %chunks, i64 %threads)
  br i1 %ran, label %next, label %alone
alone:
  call void @tasks(ptr %job, i64 0, i64 %tasks, i64 0)
  br label %next
next:
  %number.next = add i64 %number, 1
  %launch.next = getelementptr i64, ptr %launch, i64 %words
  br label %look
done:
  ret void
}
"""


def runner_ir(host: Host) -> str:
    """The module that defines `tracejit_run`."""
    return pool_ir(host) + _RUN.replace("{CHUNKS_PER_THREAD}", str(CHUNKS_PER_THREAD))
