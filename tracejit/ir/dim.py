"""Sizes that a graph leaves open: each is a polynomial of a few variables, and has the value that these have now.

Arithmetic on a size gives sizes. Whatever else is asked of one, a comparison, its truth, its value, is answered from the values
of now, and the answer is noted as a fact: what was built from the answers holds for other values exactly where the facts do.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from operator import add, floordiv, mod, mul, sub, truediv
from typing import Any

Monomial = tuple[int, ...]
"""Atoms, ascending; as often as the power says."""
Terms = dict[Monomial, int]


def _rounded(number: Any, _: int) -> int:
    return round(number)


def _whole(number: Any, _: int) -> int:
    return int(number)


ATOMS: dict[Callable[[Any, Any], Any], str] = {
    floordiv: "//", mod: "%", truediv: "/", mul: "*", add: "+", sub: "-", _rounded: "rounded", _whole: "whole",
}  # fmt: skip


class Sizes:
    """The variables of one recording, and what has been found to hold of them.

    values    of the atoms: variables, and quotients and remainders of what was there before
    facts     (size, relation, outcome): "eq" asks whether the size is 0, "lt" whether it is less
    is_open   False when nothing that is asked any more counts
    estimates whether there is arithmetic on floats, which say what something costs: they are rounded in any order
    """

    def __init__(self, *, estimates: bool = False) -> None:
        self.estimates = estimates
        self.values: list[Any] = []
        self.facts: dict[tuple[Dim, str], bool] = {}
        self.is_open = True
        self.where: Callable[[], str] = str
        """What tells the user's line; `lines` has those of the facts."""
        self.lines: dict[tuple[Dim, str], str] = {}
        self.labels: list[Any] = []
        """What the atoms are called."""
        self.number: Callable[[Dim], Any] = self.fix
        """What gives a size as a Python number."""
        self.avals: dict[Any, Any] = {}
        """The one `Aval` of each dtype, shape and device with sizes of these."""
        self.made: list[tuple[Callable[[int, int], int], Any, Any] | None] = []
        """How each atom is computed; None for a variable."""
        self._equal: dict[int, Any] = {}
        """What variables are known to be."""
        self._made: dict[tuple[Any, ...], Dim] = {}
        self._noted: list[weakref.ref[Any]] = []

    # Making sizes

    def variable(self, value: int, label: Any = None) -> Dim:
        """A new size of 0 or more; `label` says whose it is."""
        return self._atom(None, value, label)

    @property
    def variables(self) -> list[int]:
        """Which of the atoms are variables."""
        return [place for place, atom in enumerate(self.made) if atom is None]

    def _atom(
        self,
        made: tuple[Callable[[int, int], int], Any, Any] | None,
        value: int,
        label: Any = None,
    ) -> Dim:
        if made is not None:
            by, a, b = made
            label = f"({_label(a, self.labels)} {ATOMS[by]} {_label(b, self.labels)})"
        self.labels.append(label or f"n{len(self.labels)}")
        self.made.append(made)
        self.values.append(value)
        return self.of({(len(self.values) - 1,): 1})  # type: ignore[return-value]  # not constant

    def of(self, terms: Terms) -> Dim | int:
        """The one size of these terms; a number where it is constant."""
        kept = tuple(sorted((monomial, by) for monomial, by in terms.items() if by))
        if not kept or (len(kept) == 1 and not kept[0][0]):
            return kept[0][1] if kept else 0
        found = self._made.get(kept)
        if found is None:
            found = self._made[kept] = Dim(self, kept)
        return found

    def read(self, text: str) -> Dim | int:
        """The size, or the number, of which this is the `name`. Raises ValueError for any other text."""
        total: Any = 0
        for part in text.split("+"):
            product: Any = 1
            for factor in part.split("*"):
                product = product * self._factor(factor)
            total = total + product
        if name_of(total) != text:
            raise ValueError(f"{text!r:.40} is no size")
        return total

    def _factor(self, text: str) -> Any:
        if not text.startswith("n"):
            return int(text)
        atom = int(text[1:])
        if not 0 <= atom < len(self.made):
            raise ValueError(f"there is no size {text!r:.40}")
        return self.of({(atom,): 1})

    def divided(self, by: Callable[[int, int], int], a: Any, b: Any) -> Any:
        """`a // b` or `a % b`."""
        exact = _quotient(a, b) if by in (floordiv, mod) else None
        if exact is not None:
            return self.of(exact) if by is floordiv else 0
        key = (by, a, b)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = self._atom((by, a, b), by(plain(a), plain(b)))
        return found

    # Facts

    def ask(self, a: Any, relation: str) -> bool:
        """Whether `a` is 0 ("eq"), or less ("lt")."""
        if not isinstance(a, Dim):
            return bool(a == 0 if relation == "eq" else a < 0)
        known = a.known(relation)
        if known is not None:
            return known
        outcome = a.value == 0 if relation == "eq" else a.value < 0
        if self.is_open and (a, relation) not in self.facts:
            self.facts[a, relation] = outcome
            self.lines[a, relation] = self.where()
            if relation == "eq" and outcome:
                self._note_equal(a)
        return outcome

    def _note_equal(self, zero: Dim) -> None:
        """A variable that is found to be a number, or another size, is that from now on."""
        for monomial, by in zero.terms:
            if len(monomial) == 1 and by in (1, -1) and self.made[monomial[0]] is None:
                (atom,) = monomial
                rest = self.of({m: -n * by for m, n in zero.terms if m != monomial})
                if not isinstance(rest, Dim) or atom not in rest.atoms:
                    self._equal[atom] = rest
                    return

    def simplest(self, size: Any) -> Any:
        """A size, or a number, by what is known of its variables."""
        if type(size) is not Dim or self._equal.keys().isdisjoint(size.atoms):
            return size
        total: Any = 0
        for monomial, by in size.terms:
            part: Any = by
            for atom in monomial:
                part = part * self._equal.get(atom, self.of({(atom,): 1}))
            total = total + part
        return self.simplest(total)

    def fix(self, dim: Dim) -> int:
        """The value, which a reader has asked for."""
        self.ask(dim - dim.value, "eq")
        return dim.value

    def fix_all(self) -> None:
        """From here on everything holds for the values of now alone."""
        for variable in self.variables:
            self.ask(self._apart(variable), "eq")

    def _apart(self, variable: int) -> Any:
        """What is 0 where a variable has the value of now."""
        return self.of({(variable,): 1, (): -self.values[variable]})

    def atoms(self, values: Sequence[int], count: int | None = None) -> list[int]:
        """The values of the atoms, or of the first `count`, for others of the variables, or of the first ones."""
        return list(self._atoms(values, count, []))

    def _atoms(self, values: Sequence[int], count: int | None, found: list[int]) -> Iterator[int]:
        """One after another, each of those that are `found`."""
        given = iter(values)
        for atom in self.made[:count]:
            if atom is not None:
                by, a, b = atom
                found.append(by(at(a, found), at(b, found)))
            else:
                value = next(given, None)
                if value is None:
                    return
                found.append(value)
            yield found[-1]

    def atoms_where_facts_hold(self, values: Sequence[int]) -> list[int] | None:
        """The values of the atoms for others of the variables; None where something that was asked has another answer.

        What was computed after a question may have no value where its answer is another.
        """
        found: list[int] = []
        rest = self._atoms(values, None, found)
        for (size, relation), outcome in self.facts.items():
            last = max(size.atoms)
            while len(found) <= last:
                next(rest)
            value = size.at(found)
            if (value == 0 if relation == "eq" else value < 0) != outcome:
                return None
        for _ in rest:
            pass
        return found

    def is_fixed(self) -> bool:
        """Whether the facts hold for the values of now alone, as each variable is known to be what it is."""
        return all(self.facts.get((self._apart(each), "eq")) for each in self.variables)

    # What has such sizes

    def note(self, thing: Any) -> None:
        """`thing` has an aval, a layout or more with sizes of these, for as long as they are open."""
        self._noted.append(weakref.ref(thing))

    def noted(self) -> list[Any]:
        """What is still there of all that was noted, and is noted no longer."""
        found = [thing for thing in (ref() for ref in self._noted) if thing is not None]
        self._noted.clear()
        return found


