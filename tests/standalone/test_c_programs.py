"""Programs in C and C++ with exported libraries: no Python in the process, and no fault that a checker of memory would find."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.standalone.libraries import needs_compiler
from tests.standalone.test_roundtrip import numbers
from tracejit import nn, optim
from tracejit.demo import train_step
from tracejit.nn import functional as F
from tracejit.runtime.cpu.target import LEVELS, _can_run, host

pytestmark = needs_compiler

HERE = Path(__file__).parent
EXAMPLES = HERE.parent.parent / "examples" / "c"
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
NAMES = "trained", "looked_up", "halved", "sized"
"""The libraries of rounds.c."""


def needs(*commands: str) -> Any:
    missing = [each for each in commands if shutil.which(each) is None]
    return pytest.mark.skipif(bool(missing), reason=f"there is no {', '.join(missing)}")


def run(*command: str | Path, **options: Any) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


calls, kept = 0, tj.zeros(2)


def halve(x):
    global calls, kept
    calls += 1
    if not tj.isfinite(x).all():
        raise ValueError("not finite")
    before, x, rounds = x * 2, x * 1, 0
    while x.max() > 1:
        before, x, rounds = x, x / 2, rounds + 1
    kept = kept + x
    return before, x, rounds


def export_all(folder: Path, targets: list[str]) -> Path:
    """The libraries of rounds.c."""
    tj.random.seed(0)
    model = nn.Linear(3, 2)
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    table = tj.ones(4)

    def look_up(x, index, scale):
        return tj.take(x.mT * table, index, axis=1) * scale

    labels = tj.zeros(4, dtype=tj.int64)
    args = model, optimizer, tj.tensor(numbers(4, 3)), labels
    tj.export(train_step, args, c=folder, name="trained", targets=targets)
    given = tj.ones((4, 3)), tj.tensor(0), 0.5
    tj.export(look_up, given, c=folder, name="looked_up", targets=targets)
    tj.export(halve, (tj.ones(2),), c=folder, name="halved", targets=targets)

    def train_rows(model, optimizer, images, labels):
        optimizer.zero_grad()
        losses = F.cross_entropy(model(images), labels, reduction="none")
        losses.sum().backward()
        optimizer.step()
        return losses

    specs = model, optimizer, "float32[batch, 3]", "int64[batch]"
    sizes = {"batch": (1, 2, 4)}
    tj.export(train_rows, specs, c=folder, name="sized", targets=targets, sizes=sizes)
    return folder


def levels() -> list[str]:
    """The two best ones."""
    return [f"cpu:{name}" for name, level in LEVELS.items() if _can_run(host(), level)][:2]


@pytest.fixture(scope="module")
def all_of_them(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_all(tmp_path_factory.mktemp("all"), levels())


def compile_rounds(folder: Path, program: Path, *flags: str, libraries: list[Any]) -> Path:
    source = HERE / "rounds.c"
    run(
        "cc",
        "-std=c11",
        *WARNINGS,
        *flags,
        source,
        f"-I{folder}/include",
        "-o",
        program,
        *libraries,
    )
    return program


def static(folder: Path) -> list[Any]:
    libraries = (folder / "lib" / f"lib{name}.a" for name in NAMES)
    return [*libraries, "-lm", "-lpthread"]


def test_several_libraries_are_in_one_program(all_of_them: Path, tmp_path: Path) -> None:
    found = [
        f"-L{all_of_them}/lib",
        *(f"-l{name}" for name in NAMES),
        f"-Wl,-rpath,{all_of_them}/lib",
    ]
    for name, libraries in {"static": static(all_of_them), "shared": found}.items():
        printed = run(compile_rounds(all_of_them, tmp_path / name, libraries=libraries), "20")
        if sys.platform != "linux":
            continue
        loaded = {
            Path(line).name.partition(".")[0].partition("-")[0] for line in printed.splitlines()
        }
        own = {name} if name == "static" else {name, *(f"lib{each}" for each in NAMES)}
        assert loaded - own <= {"libc", "libm", "libpthread", "ld", "[heap]", "libgcc_s"}, loaded


@needs("nm")
@pytest.mark.skipif(sys.platform != "linux", reason="symbols are listed as on Linux")
def test_all_names_are_the_librarys_own(all_of_them: Path) -> None:
    def names(file: str, *options: str) -> set[str]:
        lines = run("nm", "--defined-only", *options, all_of_them / "lib" / file).splitlines()
        return {line.split()[2] for line in lines if len(line.split()) == 3}

    exported = names("libtrained.so", "-D")
    header = (all_of_them / "include" / "trained.h").read_text()
    assert "trained_run" in exported
    assert {each for each in exported if f"{each}(" not in header} == set()
    for library in NAMES:
        assert all(each.startswith(f"{library}_") for each in names(f"lib{library}.a", "-g"))


def test_addresses_are_used_as_they_should_be(
    all_of_them: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """AddressSanitizer sees the library's C code and its memory, and what is left at the end."""
    flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }")
    made = subprocess.run(["cc", *flags, probe, "-o", tmp_path / "probe"], capture_output=True)
    if made.returncode or subprocess.run([tmp_path / "probe"], capture_output=True).returncode:
        pytest.skip("AddressSanitizer is not there, or may not run")
    monkeypatch.setenv("CC", " ".join(["cc", *flags]))
    folder = export_all(tmp_path / "checked", ["cpu"])
    program = compile_rounds(folder, tmp_path / "rounds", *flags, libraries=static(folder))
    run(program, "1000")


