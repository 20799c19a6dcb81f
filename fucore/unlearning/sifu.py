"""SIFU: go back to the last model on which the leaving clients had little influence, add noise, train on (Fraboni et al., AISTATS 2024)::

    Psi(n+1)  = Psi(n) + sum_U p_c ||theta(n+1) - theta_c(n+1)|| / (1 - sum_U p_c)      influence of the leaving clients U
    Psi*       = epsilon sigma / sqrt(2 ln(1.25 / delta)),  delta = 1 / clients
    theta     <- the last theta(n) with Psi(n) <= Psi*, plus N(0, sigma^2 I);   then FedAvg on the remaining clients

The guarantee assumes a convex loss, which networks do not have.
"""

from __future__ import annotations

import math

import torch

from ..errors import require_number, require_whole
from ..streams import Stream
from .registry import method
from .task import Task


@method("sifu", needs=("history", "sum of updates", "whole clients"), citation="Fraboni et al., AISTATS 2024")
def sifu(task: Task, *, rounds: int = 4, epsilon: float = 10.0, sigma: float = 0.05):
    """Roll back within the budget of influence, add noise of ``sigma``, then ``rounds`` rounds on the remaining clients."""
    require_whole("rounds", rounds, 0)
    require_number("epsilon", epsilon, 0.0, math.inf, open_low=True)
    require_number("sigma", sigma, 0.0, math.inf)
    bound = epsilon * sigma / math.sqrt(2 * math.log(1.25 * len(task.remaining.clients)))
    influence, chosen, kept = 0.0, task.original.weights, 0
    for index, (theta, participants, updates) in enumerate(task.past()):
        if influence <= bound:
            chosen, kept = theta, index
        influence += increments(updates, task.shares_of_all(participants), [client in task.leaving for client in participants])
    if influence <= bound:
        chosen, kept = task.original.weights, task.original.rounds
    task.log |= {"rounds kept": kept, "bound": bound, "influence": influence}
    theta = chosen + sigma * task.normal(len(chosen), Stream.SIFU_NOISE)
    task.note(theta, "rolled back")
    return task.train(theta, rounds)


def increments(updates: torch.Tensor, shares, leaves) -> float:
    """How far one round moves at most when the leaving clients are taken out (exact for one); infinite if only they took part."""
    if all(leaves):
        return math.inf
    mean = torch.tensor(shares) @ updates
    gone = [(share, update) for share, update, leaving in zip(shares, updates, leaves) if leaving]
    return sum(share * float((mean - update).norm()) for share, update in gone) / (1 - sum(share for share, _ in gone))
