"""Diagonals of curvature, for the methods that weigh parameters by them."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from ..federation.training import Hooks
from ..federation.weights import trainable
from ..streams import Stream

CHUNK = 32


def squared_gradients(step) -> torch.Tensor:
    """Sum over the batch of each example's squared gradient of the cross-entropy at ``step.weights``, float32 [d]."""
    layers = [module for module in step.module.modules() if next(module.parameters(recurse=False), None) is not None]
    shared = sum(len(list(layer.parameters())) for layer in layers) > len(list(step.module.parameters()))
    frozen = len(trainable(step.module)) < len(list(step.module.parameters()))
    return _by_layer(step, layers) if all(map(_factorises, layers)) and not (shared or frozen) else _by_example(step)


def _factorises(layer: nn.Module) -> bool:
    """Whether an example's gradient of the weight is d a^T, with a what comes in and d the gradient of what goes out."""
    if type(layer) is nn.Conv2d:
        return layer.groups == 1 and not isinstance(layer.padding, str) and layer.padding_mode == "zeros"
    return type(layer) is nn.Linear


def _by_layer(step, layers: list[nn.Module]) -> torch.Tensor:
    """Without an example's gradient ever being formed where the layer is linear: (d a^T)^2 = d^2 (a^2)^T."""
    seen: list[tuple[nn.Module, torch.Tensor, torch.Tensor]] = []

    def look(layer, given, put_out):
        seen.append((layer, given[0], put_out))
        return put_out.clone()  # what follows may work in place

    handles = [layer.register_forward_hook(look) for layer in layers]
    try:
        loss = nn.functional.cross_entropy(step.module(step.inputs), step.labels, reduction="sum")
    finally:
        for handle in handles:
            handle.remove()
    if len(seen) != len(layers) or any(type(layer) is nn.Linear and given.dim() != 2 for layer, given, _ in seen):
        return _by_example(step)  # a layer that is used twice, or never, or along a sequence
    sums = {}
    for (layer, given, _), delta in zip(seen, torch.autograd.grad(loss, [put_out for _, _, put_out in seen])):
        if type(layer) is nn.Conv2d:
            columns = nn.functional.unfold(given.detach(), layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # pyright: ignore[reportArgumentType]  never a word here
            sums[layer.weight] = torch.bmm(delta.flatten(2), columns.transpose(1, 2)).square_().sum(dim=0)
            sums[layer.bias] = delta.sum(dim=(2, 3)).square_().sum(dim=0)
        else:
            sums[layer.weight] = delta.square().T @ given.detach().square()
            sums[layer.bias] = delta.square().sum(dim=0)
    return torch.cat([sums[parameter].flatten() for parameter in step.module.parameters()])


def _by_example(step) -> torch.Tensor:
    """For any network: the gradients of ``CHUNK`` examples at a time."""
    parameters = {name: value.detach() for name, value in trainable(step.module).items()}

    def loss(values, image, label):
        return nn.functional.cross_entropy(functional_call(step.module, values, image[None]), label[None])

    sums = torch.zeros_like(step.weights)
    for inputs, labels in zip(step.inputs.split(CHUNK), step.labels.split(CHUNK)):
        each = vmap(grad(loss), in_dims=(None, 0, 0), randomness="different")(parameters, inputs, labels)
        sums = sums + torch.cat([part.square().sum(dim=0).flatten() for part in each.values()])
    return sums


def empirical_fisher(step) -> torch.Tensor:
    """Mean over the batch of squared per-example gradients, float32 [d]."""
    return squared_gradients(step) / len(step.labels)


def hutchinson(step, loss=None) -> torch.Tensor:
    """One sample of the Hessian's diagonal, z * (H z) with z = +-1, [d]; exact where the Hessian is diagonal."""
    parameters = list(trainable(step.module).values())
    if loss is None:
        loss = nn.functional.cross_entropy(step.module(step.inputs), step.labels)
    first = torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True)
    rng = np.random.default_rng([step.seed, step.round, step.client, step.state.get("t", 0), Stream.HUTCHINSON])
    signs = torch.from_numpy(rng.integers(0, 2, step.weights.numel(), dtype=np.int8) * 2 - 1).float().to(step.weights.device)
    parts = [part.view_as(parameter) for part, parameter in zip(signs.split([p.numel() for p in parameters]), parameters)]
    product = torch.stack([(gradient * part).sum() for gradient, part in zip(first, parts)]).sum()
    second = torch.autograd.grad(product, parameters, materialize_grads=True)
    return torch.cat([part.flatten() for part in second]) * signs


def fisher_of(task, weights: torch.Tensor, federation) -> torch.Tensor:
    """Sum over all examples of ``federation`` of squared per-example gradients at ``weights``, float32 [d]."""
    sums: dict[int, torch.Tensor] = {}

    def add(step):
        found = squared_gradients(step)
        sums[step.client] = sums[step.client] + found if step.client in sums else found
        step.gradient.zero_()

    still = dataclasses.replace(federation.local, epochs=1, lr=0.0)
    plain = dataclasses.replace(federation.preprocessing, augment=False)
    task.updates(weights, on=dataclasses.replace(federation, local=still, preprocessing=plain), hooks=Hooks(gradient=add, passes=2))
    return torch.stack([sums[client] for client in sorted(sums)]).sum(dim=0).cpu()
