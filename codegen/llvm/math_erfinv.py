"""The inverse of the error function.

With w = -log(1 - x^2) it is x times a function that has no edge at 1, and grows as sqrt(w) does (Giles, "Approximating the erfinv
function", 2010).
"""

from __future__ import annotations

from typing import Final

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.cold import computed_where
from tracejit.codegen.llvm.math_core import (
    INFINITY,
    Digits,
    fast_two_sum,
    horner,
    parts,
    two_product,
    two_sum,
)
from tracejit.codegen.llvm.math_log import log, log_as_sum

MIDDLE: Final = 3.125
TAIL_FROM: Final = 6.25
"""The w from which on x is within 0.001 of 1."""

ERFINV_CENTRE: Final[dict[str, Digits]] = {
    "float": (1.6536545671571599164,),
    "double": (1.6536545626831027, -1.8776312625198624e-17),
}
ERFINV_SLOPE: Final[dict[str, Digits]] = {
    "float": (0.24015816689444382078,),
    "double": (0.24015818242558834, -7.369753109876184e-18),
}
ERFINV_REST: Final = {
    # (erfinv(x) / x - ERFINV_CENTRE - u ERFINV_SLOPE) / u^2, u = w - 3.125 in [-3.125, 3.125], relative error of erfinv
    # 2^-28, 2^-58
    "float": (
        -0.0060337059244640865716, -0.00074066718438155927808, 0.00018677798605071597931,
        -0.000013905893530924596484, -1.3852876459128601891e-6, 4.3021729758674498382e-7,
        -2.5032382690810462081e-8, -5.0847706235019872383e-9, 6.729944878326377868e-10,
        1.8082702995062188635e-11,
    ),
    "double": (
        -0.0060336708714269963764, -0.00074070253415455464563, 0.00018673420802052928592,
        -0.000013882523394196568859, -1.3654691772635558407e-6, 4.2347881711963774664e-7,
        -2.9070389896136107482e-8, -4.1126606422962453526e-9, 1.0512225672459375765e-9,
        -5.4142946516050894991e-11, -1.2978504295464279283e-11, 2.6305035287147412467e-12,
        -8.0792886220138475136e-14, -4.0015911561191701397e-14, 6.5333366189710515744e-15,
        -3.9876337131860651291e-17, -1.2344812787687219406e-16, 1.5545076128386196664e-17,
        6.9562201080224663027e-19, -3.4875970006177626983e-19, 1.6540993053859310006e-20,
        3.2192758632495029294e-21, -3.0018976301803698167e-22,
    ),
}  # fmt: skip

FAR_MIDDLE: Final = 0.26707418405416783
FAR_CENTRE: Final = (0.9199611311914911, 5.071858528695302e-18)
FAR_REST: Final = (
    # double: (erfinv(x) / (x s) - FAR_CENTRE) / t, s = sqrt(w + 1), t = 1 / s - FAR_MIDDLE, w from 6.25 to 36.75, relative error
    # of erfinv 2^-57
    -0.47194743777690418876, -0.41192200224892931775, 0.67978525564126251573, 1.6071544532283069465,
    23.063411506707864842, 107.44991180459992918, -203.5066975929176086, -5138.0706981048110758,
    -5779.9944931109829405, 184850.96808211351163, 305683.32060547735641, -6765372.9735079824722,
    -3532897.9264520531746, 240969462.71964929356, -426586850.53186997034, -7089126855.6032547977,
    37372159897.887059846, 119252441804.52748902, -1761837123208.3787272, 1817360890324.641535,
    54223105637439.196827, -194967233788104.92033, -1030682370254364.0178, 5784077055054525.5922,
    9269663165471943.5336, -68441539234111694.93,
)  # fmt: skip


def erfinv(b: Builder, x: Value) -> Value:
    """x (centre + u slope + u^2 P(u)); NaN beyond -1 and 1."""
    element = x.type.element
    w = -log(b, b.fma(-x, x, 1.0))
    u, u_low = fast_two_sum(b.constant(x.type, -MIDDLE), w)
    centre, centre_low = parts(ERFINV_CENTRE[element], element)
    slope, slope_low = parts(ERFINV_SLOPE[element], element)
    product, product_low = two_product(b, u, b.constant(x.type, slope))
    low = product_low + b.fma(u, slope_low, b.fma(u_low, slope, centre_low))
    factor, factor_low = fast_two_sum(b.constant(x.type, centre), product)
    rest = b.fma(u * u, horner(b, u, ERFINV_REST[element]), low)
    y = b.fma(x, factor, x * (factor_low + rest))
    # Where x is 0 the last sum is one of zeros of both signs.
    return computed_where(b, w > TAIL_FROM, "far.erfinv", b.copysign(y, x), _far, x)


def _far(b: Builder, near: Value, x: Value) -> Value:
    """x s (centre + t P(t)); infinite at -1 and 1. Floats are computed in double."""
    if x.type.element == "float":
        wide = (b.convert("fpext", value, "double") for value in (near, x))
        return b.convert("fptrunc", _far(b, *wide), "float")
    log, log_low = log_as_sum(b, b.fma(-x, x, 1.0))
    total, lost = two_sum(-log, b.constant(x.type, 1.0))
    root = b.sqrt(total)
    root_low = (b.fma(-root, root, total) + (lost - log_low)) / (root + root)
    t = 1.0 / root - FAR_MIDDLE
    high, low = FAR_CENTRE
    rest = b.fma(t, horner(b, t, FAR_REST), low)
    scaled, scaled_low = two_product(b, x, root)
    scaled_low = b.fma(x, root_low, scaled_low)
    product, product_low = two_product(b, scaled, b.constant(x.type, high))
    y = product + (product_low + b.fma(scaled, rest, scaled_low * high))
    return b.select(b.abs(x) < 1.0, y, b.copysign(b.constant(x.type, INFINITY), x))
