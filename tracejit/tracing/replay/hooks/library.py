"""tracejit's own functions, and NumPy's on stand-ins: leaves, whose ops the recorder sees.

Their arguments are tensors, and atoms that are guarded by value; the elements of tensors they look at only where a rule here says
what that means for a replay.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection
from functools import partial
from types import MethodType
from typing import Any

import numpy as np

from tracejit import creation, ops
from tracejit.autograd import engine
from tracejit.autograd.node import Handle
from tracejit.autograd.tape import edge_of, enable_grad, no_grad
from tracejit.dtypes import DType
from tracejit.ir.dim import Dim, plain
from tracejit.ir.resize import sizes_inside
from tracejit.methods import Operators
from tracejit.numpy_functions import sized
from tracejit.numpy_functions.arguments import is_ours
from tracejit.numpy_functions.calls import table
from tracejit.ops import elementwise, functions
from tracejit.ops.op import Op, Pointwise
from tracejit.random import default_generator
from tracejit.storage import as_array
from tracejit.symbols import SYMBOLS, concrete, derived, settled
from tracejit.tensor import Tensor, from_array
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.hooks import containers, keys
from tracejit.tracing.replay.iterators import ITERATORS
from tracejit.tracing.replay.kinds import ATOMS, is_numpy_number
from tracejit.tracing.replay.lasting import NUMPY_FUNCTION
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.sources import constant
from tracejit.tracing.stand_in import (
    StandIn,
    applied,
    as_array_of_any_rank,
    as_stand_in,
    has_tensor,
    is_number,
)

LIKE_USER_CODE = (
    "tracejit.nn", "tracejit.optim", "tracejit.autograd.functional", "tracejit.demo",
)  # fmt: skip
"""Library code over ops that is instrumented as a user's is: it keeps state, or calls the user's functions."""
LEAVES = (
    "tracejit.ops", "tracejit.methods", "tracejit.namesakes", "tracejit.tensor", "tracejit.inplace", "tracejit.creation",
    "tracejit.standard",
    "tracejit.indexing", "tracejit.interop", "tracejit.dtypes", "tracejit.tracing.stand_in", "tracejit.autograd.tape",
    "tracejit._errors", "tracejit.dispatch",
)  # fmt: skip
CONTEXTS = (no_grad, enable_grad)
NO_LEAVES = frozenset({creation.set_default_dtype})
"""Functions that change what the library does."""
TAKING_NUMBERS = frozenset({
    functions.addcdiv, functions.pow, elementwise.clip, creation.full, creation.full_like, ops.add_at, ops.full, ops.full_like,
    *(
        getattr(Operators, name)
        for name in (
            "lerp add sub mul div clamp clamp_min clamp_max maximum minimum where masked_fill eq ne lt le gt ge"
        ).split()
    ),
})  # fmt: skip
"""Functions and methods that pass Python numbers on to ops without looking at them."""
DRAWING_BY_NUMBERS = frozenset({"uniform", "bernoulli"})
"""Methods of generators that do so."""
CREATING = frozenset(
    getattr(np, name)
    for name in (
        "arange array asarray bartlett blackman diag_indices empty eye full hamming hanning identity indices ix_ kaiser linspace "
        "logspace ones tri tril_indices triu_indices zeros"
    ).split()
)
"""NumPy's functions that make arrays of numbers alone."""
TAKING_SHAPES = frozenset({np.broadcast_to, np.reshape})
"""NumPy's functions of an array and a shape, which may be of open sizes."""
AS_ARRAY = frozenset(getattr(np, name) for name in ("asarray", "asanyarray"))
"""Functions that give an array itself."""
UNDISPATCHED = frozenset({np.array, np.ascontiguousarray})
"""Functions of arrays that do not ask their arguments what to do."""
OF_NUMBERS = frozenset(
    value for value in vars(np).values() if isinstance(value, np.ufunc) and value.types != ["O->O"]
) | frozenset(
    getattr(np, name)
    for name in (
        "sum prod mean std var min max amin amax clip round around all any real imag angle where isclose allclose array_equal "
        "result_type promote_types can_cast isscalar ndim shape size iinfo finfo isreal iscomplex nan_to_num copy dot argmax "
        "argmin cumsum cumprod broadcast_shapes geomspace isrealobj iscomplexobj"
    ).split()
)
"""NumPy's functions that read nothing but what they are given, and the mode for errors."""


