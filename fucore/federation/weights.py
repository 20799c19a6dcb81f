"""A network's weights as one flat float32 vector of length d in ``named_parameters()`` order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from ..errors import require


@dataclass(frozen=True)
class Layout:
    """Where each parameter lies in the flat vector."""

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]

    @property
    def size(self) -> int:
        """d, the number of parameters."""
        return sum(map(math.prod, self.shapes))

    @property
    def slices(self) -> dict[str, slice]:
        """Name to slice of the flat vector."""
        result, start = {}, 0
        for name, shape in zip(self.names, self.shapes):
            result[name] = slice(start, start := start + math.prod(shape))
        return result

    def views(self, vector: torch.Tensor) -> dict[str, torch.Tensor]:
        """Name to a view of ``vector`` [d], or of a stack [clients, d], in that parameter's shape, with ``clients`` before it."""
        parts = zip(self.slices.items(), self.shapes)
        return {name: vector[..., part].unflatten(-1, shape or (1,)).view(*vector.shape[:-1], *shape) for (name, part), shape in parts}


class FlatModel:
    """A module whose parameters and gradients are views of two flat vectors, ``weights`` and ``gradient`` [d]."""

    def __init__(self, module: nn.Module, device="cpu"):
        refuse_unflattenable(module)
        self.module = module.to(device)
        parameters = dict(module.named_parameters())
        self.layout = Layout(tuple(parameters), tuple(p.shape for p in parameters.values()))
        self.weights = torch.cat([p.detach().reshape(-1) for p in parameters.values()])
        self.gradient = torch.zeros_like(self.weights)
        values, gradients = self.layout.views(self.weights), self.layout.views(self.gradient)
        for name, parameter in parameters.items():
            parameter.data = values[name]
        self._parameters, self._gradients = list(parameters.values()), list(gradients.values())

    def differentiate(self, loss: torch.Tensor) -> None:
        """Write the gradient of the scalar ``loss`` to ``gradient``; parameters that it does not depend on get zero."""
        torch._foreach_copy_(self._gradients, torch.autograd.grad(loss, self._parameters, materialize_grads=True))


def refuse_unflattenable(module: nn.Module) -> None:
    """Raise ``FucoreError`` if the state of ``module`` is more than float32 parameters."""
    buffers = [name for name, buffer in module.named_buffers() if buffer is not None and buffer.is_floating_point()]
    require(
        not buffers,
        f"the model keeps floating-point buffers ({', '.join(buffers[:3])} …), which federated averaging of a weight vector would lose: "
        "replace its BatchNorm by GroupNorm with fu.models.to_groupnorm(model).",
    )
    random = [name for name, part in module.named_modules() if isinstance(part, (nn.modules.dropout._DropoutNd, nn.RReLU))]
    require(
        not random,
        f"{random[0] if random else ''} draws random numbers while training, which could not be repeated: remove dropout from the model.",
    )
    parameters = dict(module.named_parameters())
    require(bool(parameters), "the model has no parameters to train.")
    odd = [name for name, p in parameters.items() if p.dtype != torch.float32 or not p.requires_grad]
    require(not odd, f"parameters must be float32 and trainable, but {odd[0] if odd else ''} is not.")
