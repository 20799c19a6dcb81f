"""Unlearning methods: one short file each, one function, one decorator.

A method is a function ``(task, *, parameters...) -> weights [d]``, registered under a name::

    @method("fine-tune", citation="McMahan et al., AISTATS 2017")
    def fine_tune(task, *, rounds=4):
        return task.train(task.original.weights, rounds)

It then appears in ``fu.unlearn``, in every comparison and on the API page.  ``task`` offers only what the method
declares that it needs, and keeps the account of what it spends.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import FucoreError, require, require_choice, require_whole
from ..federation import NOT_KEPT, Federation
from ..fingerprint import hash_of, hash_of_code, hash_tensor, plain, source_of
from ..forgetting import Request
from ..models import derived_seed
from ..partition import Partition
from ..run import Cost, Run, provenance
from ..store import BYTES_A_WEIGHT
from ..training import Hooks

#: What a method may declare that it needs, and what that is.
NEEDS = {
    "forgotten data": "examples of the clients that leave, which still cooperate",
    "history": "every client's updates, recorded while the original was trained",
    "preparation": "a training of its own with everybody, before anyone asked",
    "whole clients": "a request for all examples of some clients",
    "whole classes": "a request for all examples of some classes",
    "class of a client": "a request for one class of one client",
}


@dataclass(frozen=True)
class Method:
    """A registered method: its function, what it needs beyond the retained clients, and where it comes from."""

    name: str
    function: Callable
    needs: tuple[str, ...]
    citation: str

    @property
    def defaults(self) -> dict:
        """Its parameters and their default values."""
        return {p.name: p.default for p in inspect.signature(self.function).parameters.values() if p.kind is p.KEYWORD_ONLY}


METHODS: dict[str, Method] = {}


def method(name: str, *, needs: tuple[str, ...] = (), citation: str = ""):
    """Register a function ``(task, *, parameters...) -> weights [d]`` as the unlearning method ``name``.

    ``needs``: some of :data:`fucore.unlearning.NEEDS`, such as ``("forgotten data",)`` if it reads what must be forgotten;
    ``task`` is a :class:`Task`.  Every parameter needs a default.  Raises ``FucoreError`` for an unknown need, a parameter
    without default, or a built-in's name.
    """
    needs = (needs,) if isinstance(needs, str) else tuple(needs)
    for need in needs:
        require_choice("needs", need, NEEDS)

    def register(function):
        own = (
            name in METHODS
            and METHODS[name].function.__module__.startswith("fucore.")
            and function.__module__ != METHODS[name].function.__module__
        )
        require(not own, f"{name} is a method of fucore's own: call yours something else.")
        bare = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
        require(not bare, f"{name}'s parameter {bare[0] if bare else ''} needs a default value.")
        METHODS[name] = Method(name, function, tuple(needs), citation)
        return function

    return register


class Task:
    """What a method works with.

    ``original``: the trained :class:`~fucore.run.Run`, without a federation to reach data through; ``remaining``: the
    federation without the forgotten examples, which are blank in its data; ``seed``: for every random choice; ``log``: a
    dict for whatever the method wants to tell; ``round``: federated rounds so far.  What runs through the task is
    accounted for in the result's cost and history.
    """

    def __init__(self, original: Run, request: Request, chosen: Method, seed: int):
        self._federation = original.federation
        self.original = dataclasses.replace(original, federation=None, weights=original.weights.clone())
        self.request, self.method, self.seed = request, chosen, seed
        self.remaining: Federation = self._federation.without(request)
        self.round, self.cost, self.history, self.log = 0, Cost(), [], {}
        # a stream of its own: recovery must not replay the batches of a retrained model with the same seed
        self._stream, self._calls = derived_seed(seed, 8002), 0

    @property
    def forgotten(self) -> Federation:
        """A federation of only the clients that were asked, holding only what they must forget; raises unless declared in ``needs``."""
        self._declared("forgotten data")
        asked = self.request.forgotten(self._federation.data.train.labels, self._federation.clients)
        return dataclasses.replace(self._federation, clients=Partition(asked, f"to forget: {self.request}"))

    @property
    def everyone(self) -> Federation:
        """The whole federation, as before the request; raises unless ``needs`` declares ``"preparation"``."""
        self._declared("preparation")
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
        for index in range(self.original.rounds):
            participants = self._federation.participants(self.original.config["seed"], index)
            updates = self._federation.updates(self.original, index + 1)
            yield theta, participants, updates
            theta = theta + torch.tensor(self._federation.shares(participants)) @ updates

    def train(self, weights: torch.Tensor, rounds: int, *, on: Federation | None = None, **options) -> torch.Tensor:
        """FedAvg from ``weights`` on the remaining clients (or ``on`` the forgotten ones, or everyone); returns the new weights.

        ``options`` as for :meth:`Federation.train <fucore.federation.Federation.train>`.  Zero rounds return ``weights``.
        """
        if rounds == 0:
            return weights
        run = self._allowed(on).train(rounds, self._stream, start=weights, first_round=self.round, keep=False, **options)
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

    def prepare(self, weights: torch.Tensor, rounds: int, *, on: Federation | None = None, **options) -> torch.Tensor:
        """:meth:`train` before the request, with everybody (or ``on`` some): told in the log, but no part of what unlearning costs."""
        federation, stream = self.everyone if on is None else self._allowed(on), derived_seed(self.seed, 8004)
        run = federation.train(rounds, stream, start=weights, keep=False, **options)
        self.log["examples of preparation"] = self.log.get("examples of preparation", 0) + run.cost.examples
        return run.weights

    def updates(
        self, weights: torch.Tensor, *, on: Federation | None = None, hooks: Hooks = Hooks(), exchange: bool = True
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
        examples = hooks.passes * federation.local.epochs * int(federation.clients.sizes.sum())
        self.cost += Cost(examples, traffic, traffic, 0, time.perf_counter() - began)
        return result

    def mean_update(self, weights: torch.Tensor, *, on: Federation | None = None, **options) -> torch.Tensor:
        """sum_i p_i (theta_i - ``weights``), [d]: what one round of federated averaging adds; ``options`` as for :meth:`updates`."""
        federation = self._allowed(on)
        return torch.tensor(federation.shares(np.flatnonzero(federation.clients.sizes))) @ self.updates(weights, on=on, **options)

    def normal(self, count: int, stream: int) -> torch.Tensor:
        """Standard normal noise [count] of the task's seed and a ``stream`` number of the method's own."""
        return torch.randn(count, generator=torch.Generator().manual_seed(derived_seed(self.seed, stream)))

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
        mine += [self.forgotten] if "forgotten data" in self.method.needs else []
        mine += [self.everyone] if "preparation" in self.method.needs else []
        allowed = np.isin(on.clients.examples, np.concatenate([federation.clients.examples for federation in mine])).all()
        require(
            allowed,
            f"{self.method.name} may train on task.remaining, or on task.forgotten if it declares needs=('forgotten data',).",
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


def unlearn(name: str, original: Run, request: Request, *, seed: int = 0, **parameters) -> Run:
    """Unlearn ``request`` from ``original`` by the method ``name``.

    ``parameters`` are the method's own (see ``fu.METHODS[name].defaults``).  The result is a ``Run`` whose
    ``history`` and ``cost`` cover everything the method did; an equal one is taken from the store.

    Raises ``FucoreError`` for an unknown method or parameter, or when the run lacks what the method needs.
    """
    chosen = METHODS[require_choice("method", name, METHODS)]
    unknown = sorted(set(parameters) - set(chosen.defaults))
    require(not unknown, f"{name} has no parameter {unknown[0] if unknown else ''!r}, only: {', '.join(chosen.defaults) or 'none'}.")
    federation = original.federation
    require(federation is not None, "this run does not know its federation: train it again (from the store) with Federation.train.")
    require(
        "method" not in original.config,
        "this run is itself unlearned: forget everything at once from the original, such as fu.forget.clients(1, 2), or retrained clients come back.",
    )
    require_whole("seed", seed, 0)
    _check_needs(chosen, original, request)
    settings = {**chosen.defaults, **parameters}
    task = Task(original, request, chosen, seed)
    config = {
        "method": name,
        "parameters": settings,
        "seed": seed,
        "request": dataclasses.asdict(request),
        "original": hash_tensor(original.weights),
        "remaining": task.remaining.config,
        "forgotten": federation.config,
        "code": [source_of(chosen.function), hash_of_code(__name__)],
    }
    key = None if federation.store is None or config["code"][0] is None else hash_of(config)
    if key is None and federation.store is not None:
        warnings.warn(NOT_KEPT.format(f"the method {name} computes"), stacklevel=2)
    found = key and federation.store.get(key)
    if found:
        return dataclasses.replace(found, federation=federation)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, 8003))
        weights = chosen.function(task, **settings)
    require(
        isinstance(weights, torch.Tensor) and weights.shape == original.weights.shape,
        f"{name} must return weights of shape {tuple(original.weights.shape)}.",
    )
    if not torch.isfinite(weights).all():
        raise FucoreError(f"{name} diverged: its weights are no longer finite; try gentler parameters than {settings}.")
    run = Run(weights.cpu(), task.history, plain(config), task.cost, provenance(federation.data), key, federation, plain(task.log))
    if key:
        federation.store.put(run)
    return run


def _check_needs(chosen: Method, original: Run, request: Request) -> None:
    """Refuse a method where the run or the request lacks what it needs."""
    federation, needs, name = original.federation, chosen.needs, chosen.name
    asked = request.forgotten(federation.data.train.labels, federation.clients)
    asked = [(len(part), len(held)) for part, held in zip(asked, federation.clients.indices)]
    whole = all(part in (0, held) for part, held in asked)  # a client that keeps some of its data left traces in its old updates
    held = federation.clients.examples
    mask = request.mask(federation.data.train.labels, federation.clients)
    labels = federation.data.train.labels.numpy()
    classes = np.isin(labels[held], np.unique(labels[mask])) if mask.any() else np.zeros(len(held), bool)
    require(
        "history" not in needs or bool(original.config.get("record_updates")),
        f"{name} needs {NEEDS['history']}: train the original with record_updates=True.",
    )
    require(
        "history" not in needs or (original.config["start"] is None and original.config["first_round"] == 0),
        f"{name} needs the history from the first round on: train the original from its own initial weights.",
    )
    require("whole clients" not in needs or whole, f"{name} needs {NEEDS['whole clients']}, such as fu.forget.client(0), not {request}.")
    require(
        "whole classes" not in needs or bool((classes == mask[held]).all()),
        f"{name} needs {NEEDS['whole classes']}, such as fu.forget.classes(3), not {request}.",
    )
    require(
        "class of a client" not in needs or (len(request.clients or ()), len(request.classes or ()), request.examples) == (1, 1, None),
        f"{name} needs {NEEDS['class of a client']}, such as fu.forget.class_of_client(3, 0), not {request}.",
    )


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
