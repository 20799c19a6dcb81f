"""FedQUIT: on the leaving client, learn from a teacher that gives the true class the least (Mora et al., 2024)::

    teacher logits: z_o with the true class's replaced by min_c z_o,c;     minimise KL(softmax teacher || softmax student) from theta_o

then FedAvg on the remaining clients.
"""

from __future__ import annotations

import dataclasses
import math

import torch

from ..engine import Hooks, LocalTraining
from ..errors import require_number, require_whole
from . import method
from .distillation import divergence


@method("fedquit", needs=("forgotten data",), citation="Mora et al., 2024")
def fedquit(task, *, rounds: int = 4, lr: float = 1e-4, epochs: int = 1):
    """``epochs`` of distillation with Adam on the leaving clients, averaged, then ``rounds`` of recovery."""
    require_whole("rounds", rounds, 0)
    require_whole("epochs", epochs, 1)
    require_number("lr", lr, 0.0, math.inf)
    original, data = task.original.weights, task.forgotten.data.train
    held = torch.cat([torch.from_numpy(part) for part in task.forgotten.clients.indices])
    teacher = torch.zeros(len(data), len(task.remaining.data.classes))
    teacher[held] = without_true_class(task.forgotten.logits(original, data.take(held)), data.labels[held])
    local = LocalTraining(epochs=epochs, batch=32, optimizer="adam", lr=lr)
    hooks = Hooks(loss=lambda step: divergence(teacher[step.indices.cpu()].to(step.logits), step.logits))
    theta = original + task.updates(original, on=dataclasses.replace(task.forgotten, local=local), hooks=hooks).mean(dim=0)
    task.note(theta, "distilled")
    return task.train(theta, rounds)


def without_true_class(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """``logits`` [n, classes] with the true class's set to the smallest of its row."""
    return logits.scatter(1, labels[:, None], logits.min(dim=1, keepdim=True).values)
