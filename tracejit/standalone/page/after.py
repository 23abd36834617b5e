"""What a program launches, as a list and as a picture, and the scratch memory that lies between launches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracejit._records import dataclass
from tracejit.artifact import Account, Computed, HostCall, LaunchSpec, Place, Plan, Work
from tracejit.cli import in_units
from tracejit.runtime import gemm, gemv, slabs
from tracejit.standalone.facts import name_of
from tracejit.standalone.page.graphs import Box, picture
from tracejit.standalone.page.markup import Markup, joined, tag
from tracejit.standalone.page.memory import memory_picture, span
from tracejit.standalone.page.names import Names
from tracejit.standalone.page.stays import stays_of
from tracejit.standalone.products import flops_of

_PRODUCTS = {*gemm.KERNELS.values(), *gemv.KERNELS.values()}
Step = LaunchSpec | HostCall


@dataclass(frozen=True, slots=True)
class After:
    """One program for one target; `prefix` is what the names of its launches begin with on the page."""

    plan: Plan
    account: Account
    names: Names
    prefix: str

    def launches(self) -> Markup:
        boxes, edges = [*self._boxes()], [*self._edges()]
        count = len(self.plan.steps)
        table = tag("details", tag("summary", f"{count} launches"), self._table())
        return joined((picture(boxes, edges), table))

    def memory(self) -> Markup:
        stays = stays_of(self.account)
        if not stays:
            return tag("p", "Nothing lies between launches.", class_="faint")
        drawn = memory_picture(stays, self.plan.arena_bytes, len(self.plan.steps))
        head = tag(
            "tr", *(tag("th", each) for each in ("value", "line", "size", "at byte", "needed by"))
        )
        rows = (
            tag(
                "tr",
                tag("td", stay.value.what),
                tag("td", stay.value.where),
                tag("td", in_units(stay.value.nbytes), class_="number"),
                tag("td", stay.begin_byte, class_="number"),
                tag("td", span(stay)),
            )
            for stay in stays
        )
        listed = tag("details", tag("summary", f"{len(stays)} values"), tag("table", head, *rows))
        return joined((drawn, listed))

    # The picture

    def _boxes(self) -> Iterator[Box]:
        """What is read from outside, the launches, what is left behind."""
        yield from (self._value_box(number, "read") for number in self._given)
        for number, (step, work) in enumerate(zip(self.plan.steps, self.account.steps)):
            ops = ", ".join(dict.fromkeys(op.op for op in work.ops)) or "copy"
            lines = [f"launch {number}: {_kernel(step)}", *map(_computed, work.ops), _moves(step)]
            key, link = _key(step, work), f"#{self.prefix}-{number}"
            yield Box(f"{number} {ops}", "\n".join(lines), _kind(step), key, link)
        yield from (self._value_box(number, "written") for number in self._left)

    def _value_box(self, number: int, use: str) -> Box:
        value = self.account.values[number]
        kind, index = value.at.place.value, value.at.index
        name = (
            f"result {index}"
            if kind == "output"
            else self.names.get((kind, index), f"{kind} {index}")
        )
        title = f"{name}, {use}\n{value.what}\n{in_units(value.nbytes)}"
        return Box(name, title, use, (name, use, value.what))

    def _edges(self) -> Iterator[tuple[int, int]]:
        """From the launch that wrote a value last, or the box that it is, to those that read it."""
        given = self._given
        at = {number: place for place, number in enumerate(given)}
        for place, work in enumerate(self.account.steps, len(given)):
            yield from ((at[number], place) for number in work.reads if number in at)
            at |= dict.fromkeys(work.writes, place)
        end = len(given) + len(self.account.steps)
        yield from ((at[number], place) for place, number in enumerate(self._left, end))

    @property
    def _given(self) -> list[int]:
        """Arrays from outside that are read before anything is written there."""
        found: dict[int, None] = {}
        written: set[int] = set()
        for work in self.account.steps:
            found |= dict.fromkeys(number for number in work.reads if number not in written)
            written |= {*work.writes}
        return sorted(n for n in found if self.account.values[n].at.place is Place.INPUT)

    @property
    def _left(self) -> list[int]:
        """What is last written to each result and each array from outside."""
        last: dict[tuple[Place, int], int] = {}
        for work in self.account.steps:
            for number in work.writes:
                at = self.account.values[number].at
                if at.place in (Place.OUTPUT, Place.INPUT):
                    last[at.place, at.index] = number
        return sorted({*last.values()})

    # The list

    def _table(self) -> Markup:
        """Launches that are alike in one row."""
        alike: dict[object, list[int]] = {}
        for number, (step, work) in enumerate(zip(self.plan.steps, self.account.steps)):
            alike.setdefault(_key(step, work), []).append(number)
        titles = ("launches", "computes", "kernel", "moves", "products", "about")
        head = tag("tr", *(tag("th", each) for each in titles))
        return tag("table", head, *map(self._row, alike.values()))

    def _row(self, numbers: Sequence[int]) -> Markup:
        step, work = self.plan.steps[numbers[0]], self.account.steps[numbers[0]]
        marks = [tag("span", number, id=f"{self.prefix}-{number}") for number in numbers]
        flops = flops_of(step) if isinstance(step, LaunchSpec) else 0
        return tag(
            "tr",
            tag("td", Markup(" ".join(marks))),
            tag("td", *_computes(step, work)),
            tag("td", _kernel(step)),
            tag("td", in_units(step.nbytes), class_="number"),
            tag("td", f"{flops / 1e6:.3g} MFLOP" if flops else "", class_="number"),
            tag("td", f"{step.nanoseconds / 1e3:.3g} us", class_="number"),
        )


def _key(step: Step, work: Work) -> object:
    """Is that of launches that are alike."""
    return _kernel(step), work.ops, step.nbytes


def _computes(step: Step, work: Work) -> Iterator[Markup]:
    if not work.ops:
        yield tag("div", name_of(step))
    yield from (tag("div", _computed(op)) for op in work.ops)


def _computed(op: Computed) -> str:
    """`matmul -> f32[8,3]  model.py:12`"""
    return f"{op.op} -> {op.aval}  {op.where}".rstrip()


def _moves(step: Step) -> str:
    return f"moves {in_units(step.nbytes)}, about {step.nanoseconds / 1e3:.3g} us"


def _kernel(step: Step) -> str:
    if isinstance(step, HostCall):
        return f"NumPy's {step.op}"
    return ", ".join(dict.fromkeys((step.kernel, *step.kernels, *step.calls)))


def _kind(step: Step) -> str:
    if isinstance(step, HostCall):
        return "host"
    if step.kernel == slabs.KERNEL:
        return "slabs"
    return "product" if {step.kernel, *step.kernels} <= _PRODUCTS else "op"
