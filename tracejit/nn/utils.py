"""What is done to the gradients of many parameters together, with PyTorch's names."""

from __future__ import annotations

from collections.abc import Iterable

from tracejit import ops
from tracejit._errors import at_user_line
from tracejit.autograd.tape import no_grad
from tracejit.tensor import Tensor


@no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scales the gradients in place so that the p-norm of all together is at most `max_norm`; returns what it was.

    RuntimeError, before anything is written, if `error_if_nonfinite` and the norm is NaN or infinite.

    >>> import tracejit as tj
    >>> w = tj.tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w / 2).sum().backward()
    >>> clip_grad_norm_(w, 2.5), w.grad.round().tolist()
    (tensor(5.), [1.0, 2.0])
    """
    gradients = _gradients(parameters)
    if not gradients:
        return ops.zeros(())
    norms = [ops.vector_norm(gradient, norm_type) for gradient in gradients]
    total = norms[0] if len(norms) == 1 else ops.vector_norm(ops.stack(norms), norm_type)
    if error_if_nonfinite and not ops.isfinite(total):
        message = f"clip_grad_norm_: the norm of order {norm_type} of the gradients is not finite"
        raise RuntimeError(at_user_line(message))
    factor = ops.minimum(max_norm / (total + 1e-6), 1.0)
    for gradient in gradients:
        gradient.mul_(factor)
    return total


@no_grad()
def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Brings each element of the gradients, in place, to at least -clip_value and at most clip_value.

    >>> import tracejit as tj
    >>> w = tj.tensor([3.0, 0.1], requires_grad=True)
    >>> (w * w / 2).sum().backward()
    >>> clip_grad_value_([w], 1.0)
    >>> w.grad
    tensor([1. , 0.1])
    """
    for gradient in _gradients(parameters):
        gradient.clip_(-clip_value, clip_value)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All their elements one after another."""
    return ops.concat([parameter.flatten() for parameter in parameters])


@no_grad()
def vector_to_parameters(vector: Tensor, parameters: Iterable[Tensor]) -> None:
    """Overwrites the parameters with what `parameters_to_vector` gives of them.

    >>> import tracejit as tj
    >>> weights = [tj.zeros((2, 2)), tj.zeros(1)]
    >>> vector_to_parameters(tj.arange(5.0), weights)
    >>> weights[1], parameters_to_vector(weights)
    (tensor([4.]), tensor([0., 1., 2., 3., 4.]))
    """
    parameters = list(parameters)
    if vector.shape != (sum(parameter.size for parameter in parameters),):
        message = f"vector_to_parameters: {vector.aval} does not fit the parameters"
        raise ValueError(at_user_line(message))
    begin = 0
    for parameter in parameters:
        end = begin + parameter.size
        parameter.copy_(vector[begin:end].reshape(parameter.shape))
        begin = end


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    each = [parameters] if isinstance(parameters, Tensor) else parameters
    return [parameter.grad for parameter in each if parameter.grad is not None]
