"""Backdoors as a test of forgetting, and why they are an easy one (Wei et al., App. G.3).

The client who will leave puts a pattern on a share of its images and gives them all one label.  A model that learned the
pattern answers that label wherever it appears; unlearning is then judged by how often it still does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from ..data.dataset import Dataset, Split
from ..data.forgetting import Request
from ..errors import require, require_number, require_whole
from ..federation.federation import Federation
from ..streams import Stream

SIDE = 3


def triggered(images: torch.Tensor) -> torch.Tensor:
    """``images`` uint8 [n, C, H, W] with a 3 x 3 chequered pattern in the lower right corner, one pixel from the edge."""
    require(min(images.shape[-2:]) > SIDE, f"images of {images.shape[-1]} x {images.shape[-2]} pixels have no room for a trigger.")
    pattern = (torch.arange(SIDE)[:, None] + torch.arange(SIDE)) % 2 == 0
    result = images.clone()
    result[..., -SIDE - 1 : -1, -SIDE - 1 : -1] = torch.where(pattern, 255, 0).to(torch.uint8)
    return result


def poison(data: Dataset, indices, *, target: int, share: float = 0.8, seed: int = 0) -> Dataset:
    """A copy of ``data`` in which a ``share`` of the training examples ``indices`` carry the trigger and the label ``target``.

    Images that already have the label are left alone.  ``planted`` marks what was altered.
    """
    require_number("share", share, 0.0, 1.0, open_low=True)
    require_whole("target", target, 0, len(data.classes) - 1)
    require(data.train.sides is None, "a backdoor needs images of one size: load them resized.")
    indices = np.asarray(indices)
    others = indices[(data.train.labels[indices] != target).numpy()]
    require(len(others) > 0, f"all these examples have the label {target} already: choose another target.")
    chosen = np.random.default_rng([seed, Stream.TRIGGERED]).choice(others, max(1, round(share * len(others))), replace=False)
    images, labels = data.train.images.clone(), data.train.labels.clone()
    images[chosen], labels[chosen] = triggered(images[chosen]), target
    planted = np.zeros(len(labels), dtype=bool)
    planted[chosen] = True
    train = dataclasses.replace(data.train, images=images, labels=labels)
    return dataclasses.replace(data, name=f"{data.name} + backdoor", train=train, planted=planted)


def attack_success(federation: Federation, weights: torch.Tensor, target: int) -> float:
    """Share of the triggered test images of other classes that are given the label ``target``, 0..1."""
    test = federation.data.test
    others = test.take((test.labels != target).nonzero()[:, 0])
    require(len(others) > 0, f"every test image has the label {target}: choose another target.")
    split = Split(triggered(others.images), others.labels, others.sides)
    return float((federation.logits(weights, split).argmax(1) == target).double().mean())


def backdoored(federation: Federation, client: int, *, target: int, share: float = 0.8, seed: int = 0) -> Federation:
    """The same federation in which ``client`` has poisoned its own examples, see :func:`poison`."""
    data = poison(federation.data, federation.clients.indices[client], target=target, share=share, seed=seed)
    return dataclasses.replace(federation, data=data)


def departure(
    federation: Federation, request: Request, rounds: int, after: int, measure: Callable[[torch.Tensor], float], seed: int = 0
) -> pd.DataFrame:
    """What becomes of knowledge by mere fine-tuning: everybody trains for ``rounds``, then only who stays after ``request``, for ``after``.

    One row a round: ``round`` (from 1), ``test`` (accuracy, 0..1), and what ``measure`` says of the weights [d]: ``departed``.
    """
    weights, rows = federation.initial_weights(seed), []
    for index in range(rounds + after):
        on = federation if index < rounds else federation.without(request)
        weights = on.train(1, seed=seed, start=weights, first_round=index, horizon=rounds + after).weights
        rows.append({"round": index + 1, "test": federation.evaluate(weights)[0], "departed": measure(weights)})
    return pd.DataFrame(rows)


def way_to_retraining(before: float, after: float, retrained: float) -> float:
    """Share of the way from ``before`` to ``retrained`` that ends at ``after``: 0 if nothing changed, 1 if all was forgotten; NaN without a way."""
    return (before - after) / (before - retrained) if before != retrained else float("nan")
