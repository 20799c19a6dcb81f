"""A network's weights as one flat float32 vector of length d: its trainable parameters in ``named_parameters()`` order."""

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
        return {name: vector[..., part].unflatten(-1, shape or (1,)).view((*vector.shape[:-1], *shape)) for (name, part), shape in parts}


class FlatModel:
    """A module whose trainable parameters and their gradients are views of two flat vectors, ``weights`` and ``gradient`` [d]."""

    def __init__(self, module: nn.Module, device="cpu"):
        refuse_unflattenable(module)
        self.module = module.to(device)
        parameters = trainable(module)
        self.layout = Layout(tuple(parameters), tuple(p.shape for p in parameters.values()))
        self.weights = torch.cat([p.detach().reshape(-1) for p in parameters.values()])
        self.gradient = torch.zeros_like(self.weights)
        values, gradients = self.layout.views(self.weights), self.layout.views(self.gradient)
        for name, parameter in parameters.items():
            parameter.data = values[name]
        self._parameters, self._gradients = list(parameters.values()), list(gradients.values())

    def check_attached(self) -> None:
        """Raise ``FucoreError`` if a parameter no longer lies in the flat vector: what is trained would not be what is averaged."""
        lost = [
            name
            for (name, view), own in zip(self.layout.views(self.weights).items(), self._parameters)
            if own.data_ptr() != view.data_ptr()
        ]
        require(
            not lost,
            f"{lost[0] if lost else ''} was given other memory while training, such as by weight.data = ...: change it in place, by weight.data.copy_(...).",
        )

    def differentiate(self, loss: torch.Tensor) -> None:
        """Write the gradient of the scalar ``loss`` to ``gradient``; parameters that it does not depend on get zero."""
        torch._foreach_copy_(self._gradients, torch.autograd.grad(loss, self._parameters, materialize_grads=True))


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that training changes, by name, each once: what the flat vector holds.  Frozen ones stay as they were drawn."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def refuse_unflattenable(module: nn.Module) -> None:
    """Raise ``FucoreError`` if the weights of ``module`` cannot be one vector, or if it normalises by the batch."""
    norms = [name for name, part in module.named_modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    require(
        not norms,
        f"{norms[0] if norms else ''} is a BatchNorm, whose answer depends on what else is in the batch and on averages that no vector of weights holds: "
        "replace it by a GroupNorm with fu.models.to_groupnorm(model) in the model's function.",
    )
    parameters = trainable(module)
    require(bool(parameters), "the model has no parameters to train.")
    odd = [f"{name} is {str(p.dtype).removeprefix('torch.')}" for name, p in parameters.items() if p.dtype != torch.float32]
    require(not odd, f"parameters must be float32, but {odd[0] if odd else ''}: call .float() on the model in its function.")
