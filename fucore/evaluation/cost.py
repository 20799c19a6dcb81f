"""Time to accuracy, speed-up over retraining, and how fast a model relearns (Wei et al., Figure 3)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from ..errors import require_number, require_whole
from ..federation import Federation
from ..forgetting import Request
from ..partition import Partition
from ..run import Run

SMOOTHING = 3
TOLERANCE = 0.005


def smoothed(accuracy) -> np.ndarray:
    """Moving average over the last (up to) 3 recorded rounds, float64 [n]."""
    return pd.Series(np.asarray(accuracy, dtype=np.float64)).rolling(SMOOTHING, min_periods=1).mean().to_numpy()


def time_to_accuracy(run: Run, target: float, unit: str = "examples") -> float:
    """Examples (or ``"seconds"``, ``"round"``) spent until smoothed test accuracy reaches ``target``; NaN if it never does."""
    require_number("target", target, 0.0, 1.0)
    rounds = [row for row in run.history if "stage" not in row]
    reached = np.flatnonzero(smoothed([row["test_accuracy"] for row in rounds]) >= target)
    return float(rounds[reached[0]][unit]) if len(reached) else float("nan")


def speed_up(run: Run, retrained: Run, unit: str = "examples", tolerance: float = TOLERANCE) -> float:
    """How many times sooner ``run`` comes within ``tolerance`` of the best smoothed accuracy of ``retrained``; NaN if never.

    The paper compares times to each method's own peak, which is noisy; here both must reach the same target.
    """
    best = smoothed([row["test_accuracy"] for row in retrained.history]).max()
    target = max(0.0, best - tolerance)
    return time_to_accuracy(retrained, target, unit) / time_to_accuracy(run, target, unit)


def relearn_epochs(
    federation: Federation, weights, original: Run, request: Request, *, cap: int = 30, rate: float = 0.1, seed: int = 0
) -> float:
    """Epochs of training on the forgotten examples until their mean loss is back at the original model's; NaN after ``cap``.

    0 if it already is.  The learning rate is ``rate`` times that of training, so that epochs resolve
    differences.  A model that has truly forgotten needs as long as a retrained one; compare with that.
    """
    require_whole("cap", cap, 1)
    indices = federation.forgotten(request)
    forgotten = federation.data.train.take(indices)
    goal = federation.evaluate(original.weights, forgotten)[1]
    if federation.evaluate(weights, forgotten)[1] <= goal:
        return 0.0
    local = dataclasses.replace(federation.local, epochs=1, lr=rate * federation.local.lr)
    alone = dataclasses.replace(
        federation, data=dataclasses.replace(federation.data, test=forgotten), clients=Partition((indices,)), local=local
    )
    history = alone.train(cap, seed, start=weights).history
    return float(next((row["round"] for row in history if row["test_loss"] <= goal), "nan"))
