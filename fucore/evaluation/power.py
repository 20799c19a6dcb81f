"""Which metric can tell an unlearned model from one that only looks like it?

Each metric is computed for every retrained model against the *other* retrained models, and for a candidate in the same
way against all sets with one left out.  A metric tells a candidate apart if it falls outside what one more retrained
model would show (95 % prediction interval, t with K - 1 degrees of freedom); by a metric that is a distance only if it is farther away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from ..data.forgetting import Request
from ..errors import require
from ..federation.case import Case, as_case
from ..runs.run import Run
from .gme import CONFIDENCE
from .registry import METRICS, Metric


def metric_power(
    candidates: Mapping[str, Run], case: Case | Run, retrained: Sequence[Run] | None = None, request: Request | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(values, distances): one row a metric of :data:`~fucore.evaluation.registry.METRICS`, one column a candidate.

    ``values`` also for "Retrained" (mean and ±).  ``distances``: of the value from the mean of retrained, in units of the prediction
    interval's half width: above 1 the metric tells.  Metrics that a candidate has no value of are left out, such as the local
    fairness of the original.  Needs a case with at least 4 retrained models.
    """
    case = as_case(case, retrained, request)
    others, every = list(case.retrained), list(METRICS.values())
    require(len(others) >= 4, f"the power of metrics needs at least 4 retrained models, not {len(others)}.")
    sets = list(combinations(others, len(others) - 1))

    defined = [all(metric.against != "nothing" or np.isfinite(metric(run, case)) for run in candidates.values()) for metric in every]
    metrics = [metric for metric, known in zip(every, defined) if known]

    def look(run, peers):
        return [metric(run, case, peers) for metric in metrics]

    own = np.array([look(run, [other for other in others if other is not run]) for run in others])
    mean = own.mean(axis=0)
    half = np.maximum(half_widths(own, metrics), [metric.resolution(case) for metric in metrics])
    values = {name: np.mean([look(run, chosen) for chosen in sets], axis=0) for name, run in candidates.items()}
    names = [metric.name for metric in metrics]
    table = pd.DataFrame({"Retrained": mean, "±": half, **values}, index=names)
    return table, pd.DataFrame({name: away(value - mean, metrics) / half for name, value in values.items()}, index=names)


def half_widths(own: np.ndarray, metrics: Sequence[Metric]) -> np.ndarray:
    """Half width of the prediction interval of each of ``metrics``, from its values for each retrained model, [K, metrics].

    Means of distances to the others share their models, so their spread is too small by (K - 2) / (K - 1); differences from the
    others' mean are too wide by K / (K - 1); a mean of absolute differences is neither.
    """
    count = len(own)
    share = {"mean distance": (count - 2) / (count - 1), "difference": count / (count - 1)}
    shares = np.array([share.get(metric.against, 1.0) for metric in metrics])
    tails = np.array([1 if metric.worse else 2 for metric in metrics])
    return stats.t.ppf(1 - (1 - CONFIDENCE) / tails, count - 1) * own.std(axis=0, ddof=1) / shares * np.sqrt(1 + 1 / count)


def away(differences: np.ndarray, metrics: Sequence[Metric]) -> np.ndarray:
    """What of each metric's difference from the mean of retrained counts: all of it, or of a distance what is farther."""
    worse = np.array([metric.worse for metric in metrics])
    return np.where(worse == 0, np.abs(differences), np.maximum(worse * differences, 0))
