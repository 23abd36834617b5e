"""Functions as artifacts: one file that runs where the function's source is not. docs/artifact.md describes the file.

What exporting and loading need is loaded when that is done first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tracejit._gate import late

if TYPE_CHECKING:
    from tracejit.standalone.artifact import Artifact
    from tracejit.standalone.open_artifact import OpenArtifact


def export(
    f: Any,
    args: Sequence[Any],
    path: str | os.PathLike[str] | None = None,
    *,
    targets: Sequence[str] = ("cpu",),
    kwargs: Mapping[str, Any] | None = None,
    sizes: Mapping[str, Sequence[int]] | None = None,
    arrays: bool = False,
    c: str | os.PathLike[str] | None = None,
    name: str | None = None,
) -> None:
    """Writes what `f(*args, **kwargs)` does as a file that `tj.load` runs, with no source of `f`, or as a library for C.

    `f` is a function, compiled or not, a module, or a whole training step. Tensors, arrays and numbers in the arguments are given
    anew in each call of what is loaded, of the same dtypes and shapes. Numbers that are used as such (a size, an axis), and text,
    are part of the artifact, and so are models, optimizers and all else that the function reads: what it writes to them is state
    that goes on from call to call. Decisions and loops over data are exported whole. `f` is called some times to find out all of
    its ways, and what that changes is put back.

    An argument, or a part of one, may be a text that describes a tensor, such as `"float32[128, 784]"`. A name in the place of a
    number, as in `"float32[batch, 784]"`, leaves that size open: each call chooses it, and the same name is the same size. There
    is code for the `sizes` that are given; for others it is compiled when they are first met, where llvmlite is installed. A
    library for C takes no others.

    targets  "cpu": this machine's level of instructions; "cpu:avx512", "cpu:avx2" or "cpu:sse": another that it has;
             "cuda:sm_90" and the like: an architecture of GPUs, which need not be here, "cuda": that of the GPU that is;
             "cuda:ptx": all from sm_80 on, whose driver compiles it when it is loaded
    sizes    of each name the sizes that code is made for, in all combinations
    arrays   whether texts stand for NumPy arrays, and not for tensors
    c        a folder for a library that programs without Python call: include/NAME.h, lib/libNAME.so, lib/libNAME.a, and what
             pkg-config and CMake find it by; it takes a C compiler ($CC, or cc)
    name     the library's; the function's, if it is not given

    Raises ExportError, which names the line, where an artifact, or a library for C, cannot do all that the function does.

    >>> import tracejit as tj
    >>> path = getfixture("tmp_path") / "relu.tj"
    >>> tj.export(tj.nn.ReLU(), (tj.ones(3),), path)
    >>> tj.load(path)(tj.tensor([1.0, -2.0, 3.0]))
    tensor([1., 0., 3.])
    """
    late("tracejit.standalone.exporting").export(
        f,
        args,
        path,
        targets=targets,
        kwargs=kwargs,
        sizes=sizes,
        arrays=arrays,
        c=c,
        name=name,
    )


def load(
    path: str | os.PathLike[str],
    *,
    native: bool = True,
    sha256: str | None = None,
    device: str = "cpu",
) -> Artifact | OpenArtifact:
    """The function that `tj.export` has written to a file.

    native  run the machine code in the file, if it is for a processor and a system like these, with no need of a compiler; else,
            and with False, the function's graph is compiled here
    sha256  what the whole file's SHA-256 has to be, in hexadecimal digits
    device  where it computes, keeps its state and gives its results: "cpu", or a GPU, "cuda"; what it is given from elsewhere is
            copied there

    Raises ArtifactError, which names the entry, for a file that is damaged, altered, of a later version or no artifact, and
    DeviceUnavailable for a GPU that cannot be used here.
    """
    found: Artifact | OpenArtifact = late("tracejit.standalone.loading").load(
        path, native=native, sha256=sha256, device=device
    )
    return found
