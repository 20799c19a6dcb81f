"""FedAdagrad, FedAdam and FedYogi: adaptive steps at the server (Reddi et al., ICLR 2021, Algorithm 2)::

    delta       = sum_i p_i theta_i - theta(t)
    m(t+1)      = beta1 m(t) + (1 - beta1) delta                             m(0) = 0
    v(t+1)      = v(t) + delta^2                                             FedAdagrad,   v(0) = tau^2
                  beta2 v(t) + (1 - beta2) delta^2                           FedAdam
                  v(t) - (1 - beta2) delta^2 sign(v(t) - delta^2)            FedYogi
    theta(t+1)  = theta(t) + lr m(t+1) / (sqrt(v(t+1)) + tau)

Entry by entry, and without Adam's correction of the first rounds' bias.  tau is how adaptive the rule is: far above the entries
of delta, a step is about lr m / (2 tau), plain momentum.  The paper weighs clients alike and asks for v(0) >= tau^2; it keeps
beta1 = 0.9 and beta2 = 0.99 (beta1 = 0 for FedAdagrad) and tunes lr for each task.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ...errors import require_number
from ..server import Server


@dataclass(frozen=True)
class _Adaptive(Server):
    """What the three share.  The server remembers m and v, each as large as the model."""

    lr: float = 0.01
    beta1: float = 0.9
    tau: float = 1e-3

    def __post_init__(self):
        super().__post_init__()
        for name in ("lr", "tau"):
            object.__setattr__(self, name, require_number(name, getattr(self, name), 0.0, math.inf, open_low=True, open_high=True))
        for name in ("beta1", "beta2"):
            if hasattr(self, name):
                object.__setattr__(self, name, require_number(name, getattr(self, name), 0.0, 1.0, open_high=True))

    def begin(self, theta: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"m": torch.zeros_like(theta), "v": torch.full_like(theta, self.tau**2)}

    def step(self, theta: torch.Tensor, mean: torch.Tensor, state: dict[str, torch.Tensor]) -> torch.Tensor:
        delta = (mean - theta).float()
        m = state["m"].mul_(self.beta1).add_(delta, alpha=1 - self.beta1)
        v = self.second_moment(state["v"], delta.square())
        return theta + self.lr * m / (v.sqrt() + self.tau)

    def second_moment(self, v: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        """v(t+1) [d], in the place of v(t), from delta^2."""
        raise NotImplementedError


@dataclass(frozen=True)
class FedAdagrad(_Adaptive):
    """Steps of at most ``lr`` an entry that shrink as more has been seen to move; ``beta1`` in [0, 1), ``tau`` > 0."""

    beta1: float = 0.0

    def second_moment(self, v: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        return v.add_(square)


@dataclass(frozen=True)
class FedAdam(_Adaptive):
    """``beta1`` and ``beta2`` in [0, 1) for the means of delta and delta^2, ``tau`` > 0."""

    beta2: float = 0.99

    def second_moment(self, v: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        return v.mul_(self.beta2).add_(square, alpha=1 - self.beta2)


@dataclass(frozen=True)
class FedYogi(_Adaptive):
    """As FedAdam, but v moves towards delta^2 by steps in proportion to delta^2 alone: slowly down from a large v."""

    beta2: float = 0.99

    def second_moment(self, v: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        return v.sub_((1 - self.beta2) * square * torch.sign(v - square))
