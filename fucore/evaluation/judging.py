"""From a case's models to what is said of each example: probabilities of the true label, and hits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..federation.case import Case
from ..runs.run import Run, listed
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


def examples_table(case: Case, candidates: Mapping[str, Run | Sequence[Run]] | None = None) -> pd.DataFrame:
    """What every model makes of each example to forget, a row an example, in the order of ``case.forgotten``.

    ``index`` in the training images, ``label``, ``client`` (the first of those asked that holds it), ``score`` (memorization, from all
    retrained models), ``original_log_odds`` and ``original_right``, ``retrained_log_odds`` (mean) and ``retrained_right`` (share of
    the retrained models that are right), and of each candidate ``<name> log_odds`` and ``<name> right``, means over its runs.
    Log-odds are log p - log(1 - p) of the true class: the margin, in nats.
    """
    federation, labels = case.federation, case.federation.data.train.labels.numpy()
    holder = np.full(len(labels), -1)
    for client, asked in reversed(list(enumerate(case.request.departed(labels, federation.clients)))):
        holder[asked] = client
    table = pd.DataFrame({"index": case.forgotten, "label": labels[case.forgotten], "client": holder[case.forgotten]})
    table["score"] = judge_examples(case, {})[0].scores
    models = {"original_": [case.original], "retrained_": list(case.retrained)}
    models |= {f"{name} ": runs for name, runs in listed(candidates or {}).items()}
    for name, runs in models.items():
        for run in runs:
            case.check_candidate(name.strip(), run)
        looks = [case.look(run) for run in runs]
        table[f"{name}log_odds"] = np.mean([look.log_odds.astype(np.float64) for look in looks], axis=0)
        table[f"{name}right"] = np.mean([look.right for look in looks], axis=0)
    return table
