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

from ..errors import FucoreError, require, require_kind, require_number, require_whole, shown
from ..runs.files import publish
from ..runs.fingerprint import plain
from ..streams import Stream
from ._checks import class_labels, plain_array, whole_numbers
from .dataset import Dataset
from .leaks import LeakAudit, by_pixels, held_elsewhere


@dataclass(frozen=True, eq=False)
class Partition:
    """``indices[i]`` are the training examples that client ``i`` holds: int64, ascending, copies that cannot be written to.

    Raises ``FucoreError`` unless each client has a flat list of different whole numbers from 0, and one has any; boolean masks are refused.
    """

    indices: tuple[np.ndarray, ...]
    name: str = "custom"
    parameters: dict = field(default_factory=dict)

    def __post_init__(self):
        listed = isinstance(self.indices, (list, tuple)) or (isinstance(self.indices, np.ndarray) and self.indices.ndim > 0)
        if not listed:
            raise FucoreError(f"indices is {shown(self.indices)}, but must be a list with an array of indices for each client.")
        arrays = tuple(np.sort(whole_numbers(f"client {client} of this partition", indices)) for client, indices in enumerate(self.indices))
        require(isinstance(self.name, str), f"name is {shown(self.name)}, but must be a text.")
        require(isinstance(self.parameters, dict), f"parameters is {shown(self.parameters)}, but must be a dict.")
        require(len(arrays) > 0, "a partition needs at least one client.")
        require(any(len(array) for array in arrays), "every client of this partition is empty: nothing is left to train on.")
        for client, array in enumerate(arrays):
            require(len(array) == 0 or array[0] >= 0, f"client {client} of this partition holds a negative index.")
            require(len(array) < 2 or bool((np.diff(array) > 0).all()), f"client {client} of this partition holds an example twice.")
        object.__setattr__(self, "indices", arrays)
        object.__setattr__(self, "parameters", dict(self.parameters))

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
        return self._hashed()

    def _hashed(self) -> str:
        digest = hashlib.sha256()
        for indices in self.indices:
            digest.update(len(indices).to_bytes(8, "little") + indices.tobytes())
        return digest.hexdigest()

    def check_unchanged(self) -> None:
        """Raise ``FucoreError`` if a client holds something else than when this was first asked."""
        require(
            self.hash == self._hashed(), "this partition was changed after it had been used: make a new one, so that no result mixes both."
        )

    def counts(self, labels) -> np.ndarray:
        """Examples per client and class, int64 [clients, classes]."""
        labels = class_labels("labels", labels)
        self._fits(len(labels), "labels")
        return np.stack([np.bincount(labels[indices], minlength=labels.max() + 1) for indices in self.indices])

    def leak_audit(self, images=None) -> LeakAudit:
        """Share of each client's examples that another client holds too; with ``images``, pixel-equal copies also count."""
        if images is not None:
            images = plain_array("images", images)
            require(images.ndim > 1 and images[:1].size > 0, f"images has shape {images.shape}, but must be [N, channels, height, width].")
            self._fits(len(images), "images")
        return LeakAudit(held_elsewhere(self.indices), None if images is None else held_elsewhere(by_pixels(self.indices, images)))

    def _fits(self, count: int, what: str) -> None:
        highest = int(self.examples[-1])
        require(highest < count, f"the partition names example {highest}, but there are only {count} {what}.")

    def save(self, path, data) -> None:
        """Write this partition as a small open JSON file that others can judge on, tied to ``data`` by its hash."""
        self._fits(len(_known(data).train), "training examples")
        record = {
            "format": "fucore partition 1",
            "data": data.name,
            "data_sha256": data.hash,
            "name": self.name,
            "parameters": {key: str(value) if value == np.inf else value for key, value in self.parameters.items()},
        }
        try:
            text = json.dumps({**record, "indices": [indices.tolist() for indices in self.indices]}, default=plain) + "\n"
        except (TypeError, ValueError) as error:
            raise FucoreError(f"this partition cannot be written to {shown(path)} ({error}): give it plain parameters.") from None
        publish(path, text)

    @staticmethod
    def load(path, data) -> Partition:
        """Read what :meth:`save` wrote; raises ``FucoreError`` if it is damaged or was made for other data."""
        record = read_published(path, "fucore partition 1", data)
        parameters = record.get("parameters")
        if isinstance(parameters, dict):
            parameters = {key: np.inf if value == "inf" else value for key, value in parameters.items()}
        try:
            partition = Partition(record.get("indices"), record.get("name"), parameters)  # pyright: ignore[reportArgumentType]  refused
            partition._fits(len(data.train), "training examples")
        except FucoreError as error:
            raise FucoreError(f"{path} is damaged: {error}") from None
        return partition

    def __repr__(self) -> str:
        settings = "".join(f", {key}={value}" for key, value in self.parameters.items())
        return f"Partition({self.name}{settings}: {len(self)} clients, {self.sizes.min()}–{self.sizes.max()} examples each)"


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
    min_examples = require_whole("min_examples", min_examples, 0)
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
    size = len(labels) // clients if examples_per_client is None else examples_per_client
    size = require_whole("examples_per_client", size, 1, len(labels))
    rng = _rng(seed, 5)
    parts = tuple(rng.choice(len(labels), size, replace=False) for _ in range(clients))
    return Partition(parts, "overlapping", {"clients": clients, "examples_per_client": size, "seed": seed})


