"""Hand-written kernels, and plans made of them."""

from __future__ import annotations

import hashlib

from tracejit.artifact import Argument, BufferSpec, KernelSource, LaunchSpec, Place, Plan, Segment

SCALE = """\
; y[i] = x[i] * k for the tasks i
define void @NAME(ptr %context, ptr %buffers, ptr %dims, i64 %begin, i64 %end, ptr %scratch) {
entry:
  %x = load ptr, ptr %buffers
  %y.p = getelementptr ptr, ptr %buffers, i64 1
  %y = load ptr, ptr %y.p
  %k.p = getelementptr ptr, ptr %buffers, i64 2
  %k.q = load ptr, ptr %k.p
  %k = load float, ptr %k.q
  br label %look
look:
  %i = phi i64 [ %begin, %entry ], [ %next, %body ]
  %more = icmp slt i64 %i, %end
  br i1 %more, label %body, label %done
body:
  %from = getelementptr float, ptr %x, i64 %i
  %to = getelementptr float, ptr %y, i64 %i
  %value = load float, ptr %from
  %product = fmul float %value, %k
  store float %product, ptr %to
  %next = add i64 %i, 1
  br label %look
done:
  ret void
}
"""

COUNT = """\
; counts[first + i] += 1 for the tasks i, through scratch, which another thread would spoil
define void @NAME(ptr %context, ptr %buffers, ptr %dims, i64 %begin, i64 %end, ptr %scratch) {
entry:
  %counts = load ptr, ptr %buffers
  %first = load i64, ptr %dims
  br label %task
task:
  %i = phi i64 [ %begin, %entry ], [ %i.next, %add ]
  %more = icmp slt i64 %i, %end
  br i1 %more, label %fill, label %done
fill:
  %k = phi i64 [ 0, %task ], [ %k.next, %fill ]
  %slot = getelementptr i64, ptr %scratch, i64 %k
  store volatile i64 %i, ptr %slot
  %k.next = add i64 %k, 1
  %filling = icmp slt i64 %k.next, 64
  br i1 %filling, label %fill, label %check
check:
  %c = phi i64 [ 0, %fill ], [ %c.next, %check ]
  %bad = phi i64 [ 0, %fill ], [ %bad.next, %check ]
  %read = getelementptr i64, ptr %scratch, i64 %c
  %value = load volatile i64, ptr %read
  %differs = icmp ne i64 %value, %i
  %one = zext i1 %differs to i64
  %bad.next = add i64 %bad, %one
  %c.next = add i64 %c, 1
  %checking = icmp slt i64 %c.next, 64
  br i1 %checking, label %check, label %add
add:
  %index = add i64 %first, %i
  %count = getelementptr i64, ptr %counts, i64 %index
  %old = load i64, ptr %count
  %up = add i64 %old, 1
  %spoilt = mul i64 %bad.next, 1000
  %new = add i64 %up, %spoilt
  store i64 %new, ptr %count
  %i.next = add i64 %i, 1
  br label %task
done:
  ret void
}
"""


def kernel(template: str, salt: str = "") -> KernelSource:
    """The kernel under a name of its own text and `salt`; another salt is another kernel to the process."""
    name = "k" + hashlib.sha256((template + salt).encode()).hexdigest()[:16]
    return KernelSource(name, template.replace("NAME", name))


def scale_plan(size: int, *, launches: int = 1, grain: int = 1000, salt: str = "") -> Plan:
    """y = x * k for one float32 input, one float32 scalar and one output of `size` elements."""
    source = kernel(SCALE, salt)
    arguments = tuple(Argument(place, 0) for place in (Place.INPUT, Place.OUTPUT, Place.SCALAR))
    launch = LaunchSpec(source.name, (Segment(arguments, (), size),), grain)
    spec = BufferSpec("float32", (size,))
    return Plan((source,), (launch,) * launches, (spec,), (spec,), ("float32",))


def count_plan(tasks: list[int], grain: int) -> Plan:
    """Adds one to each element of an int64 input of sum(tasks) elements, one segment for each of `tasks`."""
    source = kernel(COUNT)
    starts = [sum(tasks[:index]) for index in range(len(tasks))]
    segments = tuple(
        Segment((Argument(Place.INPUT, 0),), (start,), count) for start, count in zip(starts, tasks)
    )
    launch = LaunchSpec(source.name, segments, grain, scratch_bytes=512)
    return Plan((source,), (launch,), (BufferSpec("int64", (sum(tasks),)),), (), ())