class Dim:
    """A size; equal ones are one object."""

    __slots__ = ("__weakref__", "sizes", "terms", "value")

    def __init__(self, sizes: Sizes, terms: tuple[tuple[Monomial, int], ...]) -> None:
        self.sizes = sizes
        self.terms = terms
        self.value = self.at(sizes.values)

    @property
    def atoms(self) -> set[int]:
        return {atom for monomial, _ in self.terms for atom in monomial}

    def at(self, atoms: Sequence[int]) -> int:
        """The value for these of the atoms."""
        total = 0
        for monomial, by in self.terms:
            for atom in monomial:
                by *= atoms[atom]
            total += by
        return total

    def known(self, relation: str) -> bool | None:
        """Whether it is 0, or less than 0, where that is so for all values: atoms are 0 or more, but for estimates."""
        if self.is_estimate:
            return None
        least = self.least
        if least is not None and (least > 0 or (relation == "lt" and least == 0)):
            return False
        most = self.most
        if most is not None and most < 0:
            return relation == "lt"
        return None

    @property
    def least(self) -> int | None:
        """No value is less than this; None where nothing is known."""
        return self._bound(lambda by: by > 0)

    @property
    def most(self) -> int | None:
        """No value is more than this; None where nothing is known."""
        return self._bound(lambda by: by < 0)

    def _bound(self, is_harmless: Callable[[int], bool]) -> int | None:
        constant = 0
        for monomial, by in self.terms:
            if not monomial:
                constant = by
            elif not is_harmless(by):
                return None
        return constant

    @property
    def name(self) -> str:
        """`n0*n1+2`, for graphs as text; unlike `str()` it does not look at the value."""
        return self.text([f"n{atom}" for atom in range(len(self.sizes.made))])

    def text(self, names: Sequence[str]) -> str:
        """As text, with these names of the atoms."""
        parts = []
        for monomial, by in reversed(self.terms):
            factors = [names[atom] for atom in monomial]
            if by != 1 or not factors:
                factors.insert(0, str(by))
            parts.append("*".join(factors))
        return "+".join(parts)

    @property
    def is_estimate(self) -> bool:
        """Whether its value is a float."""
        return self.sizes.estimates and isinstance(self.value, float)

    def _is_estimate(self, other: Any) -> bool:
        """Whether arithmetic with `other` is on floats, which is done as it is written."""
        return self.sizes.estimates and (self.is_estimate or isinstance(plain(other), float))

    # Arithmetic

    def __add__(self, other: Any) -> Any:
        return _combined(self, other, 1)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return _combined(self, other, -1)

    def __rsub__(self, other: Any) -> Any:
        return _combined(-self, other, 1)

    def __neg__(self) -> Any:
        return self * -1

    def __pos__(self) -> Any:
        return self

    def __mul__(self, other: Any) -> Any:
        if self._is_estimate(other):
            return self.sizes.divided(mul, self, other)
        terms = _terms(other)
        if terms is None:
            return NotImplemented
        product: Terms = {}
        for left, a in self.terms:
            for right, b in terms.items():
                monomial = tuple(sorted((*left, *right)))
                product[monomial] = product.get(monomial, 0) + a * b
        return self.sizes.of(product)

    __rmul__ = __mul__

    def __floordiv__(self, other: Any) -> Any:
        return _divided(self, floordiv, self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return _divided(self, floordiv, other, self)

    def __mod__(self, other: Any) -> Any:
        return _divided(self, mod, self, other)

    def __rmod__(self, other: Any) -> Any:
        return _divided(self, mod, other, self)

    def __truediv__(self, other: Any) -> Any:
        return self._estimated(truediv, self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._estimated(truediv, other, self)

    def __round__(self, digits: Any = None) -> Any:
        if self.sizes.estimates and digits is None:
            return self.sizes.divided(_rounded, self, 1)
        return round(self.sizes.fix(self), digits)

    def _estimated(self, by: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
        """What costs are computed with by real division; it looks at the value anywhere else."""
        return (
            self.sizes.divided(by, a, b)
            if self.sizes.estimates
            else by(*map(self._looked_at, (a, b)))
        )

    def _looked_at(self, number: Any) -> Any:
        return self.sizes.fix(number) if type(number) is Dim else number

    def _is_a_number(self, other: Any) -> bool:
        return _terms(other) is not None or self._is_estimate(other)

    # Questions

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> Any:
        return (
            NotImplemented if not self._is_a_number(other) else self.sizes.ask(self - other, "eq")
        )

    def __ne__(self, other: object) -> Any:
        return (
            NotImplemented
            if not self._is_a_number(other)
            else not self.sizes.ask(self - other, "eq")
        )

    def __lt__(self, other: Any) -> Any:
        return (
            NotImplemented if not self._is_a_number(other) else self.sizes.ask(self - other, "lt")
        )

    def __ge__(self, other: Any) -> Any:
        return (
            NotImplemented
            if not self._is_a_number(other)
            else not self.sizes.ask(self - other, "lt")
        )

    def __gt__(self, other: Any) -> Any:
        return (
            NotImplemented if not self._is_a_number(other) else self.sizes.ask(-self + other, "lt")
        )

    def __le__(self, other: Any) -> Any:
        return (
            NotImplemented
            if not self._is_a_number(other)
            else not self.sizes.ask(-self + other, "lt")
        )

    def __bool__(self) -> bool:
        return not self.sizes.ask(self, "eq")

    def __index__(self) -> int:
        return self.sizes.fix(self)

    __int__ = __index__

    def __float__(self) -> float:
        return float(self.sizes.fix(self))

    def __str__(self) -> str:
        return str(self.sizes.fix(self))

    def __format__(self, spec: str) -> str:
        return format(self.sizes.fix(self), spec)

    def __repr__(self) -> str:
        """Where parameters are told apart by their text, the compiler's sizes are by their names."""
        return self.name if self.sizes.estimates else repr(self.sizes.fix(self))

    def __getattr__(self, name: str) -> Any:
        """What else integers have."""
        if not hasattr(int, name):
            raise AttributeError(name)
        return getattr(self.sizes.fix(self), name)


def _looking(name: str) -> Callable[..., Any]:
    """An operation of integers that is one on the value."""

    def method(self: Dim, *others: Any) -> Any:
        return getattr(self.sizes.fix(self), name)(*map(plain, others))

    return method


for _name in vars(int):
    if _name.startswith("__") and not hasattr(Dim, _name):
        setattr(Dim, _name, _looking(_name))


def whole(number: Any) -> Any:
    """A number without its fraction; of an estimate one, too."""
    return number.sizes.divided(_whole, number, 1) if type(number) is Dim else int(number)


def plain(value: Any) -> Any:
    """A size's value, of which nobody learns, also in tuples and lists; anything else as it is."""
    if type(value) is Dim:
        return value.value
    if type(value) in (tuple, list):
        return type(value)(map(plain, value))
    return value


def at(value: Any, atoms: Sequence[int]) -> Any:
    """A size's value for these of the atoms, also in tuples; anything else as it is."""
    if type(value) is Dim:
        return value.at(atoms)
    if type(value) is tuple:
        return tuple([at(part, atoms) for part in value])
    return value


def is_open(value: object) -> bool:
    """Whether it is an open size, also where numbers are expected."""
    return type(value) is Dim


def surely_equal(a: Any, b: Any) -> bool:
    """Whether two sizes or numbers are the same for all values of their variables, of which none is asked."""
    return a is b or (type(a) is not Dim and type(b) is not Dim and a == b)


def name_of(value: Any) -> str:
    """A size, or a number, as text that nobody learns the value from."""
    return value.name if type(value) is Dim else str(value)


def _label(value: Any, labels: Sequence[Any]) -> str:
    if type(value) is not Dim:
        return str(value)
    text = value.text(list(map(str, labels)))
    return text if len(value.terms) == 1 and value.terms[0][1] == 1 else f"({text})"


def _terms(value: Any) -> Terms | None:
    if type(value) is Dim:
        return dict(value.terms)
    return {(): int(value)} if isinstance(value, int) else None


def _combined(a: Dim, b: Any, sign: int) -> Any:
    if a._is_estimate(b):
        return a.sizes.divided(add if sign > 0 else sub, a, b)
    terms = _terms(b)
    if terms is None:
        return NotImplemented
    total = dict(a.terms)
    for monomial, by in terms.items():
        total[monomial] = total.get(monomial, 0) + sign * by
    return a.sizes.of(total)


def _divided(self: Dim, by: Callable[[int, int], int], a: Any, b: Any) -> Any:
    if _terms(a) is None or _terms(b) is None:
        return NotImplemented
    sizes = self.sizes
    if sizes.ask(b, "eq"):
        raise ZeroDivisionError("integer division or modulo by zero")
    if sizes.ask(b, "lt"):  # atoms are 0 or more
        return by(sizes.fix(a) if type(a) is Dim else a, sizes.fix(b) if type(b) is Dim else b)
    if type(a) is not Dim and sizes.ask(abs(a) - b, "lt"):  # a number between -b and b
        if by is floordiv:
            return -1 if a < 0 else 0
        return a + b if a < 0 else a
    if sizes.ask(a, "lt"):  # rounded down, as in the other direction it is rounded up
        quotient = -sizes.divided(floordiv, b - a - 1, b)
        return quotient if by is floordiv else a - b * quotient
    return sizes.divided(by, a, b)


def _quotient(a: Any, b: Any) -> Terms | None:
    """The terms of a / b where b is one term that divides each of a's."""
    divisor = _terms(b)
    if divisor is None or len(divisor) != 1:
        return None
    ((factors, by),) = divisor.items()
    quotient: Terms = {}
    for monomial, count in (_terms(a) or {}).items():
        rest = list(monomial)
        for factor in factors:
            if factor not in rest:
                return None
            rest.remove(factor)
        if count % by:
            return None
        quotient[tuple(rest)] = count // by
    return quotient
