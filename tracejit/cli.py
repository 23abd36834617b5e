"""The command line: `tracejit demo | bench | export | inspect | run | cache | doctor`.

A command loads what it needs only when it runs.
"""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from tracejit._errors import TracejitError
from tracejit.runtime.cache import disk_cache
from tracejit.runtime.device import KINDS

Command = Callable[[argparse.Namespace], int]

DEMO_NEEDS = {"rich": "rich", "sklearn": "scikit-learn"}
"""Module -> the package of the extra `demo` that has it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status: 0 if all is well, 1 if it found a fault, 2 if it could not run."""
    arguments, rest = parser().parse_known_args(argv)
    if rest and arguments.command is not bench:
        parser().error(f"unrecognized arguments: {' '.join(rest)}")
    arguments.rest = rest
    command: Command = arguments.command
    return command(arguments)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tracejit", description="A tracing JIT compiler for Python."
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    about = "train a network on handwritten digits, eager and compiled"
    command = commands.add_parser("demo", help=about, description=about)
    command.add_argument("--epochs", type=int, default=20, help="passes over the images (20)")
    command.add_argument("--seed", type=int, default=0, help="of weights and batches (0)")
    command.add_argument("--device", default="cpu", help="where it trains: cpu, cuda (cpu)")
    command.set_defaults(command=demo)

    about = "time an artifact, or, in a source checkout, workloads against NumPy, PyTorch, JAX and Numba"
    command = commands.add_parser("bench", help=about, add_help=False)
    command.set_defaults(command=bench)

    about = "write a function as an artifact, a file that runs without its source"
    command = commands.add_parser("export", help=about, description=about)
    command.add_argument("function", help="where it is found: module:function")
    command.add_argument(
        "--args",
        default="",
        help="the arguments' dtypes and shapes: 'float32[128,784], int64[128]', or, to leave a size open, 'float32[batch,784]'",
    )
    ahead = "for which sizes code is made, of those that are open: 'batch=1,8,128 length=16,64'"
    command.add_argument("--sizes", default="", help=ahead)
    command.add_argument("-o", "--output", help="the file to write")
    library = "a folder to write a library for C to: a header, libraries, and what build systems find them by"
    command.add_argument("--c", metavar="FOLDER", help=library)
    command.add_argument("--name", help="the library's name (the function's)")
    levels = (
        "native code to put in: cpu, cpu:avx512, cpu:avx2, cpu:sse, cuda, cuda:sm_90 and the like, "
        "cuda:ptx (cpu); several times for several"
    )
    command.add_argument("--target", action="append", help=levels)
    command.add_argument("--numpy", action="store_true", help="give it NumPy arrays, not tensors")
    command.set_defaults(command=export)

    about = "tell what is in an artifact"
    command = commands.add_parser("inspect", help=about, description=about)
    command.add_argument("artifact")
    page = "write a page with pictures of the graph, the launches and their memory"
    command.add_argument("--html", metavar="FILE", help=page)
    command.set_defaults(command=inspect)

    about = "call an artifact with arrays from a file"
    command = commands.add_parser("run", help=about, description=about)
    command.add_argument("artifact")
    command.add_argument("--inputs", help="an .npz file with an array for each argument, by name")
    command.add_argument("-o", "--output", help="the .npz file to write the result to")
    command.add_argument("--device", default="cpu", help="where it computes: cpu, cuda (cpu)")
    command.set_defaults(command=run)

    about = "show the cache of compiled code on disk, trim or empty it"
    command = commands.add_parser("cache", help=about, description=about)
    size = "remove what was unused for longest until so many bytes are left: 500000, 100M, 2G"
    less = command.add_mutually_exclusive_group()
    less.add_argument("--trim", type=nbytes, metavar="SIZE", help=size)
    less.add_argument("--clear", action="store_true", help="remove every entry")
    command.set_defaults(command=cache)

    about = "check that programs can be compiled and run here"
    command = commands.add_parser("doctor", help=about, description=about)
    mend = "first install what programs need on a GPU: pycuda, built here with a C++ compiler, and NVRTC"
    command.add_argument("--install-cuda", action="store_true", help=mend)
    command.set_defaults(command=doctor)
    return parser


def demo(arguments: argparse.Namespace) -> int:
    missing = [package for module, package in DEMO_NEEDS.items() if find_spec(module) is None]
    if missing:
        return refuse(f"the demo needs {' and '.join(missing)}: pip install 'tracejit[demo]'")
    if (why := unusable(arguments.device)) is not None:
        return refuse(f"--device {arguments.device}: {why}")
    run: Callable[..., int] = importlib.import_module("tracejit.demo").run
    return run(epochs=arguments.epochs, seed=arguments.seed, device=arguments.device)


