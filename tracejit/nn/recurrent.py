"""Layers that go along a sequence with a state: plain recurrent ones, GRU and LSTM, whole or one step at a time.

The products of the inputs depend on no state, so those of a whole sequence are one product; a step then adds the product of its
state.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any, NamedTuple

from tracejit._errors import ShapeError, at_user_line
from tracejit.creation import zeros
from tracejit.nn import functional as F
from tracejit.nn import init
from tracejit.nn.module import Module
from tracejit.nn.parameter import Parameter
from tracejit.ops.arguments import value
from tracejit.ops.functions import relu, sigmoid, tanh
from tracejit.ops.shape import swapaxes
from tracejit.ops.slicing import concat, split, stack, unstack
from tracejit.tensor import Tensor

State = tuple[Tensor, ...]
"""The hidden state, and for an LSTM the cell state."""


class Kind(NamedTuple):
    """One step of a recurrent layer.

    gates   how many vectors of the hidden size stand side by side in the products
    states  how many tensors the state has
    step    (product of the input, product of the hidden state, state) -> the next state
    """

    gates: int
    states: int
    step: Callable[[Tensor, Tensor, State], State]


def _tanh_step(x: Tensor, h: Tensor, _: State) -> State:
    return (tanh(x + h),)


def _relu_step(x: Tensor, h: Tensor, _: State) -> State:
    return (relu(x + h),)


def _gru_step(x: Tensor, h: Tensor, state: State) -> State:
    x_reset, x_keep, x_new = split(x, 3, axis=-1)
    h_reset, h_keep, h_new = split(h, 3, axis=-1)
    new = tanh(x_new + sigmoid(x_reset + h_reset) * h_new)
    keep = sigmoid(x_keep + h_keep)
    return ((1 - keep) * new + keep * state[0],)


def _lstm_step(x: Tensor, h: Tensor, state: State) -> State:
    enter, keep, new, leave = split(x + h, 4, axis=-1)
    cell = sigmoid(keep) * state[1] + sigmoid(enter) * tanh(new)
    return sigmoid(leave) * tanh(cell), cell


GRU_KIND = Kind(3, 1, _gru_step)
LSTM_KIND = Kind(4, 2, _lstm_step)


def _plain_kind(nonlinearity: str) -> Kind:
    steps = {"tanh": _tanh_step, "relu": _relu_step}
    if nonlinearity not in steps:
        message = f"the nonlinearity is 'tanh' or 'relu', got {nonlinearity!r}"
        raise ValueError(at_user_line(message))
    return Kind(1, 1, steps[nonlinearity])


class _Recurrent(Module):
    """What cells and layers share: sizes, how parameters are made, and the checks of inputs and states."""

    input_size: int
    hidden_size: int
    bias: bool
    kind: Kind

    def _set_sizes(self, input_size: int, hidden_size: int, bias: bool) -> None:
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        self._check_positive("hidden_size")

    def _check_positive(self, name: str) -> None:
        if getattr(self, name) <= 0:
            message = f"{type(self).__name__}: {name} is 1 or more, got {getattr(self, name)}"
            raise ValueError(at_user_line(message))

    def _make(self, inputs: int, suffix: str = "") -> None:
        """The parameters of one cell, which takes vectors of size `inputs`."""
        width = self.kind.gates * self.hidden_size
        setattr(self, f"weight_ih{suffix}", Parameter(init.empty(width, inputs)))
        setattr(self, f"weight_hh{suffix}", Parameter(init.empty(width, self.hidden_size)))
        for name in (f"bias_ih{suffix}", f"bias_hh{suffix}"):
            setattr(self, name, Parameter(init.empty(width)) if self.bias else None)

    def reset_parameters(self) -> None:
        bound = 1 / sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _check_input(self, x: Tensor, ndims: tuple[int, int], shapes: str) -> None:
        if x.ndim not in ndims or x.shape[-1] != self.input_size:
            message = (
                f"{type(self).__name__}({self.input_size}, {self.hidden_size}): expected {shapes}"
            )
            raise ShapeError(at_user_line(f"{message}, got {x.aval}"))

    def _start(self, given: Any, shape: tuple[int, ...], x: Tensor) -> State:
        """The given state, or zeros."""
        count = self.kind.states
        if given is None:
            return (zeros(shape, dtype=x.dtype, device=x.device),) * count
        state = tuple(map(value, given if count > 1 else (given,)))
        if len(state) != count or any(part.shape != shape for part in state):
            shown = ", ".join(str(part.aval) for part in state)
            expected = " and ".join([str(tuple(shape))] * count)
            message = f"{type(self).__name__}: the state of {x.aval} has shape {expected}"
            raise ShapeError(at_user_line(f"{message}, got {shown}"))
        return state

    def _result(self, state: State) -> Any:
        return state if self.kind.states > 1 else state[0]


# one step


class _Cell(_Recurrent):
    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        self._set_sizes(input_size, hidden_size, bias)
        self._make(input_size)
        self.reset_parameters()

    def forward(self, x: Tensor, hx: Any = None) -> Any:
        x = value(x)
        size = self.input_size
        self._check_input(x, (1, 2), f"(N, {size}) or ({size},)")
        state = self._start(hx, (*x.shape[:-1], self.hidden_size), x)
        product = F.linear(x, self.weight_ih, self.bias_ih)
        state_product = F.linear(state[0], self.weight_hh, self.bias_hh)
        return self._result(self.kind.step(product, state_product, state))

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}{'' if self.bias else ', bias=False'}"


class RNNCell(_Cell):
    """One step of `RNN`: x of shape (N, input_size) and a state of shape (N, hidden_size) to the next state, or without N.

    >>> import tracejit as tj
    >>> RNNCell(3, 4)(tj.ones((2, 3))).shape
    (2, 4)
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh"
    ) -> None:
        self.nonlinearity, self.kind = nonlinearity, _plain_kind(nonlinearity)
        super().__init__(input_size, hidden_size, bias)

    def extra_repr(self) -> str:
        shown = super().extra_repr()
        return (
            shown if self.nonlinearity == "tanh" else f"{shown}, nonlinearity={self.nonlinearity}"
        )


