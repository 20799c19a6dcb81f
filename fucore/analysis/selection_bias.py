"""What becomes of an accuracy if those who are judged by a group of examples chose the group: a simulation without data."""

from __future__ import annotations

import numpy as np

from ..errors import require_choice, require_whole
from ..evaluation.gme import TAIL_GROUPS, assign_groups, group_accuracy, memorization_scores

#: Who defines the groups that a retrained model is judged on: the model itself, all of them, or all others.
PROTOCOLS = ("in-sample, one model", "in-sample, all models", "cross-fitted")


def seeming_accuracy(models: int, protocol: str, *, accuracy: float = 0.8, examples: int = 2000, repeats: int = 50) -> float:
    """Mean accuracy, 0..1, that ``models`` retrained "models" seem to have in the top memorization group.

    Each is right at random with probability ``accuracy`` on every example, so an honest protocol gives that.
    """
    require_choice("protocol", protocol, PROTOCOLS)
    require_whole("models", models, 2)
    rng, tops = np.random.default_rng(1), []
    for _ in range(repeats):
        hits = rng.random((models, examples)) < accuracy
        for k in range(models):
            definers = {PROTOCOLS[0]: hits[[k]], PROTOCOLS[1]: hits, PROTOCOLS[2]: np.delete(hits, k, axis=0)}[protocol]
            scores = memorization_scores(np.ones(examples), definers) + 1e-9 * rng.random(examples)  # ties are broken at random
            tops.append(group_accuracy(hits[k], assign_groups(scores), TAIL_GROUPS + 1)[0])
    return float(np.mean(tops))
