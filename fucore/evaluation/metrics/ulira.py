"""U-LiRA: an attack of its own for each example (Kurmanji et al., NeurIPS 2023; Hayes et al., 2024, arXiv 2403.01218)::

    L(x, theta) = log N(phi; m_u, s_u^2) - log N(phi; m_r, s_r^2),        phi: log-odds of the true class of x by theta
    theta is called unlearned where L > 0, else retrained;   accuracy: 0.5 where the two cannot be told, 1 where always

m and s are of *other* unlearned and retrained models ("shadow" models): here all at hand but one of each side, the one that is attacked and
one of the other side, so that neither has more of them and models that are all alike are told in exactly half of the trials, on average.
The papers train shadow models on random halves of the data and attack examples that were forgotten or never seen;
here the request is the case's, and what differs between models is the seed or the original.
"""

from __future__ import annotations

import numpy as np

from ..distributions import checked, distribution_metric
from .klom import LEAST_SPREAD


@distribution_metric("U-LiRA accuracy")
def ulira_accuracy(unlearned: np.ndarray, retrained: np.ndarray) -> np.ndarray:
    """Share of right answers over all models left out in turn, both sides alike, float64 [m]; ties count half."""
    ours, theirs = ulira(unlearned, retrained)
    return ((1 + np.sign(ours)) / 2).mean(axis=0) / 2 + ((1 - np.sign(theirs)) / 2).mean(axis=0) / 2


def ulira(unlearned: np.ndarray, retrained: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """L of unlearned and of retrained models, each float64 [turns, m], ``turns`` the larger of N and K; above 0 speaks for unlearned.

    Raises ``FucoreError`` with fewer than 3 models of a side.
    """
    unlearned, retrained = checked(unlearned, retrained, least=3)
    turns = np.arange(max(len(unlearned), len(retrained)))
    sides = [side[turns % len(side)] for side in (unlearned, retrained)]
    fits = [tuple(part[turns % len(side)] for part in _without_each(side)) for side in (unlearned, retrained)]
    ours, theirs = (_log_normal(side, *fits[0]) - _log_normal(side, *fits[1]) for side in sides)
    return ours, theirs


def _without_each(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of all models but one, for each that is left out, [models, m] each."""
    rest = [np.delete(values, left, axis=0) for left in range(len(values))]
    return np.array([part.mean(axis=0) for part in rest]), np.array([np.maximum(part.std(axis=0, ddof=1), LEAST_SPREAD) for part in rest])


def _log_normal(values: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """log of the normal density, up to a constant."""
    return -np.log(spread) - ((values - mean) / spread) ** 2 / 2