class GRUCell(_Cell):
    """One step of `GRU`: x of shape (N, input_size) and a state of shape (N, hidden_size) to the next state, or without N.

    >>> import tracejit as tj
    >>> GRUCell(3, 4)(tj.ones((2, 3))).shape
    (2, 4)
    """

    kind = GRU_KIND


class LSTMCell(_Cell):
    """One step of `LSTM`: x of shape (N, input_size) and (h, c), each (N, hidden_size), to the next (h, c), or without N.

    >>> import tracejit as tj
    >>> h, c = LSTMCell(3, 4)(tj.ones((2, 3)))
    >>> h.shape, c.shape
    ((2, 4), (2, 4))
    """

    kind = LSTM_KIND


# whole sequences


class _Layers(_Recurrent):
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        self._set_sizes(input_size, hidden_size, bias)
        self.num_layers, self.batch_first = num_layers, batch_first
        self.dropout, self.bidirectional = dropout, bidirectional
        self._check_positive("num_layers")
        F.check_probability(dropout)
        for layer in range(num_layers):
            for suffix in self._suffixes(layer):
                self._make(hidden_size * self._directions if layer else input_size, suffix)
        self.reset_parameters()

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _suffixes(self, layer: int) -> list[str]:
        """How the names of a layer's parameters end, forwards first."""
        return [f"_l{layer}", f"_l{layer}_reverse"][: self._directions]

    def forward(self, x: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
        """The hidden states of the last layer at all steps, and the states of all layers after the last step."""
        x = value(x)
        size, order = self.input_size, "N, L" if self.batch_first else "L, N"
        self._check_input(x, (2, 3), f"({order}, {size}) or (L, {size})")
        is_turned = self.batch_first and x.ndim == 3
        x = swapaxes(x, 0, 1) if is_turned else x
        if x.shape[0] == 0:
            message = f"{type(self).__name__}: a sequence has one step or more, got {x.aval}"
            raise ShapeError(at_user_line(message))
        cells = self.num_layers * self._directions
        starts = self._start(hx, (cells, *x.shape[1:-1], self.hidden_size), x)
        output, ends = self._run(x, list(zip(*map(unstack, starts), strict=True)))
        states = tuple(stack(parts) for parts in zip(*ends, strict=True))
        return swapaxes(output, 0, 1) if is_turned else output, self._result(states)

    def _run(self, x: Tensor, starts: list[State]) -> tuple[Tensor, list[State]]:
        """All layers over a sequence whose steps come first; `starts` and the states after it are in the parameters' order."""
        ends: list[State] = []
        for layer in range(self.num_layers):
            if layer:
                x = F.dropout(x, self.dropout, self.training)
            outputs = []
            for suffix in self._suffixes(layer):
                output, end = self._run_cell(x, starts[len(ends)], suffix)
                outputs.append(output)
                ends.append(end)
            x = concat(outputs, axis=-1) if self.bidirectional else outputs[0]
        return x, ends

    def _run_cell(self, x: Tensor, state: State, suffix: str) -> tuple[Tensor, State]:
        """One cell along the sequence, from its end where the suffix says so."""
        direction = -1 if suffix.endswith("_reverse") else 1
        products = unstack(self._linear(x, "ih", suffix))
        outputs = []
        for product in products[::direction]:
            state = self.kind.step(product, self._linear(state[0], "hh", suffix), state)
            outputs.append(state[0])
        return stack(outputs[::direction]), state

    def _linear(self, x: Tensor, source: str, suffix: str) -> Tensor:
        weight, bias = f"weight_{source}{suffix}", f"bias_{source}{suffix}"
        return F.linear(x, getattr(self, weight), getattr(self, bias))

    def extra_repr(self) -> str:
        changed = [
            f"{name}={getattr(self, name)}"
            for name, default in _DEFAULTS.items()
            if getattr(self, name) != default
        ]
        return ", ".join([str(self.input_size), str(self.hidden_size), *changed])


_DEFAULTS = {
    "num_layers": 1,
    "bias": True,
    "batch_first": False,
    "dropout": 0.0,
    "bidirectional": False,
}


class RNN(_Layers):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh) along a sequence, with `nonlinearity="relu"` relu (Elman, 1990).

    Takes x of shape (L, N, input_size), with `batch_first` (N, L, input_size), or (L, input_size), and the state before the first
    step, of shape (num_layers, N, hidden_size), zeros if not given; without N where x has none. Gives the hidden states of the
    last layer, of shape (L, N, hidden_size), and the state of all layers after the last step. With `bidirectional` each layer has
    a second cell that goes the other way; their outputs stand side by side, and states have shape
    (2 * num_layers, N, hidden_size). In training each layer after the first has its inputs dropped with probability `dropout`.

    >>> import tracejit as tj
    >>> output, h = RNN(3, 4, num_layers=2)(tj.ones((5, 2, 3)))
    >>> output.shape, h.shape
    ((5, 2, 4), (2, 2, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        self.nonlinearity, self.kind = nonlinearity, _plain_kind(nonlinearity)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        )


class GRU(_Layers):
    """Gated recurrent units (Cho et al., 2014) along a sequence; arguments, shapes and results are those of `RNN`.

    With x_ and h_ the parts of W_ih x + b_ih and W_hh h + b_hh, in this order: r = sigmoid(x_r + h_r), z = sigmoid(x_z + h_z),
    n = tanh(x_n + r h_n), and h' = (1 - z) n + z h.

    >>> import tracejit as tj
    >>> output, h = GRU(3, 4, batch_first=True)(tj.ones((2, 5, 3)))
    >>> output.shape, h.shape
    ((2, 5, 4), (1, 2, 4))
    """

    kind = GRU_KIND


class LSTM(_Layers):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997) along a sequence; arguments and shapes are those of `RNN`.

    The state is a pair (h, c): both are given, and both returned. The parts of W_ih x + b_ih + W_hh h + b_hh are, in this order,
    those of i, f, o (under sigmoid) and g (under tanh), g third: c' = f c + i g and h' = o tanh(c').

    >>> import tracejit as tj
    >>> output, (h, c) = LSTM(3, 4)(tj.ones((5, 2, 3)))
    >>> output.shape, h.shape, c.shape
    ((5, 2, 4), (1, 2, 4), (1, 2, 4))
    """

    kind = LSTM_KIND
