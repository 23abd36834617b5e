"""Attacks by way of functions written in C: what they read, call or keep beyond what they are given."""

from __future__ import annotations

import functools
import io
import itertools
import math
import operator
import sys
from collections import deque

from tests.tracing.torture.harness import attempt, case, thrice, vector


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


class Level:
    """Compares, counts and tests by a state that others see, too."""

    now = 1.0

    def __init__(self, own=0.0):
        self.own = own

    def __eq__(self, other):
        return Level.now > 1.5

    def __hash__(self):
        return 1

    def __lt__(self, other):
        return (self.own < other.own) == (Level.now > 1.5)

    def __bool__(self):
        return Level.now > 1.5

    def __index__(self):
        return int(Level.now)


@case
def bound_append_kept_as_a_function(compile):
    parts = [1.0]
    push = parts.append

    @compile
    def f(x):
        push(2.0)
        return x * len(parts)

    for _ in range(5):
        yield f(vector()), parts


@case
def bound_reader_kept_as_a_function(compile):
    table = {"rate": 2.0}
    get, words = table.get, ["a"]
    join = ",".join

    @compile
    def f(x):
        return x * get("rate", 1.0), join(words)

    for table["rate"], words[0] in zip(thrice(2.0, 3.0, 3.0), thrice("a", "a", "b")):
        yield f(vector())
    table.clear()
    for _ in range(3):
        yield f(vector())


@case
def bound_step_of_an_iterator_kept_as_a_function(compile):
    step = iter([1.0, 2.0, 3.0, 4.0, 5.0]).__next__

    @compile
    def f(x):
        return x * step()

    for _ in range(4):
        yield f(vector())


@case
def list_begun_anew(compile):
    parts = [1.0]

    @compile
    def f(x):
        parts.__init__([2.0, 3.0])
        return x * len(parts)

    for parts[:] in [[1.0], [1.0], [1.0], [4.0]]:
        yield f(vector()), parts


@case
def dict_begun_anew(compile):
    table = {"a": 1.0}

    @compile
    def f(x):
        table.__init__(b=2.0)
        return x * len(table)

    for _ in range(4):
        table.pop("b", None)
        yield f(vector()), table


@case
def special_methods_of_a_list_that_compare(compile):
    parts, others = [Level()], [Level()]

    @compile
    def f(x):
        return x, parts.__eq__(others), parts.__ne__(others), parts.__contains__(others[0])

    for Level.now in thrice(1.0, 2.0, 1.0):
        yield f(vector())


@case
def special_methods_of_a_list_that_order(compile):
    parts, others = [Level(1)], [Level(2)]

    @compile
    def f(x):
        return x, attempt(parts.__lt__, others), (parts[0],).__contains__(others[0])

    for Level.now in thrice(1.0, 2.0, 1.0):
        yield f(vector())


@case
def special_methods_of_a_dict_that_compare(compile):
    table, other = {"a": Level()}, {"a": Level()}

    @compile
    def f(x):
        return x, table.__eq__(other), table == other, [*table.values()] == [*other.values()]

    for Level.now in thrice(1.0, 2.0, 1.0):
        yield f(vector())


@case
def special_methods_of_a_list_that_take_an_index(compile):
    parts, at = [1.0, 2.0, 3.0], Level()

    @compile
    def f(x):
        return x * parts.__getitem__(at), parts.__mul__(at), x * [5.0, 6.0, 7.0].pop(at)

    for Level.now in thrice(1.0, 2.0, 1.0):
        yield f(vector())


@case
def places_that_are_objects(compile):
    parts, at = [1.0, 2.0, 3.0], Level()

    @compile
    def f(x):
        made = [0.0]
        made.insert(at, 1.0)
        return x, made, "ab" * at, [0] * at, attempt(range, at), "abc".find("c", at), parts[at:]

    for Level.now in thrice(1.0, 2.0, 0.0):
        yield f(vector())


