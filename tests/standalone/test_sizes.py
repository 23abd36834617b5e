"""Artifacts that leave sizes open: one file for all of them, with the bits of the compiled function."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracejit as tj
from tests.standalone.files import packed, resealed
from tests.standalone.test_entry import taken
from tests.standalone.test_mutations import VALUES, at_most, places, put
from tests.tracing.replay.test_sizes import OPEN, rows
from tracejit import cli, nn, optim
from tracejit.ir.dim import Sizes, name_of
from tracejit.ir.parser import parse_graph
from tracejit.nn import functional as F
from tracejit.ops.registry import REGISTRY
from tracejit.standalone.container import unpack
from tracejit.standalone.manifest import GRAPH, MANIFEST
from tracejit.standalone.safetensors import read

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def bits(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value), [*map(bits, value)]
    if isinstance(value, dict):
        return {key: bits(part) for key, part in value.items()}
    array = np.asarray(value.detach() if isinstance(value, tj.Tensor) else value)
    return type(value), array.dtype, array.shape, array.tobytes()


def exported(folder: Path, f: Callable[..., Any], *args: Any, **how: Any) -> Any:
    tj.export(f, args, folder / "f.tj", **how)
    return tj.load(folder / "f.tj")


# What is computed


def network() -> Any:
    tj.random.seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def halves(x):
    n = x.shape[0]
    return x[: n // 2] * 2, x[n // 2 :].sum(axis=0), n, n / 2


def outer(x, y):
    return x[:, None] * y[None, :] + x.shape[0]


def rolled(x):
    return tj.concat([x[1:], x[:1]]).reshape(-1), x.mean(), (x * x).sum(axis=1)


def convolved(x):
    weight = tj.ones((2, 1, 3, 3))
    return F.max_pool2d(F.relu(F.conv2d(x, weight, padding=1)), 2).flatten()


def nested(pair, table):
    return {"sum": pair[0] + pair[1], "out": [table["k"] * 2, 1.5]}


def chosen(x, index):
    return x[index], F.one_hot(index, 5)


CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], bool]] = {
    "softmax": (softmax, ("float32[n, 7]",), {"n": (1, 4)}, True),
    "halves": (halves, ("float32[n, 3]",), {"n": (2, 5)}, False),
    "outer": (outer, ("float32[n]", "float32[m]"), {"n": (1, 3), "m": (2, 3)}, False),
    "rolled": (rolled, ("float32[n, 3]",), {"n": (4, 9)}, False),
    "convolved": (convolved, ("float32[n, 1, 4, 4]",), {"n": (1, 3)}, False),
    "nested": (
        nested,
        (("float32[n, 2]", "float32[n, 2]"), {"k": "float64[m]"}),
        {"n": (2, 3), "m": (4,)},
        False,
    ),
    "chosen": (chosen, ("float32[5, 2]", "int64[n]"), {"n": (1, 4)}, False),
}


def made(spec: Any, sizes: dict[str, int], arrays: bool) -> Any:
    """An argument of these sizes."""
    if isinstance(spec, list | tuple):
        return type(spec)([made(part, sizes, arrays) for part in spec])
    if isinstance(spec, dict):
        return {key: made(part, sizes, arrays) for key, part in spec.items()}
    dtype, _, rest = spec.partition("[")
    names = [part.strip() for part in rest.rstrip("]").split(",")]
    shape = tuple(sizes[name] if name in sizes else int(name) for name in names)
    array = RNG.standard_normal(shape).astype(dtype)
    if dtype == "int64":
        array = RNG.integers(0, 5, shape)
    return array if arrays else tj.tensor(array)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("native", [True, False])
def test_all_sizes_give_the_bits_of_the_compiled_function(
    tmp_path: Path, case: str, native: bool
) -> None:
    f, specs, ahead, arrays = CASES[case]
    tj.export(f, specs, tmp_path / "f.tj", sizes=ahead, arrays=arrays)
    loaded = tj.load(tmp_path / "f.tj", native=native)
    compiled = tj.compile(f)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for n in (2, 3, 4, 5, 9, 4):
            sizes = {"n": n, "m": 13 - n}
            args = [made(spec, sizes, arrays) for spec in specs]
            assert bits(loaded(*args)) == bits(compiled(*args))


def outcome(f: Callable[..., Any], x: Any) -> Any:
    """The result, or the class of an error."""
    try:
        return bits(f(x))
    except (IndexError, ValueError) as error:
        return type(error)


@pytest.mark.parametrize("name", OPEN)
def test_functions_of_rows_are_right_for_any_count_or_say_that_they_are_not_for_it(
    tmp_path: Path, name: str
) -> None:
    f = OPEN[name]
    tj.export(f, ("float32[n, 4]",), tmp_path / "f.tj", sizes={"n": (6,)})
    loaded = tj.load(tmp_path / "f.tj", native=False)
    for n in (9, 1, 0):
        try:
            found = outcome(loaded, rows(n))
        except tj.RecompileError:
            assert n < 2
        else:
            assert found == outcome(f, rows(n))


def test_code_of_the_file_is_run_for_the_sizes_that_it_has(tmp_path: Path) -> None:
    model = network()
    loaded = exported(tmp_path, model, "float32[batch, 6]", sizes={"batch": (1, 3, 8)})
    assert str(loaded.signature) == "(x: f32[batch,6]) -> f32[batch,3]"
    for batch in (8, 1, 3):
        x = tj.tensor(normal(batch, 6))
        assert bits(loaded(x)) == bits(tj.compile(model)(x))
    with pytest.warns(
        RuntimeWarning, match=r"no native code for batch=5 .*batch=1; batch=3; batch=8"
    ):
        assert loaded(tj.tensor(normal(5, 6))).shape == (5, 3)
    assert loaded(tj.tensor(normal(6, 6))).shape == (6, 3)  # which is not said again


def test_a_training_step_keeps_one_state_for_all_sizes(tmp_path: Path) -> None:
    def train(model, optimizer, x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    model = network()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    args = model, optimizer, "float32[batch, 6]", "int64[batch]"
    loaded = exported(tmp_path, train, *args, sizes={"batch": (8, 3)})
    compiled = tj.compile(train)
    for batch in (8, 8, 3, 8, 3):
        x, y = tj.tensor(normal(batch, 6)), tj.tensor(RNG.integers(0, 3, batch))
        assert bits(loaded(x, y)) == bits(compiled(model, optimizer, x, y))
    state = loaded.state_dict()
    assert bits(state["model.0.weight"]) == bits(model[0].weight.detach())
    assert state["optimizer.state[model.0.weight].step"] == 5
    other = tj.load(tmp_path / "f.tj")
    other.load_state_dict(state)
    x, y = tj.tensor(normal(3, 6)), tj.tensor(RNG.integers(0, 3, 3))
    assert bits(other.at(batch=3)(x, y)) == bits(loaded(x, y))
    assert bits(other.state_dict()) == bits(loaded.state_dict())


def test_threads_that_call_it_with_several_sizes_take_turns(tmp_path: Path) -> None:
    class Counter:
        def __init__(self) -> None:
            self.total = tj.zeros(())

    counter = Counter()

    def count(x):
        counter.total = counter.total + x.sum()
        return counter.total

    loaded = exported(tmp_path, count, "float32[n]", sizes={"n": (1, 2, 3)})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: loaded(tj.ones(1 + n % 3)), range(300)))
    assert loaded(tj.zeros(2)).item() == 100 * (1 + 2 + 3)


SCRIPT = """
import sys
sys.modules.update(llvmlite=None, sympy=None)  # they could not be imported
import numpy as np
import tracejit as tj
loaded = tj.load("f.tj")
given = np.load("given.npz")
np.savez("found.npz", **{name: np.asarray(loaded(given[name])) for name in given})
try:
    loaded(np.ones((5, 7), np.float32))
