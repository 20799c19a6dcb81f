"""FedOSD: unlearn along the direction that hurts no remaining client (Pan et al., AAAI 2025)::

    unlearning:  g_i = theta - theta_i  from local training, the leaving clients with L_U, the remaining with cross-entropy
                 d = g_u - A^T (A A^T)^+ A g_u,  scaled to ||g_u||;      theta <- theta - d
    recovery:    a = theta - theta_o;  each g_i loses its part along a and keeps its length;   theta <- theta - mean g_i
    L_U(x, y) = -log(1 - P(y|x) / 2)                                    between 0 and log 2

Local training is the federation's own, rounds are few (published: one epoch of SGD, 100 and 100 rounds).  The public
code removes the part along ``a`` whatever its sign; ``recovery="conditional"`` only where it leads back.
"""

from __future__ import annotations

import math

import torch

from ..errors import require_choice, require_number, require_whole
from ..federation.training import Hooks
from .registry import method


@method("fedosd", needs=("forgotten data",), citation="Pan et al., AAAI 2025")
def fedosd(
    task,
    *,
    rounds: int = 4,
    unlearning_rounds: int = 2,
    step: float = 1.0,
    recovery_step: float = 1.0,
    decay: float = 0.999,
    recovery: str = "code",
):
    """``unlearning_rounds`` of ``rounds`` along the conflict-free direction, the others recover beside the way back.

    ``step`` and ``recovery_step`` are shares of what one local training moves; they shrink by ``decay`` a round.
    """
    require_whole("rounds", rounds, 1)
    require_whole("unlearning_rounds", unlearning_rounds, 0, rounds)
    require_number("step", step, 0.0, math.inf)
    require_number("recovery_step", recovery_step, 0.0, math.inf)
    require_choice("recovery", recovery, ("code", "conditional"))
    original = theta = task.original.weights
    for index in range(unlearning_rounds):
        wanted = -task.mean_update(theta, on=task.departed, hooks=Hooks(loss=unlearning_loss))
        others = -task.updates(theta)
        direction = conflict_free(wanted, others)
        if direction is None:
            break
        theta = theta - step * decay**index * direction
        task.end_round(theta)
    while task.round < rounds:
        theta = theta - recovery_step * decay**task.round * aside(-task.updates(theta), theta - original, recovery).mean(dim=0)
        task.end_round(theta)
    return theta


def unlearning_loss(step) -> torch.Tensor:
    """L_U, mean over the batch."""
    chosen = torch.softmax(step.logits, dim=1).gather(1, step.labels[:, None])
    return -torch.log1p(-chosen / 2).mean()


def conflict_free(wanted: torch.Tensor, others: torch.Tensor) -> torch.Tensor | None:
    """``wanted`` [d] without its part in the span of ``others`` [r, d], scaled to its old length; ``None`` if nothing is left."""
    wanted, others = wanted.double(), others.double()
    gram = others @ others.T
    direction = wanted - others.T @ (torch.linalg.pinv(gram, hermitian=True, rtol=1e-10) @ (others @ wanted))
    direction = direction - others.T @ (
        torch.linalg.pinv(gram, hermitian=True, rtol=1e-10) @ (others @ direction)
    )  # once more, for round-off
    if direction.norm() < 1e-6 * wanted.norm() or wanted.norm() == 0:
        return None
    return (direction * (wanted.norm() / direction.norm())).float()


def aside(gradients: torch.Tensor, away: torch.Tensor, recovery: str) -> torch.Tensor:
    """``gradients`` [r, d] without their part along ``away`` [d], each scaled to its old length."""
    if not away.any():
        return gradients
    rows, away = gradients.double(), away.double()
    along = rows @ away / away.square().sum()
    if recovery == "conditional":
        along = along.clamp(min=0)
    turned = rows - along[:, None] * away
    lengths = turned.norm(dim=1, keepdim=True)
    return (turned * (rows.norm(dim=1, keepdim=True) / lengths.clamp_min(1e-30))).float()