def unusable(device: str) -> str | None:
    """Why a device cannot be used; None where it can."""
    kind, _, index = device.partition(":")
    if kind == "cuda" and (why := importlib.import_module("tracejit.cuda").why_not()) is not None:
        return str(why)
    count = importlib.import_module("tracejit.cuda").device_count() if kind == "cuda" else 1
    is_there = kind in KINDS and (not index or (index.isdecimal() and int(index) < count))
    return None if is_there else "there is no such device; tj.devices() lists those of this machine"


def bench(arguments: argparse.Namespace) -> int:
    if arguments.rest and arguments.rest[0].endswith(".tj"):
        return bench_artifact(arguments.rest)
    if not Path("benchmarks", "__main__.py").is_file():
        return refuse("the benchmarks are not part of the package: run this in a source checkout")
    if find_spec("scipy") is None:
        return refuse("the benchmarks need scipy: pip install 'tracejit[bench]'")
    return subprocess.run([sys.executable, "-m", "benchmarks", *arguments.rest]).returncode


def bench_artifact(words: Sequence[str]) -> int:
    about = "check that an artifact's code gives the bits of its graph, and time calls of it"
    command = argparse.ArgumentParser(prog="tracejit bench", description=about)
    command.add_argument("artifact")
    inputs = "an .npz file with an array for each argument, by name; else they are made up"
    command.add_argument("--inputs", help=inputs)
    command.add_argument("--seconds", type=float, default=2.0, help="of calls that are timed (2)")
    one = "of those that are open, else the first that there is code for: 'batch=8'"
    command.add_argument("--sizes", default="", help=one)
    given = command.parse_args(words)
    return _artifacts("bench", given.artifact, given.inputs, given.seconds, given.sizes)


def export(arguments: argparse.Namespace) -> int:
    function, args, output = arguments.function, arguments.args, arguments.output
    targets = arguments.target or ["cpu"]
    options = {"arrays": arguments.numpy, "sizes": arguments.sizes}
    options |= {"c": arguments.c, "name": arguments.name}
    return _artifacts("export", function, args, output, targets, **options)


def inspect(arguments: argparse.Namespace) -> int:
    return _artifacts("inspect", arguments.artifact, arguments.html)


def run(arguments: argparse.Namespace) -> int:
    paths = arguments.artifact, arguments.inputs, arguments.output
    return _artifacts("run", *paths, device=arguments.device)


def _artifacts(command: str, *args: object, **options: object) -> int:
    commands = importlib.import_module("tracejit.standalone.commands")
    try:
        getattr(commands, command)(*args, **options)
    except (commands.Refusal, TracejitError, OSError, TypeError, ValueError) as error:
        return refuse(str(error))
    return 0


def cache(arguments: argparse.Namespace) -> int:
    disk = disk_cache()
    if disk is None:
        print("off: cache_bytes (TRACEJIT_CACHE_BYTES) is 0")
        return 0
    entries = disk.entries()
    if arguments.clear:
        disk.clear()
        print(f"removed {len(entries)} entries")
    elif arguments.trim is not None:
        print(f"removed {disk.trim(arguments.trim)} of {len(entries)} entries")
    entries = disk.entries()
    size = sum(entry.nbytes for entry in entries)
    print(f"directory  {disk.directory}")
    print(f"entries    {len(entries)}")
    print(f"size       {in_units(size)} ({size} bytes)")
    print(f"limit      {in_units(disk.limit)}")
    if entries:
        print(f"last used  from {moment(entries[0].used)} to {moment(entries[-1].used)}")
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    if arguments.install_cuda:
        installer = importlib.import_module("tracejit.install_cuda")
        try:
            print(f"installed {installer.install()}")
        except installer.InstallError as error:
            return refuse(str(error))
    report: Callable[[], bool] = importlib.import_module("tracejit.doctor").report
    return 0 if report() else 1


UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def nbytes(text: str) -> int:
    """A size in bytes: `500000`, `100M`, `1.5 GiB`."""
    found = re.fullmatch(r"(\d+\.?\d*)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 500000, 100M or 1.5G")
    number, unit = found.groups()
    return int(float(number) * UNITS[unit.upper()])


def in_units(size: int) -> str:
    """`155.6 KiB`"""
    if size < UNITS["K"]:
        return f"{size} B"
    unit = next(unit for unit in "TGMK" if size >= UNITS[unit])
    return f"{size / UNITS[unit]:.1f} {unit}iB"


def moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def refuse(why: str) -> int:
    print(f"tracejit: {why}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
