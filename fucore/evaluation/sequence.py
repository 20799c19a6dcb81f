"""Requests one after another: how far a model drifts from retraining while more and more must be gone::

    first = fu.unlearn("fedmemprune", original, fu.forget.client(0))
    second = fu.unlearn("fedmemprune", first, fu.forget.client(1))
    fu.step_by_step({"FedMemPrune": [first, second]}, cases)

The case of a step has the original, all that must be gone by then, and models that were retrained without all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..errors import as_list, require
from ..federation.case import Case
from ..runs.run import Run, listed
from .comparing import compare
from .deciding import share_forgotten
from .pooling import ORIGINAL
from .report import Report


def step_by_step(candidates: Mapping[str, Sequence[Run | Sequence[Run]]], cases: Sequence[Case | Sequence[Case]]) -> pd.DataFrame:
    """Every candidate after each step, judged by models retrained without all that must be gone by then; one row a step and candidate.

    ``candidates``: name to a run for each step, or to a list of runs, one for each of several cases.  ``cases``: the case of each step, or a
    list of cases (other originals), see :func:`~fucore.evaluation.comparing.compare`.  Columns: ``step`` from 1, ``gone`` (examples to be gone
    by then, mean over cases), those of the report's ``summary``, of which cost is that of the step alone, and

    ====================  =================================================================================================
    ``gap``               mean over memorization groups of the absolute difference to retraining, 0..1
    ``forgotten``         share of what there was to forget in the memorized groups: 0 as the original, 1 as retraining; for
                          several cases with its interval, like ``distance``, see :class:`~fucore.evaluation.several.MethodReport`
    ``examples_so_far``   examples processed in this and all earlier steps that the run came from
    ====================  =================================================================================================

    Raises ``FucoreError`` unless every candidate has a run for each step, of that step's case.
    """
    cases = as_list(cases)
    require(len(cases) > 0, "step_by_step needs a case for each step, in the order of the requests.")
    short = [name for name, runs in candidates.items() if len(as_list(runs)) != len(cases)]
    require(not short, f"{short[0] if short else ''} must have one run (or one list of runs) for each of {len(cases)} steps.")
    tables, so_far = [], {}
    for place, case in enumerate(cases):
        runs = listed({name: steps[place] for name, steps in candidates.items()})
        report = compare(runs, case, bootstrap=0) if isinstance(case, Case) else compare(runs, case)
        so_far = {name: [_so_far(run, so_far.get(name, [])) for run in each] for name, each in runs.items()}
        table = report.summary.assign(step=place + 1, gone=_gone(case), gap=report.summary.candidate.map(_gaps(report)))
        if isinstance(report, Report):
            table["forgotten"] = table.candidate.map(_forgotten(report))
        spent = {name: float(np.mean([examples for _, examples in each])) for name, each in so_far.items()}
        tables.append(table.assign(examples_so_far=table.candidate.map(spent).fillna(table.examples)))
    return pd.concat(tables, ignore_index=True)


def _so_far(run: Run, earlier: Sequence[tuple[Run, int]]) -> tuple[Run, int]:
    """The run and what it took with all that it came from, of which ``earlier`` steps know."""
    before = [spent for other, spent in earlier if _comes_from(run, other)]
    require(
        "after" not in run.config or before,
        "a run was unlearned from one that is not among those of the step before: give the runs of every step, in order.",
    )
    return run, run.cost.examples + (before[0] if before else 0)


def _comes_from(run: Run, other: Run) -> bool:
    return run.config.get("after") == other.config


def _gone(case: Case | Sequence[Case]) -> float:
    return float(np.mean([len(each.forgotten) for each in ([case] if isinstance(case, Case) else case)]))


def _gaps(report) -> dict[str, float]:
    return (report.groups.accuracy - report.groups.retrained).abs().groupby(report.groups.candidate).mean().to_dict()


def _forgotten(report: Report) -> dict[str, float]:
    """Share forgotten in the memorized groups together, NaN where the original knows no more than retrained models do."""
    groups = report.groups[report.groups.group.isin(report.groups.group.unique()[: max(1, report.groups.group.nunique() - 1)])]
    away = (groups.accuracy - groups.retrained).groupby(groups.candidate).mean()
    known = away[ORIGINAL] if away[ORIGINAL] > 0 else np.nan
    return {name: float(share_forgotten(value, known)) for name, value in away.items()}
