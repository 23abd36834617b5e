"""Heat spreads over a plate: a function on NumPy arrays, compiled as it stands."""

import numpy as np

import tracejit as tj


def spread(plate, rate):
    """One step, in place."""
    inner = plate[1:-1, 1:-1]
    neighbours = plate[:-2, 1:-1] + plate[2:, 1:-1] + plate[1:-1, :-2] + plate[1:-1, 2:]
    inner += rate * (neighbours - 4 * inner)
    return inner.max()


def main():
    plate = np.zeros((200, 200))
    plate[80:120, 80:120] = 100.0
    expected = plate.copy()
    compiled = tj.compile(spread)
    for _ in range(50):
        hottest = compiled(plate, 0.2)
        assert hottest == spread(expected, 0.2)
    assert np.array_equal(plate, expected)
    print(f"hottest after 50 steps: {hottest:.3f}, as in NumPy")


if __name__ == "__main__":
    main()
