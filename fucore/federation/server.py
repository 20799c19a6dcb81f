"""What the server makes of the clients' models, as a value (McMahan et al., AISTATS 2017, for federated averaging)::

    mean        = sum_i p_i theta_i            over the participants, summed in float64 in one order
    theta(t+1)  = step(theta(t), mean, state)  federated averaging: theta(t+1) = mean

Another rule is a frozen dataclass that extends :class:`Server` and overrides ``step`` (and ``begin``, if it keeps a state, such
as a momentum: the state is checkpointed, and a resumed run has the same bits)::

    @dataclass(frozen=True)
    class FedAvgM(fu.Server):
        momentum: float = 0.9

        def begin(self, theta):
            return {"velocity": torch.zeros_like(theta)}

        def step(self, theta, mean, state):
            state["velocity"].mul_(self.momentum).add_(mean.float() - theta)
            return theta + state["velocity"]

    fu.Federation(data, clients, server=FedAvgM())
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import FucoreError, require_choice
from ..runs.fingerprint import source_of


@dataclass(frozen=True)
class Server:
    """An aggregation rule.

    ``weights``: how much a participant counts, ``"uniform"`` for all alike (Wei et al.) or ``"size"`` for in proportion to its
    examples (McMahan et al., Huang et al.).
    """

    weights: str = "uniform"

    def __post_init__(self):
        require_choice("weights", self.weights, ("uniform", "size"))

    def shares(self, sizes: np.ndarray) -> list[float]:
        """p_i of participants with ``sizes`` examples [participants]; they sum to one."""
        counted = np.ones(len(sizes)) if self.weights == "uniform" else np.asarray(sizes)
        return (counted / counted.sum()).tolist()

    def begin(self, theta: torch.Tensor) -> dict[str, torch.Tensor]:
        """The state before the first round, tensors by name, on the device of ``theta`` [d]."""
        return {}

    def step(self, theta: torch.Tensor, mean: torch.Tensor, state: dict[str, torch.Tensor]) -> torch.Tensor:
        """theta(t+1) [d] float32 from theta(t) and the weighted ``mean`` [d] float64 of the clients' models; changes ``state`` in place."""
        raise NotImplementedError

    @property
    def config(self) -> dict:
        """What determines the rule: its name, its fields and its code.  Raises ``FucoreError`` where the code cannot be told."""
        code = source_of(type(self))
        if code is None:
            raise FucoreError(f"what {type(self).__name__} computes cannot be told from its code: let its methods name only plain values.")
        return {"rule": type(self).__qualname__, **dataclasses.asdict(self), "code": code}


@dataclass(frozen=True)
class FedAvg(Server):
    """Federated averaging: the mean is the new model; exact for one client and for lr = 0."""

    def step(self, theta: torch.Tensor, mean: torch.Tensor, state: dict[str, torch.Tensor]) -> torch.Tensor:
        return mean.float()
