"""The interpreter at the bottom: runs every op at once, as a one-op graph through the compiler or by its NumPy `eval`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from sys import getrefcount
from typing import Any

import numpy as np

from tracejit import dispatch
from tracejit._config import config
from tracejit._errors import at_user_line
from tracejit._gate import late
from tracejit._records import dataclass
from tracejit.autograd.tape import tape
from tracejit.dispatch import Scalar, ripe
from tracejit.ir.aval import Aval
from tracejit.ir.aval import aval as aval_of
from tracejit.ir.dim import plain
from tracejit.ir.graph import Apply, Effect, Graph, Input, ScalarInput, params_key
from tracejit.ops import chain as chains
from tracejit.ops.arguments import check_devices, copied
from tracejit.ops.chain import Chain
from tracejit.ops.op import Gather, Layout, Op, Params, ScatterAdd, Transfer, View
from tracejit.runtime.buffer import Buffer
from tracejit.storage import Storage, as_array, is_row_major, open_sizes, row_major
from tracejit.tensor import Tensor, fresh, from_array, make, view_of
from tracejit.tracing.background import BACKGROUND
from tracejit.tracing.programs import Options, Program, program_of

MOST_EXECUTABLES = 1 << 14
"""Programs whose shapes keep changing must not fill the memory."""


QUICK_AFTER = 100
"""Runs of a one-op program before machine code is to take such calls: making that takes milliseconds."""


@dataclass(slots=True, eq=False)
class OneOp:
    """The program of one op, and what its result is."""

    program: Program
    run: Callable[..., list[Buffer]]
    aval: Aval
    layout: Layout
    size: int
    runs: int = 0
    """By Python, since machine code was to take over."""


@dataclass(slots=True, eq=False)
class OneView:
    """What a view of some tensor is."""

    aval: Aval
    layout: Layout
    runs: int = 0
    """By Python, since machine code was to take over."""


class Eager:
    """Computes at once, each op by a program of its own that is kept for the next time."""

    def __init__(self) -> None:
        self._executables: dict[tuple[object, ...], OneOp] = {}
        self._views: dict[tuple[object, ...], OneView] = {}

    def bind(self, op: Op, args: tuple[Any, ...], params: Params) -> Tensor:
        if type(op.recipe) is View and (view := self._view(op, args, params)) is not None:
            return view
        if type(op.recipe) is Transfer:
            return transferred(args[0], params["device"])
        if type(op.recipe) in (Gather, ScatterAdd):
            check_indices(op, args[1], params["axis"], args[0].aval.sizes[params["axis"]])
        if config.eager == "numpy":
            return _evaluate(op, args, params)
        return self._execute(op, args, params)

    def _view(self, op: Op, args: tuple[Any, ...], params: Params) -> Tensor | None:
        """The result as a view of the argument; None where its elements do not lie in strides."""
        (parent,) = args
        aval, layout = parent.aval, parent.layout
        if open_sizes(aval, layout) is not None:
            return view_of(parent, op, params)
        key = (op, aval, layout.strides, layout.offset, *map(_distinct, params.items()))
        found = self._views.get(key)
        if found is None:
            view = view_of(parent, op, params)
            if view is not None:
                if len(self._views) >= MOST_EXECUTABLES:
                    self._views.clear()
                self._views[key] = OneView(view.aval, view.layout)
            return view
        found.runs += 1
        if found.runs >= QUICK_AFTER:
            found.runs = 0
            if aval.device == "cpu":
                ripe.append(_Ripe(op, args, params, found))
        return make(parent.storage, found.layout, found.aval, (parent, op, params))

    def assign(self, target: Tensor, value: Tensor) -> None:
        storage = target.storage
        storage.realize()
        value.storage.realize()
        # A result that nobody else holds needs no copy: its memory becomes the target's. (2: the tensor and the call.)
        if getrefcount(value.storage) == 2 and _is_whole(target) and _is_whole(value):
            storage.buffer = value.storage.buffer
        elif target.aval.device != "cpu":
            self._store(target, value)
        else:
            there, what = as_array(target), as_array(value)
            # NumPy reads the value completely first in some cases only: not one-dimensional ones of different strides.
            there[...] = what.copy() if np.may_share_memory(there, what) else what
        storage.note_write()

    def _store(self, target: Tensor, value: Tensor) -> None:
        """Writes by a program, where NumPy cannot."""
        one = target.storage is value.storage
        layouts = target.layout.strides, value.layout.strides
        key = ("store", one, target.aval, value.aval, *layouts)
        found = self._executables.get(key)
        if found is None:
            found = self._executables[key] = _compile_store(target, value, one)
        found.run([address_of(target), address_of(value)])

    def _execute(self, op: Op, args: tuple[Any, ...], params: Params) -> Tensor:
        key: list[Any] = [op, config.target]
        addresses: list[int] = []
        scalars: list[bool | int | float] = []
        for arg in args:
            key.append(arg.aval)
            if type(arg) is Scalar:
                scalars.append(arg.value)
                continue
            layout, storage = arg.layout, arg.storage
            key.append(layout.strides)
            buffer = storage.buffer if storage.pending is None else storage.realize()
            addresses.append(buffer.address + layout.offset * storage.dtype.itemsize)
        if params:
            key.extend(map(_distinct, params.items()))
        found = self._executables.get(tuple(key))
        if found is None:
            if len(self._executables) >= MOST_EXECUTABLES:
                self._executables.clear()
            found = self._executables[tuple(key)] = _compile(op, args, params)
        (buffer,) = found.run(addresses, scalars)
        found.runs += 1
        if found.runs >= QUICK_AFTER:
            found.runs = 0  # machine code that a change of settings has made useless is made again
            found.run = found.program.runner
            if found.aval.device == "cpu":
                ripe.append(_Ripe(op, args, params, found))
        aval = found.aval
        return make(Storage(aval.dtype, found.size, buffer), found.layout, aval)


def _is_whole(tensor: Tensor) -> bool:
    """Whether the tensor is all of a storage of tracejit's own, in row-major order."""
    storage, layout = tensor.storage, tensor.layout
    return (
        layout is row_major(layout.shape)
        and storage.size == tensor.aval.size
        and not storage.escaped
    )


