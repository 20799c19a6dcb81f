"""Projected gradient ascent on the forgotten data, then recovery (Halimi et al., 2022, arXiv 2207.05521)::

    theta_ref = (theta - sum_U p_u theta_u) / (1 - sum_U p_u)          what the others made, the leaving clients' part taken out
    theta    <- theta + lr clip(grad CE(theta; D_u)),  then back onto the ball ||theta - theta_ref|| <= delta

until the forgotten data are recognised no better than ``stop_accuracy``.  The paper's radius is a third of the mean
distance to random networks; the public code takes a third of the mean *squared* distance and then a square root.
"""

from __future__ import annotations

import dataclasses
import math

import torch

from ..errors import require, require_choice, require_number, require_whole
from ..federation.randomness import derived_seed
from ..federation.training import Hooks, LocalTraining
from ..streams import Stream
from .registry import method

RANDOM_NETWORKS = 10


@method("pga", needs=("forgotten data", "whole clients"), citation="Halimi et al., ICML 2022 workshop")
def pga(
    task,
    *,
    rounds: int = 4,
    lr: float = 0.01,
    epochs: int = 5,
    clip: float = 5.0,
    stop_accuracy: float = 0.12,
    radius: str = "code",
    scale: float = 1.0,
):
    """Climb the loss of the clients that leave inside a ball, then ``rounds`` rounds of recovery.

    ``epochs``: at most so many passes of ascent with batches of 128, momentum 0.9 (kept within a pass) and gradients
    clipped to norm ``clip``; ``radius``: ``"code"`` or ``"paper"``, times ``scale``.  The leaving clients' last local
    models are made anew from the final weights, since the last round's are not kept.  Accuracy is looked at after each pass, and
    recovery is ordinary federated averaging (the public code: 10 rounds of at most 51 batches).
    """
    require_whole("rounds", rounds, 0)
    require_whole("epochs", epochs, 0)
    require_choice("radius", radius, ("code", "paper"))
    require_number("scale", scale, 0.0, math.inf)
    require(task.share_leaving < 1, "pga needs at least one client that stays.")
    original = task.original.weights
    last = original + task.mean_update(original, on=task.departed)
    reference = without_share(original, last, task.share_leaving)
    delta = scale * ball_radius(task, reference, radius)
    task.log["radius"] = delta
    local = LocalTraining(epochs=1, batch=128, optimizer="sgd", lr=lr, momentum=0.9)
    climbing = dataclasses.replace(task.departed, local=local)
    hooks = Hooks(loss=uphill, gradient=clipped(clip), after=projected(reference, delta))
    theta = reference
    for epoch in range(epochs):
        if climbing.evaluate(theta, climbing.held)[0] <= stop_accuracy:
            break
        theta = theta + task.mean_update(theta, on=climbing, hooks=hooks, exchange=False)
        task.log["epochs"] = epoch + 1
    task.note(theta, "ascent")
    return task.train(theta, rounds)


def without_share(theta: torch.Tensor, departed: torch.Tensor, share: float) -> torch.Tensor:
    """Mean of the others, given that ``theta`` = share * departed + (1 - share) * others."""
    return (theta - share * departed) / (1 - share)


def ball_radius(task, reference: torch.Tensor, kind: str) -> float:
    """A third of the mean distance to random networks (``"paper"``), or the root of a third of its mean square (``"code"``)."""
    drawn = [task.remaining.initial_weights(derived_seed(task.seed, Stream.PGA_NETWORKS, j)) for j in range(RANDOM_NETWORKS)]
    distances = torch.stack([(reference - weights).norm() for weights in drawn])
    return float((distances.square().mean() / 3).sqrt() if kind == "code" else distances.mean() / 3)


def uphill(step):
    return -torch.nn.functional.cross_entropy(step.logits, step.labels)


def clipped(limit: float):
    """Scale the gradient to norm ``limit`` where it is longer."""
    return lambda step: step.gradient.mul_((limit / step.gradient.norm().clamp_min(1e-12)).clamp(max=1.0))


def projected(centre: torch.Tensor, radius: float):
    """Put the weights back onto the ball around ``centre``."""

    def project(step):
        away = step.weights - centre.to(step.weights.device)
        distance = away.norm()
        if distance > radius:
            step.weights.copy_(centre.to(step.weights.device) + away * (radius / distance))

    return project
