"""How often, and how surely, a model is right."""

from __future__ import annotations

import numpy as np

from ..membership import true_class_confidence
from ..registry import metric


def _accuracy(case, run, split: str) -> float:
    labels = getattr(case, split).labels
    return float((case.logits(run, split).argmax(1) == labels).double().mean())


@metric("accuracy on the forgotten", column="forget acc.", key="forget_accuracy", unit="%", resolution=lambda case: 1 / len(case.forgotten))
def on_the_forgotten(run, case, others):
    """Share of the forgotten examples that are right."""
    return _accuracy(case, run, "departed")


@metric("test accuracy", column="test acc.", key="test_accuracy", unit="%", resolution=lambda case: 1 / len(case.test))
def on_test_images(run, case, others):
    """Share of the test images that are right."""
    return _accuracy(case, run, "test")


@metric("loss on the forgotten", column=None)
def loss_on_the_forgotten(run, case, others):
    """Mean cross-entropy on the forgotten examples, in nats."""
    confidence = true_class_confidence(case.logits(run, "departed"), case.departed.labels)
    return float(np.mean(np.logaddexp(0, -confidence)))
