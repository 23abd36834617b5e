"""What an artifact says of itself, of which no code is run: for `tracejit inspect`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from inspect import Signature
from pathlib import Path

from tracejit import dtypes
from tracejit._errors import ArtifactError
from tracejit._records import dataclass
from tracejit.artifact import Account, HostCall, LaunchSpec
from tracejit.ir.aval import aval
from tracejit.portable import Plans
from tracejit.standalone.accounts import accounts_from_json
from tracejit.standalone.check import check_call, updated_state
from tracejit.standalone.combinations import Values, combinations, named
from tracejit.standalone.container import sha256, unpack
from tracejit.standalone.loops import why_not
from tracejit.standalone.manifest import (
    GRAPH,
    STATE,
    account_entry,
    manifest_of,
    object_entry,
    plan_entry,
)
from tracejit.standalone.plans import plans_from_json
from tracejit.standalone.records import (
    Manifest,
    NumberState,
    Open,
    Require,
    State,
    Target,
    TensorState,
)
from tracejit.standalone.safetensors import read
from tracejit.standalone.signature import signature_of
from tracejit.standalone.sizes import atoms_of, for_sizes
from tracejit.standalone.ways import has_loops, steps_of


@dataclass(frozen=True, slots=True)
class Facts:
    """The parts of a file that are read; `updated` are the slots of state that a call changes.

    signature  of all sizes; where some are open, calls and plans are those of the first combination that there is code for
    """

    nbytes: int
    sha256: str
    signature: Signature
    sizes: Open
    manifest: Manifest
    entries: Mapping[str, memoryview]
    plans: Mapping[Target, Plans]
    updated: set[int]

    @property
    def first(self) -> Values:
        """The combination of sizes that is shown."""
        return combinations(self.sizes)[0]

    @property
    def open(self) -> list[tuple[str, str]]:
        """The sizes that are open: what there is code for, and what has to hold of them, with the user's line."""
        if not self.sizes.names:
            return []
        there = [named(self.sizes.names, each) for each in self.sizes.ahead]
        asked = [(each.text, each.where) for each in self.sizes.conditions]
        return [*((each, "there is code for it") for each in there), *asked]

    @property
    def graph(self) -> str:
        return bytes(self.entries[GRAPH]).decode()

    @property
    def requirements(self) -> list[Require]:
        """What is looked at in each call."""
        return [step for step in steps_of(self.manifest.call) if isinstance(step, Require)]

    def objects(self, target: Target) -> list[memoryview]:
        names = (object_entry(target, name) for name in self.plans[target].objects)
        return [self.entries[name] for name in names if name in self.entries]

    def why_python(self, target: Target) -> str:
        """Why no machine code goes round the loops; "" where some does."""
        if target.name != "cpu":
            calls = f"{target.folder}/call/"
            is_native = any(name.startswith(calls) for name in self.entries)
            return "" if is_native or not has_loops(self.manifest.call) else "a call needs more"
        tensors = read(self.entries[STATE], STATE)
        plans = self.plans[target].plans
        return why_not(self.manifest.call, plans, tensors, target, self.entries)

    def accounts(self, target: Target) -> tuple[Account, ...]:
        """What the steps of the target's plans do. Raises ArtifactError."""
        entry = account_entry(target, self.first)
        if entry not in self.entries:
            raise ArtifactError(f"entry {entry}: it is missing")
        return accounts_from_json(bytes(self.entries[entry]), entry, self.plans[target].plans)

    def state(self, state: State) -> tuple[str, str]:
        """Its name, and its type or value, with whether calls change it."""
        ends = ", updated by each call" if state.slot in self.updated else ""
        match state:
            case TensorState(name=name, dtype=dtype, shape=shape):
                return name, f"{aval(dtypes.as_dtype(dtype), shape)}{ends}"
            case NumberState(name=name, value=value):
                return name, f"{value!r}{ends}"


def facts_of(path: Path) -> Facts:
    """Raises ArtifactError for a file that is no artifact."""
    data = path.read_bytes()
    entries = unpack(data)
    manifest = manifest_of(entries)
    sizes, signature = manifest.sizes, signature_of(manifest.call)
    first, *others = [
        (values, replace(manifest, call=for_sizes(manifest.call, atoms_of(sizes, values))))
        for values in combinations(sizes)
    ]
    for values, of in others:
        for target in manifest.targets:
            _plans(target, values, of, entries)
    values, manifest = first
    plans = {target: _plans(target, values, manifest, entries) for target in manifest.targets}
    updated: set[int] = set()
    for found in plans.values():
        updated |= updated_state(manifest.call, found.plans)
    about = len(data), sha256(data), signature, sizes
    return Facts(*about, manifest, entries, plans, updated)


def _plans(
    target: Target, sizes: Values, manifest: Manifest, entries: Mapping[str, memoryview]
) -> Plans:
    entry = plan_entry(target, sizes)
    plans = plans_from_json(bytes(entries[entry]), entry, target.name)
    check_call(manifest.call, plans.plans, read(entries[STATE], STATE))
    return plans


def name_of(step: LaunchSpec | HostCall) -> str:
    """What a step computes, and the user's lines."""
    return f"NumPy's {step.op}" if isinstance(step, HostCall) else step.note
