"""Grouped Memorization Evaluation (Wei et al., KDD 2026, section 5), with references that are not their own judges::

    s(x) = P_theta_o(y|x) - mean_k P_theta_r_k(y|x)          for the examples (x, y) to forget, Eq. 11
    groups: sort s descending; top 5 %, next 5 %, next 5 %, next 5 %, and the other 80 %
    a_g(theta) = accuracy on group g;   gap_g = |a_g(theta_u) - mean_k a_g(theta_r_k)|, Eq. 13

A model that took part in defining the groups must do badly on its own top group, since an example gets there when that
model is wrong about it.  So by default the groups are cross-fitted: for each k they come from the *other* retrained
models, theta_r_k and the candidate are evaluated on them, and the results are averaged over k.
``protocol="code"`` is what the public code does: one retrained model defines the groups and is part of the reference.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..data.partition import read_published
from ..errors import require, require_choice
from ..runs.files import publish
from ..streams import Stream
from .deciding import CONFIDENCE, prediction_half_width

TAIL_GROUPS, TAIL_SHARE = 4, 0.05


def memorization_scores(original: np.ndarray, retrained: np.ndarray) -> np.ndarray:
    """s = P_o - mean_k P_k, float64 [m]; ``original`` [m] and ``retrained`` [K, m] are probabilities of the true label."""
    return (np.asarray(original, dtype=np.float64) - np.asarray(retrained, dtype=np.float64)).mean(axis=0)


def group_names(count: int) -> list[str]:
    """Names from the most to the least memorized group for ``count`` examples: percentile ranges.

    With fewer than 20 examples a 5 % group would be empty, so there is one group of the top quarter (or, under 4
    examples, only one group of all).
    """
    edges = [round(100 * (1 - edge)) for edge in _edges(count)]
    return [f"{low}–{high} %" for high, low in itertools.pairwise(edges)]


def assign_groups(scores: np.ndarray) -> np.ndarray:
    """Group of each example, 0 the most memorized; int64 [m].  Sizes are exact to one example, ties go by position."""
    bounds = np.round(np.array(_edges(len(scores))) * len(scores)).astype(int)
    groups = np.empty(len(scores), dtype=np.int64)
    order = np.argsort(-np.asarray(scores), kind="stable")
    for group, (start, stop) in enumerate(itertools.pairwise(bounds)):
        groups[order[start:stop]] = group
    return groups


def assign_groups_as_published(scores: np.ndarray) -> np.ndarray:
    """The public code's groups: scores clipped at 0, percentile bounds ``lower < s <= upper``; -1 for those it drops (s <= 0)."""
    scores = np.maximum(scores, 0)
    bounds = np.percentile(scores, [100, 95, 90, 85, 80, 0])
    groups = np.full(len(scores), -1, dtype=np.int64)
    for group, (upper, lower) in enumerate(itertools.pairwise(bounds)):
        groups[(scores > lower) & (scores <= upper)] = group
    return groups


@dataclass(frozen=True)
class Judges:
    """What is needed to judge any model: the true-label probabilities and hits of the models that never forgot or never knew.

    ``original`` float [m], ``retrained`` float [K, m]: probability of the true label; ``original_hits`` bool [m],
    ``retrained_hits`` bool [K, m]: whether it was the most probable.
    """

    original: np.ndarray
    original_hits: np.ndarray
    retrained: np.ndarray
    retrained_hits: np.ndarray

    @property
    def scores(self) -> np.ndarray:
        """Memorization scores from all K retrained models, float64 [m] (for looking; never for groups that judge those K)."""
        return memorization_scores(self.original, self.retrained)

    def groups_without(self, *left_out: int) -> np.ndarray:
        """Groups [m] from the retrained models that are not ``left_out``."""
        others = [k for k in range(len(self.retrained)) if k not in left_out]
        return assign_groups(memorization_scores(self.original, self.retrained[others]))


