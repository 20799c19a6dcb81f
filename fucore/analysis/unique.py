"""What only the departed client's own model knows, and whether memorization groups foretell it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..evaluation.gme import group_names
from ..evaluation.judging import judge_examples
from ..federation.case import Case
from ..runs.run import Run


def only_alone(case: Case, alone: Run) -> pd.DataFrame:
    """How many departed examples the client's own model ``alone`` gets right and a retrained model wrong, by memorization group.

    Summed over the retrained models of the case, each on groups that it did not help to define: one row a group, ``only`` and
    ``examples`` (of the group).  Needs a case with at least 2 retrained models.
    """
    judges, hits = judge_examples(case, {"alone": [alone]})
    names = group_names(len(case.forgotten))
    counts = np.zeros((2, len(names)), dtype=np.int64)
    for k, retrained in enumerate(judges.retrained_hits):
        groups, only = judges.groups_without(k), hits["alone"][0] & ~retrained
        counts += np.stack([np.bincount(chosen, minlength=len(names)) for chosen in (groups[only], groups)])
    return pd.DataFrame({"only": counts[0], "examples": counts[1]}, index=names)


def share_on_top(counts: pd.DataFrame) -> tuple[float, float]:
    """(share of all ``only`` examples of :func:`only_alone` that lie in other groups than the last, half width of its 95 % interval)."""
    found, asked = counts.only.iloc[:-1].sum(), max(1, counts.only.sum())
    share = found / asked
    return float(share), float(1.96 * np.sqrt(share * (1 - share) / asked))
