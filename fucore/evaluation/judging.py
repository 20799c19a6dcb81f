"""From a case's models to what grouped memorization needs: probabilities of the true label, and hits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..federation.case import Case
from ..runs.run import Run
from .gme import Judges


def judge_examples(
    case: Case, candidates: Mapping[str, Sequence[Run]], others: Sequence[Run] | None = None
) -> tuple[Judges, dict[str, np.ndarray]]:
    """(judges, name to hits bool [runs, m]) on the case's departed examples; ``others`` are the retrained models, the case's by default."""
    original, references = case.look(case.original), [case.look(run) for run in (case.retrained if others is None else others)]
    judges = Judges(
        original.probability,
        original.right,
        np.stack([look.probability for look in references]),
        np.stack([look.right for look in references]),
    )
    return judges, {name: np.stack([case.look(run).right for run in runs]) for name, runs in candidates.items()}
