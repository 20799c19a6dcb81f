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
import pathlib
import pkgutil
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..errors import FucoreError, require, require_choice, require_whole
from ..federation import BYTES_A_WEIGHT, Federation
from ..forgetting import Request
from ..run import Cost, Run, hash_of, provenance, source_of

NEEDS = {"forgotten data": "examples of the clients that leave"}


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
    """Register a function ``(task, *, parameters...) -> weights [d]`` as the unlearning method ``name``."""
    for need in needs:
        require_choice("needs", need, NEEDS)

    def register(function):
        METHODS[name] = Method(name, function, tuple(needs), citation)
        return function

    return register


class Task:
    """What a method works with.  Reading ``forgotten`` without having declared it raises ``FucoreError``.

    ``original``: the trained ``Run``; ``remaining``: the federation without the forgotten examples; ``seed``: for
    every random choice; ``log``: a dict for whatever the method wants to tell.
    """

    def __init__(self, original: Run, request: Request, chosen: Method, seed: int):
        self.original, self.request, self.method, self.seed = original, request, chosen, seed
        self._federation = original.federation
        self.remaining: Federation = original.federation.without(request)
        self.round, self.cost, self.history, self.log = 0, Cost(), [], {}

    @property
    def forgotten(self) -> Federation:
        """A federation of only the clients that were asked, holding only what they must forget."""
        require(
            "forgotten data" in self.method.needs,
            f"{self.method.name} reads the forgotten data but does not declare it: add needs=('forgotten data',) to its @method.",
        )
        data = self._federation.data.train.labels
        asked = self.request.forgotten(data, self._federation.clients)
        return dataclasses.replace(self._federation, clients=type(self._federation.clients)(asked, f"to forget: {self.request}"))

    def train(self, weights: torch.Tensor, rounds: int, **options) -> torch.Tensor:
        """FedAvg on the remaining clients from ``weights``; returns the new weights.  Zero rounds return them as they are."""
        if rounds == 0:
            return weights
        run = self.remaining.train(rounds, self.seed, start=weights, first_round=self.round, **options)
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

    def mean_gradient(self, weights: torch.Tensor) -> torch.Tensor:
        """Mean over the remaining clients of their loss gradients at ``weights``, [d]; costs one pass and one exchange."""
        began = time.perf_counter()
        gradient = self.remaining.mean_gradient(weights)
        sizes = self.remaining.clients.sizes
        traffic = int((sizes > 0).sum()) * weights.numel() * BYTES_A_WEIGHT
        self.cost += Cost(int(sizes.sum()), traffic, traffic, 0, time.perf_counter() - began)
        return gradient

    def note(self, weights: torch.Tensor, stage: str) -> None:
        """Record the test accuracy of ``weights`` in the history between rounds (not counted as cost)."""
        accuracy, loss = self.remaining.evaluate(weights)
        self.history.append(
            {
                "round": self.round,
                "test_accuracy": accuracy,
                "test_loss": loss,
                "seconds": self.cost.seconds,
                "examples": self.cost.examples,
                "stage": stage,
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
    require(
        original.federation is not None, "this run does not know its federation: train it again (from the store) with Federation.train."
    )
    require_whole("seed", seed, 0)
    federation = original.federation
    settings = {**chosen.defaults, **parameters}
    code = source_of(chosen.function)
    config = {
        "method": name,
        **settings,
        "seed": seed,
        "request": dataclasses.asdict(request),
        "original": original.key,
        "code": code and hash_of([code, _shared_code()]),
        "torch": torch.__version__,
    }
    key = None if federation.store is None or original.key is None or code is None else hash_of(config)
    found = key and federation.store.get(key)
    if found:
        return dataclasses.replace(found, federation=federation)
    task = Task(original, request, chosen, seed)
    weights = chosen.function(task, **settings)
    require(
        isinstance(weights, torch.Tensor) and weights.shape == original.weights.shape,
        f"{name} must return weights of shape {tuple(original.weights.shape)}.",
    )
    if not torch.isfinite(weights).all():
        raise FucoreError(f"{name} diverged: its weights are no longer finite; try gentler parameters than {settings}.")
    run = Run(weights.cpu(), task.history, config, task.cost, provenance(federation.data), key, federation, task.log)
    if key:
        federation.store.put(run)
    return run


def _shared_code() -> list[str]:
    """Source that methods share, part of every result's key."""
    return [path.read_text() for path in sorted(pathlib.Path(__file__).parent.glob("*.py"))]


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
