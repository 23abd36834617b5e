"""`tracejit doctor --install-cuda`: pycuda built from its source, with no CUDA toolkit and no driver on the machine.

A C++ compiler and pip do: the headers come from two small packages of NVIDIA's, and what is linked against is an empty library of
the driver's name. The driver itself is found when pycuda is imported.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

PYCUDA = "2026.1"
HEADERS = ["nvidia-cuda-runtime==13.0.*", "nvidia-cuda-profiler-api==13.0.*"]
LIBRARIES = ["nvidia-cuda-nvrtc>=13,<14"]
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]

# setuptools compiles the files of an extension one after another.
_IN_PARALLEL = """\
import os, runpy, sys
from concurrent.futures import ThreadPoolExecutor
import setuptools
from distutils.ccompiler import CCompiler

def compile(self, sources, output_dir=None, macros=None, include_dirs=None, debug=0,
            extra_preargs=None, extra_postargs=None, depends=None):
    macros, objects, extra, options, build = self._setup_compile(
        output_dir, macros, include_dirs, sources, depends, extra_postargs)
    arguments = self._get_cc_args(options, debug, extra_preargs)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(lambda o: self._compile(o, *build[o], arguments, extra, options), objects))
    return objects

CCompiler.compile = compile
sys.path.insert(0, os.getcwd())
sys.argv = ["setup.py", "--quiet", "bdist_wheel", "--dist-dir", sys.argv[1]]
runpy.run_path("setup.py", run_name="__main__")
"""


class InstallError(RuntimeError):
    """A step of the installation failed; the message has what its program said."""


def install(compiler: str = "cc") -> Path:
    """Installs pycuda and NVRTC for the Python that runs, and gives the wheel's name. Takes about a minute."""
    with TemporaryDirectory(prefix="tracejit-") as folder:
        place = Path(folder)
        _run([*PIP, "install", "setuptools", "wheel", *LIBRARIES])
        source = _configured(_fetched(place), _headers(place), _stand_in(place, compiler))
        wheel = _built(source, place / "wheel")
        _run([*PIP, "install", str(wheel)])
        return Path(wheel.name)


def _fetched(place: Path) -> Path:
    only = ["--no-deps", "--no-build-isolation", "--no-binary", "pycuda"]
    _run([*PIP, "download", *only, "--dest", str(place), f"pycuda=={PYCUDA}"])
    (archive,) = place.glob("pycuda-*.tar.gz")
    with tarfile.open(archive) as content:
        content.extractall(place, filter="data")
    return place / f"pycuda-{PYCUDA}"


def _headers(place: Path) -> Path:
    _run([*PIP, "install", "--no-deps", "--target", str(place / "headers"), *HEADERS])
    return place / "headers" / "nvidia" / "cu13" / "include"


def _stand_in(place: Path, compiler: str) -> Path:
    """The folder of an empty library that has the driver's name."""
    folder = place / "library"
    folder.mkdir()
    options = ["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-x", "c", "/dev/null"]
    _run([compiler, *options, "-o", str(folder / "libcuda.so")])
    return folder


def _configured(source: Path, headers: Path, library: Path) -> Path:
    (source / "siteconf.py").write_text(
        "CUDA_ENABLE_CURAND = False\n"
        f"CUDA_INC_DIR = [{str(headers)!r}]\n"
        f"CUDADRV_LIB_DIR = [{str(library)!r}]\n"
        "CXXFLAGS = ['-O2', '-g0', '-w']\n"
        "LDFLAGS = ['-s']\n"
    )
    return source


def _built(source: Path, folder: Path) -> Path:
    # The library has no symbols: without this, ahead of it, a linker may leave it out.
    flags = {"LDFLAGS": "-Wl,--no-as-needed"}
    _run([sys.executable, "-c", _IN_PARALLEL, str(folder)], source, flags)
    (wheel,) = folder.glob("pycuda-*.whl")
    return wheel


def _run(
    command: list[str], folder: Path | None = None, more: dict[str, str] | None = None
) -> None:
    environment = None if more is None else {**os.environ, **more}
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise InstallError(f"{command[0]} is not there: {error}") from None
    if done.returncode:
        raise InstallError(
            f"{' '.join(command[:4])} ... failed:\n{(done.stdout + done.stderr)[-3000:]}"
        )
