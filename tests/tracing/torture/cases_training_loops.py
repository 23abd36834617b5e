"""Training steps with decisions in them: accumulation, clipping, skipping, stopping, averages."""

from __future__ import annotations

import math

import numpy as np

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, thrice
from tracejit import nn, optim
from tracejit.nn import functional as F


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


def batch(k=0):
    x = tj.tensor([[1.0, -2.0, 0.5], [0.0, 1.0, 1.0], [2.0, 1.0, -1.0], [k * 0.5, 0.25, 1.0]])
    return x, tj.tensor([0, 1, 1, k % 2])


def mlp():
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def train_step(compile, model, optimizer, set_to_none=True):
    @compile
    def step(x, y):
        optimizer.zero_grad(set_to_none)
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


@case
def gradient_accumulation(compile):
    model = mlp()
    optimizer = optim.SGD(model.parameters(), lr=0.5, momentum=0.5)
    state = Box(n=0)

    @compile
    def step(x, y):
        loss = F.cross_entropy(model(x), y) / 3
        loss.backward()
        state.n += 1
        if state.n % 3 == 0:
            optimizer.step()
            optimizer.zero_grad()
        return loss

    for k in range(10):
        yield step(*batch(k)), model, state


@case
def clipping_by_norm(compile):
    model = mlp()
    optimizer = optim.SGD(model.parameters(), lr=0.5)

    @compile
    def step(x, y, limit):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        norm = sum((p.grad * p.grad).sum() for p in model.parameters()).sqrt()
        if norm > limit:
            for p in model.parameters():
                p.grad.mul_(limit / norm)
        optimizer.step()
        return norm

    for limit in [10.0, 10.0, 10.0, 0.1, 0.1, 0.1, 10.0, 0.2]:
        yield step(*batch(), limit), model


@case
def skip_on_nan(compile):
    model = mlp()
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    state = Box(skipped=0, good=0)

    @compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        if not math.isfinite(loss.item()):
            state.skipped += 1
            return None
        loss.backward()
        optimizer.step()
        state.good += 1
        return loss

    for k in [0, 1, 2, float("nan"), float("nan"), 3, float("inf"), 4]:
        x, y = batch()
        yield step(x * (1 + k), y), model, state


@case
def best_loss_is_kept(compile):
    model = mlp()
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    state = Box(best=float("inf"), weights=None)

    @compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        if loss < state.best:
            state.best = loss.item()
            state.weights = [p.detach().copy() for p in model.parameters()]
        return loss

    for k in [0, 0, 0, 0, 3, 3, 0, 0]:
        yield step(*batch(k)), model, state


@case
def early_stopping(compile):
    model = mlp()
    optimizer = optim.SGD(model.parameters(), lr=2.0)
    state = Box(best=None, patience=0, stopped=False)

    @compile
    def step(x, y):
        if state.stopped:
            return None
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        value = float(loss)
        if state.best is None or value < state.best - 0.05:
            state.best, state.patience = value, 0
        else:
            state.patience += 1
            state.stopped = state.patience >= 2
        return value

    for _ in range(10):
        yield step(*batch()), model, state


@case
def average_of_parameters(compile):
    model, shadow = mlp(), mlp()
    optimizer = optim.SGD(model.parameters(), lr=0.5)

    @compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        with tj.no_grad():
            for ours, p in zip(shadow.parameters(), model.parameters()):
                ours.mul_(0.75).add_(p * 0.25)
        return loss

    for k in range(5):
        yield step(*batch(k)), model, shadow


@case
def batch_size_changes(compile):
    model = mlp()
    step = train_step(compile, model, optim.SGD(model.parameters(), lr=0.5))
    for size in thrice(4, 3, 1, 4):
        x, y = batch()
        yield step(x[:size], y[:size]), model
    x, y = batch()
    yield attempt(step, x[:, :2], y), model
    yield attempt(step, x, y + 1), model
    yield step(x, y), model


@case
def numpy_batches(compile):
    model = mlp()
    step = train_step(compile, model, optim.SGD(model.parameters(), lr=0.5))
    x, y = (np.array(part) for part in batch())
    for k in range(5):
        x[0] = k
        loss = step(x, y)
        yield np.asarray(loss.detach()), model
