"""Tiles of products: which are chosen, and what a step of each costs by a model of shared memory."""

from __future__ import annotations

import re
from functools import partial

import pytest

from tracejit.codegen.cuda.product import DTYPES, product_shape, product_source
from tracejit.codegen.cuda.product_tile import PROCESSORS, TILES, Tile, tile_of

BANK_BYTES, ACCESS = 4, 16
STATIC, MOST = 48 << 10, 99 << 10
"""Bytes of shared memory: that a text may declare, and that a block may have on each GPU since sm_80."""

cases = pytest.mark.parametrize(
    ("dtype", "tile"),
    [
        pytest.param(dtype, tile, id=f"{dtype}-{tile.name}")
        for dtype in TILES
        for tile in TILES[dtype]
    ],
)


def threads_of(text: str) -> list[tuple[int, int]]:
    """Row and column of each thread of a warp, by the text's own terms."""
    found = re.search(r"const int row = (.*), column = (.*);", text)
    assert found is not None
    row, column = (term.replace("/", "//") for term in found.groups())
    return [
        (eval(row, {"warp": 0, "lane": lane}), eval(column, {"warp": 0, "lane": lane}))
        for lane in range(32)
    ]


def turns(places: list[int], nbytes: int) -> int:
    """How often shared memory is read for a warp's access of so many bytes at these.

    A read is of as many threads as ask for all banks; of twice as many where each of them has a neighbour, or the one after that,
    that asks for the same; and again for each bank of which several words are asked for.
    """
    unit = 32 * BANK_BYTES // nbytes
    count = 0
    for first in range(0, 32, 2 * unit):
        both = places[first : first + 2 * unit]
        pairs = any(all(both[n] == both[n ^ step] for n in range(len(both))) for step in (1, 2))
        for part in [both] if pairs else [both[:unit], both[unit:]]:
            words = {place + at for place in part for at in range(0, nbytes, BANK_BYTES)}
            banks = [word // BANK_BYTES % 32 for word in words]
            count += max((banks.count(bank) for bank in banks), default=0)
    return count


def test_the_model_counts_banks() -> None:
    assert turns([4 * lane for lane in range(32)], 4) == 1
    assert turns([8 * lane for lane in range(32)], 4) == 2
    assert turns([128 * lane for lane in range(32)], 4) == 32
    assert turns([16 * lane for lane in range(32)], 16) == 4
    assert turns([16 * (lane // 2) for lane in range(32)], 16) == 2


@cases
def test_reads_of_a_step_leave_time_for_copies(dtype: str, tile: Tile) -> None:
    """Four schedulers share one shared memory; each issues a multiply-add for a warp at a time, or a wide one in two turns."""
    itemsize = DTYPES[dtype].itemsize
    run = min(tile.down, tile.across, ACCESS // itemsize)
    threads = threads_of(product_source(dtype, tile).text)
    assert len(set(threads)) == 32
    spent = 0
    for at, each in ((0, tile.down), (1, tile.across)):
        places = [thread[at] * run * itemsize for thread in threads]
        assert turns(places, run * itemsize) <= run * itemsize // 8
        spent += each // run * turns(places, run * itemsize)
    multiplied = tile.down * tile.across * itemsize // 4
    assert 4 * spent * tile.rate <= 0.75 * multiplied
    if (tile.down, tile.across) == (8, 8):
        assert 4 * spent <= 0.5 * multiplied


@cases
def test_copies_meet_in_no_bank(dtype: str, tile: Tile) -> None:
    """However an operand lies: a warp's copies take as many turns as their bytes need."""
    text, itemsize = product_source(dtype, tile).text, DTYPES[dtype].itemsize
    ways = {"WIDE": 0, "STEPS": 1, "ALONG": 2}
    for lines in {tile.rows, tile.columns}:
        names = {**ways, "LINES": lines, "ACCESS": ACCESS // itemsize}
        pad = names["ACCESS"]
        assert "PAD = ACCESS" in text
        for way, number in ways.items():
            of = partial(chosen_term, text, {**names, "way": number})
            nbytes = ACCESS if way == "WIDE" else itemsize
            places = [
                (of("step", thread) * (lines + pad) + of("line", thread)) * itemsize
                for thread in range(32)
            ]
            assert turns(places, nbytes) == nbytes // 4
            assert len(set(places)) == 32


def chosen_term(text: str, names: dict[str, int], of: str, thread: int) -> int:
    """`of = way == WIDE ? ... : way == STEPS ? ... : ...` of a thread."""
    found = re.search(
        rf"^    {of} = way == WIDE \? (.*) : way == STEPS \? (.*) : (.*);$", text, re.M
    )
    assert found is not None
    term = found[names["way"] + 1].replace("/", "//")
    return int(eval(term, {**names, "thread": thread}))


@pytest.mark.parametrize("dtype", TILES)
def test_blocks_fit_shared_memory(dtype: str) -> None:
    for tile in TILES[dtype]:
        itemsize = DTYPES[dtype].itemsize
        lines = tile.rows + tile.columns + 2 * (ACCESS // itemsize)
        pieces = tile.stages * tile.step * lines * itemsize
        assert pieces <= STATIC
        assert pieces + product_shape(dtype, tile).shared_bytes <= MOST


def test_a_tile_is_large_where_there_are_many_and_small_where_there_are_few() -> None:
    def chosen(dtype: str, *sizes: int) -> str:
        return tile_of(dtype, *sizes).name

    assert chosen("float32", 1, 4096, 4096) == "128x128"
    assert chosen("float32", 1, 4096, 2048) == "128x128"
    assert chosen("float32", 1, 1024, 1024) == "128x64"
    assert chosen("float32", 1, 1536, 1536) == "128x64"
    assert chosen("float32", 1, 512, 512) == "64x64"
    assert chosen("float32", 1, 128, 512) == "32x32"
    assert chosen("float32", 1, 4096, 10) == "32x32"
    assert chosen("float32", 4096, 20, 20) == "32x32"
    assert chosen("float64", 1, 4096, 4096) == "128x64"


@pytest.mark.parametrize("size", [(2048, 2048), (784, 2048), (4096, 512)], ids=str)
def test_the_last_round_of_tiles_leaves_few_processors_idle(size: tuple[int, int]) -> None:
    tile = tile_of("float32", 1, *size)
    rounds = -(-tile.count(*size) // PROCESSORS)
    assert tile.count(*size) >= 0.8 * rounds * PROCESSORS
