"""The kept comparison of all methods in words and places, and beside Table 1 of Wei et al.

``kept`` is a table such as ``all_methods_mnist5k``: :func:`fucore.evaluation.arena.pooled` for each ``split`` and choice of
``parameters`` (``tuned`` or ``published``), with a candidate's means over originals repeated for each of its columns.
Accuracies in it are in 0..1; what functions return is in per cent or in percentage points.
"""

from __future__ import annotations

import pandas as pd

from ..errors import require
from ..evaluation.arena import rank_correlation
from ..evaluation.membership import ATTACKS
from ..evaluation.several import MethodReport
from ..plots import pareto_front
from . import papers
from .grid import CONTROL

FINE_TUNING = "Fine-tuning"
OURS, PAPERS_RATIO = "FedMemPrune", "FedMemPrune ρ=0.4"
#: The methods of their Table 1, by the names they have here.
SEVEN = {
    "Halimi et al.": "PGA",
    "Liu et al.": "Rapid retraining",
    "FedRecovery": "FedRecovery",
    "FedAU": "FedAU",
    "FedOSD": "FedOSD",
    "NoT": "NoT",
    "FedMemPrune": "FedMemPrune",
}


def overview(kept: pd.DataFrame, split: str, parameters: str = "tuned") -> pd.DataFrame:
    """One row a method: mean ``gap`` to retraining over the groups in points, ``test`` accuracy in per cent, ``examples``, ``fairness``."""
    rows = kept[(kept.split == split) & (kept.parameters == parameters) & ~kept.candidate.isin(["Original", "Retrained"])]
    require(len(rows) > 0, f"nothing is kept of the split {split!r} with parameters {parameters!r}.")
    groups = rows[rows.column.astype(str).str.endswith(" %")]  # the other columns are metrics
    gaps = groups.groupby("candidate", sort=False).gap.mean()
    test = rows[rows.column == "test"].set_index("candidate")
    return pd.DataFrame({"gap": 100 * gaps, "test": 100 * test["mean"], "examples": test.examples, "fairness": test.local_fairness})


def settings_table(chosen: dict[str, dict[str, dict]]) -> pd.DataFrame:
    """The chosen points, split to method to parameters, as words: one row a method, one column a split."""
    words = lambda point: ", ".join(f"{key}={value}" for key, value in point.items()) or "–"
    return pd.DataFrame({split: {name: words(point) for name, point in points.items()} for split, points in chosen.items()})


def in_words(kept: pd.DataFrame, split: str) -> str:
    """What a split shows with tuned settings: who is closest, FedMemPrune's place, who is beaten by none, and who is much less accurate."""
    table = overview(kept, split).sort_values("gap")
    first = ", ".join(f"{name} ({gap:.1f} points)" for name, gap in table.gap.head(3).items())
    front = ", ".join(table.index[pareto_front(table.gap, table.test)])
    weak = ", ".join(table.index[table.test < table.test.max() - 10]) or "none"
    return (
        f"{split}: closest to retraining on average are {first};\n"
        f"  {OURS} is number {table.index.get_loc(OURS) + 1} of {len(table)} with {table.gap[OURS]:.1f} points, "
        f"fine-tuning alone has {table.gap[FINE_TUNING]:.1f}, retraining for the same rounds {table.gap[CONTROL]:.1f}.\n"
        f"  Beaten by none in both forgetting and utility: {front}.\n"
        f"  More than ten points of test accuracy below the best: {weak}."
    )


def places(kept: pd.DataFrame) -> pd.DataFrame:
    """FedMemPrune's gap and its place (1 the best) among all methods and among :data:`SEVEN`, by split and by who chose the settings."""
    rows = {}
    for split in kept.split.unique():
        for label, parameters in (("tuned", "tuned"), ("not tuned", "published")):
            table = overview(kept, split, parameters)
            seven = table.loc[list(SEVEN.values())]
            rows[split, label] = {
                "mean gap": f"{table.gap[OURS]:.1f}",
                "number among all": f"{_place(table.gap)} of {len(table)}",
                "among the paper's seven": _place(seven.gap),
                "same, test accuracy": _place(-seven.test),
                "same, fairness": _place(seven.fairness),
                "same-round retraining": f"{table.gap[CONTROL]:.1f}",
            }
    return pd.DataFrame(rows).T


