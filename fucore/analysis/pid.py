"""What two sources tell about a label, apart and together: partial information decomposition (Williams & Beer, 2010).

With predictions A and B and the label Y, all discrete::

    I(A,B;Y) = redundancy + unique(A) + unique(B) + synergy,   I(A;Y) = redundancy + unique(A),   I(B;Y) = redundancy + unique(B)

Four terms, three equations: a measure of redundancy settles the rest.  ``"imin"`` is Williams and Beer's, ``"broja"`` that
of Bertschinger et al. (2014).  All in bits.  (The tests compare both with the library ``dit``, whose optimiser for BROJA starts at
random and sometimes stops short: 0.98 bits of synergy for XOR.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..data.forgetting import client as leaving
from ..errors import require, require_choice, require_whole
from ..federation.federation import Federation
from ..streams import Stream

#: The four terms, in this order.
TERMS = ("redundancy", "unique A", "unique B", "synergy")
GATES = {
    "RDN": "a and b are the same fair bit, y copies it",
    "UNQ": "y is the pair of two independent fair bits a and b",
    "XOR": "y is whether two independent fair bits differ",
    "AND": "y is whether two independent fair bits are both one",
    "SUM": "y is the sum of two independent fair bits",
}


def gate(name: str) -> np.ndarray:
    """The joint distribution p(a, b, y) of a canonical example, float64 [2, 2, labels]."""
    require_choice("gate", name, GATES)
    rules = {
        "RDN": lambda a, b: a,
        "UNQ": lambda a, b: 2 * a + b,
        "XOR": lambda a, b: a ^ b,
        "AND": lambda a, b: a & b,
        "SUM": lambda a, b: a + b,
    }
    joint = np.zeros((2, 2, {"UNQ": 4, "SUM": 3}.get(name, 2)))
    pairs = [(0, 0), (1, 1)] if name == "RDN" else [(0, 0), (0, 1), (1, 0), (1, 1)]
    for a, b in pairs:
        joint[a, b, rules[name](a, b)] = 1 / len(pairs)
    return joint


def joint_counts(a, b, labels, classes: int) -> np.ndarray:
    """How often each triple occurs, float64 [classes, classes, classes]; ``a``, ``b``, ``labels`` int [n]."""
    a, b, labels = (np.asarray(values).astype(np.int64) for values in (a, b, labels))
    return np.bincount((a * classes + b) * classes + labels, minlength=classes**3).reshape(classes, classes, classes).astype(float)


def decompose(joint: np.ndarray, measure: str = "broja") -> dict[str, float]:
    """The four terms of ``joint`` (counts or probabilities [A, B, Y], any number of values each)."""
    require_choice("measure", measure, ("imin", "broja"))
    joint = np.asarray(joint, float)
    require(joint.ndim == 3 and joint.sum() > 0 and (joint >= 0).all(), "joint must hold non-negative counts of (a, b, y).")
    return dict(zip(TERMS, _terms(joint / joint.sum(), measure, _least_informative).tolist()))


def _least_informative(p: np.ndarray, tolerance: float = 1e-8, most: int = 20_000) -> np.ndarray:
    """The Q of BROJA: of all with P's marginals (A, Y) and (B, Y) the one with the least I(A,B;Y), [A, B, Y].

    I(A,B;Y) is the least divergence of Q from P(y) R(a,b) over all R; both are convex, so each is set to its best in turn: R to
    Q's marginal, each Q(a,b|y) to the coupling of P(a|y) and P(b|y) that is next to R, by proportional fitting.
    """
    of_a, of_b = p.sum(1)[:, None], p.sum(0)[None]
    with np.errstate(divide="ignore", invalid="ignore"):
        q, before = np.nan_to_num(of_a * of_b / p.sum((0, 1))), np.inf
        for _ in range(most):
            information = _information(_joined(q))
            if before - information < tolerance:
                break
            before, q = information, np.where(q > 0, q.sum(-1, keepdims=True), 0.0)
            for _ in range(200):
                q = np.nan_to_num(q * (of_a / q.sum(1)[:, None]))
                miss = np.abs(q.sum(0)[None] - of_b).max()
                q = np.nan_to_num(q * (of_b / q.sum(0)[None]))
                if miss < 1e-13:
                    break
    return q


def decompose_binary(joint: np.ndarray, measure: str = "broja") -> np.ndarray:
    """``decompose`` of many joints of three bits at once, float64 [..., 2, 2, 2] to terms [..., 4] in the order of :data:`TERMS`.

    In closed form (I_min), or by minimising a convex function of two numbers (BROJA: of all Q with P's marginals (A, Y) and
    (B, Y) the one with the least I(A,B;Y); redundancy is what A and B tell under it less what both tell).  For the many
    resamples that intervals need; labels that do not occur tell nothing.
    """
    require_choice("measure", measure, ("imin", "broja"))
    p = joint / joint.sum(axis=(-3, -2, -1), keepdims=True)
    return _terms(p, measure, _least_informative_bits)


def _terms(p: np.ndarray, measure: str, least_informative) -> np.ndarray:
    """The four terms of joints [..., A, B, Y], [..., 4]."""
    of_a, of_b, of_both = (_information(pair) for pair in (p.sum(-2), p.sum(-3), _joined(p)))
    if measure == "imin":
        label = p.sum((-3, -2))
        specific = np.stack([_specific(p.sum(-2), label[..., None, :]), _specific(p.sum(-3), label[..., None, :])])
        redundancy = (label * specific.min(axis=0)).sum(-1)
    else:
        redundancy = of_a + of_b - _information(_joined(least_informative(p)))
    return np.stack([redundancy, of_a - redundancy, of_b - redundancy, of_both - of_a - of_b + redundancy], axis=-1)


def _joined(p: np.ndarray) -> np.ndarray:
    """Both sources as one, [..., A, B, Y] to [..., A B, Y]."""
    return p.reshape(*p.shape[:-3], -1, p.shape[-1])


def _least_informative_bits(p: np.ndarray, halvings: int = 35) -> np.ndarray:
    """The Q of BROJA: by label y the one free number is t[y] = q(1,1,y); the derivatives of I(A,B;Y) are bisected, that by t[1]
    for each t[0] and that by t[0] at the best t[1], which is convex too."""
    a, b, label = p.sum(-2)[..., 1, :], p.sum(-3)[..., 1, :], p.sum((-3, -2))
    low, high = np.maximum(0, a + b - label), np.minimum(a, b)
    t = 0.5 * (low + high)

    def cells():
        return np.maximum(np.stack([label - a - b + t, b - t, a - t, t], axis=-2), 0)  # (0,0), (0,1), (1,0), (1,1)

    def bisect(y, before):
        under, over = low[..., y], high[..., y]
        for _ in range(halvings):
            t[..., y] = 0.5 * (under + over)
            before()
            q = cells()
            slope = (np.log(np.maximum(q[..., y], 1e-300)) - np.log(np.maximum(q.sum(-1), 1e-300))) @ np.array([1, -1, -1, 1])
            under, over = np.where(slope < 0, t[..., y], under), np.where(slope < 0, over, t[..., y])

    bisect(0, lambda: bisect(1, lambda: None))
    return cells().reshape(p.shape)


def _information(pair: np.ndarray) -> np.ndarray:
    """I(S;Y) in bits of joints p(s, y), [..., S, Y] to [...]."""
    product = pair.sum(-1, keepdims=True) * pair.sum(-2, keepdims=True)
    return np.where(pair > 0, pair * np.log2(np.maximum(pair, 1e-300) / np.maximum(product, 1e-300)), 0.0).sum((-2, -1))


def estimate(a, b, labels, classes: int, *, measure: str = "broja", images=None, resamples: int = 200, seed: int = 0) -> pd.DataFrame:
    """The terms of "label is c, or not" for each class c, summed over classes; bias-corrected, with 95 % intervals.

    ``a``, ``b``, ``labels``: int [n].  Returns one row a term: ``plug-in, corrected, low, high`` in bits.  One class against
    the rest has 8 cells where all classes together have classes^3, whose bias would drown the synergy; the sum of the
    answers to so many questions is not the information about the label.  The correction is the
    jackknife over 20 blocks; the interval is the spread of bootstrap samples around their mean, put around the corrected
    estimate.  Rows of one image (``images`` int [n], where several models saw the same) are drawn and left out together.
    """
    a, b, labels = (np.asarray(values) for values in (a, b, labels))
    require(len(a) == len(b) == len(labels) >= 20, "predictions and labels must be lists of one length, of at least 20 examples.")
    require_whole("resamples", resamples, 1)
    rng = np.random.default_rng([seed, Stream.PID_BOOTSTRAP])
    _, images = np.unique(np.arange(len(labels)) if images is None else np.asarray(images), return_inverse=True)
    rows_of = np.split(np.argsort(images, kind="stable"), np.cumsum(np.bincount(images))[:-1])
    blocks = [np.concatenate([rows_of[image] for image in block]) for block in np.array_split(rng.permutation(len(rows_of)), 20)]
    everything = np.arange(len(labels))
    drawn = [np.concatenate([rows_of[image] for image in rng.integers(0, len(rows_of), len(rows_of))]) for _ in range(resamples)]
    chosen = [everything, *(np.delete(everything, block) for block in blocks), *drawn]
    counts = np.stack([_one_against_rest(a[rows], b[rows], labels[rows], classes) for rows in chosen])
    plain, left_out, samples = np.split(decompose_binary(counts, measure).sum(axis=1), [1, 1 + len(blocks)])
    corrected = plain[0] + (len(blocks) - 1) * (plain[0] - left_out.mean(axis=0))
    low, high = np.percentile(samples - samples.mean(axis=0), [2.5, 97.5], axis=0)
    table = {"plug-in": plain[0], "corrected": corrected, "low": corrected + low, "high": corrected + high}
    return pd.DataFrame(table, index=list(TERMS))


def client_and_others(federation: Federation, client: int, rounds: int, seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Two sources about the test labels: ``a``, predictions of models that learned from ``client`` alone, and ``b``, of models that learned from all others.

    One pair of models a seed, their predictions one after the other: int64 ``a``, ``b``, ``labels`` and ``images`` [seeds * n], as
    :func:`estimate` takes them.
    """
    test = federation.data.test
    sides = {"a": federation.only([client]), "b": federation.without(leaving(client))}
    runs = {side: learners.train_many(rounds, seeds) for side, learners in sides.items()}
    seen = {side: np.concatenate([federation.logits(run.weights, test).argmax(1).numpy() for run in runs[side]]) for side in runs}
    return {**seen, "labels": np.tile(test.labels.numpy(), len(seeds)), "images": np.tile(np.arange(len(test)), len(seeds))}


def _one_against_rest(a, b, labels, classes: int) -> np.ndarray:
    """Counts of (a is c, b is c, label is c) for each class c, float64 [classes, 2, 2, 2]."""
    return np.stack([joint_counts(a == c, b == c, labels == c, 2) for c in range(classes)])


def _specific(pair: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Specific information about each label of sources with joint p(s, y), in bits, [..., S, Y] to [..., Y]."""
    source = pair.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = pair / label * np.log2(pair / (source * label))
    return np.nansum(np.where(pair > 0, terms, 0.0), axis=-2)
