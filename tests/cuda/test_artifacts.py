"""Artifacts on a GPU: the CPU's bits from a file's machine code, and which code is taken."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.cuda.artifacts import X, bits, several
from tests.standalone.files import step
from tracejit import cli, nn, optim
from tracejit.nn import functional as F
from tracejit.runtime.cuda import kernels
from tracejit.runtime.cuda.abi import ARCHITECTURES, PTX, best_of

BATCH = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)


@pytest.fixture
def pair(device: str, tmp_path: Path) -> Callable[..., Any]:
    """A function as it runs from one file on the CPU, and on a GPU."""

    def export(f: Any, *args: Any) -> Any:
        path = tmp_path / "f.tj"
        tj.export(f, args, path, targets=("cpu", "cuda"))
        there = tj.load(path, device=device)
        assert there.device == device
        assert there.target is not None
        assert there.target.name == "cuda"
        return tj.load(path), there

    return export


def training() -> tuple[Any, ...]:
    tj.random.seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    return model, optim.Adam(model.parameters()), BATCH


def test_a_training_step_with_decisions_and_loops_goes_on_training(
    pair: Callable[..., Any], device: str
) -> None:
    here, there = pair(step, *training())
    for _ in range(3):
        result = there(BATCH)
        assert result[0].device == device
        assert bits(result) == bits(here(BATCH))
    states = here.state_dict(), there.state_dict()
    assert bits(states[0]) == bits(states[1])
    assert states[1]["model.0.weight"].device == device
    for each in (here, there):
        with pytest.raises(ArithmeticError, match="the loss is nan"):
            each(BATCH * np.inf)
    assert bits(there.state_dict()) == bits(here.state_dict())
    here(BATCH)
    there.load_state_dict(here.state_dict())
    assert bits(there(BATCH)) == bits(here(BATCH))
    here.load_state_dict(there.state_dict())
    assert bits(here.state_dict()) == bits(there.state_dict())


def test_open_sizes_have_one_state_on_the_gpu(device: str, tmp_path: Path) -> None:
    def train(model, optimizer, x):
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    model, optimizer, _ = training()
    path = tmp_path / "f.tj"
    args = model, optimizer, "float32[batch, 4]"
    tj.export(train, args, path, sizes={"batch": (2, 5)}, targets=("cpu", "cuda"))
    here, there = tj.load(path), tj.load(path, device=device)
    assert there.device == device
    for batch in (5, 2, 5):
        x = tj.tensor(X[:batch, :4])
        assert bits(there(x.to(device))) == bits(here(x))
        assert bits(there(x)) == bits(here(x))
    with pytest.warns(RuntimeWarning, match="no native code for batch=3"):
        assert there(tj.tensor(X[:3, :4])).device == device
    assert there.state_dict()["model.0.weight"].device == device


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1, 5), (6, 40)])
def test_shapes_of_every_kind(
    pair: Callable[..., Any], shape: tuple[int, ...], device: str
) -> None:
    x = np.resize(X, shape)
    here, there = pair(several, tj.tensor(x), 2.0)
    wanted = bits(here(tj.tensor(x), 0.5))
    assert bits(there(tj.tensor(x, device=device), 0.5)) == wanted
    assert bits(there(tj.tensor(x), 0.5)) == wanted


def test_memory_of_any_layout_nan_and_infinity(pair: Callable[..., Any], device: str) -> None:
    x = X.copy()
    x[0, :4] = np.nan, np.inf, -np.inf, -0.0
    here, there = pair(several, tj.tensor(x), 2.0)
    wide = np.zeros((6, 80), np.float32)
    wide[:, ::2] = x
    wanted = bits(here(tj.tensor(x), 1.0))
    on_gpu = tj.tensor(wide, device=device), tj.tensor(x.T.copy(), device=device)
    for given in (on_gpu[0][:, ::2], on_gpu[1].T, wide[:, ::2], x.T.copy().T):
        assert bits(there(given, 1.0)) == wanted
    stacked = tj.tensor(np.stack([X, x]), device=device)
    assert bits(there(stacked[1], 1.0)) == wanted


def test_what_is_returned_as_it_was_given_is_the_callers_own(
    pair: Callable[..., Any], device: str
) -> None:
    _, there = pair(lambda x: (x, x[0]), tj.tensor(X))
    for given in (X, tj.tensor(X), tj.tensor(X, device=device)):
        own, first = there(given)
        assert own is given
        assert first.device == device
        assert bits(first) == bits(tj.tensor(X[0]))


def of_arrays(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e, e[1:, ::2], e.sum(), x > 0


def test_arrays_give_arrays_that_share_memory_as_they_did(pair: Callable[..., Any]) -> None:
    here, there = pair(of_arrays, X)
    results = there(X)
    assert bits(results) == bits(here(X)) == bits(tj.compile(of_arrays)(X))
    results[0][1, 0] = 7
    assert results[1][0, 0] == 7


def test_labels_out_of_range_are_errors(pair: Callable[..., Any], device: str) -> None:
    labels = np.arange(6)
    here, there = pair(lambda x, y: F.cross_entropy(x, y), tj.tensor(X), tj.tensor(labels))
    assert bits(there(X, labels)) == bits(here(tj.tensor(X), tj.tensor(labels)))
    for wrong in (labels + 40, tj.tensor(labels + 40, device=device)):
        with pytest.raises(IndexError, match="out of bounds for 40 classes"):
            there(X, wrong)


def grown(x, y):
    y += x
    if y.sum() > 100:
        y *= 0.5
    return y.sum()


def test_arguments_that_are_written(pair: Callable[..., Any], device: str) -> None:
    ones = np.ones((2, 3), np.float32)
    here, there = pair(grown, tj.tensor(ones), tj.tensor(ones))
    for factor in (1.0, 100.0):
        near, far = tj.tensor(ones), tj.tensor(ones, device=device)
        given = ones * np.float32(factor)
        assert bits(there(given, far)) == bits(here(given, near))
        assert bits(far) == bits(near)
    with pytest.raises(ValueError, match=r"argument y is written by the call: .* elsewhere"):
        there(ones, tj.tensor(ones))


def test_other_arguments_are_refused(pair: Callable[..., Any], device: str) -> None:
    _, there = pair(lambda x: x + 1, tj.tensor(X))
    with pytest.raises(tj.ShapeError, match=r"argument x is f32\[6,40\]@cuda:0, got f32\[40,6\]"):
        there(tj.tensor(X.T.copy()))
    with pytest.raises(tj.DTypeError, match="got f64"):
        there(tj.tensor(X.astype(np.float64), device=device))


def test_random_numbers_go_on(pair: Callable[..., Any]) -> None:
    tj.random.seed(3)
    here, there = pair(lambda x: x + tj.random.normal((6, 40)), tj.tensor(X))
    for _ in range(2):
        assert bits(there(X)) == bits(here(X))


# Exports of what lies on a GPU


def on(device: str) -> tuple[Any, ...]:
    model, _, batch = training()
    model.to(device)
    return model, optim.Adam(model.parameters()), tj.tensor(batch, device=device)


def test_a_file_is_the_same_wherever_the_function_was(device: str, tmp_path: Path) -> None:
    for place in ("cpu", device):
        args = on(place)
        before = bits(args[0].state_dict())
        tj.export(step, args, tmp_path / place, targets=("cpu", "cuda"))
        assert bits(args[0].state_dict()) == before
    assert (tmp_path / "cpu").read_bytes() == (tmp_path / device).read_bytes()


def fed(model, optimizer, images, labels):
    images, labels = images.to("cuda"), tj.tensor(labels, device="cuda")
    optimizer.zero_grad()
    scale = tj.tensor([1.0, 2.0, 3.0, 4.0]).to("cuda")
    out = model(F.dropout(images * scale, 0.25))
    loss = F.cross_entropy(out, labels)
    loss.backward()
    optimizer.step()
    return loss.cpu() + 1, out.detach().cpu()


def network(device: str) -> tuple[Any, Any]:
    tj.random.seed(5)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).to(device)
    return model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def test_what_moves_to_the_gpu_and_back_is_a_copy(device: str, tmp_path: Path) -> None:
    images = np.random.default_rng(1).standard_normal((5, 4), dtype=np.float32)
    labels = np.array([0, 2, 1, 1, 0])
    given = tj.tensor(images), labels
    model, optimizer = network(device)
    fed(model, optimizer, *given)  # the gradients and moments are there
    tj.export(fed, (model, optimizer, *given), tmp_path / "f.tj", targets=("cpu", "cuda"))
    loaded = [tj.load(tmp_path / "f.tj", device=each) for each in ("cpu", device)]
    for _ in range(3):
        wanted = bits(fed(model, optimizer, *given))
        assert [bits(each(*given)) for each in loaded] == [wanted] * 2
    for each in loaded:
        state = each.state_dict()
        for name, value in model.state_dict().items():
            assert bits(state[f"model.{name}"]) == bits(value)
        with pytest.raises(IndexError, match="out of bounds for 3 classes"):
            each(given[0], labels + 3)


def test_a_copy_is_not_written_when_what_it_was_of_is(device: str, tmp_path: Path) -> None:
    def f(x, y):
        before = x.T.to(device)
        x *= 2
        return before + y, x.to(device) + y

    x, y = tj.tensor(X[:4, :4].copy()), tj.tensor(X[1:5, 1:5], device=device)
    wanted = bits(f(x.copy(), y))
    tj.export(f, (x, y), tmp_path / "f.tj", targets=("cpu", "cuda"))
    assert bits(tj.load(tmp_path / "f.tj")(x.copy(), y.cpu())) == wanted
    there = x.to(device)
    assert bits(tj.load(tmp_path / "f.tj", device=device)(there, y)) == wanted
    assert bits(there) == bits(x * 2)


def test_memory_on_a_gpu_that_is_shared_and_written_is_refused(device: str, tmp_path: Path) -> None:
    def f(x, y):
        x += 1
        return y * 2

    whole = tj.zeros(12, device=device)
    path = tmp_path / "f.tj"
    for x, y in ((whole[:4], whole[3:]), (whole[::2], whole[1:4])):
        with pytest.raises(tj.ExportError, match="argument x shares memory with argument y"):
            tj.export(f, (x, y), path)
    tj.export(f, (whole[:4], whole[4:]), path)
    assert tj.load(path)(tj.zeros(4), tj.ones(8)).tolist() == [2.0] * 8


# Which code is taken


def test_the_best_code_that_a_gpu_runs_is_taken() -> None:
    levels = ["sm_80", "sm_86", "sm_90", PTX, "avx512"]
    taken = {
        capability: best_of(levels, capability)
        for capability in [(7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 1)]
    }
    assert taken == {
        (7, 5): None, (8, 0): "sm_80", (8, 6): "sm_86", (8, 9): "sm_86", (9, 0): "sm_90",
        (10, 0): PTX, (12, 1): PTX,
    }  # fmt: skip
    assert best_of(["sm_90"], (8, 0)) is None
    assert best_of(["sm_100"], (10, 3)) == "sm_100"
    assert best_of(["sm_080", "sm_", "sm_8.0"], (8, 0)) == "sm_080"


def test_ptx_is_taken_where_there_is_no_code_for_the_architecture(
    emulated: str, tmp_path: Path
) -> None:
    tj.export(several, (tj.tensor(X), 2.0), tmp_path / "f.tj", targets=("cuda:sm_80", "cuda:ptx"))
    loaded = tj.load(tmp_path / "f.tj", device="cuda")
    assert loaded.target is not None
    assert loaded.target.level == PTX
    with pytest.warns(RuntimeWarning, match=r"for this machine .there is nvidia compute_80"):
        here = tj.load(tmp_path / "f.tj")
    assert bits(loaded(X, 3.0)) == bits(here(tj.tensor(X), 3.0))


def test_the_graph_is_compiled_where_there_is_no_code(emulated: str, tmp_path: Path) -> None:
    tj.export(several, (tj.tensor(X), 2.0), tmp_path / "f.tj")
    with pytest.warns(RuntimeWarning, match="no native code for cuda:0 of this machine"):
        loaded = tj.load(tmp_path / "f.tj", device="cuda")
    wanted = bits(tj.load(tmp_path / "f.tj")(tj.tensor(X), 3.0))
    assert loaded.target is None
    assert bits(loaded(X, 3.0)) == wanted
    assert bits(tj.load(tmp_path / "f.tj", device="cuda", native=False)(X, 3.0)) == wanted


def test_a_fresh_process_needs_no_compiler(
    in_a_process: Callable[[str], str], tmp_path: Path
) -> None:
    path = tmp_path / "f.tj"
    tj.export(step, training(), path, targets=("cpu", "cuda"))
    here = tj.load(path)
    script = f"""
