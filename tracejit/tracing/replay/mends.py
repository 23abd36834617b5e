"""What to do about calls that are not replayed: for each guard that failed, and for each reason, the mend."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tracejit.tensor import Tensor
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.kinds import can_be_input
from tracejit.tracing.replay.symbolic import PLACE

EACH = "each needs a recording"


def mend_of_guard(guard: Any, now: Any, *, is_input: bool) -> str:
    """What mends that `guard` did not hold, where `now` stands there; `is_input`: that changes, as is known."""
    match guard:
        case g.Equals():
            return _mend_of_value(guard.value, now, is_input)
        case g.NumberIs():
            return f"it is of another type now; {EACH}, so keep the type"
        case g.TensorIs():
            return _mend_of_tensor(guard, now, is_input)
        case g.ArrayIs():
            return _mend_of_array(guard, now, is_input)
        case g.SizeIs() if guard.relation == "eq" and guard.outcome:
            return _mend_of_sizes(True)
        case g.Is():
            return _mend_of_object(guard.kind)
        case g.LengthIs():
            return _mend_of_length(guard.length, now)
        case g.ResultIs() if guard.text == PLACE:
            return f"{EACH}; give the part as an argument, which may begin anywhere, or index with an array"
        case g.SameObject():
            return "whether two names lead to one object decides what is done; keep it the same"
    return MENDS_OF_GUARDS.get(type(guard).__name__, f"what is as it was is replayed; {EACH}")


MENDS_OF_GUARDS = {
    "ArgumentsAre": f"ways to give the arguments: {EACH}; give them in the same way every time",
    "ModeIs": f"modes that change: {EACH}",
    "SettingsAre": f"settings that change: {EACH}; set them once",
    "TypeIs": f"types that change: {EACH}",
    "KeysAre": f"keys that come and go: {EACH}; make all keys before the first call",
    "KeyIn": f"keys and attributes that come and go: {EACH}; make them all before the first call",
    "TruthIs": f"empty, or not empty: {EACH}",
    "ResultIs": f"a decision on numbers went another way; {EACH}, so decide on few values, or outside",
    "ViewIs": f"other parts of memory that is written, or reached in another way too: {EACH}; give it a .copy()",
    "SizeIs": f"what was asked of the size has another answer; {EACH}",
    "AllDistinct": "objects that are written were different ones, and are one now; give it different objects",
    "Differ": "objects that are compared were different ones, and are one now; give it different objects",
    "MemoryApart": "memory that is written is used in another way as well; give it a copy",
    "ClassHas": "the class was changed; change classes before the first call",
    "ClassLacks": "the class was changed; change classes before the first call",
    "ClassEntry": "the class was changed; change classes before the first call",
    "BasesAre": "the class was changed; change classes before the first call",
    "CodeIs": "the function was changed; change functions before the first call",
}
"""By the name of the guard's class."""

MEND_OF_BRANCH = (
    "each way needs a recording; tj.where computes both sides and chooses, and needs one"
)
MEND_OF_FOREIGN = "work on a copy of the array, and copy it back after the last decision"
MEND_OF_ERROR = "calls that raise are run by Python; nothing is to be mended if they are few"


def mend_of_branch(open_loops: Mapping[str, str], where: str) -> str:
    """What mends that a decision on data went another way, where these loops were not closed."""
    if not open_loops:
        return MEND_OF_BRANCH
    loop = where if where in open_loops else [*open_loops][-1]
    return f"each number of rounds needs a recording, as the loop at {loop} is not closed: {open_loops[loop]}"


def _mend_of_value(before: Any, now: Any, is_input: bool) -> str:
    if now is g.MISSING:
        return "it is not there any more"
    if type(before) is not type(now):
        return f"it was of another type; types that change: {EACH}"
    if not can_be_input(before):
        return f"values that change: {EACH}; few values are well, a new one at each call is not"
    if is_input:
        return f"the number decides what is done, a length or a default, so that {EACH}"
    name = type(before).__name__
    return f"{'an' if name == 'int' else 'a'} {name} that changes is an input from the second change on"


def _mend_of_tensor(guard: g.TensorIs, now: Any, is_input: bool) -> str:
    if not isinstance(now, Tensor) or type(now) is not guard.kind:
        return f"it was a tensor; types that change: {EACH}"
    if now.aval.dtype is not guard.aval.dtype:
        return f"dtypes that change: {EACH}; convert with .to(...) before the call"
    if now.aval is not guard.aval and guard.grad not in ("none", "view"):
        return f"sizes of what needs gradients: {EACH}; .detach() leaves them open"
    if now.aval is not guard.aval:
        return _mend_of_sizes(is_input)
    if now.layout != guard.layout and now.layout is not guard.layout:
        return f"layouts that change: {EACH}; give it a .copy(), whose elements lie in order"
    if now.storage.pending is not None:
        return "another thread is still computing it"
    return f"whether it needs a gradient, is a view, or was computed on the tape: {EACH}; .detach() settles it"


