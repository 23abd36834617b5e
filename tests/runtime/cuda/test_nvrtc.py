"""NVRTC, with no GPU: texts become machine code, and what is wrong with one is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracejit._errors import CompileError, DeviceUnavailable
from tracejit.artifact import KernelSource
from tracejit.runtime.cuda import nvrtc

TEXT = """\
struct Segments { float *x; };
extern "C" __global__ void twice(const __grid_constant__ Segments segments) {
  segments.x[threadIdx.x] *= 2;
}
"""


@pytest.fixture
def _has_nvrtc() -> None:
    try:
        nvrtc.library()
    except DeviceUnavailable as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("_has_nvrtc")
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_a_text_becomes_an_elf_image(architecture: str) -> None:
    image = nvrtc.compiled(KernelSource("twice", TEXT), architecture)
    assert image[:4] == b"\x7fELF"
    assert b"twice" in image


@pytest.mark.usefixtures("_has_nvrtc")
def test_a_mistake_is_shown_among_its_lines() -> None:
    with pytest.raises(CompileError) as raised:
        nvrtc.compile_text(TEXT.replace("*= 2", "*= two"), "sm_90")
    message = str(raised.value)
    assert 'identifier "two" is undefined' in message
    assert ">    3   segments.x[threadIdx.x] *= two;" in message
    assert '     2 extern "C"' in message


@pytest.mark.usefixtures("_has_nvrtc")
def test_the_log_tells_of_registers() -> None:
    log = nvrtc.compile_text(TEXT, "sm_90", ("--ptxas-options=-v",)).log
    assert "registers" in log


@pytest.mark.usefixtures("_has_nvrtc")
def test_the_fingerprint_names_the_compiler_and_its_options() -> None:
    assert nvrtc.version() in nvrtc.fingerprint()
    assert "--fmad=false" in nvrtc.fingerprint()


def test_without_nvrtc_the_error_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(nvrtc, "NAMES", ("libnvrtc.so.0",))
    nvrtc.library.cache_clear()
    try:
        with pytest.raises(DeviceUnavailable, match="pip install nvidia-cuda-nvrtc"):
            nvrtc.library()
    finally:
        nvrtc.library.cache_clear()
