"""How the world of the expressions is changed between calls, and how `f` is called."""

CALLS = {
    "tensor": (
        "f(X)",
        [
            "f(Y)", "f(X, A)", "f(X, k=B)", "f(X, scale=A)", "f(X, 3, 1, 2, extra=C)", "f(W)", "f(X + 1)", "f(x=X)",
            "f(X, 2.0)", "f(X, True)", "f(X, *L)", "f(X[:1])", "f(X, **D2)",
        ],
    ),
    "numpy": (
        "f(G)",
        ["f(H)", "f(G, A)", "f(G + 1)", "f(G[:1])", "f(G.T)", "f(G.astype(np.float32))", "f(X)", "f(G.astype(int))", "f(x=G)"],
    ),
}  # fmt: skip
"""The usual call, and unusual ones."""

MUTATIONS = """
X = X + 1
X = -X
X[0] = 2.0
X = X.astype(tj.float64)
X = X.astype(tj.float32)
X = tj.tensor([[1.0, -2.0, 3.5], [0.0, 4.0, -1.25]])
X = tj.tensor([[1.0, 2.0, 3.0]])
X = tj.arange(12.0).reshape(4, 3) - 5
X = tj.arange(9.0).reshape(3, 3) * -0.5
X = tj.arange(15.0).reshape(5, 3) + 1
X = tj.tensor([1.0, 2.0, 3.0])
X = tj.tensor([[float("nan"), 1.0, -0.0], [float("inf"), 0.0, 2.0]])
X = W
X = Y
X = tj.tensor([[1, 2, 3], [4, 5, 6]])
X = tj.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]).T
X = tj.tensor([[0.5, 1.0, 1.5], [2.0, 2.5, 3.0]])[:, ::-1]
X.requires_grad_(not X.requires_grad)
Y = X
G = G + 1
G[0] = [3.0, -1.0, 2.0]
G = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
G = np.array([[-7.0, 2.0, 0.0], [1.0, -0.0, 2.0]])
G = G.astype(np.float32)
G = np.arange(12.0).reshape(4, 3) - 5
G = np.arange(9.0).reshape(3, 3) + 0.25
G = np.arange(15.0).reshape(5, 3) + 1
G = np.array([[1, 2, 3], [4, 5, 6]])
G = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]).T
G = np.array([1.0, 2.0, 3.0])
G = H
G = np.full((2, 3), np.nan)
G.setflags(write=False)
H = H * 2
H[0, 0] = 5.0
H = np.array([[2.0, -1.0, 0.0], [1.0, 1.0, 3.0]])
H = G
H = G[::-1]
H = np.array([[True, False, True], [True, True, False]])
GV = np.array([1.0, -2.0, 4.0])
GV = G[0]
GV[1] = 8.0
GI = np.array([1, 0])
GI = np.array([0, 1, 1])
GS = np.float64(2.5)
GS = np.float32(1.5)
GS = np.int64(3)
GS = 2.5
GB = ~GB
GB = G > 2
W = W * 2
W = tj.tensor([[0.5, 1.5, -1.0], [2.0, -0.25, 3.0]])
W[0] = 1.0
W[0, 1] = float("nan")
W = W.astype(tj.float64)
W = tj.tensor([1.0, 2.0, 3.0])
W = X
W = tj.from_numpy(G.astype(np.float32))
VIEW = W[0]
VIEW = W[-1]
VIEW = V
V = V2
V = tj.tensor([1.0, 2.0, 4.0])
V = tj.tensor([1, 2, 4])
V = tj.tensor([5.0])
V = tj.tensor(3.0)
V[0] = -0.0
V[1] = float("nan")
V.mul_(2)
V = W[0]
V = None
V = 2.0
V = GV
V2 = V
V2 = tj.tensor([3.0, -1.0, 0.5])
V2.neg_()
U = tj.tensor(2.0)
U = tj.tensor(-0.0)
U = tj.tensor(0.0)
U = tj.tensor(float("nan"))
U = tj.tensor(5)
U = U2
U.add_(1)
U2 = tj.tensor(2.0)
U2 = U
U2.neg_()
I = tj.tensor([1, 0, 2])
I = tj.tensor([2, 2])
I[0] = 1
J = tj.tensor(0)
J = tj.tensor(1)
J = 1
MASK = ~MASK
MASK = X > 0
MASK[0] = True
P = tj.tensor([[1.0, 0.5, -1.0], [2.0, 0.0, 1.0]], requires_grad=True)
P.grad = None
P.requires_grad_(not P.requires_grad)
P = P.detach()
P2 = tj.tensor([1.0, 2.0, 3.0], requires_grad=True)
P2.grad = None
OPT.param_groups[0]["lr"] = 0.5
OPT.param_groups[0]["momentum"] = 0.0
OPT.param_groups[0]["params"].reverse()
OPT = tj.optim.SGD([P2], lr=0.1)
OPT.zero_grad()
NET.eval()
NET.train()
NET[0].weight.requires_grad_(not NET[0].weight.requires_grad)
NET[0].bias = None
NET = tj.nn.Sequential(NET[0])
NET.zero_grad()
A = 2
A = 2.0
A = True
A = 3
A = -1
A = 0
A = 0.0
A = -0.0
A = float("nan")
A = 10**20
A = "w"
A = None
A = np.float32(2)
A = Level.HIGH
A = tj.tensor(2.0)
B = 0.5
B = 1
B = -0.5
B = -0.0
B = 0.0
B = float("nan")
B = float("inf")
B = False
B = NUMBER
B = A
C = 3
C = 3.0
C = 5
C = 1
C = A
N = 2
N = 1
N = 3
N = True
N = 2.0
N = 0
AX = 0
AX = 1
AX = -1
AX = False
AX = None
AX = 5
SHAPE = (3, 2)
SHAPE = (2, 3)
SHAPE = [6]
SHAPE = (1, 6)
SHAPE = (2, 2)
SHAPE = 6
FLAG = True
FLAG = False
FLAG = 1
FLAG = []
FLAG = None
NAME = "w"
NAME = "b"
NAME = "n"
NAME = ""
NAME = "lr"
NONE = None
NONE = 0
NONE = 2.0
BIG = 1 << 40
BIG = 1 << 100
BIG = 5
SLICE = slice(0, 2)
SLICE = slice(None, None, -1)
SLICE = slice(1, None)
SLICE = 0
L = [1, 2.5, 3]
L = [3, 1]
L = []
L = [1.0, 2.5, 3.0]
L = [True, 2.5, 3]
L = (1, 2.5, 3)
L[0] = 5
L[0] = -0.0
L[0] = float("nan")
L[:] = [4, 5, 6]
L.append(4)
L = L2
L = [O.n, A]
L2 = [2, 0, 1]
L2 = [0, 1]
L2 = L
L2.reverse()
M = [[1, 2, 3], [4, 5, 6]]
M[1] = M[0]
M[0][0] = 9
M.append([7, 8, 9])
M[0] = [1, 2]
T = (1, 2, 3)
T = (1.0, 2, 3)
T = (3, 2, 1)
T = (1, 2)
T = [1, 2, 3]
PAIRS = [(1, 2.0), (3, 4.0)]
PAIRS = [(2, 2.0), (3, 4.0)]
PAIRS = [(1, 2.0)]
PAIRS[0] = [5, 6]
PAIRS = [(1, 2, 3), (4, 5)]
D = {"a": 1, "b": 2.0, "c": 3}
D = {"c": 3, "b": 2.0, "a": 1}
D = {"a": 1}
D = {}
D["a"] = 7
D["a"] = True
D["d"] = 4
D["s"] = 2
del D["a"]
D.pop("b", None)
D["b"] = float("nan")
D = D2
D = dict(D)
D2 = {"a": 10, "z": 0.5}
D2 = {"z": 1, "a": 2}
D2["zz"] = 1
DD["x"]["y"][0] = 4
DD["x"] = {"y": (7, 8)}
DD = {"x": {"y": [1, 2]}, "z": 3}
DD["z"] = DD["x"]["y"][1]
ST = {1, 2, 3}
ST.add(5)
ST = {2}
FS = frozenset({2, 3})
NAMES = ["w", "b"]
NAMES = ["b", "w"]
NAMES.append("n")
NAMES = ("w",)
TS = [W, V, U]
TS = [V, W, U]
TS = [W, W, U]
TS[0] = V2
TS[1] = TS[0]
TS[0] = W[0]
TS.append(V2)
TS = TS[:2]
TS[0].add_(1)
TD = {"w": W, "b": V}
TD = {"b": V, "w": W}
TD["w"] = V2
TD["new"] = U
TD["b"] = TD["w"]
TT = (W, V)
TT = (V, V)
TT = (V2, W)
Q.append(9)
Q.rotate(1)
Q = collections.deque([4, 5])
Q.clear()
OD["a"] = 5
OD.move_to_end("a")
OD = collections.OrderedDict(b=2, a=1)
CN.update("bbbb")
CN = collections.Counter("abc")
CN["zz"] = 3
DF["a"] = 4
DF = collections.defaultdict(lambda: 5)
DF.default_factory = float
CM = collections.ChainMap(D2, {"a": 6})
CM.maps[0]["a"] = 8
NS.a = 2
NS.a = 1.0
NS.w = V
NS = types.SimpleNamespace(a=3, w=V2)
R = range(4)
R = [0, 1]
DTYPE = tj.float64
DTYPE = tj.float32
DTYPE = tj.int32
DTYPE = "float64"
GEN = tj.random.Generator(1)
GEN.seed(3)
GEN.random((2,))
GEN2 = GEN
PY.seed(1)
PY = random.Random(2)
NPR = np.random.default_rng(1)
ERRORS = (KeyError,)
ERRORS = IndexError
ERRORS = (KeyError, IndexError)
LOG.clear()
LOG.append(1)
LOG = []
LOG = LOG[:2]
MEMO.clear()
MEMO[2] = 0
MEMO[3] = 1
STATE_DICT["step"] = 0
STATE_DICT["ema"] = tj.ones(3)
STATE_DICT["ema"].add_(1)
STATE_DICT["ema"] = V
STATE_DICT = {"ema": tj.zeros(3), "step": 5}
O = Model()
O = O2
O = Sub()
O = Model(2.0)
O.n = 1
O.n = 2
O.n = 1.0
O.n = True
O.n = -0.0
O.lr = 0.1
O.lr = 0.25
O.lr = 2
O.lr = float("nan")
O.w = V
O.w = VIEW
O.w = tj.tensor([1.0, 2.0, 3.0])
O.w.add_(1)
O.w[0] = 9
O.w = O2.w
O.items = [3]
O.items.append(5)
O.items[0] = 7
O.child = O2
O.child = O
O.child = None
O.on = not O.on
O.extra = 3
O.extra = V
del O.extra
O.scale = 7
del O.scale
O.bias = 4
del O.bias
O.run = helper
O.run = O2.other
del O.run
O.__class__ = Sub
O.__class__ = Model
O.history = []
O.cached
O.__dict__.pop("cached", None)
O.other = 3
O2.n = 4
O2.w = O.w
O2 = O
O2 = Model(3)
OS = [O2, O]
OS = [O, O2]
OS[0] = SUB
OS = OS[:1]
OS[0].n = 6
Model.scale = 3
del Model.scale
Model.bias = 2
Model.bias = 1.0
Model.bias = True
Model.kinds = ["q"]
Model.later = 5
del Model.later
Model.run = Model.other
Model.run = helper
Model.run = Sub.run
Model.rate = 5
Model.rate = property(lambda self: self.lr * 3)
Model.extra = property(lambda self: 8)
del Model.extra
Model.n = 5
Model.__len__ = lambda self: 4
Model.__bool__ = lambda self: True
Model.__contains__ = lambda self, value: True
Model.__getattr__ = lambda self, name: 6
Model.__eq__ = lambda self, other: True
Model.__add__ = Model.__radd__
Model.__call__ = Model.other
Model.__getitem__ = lambda self, key: 3
Model.__iter__ = lambda self: iter([7])
Base.scale = 2.0
Base.scale = 5
Base.kinds = ["p", "q"]
Base.kinds.append("r")
Base.table["a"] = 4
Base.table = {"a": 2}
Base.plain = staticmethod(lambda x: x + 2)
Base.of_class = classmethod(lambda cls, x: x - cls.scale)
Base.later = 9
Base.__call__ = lambda self, x: x
SUB.n = 3
SUB.bias = 2
SUB = Sub(2)
SUB = Model(2)
Sub.bias = 6
Sub.run = Model.other
Sub.__bases__ = (Model,)
del Sub.bias
DYN.a = 3
DYN.qqq = 9
DYN.missing = 4
Dynamic.__getattr__ = lambda self, name: 2
WATCHED.value = 1
WATCHED = Watched()
DESCRIBED.base = 4
DESCRIBED.__dict__["doubled"] = 1
Described.doubled = 5
S.a = 2
S.a = 1.0
S.w = V2
S.missing = 1
del S.missing
S = Slotted()
COUNTING.stop = 2
COUNTING = [4, 5]
COUNTING = Counting(4)
MODE = Mode.SLOW
MODE = Mode.FAST
LEVEL = Level.HIGH
LEVEL = Level.LOW
LEVEL = 1
OPTION = Option.TWO
NUMBER = Number(3.0)
NUMBER = 2.0
PT = Point(1, 2.0)
PT = Point(2, 2)
PT = (1, 2.0)
CFG.lr = 0.5
CFG.steps = 3
CFG.tags.append(2)
CFG = Config(tags=[5])
FZ = Frozen(2)
FZ = Frozen(1, 2)
CP.a = 3
CP.w = V
helper = helper_b
helper.__defaults__ = (5,)
helper.__defaults__ = (2.0,)
helper.__kwdefaults__ = {"s": 3.0}
helper.__code__ = helper_b.__code__
helper.calls = 0
helper.calls = 1.5
helper, helper_b = helper_b, helper
helper = O
helper = logged(helper_b)
decorated = helper
decorated = logged(helper_b)
pick.__defaults__ = ([1],)
pick.__defaults__[0].append(1)
partial = functools.partial(helper, k=5)
partial = functools.partial(helper_b, s=2)
adders = [add_n(2), add_n(1)]
adders[0] = add_n(3)
adders.reverse()
table["h"] = helper_b
table = {"b": helper, "h": helper_b, "w": helper}
inner = helper_b
recurse = helper
total = max
numbers = range
checked = lambda x, limit: x * 2
remembered.cache_clear()
bound = O2.run
bound = O.other
bound = helper
ITER = iter([7, 8])
GENERATOR = (value for value in (5, 6))
len = my_len
del len
sum = total
del sum
isinstance = lambda a, b: True
del isinstance
math = types.SimpleNamespace(**{**vars(math), "sqrt": abs, "pi": 3})
f.__defaults__ = (3,)
f.__defaults__ = (2.0,)
f.__kwdefaults__ = {"scale": 2.0}
f.__defaults__ = (V,)
LAST = None
LAST = X
if isinstance(LAST, tj.Tensor): LAST.add_(1)
if isinstance(LAST, np.ndarray) and LAST.flags.writeable: LAST += 1
if isinstance(LAST, list) and LAST: LAST[0] = 1
if isinstance(LAST, tuple) and isinstance(LAST[0], tj.Tensor): LAST[0].add_(1)
if isinstance(LAST, tj.Tensor): X = LAST
if isinstance(LAST, tj.Tensor): V = LAST
set_number(2)
set_number(2.0)
set_number(True)
set_number(-1)
set_number(float("nan"))
set_tensor(V)
set_tensor(V.copy())
set_tensor(X)
set_tensor(tj.tensor(1))
set_helper(helper_b)
set_helper(helper)
set_helper(O)
CELL_LIST.append(3)
CELL_LIST[0] = 2.5
CELL_LIST[:] = [1, 2]
CELL_LIST.pop()
"""
