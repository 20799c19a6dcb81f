"""One report for any number of unlearned models: groups, utility, fairness, cost, each beside retraining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..errors import require
from ..federation.case import Case, NotKept
from ..runs.run import Run
from . import cost, saved
from .deciding import DIFFERENT, OPEN, SAME, answered
from .gme import assign_groups, group_accuracy, group_names, grouped_memorization
from .judging import judge_examples
from .latex import latex
from .registry import Metric, shown_metrics
from .tidy import tidy, times, until

KIND = "fucore report 1"


@dataclass(frozen=True, eq=False)
class Report:
    """What can be said of *these models*, from one case; of the methods that made them only several cases can tell.

    ``groups``: tidy table of :func:`~fucore.evaluation.gme.grouped_memorization` with the answers of
    :func:`~fucore.evaluation.deciding.answered`, original and retrained included.  ``summary``: one row a candidate with test and
    forget accuracy, their spread over runs, local fairness, cost and speed-up.  ``scores``: memorization scores of the forgotten
    examples, in the order of ``indices``.  ``origin``: versions, data, federation, seeds and runs behind it.
    """

    groups: pd.DataFrame
    summary: pd.DataFrame
    indices: np.ndarray
    scores: np.ndarray
    leak: str
    protocol: str
    retrained_models: int
    origin: dict = field(default_factory=dict, repr=False)

    def table(self) -> pd.DataFrame:
        """Table 1's layout: accuracy (gap) in per cent and the answer for each group.

        The row of the retrained models shows their own gap and, after ±, how far one more of them may be.
        """
        columns = {}
        for candidate, rows in self.groups.groupby("candidate", sort=False):
            columns[candidate] = {row.group: cell(row, candidate) for row in rows.itertuples()}
        table = pd.DataFrame(columns).T
        summary = self.summary.set_index("candidate")
        for metric in shown_metrics():
            if metric.key in summary:
                table[metric.column] = [metric.shown(value) for value in summary[metric.key]]
        table["examples ×1000"] = [f"{value / 1000:.0f}" for value in summary.examples]
        table["to target ×1000"] = [until(*each) for each in zip(summary.examples_to_target, summary.examples)]
        table["speed-up"] = [
            "–" if name == "Original" else times(*each) for name, *each in summary[["speed_up", "speed_up_below"]].itertuples()
        ]
        table.index.name = None
        return table

    def plot(self, axes=None, *, width: str | None = None):
        """Accuracy in each group with intervals, one colour a candidate, retraining as a band; returns the figure.

        ``width``: ``"column"`` or ``"page"`` of a paper, see :func:`~fucore.printing.fitted`.
        """
        from .. import plots, printing  # matplotlib is slow to import

        return printing.fitted(plots.group_figure(self, axes), width)

    def verdict(self, candidate: str) -> str:
        """One sentence: in which groups this model is as a retrained one, in which not, and where that cannot be told."""
        rows = self.groups[self.groups.candidate == candidate]
        require(len(rows) > 0, f"candidate is {candidate!r}, but must be one of: {', '.join(self.groups.candidate.unique())}.")
        if rows.answer.isna().any():
            return f"{candidate} was not tested against retraining: that needs at least 3 retrained models and cross-fitted groups."
        return f"{candidate}, this model against retraining: {in_words(rows)}."

    def save(self, stem) -> None:
        """Write ``<stem>.json`` (everything, with where it comes from), and for other programs ``<stem>.groups.csv`` and ``<stem>.summary.csv``."""
        record = {"origin": self.origin, "protocol": self.protocol, "retrained_models": self.retrained_models, "leak": self.leak}
        record |= {"indices": self.indices.tolist(), "scores": self.scores.tolist()}
        saved.write(stem, KIND, {"groups": self.groups, "summary": self.summary}, record)

    @staticmethod
    def load(stem) -> Report:
        """Read what :meth:`save` wrote, every number to the last bit; raises ``FucoreError`` if it is damaged or something else."""
        names = ("indices", "scores", "leak", "protocol", "retrained_models", "origin")
        tables, told = saved.read(stem, KIND, ("groups", "summary"), names)
        told |= {"indices": np.array(told["indices"], dtype=np.int64), "scores": np.array(told["scores"], dtype=np.float64)}
        return Report(**tables, **told)

    def to_pandas(self) -> pd.DataFrame:
        """All numbers in one table, a row a candidate and group; what the columns are: :data:`~fucore.evaluation.tidy.COLUMNS`."""
        return tidy(self.groups, self.summary)

    def to_latex(self, part: str = "groups", *, caption: str | None = None, label: str = "") -> str:
        """:meth:`table` in LaTeX, ``part`` ``"groups"`` or ``"summary"`` of it, see :func:`~fucore.evaluation.latex.latex`."""
        return latex(self, part, caption, label)

    @property
    def legend(self) -> str:
        """How to read the table, with the sizes of the groups."""
        first = self.groups[self.groups.candidate == "Original"]
        sizes = ", ".join(map(str, first.examples))
        return (
            f"Accuracy in per cent in groups of {sizes} forgotten examples, from the most to the least memorized (percentiles of the score), and in brackets the gap to retraining.\n"
            "What is said is said of these models. = as retraining, to within the margin; ≠ not as one more retrained model; ? too few examples or models to tell. "
            "Row Retrained: gap of another retrained model, ± how far one may be.\n"
            "Local fairness: 0 is even. "
            "To target: examples until test accuracy is within half a point of retraining's best, counted from the last reset on (>: not yet). Speed-up: to that target, against retraining.\n"
            f"{self.retrained_models} retrained models, {self.protocol} groups. {self.leak}"
        )

    def __repr__(self) -> str:
        return f"{self.table().to_string()}\n{self.legend}"

    def _repr_html_(self) -> str:
        return in_html(self.table(), self.groups.group.nunique(), self.legend)


def report_on(
    candidates: dict[str, list[Run]], case: Case, *, protocol: str = "cross-fitted", bootstrap: int = 1000, seed: int = 0
) -> Report:
    """The report of one case; see :func:`~fucore.evaluation.comparing.compare`."""
    for name, runs in candidates.items():
        for run in runs:
            case.check_candidate(name, run)
    judges, hits = judge_examples(case, {"Original": [case.original], **candidates})
    groups = grouped_memorization(judges, hits, protocol=protocol, bootstrap=bootstrap, seed=seed)
    groups = answered(groups, len(case.retrained))
    held_by_others = np.isin(case.forgotten, np.concatenate(case.without.clients.indices))
    leaked = dict(
        zip(group_names(len(case.forgotten)), group_accuracy(held_by_others, assign_groups(judges.scores), groups.group.nunique()))
    )
    groups["leaked"] = groups.group.map(leaked)
    groups_of = {"Original": [case.original], "Retrained": list(case.retrained), **candidates}
    groups = pd.concat([_retrained_rows(groups), groups], ignore_index=True)
    groups["order"] = groups.candidate.map({name: place for place, name in enumerate(groups_of)})
    groups = groups.sort_values("order", kind="stable").drop(columns="order").reset_index(drop=True)
    summary = pd.DataFrame([_summary(name, runs, case) for name, runs in groups_of.items()])
    origin = saved.origin_of(case, candidates)
    return Report(groups, summary, case.forgotten, judges.scores, str(case.leak_audit), protocol, len(case.retrained), origin)


def _summary(name: str, runs: Sequence[Run], case: Case) -> dict:
    """Means over runs of the metrics that reports show, and of what the runs spent."""
    row = {"candidate": name, "runs": len(runs)}
    for metric in shown_metrics():
        values = np.array([_measured(metric, run, case) for run in runs])
        row |= {metric.key: values.mean(), f"{metric.key}_std": _std(values)}
    for unit in ("examples", "uploaded", "downloaded", "stored", "seconds"):
        row[unit] = float(np.mean([getattr(run.cost, unit) for run in runs]))
    target = cost.target_accuracy(case.retrained)
    row["examples_to_target"] = float(np.median([cost.time_to_accuracy(run, target) for run in runs]))
    own = 1.0 if name == "Retrained" else float("nan") if name == "Original" else cost.speed_up(runs, case.retrained)
    return row | {"speed_up": own, "speed_up_below": cost.speed_up_below(runs, case.retrained)}


def _measured(metric: Metric, run: Run, case: Case) -> float:
    """The metric's value, NaN of a retrained model that a reference does not keep enough of."""
    try:
        return metric(run, case)
    except NotKept:
        return float("nan")


