"""Modules: modes, buffers, parameters frozen, replaced, shared and loaded; the user's subclasses."""

from __future__ import annotations

import gc
import weakref

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, matrix, thrice, values, vector
from tracejit import nn, optim
from tracejit.nn import functional as F


class Scaled(nn.Module):
    """A subclass with a property, a buffer, a counter and a call of its own."""

    def __init__(self):
        self.inner = nn.Linear(3, 2)
        self.register_buffer("mean", tj.zeros(3))
        self.calls = 0
        self.factor = 2.0

    @property
    def scale(self):
        return self.factor * 2

    def __call__(self, x):
        self.calls += 1
        return super().__call__(x) * self.scale

    def forward(self, x):
        if self.training:
            self.mean = self.mean * 0.5 + x.mean(axis=0) * 0.5
        return self.inner(x - self.mean)


def rows(k=0.0):
    return tj.tensor([[1.0, -2.0, 0.5], [0.0, 1.0, 1.0 + k], [2.0, 1.0, -1.0]])


@case
def batchnorm(compile):
    model = nn.BatchNorm1d(3)
    f = compile(lambda x: model(x))
    for mode in thrice(True, False, True):
        model.train(mode)
        yield f(rows()), model
    model.momentum = None
    for _ in range(3):
        yield f(rows()), model
    yield attempt(f, rows()[:1]), model


@case
def dropout_flag(compile):
    model = nn.Dropout(0.5)
    f = compile(lambda x: model(x))
    for mode in thrice(True, False, True):
        model.train(mode)
        yield f(tj.ones(8))
    for model.p in thrice(0.25, 0.0, 1.0):
        yield f(tj.ones(8))


@case
def dropout_with_its_own_generator(compile):
    model = nn.Dropout(0.5, generator=tj.random.Generator(1))
    f = compile(lambda x: model(x) * 2)
    for _ in range(4):
        yield f(tj.ones(8)), model
    model.generator.seed(1)
    for _ in range(3):
        yield f(tj.ones(8)), model
    model.generator = None
    for _ in range(3):
        yield f(tj.ones(8)), model


@case
def compiled_module(compile):
    model = Scaled()
    f = compile(model)
    for mode in thrice(True, False):
        model.train(mode)
        yield f(rows()), model
    model.factor = 3.0
    for _ in range(3):
        yield f(rows()), model


@case
def compiled_forward_of_a_subclass(compile):
    class Model(Scaled):
        @compile
        def forward(self, x):
            return super().forward(x) + 1

    model = Model()
    for mode in thrice(True, False):
        model.train(mode)
        yield model(rows()), model
    Scaled.forward, before = (lambda self, x: x[:, :2]), Scaled.forward
    try:
        for _ in range(3):
            yield model(rows()), model
    finally:
        Scaled.forward = before


@case
def embedding_out_of_range(compile):
    model = nn.Embedding(4, 2)
    state = {"n": 0}

    @compile
    def f(labels):
        state["n"] += 1
        return model(labels).sum(axis=0)

    for label in [0, 1, 2, 4, 3, -1, 0]:
        yield attempt(f, tj.tensor([0, label])), state


@case
def parameter_frozen(compile):
    model = nn.Linear(3, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.5)

    @compile
    def step(x):
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    for frozen in thrice(False, True, False):
        model.weight.requires_grad_(not frozen)
        yield step(rows()), model
    model.requires_grad_(False)
    yield attempt(step, rows()), model


@case
def parameter_replaced(compile):
    model = nn.Linear(3, 2)
    f = compile(lambda x: model(x))
    for _ in range(3):
        yield f(rows()), model
    model.weight = nn.Parameter(model.weight.detach() * 2)
    for _ in range(3):
        yield f(rows()), model
    model.bias = None
    for _ in range(3):
        yield f(rows()), model
    model.weight = nn.Parameter(tj.ones((4, 3)))
    for _ in range(3):
        yield f(rows()), model


@case
def module_moved_to_another_dtype(compile):
    model = nn.Linear(3, 2)
    f = compile(lambda x: model(x))
    for _ in range(3):
        yield f(rows()), model
    model.to(tj.float64)
    for _ in range(3):
        yield f(rows()), model
    model.to(tj.float32)
    for _ in range(2):
        yield f(rows()), model


@case
def state_dict_loaded(compile):
    model, other = Scaled(), Scaled()
    f = compile(lambda x: model(x))
    saved = {name: t.copy() for name, t in other.state_dict().items()}
    for _ in range(3):
        yield f(rows()), model
    yield model.load_state_dict(saved)
    for _ in range(3):
        yield f(rows()), model
    held = model.state_dict()
    held["inner.weight"].mul_(2)
    for _ in range(2):
        yield f(rows()), model, held


