"""Delete-Retrain: the asking client deletes its examples and trains on, alone; the others keep the model they have.

The first of three routes that Huang et al. (2025) compare under their fair protocol, in which only asking clients u compute::

    theta(t+1)  = sum_u p_u theta_u + (1 - sum_u p_u) theta_inherited,        p_u: u's weight among all clients before the request

It starts from the original weights: the accuracies that they report could not come from a new network.
"""

from __future__ import annotations

from ._fair import fair_rounds
from .registry import method
from .task import Task


@method("delete-retrain", needs=("part of clients",), citation="Huang et al., 2025")
def delete_retrain(task: Task, *, rounds: int = 10, inherit: str = "anchored", tolerance: float = 1e-4):
    """At most ``rounds`` rounds on what the asking clients keep.

    ``inherit``: what the other clients send, the ``"anchored"`` original model or the ``"current"`` one; a round that moves the
    weights by less than ``tolerance`` of their length is the last.
    """
    return fair_rounds(task, task.remaining.only(task.asked), rounds=rounds, inherit=inherit, tolerance=tolerance)