def in_modules(function: Any, modules: tuple[str, ...]) -> bool:
    module = getattr(function, "__module__", None) or ""
    return any(module == name or module.startswith(f"{name}.") for name in modules)


def is_library(function: Any) -> bool:
    module = getattr(function, "__module__", None) or ""
    return module == "tracejit" or module.startswith("tracejit.")


def is_numpy(function: Any) -> bool:
    module = getattr(function, "__module__", None) or ""
    return module == "numpy" or module.startswith("numpy.")


def leaf(recording: Recording, function: Any, *, keeps_all: bool = False) -> Callable[..., Any]:
    """`function` of the library, with its arguments guarded; `keeps_all`: it passes on numbers, whatever comes with them."""
    keeps_numbers = isinstance(function, Op) and isinstance(function.recipe, Pointwise)
    keeps_numbers = keeps_numbers or _is_among(function, TAKING_NUMBERS)

    def call(*args: Any, **kwargs: Any) -> Any:
        if not recording.live:
            return function(*map(concrete, args), **kwargs)
        keep = keeps_all or (keeps_numbers and are_floats(args))
        given = [_given(recording, arg, keep) for arg in args]
        named = {name: _given(recording, arg, keep) for name, arg in kwargs.items()}
        if recording.dead is not None:
            return function(*map(concrete, given), **named)
        return called(recording, function, given, named)

    return call


