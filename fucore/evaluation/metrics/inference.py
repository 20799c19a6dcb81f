"""Area under the curve of membership inference, see :mod:`fucore.evaluation.membership`."""

from __future__ import annotations

from ...runs.looks import log_odds
from ..membership import attack_scores, matched_non_members, measure
from ..registry import metric


def _confidences(run, case):
    """Confidence on members, matched test images and other test images, float64 arrays."""
    labels = case.departed.labels.numpy()
    outside, population = case.remember(("matched non-members",), None, lambda: matched_non_members(labels, case.test, seed=0))
    return [log_odds(case.logits(run, split), split.labels) for split in (case.departed, outside, population)]


@metric("membership inference, loss", column=None)
def loss_attack(run, case, others):
    """AUC of the loss threshold (Yeom et al., 2018)."""
    return measure(*attack_scores("loss", _confidences(run, case), []))[0]


@metric("membership inference, LiRA", against="difference")
def lira_attack(run, case, others):
    """AUC of LiRA, one-sided and offline, with the others as references (Carlini et al., 2022)."""
    return measure(*attack_scores("lira", _confidences(run, case), [_confidences(other, case) for other in others]))[0]
