"""Time to accuracy, and speed-up over retraining (Wei et al., Figure 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

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
