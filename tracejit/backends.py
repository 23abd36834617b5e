"""Plans made ready to run, on each kind of device; and their kernels in the disk cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from tracejit._gate import late
from tracejit._records import dataclass
from tracejit.artifact import HostCall, Plan
from tracejit.runtime.buffer import Buffer
from tracejit.runtime.cache import DiskCache
from tracejit.runtime.cpu.compile import load_objects, object_key
from tracejit.runtime.cpu.target import host
from tracejit.runtime.program import Program, kernels_of

Host = Callable[[HostCall, list[np.ndarray], np.ndarray], None]
Keys = dict[str, tuple[str, str]]
"""By what a plan calls a kernel: the kernel's name, and the key of its object."""


class AnyProgram(Protocol):
    """A plan made ready to run."""

    plan: Plan

    def run(
        self, inputs: Sequence[int], scalars: Sequence[bool | int | float] = ()
    ) -> list[Buffer]: ...

    @property
    def peak_bytes(self) -> int: ...


class Backend(Protocol):
    """A kind of device, or one of them."""

    @property
    def fingerprint(self) -> str:
        """Changes with what machine code is made for."""
        ...

    def program(
        self, plan: Plan, host: Host, kernels: Mapping[str, Any] | None = None
    ) -> AnyProgram:
        """The plan ready to run; `kernels` has what its launches call them by, where they are loaded already."""
        ...

    def keys(self, plan: Plan) -> Keys: ...

    def load(self, keys: Mapping[str, str], disk: DiskCache) -> Mapping[str, Any] | None:
        """The kernels, from the objects that the cache has under their keys; None where it lacks one."""
        ...


class _Cpu:
    @property
    def fingerprint(self) -> str:
        return host().fingerprint

    def program(
        self, plan: Plan, host: Host, kernels: Mapping[str, Any] | None = None
    ) -> AnyProgram:
        return Program(plan, host, kernels)

    def keys(self, plan: Plan) -> Keys:
        return {use: (each.name, object_key(each)) for use, each in kernels_of(plan).items()}

    def load(self, keys: Mapping[str, str], disk: DiskCache) -> Mapping[str, Any] | None:
        return load_objects(keys, disk)


@dataclass(frozen=True, slots=True)
class _Cuda:
    """A GPU. Its modules are loaded when one is used."""

    device: str

    @property
    def _gpu(self) -> Any:
        return late("tracejit.runtime.cuda.driver").gpu_named(self.device)

    @property
    def _kernels(self) -> Any:
        return late("tracejit.runtime.cuda.kernels")

    @property
    def fingerprint(self) -> str:
        architecture: str = self._gpu.architecture
        return architecture

    def program(
        self, plan: Plan, host: Host, kernels: Mapping[str, Any] | None = None
    ) -> AnyProgram:
        module = late("tracejit.runtime.cuda.program")
        made: AnyProgram = module.CudaProgram(plan, host, self._gpu, kernels)
        return made

    def keys(self, plan: Plan) -> Keys:
        architecture, key = self.fingerprint, self._kernels.object_key
        return {each.name: (each.name, key(each, architecture)) for each in plan.kernels}

    def load(self, keys: Mapping[str, str], disk: DiskCache) -> Mapping[str, Any] | None:
        loaded: Mapping[str, Any] | None = self._kernels.load_objects(keys, self._gpu, disk)
        return loaded


_CPU = _Cpu()


def backend_of(device: str) -> Backend:
    return _CPU if device == "cpu" else _Cuda(device)
