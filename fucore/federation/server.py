"""What the server makes of the clients' models, as a value (McMahan et al., AISTATS 2017, for federated averaging)::

    mean        = sum_i p_i theta_i            over the participants, summed in float64 in one order
    theta(t+1)  = step(theta(t), mean, state)  federated averaging: theta(t+1) = mean

Other rules are in ``fucore.federation.servers``, a file each.  One of your own is a frozen dataclass that extends :class:`Server` and
overrides ``step`` (and ``begin``, if it keeps a state, such as a momentum: the state is checkpointed, and a resumed run has the
same bits)::

    @dataclass(frozen=True)
    class Halfway(fu.Server):
        def step(self, theta, mean, state):
            return ((theta + mean) / 2).float()

    fu.Federation(data, clients, server=Halfway())

A rule is part of its federation: the original, what is retrained and what a method recovers have the same.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from ..errors import FucoreError, require_choice
from ..runs.fingerprint import source_of
from .training import Hooks, LocalTraining


@dataclass(frozen=True)
class Round:
    """What a rule is told of a round: ``theta`` [d], where all clients start, their ``lr`` and ``local`` training, and how many
    examples each client of the federation holds, ``sizes`` [clients]."""

    theta: torch.Tensor
    lr: float
    local: LocalTraining
    sizes: np.ndarray


@dataclass(frozen=True)
class Server:
    """An aggregation rule.

    ``weights``: how much a participant counts, ``"uniform"`` for all alike (Wei et al.) or ``"size"`` for in proportion to its
    examples (McMahan et al., Huang et al.).
    """

    weights: str = "uniform"
    #: Whether theta(T) is theta(0) plus the mean updates of all rounds, which methods that take updates out of it rely on.
    sums: ClassVar[bool] = False
    #: How many vectors of d numbers a participant is sent, and sends, in a round.
    vectors: ClassVar[int] = 1

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

    def check(self, local: LocalTraining, hooks: Hooks) -> None:
        """Raise ``FucoreError`` if the rule cannot work with this local training and these hooks."""

    def hooks(self, hooks: Hooks, told: Round, state: dict[str, torch.Tensor]) -> Hooks:
        """What changes the clients' local training in a round that begins, given the ``hooks`` that would anyway."""
        return hooks

    def receive(self, client: int, model: torch.Tensor, told: Round, state: dict[str, torch.Tensor]) -> None:
        """Look at a participant's ``model`` [d] as it comes in; may change ``state``."""

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

    sums: ClassVar[bool] = True

    def step(self, theta: torch.Tensor, mean: torch.Tensor, state: dict[str, torch.Tensor]) -> torch.Tensor:
        return mean.float()
