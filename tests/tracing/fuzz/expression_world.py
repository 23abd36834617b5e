"""The world that the expressions read: its text is the head of each of their modules, and mutations change it between calls."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import enum
import functools
import itertools
import math
import operator
import random
import types

import numpy as np

import tracejit as tj

__all__ = ["contextlib", "functools", "itertools", "math", "operator", "tj"]

X = tj.tensor([[1.0, -2.0, 3.5], [0.0, 4.0, -1.25]])
Y = tj.tensor([[2.0, 2.0, -1.0], [0.5, -3.0, 8.0]])
W = tj.tensor([[0.5, 1.5, -1.0], [2.0, -0.25, 3.0]])
V = tj.tensor([1.0, 2.0, 4.0])
V2 = tj.tensor([3.0, -1.0, 0.5])
U = tj.tensor(2.0)
U2 = tj.tensor(-0.5)
I = tj.tensor([0, 2, 1])
J = tj.tensor(1)
MASK = tj.tensor([[True, False, True], [False, True, True]])
P = tj.tensor([[1.0, 0.5, -1.0], [2.0, 0.0, 1.0]], requires_grad=True)
P2 = tj.tensor([0.5, -1.0, 2.0], requires_grad=True)
VIEW = W[0]
G = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
H = np.array([[2.0, -1.0, 0.0], [1.0, 1.0, 3.0]])
GV = np.array([1.0, -2.0, 4.0])
GI = np.array([0, 1])
GS = np.float64(2.5)
GB = np.array([[True, False, True], [True, True, False]])

A = 2
B = 0.5
C = 3
N = 2
AX = 0
SHAPE = (3, 2)
FLAG = True
NAME = "w"
NONE = None
BIG = 1 << 40
SLICE = slice(0, 2)
L = [1, 2.5, 3]
L2 = [2, 0, 1]
M = [[1, 2, 3], [4, 5, 6]]
T = (1, 2, 3)
PAIRS = [(1, 2.0), (3, 4.0)]
D = {"a": 1, "b": 2.0, "c": 3}
D2 = {"a": 10, "z": 0.5}
DD = {"x": {"y": [1, 2]}, "z": 3}
ST = {1, 2, 3}
FS = frozenset({1, 2})
NAMES = ["w", "b"]
TS = [W, V, U]
TD = {"w": W, "b": V}
TT = (W, V)
Q = collections.deque([1, 2, 3], maxlen=4)
OD = collections.OrderedDict(a=1, b=2)
CN = collections.Counter("aab")
DF = collections.defaultdict(int, a=1)
CM = collections.ChainMap({"a": 5}, D2)
NS = types.SimpleNamespace(a=1, w=W)
R = range(3)
DTYPE = tj.float64
GEN = tj.random.Generator(0)
PY = random.Random(0)
NPR = np.random.default_rng(0)
ERRORS = (KeyError, IndexError)
LOG = []
MEMO = {}


class Base:
    scale = 2.0
    kinds = ["p", "q"]
    table = {"a": 1}
    limit = 3

    def describe(self):
        return self.scale

    def twice(self, x):
        return x * 2

    @classmethod
    def of_class(cls, x):
        return x * cls.scale

    @staticmethod
    def plain(x):
        return x + 1


class Model(Base):
    bias = 1

    def __init__(self, n=1):
        self.n = n
        self.lr = 0.1
        self.w = tj.tensor([1.0, 2.0, 3.0])
        self.items = [1, 2]
        self.child = None
        self.on = True
        self.history = []

    @property
    def rate(self):
        return self.lr * 2

    @rate.setter
    def rate(self, value):
        self.lr = value / 2

    @functools.cached_property
    def cached(self):
        return self.n + 1

    def describe(self):
        return super().describe() + 1

    def run(self, x):
        return x * self.n + self.bias

    def other(self, x):
        return x - self.n

    def step(self, x):
        self.n += 1
        self.history.append(self.n)
        return x + self.n

    def update(self, x):
        self.w += x.sum(axis=0) * 0.5
        return self.w

    def __call__(self, x):
        return self.run(x)

    def __len__(self):
        return len(self.items)

    def __bool__(self):
        return self.on

    def __getitem__(self, key):
        return self.items[key]

    def __setitem__(self, key, value):
        self.items[key] = value

    def __contains__(self, value):
        return value in self.items

    def __iter__(self):
        return iter(self.items)

    def __add__(self, other):
        return other + self.n

    def __radd__(self, other):
        return other - self.n

    def __mul__(self, other):
        return other * self.lr

    def __eq__(self, other):
        return isinstance(other, Model) and self.n == other.n

    def __lt__(self, other):
        return self.n < other.n

    def __hash__(self):
        return hash(self.n)

    def __enter__(self):
        self.n += 1
        return self

    def __exit__(self, *error):
        self.n -= 1

    def __float__(self):
        return float(self.lr)

    def __index__(self):
        return 1

    def __neg__(self):
        return -self.n

    def __repr__(self):
        return f"Model({self.n})"

    def __format__(self, spec):
        return f"{self.n}{spec}"


class Sub(Model):
    bias = 5

    def run(self, x):
        return super().run(x) + 1


class Dynamic:
    def __init__(self):
        self.a = 1

    def __getattr__(self, name):
        if name.startswith("q"):
            return len(name) + self.a
        raise AttributeError(name)


class Watched:
    def __init__(self):
        object.__setattr__(self, "sets", 0)

    def __setattr__(self, name, value):
        object.__setattr__(self, "sets", self.sets + 1)
        object.__setattr__(self, name, value)


class Doubling:
    def __get__(self, instance, owner=None):
        return instance.base * 2

    def __set__(self, instance, value):
        instance.base = value


class Described:
    doubled = Doubling()

    def __init__(self):
        self.base = 3


class Slotted:
    __slots__ = ("a", "missing", "w")

    def __init__(self):
        self.a = 1
        self.w = V


class Counting:
    def __init__(self, stop):
        self.stop = stop

    def __iter__(self):
        yield from range(self.stop)


class Mode(enum.Enum):
    FAST = 1
    SLOW = 2


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 3


class Option(enum.Flag):
    ONE = 1
    TWO = 2


class Number(float):
    def __mul__(self, other):
        return other * 100


Point = collections.namedtuple("Point", "x y", defaults=(0,))


@dataclasses.dataclass
class Config:
    lr: float = 0.1
    steps: int = 2
    tags: list = dataclasses.field(default_factory=lambda: [1])

    def total(self):
        return self.lr * self.steps


@dataclasses.dataclass(frozen=True, order=True)
class Frozen:
    a: int = 1
    b: float = 2.0


@dataclasses.dataclass(slots=True)
class Compact:
    a: int = 1
    w: object = None


O = Model()
O2 = Model(3)
SUB = Sub()
OS = [O2, O]
DYN = Dynamic()
WATCHED = Watched()
DESCRIBED = Described()
S = Slotted()
COUNTING = Counting(3)
MODE = Mode.FAST
LEVEL = Level.LOW
OPTION = Option.ONE
NUMBER = Number(2.0)
PT = Point(1, 2.0)
CFG = Config()
FZ = Frozen()
CP = Compact(2, V2)


def helper(x, k=2, *rest, s=1.0):
    return x * k + s + len(rest)


def helper_b(x, k=3, *rest, s=2.0):
    return x - k * s


def pick(x, default=[1]):  # noqa: B006
    default.append(len(default))
    return x + len(default)


def recurse(x, depth):
    return x if depth <= 0 else recurse(x + 1, depth - 1)


def numbers(stop):
    for value in range(stop):  # noqa: UP028
        yield value


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        LOG.append(function.__name__)
        return function(*args, **kwargs)

    return wrapper


def checked(x, limit):
    if float(x.sum()) > limit:
        raise ValueError(f"more than {limit}")
    return x


def total(*args, **kwargs):
    return sum(args) + len(kwargs)


def my_len(value):
    return 7


def add_n(n):
    return lambda x: x + n


@contextlib.contextmanager
def scaled(value):
    LOG.append(value)
    yield value
    LOG.append(-1)


@functools.cache
def remembered(key):
    return key + A


decorated = logged(helper)
partial = functools.partial(helper, k=4)
adders = [add_n(1), add_n(2)]
table = {"h": helper, "b": helper_b}
inner = tj.compile(helper)
bound = O.run
helper.calls = 0
ITER = iter([1, 2, 3, 4, 5, 6])
GENERATOR = (value for value in range(10))
STATE_DICT = {"step": 0, "ema": tj.zeros(3)}
OPT = tj.optim.SGD([P, P2], lr=0.1, momentum=0.5)
NET = tj.nn.Sequential(tj.nn.Linear(3, 2), tj.nn.ReLU())
with tj.no_grad():
    for place, parameter in enumerate(NET.parameters()):
        parameter.copy_(tj.arange(parameter.size).reshape(parameter.shape) * 0.25 - place)
