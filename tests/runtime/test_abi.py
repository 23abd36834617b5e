"""What machine code in artifacts relies on has a number, which is another one when any of it changes."""

from __future__ import annotations

import hashlib
import inspect

from tracejit.codegen.cuda.launch import segment_text
from tracejit.runtime import gemm, gemv, program, slabs, table, workspace
from tracejit.runtime.cpu import pool_ir, runner
from tracejit.runtime.cpu import slabs as slabs_ir
from tracejit.runtime.cpu.abi import ABI, system
from tracejit.runtime.cpu.target import LEVELS, Host, host, runs_baseline, target_level
from tracejit.runtime.cuda import abi as cuda_abi
from tracejit.runtime.cuda import launches

KNOWN = {1: "c0003d28792feff848597caa7a3e8d70f4cc400a430a78154f91455c5d951024"}
"""By number: what code that was made under it relies on."""


def relied_on() -> str:
    machine = Host("x86_64-unknown-linux-gnu", "x86-64-v2", "")
    parts = (
        runner.runner_ir(machine),
        slabs_ir.slabs_source().text,
        repr((gemm.KERNELS, gemm.DIMS, gemm.SCRATCH_BYTES)),
        repr((gemv.KERNELS, gemv.DIMS, gemv.SCRATCH_BYTES)),
        repr((pool_ir.CONTEXT_BYTES, table.HEADER_WORDS, table.SEGMENT_WORDS, table.PLACE_WORDS)),
        inspect.getsource(slabs.dims_of),
        inspect.getsource(slabs._words),
        inspect.getsource(workspace.workspace_of),
        inspect.getsource(table.entry_of),
        inspect.getsource(table.table_words),
        inspect.getsource(program.Slots),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def test_a_change_of_what_code_relies_on_is_a_new_number() -> None:
    why = "raise ABI in runtime/cpu/abi.py, and note the new text here: artifacts made before are compiled anew"
    assert KNOWN[ABI] == relied_on(), why


KNOWN_CUDA = {1: "c6acaf56e57b98c860dcd43a6f10b8dafe2f9f16e12378b7b0787243c645836e"}


def cuda_relied_on() -> str:
    """How the parameters that kernels expect come about."""
    parts = map(
        inspect.getsource,
        (launches.Launches._laid_out, launches.Launches.packed, program.Slots, segment_text),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def test_a_change_of_what_kernels_of_a_gpu_rely_on_is_a_new_number() -> None:
    why = "raise ABI in runtime/cuda/abi.py, and note the new text here"
    assert KNOWN_CUDA[cuda_abi.ABI] == cuda_relied_on(), why


def test_the_baseline_of_a_level_runs_where_the_level_does() -> None:
    best = target_level()
    assert runs_baseline(best.name) in (True, None)
    for level in LEVELS.values():
        if runs_baseline(level.name):
            assert target_level(level.name) is level
    assert system().startswith("linux-") == host().is_linux
