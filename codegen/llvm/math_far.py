"""sin, cos and tan of large arguments: Payne and Hanek's reduction, in integers.

Of 1 / pi the bits are taken that the argument's exponent calls for: all before them make even numbers of half turns, and 192 of
them leave 75 bits even of the double that is nearest to a multiple of pi / 2.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from tracejit._records import dataclass
from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.cold import looked_up
from tracejit.codegen.llvm.math_core import PI, Digits, times, two_product, two_sum

_DIGITS: Final = (
    "517cc1b727220a94fe13abe8fa9a6ee06db14acc9e21c820ff28b1d5ef5de2b0db92371d2126e9700324977504e8c90e"
    "7f0ef58e5894d39f74411afa975da24274ce38135a2fbf209cc8eb1cc1a99cfa4e422fc5defc941d8ffc4bffef02cc07"
    "f79788c5ad05368fb69b3f6793e584dba7a31fb34f2ff516ba93dd63f5f2f8bd9e839cfbc529497535fdafd88fc6ae84"
    "2b019823"
)
INVERSE_PI: Final = (0, 0, *(int(_DIGITS[at : at + 8], 16) for at in range(0, len(_DIGITS), 8)))
"""The bits of 1 / pi behind the point, 32 at a time, and 64 zeros before them, which small exponents reach."""
_LIMBS: Final = 6
_FIRST_BIT: Final = 1012
"""The exponent, as a double has it, for which bits are taken from the beginning."""
_LOW: Final = (1 << 32) - 1
_SIGN: Final = -(1 << 63)


@dataclass(frozen=True, slots=True)
class Rest:
    """|x| less a number of units, at most half of one away from it.

    angle    the magnitude of what is left, as an unevaluated sum of doubles
    sign     all bits where that is less than 0, else none
    is_odd   1 where the number of units is odd, else 0
    """

    angle: tuple[Value, Value]
    sign: Value
    is_odd: Value


def rest_of_half_turns(b: Builder, x: Value, *, shift: bool = False) -> Rest:
    """Of half turns, or of half turns and a quarter turn."""
    high, middle, low = _product(b, x)
    if shift:
        high = high - (1 << 62)
    return _rest(b, high, middle, low, PI)


def rest_of_quarter_turns(b: Builder, x: Value) -> Rest:
    high, middle, low = _product(b, x)
    return _rest(b, _shifted(b, high, middle), _shifted(b, middle, low), low << 1, times(PI, 0.5))


def _product(b: Builder, x: Value) -> tuple[Value, Value, Value]:
    """|x| / pi modulo 2, as 192 bits of which the first one counts 1; x is a double scalar of at least 2^-10."""
    bits = b.bits(b.abs(x))
    place = b.shift_right(bits, 52, signed=False) - _FIRST_BIT
    mantissa = (bits & ((1 << 52) - 1)) | (1 << 52)
    low, high = mantissa & _LOW, b.shift_right(mantissa, 32, signed=False)
    window = _window(b, b.shift_right(place, 5, signed=False), place & 31)
    limbs: list[Value] = []
    carry = upper = b.constant(bits.type, 0)
    for limb in window:
        first, second = low * limb, upper
        total = (first & _LOW) + (second & _LOW) + carry
        limbs.append(total & _LOW)
        carry = sum(
            (b.shift_right(each, 32, signed=False) for each in (first, second)),
            b.shift_right(total, 32, signed=False),
        )
        upper = high * limb
    halves = [(limbs[n + 1] << 32) | limbs[n] for n in range(0, _LIMBS, 2)]
    return halves[2], halves[1], halves[0]


def _window(b: Builder, word: Value, shift: Value) -> list[Value]:
    """So many limbs of 1 / pi from a bit on, the last one first."""
    words = [looked_up(b, "inverse_pi", INVERSE_PI, word + n) for n in range(_LIMBS + 1)]
    back = b.constant(shift.type, 32) - shift
    return [
        b.binary("lshr", (first << 32) | second, back) & _LOW
        for first, second in reversed([*pairwise(words)])
    ]


def _shifted(b: Builder, high: Value, low: Value) -> Value:
    """The bits of both, from the second one on."""
    return (high << 1) | b.shift_right(low, 63, signed=False)


def _rest(b: Builder, high: Value, middle: Value, low: Value, unit: Digits) -> Rest:
    """The first bit of 192 counts one unit."""
    is_odd = b.shift_right(high + (1 << 62), 63, signed=False)
    first, second = _shifted(b, high, middle), _shifted(b, middle, low)
    sign = b.shift_right(first, 63, signed=True)
    first, second = first ^ sign, second ^ sign
    pieces = [
        b.convert("sitofp", piece, "double") * 2.0 ** (-32 * n)
        for n, piece in enumerate(
            [
                b.shift_right(first, 32, signed=False),
                first & _LOW,
                b.shift_right(second, 32, signed=False),
                second & _LOW,
            ],
            1,
        )
    ]
    units, rest = two_sum(pieces[0], pieces[1])
    units, rest = two_sum(units, rest + (pieces[2] + pieces[3]))
    product, lost = two_product(b, units, b.constant(units.type, unit[0]))
    lost = b.fma(units, unit[1], b.fma(rest, unit[0], lost))
    return Rest(two_sum(product, lost), sign & _SIGN, is_odd)


def with_sign(b: Builder, x: Value, sign: Value) -> Value:
    """A double with its sign changed where that bit is set."""
    return b.from_bits(b.bits(x) ^ sign)
