"""NumPy under the ops: an interpreter that evaluates each record's `eval`, and a scalar builder over NumPy arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tracejit import dtypes
from tracejit.dispatch import Scalar
from tracejit.ir.aval import Aval, aval
from tracejit.ops.op import Op, Params


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """An array as a value of the ops."""

    array: np.ndarray
    _is_value: ClassVar[bool] = True

    @property
    def aval(self) -> Aval:
        return aval(dtypes.from_numpy(self.array.dtype), self.array.shape)


def lift(source: Any) -> Value:
    array = np.asarray(source)
    dtypes.from_numpy(array.dtype)
    return Value(array)


def array_of(arg: Any) -> np.ndarray:
    return np.asarray(arg.value, arg.aval.dtype.numpy) if isinstance(arg, Scalar) else arg.array


class NumpyInterpreter:
    """Evaluates each op, and checks that `infer` foretells what `eval` gives."""

    def bind(self, op: Op, args: tuple[Any, ...], params: Params) -> Value:
        foretold = op.infer(*(arg.aval for arg in args), **params)
        array = op.eval(*map(array_of, args), **params)
        assert isinstance(array, np.ndarray), op.name
        found = aval(dtypes.from_numpy(array.dtype), array.shape)
        assert found is foretold, f"{op.name}: infer says {foretold}, eval gives {found}"
        return Value(array)
