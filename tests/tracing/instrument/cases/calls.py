"""Calls and methods."""

# ruff: noqa: UP008  # both ways to write `super` are rewritten

# both ways to write `super` are rewritten
import functools

from tests.tracing.instrument.cases.noisy import CASES, NOTES, case, noisy, note


def takes(*args, **kwargs):
    NOTES.append(f"takes {args} {kwargs}")
    return args, kwargs


@case
def calls_with_stars():
    a = noisy("a", items=(1, 2))
    return takes(note(0), *a, note(3), *[4], k=note(5), **note({"m": 6}), **{"n": note(7)})


@case
def calls_in_order():
    return noisy("f")(noisy("a"), noisy("b").c, k=noisy("d"))(noisy("e"))


@case
def method_call_fails_on_its_line():
    a = noisy("a")
    return (
        a.b(1)
        .c(2)
        .missing(3)
    )  # fmt: skip


@case
def call_of_what_is_none():
    nothing = note(None)
    return nothing(
        note(1)
    )  # fmt: skip


@case
def wrong_arguments():
    def f(a, *, b):
        return a, b

    return f(1, 2)


@case
def keyword_given_twice():
    return takes(**{"a": 1}, **note({"a": 2}))


class Base:
    def method(self, x=1):
        return "base", x

    @classmethod
    def create(cls):
        return cls.__name__


class Derived(Base):
    __secret = 3

    def method(self, x=2):
        return "derived", super().method(x), super(Derived, self).method(), __class__.__name__

    @classmethod
    def create(cls):
        return super().create()

    def secrets(self, __argument=4):
        __local = self.__secret
        self.__new = __local

        def inner(__of_inner=5):
            return __local, self.__new, __of_inner, __argument

        self.__new += 1
        self.__table = {}
        self.__table["__key"] = 1
        return inner(), sorted(vars_of(self)), takes(__keyword=1)

    def in_lambda(self):
        return [(lambda: super(Derived, self).method())() for _ in range(2)]

    @property
    def value(self):
        return self.__secret

    @staticmethod
    def plain(x):
        return x + 1


def vars_of(instance):
    return instance.__dict__


derived_method = Derived.method
CASES += [
    functools.partial(function, Derived())
    for function in (Derived.method, Derived.secrets, Derived.in_lambda, Derived.value.fget)
]
CASES += [
    functools.partial(Derived.create.__func__, Derived),
    functools.partial(Derived.plain, 4),
]
