"""One answer from several cases: the same unlearning seen through clients that leave one at a time.

A case is one request with its own retrained models.  With ``s_c`` the standard deviation between the K retrained models
of case c in a group, the mean over C cases of the difference between an unlearned and the retrained models has, if
unlearning gave one more retrained model in each case, the 95 % prediction bound

    t(C (K-1)) * sqrt(mean_c s_c^2 * (1 + 1/K) / C)

(Student's t on the pooled spread).  Beyond it, too much is still known or too much is gone; within it the model is as a
retrained one, if the original is not: else nothing could have been told.  It is a statement given the originals, for cases
that share one are independent only given that one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from ..errors import require
from .gme import CONFIDENCE, TAIL_GROUPS

#: What can be said of a difference to retraining.
ANSWERS = ("too little", "as retraining", "too much", "undecided")
#: Name of the tail groups taken together, the most memorized fifth.
FIFTH = "80–100 %"
_MEANS = ("accuracy", "retrained", "spread")


def pooled(cases: Sequence[pd.DataFrame], models: int) -> pd.DataFrame:
    """Means over ``cases``, tables of :func:`~fucore.evaluation.gme.grouped_memorization` with ``models`` retrained models each.

    One row a candidate and group, and one for the memorized fifth (:data:`FIFTH`), whose spread is the mean of its
    groups': as if they moved together, the most they can.  ``accuracy`` and ``retrained`` in 0..1 with 95 % intervals
    ``_low`` and ``_high``, their ``difference``, its ``bound``, and the ``answer``, one of :data:`ANSWERS`.
    Raises ``FucoreError`` for cases of different groups or candidates, or without a spread.
    """
    require(len(cases) > 0, "there is no case to pool.")
    tables = [_with_fifth(case).set_index(["candidate", "group"]) for case in cases]
    require(
        all(set(table.index) == set(tables[0].index) for table in tables) and not any(table.spread.isna().any() for table in tables),
        "cases to be pooled need the same candidates and groups, and at least 3 retrained models each.",
    )
    parts = np.stack([table.loc[tables[0].index, ["accuracy", "retrained", "spread"]] for table in tables])
    result = pd.DataFrame(parts.mean(axis=0), index=tables[0].index, columns=list(_MEANS))
    for name in ("accuracy", "retrained"):
        for side, sign in (("low", -1), ("high", 1)):
            halves = np.stack([(table[f"{name}_{side}"] - table[name]).loc[tables[0].index] for table in tables])
            result[f"{name}_{side}"] = (result[name] + sign * np.sqrt((halves**2).sum(axis=0)) / len(tables)).clip(0, 1)
    result["spread"] = np.sqrt((parts[:, :, 2] ** 2).mean(axis=0))
    freedom = len(tables) * (models - 1)
    result["difference"] = result.accuracy - result.retrained
    result["bound"] = stats.t.ppf(0.5 + CONFIDENCE / 2, freedom) * result.spread * np.sqrt((1 + 1 / models) / len(tables))
    original = result.difference.xs("Original", level="candidate")
    result["answer"] = [answer(row.difference, row.bound, original[group]) for (_, group), row in zip(result.index, result.itertuples())]
    return result.reset_index()


def answer(difference: float, bound: float, original: float) -> str:
    """One of :data:`ANSWERS` for a difference to retraining, the bound of one more retrained model, and the original's difference."""
    if abs(difference) > bound:
        return "too little" if difference > 0 else "too much"
    return "as retraining" if abs(original) > bound else "undecided"


def _with_fifth(case: pd.DataFrame) -> pd.DataFrame:
    """The table with rows for the tail groups together; half widths are averaged, as if the groups moved together."""
    case = case[case.candidate != "Retrained"]
    tail = [group for group in case.group.unique()][:TAIL_GROUPS]
    numbers = [f"{name}{side}" for name in ("accuracy", "retrained") for side in ("", "_low", "_high")] + ["spread"]
    fifth = case[case.group.isin(tail)].groupby("candidate", sort=False)[numbers].mean().reset_index()
    return pd.concat([case, fifth.assign(group=FIFTH)], ignore_index=True)
