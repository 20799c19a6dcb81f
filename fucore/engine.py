"""How local training is executed: one reused network per worker, all its state in flat vectors.

The result of a client's training depends only on (weights, indices, seed, round, client), never on which worker ran it
or when, and results are handed back in the order asked for; so any number of workers gives the same bits.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import functools
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from .data import Dataset, Split
from .errors import FucoreError, require, require_choice, require_number, require_whole
from .models import FlatModel, build

EVALUATION_BATCH = 500
AUGMENT_PADDING = 4


@dataclass(frozen=True)
class LocalTraining:
    """What a client does in a round: ``epochs`` passes in batches of ``batch``, with a new optimiser each round.

    ``lr`` is multiplied by ``decay ** round`` and, with ``schedule="cosine"``, by half a cosine over the planned rounds;
    both follow the global round index, so nothing restarts at a client.
    """

    epochs: int = 2
    batch: int = 32
    optimizer: str = "adam"
    lr: float = 3e-3
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "constant"
    decay: float = 1.0

    def __post_init__(self):
        require_whole("epochs", self.epochs, 1)
        require_whole("batch", self.batch, 1)
        require_choice("optimizer", self.optimizer, ("adam", "sgd"))
        require_number("lr", self.lr, 0.0, math.inf)
        require_number("momentum", self.momentum, 0.0, 1.0)
        require_number("weight_decay", self.weight_decay, 0.0, math.inf)
        require_choice("schedule", self.schedule, ("constant", "cosine"))
        require_number("decay", self.decay, 0.0, 1.0, open_low=True)

    def rate(self, round_index: int, rounds: int) -> float:
        """Learning rate in global round ``round_index`` (from 0) of ``rounds``."""
        wave = 0.5 * (1 + math.cos(math.pi * round_index / rounds)) if self.schedule == "cosine" else 1.0
        return self.lr * self.decay**round_index * wave


@dataclass(frozen=True)
class Preprocessing:
    """From uint8 pixels to network inputs, by batched tensor operations.

    ``resize`` to that many pixels a side; ``normalise`` each channel by the training set's mean and standard deviation
    (otherwise divide by 255); ``augment`` training batches by random crops with 4 pixels of padding and, unless
    ``flip`` is off, horizontal flips.
    """

    normalise: bool = True
    augment: bool = False
    flip: bool = True
    resize: int | None = None


@dataclass(frozen=True)
class Hooks:
    """Changes to local training, in place of a second training loop.

    ``loss(logits, labels) -> scalar`` replaces mean cross-entropy; ``gradient(weights, gradient)``, both [d], may change
    the gradient in place before each step.
    """

    loss: Callable | None = None
    gradient: Callable | None = None


class Worker:
    """One network with its flat weights and gradient, able to train any client and to evaluate any weights."""

    def __init__(self, model, data: Dataset, preprocessing: Preprocessing, device: str, precision: str):
        self.device, self.precision, self.preprocessing = device, precision, preprocessing
        channels, height, width = data.shape
        side = preprocessing.resize
        self.net = FlatModel(build(model, (channels, side or height, side or width), len(data.classes), seed=0), device)
        self.data = data
        with torch.no_grad():
            outputs = self.net.module(torch.zeros(1, channels, side or height, side or width, device=device)).shape
        require(
            tuple(outputs) == (1, len(data.classes)),
            f"the model gives outputs of shape {tuple(outputs)} for one image, but must give (1, {len(data.classes)}), one logit a class.",
        )
        mean = torch.tensor(data.mean) if preprocessing.normalise else torch.zeros(channels)
        std = torch.tensor(data.std) if preprocessing.normalise else torch.full((channels,), 255.0)
        self.scale = (1 / std).view(-1, 1, 1).to(device)
        self.shift = (-mean / std).view(-1, 1, 1).to(device)

    def train(self, weights, indices, local: LocalTraining, lr: float, key: tuple[int, ...], hooks: Hooks) -> torch.Tensor:
        """Weights [d] after local training from ``weights`` on the training examples ``indices``; ``key`` seeds the batch order."""
        net, train = self.net, self.data.train
        net.module.train()
        net.weights.copy_(weights)
        optimizer = self._optimizer(local, lr)
        loss_function = hooks.loss or torch.nn.functional.cross_entropy
        rng = np.random.default_rng(key)
        for _ in range(local.epochs):
            for batch in torch.from_numpy(rng.permutation(indices)).split(local.batch):
                inputs = self.inputs(train.images[batch], rng if self.preprocessing.augment else None)
                net.gradient.zero_()
                with self._autocast():
                    loss = loss_function(net.module(inputs).float(), train.labels[batch].to(self.device))
                loss.backward()
                if hooks.gradient is not None:
                    hooks.gradient(net.weights, net.gradient)
                optimizer.step()
        return net.weights.clone()

    def logits(self, weights, split: Split) -> torch.Tensor:
        """Logits [n, classes] in evaluation mode, without augmentation, in the order of ``split``; on the CPU."""
        self.net.module.eval()
        self.net.weights.copy_(weights)
        with torch.inference_mode(), self._autocast():
            return torch.cat([self.net.module(self.inputs(images)).float().cpu() for images in split.images.split(EVALUATION_BATCH)])

    def gradient(self, weights, indices) -> torch.Tensor:
        """Gradient [d] of the mean cross-entropy over ``indices`` at ``weights``, in evaluation mode."""
        net, train = self.net, self.data.train
        net.module.eval()
        net.weights.copy_(weights)
        net.gradient.zero_()
        for batch in torch.from_numpy(np.asarray(indices)).split(EVALUATION_BATCH):
            with self._autocast():
                logits = net.module(self.inputs(train.images[batch])).float()
                loss = torch.nn.functional.cross_entropy(logits, train.labels[batch].to(self.device), reduction="sum") / len(indices)
            loss.backward()
        return net.gradient.clone()

    def inputs(self, images: torch.Tensor, rng: np.random.Generator | None = None) -> torch.Tensor:
        """uint8 [b, C, H, W] to normalised float32, augmented if ``rng`` is given."""
        images = images.to(self.device)
        if rng is not None:
            images = augmented(images, rng, flip=self.preprocessing.flip)
        inputs = images.float()
        if self.preprocessing.resize is not None:
            inputs = torch.nn.functional.interpolate(inputs, size=(self.preprocessing.resize,) * 2, mode="bilinear", antialias=True)
        return inputs.mul_(self.scale).add_(self.shift)

    def _optimizer(self, local, lr):
        vector = torch.nn.Parameter(self.net.weights)
        vector.grad = self.net.gradient
        if local.optimizer == "adam":
            return torch.optim.Adam([vector], lr=lr, weight_decay=local.weight_decay, fused=True)
        return torch.optim.SGD([vector], lr=lr, momentum=local.momentum, weight_decay=local.weight_decay, fused=True)

    def _autocast(self):
        return torch.autocast(torch.device(self.device).type, torch.bfloat16) if self.precision == "bf16" else contextlib.nullcontext()


class Engine:
    """Runs jobs on workers: ``job(worker) -> result`` in, results out in the same order."""

    def __init__(self, make_worker: Callable[[], Worker], workers: int = 1):
        self.workers = require_whole("workers", workers, 1)
        self._make_worker = make_worker
        self._own = threading.local()

    def train(self, weights, indices, local: LocalTraining, lr: float, keys, hooks: Hooks = Hooks()) -> Iterator[torch.Tensor]:
        """Weights after local training on each of ``indices``, seeded by the key at the same place, in order."""
        jobs = ((lambda worker, i=i, key=key: worker.train(weights, i, local, lr, key, hooks)) for i, key in zip(indices, keys))
        return self.each(jobs)

    def each(self, jobs: Iterable[Callable[[Worker], object]]) -> Iterator:
        """Results in order; at most ``2 * workers`` of them exist at a time, so memory does not grow with the jobs."""
        if self.workers == 1:
            with one_thread():
                for job in jobs:
                    yield job(self.worker)
            return
        waiting = collections.deque()
        with one_thread():
            for job in jobs:
                waiting.append(self._pool.submit(self._run, job))
                if len(waiting) == 2 * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    @functools.cached_property
    def _pool(self):
        return concurrent.futures.ThreadPoolExecutor(self.workers, initializer=torch.set_num_threads, initargs=(1,))

    @property
    def worker(self) -> Worker:
        """The calling thread's worker, made once."""
        if not hasattr(self._own, "worker"):
            self._own.worker = self._make_worker()
        return self._own.worker

    def _run(self, job):
        return job(self.worker)