def by_column(ids, labels=None) -> Partition:
    """Natural clients: ``ids`` says of each training example who made it (a writer, a hospital), as a text or a whole number.

    Client k is the k-th of the different ids in ascending order, ``np.unique(ids)[k]``.  With ``labels`` it is checked that there is one
    id for each.  Raises ``FucoreError`` where an id is missing (``None``, not a number, an empty text, a negative number).
    """
    listed = (
        list(ids.tolist() if hasattr(ids, "tolist") else ids)
        if hasattr(ids, "__iter__") and not isinstance(ids, (str, bytes, dict))
        else []
    )
    require(len(listed) > 0, f"ids is {shown(ids)}, but must be a list with the client of each training example.")
    listed = [value.item() if isinstance(value, np.generic) else value for value in listed]
    missing = [place for place, value in enumerate(listed) if _is_missing(value)]
    require(
        not missing,
        f"ids has no client for example {missing[0] if missing else ''} ({len(missing)} of {len(listed)} are missing): "
        "leave these examples out, or give them a client of their own.",
    )
    kinds = {type(value) for value in listed}
    told = f"ids is of {', '.join(sorted(kind.__name__ for kind in kinds))}, but must be all texts or all whole numbers."
    require(kinds in ({str}, {int}), told)
    if labels is not None:
        count = len(class_labels("labels", labels))
        require(len(listed) == count, f"there are {len(listed)} ids for {count} labels; there must be one for each training example.")
    names, holder = np.unique(np.array(listed), return_inverse=True)
    return Partition(tuple(np.flatnonzero(holder == client) for client in range(len(names))), "by column", {"clients": len(names)})


def _is_missing(value) -> bool:
    """Whether a column says nothing of an example."""
    nothing = value is None or (isinstance(value, str) and not value.strip())
    return nothing or (isinstance(value, (int, float)) and not isinstance(value, bool) and (value != value or value < 0))


def read_published(path, kind: str, data) -> dict:
    """The JSON record at ``path`` if it is a ``kind`` made for ``data``; else ``FucoreError``."""
    try:
        record = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, TypeError, ValueError, RecursionError) as error:
        raise FucoreError(f"{shown(path)} cannot be read as a published split ({error}).") from None
    require(isinstance(record, dict) and record.get("format") == kind, f"{path} is not a file of the kind {kind!r}.")
    require(
        record.get("data_sha256") == _known(data).hash,
        f"{path} was made for other data ({shown(record.get('data'))}) than {data.name}: load exactly the same examples.",
    )
    return record


def _known(data) -> Dataset:
    require_kind("data", data, Dataset, "a data set such as fu.load('mnist5k')")
    return data


def _enough(labels, clients: int, min_examples: int = 1) -> tuple[np.ndarray, int]:
    labels = class_labels("labels", labels)
    clients = require_whole("clients", clients, 1, len(labels))
    require(
        clients * min_examples <= len(labels),
        f"{clients} clients of at least {min_examples} examples need {clients * min_examples}, but there are {len(labels)}.",
    )
    return labels, clients


def _dirichlet_proportions(alpha: float, clients: int, rng: np.random.Generator) -> np.ndarray:
    """A Dirichlet draw computed in logarithms: Gamma(a) = Gamma(a+1) U^(1/a) underflows to 0/0 for small a otherwise."""
    if alpha > 1e100:  # even to the last digit, and too large for the Gamma distribution
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
