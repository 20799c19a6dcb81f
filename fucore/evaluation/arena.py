"""One fair arena for all methods: same originals, same references, same rounds, one rule for choosing hyper-parameters.

*Tuning*: every method is tried with each point of its own small grid, on an original and seeds that are never reported;
chosen is the point with the smallest mean absolute gap to retraining over all memorization groups (the large last one
included) among those whose test accuracy is at most ``SLACK`` below the retrained models' (if there is none, the most
accurate point).  *Control*: retraining itself for no more rounds than the methods have.
*Judging*: the chosen points, and the methods' published defaults, on other originals.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import stats

from ..errors import FucoreError, require
from ..federation.case import Case
from ..runs.run import Run
from ..unlearning import METHODS, unlearn
from .comparing import compare
from .registry import shown_metrics
from .report import Report

SLACK, TEST = 0.02, "test"


@dataclass(frozen=True)
class Entry:
    """One row of the comparison: a method, parameters that stay, and a grid to choose others from."""

    method: str
    fixed: dict = field(default_factory=dict)
    grid: dict[str, Sequence] = field(default_factory=dict)

    def points(self) -> list[dict]:
        """All combinations of the grid; one empty point without a grid."""
        return [dict(zip(self.grid, values)) for values in itertools.product(*self.grid.values())]

    def parameters(self, rounds: int, point: dict | None = None) -> dict:
        """What :func:`~fucore.unlearning.driver.unlearn` is given: ``rounds`` of budget, unless the method sets its own."""
        budget = {"rounds": rounds} if "rounds" in METHODS[self.method].defaults else {}
        return {**budget, **self.fixed, **(point or {})}


_RATIOS: dict[str, Sequence] = {"ratio": (0.2, 0.4, 0.6, 0.8)}
#: The rows of the comparison by their names in tables; grids of at most four points each.
ENTRIES: dict[str, Entry] = {
    "Retraining, same rounds": Entry("retrain"),
    "Fine-tuning": Entry("fine-tune"),
    "PGA": Entry("pga", grid={"lr": (0.001, 0.003, 0.01, 0.03)}),
    "Rapid retraining": Entry("rapid-retraining", grid={"lr": (0.003, 0.01, 0.03, 0.1)}),
    "FedRecovery": Entry("fedrecovery", grid={"sigma": (0.003, 0.01, 0.03, 0.1)}),
    "FedAU": Entry("fedau", {"mode": "during"}, {"alpha": (0.5, 0.7, 0.9, 1.0)}),
    "FedAU post hoc": Entry("fedau", {"mode": "posthoc"}, {"alpha": (0.5, 0.8, 0.96, 1.0)}),
    "FedOSD": Entry("fedosd", grid={"unlearning_rounds": (1, 2), "step": (1.0, 2.0)}),
    "NoT": Entry("not", grid={"include_bias": (False, True)}),
    "FedMemPrune": Entry("fedmemprune", grid=_RATIOS),
    "SalUn mask": Entry("selected-reset", {"strategy": "salun"}, _RATIOS),
    "Information reset": Entry("selected-reset", {"strategy": "information"}, _RATIOS),
    "FedEraser": Entry("federaser", {"rounds": 0}, {"interval": (1, 2), "effort": (0.5, 1.0)}),
    "Distillation": Entry("knowledge-distillation", grid={"temperature": (1.0, 3.0, 10.0)}),
    "MoDe": Entry("mode", grid={"keep": (0.0, 0.25, 0.5, 0.75)}),
    "SIFU": Entry("sifu", grid={"epsilon": (1.0, 10.0), "sigma": (0.01, 0.05)}),
    "KNOT": Entry("knot", {"rounds": None}, {"clusters": (2, 3)}),
    "FedQUIT": Entry("fedquit", grid={"lr": (1e-4, 1e-3), "epochs": (1, 3)}),
    "ConDa": Entry("conda", grid={"cutoff": (0.5, 1.0), "dampening": (0.5, 1.0)}),
}


def run_entry(entry: Entry, case: Case, rounds: int, point: dict | None = None, seed: int = 0) -> Run:
    """The entry's method with its fixed parameters and those of ``point``."""
    return unlearn(entry.method, case, seed=seed, **entry.parameters(rounds, point))


def score(report: Report, candidate: str) -> tuple[float, float]:
    """(mean absolute gap to retraining over groups, test accuracy less that of the retrained models)."""
    rows = report.groups[report.groups.candidate == candidate]
    accuracy = report.summary.set_index("candidate").test_accuracy
    return float((rows.accuracy - rows.retrained).abs().mean()), float(accuracy[candidate] - accuracy["Retrained"])