@contextlib.contextmanager
def one_thread():
    """One torch thread inside: batches of this size gain nothing from more, and bits do not depend on the machine's cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def augmented(images: torch.Tensor, rng: np.random.Generator, flip: bool = True) -> torch.Tensor:
    """Random crops after zero padding by 4, and horizontal flips; [b, C, H, W] to the same shape."""
    count, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, (AUGMENT_PADDING,) * 4)
    top = torch.from_numpy(rng.integers(0, 2 * AUGMENT_PADDING + 1, (count, 1)))
    left = torch.from_numpy(rng.integers(0, 2 * AUGMENT_PADDING + 1, (count, 1)))
    rows, columns = top + torch.arange(height), left + torch.arange(width)
    if flip:
        columns = torch.where(torch.from_numpy(rng.random((count, 1)) < 0.5), columns.flip(1), columns)
    cropped = padded[torch.arange(count)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return cropped.permute(0, 3, 1, 2)


def default_workers(device: str) -> int:
    """One worker for each core that this process may use, at most 8; one where a GPU does the work."""
    return (
        1
        if torch.device(device).type != "cpu"
        else min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    )


def check_device(device: str, precision: str) -> None:
    """Refuse a device that is not there, or a precision that is not known, with a sentence."""
    require_choice("precision", precision, ("fp32", "bf16"))
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise FucoreError(
            f"device is {device!r}, which torch cannot use on this machine: choose 'cpu', or 'cuda' where there is a GPU."
        ) from None
