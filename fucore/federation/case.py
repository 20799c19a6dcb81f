"""A case: one original model, one request, and the models that were retrained without what it names.

What unlearning is judged on, and by.  It is validated once, here, so that every measure may rely on it.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ..data.dataset import Split, hash_splits
from ..data.forgetting import Request, client
from ..data.partition import LeakAudit
from ..errors import FucoreError, as_list, require, require_kind, require_whole
from ..runs.fingerprint import hash_of, hash_tensor, plain
from ..runs.looks import Look, look_at
from ..runs.run import Run
from .federation import Federation
from .identity import can_be_told

SAMPLE = 256
#: What may differ between a case's runs without making them different trainings.
_INCIDENTAL = ("model_fingerprint", "code", "torch", "partition")  # the last is a name: who holds what is compared by its hash
#: What of a federation determines how a run's weights see an example.
_LOOKING = ("model_fingerprint", "scale", "classes", "preprocessing", "kinds", "arithmetic", "device", "precision", "code", "torch")


class NotKept(FucoreError):
    """A reference keeps answers of its retrained models, not the models."""


@dataclass(frozen=True, eq=False)
class Case:
    """``original``: trained by everybody; ``retrained``: K runs from new starts without the ``request``.

    Raises ``FucoreError`` unless the retrained runs are of the original's federation (same data, model, server and hooks), never saw
    what must be forgotten, and no two of them are the same; warns where the original had another number of rounds.
    """

    original: Run
    retrained: Sequence[Run]
    request: Request
    _seen: dict = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self):
        require(isinstance(self.original, Run), "original must be one run: Case(original, retrained, request).")
        require(not isinstance(self.retrained, Run), "retrained must be a list of runs: federation.without(request).train_many(...).")
        require_kind("request", self.request, Request, "what must be forgotten, such as fu.forget.client(0)")
        require(
            "method" not in self.original.config,
            "the original is itself unlearned: give the run that everybody trained, and all that must be gone, first_request | second_request.",
        )
        object.__setattr__(self, "retrained", tuple(as_list(self.retrained)))
        require(
            all(isinstance(run, Run) for run in self.retrained),
            "retrained must be a list of runs: federation.without(request).train_many(...).",
        )
        require(self.original.federation is not None, "the original run does not know its federation: train it again (from the store).")
        require(len(self.retrained) > 0, "a case needs retrained runs: federation.without(request).train_many(...).")
        _check_retrained(self.retrained, self.without)
        if self.original.config.get("rounds") != self.retrained[0].config["rounds"]:
            warnings.warn("the original and the retrained models were trained for different numbers of rounds.", stacklevel=3)

    @property
    def federation(self) -> Federation:
        """The federation of everybody."""
        return self.original.federation

    @functools.cached_property
    def without(self) -> Federation:
        """The federation without what must be forgotten."""
        return self.federation.without(self.request)

    @functools.cached_property
    def forgotten(self) -> np.ndarray:
        """Indices of the training examples to forget, ascending, int64 [m]."""
        return self.federation.forgotten(self.request)

    @functools.cached_property
    def departed(self) -> Split:
        """The examples to forget, in the order of ``forgotten``."""
        return self.federation.data.train.take(self.forgotten)

    @property
    def test(self) -> Split:
        """The test images."""
        return self.federation.data.test

    @functools.cached_property
    def remaining(self) -> Split:
        """The training examples that somebody still holds, in the order of the training split."""
        return self.without.held

    @property
    def sample(self) -> Split:
        """The first of the remaining examples, to look at what is not to be forgotten without looking at all of it."""
        return self.remaining.take(np.arange(min(SAMPLE, len(self.remaining))))

    @property
    def leak_audit(self) -> LeakAudit:
        """What clients share."""
        return self.federation.leak_audit

    def look(self, run: Run, split: str = "departed") -> Look:
        """What a run makes of each example of ``"departed"``, ``"test"``, ``"remaining"`` or ``"sample"`` (of the remaining); kept beside the run in the store."""
        return self.remember((id(run), split, "look"), run, lambda: self._stored_look(run, split))

    def _stored_look(self, run: Run, split: str) -> Look:
        fed, part = self.federation, getattr(self, split)
        compute = lambda: look_at(fed.logits(run.weights, part), part.labels)
        if fed.store is None or not can_be_told(fed.config):
            return compute()
        looked_at = self.remember((split, "hash"), None, lambda: hash_splits(part))
        key = hash_of(plain([hash_tensor(run.weights), looked_at, {name: fed.config[name] for name in _LOOKING}]))
        kept = fed.store.look(key, len(part))
        if kept is None:
            kept = compute()
            fed.store.put_look(key, kept)
        return kept

    def losses(self, run: Run) -> np.ndarray:
        """Mean cross-entropy of a run on what each remaining client holds, of those that hold anything, in nats, float64 [clients]."""
        loss = np.full(len(self.federation.data.train), np.nan)
        loss[self.without.clients.examples] = self.look(run, "remaining").loss
        return np.array([loss[held].mean() for held in self.without.clients.indices if len(held)])

    def logits(self, run: Run, split: str | Split = "departed") -> torch.Tensor:
        """Logits float32 [n, classes] of a run on ``"departed"``, ``"test"`` or a split of your own; computed once for each."""
        name, part = (split, getattr(self, split)) if isinstance(split, str) else (id(split), split)
        return self.remember((id(run), name), (run, part), lambda: self.federation.logits(run.weights, part))

    def remember(self, key: tuple, kept_alive, compute: Callable):
        """``compute()``, once for each ``key``; what the key's identities belong to is kept alive with it."""
        if key not in self._seen:
            self._seen[key] = (compute(), kept_alive)
        return self._seen[key][0]

    def is_of(self, run: Run) -> bool:
        """Whether a run was unlearned in this case: from its original, for its request, at once or one after another."""
        asked = run.config.get("original"), run.config.get("request")
        return asked == (self._original_hash, plain(self.request))

    @functools.cached_property
    def _original_hash(self) -> str:
        return hash_tensor(self.original.weights)

    def check_candidate(self, name: str, run: Run) -> None:
        """Refuse to judge a model unlearned from another original or for another request."""
        if "method" not in run.config:
            return
        require(
            run.config["original"] == self._original_hash,
            f"{name} was unlearned from another original model than the one given.",
        )
        require(run.config["request"] == plain(self.request), f"{name} was unlearned for another request than {self.request}.")

    def __getstate__(self):
        """For other processes: what it is, without what was computed here."""
        return {**self.__dict__, "_seen": {}}

    def __repr__(self) -> str:
        return f"Case({self.request}: {len(self.forgotten)} examples, {len(self.retrained)} retrained models)"


