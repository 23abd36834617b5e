"""The backward pass: nodes in the reverse of the order in which they ran, each once."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from weakref import ref

from tracejit import dispatch
from tracejit._errors import AutogradError, ShapeError, at_user_line
from tracejit.autograd.node import Edge, Handle, Hook, Node
from tracejit.autograd.tape import edge_of, enable_grad, no_grad
from tracejit.ops.arguments import cast
from tracejit.ops.elementwise import constant_like

if TYPE_CHECKING:
    from tracejit.tensor import Tensor


def backward(
    tensor: Tensor,
    gradient: Any = None,
    *,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:
    """Adds the gradient of `tensor` to the `.grad` of every leaf that it depends on."""
    roots = [_root(tensor, gradient)]
    keep = create_graph if retain_graph is None else retain_graph
    with _grad_mode(create_graph), _around(roots):
        _into_leaves(roots, keep, create_graph)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    *,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of the sum of `outputs` with respect to each of `inputs`; no `.grad` changes.

    Raises AutogradError where an input does not need a gradient, or was not used (unless `allow_unused`, which gives None).

    >>> import tracejit as tj
    >>> x = tj.tensor(3.0, requires_grad=True)
    >>> tj.autograd.grad(x * x, x)
    (tensor(6.),)
    """
    outputs, inputs = _sequence(outputs), _sequence(inputs)
    gradients = [None] * len(outputs) if grad_outputs is None else _sequence(grad_outputs)
    roots = [_root(tensor, gradient) for tensor, gradient in zip(outputs, gradients, strict=True)]
    edges = [edge_of(tensor) for tensor in inputs]
    if not all(edges):
        raise AutogradError(at_user_line("One of the differentiated Tensors does not require grad"))
    keep = create_graph if retain_graph is None else retain_graph
    with _grad_mode(create_graph), _around(roots):
        found = _run(roots, {edge for edge in edges if edge}, keep)
    grads = tuple(found.get(edge) for edge in edges if edge)
    if not allow_unused and any(gradient is None for gradient in grads):
        raise AutogradError(
            at_user_line(
                "One of the differentiated Tensors appears to not have been used in the graph. "
                "Set allow_unused=True if this is the desired behavior."
            )
        )
    return grads


def _sequence(tensors: Any) -> Sequence[Any]:
    return tensors if isinstance(tensors, (tuple, list)) else (tensors,)


def _grad_mode(create_graph: bool) -> Any:
    return enable_grad() if create_graph else no_grad()


def _into_leaves(roots: list[tuple[Edge, Any]], keep: bool, create_graph: bool) -> None:
    leaves = _run(roots, None, keep)
    taken = {id(ct.storage) for _, ct in roots}
    for edge, ct in leaves.items():
        assert isinstance(edge, Handle)
        _accumulate(edge, ct, taken, create_graph)


around: list[Callable[[list[Edge]], AbstractContextManager[Any]]] = []
"""What is to be entered for a backward pass from given edges: compiled functions have their gradients recorded."""


@contextmanager
def _around(roots: Iterable[tuple[Edge, Any]]) -> Iterator[None]:
    edges = [edge for edge, _ in roots]
    with ExitStack() as stack:
        for enter in around:
            stack.enter_context(enter(edges))
        yield


def _root(tensor: Tensor, gradient: Any) -> tuple[Edge, Tensor]:
    edge = edge_of(tensor)
    if edge is None:
        message = "element 0 of tensors does not require grad and does not have a grad_fn"
        raise AutogradError(at_user_line(message))
    if gradient is None:
        if tensor.size != 1:
            raise AutogradError(
                at_user_line("grad can be implicitly created only for scalar outputs")
            )
        return edge, constant_like(tensor, 1)
    gradient = dispatch.lift(gradient)
    if gradient.shape != tensor.shape:
        message = f"the gradient is {gradient.aval}, the tensor {tensor.aval}: shapes differ"
        raise ShapeError(at_user_line(message))
    return edge, cast(gradient, tensor.dtype)


