"""What a manifest says, as plain records: the call's arguments and result, its state, and what is done in between.

A call has numbered *slots*. Each holds memory (an argument's, the state's, a constant's, a program's result) or a Python number.
The steps of its body fill slots one after the other. Then the body ends: the call is over, or a decision or a loop leads on to
other bodies, within this one. A *way* is what a call that is over has come by: the bodies from the outermost to that which ends
it.
"""

from __future__ import annotations

from tracejit._records import dataclass

Atom = None | bool | int | float | str


# Values in slots


@dataclass(frozen=True, slots=True)
class Slot:
    """The number in a slot."""

    slot: int


@dataclass(frozen=True, slots=True)
class Known:
    """A value that is the same in each call."""

    value: Atom


Operand = Slot | Known


@dataclass(frozen=True, slots=True)
class Memory:
    """Elements of the memory in a slot; strides in elements, `offset` in bytes."""

    slot: int
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0


# Arguments


@dataclass(frozen=True, slots=True)
class ArrayArgument:
    """A tensor, or a NumPy array if `is_array`; the call writes to its memory if `is_written`."""

    slot: int
    dtype: str
    shape: tuple[int, ...]
    is_array: bool
    is_written: bool


@dataclass(frozen=True, slots=True)
class NumberArgument:
    """A Python number of this type ("int" or "float")."""

    slot: int
    type: str


@dataclass(frozen=True, slots=True)
class FixedArgument:
    """A value that is part of the artifact: the call may leave it out, or give this one."""

    value: Atom


@dataclass(frozen=True, slots=True)
class SequenceArgument:
    """A "list" or "tuple" of so many parts."""

    type: str
    parts: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class DictArgument:
    """A dict with these keys, in this order, in which the function may have gone through them."""

    keys: tuple[str | int, ...]
    parts: tuple[Argument, ...]


Argument = ArrayArgument | NumberArgument | FixedArgument | SequenceArgument | DictArgument


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument of the call; of an object that is part of the artifact there is none."""

    name: str
    is_keyword: bool
    argument: Argument


# Results


@dataclass(frozen=True, slots=True)
class TensorResult:
    """A tensor, a NumPy "array", or a NumPy "scalar"; parts of the result with one `number` are one object."""

    number: int
    memory: Memory
    type: str


@dataclass(frozen=True, slots=True)
class GivenResult:
    """The very object that the caller has given as the argument whose memory is in the slot."""

    slot: int


@dataclass(frozen=True, slots=True)
class NumberResult:
    """A Python number, or another value without parts."""

    value: Operand


@dataclass(frozen=True, slots=True)
class SequenceResult:
    """A "list" or "tuple"."""

    type: str
    parts: tuple[Result, ...]


@dataclass(frozen=True, slots=True)
class DictResult:
    keys: tuple[str | int, ...]
    parts: tuple[Result, ...]


Result = TensorResult | GivenResult | NumberResult | SequenceResult | DictResult


# State


@dataclass(frozen=True, slots=True)
class TensorState:
    """Memory that stays from call to call. If it `is_read` it has a value from the start, in `state.safetensors`."""

    name: str
    slot: int
    dtype: str
    shape: tuple[int, ...]
    is_array: bool
    is_read: bool


@dataclass(frozen=True, slots=True)
class NumberState:
    """A Python value that stays from call to call; of this type ("int", "float") in each if a call computes with it."""

    name: str
    slot: int
    value: Atom
    type: str | None


State = TensorState | NumberState


@dataclass(frozen=True, slots=True)
class TensorUpdate:
    """After the call the state in `slot` has these elements."""

    slot: int
    memory: Memory


@dataclass(frozen=True, slots=True)
class NumberUpdate:
    """After the call the state in `slot` is this."""

    slot: int
    value: Operand


Update = TensorUpdate | NumberUpdate


# Steps


@dataclass(frozen=True, slots=True)
class Compute:
    """`function` of Python numbers, by its name in `tracejit.standalone.functions`; a result of another `type` is an error."""

    slot: int
    function: str
    operands: tuple[Operand, ...]
    type: str | None
    where: str


@dataclass(frozen=True, slots=True)
class Require:
    """The number in a slot has to be `value`, or what was recorded does not hold: `text` says what it is."""

    slot: int
    value: Atom
    text: str
    where: str


@dataclass(frozen=True, slots=True)
class Element:
    """The one element of a tensor as a Python number."""

    slot: int
    memory: Memory


@dataclass(frozen=True, slots=True)
class Check:
    """Looks at elements: raises IndexError where they are no places on an axis, or no classes, of this size.

    check   "indices" or "labels"; `name` is the op's
    """

    check: str
    name: str
    memory: Memory
    axis: int
    size: int


@dataclass(frozen=True, slots=True)
class Constant:
    """The bytes of the tensor `name` of `state.safetensors`; a copy for each call if that writes to it, or returns it."""

    slot: int
    name: str
    is_private: bool


@dataclass(frozen=True, slots=True)
class Copy:
    """From here on the slot holds a copy: what is written to it becomes real at the end of the call, if that is reached."""

    slot: int


@dataclass(frozen=True, slots=True)
class Run:
    """One of the artifact's programs; `inputs` are (slot, bytes from its start)."""

    program: int
    inputs: tuple[tuple[int, int], ...]
    scalars: tuple[Operand, ...]
    outputs: tuple[int, ...]


