"""Where the memory of an artifact's calls lies: on the CPU, or on a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tracejit import dtypes
from tracejit._gate import late
from tracejit.runtime.buffer import Buffer
from tracejit.standalone.records import Memory

_BYTES = np.dtype(np.uint8)


if TYPE_CHECKING:

    class Home(Protocol):
        """A device, as calls use it. What is given may be a buffer or a part of one."""

        device: str

        def wrapped(self, array: np.ndarray) -> Buffer | None:
            """The memory of an array itself, in row-major order; None where that is not the device's."""
            ...

        def sent(self, array: np.ndarray) -> Buffer:
            """The elements of an array, in row-major order, in memory of tracejit's own."""
            ...

        def copied(self, buffer: Any) -> Buffer:
            """The same bytes in memory of tracejit's own."""
            ...

        def gathered(self, buffer: Any, memory: Memory) -> Buffer:
            """Those elements, in row-major order, in memory of tracejit's own."""
            ...

        def twin(self, buffer: Any, nbytes: int) -> Buffer:
            """So many first bytes in memory of tracejit's own."""
            ...

        def near(self, buffer: Any) -> Any:
            """The same bytes where NumPy sees them: the memory itself, if it does."""
            ...

        def overwrite(self, tensor: Any, buffer: Any) -> None:
            """Puts elements into the tensor, or the array, that the caller gave."""
            ...


class OnCpu:
    device = "cpu"

    def wrapped(self, array: np.ndarray) -> Buffer | None:
        return Buffer.wrap(array) if array.flags.c_contiguous and array.flags.aligned else None

    def sent(self, array: np.ndarray) -> Buffer:
        buffer = Buffer.allocate(array.nbytes)
        buffer.array(array.dtype, array.shape)[...] = _of_bools(array)
        return buffer

    def copied(self, buffer: Any) -> Buffer:
        return self.twin(buffer, buffer.nbytes)

    def twin(self, buffer: Any, nbytes: int) -> Buffer:
        return self.sent(buffer.array(_BYTES, (nbytes,)))

    def gathered(self, buffer: Any, memory: Memory) -> Buffer:
        return self.sent(array_in(buffer, memory))

    def near(self, buffer: Any) -> Any:
        return buffer

    def overwrite(self, tensor: Any, buffer: Any) -> None:
        array = late("tracejit.standalone.given").array_of(tensor)
        array[...] = buffer.array(array.dtype, array.shape)


class OnGpu:
    """Nothing waits for the GPU but what NumPy is to see."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._gpu = late("tracejit.runtime.cuda.driver").gpu_named(device)
        self._memory = late("tracejit.runtime.cuda.memory")

    def wrapped(self, array: np.ndarray) -> Buffer | None:
        return None

    def sent(self, array: np.ndarray) -> Buffer:
        buffer: Buffer = self._memory.sent(_of_bools(array), self.device)
        return buffer

    def copied(self, buffer: Any) -> Buffer:
        return self.twin(buffer, buffer.nbytes)

    def twin(self, buffer: Any, nbytes: int) -> Buffer:
        twin: Buffer = self._memory.DeviceBuffer(self._gpu, nbytes)
        self._gpu.copy(twin.address, buffer.address, nbytes)
        return twin

    def gathered(self, buffer: Any, memory: Memory) -> Buffer:
        return self.sent(array_in(buffer, memory))

    def near(self, buffer: Any) -> Any:
        return CPU.copied(buffer)

    def overwrite(self, tensor: Any, buffer: Any) -> None:
        whole, offset = late("tracejit.standalone.tensors").memory_of(tensor)
        self._memory.forget_mirror(whole.address + offset)
        self._gpu.copy(whole.address + offset, buffer.address, buffer.nbytes)


class OnPaper:
    """A GPU that need not be here: lines for calls on it speak of its memory, and are not run."""

    device = "cuda"

    def sent(self, array: np.ndarray) -> Any:
        return object()

    def twin(self, buffer: Any, nbytes: int) -> Buffer:
        raise NotImplementedError

    def near(self, buffer: Any) -> Any:
        raise NotImplementedError


CPU = OnCpu()


def home_of(device: str) -> Home:
    """Raises DeviceUnavailable for a GPU that cannot be used here."""
    return CPU if device == "cpu" else OnGpu(device)


def array_in(buffer: Any, memory: Memory) -> np.ndarray:
    """Elements of a memory: a copy, for reading only, where NumPy does not see it."""
    dtype = dtypes.as_dtype(memory.dtype).numpy
    found: np.ndarray = buffer.array(dtype, memory.shape, memory.strides, memory.offset)
    return found


def _of_bools(array: np.ndarray) -> np.ndarray:
    """The same array; bools are 0 and 1, which bytes of a file need not be."""
    return array.view(np.uint8) != 0 if array.dtype == np.bool_ else array
