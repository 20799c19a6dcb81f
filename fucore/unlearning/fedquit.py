"""FedQUIT: on the leaving client, learn from a teacher that gives the true class the least (Mora et al., 2024)::

    teacher logits: z_o with the true class's replaced by min_c z_o,c;     minimise KL(softmax teacher || softmax student) from theta_o

then FedAvg on the remaining clients.
"""

from __future__ import annotations

import dataclasses
import math

import torch

from ..errors import require_number, require_whole
from ..federation.training import Hooks, LocalTraining
from ._losses import taught
from .registry import method
from .task import Task


@method("fedquit", needs=("forgotten data",), citation="Mora et al., 2024")
def fedquit(task: Task, *, rounds: int = 4, lr: float = 1e-4, epochs: int = 1):
    """``epochs`` of distillation with Adam on the leaving clients, averaged, then ``rounds`` of recovery."""
    require_whole("rounds", rounds, 0)
    require_whole("epochs", epochs, 1)
    require_number("lr", lr, 0.0, math.inf)
    original, data = task.original.weights, task.departed.data.train
    held = task.departed.clients.examples
    teacher = torch.zeros(len(data), len(task.remaining.data.classes))
    teacher[held] = without_true_class(task.departed.logits(original, data.take(held)), data.labels[held])
    local = LocalTraining(epochs=epochs, batch=32, optimizer="adam", lr=lr)
    theta = original + task.mean_update(original, on=dataclasses.replace(task.departed, local=local), hooks=Hooks(loss=taught(teacher)))
    task.note(theta, "distilled")
    return task.train(theta, rounds)


def without_true_class(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """``logits`` [n, classes] with the true class's set to the smallest of its row."""
    return logits.scatter(1, labels[:, None], logits.min(dim=1, keepdim=True).values)
