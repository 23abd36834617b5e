"""What every test runs under: a compile cache of its own, and examples that a slow machine does not fail."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent

# Before tracejit is imported, and inherited by the processes that tests start.
_cache = tempfile.TemporaryDirectory(prefix="tracejit-tests-", ignore_cleanup_errors=True)
os.environ["TRACEJIT_CACHE_DIR"] = _cache.name

hypothesis.settings.register_profile(
    "tracejit", deadline=None, database=None, derandomize=True, print_blob=True
)
hypothesis.settings.load_profile("tracejit")


@pytest.fixture(autouse=True, scope="session")
def _machine_code_early() -> None:
    """Few tests call anything as often as it usually takes to become machine code; here nearly all do."""
    # Not above: the settings that tracejit reads at its import come first.
    import tracejit as tj
    from tracejit import eager
    from tracejit.runtime.cpu.native import ways
    from tracejit.standalone import settling
    from tracejit.tracing.background import BACKGROUND
    from tracejit.tracing.replay import tree

    tree.NATIVE_AFTER = 1
    eager.QUICK_AFTER = 2
    settling.PATIENCE = 1
    BACKGROUND.at_once = True
    ways.MOST_WAYS = sys.maxsize  # all tests together make more than a program would
    tj.exp(tj.ones(1))  # loads the compiler: until then NumPy would run programs


@pytest.fixture(autouse=True, scope="module")
def _old_objects_stay() -> None:
    """Garbage collections, of which tests ask for many, look at a module's own objects only."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def replayed_by_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """No recording becomes machine code: for tests that look at how Python replays."""
    from tracejit.tracing.replay import tree

    monkeypatch.setattr(tree, "NATIVE_AFTER", sys.maxsize)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the listings that tests compare with as the code makes them now",
    )
    parser.addoption(
        "--emulated",
        type=int,
        metavar="N",
        help="have a GPU's kernels, under the emulation, compute what the CPU would, in every N-th test",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """A process per core, but for files that are named, and for a GPU, which all would share."""
    named = all(Path(argument.partition("::")[0]).is_file() for argument in config.args)
    return 0 if named or config.getoption("markexpr") == "cuda" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a sample the same tests each time."""
    nth = config.getoption("--emulated")
    if nth:
        items[:] = [item for item in items if crc32(item.nodeid.encode()) % nth == 0]


@pytest.fixture(autouse=True, scope="session")
def _emulated(request: pytest.FixtureRequest, _machine_code_early: None) -> Iterator[None]:
    if not request.config.getoption("--emulated"):
        yield
        return
    from tests.emulation.everywhere import computed_by_emulated_kernels

    with computed_by_emulated_kernels():
        yield


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., str]:
    """Runs a script in a process of its own, with the tests' modules at hand; gives what it printed."""

    def run(script: str, **environment: str) -> str:
        path = tmp_path / "script.py"
        path.write_text(script)
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        done = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", str(path)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
