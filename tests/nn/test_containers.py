"""Containers of modules and parameters, and what is asked of a tree of modules."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj
import tracejit.nn.functional as F
from tracejit import nn, optim


def layers(count: int) -> list[nn.Linear]:
    return [nn.Linear(2, 2) for _ in range(count)]


def test_a_list_of_modules_is_one() -> None:
    first, second, third, fourth = layers(4)
    stack = nn.ModuleList([first, second])
    stack.append(third)
    stack += [fourth]
    assert [*stack] == [first, second, third, fourth]
    assert stack[-1] is fourth
    assert isinstance(stack[1:3], nn.ModuleList)
    assert [*stack[1:3]] == [second, third]
    stack[-1] = first
    del stack[1]
    stack.insert(0, fourth)
    assert [*stack] == [fourth, first, third, first]
    assert [name for name, _ in stack.named_parameters()] == [
        f"{place}.{kind}" for place in (0, 1, 2) for kind in ("weight", "bias")
    ]
    with pytest.raises(IndexError):
        stack[4] = first
    with pytest.raises(TypeError, match="ModuleList: a int at place 4 is no module"):
        stack.append(3)


def test_a_sequence_is_changed_in_place() -> None:
    first, second, third = layers(3)
    net = nn.Sequential(first, nn.ReLU(), second)
    net[-1] = third
    net.append(nn.Tanh())
    x = tj.tensor([[1.0, -2.0]])
    np.testing.assert_array_equal(
        net(x).detach().numpy(), tj.tanh(third(F.relu(first(x)))).detach().numpy()
    )
    assert [*net[:1]] == [first]
    assert isinstance(net[:1], nn.Sequential)
    named = nn.Sequential({"one": first, "two": second})
    named[1] = third
    assert named.two is third
    assert [name for name, _ in named.named_children()] == ["one", "two"]


def test_a_dict_of_modules_is_one() -> None:
    first, second = layers(2)
    heads = nn.ModuleDict({"a": first})
    heads["b"] = second
    assert "b" in heads
    assert [*heads], [*heads.values()] == (["a", "b"], [first, second])
    assert [name for name, _ in heads.named_parameters()][:2] == ["a.weight", "a.bias"]
    del heads["a"]
    assert len(heads) == 1
    with pytest.raises(KeyError):
        heads["a"]
    with pytest.raises(KeyError, match="'keys' already exists"):
        heads["keys"] = first
    with pytest.raises(TypeError, match="under 'c' is no module"):
        heads["c"] = tj.ones(2)


def test_parameters_in_lists_and_dicts_are_the_modules() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            self.steps = nn.ParameterList([tj.ones(2), nn.Parameter(tj.zeros(1))])
            self.named = nn.ParameterDict({"scale": tj.ones(3)})

    model = Model()
    model.steps[1] = tj.ones(4)
    assert [(name, p.shape) for name, p in model.named_parameters()] == [
        ("steps.0", (2,)), ("steps.1", (4,)), ("named.scale", (3,)),
    ]  # fmt: skip
    assert all(p.requires_grad for p in model.parameters())
    assert [*model.named.items()] == [("scale", model.named["scale"])]


def test_a_module_finds_what_is_below_it() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 1)))
    assert net.get_submodule("1.0") is net[1][0]
    assert net.get_submodule("") is net
    assert net.get_parameter("1.1.weight") is net[1][1].weight
    with pytest.raises(AttributeError, match=r"Sequential has no module '7' \(of '1.7'\)"):
        net.get_submodule("1.7")
    with pytest.raises(AttributeError, match="Linear has no parameter 'scale'"):
        net.get_parameter("0.scale")
    seen: list[nn.Module] = []
    assert net.apply(seen.append) is net
    assert seen == [net[0], net[1][0], net[1][1], net[1], net]


def test_names_are_registered_once_and_may_stand_for_nothing() -> None:
    module = nn.Module()
    module.register_parameter("scale", nn.Parameter(tj.ones(2)))
    module.register_parameter("shift", None)
    module.register_buffer("mask", None)
    module.add_module("inner", nn.ReLU())
    assert module.shift is module.mask is None
    assert list(module.state_dict()) == ["scale"]
    module.mask = tj.ones(3)
    assert list(module.state_dict()) == ["scale", "mask"]
    module.mask = None
    assert list(module.buffers()) == []
    for again in (module.register_buffer, module.register_parameter, module.add_module):
        with pytest.raises(KeyError, match="'training' already exists"):
            again("training", None)


def test_a_module_is_of_any_precision() -> None:
    net = nn.Linear(2, 2)
    for change, dtype in (
        (net.double, tj.float64), (net.half, tj.float16), (net.bfloat16, tj.bfloat16), (net.float, tj.float32),
    ):  # fmt: skip
        assert change() is net
        assert {p.dtype for p in net.parameters()} == {dtype}


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0, float("inf")])
@pytest.mark.parametrize("limit", [0.5, 1e3])
def test_gradients_are_clipped_by_their_norm_as_in_pytorch(norm_type: float, limit: float) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(0)
    given = [rng.standard_normal(shape).astype(np.float32) for shape in ((3, 4), (4,), ())]
    ours = [tj.zeros(g.shape, dtype=tj.float32).requires_grad_() for g in given] + [tj.ones(2)]
    theirs = [torch.zeros(g.shape, requires_grad=True) for g in given]
    for gradient, mine, other in zip(given, ours, theirs, strict=False):
        mine.grad, other.grad = tj.tensor(gradient), torch.tensor(gradient)
    found = nn.utils.clip_grad_norm_(ours, limit, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, limit, norm_type)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    for mine, other in zip(ours, theirs, strict=False):
        np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), rtol=1e-6)


def test_a_norm_that_is_not_finite_is_an_error_where_asked_for() -> None:
    w = tj.ones(2).requires_grad_()
    w.grad = tj.tensor([1.0, float("nan")])
    with pytest.raises(RuntimeError, match="not finite"):
        nn.utils.clip_grad_norm_([w], 1.0, error_if_nonfinite=True)
    assert w.grad[0].item() == 1
    assert nn.utils.clip_grad_norm_([], 1.0).item() == 0


def test_gradients_are_clipped_by_value_and_parameters_are_one_vector() -> None:
    w, v = tj.zeros((2, 2)).requires_grad_(), tj.zeros(1).requires_grad_()
    w.grad = tj.tensor([[1.0, -5.0], [0.5, 9.0]])
    nn.utils.clip_grad_value_([w, v], 2.0)
    assert w.grad.tolist() == [[1.0, -2.0], [0.5, 2.0]]
    nn.utils.vector_to_parameters(tj.arange(5.0), [w, v])
    assert nn.utils.parameters_to_vector([w, v]).tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    with pytest.raises(ValueError, match="does not fit"):
        nn.utils.vector_to_parameters(tj.arange(4.0), [w, v])


class Mixed(nn.Module):
    """Something of everything that is new: lists and dicts of modules, attention, norms of images, channels that are dropped."""

    def __init__(self) -> None:
        self.images = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), norm, nn.LeakyReLU())
            for norm in (nn.BatchNorm2d(2), nn.GroupNorm(2, 2))
        )
        self.drop = nn.Dropout2d(0.3)
        self.words = nn.Embedding(7, 4, padding_idx=0)
        layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, nn.RMSNorm(4))
        self.heads = nn.ModuleDict({"a": nn.Linear(6, 3), "b": nn.Linear(6, 3)})
        self.scales = nn.ParameterList([tj.ones(3)])

    def forward(self, image: tj.Tensor, words: tj.Tensor, head: str) -> tj.Tensor:
        for block in self.images:
            image = image + self.drop(block(image))
        mask = words == 0
        text = self.encoder(self.words(words), src_key_padding_mask=mask).mean(axis=1)
        features = tj.concat([image.mean(axis=(2, 3)), text], axis=1)
        return self.heads[head](features) * self.scales[0]


def test_training_with_all_of_them_has_the_same_bits_compiled() -> None:
    rng = np.random.default_rng(0)
    data = [
        (
            tj.tensor(rng.standard_normal((3, 2, 4, 4)).astype(np.float32)),
            tj.tensor(np.where(np.arange(5) < 3, rng.integers(1, 7, (3, 5)), 0)),
            tj.tensor(rng.integers(0, 3, 3)),
            "ab"[turn % 2],
        )
        for turn in range(6)
    ]

    def trained(decorate: Callable[[Any], Any]) -> tuple[list[Any], Any]:
        tj.random.seed(1)
        model = Mixed()
        optimizer = optim.AdamW(model.parameters(), lr=0.01)
        average = copy.deepcopy(model).requires_grad_(False)

        def step(image: Any, words: Any, labels: Any, head: str) -> Any:
            optimizer.zero_grad()
            criterion = nn.CrossEntropyLoss(label_smoothing=0.1, ignore_index=2)
            loss = criterion(model(image, words, head), labels)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            with tj.no_grad():
                for mean, new in zip(average.parameters(), model.parameters(), strict=True):
                    mean.lerp_(new, 0.1)
            return loss.detach(), norm

        step = decorate(step)
        losses = [[part.tolist() for part in step(*batch)] for batch in data]
        states = [[p.tolist() for p in m.state_dict().values()] for m in (model, average)]
        return [losses, states, tj.random.random().item()], step

    (expected, _), (found, step) = trained(lambda f: f), trained(tj.compile)
    assert found == expected
    assert step.calls["replay"] >= 2
    assert tj.explain(step).tier == 2