def group_accuracy(hits: np.ndarray, groups: np.ndarray, count: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Accuracy of each of ``count`` groups, NaN where a group is empty.

    ``hits`` bool [..., m]; with ``weights`` float [B, m] (bootstrap multiplicities) of one model, bool [m], and [B, count] comes back.
    """
    member = (groups[:, None] == np.arange(count)).astype(np.float64)
    with np.errstate(invalid="ignore"):
        if weights is None:
            return hits.astype(np.float64) @ member / member.sum(axis=0)
        return weights @ (hits[:, None] * member) / (weights @ member)


def grouped_memorization(
    judges: Judges, candidates: dict[str, np.ndarray], *, protocol: str = "cross-fitted", bootstrap: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Judge candidates group by group against retraining; ``bootstrap=0`` leaves out the intervals that it draws.

    ``candidates``: name to hits, bool [M, m] for M runs of that method.  Returns one row a candidate and group:

    ==================  ======================================================================================================
    ``accuracy``        of the candidate, mean over runs (and folds), with ``accuracy_low`` and ``accuracy_high``
    ``retrained``       of the retrained models, each on groups that it did not help to define, with ``_low`` and ``_high``
    ``gap``             ``|accuracy - retrained|``
    ``spread``          standard deviation s between retrained models (needs K >= 3)
    ``noise``           mean gap of *another retrained model*, treated exactly as a candidate (needs K >= 3)
    ``bound``           half width of the 95 % prediction interval of one more retrained model (see below)
    ==================  ======================================================================================================

    Intervals are 95 % percentile bootstrap intervals over examples and models.  ``bound`` is t(K-1) * s * sqrt(1 + 1/K), where
    s comes from the pairwise differences of retrained models on groups that neither defined; it is at least one example.
    The mean of several runs of one method is held to the same bound, since runs that start from one original model are not
    independent.  With ``protocol="code"`` the reference is biased, and neither noise nor bound is computed.
    What follows from bound and gap is decided in :mod:`fucore.evaluation.deciding`.
    """
    require_choice("protocol", protocol, ("cross-fitted", "code"))
    models, count = judges.retrained_hits.shape
    if protocol == "code":
        folds = [(assign_groups_as_published(judges.original - judges.retrained[-1]), slice(None))]
        names = group_names(100)
    else:
        require(models >= 2, f"cross-fitted groups need at least 2 retrained models, not {models}; 4 or more are better.")
        folds = [(judges.groups_without(k), slice(k, k + 1)) for k in range(models)]
        names = group_names(count)
    sizes = np.bincount(folds[0][0][folds[0][0] >= 0], minlength=len(names))
    reference = np.mean([group_accuracy(judges.retrained_hits[k], groups, len(names)).mean(axis=0) for groups, k in folds], axis=0)
    noise, spread = (
        _retrained_against_retrained(judges, len(names))
        if protocol == "cross-fitted" and models >= 3
        else (np.full(len(names), np.nan),) * 2
    )
    bound = np.maximum(prediction_half_width(spread, models) if models >= 3 else spread, 1 / np.maximum(sizes, 1))
    rows = []
    for name, hits in candidates.items():
        hits = np.atleast_2d(hits)
        require(hits.shape[1] == count, f"{name} was evaluated on {hits.shape[1]} examples, but there are {count} to forget.")
        accuracy = np.mean([group_accuracy(hits, groups, len(names)).mean(axis=0) for groups, _ in folds], axis=0)
        low, high = _bootstrap(judges, hits, folds, len(names), bootstrap, seed)
        gap = np.abs(accuracy - reference)
        for g, group in enumerate(names):
            row = {"candidate": name, "runs": len(hits), "group": group, "examples": int(sizes[g])}
            row |= {"accuracy": accuracy[g], "accuracy_low": low["accuracy"][g], "accuracy_high": high["accuracy"][g]}
            row |= {"retrained": reference[g], "retrained_low": low["retrained"][g], "retrained_high": high["retrained"][g]}
            rows.append(row | {"gap": gap[g], "spread": spread[g], "noise": noise[g], "bound": bound[g]})
    return pd.DataFrame(rows)


def _retrained_against_retrained(judges: Judges, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(mean gap of a retrained model treated as a candidate, standard deviation between retrained models), each [groups].

    Models j and k are compared only on groups that neither of them defined.
    """
    models = len(judges.retrained)
    difference = np.zeros((models, models, count))
    for j, k in itertools.combinations(range(models), 2):
        accuracy = group_accuracy(judges.retrained_hits[[j, k]], judges.groups_without(j, k), count)
        difference[j, k] = accuracy[0] - accuracy[1]
        difference[k, j] = -difference[j, k]
    noise = np.abs(difference.sum(axis=1) / (models - 1)).mean(axis=0)
    pairs = difference[np.triu_indices(models, 1)]
    return noise, np.sqrt((pairs**2).mean(axis=0) / 2)


def _bootstrap(judges, hits, folds, count, draws, seed):
    """Lower and upper 95 % bounds of accuracy and reference, resampling examples, runs and folds; NaN without draws."""
    if draws == 0:
        return [{"accuracy": np.full(count, np.nan), "retrained": np.full(count, np.nan)}] * 2
    rng = np.random.default_rng([seed, Stream.BOOTSTRAP])
    weights = rng.multinomial(hits.shape[1], np.full(hits.shape[1], 1 / hits.shape[1]), size=draws).astype(np.float64)
    candidate = np.stack(
        [np.stack([group_accuracy(run, groups, count, weights) for run in hits]) for groups, _ in folds]
    )  # [folds, M, B, G]
    reference = np.stack(
        [np.mean([group_accuracy(run, groups, count, weights) for run in judges.retrained_hits[k]], axis=0) for groups, k in folds]
    )  # [folds, B, G]
    fold = rng.integers(0, len(folds), (len(folds), draws))
    run = rng.integers(0, len(hits), (len(hits), draws))
    each = np.arange(draws)
    accuracy = candidate[fold[:, None], run[None, :], each].mean(axis=(0, 1))
    retrained = reference[fold, each].mean(axis=0)
    bounds = [{}, {}]
    for key, values in (("accuracy", accuracy), ("retrained", retrained)):
        for side, quantile in zip(bounds, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)):
            side[key] = np.nanquantile(values, quantile, axis=0)
    return bounds


def _edges(count: int) -> list[float]:
    """Shares of the examples at which groups begin and end, from the most memorized."""
    if count >= 20:
        return [TAIL_SHARE * group for group in range(TAIL_GROUPS + 1)] + [1.0]
    return [0.0, 0.25, 1.0] if count >= 4 else [0.0, 1.0]


def save_scores(path, data, indices, scores) -> None:
    """Publish memorization scores as a small open JSON file: training indices, scores, and the hash of the data."""
    record = {"format": "fucore memorization scores 1", "data": data.name, "data_sha256": data.hash}
    record |= {"indices": np.asarray(indices).tolist(), "scores": [float(f"{score:.6g}") for score in scores]}
    publish(path, json.dumps(record) + "\n")


def load_scores(path, data) -> tuple[np.ndarray, np.ndarray]:
    """(indices int64 [m], scores float64 [m]) as :func:`save_scores` wrote them; raises if they were made for other data."""
    record = read_published(path, "fucore memorization scores 1", data)
    return np.array(record["indices"], dtype=np.int64), np.array(record["scores"], dtype=np.float64)
