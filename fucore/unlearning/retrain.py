"""Retraining: start anew without what must be forgotten.

With as many rounds as the original it is the reference that every other method is measured by.  With no more rounds
than the others are given it is the control of a comparison: a method that loses to it has no advantage to offer.
"""

from __future__ import annotations

from ..errors import require_whole
from ..federation.randomness import derived_seed
from ..streams import Stream
from .registry import method
from .task import Task


@method("retrain", citation="McMahan et al., AISTATS 2017")
def retrain(task: Task, *, rounds: int = 4):
    """``rounds`` rounds of FedAvg on the remaining clients, from a new network."""
    require_whole("rounds", rounds, 1)
    return task.train(task.remaining.initial_weights(derived_seed(task.seed, Stream.SHORT_RETRAINING)), rounds)
