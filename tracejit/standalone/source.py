"""What is in a file, and artifacts made of it: one for each combination of the sizes that are open, or one only."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tracejit._errors import ArtifactError
from tracejit._gate import late
from tracejit._records import dataclass, replace
from tracejit.artifact import Plan
from tracejit.portable import Plans
from tracejit.standalone import native as code
from tracejit.standalone.artifact import Artifact
from tracejit.standalone.check import check_call, updated_state
from tracejit.standalone.combinations import NONE, Values, combinations, named
from tracejit.standalone.container import Bytes
from tracejit.standalone.homes import home_of
from tracejit.standalone.kept import Kept
from tracejit.standalone.manifest import call_entry, object_entry, plan_entry
from tracejit.standalone.plans import plans_from_json
from tracejit.standalone.records import Call, Manifest, Target
from tracejit.standalone.ways import has_loops

if TYPE_CHECKING:
    from tracejit.backends import AnyProgram
    from tracejit.standalone.loops import Rounds


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A file as it was read.

    tensors  of the state, and constants
    text     of the graphs
    target   the native code that is run on the device; None where the graphs are compiled here
    """

    path: str | os.PathLike[str]
    manifest: Manifest
    entries: Mapping[str, Bytes]
    tensors: Mapping[str, np.ndarray]
    text: str
    target: Target | None
    device: str

    def is_ahead(self, sizes: Values) -> bool:
        """Whether the file has native code for these sizes, or none is wanted."""
        return self.target is None or sizes in combinations(self.manifest.sizes)

    def artifact(self, sizes: Values, kept: Kept | None) -> Artifact:
        """What calls of these sizes are; without a state of others it has one of its own.

        Raises RecompileError for sizes that the recorded function is not for, ArtifactError for what is not as it should be.
        """
        manifest, atoms = self.manifest, []
        if sizes:
            module = late("tracejit.standalone.sizes")
            atoms = module.atoms_of(manifest.sizes, sizes)
            call = module.for_sizes(manifest.call, atoms)
            manifest = replace(manifest, call=call, sizes=NONE)
        call = manifest.call
        rounds: Rounds | None = None
        if self.target is None:
            programs, interfaces = self._lowered(call, atoms)
        else:
            entries = self.entries if self.is_ahead(sizes) else self._made(call, sizes, atoms)
            programs, interfaces = self._native(call, sizes, entries, self.target)
            if has_loops(call) and self.device == "cpu":
                loops = late("tracejit.standalone.loops")
                of = call, programs, self.tensors, self.target, entries
                rounds = loops.native_rounds(*of)
        return Artifact(
            manifest,
            programs,
            self.tensors,
            self.text,
            self.target,
            kept or Kept(call.state, self.tensors, home_of(self.device)),
            rounds,
            is_fixed=not updated_state(call, interfaces),
            objects={} if self.target is None else _for_calls(self.entries, self.target),
        )

    def _native(
        self, call: Call, sizes: Values, entries: Mapping[str, Bytes], target: Target
    ) -> tuple[Sequence[AnyProgram], Sequence[Plan]]:
        entry = plan_entry(target, sizes)
        plans = plans_from_json(bytes(entries[entry]), entry, target.name)
        check_call(call, plans.plans, self.tensors)
        return _linked(entries, plans, target, entry, self.device), plans.plans

    def _lowered(
        self, call: Call, atoms: Sequence[int]
    ) -> tuple[Sequence[AnyProgram], Sequence[Plan]]:
        lowering = late("tracejit.standalone.lowering")
        graphs = lowering.graphs_of(self.text, self.manifest.sizes, atoms)
        interfaces: Sequence[Plan] = lowering.interfaces_of(graphs)
        check_call(call, interfaces, self.tensors)
        programs: Sequence[AnyProgram] = lowering.lowered(graphs, self.manifest, self.device)
        return programs, interfaces

    def _made(self, call: Call, sizes: Values, atoms: Sequence[int]) -> Mapping[str, Bytes]:
        """What the file would have for these sizes, of the same level, so that the bits are those of all others."""
        graphs = late("tracejit.standalone.lowering").graphs_of(
            self.text, self.manifest.sizes, atoms
        )
        try:
            making = late("tracejit.standalone.making")
            of = graphs, call, sizes, self.target, self.manifest.options, self.tensors
            made: Mapping[str, Bytes] = making.entries_for(*of)[0]
        except ImportError as error:
            names = self.manifest.sizes.names
            there = "; ".join(named(names, each) for each in self.manifest.sizes.ahead)
            why = f"there is no native code for {named(names, sizes)}, but for {there}"
            mend = f"the graph cannot be compiled here, as {error.name} is not installed"
            raise ArtifactError(f"{self.path}: {why}: {mend}") from None
        return made

    def without_state(self) -> Source:
        """Without what lies in the file as it was read, which is not to stay: of the state no more than its kind."""
        target = self.target
        entries = {
            name: bytes(content)
            for name, content in self.entries.items()
            if target is not None and name.startswith(f"{target.folder}/")
        }
        tensors = {
            name: array.copy()
            if name.startswith("#")
            else np.broadcast_to(np.zeros((), array.dtype), array.shape)
            for name, array in self.tensors.items()
        }
        return replace(self, entries=entries, tensors=tensors)


def _linked(
    entries: Mapping[str, Bytes], plans: Plans, target: Target, where: str, device: str
) -> Sequence[AnyProgram]:
    objects = {}
    for name in plans.objects:
        entry = object_entry(target, name)
        if entry not in entries:
            raise ArtifactError(f"entry {entry}: it is missing")
        objects[name] = bytes(entries[entry])
    return code.loaded(plans, objects, f"entry {where}", device)


def _for_calls(entries: Mapping[str, Bytes], target: Target) -> dict[str, bytes]:
    """Machine code for calls, by the key of its text."""
    before, after = call_entry(target, "\0").split("\0")
    return {
        name.removeprefix(before).removesuffix(after): bytes(content)
        for name, content in entries.items()
        if name.startswith(before) and name.endswith(after)
    }
