"""Who pays most: the remaining client whom unlearning hurt most, and the case in which a method is farthest from retraining."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...errors import require
from ...federation.case import Case
from ...runs.run import Run
from ..gme import grouped_memorization
from ..judging import judge_examples
from ..registry import metric
from ..several import MethodReport


@metric("worst client, loss", column=None, key="worst_client_loss")
def worst_loss(run, case, others):
    """Largest rise over the remaining clients of the mean loss on what they hold, from the original's, in nats."""
    return (case.losses(run) - case.losses(case.original)).max()


@metric("worst client, accuracy", column=None, key="worst_client_accuracy", unit="%")
def worst_accuracy(run, case, others):
    """Largest drop over the remaining clients of the accuracy on what they hold, from the original's."""
    return (client_accuracies(case.original, case) - client_accuracies(run, case)).max()


def client_accuracies(run: Run, case: Case) -> np.ndarray:
    """Share right of what each remaining client holds, of those that hold anything, float64 [clients]."""
    right = np.full(len(case.federation.data.train), np.nan)
    right[case.without.clients.examples] = case.look(run, "remaining").right
    return np.array([right[held].mean() for held in case.without.clients.indices if len(held)])


def worst_case(report: MethodReport) -> pd.DataFrame:
    """For each candidate and memorization group, the ``case`` whose accuracy is farthest from retraining, with the signed ``difference`` there (0..1)."""
    rows = report.cases.assign(difference=report.cases.accuracy - report.cases.retrained)
    farthest = rows.difference.abs().groupby([rows.candidate, rows.group], sort=False).idxmax()
    return rows.loc[farthest, ["candidate", "group", "case", "difference"]].reset_index(drop=True)


def worst_case_floor(cases: Sequence[Case]) -> pd.DataFrame:
    """What :func:`worst_case` gives for retraining itself: one row a group, the ``mean`` and ``high`` (95th percentile) of the largest absolute difference.

    In turn the k-th retrained model of every case is the method, and the other models of the case are what it is compared with.
    """
    require(len(cases) > 0, "there is no case to look at.")
    models = min(len(case.retrained) for case in cases)
    require(models >= 4, f"this floor needs at least 4 retrained models a case, not {models}.")
    turns = []
    for left in range(models):
        tables = []
        for case in cases:
            others = [run for place, run in enumerate(case.retrained) if place != left]
            table = grouped_memorization(*judge_examples(case, {"it": [case.retrained[left]]}, others), bootstrap=0)
            tables.append((table.accuracy - table.retrained).abs().set_axis(table.group))
        turns.append(pd.concat(tables, axis=1).max(axis=1))
    largest = pd.concat(turns, axis=1)
    return pd.DataFrame(
        {"group": largest.index, "mean": largest.mean(axis=1).to_numpy(), "high": largest.quantile(0.95, axis=1).to_numpy()}
    )
