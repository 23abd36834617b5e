"""The thread pool, as LLVM IR: `parallel_for(context, fn, argument, chunks, threads)`.

The context (`CONTEXT_BYTES` of zeros to begin with) holds a ticket, `generation << 32 | next chunk`. A caller writes the job into
the slot of the next generation and then publishes that generation; threads claim chunks by compare-and-swap on the ticket, so
one that looked at an old job cannot claim a chunk of a new one, and a caller waits only for chunks that were claimed. The caller
works too. Idle workers spin for a while and then sleep on the generation (a futex).

On a machine that is busy with something else a worker may lose its core in the middle of a chunk, for milliseconds. A caller that
waited far longer than it worked therefore does small jobs alone for some time: the longer, the oftener that has happened lately.
"""

from __future__ import annotations

from tracejit.runtime.cpu.target import Host

CONTEXT_BYTES = 4096
SLEEPERS, BUSY, THREADS, STARTED, JOBS, ALIVE = 64, 128, 192, 196, 256, 1024
ALONE_UNTIL, CAUTION = 200, 208
"""Offsets in the context: the words that are written often have cache lines of their own."""
MAX_THREADS = (CONTEXT_BYTES - ALIVE) // 4
SPINS = 2000
"""Looks at the ticket before a worker goes to sleep: about 0.1 ms."""
YIELD_EVERY = 64
"""Looks after which an idle worker offers its core to others: the caller itself may be waiting for it."""
YIELD_AFTER = 1000
"""Looks at the count of finished chunks before a waiting caller offers its core to others."""
WAKE_FROM = 3
"""Chunks that are worth waking sleepers for: a call to the system costs as much as half a chunk."""
CHUNKS_PER_THREAD = 8
"""Chunks that a thread gets where there is work for more: with few, all wait for the slowest."""
LONG_WAIT = 4
"""A wait of so many times the caller's own work means that a worker lost its core..."""
LEAST_CAUTION, MOST_CAUTION = 64, 1024
"""... and a sixteenth of the caution times this wait the caller then does small jobs alone. Each such wait doubles the caution,
each job without one takes one from it."""

_PAUSE_X86 = "call void @llvm.x86.sse2.pause()"
_PAUSE_ARM = "call void @llvm.aarch64.hint(i32 1)"

_WORK = r"""
; Does chunks of the current job until none is left; gives the generation last seen.
define internal i64 @work(ptr %context, i64 %worker) {
entry:
  %first = load atomic i64, ptr %context acquire, align 64
  br label %look
look:
  %ticket = phi i64 [ %first, %entry ], [ %lost, %failed ], [ %next, %claimed ]
  %generation = lshr i64 %ticket, 32
  %chunk = and i64 %ticket, 4294967295
  %slot = and i64 %generation, 1
  %slot.bytes = shl i64 %slot, 7
  %jobs = getelementptr i8, ptr %context, i64 {JOBS}
  %job = getelementptr i8, ptr %jobs, i64 %slot.bytes
  %argument.p = getelementptr i8, ptr %job, i64 8
  %chunks.p = getelementptr i8, ptr %job, i64 16
  %done.p = getelementptr i8, ptr %job, i64 64
  %fn = load atomic ptr, ptr %job monotonic, align 8
  %argument = load atomic ptr, ptr %argument.p monotonic, align 8
  %chunks = load atomic i64, ptr %chunks.p monotonic, align 8
  %limit.p = getelementptr i8, ptr %job, i64 24
  %limit = load atomic i64, ptr %limit.p monotonic, align 8
  %more = icmp ult i64 %chunk, %chunks
  %invited = icmp ult i64 %worker, %limit
  %left = and i1 %more, %invited
  br i1 %left, label %claim, label %none
claim:
  %bumped = add i64 %ticket, 1
  %swap = cmpxchg ptr %context, i64 %ticket, i64 %bumped acq_rel acquire, align 64
  %won = extractvalue { i64, i1 } %swap, 1
  br i1 %won, label %claimed, label %failed
failed:
  %lost = extractvalue { i64, i1 } %swap, 0
  br label %look
claimed:
  call void %fn(ptr %argument, i64 %chunk, i64 %worker)
  atomicrmw add ptr %done.p, i64 1 release
  %next = load atomic i64, ptr %context acquire, align 64
  br label %look
none:
  ret i64 %generation
}
"""

