"""FedAvgM: federated averaging with momentum at the server (Hsu, Qi & Brown, 2019, arXiv 1909.06335)::

    delta       = sum_i p_i theta_i - theta(t)
    v(t+1)      = beta v(t) + delta                    v(0) = 0
    theta(t+1)  = theta(t) + lr v(t+1)                 lr = 1 in the paper

v is kept in float32, as weights are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ...errors import require_number
from ..server import Server


@dataclass(frozen=True)
class FedAvgM(Server):
    """Momentum ``beta`` in [0, 1) and a server's learning rate ``lr``; federated averaging for beta = 0, lr = 1.

    It remembers v, as large as the model.  A lasting direction is followed 1 / (1 - beta) times as far as by averaging.
    """

    beta: float = 0.9
    lr: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "beta", require_number("beta", self.beta, 0.0, 1.0, open_high=True))
        object.__setattr__(self, "lr", require_number("lr", self.lr, 0.0, math.inf, open_low=True, open_high=True))

    def begin(self, theta: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"v": torch.zeros_like(theta)}

    def step(self, theta: torch.Tensor, mean: torch.Tensor, state: dict[str, torch.Tensor]) -> torch.Tensor:
        v = state["v"].mul_(self.beta).add_((mean - theta).float())
        return theta + self.lr * v
