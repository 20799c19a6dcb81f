"""Fine-tuning: go on training on the remaining clients only, and hope that the rest fades.

It equals FedMemPrune with pruning ratio 0 in the variant of the public code.
"""

from __future__ import annotations

from ..errors import require_whole
from .registry import method
from .task import Task


@method("fine-tune", citation="McMahan et al., AISTATS 2017; baseline of Wei et al., KDD 2026, App. F.1")
def fine_tune(task: Task, *, rounds: int = 4):
    """``rounds`` rounds of FedAvg on the remaining clients, from the original weights."""
    require_whole("rounds", rounds, 1)
    return task.train(task.original.weights, rounds)
