"""KLOM: KL divergence of margins (Georgiev et al., 2024, "Attribute-to-Delete", arXiv 2410.23232)::

    KLOM(x) = KL(distribution of margins of unlearned models || that of retrained ones),     margin: log-odds of the true class of x

As published: margins clipped to [-100, 100], 20 bins of equal width between the smallest and the largest of both, and no bin of the retrained
models below 1e-5.  That is meant for a hundred models and more: with sixteen most bins are empty, and a single unlearned model in a bin without
a retrained one costs log(1/16 / 1e-5) / 16, half a nat.  So there is a *Gaussian* variant for few models, of two numbers a side::

    KLOM(x) = log(s_r / s_u) + (s_u^2 + (m_u - m_r)^2) / (2 s_r^2) - 1/2

Its value for retraining against itself with M models on each side is not 0, but ((M - 1)(1 + 2/M) / (M - 3) - 1) / 2 where margins are normal.
The direction is that of the authors' public code (unlearned first).
"""

from __future__ import annotations

import numpy as np

from ..distributions import checked, distribution_metric

BINS, CLIP, EMPTY = 20, 100.0, 1e-5
#: Below this a spread is taken to be this: models that all say the same have none.
LEAST_SPREAD = 1e-6


@distribution_metric("KLOM")
def klom(unlearned: np.ndarray, retrained: np.ndarray) -> np.ndarray:
    """By histograms, in nats, float64 [m], from log-odds [N, m] and [K, m]."""
    both = [np.clip(side, -CLIP, CLIP) for side in checked(unlearned, retrained, least=1)]
    low, high = (end([end(side, axis=0) for side in both], axis=0) for end in (np.min, np.max))
    p, q = (_histogram(side, low, high) for side in both)
    q = np.maximum(q, EMPTY)
    q /= q.sum(axis=0)
    return np.where(p > 0, p * np.log(np.maximum(p, EMPTY) / q), 0.0).sum(axis=0)


def _histogram(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Shares of ``values`` [M, m] in :data:`BINS` bins between ``low`` and ``high`` [m], float64 [bins, m]."""
    width = np.where(high > low, high - low, 1.0)
    place = np.minimum((BINS * (values - low) / width).astype(int), BINS - 1)
    return (place == np.arange(BINS)[:, None, None]).mean(axis=1)


@distribution_metric("KLOM, Gaussian")
def klom_gaussian(unlearned: np.ndarray, retrained: np.ndarray) -> np.ndarray:
    """Between normal distributions with each side's mean and standard deviation, in nats, float64 [m]."""
    unlearned, retrained = checked(unlearned, retrained)
    ours, theirs = (np.maximum(side.std(axis=0, ddof=1), LEAST_SPREAD) for side in (unlearned, retrained))
    shift = unlearned.mean(axis=0) - retrained.mean(axis=0)
    return np.log(theirs / ours) + (ours**2 + shift**2) / (2 * theirs**2) - 0.5
