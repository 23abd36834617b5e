"""What stands for a NumPy array in a compiled function: a tensor over its memory that behaves as the array does."""

from __future__ import annotations

import math
import operator
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit import dtypes
from tracejit._errors import at_user_line
from tracejit.inplace import InPlace, update
from tracejit.interop import NumPyProtocols
from tracejit.ir.aval import aval
from tracejit.methods import Operators
from tracejit.numpy_functions.arguments import is_ours
from tracejit.numpy_functions.calls import by_numpy, computed, table
from tracejit.ops.arguments import copied
from tracejit.ops.op import Layout
from tracejit.ops.registry import REGISTRY
from tracejit.runtime.buffer import ForeignBuffer
from tracejit.storage import as_array
from tracejit.tensor import Tensor, twin, view_of


class StandIn(Tensor):
    """What behaves as the NumPy array that it stands for, over whose memory it is; so does what its methods compute.

    What tracejit does not have, or takes other arguments, NumPy does on the memory. To functions of tracejit's it is what an
    array is: they take a copy, so that what they give is a tensor that shares no memory with it.
    """

    __slots__ = ()

    @property  # type: ignore[misc]  # as it is of any object, but for assignment
    def __class__(self) -> type:
        """`isinstance(x, np.ndarray)` is true, as it is of the array; of a number it is not."""
        return self.aval.dtype.numpy.type if is_number(self) else np.ndarray

    @property
    def dtype(self) -> Any:
        return self.aval.dtype.numpy

    @dtype.setter
    def dtype(self, dtype: Any) -> None:
        message = (
            f"the dtype of an array cannot be set in a compiled function: use .view({dtype!r})"
        )
        raise TypeError(at_user_line(message))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.aval.sizes

    @shape.setter
    def shape(self, shape: Any) -> None:
        array = _real(self)
        array.shape = shape
        strides = tuple(stride // array.itemsize for stride in array.strides)
        self.layout = Layout(array.shape, strides, self.layout.offset)
        self.aval = aval(self.aval.dtype, array.shape)

    @property
    def flat(self) -> Any:
        return shown(self).flat

    @flat.setter
    def flat(self, value: Any) -> None:
        _real(self).flat = value  # type: ignore[misc]  # it has a setter

    @property
    def strides(self) -> tuple[int, ...]:
        """In bytes, as NumPy's."""
        return tuple(stride * self.itemsize for stride in self.layout.strides)

    @property
    def base(self) -> Any:
        """The array that owns the memory, as NumPy has it: not the view that a view was made of."""
        root = root_of(self)
        owner = as_array_of(root).base if _is_argument(root) else None
        return root if owner is None and root is not self else owner

    @property
    def real(self) -> StandIn:
        return self

    @real.setter
    def real(self, value: Any) -> None:
        self[...] = value

    def __getattr__(self, name: str) -> Any:
        """What only an array, or a NumPy number, has."""
        if not hasattr(self.__class__, name):
            return getattr(_example(self), name)  # raises, and nobody has looked at the memory
        return getattr(shown(self), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in Tensor.__slots__ and not hasattr(self.__class__, name):
            setattr(_example(self), name, value)  # raises
        object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return repr(shown(self))

    def __str__(self) -> str:
        return str(shown(self))

    def __format__(self, spec: str) -> str:
        return format(_real(self)[()], spec)

    def __getitem__(self, index: Any) -> Any:
        twins = _Twins(index)
        if _has_list(index):  # which may be of bools that have been computed
            found = _tried(
                lambda: Tensor.__getitem__(twins.of(self), twins.of(index)),
                lambda: by_numpy(operator.getitem, (self, index), {}),
            )
        else:
            found = Tensor.__getitem__(twins.of(self), twins.of(index))
        item = twins.result(found)
        # One element of an array is a number, which no later write to the array changes; `a[0, ...]` is a view.
        is_view = item.aval.shape or item.origin is None or _has_ellipsis(index)
        return item if is_view else twins.result(copied(twin(item)))

    def __setitem__(self, index: Any, value: Any) -> None:
        value = _as_array_takes(value)
        if _is_too_deep(self, index, value) or _is_out_of_range(self, value):
            _real(self)[index] = value  # which NumPy mostly refuses
            return
        twins = _Twins()
        _tried(
            lambda: Tensor.__setitem__(twins.of(self), twins.of(index), twins.of(value)),
            lambda: by_numpy(operator.setitem, (self, index, value), {}),
        )

    def astype(self, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs or not is_ours(np.dtype(dtype)):
            return shown(self).astype(dtype, *args, **kwargs)
        changed = dtypes.as_dtype(dtype) is not self.aval.dtype
        return self._alike(Tensor.astype(twin(self), dtype) if changed else copied(twin(self)))

    def copy(self, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs:
            return shown(self).copy(*args, **kwargs)
        return self._alike(copied(twin(self)))

    def _alike(self, made: Tensor) -> Any:
        """What was made of it, which is a number if it is one."""
        return as_stand_in(made if is_number(self) else as_array_of_any_rank(made))

    def fill(self, value: Any) -> None:
        if _depth(value):
            _real(self).fill(value)  # which NumPy refuses
        self[...] = value

    def conj(self) -> StandIn:
        return self

    conjugate = conj

    def item(self, *args: Any) -> Any:
        return _real(self).item(*args) if args else Tensor.item(self)

    def __int__(self) -> int:
        return int(_one_of(self, int))

    def __float__(self) -> float:
        return float(_one_of(self, float))

    def __complex__(self) -> complex:
        return complex(_one_of(self, complex))

    def __hash__(self) -> int:
        """A number's is that of its value, so that it finds its place in dicts; an array has none."""
        if not is_number(self):
            raise TypeError("unhashable type: 'numpy.ndarray'")
        return hash(Tensor.item(self))

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __round__(self, *digits: int) -> Any:
        if digits and is_number(self):
            return np.round(self, digits[0])
        return round(_real(self)[()], *digits)  # type: ignore[call-overload]  # a number

    def squeeze(self, *args: Any, **kwargs: Any) -> Any:
        return np.squeeze(self, *args, **kwargs)

    def view(self, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs:
            return shown(self).view(*args, **kwargs)
        return self if is_number(self) else self[...]

    def ravel(self, *args: Any) -> Any:
        return _real(self).ravel(*args) if args else self.reshape(-1)

    def flatten(self, *args: Any) -> Any:
        return _real(self).flatten(*args) if args else self.reshape(-1).copy()

    def dot(self, other: Any) -> Any:
        return np.dot(self, other)

    def __reduce__(self) -> Any:
        """What pickle keeps is the array, or the number."""
        return shown(self).__reduce__()

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self.copy()

    def __buffer__(self, flags: int) -> memoryview:
        """What C code sees, from Python 3.12 on."""
        return memoryview(shown(self))

    def __trunc__(self) -> int:
        return math.trunc(shown(self))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(_real(self), dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        return _real(self).__dlpack__(**options)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return np

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        twins = _Twins(*inputs, *kwargs.values())
        result = _ours_or_numpys(
            lambda: Tensor.__array_ufunc__(
                twins.of(self), ufunc, method, *twins.each(inputs), **twins.options(kwargs)
            ),
            lambda: by_numpy(getattr(ufunc, method), inputs, kwargs),
        )
        return twins.result(result)

    def __array_function__(
        self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        return applied(function, *args, **kwargs)


def applied(function: Any, *args: Any, **kwargs: Any) -> Any:
    """A function of NumPy's on stand-ins."""
    twins = _Twins(*args, *kwargs.values(), keeps_floats=function in TAKING_WEAK)
    result = _ours_or_numpys(
        lambda: computed(function, twins.each(args), twins.options(kwargs)),
        lambda: by_numpy(function, args, kwargs),
    )
    same = function in GIVING_ITSELF or function not in table()
    return twins.result(result, same=same, is_array=function in GIVING_ARRAYS)


GIVING_ITSELF = frozenset({
    np.array, np.ascontiguousarray, np.atleast_1d, np.atleast_2d, np.broadcast_arrays, np.real, np.squeeze,
})  # fmt: skip
"""Functions of NumPy's that give an argument itself where there is nothing to do."""
GIVING_ARRAYS = frozenset(
    getattr(np, name, None)  # not every NumPy has `astype`
    for name in "array astype copy empty_like full_like ones_like select where zeros_like".split()
)
"""Functions of NumPy's whose result is an array even if it has no dimensions."""
TAKING_WEAK = frozenset({np.select})
"""Functions of NumPy's to which Python floats in a list are floats of any dtype."""
NOT_OURS = (TypeError, ValueError, IndexError, NotImplementedError, OverflowError)
"""What tracejit raises for arguments that it does not take. NumPy decides what they mean, or what is wrong with them."""


_RAISING_NOTHING = frozenset({"ignore", "warn"})


def raises_nothing() -> bool:
    """Whether the mode of NumPy asks for no more than a warning where a number has no result, or none that is exact."""
    return _RAISING_NOTHING.issuperset(np.geterr().values())


def _ours_or_numpys(ours: Callable[[], Any], numpys: Callable[[], Any]) -> Any:
    """What tracejit gives; NumPy's result where tracejit does not take the arguments, or errors are asked for."""
    return _tried(ours, numpys) if raises_nothing() else numpys()


def _tried(ours: Callable[[], Any], numpys: Callable[[], Any]) -> Any:
    """What tracejit gives; NumPy's result where tracejit does not take the arguments.

    Where both refuse, tracejit's error if it is of NumPy's class, as it names the line.
    """
    refused = None
    try:
        try:
            return ours()
        except NOT_OURS as error:
            refused = error
        try:
            return numpys()
        except NOT_OURS as refusal:
            if not isinstance(refused, type(refusal)):
                raise
        raise refused
    finally:
        del refused  # which refers to this frame, and by way of it to all arrays of the call


def _real(stand_in: StandIn) -> np.ndarray:
    """The array over the same memory, for good; the caller's own where it is all of that."""
    array = as_array(stand_in)
    stand_in.storage.expose()
    return as_array_of(stand_in) if _is_argument(stand_in) else array


def as_array_of(stand_in: StandIn) -> np.ndarray:
    """The array of the caller's that stands behind an argument."""
    buffer = stand_in.storage.buffer
    assert buffer is not None
    assert isinstance(buffer, ForeignBuffer)
    return buffer.owner


def root_of(view: Any) -> Any:
    """What it is a view of, if need be by way of others."""
    while view.origin is not None:
        view = view.origin[0]
    return view


def _is_argument(stand_in: StandIn) -> bool:
    """Whether it stands for an array that came from outside, as it came."""
    buffer = stand_in.storage.buffer
    return stand_in.origin is None and buffer is not None and buffer.foreign


def shown(stand_in: StandIn) -> Any:
    """The array, or the NumPy number, that the user takes it for."""
    array = _real(stand_in)
    return array[()] if is_number(stand_in) else array


def _example(stand_in: StandIn) -> Any:
    """An array, or a number, of the same class."""
    return stand_in.aval.dtype.numpy.type(0) if is_number(stand_in) else _NO_NUMBERS


_NO_NUMBERS = np.empty(0)


def is_number(stand_in: StandIn) -> bool:
    """Whether NumPy has a scalar there: a result of no dimensions, unlike an argument or a view."""
    return not stand_in.aval.shape and stand_in.origin is None and not _is_argument(stand_in)


def can_stand_for(array: np.ndarray) -> bool:
    """Whether tracejit computes with such arrays; NumPy does with the others."""
    if not (array.flags.writeable and array.flags.aligned):
        return False
    return is_ours(array.dtype) and (array.flags.forc or _lie_apart(array))


def _lie_apart(array: np.ndarray) -> bool:
    """Whether no two elements share memory: every axis steps over all that those with smaller steps reach.

    Where some do, what is written depends on the order in which NumPy goes.
    """
    reach = array.itemsize
    axes = sorted((abs(step), n) for step, n in zip(array.strides, array.shape) if n > 1)
    for step, n in axes:
        if step < reach:
            return False
        reach += step * (n - 1)
    return True


def _one_of(stand_in: StandIn, kind: Callable[[Any], Any]) -> Any:
    """Its element, to become a Python number. Of what has axes NumPy converts no more than one, and later versions none."""
    if stand_in.aval.shape:
        kind(np.empty(1 if stand_in.aval.size == 1 else 2))  # raises, or warns
    return Tensor.item(stand_in)


def _has_list(index: Any) -> bool:
    return type(index) is list or (type(index) is tuple and any(type(i) is list for i in index))


def _has_ellipsis(index: Any) -> bool:
    return index is ... or (isinstance(index, tuple) and any(part is ... for part in index))


def as_stand_in(result: Any) -> Any:
    """A tensor that nothing but stand-ins went into, which stands for an array, too; anything else as it is."""
    if type(result) is Tensor:
        object.__setattr__(result, "__class__", StandIn)
        if made.refs is not None:
            made.refs.append(weakref.ref(result))
    return result


def _whole(tensor: Tensor) -> Any:
    """A view of all of it."""
    return view_of(tensor, REGISTRY["reshape"], {"shape": tensor.shape})


def as_array_of_any_rank(made: Tensor) -> Any:
    """What is an array even if it has no dimensions, as a view is."""
    return made if made.aval.shape else _whole(made)


def has_tensor(*operands: Any) -> bool:
    """Whether there is a tensor among them that stands for no array."""
    return any(map(_is_plain, operands))


def _is_plain(value: Any) -> bool:
    if type(value) in (tuple, list):
        return any(map(_is_plain, value))
    return hasattr(value, "aval") and type(value) is not StandIn


def _as_array_takes(value: Any) -> Any:
    """What is written to an array: no tensor that requires grad, which an array cannot hold."""
    return value.numpy() if getattr(value, "requires_grad", False) else value


def _is_too_deep(target: StandIn, index: Any, value: Any) -> bool:
    """Whether NumPy refuses what tracejit would take: a sequence for one element, or nested deeper than the part has axes."""
    depth = _depth(value)
    if depth == 0:
        return False
    items = index if isinstance(index, tuple) else (index,)
    if any(hasattr(item, "ndim") or isinstance(item, list | bool) for item in items):
        return False  # by arrays
    integers = sum(isinstance(item, int) for item in items)
    ndim = target.ndim - integers + sum(item is None for item in items)
    is_sequence = isinstance(value, list | tuple)
    return (ndim == 0 and ... not in items) or (is_sequence and depth > ndim)


def _is_out_of_range(target: StandIn, value: Any) -> bool:
    """Whether it is a Python number that the integers of the array do not hold."""
    if not (type(value) in (int, float) and target.aval.dtype.is_integer):
        return False
    limits = np.iinfo(target.dtype)
    return not limits.min <= value <= limits.max


def _depth(value: Any) -> int:
    if isinstance(value, list | tuple):
        return 1 + (_depth(value[0]) if value else 0)
    return getattr(value, "ndim", 0)


class _Twins:
    """Tensors over the same memory in the place of the stand-ins of one operation, for the library to compute with.

    Where a tensor is among the operands the library takes copies of the stand-ins: the tape may keep them, and the result
    is a tensor.
    """

    def __init__(self, *operands: Any, keeps_floats: bool = False) -> None:
        self._keeps_floats = keeps_floats
        self._known: dict[int, tuple[Tensor, StandIn]] = {}
        self._has_tensor = has_tensor(*operands)

    def of(self, value: Any) -> Any:
        if self._has_tensor:
            return value
        if type(value) is StandIn:
            tensor = twin(value)
            self._known[id(tensor)] = tensor, value
            return tensor
        if type(value) in (tuple, list):
            return self._of_several(value)
        return value

    def _of_several(self, values: Any) -> Any:
        """A sequence with twins in it; floats in one are data of float64, unless the function keeps them."""
        if self._keeps_floats or not _holds_float(values):
            return type(values)(map(self.of, values)) if _holds_stand_in(values) else values
        if not _holds_stand_in(values):
            return np.asarray(values)
        return type(values)(np.float64(v) if type(v) is float else self.of(v) for v in values)

    def each(self, operands: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(map(self.of, operands))

    def options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Those of a call; what `out=` names is given back as it is."""
        return {name: value if name == "out" else self.of(value) for name, value in options.items()}

    def result(self, result: Any, *, same: bool = False, is_array: bool = False) -> Any:
        """What the library gave, as stand-ins; views are views of stand-ins.

        `same`: where it gave an operand itself so does NumPy, which otherwise makes another view of the whole.
        `is_array`: a result of no dimensions is no number.
        """
        if self._has_tensor:
            return result
        if type(result) in (tuple, list):
            return type(result)(self.result(part, same=same) for part in result)
        if same and id(result) in self._known:
            return self._known[id(result)][1]
        if id(result) in self._known:
            result = _whole(result)
        elif is_array and type(result) is Tensor:
            result = as_array_of_any_rank(result)
        view = result
        while type(view) is Tensor and view.origin is not None:
            parent, op, params = view.origin
            if id(parent) in self._known:
                view.origin = self._known[id(parent)][1], op, params
            view = parent
        return as_stand_in(result)


def _holds_stand_in(value: Any) -> bool:
    if type(value) in (tuple, list):
        return any(map(_holds_stand_in, value))
    return type(value) is StandIn


def _holds_float(value: Any) -> bool:
    if type(value) in (tuple, list):
        return any(map(_holds_float, value))
    return type(value) is float


def _method(name: str, ours: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: StandIn, *args: Any, **kwargs: Any) -> Any:
        twins = _Twins(*args, *kwargs.values())
        result = _ours_or_numpys(
            lambda: ours(twins.of(self), *twins.each(args), **kwargs),
            lambda: by_numpy(getattr(_real(self), name), args, kwargs),
        )
        if result is NotImplemented:  # complex numbers, None, objects of the user's own
            result = getattr(_real(self), name)(*args)
        return twins.result(result)

    return method


def _in_place(name: str, ours: Callable[..., Any]) -> Callable[..., Any]:
    plain = f"__{name[3:]}"

    def method(self: StandIn, *args: Any) -> Any:
        if is_number(self):  # `+=` makes another one
            return getattr(self, plain)(*args)
        (other,) = args
        twins = _Twins()
        _ours_or_numpys(
            lambda: ours(twins.of(self), twins.of(_as_array_takes(other))),
            lambda: by_numpy(getattr(_real(self), name), args, {}),
        )
        return self

    return method


def _power(x: Any, exponent: Any) -> Any:
    """`x ** exponent`: NumPy squares where the exponent is 2, which makes int8 of bools."""
    is_square = x.aval.dtype is dtypes.bool_ and type(exponent) is int and exponent == 2
    return np.square(x) if is_square else x**exponent


def _multiply_in_place(x: Any, other: Any) -> Any:
    """`x @= other`, which makes another tensor of a tensor, as in PyTorch."""
    return update(x, x @ other, "@=")


def _by_function(name: str) -> Callable[..., Any]:
    function = getattr(np, name)

    def method(self: StandIn, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    return method


BY_FUNCTION = """
    all any argmax argmin argsort cumprod cumsum max mean min prod round searchsorted std sum trace var
""".split()
"""Methods that are NumPy's functions, which take the same arguments."""


class _Absent:
    """A name that tensors have and arrays have not."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        raise AttributeError(self._name)  # Python asks `__getattr__`, which tells it of an array


def _set(name: str, value: Any) -> None:
    type.__setattr__(StandIn, name, value)  # nobody's from outside


def _install() -> None:
    """Gives stand-ins the operators and methods of tensors that arrays have, with results that are stand-ins."""
    for name in BY_FUNCTION:
        _set(name, _by_function(name))
    own = StandIn.__dict__
    for name, member in {**NumPyProtocols.__dict__, **Operators.__dict__}.items():
        if name in own or not hasattr(np.ndarray, name) or name.startswith(("__array", "__dlpack")):
            continue
        if isinstance(member, property) and name in ("T", "mT"):
            _set(name, property(_method(name, member.fget)))  # type: ignore[arg-type]  # they have one
        elif callable(member) and name not in ("__hash__", "__len__", "__new__", "__init__"):
            _set(name, _method(name, member))
    for name, member in InPlace.__dict__.items():
        if name.startswith("__i") and callable(member) and hasattr(np.ndarray, name):
            _set(name, _in_place(name, member))
    _set("__pow__", _method("__pow__", _power))
    _set("__imatmul__", _in_place("__imatmul__", _multiply_in_place))
    for name in dir(Tensor):
        if not (name.startswith("_") or hasattr(np.ndarray, name) or name in Tensor.__slots__):
            _set(name, _Absent(name))
    _set("_is_value", _Absent("_is_value"))  # ops lift it, as they lift arrays


_install()
type.__setattr__(StandIn, "__name__", "ndarray")  # as messages of Python's name it


class _Made(threading.local):
    refs: list[weakref.ref[Any]] | None = None
    """Stand-ins made during the outermost compiled call of this thread."""


made = _Made()
