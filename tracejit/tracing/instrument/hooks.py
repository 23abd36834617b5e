"""What instrumented code calls, and what it makes of the answer. Hooks that give back what they get leave all as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any, Protocol


class Hooks(Protocol):
    """The hooks object is a constant of the code. Operands are evaluated in Python's order before a hook is called.

    Hooks are called from the frame of the user's function, at the line in question; inside a comprehension there may be a
    frame of a lambda or, up to Python 3.11, of the comprehension between. Operators are named as in `ast`: "Add", "NotIn".
    """

    # Variables from outside the function

    def read_global(self, name: str) -> Any:
        """A variable of the module or a builtin; the module's are the `f_globals` of the calling frame."""

    def read_cell(self, read: FunctionType) -> Any:
        """A variable of a function around, of which `read.__closure__` holds the one cell."""

    def wrote_global(self, name: str) -> None:
        """A global variable has been stored."""

    def wrote_cell(self, read: FunctionType) -> None:
        """A variable of a function around has been stored."""

    def imported(self, value: Any, module: str, name: str) -> None:
        """An import has bound this to a name: the attribute of a module, or, with no name, what `import module` binds."""

    # Attributes and items

    def read_attribute(self, owner: Any, name: str) -> Any:
        """`owner.name`"""

    def write_attribute(self, value: Any, owner: Any, name: str) -> None:
        """`owner.name = value`"""

    def delete_attribute(self, owner: Any, name: str) -> None:
        """`del owner.name`"""

    def read_item(self, owner: Any, key: Any) -> Any:
        """`owner[key]`, where the key may be a slice"""

    def read_part(self, owner: Any, key: Any) -> Any:
        """`owner[key]` in `owner[key] += value`: what is given goes to `in_place`, and what that gives to `write_item`."""

    def write_item(self, value: Any, owner: Any, key: Any) -> None:
        """`owner[key] = value`"""

    def delete_item(self, owner: Any, key: Any) -> None:
        """`del owner[key]`"""

    # Operators and tests

    def binary(self, op: str, left: Any, right: Any) -> Any:
        """`left + right` and the like"""

    def in_place(self, op: str, left: Any, right: Any) -> Any:
        """What `left += right` stores in `left`"""

    def unary(self, op: str, operand: Any) -> Any:
        """`-operand`, `+operand`, `~operand`"""

    def compare(self, op: str, left: Any, right: Any) -> Any:
        """`left < right` and the like; a chain is one call for each link that is reached."""

    def truth(self, value: Any) -> Any:
        """Of the answer only the truth is taken: `x and y` is `x` itself if that is false."""

    # What Python reads on its own

    def iterate(self, value: Any) -> Any:
        """Iterated in the place of the value, or unpacked as `*value`, `**value`, or delegated to by `yield from`."""

    def iterate_unpacked(self, value: Iterable[Any]) -> Any:
        """Iterated in the place of the value, and each item unpacked."""

    def unpack(self, value: Any) -> Any:
        """Unpacked in the place of the value, by one level."""

    def key(self, value: Any) -> Any:
        """Put into a dict as a key, or into a set, in the place of the value."""

    def formatted(self, value: Any, conversion: str, spec: str) -> str:
        """The text of a part of an f-string; the conversion is "s", "r", "a" or "" for none."""

    def joined(self, *parts: str) -> str:
        """The f-string of these parts."""

    def context(self, value: Any) -> Any:
        """Entered by `with` in the place of the value."""

    def exception_class(self, value: Any) -> Any:
        """Compared with by `except` in the place of the value, a class or a tuple."""

    def raised(self, value: Any) -> Any:
        """Raised in the place of the value, or its cause: an exception, or a class, which Python calls."""

    def asserted(self, value: Any) -> Any:
        """What `assert` gives to its error in the place of the value."""

    def matched(self, value: Any) -> Any:
        """Matched in the place of the value with patterns of literals, sequences, mappings and names."""

    # Calls, functions, loops

    def callee(self, function: Any) -> Any:
        """Called, by the user's frame, in the place of the function; decorators as well."""

    def made_function(self, function: Callable[..., Any]) -> Any:
        """Takes the place of a lambda or of an inner function, before it is decorated. Its code has hooks too."""

    def loop_entered(self, number: int) -> None:
        """Called before the first test of the `number`th loop of the function, a `while`, each time that it comes there."""

    def loop_head(self, number: int, names: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """Called before each test of the `number`th loop of the function; the answer is stored in the local variables.

        These are the ones that are bound for certain, with their names joined by spaces.
        """

    def loop_tested(self, value: bool) -> bool:
        """Whether the loop goes on, known by now."""

    def counter(self, number: int, function: Any, *args: Any) -> tuple[Any, Any]:
        """Begins the `number`th loop, `for ... in function(*args)` where the function's name is `range`.

        Gives what steps, and the place where it stands.
        """

    def goes_on(self, counter: Any, place: Any) -> bool:
        """Whether there is another step."""

    def counted(self, counter: Any, place: Any) -> tuple[Any, Any]:
        """What the loop's variable becomes, and the next place."""
