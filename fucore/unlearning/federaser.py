"""FedEraser: replay the training without the leaving clients, old update lengths in new directions (Liu G. et al., IWQoS 2021)::

    every ``interval``-th stored round j:   U_k old update of client k,   V_k its new update from the present model
    theta <- theta + sum over the remaining k of p_k ||U_k|| V_k / ||V_k||          tensor by tensor

The first stored round replays the old updates as they are.  Lengths are taken against the model *before* each round.
Under another rule than federated averaging, the rule is given the sum in place of the clients' mean update.
"""

from __future__ import annotations

import dataclasses
import math

import torch

from ..errors import require_number, require_whole
from ..federation.weights import Layout
from .registry import method
from .task import Task


@method("federaser", needs=("history", "whole clients"), citation="Liu G. et al., IWQoS 2021")
def federaser(task: Task, *, rounds: int = 0, interval: int = 2, effort: float = 0.5):
    """Calibrated replay of each ``interval``-th round with ``effort`` of the local epochs, then ``rounds`` of fine-tuning."""
    require_whole("interval", interval, 1)
    require_whole("rounds", rounds, 0)
    require_number("effort", effort, 0.0, 1.0, open_low=True)
    local = dataclasses.replace(task.remaining.local, epochs=math.ceil(effort * task.remaining.local.epochs))
    short = dataclasses.replace(task.remaining, local=local)
    theta: torch.Tensor | None = None
    for index, (before, participants, updates) in enumerate(task.past()):
        if index % interval:
            continue
        places = [place for place, client in enumerate(participants) if client not in task.leaving]
        staying, old = participants[places], updates[places]
        shares = torch.tensor(task.remaining.shares(staying))
        if theta is None:
            theta = task.step(before, before + shares @ old)
        elif len(staying):
            new = task.updates(theta, on=short.only(staying))
            theta = task.step(theta, theta + shares @ calibrated(old, new, task.remaining.layout))
        task.end_round(theta)
    return task.train(task.original.weights if theta is None else theta, rounds)


def calibrated(old: torch.Tensor, new: torch.Tensor, layout: Layout) -> torch.Tensor:
    """``new`` [k, d] with each tensor as long as in ``old``; what did not move now is left at zero."""
    result = torch.zeros_like(new)
    for part in layout.slices.values():
        lengths = new[:, part].norm(dim=1, keepdim=True)
        result[:, part] = torch.where(lengths > 0, new[:, part] * old[:, part].norm(dim=1, keepdim=True) / lengths.clamp_min(1e-30), 0.0)
    return result
