"""Source text is only believed if it compiles to the code of the function."""

from __future__ import annotations

import doctest
import functools
import importlib.util
import linecache
import os
import posixpath
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.tracing.instrument.plain import PLAIN
from tests.tracing.instrument.texts import module_from
from tracejit.tracing.instrument import NotInstrumentable, instrumented

TEXT = """
import math

def f(x):
    return math.floor(x) + 1

pair = lambda x: x + 1, lambda x: x - 1
"""


@pytest.fixture
def module_of(tmp_path: Path) -> Callable[[str], ModuleType]:
    path = tmp_path / "written_here.py"

    def load(text: str) -> ModuleType:
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def is_refused(function: Any) -> bool:
    with pytest.raises(NotInstrumentable, match="is not that of this function"):
        instrumented(function, PLAIN)
    return True


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("+ 1", "+ 2"),
        ("+ 1", "- 1"),
        ("math.floor", "math.ceil"),
        ("def f(x)", "def f(x, y=0)"),
        ("+ 1", "+ True"),
        ("+ 1", "+  1"),
        ("def f", "\ndef f"),
        ("def f", "async def f"),
    ],
)
def test_an_edited_file_is_refused(
    module_of: Callable[[str], ModuleType], old: str, new: str
) -> None:
    module = module_of(TEXT)
    path = Path(module.__file__ or "")
    path.write_text(TEXT.replace(old, new))
    assert is_refused(module.f)


def test_a_module_that_is_loaded_again_is_found(module_of: Callable[[str], ModuleType]) -> None:
    assert instrumented(module_of(TEXT).f, PLAIN)(1.5) == 2
    assert instrumented(module_of(TEXT.replace("+ 1", "* 10")).f, PLAIN)(1.5) == 10


def test_an_edit_elsewhere_does_no_harm(module_of: Callable[[str], ModuleType]) -> None:
    module = module_of(TEXT)
    Path(module.__file__ or "").write_text(TEXT + "\nmore = 1\n")
    assert instrumented(module.f, PLAIN)(1.5) == 2


def test_a_file_that_no_longer_parses_or_exists_is_refused(
    module_of: Callable[[str], ModuleType],
) -> None:
    module = module_of(TEXT + "\ndef g(): return 1\n")
    path = Path(module.__file__ or "")
    path.write_text(TEXT + "\n)")
    with pytest.raises(NotInstrumentable, match="no longer parses"):
        instrumented(module.f, PLAIN)
    path.unlink()
    with pytest.raises(NotInstrumentable, match=r"no source text for .*written_here\.py"):
        instrumented(module.g, PLAIN)


def test_lambdas_on_one_line_are_told_apart(module_of: Callable[[str], ModuleType]) -> None:
    more, less = (instrumented(function, PLAIN) for function in module_of(TEXT).pair)
    assert (more(5), less(5)) == (6, 4)


def test_code_without_text_is_refused() -> None:
    variables: dict[str, Any] = {}
    exec("def f(x): return x", variables)
    with pytest.raises(NotInstrumentable, match="no source text for <string>"):
        instrumented(variables["f"], PLAIN)
    changed = os.path.join.__code__.replace(co_filename=__file__)
    assert is_refused(type(is_refused)(changed, {}))


def test_rewritten_asserts_are_refused() -> None:
    def f(x):
        assert x == 1

    rewritten_by_pytest = "@pytest_ar" in f.__code__.co_names
    assert not rewritten_by_pytest or is_refused(f)


def test_an_equal_function_of_another_file_keeps_its_file() -> None:
    texts = ["def f(x):\n return x.missing\n"] * 2
    one, two = (instrumented(module_from(text)["f"], PLAIN) for text in texts)
    assert one.__code__.co_filename != two.__code__.co_filename


def test_text_of_doctests_is_found() -> None:
    text = ">>> def f(x):\n...     return x * 2\n>>> result = run(f)\n>>> result\n6\n"
    found: list[Any] = []

    def run(function: Any) -> Any:
        found.append(instrumented(function, PLAIN))
        return found[0](3)

    test = doctest.DocTestParser().get_doctest(text, {"run": run}, "here", None, 0)
    assert doctest.DocTestRunner(verbose=False).run(test).failed == 0
    assert found


def test_text_inside_a_zip_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zipped_here.py", TEXT)
    monkeypatch.syspath_prepend(str(archive))
    module = __import__("zipped_here")
    assert instrumented(module.f, PLAIN)(1.5) == 2
    del sys.modules["zipped_here"]


def test_text_of_frozen_modules_is_found() -> None:
    assert instrumented(posixpath.join, PLAIN)("a", "b") == "a/b"


def test_future_features_of_the_file_hold() -> None:
    text = "from __future__ import annotations\ndef f(x):\n def g(a: x.y = 1): return a\n return g.__annotations__\n"
    assert instrumented(module_from(text)["f"], PLAIN)(1) == {"a": "x.y"}


@pytest.mark.parametrize(
    "text",
    [
        "import math\ndef f(): return math.floor(1.5)",
        "try:\n import math\nexcept ImportError:\n math = None\ndef f(): return math.floor(1.5)",
        "if True:\n from os import path as math\n math.floor = int\ndef f(): return math.floor(1.5)",
        "def f(n=3): return n and f(n - 1)",
        "class f:\n def f(self): return f\nf = f.f",
        "def around():\n def f(x): return x and f(x - 1)\n return f\nf = around()",
        "class A:\n class B:\n  def f(self): return __class__\nf = A.B.f",
        "def d(f): return f\n@d\n@d\ndef f(x, /, y=1, *z, w, **k): return x, y, z, w, k",
        "def f(around, C=1): return around, C",
        "f = [lambda x: x][0]",
        "f = (lambda: (lambda y: y))()",
        "class A:\n __x = 1\n def f(self, __y): return [self.__x, __y]\nf = A.f",
        "class A:\n def f(self): return lambda x: self.__x\nf = A().f()",
        "class A:\n def f(self):\n  def g(x): return __class__, x\n  return g\nf = A().f()",
        "import warnings\ndef f(x): return x is 1, '\\d'",
    ],
)
def test_what_stands_around_a_function_is_allowed_for(text: str) -> None:
    with pytest.warns() if "is 1" in text else nothing_expected():
        function = module_from(text)["f"]
    assert instrumented(function, PLAIN).__qualname__ == function.__qualname__


@pytest.mark.skipif(sys.version_info < (3, 14), reason="syntax of Python 3.14")
def test_exceptions_without_parentheses() -> None:
    text = "def f(x):\n try: return 1 / x\n except ZeroDivisionError, TypeError: return repr(x)\n"
    function = module_from(text)["f"]
    assert [instrumented(function, PLAIN)(x) for x in (2, 0, "a")] == [0.5, "0", "'a'"]


def nothing_expected() -> Any:
    return functools.partial(pytest.MonkeyPatch.context)()


def test_text_of_a_cell_that_is_not_in_a_file() -> None:
    linecache.cache["<cell 1>"] = 1, None, ["def f(x):\n", "  return x + 1\n"], "<cell 1>"
    variables: dict[str, Any] = {}
    exec(compile("def f(x):\n  return x + 1\n", "<cell 1>", "exec"), variables)
    assert instrumented(variables["f"], PLAIN)(1) == 2
