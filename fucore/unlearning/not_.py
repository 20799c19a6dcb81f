"""NoT: negate the weights of the first layer, then recover on the remaining clients (Khalil et al., CVPR 2025)::

    theta_l <- -theta_l  for l in the chosen layers;   then FedAvg on the remaining clients

It does not look at the forgotten data: whatever is forgotten of a client in particular, recovery forgets.
Negation is its own inverse: from a run that NoT made, a second request gives the layers back.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..errors import require, require_whole
from ..federation.weights import Layout
from .registry import method
from .task import Task


@method("not", citation="Khalil et al., CVPR 2025")
def negation(task: Task, *, rounds: int = 4, layers: Sequence[str] | None = None, include_bias: bool = False):
    """Negate ``layers`` (names of weight tensors; default the first one), with their biases if asked."""
    require_whole("rounds", rounds, 0)
    theta = negated(task.original.weights, task.remaining.layout, layers, include_bias)
    task.note(theta, "negated")
    return task.train(theta, rounds)


def negated(theta: torch.Tensor, layout: Layout, layers: Sequence[str] | None = None, include_bias: bool = False) -> torch.Tensor:
    """A copy of ``theta`` [d] with the chosen tensors negated."""
    first = [name for name, shape in zip(layout.names, layout.shapes) if len(shape) >= 2][:1]
    layers = first if layers is None else layers
    unknown = sorted(set(layers) - set(layout.names))
    require(not unknown, f"the model has no tensor {unknown[0] if unknown else ''!r}, only: {', '.join(layout.names)}.")
    biases = [name.removesuffix("weight") + "bias" for name in layers if include_bias]
    theta = theta.clone()
    for name in {*layers, *biases} & set(layout.names):
        theta[layout.slices[name]] *= -1
    return theta
