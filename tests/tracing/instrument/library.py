"""Uses of the standard library that go through a good deal of its Python code, each by the name of a module."""

from __future__ import annotations

import io
from collections.abc import Callable
from json import JSONDecoder
from types import ModuleType
from typing import Any

Use = Callable[[ModuleType], Any]

USES: dict[str, Use] = {}


def use(name: str) -> Callable[[Use], Use]:
    def enter(function: Use) -> Use:
        USES[name] = function
        return function

    return enter


@use("argparse")
def parse_arguments(argparse):
    parser = argparse.ArgumentParser(prog="p", description="word " * 30)
    parser.add_argument("--count", "-c", type=int, default=1, help="how many, %(default)s")
    parser.add_argument("rest", nargs="*", choices=["a", "b"])
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--yes", action="store_true")
    group.add_argument("--no", dest="yes", action="store_false")
    return repr(parser.parse_args(["-c", "3", "a", "b", "--yes"])), parser.format_help()


@use("ast")
def print_program(ast):
    program = "def f(x: int, *a) -> str:\n  return [y for y in x if y < 3]"
    return ast.unparse(ast.parse(program)), ast.literal_eval("{1: [-2, 'a']}")


@use("bisect")
def bisect_lists(bisect):
    return bisect.bisect([1, 3, 5], 4), bisect.bisect_left([1, 3], 3, key=lambda x: x)


@use("calendar")
def print_month(calendar):
    return calendar.TextCalendar().formatmonth(2024, 2), calendar.isleap(2024)


@use("configparser")
def configure(configparser):
    parser = configparser.ConfigParser()
    parser.read_string("[a]\nx = 1\ny = %(x)s 2\n long\n[b]\nz: yes\n")
    out = io.StringIO()
    parser.write(out)
    return parser["a"]["y"], parser.getboolean("b", "z"), out.getvalue()


@use("csv")
def read_and_write_tables(csv):
    rows = list(csv.DictReader(io.StringIO("a,b\n1,2\n3,4,5\n")))
    out = io.StringIO()
    writer = csv.DictWriter(out, ["a", "b"], restval="-")
    writer.writeheader()
    writer.writerows([{"a": 1}, {"a": 2, "b": 3}])
    return rows, out.getvalue(), csv.Sniffer().sniff("a;b\n1;2\n3;4\n").delimiter


@use("dataclasses")
def make_class(dataclasses):
    lists = dataclasses.field(default_factory=list)
    made = dataclasses.make_dataclass("D", [("a", int), ("b", list, lists)])
    return dataclasses.asdict(made(1)), repr(dataclasses.replace(made(1), a=2))


@use("difflib")
def compare_texts(difflib):
    words = difflib.get_close_matches("appel", ["ape", "apple"])
    return (
        list(difflib.unified_diff([*"abcdef"], [*"abxdefg"])),
        words,
        list(difflib.ndiff(["one"], ["ore"])),
    )


@use("fractions")
def compute_with_fractions(fractions):
    x, y = fractions.Fraction(3, 4), fractions.Fraction("1.25")
    numbers = [x + y, x - y, x * y, x / y, x // y, x % y, x**2, -x]
    return numbers, x < y <= y, str(x), float(x), x.limit_denominator(2), round(y)


@use("heapq")
def sort_by_heap(heapq):
    heap = [5, 3, 8, 1, 9, 2]
    heapq.heapify(heap)
    heapq.heappush(heap, 4)
    popped = [heapq.heappop(heap) for _ in range(3)]
    merged = list(heapq.merge([1, 4], [2, 3], reverse=False))
    return popped, heap, merged, heapq.nlargest(2, [3, 1, 2], key=lambda x: -x)


@use("inspect")
def look_at_functions(inspect):
    return str(inspect.signature(sort_by_heap)), inspect.cleandoc("a\n   b\n")


@use("json.decoder")
def read_text(decoder):
    return decoder.py_scanstring('a\\n\\u00e9b"', 0), decoder.JSONDecoder().decode("[1, 2.5]")


@use("json.encoder")
def write_values(encoder):
    values = {"b": [1, 2.5, None, True], "a": {"ü": "\n"}}
    return encoder.JSONEncoder(indent=2, sort_keys=True).encode(values)


@use("json.scanner")
def read_values(scanner):
    return scanner.py_make_scanner(JSONDecoder())('[1, {"a": null}]', 0)


@use("posixpath")
def take_paths_apart(path):
    return path.normpath("/a/../b//c"), path.commonpath(["/a/b", "/a/c"]), path.splitext("x.py")


@use("shlex")
def split_command(shlex):
    return shlex.split("a 'b c' d\\ e # f", comments=True), shlex.quote("it's")


@use("statistics")
def describe_numbers(statistics):
    center = statistics.mean([1, 2, 4]), statistics.median([3, 1, 2]), statistics.mode("aab")
    return center, statistics.stdev([1.5, 2.5, 4]), statistics.quantiles(range(9))


@use("string")
def fill_templates(string):
    filled = string.Template("$a ${b}").substitute(a=1, b=2)
    return filled, string.Formatter().format("{0[1]:>4}|{a!r}", [1, 2], a="x")


@use("textwrap")
def wrap_text(textwrap):
    lines = textwrap.wrap("the quick brown fox " * 9, 23)
    return lines, textwrap.dedent("  a\n   b"), textwrap.shorten("a b c d e", 6)


@use("tokenize")
def split_program(tokenize):
    program = io.StringIO("x = (1 +\n  2)\n")
    return tokenize.untokenize(tokenize.generate_tokens(program.readline))