@case
def list_sorted_by_keys_that_compare(compile):
    parts = [1.0, 2.0]

    @compile
    def f(x):
        made = [*parts]
        made.sort(key=Level)
        return x, made, sorted(parts, key=Level), max(parts, key=Level)

    for Level.now in thrice(1.0, 2.0, 1.0):
        yield f(vector())


@case
def filter_by_what_is_empty(compile):
    table = {"a": [1.0], "b": []}

    @compile
    def f(x):
        full = list(filter(lambda name: table[name], ["a", "b"]))
        return x, full, len(list(filter(None, [table["a"], table["b"]])))

    yield from (f(vector()) for _ in range(3))
    table["b"].append(2.0)
    yield from (f(vector()) for _ in range(3))
    table["a"].clear()
    yield from (f(vector()) for _ in range(3))


@case
def filter_by_objects_that_decide(compile):
    parts = [1.0, 2.0]

    @compile
    def f(x):
        return x, list(filter(Level, parts)), [*filter(None, [Level(), 3.0])], any([Level()])

    for Level.now in thrice(1.0, 2.0, 1.0):
        yield f(vector())


@case
def reversed_calls_a_method(compile):
    class Row:
        def __len__(self):
            return 2

        def __getitem__(self, place):
            return float(place + 1)

    class Other(Row):
        def __reversed__(self):
            return iter([5.0, 6.0])

    rows = [Row(), Other()]

    @compile
    def f(x, at):
        return [x * part for part in reversed(rows[at])]

    for at in thrice(0, 1):
        yield f(vector(), at)


@case
def method_caller_with_a_list(compile):
    class Scaler:
        def by(self, parts):
            return sum(parts)

    parts, scaler = [1.0], Scaler()
    call = operator.methodcaller("by", parts)

    @compile
    def f(x):
        return x * call(scaler)

    for parts[:] in thrice([1.0], [2.0], [1.0, 2.0]):
        yield f(vector())


@case
def item_getter_with_a_list(compile):
    class Table:
        def __getitem__(self, parts):
            return sum(parts)

    parts, table = [1.0], Table()
    get = operator.itemgetter(parts)

    @compile
    def f(x):
        return x * get(table)

    for parts[:] in thrice([1.0], [2.0], [1.0, 2.0]):
        yield f(vector())


@case
def order_in_a_set_of_objects(compile):
    def plain(x, a, b):
        return [x * each.rate for each in {a, b}]

    f = compile(lambda x, a, b: [x * each.rate for each in {a, b}])
    boxes = [Box(rate=float(at)) for at in range(8)]
    for a, b in itertools.permutations(boxes, 2):
        yield [*map(str, f(vector(), a, b))] == [*map(str, plain(vector(), a, b))]


@case
def order_in_a_set_of_objects_made_by_it(compile):
    boxes = [Box(rate=float(at)) for at in range(8)]

    def plain(x, a, b):
        return [each.rate for each in frozenset((a, b))], [each.rate for each in list({b, a})]

    f = compile(lambda x, a, b: plain(x, a, b))
    for a, b in itertools.permutations(boxes, 2):
        yield f(vector(), a, b) == plain(vector(), a, b)


@case
def order_in_a_set_that_was_large(compile):
    @compile
    def f(x):
        made = set(range(200))
        for each in range(200):
            if each not in (8, 17, 33, 64):
                made.discard(each)
        return x, made, frozenset(made)

    for _ in range(4):
        _, made, frozen = f(vector())
        yield list(made), list(frozen)


@case
def order_in_a_set_that_others_have_used(compile):
    @compile
    def f(x, seen, more):
        seen.add(more)
        return x

    for more in thrice(5, 9):
        small, large = {8, 17, 33}, set(range(200))
        large -= {*range(200)} - {8, 17, 33}
        yield f(vector(), small, more), f(vector(), large, more), list(small), list(large)


