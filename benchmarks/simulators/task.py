"""The task all simulators are given: FedAvg, Adam, the same images, clients, networks and rounds. Plain PyTorch, no fucore."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn


@dataclass(frozen=True)
class Task:
    """``archive``: npz with uint8 images [N, C, H, W] and labels, as x_train, y_train, x_test, y_test."""

    archive: str
    model: str
    clients: int
    rounds: int
    epochs: int
    runs: int = 1
    batch: int = 32
    lr: float = 1e-3
    precision: str = "fp32"

    def data(self):
        """(x_train, y_train, x_test, y_test): float images in 0..1, int64 labels."""
        with np.load(self.archive) as arrays:
            x, y, u, v = (torch.from_numpy(arrays[name]) for name in ("x_train", "y_train", "x_test", "y_test"))
        return x.float() / 255, y.long(), u.float() / 255, v.long()

    def indices(self, total: int) -> list[np.ndarray]:
        """Training examples of each client: an even split of a shuffle."""
        return [np.sort(part) for part in np.array_split(np.random.default_rng(0).permutation(total), self.clients)]


def from_command_line() -> Task:
    return Task(**json.loads(sys.argv[1]))


def report(seconds: list[float], accuracy: float) -> None:
    """The last line a simulator prints: seconds of each round, with its evaluation, or of each run if there are several; and the accuracy."""
    print(json.dumps({"seconds": seconds, "accuracy": accuracy}), flush=True)


class Clock:
    """Seconds since the last call."""

    def __init__(self):
        self.last = time.perf_counter()

    def __call__(self) -> float:
        before, self.last = self.last, time.perf_counter()
        return self.last - before


def network(name: str, shape, classes: int) -> nn.Module:
    """As people write them: ``conv`` 421,642 weights at 1 x 28 x 28, ``mlp`` 199,210 (McMahan et al.'s 2NN), ``logistic`` 7,850, ``resnet18``
    with GroupNorm 11,173,962.
    """
    channels, height, width = shape
    if name == "logistic":
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, classes))
    if name == "conv":
        return nn.Sequential(
            *[nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)],
            *[nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)],
            *[nn.Flatten(), nn.Linear(64 * (height // 4) * (width // 4), 128), nn.ReLU(), nn.Linear(128, classes)],
        )
    if name == "mlp":
        return nn.Sequential(
            *[nn.Flatten(), nn.Linear(channels * height * width, 200), nn.ReLU()],
            *[nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, classes)],
        )
    return ResNet18(channels, classes)


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.GroupNorm(outputs // 16, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.GroupNorm(outputs // 16, outputs)
        self.relu = nn.ReLU()
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.GroupNorm(outputs // 16, outputs))

    def forward(self, x):
        out = self.relu(self.norm1(self.conv1(x)))
        return self.relu(self.norm2(self.conv2(out)) + self.shortcut(x))


class ResNet18(nn.Sequential):
    def __init__(self, channels, classes):
        widths = [(64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2), (512, 512, 1)]
        stem = [nn.Conv2d(channels, 64, 3, 1, 1, bias=False), nn.GroupNorm(4, 64), nn.ReLU()]
        super().__init__(*stem, *[Block(*width) for width in widths], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))
