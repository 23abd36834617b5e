"""Lists, tuples, dicts and sets, read and written."""

# ruff: noqa: B007  # a loop variable is state that the compiled function reads

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque, namedtuple

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, matrix, thrice, vector

Point = namedtuple("Point", "x y")


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


@case
def namedtuple_(compile):
    @compile
    def f(p):
        return Point(p.x + 1, p.y), p._replace(y=0)

    for p in thrice(Point(vector(), 1), Point(1, vector())):
        yield f(p)
    yield attempt(f, (vector(), 1))


@case
def comprehension_params(compile):
    params = {"w": vector(), "b": vector() + 1}

    @compile
    def f(x):
        return {name: p * x for name, p in params.items() if p.ndim}

    for _ in range(3):
        yield f(vector())
    params["c"] = tj.tensor(2.0)
    for _ in range(3):
        yield f(vector())
    params["w"] = params.pop("w")
    for _ in range(3):
        yield f(vector())


@case
def dict_params(compile):
    @compile
    def f(params, x):
        return x * params["w"] + sum(params.values())

    w, b = vector(), vector() + 1
    for params in thrice({"w": w, "b": b}, {"b": b, "w": w}, {"w": w}, {"w": w, "b": b, "c": 1.0}):
        yield f(params, vector())


@case
def zip_dict_params(compile):
    params, steps = {"w": vector(), "b": vector()}, {"w": 0.5, "b": 2.0}

    @compile
    def f():
        for (name, p), step in zip(params.items(), steps.values()):
            params[name] = p - step
        return list(params)

    for _ in range(3):
        yield f(), params
    steps["w"] = steps.pop("w")
    for _ in range(3):
        yield f(), params
    del steps["b"]
    for _ in range(3):
        yield f(), params


@case
def deep_sum_of_lists(compile):
    @compile
    def total(parts):
        if isinstance(parts, list):
            return sum((total(part) for part in parts), start=0)
        return parts

    for parts in thrice([1.0, [vector(), [2.0]]], [[vector()], 1.0], [], [1, [2, [3]]]):
        yield total(parts)


@case
def unpack_pairs(compile):
    pairs = [(vector(), 1.0), (vector() + 1, 2.0)]

    @compile
    def f():
        (first, k), *rest = pairs
        return first * k, [p * j for p, j in rest]

    for _ in range(3):
        yield f()
    pairs[1] = (vector(), 5.0)
    for _ in range(3):
        yield f()
    pairs.append((vector(), 3.0))
    for _ in range(2):
        yield f()
    pairs[2] = [vector(), 3.0, 4.0]
    yield attempt(f)
    pairs.clear()
    yield attempt(f)


@case
def axis_list_changed(compile):
    axes = [0]

    @compile
    def f(x):
        return x.sum(axis=tuple(axes)), tj.permute_dims(
            x, axes + [k for k in (0, 1) if k not in axes]
        )

    for axes[:] in thrice([0], [1], [0, 1], [1, 0], []):
        yield f(matrix())


@case
def shape_list_changed(compile):
    shape = [2, 6]

    @compile
    def f(x):
        return x.reshape(shape), tj.zeros(shape).shape

    for shape[:] in thrice([2, 6], [3, 4], [12], [1, 12]):
        yield f(tj.arange(12))


@case
def nested_containers(compile):
    state = {
        "layers": [{"w": vector(), "act": ("tanh", 1.0)}, {"w": vector(), "act": ("none", 2.0)}]
    }

    @compile
    def f(x):
        for layer in state["layers"]:
            name, k = layer["act"]
            x = x * layer["w"] * k
            x = tj.tanh(x) if name == "tanh" else x
        return x

    for _ in range(3):
        yield f(vector())
    state["layers"][1]["act"] = ("tanh", 2.0)
    for _ in range(3):
        yield f(vector())
    state["layers"][0]["w"] = vector() + 1
    for _ in range(3):
        yield f(vector())
    state["layers"].reverse()
    for _ in range(3):
        yield f(vector())


@case
def str_join_state(compile):
    names = ["a", "b"]

    @compile
    def f(x):
        return ",".join(names), x * len("".join(names))

    for _ in range(3):
        yield f(vector())
    names[0] = "long"
    for _ in range(3):
        yield f(vector())
    names.append(1)
    yield attempt(f, vector())


