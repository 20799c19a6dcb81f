"""How far weights are from retrained ones (Wei et al., App. G.1)."""

from __future__ import annotations

import numpy as np

from ..distance import cosine, l2
from ..registry import metric


@metric("L2 to retrained weights", worse=1, against="mean distance")
def l2_to_retrained(run, case, others):
    """Mean Euclidean distance to the others' weights."""
    return np.mean([l2(run.weights, other.weights) for other in others])


@metric("cosine to retrained weights", worse=-1, against="mean distance")
def cosine_to_retrained(run, case, others):
    """Mean cosine of the angle to the others' weights."""
    return np.mean([cosine(run.weights, other.weights) for other in others])
