"""The last linear layer inside a flat weight vector."""

from __future__ import annotations

import torch

from ..errors import require
from ..models import Layout


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
    linear = [module for module in step.module.modules() if isinstance(module, torch.nn.Linear)][-1]
    seen = []
    handle = linear.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    try:
        step.module(step.inputs)
    finally:
        handle.remove()
    return seen[0]
