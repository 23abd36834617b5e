"""An artifact whose calls are nothing but a function of tensors, as an op: compiled functions that call it are replayed.

The state may be set between two calls, as the op reads it when it is computed; what changes a state, decides or can fail is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import finalize, ref

import numpy as np

from tracejit import dtypes
from tracejit.ir.aval import Aval, aval
from tracejit.ops.families import extern
from tracejit.ops.op import Op
from tracejit.ops.registry import REGISTRY
from tracejit.standalone.machine.frame import is_dense
from tracejit.standalone.records import (
    ArrayArgument,
    Call,
    Constant,
    Finish,
    FixedArgument,
    Memory,
    Run,
    TensorResult,
)
from tracejit.standalone.tensors import is_tied
from tracejit.tensor import Tensor

if TYPE_CHECKING:
    from tracejit.standalone.artifact import Artifact

_numbers = count()


class AsOp:
    """`avals` are those of the tensors that it takes."""

    def __init__(self, artifact: Artifact, given: Sequence[ArrayArgument], result: Memory) -> None:
        self.avals = tuple(map(_aval, given))
        slots, made = [each.slot for each in given], _aval(result)
        target = ref(artifact)  # what holds the op does not hold what is loaded

        def evaluate(*arrays: np.ndarray) -> np.ndarray:
            found = target()
            assert found is not None, "who calls it has it"
            return found.of_arrays(dict(zip(slots, arrays, strict=True)), result)

        self.op: Op = extern(
            f"artifact {artifact.__name__} {next(_numbers)}",
            infer=lambda *avals: made,
            eval=evaluate,
            not_differentiable="an artifact has no gradient",
        )
        finalize(artifact, REGISTRY.pop, self.op.name, None)

    def fits(self, args: Sequence[Any]) -> bool:
        """Whether a call with these arguments is the op, of which nobody wants a gradient."""
        return len(args) == len(self.avals) and all(
            type(arg) is Tensor and arg.aval is wanted and not is_tied(arg)
            for arg, wanted in zip(args, self.avals)
        )


def as_op(artifact: Artifact) -> AsOp | None:
    """None for one whose calls are more."""
    call = artifact.manifest.call
    result = _result_of(call)
    if result is None or not artifact.changes_nothing or artifact.device != "cpu":
        return None
    given = [each.argument for each in call.parameters]
    return AsOp(artifact, [each for each in given if isinstance(each, ArrayArgument)], result)


def _result_of(call: Call) -> Memory | None:
    """The tensor, whose elements lie in order, that a call gives which takes tensors and runs programs; None of others."""
    end = call.body.end
    if not isinstance(end, Finish) or not isinstance(end.result, TensorResult):
        return None
    only_computes = (
        end.result.type == "tensor"
        and is_dense(end.result.memory)
        and all(isinstance(each, Run | Constant) for each in call.body.steps)
        and all(_is_plain(each) for each in call.parameters)
    )
    return end.result.memory if only_computes else None


def _is_plain(parameter: Any) -> bool:
    argument = parameter.argument
    if isinstance(argument, ArrayArgument):
        return not (parameter.is_keyword or argument.is_array or argument.is_written)
    return isinstance(argument, FixedArgument)


def _aval(of: Any) -> Aval:
    return aval(dtypes.as_dtype(of.dtype), of.shape)
