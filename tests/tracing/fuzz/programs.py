"""Random programs: statements on locals and on state, branches, loops, writes through views, random draws, exceptions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import count
from random import Random

from tests.tracing.fuzz.harness import Case, gives_results

CALLS_PER_CASE = 40
CHANGES = 0.25
"""How often the world is changed before a call."""
USUAL = 6
"""How many changes recur in one case."""
DEEPEST = 3

HEAD = """\
import tracejit as tj

N = 3
LIMIT = 12.0
RATE = 0.5
FLAG = True
COUNT = 0
LOG = []
NUMBERS = [1, 2, 3]
CONF = {"k": 2, "r": 0.5}
X = tj.tensor([1.0, -2.0, 3.0])
Y = tj.tensor([0.5, 4.0, -1.0])
Z = tj.tensor([2.0, 0.0, 1.5])
ITEMS = [X, Y, Z]
TABLE = {"a": Y, "b": Z}
GEN = tj.random.Generator(0)
"""

CELL = """\
class Cell:
    rate = 0.25

    def __init__(self, n=1):
        self.n = n
        self.lr = 0.5
        self.w = tj.tensor([0.5, 1.0, -1.5])
        self.v = self.w
        self.items = [self.w, tj.tensor([1.0, 1.0, 2.0])]
        self.table = {"m": tj.zeros(3)}
        self.link = None
"""

TAIL = """\
S = Cell()
R = Cell(2)
R.link = S


def resize(n):
    global X, Y, Z, ITEMS, TABLE
    X, Y, Z = (tj.arange(float(n)) * a + b for a, b in [(-1.5, 1.0), (0.75, -0.5), (0.5, 2.0)])
    ITEMS = [X, Y, Z]
    TABLE = {"a": Y, "b": Z}
    for cell in (S, R):
        cell.w = tj.arange(float(n)) - 1
        cell.v = cell.w
        cell.items = [cell.w, tj.ones(n)]
        cell.table = {"m": tj.zeros(n)}
