"""Attacks by way of classes: what looking up, testing and naming them reads, and what changes between calls."""

from __future__ import annotations

import abc
import copy
import copyreg
import enum
import functools
import types
from dataclasses import dataclass
from typing import NamedTuple

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, thrice, vector

LEVEL = 1


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


def count(*args):
    return float(len(args))


@case
def static_method_becomes_a_plain_one(compile):
    class C:
        pass

    @compile
    def f(x, c):
        return x * c.count(1)

    c = C()
    for C.count in thrice(staticmethod(count), count, staticmethod(count)):
        yield f(vector(), c)


@case
def plain_method_becomes_a_static_one_in_a_base(compile):
    class Base:
        count = count

    class Middle(Base):
        pass

    class C(Middle):
        pass

    @compile
    def f(x, c):
        return x * c.count(1)

    for _ in range(3):
        yield f(vector(), C())
    Middle.count = staticmethod(count)
    for _ in range(3):
        yield f(vector(), C())


@case
def class_method_becomes_a_bound_one(compile):
    class C:
        weight = 2.0

        def scale(cls):  # noqa: N805  # a class method later
            return cls.weight

    class D(C):
        weight = 3.0

    plain = C.scale

    @compile
    def f(x, d):
        return x * d.scale()

    ways = thrice(classmethod(plain), types.MethodType(plain, C), classmethod(plain))
    for C.scale in ways:
        yield f(vector(), D())


@case
def class_gets_another_name(compile):
    class C:
        pass

    @compile
    def f(x, c):
        return x, type(c).__name__, f"{type(c).__qualname__}", C.__module__, C.__doc__

    c = C()
    for _ in range(3):
        yield f(vector(), c)
    C.__name__ = "Other"
    for _ in range(3):
        yield f(vector(), c)
    C.__qualname__ = "There.Other"
    C.__doc__ = "says more"
    for _ in range(3):
        yield f(vector(), c)
    C.__module__ = "elsewhere"
    for _ in range(3):
        yield f(vector(), c)


@case
def text_of_a_class(compile):
    class C:
        pass

    @compile
    def f(x):
        return x, f"{C}", str(C), repr([C]), f"{C}"

    for _ in range(3):
        yield f(vector())
    C.__qualname__ = "Other"
    for _ in range(3):
        yield f(vector())
    C.__module__ = "elsewhere"
    for _ in range(3):
        yield f(vector())


@case
def class_that_an_abstract_one_takes_in(compile):
    class Kind(abc.ABC):  # noqa: B024
        pass

    class C:
        pass

    @compile
    def f(x, c):
        return x * 2 if isinstance(c, Kind) or issubclass(int, Kind) else x

    for _ in range(3):
        yield f(vector(), C())
    Kind.register(C)
    for _ in range(3):
        yield f(vector(), C())


@case
def abstract_class_that_looks_at_state(compile):
    global LEVEL
    LEVEL = 1

    class Kind(abc.ABC):  # noqa: B024
        @classmethod
        def __subclasshook__(cls, other):
            LEVELS.append(other)
            return hasattr(other, "wanted")

    LEVELS = []

    class C:
        pass

    @compile
    def f(x, c):
        return x * 2 if isinstance(c, Kind) else x

    for _ in range(3):
        yield f(vector(), C()), len(LEVELS) > 0
    C.wanted = True
    for _ in range(3):
        yield f(vector(), C()), len(LEVELS) > 0


@case
def metaclass_with_a_familiar_name(compile):
    state = {"on": True}

    class ABCMeta(type):
        def __instancecheck__(cls, value):
            return state["on"]

    class Kind(metaclass=ABCMeta):
        pass

    @compile
    def f(x):
        return x * 2 if isinstance(1.0, Kind) else x

    for state["on"] in thrice(True, False, True):
        yield f(vector())


@case
def bases_of_a_class_change(compile):
    class A:
        pass

    class B:
        pass

    class C(A):
        pass

    @compile
    def f(x, c):
        return x * (2 if isinstance(c, A) else 3), issubclass(C, (B, int))

    c = C()
    for C.__bases__ in thrice((A,), (B,), (A, B)):
        yield f(vector(), c)


@case
def bases_of_an_exception_change(compile):
    class A(Exception):
        pass

    class B(Exception):
        pass

    class C(A):
        pass

    @compile
    def f(x):
        try:
            raise C
        except A:
            return x * 2
        except B:
            return x * 3

    for C.__bases__ in thrice((A,), (B,), (A,)):
        yield f(vector())


