"""What the steps of an artifact's plans do, for `tracejit inspect`: loading reads none of it."""

from __future__ import annotations

from collections.abc import Sequence

from tracejit._errors import ArtifactError
from tracejit._records import dataclass
from tracejit.artifact import Account, Plan
from tracejit.portable import Plans
from tracejit.standalone.reading import from_json, to_compact_json


@dataclass(frozen=True, slots=True)
class Accounts:
    """Of all programs, in order."""

    programs: tuple[Account, ...]


def accounts_to_json(plans: Plans) -> bytes:
    return to_compact_json(Accounts(tuple(_account(plan) for plan in plans.plans)))


def _account(plan: Plan) -> Account:
    assert plan.account is not None
    return plan.account


def accounts_from_json(data: bytes, entry: str, plans: Sequence[Plan]) -> tuple[Account, ...]:
    """Raises ArtifactError for what is no account of the plans."""
    found: Accounts = from_json(data, Accounts, entry)
    steps = [len(each.steps) for each in found.programs]
    if steps != [len(plan.steps) for plan in plans]:
        raise ArtifactError(f"entry {entry}: it is of other steps than there are")
    for account in found.programs:
        known = range(len(account.values))
        if not all(n in known for each in account.steps for n in (*each.reads, *each.writes)):
            raise ArtifactError(f"entry {entry}: a step uses a value that is not there")
    return found.programs