def _run(
    roots: Iterable[tuple[Edge, Any]], wanted: set[Edge] | None, keep: bool
) -> dict[Edge, Any]:
    """The cotangents of the wanted edges (None: of all leaves)."""
    useful = None if wanted is None else _leading_to(wanted, [edge for edge, _ in roots])
    cts: dict[Edge, Any] = {}
    found: dict[Edge, Any] = {}
    queue: list[tuple[float, Node]] = []

    def send(edge: Edge, ct: Any) -> None:
        if edge in cts:
            cts[edge] = cts[edge] + ct
            return
        cts[edge] = ct
        if isinstance(edge, Node):
            heapq.heappush(queue, (-edge.sequence, edge))

    for edge, ct in roots:
        send(edge, ct)
    while queue:
        node = heapq.heappop(queue)[1]
        ct = _hooked(node, cts.pop(node))
        if wanted is not None and node in wanted:
            found[node] = ct
        if useful is not None and node not in useful:
            continue
        for source, part in zip(node.edges, node.backward(ct)):
            if source is not None and part is not None:
                send(source, part)
        if not keep:
            node.free()
    for edge, ct in cts.items():
        if wanted is None or edge in wanted:
            found[edge] = _hooked(edge, ct)
    return found


def _hooked(edge: Edge, ct: Any) -> Any:
    for hook in edge.hooks:
        replaced = hook(ct)
        ct = ct if replaced is None else replaced
    return ct


def _leading_to(wanted: set[Edge], roots: Iterable[Edge]) -> set[Node]:
    """The nodes through which a gradient reaches a wanted edge."""
    below: list[Node] = []
    seen: set[Edge] = set()
    stack = list(roots)
    while stack:
        edge = stack.pop()
        if edge in seen or not isinstance(edge, Node):
            continue
        seen.add(edge)
        below.append(edge)
        stack.extend(source for source in edge.edges if source is not None)
    useful: set[Node] = set()
    for node in sorted(below, key=lambda node: node.sequence):
        if any(edge in wanted or edge in useful for edge in node.edges):
            useful.add(node)
    return useful


def _accumulate(leaf: Handle, ct: Any, taken: set[int], create_graph: bool) -> None:
    """Adds to the gradient; in place, so that whoever holds it sees the sum, unless the sum is differentiable."""
    if leaf.grad is not None:
        is_on_tape = create_graph or leaf.grad.requires_grad
        leaf.grad = leaf.grad + ct if is_on_tape else leaf.grad.add_(ct)
        return
    # A gradient that two leaves share, or that is a view, could be overwritten through the other.
    is_shared = id(ct.storage) in taken or ct.origin is not None
    taken.add(id(ct.storage))
    leaf.grad = ct.copy() if is_shared else ct


def register_hook(tensor: Tensor, hook: Hook) -> Callable[[], None]:
    """Calls `hook` with the gradient of `tensor` in each backward pass; gives the function that removes it."""
    edge = edge_of(tensor)
    if edge is None:
        raise AutogradError(
            at_user_line("cannot register a hook on a tensor that doesn't require gradient")
        )
    edge.hooks = (*edge.hooks, hook)

    def remove() -> None:
        place = edge.hooks.index(hook)
        edge.hooks = edge.hooks[:place] + edge.hooks[place + 1 :]

    return remove


def retain_grad(tensor: Tensor) -> None:
    """Lets `backward` set the gradient of a tensor that is no leaf."""
    edge = edge_of(tensor)
    if edge is None:
        raise AutogradError(
            at_user_line("can't retain_grad on Tensor that has requires_grad=False")
        )
    if isinstance(edge, Handle):
        return
    handle = ref(tensor.autograd)  # the node must not keep the tensor alive

    def keep(ct: Tensor) -> None:
        if (kept := handle()) is not None:
            kept.grad = ct.copy() if kept.grad is None else kept.grad + ct

    edge.hooks = (*edge.hooks, keep)