Step = Compute | Require | Element | Check | Constant | Copy | Run


# Ways


@dataclass(frozen=True, slots=True)
class Finish:
    """The call is over: the updates change the state, all at once, and the result is built."""

    updates: tuple[Update, ...]
    result: Result


@dataclass(frozen=True, slots=True)
class Written:
    """A number as Python writes it: `{value!conversion:spec}` in an f-string."""

    value: Operand
    conversion: str
    spec: str


@dataclass(frozen=True, slots=True)
class Text:
    """Text that is put together."""

    parts: tuple[str | Written, ...]


@dataclass(frozen=True, slots=True)
class Raise:
    """The call is over, by an exception: the updates are what it had changed by then.

    bases   of the user's own class those of Python's that it is derived from, or one of Python's alone, which it is; by the names
            in `tracejit.standalone.functions`
    name    "module:Class" of the user's own class; "" of one of Python's
    args    what it is made of
    """

    updates: tuple[Update, ...]
    bases: tuple[str, ...]
    name: str
    args: tuple[Atom | Slot | Text, ...]
    where: str


@dataclass(frozen=True, slots=True)
class Decide:
    """The call goes on in one of two ways, by the truth of the number in a slot."""

    slot: int
    true: Body
    false: Body
    where: str


@dataclass(frozen=True, slots=True)
class Loop:
    """The call goes on with rounds of a body: it ends with the next round (`Again`) where it does not lead on to what comes then.

    carried   slots that each round finds filled: (slot, whose content it has in the first one)
    """

    carried: tuple[tuple[int, int], ...]
    body: Body


@dataclass(frozen=True, slots=True)
class Again:
    """The next round of the loop around that `loop` others are around.

    carried   the slots whose content that loop's carried slots get, in their order, all at once
    """

    loop: int
    carried: tuple[int, ...]


End = Finish | Raise | Decide | Loop | Again


@dataclass(frozen=True, slots=True)
class Body:
    """Steps, one after the other, and what comes then. What they fill is read by the bodies within this one, and by no others."""

    steps: tuple[Step, ...]
    end: End


@dataclass(frozen=True, slots=True)
class Call:
    """All that a call is; `slots` is how many slots it has."""

    slots: int
    parameters: tuple[Parameter, ...]
    state: tuple[State, ...]
    body: Body


# Open sizes, which stand in records where numbers do


@dataclass(frozen=True, slots=True)
class Quotient:
    """A size that is one divided by another; `function` is "//" or "%"."""

    function: str
    first: int
    second: int


@dataclass(frozen=True, slots=True)
class Condition:
    """What was asked of a size, and has to come out as it did: whether it is 0 ("eq"), or less ("lt").

    text   `batch != 1`; `where` is the user's line
    """

    size: int
    relation: str
    outcome: bool
    text: str
    where: str


@dataclass(frozen=True, slots=True)
class Open:
    """Sizes that each call chooses: `n0`, `n1` and so on, first those that have names, then the quotients.

    recorded   what they were when the function was recorded
    ahead      the combinations of sizes that there is native code for
    """

    names: tuple[str, ...]
    recorded: tuple[int, ...]
    quotients: tuple[Quotient, ...]
    conditions: tuple[Condition, ...]
    ahead: tuple[tuple[int, ...], ...]


# The manifest


@dataclass(frozen=True, slots=True)
class Baked:
    """A value that the function has read, which is now part of the artifact; `where` is the user's line."""

    name: str
    value: str
    where: str


@dataclass(frozen=True, slots=True)
class Target:
    """Native code: the plans of all programs in `folder`/plan.json, where sizes are open in `folder`/SIZES/plan.json for each
    combination of them, and the objects of the kernels that they launch.

    name     "cpu" or "cuda"
    level    the instruction set that it needs: of a GPU its architecture, `sm_90`, or the least one, of PTX: `compute_80`
    system   the operating system and the kind of processor
    abi      which run time it fits (`tracejit.runtime.cpu.abi`, `tracejit.runtime.cuda.abi`)
    """

    name: str
    level: str
    system: str
    abi: int
    folder: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What the file holds besides the manifest."""

    name: str
    nbytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Options:
    """What programs are compiled with, where that is done at loading."""

    fastmath: bool
    memory_limit: int | None


@dataclass(frozen=True, slots=True)
class Made:
    """By which versions."""

    tracejit: str
    numpy: str
    llvm: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """`where` is the line at which the function is defined."""

    format: str
    version: int
    made: Made
    name: str
    where: str
    sizes: Open
    call: Call
    baked: tuple[Baked, ...]
    options: Options
    targets: tuple[Target, ...]
    entries: tuple[Entry, ...]
