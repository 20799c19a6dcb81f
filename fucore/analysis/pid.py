"""What two sources tell about a label, apart and together: partial information decomposition (Williams & Beer, 2010).

With predictions A and B and the label Y, all discrete::

    I(A,B;Y) = redundancy + unique(A) + unique(B) + synergy,   I(A;Y) = redundancy + unique(A),   I(B;Y) = redundancy + unique(B)

Four terms, three equations: a measure of redundancy settles the rest.  ``"imin"`` is Williams and Beer's, ``"broja"`` that
of Bertschinger et al. (2014), both by the library ``dit``.  All in bits.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..errors import require, require_choice, require_whole

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
    """The four terms of ``joint`` (counts or probabilities [A, B, Y]) by ``dit``."""
    require_choice("measure", measure, ("imin", "broja"))
    require(joint.ndim == 3 and joint.sum() > 0 and (joint >= 0).all(), "joint must hold non-negative counts of (a, b, y).")
    import dit
    from dit.pid import PID_BROJA, PID_WB

    places = np.argwhere(joint > 0)
    outcomes = [tuple(str(value) for value in place) for place in places]
    distribution = dit.Distribution(outcomes, (joint[joint > 0] / joint.sum()).tolist())
    result = {"imin": PID_WB, "broja": PID_BROJA}[measure](distribution)
    return dict(zip(TERMS, (float(result[node]) for node in (((0,), (1,)), ((0,),), ((1,),), ((0, 1),)))))


def decompose_imin(joint: np.ndarray) -> dict[str, float]:
    """``decompose(joint, "imin")`` in closed form, for the many resamples that intervals need.

    Redundancy = sum_y p(y) min over sources of the specific information sum_s p(s|y) log2 p(y|s) / p(y).
    """
    p = joint / joint.sum()
    label = p.sum(axis=(0, 1))
    specific = np.stack([_specific(p.sum(axis=1), label), _specific(p.sum(axis=0), label)])
    redundancy = float(label @ specific.min(axis=0))
    alone = [float(label @ each) for each in specific]
    together = float(label @ _specific(p.reshape(-1, p.shape[2]), label))
    return dict(zip(TERMS, (redundancy, alone[0] - redundancy, alone[1] - redundancy, together - sum(alone) + redundancy)))


def estimate(a, b, labels, classes: int, *, images=None, resamples: int = 200, seed: int = 0) -> pd.DataFrame:
    """The terms of "label is c, or not" for each class c, summed over classes; bias-corrected, with 95 % intervals.

    ``a``, ``b``, ``labels``: int [n].  Returns one row a term: ``plug-in, corrected, low, high`` in bits.  One class against
    the rest has 8 cells where all classes together have classes^3, whose bias would drown the synergy.  The correction is the
    jackknife over 20 blocks; the interval is the spread of bootstrap samples around their mean, put around the corrected
    estimate.  Rows of one image (``images`` int [n], where several models saw the same) are drawn and left out together.
    """
    a, b, labels = (np.asarray(values) for values in (a, b, labels))
    require(len(a) == len(b) == len(labels) >= 20, "predictions and labels must be lists of one length, of at least 20 examples.")
    require_whole("resamples", resamples, 1)
    rng = np.random.default_rng([seed, 9501])
    _, images = np.unique(np.arange(len(labels)) if images is None else np.asarray(images), return_inverse=True)
    rows_of = np.split(np.argsort(images, kind="stable"), np.cumsum(np.bincount(images))[:-1])
    plain = _summed(a, b, labels, classes)
    blocks = [np.concatenate([rows_of[image] for image in block]) for block in np.array_split(rng.permutation(len(rows_of)), 20)]
    left_out = np.stack([_summed(*(np.delete(values, block) for values in (a, b, labels)), classes) for block in blocks])
    correction = (len(blocks) - 1) * (plain - left_out.mean(axis=0))
    drawn = (np.concatenate([rows_of[image] for image in rng.integers(0, len(rows_of), len(rows_of))]) for _ in range(resamples))
    samples = np.stack([_summed(a[chosen], b[chosen], labels[chosen], classes) for chosen in drawn])
    low, high = np.percentile(samples - samples.mean(axis=0), [2.5, 97.5], axis=0)
    corrected = plain + correction
    table = {"plug-in": plain, "corrected": corrected, "low": corrected + low, "high": corrected + high}
    return pd.DataFrame(table, index=list(TERMS))


def _summed(a, b, labels, classes: int) -> np.ndarray:
    """Terms [4] summed over "class or not"."""
    total = np.zeros(len(TERMS))
    for label in range(classes):
        total += list(decompose_imin(joint_counts(a == label, b == label, labels == label, 2)).values()) if (labels == label).any() else 0
    return total


def _specific(pair: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Specific information about each label of a source with joint p(s, y) [S, Y], in bits [Y]."""
    source = pair.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = pair / label * np.log2(pair / (source * label))
    return np.nansum(np.where(pair > 0, terms, 0.0), axis=0)