def surely(judged: MethodReport, ours: str = PAPERS_RATIO) -> tuple[dict[str, float], str]:
    """(statistics, words): which of the paper's seven methods are surely closer to retraining than FedMemPrune, and which surely farther.

    ``judged``: of cases in which they all ran, such as the kept ``judged_mnist5k``; each pair is decided at 95 %.
    """
    near = judged.closest().set_index("candidate")
    others = [name for name in SEVEN.values() if name in near.index]
    closer = [name for name in others if name in near.beaten_by[ours].split("; ")]
    farther = [name for name in others if ours in near.beaten_by[name].split("; ")]
    statistics = {
        "of the seven surely closer": float(len(closer)),
        "share of the others surely farther": len(farther) / max(1, len(others)),
    }
    told = f"surely closer than {ours}: {', '.join(closer) or 'none'}; surely farther: {', '.join(farther) or 'none'}"
    return statistics, f"{told} (of {len(others)} others of the seven)"


def first_of_seven(place: pd.Series) -> tuple[dict[str, float], str]:
    """(statistics, words) for a claim that FedMemPrune is the first of seven, from a column of :func:`places`."""
    said = "; ".join(f"{split}, {parameters}: number {number}" for (split, parameters), number in place.items())
    tuned = place.xs("tuned", level=1)
    statistics = {
        "worst place of FedMemPrune among the seven": float(place.max()),
        "worst place of FedMemPrune when tuned": float(tuned.max()),
    }
    return statistics, f"{said} of 7"


def rank_correlations(kept: pd.DataFrame) -> pd.DataFrame:
    """Spearman's correlation between the order of :data:`SEVEN` in their Table 1 and here, -1..1: their settings by groups and test accuracy."""
    paper = papers.table("table1_main")
    paper = paper[paper.row.isin(SEVEN)].assign(name=paper.row.map(SEVEN))
    rows = {}
    for setting, theirs in paper.groupby("setting", sort=False):
        split = "IID" if setting.endswith(" IID") else "Dirichlet 0.5"
        ours, theirs = kept[(kept.split == split) & (kept.parameters == "tuned")], theirs.set_index("name")
        of = lambda column, value: ours[ours.column == column].set_index("candidate")[value]
        rows[setting] = {group: rank_correlation(of(group, "gap"), theirs[f"{key}_gap"]) for key, group in papers.GROUPS.items()}
        rows[setting]["test"] = rank_correlation(of("test", "mean"), theirs["test_acc"])
    return pd.DataFrame(rows).T


def attacks(membership: pd.DataFrame, order: list[str]) -> pd.DataFrame:
    """Area under the curve of each attack, one row a candidate of ``order`` that was attacked, from the rows of one split."""
    table = membership.pivot(index="candidate", columns="attack", values="auc")[list(ATTACKS)]
    return table.loc[[name for name in order if name in table.index]].rename_axis(index=None, columns="AUC")


def still_seen(membership: pd.DataFrame, order: list[str]) -> str:
    """For each attack, which candidates it tells from retrained models: more than twice their spread above their mean."""
    table, lines = attacks(membership, order), []
    spread = membership[membership.candidate == "Retrained"].set_index("attack").auc_std
    for attack, values in table.items():
        mean, band = values["Retrained"], 2 * spread[attack]
        above = values[values > mean + band].drop("Retrained", errors="ignore")
        names = ", ".join(f"{name} {value:.3f}" for name, value in above.items()) or "none"
        lines.append(f"{attack}: retrained {mean:.3f} ± {band:.3f} (twice the spread over retrained models). Above that: {names}")
    return "\n".join(lines)


def _place(losses: pd.Series) -> int:
    """FedMemPrune's place when the smallest loss is the best; equals share the better place."""
    return int(losses.rank(method="min")[OURS])