import sys
import numpy as np
import tracejit as tj
loaded = tj.load({str(path)!r}, device="cuda")
x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
print(loaded(x)[0].item().hex(), loaded(x)[0].item().hex())
print({{"tracejit.compiler", "llvmlite", "sympy"}} & {{*sys.modules}})
"""
    wanted = " ".join(here(BATCH)[0].item().hex() for _ in range(2))
    assert in_a_process(script).split("\n")[:2] == [wanted, "set()"]


def test_the_command_runs_it_and_tells_what_is_in_it(
    emulated: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, found = str(tmp_path / "f.tj"), str(tmp_path / "out.npz")
    tj.export(several, (tj.tensor(X), 2.0), path, targets=("cpu", "cuda:sm_90", "cuda:ptx"))
    np.savez(tmp_path / "in.npz", x=X, factor=0.5)
    given = ["--inputs", str(tmp_path / "in.npz"), "-o", found, "--device", "cuda"]
    assert cli.main(["run", path, *given]) == 0
    with np.load(found) as results:
        wanted = tj.load(path)(tj.tensor(X), 0.5)
        assert results["result.y"].tobytes() == wanted["y"].numpy().tobytes()
    assert cli.main(["inspect", path]) == 0
    told = capsys.readouterr().out
    assert "target cuda sm_90 of nvidia: " in told
    assert "target cuda compute_80 of nvidia: " in told
    assert cli.main(["inspect", path, "--html", str(tmp_path / "page.html")]) == 0
    assert "for cuda sm_90" in (tmp_path / "page.html").read_text()


# Without a GPU


def test_a_machine_without_a_gpu_exports_for_all_and_loads_for_none(
    run_python: Callable[..., str], tmp_path: Path
) -> None:
    if kernels.why_no_compiler() is not None:
        with pytest.raises(tj.DeviceUnavailable, match="NVRTC, which is not installed"):
            tj.export(tj.nn.ReLU(), (tj.ones(3),), tmp_path / "f.tj", targets=("cuda:sm_90",))
        assert not [*tmp_path.iterdir()]
        return
    script = """
