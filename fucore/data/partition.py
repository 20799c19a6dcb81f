"""Who holds what: every partition is a value, a tuple of index arrays, with an audit of its leaks.

All constructors are pure functions of the labels and a seed.  Every one but :func:`overlapping` is disjoint and drops
no example.
"""

from __future__ import annotations

import functools
import hashlib
import json
import pathlib
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..errors import FucoreError, require, require_number, require_whole
from ..streams import Stream


@dataclass(frozen=True, eq=False)
class Partition:
    """``indices[i]`` are the training examples that client ``i`` holds (int64, sorted)."""

    indices: tuple[np.ndarray, ...]
    name: str = "custom"
    parameters: dict = field(default_factory=dict)

    def __post_init__(self):
        arrays = tuple(np.sort(np.asarray(indices, dtype=np.int64)) for indices in self.indices)
        require(len(arrays) > 0, "a partition needs at least one client.")
        require(any(len(array) for array in arrays), "every client of this partition is empty: nothing is left to train on.")
        for client, array in enumerate(arrays):
            require(len(array) == 0 or array[0] >= 0, f"client {client} of this partition holds a negative index.")
            require(len(array) < 2 or bool((np.diff(array) > 0).all()), f"client {client} of this partition holds an example twice.")
        object.__setattr__(self, "indices", arrays)

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def sizes(self) -> np.ndarray:
        """Examples per client, int64 [clients]."""
        return np.array([len(indices) for indices in self.indices])

    @functools.cached_property
    def examples(self) -> np.ndarray:
        """The training examples that somebody holds, ascending, each once, int64."""
        return np.unique(np.concatenate(self.indices))

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 of who holds what."""
        digest = hashlib.sha256()
        for indices in self.indices:
            digest.update(len(indices).to_bytes(8, "little") + indices.tobytes())
        return digest.hexdigest()

    def counts(self, labels) -> np.ndarray:
        """Examples per client and class, int64 [clients, classes]."""
        labels = np.asarray(labels)
        return np.stack([np.bincount(labels[indices], minlength=labels.max() + 1) for indices in self.indices])

    def leak_audit(self, images=None) -> LeakAudit:
        """Share of each client's examples that another client holds too; with ``images``, pixel-equal copies also count."""
        return LeakAudit(_held_elsewhere(self.indices), None if images is None else _held_elsewhere(_by_pixels(self.indices, images)))

    def save(self, path, data) -> None:
        """Write this partition as a small open JSON file that others can judge on, tied to ``data`` by its hash."""
        record = {
            "format": "fucore partition 1",
            "data": data.name,
            "data_sha256": data.hash,
            "name": self.name,
            "parameters": {key: str(value) if value == np.inf else value for key, value in self.parameters.items()},
        }
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(path).write_text(json.dumps({**record, "indices": [indices.tolist() for indices in self.indices]}) + "\n")

    @staticmethod
    def load(path, data) -> Partition:
        """Read what :meth:`save` wrote; raises ``FucoreError`` if it was made for other data."""
        record = read_published(path, "fucore partition 1", data)
        return Partition(
            tuple(map(np.array, record["indices"])),
            record["name"],
            {key: np.inf if value == "inf" else value for key, value in record["parameters"].items()},
        )

    def __repr__(self) -> str:
        settings = "".join(f", {key}={value}" for key, value in self.parameters.items())
        return f"Partition({self.name}{settings}: {len(self)} clients, {self.sizes.min()}–{self.sizes.max()} examples each)"


