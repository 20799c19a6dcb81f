"""FedMemPrune: reset the parameters that the remaining clients do not use, then fine-tune (Wei et al., KDD 2026, section 6)::

    g   = mean over remaining clients of their updates (mode "code") or loss gradients (mode "paper") at theta_o
    I   = |g|                                   importance for the remaining data, Eq. 15
    M   = the floor(rho d) smallest I, over all tensors together, Eq. 14
    theta[M] <- new initial values;             then FedAvg on the remaining clients, Eq. 16

The paper prunes the original model and then fine-tunes for T rounds.  The public code first takes one round of FedAvg
(which also gives g), prunes the result, and fine-tunes for the T-1 rounds that are left.  The printed results come from
the code, so that is the default.
"""

from __future__ import annotations

import math
import warnings

import torch

from ..errors import require, require_choice, require_number, require_whole
from ..federation.models import initial_bound
from ..federation.randomness import derived_seed
from ..federation.weights import Layout
from ..streams import Stream
from .registry import method
from .task import Task

LOWEST_AUTOMATIC, HIGHEST_AUTOMATIC = 0.05, 0.9


@method("fedmemprune", citation="Wei et al., KDD 2026")
def fedmemprune(task: Task, *, ratio: float | str = "auto", rounds: int = 4, mode: str = "code", reinit: str = "fresh_model"):
    """Unlearn by resetting the share ``ratio`` of least important parameters.

    ``ratio`` in [0, 1], or ``"auto"`` (App. H.2, see :func:`automatic_ratio`; only in ``mode="code"``); ``rounds`` of
    federated training, the locating round of ``mode="code"`` included; ``reinit``: ``"fresh_model"`` copies the
    entries of a newly drawn network, ``"code"`` draws as the public code does.
    """
    require_whole("rounds", rounds, 1)
    require_choice("mode", mode, ("paper", "code"))
    require_choice("reinit", reinit, ("fresh_model", "code"))
    original = task.original.weights
    if mode == "code":
        theta = task.train(original, 1)
        importance = (theta - original).abs()
    else:
        theta = original
        importance = task.mean_gradient(original).abs()
    if ratio == "auto":
        require(
            mode == "code",
            'ratio "auto" is defined on client updates, which mode="paper" does not make: give a number, or use mode="code".',
        )
        ratio = automatic_ratio(importance)
    ratio = require_number("ratio", ratio, 0.0, 1.0)
    task.log["ratio"] = ratio
    if not importance.any():
        warnings.warn("no parameter moved while locating, so the choice of what to reset is arbitrary.", stacklevel=2)
    chosen = least_important(importance, ratio)
    theta = reset(theta, chosen, task, reinit)
    task.note(theta, "reset")
    return task.train(theta, rounds - task.round)


def least_important(importance: torch.Tensor, ratio: float) -> torch.Tensor:
    """Indices of the floor(ratio d) smallest entries of ``importance`` [d]; ties go to the lower index."""
    return torch.argsort(importance, stable=True)[: math.floor(ratio * importance.numel())]


def reset(theta: torch.Tensor, chosen: torch.Tensor, task, reinit: str) -> torch.Tensor:
    """A copy of ``theta`` [d] with new initial values at the indices ``chosen``."""
    seed = derived_seed(task.seed, Stream.RESET_VALUES)
    if reinit == "fresh_model":
        values = task.remaining.initial_weights(seed)
    else:
        values = published_initial_values(task.remaining.layout, seed)
    theta = theta.clone()
    theta[chosen] = values[chosen]
    return theta


def published_initial_values(layout: Layout, seed: int) -> torch.Tensor:
    """What the public code resets to, [d]: U(-b, b), b = sqrt(6/fan_in) for tensors of >= 2 dimensions, else 0.1."""
    generator = torch.Generator().manual_seed(seed)
    bounds = torch.cat([torch.full((math.prod(shape),), initial_bound(shape)) for shape in layout.shapes])
    return (torch.rand(layout.size, generator=generator) * 2 - 1) * bounds


def automatic_ratio(importance: torch.Tensor, upper: float = 0.98) -> float:
    """Share of parameters below the decade under the one where importance rises, clamped to [0.05, 0.9].

    ``e = floor(log10 Q_0.98(I))``, ``ratio = share of I < 10^(e-1)``.  Appendix H.2 describes the rule in words; its
    exponents are missing in our copy of the text, so this is a reconstruction.  Zero importance counts as below everything.
    """
    importance = importance.double()
    level = float(importance.kthvalue(math.ceil(upper * importance.numel())).values)
    require(level > 0, "the automatic pruning ratio needs parameters that move: at least 2 % of the importances must be above zero.")
    # the small tolerance keeps exact powers of ten in their own decade, so that scaling I by 10 changes nothing
    decade = 10.0 ** (math.floor(math.log10(level) + 1e-9) - 1)
    share = float((importance < decade * (1 - 1e-9)).double().mean())
    return min(HIGHEST_AUTOMATIC, max(LOWEST_AUTOMATIC, share))
