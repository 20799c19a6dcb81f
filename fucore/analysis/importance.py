"""Which parameters the remaining clients use (Wei et al., App. H.2, Figure H9)."""

from __future__ import annotations

import torch

from ..data.forgetting import Request
from ..runs.run import Run


def remaining_importance(original: Run, request: Request, seed: int = 0) -> torch.Tensor:
    """size of the mean update of the clients that stay in one more round from the ``original``, float32 [d]: small where they need nothing."""
    without = original.federation.without(request)
    located = without.train(1, seed=seed, start=original.weights, first_round=original.rounds)
    return (located.weights - original.weights).abs()


def sorted_importance(importance: torch.Tensor, points: int = 500) -> tuple[torch.Tensor, torch.Tensor]:
    """(percentiles, importances at them) for a plot of log10 I against percentile; both float64 [points]."""
    ordered = importance.double().sort().values
    percentiles = torch.linspace(0, 100, points, dtype=torch.float64)
    places = (percentiles / 100 * (len(ordered) - 1)).round().long()
    return percentiles, ordered[places]