@case
def view_of_a_dict_with_numbers_that_change(compile):
    table = {"a": 1, "b": 2}

    @compile
    def f(x):
        items = table.items()
        return (
            x * table["a"],
            isinstance(items, type({}.items())),
            items.isdisjoint([("a", 0)]),
            len(items.mapping),
            type(items).__name__,
            hasattr(items, "mapping"),
        )

    for table["a"] in [1, 2, 3, 4, 5]:
        yield attempt(f, vector())


@case
def set_operators_on_views(compile):
    table = {"a": 1, "b": 2}

    @compile
    def f(x):
        return x * table["a"], table.keys() & {"a"}, ("a", 2) in table.items(), table.items() == {}

    for table["a"] in [1, 2, 3, 4, 5]:
        yield attempt(f, vector())


@case
def range_of_equal_places(compile):
    state = Box(places=range(0, 3, 2))

    @compile
    def f(x):
        return x * state.places.stop, state.places

    for state.places in thrice(range(0, 3, 2), range(0, 4, 2), range(0, 3, 2)):
        yield f(vector())


@case
def slice_of_equal_places(compile):
    state = Box(places=slice(0, 1))

    @compile
    def f(x):
        return x, state.places, state.places.start

    for state.places in thrice(slice(0, 1), slice(False, True), slice(0.0, 1.0)):
        yield f(vector())


@case
def keys_of_a_kind_of_text(compile):
    class Name(str):
        __slots__ = ()

    table = {"a": 1.0}

    @compile
    def f(x):
        return x, [type(name).__name__ for name in table], list(table)

    for _ in range(3):
        yield f(vector())
    table.clear()
    table[Name("a")] = 1.0
    for _ in range(3):
        yield f(vector())


@case
def keys_that_are_zeros(compile):
    table = {0.0: 1.0}

    @compile
    def f(x):
        return x * table[0], [*table], table.get(-0.0), 0 in table, False in table

    for key in thrice(0.0, -0.0, 0, False):
        table.clear()
        table[key] = 1.0
        yield f(vector())


@case
def elements_that_are_of_equal_value(compile):
    values = {1}

    @compile
    def f(x):
        return x, [*values], 1.0 in values, sorted(values), values | {True}

    for value in thrice(1, True, 1.0):
        values.clear()
        values.add(value)
        yield f(vector())


@case
def list_that_holds_another_and_itself(compile):
    inner = [1.0]
    outer = [inner, inner]

    @compile
    def f(x):
        outer[0].append(2.0)
        return x * len(outer[1]), len(outer)

    for second in [inner, inner, inner, [1.0], [1.0], [1.0], inner]:
        inner[:] = [1.0]
        outer[1] = second
        yield f(vector()), outer


@case
def list_that_is_globals_and_an_attribute(compile):
    global SHARED
    SHARED = [1.0]
    box = Box(parts=SHARED)

    @compile
    def f(x):
        SHARED[0] = SHARED[0] + 1
        return x * box.parts[0]

    for box.parts in [SHARED, SHARED, SHARED, [1.0], [1.0], [1.0], SHARED, SHARED]:
        yield f(vector()), box


SHARED: list = []
COUNTER = 0


@case
def dict_that_is_the_globals(compile):
    global COUNTER
    COUNTER = 0
    own = {"COUNTER": 0}

    @compile
    def f(x, table):
        global COUNTER
        COUNTER = COUNTER + 1
        return x * table["COUNTER"]

    for table in [own, own, own, globals(), globals(), own]:
        COUNTER = 0
        yield f(vector(), table), COUNTER


@case
def default_that_is_a_list_of_state(compile):
    parts = [1.0]

    def inner(x, values=parts):
        values.append(1.0)
        return x * len(values)

    @compile
    def f(x):
        return inner(x), len(parts)

    for _ in range(5):
        yield f(vector()), parts


