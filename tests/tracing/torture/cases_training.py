"""Whole training steps: optimizers, schedules, zero_grad, groups, loaded state."""

from __future__ import annotations

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, thrice, vector
from tracejit import nn, optim
from tracejit.nn import functional as F


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
def sgd_step(compile):
    w = vector()

    @compile
    def step(x, lr):
        gradient = (w * x).sum() * x
        w.sub_(gradient * lr)
        return w.sum()

    for lr in [0.5, 0.5, 0.5, 0.25, 0.125, 0.5]:
        yield step(vector(), lr), w


@case
def momentum_lazy_state(compile):
    state = {}
    w = vector()

    @compile
    def step(x):
        buffer = state.get("momentum")
        if buffer is None:
            buffer = state["momentum"] = tj.zeros_like(w)
        buffer.mul_(0.5).add_(x)
        w.sub_(buffer)
        return w * 1

    for _ in range(5):
        yield step(vector()), state, w
    state.clear()
    for _ in range(3):
        yield step(vector()), state, w


@case
def parameter_iteration_update(compile):
    params = [vector(), vector() * 2]

    @compile
    def step(x):
        for p in params:
            p -= x * 0.5
        return sum(p.sum() for p in params)

    for _ in range(4):
        yield step(vector()), params
    params.append(params[0])
    for _ in range(3):
        yield step(vector()), params
    params[:] = [vector()[1:]]
    for _ in range(3):
        yield attempt(step, vector()[:2]), params


@case
def ema_dict_update(compile):
    model, average = {"w": vector(), "b": vector() + 1}, {}

    @compile
    def step(x):
        for name, p in model.items():
            p.add_(x)
            if name not in average:
                average[name] = p.copy()
            else:
                average[name].lerp_(p, 0.5)
        return average["w"] * 1

    for _ in range(5):
        yield step(vector()), model, average
    del average["b"]
    for _ in range(3):
        yield step(vector()), model, average


@case
def sgd_with_weight_decay(compile):
    model = mlp()
    step = train_step(compile, model, optim.SGD(model.parameters(), lr=0.5, weight_decay=0.1))
    for k in range(5):
        yield step(*batch(k)), model


@case
def sgd_with_momentum(compile):
    model = mlp()
    optimizer = optim.SGD(model.parameters(), lr=0.5, momentum=0.9, nesterov=True)
    step = train_step(compile, model, optimizer)
    for k in range(5):
        yield step(*batch(k)), model, optimizer
    optimizer.param_groups[0]["momentum"] = 0.0
    for k in range(3):
        yield step(*batch(k)), model, optimizer


@case
def adam_steps(compile):
    model = mlp()
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    step = train_step(compile, model, optimizer)
    for k in range(6):
        yield step(*batch(k)), model, optimizer


@case
def adamw_with_groups(compile):
    model = mlp()
    groups = [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[2].parameters()}]
    optimizer = optim.AdamW(groups, lr=0.01, weight_decay=0.1)
    step = train_step(compile, model, optimizer)
    for k in range(4):
        yield step(*batch(k)), model
    optimizer.param_groups[1]["weight_decay"] = 0.0
    optimizer.param_groups[0]["lr"] = 0.5
    for k in range(3):
        yield step(*batch(k)), model


@case
def zero_grad_to_zeros(compile):
    model = mlp()
    step = train_step(compile, model, optim.SGD(model.parameters(), lr=0.5), set_to_none=False)
    held = None
    for k in range(5):
        yield step(*batch(k)), model, held
        held = model[0].weight.grad


@case
def step_lr_between_calls(compile):
    model = mlp()
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    schedule = optim.StepLR(optimizer, step_size=2, gamma=0.5)
    step = train_step(compile, model, optimizer)
    for k in range(8):
        yield step(*batch(k)), model, schedule.get_last_lr()
        schedule.step()


@case
def schedule_inside_the_step(compile):
    model = mlp()
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    schedule = optim.CosineAnnealingLR(optimizer, T_max=10)

    @compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        schedule.step()
        return loss, schedule.get_last_lr()

    for k in range(6):
        yield step(*batch(k)), model, schedule


@case
def lr_becomes_an_integer_or_wrong(compile):
    model = mlp()
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    step = train_step(compile, model, optimizer)
    for lr in [*thrice(0.5, 0), 0.25, -1.0, float("nan"), True, 0.5]:
        optimizer.param_groups[0]["lr"] = lr
        yield attempt(step, *batch()), model


@case
def closure_given_to_the_optimizer(compile):
    model = mlp()
    optimizer = optim.SGD(model.parameters(), lr=0.5)

    @compile
    def step(x, y):
        def closure():
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            return loss

        return optimizer.step(closure)

    for k in range(5):
        yield step(*batch(k)), model


@case
def optimizer_state_loaded_between_steps(compile):
    model = mlp()
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    step = train_step(compile, model, optimizer)
    for k in range(4):
        yield step(*batch(k)), model
        if k == 1:
            saved = optimizer.state_dict()
    optimizer.load_state_dict(saved)
    for k in range(4):
        yield step(*batch(k)), model, optimizer


@case
def parameter_group_added(compile):
    model, extra = mlp(), nn.Parameter([0.5, -0.5])
    optimizer = optim.SGD(model.parameters(), lr=0.5, momentum=0.5)

    @compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x) * extra, y)
        loss.backward()
        optimizer.step()
        return loss

    for k in range(4):
        yield step(*batch(k)), model, extra
    optimizer.add_param_group({"params": extra, "lr": 0.1})
    for k in range(4):
        yield step(*batch(k)), model, extra


@case
def a_custom_optimizer(compile):
    class Signs(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr, "maximize": False})

        def start(self, parameter, group):
            return {"steps": 0}

        def update(self, parameter, gradient, state, group):
            state["steps"] += 1
            parameter.sub_(tj.sign(gradient) * (group["lr"] / state["steps"]))

    model = mlp()
    optimizer = Signs(model.parameters(), 0.5)
    step = train_step(compile, model, optimizer)
    for k in range(5):
        yield step(*batch(k)), model, optimizer
    Signs.update = lambda self, parameter, gradient, state, group: None
    for k in range(3):
        yield step(*batch(k)), model, optimizer
