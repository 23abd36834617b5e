"""`tracejit inspect --html`: one page that holds all there is, whose pictures have nothing on top of one another."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.standalone.files import artifact, entries, resealed
from tracejit import cli
from tracejit.standalone.facts import Facts, facts_of
from tracejit.standalone.page import page_of
from tracejit.standalone.page.graphs import MANY
from tracejit.standalone.page.layers import GAP, HEIGHT, MOST_WIDTH, layered
from tracejit.standalone.page.markup import VOID, Markup, tag
from tracejit.standalone.page.stays import stays_of

Rect = tuple[float, float, float, float]


@dataclass
class Element:
    name: str
    attributes: dict[str, str]
    text: str = ""
    parts: list[Element] = field(default_factory=list)

    def all(self, name: str, **attributes: str) -> list[Element]:
        wanted = {key.rstrip("_"): value for key, value in attributes.items()}
        found = [self] if self.name == name and wanted.items() <= self.attributes.items() else []
        return found + [each for part in self.parts for each in part.all(name, **attributes)]

    @property
    def whole_text(self) -> str:
        return self.text + "".join(part.whole_text for part in self.parts)


class Parser(HTMLParser):
    """Refuses what is not nested as it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack = [Element("", {})]
        self.feed(text)
        self.close()
        assert len(self.stack) == 1, self.stack[-1].name
        (self.html,) = self.stack[0].parts

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        assert len(attributes) == len(attrs)
        element = Element(tag, attributes)
        self.stack[-1].parts.append(element)
        if tag not in VOID:
            self.stack.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop().name == tag

    def handle_data(self, data: str) -> None:
        self.stack[-1].text += data


def rounds(x: Any, w: Any) -> Any:
    for _ in range(200):
        x = tj.tanh(x @ w) * 0.5 + x
        x = x - x.mean()
    return x


def told(x: Any, mode: str, parts: Any) -> Any:
    return tj.softmax(x @ x, axis=-1) * len(mode) + parts["<b>"]


STRANGE = "</title><script>alert('&amp;')</script>"

CASES: dict[str, tuple[Callable[..., Any], Callable[[], tuple[Any, ...]]]] = {
    "rounds": (rounds, lambda: (tj.ones((8, 8)), tj.ones((8, 8)))),
    "strange names": (told, lambda: (tj.ones((4, 4)), STRANGE, {"<b>": tj.ones(4)})),
    "nothing": (lambda x: x, lambda: (np.ones(3),)),
    "no arguments": (lambda: tj.ones(3) * 2, lambda: ()),
}


@pytest.fixture(scope="module", params=["a training step", *CASES])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "f.tj"
    if request.param in CASES:
        function, make = CASES[request.param]
        tj.export(function, make(), path)
    else:
        path.write_bytes(artifact())
    return path


@pytest.fixture(scope="module")
def page(path: Path) -> Element:
    return Parser(page_of(path)).html


@pytest.fixture(scope="module")
def facts(path: Path) -> Facts:
    return facts_of(path)


def test_the_page_is_whole_and_needs_nothing_else(page: Element) -> None:
    assert [each.name for each in page.parts] == ["head", "body"]
    assert len(page.all("title")) > 0
    assert not [each for name in ("script", "link", "img") for each in page.all(name)]
    (style,) = page.all("style")
    assert not [word for word in ("url(", "@import") if word in style.text]
    assert "prefers-color-scheme: dark" in style.text


def test_links_lead_to_what_is_on_the_page(page: Element) -> None:
    every = all_of(page)
    names = [each.attributes["id"] for each in every if "id" in each.attributes]
    assert len({*names}) == len(names)
    links = [each.attributes["href"] for each in page.all("a")]
    assert {*links} <= {f"#{name}" for name in names}


def all_of(element: Element) -> list[Element]:
    return [element, *(each for part in element.parts for each in all_of(part))]


