"""Which metric can tell an unlearned model from one that only looks like it?

Each metric is computed for every retrained model against the *other* retrained models, and for a candidate in the same
way against all sets with one left out.  A metric tells a candidate apart if it falls outside what one more retrained
model would show (95 % prediction interval, t with K - 1 degrees of freedom); by a metric that is a distance only if it is farther away.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from ..data.forgetting import Request
from ..errors import require
from ..runs.run import Run
from .distance import cosine, divergence, l2
from .gme import CONFIDENCE, grouped_memorization
from .membership import attack_scores, matched_non_members, measure, true_class_confidence
from .report import judge_examples

#: What is computed for every model, in this order.
METRICS = (
    "test accuracy",
    "accuracy on the forgotten",
    "loss on the forgotten",
    "L2 to retrained weights",
    "cosine to retrained weights",
    "KL to retrained, test",
    "KL to retrained, forgotten",
    "membership inference, loss",
    "membership inference, LiRA",
    "GME, top group",
    "GME, mean gap",
)
#: Means of distances to the others: since each model's own share enters K - 1 of K times, their spread is too small by (K - 2) / (K - 1).
TO_PEERS = ("L2 to retrained weights", "cosine to retrained weights", "KL to retrained, test", "KL to retrained, forgotten")
#: Differences from the others' mean: their spread is too large by K / (K - 1).  Not so for a mean of absolute differences.
AGAINST_PEERS = ("membership inference, LiRA", "GME, top group")
#: Which way is farther from retraining, for the metrics that are distances: a model that is nearer than usual is not accused.
FARTHER = {
    "L2 to retrained weights": 1,
    "cosine to retrained weights": -1,
    "KL to retrained, test": 1,
    "KL to retrained, forgotten": 1,
    "GME, mean gap": 1,
}


def metric_power(
    candidates: dict[str, Run], original: Run, retrained: Sequence[Run], request: Request, *, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(values, distances): one row a metric of :data:`METRICS`, one column a candidate; values also for "Retrained" (mean and ±).

    ``distances``: of the value from the mean of retrained, in units of the prediction interval's half width: above 1 the metric tells.
    Needs at least 4 retrained models.
    """
    retrained = list(retrained)
    require(len(retrained) >= 4, f"the power of metrics needs at least 4 retrained models, not {len(retrained)}.")
    look = _Look(original, request, seed)
    sets = list(combinations(range(len(retrained)), len(retrained) - 1))
    own = np.array([look.all(run, [retrained[j] for j in range(len(retrained)) if j != k]) for k, run in enumerate(retrained)])
    mean, half = own.mean(axis=0), np.maximum(half_widths(own), look.resolution)
    values = {name: np.mean([look.all(run, [retrained[j] for j in chosen]) for chosen in sets], axis=0) for name, run in candidates.items()}
    table = pd.DataFrame({"Retrained": mean, "±": half, **values}, index=list(METRICS))
    return table, pd.DataFrame({name: away(value - mean) / half for name, value in values.items()}, index=list(METRICS))


def half_widths(own: np.ndarray) -> np.ndarray:
    """Half width of the prediction interval of each of :data:`METRICS`, from its values for each retrained model, [K, metrics]."""
    count = len(own)
    shares_peers = np.array(
        [(count - 2) / (count - 1) if metric in TO_PEERS else count / (count - 1) if metric in AGAINST_PEERS else 1 for metric in METRICS]
    )
    tails = np.array([1 if metric in FARTHER else 2 for metric in METRICS])
    return stats.t.ppf(1 - (1 - CONFIDENCE) / tails, count - 1) * own.std(axis=0, ddof=1) / shares_peers * np.sqrt(1 + 1 / count)


def away(differences: np.ndarray) -> np.ndarray:
    """What of each metric's difference from the mean of retrained counts: all of it, or of a distance what is farther."""
    farther = np.array([FARTHER.get(metric, 0) for metric in METRICS])
    return np.where(farther == 0, np.abs(differences), np.maximum(farther * differences, 0))


class _Look:
    """The metrics of models of one request; what a model says is computed once."""

    def __init__(self, original: Run, request: Request, seed: int):
        self.original, self.federation = original, original.federation
        self.forgotten = self.federation.data.train.take(self.federation.forgotten(request))
        outside, population = matched_non_members(self.forgotten.labels.numpy(), self.federation.data.test, seed)
        self.splits = {"forgotten": self.forgotten, "test": self.federation.data.test, "outside": outside, "population": population}
        self._seen: dict[int, dict] = {}
        examples, images = 1 / len(self.forgotten), 1 / len(self.splits["test"])
        smallest = {
            "test accuracy": images,
            "accuracy on the forgotten": examples,
            "GME, top group": min(1.0, 20 * examples),
            "GME, mean gap": examples,
        }
        #: what one example makes: no difference below it can tell anything
        self.resolution = np.array([smallest.get(metric, 1e-9) for metric in METRICS])

    def logits(self, run: Run) -> dict:
        if id(run) not in self._seen:
            self._seen[id(run)] = {name: self.federation.logits(run.weights, split) for name, split in self.splits.items()}
        return self._seen[id(run)]

    def all(self, run: Run, others: list[Run]) -> list[float]:
        """The metrics of ``run`` against ``others``, in their order."""
        own, rest = self.logits(run), [self.logits(other) for other in others]
        confidence, *references = [
            [true_class_confidence(each[name], self.splits[name].labels) for name in ("forgotten", "outside", "population")]
            for each in (own, *rest)
        ]
        judges, hits = judge_examples(self.federation, self.original, others, self.forgotten, {"it": [run]})
        groups = grouped_memorization(judges, hits, bootstrap=2)
        groups = groups[groups.candidate == "it"] if "candidate" in groups else groups
        return [
            _accuracy(own["test"], self.splits["test"].labels),
            _accuracy(own["forgotten"], self.forgotten.labels),
            float(-np.mean(-np.logaddexp(0, -confidence[0]))),
            np.mean([l2(run.weights, other.weights) for other in others]),
            np.mean([cosine(run.weights, other.weights) for other in others]),
            np.mean([divergence(each["test"], own["test"]) for each in rest]),
            np.mean([divergence(each["forgotten"], own["forgotten"]) for each in rest]),
            measure(*attack_scores("loss", confidence, references))[0],
            measure(*attack_scores("lira", confidence, references))[0],
            float(groups.accuracy.iloc[0] - groups.retrained.iloc[0]),
            float((groups.accuracy - groups.retrained).abs().mean()),
        ]


def _accuracy(logits, labels) -> float:
    return float((logits.argmax(1) == labels).double().mean())
