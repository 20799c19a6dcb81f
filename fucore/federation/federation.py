"""Federated averaging: the only training loop (McMahan et al., AISTATS 2017)::

    theta_i     = local training of client i from theta(t)
    theta(t+1)  = sum_i p_i theta_i            over the participants, or another rule, see :mod:`fucore.federation.server`

Original, retrained, fine-tuned and recovered models all come from :meth:`Federation.train`.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..data.dataset import Dataset, Split
from ..data.forgetting import Request
from ..data.partition import LeakAudit, Partition
from ..errors import FucoreError, as_list, require, require_flag, require_kind, require_number, require_seed, require_whole
from ..machine import default_workers
from ..progress import progress
from ..runs.fingerprint import hash_of, hash_tensor, plain
from ..runs.run import Run
from ..runs.store import NOT_KEPT, Store
from ..streams import Stream
from . import rounds as rounds_of
from .engine import Engine, one_thread
from .identity import can_be_told, check_parts, check_unchanged, code_of, config_of, explain
from .models import build
from .server import FedAvg, Server
from .training import EVALUATION_BATCH, Hooks, LocalTraining, Preprocessing, sources
from .weights import Layout, refuse_unflattenable, trainable
from .worker import Worker


@dataclass(frozen=True, eq=False)
class Federation:
    """Data, who holds them, and how they learn.

    ``model``: a name in :data:`fucore.federation.models.FACTORIES` or a function ``(shape, classes) -> nn.Module``.
    ``server``: what is made of the clients' models; ``hooks``: changes to local training, shared by training, retraining and
    recovery.  ``participation``: share of the clients drawn each round, at least one.  ``workers``: clients trained at the same time (default: one a
    core, at most 8; one on a GPU); results do not depend on it.
    ``store``: where finished runs are kept; ``None`` keeps nothing.
    """

    data: Dataset
    clients: Partition
    model: str | Callable = "cnn"
    local: LocalTraining = LocalTraining()
    preprocessing: Preprocessing = Preprocessing()
    server: Server = FedAvg()
    hooks: Hooks = Hooks()
    participation: float = 1.0
    device: str = "cpu"
    precision: str = "fp32"
    workers: int | None = None
    store: Store | None = dataclasses.field(default_factory=Store)

    def __post_init__(self):
        if isinstance(self.store, (str, pathlib.Path)):
            object.__setattr__(self, "store", Store(self.store))
        check_parts(self)

    def __getstate__(self):
        """For other processes: the fields alone, without workers, which every process makes for itself."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    # ---- learning

    def train(
        self,
        rounds: int,
        seed: int = 0,
        *,
        start: torch.Tensor | None = None,
        first_round: int = 0,
        horizon: int | None = None,
        until: float | None = None,
        hooks: Hooks | None = None,
        evaluate_every: int = 1,
        record_updates: bool = False,
        keep: bool = True,
        server_state: dict[str, torch.Tensor] | None = None,
    ) -> Run:
        """Federated averaging for ``rounds`` rounds from ``start`` [d], or from a network drawn with ``seed``.

        ``first_round`` is the global index of the first round (for learning rates and random streams, when a run goes
        on from another), ``horizon`` the number of rounds that schedules plan for (default ``first_round + rounds``).
        ``until`` stops early at that test accuracy.  ``record_updates`` streams every client update
        theta_i - theta(t) to disk, see :meth:`updates`.  ``keep=False`` stores checkpoints but not the
        result.  An equal run is taken from the store; an interrupted one goes on from its last checkpoint and ends with the
        same bits (one with ``record_updates`` starts anew).

        ``server_state``: a dict with what the server's rule remembers of the rounds before (empty: nothing), which becomes what it
        remembers after this run, so that pieces with ``first_round`` and ``horizon`` give the bits of the whole; results of such
        pieces are not kept.

        Raises ``FucoreError`` for impossible settings, for a rule that cannot work with the local training, and when training diverges.
        """
        require_whole("rounds", rounds, 1)
        require_seed(seed)
        check_unchanged(self)
        hooks = self.hooks if hooks is None else hooks
        require_kind("hooks", hooks, Hooks, "fu.Hooks(...)")
        require_flag("record_updates", record_updates)
        require_flag("keep", keep)
        require_kind("start", start, (torch.Tensor, type(None)), "weights [d], such as run.weights")
        require_whole("evaluate_every", evaluate_every, 1)
        require_whole("first_round", first_round, 0)
        horizon = first_round + rounds if horizon is None else require_whole("horizon", horizon, first_round + rounds)
        if until is not None:
            require_number("until", until, 0.0, 1.0)
        plan = {
            "rounds": rounds,
            "seed": seed,
            "first_round": first_round,
            "horizon": horizon,
            "until": until,
            "evaluate_every": evaluate_every,
            "record_updates": record_updates,
            "start": None if start is None else hash_tensor(start),
            "hooks": sources(hooks),
            "server_state": {name: hash_tensor(tensor) for name, tensor in sorted((server_state or {}).items())},
        }
        config = plain({**self.config, **plan})  # as it is read back, so that the key is the hash of what is stored
        key = hash_of(config) if self.store is not None and can_be_told(config) else None
        require(not record_updates or key is not None, "record_updates needs a store to write to, and hooks that are plain functions.")
        if key is None and self.store is not None and keep:
            warnings.warn(NOT_KEPT.format("its hooks compute"), stacklevel=2)
        keep = keep and server_state is None
        found = self.store.get(key, self.layout.size) if key and self.store and server_state is None else None
        if found:
            return dataclasses.replace(found, federation=self)
        with one_thread():  # between rounds too: idle threads of torch spin, and take the cores from the workers
            run = rounds_of.train(self, start, server_state, hooks, config, key)
        if key and self.store:
            self.store.put(run) if keep else self.store.drop_checkpoint(key)
        return run

    def train_many(self, rounds: int, seeds: Sequence[int], **options) -> list[Run]:
        """One independent run a seed, as many at a time as there are workers; options as for :meth:`train`.

        Whole runs side by side need not wait for each other in every round, as the clients of one run must.
        """
        seeds = [require_seed(seed) for seed in as_list(seeds)]
        require(len(seeds) == len(set(seeds)) > 0, "seeds must be a list of different whole numbers, such as range(1, 5).")
        if min(self.engine.workers, len(seeds)) == 1:
            return [self.train(rounds, seed, **options) for seed in progress(seeds, "training")]
        alone = dataclasses.replace(self, workers=1)
        runs = alone.engine.side_by_side(((lambda seed=seed: alone.train(rounds, seed, **options)) for seed in seeds), self.engine.workers)
        return [dataclasses.replace(run, federation=self) for run in progress(runs, "training", total=len(seeds))]

    def local_models(
        self, weights: torch.Tensor, participants, lr: float, stream: tuple[int, int], hooks: Hooks | None = None
    ) -> Iterator[torch.Tensor]:
        """Each participant's weights [d] after local training from ``weights``, in order; ``stream`` is (seed, round)."""
        indices = [self.clients.indices[client] for client in participants]
        keys = [(*stream, int(client)) for client in participants]
        return self.engine.train(weights, indices, self.local, lr, keys, self.hooks if hooks is None else hooks)

    def shares(self, participants) -> list[float]:
        """p_i of the clients that take part, in their order; they sum to one."""
        return self.server.shares(self.clients.sizes[participants])

    def participants(self, seed: int, round_index: int) -> np.ndarray:
        """Clients with data that take part in a round (from 0), ascending."""
        present = np.flatnonzero(self.clients.sizes)
        count = max(1, round(self.participation * len(present)))
        if count == len(present):
            return present
        return np.sort(np.random.default_rng([seed, round_index, Stream.PARTICIPANTS]).choice(present, count, replace=False))

    # ---- forgetting

    def without(self, request: Request) -> Federation:
        """The same federation after the requested examples are deleted; emptied clients are skipped in training.

        What nobody holds any more cannot be read either: in the new federation's data it is blank.
        """
        check_unchanged(self)
        labels = self.data.train.labels
        clients = request.retained(labels, self.clients)
        held = np.isin(np.arange(len(labels)), clients.examples)
        return dataclasses.replace(self, clients=clients, data=self.data.without(request.mask(labels, self.clients) & ~held))

    def forgotten(self, request: Request) -> np.ndarray:
        """Indices of the training examples to forget, ascending, int64."""
        return np.flatnonzero(request.mask(self.data.train.labels, self.clients))

    def only(self, clients) -> Federation:
        """The same federation in which all but these clients hold nothing."""
        indices = tuple(held if client in clients else held[:0] for client, held in enumerate(self.clients.indices))
        return dataclasses.replace(
            self, clients=Partition(indices, f"{self.clients.name}, clients {[int(client) for client in clients]} only")
        )

    # ---- looking

    def initial_weights(self, seed: int) -> torch.Tensor:
        """Weights [d] of a network drawn with ``seed``, on the CPU."""
        module = build(self.model, self.input_shape, len(self.data.classes), seed)
        refuse_unflattenable(module)
        return torch.cat([parameter.detach().reshape(-1) for parameter in trainable(module).values()])

    def logits(self, weights: torch.Tensor, split: Split) -> torch.Tensor:
        """Logits float32 [n, classes] of ``weights`` [d] on ``split``, in evaluation mode and in order."""
        weights = require_kind("weights", weights, torch.Tensor, "a tensor of weights [d], such as run.weights")
        require(weights.shape == (self.layout.size,), f"weights have shape {tuple(weights.shape)}, but the model has {self.layout.size}.")
        parts = require_kind("split", split, Split, "a split of a data set, such as data.test").batches(EVALUATION_BATCH)
        results = torch.cat(list(self.engine.each((lambda worker, part=part: worker.logits(weights, split.batch(part))) for part in parts)))
        return results if split.sides is None else results[torch.cat(parts).argsort()]

    def probabilities(self, weights: torch.Tensor, split: Split) -> torch.Tensor:
        """Softmax of :meth:`logits`, float64 [n, classes]."""
        return torch.softmax(self.logits(weights, split).double(), dim=1)

    def evaluate(self, weights: torch.Tensor, split: Split | None = None) -> tuple[float, float]:
        """(accuracy in 0..1, mean cross-entropy) of ``weights`` on the test images, or on ``split``."""
        split = self.data.test if split is None else split
        require_kind("split", split, Split, "a split of a data set, such as data.test")
        require(len(split) > 0, "there is no example to evaluate on.")
        logits = self.logits(weights, split)
        return float((logits.argmax(1) == split.labels).double().mean()), float(torch.nn.functional.cross_entropy(logits, split.labels))

    def mean_gradient(self, weights: torch.Tensor) -> torch.Tensor:
        """Aggregate over clients of the gradient of each one's mean loss at ``weights``, [d]: what one FedSGD round descends."""
        present = np.flatnonzero(self.clients.sizes)
        jobs = ((lambda worker, i=i: worker.gradient(weights, self.clients.indices[i])) for i in present)
        total = torch.zeros(self.layout.size, dtype=torch.float64)
        for share, gradient in zip(self.shares(present), self.engine.each(jobs)):
            total.add_(gradient.cpu().double(), alpha=share)
        return total.float()

    @property
    def held(self) -> Split:
        """The training examples that somebody holds, in the order of the training split."""
        return self.data.train.take(self.clients.examples)

    @functools.cached_property
    def leak_audit(self) -> LeakAudit:
        """What clients share, copies with equal pixels included."""
        return self.clients.leak_audit(self.data.train.images)

    def updates(self, run: Run, round_number: int) -> torch.Tensor:
        """Client updates theta_i - theta(t) of a run trained with ``record_updates``, float32 [participants, d]; rounds count from 1."""
        if self.store is None or run.key is None or not run.config.get("record_updates"):
            raise FucoreError("this run kept no client updates: train it with record_updates=True.")
        require_whole("round", round_number, 1, run.rounds)
        index = run.config["first_round"] + round_number
        present = len((run.federation or self).participants(run.config["seed"], index - 1))
        return self.store.updates(run.key, index, (present, run.weights.numel()))

    @functools.cached_property
    def layout(self) -> Layout:
        """Names and shapes of the parameters in the flat vector."""
        module = build(self.model, self.input_shape, len(self.data.classes), seed=0)
        refuse_unflattenable(module)
        return Layout(*zip(*((name, parameter.shape) for name, parameter in trainable(module).items())))

    @functools.cached_property
    def engine(self) -> Engine:
        return Engine(
            lambda: Worker(self.model, self.data, self.preprocessing, self.device, self.precision),
            self.workers or default_workers(self.device),
        )

    @functools.cached_property
    def config(self) -> dict:
        """What determines the runs of this federation, see :func:`~fucore.federation.identity.config_of`."""
        check_unchanged(self)
        return config_of(self)

    @functools.cached_property
    def _code(self) -> list:
        return code_of(self)

    def explain(self) -> str:
        """How this federation is computed, in sentences: which speed-ups apply, and why others do not."""
        return explain(self)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of what the network is given."""
        channels, height, width = self.data.shape
        side = self.preprocessing.resize
        return channels, side or height, side or width

    def __repr__(self) -> str:
        return f"Federation({self.data.name}, {self.clients!r}, {self.config['model']})"