def tune(name: str, case: Case, rounds: int, seed: int = 0) -> tuple[dict, pd.DataFrame]:
    """(chosen point, table of all points) of the entry ``name``; the ``case`` and ``seed`` must not be reported on."""
    entry, points = ENTRIES[name], ENTRIES[name].points()
    runs, failed = {}, (float("inf"), float("-inf"))
    for number, point in enumerate(points):
        with contextlib.suppress(FucoreError):  # a point that diverges is a bad point, not the end of the method
            runs[str(number)] = run_entry(entry, case, rounds, point, seed)
    require(bool(runs), f"{name} failed at every point of its grid.")
    report = compare(runs, case, bootstrap=0)
    scores = [score(report, str(number)) if str(number) in runs else failed for number in range(len(points))]
    table = pd.DataFrame([{"entry": name, **point, "gap": gap, "utility": utility} for point, (gap, utility) in zip(points, scores)])
    return points[choose(table)], table


def choose(table: pd.DataFrame) -> int:
    """Row with the smallest gap among those at most ``SLACK`` below retraining in test accuracy, else the most accurate one."""
    allowed = table[table.utility >= -SLACK]
    return int(allowed.gap.idxmin() if len(allowed) else table.utility.idxmax())


def pooled(reports: Sequence[Report]) -> pd.DataFrame:
    """Tidy table over the reports of several originals: mean and 95 % half-width of every column of every candidate, best and ties.

    Columns are the memorization groups and the metrics that reports show.  ``best``: smallest absolute gap to retraining (test
    accuracy: highest), among the candidates beside original and retrained; ``tied``: a paired t-test over originals cannot tell it from the best at 5 % (never with a single original; one test
    a candidate, uncorrected).  All of it is conditional on the retrained models, which the reports share.
    """
    require(len(reports) > 0, "there is no report to pool.")
    names = list(dict.fromkeys(reports[0].groups.candidate))
    values = {name: [_columns(report, name) for report in reports] for name in names}
    columns = list(values[names[0]][0])
    rows = []
    for column in columns:
        samples = {name: np.array([each[column][0] for each in values[name]]) for name in names}
        losses = {name: np.array([each[column][1] for each in values[name]]) for name in names if name not in ("Original", "Retrained")}
        best = min(losses, key=lambda name: losses[name].mean()) if losses else None
        for name in names:
            tied = name in losses and (name == best or _same(losses[name] - losses[best]))
            rows.append(
                {
                    "candidate": name,
                    "column": column,
                    "mean": samples[name].mean(),
                    "half_width": _half_width(samples[name]),
                    "gap": losses[name].mean() if name in losses and column != TEST else np.nan,
                    "best": name == best,
                    "tied": bool(tied),
                }
            )
    return pd.DataFrame(rows)


def pooled_table(table: pd.DataFrame) -> pd.DataFrame:
    """Table 1's layout of :func:`pooled`: mean ± half-width (gap), ``**`` the best of a column, ``*`` what cannot be told from it.

    In per cent, but for metrics that are no shares.
    """
    plain = {metric.column for metric in shown_metrics() if metric.unit != "%"}

    def cell(row):
        scale, places, wide = (1, 4, 4) if row.column in plain else (100, 1, 0)
        gap = "" if np.isnan(row.gap) else f" ({scale * row.gap:.{places}f})"
        width = "" if np.isnan(row.half_width) else f" ±{scale * row.half_width:.{wide}f}"
        return f"{scale * row['mean']:.{places}f}{width}{gap}" + (" **" if row.best else " *" if row.tied else "")

    cells = table.assign(cell=table.apply(cell, axis=1))
    order = list(dict.fromkeys(table.candidate)), list(dict.fromkeys(table.column))
    result = cells.pivot(index="candidate", columns="column", values="cell").loc[order]
    result.index.name = result.columns.name = None
    return result


def _columns(report: Report, name: str) -> dict[str, tuple[float, float]]:
    """Column to (value, loss): groups and the metrics of reports by their absolute gap to retraining, test accuracy by what is missing to one."""
    rows = report.groups[report.groups.candidate == name]
    result = {row.group: (row.accuracy, abs(row.accuracy - row.retrained)) for row in rows.itertuples()}
    summary = report.summary.set_index("candidate")
    for metric in shown_metrics():
        value = float(summary[metric.key].get(name, np.nan))
        if metric.key == "test_accuracy":
            result[TEST] = (value, 1 - value)
        else:
            result[str(metric.column)] = (value, abs(value - float(summary[metric.key]["Retrained"])))
    return result


def _half_width(values: np.ndarray) -> float:
    return float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def _same(differences: np.ndarray) -> bool:
    """Whether a paired t-test cannot tell the differences from zero at 5 %."""
    return len(differences) > 1 and bool(abs(differences.mean()) <= _half_width(differences))


def rank_correlation(ours: pd.Series, theirs: pd.Series) -> float:
    """Spearman's rank correlation over the methods that both rank; NaN with fewer than three."""
    both = ours.dropna().index.intersection(theirs.dropna().index)
    return float(stats.spearmanr(ours[both], theirs[both]).statistic) if len(both) >= 3 else float("nan")