except tj.ArtifactError as error:
    print(error)
"""


def test_a_process_without_the_compiler_runs_the_sizes_that_are_there(tmp_path: Path) -> None:
    tj.export(softmax, ("float32[n, 7]",), tmp_path / "f.tj", sizes={"n": (1, 4)}, arrays=True)
    given = {f"x{n}": normal(n, 7) for n in (1, 4)}
    np.savez(tmp_path / "given.npz", **given)  # type: ignore[arg-type]  # see commands.py
    command = [sys.executable, "-W", "error", "-c", SCRIPT]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "there is no native code for n=5, but for n=1; n=4" in done.stdout
    assert "llvmlite is not installed" in done.stdout
    compiled = tj.compile(softmax)
    with np.load(tmp_path / "found.npz") as found:
        for name, x in given.items():
            assert bits(found[name]) == bits(compiled(x))


def test_calls_of_several_sizes_become_machine_code(tmp_path: Path) -> None:
    loaded = exported(tmp_path, softmax, "float32[n, 7]", sizes={"n": (1, 4)}, arrays=True)
    inputs, compiled = [normal(n, 7) for n in (4, 1)], tj.compile(softmax)
    before = 0
    for _ in range(3):
        for x in inputs:
            assert bits(loaded(x)) == bits(compiled(x))
        tj.synchronize()
        if loaded.is_native and before:
            assert taken(loaded) == before + 2
        before = taken(loaded)
    assert not loaded.is_native or before


# What is refused


def test_what_is_given_has_to_be_of_some_sizes(tmp_path: Path) -> None:
    def f(x, y):
        return x * y[:, None]

    loaded = exported(tmp_path, f, "float32[batch, 3]", "float32[batch]", sizes={"batch": (2,)})
    x, y = tj.ones((2, 3)), tj.ones(2)
    assert loaded(x, y=y).shape == (2, 3)
    for args, error, message in [
        ((tj.ones(5), y), tj.ShapeError, r"argument x is f32\[batch,3\], got f32\[5\]"),
        ((tj.ones((5, 4)), y), tj.ShapeError, r"argument x is f32\[batch,3\], got f32\[5,4\]"),
        ((tj.ones((2, 4)), y), tj.ShapeError, r"argument x is f32\[2,3\], got f32\[2,4\]"),
        ((tj.ones((2, 3), dtype=tj.float64), y), tj.DTypeError, "got f(loat)?64"),
        ((x, tj.ones(3)), tj.ShapeError, "batch is 2 by argument x, and 3 by argument y"),
        ((x, 1.0), TypeError, r"argument y is f32\[batch\], got a float"),
        ((x,), TypeError, "argument y is missing"),
        ((x, y, y), TypeError, "2 arguments by place"),
    ]:
        with pytest.raises(error, match=message):
            loaded(*args)
    assert bits(loaded(x, y)) == bits(tj.ones((2, 3)))
    with pytest.raises(TypeError, match="the sizes are batch; got n"):
        loaded.at(n=2)


def test_what_was_asked_of_a_size_has_to_hold(tmp_path: Path) -> None:
    def f(x):
        if x.shape[0] > 3:
            return x * 2
        return x

    loaded = exported(tmp_path, f, "float32[n]", sizes={"n": (4, 9)})
    assert loaded(tj.ones(9)).tolist() == [2.0] * 9
    with pytest.raises(
        tj.RecompileError, match=r"test_sizes.py:\d+: .*recorded for n > 3; now n=3"
    ):
        loaded(tj.ones(3))
    with pytest.raises(
        tj.ExportError, match=r"test_sizes.py:\d+: .*n <= 3; now n=5: export: leave"
    ):
        tj.export(f, ("float32[n]",), tmp_path / "g.tj", sizes={"n": (5, 2)})


def test_one_and_nothing_are_sizes_as_others_where_nothing_is_asked(tmp_path: Path) -> None:
    def f(x, y):
        return x + y, x.sum(axis=0)

    loaded = exported(tmp_path, f, "float32[n, 3]", "float32[3]", sizes={"n": (0, 1, 2)})
    for n in (0, 1, 2):
        x, y = tj.tensor(normal(n, 3)), tj.tensor(normal(3))
        assert bits(loaded(x, y)) == bits(tj.compile(f)(x, y))


def test_broadcasting_is_not_specialised_in_silence(tmp_path: Path) -> None:
    def f(x, y):
        return x + y

    with pytest.raises(tj.ShapeError):
        tj.export(f, ("float32[n]", "float32[7]"), tmp_path / "f.tj", sizes={"n": (1, 7)})


class Holder:
    def __init__(self) -> None:
        self.last, self.count = None, 0


def keeps_its_argument(holder, x):
    holder.last = x * 2
    return x


def counts_through(x):
    return sum(float(n) for n in range(x.shape[0])) + x


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (keeps_its_argument, "holder.last keeps a tensor with a size that is open"),
        (counts_through, "holds for n == 2 only: give n as a number"),
    ],
)
def test_what_cannot_be_left_open_is_refused(
    tmp_path: Path, f: Callable[..., Any], message: str
) -> None:
    args = ("float32[n]",) if f is counts_through else (Holder(), "float32[n]")
    with pytest.raises(tj.ExportError, match=rf"test_sizes.py:\d+: .*{message}"):
        tj.export(f, args, tmp_path / "f.tj", sizes={"n": (2, 3)})
    assert not (tmp_path / "f.tj").exists()


def test_a_number_that_is_a_size_is_state_as_others_are(tmp_path: Path) -> None:
    holder = Holder()

    def f(x):
        holder.count = holder.count + x.shape[0]
        return x.sum() / x.shape[0]

    loaded = exported(tmp_path, f, "float32[n]", sizes={"n": (2, 3)})
    assert [loaded(tj.ones(n)).item() for n in (2, 3, 3)] == [1.0, 1.0, 1.0]
    (count,) = loaded.state_dict().values()
    assert count == 8


def test_decisions_and_loops_have_open_sizes(tmp_path: Path) -> None:
    def f(x):
        if not tj.isfinite(x).all():
            raise ValueError("not finite")
        rounds = 0
        while x.max() > 1:
            x, rounds = x / 2, rounds + 1
        return x, rounds

    loaded, compiled = exported(tmp_path, f, "float32[n]", sizes={"n": (2, 5)}), tj.compile(f)
    for n in (2, 5, 2):
        x = tj.tensor(normal(n) * 9)
        assert bits(loaded(x)) == bits(compiled(x))
    with pytest.raises(ValueError, match="not finite"):
        loaded(tj.tensor([float("nan"), 1.0]))


def counts_on(x):
    n = x.shape[0]
    while x.max() > 1:
        x, n = x / 2, n + 1
    return x, n


def goes_round_as_often(x):
    rounds = 0
    while rounds < x.shape[0]:
        x, rounds = x + 1, rounds + 1
    return x


def halves_its_count(x):
    n = x.shape[0]
    while n > 1:
        x, n = x * 2, n // 2
    return x


def compares_with_data(x):
    total = x.sum().item()
    return total * x.shape[0] if total > x.shape[0] else total


@pytest.mark.parametrize(
    "f", [counts_on, goes_round_as_often, halves_its_count, compares_with_data]
)
def test_sizes_are_numbers_in_loops_and_decisions(tmp_path: Path, f: Callable[..., Any]) -> None:
    loaded = exported(tmp_path, f, "float32[n]", sizes={"n": (4, 7)})
    for n in (4, 7, 4):
        for scale in (0.1, 9.0):
            x = tj.tensor(np.abs(normal(n)) * scale)
            assert bits(loaded(x)) == bits(f(x))


@pytest.mark.parametrize(
    ("args", "how", "message"),
    [
        (("float32[n]",), {}, r"say for which sizes of n code is to be made"),
        (("float32[n]",), {"sizes": {"n": (2,), "m": (1,)}}, "no argument has an open size m"),
        (("float32[n]",), {"sizes": {"n": "12"}}, "the sizes of n are whole numbers"),
        (("float32[n]",), {"sizes": {"n": (-1,)}}, "the sizes of n are whole numbers"),
        (("float31[n]",), {"sizes": {"n": (2,)}}, "'float31' is none of"),
        (("float32[2n]",), {"sizes": {"n": (2,)}}, "'2n' is neither a size nor the name"),
        (("float32[n]",), {"sizes": {"n": range(1, 99)}}, "98 combinations of sizes"),
    ],
)
def test_sizes_go_with_the_arguments(
    tmp_path: Path, args: Any, how: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tj.export(lambda x: x * 2, args, tmp_path / "f.tj", **how)


# The file


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("sizes") / "f.tj"
    tj.export(rolled, ("float32[n, 3]",), path, sizes={"n": (2, 5)})
    return path.read_bytes()


def parts(data: bytes) -> dict[str, bytes]:
    return {name: bytes(content) for name, content in unpack(data).items()}


def test_the_same_function_gives_the_same_file(tmp_path: Path, file: bytes) -> None:
    tj.export(rolled, ("float32[n, 3]",), tmp_path / "g.tj", sizes={"n": (5, 2)})
    assert (tmp_path / "g.tj").read_bytes() == file


def test_the_file_has_plans_for_each_combination_and_shares_kernels(file: bytes) -> None:
    found = parts(file)
    plans = [name for name in found if name.endswith("/plan.json")]
    assert [name.split("/")[1] for name in plans] == ["2", "5"]
    used = [set(json.loads(found[name])["kernels"].values()) for name in plans]
    assert used[0] & used[1]
    objects = [name for name in found if name.endswith(".o") and "/call/" not in name]
    assert len(objects) == len(used[0] | used[1]) + 1  # what runs launches
    assert "f32[n0,3] = input(" in found[GRAPH].decode()
    manifest = json.loads(found[MANIFEST])
    assert manifest["sizes"]["names"] == ["n"]
    assert manifest["call"]["parameters"][0]["argument"]["shape"] == [{"size": "n0"}, 3]


def changed(data: st.DataObject, file: bytes) -> dict[str, bytes]:
    found = parts(file)
    value = json.loads(found[MANIFEST])
    new = st.one_of(VALUES, st.sampled_from([{"size": s} for s in ("n0", "n1", "n0*n0", "-1*n0")]))
    for _ in range(data.draw(st.integers(1, 2))):
        value = put(value, data.draw(st.sampled_from([*places(value)][1:])), data.draw(new))
    return {**found, MANIFEST: json.dumps(value).encode()}


@settings(max_examples=int(os.environ.get("TRACEJIT_FUZZ_FILES", "300")) // 3)
@given(data=st.data())
def test_a_manifest_that_was_changed_on_purpose_is_harmless(
    data: st.DataObject, file: bytes
) -> None:
    path = Path(os.environ["TRACEJIT_CACHE_DIR"], "sizes.tj")
    path.write_bytes(packed(changed(data, file)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            with at_most(5):
                loaded = tj.load(path)
                for n in (2, 5, 3):
                    loaded(tj.ones((n, 3)))
        except (
            tj.ArtifactError,
            tj.RecompileError,
            TypeError,
            ValueError,
            IndexError,
            ArithmeticError,
            MemoryError,
            TimeoutError,
        ):
            pass


@pytest.mark.parametrize("shape", ["n0", "n1", "n0*2", "2*n0+n0", "3", "x", "n", "", "n0+"])
def test_a_graph_with_other_sizes_is_refused_or_computes(
    tmp_path: Path, file: bytes, shape: str
) -> None:
    found = parts(file)
    found[GRAPH] = found[GRAPH].replace(b"[n0,3] = input", f"[{shape},3] = input".encode(), 1)
    (tmp_path / "f.tj").write_bytes(resealed(found))
    if shape == "n0":
        assert tj.load(tmp_path / "f.tj", native=False)(tj.ones((4, 3)))[1].item() == 1
    else:
        with pytest.raises(tj.ArtifactError):
            tj.load(tmp_path / "f.tj", native=False)


def test_there_is_no_code_for_sizes_that_the_recording_is_not_for(
    tmp_path: Path, file: bytes
) -> None:
    found = parts(file)
    manifest = json.loads(found[MANIFEST])
    manifest["sizes"]["conditions"][0]["outcome"] ^= True
    (tmp_path / "f.tj").write_bytes(packed({**found, MANIFEST: json.dumps(manifest).encode()}))
    with pytest.raises(tj.ArtifactError, match="recorded for"):
        tj.load(tmp_path / "f.tj")


def test_state_does_not_stay_in_memory_twice(tmp_path: Path) -> None:
    model = network()
    loaded = exported(tmp_path, model, "float32[n, 6]", sizes={"n": (2,)})
    entries = parts((tmp_path / "f.tj").read_bytes())
    stored = read(memoryview(entries["state.safetensors"]), "state.safetensors")
    assert {name: a.shape for name, a in loaded._source.tensors.items()} == {
        name: a.shape for name, a in stored.items()
    }
    assert not any(any(array.strides) for array in loaded._source.tensors.values())


# Text of sizes


@pytest.mark.parametrize("text", ["n0", "2*n0", "n0*n1+3", "n1*n1+-1*n0+2", "7", "-3"])
def test_sizes_are_read_from_their_names(text: str) -> None:
    sizes = Sizes()
    n, m = sizes.variable(5), sizes.variable(7)
    found = sizes.read(text)
    assert name_of(found) == text
    assert found == eval(text.replace("n0", "n").replace("n1", "m"), {"n": n, "m": m})


@pytest.mark.parametrize(
    "text", ["", "n", "n2", "n-1", "n0*", "3*2", "n1+n0+", "n0 ", "2*n0*1", "+3"]
)
def test_other_texts_are_no_sizes(text: str) -> None:
    sizes = Sizes()
    sizes.variable(5), sizes.variable(7)
    with pytest.raises(ValueError):
        sizes.read(text)


def test_graphs_with_open_sizes_are_read_from_their_text() -> None:
    sizes = Sizes()
    sizes.variable(5)
    text = "%0: f32[n0,3] = input()\n%1: f32[3*n0] = reshape(%0, shape=(3*n0,))\nreturn %1"
    graph = parse_graph(text, REGISTRY, sizes)
    assert graph.outputs[0].aval.name == "f32[3*n0]"
    with pytest.raises(ValueError):
        parse_graph(text, REGISTRY)


# Commands

MODULE = """
import tracejit as tj
model = tj.nn.Linear(3, 2)
def score(x):
    return model(x)
