"""The system's C compiler: objects and C text become a shared library and a static one."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tracejit._errors import ExportError

_FLAGS = ["-std=c11", "-O2", "-fPIC", "-fvisibility=hidden"]
_MEND = "install one (Debian: apt install gcc libc6-dev binutils), or name it in the environment variable CC"


def compiler() -> list[str]:
    """The command in the environment variable CC, or `cc`. Raises ExportError where there is none."""
    command = shlex.split(os.environ.get("CC", "")) or ["cc"]
    if shutil.which(command[0]) is None:
        raise ExportError(
            f"export: a library for C needs a C compiler, and there is no {command[0]}: {_MEND}"
        )
    return command


def build(name: str, folder: Path, objects: Mapping[str, bytes]) -> dict[str, Path]:
    """The libraries by their file names, from objects and from `library.c` and what that includes, all in the folder."""
    command = compiler()
    for each, data in objects.items():
        (folder / each).write_bytes(data)
    own = f"{name}_library.o"
    listed = [own, *objects]
    shared = shared_name(name)
    _run([*command, *_FLAGS, "-c", "library.c", "-o", own], folder)
    _run([*command, *_linking(name), "-o", shared, *listed, "-lm", "-lpthread"], folder)
    static = f"lib{name}.a"
    archiver = shlex.split(os.environ.get("AR", "")) or ["ar"]
    _run([*archiver, "rcs", static, *listed], folder)
    return {each: folder / each for each in (shared, static)}


def shared_name(name: str) -> str:
    return f"lib{name}.dylib" if sys.platform == "darwin" else f"lib{name}.so"


def _linking(name: str) -> list[str]:
    """Nothing stays undefined; and a library whose threads still run is not unloaded."""
    if sys.platform == "darwin":
        return ["-dynamiclib", f"-Wl,-install_name,@rpath/{shared_name(name)}"]
    soname = f"-Wl,-soname,{shared_name(name)}"
    return ["-shared", soname, "-Wl,-z,nodelete", "-Wl,-z,defs", "-Wl,-z,noexecstack"]


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except OSError as error:
        raise ExportError(f"export: {command[0]} cannot be run ({error}): {_MEND}") from None
    if done.returncode:
        raise ExportError(f"export: {shlex.join(command)} failed: {done.stderr.strip()}")
