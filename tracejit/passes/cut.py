"""The cheapest vertices that part a directed graph: the least cut, by the largest flow (Ford and Fulkerson)."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

Vertex = TypeVar("Vertex", bound=Hashable)

ENDLESS = 1 << 62
"""The cost of what cannot be cut."""

_Port = tuple[object, bool]
"""A vertex where edges come in (False), or where they go out."""


def least_cut(
    costs: Mapping[Vertex, int], before: Mapping[Vertex, Iterable[Vertex]], ends: Iterable[Vertex]
) -> set[Vertex]:
    """The vertices of least cost without which no path leads to an end; the nearest to the ends of several such sets.

    A path runs through the vertices of `costs`, each one of those `before` the next; a vertex that has no entry there begins it.

    >>> sorted(least_cut({"a": 3, "b": 2, "c": 2, "d": 9}, {"b": "a", "c": "a", "d": "bc"}, "d"))
    ['a']
    """
    first, last = ("first", True), ("last", False)
    room: defaultdict[_Port, dict[_Port, int]] = defaultdict(dict)

    def join(start: _Port, end: _Port, capacity: int) -> None:
        room[start][end] = capacity
        room[end].setdefault(start, 0)

    for vertex, cost in costs.items():
        join((vertex, False), (vertex, True), cost)
        for source in before.get(vertex, ()):
            join((source, True), (vertex, False), ENDLESS)
        if vertex not in before:
            join(first, (vertex, False), ENDLESS)
    for vertex in ends:
        join((vertex, True), last, ENDLESS)
    while path := _path(room, first, last):
        flow = min(room[start][end] for start, end in path)
        for start, end in path:
            room[start][end] -= flow
            room[end][start] += flow
    behind = _leading_to(room, last)
    return {
        vertex for vertex in costs if (vertex, True) in behind and (vertex, False) not in behind
    }


def _path(
    room: Mapping[_Port, Mapping[_Port, int]], first: _Port, last: _Port
) -> list[tuple[_Port, _Port]]:
    """The edges of a shortest path with room on it; none where there is no more."""
    came: dict[_Port, _Port] = {first: first}
    queue = deque([first])
    while queue and last not in came:
        start = queue.popleft()
        for end, capacity in room[start].items():
            if capacity and end not in came:
                came[end] = start
                queue.append(end)
    path = []
    port = last
    while port in came and port != first:
        path.append((came[port], port))
        port = came[port]
    return path[::-1]


def _leading_to(room: Mapping[_Port, Mapping[_Port, int]], last: _Port) -> set[_Port]:
    """From where there is room left up to the end."""
    found, stack = {last}, [last]
    while stack:
        end = stack.pop()
        for start in room[end]:
            if room[start][end] and start not in found:
                found.add(start)
                stack.append(start)
    return found