def artifact(recording: Recording, function: Any) -> Callable[..., Any]:
    """A loaded artifact: an op, or what Python calls."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if recording.live and any(isinstance(arg, Tensor) and arg.aval.open for arg in args):
            recording.fix_sizes()
        op = function.op_for(args) if recording.live and not kwargs else None
        if op is not None:
            return leaf(recording, op)(*args)
        name = function.__name__
        recording.deny(f"artifact {name} is called, and does more than to make a tensor of tensors")
        return function(*map(concrete, args), **kwargs)

    return call


def write_item(recording: Recording, owner: Any, key: Any, value: Any) -> None:
    """`owner[key] = value`"""
    with recording.taking_a_part():
        index = _given(recording, key, False)
    part = _given(recording, value, are_floats((owner,)))
    if not recording.live:
        index, part = concrete(index), concrete(part)
    called(recording, type(owner).__setitem__, [owner, index, part], {})


def called(recording: Recording, function: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """`function(*args, **kwargs)` of the library. What it cannot do with open sizes it does with fixed ones."""
    if not recording.size_slots:
        return function(*args, **kwargs)
    sizes = recording.sizes
    try:
        return recording.surface(function(*args, **kwargs))
    except Exception:
        if not sizes.is_open:  # it may have been a program that failed
            raise
    recording.fix_sizes()
    return function(*map(plain, args), **{name: plain(arg) for name, arg in kwargs.items()})


def method_leaf(recording: Recording, method: MethodType) -> Callable[..., Any]:
    """A method of a tensor."""
    name = method.__name__
    tensor: Any = method.__self__
    if name in ("item", "__float__", "__int__", "__index__", "__bool__"):
        return lambda *args: number_of(recording, tensor, name) if not args else method(*args)
    if name == "tolist":
        return lambda: elements_of(recording, tensor)
    if name == "backward":
        return lambda *args, **kwargs: backward(recording, tensor, *args, **kwargs)
    if name in ("requires_grad_", "register_hook", "retain_grad") and recording.is_outside(tensor):
        recording.deny(f"{name} of a tensor that the call did not make")
    if name in ("register_hook", "retain_grad"):
        recording.deny(f"{name} lets a backward pass do more")
    function = method.__func__
    keeps = name.endswith("_") and not name.startswith("_")
    keeps = keeps or _is_among(function, TAKING_NUMBERS)

    def call(*args: Any, **kwargs: Any) -> Any:
        if not recording.live:
            return method(*map(concrete, args), **kwargs)
        keep = keeps and are_floats((tensor, *args))
        given = [_given(recording, arg, keep) for arg in args]
        named = {key: _given(recording, arg, keep) for key, arg in kwargs.items()}
        return called(recording, function, [tensor, *given], named)

    return call


def _is_among(function: Any, known: Collection[Any]) -> bool:
    try:
        return function in known
    except TypeError:
        return False


def are_floats(args: tuple[Any, ...]) -> bool:
    """Whether every tensor among them is of a floating-point dtype, so that any number goes with it, or a mask."""
    kinds = {arg.aval.dtype.kind for arg in args if isinstance(arg, Tensor) or type(arg) is StandIn}
    return kinds in ({"f"}, {"f", "b"})


def _given(recording: Recording, arg: Any, keeps_numbers: bool) -> Any:
    """An argument, as the leaf may read it."""
    kind = type(arg)
    if kind in SYMBOLS:
        return arg if keeps_numbers else recording.size_of(arg)
    if kind in ATOMS or kind is StandIn or is_numpy_number(arg):
        return _slice(recording, arg) if kind is slice else arg
    if isinstance(arg, Tensor | np.dtype | DType):
        return arg
    if containers.is_container(arg):
        containers.expand(recording, arg)
        _check_parts(recording, arg)
        return _with_sizes(recording, arg)
    if isinstance(arg, type) or recording.is_fixed_object(arg):
        return arg
    if kind in ITERATORS and not recording.is_outside(arg):
        return arg
    recording.deny(f"a function of the library gets a {kind.__name__}")
    return arg


def _slice(recording: Recording, arg: slice) -> slice:
    parts = [
        recording.size_of(part) if type(part) in SYMBOLS else part
        for part in (arg.start, arg.stop, arg.step)
    ]
    sizes = [part for part in parts if type(part) is Dim]
    if not sizes:
        return keys.native_index(recording, slice(*parts))
    keys.native_index(recording, slice(*(None if type(part) is Dim else part for part in parts)))
    return slice(*parts)


def _with_sizes(recording: Recording, value: Any) -> Any:
    """The same with sizes in the place of symbols that are of sizes, and other numbers settled."""
    kind = type(value)
    if kind in (list, tuple):
        inside = [_with_sizes(recording, part) for part in value]
        same = all(new is old for new, old in zip(inside, value))
        return value if same else kind(inside)
    if kind is dict:
        parts = {key: _with_sizes(recording, part) for key, part in value.items()}
        return parts if any(parts[key] is not value[key] for key in parts) else value
    if kind is slice:
        return _slice(recording, value)
    return recording.size_of(value) if kind in SYMBOLS else value


def _check_parts(recording: Recording, container: Any) -> None:
    for part in containers.parts(container):
        if containers.is_container(part):
            _check_parts(recording, part)
        elif type(part) not in SYMBOLS:
            _given(recording, part, False)


def settled_parts(value: Any) -> Any:
    """A number settled, and those in a tuple, which C code reads; other containers as they are."""
    if type(value) is tuple:
        return without_symbols(value)
    return settled(value)


def without_symbols(value: Any) -> Any:
    """The same with numbers settled; the containers themselves where there is none."""
    kind = type(value)
    if kind in (list, tuple):
        inside = [without_symbols(part) for part in value]
        same = all(new is old for new, old in zip(inside, value))
        return value if same else kind(inside)
    return keys.plain_key(value) if kind is slice else settled(value)


# Values of tensors


def number_of(recording: Recording, tensor: Any, name: str) -> Any:
    """`t.item()`, `float(t)`, `int(t)`, `bool(t)`: a number that replays compute, or a decision."""
    convert = {"__float__": float, "__int__": int, "__index__": int, "__bool__": bool}.get(name)
    is_strict = name == "__index__" or (type(tensor) is StandIn and convert in (int, float))
    if tensor.aval.size != 1 or not recording.live or (is_strict and tensor.aval.shape):
        return getattr(type(tensor), name)(tensor)  # raises, or is no longer of interest
    found = recording.element(tensor)
    if found is None:
        return getattr(type(tensor), name)(tensor)
    slot, value = found
    if type(value) is bool:
        value = recording.decide(slot, value, late=True, text="an element")
        return value if convert is None else convert(value)
    number = recording.symbol(value, slot, late=True)
    if convert is bool:
        return derived(operator.truth, number)
    return (
        number
        if convert is None or convert is type(value)
        else recording.derive(convert, (number,))
    )


MOST_ELEMENTS = 16
"""So many elements of a tensor become Python numbers one by one."""


def elements_of(recording: Recording, tensor: Any) -> Any:
    """`t.tolist()`"""
    if (
        not recording.live
        or not 0 < tensor.aval.size <= MOST_ELEMENTS
        or tensor.aval.dtype.kind == "b"
    ):
        return Tensor.tolist(tensor)
    if not tensor.aval.shape:
        return number_of(recording, tensor, "item")
    found = recording.elements(tensor)
    return Tensor.tolist(tensor) if found is None else found


# The backward pass


def backward(recording: Recording, tensor: Any, *args: Any, **kwargs: Any) -> None:
    """Reads and writes `.grad` of the leaves that the tensor depends on; everything else is ops."""
    if not recording.live:
        tensor.backward(*args, **kwargs)
        return
    leaves = leaves_of(recording, tensor)
    args, kwargs = tuple(map(settled, args)), {name: settled(arg) for name, arg in kwargs.items()}
    for leaf_tensor in leaves:
        source = recording.outside[id(leaf_tensor)]
        if (id(leaf_tensor), "grad") not in recording.overlay:
            recording.read(source.attribute("grad"), leaf_tensor.grad)
        recording.overwriting("gradient", leaf_tensor)
    before = [leaf_tensor.grad for leaf_tensor in leaves]
    Tensor.backward(tensor, *args, **kwargs)
    for leaf_tensor, gradient in zip(leaves, before):
        if recording.dead is None and leaf_tensor.grad is not gradient:
            source = recording.outside[id(leaf_tensor)]
            recording.put("gradient", source, "grad", leaf_tensor.grad, leaf_tensor)


def gradients(recording: Recording, *args: Any, **kwargs: Any) -> Any:
    """`autograd.grad`: no `.grad` changes."""
    outputs = args[0] if args else kwargs["outputs"]
    for tensor in outputs if isinstance(outputs, tuple | list) else (outputs,):
        if isinstance(tensor, Tensor) and recording.live:
            leaves_of(recording, tensor)
    return engine.grad(*args, **kwargs)


def leaves_of(recording: Recording, tensor: Any) -> list[Any]:
    """The outside tensors that gradients of `tensor` go to; nodes and hooks that the call did not make end the recording."""
    root = edge_of(tensor)
    stack = [] if root is None else [root]
    seen: set[Any] = set(stack)
    leaves = []
    while stack:
        edge = stack.pop()
        if edge.hooks:
            recording.deny("a backward pass calls hooks")
            return []
        if isinstance(edge, Handle):
            owner = recording.tensor_of_handle(edge)
            if owner is not None:
                leaves.append(owner)
            continue
        if id(edge) in recording.outside:
            recording.deny("a backward pass goes through what was computed outside the call")
            return []
        new = [e for e in edge.edges if e is not None and e not in seen]
        seen.update(new)
        stack += new
    return leaves


# Random numbers


def generator_leaf(recording: Recording, method: MethodType) -> Callable[..., Any]:
    """A method of a generator: its state is a tensor that the call reads and writes."""
    generator: Any = method.__self__
    if not recording.is_made(generator):
        source = recording.outside.get(id(generator))
        if source is None and generator is default_generator.on(generator.state.aval.device):
            source = recording.outside[id(generator)] = constant(generator, "tj.random", holds=True)
        if source is None:
            recording.deny("a generator of unknown origin")
        else:
            recording.read(source.attribute("state"), generator.state)
    if method.__name__ == "seed":
        if generator._twins:
            recording.deny("random.seed seeds the generators of several devices")
        return _seeding(recording, method)
    return leaf(recording, method, keeps_all=method.__name__ in DRAWING_BY_NUMBERS)


def _seeding(recording: Recording, method: MethodType) -> Callable[..., Any]:
    def seed(seed: Any = None) -> Any:
        if seed is None:
            recording.deny("a seed from the operating system")
        return method(settled(seed))

    return seed


# NumPy


def numpy_leaf(recording: Recording, function: Any) -> Callable[..., Any]:
    """A function of NumPy's: on stand-ins it is tracejit's; one that makes arrays of numbers gives stand-ins."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if _is_among(function, AS_ARRAY) and args and _is_array_already(*args, **kwargs):
            return args[0]
        if not recording.live:
            return function(*map(concrete, args), **kwargs)
        if recording.size_slots and _is_among(function, sized.SIZED.keys()):
            args = tuple(_with_sizes(recording, arg) for arg in args)
            kwargs = {name: _with_sizes(recording, arg) for name, arg in kwargs.items()}
            if sizes_inside((*args, *kwargs.values())) is not None:
                made = sized.translated(function, args, kwargs)
                if made is not None:
                    found = called(recording, made.func, [*made.args], made.keywords)
                    return as_stand_in(found)
        if not _is_among(function, TAKING_SHAPES):
            args = tuple(map(settled_parts, args))
            kwargs = {name: settled_parts(arg) for name, arg in kwargs.items()}
        given = [_given(recording, arg, False) for arg in args]
        named = {name: _given(recording, arg, False) for name, arg in kwargs.items()}
        if recording.dead is not None:
            return function(*args, **kwargs)
        if not any(map(_holds_stand_in, (*given, *named.values()))):
            if not _is_among(function, CREATING):
                return _of_numbers(recording, function, given, named)
        elif _is_among(function, UNDISPATCHED) and not has_tensor(*given, *named.values()):
            return called(recording, partial(applied, function), given, named)
        elif not (_is_among(function, CREATING) or _dispatches(function)):
            recording.deny(f"np.{function.__name__} is not known to be pure")
        elif _is_left_to_numpy(function):
            recording.deny(f"np.{function.__name__} is left to NumPy, which looks at elements")
        result = called(recording, function, given, named)
        if type(result) is np.ndarray and any(_shares(result, arg) for arg in given):
            recording.deny(f"np.{function.__name__} gives another array over the same memory")
            return result
        return _made(recording, result)

    return call


