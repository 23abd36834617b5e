"""Objects of the user's classes: how attributes are found and set."""

from __future__ import annotations

from functools import cached_property

from tests.tracing.torture.harness import attempt, case, thrice, vector


@case
def property_changed(compile):
    class Model:
        k = 2.0

        @property
        def scale(self):
            return self.k * 2

    model = Model()

    @compile
    def f(x):
        return x * model.scale

    for model.k in thrice(2.0, 3.0):
        yield f(vector())
    Model.scale = property(lambda self: self.k - 1)
    for _ in range(3):
        yield f(vector())
    del Model.scale
    Model.scale = 10.0
    for _ in range(3):
        yield f(vector())


@case
def property_with_a_setter(compile):
    class Model:
        def __init__(self):
            self.hidden, self.writes = vector(), 0

        @property
        def w(self):
            return self.hidden

        @w.setter
        def w(self, value):
            self.writes += 1
            self.hidden = value * 2

    model = Model()

    @compile
    def f(x):
        model.w = x + model.w
        return model.w

    for _ in range(5):
        yield f(vector()), model


@case
def cached_property_(compile):
    class Model:
        def __init__(self, k):
            self.k, self.made = k, 0

        @cached_property
        def table(self):
            self.made += 1
            return vector() * self.k

    model = Model(2.0)

    @compile
    def f(x):
        return x + model.table

    for _ in range(4):
        yield f(vector()), model
    del model.table
    model.k = 3.0
    for _ in range(3):
        yield f(vector()), model
    model = Model(5.0)
    for _ in range(2):
        yield f(vector()), model


@case
def getattr_hook(compile):
    class Model:
        def __init__(self):
            self.table = {"w": vector()}

        def __getattr__(self, name):
            try:
                return self.table[name]
            except KeyError:
                raise AttributeError(name) from None

    model = Model()

    @compile
    def f(x):
        return x * model.w

    for _ in range(3):
        yield f(vector())
    model.table["w"] = vector() + 1
    for _ in range(3):
        yield f(vector())
    model.w = 3.0
    for _ in range(3):
        yield f(vector())
    del model.w, model.table["w"]
    yield attempt(f, vector())


@case
def getattr_hook_added(compile):
    class Model:
        pass

    model = Model()

    @compile
    def f(x):
        return x * getattr(model, "scale", 1.0), hasattr(model, "shift")

    for _ in range(3):
        yield f(vector())
    Model.__getattr__ = lambda self, name: 7.0
    for _ in range(3):
        yield f(vector())
    del Model.__getattr__
    Model.scale = 2.0
    for _ in range(3):
        yield f(vector())
    model.shift = None
    for _ in range(3):
        yield f(vector())


@case
def setattr_hook(compile):
    class Model:
        def __init__(self):
            self.__dict__["log"] = []

        def __setattr__(self, name, value):
            self.log.append(name)
            object.__setattr__(self, name, value)

    model = Model()

    @compile
    def f(x):
        model.last = x * 2
        return model.last

    for _ in range(4):
        yield f(vector()), model
    del Model.__setattr__
    for _ in range(3):
        yield f(vector()), model


@case
def setattr_hook_added(compile):
    class Model:
        last, seen = None, 0

    model = Model()

    @compile
    def f(x):
        model.last = x * 2
        return model.seen

    def noticed(self, name, value):
        self.__dict__[name] = value
        self.__dict__["seen"] = self.seen + 1

    for _ in range(4):
        yield f(vector()), model
    Model.__setattr__ = noticed
    for _ in range(3):
        yield f(vector()), model


@case
def private_names(compile):
    class Model:
        __scale = 2.0

        def __init__(self):
            self.__n = 0

        @compile
        def step(self, x):
            self.__n += 1
            return x * self.__scale * self.__n

    class Child(Model):
        __scale = 100.0

    model = Child()
    for _ in range(4):
        yield model.step(vector()), model
    model._Model__scale = 5.0
    for _ in range(3):
        yield model.step(vector()), model


@case
def slots_object(compile):
    class Model:
        __slots__ = ("n", "w")

        def __init__(self):
            self.w, self.n = vector(), 0

    model = Model()

    @compile
    def f(x):
        model.n += 1
        model.w = model.w + x
        return model.w * model.n

    for _ in range(4):
        yield f(vector()), model
    model.n = 10
    yield f(vector()), model
    del model.w
    yield attempt(f, vector()), model


@case
def metaclass_and_getattribute(compile):
    class Meta(type):
        def __getattribute__(cls, name):
            if name == "scale":
                return next(numbers)
            return type.__getattribute__(cls, name)

    class Model(metaclass=Meta):
        def __getattribute__(self, name):
            return next(numbers) if name == "shift" else object.__getattribute__(self, name)

    numbers = iter([float(k) for k in range(20)])
    model = Model()

    @compile
    def f(x):
        return x * Model.scale + model.shift

    for _ in range(4):
        yield f(vector())


@case
def descriptor_user(compile):
    class Counting:
        n = 0

        def __get__(self, instance, owner):
            self.n += 1
            return float(self.n)

        def __set__(self, instance, value):
            self.n = value

    class Model:
        scale = Counting()

    model = Model()

    @compile
    def f(x):
        return x * model.scale

    for _ in range(4):
        yield f(vector())
    model.scale = 10
    yield f(vector())


@case
def inherit_call_slots_property(compile):
    class Base:
        __slots__ = ("w",)

        def __call__(self, x):
            return x * self.scale

        @property
        def scale(self):
            return self.w

    class Child(Base):
        __slots__ = ("calls",)

        def __call__(self, x):
            self.calls += 1
            return super().__call__(x) + 1

    model = Child()
    model.w, model.calls = vector(), 0
    f = compile(lambda x: model(x))
    for _ in range(4):
        yield f(vector()), model
    model.w = 2.0
    for _ in range(3):
        yield f(vector()), model