@case
def object_that_says_it_is_of_another_class(compile):
    state = {"kind": int}

    class C:
        @property
        def __class__(self):
            return state["kind"]

    @compile
    def f(x, c):
        return x * (2 if isinstance(c, int) else 3), c.__class__ is str

    c = C()
    for state["kind"] in thrice(int, str, float):
        yield f(vector(), c)


@case
def class_whose_objects_become_callable(compile):
    class C:
        pass

    @compile
    def f(x, c):
        return x * 2 if callable(c) else x

    c = C()
    for _ in range(3):
        yield f(vector(), c)
    C.__call__ = lambda self: 1
    for _ in range(3):
        yield f(vector(), c)
    del C.__call__
    for _ in range(3):
        yield f(vector(), c)


@case
def truth_of_a_class(compile):
    state = {"on": True}

    class Meta(type):
        def __bool__(cls):
            return state["on"]

    class C(metaclass=Meta):
        pass

    @compile
    def f(x):
        return (x * 2 if C else x), not C, bool(C)

    for state["on"] in thrice(True, False, True):
        yield f(vector())


@case
def truth_of_an_enum_member(compile):
    state = {"on": True}

    class Mode(enum.Enum):
        A = 1

        def __bool__(self):
            return state["on"]

    @compile
    def f(x):
        return (x * 2 if Mode.A else x), not Mode.A, any([Mode.A])

    for state["on"] in thrice(True, False, True):
        yield f(vector())


@case
def enum_whose_value_is_computed(compile):
    state = {"level": 1}

    class Mode(enum.Enum):
        A = 1

        @property
        def value(self):
            return state["level"]

    @compile
    def f(x):
        return x * Mode.A.value

    for state["level"] in thrice(1, 2, 1):
        yield f(vector())


@case
def enum_that_learns_to_write_itself(compile):
    class Mode(enum.Enum):
        A = 1

    @compile
    def f(x):
        return x, f"{Mode.A}", f"{[Mode.A]}", "%s" % Mode.A  # noqa: UP031  # what is attacked

    for _ in range(3):
        yield f(vector())
    Mode.__str__ = lambda self: "patched"
    for _ in range(3):
        yield f(vector())
    Mode.__format__ = lambda self, spec: "formatted"
    for _ in range(3):
        yield f(vector())
    Mode.__repr__ = lambda self: "shown"
    for _ in range(3):
        yield f(vector())


@case
def enum_that_learns_to_compare(compile):
    class Mode(enum.Enum):
        A = 1
        B = 2

    @compile
    def f(x, mode):
        return (x * 2 if mode == Mode.A else x), mode in [Mode.B], {Mode.A: 1.0}.get(mode)

    for _ in range(3):
        yield f(vector(), Mode.A)
    Mode.__eq__ = lambda self, other: False
    Mode.__hash__ = lambda self: 7
    for _ in range(3):
        yield f(vector(), Mode.A)


@case
def exception_class_that_learns_to_begin(compile):
    class Problem(Exception):
        pass

    def start(self, value):
        self.args = ("patched", value)

    @compile
    def f(x):
        try:
            raise Problem("plain")
        except Problem as problem:
            return x, problem.args, str(problem)

    for _ in range(3):
        yield f(vector())
    Problem.__init__ = start
    for _ in range(3):
        yield f(vector())
    del Problem.__init__
    Problem.__str__ = lambda self: "text"
    for _ in range(3):
        yield f(vector())


@case
def exception_class_that_learns_to_show_itself(compile):
    class Problem(Exception):
        pass

    @compile
    def f(x):
        return x, repr(Problem(1)), f"{Problem(2)!r}", f"{[Problem(3)]}"

    for _ in range(3):
        yield f(vector())
    Problem.__repr__ = lambda self: "shown"
    for _ in range(3):
        yield f(vector())


@case
def slot_reached_by_super(compile):
    class A:
        __slots__ = ("parts",)

    class B(A):
        __slots__ = ()

        def read(self):
            return super().parts

    b = B()
    b.parts = [1.0]

    @compile
    def f(x):
        return x * b.read()[0], len(b.read())

    for b.parts[:] in thrice([1.0], [2.0], [2.0, 3.0]):
        yield f(vector())
    for b.parts in thrice([1.0], [5.0], (1.0,)):
        yield f(vector())


@case
def cached_property_reached_by_super(compile):
    state = {"rate": 2.0}

    class A:
        @functools.cached_property
        def rate(self):
            return state["rate"]

    class B(A):
        def read(self):
            return super().rate

    @compile
    def f(x, b):
        return x * b.read()

    for state["rate"] in thrice(2.0, 3.0, 4.0):
        b = B()
        yield f(vector(), b), vars(b)