@needs("valgrind")
@pytest.mark.skipif(not _can_run(host(), LEVELS["avx2"]), reason="valgrind has no AVX-512")
def test_machine_code_stays_within_its_memory(all_of_them: Path, tmp_path: Path) -> None:
    program = compile_rounds(all_of_them, tmp_path / "rounds", "-g", libraries=static(all_of_them))
    checks = ["--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite"]
    run("valgrind", "-q", *checks, program, "50")


# The examples


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sklearn")
    folder = tmp_path_factory.mktemp("digits")
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent)}
    run(sys.executable, EXAMPLES / "prepare.py", folder / "build", env=environment)
    (folder / "build").rename(folder / "moved")  # what is written may lie anywhere
    return folder / "moved"


def expected_of_training() -> tuple[list[str], list[np.ndarray]]:
    """What the compiled functions print for the last epoch, and the weights."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("prepare", EXAMPLES / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    prepare = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(prepare)
    model = prepare.network()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    step = tj.compile(prepare.train)
    from sklearn.datasets import load_digits

    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    images = (found.data[order] / 16).astype(np.float32)
    labels = found.target[order].astype(np.int64)
    printed = []
    for epoch in range(1, 21):
        loss, right = 0.0, 0
        for first in range(0, 22 * 64, 64):
            batch = images[first : first + 64], labels[first : first + 64]
            now, correct = step(model, optimizer, *map(tj.tensor, batch))
            loss, right = loss + now.item(), right + correct.item()
        printed.append(f"epoch {epoch:2}  loss {loss / 22:.4f}  accuracy {right / (22 * 64):.4f}")
    return printed, [value.numpy() for _, value in sorted(model.state_dict().items())]


@needs("cmake", "c++")
def test_digits_are_trained_and_classified_without_python(digits: Path, tmp_path: Path) -> None:
    """To the bits that the compiled functions give."""
    search = f"-DCMAKE_PREFIX_PATH={digits}/digits"
    flags = [f"-DCMAKE_{each}_FLAGS={' '.join(WARNINGS)}" for each in ("C", "CXX")]
    run("cmake", "-S", EXAMPLES, "-B", tmp_path, search, *flags)
    run("cmake", "--build", tmp_path)
    weights = tmp_path / "weights.bin"
    printed = run(tmp_path / "train", digits / "digits.bin", weights).splitlines()
    expected, values = expected_of_training()
    assert printed == expected
    assert weights.read_bytes() == b"".join(each.tobytes() for each in values)
    told = run(tmp_path / "infer", digits / "digits.bin", weights)
    right, _, total, *_ = told.split()
    assert int(right) / int(total) > 0.95
    assert int(total) == 28 * 64


@needs("pkg-config")
def test_pkg_config_finds_a_library(digits: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PKG_CONFIG_PATH": str(digits / "digits/lib/pkgconfig")}
    flags = run("pkg-config", "--cflags", "--libs", "digits_infer", env=environment).split()
    rpath = f"-Wl,-rpath,{digits}/digits/lib"
    program = tmp_path / "infer"
    run("cc", "-std=c11", *WARNINGS, EXAMPLES / "infer.c", *flags, rpath, "-o", program)
    assert run(program, digits / "digits.bin").endswith("of 1792 images are classified rightly\n")
