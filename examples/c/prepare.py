"""Writes what the programs in C and C++ need, after which there is no Python any more:

python examples/c/prepare.py build

build/digits.bin   images and labels of scikit-learn's digits
build/digits/      two libraries: digits_train, a whole step of training, and digits_infer
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import tracejit as tj
from tracejit import Tensor, nn, optim
from tracejit.nn import functional as F

BATCH = 64


def network() -> nn.Sequential:
    tj.random.seed(0)
    layers = nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    return nn.Sequential(*layers)


def train(
    model: nn.Module, optimizer: optim.Optimizer, images: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """One step; the loss, and how many images were classified rightly before it."""
    optimizer.zero_grad()
    scores = model(images)
    loss = F.cross_entropy(scores, labels)
    loss.backward()
    optimizer.step()
    return loss, (scores.argmax(1) == labels).sum()


def infer(model: nn.Module, images: Tensor) -> Tensor:
    """The class of each image."""
    return model(images).argmax(1)


def write_digits(path: Path) -> None:
    """The number of images as an int64, then images of 64 floats between 0 and 1, then their classes, int64 each."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images = (digits.data[order] / 16).astype(np.float32)
    labels = digits.target[order].astype(np.int64)
    path.write_bytes(np.int64(len(labels)).tobytes() + images.tobytes() + labels.tobytes())


def write_libraries(folder: Path) -> None:
    model = network()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    images, labels = tj.zeros((BATCH, 64)), tj.zeros(BATCH, dtype=tj.int64)
    tj.export(train, (model, optimizer, images, labels), c=folder, name="digits_train")
    tj.export(infer, (model, images), c=folder, name="digits_infer")


if __name__ == "__main__":
    build = Path(sys.argv[1])
    build.mkdir(parents=True, exist_ok=True)
    write_digits(build / "digits.bin")
    write_libraries(build / "digits")
