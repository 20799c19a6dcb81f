"""Forgetting quality, the score of the first NeurIPS unlearning competition (Triantafillou et al., 2024, arXiv 2406.09073)::

    eps(x) = max over attacks of max( log(1 - delta - FPR) - log FNR,  log(1 - delta - FNR) - log FPR )        (delta, eps)-unlearning
    F      = mean over x of 2^-b(x),      b: bin of width 0.5 that eps(x) lies in, from 0;   0 points beyond the last bin
    score  = F * RA(unlearned) / RA(retrained) * TA(unlearned) / TA(retrained)         accuracy on remaining and on test examples

An attack sees the log-odds of x by one model and says whether it was unlearned or retrained.  As in the organisers' public code it has one
threshold (the side with the larger median lies above it) or two (one side lies between them); rates of which exactly one is 0
are passed over, both 0 is infinite, and a side with less than a hundredth of the other's range counts as told: both get the cap of 50.
The last bin ends at ceil(log(N - 1)), about the largest eps that N models can show.  Their code tries a grid of thresholds 0.01 apart and only
intervals about as wide as the narrower side; here every threshold and every interval that makes a difference is tried, so eps is never smaller.
With 16 models the *floor* of F is far from 1: look at it, not at 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...federation.case import Case
from ...runs.run import Run
from ..distributions import checked, distribution_metric, log_odds_of

DELTA, CAP, BIN, PEAKED = 1e-5, 50.0, 0.5, 0.01
#: So many attacks of examples are tried at once, for memory.
AT_ONCE = 2_000_000


@distribution_metric("forgetting quality", worse=-1)
def forgetting_quality(unlearned: np.ndarray, retrained: np.ndarray) -> np.ndarray:
    """Points 2^-b of each example, float64 [m]; their mean is F: 1 at best, 0 where every example is told."""
    bins = np.floor(epsilons(unlearned, retrained) / BIN)
    return np.where(bins < np.ceil(np.log(len(unlearned) - 1)) / BIN, 0.5**bins, 0.0)


def epsilons(unlearned: np.ndarray, retrained: np.ndarray) -> np.ndarray:
    """eps of each example, float64 [m] in [0, 50], from log-odds [N, m] and [K, m]."""
    unlearned, retrained = checked(unlearned, retrained, least=3)
    intervals = (len(unlearned) + len(retrained)) ** 2
    parts = np.array_split(np.arange(unlearned.shape[1]), max(1, unlearned.shape[1] * intervals // AT_ONCE))
    return np.concatenate([_epsilons(unlearned[:, part], retrained[:, part]) for part in parts if len(part)])


def _epsilons(unlearned: np.ndarray, retrained: np.ndarray) -> np.ndarray:
    values, counts = np.concatenate([unlearned, retrained]), (len(unlearned), len(retrained))
    order = np.argsort(values, axis=0, kind="stable")
    ranked, ours = np.take_along_axis(values, order, axis=0), order < len(unlearned)
    ends = np.ones_like(ours[:1])
    parted = np.concatenate([ends, ranked[1:] > ranked[:-1], ends])  # no threshold lies between equal values
    below = [np.concatenate([0 * ends, side.cumsum(axis=0)]) for side in (ours, ~ours)]  # how many lie below each, [N + K + 1, m]

    above = np.median(unlearned, axis=0) >= np.median(retrained, axis=0)
    lower = [side / count for side, count in zip(below, counts)]
    one = _largest(np.where(above, *lower), 1 - np.where(above, *lower[::-1]), parted)

    narrow = np.ptp(unlearned, axis=0) <= np.ptp(retrained, axis=0)
    first, last = np.triu_indices(len(values) + 1, k=1)
    inside = [(side[last] - side[first]) / count for side, count in zip(below, counts)]
    two = _largest(1 - np.where(narrow, *inside), np.where(narrow, *inside[::-1]), parted[first] & parted[last])

    ranges = np.sort([np.ptp(unlearned, axis=0), np.ptp(retrained, axis=0)], axis=0)
    return np.where(ranges[0] < PEAKED * ranges[1], CAP, np.minimum(np.maximum(one, two), CAP))


def _largest(missed: np.ndarray, false: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """The largest eps over the ``allowed`` attacks [attacks, m] with these false-negative and false-positive rates; 0 if there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.maximum(np.log(1 - DELTA - false) - np.log(missed), np.log(1 - DELTA - missed) - np.log(false))
    told, usable = (missed == 0) & (false == 0), (missed > 0) & (false > 0)
    each = np.where(told, np.inf, np.where(usable & ~np.isnan(each), each, 0.0))
    return np.where(allowed, each, 0.0).max(axis=0, initial=0.0)


def final_score(runs: Sequence[Run], case: Case, remaining: str = "remaining") -> float:
    """F times the two ratios of accuracies; ``remaining="sample"`` takes 256 of the remaining examples, which references keep too."""
    quality = forgetting_quality(log_odds_of(runs, case), log_odds_of(case.retrained, case)).mean()
    accuracy = {
        split: [np.mean([case.look(run, split).right.mean() for run in side]) for side in (runs, case.retrained)]
        for split in (remaining, "test")
    }
    return float(quality * np.prod([ours / theirs for ours, theirs in accuracy.values()]))
