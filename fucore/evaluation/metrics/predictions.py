"""How far predictions are from retrained ones: mean KL divergence from the others', in nats."""

from __future__ import annotations

import numpy as np

from ..distance import divergence
from ..registry import metric


def _mean_divergence(run, case, others, split: str) -> float:
    return float(np.mean([divergence(case.logits(other, split), case.logits(run, split)) for other in others]))


@metric("KL to retrained, test", worse=1, against="mean distance")
def on_test_images(run, case, others):
    """On test images."""
    return _mean_divergence(run, case, others, "test")


@metric("KL to retrained, forgotten", worse=1, against="mean distance")
def on_the_forgotten(run, case, others):
    """On the forgotten examples."""
    return _mean_divergence(run, case, others, "departed")
