"""Tensor: a strided view of a storage, with the methods that need memory, NumPy or the tape; the others are `Operators`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tracejit import dtypes, indexing
from tracejit._config import config
from tracejit._errors import (
    AutogradError,
    DTypeError,
    ShapeError,
    at_user_line,
)
from tracejit._gate import late
from tracejit.autograd import engine
from tracejit.autograd.node import Handle, Hook, Node
from tracejit.autograd.tape import handle_of
from tracejit.dtypes import DType
from tracejit.inplace import InPlace
from tracejit.interop import NumPyProtocols
from tracejit.ir.aval import Aval, aval
from tracejit.methods import Operators
from tracejit.ops.arguments import cast, copied, moved
from tracejit.ops.op import Layout, Op, Params
from tracejit.runtime.buffer import Buffer
from tracejit.runtime.device import KINDS, default_device, full_name
from tracejit.storage import Storage, as_array, is_row_major, open_sizes, row_major
from tracejit.symbols import settled

Origin = tuple["Tensor", Op, Params]


patches: dict[tuple[type, str], Any] = {}
"""What has been set from outside on the library's classes of tensors, and what stood there before."""
_ABSENT = object()


class _Kind(type):
    """Lets `isinstance` go by what an object says it is: what stands for a NumPy array is no tensor.

    What is set on the library's own classes is noted: from then on tensors may do anything.
    """

    def __setattr__(cls, name: str, value: Any) -> None:
        before = cls.__dict__.get(name, _ABSENT)
        super().__setattr__(name, value)
        cls._note(name, before)

    def __delattr__(cls, name: str) -> None:
        before = cls.__dict__.get(name, _ABSENT)
        super().__delattr__(name)
        cls._note(name, before)

    def _note(cls, name: str, before: object) -> None:
        if not cls.__module__.startswith("tracejit."):
            return
        if patches.setdefault((cls, name), before) is cls.__dict__.get(name, _ABSENT):
            del patches[cls, name]  # it is again what it was
        config.changed()

    def __instancecheck__(cls, instance: object) -> bool:
        kind: object = instance.__class__
        return isinstance(kind, type) and issubclass(kind, cls)


