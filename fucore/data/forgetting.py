"""What must be forgotten: one request, one boolean mask over the training examples.

A request is the conjunction of up to three conditions: held by these clients, of these classes, among these examples.
Forgetting a client, several clients, a class, one client's class or single examples are all the same thing to a method.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import require, require_whole
from .partition import Partition


@dataclass(frozen=True)
class Request:
    """Forget the examples that satisfy all given conditions; ``None`` is no condition."""

    clients: tuple[int, ...] | None = None
    classes: tuple[int, ...] | None = None
    examples: tuple[int, ...] | None = None

    def _held(self, labels: np.ndarray, partition: Partition) -> str:
        """What the clients hold instead of the classes to forget, for a sentence."""
        if not self.clients or self.classes is None:
            return ""
        held = [
            f"client {client} holds classes {', '.join(map(str, np.unique(labels[partition.indices[client]])))}" for client in self.clients
        ]
        return "; " + "; ".join(held)

    def mask(self, labels, partition: Partition) -> np.ndarray:
        """True for every training example to forget, bool [N].

        Raises ``FucoreError`` if a client, class or example does not exist or nothing matches.
        """
        labels = np.asarray(labels)
        mask = np.zeros(len(labels), dtype=bool)
        for client in range(len(partition)) if self.clients is None else self.clients:
            require_whole("client to forget", client, 0, len(partition) - 1)
            mask[partition.indices[client]] = True
        if self.classes is not None:
            for label in self.classes:
                require_whole("class to forget", label, 0, int(labels.max()))
            mask &= np.isin(labels, self.classes)
        if self.examples is not None:
            for example in self.examples:
                require_whole("example to forget", example, 0, len(labels) - 1)
            mask &= np.isin(np.arange(len(labels)), self.examples)
        require(bool(mask.any()), f"{self} matches no training example: nothing to forget{self._held(labels, partition)}.")
        return mask

    def departed(self, labels, partition: Partition) -> tuple[np.ndarray, ...]:
        """Indices each client has to forget (empty arrays for clients that are not asked)."""
        mask = self.mask(labels, partition)
        return tuple(indices[mask[indices]] if self._asks(client) else indices[:0] for client, indices in enumerate(partition.indices))

    def retained(self, labels, partition: Partition) -> Partition:
        """Who holds what afterwards; raises if nobody holds anything.

        Only the clients that are asked lose examples: where a partition overlaps, others keep their own copies.
        """
        mask = self.mask(labels, partition)
        kept = tuple(indices[~mask[indices]] if self._asks(client) else indices for client, indices in enumerate(partition.indices))
        require(any(map(len, kept)), f"{self} leaves no example to train on: keep at least one client.")
        return Partition(kept, f"{partition.name} without {self}", dict(partition.parameters))

    def _asks(self, client: int) -> bool:
        return self.clients is None or client in self.clients

    def __str__(self) -> str:
        parts = []
        for one, many, values in (("client", "clients", self.clients), ("class", "classes", self.classes)):
            if values is not None:
                parts.append(f"{one if len(values) == 1 else many} {', '.join(map(str, values))}")
        if self.examples is not None:
            parts.append(f"{len(self.examples)} examples")
        return " of ".join(reversed(parts)) or "everything"


def client(number: int) -> Request:
    """Everything that one client holds."""
    return Request(clients=(number,))


def clients(*numbers: int) -> Request:
    """Everything that several clients hold, given one by one or as one list."""
    return Request(clients=_distinct(numbers))


def classes(*labels: int) -> Request:
    """Every example of these classes, whoever holds it."""
    return Request(classes=_distinct(labels))


def class_of_client(label: int, number: int) -> Request:
    """One client's examples of one class (the request of the cross-domain benchmark of Huang et al., 2025)."""
    return Request(clients=(number,), classes=(label,))


def examples(indices) -> Request:
    """Single training examples, by index or as a boolean mask over all of them."""
    indices = np.asarray(indices)
    return Request(examples=_distinct((np.flatnonzero(indices) if indices.dtype == bool else indices).reshape(-1)))


def _distinct(values) -> tuple[int, ...]:
    values = np.concatenate([np.atleast_1d(value) for value in values]).tolist() if len(values) else []
    require(len(values) > 0, "a request needs at least one client, class or example.")
    return tuple(sorted(set(values)))
