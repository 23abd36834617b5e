"""The interpreter above all others: where an input requires grad it notes the op on the tape, and hands every op on."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from tracejit import dispatch
from tracejit._errors import AutogradError, at_user_line, user_location
from tracejit.autograd.node import Edge, Handle, Node, Saved
from tracejit.autograd.pullback import pullback
from tracejit.dispatch import Scalar
from tracejit.ops.op import Op, Params
from tracejit.ops.registry import NOT_DIFFERENTIABLE

F = TypeVar("F", bound=Callable[..., Any])


class _GradMode(threading.local):
    enabled = True


_mode = _GradMode()


without_grad: dict[int, None] = {}
"""Threads on which ops may not be noted: while there is none, nobody has to be asked."""


def _set_mode(enabled: bool) -> None:
    if enabled:
        without_grad.pop(threading.get_ident(), None)
    else:
        without_grad[threading.get_ident()] = None
    _mode.enabled = enabled


class _GradSwitch:
    """Sets whether ops are noted on the tape, for a block or, as a decorator, for a function."""

    enabled: bool

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __call__(self, function: F) -> F:
        """`function`, each call of which is a block of its own: it may run in several threads."""
        kind = type(self)

        @functools.wraps(function)
        def switched(*args: Any, **kwargs: Any) -> Any:
            with kind():
                return function(*args, **kwargs)

        return cast(F, switched)

    def __enter__(self) -> None:
        self._before.append(_mode.enabled)
        _set_mode(self.enabled)

    def __exit__(self, *error: object) -> None:
        _set_mode(self._before.pop())


class no_grad(_GradSwitch):  # noqa: N801  # the field's name
    """Inside the block (or the decorated function) no op is noted on the tape.

    >>> import tracejit as tj
    >>> w = tj.tensor([1.0], requires_grad=True)
    >>> with tj.no_grad():
    ...     (w * 2).requires_grad
    False
    """

    enabled = False


class enable_grad(_GradSwitch):  # noqa: N801  # the field's name
    """Inside the block (or the decorated function) ops are noted on the tape, also within `no_grad`."""

    enabled = True


def is_grad_enabled() -> bool:
    """Whether ops are noted on the tape, on this thread."""
    return _mode.enabled


class Tape:
    """Notes ops and writes for `backward`; computes nothing itself."""

    def bind(self, op: Op, args: tuple[Any, ...], params: Params) -> Any:
        out = dispatch.below(self).bind(op, args, params)
        if _mode.enabled:
            for arg in args:
                if arg.autograd is not None or arg.origin is not None:
                    _note(op, args, params, out)
                    break
        elif out.origin is not None and base_of(out).autograd is not None:
            # What is seen through a view made under no_grad is a constant, now and after later writes to the base.
            parent, view, view_params = out.origin
            out.origin = (parent.detach(), view, view_params)
        return out

    def assign(self, target: Any, value: Any) -> None:
        if not _mode.enabled or not target.aval.dtype.is_float:
            return dispatch.below(self).assign(target, value)
        base = base_of(target)
        base_edge, value_edge = edge_of(base), edge_of(value)
        _refuse_leaf(target, base)
        _keep_what_the_write_destroys(value_edge, target)
        dispatch.below(self).assign(target, value)
        if base_edge is not None or value_edge is not None:
            _rebase(base, base_edge, target, value_edge)
        return None


tape = Tape()


def base_of(tensor: Any) -> Any:
    """The tensor whose storage `tensor` views."""
    while tensor.origin is not None:
        tensor = tensor.origin[0]
    return tensor


def handle_of(tensor: Any) -> Handle | None:
    """The tensor's handle, brought up to date where its storage was written through another view."""
    if tensor.origin is None or _is_current(tensor):
        return tensor.autograd
    chain = [tensor]
    while (parent := chain[-1].origin[0]).origin is not None and not _is_current(parent):
        chain.append(parent)
    for view in reversed(chain):
        _renew(view)
    return tensor.autograd


def edge_of(tensor: Any) -> Edge | None:
    """Where the gradient of `tensor` goes; None where it needs none."""
    if tensor.autograd is None and tensor.origin is None:
        return None
    handle = handle_of(tensor)
    return handle.edge if handle is not None and handle.requires_grad else None


def _is_current(view: Any) -> bool:
    handle: Handle | None = view.autograd
    if handle is None:
        return base_of(view).autograd is None
    return handle.version == view.storage.version or (handle.node is None and handle.requires_grad)


def _renew(view: Any) -> None:
    """Derives the view's place on the tape from its parent's."""
    parent, op, params = view.origin
    if edge_of(parent) is not None:
        _note(op, (parent,), params, view)
    elif view.autograd is not None:
        view.autograd.node, view.autograd.requires_grad = None, False


