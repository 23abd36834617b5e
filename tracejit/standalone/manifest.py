"""The manifest: read, and compared with the entries that it lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracejit import portable
from tracejit._errors import ArtifactError
from tracejit._gate import late
from tracejit.standalone.combinations import NONE, Values, combinations, folder
from tracejit.standalone.container import Bytes, sha256
from tracejit.standalone.reading import record_of, value_of
from tracejit.standalone.records import Entry, Manifest, Target

FORMAT = "tracejit artifact"
VERSION = 1
MANIFEST, GRAPH, STATE = "manifest.json", "graph.txt", "state.safetensors"


def plan_entry(target: Target, sizes: Values = ()) -> str:
    return f"{target.folder}/{folder(sizes)}plan.json"


def account_entry(target: Target, sizes: Values = ()) -> str:
    return f"{target.folder}/{folder(sizes)}account.json"


def object_entry(target: Target, name: str) -> str:
    """Of a CPU's code, or a GPU's."""
    if target.name == "cpu":
        return f"{target.folder}/{name}.o"
    return f"{target.folder}/{name}.{'cubin' if target.level.startswith('sm_') else 'ptx'}"


def call_entry(target: Target, key: str) -> str:
    """Of machine code for calls, whose text has this key; a GPU's may have a host of another kind than this one."""
    kind = "" if target.name == "cpu" else f"{portable.system()}/"
    return f"{target.folder}/call/{kind}{key}.o"


def entries_of(contents: Mapping[str, Bytes]) -> tuple[Entry, ...]:
    """What a manifest says of the other entries."""
    return tuple(Entry(name, len(each), sha256(each)) for name, each in contents.items())


def manifest_of(entries: Mapping[str, memoryview]) -> Manifest:
    """The manifest among the entries, each of which is what it says. Raises ArtifactError."""
    if next(iter(entries)) != MANIFEST:
        raise ArtifactError(f"entry {MANIFEST}: it is not the first one")
    value = value_of(bytes(entries[MANIFEST]), MANIFEST)
    _check_version(value)
    said = value.get("sizes")
    if type(said) is dict and said.get("names"):
        value = late("tracejit.standalone.sizes").with_sizes(value)
    manifest: Manifest = record_of(value, Manifest, MANIFEST)
    if manifest.sizes != NONE:
        late("tracejit.standalone.sizes").check_sizes(manifest.sizes)
    listed = [entry.name for entry in manifest.entries]
    there = [name for name in entries if name != MANIFEST]
    if listed != there:
        wrong = sorted({*listed} ^ {*there}) or ["another order"]
        raise ArtifactError(
            f"entry {MANIFEST}: it lists other entries than there are: {', '.join(wrong)}"
        )
    ahead = combinations(manifest.sizes)
    plans = [plan_entry(target, sizes) for target in manifest.targets for sizes in ahead]
    for needed in (GRAPH, STATE, *plans):
        if needed not in entries:
            raise ArtifactError(f"entry {needed}: it is missing")
    for entry in manifest.entries:
        content = entries[entry.name]
        if len(content) != entry.nbytes or sha256(content) != entry.sha256:
            raise ArtifactError(f"entry {entry.name}: it is not the one that the manifest lists")
    return manifest


def _check_version(found: Any) -> None:
    """Before anything else is looked at: a later version may say it in another way."""
    if type(found) is not dict or found.get("format") != FORMAT:
        raise ArtifactError(f"entry {MANIFEST}: it is not of the format {FORMAT!r}")
    version = found.get("version")
    if type(version) is not int or version < 1:
        raise ArtifactError(f"entry {MANIFEST}: {version!r} is no version")
    if version > VERSION:
        raise ArtifactError(
            f"entry {MANIFEST}: it is of version {version}, and this tracejit reads up to {VERSION}: install a later one"
        )
