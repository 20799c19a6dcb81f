"""What a method works with, and the account of what it spends."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

import numpy as np
import torch

from ..data.forgetting import Request
from ..data.partition import Partition
from ..errors import require
from ..federation.federation import Federation
from ..federation.randomness import derived_seed
from ..federation.training import Hooks, LocalTraining
from ..runs.run import Cost, Run
from ..runs.store import BYTES_A_WEIGHT
from ..streams import Stream
from .registry import NEEDS, Method


class Task:
    """What a method works with.

    ``original``: the trained :class:`~fucore.runs.run.Run`, without a federation to reach data through; ``remaining``: the
    federation without the forgotten examples, which are blank in its data; ``seed``: for every random choice; ``log``: a
    dict for whatever the method wants to tell; ``round``: federated rounds so far.  What runs through the task is
    accounted for in the result's cost and history.

    Federated rounds follow the federation's rule, see :mod:`fucore.federation.server`, which remembers nothing of the original's
    training.  Rounds that start at the weights that the rounds before ended with go on from there, so that ``rounds`` calls of
    ``train(theta, 1)`` give the bits of one of ``train(theta, rounds)``; from other weights the rule starts anew.
    ``planned``: how many rounds learning-rate schedules plan for, by default those that the original's did.
    """

    def __init__(self, original: Run, request: Request, chosen: Method, seed: int, planned: int | None = None):
        self._federation = original.federation
        self.original = dataclasses.replace(original, federation=None, weights=original.weights.clone())
        self.request, self.method, self.seed = request, chosen, seed
        self.remaining: Federation = self._federation.without(request)
        self.round, self.cost, self.history, self.log = 0, Cost(), [], {}
        # a stream of its own: recovery must not replay the batches of a retrained model with the same seed
        self._stream, self._calls = derived_seed(seed, Stream.RECOVERY_BATCHES), 0
        self.planned = original.config["horizon"] if planned is None else planned
        self._ended: tuple[torch.Tensor | None, dict] = None, {}  # the last weights of the rounds so far, and what the rule remembers

    @property
    def departed(self) -> Federation:
        """A federation of only the clients that were asked, holding only what they must forget; raises unless declared in ``needs``."""
        self._declared("forgotten data")
        asked = self.request.departed(self._federation.data.train.labels, self._federation.clients)
        return dataclasses.replace(self._federation, clients=Partition(asked, f"to forget: {self.request}"))

    @property
    def everyone(self) -> Federation:
        """The whole federation, as before the request; raises unless ``needs`` declares ``"preparation"``, and where somebody left before."""
        self._declared("preparation")
        require(
            "method" not in self.original.config,
            f"{self.method.name} needs {NEEDS['preparation']}, and cannot go on from a run that is itself unlearned: "
            "forget all of it at once from the original, with first_request | second_request.",
        )
        return self._federation

    @property
    def leaving(self) -> np.ndarray:
        """Numbers of the clients that lose all their examples, ascending."""
        return np.flatnonzero((self._federation.clients.sizes > 0) & (self.remaining.clients.sizes == 0))

    @property
    def asked(self) -> np.ndarray:
        """Numbers of the clients that lose some or all of their examples, ascending."""
        return np.flatnonzero(self._federation.clients.sizes > self.remaining.clients.sizes)

    @property
    def present(self) -> np.ndarray:
        """Numbers of the clients that had data before the request, ascending."""
        return np.flatnonzero(self._federation.clients.sizes)

    @property
    def staying(self) -> np.ndarray:
        """Numbers of the clients that keep data, ascending: the rows of :meth:`updates`."""
        return np.flatnonzero(self.remaining.clients.sizes)

    def shares_of_all(self, participants) -> list[float]:
        """Weights p_i of the participants in a round of the original's training."""
        return self._federation.shares(participants)

    @property
    def share_leaving(self) -> float:
        """Weight that the clients who leave had in the aggregation with everybody taking part."""
        return float(sum(share for share, client in zip(self._federation.shares(self.present), self.present) if client in self.leaving))

    def past(self) -> Iterator[tuple[torch.Tensor, np.ndarray, torch.Tensor]]:
        """Rounds of the original's training: (global weights before it [d], participants, their updates [participants, d]).

        Read from disk one round at a time; raises unless ``needs`` declares ``"history"``.
        """
        self._declared("history")
        theta = self._federation.initial_weights(self.original.config["seed"])
        state = self._federation.server.begin(theta)
        for index in range(self.original.rounds):
            participants = self._federation.participants(self.original.config["seed"], index)
            updates = self._federation.updates(self.original, index + 1)
            yield theta, participants, updates
            mean = theta.double() + torch.tensor(self._federation.shares(participants), dtype=torch.float64) @ updates.double()
            theta = self._federation.server.step(theta, mean, state).clone()

    def train(self, weights: torch.Tensor, rounds: int, *, on: Federation | None = None, **options) -> torch.Tensor:
        """Federated rounds from ``weights`` on the remaining clients (or ``on`` the departed ones, or everyone); returns the new weights.

        ``options`` as for :meth:`Federation.train <fucore.federation.federation.Federation.train>`.  Zero rounds return ``weights``.
        Schedules plan for ``planned`` rounds, or for as many as are run by then if those are more.
        """
        if rounds == 0:
            return weights
        federation = self._allowed(on)
        locating = self.round == 0 and rounds == 1  # the first round of all that look where to unlearn: one for all ratios and choices
        state = self._remembered(weights) if federation.server.begin(weights) else None
        where = {"first_round": self.round, "horizon": self._horizon(federation.local, rounds), "server_state": state}
        run = federation.train(rounds, self._stream, start=weights, keep=locating, **{**where, **options})
        self._ended = run.weights, state or {}
        for row in run.history:
            self.history.append(
                {
                    **row,
                    "round": self.round + row["round"],
                    "seconds": self.cost.seconds + row["seconds"],
                    "examples": self.cost.examples + row["examples"],
                }
            )
        self.round += run.rounds
        self.cost += run.cost
        return run.weights

    def step(self, weights: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
        """What the federation's rule makes of ``weights`` [d] and the clients' ``mean`` model [d]: for a round of the method's own.

        Federated averaging returns ``mean``.  Costs nothing; :meth:`end_round` counts the round.
        """
        rule, state = self._federation.server, self._remembered(weights)
        state = state or rule.begin(weights)
        result = rule.step(weights, mean.double(), state).clone()
        self._ended = result, state
        return result

    def prepare(self, weights: torch.Tensor, rounds: int, *, on: Federation | None = None, **options) -> torch.Tensor:
        """:meth:`train` before the request, with everybody (or ``on`` some): told in the log, but no part of what unlearning costs."""
        federation, stream = self.everyone if on is None else self._allowed(on), derived_seed(self.seed, Stream.PREPARATION)
        run = federation.train(rounds, stream, start=weights, keep=False, **options)
        self.log["examples of preparation"] = self.log.get("examples of preparation", 0) + run.cost.examples
        return run.weights

    def updates(
        self, weights: torch.Tensor, *, on: Federation | None = None, hooks: Hooks | None = None, exchange: bool = True
    ) -> torch.Tensor:
        """theta_i - ``weights`` of each client with data after one local training, float32 [clients, d], in client order.

        Costs one exchange (unless ``exchange`` is off, for a client that goes on alone), but no round: a method that
        combines them to a round of its own says so by :meth:`end_round`.
        """
        federation, began = self._allowed(on), time.perf_counter()
        present = np.flatnonzero(federation.clients.sizes)
        lr = federation.local.rate(self.round, max(self.round + 1, self.original.config["horizon"]))
        self._calls += 1  # passes of one round must not repeat each other's batches
        models = federation.local_models(weights, present, lr, (derived_seed(self._stream, self._calls), self.round), hooks)
        result = torch.stack([model.cpu() - weights for model in models])
        traffic = len(present) * weights.numel() * BYTES_A_WEIGHT if exchange else 0
        examples = (hooks or federation.hooks).passes * federation.local.epochs * int(federation.clients.sizes.sum())
        self.cost += Cost(examples, traffic, traffic, 0, time.perf_counter() - began)
        return result

    def mean_update(self, weights: torch.Tensor, *, on: Federation | None = None, **options) -> torch.Tensor:
        """sum_i p_i (theta_i - ``weights``), [d]: what one round of federated averaging adds; ``options`` as for :meth:`updates`."""
        federation = self._allowed(on)
        return torch.tensor(federation.shares(np.flatnonzero(federation.clients.sizes))) @ self.updates(weights, on=on, **options)

    def normal(self, count: int, stream: int) -> torch.Tensor:
        """Standard normal noise [count] of the task's seed and a ``stream`` number of the method's own."""
        return torch.randn(count, generator=torch.Generator().manual_seed(derived_seed(self.seed, stream)))

    def rng(self, name: str) -> np.random.Generator:
        """Random numbers of the task's seed for a draw called ``name``; different names give unrelated streams."""
        return np.random.default_rng([self.seed, *f"{self.method.name}/{name}".encode()])

    def spend(self, began: float, *, examples: int = 0, uploaded: int = 0, downloaded: int = 0) -> None:
        """Account for what a method did by itself since ``began`` (of ``time.perf_counter()``): passes, bytes up and down."""
        self.cost += Cost(examples, uploaded, downloaded, 0, time.perf_counter() - began)

    def end_round(self, weights: torch.Tensor) -> None:
        """Count one federated round that ended with ``weights``, and record its test accuracy."""
        self.round += 1
        self.note(weights, None)

    def mean_gradient(self, weights: torch.Tensor, *, on: Federation | None = None) -> torch.Tensor:
        """Mean over the remaining clients (or ``on``) of their loss gradients at ``weights``, [d]; costs one pass and one exchange."""
        began, federation = time.perf_counter(), self._allowed(on)
        gradient = federation.mean_gradient(weights)
        sizes = federation.clients.sizes
        traffic = int((sizes > 0).sum()) * weights.numel() * BYTES_A_WEIGHT
        self.cost += Cost(int(sizes.sum()), traffic, traffic, 0, time.perf_counter() - began)
        return gradient

    def _remembered(self, weights: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the rule remembers when a round starts at ``weights`` [d]: nothing, unless the rounds before ended there."""
        ended, state = self._ended
        return state if ended is not None and torch.equal(weights, ended) else {}

    def _horizon(self, local: LocalTraining, rounds: int) -> int:
        """How many rounds schedules plan for; no more than are run by then if that changes no rate, so that equal runs have equal keys."""
        end = self.round + rounds
        planned = max(self.planned, end)
        alike = all(local.rate(index, planned) == local.rate(index, end) for index in range(self.round, end))
        return end if alike else planned

    def _declared(self, need: str) -> None:
        require(
            need in self.method.needs,
            f"{self.method.name} uses {NEEDS[need]}, but does not declare it: add needs=({need!r},) to its @method.",
        )

    def _allowed(self, on: Federation | None) -> Federation:
        """``on``, if the method may train there: any settings, but nobody's examples that it did not declare."""
        if on is None:
            return self.remaining
        mine = [self.remaining]
        mine += [self.departed] if "forgotten data" in self.method.needs else []
        mine += [self._federation] if "preparation" in self.method.needs else []
        allowed = np.isin(on.clients.examples, np.concatenate([federation.clients.examples for federation in mine])).all()
        require(
            allowed,
            f"{self.method.name} may train on task.remaining, or on task.departed if it declares needs=('forgotten data',).",
        )
        return on

    def note(self, weights: torch.Tensor, stage: str | None) -> None:
        """Record the test accuracy of ``weights`` in the history, as a ``stage`` between rounds (not counted as cost)."""
        accuracy, loss = self.remaining.evaluate(weights)
        self.history.append(
            {
                "round": self.round,
                "test_accuracy": accuracy,
                "test_loss": loss,
                "seconds": self.cost.seconds,
                "examples": self.cost.examples,
                **({} if stage is None else {"stage": stage}),
            }
        )