@dataclass(frozen=True, eq=False)
class LeakAudit:
    """What the clients share.  ``by_index`` and ``by_pixels`` are shares in 0..1 per client, float [clients].

    ``by_pixels`` counts an example as shared when another client holds an image with exactly the same pixels; it is
    ``None`` when no images were given.
    """

    by_index: np.ndarray
    by_pixels: np.ndarray | None

    @property
    def disjoint(self) -> bool:
        """No example is held by two clients."""
        return not self.by_index.any()

    def table(self) -> pd.DataFrame:
        columns = {"same example elsewhere": self.by_index}
        if self.by_pixels is not None:
            columns["same pixels elsewhere"] = self.by_pixels
        return pd.DataFrame(columns).rename_axis("client")

    def __str__(self) -> str:
        shared = (
            "no example is held by two clients"
            if self.disjoint
            else f"up to {self.by_index.max():.1%} of a client's examples are held by another client too"
        )
        copies = "" if self.by_pixels is None else f"; pixel-equal copies: up to {self.by_pixels.max():.1%} of a client"
        return f"Leak audit: {shared}{copies}."

    __repr__ = __str__


def iid(labels, clients: int, seed: int = 0) -> Partition:
    """Uniformly at random, sizes equal within one."""
    labels, clients = _enough(labels, clients)
    order = _rng(seed, 1).permutation(len(labels))
    return Partition(tuple(np.array_split(order, clients)), "iid", {"clients": clients, "seed": seed})


def dirichlet(labels, clients: int, alpha: float, seed: int = 0, min_examples: int = 1) -> Partition:
    """Label skew: each class is spread over the clients by proportions drawn from Dirichlet(alpha).

    ``alpha`` runs from 0.01 (nearly one client a class) to infinity (every client has every class in equal share).
    Proportions become counts by largest remainders, so nothing is dropped.  Clients left with fewer than
    ``min_examples`` take random examples from the then largest client, instead of drawing until luck provides.
    """
    labels, clients = _enough(labels, clients, min_examples)
    alpha = require_number("alpha", alpha, 0.01, np.inf)
    rng = _rng(seed, 2)
    parts = [[] for _ in range(clients)]
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        counts = _largest_remainders(_dirichlet_proportions(alpha, clients, rng), len(members))
        for client, piece in enumerate(np.split(members, np.cumsum(counts)[:-1])):
            parts[client].append(piece)
    parts = [np.concatenate(pieces) for pieces in parts]
    while min(map(len, parts)) < min_examples:
        poor, rich = min(range(clients), key=lambda i: len(parts[i])), max(range(clients), key=lambda i: len(parts[i]))
        moved = rng.choice(parts[rich], min(min_examples - len(parts[poor]), len(parts[rich]) - min_examples), replace=False)
        parts[poor], parts[rich] = np.concatenate([parts[poor], moved]), np.setdiff1d(parts[rich], moved)
    return Partition(tuple(parts), "dirichlet", {"clients": clients, "alpha": alpha, "seed": seed, "min_examples": min_examples})


def one_class_per_client(labels, clients: int, seed: int = 0) -> Partition:
    """Client i holds only class ``i mod classes``; classes with several clients are split evenly among them."""
    labels, clients = _enough(labels, clients)
    classes = np.unique(labels)
    require(clients >= len(classes), f"clients is {clients}, but one class per client needs at least {len(classes)}, one for each class.")
    rng = _rng(seed, 3)
    parts: list = [None] * clients
    for place, label in enumerate(classes):
        holders = range(place, clients, len(classes))
        for client, piece in zip(holders, np.array_split(rng.permutation(np.flatnonzero(labels == label)), len(holders))):
            parts[client] = piece
    return Partition(tuple(parts), "one class per client", {"clients": clients, "seed": seed})


