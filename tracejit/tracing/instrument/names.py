"""What the rewriting calls its own: a placeholder for the hooks, and names that no user's code may have."""

from __future__ import annotations

PLACEHOLDER = "\0tracejit: the hooks"
"""A constant of rewritten code, in the place of which the hooks object is put."""

PREFIX = "_tj_"
"""Begins the names of the local variables that rewriting adds, and is the argument of the lambdas around cell variables."""