def test_every_launch_is_there_with_its_ops(page: Element, facts: Facts) -> None:
    for place, target in enumerate(facts.manifest.targets):
        programs = zip(facts.plans[target].plans, facts.accounts(target))
        for number, (plan, account) in enumerate(programs):
            texts = {
                span.attributes["id"]: row.whole_text
                for row in page.all("tr")
                for span in row.all("span")
                if "id" in span.attributes
            }
            for step, (launch, work) in enumerate(zip(plan.steps, account.steps)):
                text = texts[f"launch-{place}-{number}-{step}"]
                for op in work.ops:
                    assert f"{op.op} -> {op.aval}  {op.where}".rstrip() in text
                assert getattr(launch, "kernel", "NumPy's") in text


def test_every_value_of_the_scratch_memory_is_there(page: Element, facts: Facts) -> None:
    titles = [each.whole_text for each in page.all("title")]
    for target in facts.manifest.targets:
        for account in facts.accounts(target):
            for stay in stays_of(account):
                about = f"{stay.value.what}\n{stay.value.where}"
                at = f"at byte {stay.begin_byte}\n"
                assert any(each.startswith(about) and at in each for each in titles)


def test_every_op_of_the_graph_is_there(page: Element, facts: Facts) -> None:
    cells = [[cell.whole_text for cell in row.all("td")] for row in page.all("tr")]
    listed = {(row[0], row[1], row[3]): row[2] for row in cells if len(row) == 5}
    for line in facts.graph.splitlines():
        if line.startswith("%"):
            name, _, rest = line.partition(": ")
            aval, _, expression = rest.partition(" = ")
            expression, _, where = expression.partition("  # ")
            assert listed[name, aval, where].startswith(expression)


def test_state_and_what_was_baked_in_are_there(page: Element, facts: Facts) -> None:
    text = page.whole_text
    for state in facts.manifest.call.state:
        assert state.name in text
    for baked in facts.manifest.baked:
        assert all(each in text for each in (baked.name, baked.value, baked.where))
    assert facts.sha256 in text


def test_the_same_file_gives_the_same_page(path: Path) -> None:
    assert page_of(path) == page_of(path)


# Pictures


def rects(picture: Element, *kinds: str) -> list[Rect]:
    """Left, top, right and bottom of the boxes of these kinds."""
    found = []
    for group in picture.all("g"):
        if group.attributes["class"].split()[0] in kinds:
            (rect,) = group.all("rect")
            x, y, width, height = (float(rect.attributes[n]) for n in ("x", "y", "width", "height"))
            found.append((x, y, x + width, y + height))
    return found


def test_no_two_boxes_lie_on_top_of_each_other_and_all_are_in_view(page: Element) -> None:
    for picture in page.all("svg"):
        width, height = (float(picture.attributes[name]) for name in ("width", "height"))
        boxes = rects(picture, "node", "value")
        for x, y, right, bottom in boxes:
            assert 0 <= x < right <= width + 0.01
            assert 0 <= y < bottom <= height + 0.01
        assert not any(overlap(one, two) for n, one in enumerate(boxes) for two in boxes[:n])


def overlap(one: Rect, two: Rect) -> bool:
    slack = 0.021  # of what is rounded to hundredths
    across = one[0] < two[2] - slack and two[0] < one[2] - slack
    return across and one[1] < two[3] - slack and two[1] < one[3] - slack


def test_the_peak_is_marked_where_most_memory_is_in_use(page: Element, facts: Facts) -> None:
    marked = page.all("text", class_="peak")
    accounts = [each for target in facts.manifest.targets for each in facts.accounts(target)]
    stays = [stays for account in accounts if (stays := stays_of(account))]
    assert len(marked) == len(stays)
    for mark, those in zip(marked, stays):
        launch = int(mark.text.rpartition(" ")[2])
        loads = [
            sum(each.value.nbytes for each in those if each.first <= step < each.end)
            for step in range(max(each.end for each in those))
        ]
        assert loads[launch] == max(loads)


