"""Losses that several methods train on in place of cross-entropy with the true labels."""

from __future__ import annotations

import numpy as np
import torch


def towards(labels: torch.Tensor):
    """Cross-entropy with other ``labels`` [examples of the training split]."""
    return lambda step: torch.nn.functional.cross_entropy(step.logits, labels[step.indices.cpu()].to(step.logits.device))


def wrong_labels(labels: np.ndarray, count: int, seed) -> np.ndarray:
    """One fixed wrong label for each example, uniform over the other ``count`` - 1 classes."""
    return (labels + np.random.default_rng(seed).integers(1, count, len(labels))) % count


def taught(logits: torch.Tensor, temperature: float = 1.0):
    """:func:`divergence` from a teacher's ``logits`` [examples of the training split, classes]."""
    return lambda step: divergence(logits[step.indices.cpu()].to(step.logits), step.logits, temperature)


def divergence(teacher: torch.Tensor, student: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """temperature^2 KL(teacher || student), mean over the batch."""
    log_teacher, log_student = ((logits / temperature).log_softmax(dim=1) for logits in (teacher, student))
    return temperature**2 * torch.nn.functional.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