_WORKER = r"""
declare i64 @syscall(i64, ...)
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_detach(i64)
declare i32 @sched_yield()
declare i32 @pthread_sigmask(i32, ptr, ptr)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)

; Argument: the address of the worker's `alive` flag, whose place in the context is the worker's number.
define internal ptr @worker(ptr %flag) {
entry:
  %flag.i = ptrtoint ptr %flag to i64
  %page = and i64 %flag.i, -{CONTEXT_BYTES}
  %context = inttoptr i64 %page to ptr
  %offset = sub i64 %flag.i, %page
  %behind = sub i64 %offset, {ALIVE}
  %number = lshr i64 %behind, 2
  %number.32 = trunc i64 %number to i32
  %threads.p = getelementptr i8, ptr %context, i64 {THREADS}
  %sleepers.p = getelementptr i8, ptr %context, i64 {SLEEPERS}
  %generation.p = getelementptr i8, ptr %context, i64 4
  br label %again
again:
  %threads = load atomic i32, ptr %threads.p acquire, align 4
  %surplus = icmp uge i32 %number.32, %threads
  br i1 %surplus, label %leave, label %busy
leave:
  store atomic i32 0, ptr %flag seq_cst, align 4
  %threads.now = load atomic i32, ptr %threads.p seq_cst, align 4
  %wanted = icmp ult i32 %number.32, %threads.now
  br i1 %wanted, label %return, label %end
return:
  %back = cmpxchg ptr %flag, i32 0, i32 1 seq_cst seq_cst, align 4
  %came = extractvalue { i32, i1 } %back, 1
  br i1 %came, label %busy, label %end
end:
  ret ptr null
busy:
  %seen = call i64 @work(ptr %context, i64 %number)
  br label %spin
spin:
  %spins = phi i32 [ 0, %busy ], [ %spins.next, %pause ], [ %spins.next, %yield ]
  %ticket = load atomic i64, ptr %context monotonic, align 64
  %generation = lshr i64 %ticket, 32
  %new = icmp ne i64 %generation, %seen
  br i1 %new, label %again, label %idle
idle:
  %spins.next = add i32 %spins, 1
  %patient = icmp ult i32 %spins.next, {SPINS}
  br i1 %patient, label %rest, label %sleep
rest:
  %turn = and i32 %spins.next, {YIELD_EVERY_MASK}
  %polite = icmp eq i32 %turn, 0
  br i1 %polite, label %yield, label %pause
yield:
  call i32 @sched_yield()
  br label %spin
pause:
  {PAUSE}
  br label %spin
sleep:
  %seen.32 = trunc i64 %seen to i32
  atomicrmw add ptr %sleepers.p, i32 1 seq_cst
  ; futex(address, FUTEX_WAIT_PRIVATE, value, no time-out)
  call i64 (i64, ...) @syscall(i64 {FUTEX}, ptr %generation.p, i32 128, i32 %seen.32, ptr null)
  atomicrmw sub ptr %sleepers.p, i32 1 seq_cst
  br label %again
}

; Makes the workers that are missing. They take no signals: those are for the program's own threads.
define internal void @start(ptr %context) {
entry:
  %thread = alloca i64
  %all = alloca [128 x i8], align 16
  %old = alloca [128 x i8], align 16
  %threads.p = getelementptr i8, ptr %context, i64 {THREADS}
  %threads = load atomic i32, ptr %threads.p acquire, align 4
  %threads.64 = zext i32 %threads to i64
  call void @llvm.memset.p0.i64(ptr %all, i8 -1, i64 128, i1 false)
  call i32 @pthread_sigmask(i32 2, ptr %all, ptr %old)
  br label %look
look:
  %number = phi i64 [ 1, %entry ], [ %number.next, %next ]
  %more = icmp ult i64 %number, %threads.64
  br i1 %more, label %try, label %end
try:
  %words = getelementptr i8, ptr %context, i64 {ALIVE}
  %flag = getelementptr i32, ptr %words, i64 %number
  %swap = cmpxchg ptr %flag, i32 0, i32 1 seq_cst seq_cst, align 4
  %missing = extractvalue { i32, i1 } %swap, 1
  br i1 %missing, label %create, label %next
create:
  %error = call i32 @pthread_create(ptr %thread, ptr null, ptr @worker, ptr %flag)
  %failed = icmp ne i32 %error, 0
  br i1 %failed, label %forget, label %detach
forget:
  store atomic i32 0, ptr %flag seq_cst, align 4
  br label %next
detach:
  %id = load i64, ptr %thread
  call i32 @pthread_detach(i64 %id)
  br label %next
next:
  %number.next = add i64 %number, 1
  br label %look
end:
  call i32 @pthread_sigmask(i32 2, ptr %old, ptr null)
  %started.p = getelementptr i8, ptr %context, i64 {STARTED}
  store atomic i32 1, ptr %started.p seq_cst, align 4
  ret void
}
"""

