"""SCAFFOLD: control variates against the clients' drift (Karimireddy et al., ICML 2020, Algorithm 1, option II)::

    local step      theta_i <- theta_i - lr_local (g_i(theta_i) - c_i + c)         K of them, from theta(t)
    afterwards      c_i     <- c_i - c + (theta(t) - theta_i) / (K lr_local)       of the participants
                    c        = mean of all N clients' c_i                          c_i = 0 before a client first took part
    theta(t+1)      = theta(t) + lr (mean of the participants' theta_i - theta(t))

That c is the mean of all c_i is what the paper's update of c by (1/N) sum (new c_i - old c_i) keeps true.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from ...errors import require, require_number
from ..server import Round, Server
from ..training import Hooks, LocalTraining

#: Before a client's number, the name of its variate in the server's state.
CLIENT = "client."


@dataclass(frozen=True)
class Scaffold(Server):
    """A server's learning rate ``lr``; all participants count alike.  Local training must be plain SGD, whose steps are gradients.

    One variate [d] is kept for each client that ever took part: of all rules, the only one whose memory grows with the clients.
    Twice as much travels as in federated averaging.  The rounds that a method makes by itself, from
    :meth:`Task.updates <fucore.unlearning.task.Task.updates>`, are without variates.
    """

    lr: float = 1.0
    vectors: ClassVar[int] = 2

    def __post_init__(self):
        super().__post_init__()
        require(
            self.weights == "uniform", f"weights is {self.weights!r}, but SCAFFOLD's variates are means in which all clients count alike."
        )
        object.__setattr__(self, "lr", require_number("lr", self.lr, 0.0, math.inf, open_low=True, open_high=True))

    def check(self, local: LocalTraining, hooks: Hooks) -> None:
        plain = local.optimizer == "sgd" and local.momentum == 0 and local.lr > 0
        require(plain, "SCAFFOLD reads gradients off local steps: use fu.LocalTraining(optimizer='sgd', momentum=0.0) with lr above 0.")
        own = hooks.gradient is not None or hooks.after is not None
        require(
            not own, "SCAFFOLD reads gradients off local steps, which a hook (or a method) that changes gradients or weights makes untrue."
        )

    def begin(self, theta: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"c": torch.zeros_like(theta)}

    def hooks(self, hooks: Hooks, told: Round, state: dict[str, torch.Tensor]) -> Hooks:
        c, names = state["c"].zero_(), sorted(name for name in state if name.startswith(CLIENT))  # one order, resumed or not
        for name in names:
            c.add_(state[name], alpha=1 / int((told.sizes > 0).sum()))

        def corrected(step):
            if CLIENT not in step.state:
                step.state[CLIENT] = c - state.get(f"{CLIENT}{step.client}", torch.zeros_like(c))
            step.gradient.add_(step.state[CLIENT])

        return dataclasses.replace(hooks, gradient=corrected)

    def receive(self, client: int, model: torch.Tensor, told: Round, state: dict[str, torch.Tensor]) -> None:
        c, name, steps = state["c"], f"{CLIENT}{client}", told.local.steps(int(told.sizes[client]))
        state[name] = state.get(name, torch.zeros_like(c)) - c + (told.theta - model) / (steps * told.lr)

    def step(self, theta: torch.Tensor, mean: torch.Tensor, state: dict[str, torch.Tensor]) -> torch.Tensor:
        return (theta + self.lr * (mean - theta)).float()