def as_case(case: Case | Run, retrained: Sequence[Run] | None = None, request: Request | None = None) -> Case:
    """A case as it is, or one made from (original, retrained, request)."""
    if isinstance(case, Case):
        require(retrained is None and request is None, "a case brings its retrained models and its request along: give nothing else.")
        return case
    if request is None or retrained is None:
        raise FucoreError("give a case, or the original, the retrained runs and the request.")
    return Case(case, retrained if isinstance(retrained, Run) else tuple(retrained), request)


def case(
    federation: Federation, request: Request, rounds: int, *, seed: int = 0, retrained: int = 4, after: int | None = None, **options
) -> Case:
    """Train a case: the original with ``seed``, ``retrained`` models with the seeds after it (or after ``after``).

    ``options`` of training, such as ``record_updates=True``, are the original's.  Runs that are in the store are taken from there.
    """
    require_kind("federation", federation, Federation, "fu.Federation(...)")
    require_kind("request", request, Request, "what must be forgotten, such as fu.forget.client(0)")
    require_whole("retrained", retrained, 1)
    original, first = federation.train(rounds, seed, **options), (seed if after is None else after) + 1
    return Case(original, tuple(federation.without(request).train_many(rounds, range(first, first + retrained))), request)


def cases(federation: Federation, requests: Sequence[Request | int], rounds: int, **options) -> list[Case]:
    """:func:`case` for each of ``requests`` (numbers are clients that leave one at a time): one original, other seeds for each case."""
    seed, count = options.get("seed", 0), options.get("retrained", 4)
    asked = [each if isinstance(each, Request) else client(each) for each in requests]
    return [case(federation, each, rounds, after=seed + place * count, **options) for place, each in enumerate(asked)]


def _check_retrained(retrained: Sequence[Run], without: Federation) -> None:
    """Refuse references that are none: trained elsewhere, otherwise, from a given start, or one run given twice."""
    expected = {key: value for key, value in plain(without.config).items() if key not in _INCIDENTAL}
    for run in retrained:
        other = [key for key, value in expected.items() if run.config.get(key) != value] + ["start"] * (run.config["start"] is not None)
        require(
            not other,
            "a run given as retrained was not trained from a new start in federation.without(request), so it cannot be the reference: "
            f"it had another {' and '.join(other)}.",
        )
    require(
        len({run.config["rounds"] for run in retrained}) == 1,
        "the retrained runs were trained for different numbers of rounds, so they are not one reference.",
    )
    require(
        len({hash_tensor(run.weights) for run in retrained}) == len(retrained),
        "the same retrained run is given twice: train with different seeds.",
    )