def _is_array_already(value: Any, dtype: Any = None, *more: Any, **options: Any) -> bool:
    """Whether `np.asarray(value)` is `value`."""
    if type(value) is not StandIn or is_number(value) or more or options:
        return False
    return dtype is None or bool(value.dtype == dtype)


def _shares(array: np.ndarray, value: Any) -> bool:
    return type(value) is StandIn and np.may_share_memory(array, as_array(value))


def _of_numbers(recording: Recording, function: Any, args: list[Any], named: Any) -> Any:
    """A function of NumPy's on numbers, which gives a number, or an array."""
    if not _is_among(function, OF_NUMBERS):
        recording.deny(f"np.{function.__name__} of numbers is not known to be pure")
    elif not all(map(_is_number, (*args, *named.values()))):
        recording.deny(f"np.{function.__name__} of what the call was not given as an array")
    under_mode(recording)
    result = function(*args, **named)
    is_number = is_numpy_number(result) or type(result) in ATOMS
    return result if is_number else _made(recording, result)


def under_mode(recording: Recording) -> None:
    """NumPy is about to compute with numbers: what it does about errors is a mode of it."""
    mode = np.geterr()
    if not {*mode.values()} <= {"ignore", "warn", "raise"}:
        recording.deny("np.errstate calls a function, or prints")
    recording.once(("np.geterr",), g.ModeIs("np.geterr()", np.geterr, mode))


