"""Methods by PyTorch's names: what PyTorch gives, gradients included, and the same bits compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj

RNG = np.random.default_rng(0)
TABLE = RNG.standard_normal((3, 4)).astype(np.float32)
OTHER = RNG.standard_normal((3, 4)).astype(np.float32)
CUBE = RNG.standard_normal((2, 3, 4)).astype(np.float32)
PLACES = np.array([[0, 2, 1, 0], [1, 1, 0, 2]])
ROWS = np.array([2, 0, 2])
MASK = TABLE > 0.2

Case = tuple[Callable[[Any, Any], Any], np.ndarray]
CASES: dict[str, Case] = {
    "view": (lambda x, a: x.view(-1, 2), TABLE),
    "view of a shape": (lambda x, a: x.view((4, 3)), TABLE),
    "view_as": (lambda x, a: x.view_as(a(TABLE.reshape(4, 3))), TABLE),
    "unsqueeze": (lambda x, a: x.unsqueeze(1), TABLE),
    "unsqueeze at the end": (lambda x, a: x.unsqueeze(-1), TABLE),
    "expand": (lambda x, a: x.unsqueeze(0).expand(2, -1, 4), TABLE),
    "expand to more axes": (lambda x, a: x.expand(2, 3, 4), TABLE),
    "expand_as": (lambda x, a: x[:1].expand_as(a(TABLE)), TABLE),
    "t": (lambda x, a: x.t(), TABLE),
    "contiguous": (lambda x, a: x.t().contiguous().view(-1), TABLE),
    "chunk": (lambda x, a: x.chunk(3, dim=1), TABLE),
    "chunk of rows": (lambda x, a: x.chunk(2), TABLE),
    "unbind": (lambda x, a: x.unbind(1), TABLE),
    "narrow": (lambda x, a: x.narrow(1, 1, 2), TABLE),
    "gather": (lambda x, a: x.gather(0, a(PLACES)), TABLE),
    "index_select": (lambda x, a: x.index_select(0, a(ROWS)), TABLE),
    "index_add": (lambda x, a: x.index_add(0, a(ROWS), a(OTHER)), TABLE),
    "index_add along columns": (lambda x, a: x.index_add(1, a(ROWS), a(OTHER[:, :3])), TABLE),
    "scatter_add": (lambda x, a: x.scatter_add(0, a(PLACES), a(OTHER)), TABLE),
    "scatter_add along columns": (lambda x, a: x.scatter_add(1, a(PLACES), a(OTHER)), TABLE),
    "masked_fill": (lambda x, a: x.masked_fill(a(MASK), float("-inf")).exp(), TABLE),
    "masked_fill in place": (lambda x, a: (x * 1).masked_fill_(a(MASK), 7), TABLE),
    "masked_select": (lambda x, a: x.masked_select(a(MASK)), TABLE),
    "topk": (lambda x, a: tuple(x.topk(2)), TABLE),
    "topk, smallest of columns": (lambda x, a: tuple(x.topk(2, dim=0, largest=False)), TABLE),
    "add": (lambda x, a: x.add(a(OTHER), alpha=2), TABLE),
    "sub": (lambda x, a: x.sub(a(OTHER), alpha=0.5).mul(3).div(a(OTHER)).neg(), TABLE),
    "rsqrt": (lambda x, a: x.abs().add(1).rsqrt(), TABLE),
    "clamp": (lambda x, a: x.clamp(-0.5, 0.5) + x.clamp(min=0) + x.clamp_max(0.1), TABLE),
    "clamp in place": (lambda x, a: (x * 2).clamp_(max=0.5).clamp_min(-1), TABLE),
    "maximum": (lambda x, a: x.maximum(a(OTHER)) - x.minimum(a(OTHER)), TABLE),
    "where": (lambda x, a: x.where(a(MASK), a(OTHER)), TABLE),
    "products": (lambda x, a: x.mm(a(OTHER).t()).mv(a(OTHER[:, 0])), TABLE),
    "bmm": (lambda x, a: x.bmm(a(CUBE).mT), CUBE),
    "norm": (lambda x, a: x.norm(), TABLE),
    "norm of rows": (lambda x, a: x.norm(dim=1, keepdim=True) + x.norm(1, dim=-1).sum(), TABLE),
    "norm of order 3": (lambda x, a: x.norm(p=3, dim=0) + x.norm(float("inf"), dim=0), TABLE),
    "comparisons": (
        lambda x, a: [
            (x.eq(0).long() + x.ne(0).int() + x.lt(0).float() + x.le(0) + x.gt(0) + x.ge(0)).double(),
            x.lt(0).logical_not().logical_and(x.gt(-1)).logical_or(x.eq(0)),
        ],
        TABLE,
    ),
    "dtypes": (lambda x, a: x.half().float() + x.type_as(a(TABLE)) + x.bool().float(), TABLE),
    "sums": (lambda x, a: x.sum(dim=0, keepdim=True) + x.mean(dim=(0, 1)) + x.prod(dim=1).sum(), TABLE),
    "places": (lambda x, a: [x.argmax(dim=1), x.argmin(dim=0, keepdim=True)], TABLE),
    "truths": (lambda x, a: [(x > 0).any(dim=1), (x < 9).all(dim=0, keepdim=True)], TABLE),
    "running sums": (lambda x, a: x.cumsum(dim=1) + x.cumprod(dim=0), TABLE),
    "softmax": (
        lambda x, a: x.softmax(dim=0) + x.log_softmax(dim=-1) + x.softmax(1) + x.logsumexp(dim=0),
        TABLE,
    ),
}  # fmt: skip


def parts(result: Any) -> list[Any]:
    return list(result) if isinstance(result, list | tuple) else [result]


def gradient_of(function: Callable[[Any, Any], Any], x: Any, make: Any) -> list[Any]:
    """The results, and the gradient of what depends on each of their elements."""
    results = parts(function(x, make))
    floats = [part for part in results if part.requires_grad]
    if floats:
        sum((part * part + part).sum() for part in floats).backward()
    return [*(part.detach() for part in results), *([x.grad] if floats else [])]


@pytest.mark.parametrize("name", CASES)
def test_a_method_gives_what_pytorchs_gives(name: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    function, start = CASES[name]
    actual = gradient_of(function, tj.tensor(start, requires_grad=True), tj.tensor)
    expected = gradient_of(function, torch.tensor(start, requires_grad=True), torch.tensor)
    for found, wanted in zip(actual, expected, strict=True):
        assert str(found.dtype.name) == str(wanted.dtype).removeprefix("torch.")
        np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", [name for name in CASES if name != "masked_select"])
def test_a_compiled_method_has_the_bits_of_the_eager_one_and_is_replayed(name: str) -> None:
    function, start = CASES[name]

    def step(data: Any) -> list[Any]:
        x = tj.tensor(data, requires_grad=True)
        return gradient_of(function, x, tj.tensor)

    compiled = tj.compile(step)
    for factor in (1.0, 0.5, 0.25):
        data = tj.tensor(start * np.float32(factor))
        for found, expected in zip(compiled(data), step(data), strict=True):
            assert found.numpy().tobytes() == expected.numpy().tobytes()
    assert compiled.calls == {"replay": 2, "record": 1, "eager": 0}, tj.explain(compiled).reasons


def test_views_share_memory() -> None:
    x = tj.zeros((2, 3))
    x.view(-1)[0] = 1
    x.unsqueeze(0)[0, 0, 1] = 2
    x.t()[2, 0] = 3
    x.chunk(2)[1].narrow(1, 0, 2).fill_(4)
    x.unbind(1)[2][1] = 5
    assert x.tolist() == [[1, 2, 3], [4, 4, 5]]
    assert x.contiguous() is x
    assert (x.dim(), x.numel()) == (2, 6)


def test_what_means_something_else_in_pytorch_is_refused() -> None:
    x = tj.tensor(TABLE)
    for name in ("max", "min", "var", "std"):
        with pytest.raises(TypeError, match="dim"):
            getattr(x, name)(dim=1)


def test_arguments_that_do_not_fit_are_refused() -> None:
    x = tj.tensor(TABLE)
    refused: list[tuple[type[Exception], str, Callable[[], Any]]] = [
        (tj.ShapeError, "more than two axes", lambda: tj.tensor(CUBE).t()),
        (tj.ShapeError, "more axes than", lambda: x.expand(4)),
        (tj.ShapeError, "cannot|broadcast", lambda: x.expand(5, 4)),
        (tj.ShapeError, "narrow: 3 elements from 2 on", lambda: x.narrow(1, 2, 3)),
        (ValueError, "topk: 9 of", lambda: x.topk(9)),
        (ValueError, "0 chunks", lambda: x.chunk(0)),
        (tj.AxisError, "out of bounds", lambda: x.chunk(2, 5)),
    ]
    for kind, message, call in refused:
        with pytest.raises(kind, match=message) as caught:
            call()
        assert "test_namesakes.py" in str(caught.value)
