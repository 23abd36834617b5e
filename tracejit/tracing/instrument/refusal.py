"""How a function is refused, in one place, so that every refusal says what and where."""

from __future__ import annotations

import os.path


class NotInstrumentable(Exception):
    """The function can only run as it is; the text is the reason, with the line where there is one."""


def refusal(reason: str, file: str = "", line: int = 0) -> NotInstrumentable:
    where = f"{os.path.basename(file)}:{line}: " if line else ""  # noqa: PTH119
    return NotInstrumentable(where + reason)