def test_what_is_alike_is_one_box_in_a_large_graph(tmp_path: Path) -> None:
    tj.export(rounds, (tj.ones((8, 8)), tj.ones((8, 8))), tmp_path / "f.tj")
    text = page_of(tmp_path / "f.tj")
    assert len(text) < 1_000_000
    graph, launches, _ = Parser(text).html.all("svg")
    assert facts_of(tmp_path / "f.tj").graph.count("\n") > 1200
    assert len(rects(graph, "node")) < MANY // 2
    assert len(rects(launches, "node")) < 10
    labels = {label.text for label in launches.all("text")}
    assert any(label.endswith("  \N{MULTIPLICATION SIGN}200") for label in labels)


def test_random_graphs_of_up_to_2000_boxes_are_laid_out() -> None:
    for seed in range(30):
        rnd = Random(seed)
        count = rnd.choice((0, 1, 2, 10, 100, 2000))
        widths = [rnd.uniform(10, 300) for _ in range(count)]
        edges = [(rnd.randrange(count), rnd.randrange(count)) for _ in range(2 * count)]
        layout = layered(widths, edges)
        assert layout == layered(widths, edges)
        rows: dict[float, list[tuple[float, float]]] = {}
        for (x, y), width in zip(layout.corners, widths):
            rows.setdefault(y, []).append((x, x + width))
            assert -1e-6 <= x < x + width <= layout.width + 1e-6
            assert 0 <= y < y + HEIGHT <= layout.height
            assert layout.width <= max(MOST_WIDTH, *widths, width)
        for row in rows.values():
            row.sort()
            assert all(two[0] - one[1] >= GAP - 1e-6 for one, two in pairwise(row))
        for source, target in edges:
            if source < target:
                assert layout.corners[source][1] < layout.corners[target][1]


# The command


def test_a_page_is_written_beside_and_put_in_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, page = tmp_path / "f.tj", tmp_path / "f.html"
    file.write_bytes(artifact())
    page.write_text("old")
    assert cli.main(["inspect", str(file), "--html", str(page)]) == 0
    assert page.read_text() == page_of(file)
    assert capsys.readouterr().out.startswith(f"{page}: ")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["f.html", "f.tj"]


def test_an_account_that_is_not_the_plans_is_refused(tmp_path: Path) -> None:
    parts = entries()
    name = next(each for each in parts if each.endswith("/account.json"))
    account = json.loads(parts[name])
    path = tmp_path / "f.tj"

    def refused(content: bytes, message: str) -> None:
        path.write_bytes(resealed({**parts, name: content}))
        assert tj.load(path)  # which reads none of it
        with pytest.raises(tj.ArtifactError, match=message):
            page_of(path)

    steps = account["programs"][0]["steps"]
    steps[0]["reads"] = [10_000]
    refused(json.dumps(account).encode(), "a step uses a value that is not there")
    steps.pop()
    refused(json.dumps(account).encode(), "it is of other steps than there are")
    refused(b"{}", "it is no Accounts")
    path.write_bytes(resealed({each: parts[each] for each in parts if each != name}))
    assert tj.load(path)
    with pytest.raises(tj.ArtifactError, match=r"account.json: it is missing"):
        page_of(path)


def test_a_file_with_no_target_shows_its_graph(tmp_path: Path) -> None:
    parts = entries()
    manifest = json.loads(parts["manifest.json"])
    manifest["targets"] = []
    kept = {name: parts[name] for name in parts if not name.startswith("cpu-")}
    path = tmp_path / "f.tj"
    path.write_bytes(resealed({**kept, "manifest.json": json.dumps(manifest).encode()}))
    graphs = parts["graph.txt"].decode().split("\n\n")
    assert len(Parser(page_of(path)).html.all("svg")) == len(graphs)


def test_text_is_escaped_and_markup_is_not() -> None:
    text = "<a href='x'>&"
    element = tag("td", text, Markup("<i>1</i>"), title=text, text_anchor=None, class_="c")
    assert element.startswith('<td title="&lt;a href=&#x27;x&#x27;&gt;&amp;" class="c">&lt;a')
    assert element.endswith("<i>1</i></td>")
