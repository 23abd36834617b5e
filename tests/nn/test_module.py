"""Modules: attributes, the tree, state, text."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tracejit as tj
from tracejit import nn


class Scale(nn.Module):
    def __init__(self) -> None:
        self.factor = nn.Parameter([1.0, 2.0])
        self.register_buffer("calls", tj.zeros(()))
        self.register_buffer("scratch", tj.zeros(3), persistent=False)

    def forward(self, x: tj.Tensor) -> tj.Tensor:
        return x * self.factor


class Model(nn.Module):
    def __init__(self) -> None:
        self.first = nn.Linear(3, 2)
        self.scale = Scale()
        self.again = self.scale

    def forward(self, x: tj.Tensor) -> tj.Tensor:
        return self.scale(self.first(x))


def test_parameters_have_dotted_names_each_once() -> None:
    names = [name for name, _ in Model().named_parameters()]
    assert names == ["first.weight", "first.bias", "scale.factor"]
    assert len(list(Model().parameters())) == 3


def test_buffers_are_not_parameters() -> None:
    assert [name for name, _ in Model().named_buffers()] == ["scale.calls", "scale.scratch"]


def test_the_tree_is_walked_from_the_top() -> None:
    model = Model()
    assert [name for name, _ in model.named_modules()] == ["", "first", "scale"]
    assert [name for name, _ in model.named_children()] == ["first", "scale", "again"]


def test_a_parameter_assigned_again_takes_the_place() -> None:
    scale = Scale()
    scale.factor = nn.Parameter([5.0])
    assert [p.tolist() for p in scale.parameters()] == [[5.0]]
    with pytest.raises(TypeError, match="cannot assign Tensor as parameter 'factor'"):
        scale.factor = tj.ones(1)


def test_a_parameter_can_be_taken_away() -> None:
    scale = Scale()
    scale.factor = None
    assert list(scale.parameters()) == []
    assert scale.factor is None
    del scale.calls
    with pytest.raises(AttributeError, match="'Scale' object has no attribute 'calls'"):
        _ = scale.calls


def test_state_holds_parameters_and_persistent_buffers_and_shares_memory() -> None:
    scale = Scale()
    state = scale.state_dict()
    assert list(state) == ["factor", "calls"]
    assert not state["factor"].requires_grad
    with tj.no_grad():
        scale.factor.mul_(3)
    assert state["factor"].tolist() == [3.0, 6.0]


def test_loaded_state_is_copied_into_the_modules_own_memory() -> None:
    source, target = Model(), Model()
    weight = target.first.weight
    keys = target.load_state_dict(source.state_dict())
    assert keys == ([], [])
    assert target.first.weight is weight
    assert weight.tolist() == source.first.weight.tolist()


def test_loading_takes_numpy_arrays() -> None:
    scale = Scale()
    scale.load_state_dict({"factor": np.array([7.0, 8.0]), "calls": np.array(1.0)})
    assert scale.factor.tolist() == [7.0, 8.0]


def test_a_state_that_does_not_fit_is_named_and_nothing_is_loaded() -> None:
    scale = Scale()
    state = {"factor": tj.ones(3), "extra": tj.ones(1)}
    with pytest.raises(RuntimeError) as caught:
        scale.load_state_dict(state)
    message = str(caught.value)
    assert "for Scale" in message
    assert "size mismatch for factor: copying a tensor of shape (3,)" in message
    assert "unexpected key(s): 'extra'" in message
    assert "missing key(s): 'calls'" in message
    assert scale.factor.tolist() == [1.0, 2.0]


def test_loading_can_pass_over_names_that_differ() -> None:
    scale = Scale()
    keys = scale.load_state_dict({"factor": [3.0, 4.0], "extra": 1.0}, strict=False)
    assert keys.missing_keys == ["calls"]
    assert keys.unexpected_keys == ["extra"]
    assert scale.factor.tolist() == [3.0, 4.0]


def test_modes_reach_every_module() -> None:
    model = Model().eval()
    assert not any(module.training for module in model.modules())
    assert all(module.training for module in model.train().modules())


def test_gradients_are_dropped_together() -> None:
    model = Model()
    model(tj.ones((4, 3))).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_dtype_changes_parameters_and_buffers_in_place() -> None:
    model = Model()
    factor = model.scale.factor
    model.to(tj.float64)
    assert model.scale.factor is factor
    assert factor.dtype is tj.float64
    assert factor.requires_grad
    assert factor.is_leaf
    assert model.scale.calls.dtype is tj.float64
    with pytest.raises(TypeError, match="floating-point"):
        model.to(tj.int32)


def test_copies_and_pickles_are_modules_of_their_own() -> None:
    model = Model()
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin.state_dict().keys() == model.state_dict().keys()
        with tj.no_grad():
            twin.scale.factor.fill_(9)
        assert model.scale.factor.tolist() == [1.0, 2.0]
        assert isinstance(twin.scale.factor, nn.Parameter)


def test_copies_and_pickles_of_a_module_compute_with_the_ops_that_it_holds() -> None:
    model = Model()
    model.act = tj.relu
    both = tj.compile(lambda model, x: (model.act(x), copy.deepcopy(model.act)(x)))
    for each in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert [y.tolist() for y in both(each, tj.tensor([-1.0, 2.0]))] == [[0.0, 2.0]] * 2


def test_a_module_prints_as_in_pytorch() -> None:
    model = nn.Sequential(nn.Linear(3, 2, bias=False), nn.Sequential(nn.ReLU(), nn.Dropout(0.1)))
    assert repr(model) == (
        "Sequential(\n"
        "  (0): Linear(in_features=3, out_features=2, bias=False)\n"
        "  (1): Sequential(\n"
        "    (0): ReLU()\n"
        "    (1): Dropout(p=0.1)\n"
        "  )\n"
        ")"
    )


def test_a_sequence_takes_nothing_but_modules() -> None:
    with pytest.raises(TypeError, match="Op at place 1 is no module"):
        nn.Sequential(nn.Linear(2, 2), tj.relu)
    x, inner = tj.ones((1, 2)), nn.Linear(2, 2)
    assert nn.Sequential(tj.compile(inner))(x).tolist() == inner(x).tolist()


def test_a_module_without_forward_says_so() -> None:
    with pytest.raises(NotImplementedError, match="Module does not define forward"):
        nn.Module()(1)


def test_what_a_layer_does_not_know_is_refused() -> None:
    for make in (lambda: nn.Tanh(2), lambda: nn.Sigmoid(inplace=True), lambda: nn.Module(3)):
        with pytest.raises(TypeError, match="argument"):
            make()
