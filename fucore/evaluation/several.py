"""One report from several cases: what the method does, not only what became of one model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..errors import require, require_choice
from ..federation.case import Case
from ..runs.fingerprint import hash_tensor
from ..runs.run import Run
from . import saved
from .deciding import Estimate, closer, confidence_half_width, distance
from .latex import latex
from .pooling import ORIGINAL, RETRAINED, by_original, differences, pooled, share_of_tail
from .registry import shown_metrics
from .report import Report, in_html, in_words, report_on
from .tidy import tidy, times, until

KIND = "fucore report of several cases 1"
PARTS = ("groups", "summary", "cases")
#: What of the origin is the same for all cases.
_SHARED = ("fucore", "torch", "python", "machine", "data", "data_sha256")


@dataclass(frozen=True, eq=False)
class MethodReport:
    """What can be said of *the methods*, from several cases.

    ``groups``: one row a candidate and memorization group, see :func:`~fucore.evaluation.pooling.pooled`.  ``summary``: one row a
    candidate: ``distance`` to retraining over groups and ``forgotten``, the share of what there was to forget in the tail groups, each
    with ``_low`` and ``_high``; means over originals of what :class:`~fucore.evaluation.report.Report` tells, and ``test_low`` and
    ``test_high`` of the difference in test accuracy.  ``cases``: accuracies by ``case`` with its ``original`` and number of retrained
    ``models``, from which all of it follows.  ``origin``: versions, data, and of each case its federation, seeds and runs.
    """

    groups: pd.DataFrame
    summary: pd.DataFrame
    cases: pd.DataFrame
    origin: dict = field(default_factory=dict, repr=False)

    def table(self) -> pd.DataFrame:
        """One row a candidate; in each group accuracy in per cent, its difference to retraining ± the half width of its interval, and the answer."""
        cells = {name: {row.group: _cell(row) for row in rows.itertuples()} for name, rows in self.groups.groupby("candidate", sort=False)}
        reference = self.groups[self.groups.candidate == ORIGINAL]
        cells[RETRAINED] = {row.group: f"{100 * row.retrained:.1f}" for row in reference.itertuples()}
        table = pd.DataFrame(cells).T.loc[list(self.summary.candidate)]
        summary = self.summary.set_index("candidate")
        table["forgotten φ"] = [_number(summary, name, "forgotten", "{:.2f} [{:.2f}, {:.2f}]", 1) for name in table.index]
        table["distance"] = [_number(summary, name, "distance", "{:.1f} [{:.1f}, {:.1f}]", 100) for name in table.index]
        for metric in shown_metrics():
            if metric.key in summary:
                table[metric.column] = [metric.shown(value) for value in summary[metric.key]]
        table["examples ×1000"] = [f"{value / 1000:.0f}" for value in summary.examples]
        table["to target ×1000"] = [until(*each) for each in zip(summary.examples_to_target, summary.examples)]
        table["speed-up"] = [
            "–" if name == ORIGINAL else times(*each) for name, *each in summary[["speed_up", "speed_up_below"]].itertuples()
        ]
        table.index.name = None
        return table

    def verdict(self, candidate: str) -> str:
        """What the cases decide about a method: how much it forgets, in which groups it is as retraining, in which not."""
        rows = self.groups[self.groups.candidate == require_choice("candidate", candidate, list(self.groups.candidate.unique()))]
        own = self.summary.set_index("candidate").loc[candidate]
        share = (
            ""
            if candidate == ORIGINAL or np.isnan(own.forgotten)
            else (
                f" forgets {100 * own.forgotten:.0f} % [{100 * own.forgotten_low:.0f}, {100 * own.forgotten_high:.0f}] of what was memorized;"
            )
        )
        return f"{candidate}, the method against retraining:{share} {in_words(rows)}."

    def closer(self, one: str, other: str) -> str:
        """Which of two candidates is closer to retraining over all groups, in the same cases, or that it cannot be told."""
        values = self._differences()
        first, second = (values[require_choice("candidate", name, list(values))] for name in (one, other))
        seen = closer(first, second)
        near, far = (one, other) if seen.value < 0 else (other, one)
        told = f"{near} is closer to retraining than {far}"
        return told if seen.excludes(0) else f"which of {one} and {other} is closer to retraining cannot be told"

    def plot(self, axes=None, *, width: str | None = None):
        """Difference to retraining in each group with its interval, one colour a candidate, the margin as a band; returns the figure.

        ``width``: ``"column"`` or ``"page"`` of a paper, see :func:`~fucore.printing.fitted`.
        """
        from .. import plots, printing  # matplotlib is slow to import

        return printing.fitted(plots.difference_figure(self, axes), width)

    def save(self, stem) -> None:
        """Write ``<stem>.json`` (everything, with where it comes from), and for other programs ``<stem>.<name>.csv`` of the three tables."""
        saved.write(stem, KIND, {name: getattr(self, name) for name in PARTS}, {"origin": self.origin})

    @staticmethod
    def load(stem) -> MethodReport:
        """Read what :meth:`save` wrote, every number to the last bit; raises ``FucoreError`` if it is damaged or something else."""
        tables, told = saved.read(stem, KIND, PARTS, ("origin",))
        return MethodReport(**tables, **told)

    def to_pandas(self) -> pd.DataFrame:
        """All numbers in one table, a row a candidate and group; what the columns are: :data:`~fucore.evaluation.tidy.COLUMNS`."""
        return tidy(self.groups, self.summary)

    def to_latex(self, part: str = "groups", *, caption: str | None = None, label: str = "") -> str:
        """:meth:`table` in LaTeX, ``part`` ``"groups"`` or ``"summary"`` of it, see :func:`~fucore.evaluation.latex.latex`."""
        return latex(self, part, caption, label)

    def closest(self) -> pd.DataFrame:
        """For each candidate, its ``distance`` to retraining and who is surely closer, in place of ranks.

        ``beaten_by``: which candidates are closer in the same cases, each pair at 95 %; who is beaten by nobody may be the closest.
        """
        values, rows = self._differences(), []
        names = [name for name in values if name != ORIGINAL]
        for name in names:
            better = [other for other in names if other != name and closer(values[other], values[name]).high < 0]
            rows.append(
                {"candidate": name, **_three("distance", distance(values[name])), "beaten": len(better), "beaten_by": "; ".join(better)}
            )
        return pd.DataFrame(rows).sort_values(["beaten", "distance"], kind="stable", ignore_index=True)

    def only(self, *candidates: str) -> MethodReport:
        """The same report of some candidates, in this order, beside original and retrained."""
        order = [ORIGINAL, RETRAINED, *(require_choice("candidate", name, list(self.summary.candidate)) for name in candidates)]
        chosen = lambda table: pd.concat([table[table.candidate == name] for name in order], ignore_index=True)
        return MethodReport(chosen(self.groups), chosen(self.summary), chosen(self.cases), self.origin)

    def _differences(self) -> dict[str, np.ndarray]:
        by_case = [rows for _, rows in self.cases.groupby("case")]
        return differences(by_case, [rows.original.iloc[0] for rows in by_case])

    @property
    def legend(self) -> str:
        """How to read the table."""
        first = self.groups[self.groups.candidate == ORIGINAL]
        sizes, models = ", ".join(map(str, first.examples)), sorted(self.cases.models.unique())
        return (
            f"Accuracy in per cent in groups of {sizes} forgotten examples, {self.cases.case.nunique()} cases together, from the most to the least memorized, and in brackets the difference to retraining ± its 95 % interval.\n"
            f"What is said is said of the methods, in cases like these: {_counted(self.cases.original.nunique())}, {' to '.join(map(str, models))} retrained models a case. "
            "= as retraining, to within the margin; ≠ different; ? more cases would have to tell.\n"
            "Forgotten φ: share of what there was to forget in the memorized groups, 0 as the original, 1 as retraining. Distance: to retraining, over groups, in points. "
            "To target: examples until test accuracy is within half a point of retraining's best, from the last reset on (>: not yet, in the median case)."
        )

    def __repr__(self) -> str:
        return f"{self.table().to_string()}\n{self.legend}"

    def _repr_html_(self) -> str:
        return in_html(self.table(), self.groups.group.nunique(), self.legend)


def report_on_several(candidates: dict[str, list[Run]], cases: Sequence[Case]) -> MethodReport:
    """The report of several cases; see :func:`~fucore.evaluation.comparing.compare`."""
    placed = {name: _by_case(name, runs, cases) for name, runs in candidates.items()}
    reports = [report_on({name: runs[place] for name, runs in placed.items()}, case, bootstrap=0) for place, case in enumerate(cases)]
    weights = [hash_tensor(case.original.weights) for case in cases]
    originals = tuple(weights.index(each) for each in weights)
    known = ["candidate", "group", "examples", "accuracy", "retrained"]
    parts = [
        report.groups.loc[report.groups.candidate != RETRAINED, known].assign(case=place, original=original, models=report.retrained_models)
        for place, (report, original) in enumerate(zip(reports, originals))
    ]
    each = [{key: value for key, value in report.origin.items() if key not in _SHARED} for report in reports]
    origin = {key: reports[0].origin[key] for key in _SHARED} | {"cases": each}
    return MethodReport(pooled(parts, originals), _summary(reports, originals), pd.concat(parts, ignore_index=True), origin)


def _by_case(name: str, runs: Sequence[Run], cases: Sequence[Case]) -> list[list[Run]]:
    """The runs of each case; raises ``FucoreError`` for a run of none, and if a case has none."""
    found = [[run for run in runs if case.is_of(run)] for case in cases]
    stray = [run for run in runs if not any(case.is_of(run) for case in cases)]
    require(not stray, f"{name} has a run that was unlearned in none of the cases: {stray[0] if stray else ''}.")
    empty = [place for place, each in enumerate(found) if not each]
    require(not empty, f"{name} has no run in case {empty[0] if empty else ''}: several cases need a run of every candidate in each.")
    return found


def _summary(reports: Sequence[Report], originals: Sequence[int]) -> pd.DataFrame:
    """One row a candidate, see :class:`MethodReport`."""
    gaps = differences([report.groups for report in reports], originals)
    tables = [report.summary.set_index("candidate") for report in reports]
    rows = []
    for name in tables[0].index:
        each = pd.DataFrame([table.loc[name] for table in tables])
        row = {"candidate": name, "runs": int(each.runs.sum())}
        if name != RETRAINED:
            row |= _three("distance", distance(gaps[name])) | _three("forgotten", share_of_tail(gaps[name], gaps[ORIGINAL]))
        for column in [metric.key for metric in shown_metrics()] + ["examples", "uploaded", "downloaded", "stored", "seconds"]:
            row[column] = float(by_original(each[column].to_numpy(dtype=float), originals).mean())
        other = np.array([table.test_accuracy[name] - table.test_accuracy[RETRAINED] for table in tables])
        test = by_original(other, originals)
        half = float(confidence_half_width(test))
        row |= {"test_low": test.mean() - half, "test_high": test.mean() + half}
        row["examples_to_target"] = float(np.median(each.examples_to_target))  # what never arrived is beyond all that did
        row["speed_up"] = float(np.median(each.speed_up.fillna(0))) if name != ORIGINAL else np.nan
        row["speed_up_below"] = float(np.median(each.speed_up_below))
        rows.append(row)
    return pd.DataFrame(rows)


def _three(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _cell(row) -> str:
    half = (row.high - row.low) / 2
    return f"{100 * row.accuracy:.1f} ({100 * row.difference:+.1f} ±{100 * half:.1f}) {row.answer}"


def _number(summary: pd.DataFrame, name: str, column: str, form: str, scale: float) -> str:
    values = [scale * float(summary.loc[name, f"{column}{end}"]) for end in ("", "_low", "_high")]
    return "–" if np.isnan(values[0]) else form.format(*values)


def _counted(originals: int) -> str:
    return f"{originals} originals" if originals > 1 else "given the one original that they share"