"""

MUTATIONS = """
N = 2
N = 3
N = 4
N = 0
N = 3.0
N = True
LIMIT = 12.0
LIMIT = 30.0
LIMIT = 5
LIMIT = float("nan")
RATE = 0.5
RATE = 1
RATE = -0.25
RATE = -0.0
RATE = 1.0
FLAG = True
FLAG = False
FLAG = 0
COUNT = 0
COUNT = 2
COUNT = 0.0
LOG.clear()
LOG = []
NUMBERS = [1, 2, 3]
NUMBERS = [2, 1]
NUMBERS[0] = 2.0
NUMBERS[1] = 0
NUMBERS.append(1)
NUMBERS.reverse()
CONF = {"k": 2, "r": 0.5}
CONF = {"r": 0.5, "k": 2}
CONF["k"] = 3
CONF["r"] = 2
CONF["new"] = 1
del CONF["r"]
X = tj.tensor([1.0, -2.0, 3.0])
X = tj.tensor([2.0, 2.0, -0.5])
X = X + 1
X = Y
X[0] = 4.0
X[1] = float("nan")
X.mul_(0.5)
X = X.astype(tj.float64)
X = tj.tensor([1, 2, 3])
X = tj.tensor([1.5])
X = ITEMS[0]
Y = tj.tensor([0.5, 4.0, -1.0])
Y = tj.tensor([6.0, -0.0, 1.0])[::-1]
Y = -Y
Y = S.w
Y.add_(1)
Z = tj.tensor([2.0, 0.0, 1.5])
Z = S.w[:]
Z.copy_(X)
ITEMS = [X, Y, Z]
ITEMS = [X, X, Y]
ITEMS = [Z, Y]
ITEMS[0] = tj.tensor([3.0, 1.0, 0.0])
ITEMS[0] = ITEMS[1]
ITEMS[1] = S.w
ITEMS.append(Y)
ITEMS.reverse()
ITEMS[0].add_(1)
del ITEMS[3:]
TABLE = {"a": Y, "b": Z}
TABLE = {"b": Y, "a": X}
TABLE["a"] = TABLE["b"]
TABLE["c"] = X
TABLE["a"] = tj.ones(3)
TABLE["a"][0] = 5.0
GEN.seed(1)
GEN = tj.random.Generator(2)
GEN.random((2,))
S = Cell()
S = R
S.n = 1
S.n = 2
S.n = 1.0
S.n = True
S.lr = 0.5
S.lr = 0.25
S.lr = 2
S.w = tj.tensor([0.5, 1.0, -1.5])
S.w = X
S.w = R.w
S.w = S.v
S.w[0] = 2.0
S.v = S.w
S.v = S.w[::-1]
S.v = tj.tensor([1.0, 0.0, 2.0])
S.items = [S.w, X]
S.items[0] = Y
S.items.reverse()
S.items.append(Z)
del S.items[2:]
S.table = {"m": tj.zeros(3)}
S.table["m"] = S.w
S.link = R
S.link = S
S.link = None
R = Cell(2)
R.n = 3
R.w = S.w
R.w = tj.tensor([4.0, 1.0, 0.0])
R.link = None
R.link = S
R, S = S, R
Cell.rate = 0.25
Cell.rate = 1
S.rate = 2.0
Cell.step = Cell.peek
Cell.peek, Cell.step = Cell.step, Cell.peek
helper_0 = helper_2
helper_1 = helper_2
helper_1 = helper_0
helper_1.__defaults__ = (2,)
helper_0.__defaults__ = (RATE,)
if isinstance(LAST, tj.Tensor): LAST.mul_(0.5)
if isinstance(LAST, tj.Tensor) and LAST.shape == (3,): X = LAST
if isinstance(LAST, tuple) and isinstance(LAST[0], tj.Tensor): LAST[0].add_(1)
if isinstance(LAST, dict): LAST["t"].add_(1)
if isinstance(LAST, list): LAST.append(1)
"""
RESIZING = ("resize(3)", "resize(4)", "resize(5)", "resize(7)")
"""In some cases all vectors are of other sizes now and then."""
CALLS = (
    "f(X, 2)", "f(X, 2)", "f(X, 2)", "f(X, 2)", "f(X, 2)", "f(X, 2)", "f(Y, 2)", "f(X, 0.5)", "f(X, RATE)", "f(S.w, 2)",
    "f(ITEMS[0], N)", "f(X, n=3)", "f(X)", "f(X + 1, 2)", "f(a=X)", "f(X, S.n)", "f(X, 2.0)", "f(X, True)", "f(X[:], 2)",
)  # fmt: skip


def case(seed: int, *, loops: bool = False, engine: str = "compiled") -> Case:
    """The program and the changes of its world that `seed` chooses; `loops` makes most statements loops on data."""
    return replace(_program(seed, loops)[0], engine=engine)


def kinds(seed: int, *, loops: bool = False) -> Counter[str]:
    """How often each kind of statement stands in the program of this seed."""
    return _program(seed, loops)[1]


@lru_cache
def _program(seed: int, loops: bool) -> tuple[Case, Counter[str]]:
    """The first program of this seed that gives results."""
    for attempt in count():
        rnd = Random(f"{seed} {loops} {attempt}")
        text, counts = source(rnd, loops=loops)
        made = Case(text, tuple(_steps(rnd)), "numpy")
        if gives_results(made):
            break
    return made, counts


def source(rnd: Random, *, loops: bool) -> tuple[str, Counter[str]]:
    """A module, and the kinds of its statements."""
    counts: Counter[str] = Counter()
    parts = [HEAD, CELL]
    for signature, calls in SIGNATURES:
        writer = Writer(rnd, loops=loops, calls=calls, is_main=signature.startswith("def f("))
        body = writer.function(signature)
        counts += writer.kinds
        if "self" in signature:
            parts[1] += "\n" + _indented(body)
        else:
            parts.append(body)
    return "\n\n".join([*parts, TAIL]), counts


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" if line else "\n" for line in text.splitlines())


SIGNATURES = (
    ("def step(self, a, n=1):", ()),
    ("def peek(self, a, n=2):", ()),
    ("def helper_2(a, n=1.5):", ()),
    ("def helper_0(a, n=1):", ("{o}.step({v}, {n})", "{o}.peek({v})")),
    ("def helper_1(a, n=2):", ("{o}.peek({v}, n={n})", "helper_0({v}, {n})")),
    (
        "def f(a, n=1):",
        ("helper_0({v}, {n})", "helper_1({v})", "helper_1({v}, n={n})", "{o}.step({v}, {n})", "{o}.peek({v})"),
    ),
)  # fmt: skip
"""The functions of a module, and what each of them calls."""


def _steps(rnd: Random) -> Iterator[str]:
    """Few calls and changes, which recur, so that calls meet states that they have met; now and then there are others."""
    changes = MUTATIONS.strip().splitlines()
    usual_changes, usual_calls = rnd.sample(changes, USUAL), rnd.choices(CALLS, k=2)
    if rnd.random() < 0.5:
        usual_changes[:2] = rnd.sample(RESIZING, 2)
    for _ in range(CALLS_PER_CASE):
        while rnd.random() < CHANGES:
            yield rnd.choice(usual_changes if rnd.random() < 0.85 else changes)
        yield rnd.choice(usual_calls if rnd.random() < 0.85 else CALLS)


@dataclass
class Scope:
    """Names by what they hold: vectors of 3 elements, parts of vectors, 0-d tensors, numbers; and numbers that may be set."""

    vectors: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    scalars: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    variables: list[str] = field(default_factory=list)

    def copy(self) -> Scope:
        return Scope(*(list(names) for names in vars(self).values()))


class Writer:
    """Writes one function."""

    def __init__(self, rnd: Random, *, loops: bool, calls: tuple[str, ...], is_main: bool) -> None:
        self.rnd = rnd
        self.calls = calls
        self.is_main = is_main
        self.kinds: Counter[str] = Counter()
        self.lines: list[str] = []
        self.scope = Scope(vectors=["a"], numbers=["n"], variables=["n"])
        self.depth = 0
        self.loop_depth = 0
        self.budget = rnd.randint(6, 16) if is_main else rnd.randint(1, 4)
        self.names = 0
        self.weights = [
            weight * (5 if loops and name.startswith("while") else 1)
            for name, weight in STATEMENTS.items()
        ]

    def function(self, signature: str) -> str:
        self.line(signature)
        with self.block():
            self.line("global COUNT, LOG")
            while self.budget > 0:
                self.statement()
            self.result()
        return "\n".join(self.lines) + "\n"

    # Lines

    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    @contextmanager
    def block(self) -> Iterator[None]:
        """Names that are made inside are not used after it."""
        outer = self.scope
        self.scope = outer.copy()
        self.depth += 1
        yield
        self.depth -= 1
        self.scope = outer

    @contextmanager
    def loop(self) -> Iterator[None]:
        self.loop_depth += 1
        with self.block():
            yield
        self.loop_depth -= 1

    def body(self, most: int = 3) -> None:
        for _ in range(self.rnd.randint(1, most)):
            self.statement()

    def statement(self) -> None:
        self.budget -= 1
        kind = self.rnd.choices(list(STATEMENTS), self.weights)[0]
        if kind in COMPOUND and self.depth > DEEPEST:
            kind = "set_vector"
        self.kinds[kind] += 1
        getattr(self, kind)()

    def name(self, prefix: str) -> str:
        self.names += 1
        return f"{prefix}{self.names}"

    def some(self, *texts: str) -> str:
        return self.rnd.choice(texts)

    # Expressions

    def vector(self, depth: int = 2) -> str:
        if depth == 0 or self.rnd.random() < 0.3:
            return self.some(*self.scope.vectors, *self.scope.vectors, *VECTORS, self.row())
        v, w, n = self.vector(depth - 1), self.vector(depth - 1), self.number(1)
        forms = [
            f"({v} + {w})", f"({v} - {w})", f"({v} * 0.5)", f"({v} * {n})", f"({n} - {v})", f"({v} + {n})", f"({v} / 2)",
            f"(-{v})",
            f"tj.maximum({v}, {n})", f"tj.minimum({v}, {w})", f"tj.where({v} > {n}, {v}, {w})", f"{v}.abs()", f"{v}[::-1]",
            f"tj.clip({v}, -20, 20)", f"({v} * {self.scalar(0)})", f"{v}.copy()", f"({v} if {self.condition(0)} else {w})",
            f"tj.sqrt({v}.abs())", f"(({v} > {w}) * {v})", f"tj.sort({v})", f"{v}.astype(tj.float64)", f"tj.zeros_like({v})",
        ]  # fmt: skip
        if self.calls and self.rnd.random() < 0.15:
            return self.call()
        return self.rnd.choice(forms)

    def row(self) -> str:
        place = self.rnd.randint(-1, 1)
        return self.some(
            f"ITEMS[{place}]",
            f"S.items[{place}]",
            'TABLE["a"]',
            'TABLE.get("c", Y)',
            'S.table["m"]',
        )

    def scalar(self, depth: int = 1) -> str:
        if self.scope.scalars and self.rnd.random() < 0.4:
            return self.rnd.choice(self.scope.scalars)
        v = self.vector(depth)
        return self.some(
            f"{v}.sum()", f"{v}.max()", f"{v}[{self.rnd.randint(-2, 1)}]", f"({v} * {v}).sum()"
        )

    def number(self, depth: int = 2) -> str:
        if depth == 0 or self.rnd.random() < 0.5:
            return self.some(*self.scope.numbers, *NUMBERS)
        m, n = self.number(depth - 1), self.number(depth - 1)
        return self.some(
            f"({m} + {n})", f"({m} - {n})", f"({m} * 0.5)", f"min({m}, {n})", f"max({m}, {n}, 0)", f"(({m}) % 3)",
            f"float({self.scalar(0)})", f"{self.vector(0)}.shape[0]", f"({m} if {self.condition(0)} else {n})",
            f"(sum(NUMBERS) + {m})", f"abs({m})", f"int(tj.clip({self.scalar(0)}, -9, 9))", f'CONF.get("new", {m})',
        )  # fmt: skip

    def condition(self, depth: int = 1) -> str:
        v, s, m, n = self.vector(0), self.scalar(0), self.number(0), self.number(0)
        simple = [
            f"{m} < {n}", f"{m} == {n}", "FLAG", "not FLAG", f"0 <= {m} < N", f"{s} > {n}", f"float({s}) < {m}",
            f"({v} > {n}).any()", f"bool(({v} < LIMIT).all())", f"S.w is {v}", "S.link is None", "S.link and S.link.n > 1",
            f"len(ITEMS) > {n}", "COUNT % 3 == 0", f"{n} in NUMBERS", '"c" in TABLE', f"isinstance({n}, int)",
            'hasattr(S, "extra")', "len(LOG) < 3", "S is R",
        ]  # fmt: skip
        if depth and self.rnd.random() < 0.25:
            return f"{self.condition(0)} {self.some('and', 'or')} {self.condition(0)}"
        return self.rnd.choice(simple)

    def place(self) -> str:
        """What can be assigned a vector; not all of it is there before."""
        return self.some(*PLACES, 'TABLE["c"]', "S.extra")

    def call(self) -> str:
        form = self.rnd.choice(self.calls)
        return form.format(o=self.some("S", "R"), v=self.vector(1), n=self.number(1))

    # Statements on locals

    def set_vector(self) -> None:
        name = self.name("t")
        self.line(f"{name} = {self.vector()}")
        self.scope.vectors.append(name)

    def reset_vector(self) -> None:
        self.line(f"{self.rnd.choice(self.scope.vectors)} = {self.vector()}")

    def set_scalar(self) -> None:
        name = self.name("s")
        self.line(f"{name} = {self.scalar()}")
        self.scope.scalars.append(name)

    def set_number(self) -> None:
        name = self.name("n")
        self.line(f"{name} = {self.number()}")
        self.scope.numbers.append(name)
        self.scope.variables.append(name)

    def reset_number(self) -> None:
        name = self.rnd.choice(self.scope.variables)
        self.line(
            self.some(f"{name} += 1", f"{name} = {self.number()}", f"{name} -= {self.number(0)}")
        )

    def alias(self) -> None:
        name = self.name("t")
        self.line(f"{name} = {self.vector(0)}")
        self.scope.vectors.append(name)

    def view(self) -> None:
        name = self.name("p")
        self.line(f"{name} = {self.vector(0)}{self.some('[1:]', '[:2]', '[::2]', '[0:1]', '[:1]')}")
        self.scope.parts.append(name)

    def local_list(self) -> None:
        items, last = self.name("l"), self.name("t")
        self.line(f"{items} = [{self.vector(1)}, {self.vector(0)}]")
        if self.rnd.random() < 0.5:
            self.line(f"{items}.append({self.vector(1)})")
        self.line(
            self.some(f"{last} = {items}[-1]", f"{last}, *_ = {items}", f"{last} = {items}.pop()")
        )
        self.scope.vectors.append(last)

    def comprehension(self) -> None:
        name = self.name("t")
        form = self.some(
            "[v * 2 for v in ITEMS][0]", "sum([v for v in S.items])", "[u + v for u, v in zip(ITEMS, S.items)][-1]",
            "{k: v * n for k, v in TABLE.items()}[\"a\"]", "[v for v in ITEMS if float(v[0]) > 0 or v is X or True][0]",
            "sum(k * v for k, v in zip(NUMBERS, ITEMS))", "max(ITEMS, key=lambda v: float(v[0]))",
        )  # fmt: skip
        self.line(f"{name} = {form}")
        self.scope.vectors.append(name)

    def inner_function(self) -> None:
        function, name = self.name("g"), self.name("t")
        self.line(f"def {function}(v, k={self.number(0)}):")
        with self.block():
            self.scope.vectors.append("v")
            self.line(f"return {self.vector(1)} + k")
        self.line(f"{name} = {function}({self.vector(0)})")
        self.scope.vectors.append(name)

    def call_function(self) -> None:
        name = self.name("t")
        self.line(f"{name} = {self.call() if self.calls else self.vector()}")
        self.scope.vectors.append(name)

    def random_draw(self) -> None:
        name = self.name("t")
        form = self.some(
            "GEN.random(a.shape)", "GEN.normal(a.shape)", "GEN.random(a.shape) * n", "GEN.integers(5, shape=a.shape) * 1.0",
            f"{self.vector(0)} * (GEN.random(a.shape) > RATE)",
        )  # fmt: skip
        self.line(f"{name} = {form}")
        self.scope.vectors.append(name)

    # Statements on state

    def write_in_place(self) -> None:
        v = self.vector(0)
        forms = [
            f"{v}.add_({self.number(1)})", f"{v}.mul_(0.5)", f"{v}.copy_({self.vector(1)})", f"{v}[0] = {self.number(1)}",
            f"{v}[1:] = {self.scalar(1)}", f"{v}[:2] += {self.number(0)}", f"{v}.sub_({self.vector(1)})", f"{v}.zero_()",
            f"{v}[{v} > 3] = {self.number(0)}", f"{v}[1:] = {v}[:-1]",
        ]  # fmt: skip
        for part in self.scope.parts:
            forms += [
                f"{part} += {self.number(1)}",
                f"{part}.mul_(2)",
                f"{part}[0] = {self.number(0)}",
            ]
        self.line(self.rnd.choice(forms))

    def augment(self) -> None:
        target = self.rnd.choice([*self.scope.vectors, self.rnd.choice(PLACES)])
        self.line(
            f"{target} {self.some('+=', '-=', '*=')} {self.rnd.choice((self.number(0), self.vector(1)))}"
        )

    def store(self) -> None:
        self.line(f"{self.place()} = {self.vector()}")

    def store_and_keep(self) -> None:
        name = self.name("t")
        self.line(f"{name} = {self.vector()}")
        self.line(f"{self.place()} = {name}")
        if self.rnd.random() < 0.5:
            self.line(f"{self.place()} = {name}{self.some('', '[::-1]', '[:]')}")
        self.scope.vectors.append(name)

    def store_number(self) -> None:
        value = f"({self.number()}) % 7"
        self.line(
            self.some(
                "S.n += 1", f"S.n = {value}", f"S.lr = {value}", "S.lr *= 0.5", "COUNT += 1", f"COUNT = {value}",
                f"NUMBERS[0] = {value}", "NUMBERS[-1] += 1", f'CONF["k"] = {value}', f'CONF["new"] = {value}', "R.n -= 1",
                "S.n, R.n = R.n, S.n", "S.items[0], S.items[1] = S.items[1], S.items[0]",
            )
        )  # fmt: skip

    def append(self) -> None:
        v = self.vector(1)
        self.line(
            self.some(
                f"LOG.append({self.number(1)})", f"LOG.append({v})", f"if len(ITEMS) < 6: ITEMS.append({v})",
                f"if len(S.items) < 5: S.items.append({v})", "if len(ITEMS) > 3: ITEMS.pop()", "LOG = LOG[-2:]",
                "del LOG[:-3]", 'TABLE.pop("c", None)', f"LOG.extend([{v}, n])", f'TABLE.setdefault("c", {v})',
            )
        )  # fmt: skip

    def new_object(self) -> None:
        name = self.name("o")
        self.line(f"{name} = Cell({self.number(0)})")
        self.line(f"{name}.w = {self.vector(1)}")
        self.line(
            self.some(
                f"S.link = {name}", f"R.link = {name}", f"{name}.link = S", f"{name}.w.add_(1)"
            )
        )
        self.scope.vectors.append(f"{name}.w")

    # Branches

    def if_number(self) -> None:
        self.line(f"if {self.condition(1)}:")
        self._branches()

    def if_tensor(self) -> None:
        s, n = self.scalar(), self.number(1)
        self.line(
            f"if {self.some(f'float({s}) > {n}', f'{s} < {n}', f'bool(({self.vector()} > {n}).any())')}:"
        )
        self._branches()

    def _branches(self) -> None:
        with self.block():
            self.body()
        if self.rnd.random() < 0.2:
            self.line(f"elif {self.condition(1)}:")
            with self.block():
                self.body(2)
        if self.rnd.random() < 0.5:
            self.line("else:")
            with self.block():
                self.body(2)

    def return_early(self) -> None:
        self.line(f"if {self.condition(1)}:")
        with self.block():
            self.result()

    def raise_sometimes(self) -> None:
        error = self.some(
            "ValueError(n)", 'KeyError(f"{COUNT}")', f"RuntimeError(float({self.scalar(0)}))"
        )
        self.line(f"if {self.condition(1)}:")
        with self.block():
            self.line(f"raise {error}")

    def try_and_catch(self) -> None:
        self.line("try:")
        with self.block():
            self.body(2)
            self.rnd.choice((self.raise_sometimes, self.read_missing, self.call_function))()
        self.line(
            f"except {self.some('ValueError', '(KeyError, ValueError, IndexError)', 'Exception')} as error:"
        )
        with self.block():
            self.line(f"LOG.append({self.some('str(error)', 'type(error).__name__', '1')})")
            self.body(1)
        for clause in self.rnd.sample(("else:", "finally:"), self.rnd.randint(0, 1)):
            self.line(clause)
            with self.block():
                self.body(1)

    def read_missing(self) -> None:
        name = self.name("t")
        missing = self.some("ITEMS[4]", 'TABLE["zz"]', "S.extra", "S.link.w", "S.items[3]")
        self.line(f"{name} = {missing}")
        self.scope.vectors.append(name)

    # Loops

    def for_range(self) -> None:
        name = self.name("i")
        self.line(
            f"for {name} in range({self.some('2', '3', 'N', 'len(ITEMS)', 'S.n % 4', '1, 3')}):"
        )
        with self.loop():
            self.scope.numbers.append(name)
            self.body()
            self._leave()
        self._otherwise()

    def for_list(self) -> None:
        v, k = self.name("t"), self.name("i")
        head, numbers, vectors = self.rnd.choice((
            (f"{v} in ITEMS", [], [v]), (f"{v} in S.items", [], [v]), (f"{k} in NUMBERS", [k], []),
            (f"{k}, {v} in enumerate(ITEMS)", [k], [v]), (f"{k}, {v} in zip(NUMBERS, S.items)", [k], [v]),
            (f"{k}, {v} in TABLE.items()", [], [v]), (f"{k} in CONF.values()", [k], []), (f"{v} in [a, X, S.w]", [], [v]),
        ))  # fmt: skip
        self.line(f"for {head}:")
        with self.loop():
            self.scope.numbers += numbers
            self.scope.vectors += vectors
            self.body()
            self._leave()
        self._otherwise()

    def while_counted(self) -> None:
        k = self.name("k")
        self.line(f"{k} = 0")
        self._while(f"{k} < N and {self.condition(0)}", f"{k} += 1", k)

    def while_doubling(self) -> None:
        s = self.name("s")
        self.line(f"{s} = {self.vector(1)}.abs().sum() + 1")
        test = self.some(f"{s} < LIMIT", f"float({s}) < LIMIT", f"bool(({s} < 9).any())")
        self._while(test, self.some(f"{s} = {s} * 2", f"{s} = {s} + {s}", f"{s} = 1.5 * {s} + 1"))

    def while_shrinking(self) -> None:
        t = self.name("t")
        self.line(f"{t} = tj.clip({self.vector(1)}, -30, 30)")
        test = self.some(
            f"float({t}.abs().max()) > 2", f"({t}.abs() > 2).any()", f"({t} * {t}).sum() > 9"
        )
        self.scope.vectors.append(t)
        shrink = self.some(
            f"{t} = {t} * 0.5", f"{t}, old = {t} / 2, {t}", f"{t} = ({t} - {t} * 0.5)"
        )
        self._while(test, shrink, hidden=t)

    def while_with_break(self) -> None:
        k = self.name("k")
        self.line(f"{k} = 0")
        self.line("while True:")
        with self.loop():
            self.line(f"{k} += 1")
            self.line(f"if {k} > N or {self.condition(0)}: break")
            self.scope.numbers.append(k)
            self.body()
            self._leave()

    def while_tensor_counter(self) -> None:
        j = self.name("j")
        self.line(f"{j} = tj.tensor(0)")
        self._while(
            f"{j} < {self.some('N', '3', 'S.n % 4')}", self.some(f"{j} = {j} + 1", f"{j} += 1")
        )

    def while_collatz(self) -> None:
        m = self.name("m")
        self.line(f"{m} = abs(int(tj.clip({self.scalar()}, 0, 8))) + 1")
        self._while(f"{m} != 1", f"{m} = {m} // 2 if {m} % 2 == 0 else 3 * {m} + 1", m)

    def while_items(self) -> None:
        i = self.name("i")
        items = self.some("ITEMS", "S.items", "NUMBERS")
        self.line(f"{i} = 0")
        self._while(f"{i} < len({items}) and {i} < 6", f"{i} += 1", i)

    def while_error(self) -> None:
        """Newton's iteration for a square root, until it moves no more."""
        t, e = self.name("t"), self.name("e")
        self.line(f"{t} = tj.clip({self.vector(1)}.abs(), 1, 20)")
        self.line(f"{e} = 1.0")
        step = f"{t}, {e} = ({t} + 4 / {t}) / 2, {e} * 0.5"
        self._while(f"{e} > {self.some('0.1', '0.01', 'max(RATE, 0.1)')}", step, e)
        self.scope.vectors.append(t)

    def _while(self, test: str, advance: str, number: str | None = None, hidden: str = "") -> None:
        """`advance` comes first, so that no `continue` skips it; its variable is not set by the body."""
        vectors = [name for name in self.scope.vectors if name != hidden]
        self.line(f"while {test}:")
        with self.loop():
            self.scope.vectors = vectors
            self.line(advance)
            self.scope.numbers += [number] if number else []
            self.body()
            self._leave()
        self._otherwise()

    def _leave(self) -> None:
        if self.rnd.random() < 0.25:
            self.line(f"if {self.condition(0)}: {self.some('break', 'continue')}")
            if self.rnd.random() < 0.5:
                self.statement()

    def _otherwise(self) -> None:
        if self.rnd.random() < 0.1:
            self.line("else:")
            with self.block():
                self.body(1)

    # The end

    def result(self) -> None:
        v, w = self.vector(1), self.vector(0)
        if not self.is_main:
            self.line(f"return {v}")
            return
        self.line(
            self.some(
                f"return {v}", f"return {v}", f"return {w}", f"return ({v}, {self.number()})", f"return [{v}, {w}]",
                f'return {{"t": {v}, "n": {self.number(1)}}}', f"return ({w}, {w})", f"return ({v}, {self.row()}, S.w)",
                f"return float({self.scalar()})", f"return (ITEMS[0], [{w}], COUNT)", "return S.w", "return (S.n, LOG[-1:])",
            )
        )  # fmt: skip