"""


def test_the_commands_know_open_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sized_module.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    command = ["export", "sized_module:score", "--args", "float32[batch, 3]", "-o", "f.tj"]
    assert cli.main(command) == 2
    assert "say for which sizes of batch" in capsys.readouterr().err
    assert cli.main([*command, "--sizes", "batch=1"[:-1]]) == 2
    assert "is not of the form batch=1,8,128" in capsys.readouterr().err
    assert cli.main([*command, "--sizes", "batch=2,4"]) == 0
    capsys.readouterr()

    assert cli.main(["inspect", "f.tj"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("score(x: f32[batch,3]) -> f32[batch,2]")
    for part in [
        "batch=2  there is code for it",
        "batch=4",
        "%0: f32[n0,3] = input(",
        " for batch=2: ",
    ]:
        assert part in told
    assert cli.main(["inspect", "f.tj", "--html", "f.html"]) == 0
    assert "f32[batch,3]" in Path("f.html").read_text()

    x = normal(4, 3)
    np.savez("in.npz", x=x)
    assert cli.main(["run", "f.tj", "--inputs", "in.npz"]) == 0
    assert "result: float32[4, 2]" in capsys.readouterr().out
    for sizes in ([], ["--sizes", "batch=4"]):
        assert cli.main(["bench", "f.tj", "--seconds", "0.01", *sizes]) == 0
        assert "bits     those of the graph" in capsys.readouterr().out
