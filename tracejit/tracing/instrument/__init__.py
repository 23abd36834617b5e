"""Python functions with hooks in their code: every read and write of outside state, call, operator and test is told.

Control flow, exceptions, generators and frames stay CPython's own. A function is rewritten from its source text, which
is first proved to be that of its code; whatever the rewriting has no rule for makes it refuse the whole function.
`hooks.Hooks` lists the hooks. A value that the rewriting had to keep under a name of its own lives until the function returns.
"""

from __future__ import annotations

from tracejit.tracing.instrument.functions import instrumented, is_instrumented, original
from tracejit.tracing.instrument.refusal import NotInstrumentable

__all__ = ["NotInstrumentable", "instrumented", "is_instrumented", "original"]
