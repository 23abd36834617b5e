"""`round(x, n)`: the multiple of 10**-n that is nearest to the exact value, the even one of two; then the float nearest to that.

Python makes and reads decimals for that, each of them rounded correctly. So do `snprintf` and `strtod` of the C library.
"""

from __future__ import annotations

from tracejit.standalone.machine.arithmetic import division, fail_for_width, power, within_range
from tracejit.standalone.machine.floats import both, chosen, either, is_finite, let
from tracejit.standalone.machine.writer import (
    CallWriter,
    Kind,
    Unable,
    Value,
    as_int,
    known,
)


def rounded(w: CallWriter, x: Value, digits: Value) -> Value:
    if digits.kind is Kind.FLOAT:
        raise Unable("round to a number of digits that is a float")
    digits = as_int(w, digits)
    if x.kind is not Kind.FLOAT:
        return _whole(w, as_int(w, x), digits)
    for each in (*_CALLED, ROUNDED_TO):
        w.declare(each)
    found = w.let(f"call double @rounded_to(double {x.text}, i64 {digits.text})")
    return within_range(w, Value(Kind.FLOAT, found), is_finite(w, x))


def _whole(w: CallWriter, x: Value, digits: Value) -> Value:
    """An int rounded to a multiple of a power of ten."""
    places = let(w, Kind.INT, f"sub i64 0, {digits.text}")
    is_far = w.let(f"icmp slt i64 {digits.text}, {-_MOST_PLACES}")
    is_left = w.let(f"icmp sge i64 {digits.text}, 0")
    within = chosen(w, either(w, is_far, is_left), known(0), places)
    unit = power(w, known(10), within)
    count, rest = division(0, w, x, unit), division(1, w, x, unit)
    twice = w.let(f"shl i64 {rest.text}, 1")
    odd = w.let(f"trunc i64 {count.text} to i1")
    is_tie = both(w, w.let(f"icmp eq i64 {twice}, {unit.text}"), odd)
    up = w.let(f"zext i1 {either(w, w.let(f'icmp sgt i64 {twice}, {unit.text}'), is_tie)} to i64")
    w.declare("declare { i64, i1 } @llvm.smul.with.overflow.i64(i64, i64)")
    count = let(w, Kind.INT, f"add i64 {count.text}, {up}")
    pair = w.let(
        f"call {{ i64, i1 }} @llvm.smul.with.overflow.i64(i64 {count.text}, i64 {unit.text})"
    )
    # Of 19 places there is no unit of 64 bits: what is beyond its half becomes one.
    is_next = w.let(f"icmp eq i64 {digits.text}, {-_MOST_PLACES - 1}")
    half = 5 * 10**_MOST_PLACES
    above = w.let(f"icmp sgt i64 {x.text}, {half}")
    below = w.let(f"icmp slt i64 {x.text}, {-half}")
    is_wide = both(w, is_next, either(w, above, below))
    fail_for_width(w, either(w, is_wide, w.let(f"extractvalue {{ i64, i1 }} {pair}, 1")))
    found = let(w, Kind.INT, f"extractvalue {{ i64, i1 }} {pair}, 0")
    return chosen(w, is_far, known(0), found)


_MOST_PLACES = 18
"""So many places before the point can be rounded away within 64 bits."""

_CALLED = (
    "declare i32 @snprintf(ptr, i64, ptr, ...)",
    "declare double @strtod(ptr, ptr)",
    "declare ptr @strchr(ptr, i32)",
    "declare i32 @atoi(ptr)",
    "declare double @llvm.fabs.f64(double)",
    "declare double @llvm.copysign.f64(double, double)",
)
ROUNDED_TO = r"""
; A float rounded to so many digits behind the point, or, where these are negative, before it; infinite where it is too large.
; Floats have 767 significant digits at most, 323 of them matter behind the point, and 309 may stand before it.
define internal double @rounded_to(double %x, i64 %digits) nounwind {
entry:
  %text = alloca [1024 x i8]
  %format = alloca i64
  %size = call double @llvm.fabs.f64(double %x)
  %finite = fcmp olt double %size, 0x7FF0000000000000
  %fine = icmp sgt i64 %digits, 323
  %not.finite = xor i1 %finite, true
  %same = or i1 %fine, %not.finite
  br i1 %same, label %as.it.is, label %look
as.it.is:
  ret double %x
look:
  %zero = fmul double %x, 0.0
  %coarse = icmp slt i64 %digits, -308
  br i1 %coarse, label %nothing, label %choose
nothing:
  ret double %zero
choose:
  %count = trunc i64 %digits to i32
  %behind = icmp sge i32 %count, 0
  br i1 %behind, label %fixed, label %exact
fixed:
  store i64 1714040357, ptr %format ; "%.*f"
  %printed = call i32 (ptr, i64, ptr, ...) @snprintf(ptr %text, i64 1024, ptr %format, i32 %count, double %x)
  %read = call double @strtod(ptr %text, ptr null)
  ret double %read
exact:
  store i64 1697263141, ptr %format ; "%.*e"
  %all = call i32 (ptr, i64, ptr, ...) @snprintf(ptr %text, i64 1024, ptr %format, i32 766, double %size)
  %e.p = call ptr @strchr(ptr %text, i32 101)
  %exponent.p = getelementptr i8, ptr %e.p, i64 1
  %exponent = call i32 @atoi(ptr %exponent.p)
  %left = add i32 %exponent, %count ; digits that stay, but for the first
  %some = icmp sge i32 %left, 0
  br i1 %some, label %shorten, label %none
shorten:
  %short = call i32 (ptr, i64, ptr, ...) @snprintf(ptr %text, i64 1024, ptr %format, i32 %left, double %size)
  br label %parse
none:
  ; Of numbers below a unit those are rounded up that are more than half of it.
  %near = icmp eq i32 %left, -1
  %first = load i8, ptr %text
  %rest.p = getelementptr i8, ptr %text, i64 1
  %is.five = icmp eq i8 %first, 53
  %is.more = icmp ugt i8 %first, 53
  br label %scan
scan:
  %place = phi ptr [ %rest.p, %none ], [ %place.next, %digit ]
  %more = phi i1 [ false, %none ], [ %more.next, %digit ]
  %done = icmp eq ptr %place, %e.p
  br i1 %done, label %decide, label %digit
digit:
  %character = load i8, ptr %place
  %above = sub i8 %character, 49
  %counts = icmp ult i8 %above, 9
  %more.next = or i1 %more, %counts
  %place.next = getelementptr i8, ptr %place, i64 1
  br label %scan
decide:
  %over.half = and i1 %is.five, %more
  %large = or i1 %is.more, %over.half
  %up = and i1 %near, %large
  br i1 %up, label %unit, label %nothing
unit:
  store i64 1680172337, ptr %format ; "1e%d"
  %places = sub i32 0, %count
  %written = call i32 (ptr, i64, ptr, ...) @snprintf(ptr %text, i64 1024, ptr %format, i32 %places)
  br label %parse
parse:
  %found = call double @strtod(ptr %text, ptr null)
  %signed = call double @llvm.copysign.f64(double %found, double %x)
  ret double %signed
}
"""
"""What `round` of floats calls."""