@case
def dict_of_an_object_reached_by_super(compile):
    class A:
        pass

    class B(A):
        def read(self):
            return super().__dict__["rate"], super().__class__

    b = B()

    @compile
    def f(x):
        rate, kind = b.read()
        return x * rate, kind is B

    for b.rate in thrice(2.0, 3.0):
        yield f(vector())


@case
def field_of_a_tuple_reached_by_super(compile):
    class Pair(NamedTuple):
        parts: list
        rate: float

    class More(Pair):
        __slots__ = ()

        def read(self):
            return super().parts, super().rate

    parts = [1.0]

    @compile
    def f(x, pair):
        values, rate = pair.read()
        return x * values[0] * rate

    for parts[0], rate in zip(thrice(1.0, 2.0, 2.0), thrice(1.0, 1.0, 3.0)):
        yield f(vector(), More(parts, rate))


@case
def objects_that_share_their_attributes(compile):
    a, b = Box(rate=2.0), Box(rate=2.0)

    @compile
    def f(x):
        a.rate = a.rate + 1
        return x * a.rate, x * b.rate

    own = b.__dict__
    for b.__dict__ in thrice(a.__dict__, own, a.__dict__, own):
        yield f(vector()), b.rate


@case
def objects_that_share_their_attributes_and_are_read(compile):
    a, b = Box(rate=2.0), Box(rate=2.0)

    @compile
    def f(x):
        return x * a.rate, x * b.rate

    own = b.__dict__
    for b.__dict__ in thrice(a.__dict__, own, a.__dict__):
        a.rate = 2.0
        own["rate"] = 5.0
        yield f(vector())


@case
def dict_that_is_an_objects_attributes(compile):
    table, a = {"rate": 2.0}, Box(rate=2.0)
    own = a.__dict__

    @compile
    def f(x):
        table["rate"] += 1
        return x * a.rate

    for a.__dict__ in thrice(own, table, own):
        yield f(vector()), table, own


@case
def attributes_of_a_module_by_its_dict(compile):
    module = types.ModuleType("settings")
    module.rate = 2.0
    module.parts = [1.0]

    @compile
    def f(x):
        return x * module.__dict__["rate"], module.__dict__["parts"][0]

    for module.rate, module.parts[0] in zip(thrice(2.0, 3.0, 3.0), thrice(1.0, 1.0, 4.0)):
        yield f(vector())


@case
def module_of_another_class(compile):
    state = {"rate": 2.0}

    class Lazy(types.ModuleType):
        @property
        def rate(self):
            return state["rate"]

    module = types.ModuleType("settings")
    module.__dict__["rate"] = 1.0

    @compile
    def f(x):
        # `module.rate` would keep what Python 3.14 has found on the module before.
        return x * getattr(module, "rate")  # noqa: B009

    for _ in range(3):
        yield f(vector())
    module.__class__ = Lazy
    for state["rate"] in thrice(2.0, 3.0):
        yield f(vector())


@case
def module_that_makes_attributes(compile):
    module = types.ModuleType("settings")
    state = {"rate": 2.0}

    @compile
    def f(x):
        return x * getattr(module, "rate", 1.0)

    for _ in range(3):
        yield f(vector())
    module.__getattr__ = lambda name: state["rate"]
    for state["rate"] in thrice(2.0, 3.0):
        yield f(vector())


@case
def way_of_copying_that_is_registered(compile):
    box = Box(rate=2.0)

    @compile
    def f(x):
        return x * copy.copy(box).rate, x * copy.deepcopy(box).rate

    try:
        for _ in range(3):
            yield f(vector())
        copyreg.pickle(Box, lambda box: (_box_of, (7.0,)))
        for _ in range(3):
            yield f(vector())
    finally:
        copyreg.dispatch_table.pop(Box, None)


def _box_of(rate):
    return Box(rate=rate)


@case
def class_that_learns_to_be_copied(compile):
    box = Box(rate=2.0)

    class Other(Box):
        pass

    other = Other(rate=3.0)

    @compile
    def f(x):
        return x * copy.copy(other).rate + copy.deepcopy(box).rate

    for _ in range(3):
        yield f(vector())
    Other.__copy__ = lambda self: Box(rate=9.0)
    for _ in range(3):
        yield f(vector())


