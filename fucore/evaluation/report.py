"""One report for any number of unlearned models: groups, utility, fairness, cost, each beside retraining."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..data.forgetting import Request
from ..errors import require, require_seed, require_whole
from ..federation.case import Case, as_case
from ..runs.files import publish
from ..runs.run import Run, listed
from . import cost
from .gme import assign_groups, group_accuracy, group_names, grouped_memorization
from .judging import judge_examples
from .registry import METRICS, Metric


@dataclass(frozen=True, eq=False)
class Report:
    """``groups``: tidy table of :func:`~fucore.evaluation.gme.grouped_memorization`, original and retrained included.

    ``summary``: one row a candidate with test and forget accuracy, their spread over runs, local fairness, cost and
    speed-up.  ``scores``: memorization scores of the forgotten examples, in the order of ``indices``.
    """

    groups: pd.DataFrame
    summary: pd.DataFrame
    indices: np.ndarray
    scores: np.ndarray
    leak: str
    protocol: str
    retrained_models: int

    def table(self) -> pd.DataFrame:
        """Table 1's layout: accuracy (gap) in per cent for each group.

        ``≈``: cannot be told from one more retrained model, in a group where the original model can; ``?``: the test cannot
        tell the original either.  The row of the retrained models shows their own gap and, after ±, the bound of the test.
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
        table["to target ×1000"] = [f"{value / 1000:.0f}" if np.isfinite(value) else "never" for value in summary.examples_to_target]
        table["speed-up"] = ["–" if name == "Original" else times(value) for name, value in summary.speed_up.items()]
        table.index.name = None
        return table

    def plot(self, axes=None):
        """Accuracy in each group with intervals, one colour a candidate, retraining as a band; returns the figure."""
        from ..plots import group_figure  # matplotlib is slow to import

        return group_figure(self, axes)

    def verdict(self, candidate: str) -> str:
        """One sentence: in which groups a candidate can be told from one more retrained model, each tested at 5 %."""
        rows = self.groups[self.groups.candidate == candidate]
        require(len(rows) > 0, f"candidate is {candidate!r}, but must be one of: {', '.join(self.groups.candidate.unique())}.")
        if rows.as_retrained.isna().any():
            return f"{candidate} was not tested against retraining: that needs at least 3 retrained models and cross-fitted groups."
        differs = [row.group for row in rows.itertuples() if not row.as_retrained]
        agrees = [row.group for row in rows.itertuples() if row.as_retrained and row.conclusive]
        open_ = [row.group for row in rows.itertuples() if row.as_retrained and not row.conclusive]
        parts = [
            f"{word} in {len(groups)} of {len(rows)} groups ({', '.join(groups)})"
            for word, groups in (("differs", differs), ("agrees", agrees), ("is undecided", open_))
            if groups
        ]
        return f"{candidate} against retraining: {'; '.join(parts)}."

    def save(self, stem) -> None:
        """Write ``<stem>.groups.csv``, ``<stem>.summary.csv`` and ``<stem>.json`` (everything, with the scores)."""
        publish(f"{stem}.groups.csv", self.groups.to_csv(index=False))
        publish(f"{stem}.summary.csv", self.summary.to_csv(index=False))
        record = {"protocol": self.protocol, "retrained_models": self.retrained_models, "leak_audit": self.leak}
        record |= {
            "groups": json.loads(self.groups.to_json(orient="records")),
            "summary": json.loads(self.summary.to_json(orient="records")),
        }
        record |= {"indices": self.indices.tolist(), "scores": self.scores.tolist()}
        publish(f"{stem}.json", json.dumps(record, indent=1) + "\n")

    @property
    def legend(self) -> str:
        """How to read the table, with the sizes of the groups."""
        first = self.groups[self.groups.candidate == "Original"]
        sizes = ", ".join(map(str, first.examples))
        return (
            f"Accuracy in per cent in groups of {sizes} forgotten examples, from the most to the least memorized (percentiles of the score), and in brackets the gap to retraining.\n"
            "≈ cannot be told from one more retrained model, where the original can; ? too few examples or models to tell even the original.\n"
            "Row Retrained: gap of another retrained model, ± largest gap that could be one. Local fairness: 0 is even. "
            "To target: examples until test accuracy is within half a point of retraining's best, counted from the last reset on. Speed-up: to that target, against retraining.\n"
            f"{self.retrained_models} retrained models, {self.protocol} groups. {self.leak}"
        )

    def __repr__(self) -> str:
        return f"{self.table().to_string()}\n{self.legend}"

    def _repr_html_(self) -> str:
        table, groups = self.table(), self.groups.group.nunique()
        note = self.legend.replace("\n", " ")
        return f"{table.iloc[:, :groups].to_html(border=0)}{table.iloc[:, groups:].to_html(border=0)}<p><small>{note}</small></p>"


