"""What calls return and leave behind: effects on one place, gradients, modes, guards of numbers, and who shares what."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, matrix, vector


class Box:
    """State of a few attributes."""

    def __init__(self, **names):
        self.__dict__.update(names)


class Slotted:
    __slots__ = ("a", "b")


@case
def one_key_of_several_types(compile):
    table = {}

    @compile
    def f(x):
        table[1] = x
        table[True] = x * 2
        table[1] = x * 3
        table[1.0] = x * 4
        table[True] = x * 5
        return x

    for k in range(5):
        yield f(vector() + k), table


@case
def one_place_of_a_list_by_two_indices(compile):
    rows = [0, 1, 2]

    @compile
    def f(x):
        rows[1] = x
        rows[True] = x * 2
        rows[-2] = x * 3
        rows[1] = x * 4
        return x

    for k in range(5):
        yield f(vector() + k), rows


@case
def keys_written_deleted_and_written(compile):
    table = {"a": 1, "b": 2, "c": 3}

    @compile
    def f(x):
        table["b"] = x
        table.pop("a")
        table["a"] = x * 2
        table["b"] = x * 3
        table["d"] = x * 4
        table.pop("d")
        return x

    for k in range(5):
        yield f(vector() + k), table


@case
def attributes_written_in_another_order(compile):
    box = Box()

    @compile
    def f(x, flip):
        if flip:
            box.b = x
            box.a = 1
        else:
            box.a = 2
            box.b = x
        box.a = 3
        return x

    for flip in [True, True, True, False, False, False]:
        box.__dict__.clear()
        yield f(vector(), flip), box


@case
def grad_mode_is_left_changed(compile):
    w = vector().requires_grad_()

    @compile
    def f(x):
        mode = tj.no_grad()
        mode.__enter__()
        return x * w

    for k in range(5):
        y = f(vector() + k)
        yield y, tj.is_grad_enabled()
        tj.enable_grad().__enter__()


@case
def grad_mode_in_a_generator_that_is_left(compile):
    w = vector().requires_grad_()

    def parts(x):
        with tj.no_grad():
            yield x * w
            yield x + w

    @compile
    def f(x):
        made = parts(x)
        first = next(made)
        y = x * w
        second = next(made)
        return first, y, second, x - w, tj.is_grad_enabled()

    for k in range(5):
        yield f(vector() + k)


@case
def write_to_a_tensor_that_has_a_gradient(compile):
    w = vector().requires_grad_()

    for k in range(5):
        h = w * 2

        @compile
        def f(h, x):
            h.mul_(x)
            return h.sum()

        for _ in range(3):
            h = w * 2
            y = f(h, vector() + k)
            yield y, h, h.requires_grad
            h.sum().backward()
            yield w.grad


@case
def write_puts_an_argument_on_the_tape(compile):
    w = vector().requires_grad_()

    @compile
    def f(x):
        x.mul_(w)
        return x.sum()

    for k in range(5):
        x = vector() + k
        y = f(x)
        yield y, x, x.requires_grad
        x.sum().backward()
        yield w.grad


@case
def view_of_a_tensor_on_the_tape_that_is_written(compile):
    w = vector().requires_grad_()

    @compile
    def f(h, x):
        part = h[:2]
        h.mul_(x)
        return part

    for at in range(6):
        h = w * 2
        for _ in range(at):
            h.add_(1)
        part = f(h, vector() + at)
        yield part, h
        part.sum().backward()
        yield w.grad


@case
def view_of_a_leaf_returned(compile):
    w = matrix().requires_grad_()

    @compile
    def f(x):
        part = w[0]
        with tj.no_grad():
            w.add_(x)
        return part, part * 2

    for at in range(6):
        a, b = f(matrix() + at)
        (a * a).sum().backward()
        b.sum().backward()
        yield a, b, w, w.grad
        with tj.no_grad():
            w.mul_(0.5)


@case
def results_that_share_memory(compile):
    @compile
    def f(x):
        y = x * 2
        return y, y.T, y[0], y.detach(), [y, y[0]], {"y": y}

    for k in range(4):
        y, t, r, d, *_ = f(matrix() + k)
        y.add_(1)
        yield y, t, r, d
        r.mul_(3)
        yield y, t, r, d


@case
def results_in_cycles(compile):
    @compile
    def f(x):
        box, rows = Box(), [x * 2]
        box.rows, box.self = rows, box
        rows.append(box)
        rows.append((rows, box))
        return box, rows

    for k in range(4):
        yield f(vector() + k)


@case
def results_with_slots_and_bounds(compile):
    @compile
    def f(x):
        made = Slotted()
        made.b = x
        last = deque([x, 1, 2], maxlen=2)
        last.append(x * 2)
        return made, last, last.maxlen

    for k in range(4):
        made, last, n = f(vector() + k)
        last.append(5)
        yield made, last, n, attempt(lambda made=made: made.a)


@case
def gradient_of_a_gradient_outside(compile):
    w = vector().requires_grad_()

    @compile
    def f(x):
        loss = (w**3 * x).sum()
        (g,) = tj.autograd.grad(loss, w, create_graph=True)
        return loss, g

    for k in range(5):
        loss, g = f(vector() + k)
        g.sum().backward()
        yield loss, g, w.grad
        yield attempt(loss.backward), w.grad


@case
def graph_retained_inside(compile):
    w = vector().requires_grad_()

    @compile
    def f(x):
        loss = (w * w * x).sum()
        loss.backward(retain_graph=True)
        return loss

    for k in range(5):
        loss = f(vector() + k)
        loss.backward()
        yield w.grad, attempt(loss.backward)


@case
def graph_freed_inside(compile):
    w = vector().requires_grad_()

    @compile
    def f(x):
        y = w + x
        loss = y.sum()
        loss.backward()
        return y, loss

    for k in range(5):
        y, loss = f(vector() + k)
        (y.sum() + loss).backward()
        yield w.grad, attempt(loss.backward), w.grad


@case
def grad_of_a_result(compile):
    w = vector().requires_grad_()

    @compile
    def f(x):
        made = (x * 2).requires_grad_()
        (made * w).sum().backward()
        return made, made.grad

    for k in range(5):
        made, grad = f(vector() + k)
        yield made, grad, made.grad is grad, w.grad
        (made * 3).sum().backward()
        yield made, grad


@case
def gradient_is_kept_by_the_caller(compile):
    w = vector().requires_grad_()

    @compile
    def f(x):
        (w * x).sum().backward()
        return w.grad

    kept = []
    for k in range(5):
        kept.append(f(vector() + k))
        yield kept, [g is w.grad for g in kept]
        if k == 2:
            w.grad = None


@case
def value_and_grad_inside(compile):
    @compile
    def f(params, x):
        def loss(params, scale):
            return (params["w"] * x * scale + params["b"]).sum()

        value, grads = tj.value_and_grad(loss)(params, x[0])
        y, pull = tj.vjp(lambda a: a * x, params["w"])
        return value, grads, y, pull(x)

    for k in range(4):
        yield f({"w": vector(), "b": vector() * 2}, vector() + k)
        yield f({"w": vector().requires_grad_(), "b": vector()}, vector() + k)


@case
def zeros_and_nans_of_numpy(compile):
    @compile
    def f(x, k):
        return x / k, k

    for k in [np.float32(0.0), np.float32(0.0), np.float32(-0.0), np.float32(0.0)] * 2:
        yield f(vector(), k)
    for k in [np.float64(0.0), np.float64(-0.0), np.float64("nan"), np.float64(0.0)] * 2:
        yield f(vector(), k)
    for k in [np.float16(-0.0), np.float16(0.0), np.float16(-0.0)]:
        yield f(vector(), k)


@case
def ranges_that_are_equal(compile):
    @compile
    def f(x, r):
        return x * len(r), r.stop, r.step, r

    for r in [range(0, 3, 2), range(0, 3, 2), range(0, 4, 2), range(0, 3, 2), range(0, 4, 2)]:
        yield f(vector(), r)
    for r in [range(0), range(0), range(5, 5), range(3, 1, 1), range(0)]:
        yield f(vector(), r)


@case
def complex_and_bytes_and_ellipsis(compile):
    @compile
    def f(x, k):
        return x * 2, k, type(k).__name__, repr(k)

    for k in [0j, 0j, -0j, complex(0, -0.0), complex(-0.0, 0), b"a", b"a", "a", ..., ..., None]:
        yield f(vector(), k)
        yield f(vector(), k)


@case
def methods_of_changing_numbers(compile):
    box = Box(n=1, r=0.5, s="a")

    @compile
    def f(x):
        n, r, s = box.n, box.r, box.s
        parts = [
            n.bit_length(),
            n.real,
            r.is_integer(),
            r.as_integer_ratio(),
            n.numerator,
            s.upper(),
        ]
        parts += [
            n & 3,
            n << 1,
            ~n,
            divmod(n, 3),
            round(r),
            round(r, 1),
            math.floor(r),
            math.ceil(r),
        ]
        return x * n * r, parts, s[0], len(s), "a" in s, s * 2, f"{n:03d}{r:.1f}{s!r}"

    for n, r, s in [(1, 0.5, "a"), (2, 1.5, "ab"), (3, 2.5, "b"), (4, -0.0, "aa"), (5, 3.0, "c")]:
        for _ in range(2):
            box.n, box.r, box.s = n, r, s
            yield f(vector())


@case
def powers_and_kinds_of_changing_numbers(compile):
    box = Box(n=1, r=0.5)

    @compile
    def f(x):
        n, r = box.n, box.r
        return (
            x * 2.0**n,
            2**n,
            n**2,
            r**2,
            n // 2,
            n % -3,
            -n,
            abs(r),
            max(n, r),
            min(n, r, 2),
            n == r,
            n < r,
        )

    for n, r in [(1, 0.5), (2, 1.5), (3, 2.5), (-1, 2.0), (0, -0.0), (7, 7.0), (-3, float("nan"))]:
        for _ in range(2):
            box.n, box.r = n, r
            yield attempt(f, vector())


@case
def parameter_or_tensor(compile):
    from tracejit import nn

    layer = nn.Linear(3, 2)

    @compile
    def f(x):
        return layer(x).sum(), type(layer.bias).__name__

    for at in range(9):
        if at == 3:
            layer.bias = nn.Parameter(tj.ones(2))
        if at == 6:
            del layer.bias
            layer.bias = tj.ones(2)
        y, kind = f(vector())
        y.backward()
        yield y, kind, layer.weight.grad


@case
def training_mode_and_statistics(compile):
    from tracejit import nn

    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))

    @compile
    def f(x):
        y = model(x)
        if y.sum() > -1000:
            y = y * 2
        return y

    for at in range(12):
        if at == 6:
            model.eval()
        if at == 9:
            model.train()
        yield f(matrix() + at), [p for _, p in model.state_dict().items()]
    yield attempt(f, tj.ones((1, 2)))


@case
def embedding_that_gets_a_wrong_index(compile):
    from tracejit import nn

    table = nn.Embedding(4, 2)

    @compile
    def f(at):
        return table(at).sum()

    for at in [[0, 1], [2, 3], [3, 3], [1, 4], [0, 0], [-1, 0], [-5, 0], [2, 1]]:
        yield attempt(f, tj.tensor(at))


@case
def default_dtype_changed_inside(compile):
    @compile
    def f(x, wide):
        with tj.config.scope(default_dtype=tj.float64 if wide else tj.float32):
            y = tj.tensor([1.0, 2.0, 3.0])
        return x + y, tj.tensor(1.0)

    for wide in [False, False, True, True, False]:
        yield f(vector(), wide)


@case
def effects_at_both_ends_of_an_exception(compile):
    box, log = Box(n=0), []

    @compile
    def f(x):
        box.n += 1
        log.append(box.n)
        try:
            x.add_(1)
            if x.sum() > 6:
                raise ValueError("much")
            log.append("fine")
        except ValueError as error:
            log.append(str(error))
            box.n = 0
        finally:
            box.last = x
        return x * 2

    for k in [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 2.0]:
        x = vector() + k
        yield f(x), x, box, log


@case
def many_variants_come_and_go(compile):
    box = Box(kind="a", w=vector())

    @compile
    def f(x, kind):
        box.w.add_(x)
        return x * len(kind), kind, box.w.sum()

    for at in range(90):
        yield f(vector(), f"k{at * at % 31}"), box


@case
def gradient_taken_of_a_second_backward_inside(compile):
    w, v = vector().requires_grad_(), vector().requires_grad_()

    @compile
    def f(x):
        shared = w * v
        (shared * x).sum().backward(retain_graph=True)
        first = w.grad * 1
        (shared.sum() * 2).backward()
        return first, w.grad, v.grad

    for k in range(6):
        yield f(vector() + k), w.grad is v.grad
        if k == 3:
            w.grad, v.grad = None, vector()


@case
def gradient_that_two_leaves_share(compile):
    w, v = vector().requires_grad_(), vector().requires_grad_()

    @compile
    def f(x):
        (w + v + x).sum().backward()
        return w.grad, v.grad

    for k in range(6):
        yield f(vector() + k), w.grad is v.grad
        w.grad.add_(1)
        yield w.grad, v.grad
        if k % 2:
            w.grad = v.grad = None


@case
def one_gradient_given_to_two_leaves(compile):
    w, v = vector().requires_grad_(), vector().requires_grad_()

    @compile
    def f(x):
        ((w * x) + v).sum().backward()
        return x

    for k in range(6):
        w.grad = v.grad = vector() * k if k % 3 else None
        yield f(vector() + k), w.grad, v.grad, w.grad is v.grad


@case
def gradient_is_an_argument(compile):
    w = vector().requires_grad_()

    @compile
    def f(x):
        (w * x).sum().backward()
        return x * 2

    for k in range(6):
        x = vector() + k
        w.grad = x if k % 2 else None
        yield f(x), w.grad, x


@case
def gradient_is_a_view(compile):
    w = vector().requires_grad_()
    store = tj.zeros((2, 3))

    @compile
    def f(x):
        (w * x).sum().backward()
        return store.sum()

    for k in range(8):
        if k % 3 == 0:
            w.grad = store[k % 2]
        yield f(vector() + k), w.grad, store


@case
def detached_memory_is_written(compile):
    w = vector().requires_grad_()

    @compile
    def f(x):
        y = w * x
        w.detach().add_(1)
        return y, w * 1

    for k in range(5):
        y, z = f(vector() + k)
        yield attempt(y.sum().backward), attempt(z.sum().backward), w, w.grad


@case
def leaf_is_made_and_returned(compile):
    @compile
    def f(x):
        leaf = (x * 2).requires_grad_()
        y = leaf * leaf
        return leaf, y, leaf[0], leaf.detach()

    for k in range(5):
        leaf, y, part, bare = f(vector() + k)
        y.sum().backward()
        part.backward()
        bare.mul_(2)
        yield leaf, y, part, bare, leaf.grad


@case
def result_on_the_tape_of_results(compile):
    w = vector().requires_grad_()

    @compile
    def f(h):
        return h * w, (h * h).sum()

    for k in range(4):
        h = vector() * (k + 1)
        for _ in range(3):
            h, s = f(h)
        (h.sum() + s).backward()
        yield h, s, w.grad


@case
def write_over_a_saved_result_outside(compile):
    w = vector().requires_grad_()

    @compile
    def f(x):
        y = (w * x).exp()
        return y, y * 2

    for k in range(5):
        y, z = f(vector() * 0.1 * k)
        with tj.no_grad():
            y.add_(1)
        yield attempt(z.sum().backward), w.grad


@case
def same_result_twice_and_an_input(compile):
    kept = []

    @compile
    def f(x, y):
        z = x + y
        kept.append(z)
        return z, (z, x), {"y": y, "z": [z, z]}

    for k in range(5):
        x, y = vector() + k, vector()
        out = f(x, y)
        out[0].add_(5)
        yield out, kept, x, y
        yield f(x, x), kept


@case
def constant_that_is_made_is_not_shared(compile):
    @compile
    def f(x):
        table = tj.tensor([1.0, 2.0, 3.0])
        other = tj.zeros(3)
        table.add_(x)
        return table, other, tj.ones(3), x * 0

    seen = []
    for k in range(5):
        made = f(vector() + k)
        seen.append(made)
        for t in made:
            t.add_(10)
        yield seen


@case
def view_of_an_argument_is_kept(compile):
    kept = {}

    @compile
    def f(x):
        kept["row"], kept["all"] = x[0], x.T
        return x[1:]

    for k in range(5):
        x = matrix() + k
        y = f(x)
        y.mul_(2)
        x.add_(1)
        yield y, kept, x


@case
def decision_on_a_flag_and_a_number_of_state(compile):
    box = Box(best=1e9, n=0, at=None)

    @compile
    def f(x):
        box.n += 1
        loss = x.abs().sum()
        if loss < box.best:
            box.best = loss.item()
            box.at = box.n
        return loss * box.n

    for k in [5.0, 4.0, 3.0, 3.5, 1.0, 9.0, 0.0, 2.0, float("nan"), 0.0, -1.0]:
        yield f(vector() + k), box


@case
def number_of_a_tensor_in_everything(compile):
    box = Box(seen=[], total=0.0, by={})

    @compile
    def f(x):
        n = int(x.sum())
        r = float(x.max())
        box.seen.append(n)
        box.total += r
        box.by["n"] = n
        return [n, r, n + r, f"{n} {r:.2f}", (n, [r])], x * r, max(n, 2), n // 2, -n

    for k in [0.0, 0.0, 1.0, 2.5, -3.0, 7.0, 1.0]:
        yield f(vector() + k), box


@case
def threads_that_replay_while_others_record(compile):
    from concurrent.futures import ThreadPoolExecutor

    @compile
    def f(x, kind):
        y = x * len(kind)
        if y.sum() > 20:
            y = y - 1
        return y, kind

    with ThreadPoolExecutor(4) as pool:
        for turn in range(6):
            jobs = [pool.submit(f, vector() + at, "k" * (at % (3 + turn) + 1)) for at in range(24)]
            yield [job.result() for job in jobs]


@case
def list_cleared_and_filled(compile):
    rows = [1, 2, 3]
    table = {"a": 1}

    @compile
    def f(x):
        rows.clear()
        rows.append(x)
        rows.extend([x * 2, rows[0]])
        table.clear()
        table.update(b=x, a=rows)
        return len(rows)

    for k in range(5):
        yield f(vector() + k), rows, table
        rows.append(k)
        table["z"] = k


@case
def write_through_two_names_of_one_list(compile):
    rows = [1, 2, 3]
    box = Box(a=rows, b=rows)

    @compile
    def f(x):
        box.a[0] = x
        box.b[0] = x * 2
        box.a.append(1)
        return box.b[0], len(box.a)

    for k in range(7):
        if k == 4:
            box.b = [7, 8, 9]
        yield f(vector() + k), box, rows
        del box.a[3:]
