"""What is done to classes between calls: attributes, methods, bases, descriptors."""

from __future__ import annotations

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, thrice, vector


@case
def monkeypatched_method(compile):
    class Model:
        def step(self, x):
            return x * 2

    model = Model()

    @compile
    def f(x):
        return model.step(x)

    for _ in range(3):
        yield f(vector())
    Model.step = lambda self, x: x * 3
    for _ in range(3):
        yield f(vector())
    model.step = lambda x: x * 4
    for _ in range(3):
        yield f(vector())
    del model.step
    for _ in range(2):
        yield f(vector())
    del Model.step
    yield attempt(f, vector())


@case
def class_attribute(compile):
    class Model:
        scale = 2.0

    class Child(Model):
        pass

    model = Child()

    @compile
    def f(x):
        return x * model.scale

    for Model.scale in thrice(2.0, 3.0):
        yield f(vector())
    Child.scale = 4.0
    for _ in range(3):
        yield f(vector())
    model.scale = 5.0
    for _ in range(3):
        yield f(vector())
    del model.scale, Child.scale
    for _ in range(2):
        yield f(vector())


@case
def class_counter(compile):
    class Model:
        n = 0

        def __init__(self):
            Model.n += 1

    @compile
    def f(x):
        Model()
        return x * Model.n

    for _ in range(5):
        yield f(vector()), Model


@case
def super_call(compile):
    class Base:
        def step(self, x):
            return x * 2

    class Other:
        def step(self, x):
            return x - 1

    class Child(Base):
        def step(self, x):
            return super().step(x) + 1

    f = compile(lambda model, x: model.step(x))
    model = Child()
    for _ in range(3):
        yield f(model, vector())
    Base.step = lambda self, x: x * 5
    for _ in range(3):
        yield f(model, vector())
    Child.__bases__ = (Other, Base)
    for _ in range(3):
        yield f(model, vector())


@case
def method_found_in_a_class_put_between(compile):
    class Base:
        def step(self, x):
            return x * 2

    class Middle(Base):
        pass

    class Child(Middle):
        pass

    model = Child()

    @compile
    def f(x):
        return model.step(x)

    for _ in range(3):
        yield f(vector())
    Middle.step = lambda self, x: x * 3
    for _ in range(3):
        yield f(vector())


@case
def class_of_an_object_assigned(compile):
    class Train:
        def step(self, x):
            return x * 2

    class Test:
        def step(self, x):
            return x + 1

    model = Train()

    @compile
    def f(x):
        return model.step(x), type(model).__name__, isinstance(model, Train)

    for model.__class__ in thrice(Train, Test, Train):
        yield f(vector())


@case
def instance_attribute_shadows_a_method(compile):
    class Model:
        def act(self, x):
            return x * 2

    one, other = Model(), Model()
    other.act = tj.exp

    @compile
    def f(model, x):
        return model.act(x)

    for model in [one, one, one, other, other, one, other]:
        yield f(model, vector())


@case
def attribute_becomes_a_property(compile):
    class Model:
        def __init__(self):
            self.scale = 2.0

    model = Model()

    @compile
    def f(x):
        return x * model.scale

    for _ in range(3):
        yield f(vector())
    Model.scale = property(lambda self: 3.0)
    for _ in range(3):
        yield f(vector())
    Model.scale = 9.0
    for _ in range(3):
        yield f(vector())


@case
def attribute_deleted_shows_the_class_default(compile):
    class Model:
        scale = 2.0

    model = Model()
    model.scale = 3.0

    @compile
    def f(x):
        return x * model.scale

    for _ in range(3):
        yield f(vector())
    del model.scale
    for _ in range(3):
        yield f(vector())
    del Model.scale
    yield attempt(f, vector())


@case
def staticmethod_classmethod(compile):
    class Model:
        scale = 2.0

        @staticmethod
        def twice(x):
            return x * 2

        @classmethod
        def scaled(cls, x):
            return x * cls.scale

    class Child(Model):
        scale = 3.0

    @compile
    def f(model, x):
        return model.twice(x), model.scaled(x), Model.scaled(x)

    for model in thrice(Model(), Child(), Child):
        yield f(model, vector())
    Model.scale = 5.0
    for _ in range(3):
        yield f(Model, vector())
    Model.twice = staticmethod(lambda x: x - 1)
    for _ in range(3):
        yield f(Child(), vector())


@case
def staticmethod_becomes_a_method(compile):
    class Model:
        @staticmethod
        def act(*args):
            return len(args)

    model = Model()

    @compile
    def f(x):
        return x * model.act(x)

    for _ in range(3):
        yield f(vector())
    Model.act = lambda *args: len(args)
    for _ in range(3):
        yield f(vector())


@case
def descriptor_added_to_the_class(compile):
    class Constant:
        def __get__(self, instance, owner):
            return 9.0

    class Model:
        scale = 2.0

    model = Model()

    @compile
    def f(x):
        return x * model.scale

    for _ in range(3):
        yield f(vector())
    Model.scale = Constant()
    for _ in range(3):
        yield f(vector())
    model.scale = 3.0
    for _ in range(3):
        yield f(vector())
    Constant.__set__ = lambda self, instance, value: None
    for _ in range(3):
        yield f(vector())


@case
def cls_attribute_of_a_base_class(compile):
    class Base:
        def scale(self):
            return 2.0

    class Child(Base):
        pass

    model = Child()

    @compile
    def f(x):
        return x * model.scale()

    for _ in range(3):
        yield f(vector())
    Child.scale = lambda self: 3.0
    for _ in range(3):
        yield f(vector())
    del Child.scale
    Base.scale = staticmethod(lambda: 4.0)
    for _ in range(3):
        yield f(vector())


@case
def fn_code_of_a_method(compile):
    class Model:
        def scale(self):
            return 2.0

    model = Model()

    @compile
    def f(x):
        return x * model.scale()

    for _ in range(3):
        yield f(vector())
    Model.scale.__code__ = (lambda self: 3.0).__code__
    for _ in range(3):
        yield f(vector())


@case
def kdict_of_a_super_call(compile):
    class Base:
        def act(self, x):
            return x * 2

    class Middle(Base):
        pass

    class Child(Middle):
        def act(self, x):
            return super().act(x) + 1

    model = Child()

    @compile
    def f(x):
        return model.act(x)

    for _ in range(3):
        yield f(vector())
    Middle.act = lambda self, x: x * 3
    for _ in range(3):
        yield f(vector())
    del Middle.act
    Base.act = lambda self, x: x - 7
    for _ in range(3):
        yield f(vector())


@case
def mro_changed_under_a_super_call(compile):
    class Base:
        def act(self, x):
            return x * 2

    class Other(Base):
        def act(self, x):
            return super().act(x) + 10

    class Child(Base):
        def act(self, x):
            return super().act(x) + 1

    class Both(Child, Other):
        pass

    @compile
    def f(model, x):
        return model.act(x)

    for model in thrice(Child(), Both(), Child()):
        yield f(model, vector())
    Child.__bases__ = (Other,)
    for _ in range(3):
        yield f(Child(), vector())
