"""Do all remaining clients feel the unlearning alike? (Wei et al., App. E.2)"""

from __future__ import annotations

from ..fairness import local_fairness
from ..registry import metric


@metric("local fairness", key="local_fairness")
def unevenness(run, case, others):
    """Mean absolute deviation over remaining clients of how their mean loss changed from the original's; NaN for the original itself."""
    if run is case.original:
        return float("nan")
    return local_fairness(case.losses(case.original), case.losses(run))
