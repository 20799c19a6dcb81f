"""Local fairness: do all remaining clients feel the unlearning alike? (Shao et al., 2024; Wei et al., App. E.2)"""

from __future__ import annotations

import numpy as np

from ..errors import require_choice

KINDS = ("mad", "var", "std")


def local_fairness(before: np.ndarray, after: np.ndarray, kind: str = "mad") -> float:
    """How unevenly losses changed: spread over remaining clients of dq_i = after_i - before_i (0: all alike).

    ``"mad"`` is the mean absolute deviation from the mean, as in the public code; the paper's text also speaks of
    variance: ``"var"``, ``"std"``.
    """
    require_choice("kind", kind, KINDS)
    change = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    deviation = change - change.mean()
    return float({"mad": np.abs(deviation).mean(), "var": (deviation**2).mean(), "std": np.sqrt((deviation**2).mean())}[kind])
