"""Tensors by name in the safetensors format: eight bytes of length, a JSON header, the bytes of the tensors one after the other.

https://github.com/huggingface/safetensors describes it. Written here are the tensors in the order of their names, each aligned to
its elements; read is only what is laid out without gaps or overlaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from tracejit import dtypes
from tracejit._errors import ArtifactError
from tracejit._gate import late
from tracejit._json import from_text
from tracejit.dtypes import DType

_NAMES = {
    dtypes.bool_: "BOOL", dtypes.int8: "I8", dtypes.int16: "I16", dtypes.int32: "I32", dtypes.int64: "I64",
    dtypes.uint8: "U8", dtypes.uint16: "U16", dtypes.uint32: "U32", dtypes.uint64: "U64",
    dtypes.float16: "F16", dtypes.bfloat16: "BF16", dtypes.float32: "F32", dtypes.float64: "F64",
}  # fmt: skip
_BY_NAME = {name: dtype for dtype, name in _NAMES.items()}
_METADATA = "__metadata__"
_ALIGNMENT = 8
_MOST_HEADER = 100_000_000
"""As the format's own implementation has it."""


def written(tensors: Mapping[str, np.ndarray]) -> bytes:
    """The arrays as a file: the same for the same arrays, whatever their order."""
    # Those of the largest elements first, so that each is aligned without gaps.
    ordered = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    header: dict[str, Any] = {}
    parts: list[bytes] = []
    at = 0
    for name in ordered:
        array = tensors[name]
        content = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": _NAMES[dtypes.from_numpy(array.dtype)],
            "shape": list(array.shape),
            "data_offsets": [at, at + len(content)],
        }
        parts.append(content)
        at += len(content)
    dumped: str = late("json").dumps(header, separators=(",", ":"), ensure_ascii=False)
    text = dumped.encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return b"".join((len(text).to_bytes(8, "little"), text, *parts))


def read(data: bytes | memoryview, entry: str) -> dict[str, np.ndarray]:
    """The arrays of a file, over its memory. Raises ArtifactError, which names the entry, for what is not of the format."""
    view = memoryview(data)
    size = int.from_bytes(view[:8], "little")
    if len(view) < 8 or size > min(len(view) - 8, _MOST_HEADER):
        raise ArtifactError(f"entry {entry}: its header is longer than it is")
    header = _header(bytes(view[8 : 8 + size]), entry)
    content = view[8 + size :]
    arrays: dict[str, np.ndarray] = {}
    ends: list[tuple[int, int]] = []
    for name, about in header.items():
        dtype, shape, begin, end = _place(about, f"entry {entry}: tensor {name}")
        if end > len(content):
            raise ArtifactError(f"entry {entry}: tensor {name}: it lies outside the entry")
        array = np.frombuffer(content[begin:end], np.uint8).view(dtype.numpy)
        arrays[name] = array.reshape(shape)
        ends.append((begin, end))
    at = 0
    for begin, end in sorted(ends):
        if begin != at:
            raise ArtifactError(f"entry {entry}: its tensors overlap, or there are gaps")
        at = end
    if at != len(content):
        raise ArtifactError(f"entry {entry}: there are {len(content) - at} bytes of no tensor")
    return arrays


def _header(text: bytes, entry: str) -> dict[str, Any]:
    try:
        header = from_text(text.decode())
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"entry {entry}: its header is no JSON: {error}") from None
    if type(header) is not dict or not text.startswith(b"{"):
        raise ArtifactError(f"entry {entry}: its header is no JSON object")
    header.pop(_METADATA, None)
    return header


def _place(about: Any, where: str) -> tuple[DType, tuple[int, ...], int, int]:
    """The dtype, the shape, and where the bytes begin and end."""
    if type(about) is not dict or about.keys() != {"dtype", "shape", "data_offsets"}:
        raise ArtifactError(f"{where}: it has other parts than dtype, shape and data_offsets")
    dtype = _BY_NAME.get(about["dtype"]) if type(about["dtype"]) is str else None
    if dtype is None:
        raise ArtifactError(f"{where}: {about['dtype']!r} is no dtype")
    shape, offsets = _numbers(about["shape"], where), _numbers(about["data_offsets"], where)
    if len(shape) > 32 or len(offsets) != 2:
        raise ArtifactError(f"{where}: a shape has at most 32 sizes, and there are two offsets")
    begin, end = offsets
    if end - begin != prod(shape) * dtype.itemsize:
        raise ArtifactError(f"{where}: its bytes are not as many as its shape needs")
    return dtype, shape, begin, end


def _numbers(value: Any, where: str) -> tuple[int, ...]:
    if type(value) is not list or not all(type(n) is int and 0 <= n < 1 << 48 for n in value):
        raise ArtifactError(f"{where}: {value!r} is no list of sizes")
    return tuple(value)