_PARALLEL_FOR = r"""
; fn(argument, chunk, worker) for each chunk, worker < threads; false, and nothing done, if another thread is using the pool or
; the caller had better do the chunks alone.
define internal i1 @parallel_for(ptr %context, ptr %fn, ptr %argument, i64 %chunks, i64 %threads) {
entry:
  %begun = call i64 @{TICKS}()
  %alone.p = getelementptr i8, ptr %context, i64 {ALONE_UNTIL}
  %alone.until = load atomic i64, ptr %alone.p monotonic, align 8
  %alone = icmp ult i64 %begun, %alone.until
  %many = mul i64 %threads, {CHUNKS_PER_THREAD}
  %small = icmp ult i64 %chunks, %many
  %not.now = and i1 %alone, %small
  br i1 %not.now, label %refuse, label %acquire
acquire:
  %busy.p = getelementptr i8, ptr %context, i64 {BUSY}
  %take = cmpxchg ptr %busy.p, i32 0, i32 1 acq_rel monotonic, align 4
  %mine = extractvalue { i32, i1 } %take, 1
  br i1 %mine, label %check, label %refuse
refuse:
  ret i1 false
check:
  %started.p = getelementptr i8, ptr %context, i64 {STARTED}
  %started = load atomic i32, ptr %started.p acquire, align 4
  %ready = icmp ne i32 %started, 0
  br i1 %ready, label %publish, label %start
start:
  call void @start(ptr %context)
  br label %publish
publish:
  %old = load atomic i64, ptr %context monotonic, align 64
  %old.generation = lshr i64 %old, 32
  %generation = add i64 %old.generation, 1
  %slot = and i64 %generation, 1
  %slot.bytes = shl i64 %slot, 7
  %jobs = getelementptr i8, ptr %context, i64 {JOBS}
  %job = getelementptr i8, ptr %jobs, i64 %slot.bytes
  %argument.p = getelementptr i8, ptr %job, i64 8
  %chunks.p = getelementptr i8, ptr %job, i64 16
  %done.p = getelementptr i8, ptr %job, i64 64
  store atomic ptr %fn, ptr %job monotonic, align 8
  store atomic ptr %argument, ptr %argument.p monotonic, align 8
  %limit.p = getelementptr i8, ptr %job, i64 24
  store atomic i64 %chunks, ptr %chunks.p monotonic, align 8
  store atomic i64 %threads, ptr %limit.p monotonic, align 8
  store atomic i64 0, ptr %done.p monotonic, align 64
  %ticket = shl i64 %generation, 32
  atomicrmw xchg ptr %context, i64 %ticket seq_cst
  %sleepers.p = getelementptr i8, ptr %context, i64 {SLEEPERS}
  %sleepers = load atomic i32, ptr %sleepers.p seq_cst, align 4
  %some = icmp ne i32 %sleepers, 0
  %worth = icmp uge i64 %chunks, {WAKE_FROM}
  %asleep = and i1 %some, %worth
  br i1 %asleep, label %wake, label %work
wake:
  %generation.p = getelementptr i8, ptr %context, i64 4
  %others = sub i64 %chunks, 1
  %others.fit = call i64 @llvm.umin.i64(i64 %others, i64 {MAX_THREADS})
  %others.32 = trunc i64 %others.fit to i32
  ; futex(address, FUTEX_WAKE_PRIVATE, count)
  call i64 (i64, ...) @syscall(i64 {FUTEX}, ptr %generation.p, i32 129, i32 %others.32, ptr null)
  br label %work
work:
  call i64 @work(ptr %context, i64 0)
  %worked = call i64 @{TICKS}()
  br label %wait
wait:
  %looks = phi i32 [ 0, %work ], [ %looks.next, %pause ], [ %looks.next, %yield ]
  %done = load atomic i64, ptr %done.p acquire, align 64
  %all = icmp eq i64 %done, %chunks
  br i1 %all, label %end, label %idle
idle:
  %looks.next = add i32 %looks, 1
  %patient = icmp ult i32 %looks.next, {YIELD_AFTER}
  br i1 %patient, label %pause, label %yield
pause:
  {PAUSE}
  br label %wait
yield:
  call i32 @sched_yield()
  br label %wait
end:
  %ended = call i64 @{TICKS}()
  %work.ticks = sub i64 %worked, %begun
  %wait.ticks = sub i64 %ended, %worked
  %patience = mul i64 %work.ticks, {LONG_WAIT}
  %too.long = icmp ugt i64 %wait.ticks, %patience
  %caution.p = getelementptr i8, ptr %context, i64 {CAUTION}
  %caution.held = load i64, ptr %caution.p
  %caution = call i64 @llvm.umax.i64(i64 %caution.held, i64 {LEAST_CAUTION})
  br i1 %too.long, label %give.up, label %trust
give.up:
  %pause.16 = mul i64 %wait.ticks, %caution
  %pause.ticks = lshr i64 %pause.16, 4
  %until = add i64 %ended, %pause.ticks
  store atomic i64 %until, ptr %alone.p monotonic, align 8
  %doubled = shl i64 %caution, 1
  %more.caution = call i64 @llvm.umin.i64(i64 %doubled, i64 {MOST_CAUTION})
  store i64 %more.caution, ptr %caution.p
  br label %leave
trust:
  %less.caution = sub i64 %caution, 1
  store i64 %less.caution, ptr %caution.p
  br label %leave
leave:
  store atomic i32 0, ptr %busy.p release, align 4
  ret i1 true
}
"""