def _distinct(param: tuple[str, Any]) -> tuple[Any, ...]:
    """A key in which 0.0, -0.0, 0 and False differ."""
    name, value = param
    return (name, str(value), type(value)) if type(value) in (float, bool) else param


def check_indices(op: Op, indices: Tensor, axis: int, extent: int) -> None:
    """Raises IndexError where an index is outside the axis: generated code does not look."""
    places = as_array(indices)
    if places.size and not -extent <= places.min() <= places.max() < extent:
        outside = places[(places < -extent) | (places >= extent)].flat[0]
        message = f"{op}: index {outside} is out of bounds for axis {axis} with size {extent}"
        raise IndexError(at_user_line(message))


def _compile(op: Op, args: tuple[Any, ...], params: Params) -> OneOp:
    inputs = tuple(_input(arg) for arg in args)
    check_devices(op.name, [arg.aval for arg in args if type(arg) is not Scalar])
    aval = op.infer(*(arg.aval for arg in args), **params)
    graph = Graph(inputs, (Apply(op, inputs, params_key(params), aval),))
    program = program_of(graph, options=Options())
    return OneOp(program, program.runner, aval, row_major(aval.shape), aval.size)


def _compile_store(target: Tensor, value: Tensor, one: bool) -> OneOp:
    """The program that writes `value` to `target`, which may be parts of one memory."""
    where = Input(target.aval, target.layout.strides, memory=0)
    what = Input(value.aval, value.layout.strides, memory=0 if one else 1)
    program = program_of(Graph((where, what), (), (Effect(where, what),)), options=Options())
    return OneOp(program, program.runner, target.aval, target.layout, 0)


