"""Time to accuracy, speed-up over retraining, and how fast a model relearns (Wei et al., Figure 3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..data.partition import Partition
from ..errors import require_whole
from ..federation.case import Case
from ..runs.run import Run

SMOOTHING = 3
TOLERANCE = 0.005


def smoothed(accuracy) -> np.ndarray:
    """Moving average over the last 3 recorded rounds, float64 [n]; NaN for the first two."""
    return pd.Series(np.asarray(accuracy, dtype=np.float64)).rolling(SMOOTHING).mean().to_numpy()


def target_accuracy(retrained: Sequence[Run], tolerance: float = TOLERANCE) -> float:
    """What a quick method should reach: the best smoothed test accuracy of the retrained models' mean curve, less ``tolerance``.

    NaN with fewer than 3 recorded rounds.
    """
    curve = smoothed(np.mean([_accuracies(run) for run in retrained], axis=0))
    return max(0.0, float(np.max(curve[SMOOTHING - 1 :])) - tolerance) if len(curve) >= SMOOTHING else float("nan")


def time_to_accuracy(run: Run, target: float, unit: str = "examples") -> float:
    """Examples (or ``"seconds"``, ``"round"``) spent until smoothed test accuracy reaches ``target``; infinity if it never does."""
    return _first(_trained(run), _accuracies(run), target, unit)


def speed_up(runs: Sequence[Run], retrained: Sequence[Run], unit: str = "examples") -> float:
    """How many times sooner the median run reaches :func:`target_accuracy` than the retrained models' mean curve; NaN if never.

    Rounds before the method's last stage, such as the one in which FedMemPrune locates what to reset, are spent but not counted as unlearned.

    The paper compares times to each method's own peak, which is noisy; here both must reach the same target.
    """
    target, theirs = _of_retraining(retrained, unit)
    own = float(np.median([time_to_accuracy(run, target, unit) for run in runs]))
    return theirs / own if np.isfinite(own) and np.isfinite(theirs) else float("nan")


def speed_up_below(runs: Sequence[Run], retrained: Sequence[Run], unit: str = "examples") -> float:
    """What :func:`speed_up` is surely below where the target was not reached: as if it were, at the last round of the longest run."""
    _, theirs = _of_retraining(retrained, unit)
    spent = [run.history[-1][unit] for run in runs if run.history]
    return theirs / max(spent) if spent and max(spent) > 0 and np.isfinite(theirs) else float("nan")


def _of_retraining(retrained: Sequence[Run], unit: str) -> tuple[float, float]:
    """(target accuracy, when the retrained models' mean curve reaches it)."""
    target = target_accuracy(retrained)
    return target, _first(_trained(retrained[0]), np.mean([_accuracies(run) for run in retrained], axis=0), target, unit)


def _first(rows, accuracies, target, unit) -> float:
    reached = np.flatnonzero(smoothed(accuracies) >= target)
    return float(rows[reached[0]][unit]) if len(reached) else float("inf")


def _trained(run: Run) -> list[dict]:
    """The recorded rounds after the last stage: what came before a reset has not forgotten yet, the moment after it is not trained."""
    last = max((place for place, row in enumerate(run.history) if "stage" in row), default=-1)
    return run.history[last + 1 :]


def _accuracies(run: Run) -> list[float]:
    return [row["test_accuracy"] for row in _trained(run)]


def relearn_epochs(run: Run, case: Case, *, cap: int = 30, rate: float = 0.1, seed: int = 0) -> float:
    """Epochs of training on the forgotten examples until their mean loss is back at the original model's; NaN after ``cap``.

    0 if it already is.  The learning rate is ``rate`` times that of training, so that epochs resolve
    differences.  A model that has truly forgotten needs as long as a retrained one; compare with that.
    """
    require_whole("cap", cap, 1)
    federation, weights, departed = case.federation, run.weights, case.departed
    goal = federation.evaluate(case.original.weights, departed)[1]
    if federation.evaluate(weights, departed)[1] <= goal:
        return 0.0
    local = dataclasses.replace(federation.local, epochs=1, lr=rate * federation.local.lr)
    alone = dataclasses.replace(
        federation, data=dataclasses.replace(federation.data, test=departed), clients=Partition((case.forgotten,)), local=local
    )
    for epoch in range(cap):
        weights = alone.train(1, seed, start=weights, first_round=epoch, keep=False).weights
        if federation.evaluate(weights, departed)[1] <= goal:
            return epoch + 1.0
    return float("nan")