_NO_THREADS = r"""
define internal i1 @parallel_for(ptr %context, ptr %fn, ptr %argument, i64 %chunks, i64 %threads) {
  ret i1 false
}
"""


def pool_ir(host: Host) -> str:
    """Where there is no futex to sleep on, `parallel_for` always refuses, and callers work alone."""
    if not (host.is_linux and (host.is_x86 or host.is_arm64)):
        return _NO_THREADS
    if host.is_x86:
        declaration, pause, futex = "declare void @llvm.x86.sse2.pause()\n", _PAUSE_X86, 202
        ticks = "llvm.readcyclecounter"
    else:
        declaration, pause, futex = "declare void @llvm.aarch64.hint(i32)\n", _PAUSE_ARM, 98
        ticks = "llvm.readsteadycounter"  # the cycle counter is the system's own there
    declaration += "declare i64 @{TICKS}()\n"
    text = declaration + _WORK + _WORKER + _PARALLEL_FOR
    values = {
        "JOBS": JOBS,
        "ALIVE": ALIVE,
        "THREADS": THREADS,
        "SLEEPERS": SLEEPERS,
        "BUSY": BUSY,
        "STARTED": STARTED,
        "CONTEXT_BYTES": CONTEXT_BYTES,
        "MAX_THREADS": MAX_THREADS,
        "SPINS": SPINS,
        "YIELD_EVERY_MASK": YIELD_EVERY - 1,
        "YIELD_AFTER": YIELD_AFTER,
        "WAKE_FROM": WAKE_FROM,
        "ALONE_UNTIL": ALONE_UNTIL,
        "CHUNKS_PER_THREAD": CHUNKS_PER_THREAD,
        "LONG_WAIT": LONG_WAIT,
        "CAUTION": CAUTION,
        "LEAST_CAUTION": LEAST_CAUTION,
        "MOST_CAUTION": MOST_CAUTION,
        "TICKS": ticks,
        "PAUSE": pause,
        "FUTEX": futex,
    }
    for name, value in values.items():
        text = text.replace("{" + name + "}", str(value))
    return text