class Tensor(Operators, InPlace, NumPyProtocols, metaclass=_Kind):
    """An array of numbers of one dtype. Slices, transposes and reshapes are views: they share memory, as NumPy's do.

    storage    the memory, shared with views
    layout     where in it the elements lie
    aval       dtype, shape, device
    origin     (parent, op, params) where the tensor is a view of another
    autograd   its handle on the tape; None where it has never had to do with gradients

    >>> t = Tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> t.T[0] += 10
    >>> t
    tensor([[11.,  2.],
            [13.,  4.]])
    """

    __slots__ = ("__weakref__", "autograd", "aval", "layout", "origin", "storage")

    storage: Storage
    layout: Layout
    aval: Aval
    origin: Origin | None
    autograd: Handle | None

    def __init__(
        self,
        data: Any,
        dtype: Any = None,
        device: str | None = None,
        requires_grad: bool = False,
    ) -> None:
        made = from_data(data, dtype, device)
        self.storage, self.layout, self.aval = made.storage, made.layout, made.aval
        self.origin = self.autograd = None
        self.requires_grad_(requires_grad)

    # What it is

    @property
    def strides(self) -> tuple[int, ...]:
        """Distances in memory between neighbours along each axis, in elements."""
        return self.layout.strides

    @property
    def base(self) -> Tensor | None:
        """The tensor that this one is a view of."""
        return self.origin[0] if self.origin else None

    @property
    def is_contiguous(self) -> bool:
        """Whether the elements lie in row-major order without gaps."""
        return is_row_major(self.layout)

    def __repr__(self) -> str:
        return _shown(self)

    # Values for Python

    def item(self) -> bool | int | float:
        """The one element as a Python number. Waits for pending work."""
        if self.size != 1:
            raise ValueError(
                at_user_line(f"only a tensor with one element is a number; this one is {self.aval}")
            )
        return as_array(self).item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        return as_array(self).tolist()

    def __bool__(self) -> bool:
        if self.size != 1:
            message = f"the truth value of {self.aval} is ambiguous; use a.any() or a.all()"
            raise ValueError(at_user_line(message))
        return bool(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self.aval.dtype.is_float or self.aval.shape:
            raise TypeError(
                at_user_line(f"only a 0-d integer tensor is an index; this one is {self.aval}")
            )
        return int(self.item())

    def __iter__(self) -> Iterator[Tensor]:
        if not self.aval.shape:
            raise TypeError(at_user_line("iteration over a 0-d tensor"))
        return (self[place] for place in range(len(self)))

    def __contains__(self, value: object) -> bool:
        return bool((self == value).any())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    # Memory

    def numpy(self) -> np.ndarray:
        """The same memory as a NumPy array.

        Raises AutogradError for a tensor that requires grad: `t.detach().numpy()` says that gradients end there; TypeError for
        one on a GPU, whose memory NumPy cannot see: `t.cpu().numpy()` copies it.
        """
        if self.requires_grad:
            raise AutogradError(
                at_user_line(
                    "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
                )
            )
        if self.aval.device != "cpu":
            message = f"can't convert a {self.aval.device} tensor to numpy: t.cpu() copies it to the CPU first"
            raise TypeError(at_user_line(message))
        array = as_array(self)
        self.storage.expose()
        return array

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """The same memory of a GPU, for libraries that speak this protocol, such as PyTorch and CuPy."""
        shown: dict[str, Any] = late("tracejit.exchange").interface(self)
        return shown

    @staticmethod
    def _over(array: np.ndarray) -> Tensor:
        """A tensor over the memory of a NumPy array."""
        return from_array(array, copy=False)

    def copy(self) -> Tensor:
        """The same elements in memory of their own."""
        return copied(self)

    clone = copy

    def to(self, target: Any, *, copy: bool = False) -> Tensor:
        """In another dtype, or on another device: itself where it is that already, unless it is to be a `copy`.

        Gradients flow back to where they came from.
        """
        is_place = isinstance(target, str) and target.split(":")[0] in KINDS
        made: Tensor = (
            moved(self, check_device(target)) if is_place else self.astype(target, copy=False)
        )
        return made.copy() if copy and made is self else made

    def to_device(self, device: str, /, *, stream: None = None) -> Tensor:
        """On another device, as the array API calls it; each device has one stream."""
        return self.to(check_device(device))

    def cpu(self) -> Tensor:
        """In the memory of the CPU."""
        return self.to("cpu")

    def cuda(self, device: int = 0) -> Tensor:
        """On a GPU. Raises DeviceUnavailable, saying what mends it."""
        return self.to(f"cuda:{device}")

    def __reduce__(self) -> tuple[object, ...]:
        aval = self.aval
        raw = np.array(as_array(self)).view(f"V{aval.dtype.itemsize}")  # pickle knows no bfloat16
        return _restore, (self.__class__, raw, aval.dtype, self.requires_grad, aval.device)

    def __copy__(self) -> Tensor:
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self.grad_fn is not None:
            message = "Only Tensors created explicitly by the user support the deepcopy protocol: detach() it first"
            raise AutogradError(at_user_line(message))
        twin = self.detach().copy().requires_grad_(self.requires_grad)
        twin.__class__ = self.__class__
        memo[id(self)] = twin
        if self.grad is not None:
            twin.grad = self.grad.__deepcopy__(memo)
        return twin

    # Parts

    __getitem__ = indexing.get
    __setitem__ = indexing.put

    # Gradients

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor."""
        handle = handle_of(self)
        return handle is not None and handle.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Makes a leaf whose gradient `backward()` accumulates, or ends that; returns the tensor."""
        if requires_grad and not self.aval.dtype.is_float:
            raise DTypeError(
                at_user_line(
                    f"only floating-point tensors can require gradients; this one is {self.aval}"
                )
            )
        if requires_grad == self.requires_grad:
            return self
        if self.grad_fn is not None:
            raise AutogradError(
                at_user_line("you can only change requires_grad flags of leaf variables.")
            )
        if self.autograd is None:
            self.autograd = Handle(None, self.storage.version)
        self.autograd.requires_grad = requires_grad
        return self

    @property
    def grad_fn(self) -> Node | None:
        """The node of the tape that made the value; None for a leaf."""
        handle = handle_of(self)
        return handle.node if handle else None

    @property
    def is_leaf(self) -> bool:
        return self.grad_fn is None

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward()` has accumulated."""
        return self.autograd.grad if self.autograd else None

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(at_user_line(f"a gradient is a tensor, not {type(value).__name__}"))
        if value is not None and not value.aval.equals(self.aval):
            raise ValueError(at_user_line(f"the gradient of {self.aval} cannot be {value.aval}"))
        if self.autograd is None:
            if value is None:
                return
            self.autograd = Handle(None, self.storage.version, requires_grad=False)
        self.autograd.grad = value

    def detach(self) -> Tensor:
        """The same memory, through which no gradient flows."""
        views = []
        tensor = self
        while tensor.origin is not None:
            parent, op, params = tensor.origin
            views.append((tensor, op, params))
            tensor = parent
        twin = make(tensor.storage, tensor.layout, tensor.aval)
        for view, op, params in reversed(views):
            twin = make(view.storage, view.layout, view.aval, (twin, op, params))
        return twin

    def backward(
        self,
        gradient: Any = None,
        *,
        retain_graph: bool | None = None,
        create_graph: bool = False,
    ) -> None:
        """Adds this tensor's gradient with respect to each leaf to that leaf's `.grad`.

        `gradient` is the gradient of something with respect to this tensor, 1 by default for a single element. What was
        saved for the backward pass is freed unless `retain_graph`, which is by default `create_graph`; that makes the
        gradients differentiable.

        >>> x = Tensor([1.0, 2.0], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad
        tensor([2., 4.])
        """
        engine.backward(self, gradient, retain_graph=retain_graph, create_graph=create_graph)

    def register_hook(self, hook: Hook) -> Callable[[], None]:
        """Calls `hook(gradient)` in each backward pass; what it returns, unless None, takes its place. Gives its remover."""
        return engine.register_hook(self, hook)

    def retain_grad(self) -> None:
        """Lets `backward()` set `.grad` of this tensor also where it is no leaf."""
        engine.retain_grad(self)


_new = Tensor.__new__


def make(storage: Storage, layout: Layout, aval: Aval, origin: Origin | None = None) -> Tensor:
    """A tensor of these parts."""
    tensor = _new(Tensor)
    tensor.storage = storage
    tensor.layout = layout
    tensor.aval = aval
    tensor.origin = origin
    tensor.autograd = None
    # What is no view has no open sizes but in its shape.
    sizes = aval.open if origin is None else open_sizes(aval, layout)
    if sizes is not None:
        sizes.note(tensor)
    return tensor


def twin(tensor: Tensor) -> Tensor:
    """Another tensor over the same memory, which is a view of what the tensor is a view of."""
    return make(tensor.storage, tensor.layout, tensor.aval, tensor.origin)


def fresh(aval: Aval, buffer: Buffer | None = None, pending: Any = None) -> Tensor:
    """A row-major tensor with a storage of its own, in memory or pending."""
    layout = row_major(aval.shape)
    return make(Storage(aval.dtype, aval.size, buffer, pending), layout, aval)


def view_of(parent: Tensor, op: Op, params: Params) -> Tensor | None:
    """The result of a View op as a view of the parent's storage; None where its elements do not lie in strides."""
    layout = op.recipe.layout(parent.layout, **params)  # type: ignore[union-attr]  # a View
    if layout is None:
        return None
    return make(parent.storage, layout, op.infer(parent.aval, **params), (parent, op, params))


def _shown(tensor: Tensor) -> str:
    """`tensor([1., 2.], dtype=float64, requires_grad=True)`; the dtype where it is not what the text alone would give."""
    parts = [np.array2string(as_array(tensor), separator=", ", prefix="tensor(")]
    implied = {"b": dtypes.bool_, "i": dtypes.int64, "u": dtypes.int64, "f": config.default_dtype}
    if not tensor.size and tensor.shape != (0,):
        parts.append(f"shape={tensor.shape}")
    if implied[tensor.dtype.kind] is not tensor.dtype or not tensor.size:
        parts.append(f"dtype={tensor.dtype.name}")
    if tensor.device != "cpu":
        parts.append(f"device={tensor.device!r}")
    if tensor.requires_grad:
        parts.append("requires_grad=True")
    return f"tensor({', '.join(parts)})"


# Tensors from data

after_making: list[Callable[[Tensor], None]] = []
"""What is called with a tensor that was made of data from outside, by no op."""


def check_device(device: str | None) -> str:
    """The device by its full name, or the default one; DeviceUnavailable where it cannot be used."""
    if device is None:
        return default_device()
    if not isinstance(device, str):
        raise TypeError(at_user_line(f"a device is named by a string, got {device!r}"))
    return full_name(device)


def from_array(array: Any, *, copy: bool, dtype: DType | None = None) -> Tensor:
    """A tensor over the memory of a NumPy array, or a copy of it. Read-only memory is always copied.

    Nested sequences are made an array first, of the default dtype where they hold Python floats.
    """
    if hasattr(array, "aval") and not isinstance(array, Tensor):
        return _from_stand_in(array, copy or not isinstance(array, np.ndarray), dtype)
    made = _from_array(array, copy, dtype)
    for tell in after_making:
        tell(made)
    return made


def _from_stand_in(array: Any, copy: bool, dtype: DType | None) -> Tensor:
    """A tensor of what stands for an array, or for a number, in a compiled function: nobody looks at its elements."""
    same = twin(array)
    if dtype is not None and dtype is not array.aval.dtype:
        same, copy = cast(same, dtype), False
    return copied(same) if copy else same


def _from_array(array: Any, copy: bool, dtype: DType | None) -> Tensor:
    array = array if isinstance(array, np.ndarray) else _gathered(array, dtype)
    found = _dtype_of(array)
    if dtype is not None and dtype is not found:
        with np.errstate(all="ignore"):  # an overflow in a cast is a value, as for every op
            array, found, copy = array.astype(dtype.numpy), dtype, False
        return fresh(aval(found, array.shape), _owned(array, found))
    flags = array.flags
    whole_strides = not any(stride % array.itemsize for stride in array.strides)
    if copy or not (
        flags.writeable and flags.aligned and whole_strides and array.dtype == found.numpy
    ):
        return fresh(aval(found, array.shape), _owned(array, found))
    strides = tuple(stride // array.itemsize for stride in array.strides)
    storage = Storage(found, array.size, Buffer.wrap(array))
    storage.escaped = True
    layout = row_major(array.shape)
    return make(
        storage,
        layout if strides == layout.strides else Layout(array.shape, strides),
        aval(found, array.shape),
    )


def _owned(array: np.ndarray, dtype: DType) -> Buffer:
    buffer = Buffer.allocate(array.nbytes)
    buffer.array(dtype.numpy, array.shape)[...] = array
    return buffer


def _dtype_of(array: np.ndarray) -> DType:
    try:
        return dtypes.from_numpy(array.dtype)
    except TypeError:
        message = f"tensors hold numbers; NumPy dtype {array.dtype} is none of tracejit's"
        raise DTypeError(at_user_line(message)) from None


def _gathered(data: Any, dtype: DType | None) -> np.ndarray:
    """Numbers, tensors and sequences of them as an array, promoted as operands are: Python numbers are weak."""
    if isinstance(data, Tensor):
        return as_array(data)
    try:
        array = np.asarray(_plain(data), None if dtype is None else dtype.numpy)
    except ValueError as error:  # sequences of different lengths
        raise ShapeError(at_user_line(str(error))) from None
    if dtype is not None or array.dtype != np.float64:
        return array
    kinds = set(_kinds(data))
    is_default = not any(isinstance(kind, DType) for kind in kinds)
    return array.astype((config.default_dtype if is_default else dtypes.promote_all(*kinds)).numpy)


def _plain(data: Any) -> Any:
    """Sequences with the tensors inside made arrays, and numbers that NumPy may look at."""
    if isinstance(data, (list, tuple)):
        return [_plain(part) for part in data]
    return as_array(data) if isinstance(data, Tensor) else settled(data)


def _kinds(data: Any) -> Iterator[DType | type]:
    """The Python types and the dtypes of what nested sequences hold."""
    if isinstance(data, (list, tuple)):
        for part in data:
            yield from _kinds(part)
    else:
        yield dtypes.weak_or_dtype(settled(data))


def from_data(data: Any, dtype: Any = None, device: str | None = None) -> Tensor:
    """A copy of `data`: numbers, nested sequences, arrays or tensors, which stay on their device where none is named."""
    wanted = None if dtype is None else dtypes.as_dtype(dtype)
    place = None if device is None else check_device(device)
    if isinstance(data, Tensor):  # by ops, which a recording sees
        twin = moved(cast(data.detach(), wanted or data.aval.dtype), place or data.aval.device)
        return copied(twin) if twin.storage is data.storage else twin
    if not isinstance(data, np.ndarray) and _is_on_gpu(data):
        exchange = late("tracejit.exchange")
        speaks = hasattr(data, "__cuda_array_interface__")
        made = exchange.received(data) if speaks else exchange.taken(data, copy=True)
        made = cast(made, wanted) if wanted else made
    else:
        # On its way to another device it is copied anyway.
        place = place or (data.aval.device if isinstance(data, Tensor) else default_device())
        made = from_array(data, copy=place == "cpu", dtype=wanted)
    return made if place is None else moved(made, place)


def _is_on_gpu(data: Any) -> bool:
    """Whether another library's array is."""
    if hasattr(data, "__cuda_array_interface__"):
        return True
    is_on_gpu: bool = hasattr(data, "__dlpack_device__") and late("tracejit.exchange").is_on_gpu(
        data
    )
    return is_on_gpu


def _restore(
    kind: type[Tensor], raw: np.ndarray, dtype: DType, requires_grad: bool, device: str = "cpu"
) -> Tensor:
    """What `pickle` calls."""
    made = moved(from_array(raw.view(dtype.numpy), copy=True), check_device(device))
    tensor = made.requires_grad_(requires_grad)
    tensor.__class__ = kind
    return tensor
