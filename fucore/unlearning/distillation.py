"""Subtract the leaving clients' updates, then learn from the original as teacher (Wu, Zhu & Mitra, 2022, arXiv 2201.09441)::

    theta <- theta_o - sum over rounds of p_u Delta_u;     then minimise  tau^2 KL(softmax(z_teacher / tau) || softmax(z / tau))

The paper distils on unlabelled data that the server has.  There is none here: the remaining clients distil on their
images, labels unused.  The teacher still knows the forgotten data.
"""

from __future__ import annotations

import math

from ..errors import require_number, require_whole
from ..federation.training import Hooks
from ._losses import taught
from .registry import method
from .task import Task


@method("knowledge-distillation", needs=("history", "sum of updates", "whole clients"), citation="Wu, Zhu & Mitra, 2022")
def knowledge_distillation(task: Task, *, rounds: int = 4, temperature: float = 3.0):
    """``rounds`` of federated distillation after the subtraction."""
    require_whole("rounds", rounds, 0)
    require_number("temperature", temperature, 0.0, math.inf, open_low=True)
    theta = task.original.weights.clone()
    for _, participants, updates in task.past():
        for share, client, update in zip(task.shares_of_all(participants), participants, updates):
            if client in task.leaving:
                theta -= share * update
    task.note(theta, "subtracted")
    teacher = task.remaining.logits(task.original.weights, task.remaining.data.train)
    return task.train(theta, rounds, hooks=Hooks(loss=taught(teacher, temperature)))