def _retrained_rows(groups: pd.DataFrame) -> pd.DataFrame:
    """Rows for the retrained models themselves: their gap is the noise floor."""
    rows = groups[groups.candidate == groups.candidate.iloc[0]].copy()
    rows["candidate"] = "Retrained"
    rows[["accuracy", "accuracy_low", "accuracy_high"]] = rows[["retrained", "retrained_low", "retrained_high"]]
    rows["gap"] = rows["noise"]
    decided = ["low", "high", "detectable", "forgotten", "forgotten_low", "forgotten_high"]
    rows[decided], rows["answer"] = np.nan, None
    return rows


def cell(row, candidate: str) -> str:
    """One entry of a table: accuracy (gap) and answer, in per cent; for the retrained models the bound after ±."""
    gap = "" if np.isnan(row.gap) else f" ({100 * row.gap:.1f})"
    if candidate == "Retrained":
        return f"{100 * row.accuracy:.1f}{gap}" + ("" if np.isnan(row.bound) else f" ±{100 * row.bound:.0f}")
    return f"{100 * row.accuracy:.1f}{gap} {row.answer or ''}".rstrip()


def in_html(table: pd.DataFrame, groups: int, legend: str) -> str:
    """A report's table in two parts, the ``groups`` first columns and the others, over its legend."""
    note = legend.replace("\n", " ")
    return f"{table.iloc[:, :groups].to_html(border=0)}{table.iloc[:, groups:].to_html(border=0)}<p><small>{note}</small></p>"


def in_words(rows: pd.DataFrame) -> str:
    """What is answered in the groups of one candidate: where too much is known or forgotten, where it is as retraining, where nothing can be told."""
    more = rows.accuracy > rows.retrained
    parts = {
        "too much is still known": rows[(rows.answer == DIFFERENT) & more],
        "too much is gone": rows[(rows.answer == DIFFERENT) & ~more],
        "as retraining": rows[rows.answer == SAME],
        "cannot be told": rows[rows.answer == OPEN],
    }
    told = [f"{words} in {len(part)} of {len(rows)} groups ({', '.join(part.group)})" for words, part in parts.items() if len(part)]
    return "; ".join(told)


def _std(values: np.ndarray) -> float:
    """Sample standard deviation over runs, NaN for a single one."""
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")
