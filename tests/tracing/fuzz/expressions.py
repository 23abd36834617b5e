"""A catalogue of expressions that read outside state in every way, each run in a world that a seeded mutator changes."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from random import Random

from tests.tracing.fuzz.expression_mutations import CALLS, MUTATIONS
from tests.tracing.fuzz.harness import Case

CALLS_PER_CASE = 40
CHANGES = 0.3
"""How often the world is changed before a call."""
USUAL = 10
"""How many changes recur in one case."""
CELLS = frozenset({"c_number", "c_list", "c_tensor", "c_count", "c_helper"})

# One entry a line: statements separated by ;; of which the last is an expression, the result. Names in capitals are the
# world's, those that begin with c_ are closure variables, the others parameters.
CATALOGUE = {
    "globals": """
        x * A
        x + B - C
        A * x if FLAG else x / C
        x * (A if NAME == "w" else B)
        x + (A + B) * C
        x + A ** N
        x - A // C + A % C
        x * (A / C)
        x + -A
        x + +B
        x + ~A
        x + (A << 1) + (C >> 1) + (A & C) + (A | C) + (A ^ C)
        x + BIG
        x * (0 if NONE is None else 1)
        x if NONE is None else x * NONE
        global A ;; A = A + 1 ;; x * A
        global FLAG ;; FLAG = not FLAG ;; x if FLAG else -x
        global V ;; V = V * 0.5 ;; x + V
        global FRESH ;; FRESH = x + 1 ;; FRESH * 2
        x * globals()["A"]
        x + V if FLAG else x + V2
        VIEW + x
        W[0] = V ;; VIEW + x
        x * NUMBER
        x + GS
        x * float(GS) + A
    """,
    "closures": """
        x * c_number
        x + c_tensor
        x + c_list[0]
        x + len(c_list)
        x + sum(c_list)
        nonlocal c_count ;; c_count += 1 ;; x + c_count
        nonlocal c_count ;; c_count = c_count + c_number ;; x * c_count
        nonlocal c_tensor ;; c_tensor = c_tensor + x.sum() ;; c_tensor
        c_tensor += 1 ;; c_tensor * x
        c_tensor[0] = c_number ;; c_tensor + x
        c_list.append(c_number) ;; x + c_list[-1]
        c_helper(x)
        (lambda y: y * c_number + A)(x)
        def inside(y): return y + c_number + c_list[0] ;; inside(x)
        [c_number * v for v in c_list][0] + x
        c_helper(x, c_number) if c_count % 2 == 0 else x
    """,
    "attributes": """
        x * O.n
        x * O.lr + O.bias
        x + O.w
        x + O.scale
        O.run(x)
        O.describe() + x
        O.of_class(x)
        O.plain(x)
        Model.of_class(x)
        Model.plain(x) + Model.scale
        Model.run(O, x)
        Base.describe(O) * x
        x * O.rate
        x * O.cached
        x + O.child.n if O.child else x
        x if O.child is None else x + O.child.w
        x + OS[0].n
        x + OS[AX].w
        SUB.run(x)
        SUB.describe() * x
        x + SUB.bias
        x * DYN.qqq
        x + getattr(DYN, "missing", A)
        x + DYN.a
        x + DESCRIBED.doubled
        DESCRIBED.doubled = A ;; x + DESCRIBED.base
        WATCHED.value = A ;; x + WATCHED.sets
        x + S.a
        x + S.w
        S.a = S.a + 1 ;; x * S.a
        x + hasattr(S, "missing")
        x + NS.a
        x + NS.w.sum()
        x + (O.kinds[0] == "p")
        x + O.table["a"]
        O.n = O.n + 1 ;; x * O.n
        O.n += A ;; x * O.n
        O.w = O.w * 0.5 ;; x + O.w
        O.w += 1 ;; x + O.w
        O.last = x ;; O.last + 1
        O.last = x * 2 ;; O.last
        O.rate = A ;; x * O.lr
        O.n, O.lr = O.lr, O.n ;; x * O.n
        del O.extra ;; x
        O.extra = A ;; x + O.extra
        x + helper.calls
        helper.calls += 1 ;; x + helper.calls
        Model.bias += 1 ;; x + O.bias
        Model.bias = A ;; O.run(x)
        O.step(x)
        O.update(x)
        bound(x)
        O.w is OS[0].w ;; x * (O.w is OS[0].w)
        x * (O.w is VIEW)
        O.history = [*O.history[-2:], x.sum()] ;; O.history[0] + x
        x + vars(O)["n"]
        x + O.__dict__["n"]
        x * (O.__class__ is Model)
        x + type(O).scale
        x + O.__class__.bias
        x + getattr(O, NAME)
        x + getattr(O, "extra", B)
        x + getattr(O, "n")
        setattr(O, "n", A) ;; x + O.n
        x + operator.attrgetter("n")(O)
        x * (3 if hasattr(O, "extra") else 2)
        x * (3 if hasattr(Model, "later") else 2)
        try: y = x + O.extra ;; except AttributeError: y = x - 1 ;; y
    """,
    "items": """
        x * L[0]
        x * L[-1] + L[AX]
        x + M[0][1]
        x + M[AX][AX]
        x + T[1]
        x + D["a"]
        x + D["b"] * D["c"]
        x + DD["x"]["y"][0]
        x + DD["z"]
        x + TD["w"]
        x + TD[NAME].sum()
        TS[0] + x
        TS[AX].sum() + x
        TT[1] + x
        x + PAIRS[0][1]
        x + Q[0]
        x + OD["a"]
        x + CN["a"] + CN["zz"]
        x + DF["a"]
        x + DF["new"]
        x + CM["a"]
        x + NAMES.index("w")
        x + L.index(A)
        x + L.count(A)
        L[0] = A ;; x + L[0]
        L[0] += 1 ;; x + L[0]
        L[0], L[1] = L[1], L[0] ;; x * L[0]
        D["a"] = A ;; x + D["a"]
        D["a"] += 1 ;; x + D["a"]
        D["new"] = x.sum() ;; x + D["new"]
        STATE_DICT["ema"] = STATE_DICT["ema"] * 0.5 + x[0] ;; STATE_DICT["ema"]
        STATE_DICT["step"] += 1 ;; x / STATE_DICT["step"]
        STATE_DICT["ema"] += x[0] ;; STATE_DICT["ema"] + 0
        TS[0] = x ;; TS[0] * 2
        TS[0] = TS[1] ;; TS[0] + x
        TS[0] += 1 ;; x + TS[1]
        TD["w"].mul_(0.5) ;; x + TD["w"]
        M[0][0] += 1 ;; x + M[0][0]
        M[0], M[1] = M[1], M[0] ;; x + M[0][0]
        LOG.append(A) ;; x + len(LOG)
        LOG.append(x.sum()) ;; x + LOG[-1]
        LOG.extend([A, B]) ;; x + LOG[0]
        LOG.append(A) ;; x + len(LOG[-3:])
        LOG[:] = LOG[-3:] ;; x + len(LOG)
        LOG.insert(0, A) ;; x + LOG[0]
        x + (L.pop() if L else 9)
        L.reverse() ;; x + L[0]
        L.sort() ;; x + L[0]
        L.remove(L[0]) ;; x + len(L)
        L.clear() ;; x + len(L)
        del L[0] ;; x + len(L)
        del D["a"] ;; x + len(D)
        Q.append(A) ;; x + Q[0]
        x + Q.popleft()
        CN["a"] += 1 ;; x + CN["a"]
        O.items[0] = A ;; x + O[0]
        y = L ;; y.append(A) ;; x + L[-1]
        y = [A, B] ;; y.append(C) ;; x + y[-1]
        MEMO[A] = MEMO.get(A, 0) + 1 ;; x + MEMO[A]
        if A not in MEMO: MEMO[A] = x * 2 ;; MEMO[A] + 0
        try: y = x + D["zz"] ;; except KeyError: y = x ;; y
        try: y = x + L[5] ;; except ERRORS: y = x - 1 ;; y
    """,
    "slices": """
        x + sum(L[:2])
        x + len(L[1:])
        x + L[::-1][0]
        x + sum(L[A:])
        x + T[-2:][0]
        x + len(NAME[1:])
        x[:AX + 1]
        x[AX]
        x[:, :N]
        x[..., :N]
        x[SLICE]
        x[..., SLICE]
        x[::-1, N]
        x[I[:2] % 2]
        x[:, I]
        x[J]
        x[MASK]
        x[None, AX]
        x[L2[0] - 1]
        x[T[0], T[0] - 1]
        x[slice(0, N)]
        x[..., ::A]
        x[:, L2]
        x[:, T[:1]]
        x[FLAG]
        x[AX] + x[-1]
        W[AX] + x[0]
        W[:, :N] * x[:, :N]
        x[0, AX]
        x.copy()[AX:]
    """,
    "dicts": """
        x + sum(D.values())
        x + len(D)
        x * len(D.keys())
        x + list(D)[0].count("a")
        x + (list(D.keys()) == ["a", "b", "c"])
        x + D.get("a", 7)
        x + D.get("zz", A)
        x + D.get(NAME, 0)
        x + sum(v for k, v in D.items() if k != "b")
        x + max(D, key=D.get).count("c")
        x + max(D.values())
        x + min(D.items())[1]
        x + ("a" in D)
        x + (NAME in TD)
        x + ("w" not in TD)
        x + (3 in D.values())
        x + {**D, **D2}["a"]
        x + (D | D2)["z"]
        x + dict(D)["a"]
        x + D.copy()["b"]
        x + dict(D, a=5)["a"]
        x + {k: v for k, v in D.items()}["b"]
        x + {v: k for k, v in D.items()}.get(A, "")  .count("a")
        sum(TD.values(), x)
        x + sum(v.sum() for v in TD.values())
        {k: v + x for k, v in TD.items()}
        {k: v * x[0] for k, v in sorted(TD.items())}
        x + next(iter(D.values()))
        x + list(reversed(D))[0].count("c")
        D.update(a=A) ;; x + D["a"]
        x + D.setdefault("new", A)
        x + D.pop("a", 9)
        x + D.popitem()[1]
        D |= D2 ;; x + D["z"]
        x + len(D.items() & D2.items())
        x + len(D.keys() - {"a"})
        x + (D == D2)
        x + sum(zip_v for zip_v, _ in zip(D.values(), D2))
        helper(x, **{"k": A})
        helper(x, **{k: v for k, v in D.items() if k == "s"})
        total(**D) + x
        x + OD.popitem()[1]
        x + list(OD)[0].count("a")
        OD.move_to_end("a") ;; x + list(OD.values())[0]
        x + CN.most_common(1)[0][1]
        x + dict.fromkeys(NAMES, A)["w"]
        x + dict(zip(NAMES, L))["w"]
    """,
    "builtins": """
        x + len(L)
        x * len(T) + len(NAME)
        x + len(O)
        x + len(TS)
        x + len(V)
        x + min(L)
        x + max(L)
        x + max(A, B, C)
        x + min(A, B)
        x + max(L, default=0)
        x + max(L, key=lambda v: -v)
        x + sum(L)
        x + sum(L, A)
        x + sum(sum(row) for row in M)
        x + sorted(L)[0]
        x + sorted(L, reverse=FLAG)[0]
        x + sorted(L, key=lambda v: (v - A) ** 2)[0]
        x + sorted(NAMES)[0].count("b")
        x + sorted(OS)[0].n
        x + list(reversed(L))[0]
        x + abs(A)
        x + abs(B) + round(B) + round(B, 1)
        x + divmod(A, C)[1]
        x + pow(A, N)
        x + int(B) + float(A) + bool(A)
        x + int("3") + float("0.5")
        x + any(L)
        x + all(L)
        x + any(v > A for v in L)
        x + all(v > A for v in L)
        x + all([])
        x + sum(a * b for a, b in zip(L, T))
        x + sum(i * v for i, v in enumerate(L))
        x + sum(i * v for i, v in enumerate(L, A))
        x + sum(map(lambda v: v * 2, L))
        x + list(map(float, L))[0]
        x + sum(filter(None, L))
        x + sum(v for v in filter(lambda v: v > A, L))
        x + sum(map(operator.mul, L, T))
        x + list(zip(*M))[0][1]
        x + isinstance(A, int)
        x + isinstance(A, (float, bool))
        x + isinstance(O, Base)
        x + isinstance(x, tj.Tensor)
        x + isinstance(L, list) + isinstance(D, dict)
        x + issubclass(type(O), Model)
        x + (type(A) is int) + (type(A) == float)
        x + callable(O) + callable(A)
        x + len(range(A)) + (A in R)
        x + sum(range(N))
        x + sum(R)
        x + list(R)[-1]
        x + ord(NAME[0]) + len(chr(65))
        x + len(str(A)) + len(repr(B))
        x + hash(A if isinstance(A, (bool, int, float, str)) else 0)
        x + id(A) * 0
        x + len(list(L)) + len(tuple(M)) + len(set(L))
        x + len({*L, *T})
        x + (A in ST) + len(ST) + (A in FS)
        x + len(ST & FS) + len(ST | FS)
        x + bool(L) + bool(D) + bool(NAME)
        x + bool(O)
        x + next(iter(L))
        x + next(iter([]), A)
        x + next(ITER, 0)
        x + next(GENERATOR, 0)
        x + sum(numbers(N))
        x + len(list(numbers(A)))
        x + sum(COUNTING)
        x + functools.reduce(lambda a, b: a + b, L)
        x + sum(itertools.chain(L, T))
        x + list(itertools.accumulate(L))[-1]
        x + sum(a * b for a, b in itertools.product(L, T))
        x + list(itertools.islice(L, N))[-1]
        x + operator.itemgetter(0)(L)
        x + operator.add(A, B)
        remembered(A) + x
        partial(x)
        functools.partial(helper, k=A)(x)
        x + eval("A")
        x + complex(A, 0).real
        x + slice(A, C).start
        x + len(bytes(N))
        max(V, V2, key=lambda v: v.sum()) + x
        sorted(TS[:2], key=lambda v: float(v.sum()))[0].sum() + x
        sum(TS[:2], start=x)
        sum([x, x * A, W])
        list(map(lambda v: v.sum() * 2, TS))[0] + x
        [a + b for a, b in zip(TS[:2], TT)][0] + x
    """,
    "text": """
        x + len(f"{A}")
        x + len(f"{A:5}|{B!r}")
        x + len(f"{NAME}{L}")
        x + len(f"{O}")
        x + (f"{A}-{B}" == "2-0.5")
        x + len("%s %d" % (NAME, A))
        x + len("{} {k}".format(A, k=NAME))
        x + len(",".join(NAMES))
        x + NAME.count("w") + NAME.startswith("w")
        x + (NAME.upper() == "W")
        x + len(NAME * A)
        x + len(NAME + "b")
        x + len("a b c".split())
        x + {"w": 1, "b": 2}.get(NAME, 3)
        D[f"{NAME}_key"] = A ;; x + len(D)
        (x, f"{NAME}:{A}")
        (x, f"{float(x.sum())}")
        (x, f"{x.shape} {x.dtype} {A!r:>4}")
        (x, str(L), repr(T), str(A))
        (x + 1, NAME, A, B, NONE, FLAG)
    """,
    "comprehensions": """
        [x * v for v in L]
        [x + i for i in range(N)]
        {k: x * v for k, v in D.items()}
        tuple(x + v for v in T)
        [x * v for v in L if v > A][:2]
        [x + a * b for a, b in PAIRS]
        [a + b for a, b in PAIRS][0] + x
        [v for row in M for v in row][-1] + x
        [[x + v for v in row] for row in M][0][0]
        sum(v * 2 for v in L if v != B) + x
        x + len({v for v in L})
        x + len([y := A, y + 1]) + y
        [v.sum() + x[0] for v in TS]
        [t * k for k, t in zip(L, TS)][0] + x
        [O.run(x) for O_ in OS][0]
        [m.run(x) for m in OS][-1]
        [f(x) for f in adders][0]
        [h(x, A) for h in table.values()][-1]
        {n: getattr(O, n) for n in ("n", "lr")}["n"] + x
        y = x ;; for v in L: y = y + v ;; y
        y = x ;; for i, v in enumerate(L): y = y + i * v ;; y
        y = x ;; for k, v in D.items(): y = y + v ;; y
        y = x ;; for k in D: y = y + D[k] ;; y
        y = x ;; for a, b in PAIRS: y = y * a + b ;; y
        y = x ;; for t in TS: y = y + t.sum() ;; y
        y = x ;; for i in range(A): y = y + i ;; y
        y = x ;; for v in O: y = y + v ;; y
        y = x ;; for v in COUNTING: y = y + v ;; y
        y = x ;; for v in Q: y = y + v ;; y
        y = x ;; for row in x: y = y + row * A ;; y
        y = x ;; for m in OS: y = m.run(y) ;; y
        y = x ;; for h in (helper, helper_b): y = h(y, A) ;; y
        i = 0 ;; while i < N: i += 1; x = x + i ;; x
        y = x ;; while float(y.sum()) < 20 and y.ndim: y = y * 2 + A ;; y
    """,
    "unpacking": """
        a, b = PAIRS[0] ;; x * a + b
        a, *b = L ;; x + a + len(b)
        *a, b = T ;; x + b + len(a)
        (a, b), c = PAIRS ;; x * a + b
        a, b = V[:2] ;; a * x + b
        a, b, c = T ;; x * a + b - c
        a, b = TT ;; a + b + x
        a, b = MODE, LEVEL ;; x + b
        a, b = D ;; x + len(a)
        a = b = x + A ;; a += 1 ;; b
        a, b = x ;; a * A + b
        u, v = PT ;; x * u + v
        [*L, *T][0] + x
        x + sum([*L, A])
        x + len((*T, *L))
        a, b = A, B ;; a, b = b, a ;; x * a + b
        rows = [*x] ;; rows[0] + A
        first, *rest = [x, A, B] ;; first * rest[0]
    """,
    "calls": """
        helper(x)
        helper(x, A)
        helper(x, k=A)
        helper(x, A, 1, 2, s=B)
        helper(x, *T)
        helper(x, *L)
        helper(*[x, A])
        helper(x, **{"s": B})
        total(*L) + x
        total(*L, **D) + x
        total(*T, A, k=1) + x
        pick(x)
        pick(x, [A])
        recurse(x, N)
        decorated(x, A)
        decorated(x)
        adders[0](x)
        adders[AX](x)
        add_n(A)(x)
        table["h"](x, A)
        table.get(NAME, helper)(x)
        inner(x, A)
        inner(x)
        O(x)
        SUB(x)
        OS[0](x)
        O.w.sum() + x
        (helper if FLAG else helper_b)(x, A)
        (lambda y, k=A: y * k)(x)
        getattr(O, "run")(x)
        getattr(O, "run" if FLAG else "other")(x)
        operator.methodcaller("run", x)(O)
        x * k
        x * k + scale
        x * scale + len(rest)
        x + sum(rest) + len(options)
        x + options.get("extra", A)
        k = k + 1 ;; x * k
        def inside(y, z=A): return y + z ;; inside(x) + inside(x, 1)
        checked(x, C)
        try: y = checked(x, C) ;; except ValueError as error: y = x + len(str(error)) ;; y
        with scaled(A) as v: y = x * v ;; y
        with O as m: y = x * m.n ;; y
        with contextlib.suppress(KeyError): y = x + D["a"] ;; x
        with tj.no_grad(): y = P * A ;; y + x
        print("", end="") ;; x + A
        assert A, "a message" ;; x
        assert FLAG ;; x * 2
        x if A else None
        None if FLAG else x
        raise ValueError(f"no {NAME}") ;; x
        if A > 2: raise KeyError(NAME) ;; x + 1
        if float(x.sum()) > C: raise ValueError(A) ;; x * 2
    """,
    "comparisons": """
        x + (A < C)
        x + (A <= B) + (A > B) + (A >= C)
        x + (A == B) + (A != C)
        x + (0 < A < C)
        x + (A < B < C)
        x + (A <= len(L) <= C)
        x + (A in L)
        x + (A not in L)
        x + (A in T) + (B in L)
        x + ("a" in NAME)
        x + (NONE is None)
        x + (A is not None)
        x + (V is V2)
        x + (TS[0] is W)
        x + (TS[0] is TT[0])
        x + (L is L2)
        x + (O.child is O2)
        x + (MODE is Mode.FAST)
        x + (FLAG is True)
        x + (L == [1, 2.5, 3])
        x + (T < (1, 3))
        x + (D == {"a": 1})
        x + (NAME < "x")
        x + (O == O2)
        x + (O < O2)
        x + (O in OS)
        x + (A in O)
        x + (PT == (1, 2.0))
        x + (CFG == Config())
        x + (FZ < Frozen(2, 1.0))
        x + (MODE == Mode.SLOW) + (LEVEL < 2)
        x + (SHAPE == (3, 2))
        x + (x.shape == SHAPE)
        x + (x.shape[0] == A)
        x + (x.ndim > 1) + x.size + len(x)
        x + (x.dtype == DTYPE)
        x + (x.dtype is tj.float32)
        x < V
        (x > A) & (x < C)
        (x == V) | (x != W)
        bool((x > A).any()) and float(x[0].sum()) < C
        x + (float(U) < float(U2))
        x + bool(U > U2)
        x + (0 < U < C)
        x + (helper is helper_b)
        x + (type(O) is Sub)
        x + (x is X)
        x + (float("nan") == B)
        x + (B == B)
        x + (B is B)
        x + (A == True)
    """,
    "booleans": """
        x + (A and B)
        x + (A or B)
        x + (not A)
        x + (L and 1 or 2)
        x + (NONE or A)
        x if FLAG and A else -x
        x if A and B and C else x * 3
        x * (1 if L else 2 if D else 3)
        x if not L else x + L[0]
        x + (A if B > 0 else C)
        x + (len(L) if L else len(D))
        x if O else -x
        x if SUB and O else -x
        x if V is not None and V.ndim else -x
        x if U else -x
        x if U > 0 or FLAG else -x
        x if bool(x.sum() > A) else x * 2
        x if float(U) else x + 1
        x + (y := A * 2) + y
        x * bool(NAME) + bool(T)
        x if (x > 0).all() else x.abs()
        if FLAG: return x * A ;; x - A
        if A > B: return (x, A) ;; x
        if not (x > A).any(): return A ;; x
        if float(x.sum()) > float(V.sum()): return V ;; x
    """,
    "math": """
        x + math.sqrt(abs(A))
        x + math.floor(B) + math.ceil(B)
        x + math.pi * A
        x + math.exp(min(B, 3))
        x + math.isnan(B) + math.isinf(B)
        x + math.prod(L)
        x + math.fsum(L)
        x + math.gcd(6, 4) + math.hypot(A, B)
        x + math.copysign(1, B)
        x + math.atan2(A, B) + math.sin(A)
        x + math.log(abs(B) + 1) + math.tanh(B)
        x + math.comb(5, N) + math.factorial(N)
        x + math.inf * 0 if FLAG else x + math.nan
        x * math.fabs(B) + math.trunc(B)
        x + (A).bit_length() + (B).is_integer()
        x + A.real + B.imag
        x * (A * 1.0 / max(C, 1) ** 0.5)
        x * (0.5 ** N)
        x * math.cos(math.pi * len(LOG) / 8)
        x + float(U) * A
        x + float(V.sum()) + int(J)
        x + math.sqrt(abs(float(x.sum())))
        x + int(x.max()) + round(float(V[0]), 1)
        x + U.item() * 2 + sum(V.tolist())
        x + math.isclose(A, B)
        x + PY.random()
        x + PY.randint(0, A + 3)
    """,
    "tensors": """
        x.sum(axis=AX)
        x.sum(AX, keepdims=FLAG)
        x.max(axis=AX)
        x.mean(axis=AX, keepdims=True)
        x.argmax(axis=AX)
        x.reshape(SHAPE)
        x.reshape(*SHAPE)
        x.reshape(N, -1)
        x.reshape(-1)[:N]
        x.reshape(L2 and [3, 2])
        x.permute(*range(x.ndim)[::-1])
        x.transpose(AX, 1 - AX)
        x.astype(DTYPE)
        x.to(DTYPE) * A
        x.T @ x
        x @ W.T
        x @ V
        tj.zeros(SHAPE) + A
        tj.ones(N) * B
        tj.full(SHAPE, A)
        tj.full(SHAPE, B, dtype=DTYPE)
        tj.arange(A, C + 3) * B
        tj.arange(N, dtype=DTYPE)
        tj.tensor([A, B, C]) + x
        tj.tensor(L) * x
        tj.tensor(M)
        tj.tensor(L, dtype=DTYPE)
        tj.asarray(T) + x
        tj.eye(N)
        tj.linspace(0, A, N)
        tj.zeros_like(x) + V
        tj.concat([x, W], axis=AX)
        tj.concat(TS[:1] + [x])
        tj.stack([x, W], axis=AX)
        tj.stack([V, V2])
        tj.split(x, [1], axis=AX)
        tj.where(MASK, x, A)
        tj.where(x > A, V, B)
        tj.maximum(x, A)
        tj.minimum(x, V)
        tj.clip(x, A, C)
        x.clip(-A, B)
        tj.sum(x, axis=tuple(L2[:1]))
        tj.pad(x, [(N, 0), (0, 1)])
        tj.roll(x, A, axis=AX)
        tj.repeat(x, N, axis=AX)
        tj.tile(x, (N, 1))
        tj.flip(x, axis=AX)
        tj.take(x, I, axis=1)
        tj.sort(x, axis=AX)
        tj.broadcast_to(V, (N, 3)) + 0
        tj.expand_dims(x, axis=AX)
        tj.squeeze(x[:1], axis=AX)
        tj.softmax(x, axis=AX)
        tj.exp(x * B) + tj.tanh(x)
        tj.pow(x, A)
        x ** A
        x ** N + A ** N
        A ** x
        A - x
        A / x
        x // C
        x % C
        -x * abs(x)
        x.abs() + U
        x * U + J
        x + V * V2
        x.var(axis=AX) + U
        tj.cumulative_sum(x, axis=AX)
        tj.one_hot(I, C + 1)
        tj.einsum("ij,j->i", x, V)
        tj.outer(V, V2)
        tj.tril(x, k=A)
        tj.linspace(A, B, 3)
        x[0].expand_dims(axis=AX)
        x.shape[AX] * x
        x * x.shape[-1] + x.ndim
        x
        W
        (x, x)
        [x, W, x]
        {"x": x, "v": V}
        (V, V2, VIEW)
        x.T
        x[0]
        W[0]
        x.copy()
        x.detach()
        x + 0
        (x.sum(), x.shape, x.dtype)
        x.tolist()
        x.numpy() * 1
        np.asarray(x) + A
        len(x.tolist()) + x
        [float(v) for v in V][0] + x
        [row.sum() for row in x]
        x.item() if x.size == 1 else x
        set_default = tj.float32 ;; x.astype(set_default) + A
        (x > A).any()
        (x > A).all() | (U > 0)
        tj.isnan(x) | tj.isinf(x)
        x.is_contiguous ;; x + x.is_contiguous
        x.requires_grad ;; x + x.requires_grad
        repr(x[0, 0])
        (x, None, A)
    """,
    "writes": """
        x += A ;; x
        x *= B ;; x + 1
        x -= V ;; x
        x[0] = A ;; x
        x[AX] = V ;; x.sum()
        x[:, N - 1] = B ;; x
        x[MASK] = A ;; x + 0
        x[0] += V ;; x
        x[...] = W ;; x
        x.add_(A) ;; x
        x.mul_(V).sub_(B)
        x.copy_(V) ;; x
        x.fill_(A) ;; x * 2
        x.zero_() ;; x
        y = x[0] ;; y += A ;; x
        y = x.T ;; y[0] = A ;; (x, y)
        y = x.reshape(-1) ;; y[::2] = B ;; x
        y = x.copy() ;; y += V ;; (x, y)
        y = x ;; y = y + 1 ;; y += A ;; (x, y)
        V += 1 ;; x + V
        V[0] = A ;; x + V
        VIEW.add_(1) ;; W + x
        W[0] += x[0] ;; VIEW * 1
        W[:, AX] = U ;; VIEW + W
        W.copy_(x) ;; (W, VIEW)
        V[:] = V2 ;; V + x
        V[1:] = V[:-1] ;; V + x
        V[:2] += V[1:] ;; V
        TS[0] *= B ;; (TS[0], VIEW)
        O.w[0] = A ;; O.w + x
        O.w = V ;; O.w += 1 ;; V
        O.w.lerp_(V, B) ;; O.w + 0
        O.last = V ;; V.add_(1) ;; O.last + 0
        W += x ;; if float(W.sum()) > C: W -= x ;; W + 0
        V.sub_(V) ;; V + x
        U += 1 ;; x * U
        x[0], x[1] = x[1], x[0] ;; x
        LOG.append(x) ;; x += 1 ;; LOG[0] + 0
        LAST
        x + (LAST if isinstance(LAST, tj.Tensor) and LAST.shape == x.shape else 0)
        if isinstance(LAST, tj.Tensor): LAST.add_(1) ;; x * 2
        O.last = x * 2 ;; O.last2 = O.last[0] ;; (O.last, O.last2)
        O.last = x + 1 ;; O.last[0] = 7 ;; O.last
        J += 1 ;; x[J % 2]
    """,
    "objects": """
        PT.x * x + PT.y
        PT[0] * x + len(PT)
        PT._replace(x=A).x + x
        Point(x, A)
        Point(A).y + x
        PT
        CFG.lr * x + CFG.steps
        CFG.total() + x
        CFG.tags[0] + x
        CFG.steps += 1 ;; x * CFG.steps
        Config(lr=A).lr * x
        Config(B, N).total() + x
        (x, Config(A))
        dataclasses.replace(CFG, lr=A).lr + x
        dataclasses.asdict(CFG)["lr"] + x
        FZ.a + x * FZ.b
        CP.a * x + CP.w
        CP.w = CP.w + 1 ;; CP.w * x
        Compact(A, x).w * 2
        x + MODE.value
        x * (2 if MODE is Mode.FAST else 3)
        x + len(MODE.name)
        x + LEVEL
        x + (LEVEL > Level.LOW)
        x + Level["HIGH"] + Level(1)
        x + len(Mode)
        x + (OPTION in Option.ONE | Option.TWO)
        {Mode.FAST: x, Mode.SLOW: -x}[MODE]
        O[0] + x
        O + x
        x + O
        O * x
        -O + x
        float(O) + x
        O[0] = A ;; O.items[0] + x
        x + (O == O2) + (O != O2)
        x + len(f"{O:>3}")
        x + sum(O)
        x + list(O)[0]
        x + operator.index(O)
        {O: A}[O] + x
        {"k": O}["k"].n + x
        m = Model(A) ;; m.run(x)
        m = Model(A) ;; m.step(x) ;; m.history[0] + x
        m = Model(A) ;; m.w = x ;; O.child = m ;; m.w + 1
        O.child = O2 ;; O.child.n += 1 ;; x + O2.n
        Sub(A).run(x)
        Model.later = A ;; x + O.later
        del Model.later ;; x
        super(Sub, SUB).run(x)
        x + Base.kinds[0].count("p")
        Base.table["a"] += 1 ;; x + O.table["a"]
        Base.kinds.append(A) ;; x + len(O.kinds)
        x * NUMBER + 1
        type("Local", (), {"v": A})().v + x
        types.SimpleNamespace(v=A).v + x
        NS.a += 1 ;; x * NS.a
        x + (1 if isinstance(NS, types.SimpleNamespace) else 2)
    """,
    "random": """
        GEN.random((3,)) + x
        GEN.random(x.shape) * A
        GEN.normal((N, 3))
        GEN.integers(A + 3, shape=(3,)) + x
        GEN.random((3,)) + GEN.random((3,)) * x
        GEN.random((3,)) if FLAG else x
        y = GEN.random(()) ;; x if float(y) < B else -x
        GEN.bernoulli(0.5, (3,)) * x
        GEN.uniform((3,), 0, C) + x
        GEN.seed(N) ;; GEN.random((3,)) + x
        GEN.permutation(3) + x
        GEN.permutation(x)
        tj.random.Generator(N).random((3,)) + x
        y = x * (GEN.random(x.shape) > B) ;; O.last = y ;; y + 1
        GEN.state.shape[0] + x
        NPR.integers(5) + x
        x + NPR.random()
    """,
    "gradients": """
        (P * x).sum().backward() ;; P.grad
        (P * A + x).sum().backward() ;; P.grad + 0
        P.grad = None ;; (P * P * x).sum().backward() ;; P.grad
        P * x
        (P * x).detach() + A
        (P @ P2).sum()
        with tj.no_grad(): P.sub_(x * B) ;; P
        OPT.zero_grad() ;; loss = (x @ P2).sum() ;; loss.backward() ;; OPT.step() ;; loss
        OPT.zero_grad() ;; (P * x + P2).sum().backward() ;; OPT.step() ;; P.detach() + 0
        OPT.param_groups[0]["lr"] = B ;; (P * x).sum().backward() ;; OPT.step() ;; x
        NET(x)
        NET(x).sum().backward() ;; [p.grad for p in NET.parameters()]
        NET.zero_grad() ;; NET(x).sum().backward() ;; NET[0].weight.grad
        sum(p.sum() for p in NET.parameters()) + x
        [n for n, _ in NET.named_parameters()] ;; x + len(list(NET.parameters()))
        tj.grad(lambda v: (v * v * A).sum())(x)
        tj.value_and_grad(lambda v: (v * c_tensor).sum())(x)
        x + (P.grad is None)
        x.requires_grad_() ;; (x * A).sum().backward() ;; x.grad
        y = P * x ;; y.sum().backward() ;; y
        tj.nn.functional.mse_loss(P * x, W)
        tj.nn.functional.relu(x - A)
        x + tj.is_grad_enabled()
    """,
    "numpy": """
        np.add(x, A)
        np.maximum(x, A) + 0.0
        np.minimum(x, H) + 0.0
        x + H
        x * A + H
        x * GV
        np.where(x > A, x, H)
        np.where(GB, x, A)
        np.sum(x, axis=AX)
        x.sum(axis=AX)
        x.max(axis=AX)
        np.max(x) + A
        x.sum() * A
        np.zeros(SHAPE) + A
        np.ones(x.shape) * A
        np.full(SHAPE, A)
        np.full_like(x, A)
        np.zeros_like(x) + GV
        np.empty_like(x).shape
        np.arange(A, C + 2)
        np.arange(3.0) + x
        np.concatenate([x, H], axis=AX)
        np.stack([x, H], axis=AX)
        np.vstack([x, GV])
        x.reshape(SHAPE) + 1
        np.reshape(x, SHAPE) * 1
        x.T * 1
        x[0]
        x[AX]
        x[:, :N]
        x[GI]
        x[x > A]
        x[GB]
        x[0, AX]
        x.copy()
        x.astype(np.float32)
        (x > 0).astype(int) // C
        np.abs(x) - H
        np.sqrt(np.abs(x) * 4)
        np.floor(x * B) + np.ceil(x)
        np.clip(x, A, C) + 0.0
        np.sign(x) + np.square(x)
        x % C
        x ** 2
        x @ H.T
        np.dot(x, GV)
        np.outer(GV, GV) + A
        np.argmax(x, axis=AX)
        np.sort(x, axis=AX)
        np.cumsum(x, axis=AX)
        np.any(x > A) or np.all(x > 0)
        np.isnan(x).any()
        x.shape + (A,)
        x.ndim + x.size
        x.dtype == np.float64
        isinstance(x, np.ndarray)
        x.tolist()
        float(x.sum()) + A
        x.sum().item() * A
        len(x) + A
        x += A ;; x
        x *= H ;; x
        x[0] = A ;; x
        x[:, AX] = 7 ;; x + 0
        y = x[0] ;; y += A ;; x
        y = x.T ;; y[0] = A ;; y * 1
        np.add(x, A, out=x) ;; x
        np.copyto(x, H) ;; x
        x.fill(A) ;; x
        x.sort() ;; x
        H += 1 ;; x + H
        H[0] = x[0] ;; H
        GV[:2] = A ;; x + GV
        x
        H
        (x, H)
        if x.sum() > A: return x * 2 ;; x
        if (x > A).any(): x = x - 1 ;; x
        y = x ;; while y.sum() < 50 and y.size: y = y * 2 + 1 ;; y
        for row in x: row += 1 ;; x
        [row.sum() for row in x]
        np.array([A, 2, C]) + x
        np.array(L) * 2 + x
        np.asarray(M) + 1
        x + GS
        x * GI.sum()
        np.float32(A) + x
        np.newaxis is None and x[None]
        np.expand_dims(x, AX)
        np.broadcast_to(GV, (2, 3)) + x
        np.transpose(x) * A
        np.linalg.norm(GI) + x
        np.prod(x.shape) + x
        np.shape(x)[0] + x
        np.errstate(all="ignore") and x + A
        tj.asarray(x) + A
        tj.sum(x, axis=AX)
        helper(x, A)
        O.run(x)
        (x == H).sum() + A
    """,
}


NOT_FOR_NUMPY = re.compile(
    r"""A = ("w"|None|10\*\*20|tj.tensor.*|Level.*|float.*)|B = float.*|AX = (True|False)|f\.__defaults__ = \(V.*"""
)
"""Changes that tier 1 answers otherwise than NumPy: text, objects, huge numbers and tensors among arrays, NaN in integers,
bools as axes."""


def entries() -> list[tuple[str, str]]:
    """(topic, text), in order."""
    return [
        (topic, line.strip())
        for topic, lines in CATALOGUE.items()
        for line in lines.strip().splitlines()
    ]


def case(topic: str, entry: str, seed: int, *, engine: str = "compiled") -> Case:
    """The entry in a world, with calls and changes that `seed` chooses."""
    rnd = Random(f"{entry} {seed}")
    source, steps = _world() + function(entry), tuple(_steps(rnd, topic, entry))
    return Case(source, steps, engine, is_numpy=topic == "numpy")


@cache
def _world() -> str:
    return Path(__file__).with_name("expression_world.py").read_text()


def function(entry: str) -> str:
    """The text of `f`, which gives the entry."""
    *statements, result = (part.strip() for part in entry.split(";;"))
    names = _names(entry)
    assigned = sorted(set(re.findall(_ASSIGNED, entry)) & _world_names())
    declared = [f"global {name}" for name in assigned if f"global {name}" not in entry]
    if "c_tensor +=" in entry:
        declared.append("nonlocal c_tensor")
    body = "".join(f"    {line}\n" for line in [*declared, *statements, f"return {result}"])
    function = f"def f(x, k=2, *rest, scale=0.5, **options):\n{body}"
    return f"\n\n{_in_closure(function) if names & CELLS else function}"


_ASSIGNED = r"(?:^|;; |: )([A-Z]\w*) [-+*|]?= "


def _in_closure(function: str) -> str:
    indented = "".join(f"    {line}\n" for line in function.splitlines())
    return (
        "def make(c_number, c_list, c_tensor, c_count, c_helper):\n"
        "    def set_number(value):\n        nonlocal c_number\n        c_number = value\n\n"
        "    def set_tensor(value):\n        nonlocal c_tensor\n        c_tensor = value\n\n"
        "    def set_helper(value):\n        nonlocal c_helper\n        c_helper = value\n\n"
        f"{indented}\n    return f, set_number, set_tensor, set_helper\n\n\n"
        "CELL_LIST = [1, 2, 3]\n"
        "f, set_number, set_tensor, set_helper = make(2, CELL_LIST, V.copy(), 0, helper)\n"
    )


def _steps(rnd: Random, topic: str, entry: str) -> list[str]:
    every = [
        line for line in _lines(MUTATIONS) if topic != "numpy" or not NOT_FOR_NUMPY.fullmatch(line)
    ]
    relevant = _relevant(every, topic, entry)
    usual = rnd.sample(relevant, min(USUAL, len(relevant)))
    usual_call, calls = CALLS["numpy" if topic == "numpy" else "tensor"]
    steps: list[str] = []
    for _ in range(CALLS_PER_CASE):
        while rnd.random() < CHANGES:
            steps.append(rnd.choice(rnd.choices((usual, relevant, every), (12, 2, 1))[0]))
        steps.append(usual_call if rnd.random() < 0.88 else rnd.choice(calls))
    return steps


def _relevant(every: list[str], topic: str, entry: str) -> list[str]:
    """The changes that name something that the entry names, or its argument."""
    names = _names(entry) & _world_names() | {"G" if topic == "numpy" else "X"}
    if _names(entry) & CELLS:
        names |= {"set_number", "set_tensor", "set_helper", "CELL_LIST"}
    for name in tuple(names):
        names |= RELATED.get(name, set())
    return [line for line in every if _names(line) & names]


RELATED = {
    "O": {"Model", "Base"}, "SUB": {"Sub", "Model"}, "OS": {"O", "O2", "Model"}, "bound": {"O", "Model"},
    "decorated": {"helper"}, "partial": {"helper"}, "inner": {"helper"}, "table": {"helper"}, "VIEW": {"W"}, "TS": {"W", "V"},
    "TD": {"W", "V"}, "TT": {"W", "V"}, "OPT": {"P", "P2"}, "S": {"Slotted"}, "DYN": {"Dynamic"}, "PT": {"Point"},
}  # fmt: skip
"""What else an entry depends on, beside what it names."""


@cache
def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines() if line.strip()]


@cache
def _names(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[A-Za-z_]\w*", text))


@cache
def _world_names() -> frozenset[str]:
    """What the world defines at its top level; common names of modules do not make a change relevant."""
    names = re.findall(r"^(?:def |class )?([A-Za-z_]\w*)(?: = |\(|:)", _world(), re.MULTILINE)
    shadowed = {"len", "math", "sum"}
    return frozenset(names) | shadowed - {"tj", "np"}
