"""Removing data by one Newton step, and what the step misses (Guo et al., ICML 2020; Wei et al., Eq. 8)::

    theta_- = theta_o + H^-1 sum of gradients of the removed examples at theta_o,      H: Hessian over the examples that stay

Wei et al. argue that the remainder, and with it synergy, can be neglected.  Where the loss is convex there is one exact
answer to measure it by: multinomial logistic regression with a ridge, fitted to the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..data.dataset import Split
from ..data.partition import Partition
from ..errors import FucoreError, require, require_number
from ..federation.engine import one_thread


def conjugate_gradient(product: Callable[[torch.Tensor], torch.Tensor], target: torch.Tensor, *, tolerance: float = 1e-8, most: int = 500):
    """x [d] with ``product(x)`` = ``target`` for a symmetric positive definite ``product``, to that relative residual."""
    x, residual = torch.zeros_like(target), target.clone()
    direction, square = residual.clone(), residual @ residual
    for _ in range(most):
        if square <= tolerance**2 * (target @ target):
            break
        moved = product(direction)
        step = square / (direction @ moved)
        x, residual = x + step * direction, residual - step * moved
        square, before = residual @ residual, square
        direction = residual + (square / before) * direction
    return x


class Logistic:
    """Ridge-regularised multinomial logistic regression on ``inputs`` [n, p] (a column of ones is added), ``labels`` [n], in float64.

    The loss is the *sum* of cross-entropies of the chosen examples plus ``ridge`` / 2 ||theta||^2; weights are flat, [(p + 1) classes].
    """

    def __init__(self, inputs: torch.Tensor, labels: torch.Tensor, classes: int, ridge: float = 1.0):
        require_number("ridge", ridge, 0.0, float("inf"), open_low=True)
        self.inputs = torch.cat([inputs.double(), torch.ones(len(inputs), 1, dtype=torch.float64)], dim=1)
        self.one_hot = torch.nn.functional.one_hot(labels, classes).double()
        self.ridge, self.shape = ridge, (self.inputs.shape[1], classes)

    def probabilities(self, theta: torch.Tensor, chosen: Any = slice(None)) -> torch.Tensor:
        return torch.softmax(self.inputs[chosen] @ theta.view(self.shape), dim=1)

    def gradient(self, theta: torch.Tensor, chosen) -> torch.Tensor:
        """Sum of the examples' gradients, without the ridge, [d]."""
        return (self.inputs[chosen].T @ (self.probabilities(theta, chosen) - self.one_hot[chosen])).flatten()

    def hessian_product(self, theta: torch.Tensor, chosen) -> Callable[[torch.Tensor], torch.Tensor]:
        """v -> (Hessian over ``chosen`` + ridge) v at ``theta``."""
        inputs, p = self.inputs[chosen], self.probabilities(theta, chosen)

        def product(v: torch.Tensor) -> torch.Tensor:
            moved = inputs @ v.view(self.shape)
            return (inputs.T @ (p * (moved - (p * moved).sum(dim=1, keepdim=True)))).flatten() + self.ridge * v

        return product

    def fit(self, chosen, theta: torch.Tensor | None = None) -> torch.Tensor:
        """The one minimum over ``chosen``, by damped Newton steps; raises if it is not reached."""
        theta = torch.zeros(self.shape[0] * self.shape[1], dtype=torch.float64) if theta is None else theta
        for _ in range(50):
            slope = self.gradient(theta, chosen) + self.ridge * theta
            if slope.norm() < 1e-6:
                return theta
            step, length = conjugate_gradient(self.hessian_product(theta, chosen), slope, tolerance=1e-6), 1.0
            while self.loss(theta - length * step, chosen) > self.loss(theta, chosen) and length > 1e-6:
                length /= 2
            theta = theta - length * step
        raise FucoreError("logistic regression did not reach its minimum in 50 Newton steps: raise the ridge.")

    def loss(self, theta: torch.Tensor, chosen) -> float:
        logits = self.inputs[chosen] @ theta.view(self.shape)
        return float(torch.logsumexp(logits, 1).sum() - (logits * self.one_hot[chosen]).sum() + self.ridge / 2 * theta @ theta)


def on_components(split: Split, classes: int, components: int = 50, ridge: float = 1.0) -> Logistic:
    """Logistic regression on the ``components`` directions in which the pixels of ``split`` (0..1) vary most."""
    pixels = split.images.flatten(1).double() / 255
    pixels = pixels - pixels.mean(dim=0)
    return Logistic(pixels @ torch.linalg.svd(pixels, full_matrices=False).Vh[:components].T, split.labels, classes, ridge)


def removals(labels, clients: Partition, seed: int = 0, *, draws: int = 3, leaving: int = 5) -> dict[str, np.ndarray]:
    """Sets of examples to remove, by name: indices of random ones, of class 0, and of each of the first ``leaving`` clients.

    Random shares from 0.5 % to 40 %, ``draws`` of each; a fifth and all of the class; clients that hold nothing or everything are left out.
    """
    rng, labels = np.random.default_rng(seed), np.asarray(labels)
    chosen = {
        f"random {100 * share:g} %, draw {draw}": rng.permutation(len(labels))[: max(1, int(share * len(labels)))]
        for share in (0.005, 0.02, 0.1, 0.4)
        for draw in range(draws)
    }
    of_class = rng.permutation(np.flatnonzero(labels == 0))
    chosen |= {f"class 0, {share:.0%} of it": of_class[: max(1, int(share * len(of_class)))] for share in (0.2, 1.0)}
    chosen |= {f"client {number}": held for number, held in enumerate(clients.indices[:leaving]) if 0 < len(held) < len(labels)}
    return {name: np.sort(indices) for name, indices in chosen.items()}


def removal_remainder(model: Logistic, removals: dict[str, np.ndarray]) -> pd.DataFrame:
    """For each set of removed examples: how far the exact answer moved, and how much of it a Newton step misses.

    ``share``: of all examples; ``moved``: ||theta_- - theta_o|| of exact retraining; ``remainder``: ||Newton - exact|| / moved;
    ``predictions``: the same for the probabilities of the removed examples' labels (root mean square).
    """
    with one_thread():  # products as small as these gain nothing from more
        return pd.DataFrame(_remainders(model, removals))


def _remainders(model: Logistic, removals: dict[str, np.ndarray]) -> list[dict]:
    everyone = np.arange(len(model.inputs))
    original, rows = model.fit(everyone), []
    for name, removed in removals.items():
        kept = np.setdiff1d(everyone, removed)
        require(0 < len(kept) < len(everyone), f"{name} must remove some of the examples, and not all.")
        exact = model.fit(kept, original)
        newton = original + conjugate_gradient(model.hessian_product(original, kept), model.gradient(original, removed))
        own = [model.probabilities(theta, removed)[model.one_hot[removed].bool()] for theta in (original, exact, newton)]
        rows.append(
            {
                "removed": name,
                "share": len(removed) / len(everyone),
                "moved": float((exact - original).norm()),
                "remainder": float((newton - exact).norm() / (exact - original).norm()),
                "predictions": float((own[2] - own[1]).square().mean().sqrt() / (own[0] - own[1]).square().mean().sqrt()),
            }
        )
    return rows
