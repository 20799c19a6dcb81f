"""FedRecovery: take the leaving clients' residuals out of the final model, then add noise (Zhang et al., IEEE TIFS 2023)::

    residual_i = mean over all of Delta_j - mean over the remaining of Delta_j        Delta: updates of round i
    w_i        = ||mean Delta of round i||^2 / sum of the same over rounds            so that sum w_i = 1
    theta      = theta_o - sum_i w_i residual_i + N(0, sigma^2 I)

All clients count alike, whatever the aggregation.  The correction is a weighted *average* over rounds, about 1/n of one
round's disagreement: little is forgotten before the noise.  ``weights="sum"`` takes the residuals of all rounds in full;
that is a variant of ours, not the paper's method.
"""

from __future__ import annotations

import math

import torch

from ..errors import require_choice, require_number, require_whole
from ..streams import Stream
from .registry import method
from .task import Task


@method("fedrecovery", needs=("history", "sum of updates", "whole clients"), citation="Zhang et al., IEEE TIFS 2023")
def fedrecovery(task: Task, *, rounds: int = 0, sigma: float = 0.01, weights: str = "paper"):
    """No client takes part; ``rounds`` of fine-tuning after it are an addition (the paper has none)."""
    require_whole("rounds", rounds, 0)
    require_number("sigma", sigma, 0.0, math.inf)
    require_choice("weights", weights, ("paper", "sum"))
    total, correction = 0.0, torch.zeros_like(task.original.weights)
    for _, participants, updates in task.past():
        mean = updates.mean(dim=0)
        weight = float(mean.square().sum()) if weights == "paper" else 1.0
        correction += weight * residual(updates, participants, task.leaving)
        total += weight
    scale = 1 / total if weights == "paper" and total > 0 else 1.0
    theta = task.original.weights - scale * correction
    theta = theta + sigma * task.normal(len(theta), Stream.FEDRECOVERY_NOISE)
    task.note(theta, "residuals and noise")
    return task.train(theta, rounds)


def residual(updates: torch.Tensor, participants, leaving) -> torch.Tensor:
    """Mean update of all minus mean update of those who stay, [d]; zero where nobody, or everybody, of the round leaves."""
    stays = torch.tensor([client not in leaving for client in participants])
    if stays.all() or not stays.any():
        return torch.zeros(updates.shape[1])
    return updates.mean(dim=0) - updates[stays].mean(dim=0)