def _is_left_to_numpy(function: Any) -> bool:
    """Whether tracejit has no such function."""
    is_whole = isinstance(function, np.ufunc) or type(function) is NUMPY_FUNCTION
    return is_whole and not _is_among(function, table().keys())


def _dispatches(function: Any) -> bool:
    """Whether the function asks its arguments what it is to do."""
    if type(function) is NUMPY_FUNCTION or _is_among(function, OF_NUMBERS):
        return True
    return isinstance(getattr(function, "__self__", None), np.ufunc)


def _is_number(value: Any) -> bool:
    """Whether it is a number, a type of numbers, or a tuple of them, such as a shape."""
    if type(value) is tuple:
        return all(map(_is_number, value))
    return type(value) in ATOMS or is_numpy_number(value) or isinstance(value, np.dtype | type)


def _holds_stand_in(value: Any) -> bool:
    if containers.is_container(value):
        return any(map(_holds_stand_in, containers.parts(value)))
    return type(value) is StandIn


def _made(recording: Recording, result: Any) -> Any:
    """Arrays that NumPy itself has made, of values that are guarded, as stand-ins."""
    if type(result) is np.ndarray and recording.live:
        if not is_ours(result.dtype):
            recording.deny(f"NumPy makes an array of {result.dtype}")
            return result
        if result.flags.fnc:
            recording.deny("NumPy makes an array in Fortran order")
            return result
        return as_stand_in(as_array_of_any_rank(from_array(result, copy=True)))
    if type(result) in (tuple, list):
        return type(result)(_made(recording, part) for part in result)
    return result
