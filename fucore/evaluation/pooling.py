"""One answer from several cases, about the method that unlearned them and not only about these models.

A case is one request with its own original and retrained models.  Cases that share an original are averaged first, since
what is peculiar to that original is in all of them; originals are then independent, and Student's t over their means says how
far the method is from retraining in cases like these.  Where all cases share one original, they are taken one by one, and what
is said holds given that original.  What is decided of it: :mod:`fucore.evaluation.deciding`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd

from ..errors import require
from .deciding import Estimate, confidence_half_width, decide, detectable, is_rest, jackknife, margin, share_forgotten

ORIGINAL, RETRAINED = "Original", "Retrained"


def pooled(cases: Sequence[pd.DataFrame], originals: Sequence[Hashable] | None = None) -> pd.DataFrame:
    """What tables of :func:`~fucore.evaluation.gme.grouped_memorization` say together; one row a candidate and group.

    ``originals``: which original each case has, by default another one for each.  Accuracies are in 0..1: ``accuracy`` and
    ``retrained``, means over originals; their ``difference`` with its 95 % interval ``low`` and ``high``; ``margin``, ``answer``,
    ``detectable``; ``forgotten`` with the jackknife's ``forgotten_low`` and ``forgotten_high``; and how much it rests on:
    ``originals``, ``cases``, ``examples``.  Raises ``FucoreError`` for no case, and for cases of different groups or candidates.
    """
    parts, index = _aligned(cases)
    labels = list(range(len(cases))) if originals is None else list(originals)
    accuracy, retrained, examples = (parts[..., column] for column in range(3))
    difference = by_original(accuracy - retrained, labels)  # [originals, rows]
    count, mean, half = len(difference), difference.mean(axis=0), confidence_half_width(difference)
    result = pd.DataFrame(index=index).reset_index()
    result["accuracy"], result["retrained"] = (by_original(part, labels).mean(axis=0) for part in (accuracy, retrained))
    before = _of_original(index)
    result = result.assign(difference=mean, low=mean - half, high=mean + half, margin=margin(mean[before], is_rest(result.group)))
    result["answer"] = [decide(*each) for each in zip(result.low, result.high, result.margin)]
    result["detectable"] = detectable(half, max(count - 1, 1))
    forgotten = [_forgotten(difference[:, row], difference[:, original]) for row, original in enumerate(before)]
    for name, of in (("forgotten", "value"), ("forgotten_low", "low"), ("forgotten_high", "high")):
        result[name] = [getattr(estimate, of) for estimate in forgotten]
    return result.assign(originals=count, cases=len(cases), examples=examples.sum(axis=0).astype(int))


def by_original(values: np.ndarray, labels: Sequence[Hashable]) -> np.ndarray:
    """Means over the cases of each original: [cases, ...] to [originals, ...]; the cases themselves if there is one original only."""
    require(len(labels) == len(values), f"there are {len(values)} cases, but {len(labels)} originals are named for them.")
    shared = len(set(labels)) == 1
    places = np.unique([case if shared else labels.index(label) for case, label in enumerate(labels)], return_inverse=True)[1]
    return np.stack([values[places == place].mean(axis=0) for place in range(places.max() + 1)])


def differences(cases: Sequence[pd.DataFrame], originals: Sequence[Hashable]) -> dict[str, np.ndarray]:
    """Candidate to its differences from retraining, float64 [originals, groups]."""
    parts, index = _aligned(cases)
    values = by_original(parts[..., 0] - parts[..., 1], list(originals))
    return {name: values[:, index.get_level_values(0) == name] for name in index.get_level_values(0).unique()}


def share_of_tail(own: np.ndarray, original: np.ndarray) -> Estimate:
    """phi of the memorized groups together, from the :func:`differences` of a candidate and of the original, with the jackknife's interval.

    NaN where the original is not surely above retraining there.
    """
    tail = slice(0, max(1, own.shape[1] - 1))
    return _forgotten(own[:, tail].mean(axis=1), original[:, tail].mean(axis=1))


def _forgotten(own: np.ndarray, original: np.ndarray) -> Estimate:
    if not original.mean() > confidence_half_width(original):
        return Estimate(np.nan, np.nan, np.nan)
    return jackknife(lambda a, b: share_forgotten(a.mean(), b.mean()), own, original)


def _aligned(cases: Sequence[pd.DataFrame]) -> tuple[np.ndarray, pd.MultiIndex]:
    """(accuracy, retrained, examples) of each case and row, [cases, rows, 3], and (candidate, group) of the rows."""
    require(len(cases) > 0, "there is no case to pool.")
    tables = [case[case.candidate != RETRAINED].set_index(["candidate", "group"]) for case in cases]
    index = tables[0].index
    same = all(len(table) == len(index) and set(table.index) == set(index) for table in tables)
    require(same and ORIGINAL in index.get_level_values(0), "cases to be pooled need the same candidates and groups, and the original.")
    return np.stack([table.loc[index, ["accuracy", "retrained", "examples"]].to_numpy(dtype=np.float64) for table in tables]), index


def _of_original(index: pd.MultiIndex) -> np.ndarray:
    """For each row, the place of the original's row of the same group."""
    return index.get_indexer([(ORIGINAL, group) for group in index.get_level_values(1)])