@case
def weights_tied(compile):
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    optimizer = optim.SGD([*model[0].parameters(), model[2].weight], lr=0.5)

    @compile
    def step(x):
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(3):
        yield step(rows()), model
    model[2].weight = model[0].weight
    for _ in range(4):
        yield step(rows()), model, model[2].weight is model[0].weight


@case
def layer_put_into_a_sequence(compile):
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    f = compile(lambda x: model(x))
    for _ in range(3):
        yield f(rows()), model
    setattr(model, "1", nn.Tanh())
    for _ in range(3):
        yield f(rows()), model
    setattr(model, "2", nn.LayerNorm(3))
    for _ in range(3):
        yield f(rows()), model
    del model._modules["0"]
    for _ in range(2):
        yield f(rows()), model


@case
def buffer_becomes_an_attribute(compile):
    class Model(nn.Module):
        def __init__(self):
            self.register_buffer("scale", tj.ones(3))

        def forward(self, x):
            return x * self.scale

    model = Model()
    f = compile(lambda x: model(x))
    for _ in range(3):
        yield f(rows()), model
    model.scale = 3.0
    for _ in range(3):
        yield f(rows()), model
    del model.scale
    yield attempt(f, rows())
    model.scale = nn.Parameter(tj.ones(3) * 2)
    for _ in range(3):
        yield f(rows()), model


@case
def instance_attribute_hides_a_parameter(compile):
    model = nn.Linear(3, 2)
    f = compile(lambda x: model(x))
    for _ in range(3):
        yield f(rows())
    model.__dict__["weight"] = tj.ones((2, 3))
    for _ in range(3):
        yield f(rows())
    del model.__dict__["weight"]
    for _ in range(2):
        yield f(rows())


@case
def modules_come_and_go(compile):
    f = compile(lambda model, x: model(x).sum())
    gone = []
    for k in range(6):
        model = nn.Linear(3, 2, bias=k % 2 == 0)
        yield values(f(model, rows()))
        gone.append(weakref.ref(model))
        del model
        gc.collect()
        yield [ref() is None for ref in gone]


@case
def attributes_written_in_forward(compile):
    class Model(nn.Module):
        def __init__(self):
            self.w = nn.Parameter(vector())
            self.last = None
            self.steps = {"n": 0}

        def forward(self, x):
            self.steps["n"] += 1
            self.last = y = x * self.w
            self.register_buffer("peak", y.detach().max())
            return y

    model = Model()
    f = compile(lambda x: model(x))
    for k in range(5):
        y = f(vector() + k)
        yield y, model, y is model.last


@case
def children_listed_in_forward(compile):
    class Model(nn.Module):
        def __init__(self):
            self.one, self.other = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            for name, child in self.named_children():
                x = child(x) if name != self.skip else x
            return x, len(list(self.parameters()))

    model = Model()
    f = compile(lambda x: model(x))
    for model.skip in thrice("one", "none", "other"):
        yield f(rows())
    model.third = nn.Linear(3, 3)
    for _ in range(3):
        yield f(rows())


@case
def forward_replaced_on_an_instance(compile):
    model = nn.Linear(3, 2)
    f = compile(lambda x: model(x))
    for _ in range(3):
        yield f(rows())
    model.forward = lambda x: x * 2
    for _ in range(3):
        yield f(rows())
    del model.forward
    nn.Linear.forward, before = (lambda self, x: F.linear(x, self.weight)), nn.Linear.forward
    try:
        for _ in range(3):
            yield f(rows())
    finally:
        nn.Linear.forward = before
    yield f(rows())


@case
def library_function_replaced(compile):
    model = nn.Linear(3, 2)
    f = compile(lambda x: model(x))
    before = F.linear
    try:
        for F.linear in thrice(before, lambda x, weight, bias: x @ weight.T - bias, before):
            yield f(rows())
    finally:
        F.linear = before


@case
def functional_options_change(compile):
    @compile
    def f(logits, labels, reduction):
        return F.cross_entropy(logits, labels, reduction=reduction), F.softmax(logits, dim=0)

    for reduction in [*thrice("mean", "sum", "none"), "other"]:
        yield attempt(f, matrix(), tj.tensor([0, 1]), reduction)
    for label in [2, 1, -1, 0]:
        yield attempt(f, matrix(), tj.tensor([0, label]), "mean")


@case
def text_of_a_module(compile):
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
    f = compile(lambda x: (repr(model), model[0](x)))
    for _ in range(3):
        yield f(rows())
    model[1].p = 0.25
    for _ in range(3):
        yield f(rows())
