"""What a method makes rather than one model of it: N unlearned models against K retrained ones, example by example::

    @distribution_metric("gap of means")
    def gap(unlearned, retrained):                 # log-odds of the true class, float64 [N, m] and [K, m]
        return np.abs(unlearned.mean(axis=0) - retrained.mean(axis=0))              # a value for each example, [m]

A retrained model is a draw, and so is an unlearned one: over seeds, or over originals where each of the N comes from its own.
With few models every such measure is far from its ideal value even for retraining itself, so it is shown beside its *floor*:
retrained models against other retrained ones, as many on each side.  Whether a method can be told from retraining is asked by
permutation: if it cannot, which of the N + K models are the unlearned ones does not matter (Fisher's exact idea; Phipson & Smyth 2010
for the count).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import require, require_choice, require_kind, require_seed, require_whole
from ..federation.case import Case
from ..runs.registries import registry
from ..runs.run import Run, listed
from ..streams import Stream


@dataclass(frozen=True)
class DistributionMetric:
    """A registered measure: ``function(unlearned [N, m], retrained [K, m]) -> [m]``, from log-odds, one value an example.

    ``worse``: 1 if it grows with the distance from retraining, -1 if it falls.
    """

    name: str
    function: Callable[[np.ndarray, np.ndarray], np.ndarray]
    worse: int

    def __call__(self, unlearned: np.ndarray, retrained: np.ndarray) -> float:
        """Mean over examples."""
        return float(np.mean(self.function(unlearned, retrained)))


#: Registered measures of several models by name.
DISTRIBUTION_METRICS: dict[str, DistributionMetric] = registry("distribution metric")


def distribution_metric(name: str, *, worse: int = 1):
    """Register ``function(unlearned, retrained) -> [m]`` as the measure ``name``, see :class:`DistributionMetric`.

    Raises ``FucoreError`` for another ``worse`` than 1 or -1, and for a built-in's name.
    """
    require(worse in (-1, 1), f"worse is {worse!r}, but must be 1 (farther from retraining when larger) or -1 (when smaller).")

    def register(function):
        known = DISTRIBUTION_METRICS.get(name)
        own = known is not None and known.function.__module__.startswith("fucore.") and function.__module__ != known.function.__module__
        require(not own, f"{name} is a metric of fucore's own: call yours something else.")
        DISTRIBUTION_METRICS[name] = DistributionMetric(name, function, worse)
        return function

    return register


def log_odds_of(runs: Sequence[Run], case: Case, split: str = "departed") -> np.ndarray:
    """log p_y - log(1 - p_y) of the true class by each run, float64 [runs, m]; ``split`` as for :meth:`Case.look <fucore.federation.case.Case.look>`."""
    require(len(runs) > 0, "there is no run to look at.")
    return np.stack([case.look(run, split).log_odds for run in runs]).astype(np.float64)


def checked(unlearned: np.ndarray, retrained: np.ndarray, least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 [models, m]; raises ``FucoreError`` for other shapes, numbers that are not finite, or fewer than ``least`` models."""
    pair = np.asarray(unlearned, dtype=np.float64), np.asarray(retrained, dtype=np.float64)
    for name, values in zip(("unlearned", "retrained"), pair):
        require(values.ndim == 2 and values.shape[1] > 0, f"{name} has shape {values.shape}, but must be [models, examples].")
        require(len(values) >= least, f"this measure needs at least {least} {name} models, not {len(values)}.")
        require(np.isfinite(values).all(), f"{name} holds log-odds that are not finite.")
    require(pair[0].shape[1] == pair[1].shape[1], f"unlearned and retrained are of {pair[0].shape[1]} and {pair[1].shape[1]} examples.")
    return pair


def floor(metric: Callable, retrained: np.ndarray, *, size: int | None = None, draws: int = 100, seed: int = 0) -> np.ndarray:
    """``metric`` of ``size`` retrained models (default: half of them) against as many others, float64 [draws]; ``retrained`` [K, m]."""
    half = len(retrained) // 2
    size = half if size is None else require_whole("size", size, 1, half)
    require_whole("draws", draws, 1)
    return np.array([metric(retrained[order[:size]], retrained[order[size : 2 * size]]) for order in _orders(len(retrained), draws, seed)])


