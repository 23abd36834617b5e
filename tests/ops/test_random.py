"""Philox draws the reference's bits, and the draws built on it have their distributions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ops.scalars import evaluate
from tracejit import dtypes
from tracejit._errors import DTypeError, ShapeError
from tracejit.ops import random
from tracejit.ops.registry import REGISTRY

MASK = 0xFFFF_FFFF


def reference(key: tuple[int, int], counter: tuple[int, int, int, int]) -> list[int]:
    """Philox4x32-10 as the paper writes it, in Python's integers."""
    words, keys = list(counter), list(key)
    for _ in range(10):
        first, second = words[0] * 0xD2511F53, words[2] * 0xCD9E8D57
        words = [
            second >> 32 ^ words[1] ^ keys[0],
            second & MASK,
            first >> 32 ^ words[3] ^ keys[1],
            first & MASK,
        ]
        keys = [(keys[0] + 0x9E3779B9) & MASK, (keys[1] + 0xBB67AE85) & MASK]
    return words


def state(key: int, counter: int) -> np.ndarray:
    return np.array([key, counter], np.uint64)


def test_the_reference_gives_the_known_answers() -> None:
    assert reference((0, 0), (0, 0, 0, 0)) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    ones = reference((MASK, MASK), (MASK, MASK, MASK, MASK))
    assert ones == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


@pytest.mark.parametrize(
    ("key", "counter"), [(0, 0), (1 << 40 | 7, 5), (2**64 - 1, 2**32 - 2), (3, 2**64 - 2)]
)
def test_bits_are_those_of_the_reference(key: int, counter: int) -> None:
    places = [(counter + i) % 2**64 for i in range(4)]
    expected = np.array(
        [reference((key & MASK, key >> 32), (c & MASK, c >> 32, 0, 0)) for c in places]
    )
    for word in range(4):
        found = random.bits(state(key, counter), (2, 2), word=word).array
        np.testing.assert_array_equal(found, expected[:, word].reshape(2, 2).astype(np.uint32))
    wide = random.bits(state(key, counter), 4, dtype="uint64", word=2).array
    np.testing.assert_array_equal(wide, [int(row[2]) | int(row[3]) << 32 for row in expected])


@pytest.mark.parametrize("word", [0, 2])
@pytest.mark.parametrize("dtype", [dtypes.uint32, dtypes.uint64], ids=str)
def test_the_kernel_draws_the_bits_of_eval(dtype: Any, word: int) -> None:
    args = (np.array(2**63 + 9, np.uint64), np.array(2**64 - 3, np.uint64))
    params = {"length": 8, "word": word, "dtype": dtype}
    np.testing.assert_array_equal(
        evaluate(random.philox, *args, **params), random.philox.eval(*args, **params)
    )


def test_the_upper_half_of_a_product_is_exact() -> None:
    x = np.array([0, 1, 2**32, 2**63 + 12345, 2**64 - 1], np.uint64)
    expected = [[int(a) * int(b) >> 64 for a in x] for b in x]
    np.testing.assert_array_equal(
        random.multiply_high(x, x[:, None]).array, np.array(expected, np.uint64)
    )
    np.testing.assert_array_equal(
        evaluate(random.multiply_high, x, x[:, None]), np.array(expected, np.uint64)
    )


def test_a_long_draw_is_short_draws_one_after_another() -> None:
    start = random.new_state(11)
    whole = random.normal(start, 10).array
    first, then = (
        random.normal(start, 4).array,
        random.normal(random.advance(start, 4), (2, 3)).array,
    )
    np.testing.assert_array_equal(whole, np.concatenate([first, then.ravel()]))
    assert random.advance(start, 4).array.tolist() == [11, 4]
    moved = evaluate(REGISTRY["advance"], start, np.array(4, np.uint64))
    assert moved.tolist() == [11, 4]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_uniform_floats_are_in_the_half_open_interval(dtype: str) -> None:
    x = random.uniform(random.new_state(1), 20_000, dtype=dtype).array
    assert x.dtype == dtypes.as_dtype(dtype).numpy
    x = x.astype(np.float64)
    assert 0 <= x.min() < x.max() < 1
    assert abs(x.mean() - 0.5) < 0.01
    assert abs(x.var() - 1 / 12) < 0.01


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_normal_floats_have_the_moments_of_the_normal_distribution(dtype: str) -> None:
    x = random.normal(random.new_state(2), (100, 200), dtype=dtype).array.astype(np.float64)
    assert np.isfinite(x).all()
    assert abs(x.mean()) < 0.03
    assert abs(x.std() - 1) < 0.03
    assert abs((x**3).mean()) < 0.1
    assert abs((x**4).mean() - 3) < 0.3


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (0, 7, "int64"),
        (-3, 4, "int8"),
        (250, 256, "uint8"),
        (-(2**63), 2**63, "int64"),
        (0, 2**64, "uint64"),
        (5, None, "int32"),
    ],
)
def test_integers_fill_their_range(low: int, high: int | None, dtype: str) -> None:
    x = random.integers(random.new_state(3), low, high, 5_000, dtype=dtype).array
    assert x.dtype == np.dtype(dtype)
    least, most = (0, low) if high is None else (low, high)
    assert least <= int(x.min())
    assert int(x.max()) < most
    if most - least < 10:
        counts = np.bincount(x.astype(np.int64) - least)
        assert len(counts) == most - least
        assert counts.min() > 0.8 * 5_000 / (most - least)


def test_bernoulli_takes_a_probability_for_each_element() -> None:
    x = random.bernoulli(
        random.new_state(4), np.array([0.0, 0.25, 1.0], np.float32), (4_000, 3)
    ).array
    assert x.dtype == np.bool_
    share = x.mean(0)
    assert share[0] == 0
    assert abs(share[1] - 0.25) < 0.03
    assert share[2] == 1


def test_what_cannot_be_drawn_is_refused() -> None:
    good = random.new_state(0)
    with pytest.raises(ShapeError, match=r"a state is u64\[2\]"):
        random.uniform(np.zeros(2), 3)
    with pytest.raises(ValueError, match="empty"):
        random.integers(good, 3, 3, 2)
    with pytest.raises(ValueError, match="not within int8"):
        random.integers(good, 0, 200, 2, dtype="int8")
    with pytest.raises(DTypeError):
        random.uniform(good, 3, dtype="int8")
    with pytest.raises(DTypeError):
        random.bits(good, 3, dtype="int8")
