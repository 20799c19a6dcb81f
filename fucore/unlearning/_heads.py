"""The last linear layer inside a flat weight vector."""

from __future__ import annotations

import torch

from ..errors import require
from ..federation.weights import Layout
from ..federation.worker import watched


def head(layout: Layout) -> slice:
    """Where the last matrix and what follows it (its bias) lie; everything before are features."""
    matrices = [name for name, shape in zip(layout.names, layout.shapes) if len(shape) == 2]
    require(bool(matrices), "this method edits the last linear layer, but the model has none.")
    return slice(layout.slices[matrices[-1]].start, layout.size)


def matrix_and_bias(vector: torch.Tensor, layout: Layout) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Views of a head's flat ``vector`` as [classes, features] and [classes] (``None`` without a bias)."""
    shape = [shape for shape in layout.shapes if len(shape) == 2][-1]
    size = shape[0] * shape[1]
    return vector[:size].view(shape), vector[size:] if vector.numel() > size else None


def features_of(step) -> torch.Tensor:
    """Inputs [b, features] of the last linear layer for this step's batch, by one more forward pass."""
    with watched(step.module, torch.nn.Linear) as seen:
        step.module(step.inputs)
    return seen[0]