@case
def partial_over_a_list(compile):
    parts = [1.0]
    add = functools.partial(parts.append, 2.0)
    total = functools.partial(sum, parts)

    @compile
    def f(x):
        add()
        return x * total()

    for _ in range(5):
        yield f(vector()), parts


@case
def reduce_with_functions_that_look(compile):
    parts, state = [1.0, 2.0], {"rate": 2.0}

    @compile
    def f(x):
        total = functools.reduce(lambda a, b: a * state["rate"] + b, parts, 0.0)
        return x * total, list(itertools.accumulate(parts, lambda a, b: a + state["rate"]))

    for state["rate"] in thrice(2.0, 3.0, 4.0):
        yield f(vector())


@case
def functions_of_operator_in_higher_ones(compile):
    parts, others = [1.0, 2.0], [Level(), Level()]

    @compile
    def f(x):
        same = list(map(operator.eq, others, parts))
        return x, same, functools.reduce(operator.eq, others), list(map(operator.truth, others))

    for Level.now in thrice(1.0, 2.0, 1.0):
        yield f(vector())


@case
def native_functions_of_objects_in_higher_ones(compile):
    others = [Level(), Level()]

    @compile
    def f(x):
        return (
            x,
            list(map(bool, others)),
            list(map(hash, others)),
            list(map(operator.index, others)),
        )

    for Level.now in thrice(1.0, 2.0, 1.0):
        yield f(vector())


@case
def products_of_lists(compile):
    parts, more = [2.0, 3.0], [1.0, 1.0]

    @compile
    def f(x):
        return x * math.prod(parts), math.fsum(parts), math.dist(parts, more), math.hypot(*parts)

    for parts[0], more[1] in zip(thrice(2.0, 3.0, 3), thrice(1.0, 1.0, 5.0)):
        yield f(vector())


@case
def text_of_lists_that_hold_objects(compile):
    class Word:
        text = "a"

        def __repr__(self):
            return Word.text

        def __format__(self, spec):
            return Word.text + spec

    parts = [Word()]

    @compile
    def f(x):
        return (
            x,
            str(parts),
            f"{parts[0]:>4}",
            f"{parts[0]}",
            "%r" % parts[0],  # noqa: UP031  # what is attacked
            [*map(repr, parts)],
        )

    for Word.text in thrice("a", "b", "a"):
        yield f(vector())


@case
def format_that_reads_attributes_and_items(compile):
    box, table = Box(rate=2.0), {"a": 1.0}

    @compile
    def f(x):
        return x, f"{box.rate}", f"{table['a']}", "{t[a]}".format_map({"t": table})

    for box.rate, table["a"] in zip(thrice(2.0, 3.0, 3.0), thrice(1.0, 1.0, 4.0)):
        yield f(vector())


@case
def attributes_by_paths(compile):
    class Inner:
        @property
        def rate(self):
            return state["rate"]

    state = {"rate": 2.0}
    box = Box(inner=Inner())
    get = operator.attrgetter("inner.rate")

    @compile
    def f(x):
        return x * get(box), next(map(operator.attrgetter("inner"), [box])) is box.inner

    for state["rate"] in thrice(2.0, 3.0, 2.0):
        yield f(vector())


@case
def print_to_a_stream_that_is_patched(compile):
    stream = sys.stdout
    lines = []

    @compile
    def f(x):
        print("here", 1.5)
        return x

    for _ in range(3):
        yield f(vector())
    stream.write = lines.append if isinstance(stream, io.StringIO) else stream.write
    try:
        for _ in range(3):
            yield f(vector()), list(lines)
    finally:
        del stream.write


@case
def deque_that_is_full(compile):
    last = deque([1.0, 2.0], maxlen=2)

    @compile
    def f(x):
        last.append(3.0)
        return x * last[0], len(last)

    for _ in range(3):
        yield f(vector()), last
    last.clear()
    for _ in range(3):
        yield f(vector()), last