class _Ripe:
    """Calls of an op that have been run so often that machine code is to take them."""

    def __init__(
        self, op: Op, values: tuple[Any, ...], params: Params, found: OneOp | OneView
    ) -> None:
        self._applied = op, values, params, found
        self._call: tuple[Any, ...] = ()

    def __call__(self, called: Op, given: tuple[Any, ...], params: Params) -> None:
        """Tells what was called, and with what."""
        self._call = called, given, params
        BACKGROUND.do(self)

    def make(self) -> None:
        """Makes it."""
        # Loaded at the first use, which most short programs never come to, and by the thread that needs it.
        quick = late("tracejit.tracing.quick")
        # SystemError: Python's parser, up to 3.12, mistakes another thread's depth for its own.
        with contextlib.suppress(RecursionError, MemoryError, SystemError):
            quick.take(*self._call, *self._applied)


class _RipeChain:
    """A chain that has been run so often that machine code is to take it."""

    def __init__(self, *call: Any) -> None:
        self._call = call

    def make(self) -> None:
        """Makes it."""
        quick = late("tracejit.tracing.quick")
        with contextlib.suppress(RecursionError, MemoryError, SystemError):
            quick.take_chain(*self._call)


def _consider(chain: Chain, x: Any, result: Any) -> None:
    if chain.runs >= QUICK_AFTER:
        chain.runs = 0
        BACKGROUND.do(_RipeChain(chain, x, result))


chains.ripe.append(_consider)


def _input(arg: Any) -> Input | ScalarInput:
    if type(arg) is Scalar:
        return ScalarInput(arg.aval)
    return Input(arg.aval, None if is_row_major(arg.layout) else arg.layout.strides)


def _evaluate(op: Op, args: tuple[Any, ...], params: Params) -> Tensor:
    """The op by its NumPy `eval`."""
    aval = op.infer(*(arg.aval for arg in args), **params)
    result = np.asarray(op.eval(*map(_operand, args), **params))
    assert result.shape == aval.shape, f"{op}: eval gives shape {result.shape}, infer {aval}"
    assert result.dtype == aval.dtype.numpy, f"{op}: eval gives {result.dtype}, infer {aval}"
    return fresh(aval, buffer_of(result, aval.device))


def _operand(arg: Any) -> Any:
    return arg.aval.dtype.numpy.type(arg.value) if type(arg) is Scalar else as_array(arg)


def transferred(x: Tensor, device: str) -> Tensor:
    """The elements of `x` in memory of another device: row-major."""
    if x.aval.device != "cpu" and not is_row_major(x.layout):
        x = copied(x)  # there, so that only the elements travel
    layout, dtype = x.layout, x.aval.dtype.numpy
    shape, offset = plain(layout.shape), plain(layout.offset) * dtype.itemsize
    kind = aval_of(x.aval.dtype, x.aval.shape, device)
    buffer: Any = x.storage.realize()
    if "cpu" not in (device, x.aval.device):
        return fresh(
            kind, late("tracejit.runtime.cuda.memory").across(buffer, device, dtype, shape, offset)
        )
    # Not by `as_array`: nobody looks at the elements.
    return fresh(kind, buffer_of(buffer.array(dtype, shape, plain(layout.strides), offset), device))


def buffer_of(array: np.ndarray, device: str) -> Buffer:
    """The elements of an array, row-major, in memory of a device."""
    if device != "cpu":
        sent: Buffer = late("tracejit.runtime.cuda.memory").sent(array, device)
        return sent
    buffer = Buffer.allocate(array.nbytes)
    buffer.array(array.dtype, array.shape)[...] = array
    return buffer


def address_of(tensor: Tensor) -> int:
    """Of its first element."""
    storage = tensor.storage
    address: int = storage.realize().address
    return address + tensor.layout.offset * storage.dtype.itemsize


def lift(value: Any) -> Tensor:
    """An operand from outside, as it is now: a copy, as its owner may write to it while a gradient or recorder needs it."""
    return from_array(value, copy=True)


dispatch.install((Eager(), tape), lift)
