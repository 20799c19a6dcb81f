"""Do all remaining clients feel the unlearning alike? (Wei et al., App. E.2)"""

from __future__ import annotations

from ..fairness import client_losses, local_fairness
from ..registry import metric


@metric("local fairness", key="local_fairness")
def unevenness(run, case, others):
    """Mean absolute deviation over remaining clients of how their mean loss changed from the original's; NaN for the original itself."""
    if run is case.original:
        return float("nan")
    before = case.remember(("losses before",), None, lambda: client_losses(case.without, case.original.weights))
    return local_fairness(before, client_losses(case.without, run.weights))