@case
def fields_of_a_dataclass_that_change(compile):
    @dataclass
    class Point:
        x: float = 1.0
        parts: list = None

    @compile
    def f(x):
        return x * Point().x, Point(2.0), Point(3.0, [1.0]) == Point(3.0, [1.0])

    for _ in range(3):
        yield f(vector())
    Point.x = 5.0
    for _ in range(3):
        yield f(vector())
    Point.__init__.__defaults__ = (7.0, None)
    for _ in range(3):
        yield f(vector())
    Point.__eq__ = lambda self, other: False
    for _ in range(3):
        yield f(vector())
    Point.__setattr__ = lambda self, name, value: object.__setattr__(self, name, 0.5)
    for _ in range(3):
        yield f(vector())


@case
def property_that_gets_another_getter(compile):
    class C:
        def __init__(self):
            self.n = 2.0

        @property
        def rate(self):
            return self.n

    c = C()

    @compile
    def f(x):
        c.n = c.n + 1
        return x * c.rate

    for _ in range(3):
        yield f(vector()), c
    C.rate = property(lambda self: 7.0, lambda self, value: None)
    for _ in range(3):
        yield f(vector()), c
    C.n = property(lambda self: 5.0, lambda self, value: None)
    for _ in range(3):
        yield f(vector()), c


@case
def default_of_a_class_hidden_by_a_descriptor(compile):
    class Loud:
        def __get__(self, owner, kind):
            return 9.0

    class Data(Loud):
        def __set__(self, owner, value):
            pass

    class C:
        pass

    c = C()
    c.rate = 2.0

    @compile
    def f(x):
        return x * c.rate

    for C.rate in thrice(1.0, Loud(), Data(), 1.0):
        yield f(vector())


@case
def attribute_whose_class_becomes_a_descriptor(compile):
    class Value:
        pass

    class C:
        rate = Value()

    c = C()

    @compile
    def f(x):
        return (x * 2 if type(c.rate) is Value else x * c.rate), C.rate is c.rate

    for _ in range(3):
        yield f(vector())
    Value.__get__ = lambda self, owner, kind: 5.0
    for _ in range(3):
        yield f(vector())


@case
def attribute_of_an_object_whose_class_becomes_a_data_descriptor(compile):
    class Value:
        pass

    class C:
        rate = Value()

    c = C()
    c.__dict__["rate"] = 3.0

    @compile
    def f(x):
        return x * c.rate

    for _ in range(3):
        yield f(vector())
    Value.__get__ = lambda self, owner, kind: 5.0
    Value.__set__ = lambda self, owner, value: None
    for _ in range(3):
        yield f(vector())


@case
def class_made_by_a_call_of_its_parts(compile):
    seen = []

    class Base:
        def __init_subclass__(cls, **options):
            seen.append(options)

        def __class_getitem__(cls, item):
            seen.append(item)
            return len(seen)

    @compile
    def f(x):
        class Inner(Base, on=True):
            rate = 2.0

        return x * Inner.rate, Base[int]

    for _ in range(4):
        yield f(vector())
        yield len(seen)


@case
def attribute_error_inside_a_property(compile):
    state = {"miss": True}

    class C:
        @property
        def rate(self):
            if state["miss"]:
                raise AttributeError("inside")
            return 2.0

        def __getattr__(self, name):
            return 5.0

    c = C()

    @compile
    def f(x):
        return x * c.rate, x * getattr(c, "rate", 1.0), hasattr(c, "rate")

    for state["miss"] in thrice(True, False, True):
        yield attempt(f, vector())


@case
def class_taken_from_a_tensor(compile):
    @compile
    def f(x):
        return x.__class__ is tj.Tensor, isinstance(x, tj.Tensor), type(x).__name__, callable(x)

    for _ in range(4):
        yield f(vector())


@case
def new_that_is_replaced(compile):
    class C:
        def __init__(self, rate):
            self.rate = rate

    pool = []

    @compile
    def f(x):
        c = C(2.0)
        return x * c.rate, c

    for _ in range(3):
        yield f(vector())
    pool.append(C(5.0))
    C.__new__ = lambda cls, rate: pool[0]
    for _ in range(3):
        yield f(vector())


@case
def finalizer_that_a_class_learns(compile):
    gone = []

    class C:
        def __init__(self, rate):
            self.rate = rate

    @compile
    def f(x):
        return x * C(2.0).rate

    for _ in range(3):
        yield f(vector()), len(gone)
    C.__del__ = lambda self: gone.append(1)
    for _ in range(3):
        yield f(vector()), len(gone)
