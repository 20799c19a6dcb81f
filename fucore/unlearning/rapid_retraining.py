"""Rapid retraining: start anew without the forgotten data, with second-order local steps (Liu et al., INFOCOM 2022)::

    g = mean gradient of the batch,   D = diagonal curvature of the batch
    m <- b1 m + (1 - b1) g,           v <- b2 v + (1 - b2) D * D
    theta <- theta - lr  m^ / (v^^(power/2) + eps),      m^, v^ bias-corrected

``curvature="fim"`` is the diagonal empirical Fisher of per-example gradients (the paper), ``"hutchinson"`` one random
sample of the Hessian's diagonal (the public code).  A step costs two passes (Fisher) or three (Hutchinson), and is
accounted so.  Squaring the batch gradient itself would be neither.
"""

from __future__ import annotations

import dataclasses
import math

from ..errors import require_choice, require_number, require_whole
from ..federation.randomness import derived_seed
from ..federation.training import Hooks
from ..streams import Stream
from ._curvature import empirical_fisher, hutchinson
from .registry import method

CURVATURES = {"fim": empirical_fisher, "hutchinson": hutchinson}
PASSES = {"fim": 2, "hutchinson": 3}


@method("rapid-retraining", citation="Liu et al., INFOCOM 2022")
def rapid_retraining(
    task,
    *,
    rounds: int = 4,
    curvature: str = "fim",
    start: str = "scratch",
    lr: float = 0.01,
    power: float = 1.0,
    epsilon: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    longest: float = 1.0,
):
    """``rounds`` rounds on the remaining clients with second-order steps of norm at most ``longest``.

    ``start``: ``"scratch"`` (the paper) or ``"original"``; ``power`` of the curvature, 0 for plain momentum.
    """
    require_whole("rounds", rounds, 1)
    require_choice("curvature", curvature, CURVATURES)
    require_choice("start", start, ("scratch", "original"))
    require_number("power", power, 0.0, 2.0)
    require_number("longest", longest, 0.0, math.inf, open_low=True)
    scratch = task.remaining.initial_weights(derived_seed(task.seed, Stream.RAPID_RETRAINING))
    theta = scratch if start == "scratch" else task.original.weights
    local = dataclasses.replace(task.remaining.local, optimizer="sgd", lr=lr, momentum=0.0, weight_decay=0.0)
    rule = preconditioned(CURVATURES[curvature], power, epsilon, beta1, beta2, longest / max(lr, 1e-12))
    return task.train(
        theta, rounds, on=dataclasses.replace(task.remaining, local=local), hooks=Hooks(gradient=rule, passes=PASSES[curvature])
    )


def preconditioned(curvature, power: float, epsilon: float, beta1: float, beta2: float, longest: float = math.inf):
    """A gradient hook that turns the gradient into the second-order direction, of norm at most ``longest``."""

    def rule(step):
        state, diagonal = step.state, curvature(step)
        t = state["t"] = state.get("t", 0) + 1
        state["m"] = beta1 * state.get("m", 0.0) + (1 - beta1) * step.gradient
        state["v"] = beta2 * state.get("v", 0.0) + (1 - beta2) * diagonal.square()
        mean, square = state["m"] / (1 - beta1**t), state["v"] / (1 - beta2**t)
        direction = mean / (square.pow(power / 2) + epsilon)
        step.gradient.copy_(direction * (longest / direction.norm().clamp_min(1e-30)).clamp(max=1.0))

    return rule
