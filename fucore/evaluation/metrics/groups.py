"""Grouped memorization in one number, see :mod:`fucore.evaluation.gme`."""

from __future__ import annotations

from ..gme import grouped_memorization
from ..judging import judge_examples
from ..registry import metric


def _differences(run, case, others):
    """Accuracy less that of the others in each memorization group, which the others define, float [groups]."""
    judges, hits = judge_examples(case, {"it": [run]}, others)
    table = grouped_memorization(judges, hits, bootstrap=0)
    return (table.accuracy - table.retrained).to_numpy()


@metric("GME, top group", against="difference", resolution=lambda case: min(1.0, 20 / len(case.forgotten)))
def top_group(run, case, others):
    """Difference in the most memorized group."""
    return _differences(run, case, others)[0]


@metric("GME, mean gap", worse=1, against="mean gap", resolution=lambda case: 1 / len(case.forgotten))
def mean_gap(run, case, others):
    """Mean absolute difference over groups."""
    return abs(_differences(run, case, others)).mean()
