"""What a client does in a round: local training with one reused network, all of whose state lies in flat vectors.

The result depends only on (weights, indices, seed, round, client), never on who computes it or when.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import require, require_choice, require_flag, require_number, require_whole, shown
from ..runs.fingerprint import source_of

EVALUATION_BATCH = 200
AUGMENT_PADDING = 4


@dataclass(frozen=True)
class LocalTraining:
    """What a client does in a round: ``epochs`` passes in batches of ``batch``, with a new optimiser each round.

    ``lr`` is multiplied by ``decay ** round`` and, with ``schedule="cosine"``, by half a cosine over the planned rounds;
    both follow the global round index, so nothing restarts at a client.  ``proximal``: mu of FedProx (Li et al., MLSys 2020), which
    adds mu/2 ||theta - theta(t)||^2 to every client's loss, theta(t) where its local training began.

    Raises ``FucoreError`` for impossible settings, such as a ``proximal`` that SGD's steps of ``lr`` would leap over.
    """

    epochs: int = 2
    batch: int = 32
    optimizer: str = "adam"
    lr: float = 3e-3
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "constant"
    decay: float = 1.0
    proximal: float = 0.0

    def __post_init__(self):
        checked = {
            "epochs": require_whole("epochs", self.epochs, 1),
            "batch": require_whole("batch", self.batch, 1),
            "optimizer": str(require_choice("optimizer", self.optimizer, ("adam", "sgd"))),
            "lr": require_number("lr", self.lr, 0.0, math.inf, open_high=True),
            "momentum": require_number("momentum", self.momentum, 0.0, 1.0),
            "weight_decay": require_number("weight_decay", self.weight_decay, 0.0, math.inf, open_high=True),
            "schedule": str(require_choice("schedule", self.schedule, ("constant", "cosine"))),
            "decay": require_number("decay", self.decay, 0.0, 1.0, open_low=True),
            "proximal": require_number("proximal", self.proximal, 0.0, math.inf, open_high=True),
        }
        for name, value in checked.items():  # NumPy's numbers become Python's, so that equal settings have equal keys
            object.__setattr__(self, name, value)
        limit = 2 * (1 + self.momentum)  # of steps down mu/2 ||theta||^2, where SGD with momentum begins to diverge
        require(
            self.optimizer != "sgd" or self.lr * self.proximal < limit,
            f"lr times proximal is {self.lr * self.proximal:g}, but SGD diverges from {limit:g} on: lower one of them.",
        )

    def rate(self, round_index: int, rounds: int) -> float:
        """Learning rate in global round ``round_index`` (from 0) of ``rounds``."""
        wave = 0.5 * (1 + math.cos(math.pi * round_index / rounds)) if self.schedule == "cosine" else 1.0
        return self.lr * self.decay**round_index * wave

    def steps(self, examples: int) -> int:
        """Steps of a client with so many examples in a round."""
        return self.epochs * math.ceil(examples / self.batch)


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

    def __post_init__(self):
        for name in ("normalise", "augment", "flip"):
            object.__setattr__(self, name, require_flag(name, getattr(self, name)))
        if self.resize is not None:
            object.__setattr__(self, "resize", require_whole("resize", self.resize, 1))


@dataclass
class Step:
    """What a hook sees of one step of local training.

    ``client`` and ``round`` as in the federation, ``seed`` of the run; ``indices`` [b] of the batch in the training split, its ``inputs``
    [b, C, H, W], ``labels`` [b] and ``logits`` [b, classes]; the client's current ``weights`` and ``gradient``, both [d];
    ``module``, the network whose parameters are views of ``weights``; ``state``, a dict that is new for each local training;
    ``start`` [d], theta(t), where the local training began.
    """

    seed: int
    round: int
    client: int
    indices: torch.Tensor
    inputs: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    gradient: torch.Tensor
    module: torch.nn.Module
    state: dict
    logits: torch.Tensor | None = None
    start: torch.Tensor | None = None


@dataclass(frozen=True)
class Hooks:
    """Changes to local training, in place of a second training loop; each function is given a :class:`Step`.

    ``loss(step) -> scalar`` replaces mean cross-entropy; ``gradient(step)`` may change ``step.gradient`` in place before
    the optimiser's step, ``after(step)`` may change ``step.weights`` in place after it.  ``passes``: what a step costs in
    forward-backward passes, for the account.
    """

    loss: Callable | None = None
    gradient: Callable | None = None
    after: Callable | None = None
    passes: int = 1

    def __post_init__(self):
        for name in ("loss", "gradient", "after"):
            function = getattr(self, name)
            require(function is None or callable(function), f"{name} is {shown(function)}, but must be a function of a step, or None.")
        object.__setattr__(self, "passes", require_whole("passes", self.passes, 1))


def batch_order(indices, local: LocalTraining, rng: np.random.Generator) -> list[torch.Tensor]:
    """The batches of all epochs, in order: what :meth:`Worker.train <fucore.federation.worker.Worker.train>` draws when nothing is augmented."""
    return [batch for _ in range(local.epochs) for batch in torch.from_numpy(rng.permutation(indices)).split(local.batch)]


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


def sources(hooks: Hooks) -> list:
    """What the hooks compute, as hashes (``None`` where that cannot be told), and their passes."""
    return [source_of(hooks.loss), source_of(hooks.gradient), source_of(hooks.after), hooks.passes]
