"""MoDe: pull the model towards one that never saw the forgotten data, then guide its memory (Zhao et al., IEEE IoT-J 2023)::

    theta_de: a new network, trained by the federation's rule on the remaining clients in parallel
    degrading:  theta <- keep * theta + (1 - keep) * theta_de                                       each of the first rounds
    guiding:    the remaining clients train theta on their labels, the leaving ones on argmax theta_de(x); average all (the rule again)

The two parts of the method share the budget of rounds.
"""

from __future__ import annotations

import torch

from ..errors import require_number, require_whole
from ..federation.randomness import derived_seed
from ..federation.training import Hooks
from ..streams import Stream
from ._losses import towards
from .registry import method
from .task import Task


@method("mode", needs=("forgotten data",), citation="Zhao et al., IEEE IoT-J 2023")
def mode(task: Task, *, rounds: int = 4, degrading: int | None = None, keep: float = 0.5):
    """``degrading`` of ``rounds`` rounds pull (default: all but one), the others guide.

    Guidance has the federation's learning rate (published: 5e-4).  The published 0.95 is for 56 degrading rounds; what is
    left of the original after all of them is ``keep ** degrading``.
    """
    require_whole("rounds", rounds, 1)
    degrading = max(1, rounds - 1) if degrading is None else require_whole("degrading", degrading, 1, rounds)
    require_number("keep", keep, 0.0, 1.0)
    theta, other = task.original.weights, task.remaining.initial_weights(derived_seed(task.seed, Stream.MODE_NETWORK))
    for _ in range(degrading):
        other = task.step(other, other + task.mean_update(other))
        theta = keep * theta + (1 - keep) * other
        task.end_round(theta)
    pseudo = task.departed.data.train.labels.clone()
    pseudo[task.departed.clients.examples] = task.departed.logits(other, task.departed.held).argmax(dim=1)
    guided = Hooks(loss=towards(pseudo))
    while task.round < rounds:
        rows = torch.cat([task.updates(theta), task.updates(theta, on=task.departed, hooks=guided)])
        theta = task.step(theta, theta + rows.mean(dim=0))
        task.end_round(theta)
    return theta
