"""Diagonals of curvature, for the methods that weigh parameters by them."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch.func import functional_call, grad, vmap

from ..training import Hooks

CHUNK = 32


def per_example_gradients(step) -> torch.Tensor:
    """Gradient of each example's cross-entropy at ``step.weights``, [b, d]."""
    parameters = {name: value.detach() for name, value in step.module.named_parameters()}

    def loss(values, image, label):
        return torch.nn.functional.cross_entropy(functional_call(step.module, values, image[None]), label[None])

    each = vmap(grad(loss), in_dims=(None, 0, 0), chunk_size=CHUNK)(parameters, step.inputs, step.labels)
    return torch.cat([part.flatten(1) for part in each.values()], dim=1)


def empirical_fisher(step) -> torch.Tensor:
    """Mean over the batch of squared per-example gradients, [d]."""
    return per_example_gradients(step).square().mean(dim=0)


def hutchinson(step, loss=None) -> torch.Tensor:
    """One sample of the Hessian's diagonal, z * (H z) with z = +-1, [d]; exact where the Hessian is diagonal."""
    parameters = list(step.module.parameters())
    if loss is None:
        loss = torch.nn.functional.cross_entropy(step.module(step.inputs), step.labels)
    first = torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True)
    rng = np.random.default_rng([step.seed, step.round, step.client, step.state.get("t", 0), 8201])
    signs = torch.from_numpy(rng.integers(0, 2, step.weights.numel(), dtype=np.int8) * 2 - 1).float().to(step.weights.device)
    parts = [part.view_as(parameter) for part, parameter in zip(signs.split([p.numel() for p in parameters]), parameters)]
    product = sum((gradient * part).sum() for gradient, part in zip(first, parts))
    second = torch.autograd.grad(product, parameters, materialize_grads=True)
    return torch.cat([part.flatten() for part in second]) * signs


def fisher_of(task, weights: torch.Tensor, federation) -> torch.Tensor:
    """Sum over all examples of ``federation`` of squared per-example gradients at ``weights``, float32 [d]."""
    sums: dict[int, torch.Tensor] = {}

    def add(step):
        squared = per_example_gradients(step).square().sum(dim=0)
        sums[step.client] = sums.get(step.client, 0) + squared
        step.gradient.zero_()

    still = dataclasses.replace(federation.local, epochs=1, lr=0.0)
    plain = dataclasses.replace(federation.preprocessing, augment=False)
    task.updates(weights, on=dataclasses.replace(federation, local=still, preprocessing=plain), hooks=Hooks(gradient=add, passes=2))
    return sum(sums[client] for client in sorted(sums)).cpu()
