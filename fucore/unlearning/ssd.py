"""SSD: dampen the parameters that matter far more for the forgotten than for the other data (Foster, Schoepf & Brintrup, AAAI 2024)::

    I_S,i   = mean over (x, y) in S of (d log P(y|x) / d theta_i)^2                     diagonal of the empirical Fisher at theta_o
    theta_i <- beta_i theta_i  where  I_f,i > alpha I_D,i;    beta_i = min(lambda I_D,i / I_f,i, 1)

No training follows in the paper; ``rounds`` of recovery may.  Each asked client sends the sum of its squared gradients on what it must forget, each
remaining client that on what it keeps, d numbers each, once; the server divides and dampens.  For I_D the paper takes *all* data, the forgotten
included, of which they are a few percent.  A client of ten holds a tenth, and then I_D >= p I_f, with p the share of the forgotten, selects nothing
once alpha p >= 1: so by default ``compared_with="remaining"`` puts the remaining data in place of all, which is the same for small p;
``"everyone"`` is as printed.  The public code squares the gradients of means over batches, where noise cancels, and not of each example, and
has the same defaults (alpha 5 for a transformer; 50, with lambda 0.1, for faces).
"""

from __future__ import annotations

import math
import warnings

import torch

from ..errors import require, require_choice, require_number, require_whole
from ._curvature import fisher_of
from .registry import method
from .task import Task


@method("ssd", needs=("forgotten data",), citation="Foster, Schoepf & Brintrup, AAAI 2024")
def ssd(task: Task, *, rounds: int = 0, alpha: float = 10.0, dampening: float = 1.0, compared_with: str = "remaining"):
    """Dampen by ``dampening`` (lambda) what is selected by ``alpha``, then ``rounds`` of FedAvg on the remaining clients."""
    require_whole("rounds", rounds, 0)
    require_number("alpha", alpha, 0.0, math.inf, open_high=True)
    require_number("dampening", dampening, 0.0, math.inf, open_high=True)
    require_choice("compared_with", compared_with, ("remaining", "everyone"))
    original = task.original.weights
    forgotten, kept = (int(federation.clients.sizes.sum()) for federation in (task.departed, task.remaining))
    share = forgotten / (forgotten + kept)
    require(
        compared_with == "remaining" or alpha * share < 1,
        f"the forgotten examples are {share:.0%} of all, so with alpha {alpha:g} nothing can be selected: take alpha below {1 / share:.3g}, "
        'or compared_with="remaining".',
    )
    leaving = fisher_of(task, original, task.departed) / forgotten
    others = fisher_of(task, original, task.remaining) / kept
    reference = others if compared_with == "remaining" else share * leaving + (1 - share) * others
    theta = dampened(original, leaving, reference, alpha, dampening)
    task.log["share dampened"] = float((theta != original).float().mean())
    if torch.equal(theta, original):
        warnings.warn(f"no parameter is {alpha:g} times as important for the forgotten data, so nothing was dampened.", stacklevel=2)
    task.note(theta, "dampened")
    return task.train(theta, rounds)


def dampened(theta: torch.Tensor, leaving: torch.Tensor, reference: torch.Tensor, alpha: float, dampening: float) -> torch.Tensor:
    """``theta`` [d] times min(lambda I_D / I_f, 1) where I_f > alpha I_D; ``leaving`` is I_f, ``reference`` I_D, float [d] each."""
    share = (dampening * reference / leaving).clamp(max=1.0)
    return torch.where(leaving > alpha * reference, share * theta, theta)
