"""Numerical programs as people write them for NumPy: they take arrays, write to some of them, and return others."""

from __future__ import annotations

from typing import Any

import numpy as np


def jacobi(a: Any, b: Any) -> None:
    for _ in range(4):
        b[1:-1, 1:-1] = 0.2 * (
            a[1:-1, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:] + a[2:, 1:-1] + a[:-2, 1:-1]
        )
        a[1:-1, 1:-1] = b[1:-1, 1:-1] * 0.9


def gauss_seidel(a: Any, b: Any) -> None:
    for i in range(1, a.shape[0] - 1):
        a[i, 1:-1] += a[i - 1, :-2] + a[i - 1, 1:-1] + a[i, 2:] + a[i + 1, 1:-1]
        for j in range(1, a.shape[1] - 1):
            a[i, j] += a[i, j - 1]
            a[i, j] /= 9.0


def shortest_paths(a: Any, b: Any) -> None:
    for k in range(a.shape[0]):
        a[:] = np.minimum(a[:], np.add.outer(a[:, k], a[k, :]))


def decomposition(a: Any, b: Any) -> Any:
    a = a @ a.T + 12 * np.eye(len(a))
    for i in range(len(a)):
        for j in range(i):
            a[i, j] -= a[i, :j] @ a[:j, j]
            a[i, j] /= a[j, j]
        for j in range(i, len(a)):
            a[i, j] -= a[i, :i] @ a[:i, j]
    return a


def escape_times(a: Any, b: Any) -> Any:
    times = np.zeros(a.shape, dtype=np.int64)
    x, y = np.zeros_like(a), np.zeros_like(a)
    for n in range(8):
        inside = x * x + y * y < 4.0
        times[inside] = n
        zx, zy = x[inside], y[inside]
        x[inside] = zx * zx - zy * zy + a[inside]
        y[inside] = 2 * zx * zy + b[inside]
    times[times == 7] = 0
    return x, y, times


def clusters(a: Any, b: Any) -> Any:
    centers = b[:3]
    nearest = None
    for _ in range(3):
        nearest = np.argmin(((a[:, None, :] - centers[None]) ** 2).sum(-1), axis=1)
        for k in range(len(centers)):
            if (nearest == k).any():
                centers[k] = a[nearest == k].mean(axis=0)
    return nearest


def bodies(a: Any, b: Any) -> Any:
    x, y = a[:, 0:1], a[:, 1:2]
    dx, dy = x.T - x, y.T - y
    inverse = dx**2 + dy**2 + 0.01
    inverse[inverse > 0] = inverse[inverse > 0] ** (-1.5)
    pull = np.hstack(((dx * inverse) @ b[:, :1], (dy * inverse) @ b[:, :1]))
    b[:, :2] += pull * 0.01
    return 0.5 * np.sum(b**2)


def convolution(a: Any, b: Any) -> Any:
    out = np.empty((a.shape[0] - 2, a.shape[1] - 2), dtype=np.float32)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = np.sum(a[i : i + 3, j : j + 3] * b[:3, :3])
    return out


def correlation(a: Any, b: Any) -> Any:
    std = np.std(a, axis=0)
    std[std <= 0.1] = 1.0
    a -= np.mean(a, axis=0)
    a /= np.sqrt(20.0) * std
    found = np.eye(a.shape[1], dtype=a.dtype)
    for i in range(a.shape[1] - 1):
        found[i + 1 :, i] = found[i, i + 1 :] = a[:, i] @ a[:, i + 1 :]
    return found


def recursion_of_durbin(a: Any, b: Any) -> Any:
    r = a[0]
    y = np.empty_like(r)
    alpha, beta = -r[0], 1.0
    y[0] = -r[0]
    for k in range(1, len(r)):
        beta *= 1.0 - alpha * alpha
        alpha = -(r[k] + np.dot(np.flip(r[:k]), y[:k])) / beta
        y[:k] += alpha * np.flip(y[:k])
        y[k] = alpha
    return y


def electric_field(a: Any, b: Any) -> None:
    for t in range(3):
        a[0, :] = t
        a[1:, :] -= 0.5 * (b[1:, :] - b[:-1, :])
        b[:-1, :-1] -= 0.7 * (a[:-1, 1:] - a[:-1, :-1] + a[1:, :-1] - a[:-1, :-1])


def overlapping_writes(a: Any, b: Any) -> Any:
    a[1:] += a[:-1]
    a[::2] *= a[1::2]
    a[:] = a[::-1]
    a += a.T
    a[1:, 1:] = a[:-1, :-1]
    a[:, 0], a[0] = a[0], a[:, 0]
    return a.sum(), a[1], a[0, ...], a


def numbers_are_no_views(a: Any, b: Any) -> Any:
    first, total, part = a[0, 0], a.sum(), a[:1, :1].sum()
    text, kept = str(first), total
    a[:] = 0
    total += 1
    return first, total, kept, part, text, {first: b}, {a.argmax(), b.argmax()}


def results_written_elsewhere(a: Any, b: Any) -> Any:
    c = np.zeros_like(a)
    np.add(a, b, out=c)
    np.multiply(c, 2, out=a)
    np.sum(a, axis=0, out=c[0])
    np.clip(b, -0.5, 0.5, out=b)
    np.add(a, 1, where=b > 0, out=c)
    same = np.sqrt(np.abs(c), out=c)
    same[0, 0] = 7
    np.rot90(b)[0] = 5
    np.fill_diagonal(a, 3)
    return c, same is c, np.rot90(b)


def control_flow(a: Any, b: Any) -> Any:
    n = 0
    while a.sum() < 5 and n < 20:
        a += np.abs(b)
        n += 1
    if a[0, 0] > b[0, 0]:
        a[0, 0] = b[0, 0]
    n += sum(1 for row in a for x in row if x > 1)
    return (
        n,
        max(a[0]),
        sorted(a[1]),
        int(a[0, 0]),
        [10, 20, 30][a.argmax() % 3],
        divmod(a[0, 1], 2),
    )


PROGRAMS = (
    jacobi, gauss_seidel, shortest_paths, decomposition, escape_times, clusters, bodies, convolution, correlation,
    recursion_of_durbin, electric_field, overlapping_writes, numbers_are_no_views, results_written_elsewhere, control_flow,
)  # fmt: skip