def at_size(metric: Callable, unlearned: np.ndarray, retrained: np.ndarray, size: int, *, draws: int = 100, seed: int = 0) -> np.ndarray:
    """``metric`` of ``size`` unlearned against ``size`` retrained models, drawn anew each time, float64 [draws]: to be put beside :func:`floor`."""
    for count in (len(unlearned), len(retrained)):
        require_whole("size", size, 1, count)
    ours, theirs = _orders(len(unlearned), draws, seed), _orders(len(retrained), draws, seed + 1)
    return np.array([metric(unlearned[mine[:size]], retrained[other[:size]]) for mine, other in zip(ours, theirs)])


def permutation_p(
    metric: Callable, unlearned: np.ndarray, retrained: np.ndarray, *, worse: int = 1, draws: int = 199, seed: int = 0
) -> float:
    """Share of relabellings of the N + K models that look at least as far from retraining, the given one among them: in (0, 1].

    At most 5 % of methods that draw their models as retraining does get 0.05 or less.
    """
    require_choice("worse", worse, (-1, 1))
    require_whole("draws", draws, 1)
    models, count = np.concatenate([unlearned, retrained]), len(unlearned)
    seen = worse * metric(unlearned, retrained)
    drawn = [worse * metric(models[order[:count]], models[order[count:]]) for order in _orders(len(models), draws, seed)]
    return (1 + int(np.sum(np.array(drawn) >= seen - 1e-12))) / (1 + draws)


def compare_distributions(
    candidates: Mapping[str, Sequence[Run]],
    case: Case,
    *,
    metrics: Sequence[str] | None = None,
    split: str = "departed",
    draws: int = 100,
    permutations: int = 199,
    seed: int = 0,
) -> pd.DataFrame:
    """One row a candidate and measure, for candidates of several runs each (other seeds, or other originals of the same federation).

    ``models``: how many are on each side, half of the retrained ones or all of the candidate's if these are fewer; ``value`` and
    ``floor``: the measure's means over ``draws`` of so many, of the candidate and of retraining against itself, ``floor_high``: the floor's
    95th percentile (5th where smaller is worse); ``p``: of :func:`permutation_p`, with all models.  ``metrics``: names, by default all of :data:`DISTRIBUTION_METRICS`.

    Works for references given to everybody too, which keep what is needed.  Raises ``FucoreError`` with fewer than 6 retrained models or
    3 runs of a candidate: there are no spreads to compare.
    """
    require_kind("case", case, Case, "a case, such as fu.case(...) makes")
    require_seed(seed)
    chosen = [DISTRIBUTION_METRICS[require_choice("metric", name, DISTRIBUTION_METRICS)] for name in (metrics or DISTRIBUTION_METRICS)]
    retrained = log_odds_of(case.retrained, case, split)
    require(len(retrained) >= 6, f"the floor of these measures needs at least 6 retrained models, not {len(retrained)}.")
    rows = []
    for name, runs in listed(candidates).items():
        require(len(runs) >= 3, f"{name} has {len(runs)} run(s), but a distribution needs at least 3: unlearn with other seeds.")
        unlearned = log_odds_of(runs, case, split)
        size = min(len(unlearned), len(retrained) // 2)
        for metric in chosen:
            own = floor(metric, retrained, size=size, draws=draws, seed=seed)
            row = {"candidate": name, "metric": metric.name, "models": size}
            row |= {"value": at_size(metric, unlearned, retrained, size, draws=draws, seed=seed).mean(), "floor": own.mean()}
            row |= {"floor_high": np.quantile(own, 0.95 if metric.worse > 0 else 0.05)}
            row |= {"p": permutation_p(metric, unlearned, retrained, worse=metric.worse, draws=permutations, seed=seed)}
            rows.append(row)
    return pd.DataFrame(rows)


def _orders(count: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng([seed, Stream.MODEL_DRAWS])
    return (rng.permutation(count) for _ in range(draws))