def _mend_of_sizes(is_input: bool) -> str:
    if is_input:
        return f"the size decides what is done, so that {EACH}; pad or bucket them"
    return "a size that changes is left open from the second one on"


def _mend_of_array(guard: g.ArrayIs, now: Any, is_input: bool) -> str:
    if type(now).__name__ != "ndarray":
        return f"it was an array; types that change: {EACH}"
    if now.dtype != guard.dtype:
        return f"dtypes that change: {EACH}; convert with .astype(...) before the call"
    if now.shape != guard.shape:
        return _mend_of_sizes(is_input)
    return f"other strides, or memory that is not aligned or cannot be written: {EACH}; give it a .copy()"


def _mend_of_object(kind: str) -> str:
    if kind == "function":
        return (
            "another function object; define it once, outside of what calls the compiled function"
        )
    return "it was replaced; objects that are called, classes and modules are to stay the same"


def _mend_of_length(before: int, now: Any) -> str:
    if isinstance(now, int) and now > before:
        return "what grows needs a recording for each length; keep a counter, or a tensor, instead"
    return f"lengths that change: {EACH}"


# Reasons

MENDS_OF_REASONS = [
    (r"call of (time|datetime)\b", "pass the time as an argument"),
    (r"call of (Random|random|numpy\.random)\b|Random\.", "draw from a tj.random.Generator, or pass what was drawn"),
    (r"call of builtins\.(open|input)|StringIO|_io\.", "read and write outside of the function"),
    (r"call of (logging|_?warnings)\b", "log or warn outside, of what the function returns"),
    (r"call of (os|posix|sys|socket|subprocess|threading)\b", "ask the system outside, and pass the answer"),
    (r"call of builtins\.id\b", "use a name or a number of your own in place of id()"),
    (r"print writes", "print tensors, numbers and text to sys.stdout, or print outside"),
    (r"no source text", "put the function into a file, or into a cell of a notebook"),
    (r"source text is not that", "a file that was edited is to be imported again"),
    (r"reads the frame", "name the variables instead"),
    (r"not the library's own", "leave the classes of tensors as they are"),
    (r"artifact .* is called", "compile, or export, the function that it was made of together with this one"),
    (r"call of .*not known to be pure", "call it outside, and pass its result as an argument"),
    (r"call of .*: \S+: ", "write that part in another way, or keep it outside"),
    (r"is left to NumPy", "use a function that tracejit has, or call it outside, on what is returned"),
    (r"elements of .* are looked at", "stay with tensors (tj.where chooses), or return the tensor and look at it outside"),
    (r"becomes text|is formatted", "return the value, and make text of it outside"),
    (r"the call raised", "calls that raise are run by Python; nothing is to be mended if they are few"),
    (r"numpy\(\)|memory is handed out", "stay with tensors, and call numpy() on what is returned"),
    (r"generator|iterator|iteration|coroutine", "make a list of it before the call, or inside of it"),
    (r"too many variants|recording of its own", "decide on fewer values; see what differed below"),
    (r"array that tracejit does not compute with", "give it arrays of plain numbers that are aligned and can be written"),
    (r"not reached by way of anything|not given as an array|unknown origin", "pass it as an argument"),
    (r"made from a builtin one|of its own kind|an item of a|of a function is|attribute .* of a function",
     "keep state in plain lists, dicts and objects"),
    (r"descriptor|metaclass|__getattribute__|decides itself|finalizer|__new__ of its own",
     "classes with such methods are left to Python; use a plain one here"),
    (r"is imported inside", "import at the top of the file"),
    (r"made during an earlier recording", "make the function outside, or anew at each call"),
    (r"written in a loop that was read through a view", "the next recording holds for this part alone; give it a .copy()"),
    (r"memory is written that is reached", "give it memory that does not overlap, or a copy"),
    (r"returns or stores", "return and store tensors, numbers, containers and objects"),
    (r"hooks|register_hook|backward", "call backward() inside, on what was computed inside, without hooks"),
    (r"has objects as keys|hashes itself|the hash of", "use text or numbers as keys"),
    (r"async", "await outside, and compile what computes"),
    (r"decisions that depend on data", "loop over tensors with fewer looks at their values"),
]  # fmt: skip
"""(what the reason says, what mends it): the first that is found counts."""


def mend_of_reason(reason: str) -> str:
    """What mends that a call cannot be replayed."""
    found = (mend for pattern, mend in MENDS_OF_REASONS if re.search(pattern, reason))
    return next(found, "keep it outside of the function, and pass its result as an argument")
