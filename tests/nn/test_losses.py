"""Losses and distances against PyTorch, gradients included, and compiled against eager, bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj
import tracejit.nn.functional as F
from tracejit import nn

RNG = np.random.default_rng(0)
LOGITS = RNG.standard_normal((5, 4)).astype(np.float32)
IMAGE = RNG.standard_normal((2, 4, 3)).astype(np.float32)
OTHER = RNG.standard_normal((5, 4)).astype(np.float32)
THIRD = RNG.standard_normal((5, 4)).astype(np.float32)
LABELS = np.array([0, 3, -100, 1, 3])
GIVEN = np.array([0, 3, 2, 1, 3])
PIXELS = np.array([[0, 3, 2], [1, -100, 1]])
SHARES = np.exp(OTHER) / np.exp(OTHER).sum(1, keepdims=True)
WEIGHT = np.array([0.5, 2.0, 1.0, 0.25], np.float32)
CHANCES = np.array([0.0, 0.3, 1.0, 0.9], np.float32)
BITS = np.array([1.0, 0.0, 1.0, 0.25], np.float32)
SIGNS = np.array([1.0, -1.0, -1.0, 1.0, 1.0], np.float32)

Case = tuple[str, Callable[[Any, Any, Any], Any], np.ndarray]
CASES: list[Case] = [
    ("cross entropy", lambda F, a, x: F.cross_entropy(x, a(GIVEN)), LOGITS),
    ("of a vector", lambda F, a, x: F.cross_entropy(x, a(np.array(2))), LOGITS[0]),
    ("weights", lambda F, a, x: F.cross_entropy(x, a(GIVEN), a(WEIGHT)), LOGITS),
    ("ignored", lambda F, a, x: F.cross_entropy(x, a(LABELS), ignore_index=-100), LOGITS),
    (
        "pixels that are ignored",
        lambda F, a, x: F.cross_entropy(x, a(PIXELS), a(WEIGHT), ignore_index=-100),
        IMAGE,
    ),
    ("smooth", lambda F, a, x: F.cross_entropy(x, a(GIVEN), label_smoothing=0.1), LOGITS),
    (
        "everything",
        lambda F, a, x: F.cross_entropy(
            x, a(LABELS), a(WEIGHT), ignore_index=-100, label_smoothing=0.2
        ),
        LOGITS,
    ),
    (
        "everything, each",
        lambda F, a, x: F.cross_entropy(
            x, a(LABELS), a(WEIGHT), ignore_index=-100, label_smoothing=0.2, reduction="none"
        ),
        LOGITS,
    ),
    (
        "shares",
        lambda F, a, x: F.cross_entropy(x, a(SHARES), a(WEIGHT), label_smoothing=0.1),
        LOGITS,
    ),
    (
        "the sum of shares",
        lambda F, a, x: F.cross_entropy(x, a(SHARES), label_smoothing=0.1, reduction="sum"),
        LOGITS,
    ),
    ("nll", lambda F, a, x: F.nll_loss(F.log_softmax(x, 1), a(GIVEN), a(WEIGHT)), LOGITS),
    ("nll, ignored", lambda F, a, x: F.nll_loss(x, a(LABELS), ignore_index=-100), LOGITS),
    ("mse", lambda F, a, x: F.mse_loss(x, a(OTHER), reduction="sum"), LOGITS),
    ("l1", lambda F, a, x: F.l1_loss(x, a(OTHER)), LOGITS),
    ("huber", lambda F, a, x: F.huber_loss(x, a(OTHER), delta=0.5), LOGITS),
    ("smooth l1", lambda F, a, x: F.smooth_l1_loss(x, a(OTHER), beta=0.5), LOGITS),
    ("smooth l1 that is l1", lambda F, a, x: F.smooth_l1_loss(x, a(OTHER), beta=0), LOGITS),
    ("bce", lambda F, a, x: F.binary_cross_entropy(x, a(BITS))[None], CHANCES[1:2].repeat(4)),
    (
        "bce at 0 and 1",
        lambda F, a, x: F.binary_cross_entropy(x + 0 * x, a(BITS), reduction="none"),
        CHANCES,
    ),
    (
        "bce by logits",
        lambda F, a, x: F.binary_cross_entropy_with_logits(x, a(SHARES), a(WEIGHT)),
        LOGITS * 30,
    ),
    (
        "bce by logits with a weight of positives",
        lambda F, a, x: F.binary_cross_entropy_with_logits(x, a(SHARES), pos_weight=a(WEIGHT)),
        LOGITS,
    ),
    ("kl", lambda F, a, x: F.kl_div(x, a(SHARES), reduction="batchmean"), LOGITS),
    (
        "kl of logarithms",
        lambda F, a, x: F.kl_div(x, a(OTHER), reduction="sum", log_target=True),
        LOGITS,
    ),
    (
        "kl of 0",
        lambda F, a, x: F.kl_div(x, a(np.eye(5, 4, dtype=np.float32)), reduction="none"),
        LOGITS,
    ),
    ("normalize", lambda F, a, x: F.normalize(x), LOGITS),
    ("normalize 1", lambda F, a, x: F.normalize(x, p=1.0, dim=0), LOGITS),
    ("normalize 3", lambda F, a, x: F.normalize(x, p=3.0, dim=-1), LOGITS),
    ("cosine", lambda F, a, x: F.cosine_similarity(x, a(OTHER)), LOGITS),
    ("distance", lambda F, a, x: F.pairwise_distance(x, a(OTHER)), LOGITS),
    ("distance, kept", lambda F, a, x: F.pairwise_distance(x, a(OTHER), 1, keepdim=True), LOGITS),
    (
        "cosine embedding",
        lambda F, a, x: F.cosine_embedding_loss(x, a(OTHER), a(SIGNS), 0.1),
        LOGITS,
    ),
    (
        "ranking",
        lambda F, a, x: F.margin_ranking_loss(x[:, 0], x[:, 1], a(SIGNS), 0.3),
        LOGITS,
    ),
    (
        "triplets",
        lambda F, a, x: F.triplet_margin_loss(x, a(OTHER), a(THIRD), swap=True),
        LOGITS,
    ),
    (
        "attention",
        lambda F, a, x: F.scaled_dot_product_attention(x, a(OTHER), a(THIRD)),
        LOGITS,
    ),
    (
        "causal attention",
        lambda F, a, x: F.scaled_dot_product_attention(
            x, a(OTHER), a(THIRD), is_causal=True, scale=0.3
        ),
        LOGITS,
    ),
    (
        "masked attention",
        lambda F, a, x: F.scaled_dot_product_attention(
            x, a(OTHER), a(THIRD), a(np.tri(5, k=1, dtype=bool))
        ),
        LOGITS,
    ),
    (
        "attention with a bias",
        lambda F, a, x: F.scaled_dot_product_attention(x, a(OTHER), a(THIRD), a(OTHER @ OTHER.T)),
        LOGITS,
    ),
    ("pad", lambda F, a, x: F.pad(x, (1, 2, 0, 3), value=2.0), LOGITS),
    (
        "batch norm by the batch",
        lambda F, a, x: F.batch_norm(x, a(WEIGHT), a(WEIGHT), None, None, True),
        LOGITS,
    ),
    ("embedding", lambda F, a, x: F.embedding(a(GIVEN), x, padding_idx=-1), LOGITS),
]
IDS = [case[0] for case in CASES]


def weighted(loss: Any) -> Any:
    """One number that depends on each element in another way."""
    return (loss * loss + loss).sum()


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_loss_and_its_gradient_are_pytorchs(case: Case) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    _, loss, start = case
    x, y = tj.tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True)
    actual, expected = loss(F, tj.tensor, x), loss(torch.nn.functional, torch.tensor, y)
    assert tuple(actual.shape) == tuple(expected.shape)
    np.testing.assert_allclose(
        actual.detach().numpy(), expected.detach().numpy(), rtol=2e-5, atol=2e-6
    )
    weighted(actual).backward()
    weighted(expected).backward()
    inner = slice(1, 2) if start is CHANCES else slice(None)  # at 0 and 1 theirs is a large number
    np.testing.assert_allclose(x.grad.numpy()[inner], y.grad.numpy()[inner], rtol=2e-4, atol=2e-6)
    assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_compiled_loss_has_the_bits_of_the_eager_one_and_is_replayed(case: Case) -> None:
    _, loss, start = case

    def gradient(x: Any) -> Any:
        x = tj.tensor(x, requires_grad=True)
        value = loss(F, tj.tensor, x)
        weighted(value).backward()
        return value.detach(), x.grad

    compiled = tj.compile(gradient)
    for factor in (1.0, 0.5, 0.25):
        for found, expected in zip(compiled(start * factor), gradient(start * factor), strict=True):
            assert np.asarray(found).tobytes() == np.asarray(expected).tobytes()
    assert compiled.calls["replay"] >= 1


MODULES: list[tuple[str, Callable[[Any, Any], Any], tuple[np.ndarray, ...]]] = [
    (
        "cross entropy",
        lambda nn, a: nn.CrossEntropyLoss(
            a(WEIGHT), ignore_index=-100, reduction="sum", label_smoothing=0.1
        ),
        (LOGITS, LABELS),
    ),
    ("nll", lambda nn, a: nn.NLLLoss(a(WEIGHT), ignore_index=-100), (LOGITS, LABELS)),
    ("mse", lambda nn, a: nn.MSELoss(reduction="none"), (LOGITS, OTHER)),
    ("l1", lambda nn, a: nn.L1Loss(reduction="sum"), (LOGITS, OTHER)),
    ("huber", lambda nn, a: nn.HuberLoss(reduction="sum", delta=0.5), (LOGITS, OTHER)),
    ("smooth l1", lambda nn, a: nn.SmoothL1Loss(beta=0.5), (LOGITS, OTHER)),
    ("bce", lambda nn, a: nn.BCELoss(a(WEIGHT), reduction="sum"), (CHANCES, BITS)),
    ("bce by logits", lambda nn, a: nn.BCEWithLogitsLoss(pos_weight=a(WEIGHT)), (LOGITS, SHARES)),
    ("kl", lambda nn, a: nn.KLDivLoss(reduction="batchmean", log_target=True), (LOGITS, OTHER)),
    ("cosine", lambda nn, a: nn.CosineEmbeddingLoss(0.1), (LOGITS, OTHER, SIGNS)),
    ("ranking", lambda nn, a: nn.MarginRankingLoss(0.1), (LOGITS[:, 0], LOGITS[:, 1], SIGNS)),
    ("triplets", lambda nn, a: nn.TripletMarginLoss(0.5, swap=True), (LOGITS, OTHER, THIRD)),
]


@pytest.mark.parametrize(("make", "given"), [m[1:] for m in MODULES], ids=[m[0] for m in MODULES])
def test_a_loss_as_a_module_has_its_arguments(make: Any, given: tuple[np.ndarray, ...]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    ours, theirs = make(nn, tj.tensor), make(torch.nn, torch.tensor)
    actual, expected = ours(*map(tj.tensor, given)), theirs(*map(torch.tensor, given))
    np.testing.assert_allclose(actual.numpy(), expected.numpy(), rtol=2e-5, atol=2e-6)
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_losses_refuse_what_does_not_fit() -> None:
    x = tj.tensor(LOGITS)
    refused: list[tuple[type[Exception], str, Callable[[], Any]]] = [
        (IndexError, "label 4 is out of bounds", lambda: F.nll_loss(x, tj.tensor([4] * 5))),
        (IndexError, "label -100", lambda: F.cross_entropy(x, tj.tensor(LABELS))),
        (tj.DTypeError, "must be integers", lambda: F.nll_loss(x, x)),
        (tj.ShapeError, r"labels must have shape \(5,\)", lambda: F.nll_loss(x, tj.tensor([1]))),
        (tj.ShapeError, "each of 4 classes", lambda: F.nll_loss(x, tj.tensor(GIVEN), tj.ones(3))),
        (tj.ShapeError, "shapes differ", lambda: F.binary_cross_entropy(x, tj.ones(4))),
        (ValueError, "between 0 and 1", lambda: F.cross_entropy(x, x, label_smoothing=2.0)),
        (ValueError, "'mean', 'sum' or 'none'", lambda: F.l1_loss(x, x, reduction="average")),
        (ValueError, "class numbers", lambda: F.cross_entropy(x, x, ignore_index=0)),
        (ValueError, "delta is above 0", lambda: F.huber_loss(x, x, delta=0.0)),
        (ValueError, "not both", lambda: F.scaled_dot_product_attention(x, x, x, x, 0.0, True)),
        (
            tj.ShapeError,
            "last sizes differ",
            lambda: F.scaled_dot_product_attention(x, x[:, :2], x),
        ),
        (ValueError, "are needed", lambda: F.batch_norm(x, None, None)),
        (NotImplementedError, "'bilinear'", lambda: F.interpolate(x, 3, mode="bilinear")),
    ]
    for kind, message, call in refused:
        with pytest.raises(kind, match=message) as caught:
            call()
        assert "test_losses.py" in str(caught.value)


def test_half_precision_losses_are_computed_in_single() -> None:
    x, y = tj.tensor(LOGITS, tj.float16), tj.tensor(SHARES, tj.float16)
    for loss in (F.binary_cross_entropy_with_logits, F.cross_entropy, F.kl_div):
        wide = loss(x.to(tj.float32), y.to(tj.float32)).to(tj.float16)
        assert loss(x, y).dtype is tj.float16
        assert loss(x, y).item() == wide.item()


def test_everything_that_is_ignored_gives_nan_as_in_pytorch() -> None:
    assert np.isnan(
        F.cross_entropy(tj.tensor(LOGITS), tj.zeros(5, dtype=tj.int64), ignore_index=0).item()
    )
