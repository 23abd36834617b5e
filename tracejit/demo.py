"""`tracejit demo`: a network learns to read handwritten digits, eager and compiled, side by side on the same batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sklearn.datasets import load_digits

import tracejit as tj
from tracejit import Tensor, nn, optim
from tracejit.nn import functional as F
from tracejit.ops.op import View

BATCH = 64
BATCHES = 22
"""In an epoch; the images left over are the test."""
PIXELS, HIDDEN, CLASSES = 64, 256, 10


def train_step(
    model: nn.Module, optimizer: optim.Optimizer, images: Tensor, labels: Tensor
) -> Tensor:
    """One step of training: forward, backward, update."""
    optimizer.zero_grad()
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    return loss


@dataclass(frozen=True, slots=True)
class Digits:
    """1,797 images of 8 x 8 pixels, scaled to [0, 1], in random order."""

    images: np.ndarray
    labels: np.ndarray
    device: str

    @property
    def test(self) -> tuple[Tensor, Tensor]:
        return self._at(slice(BATCH * BATCHES, None))

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """An epoch of training."""
        for places in rng.permutation(BATCH * BATCHES).reshape(BATCHES, BATCH):
            yield self._at(places)

    def _at(self, places: Any) -> tuple[Tensor, Tensor]:
        parts = self.images[places], self.labels[places]
        images, labels = (tj.tensor(part, device=self.device) for part in parts)
        return images, labels


def digits(seed: int, device: str = "cpu") -> Digits:
    bunch = load_digits()
    order = np.random.default_rng(seed).permutation(len(bunch.target))
    return Digits((bunch.data[order] / 16).astype(np.float32), bunch.target[order], device)


@dataclass(slots=True)
class Run:
    """A network in training, by one way of running its steps."""

    step: Callable[..., Tensor]
    seed: int
    epochs: int
    device: str = "cpu"
    model: nn.Sequential = field(init=False)
    optimizer: optim.Optimizer = field(init=False)
    schedule: optim.LRScheduler = field(init=False)
    losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        tj.random.seed(self.seed)
        self.model = nn.Sequential(
            nn.Linear(PIXELS, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, CLASSES),
        ).to(self.device)
        self.optimizer = optim.Adam(self.model.parameters(), lr=2e-3)
        self.schedule = optim.CosineAnnealingLR(self.optimizer, T_max=self.epochs)

    def train(self, images: Tensor, labels: Tensor) -> None:
        start = perf_counter()
        self.losses.append(self.step(self.model, self.optimizer, images, labels).item())
        self.seconds.append(perf_counter() - start)

    def end_epoch(self) -> float:
        """Goes on to the next learning rate; gives the mean loss of the epoch."""
        self.schedule.step()
        return sum(self.losses[-BATCHES:]) / BATCHES

    def steps_per_second(self) -> float:
        """The first step, which compiles, is not counted."""
        return (len(self.seconds) - 1) / sum(self.seconds[1:])

    def accuracy(self, images: Tensor, labels: Tensor) -> float:
        with tj.no_grad():
            return (self.model(images).argmax(1) == labels).astype(tj.float64).mean().item()

    def same_bits(self, other: Run) -> bool:
        """Whether every loss so far and every parameter is the other's, bit for bit."""
        pairs = zip(self.model.parameters(), other.model.parameters(), strict=True)
        same = (a.tolist() == b.tolist() for a, b in pairs)
        return self.losses == other.losses and all(same)


def run(*, epochs: int, seed: int, device: str = "cpu") -> int:
    """Trains, printing as it goes; 0 if eager and compiled agreed to the last bit."""
    console = Console(highlight=False)
    data = digits(seed, device)
    compiled_step = tj.compile(train_step)
    eager, compiled = (Run(each, seed, epochs, device) for each in (train_step, compiled_step))
    console.print(f"{BATCH * BATCHES} digits to learn from, {len(data.test[0])} to be tested on\n")
    console.print("epoch   loss, eager   loss, compiled")
    rng = np.random.default_rng(seed)
    with progress(console) as bar:
        task = bar.add_task("training", total=epochs * BATCHES)
        for epoch in range(epochs):
            for images, labels in data.batches(rng):
                eager.train(images, labels)
                compiled.train(images, labels)
                bar.advance(task)
            losses = eager.end_epoch(), compiled.end_epoch()
            console.print(f"{epoch + 1:5}   {losses[0]:11.9f}   {losses[1]:14.9f}")
    same = eager.same_bits(compiled)
    console.print(f"\nall losses and weights the same, bit for bit: {'yes' if same else 'NO'}")
    console.print(f"digits of the test read right: {compiled.accuracy(*data.test):.1%}\n")
    console.print(summary(eager, compiled, tj.explain(compiled_step)))
    return 0 if same else 1


def progress(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, transient=True)


def summary(eager: Run, compiled: Run, found: tj.Explanation) -> Table:
    """The two side by side, of one step each."""
    (graph,) = found.graphs
    computed = [node for node in graph.applies if not isinstance(node.op.recipe, View)]
    moved = sum(node.aval.nbytes + sum(x.aval.nbytes for x in node.inputs) for node in computed)
    table = Table("", "eager", "compiled", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    rates = eager.steps_per_second(), compiled.steps_per_second()
    table.add_row("steps per second", *(f"{rate:,.0f}" for rate in rates))
    table.add_row("kernels in a step", str(len(computed)), str(len(found.kernels)))
    total = sum(found.calls.values())
    table.add_row("steps that ran no Python", "0", f"{found.calls['replay']} of {total}")
    memory = moved, found.memory.bytes_moved
    table.add_row("memory read and written in a step", *(f"{n / 2**20:.1f} MiB" for n in memory))
    table.add_row("compile time", "", f"{found.seconds:.2f} s")
    return table
