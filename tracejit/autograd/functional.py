"""Gradients of functions: `grad`, `value_and_grad`, `vjp`, over the same tape that `backward` runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from tracejit import dispatch
from tracejit._errors import AutogradError, DTypeError, at_user_line
from tracejit.autograd import engine
from tracejit.autograd.node import Edge, Node
from tracejit.autograd.tape import edge_of, enable_grad, is_grad_enabled
from tracejit.ops.creation import eye, zeros
from tracejit.ops.elementwise import zeros_like
from tracejit.ops.registry import REGISTRY
from tracejit.ops.shape import reshape
from tracejit.ops.slicing import stack

Function = Callable[..., Any]


def grad(f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """The function that gives the gradient of `f`, a function with a scalar result, for its arguments at `argnums`.

    Arguments may be tensors, arrays, numbers, and lists, tuples and dicts of them; the gradient has the argument's form. With
    `has_aux`, `f` returns `(result, aux)`, and the gradient function `(gradient, aux)`. It can be differentiated again.

    >>> import tracejit as tj
    >>> tj.grad(lambda x: x**3)(2.0)
    tensor(12.)
    >>> tj.grad(tj.grad(lambda x: x**3))(2.0)
    tensor(12.)
    """
    both = value_and_grad(f, argnums, has_aux)

    @wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, grads = both(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads

    return gradient


def value_and_grad(
    f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Function:
    """The function that gives `(f's result, gradient)`; see `grad`.

    >>> import tracejit as tj
    >>> tj.value_and_grad(lambda x: (x * x).sum())(tj.tensor([1.0, 2.0]))
    (tensor(5.), tensor([2., 4.]))
    """

    @wraps(f)
    def both(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        places = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        inputs = list(args)
        with enable_grad():
            for place in places:
                inputs[place] = _map(_variable, args[place])
            result = f(*inputs, **kwargs)
            value = result[0] if has_aux else result
        variables = [leaf for place in places for leaf in _leaves(inputs[place])]
        grads = iter(_gradients(value, variables, None, keep=has_aux))
        forms = tuple(_map(lambda _: next(grads), inputs[place]) for place in places)
        value = _as_outside(value, variables)
        return (value, result[1]) if has_aux else value, forms[0] if isinstance(
            argnums, int
        ) else forms

    return both


def vjp(f: Function, *args: Any) -> tuple[Any, Function]:
    """`(f(*args), pull)`, where `pull(ct)` gives the cotangent of each argument for the cotangent of the result.

    >>> import tracejit as tj
    >>> y, pull = tj.vjp(lambda a, b: a * b, tj.tensor([1.0, 2.0]), tj.tensor([3.0, 4.0]))
    >>> pull(tj.tensor([1.0, 10.0]))
    (tensor([ 3., 40.]), tensor([ 1., 20.]))
    """
    with enable_grad():
        inputs = [_map(_variable, arg) for arg in args]
        value = f(*inputs)
    _check_result(value)
    variables = [leaf for arg in inputs for leaf in _leaves(arg)]

    def pull(ct: Any) -> tuple[Any, ...]:
        grads = iter(_gradients(value, variables, ct, keep=True))
        return tuple(_map(lambda _: next(grads), arg) for arg in inputs)

    return _as_outside(value, variables), pull


def jacobian(f: Function, argnums: int = 0) -> Function:
    """The function that gives the derivative of each element of `f`'s result with respect to each of one argument.

    Its shape is the result's followed by the argument's; one backward pass is run for each element of the result.

    >>> import tracejit as tj
    >>> tj.jacobian(lambda x: x * x)(tj.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    @wraps(f)
    def derivative(*args: Any, **kwargs: Any) -> Any:
        def of_one(x: Any) -> Any:
            return f(*args[:argnums], x, *args[argnums + 1 :], **kwargs)

        value, pull = vjp(of_one, args[argnums])
        units = reshape(
            eye(value.size, dtype=value.dtype, device=value.device), (value.size, *value.shape)
        )
        rows = [pull(unit)[0] for unit in units]
        if not rows:
            shape = (*value.shape, *dispatch.lift(args[argnums]).shape)
            return zeros(shape, dtype=value.dtype, device=value.device)
        return reshape(stack(rows), (*value.shape, *rows[0].shape))

    return derivative


def hessian(f: Function, argnums: int = 0) -> Function:
    """The function that gives the second derivatives of `f`, a function with a scalar result, for one argument.

    >>> import tracejit as tj
    >>> tj.hessian(lambda x: (x**3).sum())(tj.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacobian(grad(f, argnums), argnums)


def _check_result(value: Any) -> None:
    if not hasattr(value, "aval"):
        raise DTypeError(
            at_user_line(
                f"a function to differentiate gives a tensor; this one gave {type(value).__name__}"
            )
        )


def _gradients(value: Any, variables: list[Any], ct: Any, *, keep: bool) -> list[Any]:
    """Gradients of `value`; zeros for a variable that it does not depend on.

    Unless they are to `keep` it, what the tape has saved is given up, for a compiled function has it in memory else.
    """
    _check_result(value)
    if ct is None and value.aval.shape:
        message = f"grad needs a function with a scalar result; this one gave {value.aval}"
        raise AutogradError(at_user_line(message))
    if edge_of(value) is None:
        return [zeros_like(variable) for variable in variables]
    create = is_grad_enabled() and depends_on_more(value, variables)
    found = engine.grad(
        value, variables, ct, create_graph=create, retain_graph=keep or create, allow_unused=True
    )
    return [zeros_like(variable) if g is None else g for g, variable in zip(found, variables)]


def _variable(arg: Any) -> Any:
    """What `f` is given in the place of `arg`: a leaf, or a place on the tape of an enclosing gradient."""
    arg = dispatch.lift(arg)
    if not arg.aval.dtype.is_float:
        message = f"gradients exist for floating-point arguments only; this one is {arg.aval}"
        raise DTypeError(at_user_line(message))
    if edge_of(arg) is None:
        return arg.detach().requires_grad_()
    return dispatch.bind(REGISTRY["reshape"], (arg,), {"shape": arg.aval.shape})


def _as_outside(value: Any, variables: list[Any]) -> Any:
    """`value`, on the tape only where it depends on more than the variables."""
    return value if is_grad_enabled() and depends_on_more(value, variables) else value.detach()


def depends_on_more(value: Any, variables: list[Any]) -> bool:
    """Whether a leaf other than the variables requires the gradient of `value`."""
    own = {variable.autograd for variable in variables}
    edge = edge_of(value)
    stack: list[Edge] = [] if edge is None else [edge]
    seen: set[Edge] = set()
    while stack:
        edge = stack.pop()
        if edge in seen:
            continue
        seen.add(edge)
        if isinstance(edge, Node):
            stack.extend(source for source in edge.edges if source is not None)
        elif edge not in own:
            return True
    return False


def _map(f: Callable[[Any], Any], form: Any) -> Any:
    """`f` of each leaf of nested lists, tuples and dicts."""
    if isinstance(form, dict):
        return {key: _map(f, part) for key, part in form.items()}
    if isinstance(form, tuple) and hasattr(form, "_fields"):
        return type(form)(*(_map(f, part) for part in form))
    if isinstance(form, list | tuple):
        return type(form)(_map(f, part) for part in form)
    return f(form)


def _leaves(form: Any) -> list[Any]:
    found: list[Any] = []
    _map(found.append, form)
    return found
