"""The least cut against all cuts."""

from __future__ import annotations

from itertools import combinations
from random import Random

import pytest

from tracejit.passes.cut import ENDLESS, least_cut

Before = dict[int, list[int]]


def is_cut(chosen: set[int], before: Before, ends: list[int]) -> bool:
    """Whether no way leads past the chosen vertices from one that has none before it to an end."""
    stack = [end for end in ends if end not in chosen]
    seen = set(stack)
    while stack:
        vertex = stack.pop()
        if vertex not in before:
            return False
        new = {each for each in before[vertex] if each not in chosen} - seen
        seen |= new
        stack += new
    return True


def random_network(rnd: Random) -> tuple[dict[int, int], Before, list[int]]:
    size = rnd.randint(1, 9)
    costs = {vertex: rnd.choice((0, 1, 2, 3, 5, ENDLESS)) for vertex in range(size)}
    before = {
        vertex: rnd.sample(range(vertex), rnd.randint(0, min(3, vertex)))
        for vertex in range(size)
        if rnd.random() < 0.7
    }
    ends = rnd.sample(range(size), rnd.randint(1, min(3, size)))
    return costs | {end: rnd.choice((1, 2, 3)) for end in ends}, before, ends


@pytest.mark.parametrize("seed", range(200))
def test_no_cut_costs_less(seed: int):
    costs, before, ends = random_network(Random(seed))
    found = least_cut(costs, before, ends)
    assert is_cut(found, before, ends)
    least = min(
        sum(costs[vertex] for vertex in chosen)
        for count in range(len(costs) + 1)
        for chosen in map(set, combinations(costs, count))
        if is_cut(chosen, before, ends)
    )
    assert sum(costs[vertex] for vertex in found) == least


def test_of_cuts_that_cost_as_much_the_one_nearest_to_the_ends():
    costs = {"a": 2, "b": 2, "c": 2}
    assert least_cut(costs, {"b": ["a"], "c": ["b"]}, ["c"]) == {"c"}


def test_what_follows_from_nothing_need_not_be_cut():
    assert least_cut({"a": 1, "b": 1}, {"a": [], "b": ["a"]}, ["b"]) == set()
