"""Tests of GPUs run on an emulated one (`cuda-emulated`), and by `pytest -m cuda` on a real one (`cuda`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import tracejit as tj
from tests.emulation import standin


@pytest.fixture
def emulated(request: pytest.FixtureRequest) -> str:
    """An emulated GPU, for tests that ask its driver what it did, or break it."""
    if request.config.getoption("markexpr") == "cuda":
        pytest.skip("the emulated GPU would take the place of the real one")
    if (why := standin.why_not()) is not None:
        pytest.skip(why)
    standin.install()
    return "cuda:0"


@pytest.fixture
def real() -> str:
    """A real GPU, for tests with the mark `cuda`."""
    if standin.is_installed():
        pytest.skip("an emulated GPU has taken the place of the real one in this process")
    if (why := tj.cuda.why_not()) is not None:
        pytest.skip(why)
    return "cuda:0"


@pytest.fixture(params=["cuda-emulated", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    """A GPU by its name."""
    name: str = request.getfixturevalue("real" if request.param == "cuda" else "emulated")
    return name


@pytest.fixture
def two(emulated: str) -> Iterator[tuple[str, str]]:
    """Two emulated GPUs."""
    library = standin.install()
    library.standin_set_devices(2)
    yield emulated, "cuda:1"
    library.standin_set_devices(1)


@pytest.fixture
def late(two: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """Two emulated GPUs that do what they are given when somebody waits for it, and no earlier."""
    library = standin.install()
    library.standin_set_late(1)
    yield two
    library.standin_set_late(0)


@pytest.fixture(params=["cuda-emulated", pytest.param("cuda", marks=pytest.mark.cuda)])
def second(request: pytest.FixtureRequest) -> str:
    """The second GPU of several, by its name."""
    if request.param != "cuda":
        name: str = request.getfixturevalue("two")[1]
        return name
    request.getfixturevalue("real")
    if tj.cuda.device_count() < 2:
        pytest.skip("there is one GPU only")
    return "cuda:1"


@pytest.fixture
def in_a_process(emulated: str, run_python: Callable[..., str]) -> Callable[[str], str]:
    """Runs a script in a process of its own, which has an emulated GPU; gives what it printed."""
    begin = "from tests.emulation import standin\nstandin.install()\n"
    return lambda script: run_python(begin + script)