PLACES = ("S.w", "S.v", "R.w", "ITEMS[0]", "ITEMS[-1]", 'TABLE["a"]', 'S.table["m"]', "S.items[0]")
VECTORS = ("X", "Y", "Z", "S.w", "S.v", "R.w")
NUMBERS = (
    "0", "1", "2", "0.5", "-1", "1.5", "N", "RATE", "COUNT", "S.n", "S.lr", "R.n", "S.rate", "len(ITEMS)", "NUMBERS[0]",
    "NUMBERS[-1]", 'CONF["k"]', 'CONF.get("r", 1)', "LIMIT", "len(LOG)",
)  # fmt: skip
STATEMENTS: dict[str, float] = {
    "set_vector": 6, "reset_vector": 3, "set_scalar": 2, "set_number": 3, "reset_number": 2, "alias": 2, "view": 2,
    "local_list": 1, "comprehension": 1.5, "inner_function": 1, "call_function": 3, "random_draw": 1.5, "write_in_place": 4,
    "augment": 3, "store": 3, "store_and_keep": 2, "store_number": 4, "append": 2, "new_object": 0.7, "if_number": 3,
    "if_tensor": 3, "return_early": 1, "raise_sometimes": 0.5, "try_and_catch": 1.2, "read_missing": 0.05, "for_range": 1.2,
    "for_list": 1.5, "while_counted": 0.5, "while_doubling": 0.5, "while_shrinking": 0.5, "while_with_break": 0.4,
    "while_tensor_counter": 0.4, "while_collatz": 0.3, "while_items": 0.3, "while_error": 0.3,
}  # fmt: skip
"""The methods of Writer that write a statement, and how often each is chosen."""
COMPOUND = frozenset(
    name
    for name in STATEMENTS
    if name.startswith(("if_", "for_", "while_", "try_", "inner_", "return_", "raise_"))
)