@case
def deque_of_another_length(compile):
    state = Box(last=deque([1.0, 2.0]))

    @compile
    def f(x):
        state.last.append(3.0)
        return x, state.last.maxlen, f"{state.last}", state.last.copy()

    for size in thrice(None, 2, 3):
        state.last = deque([1.0, 2.0], maxlen=size)
        yield f(vector()), state.last, list(state.last)


@case
def list_changed_while_it_is_walked(compile):
    parts = [1.0, 2.0, 3.0]

    @compile
    def f(x):
        seen = []
        for part in parts:
            seen.append(part)
            if part == 2.0:
                parts.remove(1.0)
        return x, seen

    for parts[:] in thrice([1.0, 2.0, 3.0], [2.0, 1.0, 5.0]):
        yield f(vector()), parts


@case
def dict_changed_while_it_is_walked(compile):
    table = {"a": 1.0, "b": 2.0}

    @compile
    def f(x):
        for name in table:
            table[name + "!"] = x
        return x

    for _ in range(3):
        yield attempt(f, vector()), table
        for name in [*table][2:]:
            del table[name]


@case
def generator_that_holds_on_to_a_list(compile):
    parts = [1.0, 2.0]

    @compile
    def f(x):
        walk = (x * part for part in parts)
        first = next(walk)
        parts[1] = parts[1] + 1
        return first, list(walk)

    for _ in range(5):
        yield f(vector()), parts


@case
def exceptions_after_native_effects(compile):
    parts = [1.0]

    @compile
    def f(x):
        try:
            parts.extend(value for value in [2.0, None, 3.0] if value + 1)
        except TypeError:
            parts.append(9.0)
        return x * len(parts)

    for _ in range(4):
        yield f(vector()), parts


@case
def dict_updated_by_a_broken_iterator(compile):
    table = {}

    @compile
    def f(x):
        def pairs():
            yield "a", x
            raise KeyError("broken")

        try:
            table.update(pairs())
        except KeyError:
            return x, len(table)

    for _ in range(4):
        yield f(vector()), table


@case
def recursion_through_containers(compile):
    tree = {"left": {"left": None, "value": 1.0}, "value": 2.0}

    def total(node):
        return 0.0 if node is None else node["value"] + total(node.get("left"))

    @compile
    def f(x):
        return x * total(tree)

    for tree["left"]["value"] in thrice(1.0, 3.0):
        yield f(vector())
    tree["left"]["left"] = tree["left"] | {"value": 5.0}
    for _ in range(3):
        yield f(vector())


@case
def comparing_lists_that_hold_nan(compile):
    nan = float("nan")
    parts, others = [nan], [nan]

    @compile
    def f(x):
        return x, parts == others, (parts[0],) == (others[0],), nan in parts

    for others[0] in thrice(nan, float("nan"), 1.0):
        yield f(vector())


@case
def bytes_and_their_arrays(compile):
    state = Box(data=bytearray(b"ab"))

    @compile
    def f(x):
        return x * len(state.data), bytes(state.data), state.data == b"ab", b"".join([state.data])

    for byte in thrice(97, 98):
        state.data[0] = byte
        yield f(vector())


@case
def function_of_attributes_of_itself(compile):
    @compile
    def f(x):
        return x * rate.of, rate.__name__, rate.__doc__, rate.__defaults__ is None

    def rate():
        """says"""

    for rate.of, rate.__name__, rate.__doc__ in zip(
        thrice(1.0, 2.0, 2.0), thrice("a", "a", "b"), thrice("x", "y", "y")
    ):
        yield f(vector())


@case
def annotations_and_code_of_functions(compile):
    def rate(x: int = 1):
        return x

    def other(y, z=2):
        return y

    @compile
    def f(x):
        code = rate.__code__
        return x, code.co_argcount, code.co_varnames, dict(rate.__annotations__)

    own = rate.__code__
    for rate.__code__ in thrice(own, other.__code__, own):
        yield f(vector())
    rate.__annotations__["x"] = float
    yield f(vector())