@case
def bool_of_outside_list(compile):
    work = []

    @compile
    def f(x):
        if work:
            return x * 2
        return x

    for work[:] in thrice([], [1], [1, 2], []):
        yield f(vector())


@case
def key_present_only(compile):
    options = {}

    @compile
    def f(x):
        return x * 2 if "scale" in options else x

    for _ in range(3):
        yield f(vector())
    options["scale"] = vector()
    for _ in range(3):
        yield f(vector())
    options["scale"] = None
    options["other"] = 1
    for _ in range(3):
        yield f(vector())
    del options["scale"]
    for _ in range(3):
        yield f(vector())


@case
def list_history_read(compile):
    history = [1.0]

    @compile
    def f(x):
        history.append(history[-1] * 2)
        return x * len(history)

    for _ in range(6):
        yield f(vector()), history


@case
def deque_history(compile):
    history = deque([vector()], maxlen=3)

    @compile
    def f(x):
        history.append(x)
        return sum(history, start=x * 0)

    for k in range(6):
        yield f(vector() + k), history


@case
def del_and_pop_state(compile):
    state = {"a": vector(), "n": 0}

    @compile
    def f(x):
        last = state.pop("last", x)
        state["last"] = x + state["n"]
        del state["n"]
        state["n"] = 1
        return last

    for k in range(5):
        yield f(vector() + k), state


@case
def state_as_tuple(compile):
    state = Box(pair=(vector(), 0))

    @compile
    def f(x):
        total, n = state.pair
        state.pair = (total + x, n + 1)
        return state.pair[0]

    for k in range(6):
        yield f(vector() + k), state
    state.pair = [vector(), 5]
    for k in range(3):
        yield f(vector() + k), state


@case
def two_counters_swap(compile):
    state = Box(a=1, b=10)

    @compile
    def f(x):
        state.a, state.b = state.b, state.a + 1
        return x * state.a

    for _ in range(6):
        yield f(vector()), state


@case
def set_of_names(compile):
    frozen = {"w"}

    @compile
    def f(params):
        return {name: p if name in frozen else p * 2 for name, p in params.items()}

    params = {"w": vector(), "b": vector() + 1}
    for _ in range(3):
        yield f(params)
    frozen.add("b")
    for _ in range(3):
        yield f(params)
    frozen.discard("w")
    for _ in range(3):
        yield f(params)


@case
def iteration_order_of_a_set(compile):
    names = {"a", "b", "c"}

    @compile
    def f(x):
        return [x * k for k, _ in enumerate(names)], "".join(names)

    for names in thrice({"a", "b", "c"}, {"c", "d"}, {"d", "c"}, set()):
        yield f(vector())


@case
def special_dicts(compile):
    counts, lists, order = Counter(), defaultdict(list), OrderedDict(a=1, b=2)

    @compile
    def f(x, name):
        counts[name] += 1
        lists[name].append(x)
        order.move_to_end("a")
        return x * counts[name], len(lists["other"]), list(order)

    for name in ["u", "u", "u", "v", "v", "u"]:
        yield f(vector(), name), counts, lists, order


@case
def equality_of_containers(compile):
    state = Box(now=[1, 2.0], before=[1, 2.0])

    @compile
    def f(x):
        return x + 1 if state.now == state.before else x - 1

    for state.now in thrice([1, 2.0], [True, 2], [1, 3.0], [1, 2.0, 3], (1, 2.0)):
        yield f(vector())


@case
def dict_with_equal_keys_of_other_types(compile):
    table = {1: "int", "k": vector()}

    @compile
    def f(x, key):
        table[key] = x
        return list(table), table.get(1), 1.0 in table

    for key in [1, 1, 1, True, 1.0, 0.0, -0.0, "k"]:
        yield f(vector(), key), table


@case
def list_grows_at_the_front(compile):
    state = Box(parts=[vector()])

    @compile
    def f(x):
        return x * state.parts[0] + state.parts[-1]

    for _ in range(3):
        yield f(vector())
    for k in range(3):
        state.parts.insert(0, vector() * (k + 2))
        yield f(vector())
    state.parts = state.parts[:1]
    for _ in range(3):
        yield f(vector())