def shards(labels, clients: int, shards_per_client: int = 2, seed: int = 0) -> Partition:
    """Sort by label, cut into equal shards, deal ``shards_per_client`` to each client (McMahan et al., 2017)."""
    labels, clients = _enough(labels, clients)
    per_client = require_whole("shards_per_client", shards_per_client, 1, len(labels) // clients)
    rng = _rng(seed, 4)
    shuffled = rng.permutation(len(labels))
    pieces = np.array_split(shuffled[np.argsort(labels[shuffled], kind="stable")], clients * per_client)
    deal = rng.permutation(len(pieces)).reshape(clients, per_client)
    return Partition(
        tuple(np.concatenate([pieces[i] for i in hand]) for hand in deal),
        "shards",
        {"clients": clients, "shards_per_client": per_client, "seed": seed},
    )


def overlapping(labels, clients: int, examples_per_client: int | None = None, seed: int = 0) -> Partition:
    """Every client draws its examples independently of the others, as the public code of Wei et al. does for IID.

    Kept so that its leak can be shown: with n clients of N/n examples each, a share 1-(1-1/n)^(n-1) of a client's
    examples (61 % for n = 10) is held by another client as well, and is therefore not forgotten by retraining.
    """
    labels, clients = _enough(labels, clients)
    size = require_whole("examples_per_client", examples_per_client or len(labels) // clients, 1, len(labels))
    rng = _rng(seed, 5)
    parts = tuple(rng.choice(len(labels), size, replace=False) for _ in range(clients))
    return Partition(parts, "overlapping", {"clients": clients, "examples_per_client": size, "seed": seed})


def read_published(path, kind: str, data) -> dict:
    """The JSON record at ``path`` if it is a ``kind`` made for ``data``; else ``FucoreError``."""
    try:
        record = json.loads(pathlib.Path(path).read_text())
    except (OSError, ValueError) as error:
        raise FucoreError(f"{path} cannot be read as a published split ({error}).") from None
    require(isinstance(record, dict) and record.get("format") == kind, f"{path} is not a file of the kind {kind!r}.")
    require(
        record["data_sha256"] == data.hash,
        f"{path} was made for other data ({record['data']}) than {data.name}: load exactly the same examples.",
    )
    return record


def _enough(labels, clients: int, min_examples: int = 1) -> tuple[np.ndarray, int]:
    labels = np.asarray(labels)
    require(labels.ndim == 1 and len(labels) > 0, f"labels must be a non-empty list, not of shape {labels.shape}.")
    require_whole("min_examples", min_examples, 0)
    clients = require_whole("clients", clients, 1, len(labels))
    require(
        clients * min_examples <= len(labels),
        f"{clients} clients of at least {min_examples} examples need {clients * min_examples}, but there are {len(labels)}.",
    )
    return labels, clients


def _dirichlet_proportions(alpha: float, clients: int, rng: np.random.Generator) -> np.ndarray:
    """A Dirichlet draw computed in logarithms: Gamma(a) = Gamma(a+1) U^(1/a) underflows to 0/0 for small a otherwise."""
    if np.isinf(alpha):
        return np.full(clients, 1 / clients)
    logs = np.log(rng.gamma(alpha + 1, size=clients)) + np.log(rng.random(clients)) / alpha
    shares = np.exp(logs - logs.max())
    return shares / shares.sum()


def _largest_remainders(shares: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers that sum to ``total`` and differ from ``shares * total`` by less than one."""
    quota = shares * total
    counts = np.floor(quota).astype(int)
    counts[np.argsort(counts - quota, kind="stable")[: total - counts.sum()]] += 1
    return counts


def _rng(seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([require_whole("seed", seed, 0), Stream.PARTITION + stream])


def _held_elsewhere(indices) -> np.ndarray:
    """Share of each client's entries that also occur at another client."""
    unique = [np.unique(array) for array in indices]
    values, holders = np.unique(np.concatenate(unique), return_counts=True)
    shared = values[holders > 1]
    return np.array([np.isin(array, shared).mean() if len(array) else 0.0 for array in indices])


def _by_pixels(indices, images) -> list[np.ndarray]:
    """Each client's examples renamed to the number of their distinct image."""
    flat = np.ascontiguousarray(np.asarray(images).reshape(len(images), -1))
    _, numbers = np.unique(flat.view([("", flat.dtype, flat.shape[1])]).ravel(), return_inverse=True)
    return [numbers.ravel()[array] for array in indices]
