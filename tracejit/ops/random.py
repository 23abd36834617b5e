"""Random numbers by Philox4x32-10: element i is a function of the state and i alone, so every tier draws the same bits.

A state is uint64[2]: the key, and the counter of the next block. Element i of a draw is made of block `counter + i`; a draw of
n elements therefore uses n blocks, and `advance(state, n)` is the state after it.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi, prod
from typing import Any

import numpy as np

from tracejit import dtypes
from tracejit._errors import DTypeError, ShapeError, at_user_line
from tracejit.dtypes import DType, uint64
from tracejit.ir.aval import Aval, aval
from tracejit.ops.arguments import cast, normal_shape, refuse, value, value_or_number
from tracejit.ops.elementwise import (
    add,
    astype,
    bitwise_and,
    bitwise_right_shift,
    less,
    multiply,
    sqrt,
)
from tracejit.ops.families import pointwise, record, reshape_to
from tracejit.ops.functions import cos, log
from tracejit.ops.op import Op, Pointwise
from tracejit.ops.slicing import slice_axis
from tracejit.symbols import is_number

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
LOW = 0xFFFF_FFFF

Block = tuple[Any, Any, Any, Any]


def philox_block(key: Any, counter: Any, zero: Any) -> Block:
    """The four 32-bit words of a block, as uint64s; written for elements of a kernel and for NumPy arrays alike."""
    words: Block = (counter & LOW, counter >> 32, zero, zero)
    keys = (key & LOW, key >> 32)
    for _ in range(ROUNDS):
        first, second = words[0] * MULTIPLIERS[0], words[2] * MULTIPLIERS[1]
        words = (
            (second >> 32) ^ words[1] ^ keys[0],
            second & LOW,
            (first >> 32) ^ words[3] ^ keys[1],
            first & LOW,
        )
        keys = ((keys[0] + WEYL[0]) & LOW, (keys[1] + WEYL[1]) & LOW)
    return words


def _drawn(words: Block, word: int, dtype: DType) -> Any:
    """Word `word` of a block, or for 64 bits it and the next, the first one low."""
    return words[word] | (words[word + 1] << 32) if dtype is uint64 else words[word]


def _philox_infer(key: Aval, counter: Aval, *, length: int, word: int, dtype: DType) -> Aval:
    if key.dtype is not uint64 or counter.dtype is not uint64 or key.shape or counter.shape:
        refuse(DTypeError, "philox", (key, counter), "needs a key and a counter, each u64[]")
    return aval(dtype, (length,), key.device)


def _philox_eval(key: Any, counter: Any, *, length: int, word: int, dtype: DType) -> Any:
    counters = counter + np.arange(length, dtype=np.uint64)
    words = philox_block(np.full_like(counters, key), counters, np.zeros_like(counters))
    return _drawn(words, word, dtype).astype(dtype.numpy)


def _philox_scalar(s: Any, key: Any, counter: Any, *, length: int, word: int, dtype: DType) -> Any:
    words = philox_block(key, counter + s.cast(s.index(0), uint64), s.const(0, uint64))
    return s.cast(_drawn(words, word, dtype), dtype)


philox: Op = record(
    "philox",
    infer=_philox_infer,
    eval=_philox_eval,
    recipe=Pointwise(_philox_scalar),
    doc="Element i: word `word` (uint32), or words `word` and `word` + 1 (uint64), of block counter + i.",
)


def _state_coerce(state: Any, blocks: Any) -> Any:
    return (_checked(state), cast(value_or_number(blocks), uint64)), {}


_advance: Op = record(
    "advance",
    infer=lambda state, blocks: state,
    eval=lambda state, blocks: state + np.array([0, 1], np.uint64) * blocks,
    recipe=Pointwise(lambda s, state, blocks: s.select(s.index(0) == 1, state + blocks, state)),
    coerce=_state_coerce,
    doc="The state `blocks` blocks later.",
)


def _multiply_high(s: Any, x: Any, y: Any) -> Any:
    return _high_product(x & LOW, x >> 32, y & LOW, y >> 32)


def _high_product(x_low: Any, x_high: Any, y_low: Any, y_high: Any) -> Any:
    middle = x_high * y_low + (x_low * y_low >> 32)
    return x_high * y_high + (middle >> 32) + ((middle & LOW) + x_low * y_high >> 32)


multiply_high: Op = pointwise(
    "multiply_high",
    dtypes=(uint64,),
    eval=lambda x, y: _high_product(x & LOW, x >> 32, y & LOW, y >> 32),
    scalar=_multiply_high,
    doc="The upper 64 bits of the 128-bit product of two uint64s.",
)


# states


def new_state(seed: int) -> np.ndarray:
    """The state that a seed begins with, as uint64[2]; seeds are taken modulo 2**64."""
    return np.array([seed % (1 << 64), 0], np.uint64)


def advance(state: Any, blocks: int) -> Any:
    """The state after a draw of `blocks` elements."""
    return _advance(state, blocks)


def _checked(state: Any) -> Any:
    state = value(state)
    if state.aval.dtype is not uint64 or state.aval.shape != (2,):
        refuse(ShapeError, "random", (state.aval,), "a state is u64[2]: a key and a counter")
    return state


# draws


def bits(
    state: Any, shape: int | Sequence[int], *, dtype: Any = dtypes.uint32, word: int = 0
) -> Any:
    """Uniform random bits of `shape`, as uint32 or uint64; `word` (of 4, for uint64 0 or 2) picks from each block."""
    state = _checked(state)
    chosen = dtypes.as_dtype(dtype)
    if chosen not in (dtypes.uint32, uint64):
        raise DTypeError(at_user_line(f"bits: makes uint32 and uint64, not {chosen.name}"))
    wanted = normal_shape(shape)
    key, counter = (reshape_to(slice_axis(state, 0, at, at + 1), ()) for at in (0, 1))
    return reshape_to(philox(key, counter, length=prod(wanted), word=word, dtype=chosen), wanted)


def uniform(state: Any, shape: int | Sequence[int], *, dtype: Any = dtypes.float32) -> Any:
    """Uniform floats of [0, 1): multiples of 2**-24, or of 2**-53 in float64."""
    chosen = _floating(dtype, "uniform")
    if chosen is dtypes.float64:
        return _unit_double(bits(state, shape, dtype=uint64))
    drawn = bitwise_right_shift(bits(state, shape), 8)
    if chosen in dtypes.HALF:
        # All bits of a 24-bit fraction would round up to 1.
        kept = 11 if chosen is dtypes.float16 else 8
        return multiply(
            astype(astype(bitwise_right_shift(drawn, 24 - kept), dtypes.int32), chosen), 2.0**-kept
        )
    return _unit_single(drawn)


def _unit_single(drawn: Any) -> Any:
    """24 random bits as a fraction."""
    return multiply(astype(astype(drawn, dtypes.int32), dtypes.float32), 2.0**-24)


def _unit_double(drawn: Any) -> Any:
    """The upper 53 of 64 random bits as a fraction."""
    whole = astype(bitwise_right_shift(drawn, 11), dtypes.int64)
    return multiply(astype(whole, dtypes.float64), 2.0**-53)


def normal(state: Any, shape: int | Sequence[int], *, dtype: Any = dtypes.float32) -> Any:
    """Normal floats of mean 0 and variance 1, by the cosine of Box and Muller; at most 5.8 (float64: 8.6) from 0."""
    chosen = _floating(dtype, "normal")
    if chosen is dtypes.float64:
        radius = _unit_double(bits(state, shape, dtype=uint64))
        turn = _unit_double(bits(state, shape, dtype=uint64, word=2))
        return _box_muller(add(radius, 2.0**-53), turn)
    drawn = bits(state, shape, dtype=uint64)
    radius = add(_unit_single(bitwise_right_shift(drawn, 40)), 2.0**-24)
    turn = _unit_single(bitwise_and(bitwise_right_shift(drawn, 8), 0xFF_FFFF))
    return astype(_box_muller(radius, turn), chosen)


def _box_muller(radius: Any, turn: Any) -> Any:
    """sqrt(-2 log(radius)) * cos(2 pi turn), of a radius in (0, 1]."""
    return multiply(sqrt(multiply(log(radius), -2.0)), cos(multiply(turn, 2 * pi)))


def integers(
    state: Any, low: int, high: int | None, shape: int | Sequence[int], *, dtype: Any = dtypes.int64
) -> Any:
    """Integers of [low, high), or of [0, low) where `high` is None.

    64 random bits times the width of the range, the upper 64 bits of it: no number is favoured by more than width / 2**64.
    """
    low, high = (0, low) if high is None else (low, high)
    chosen = dtypes.as_dtype(dtype)
    if not chosen.is_integer:
        raise DTypeError(at_user_line(f"integers: makes integers, not {chosen.name}"))
    limits = dtypes.iinfo(chosen)
    if not int(limits.min) <= low < high <= int(limits.max) + 1:
        raise ValueError(
            at_user_line(f"integers: [{low}, {high}) is empty or not within {chosen.name}")
        )
    drawn = bits(state, shape, dtype=uint64)
    if high - low < 1 << 64:
        drawn = multiply_high(drawn, high - low)
    return astype(add(drawn, low % (1 << 64)), chosen)


def bernoulli(state: Any, p: Any, shape: int | Sequence[int]) -> Any:
    """Bools of `shape` that are true with probability `p`, a number or an array that broadcasts to it."""
    if is_number(p) and not 0 <= p <= 1:
        raise ValueError(at_user_line(f"bernoulli: a probability is between 0 and 1, got {p}"))
    return less(uniform(state, shape), p)


def _floating(dtype: Any, name: str) -> DType:
    chosen = dtypes.as_dtype(dtype)
    if not chosen.is_float:
        raise DTypeError(at_user_line(f"{name}: makes floats, not {chosen.name}"))
    return chosen


__all__ = ["advance", "bernoulli", "bits", "integers", "new_state", "normal", "uniform"]
