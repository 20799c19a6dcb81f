"""Does a model know how sure it may be?  Of its answers on test images, all classes."""

from __future__ import annotations

import numpy as np
import torch

from ..registry import metric

BINS = 15


@metric("calibration error", column=None, key="calibration_error")
def of_the_surest_class(run, case, others):
    """ECE (Guo et al., ICML 2017): mean over test images of the difference between accuracy and confidence in their bin, 15 equal ones by the largest probability."""
    return expected_calibration_error(case.logits(run, "test"), case.test.labels)


@metric("Brier score", column=None, key="brier_score")
def squared_error(run, case, others):
    """Mean over test images of the squared distance between the probabilities and the truth (Brier, 1950): 0 to 2."""
    return brier_score(case.logits(run, "test"), case.test.labels)


def expected_calibration_error(logits: torch.Tensor, labels: torch.Tensor, bins: int = BINS) -> float:
    """``sum_b n_b/n |accuracy_b - confidence_b|``, in 0..1, of ``logits`` [n, classes]; bins (i/B, (i + 1)/B]."""
    confidence, answer = (each.numpy() for each in logits.double().softmax(dim=1).max(dim=1))
    over = confidence - (answer == labels.numpy())
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return float(np.abs(np.bincount(place, weights=over, minlength=bins)).sum() / len(over))


def brier_score(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean over examples of sum_c (p_c - [c = y])^2, of ``logits`` [n, classes]."""
    probabilities = logits.double().softmax(dim=1)
    truth = torch.nn.functional.one_hot(labels, probabilities.shape[1])
    return float((probabilities - truth).square().sum(dim=1).mean())