import tempfile
from pathlib import Path
import tracejit as tj
from tracejit.standalone.container import unpack
folder = Path(tempfile.mkdtemp())
targets = "cpu", "cuda:sm_80", "cuda:sm_90", "cuda:ptx"
for name in ("a", "b"):
    tj.export(tj.nn.Softmax(-1), (tj.ones((3, 4)),), folder / name, targets=targets)
same = (folder / "a").read_bytes() == (folder / "b").read_bytes()
entries = unpack((folder / "a").read_bytes())
kinds = {"cubin": lambda e: e[:4] == b"\\x7fELF" and e[18] == 190, "ptx": lambda e: b".target sm_80" in e}
found = [name.partition("/")[0] for name, e in entries.items()
         if (kind := kinds.get(name.rpartition(".")[2])) and kind(bytes(e))]
print(same, found)
try:
    tj.load(folder / "a", device="cuda")
except tj.DeviceUnavailable as error:
    print(error)
try:
    tj.export(tj.nn.ReLU(), (tj.ones(3),), folder / "c", targets=("cuda",))
except tj.DeviceUnavailable as error:
    print(error)
"""
    if tj.cuda.why_not() is None and "tests.emulation.standin" not in sys.modules:
        pytest.skip("there is a GPU")
    first, *errors = run_python(script).strip().splitlines()
    assert first == "True ['cuda-ptx', 'cuda-sm_80', 'cuda-sm_90']"
    assert len(errors) == 2
    assert all(each.startswith("<") or "cuda:0: " in each for each in errors)
    assert all("to do without a GPU use device='cpu'" in each for each in errors)


def test_targets_that_are_none_are_refused(tmp_path: Path) -> None:
    args, path = (tj.ones(3),), tmp_path / "f.tj"
    for name in ("cuda:sm_70", "cuda:avx2", "cuda:0"):
        with pytest.raises(ValueError, match=rf"target '{name}': .* is none of ptx, sm_80"):
            tj.export(tj.nn.ReLU(), args, path, targets=(name,))
    with pytest.raises(ValueError, match=r"libraries for C are for CPUs, and cuda:sm_90 is not"):
        tj.export(tj.nn.ReLU(), args, path, targets=("cpu", "cuda:sm_90"), c=tmp_path / "c")
    assert not [*tmp_path.iterdir()]
    assert "sm_70" not in ARCHITECTURES
