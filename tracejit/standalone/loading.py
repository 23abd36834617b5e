"""`tj.load`: an artifact from its file, of which nothing is believed before it has been checked.

What is checked is that the file is whole and unaltered, and asks for nothing outside its own memory; not who has made it. Native
code in it is run as that of any library is. Without it (`native=False`) no code of the file's is run.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

from tracejit._errors import ArtifactError, user_location
from tracejit._gate import late
from tracejit.standalone import native as code
from tracejit.standalone import safetensors
from tracejit.standalone.container import sha256 as digest
from tracejit.standalone.container import unpack
from tracejit.standalone.manifest import GRAPH, STATE, manifest_of
from tracejit.standalone.records import Manifest
from tracejit.standalone.source import Source

if TYPE_CHECKING:
    from tracejit.standalone.artifact import Artifact
    from tracejit.standalone.open_artifact import OpenArtifact


def load(
    path: str | os.PathLike[str], *, native: bool, sha256: str | None, device: str
) -> Artifact | OpenArtifact:
    """As `tj.load`."""
    if device != "cpu":
        device = late("tracejit.runtime.device").full_name(device)
    with open(os.fspath(path), "rb") as file:  # noqa: PTH123  # pathlib takes a tenth of the time that loading does
        data = file.read()
    if sha256 is not None and digest(data) != sha256.lower():
        raise ArtifactError(f"{path}: its SHA-256 is {digest(data)}, and not the expected one")
    entries = unpack(data)
    manifest = manifest_of(entries)
    tensors = safetensors.read(entries[STATE], STATE)
    text = _text(entries[GRAPH])
    target = code.best_of(manifest.targets, device) if native else None
    if target is None and native:
        _warn(path, manifest, device)
    source = Source(path, manifest, entries, tensors, text, target, device)
    if not manifest.sizes.names:
        return source.artifact((), None)
    made: OpenArtifact = late("tracejit.standalone.open_artifact").OpenArtifact(source)
    return made


def _text(entry: memoryview) -> str:
    try:
        return bytes(entry).decode()
    except UnicodeDecodeError as error:
        raise ArtifactError(f"entry {GRAPH}: it is no text: {error}") from None


def _warn(path: str | os.PathLike[str], manifest: Manifest, device: str) -> None:
    there = ", ".join(f"{each.system} {each.level}" for each in manifest.targets) or "none"
    here = "this machine" if device == "cpu" else f"{device} of this machine"
    message = f"{path}: no native code for {here} (there is {there}): the graph is compiled here"
    location = user_location()
    file, line = (location.file, location.line) if location else (__file__, 1)
    warnings.warn_explicit(message, RuntimeWarning, file, line)
