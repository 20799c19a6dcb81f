"""From a difference to an answer: as retraining, not as retraining, or not to be told from what there is.

Let D be the difference between an unlearned and the retrained models in a memorization group (accuracy, in 0..1), [low, high]
its 95 % interval, and m a margin within which nobody would mind::

    "="   -m <= low and high <= m      shown to be no farther from retraining than the margin
    "≠"   otherwise, if 0 is outside   shown to differ
    "?"   otherwise                    more cases, examples or retrained models would have to decide

That an interval holds 0 is no evidence of sameness (Altman & Bland, BMJ 1995); that all of it lies within the margin is
(two one-sided tests, Schuirmann 1987).  A model as good as a retrained one is called "≠" in at most 5 % of groups, and one
that is off by the margin or more "=" in at most 2.5 %.

What the interval is about differs.  **This model**: one case; the 95 % prediction interval of one more retrained model around D.
**The method**: independent cases (other originals, partitions, clients); Student's t over their differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

SAME, DIFFERENT, OPEN = "=", "≠", "?"
#: What can be answered.
ANSWERS = (SAME, DIFFERENT, OPEN)
CONFIDENCE, POWER = 0.95, 0.8
#: The margin in a tail group: half of what there was to forget, but at least and at most so much.
LEAST, MOST = 0.05, 0.10
#: The margin in the group of the rest.
REST = 0.02


def margin(original, rest):
    """The margin in a group in which the original model is ``original`` away from retraining, all in 0..1; ``rest``: is it the last group?

    Ten points of a tail group are one in two hundred of the forgotten examples, two points of the rest one in sixty.
    """
    return np.where(rest, REST, np.clip(np.abs(original) / 2, LEAST, MOST))


def decide(low: float, high: float, within: float) -> str:
    """One of :data:`ANSWERS` for the interval [low, high] of a difference and a margin; ``?`` if a bound is not a number."""
    if -within <= low and high <= within:
        return SAME
    return DIFFERENT if low > 0 or high < 0 else OPEN


def prediction_half_width(spread, models: int, cases: int = 1):
    """Half width of the 95 % prediction interval of one more retrained model in each of ``cases``.

    ``spread``: standard deviation between ``models`` retrained models of a case, or the root of its mean square over cases.
    """
    return _quantile(cases * (models - 1)) * spread * np.sqrt((1 + 1 / models) / cases)


def confidence_half_width(differences: np.ndarray) -> np.ndarray:
    """Half width of the 95 % interval of the mean of ``differences`` [cases, ...]; infinite for a single case."""
    count = len(differences)
    if count < 2:
        return np.full(np.shape(differences)[1:], np.inf)
    return _quantile(count - 1) * np.std(differences, axis=0, ddof=1) / np.sqrt(count)


def detectable(half_width, freedom: int):
    """The smallest difference that an interval of this half width tells from none in four of five experiments."""
    return half_width * (1 + stats.t.ppf(POWER, freedom) / _quantile(freedom))


def share_forgotten(difference, original):
    """phi = (a_original - a_unlearned) / (a_original - a_retrained): 0 as the original, 1 as retraining, above 1 too much.

    Takes the ``difference`` of the unlearned from the retrained models, and that of the ``original``.
    """
    return 1 - difference / original


def is_rest(groups: pd.Series) -> pd.Series:
    """Which group names are that of the examples that were not memorized."""
    return groups.str.startswith("0–")


def answered(rows: pd.DataFrame, models: int = 1000, by: Sequence[str] = ()) -> pd.DataFrame:
    """``rows`` of one case (or of one for each value of the columns ``by``) with what they say of *this model*.

    Takes ``candidate``, ``group``, ``accuracy``, ``retrained`` and ``bound`` (half width of the prediction interval) and adds
    ``low`` and ``high`` of the difference, ``margin``, ``answer``, ``detectable`` (with ``models`` retrained models) and ``forgotten``, see
    :func:`share_forgotten`, with its interval ``_low`` and ``_high``, NaN where the original itself cannot be told from
    retraining.  Rows of the retrained models get no answer, nor do any without a bound.
    """
    keys = [*by, "group"]
    difference = rows.accuracy - rows.retrained
    original = rows.assign(before=difference)[rows.candidate == "Original"].set_index(keys)[["before"]]
    before = rows[keys].join(original, on=keys).before
    told = before.where(before > rows.bound)
    rows = rows.assign(low=difference - rows.bound, high=difference + rows.bound, margin=margin(before, is_rest(rows.group)))
    known = rows.bound.notna() & (rows.candidate != "Retrained")
    rows["answer"] = [decide(*each) if judged else None for judged, *each in zip(known, rows.low, rows.high, rows.margin)]
    rows["detectable"] = detectable(rows.bound, max(models - 1, 1))
    columns = {"forgotten": difference, "forgotten_low": rows.high, "forgotten_high": rows.low}
    return rows.assign(**{name: share_forgotten(part, told) for name, part in columns.items()})


# ---- several cases


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"

    def excludes(self, value: float) -> bool:
        """Whether the interval does."""
        return not self.low <= value <= self.high


def jackknife(statistic, *samples: np.ndarray) -> Estimate:
    """``statistic(*samples)`` with a 95 % interval from leaving out one case at a time; ``samples`` are [cases, ...] each."""
    count = len(samples[0])
    value = float(statistic(*samples))
    if count < 3:
        return Estimate(value, -np.inf, np.inf)
    left = np.array([statistic(*(np.delete(sample, case, axis=0) for sample in samples)) for case in range(count)])
    half = _quantile(count - 1) * np.sqrt((count - 1) / count * ((left - left.mean()) ** 2).sum())
    return Estimate(value, value - half, value + half)


def squared_distance(differences: np.ndarray) -> float:
    """Mean over groups of the squared mean difference, without the bias of squaring noise: may be negative; [cases, groups]."""
    count = len(differences)
    noise = differences.var(axis=0, ddof=1) / count if count > 1 else 0.0
    return float((differences.mean(axis=0) ** 2 - noise).mean())


def distance(differences: np.ndarray) -> Estimate:
    """Root mean squared difference to retraining over groups, 0..1, [cases, groups]: 0 where nothing but noise is seen.

    The interval is the jackknife's of the square.
    """
    return _root(jackknife(squared_distance, differences))


def closer(one: np.ndarray, other: np.ndarray) -> Estimate:
    """Squared distance of ``one`` less that of ``other`` (differences [cases, groups] in the same cases): negative if one is closer."""
    return jackknife(lambda a, b: squared_distance(a) - squared_distance(b), one, other)


def _root(estimate: Estimate) -> Estimate:
    return Estimate(*(float(np.sqrt(max(0.0, part))) for part in (estimate.value, estimate.low, estimate.high)))


def _quantile(freedom):
    return stats.t.ppf(0.5 + CONFIDENCE / 2, freedom)