def compare(
    candidates: Mapping[str, Run | Sequence[Run]],
    case: Case | Run,
    retrained: Sequence[Run] | None = None,
    request: Request | None = None,
    *,
    protocol: str = "cross-fitted",
    bootstrap: int = 1000,
    seed: int = 0,
) -> Report:
    """Judge unlearned runs against retraining: ``compare(candidates, case)`` or ``compare(candidates, original, retrained, request)``.

    ``candidates``: name to one run, or several runs of one method (other seeds).  K >= 2 retrained models, K >= 4
    recommended.  The original and the retrained models appear as rows of their own.  See
    :func:`~fucore.evaluation.gme.grouped_memorization` for the numbers.

    Raises ``FucoreError`` if runs do not belong to one federation or if a "retrained" run saw the forgotten examples.
    """
    require(isinstance(candidates, dict), "candidates must be a dict of names to runs, such as {'my method': run}.")
    case = as_case(case, retrained, request)
    clash = {"Original", "Retrained"} & set(candidates)
    require(not clash, f"{', '.join(clash)} is a reserved name: call your candidate something else.")
    require_whole("bootstrap", bootstrap, 1)
    require_seed(seed)
    unlearned = listed(candidates)
    for name, runs in unlearned.items():
        for run in runs:
            case.check_candidate(name, run)
    judges, hits = judge_examples(case, {"Original": [case.original], **unlearned})
    groups = grouped_memorization(judges, hits, protocol=protocol, bootstrap=bootstrap, seed=seed)
    held_by_others = np.isin(case.forgotten, np.concatenate(case.without.clients.indices))
    leaked = dict(
        zip(group_names(len(case.forgotten)), group_accuracy(held_by_others, assign_groups(judges.scores), groups.group.nunique()))
    )
    groups["leaked"] = groups.group.map(leaked)
    groups_of = {"Original": [case.original], "Retrained": list(case.retrained), **unlearned}
    groups = pd.concat([_retrained_rows(groups), groups], ignore_index=True)
    groups["order"] = groups.candidate.map({name: place for place, name in enumerate(groups_of)})
    groups = groups.sort_values("order", kind="stable").drop(columns="order").reset_index(drop=True)
    summary = pd.DataFrame([_summary(name, runs, case) for name, runs in groups_of.items()])
    return Report(groups, summary, case.forgotten, judges.scores, str(case.leak_audit), protocol, len(case.retrained))


def _summary(name: str, runs: Sequence[Run], case: Case) -> dict:
    """Means over runs of the metrics that reports show, and of what the runs spent."""
    row = {"candidate": name, "runs": len(runs)}
    for metric in shown_metrics():
        values = np.array([metric(run, case) for run in runs])
        row |= {metric.key: values.mean(), f"{metric.key}_std": _std(values)}
    for unit in ("examples", "uploaded", "downloaded", "stored", "seconds"):
        row[unit] = float(np.mean([getattr(run.cost, unit) for run in runs]))
    target = cost.target_accuracy(case.retrained)
    row["examples_to_target"] = float(np.median([cost.time_to_accuracy(run, target) for run in runs]))
    own = 1.0 if name == "Retrained" else float("nan") if name == "Original" else cost.speed_up(runs, case.retrained)
    return row | {"speed_up": own}


def shown_metrics() -> list[Metric]:
    """The metrics that are columns of a report."""
    return [metric for metric in METRICS.values() if metric.column]


def _retrained_rows(groups: pd.DataFrame) -> pd.DataFrame:
    """Rows for the retrained models themselves: their gap is the noise floor."""
    rows = groups[groups.candidate == groups.candidate.iloc[0]].copy()
    rows["candidate"] = "Retrained"
    rows[["accuracy", "accuracy_low", "accuracy_high"]] = rows[["retrained", "retrained_low", "retrained_high"]]
    rows["gap"] = rows["noise"]
    rows[["difference_low", "difference_high"]] = np.nan
    rows["as_retrained"] = None
    return rows


def cell(row, candidate: str) -> str:
    """One entry of a table: accuracy (gap) and mark, in per cent; for the retrained models the bound of the test after ±."""
    gap = "" if np.isnan(row.gap) else f" ({100 * row.gap:.1f})"
    if candidate == "Retrained":
        return f"{100 * row.accuracy:.1f}{gap}" + ("" if np.isnan(row.bound) else f" ±{100 * row.bound:.0f}")
    mark = "" if not row.as_retrained else " ≈" if row.conclusive else " ?"
    return f"{100 * row.accuracy:.1f}{gap}{mark}"


def times(speed_up: float) -> str:
    """A speed-up in words: ``1.9×``, or ``never`` where the accuracy was not reached."""
    return f"{speed_up:.1f}×" if speed_up > 0 else "never"


def _std(values: np.ndarray) -> float:
    """Sample standard deviation over runs, NaN for a single one."""
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")
