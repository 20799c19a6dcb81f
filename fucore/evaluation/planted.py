"""Memorization with a known answer: examples that can only be known by having memorized them (:func:`fucore.data.planting.plant`)."""

from __future__ import annotations

import numpy as np

from ..errors import FucoreError
from ..federation.case import Case
from .judging import judge_examples

#: Of fewer fitted examples an area under a curve says nothing.
ENOUGH = 5


def planted_of(case: Case) -> np.ndarray:
    """Which of a case's departed examples were planted, bool [m]; raises ``FucoreError`` if none was."""
    planted = case.federation.data.planted
    if planted is None or not planted[case.forgotten].any():
        raise FucoreError("nothing was planted among the departed examples: see fu.plant.")
    return planted[case.forgotten]


def detection(case: Case) -> dict[str, float]:
    """How well memorization scores find what was planted among the departed examples.

    ``planted`` and ``fitted``: how many there are, and how many the original model has indeed fitted; ``AUROC, all planted``
    and ``AUROC, fitted``: the chance that a planted example outranks another, among all departed examples and among
    those that the original model gets right (NaN if fewer than :data:`ENOUGH` planted ones are fitted, or if there is no other).
    """
    judges, _ = judge_examples(case, {})
    planted, fitted = planted_of(case), judges.original_hits
    count = int((planted & fitted).sum())
    return {
        "planted": int(planted.sum()),
        "fitted": count,
        "AUROC, all planted": _outranks(judges.scores, planted),
        "AUROC, fitted": _outranks(judges.scores[fitted], planted[fitted]) if count >= ENOUGH else float("nan"),
    }


def _outranks(scores: np.ndarray, planted: np.ndarray) -> float:
    """Area under the ROC curve of ``scores`` [m] for the mask ``planted`` [m]; NaN if all or none are planted."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(planted, scores)) if 0 < planted.sum() < len(planted) else float("nan")
