"""Attacks by way of NumPy: its settings, its numbers, what its functions read and write, and how arrays alias."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from tests.tracing.torture.harness import attempt, case, thrice, values, vector


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


def array(*more):
    return np.array([1.0, -2.0, 3.0, *more])


@case
def numpy_number_that_is_a_zero(compile):
    state = Box(rate=np.float64(0.0))

    @compile
    def f(x):
        return x, state.rate, np.copysign(1.0, state.rate), 1 / state.rate

    for state.rate in thrice(np.float64(0.0), np.float64(-0.0), np.float64(0.0)):
        yield f(vector())


@case
def numpy_numbers_of_time(compile):
    state = Box(span=np.timedelta64(1, "s"), day=np.datetime64("2020-01-01"))

    @compile
    def f(x):
        return x, state.span, str(state.span), state.day, str(state.day)

    for state.span in thrice(np.timedelta64(1, "s"), np.timedelta64(1000, "ms")):
        yield f(vector())
    for state.day in thrice(np.datetime64("2020-01-01"), np.datetime64("2020-01-01T00")):
        yield f(vector())


@case
def numpy_record_that_changes(compile):
    state = Box(record=np.zeros(1, dtype=[("a", "f8"), ("b", "i4")])[0])

    @compile
    def f(x):
        return x, float(state.record["a"]), state.record.item()

    for state.record["a"] in thrice(1.0, 2.0, 1.0):
        yield attempt(f, vector())


@case
def numpy_text_that_is_a_number(compile):
    state = Box(name=np.str_("a"), flag=np.bool_(True))

    @compile
    def f(x):
        return x, state.name + "b", {"a": 1.0}.get(state.name), state.name, state.flag

    for state.name, state.flag in zip(
        thrice(np.str_("a"), "a", np.str_("b")), thrice(np.bool_(True), True, np.bool_(False))
    ):
        yield f(vector())


@case
def settings_of_numpy_read_inside(compile):
    @compile
    def f(x):
        return x, np.geterr()["divide"], np.get_printoptions()["precision"], str(np.float64(1 / 3))

    for _ in range(3):
        yield f(vector())
    with np.errstate(divide="raise"), np.printoptions(precision=3):
        for _ in range(3):
            yield f(vector())


@case
def settings_of_numpy_written_inside(compile):
    @compile
    def f(x):
        np.seterr(divide="call")
        return x

    for _ in range(4):
        np.seterr(divide="ignore")
        yield f(vector())


@case
def printing_options_written_inside(compile):
    before = np.get_printoptions()

    @compile
    def f(x):
        np.set_printoptions(precision=3)
        return x

    try:
        for _ in range(4):
            np.set_printoptions(precision=5)
            yield f(vector()), np.get_printoptions()["precision"]
    finally:
        np.set_printoptions(**before)


@case
def numbers_divided_under_a_mode(compile):
    state = Box(rate=np.float64(0.0))

    @compile
    def f(x):
        return x, np.float64(1.0) / state.rate, np.log(0.0), np.float64(1e308) * 10

    for _ in range(3):
        yield attempt(f, vector())
    with np.errstate(all="raise"):
        for _ in range(3):
            yield attempt(f, vector())


@case
def arrays_divided_under_a_mode(compile):
    @compile
    def f(a):
        return a / 0

    for _ in range(3):
        yield attempt(f, array())
    with np.errstate(all="raise"):
        for _ in range(3):
            yield attempt(f, array())


@case
def mode_entered_inside(compile):
    @compile
    def f(a):
        with np.errstate(all="raise"):
            try:
                return a / 0
            except FloatingPointError:
                return a * 2

    for _ in range(4):
        yield f(array())


@case
def printed_numbers_under_a_mode(compile):
    @compile
    def f(x):
        return x, str(np.float32(0.1)), f"{np.float64(0.1)!r}", f"{[np.float64(1.0)]}"

    for _ in range(3):
        yield f(vector())
    with np.printoptions(legacy="1.25"):
        for _ in range(3):
            yield f(vector())


@case
def function_of_the_users_as_a_ufunc(compile):
    state = {"rate": 2.0}
    scale = np.frompyfunc(lambda value: value * state["rate"], 1, 1)

    @compile
    def f(x):
        return x * scale(3.0)

    for state["rate"] in thrice(2.0, 3.0, 2.0):
        yield f(vector())


@case
def function_of_the_users_on_arrays(compile):
    state = {"rate": 2.0}
    scale = np.vectorize(lambda value: value * state["rate"])

    @compile
    def f(a):
        return scale(a), np.apply_along_axis(lambda row: row * state["rate"], 0, a)

    for state["rate"] in thrice(2.0, 3.0, 2.0):
        yield attempt(f, array())


@case
def clock_of_numpy(compile):
    @compile
    def f(x):
        return x, np.datetime64("now", "ns")

    for _ in range(4):
        before = np.datetime64("now", "ns")
        result, now = f(vector())
        yield result, before <= now <= np.datetime64("now", "ns")
    time.sleep(1.1)  # "now" counts whole seconds, whatever its unit
    before = np.datetime64("now", "ns")
    yield before <= f(vector())[1]


@case
def array_from_a_file(compile):
    folder = tempfile.TemporaryDirectory()
    name = f"{folder.name}/a.npy"

    @compile
    def f(x):
        return x, np.load(name), float(np.loadtxt(name + ".txt"))

    with folder:
        for value in thrice(1.0, 2.0):
            np.save(name, np.array([value]))
            np.savetxt(name + ".txt", np.array([value]))
            yield f(vector())


@case
def number_written_to_a_file(compile):
    folder = tempfile.TemporaryDirectory()
    name = f"{folder.name}/a.npy"

    @compile
    def f(x):
        np.save(name, 3.0)
        return x

    with folder:
        for _ in range(4):
            Path(name).write_text("")
            yield f(vector()), Path(name).stat().st_size


@case
def functions_of_lists_that_change(compile):
    parts, nested = [1.0, 2.0], [[1, 2], [3, 4]]

    @compile
    def f(a):
        made = np.array(parts), np.asarray(nested), np.full(2, parts[0]), np.eye(len(parts))
        return a, made

    for parts[:], nested[1][0] in zip(
        thrice([1.0, 2.0], [1, 2], [True, 2.0, 3.0]), thrice(3, 3, 5.0)
    ):
        yield f(array())


@case
def functions_with_out_where_and_dtype(compile):
    @compile
    def f(a, b, mask):
        np.add(a, 1, out=b)
        np.multiply(a, 2, out=b, where=mask)
        return a.sum(dtype=np.float32), np.add(a, b, dtype=np.float32), b

    b = array()
    for mask in thrice(np.array([True, False, True]), np.array([False, True, False])):
        yield attempt(f, array(), b, mask), b


@case
def in_place_with_a_cast(compile):
    @compile
    def f(a, b):
        a += b
        a *= 2
        return a

    for a, b in thrice((np.arange(3), 1), (np.arange(3), 1.5), (np.arange(3.0), np.arange(3))):
        a = a.copy()
        yield attempt(f, a, b), a


@case
def in_place_on_read_only_and_broadcast(compile):
    @compile
    def f(a, b):
        a += b
        return a.sum()

    locked = array()
    locked.flags.writeable = False
    for a in thrice(array(), locked, np.broadcast_to(array(), (2, 3)), array()):
        a = a.copy() if a.flags.writeable else a
        yield attempt(f, a, 1.0), a


@case
def arrays_that_overlap(compile):
    @compile
    def f(a, b):
        a += b
        return a + b

    for place in [0, 0, 0, 3, 3, 1, 1, 1, 2]:
        base = np.arange(6.0)
        yield f(base[:3], base[place : place + 3]), base


@case
def arrays_of_other_kinds(compile):
    @compile
    def f(a):
        return a * 2

    class Own(np.ndarray):
        def __mul__(self, other):
            return "mine"

    plain = array()
    kinds = [plain, plain[::-1], plain[::2], plain.view(Own), np.ma.array(plain, mask=[0, 1, 0])]
    kinds += [plain.astype(">f8"), plain.astype(object), np.matrix([[1.0, 2.0]]), np.array(3.0)]
    for kind in thrice(*kinds):
        yield attempt(lambda kind=kind: values(f(kind)))


@case
def array_of_one_element_as_a_number(compile):
    @compile
    def f(a, x):
        if a > 1:
            return x * float(a), range(int(a))
        return x * a.item(), -a

    for value in [2.0, 2.0, 3.0, 1.0, 1.0, float("nan"), -0.0, 0.0]:
        yield f(np.array(value), vector())


@case
def array_whose_shape_is_set(compile):
    @compile
    def f(a):
        a.shape = (3, 1)
        return a * 2, a.shape

    for _ in range(4):
        a = array()
        yield f(a), a.shape


@case
def array_whose_flags_are_set(compile):
    @compile
    def f(a):
        a.flags.writeable = False
        return a * 2

    for _ in range(4):
        a = array()
        yield f(a), a.flags.writeable


@case
def array_kept_by_its_base(compile):
    kept = []

    @compile
    def f(a):
        kept.append(a[1:])
        view = a[::2]
        view += 1
        return view, a.base is None, view.base is a

    for _ in range(4):
        a = array()
        yield attempt(f, a), kept, a


@case(known="an array that is an argument is not the one that a list from outside holds")
def array_in_a_list_compared(compile):
    a, b = array(), array()
    parts = [a, b]

    @compile
    def f(x):
        return x * parts.index(parts[0]), parts[0] is parts[1], attempt(parts.count, parts[1])

    for parts[1] in thrice(b, a, array()):
        yield attempt(f, vector())


@case
def array_as_a_truth(compile):
    @compile
    def f(a):
        return (a * 2 if a.any() else a), bool((a > 0).all()), not a.size

    for a in thrice(array(), np.zeros(3), np.array([]), np.array([1.0])):
        yield attempt(f, a)


@case
def numbers_that_mix_with_python(compile):
    state = Box(rate=np.float32(0.1))

    @compile
    def f(a):
        return a * state.rate, state.rate * 3, 3 * state.rate, state.rate // 1, round(state.rate, 1)

    for state.rate in thrice(np.float32(0.1), np.float64(np.float32(0.1)), float(np.float32(0.1))):
        yield f(array())


@case
def integer_numbers_that_overflow(compile):
    state = Box(n=np.int8(100))

    @compile
    def f(a):
        return a * int(state.n), state.n + np.int8(100), state.n << 1

    for state.n in thrice(np.int8(100), np.int16(100), np.int8(1)):
        yield attempt(f, np.arange(3))


@case
def number_operators_with_objects(compile):
    class Other:
        rate = 2.0

        def __rmul__(self, other):
            return Other.rate

        def __array_ufunc__(self, ufunc, method, *inputs, **options):
            return Other.rate + 1

    state = Box(rate=np.float64(2.0), other=Other())

    @compile
    def f(x):
        return x * (state.rate * state.other)

    for Other.rate in thrice(2.0, 3.0, 2.0):
        yield attempt(f, vector())


@case
def number_times_a_list(compile):
    state = Box(rate=np.int64(2), parts=[1.0, 2.0])

    @compile
    def f(x):
        return x, state.rate * state.parts, np.float64(2.0) * [1.0], np.add([1.0], state.parts)

    for state.parts[0] in thrice(1.0, 3.0):
        yield attempt(f, vector())


@case
def array_that_looks_at_an_index_object(compile):
    class At:
        place = 1

        def __index__(self):
            return At.place

    at = At()

    @compile
    def f(a):
        return a[at] * 2, a[at:], np.zeros(at), a.reshape(at, -1)

    for At.place in thrice(1, 2, 1):
        yield attempt(f, array(4.0))


@case
def results_that_are_views_of_state(compile):
    table = np.arange(6.0)

    @compile
    def f(a):
        return table[1:3], table.reshape(2, 3).T, np.ravel(table), np.asarray(table), a

    for _ in range(4):
        found = f(array())
        found[0][0] += 1
        yield found, table


@case
def random_numbers_of_numpy(compile):
    own = np.random.default_rng(0)

    @compile
    def f(x):
        return x, np.random.default_rng(1).normal(), own.integers(5), np.random.rand()

    for _ in range(4):
        yield f(vector())


@case
def functions_of_numbers_alone(compile):
    state = Box(a=2.0, n=7)

    @compile
    def f(x):
        made = np.sqrt(state.a), np.maximum(state.a, 3.0), np.isfinite(state.a), np.gcd(state.n, 14)
        more = np.prod(state.a), np.round(state.a, 1), np.clip(state.a, 0, 1), np.sum(state.n)
        return x * np.sqrt(state.a), made, more, np.result_type(np.float32, state.a).name

    for state.a, state.n in zip(thrice(2.0, 3.0, 2, np.float32(2.0)), thrice(7, 7, 8, True)):
        yield f(vector())


@case
def dtype_that_changes_its_metadata(compile):
    state = Box(kind=np.dtype("f4"))

    @compile
    def f(x):
        return x, np.zeros(2, dtype=state.kind), state.kind.name, state.kind.itemsize

    for state.kind in thrice(np.dtype("f4"), np.dtype("f8"), np.float32, "f4", float):
        yield attempt(f, vector())


@case
def array_attribute_of_a_class_and_a_default(compile):
    class Model:
        weight = np.array([1.0, 2.0, 3.0])

    def step(a, bias=np.array([1.0, 1.0, 1.0])):  # noqa: B008  # state
        Model.weight += 1
        bias *= 2
        return a * Model.weight + bias

    f = compile(step)
    for _ in range(4):
        yield f(array()), Model.weight, step.__defaults__
    Model.weight = np.array([5.0, 5.0, 5.0])
    for _ in range(3):
        yield f(array()), Model.weight, step.__defaults__


@case
def iterating_arrays(compile):
    @compile
    def f(a):
        total = 0.0
        for row in a:
            total = total + row
            row *= 2
        first, *rest = a
        return total, first, len(rest), [float(v) for v in a.ravel()]

    for _ in range(4):
        a = np.arange(6.0).reshape(3, 2)
        yield attempt(f, a), a


@case
def arrays_swapped_in_place(compile):
    @compile
    def f(a):
        a[0], a[1] = a[1], a[0]
        a[:2], a[1:] = a[1:], a[:2]
        return a * 1

    for _ in range(4):
        a = array()
        yield f(a), a
