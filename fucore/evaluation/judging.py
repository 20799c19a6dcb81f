"""From a case's models to what grouped memorization needs: probabilities of the true label, and hits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ..federation.case import Case
from ..runs.run import Run
from .gme import Judges


def judge_examples(
    case: Case, candidates: Mapping[str, Sequence[Run]], others: Sequence[Run] | None = None
) -> tuple[Judges, dict[str, np.ndarray]]:
    """(judges, name to hits bool [runs, m]) on the case's departed examples; ``others`` are the retrained models, the case's by default."""

    def look(run):
        probabilities = torch.softmax(case.logits(run, "departed").double(), dim=1)
        labels = case.departed.labels
        return probabilities[np.arange(len(labels)), labels].numpy(), (probabilities.argmax(1) == labels).numpy()

    references = [look(run) for run in (case.retrained if others is None else others)]
    judges = Judges(*look(case.original), np.stack([p for p, _ in references]), np.stack([hit for _, hit in references]))
    return judges, {name: np.stack([look(run)[1] for run in runs]) for name, runs in candidates.items()}