def _note(op: Op, args: tuple[Any, ...], params: Params, out: Any) -> None:
    """Puts `out` on the tape if a gradient can flow from it to an argument."""
    if not out.aval.dtype.is_float:
        return
    edges = tuple([edge_of(arg) for arg in args])
    if not any(edges):
        return
    if op.vjp is None:
        _attach(out, Node(op.name, out.aval, edges, _no_rule, (), user_location()))
        return
    rule = pullback(
        op,
        out.aval,
        tuple([arg.aval for arg in args]),
        tuple(params.items()),
        tuple([edge is not None for edge in edges]),
    )
    if rule.gives:
        values = (out, *args)
        saved = tuple([_save(values[place], place, values, edges) for place in rule.needs])
        _attach(out, Node(op.name, out.aval, edges, _Apply(rule), saved, user_location()))


def _attach(tensor: Any, node: Node) -> None:
    """The value of `tensor` is what `node` made."""
    version = tensor.storage.version
    if tensor.autograd is None:
        tensor.autograd = Handle(node, version)
        return
    handle: Handle = tensor.autograd
    handle.node, handle.version, handle.requires_grad = node, version, True


def _save(value: Any, place: int, values: tuple[Any, ...], edges: tuple[Edge | None, ...]) -> Any:
    if type(value) is Scalar:
        return value
    role = "result" if place == 0 else "argument" if len(values) == 2 else f"argument {place - 1}"
    # The result's edge is the node itself, which cannot hold it: that would be a cycle.
    return Saved(value.detach(), role, edges[place - 1] if place else None, is_result=place == 0)


class _Apply:
    """The rule of a node that is an op with a gradient."""

    __slots__ = ("pullback",)

    def __init__(self, pullback: Any) -> None:
        self.pullback = pullback

    def __call__(self, node: Node, ct: Any) -> tuple[Any, ...]:
        values = tuple(
            value if type(value) is Scalar else value.unpack(node, on_tape=_mode.enabled)
            for value in node.saved
        )
        cts: list[Any] = [None] * len(node.edges)
        for place, part in zip(self.pullback.gives, self.pullback(ct, values)):
            cts[place] = part
        return tuple(cts)


def _no_rule(node: Node, ct: Any) -> tuple[Any, ...]:
    reason = NOT_DIFFERENTIABLE.get(node.name, "its rule is not written yet")
    raise AutogradError(at_user_line(f"{node.name} at {node.loc} has no gradient: {reason}"))


def _refuse_leaf(target: Any, base: Any) -> None:
    if not _is_leaf(target) and not _is_leaf(base):
        return
    what = "a leaf" if _is_leaf(target) else "a view of a leaf"
    message = (
        f"{what} Variable that requires grad is being used in an in-place operation; "
        "write to it under tj.no_grad()"
    )
    raise AutogradError(at_user_line(message))


def _is_leaf(tensor: Any) -> bool:
    """Whether gradients of `tensor` end there."""
    handle: Handle | None = tensor.autograd
    return handle is not None and handle.requires_grad and handle.node is None


def _keep_what_the_write_destroys(edge: Edge | None, target: Any) -> None:
    """The op whose result is written over one of its arguments (`t.mul_(u)`) keeps a copy of that argument."""
    if not isinstance(edge, Node):
        return
    storage = target.storage
    for saved in edge.saved:
        is_current = type(saved) is Saved and saved.version == storage.version
        if is_current and saved.tensor.storage is storage:
            with no_grad():
                saved.keep(saved.tensor.copy())


def _rebase(base: Any, base_edge: Edge | None, target: Any, value_edge: Edge | None) -> None:
    """`base` is now its former value with the part that `target` views replaced."""
    if target is base and isinstance(value_edge, Node):
        _attach(base, value_edge)
        return
    path = []
    view = target
    while view is not base:
        view, op, params = view.origin
        path.append((op, params))
    rule = _Replace(tuple(reversed(path)))
    _attach(base, Node("assign", base.aval, (base_edge, value_edge), rule, (), user_location()))


class _Replace:
    """The rule of `assign`: the part's cotangent goes to the value, the rest to the former base."""

    __slots__ = ("path",)

    def __init__(self, path: tuple[tuple[Op, Params], ...]) -> None:
        self.path = path

    def __call__(self, node: Node, ct: Any) -> tuple[Any, ...]:
        base_edge, value_edge = node.edges
        rest = None
        if base_edge is not None:
            rest = ct.copy()
            self.part(rest).zero_()
        return rest, None if value_edge is None else self.part(ct)

    def part(self, tensor: Any) -> Any:
        for op, params in self.path:
            tensor = dispatch.bind(op, (tensor,), params)
        return tensor
