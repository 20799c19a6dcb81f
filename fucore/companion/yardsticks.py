"""Two yardsticks for the same unlearned models: low accuracy on the client's class, and the gap to retraining group by group."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from ..evaluation import arena
from ..evaluation.deciding import DIFFERENT, OPEN, SAME
from ..evaluation.report import Report

ASKED, GAP, ELSEWHERE, TEST = "client's class, %", "mean gap to retraining over groups", "drop of the class elsewhere", "test accuracy, %"
LOW, ALIKE = "rank: low accuracy", "rank: as retraining"


def both(report: Report, effects: pd.DataFrame) -> pd.DataFrame:
    """One row a candidate of ``report`` and of ``effects`` (:func:`fucore.evaluation.clients.side_effects`), in per cent and points.

    The ranks of both yardsticks count from the best, ties share the best rank; the original and the retrained models have none.
    """
    names = list(effects.index)
    gaps = {name: 100 * arena.score(report, name)[0] for name in names if name != "Retrained"}
    accuracy = 100 * report.summary.set_index("candidate").test_accuracy
    columns = {ASKED: 100 * effects.asked, GAP: pd.Series(gaps), ELSEWHERE: 100 * effects.others_class, TEST: accuracy}
    table = pd.DataFrame(columns).loc[names]
    judged = table.drop(["Original", "Retrained"])
    table[LOW], table[ALIKE] = judged[ASKED].rank(method="min"), judged[GAP].rank(method="min")
    return table


def shaded(table: pd.DataFrame):
    """The table of :func:`both` as a page shows it."""
    shown = table.style.set_uuid("yardsticks").format("{:.1f}", na_rep="–")
    return shown.format("{:.0f}", subset=[LOW, ALIKE], na_rep="–")


def agreement(table: pd.DataFrame) -> tuple[float, int, int]:
    """(Spearman's correlation of the two rankings, candidates ranked, candidates that share the commonest rank by low accuracy)."""
    ranks = table.dropna()
    commonest = (ranks[LOW] == ranks[LOW].mode()[0]).sum()
    return float(stats.spearmanr(ranks[LOW], ranks[ALIKE]).statistic), len(ranks), int(commonest)


def best(table: pd.DataFrame) -> tuple[str, str]:
    """Who is best by either yardstick, and what the other says of it, a sentence each."""
    ranks, retrained = table.dropna(), table.loc["Retrained", ASKED]
    lowest, closest = ranks.loc[ranks[LOW].idxmin()], ranks.loc[ranks[ALIKE].idxmin()]
    return (
        f"Lowest accuracy on the client's class: {lowest.name}, {lowest[GAP]:.0f} points away from retraining, "
        f"others lose {lowest[ELSEWHERE]:.0f} points on the class.",
        f"Closest to retraining: {closest.name}, {closest[GAP]:.1f} points away; "
        f"on the client's class {closest[ASKED]:.0f} %, retrained {retrained:.0f} %.",
    )


def cells(groups: pd.DataFrame) -> dict[str, int]:
    """How many cells of a report's ``groups`` differ from retraining, are as retraining, or cannot be told, over all candidates."""
    answers = groups[~groups.candidate.isin(["Original", "Retrained"])].answer
    return {word: int((answers == answer).sum()) for word, answer in (("differ", DIFFERENT), ("agree", SAME), ("undecidable", OPEN))}


def unmoved(groups: pd.DataFrame) -> list[str]:
    """Candidates that have the original's accuracy in every group."""
    accuracy = {name: rows.accuracy.to_numpy() for name, rows in groups.groupby("candidate", sort=False)}
    judged = (name for name in accuracy if name not in ("Original", "Retrained"))
    return [name for name in judged if np.array_equal(accuracy[name], accuracy["Original"])]


def mean_gaps(kept: pd.DataFrame) -> pd.Series:
    """Mean gap to retraining of each method over its columns, in points, the smallest first; ``kept``: of :func:`~fucore.evaluation.arena.pooled`."""
    rows = kept[~kept.candidate.isin(["Original", "Retrained"])]
    return 100 * rows.groupby("candidate").gap.mean().sort_values()
