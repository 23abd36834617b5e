"""Composites and creation, against NumPy and SciPy."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import scipy.special
import scipy.stats

from tests.ops.gradient import pullback
from tests.ops.interpreter import lift
from tests.ops.scalars import evaluate
from tracejit import dtypes, ops
from tracejit._errors import DTypeError, ShapeError
from tracejit.ops.registry import REGISTRY

X = np.random.default_rng(9).normal(size=(3, 4, 5))


@pytest.mark.parametrize("axis", [-1, 0, (0, 2), None], ids=str)
def test_softmax_and_its_logarithms_are_those_of_scipy(axis: Any) -> None:
    for x in (X, X * 1000, X - 1e6):
        np.testing.assert_allclose(
            ops.softmax(x, axis=axis).array, scipy.special.softmax(x, axis), rtol=1e-12
        )
        np.testing.assert_allclose(
            ops.log_softmax(x, axis=axis).array, scipy.special.log_softmax(x, axis), atol=1e-9
        )
        np.testing.assert_allclose(
            ops.logsumexp(x, axis=axis).array, scipy.special.logsumexp(x, axis), rtol=1e-12
        )


def test_logsumexp_of_infinities_is_an_infinity() -> None:
    assert ops.logsumexp(np.full(3, -np.inf)).array == -np.inf
    assert ops.logsumexp(np.array([np.inf, 0.0])).array == np.inf
    assert np.isnan(ops.logsumexp(np.array([np.nan, 0.0])).array)
    assert ops.logsumexp(np.ones((2, 0)), axis=1).array.tolist() == [-np.inf, -np.inf]


def test_masked_classes_have_no_probability() -> None:
    x = np.array([[0.0, -np.inf, 0.0]])
    assert ops.softmax(x).array.tolist() == [[0.5, 0, 0.5]]
    np.testing.assert_allclose(ops.cross_entropy(x, np.array([0])).array, np.log(2))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_of_labels_is_that_of_their_probabilities(reduction: Any) -> None:
    labels = np.array([1, 0, 3])
    logits = X[:, :, 0]
    losses = -scipy.special.log_softmax(logits, 1)[np.arange(3), labels]
    expected = {"mean": losses.mean(), "sum": losses.sum(), "none": losses}[reduction]
    np.testing.assert_allclose(
        ops.cross_entropy(logits, labels, reduction=reduction).array, expected
    )
    one_hot = np.eye(4)[labels]
    np.testing.assert_allclose(
        ops.cross_entropy(logits, one_hot, reduction=reduction).array, expected
    )


def test_cross_entropy_takes_classes_on_axis_one() -> None:
    labels = np.random.default_rng(1).integers(0, 4, (3, 5))
    found = ops.cross_entropy(X, labels, reduction="none").array
    expected = -np.take_along_axis(scipy.special.log_softmax(X, 1), labels[:, None], 1)[:, 0]
    np.testing.assert_allclose(found, expected)
    assert ops.cross_entropy(X[0, :, 0], 2).aval.shape == ()


def test_losses_refuse_what_does_not_fit() -> None:
    with pytest.raises(ShapeError, match="labels must have shape"):
        ops.cross_entropy(X[0], np.array([1, 2, 3]))
    with pytest.raises(ShapeError, match="shape of the logits"):
        ops.cross_entropy(X[0], X[1, :2])
    with pytest.raises(ShapeError, match="shape of the logits"):
        ops.cross_entropy(X[0], np.ones(4))
    with pytest.raises(DTypeError, match="labels must be"):
        ops.cross_entropy(X[0], np.ones(4, bool))
    with pytest.raises(ValueError, match="reduction must be"):
        ops.mse_loss(X, X, reduction="median")  # type: ignore[arg-type]


def test_normalisation_leaves_mean_zero_and_variance_one() -> None:
    y = ops.layer_norm(X, axis=(1, 2), eps=0.0).array
    np.testing.assert_allclose(y.mean((1, 2)), 0, atol=1e-15)
    np.testing.assert_allclose(y.var((1, 2)), 1)
    center, spread = ops.moments(X, axis=(0, 2))
    z = ops.batch_norm(X, center, spread, np.full(4, 2.0), np.full(4, 3.0), eps=0.0).array
    np.testing.assert_allclose(z.mean((0, 2)), 3)
    np.testing.assert_allclose(z.std((0, 2)), 2)


def test_activations_are_those_of_scipy() -> None:
    np.testing.assert_allclose(ops.gelu(X).array, X * scipy.stats.norm.cdf(X), rtol=1e-12)
    np.testing.assert_allclose(
        ops.gelu(X, approximate="tanh").array, X * scipy.stats.norm.cdf(X), atol=1e-3
    )
    np.testing.assert_allclose(ops.silu(X).array, X * scipy.special.expit(X))
    np.testing.assert_allclose(ops.sigmoid(X * 100).array, scipy.special.expit(X * 100))
    np.testing.assert_allclose(ops.erf(X).array, scipy.special.erf(X), rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_floats_are_rounded_once(dtype: Any) -> None:
    x = X.astype(dtype)
    single = x.astype(np.float32)
    for function in (ops.softmax, ops.log_softmax, ops.layer_norm, ops.gelu, ops.logsumexp):
        np.testing.assert_array_equal(function(x).array, function(single).array.astype(dtype))


def test_dropout_keeps_the_mean() -> None:
    x = np.ones(20_000, np.float32)
    y = ops.dropout(x, ops.random.new_state(5), 0.25).array
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs(y.mean() - 1) < 0.02
    with pytest.raises(ValueError, match="p must be in"):
        ops.dropout(x, ops.random.new_state(5), 1.0)


# creation


@pytest.mark.parametrize(
    "args",
    [(5,), (2, 7), (2, 7, 2), (7, 2, -2), (0,), (3, 3), (0, 1, 0.25), (1, -1, -0.5)],
    ids=str,
)
def test_arange_is_that_of_numpy(args: Any) -> None:
    found, expected = ops.arange(*args, dtype=np.arange(*args).dtype).array, np.arange(*args)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", [d for d in dtypes.NUMERIC if d is not dtypes.bfloat16], ids=str)
def test_sequences_come_in_every_dtype(dtype: Any) -> None:
    np.testing.assert_array_equal(
        ops.arange(1, 9, 2, dtype=dtype).array, np.arange(1, 9, 2, dtype.numpy)
    )
    np.testing.assert_array_equal(
        ops.linspace(1, 9, 7, dtype=dtype).array, np.linspace(1, 9, 7, dtype=dtype.numpy)
    )


@pytest.mark.parametrize("endpoint", [False, True])
@pytest.mark.parametrize("num", [0, 1, 2, 7])
def test_linspace_is_that_of_numpy(num: int, endpoint: bool) -> None:
    expected = np.linspace(-1, 2.5, num, endpoint=endpoint)
    np.testing.assert_array_equal(
        ops.linspace(-1, 2.5, num, endpoint=endpoint, dtype="float64").array, expected
    )


@pytest.mark.parametrize("k", [-9, -2, 0, 1, 9])
def test_triangles_and_diagonals_are_those_of_numpy(k: int) -> None:
    np.testing.assert_array_equal(ops.tril(X, k=k).array, np.tril(X, k))
    np.testing.assert_array_equal(ops.triu(X, k=k).array, np.triu(X, k))
    np.testing.assert_array_equal(ops.eye(3, 4, k=k).array, np.eye(3, 4, k))


def test_creation_by_the_rules_of_the_records() -> None:
    number, step = np.array(2.5, np.float32), np.array(0.5, np.float32)
    np.testing.assert_array_equal(
        evaluate(REGISTRY["arange"], number, step, length=3), [2.5, 3, 3.5]
    )
    np.testing.assert_array_equal(evaluate(REGISTRY["fill"], number, shape=(2, 1)), [[2.5], [2.5]])
    zero = evaluate(REGISTRY["constant"], shape=(2,), dtype=dtypes.int8, value=0)
    assert zero.tolist() == [0, 0]
    eye = evaluate(REGISTRY["eye"], np.array(1), shape=(2, 3), dtype=dtypes.bool_)
    assert eye.tolist() == [[False, True, False], [False, False, True]]
    lower = evaluate(REGISTRY["triangle"], X, np.array(0), rows=1, lower=True)
    np.testing.assert_array_equal(lower, np.tril(X))
    numbers = [np.array(v) for v in (1.0, 0.5, 9.0)]
    line = evaluate(REGISTRY["linspace"], *numbers, np.array(3), length=4, dtype=dtypes.float32)
    assert line.tolist() == [1, 1.5, 2, 9]
    marked = evaluate(
        REGISTRY["one_hot"], np.array([[2], [0]]), axis=1, depth=3, dtype=dtypes.float32
    )
    assert marked.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_full_has_the_dtype_of_its_value() -> None:
    assert ops.full(2, True).aval.dtype is dtypes.bool_
    assert ops.full((2, 2), 3).aval.dtype is dtypes.int64
    assert ops.full(2, np.float16(3)).aval.dtype is dtypes.float16
    assert ops.full_like(X.astype(np.int8), 3.7).array.dtype == np.int8
    assert ops.full((2, 3), np.arange(3.0)).array.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert ops.zeros((2, 0)).aval.shape == (2, 0)
    assert ops.ones_like(X, dtype=bool).array.all()


def test_negative_extents_are_refused() -> None:
    for make in (ops.zeros, ops.ones, ops.eye, lambda shape: ops.full(shape, 2.0)):
        with pytest.raises(ValueError, match="negative dimensions are not allowed"):
            make(-2)


def test_numbers_that_make_no_sequence_are_refused() -> None:
    with pytest.raises(ValueError, match="step must not be 0"):
        ops.arange(0, 1, 0)
    with pytest.raises(ValueError, match="must not be negative"):
        ops.linspace(0, 1, -1)
    with pytest.raises(DTypeError, match="makes no bools"):
        ops.arange(2, dtype=bool)


def test_diagonals_beyond_any_index_are_outside_every_matrix() -> None:
    assert not ops.eye(2, k=2**63).array.any()
    np.testing.assert_array_equal(ops.tril(X, k=2**70).array, X)


def test_logit_and_xlogy_are_those_of_scipy() -> None:
    x = np.array(
        [
            0.0,
            -0.0,
            1e-300,
            0.2,
            0.25,
            0.4999999,
            0.5,
            0.50001,
            0.75,
            0.9,
            1 - 2.0**-53,
            1.0,
            1.5,
            -1.0,
            np.nan,
        ]
    )
    np.testing.assert_allclose(ops.logit(x).array, scipy.special.logit(x), rtol=1e-15)
    np.testing.assert_allclose(
        ops.logit(x, 0.1).array, scipy.special.logit(np.clip(x, 0.1, 0.9)), rtol=1e-15
    )
    a, b = np.meshgrid([0.0, -0.0, 1.5, -2.0, np.inf, np.nan], [0.0, 2.0, -1.0, np.inf, np.nan])
    np.testing.assert_allclose(ops.xlogy(a, b).array, scipy.special.xlogy(a, b), rtol=1e-15)


def test_gradients_of_logit_and_xlogy_are_those_of_pytorch_at_the_ends() -> None:
    x = lift(np.array([0.0, 1.0, 1.5, 0.5]))
    (ct,) = pullback(ops.logit, (x,), lift(np.ones(4)))
    np.testing.assert_array_equal(ct.array, [np.inf, np.inf, np.nan, 4.0])
    zero = lift(np.zeros(3))
    wrt_x, wrt_y = pullback(ops.xlogy, (zero, lift(np.array([0.0, -1.0, np.e]))), lift(np.ones(3)))
    np.testing.assert_array_equal(wrt_x.array, [0.0, 0.0, 1.0])
    np.testing.assert_array_equal(wrt_y.array[1:], [0.0, 0.0])
