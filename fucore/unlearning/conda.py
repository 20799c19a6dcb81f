"""ConDa: dampen the parameters that the leaving clients moved more than the others (respailab's public code)::

    F, Q: mean of |theta_i(t) - theta(0)| over the rounds of the leaving / the remaining clients;   kappa = Q / F
    where kappa < cutoff:  theta <- theta * min(dampening * kappa, bound)

The public script hands the two means over in swapped order; here they are as its description says.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from ..errors import require_number, require_whole
from .registry import method
from .task import Task


@method("conda", needs=("history", "whole clients"), citation="Chundawat et al., ConDa, 2024")
def conda(task: Task, *, rounds: int = 0, cutoff: float = 0.5, dampening: float = 0.5, bound: float = 0.5):
    """Dampen, then ``rounds`` rounds of recovery (the method itself has none)."""
    require_whole("rounds", rounds, 0)
    for name, value in (("cutoff", cutoff), ("dampening", dampening), ("bound", bound)):
        require_number(name, value, 0.0, math.inf)
    sums: dict[bool, Any] = {True: 0.0, False: 0.0}
    counts, initial = {True: 0, False: 0}, None
    for theta, participants, updates in task.past():
        initial = theta if initial is None else initial
        for client, update in zip(participants, updates):
            leaves = bool(client in task.leaving)
            sums[leaves] = sums[leaves] + (theta + update - initial).abs()
            counts[leaves] += 1
    forget, rest = (torch.as_tensor(sums[leaves]) / max(counts[leaves], 1) for leaves in (True, False))
    theta, share = dampened(task.original.weights, forget, rest, cutoff, dampening, bound)
    task.log["share dampened"] = share
    task.note(theta, "dampened")
    return task.train(theta, rounds)


def dampened(theta: torch.Tensor, forget: torch.Tensor, rest: torch.Tensor, cutoff: float, dampening: float, bound: float):
    """(new weights [d], share of them that changed); entries that the leaving clients did not move stay."""
    kappa = torch.where(forget > 0, rest / forget.clamp_min(1e-30), torch.inf)
    chosen = kappa < cutoff
    return torch.where(chosen, theta * (dampening * kappa).clamp(max=bound), theta), float(chosen.double().mean())
