"""Keys, membership, order and indices: what native code asks of objects."""

# ruff: noqa: B007  # a loop variable is state that the compiled function reads; long results
import enum
from collections import namedtuple

from tests.tracing.torture.harness import attempt, case, thrice, vector
from tracejit import nn


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


@case
def tuple_of_state_as_a_key(compile):
    state = Box(key=(1, 2))

    @compile
    def f(x):
        table = {(1, 2): 2.0, (3, 4): 5.0}
        return (x * table[state.key], state.key in table, table.get(state.key))

    for state.key in thrice((1, 2), (3, 4)):
        yield f(vector())


@case
def named_tuple_of_state_as_a_key(compile):
    P = namedtuple("P", "a b")
    state = Box(key=P(1, 2))

    @compile
    def f(x):
        return x * {(1, 2): 2.0, (3, 4): 5.0}[state.key]

    for state.key in thrice(P(1, 2), P(3, 4)):
        yield f(vector())


@case
def frozenset_of_state_as_a_key(compile):
    state = Box(key=frozenset([1]))

    @compile
    def f(x):
        return x * {frozenset([1]): 2.0, frozenset([2]): 5.0}[state.key]

    for state.key in thrice(frozenset([1]), frozenset([2])):
        yield f(vector())


@case
def objects_told_apart_in_new_containers(compile):

    @compile
    def f(a, b):
        return a in [b] if False else (len({a, b}), b in {a: 1}, [a] == [b])

    a, b = (Box(), Box())
    for p in [(a, b)] * 3 + [(a, a)] * 3 + [(b, a)] * 2:
        yield f(*p)


@case
def tensors_told_apart_in_new_containers(compile):

    @compile
    def f(a, b):
        return (len({a, b}), b in {a: 1}, a * 2)

    a, b = (vector(), vector())
    for p in [(a, b)] * 3 + [(a, a)] * 3 + [(b, a)] * 2:
        yield f(*p)


@case
def key_looked_up_after_another_was_written(compile):
    state = {}

    @compile
    def f(a, b):
        state[a] = 1
        return (b in state, a * 2)

    a, b = (vector(), vector())
    for p in [(a, b)] * 3 + [(a, a)] * 3:
        state.clear()
        yield f(*p)


@case
def hash_of_a_class_is_called_as_often(compile):
    count = Box(n=0)

    class K:
        def __hash__(self):
            count.n += 1
            return 1

        def __eq__(self, o):
            return True

    @compile
    def f(x):
        d = {}
        d[K()] = 2.0
        return (x * d[K()], x * d.get(K()), K() in d)

    for k in range(5):
        yield (f(vector()), count.n)


@case
def membership_in_a_list_that_holds_itself(compile):
    loop = [1]
    loop.append(loop)

    @compile
    def f(x):
        return (1 in loop, x)

    for _ in range(3):
        yield f(vector())[1]


@case
def members_of_enums_as_keys(compile):

    class E(enum.Enum):
        A = 1
        B = 2

    table = {E.A: 1.0, E.B: 2.0}
    state = Box(e=E.A)

    @compile
    def f(x):
        return (
            x * table[state.e],
            {E.A: 3, E.B: 4}[state.e],
            state.e in {E.A},
            state.e in table,
            table.get(state.e),
        )

    for state.e in thrice(E.A, E.B):
        yield f(vector())
    for table[E.B] in thrice(3.0, 4.0):
        yield f(vector())

    class H(enum.Enum):
        A = 1

        def __hash__(self):
            return int(table[E.B])

    @compile
    def g(x):
        return ({H.A: 1}[H.A], x)

    for table[E.B] in thrice(3.0, 4.0):
        yield g(vector())


@case
def modules_as_keys(compile):
    a, b = (nn.Linear(3, 3), nn.Linear(3, 3))
    state = Box(m=a)
    seen = {a: 2.0, b: 3.0}

    @compile
    def f(x):
        return (
            x * seen[state.m],
            state.m in seen,
            {state.m: 1}.get(a),
            [state.m].count(a),
            state.m == a,
        )

    for state.m in thrice(a, b, a):
        yield f(vector())


@case
def order_that_a_class_defines(compile):
    order = 1

    class V:
        def __init__(self, k):
            self.k = k

        def __lt__(self, o):
            return (self.k < o.k) == (order == 1)

    vs = [V(2), V(1), V(3)]

    @compile
    def f(x):
        l = list(vs)
        l.sort()
        return (
            [v.k for v in sorted(vs)],
            min(vs).k,
            l[0].k,
            sorted([(v, 1) for v in vs])[0][0].k,
            x,
        )

    for order in thrice(1, 2):
        yield f(vector())


@case
def objects_that_are_indices(compile):
    q = 1

    class V:
        def __index__(self):
            return q

    v = V()
    s = slice(v, None)

    @compile
    def f1(x):
        return x[v:]

    @compile
    def f2(x):
        return x[s]

    @compile
    def f3(x):
        return ([1, 2, 3][s], [1, 2, 3][v:])

    @compile
    def f4(x):
        l = [1, 2, 3]
        l[v] = 5
        del l[v:]
        return l

    @compile
    def f5(x):
        x[v:] = 0
        return (x, x[0,] if False else 1)

    for q in thrice(1, 2):
        yield [attempt(f, vector()) for f in (f1, f2, f3, f4, f5)]
