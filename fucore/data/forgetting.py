"""What must be forgotten: one request, one boolean mask over the training examples.

A request is the conjunction of up to three conditions: held by these clients, of these classes, among these examples.
Forgetting a client, several clients, a class, one client's class or single examples are all the same thing to a method.
``one | other`` asks for what either names: what must be gone after requests that came one after another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..errors import require, require_kind, require_whole
from ._checks import class_labels, plain_array, whole_numbers
from .dataset import UNREADABLE
from .partition import Partition

CONDITIONS = ("clients", "classes", "examples")


@dataclass(frozen=True)
class Request:
    """Forget the examples that satisfy all given conditions; ``None`` is no condition.

    Each condition is a list of whole numbers from 0, kept as a tuple without repetitions, ascending; raises ``FucoreError`` otherwise.
    """

    clients: tuple[int, ...] | None = None
    classes: tuple[int, ...] | None = None
    examples: tuple[int, ...] | None = None
    #: How many examples the mask was for that the examples were given by, if they were; no part of what is asked.
    _masked: ClassVar[int | None] = None

    def __post_init__(self):
        for name in CONDITIONS:
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _distinct(name, getattr(self, name)))

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
        labels = class_labels("labels", labels, UNREADABLE)
        require_kind("partition", partition, Partition, "a partition such as fu.partition.iid(...)")
        partition._fits(len(labels), "labels")
        whole = self._masked in (None, len(labels))
        require(whole, f"the mask of examples to forget is for {self._masked} examples, but there are {len(labels)}.")
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
        gone = self.departed(labels, partition)
        kept = tuple(np.setdiff1d(indices, asked, assume_unique=True) for indices, asked in zip(partition.indices, gone))
        require(any(map(len, kept)), f"{self} leaves no example to train on: keep at least one client.")
        return Partition(kept, f"{partition.name} without {self}", dict(partition.parameters))

    def _asks(self, client: int) -> bool:
        return self.clients is None or client in self.clients

    def __or__(self, other: Request) -> Request:
        """What either asks for, whichever comes first: ``client(0) | client(1)`` is ``clients(0, 1)``."""
        return _union(
            *self._parts, *require_kind("what to forget besides", other, Request, "a request, such as fu.forget.client(1)")._parts
        )

    @property
    def _parts(self) -> tuple[Request, ...]:
        return (self,)

    @property
    def _conditions(self) -> dict[str, tuple[int, ...]]:
        return {name: values for name in CONDITIONS if (values := getattr(self, name)) is not None}

    def _within(self, other: Request) -> bool:
        """Whether all that this asks for is asked for by ``other``."""
        mine = self._conditions
        return all(name in mine and set(mine[name]) <= set(values) for name, values in other._conditions.items())

    def __str__(self) -> str:
        parts = []
        for one, many, values in (("client", "clients", self.clients), ("class", "classes", self.classes)):
            if values is not None:
                parts.append(f"{one if len(values) == 1 else many} {', '.join(map(str, values))}")
        if self.examples is not None:
            parts.append(f"{len(self.examples)} examples")
        return " of ".join(reversed(parts)) or "everything"


@dataclass(frozen=True)
class Union(Request):
    """Forget what any of ``parts`` asks for; made by ``one | other``, in an order that does not depend on theirs."""

    parts: tuple[Request, ...] = ()

    def mask(self, labels, partition: Partition) -> np.ndarray:
        return np.logical_or.reduce([part.mask(labels, partition) for part in self.parts])

    def departed(self, labels, partition: Partition) -> tuple[np.ndarray, ...]:
        each = zip(*(part.departed(labels, partition) for part in self.parts))
        return tuple(np.unique(np.concatenate(gone)) for gone in each)

    @property
    def _parts(self) -> tuple[Request, ...]:
        return self.parts

    def __str__(self) -> str:
        return " and ".join(map(str, self.parts))


def _union(*parts: Request) -> Request:
    """The request for what any of ``parts`` asks for: equal for parts in any order, and without parts that others hold already."""
    found = {part: None for part in parts}
    for name in CONDITIONS:
        alone = [part for part in found if set(part._conditions) == {name}]
        if len(alone) > 1:
            joined = Request(**{name: tuple(number for part in alone for number in getattr(part, name))})
            object.__setattr__(joined, "_masked", next((part._masked for part in alone if part._masked), None))
            found = {part: None for part in found if part not in alone} | {joined: None}
    kept = [part for part in found if not any(part._within(other) for other in found if other != part)]
    kept.sort(key=lambda part: [(getattr(part, name) is not None, getattr(part, name) or ()) for name in CONDITIONS])
    return kept[0] if len(kept) == 1 else Union(parts=tuple(kept))


def recorded(record: Mapping) -> Request:
    """The request that a run's configuration holds, as ``dataclasses.asdict`` wrote it."""
    if record.get("parts"):
        return Union(parts=tuple(map(recorded, record["parts"])))
    return Request(**{name: record[name] for name in CONDITIONS})


def client(number: int) -> Request:
    """Everything that one client holds."""
    return Request(clients=(require_whole("client to forget", number, 0),))


def clients(*numbers) -> Request:
    """Everything that several clients hold, given one by one or as one list."""
    return Request(clients=_listed(numbers))


def classes(*labels) -> Request:
    """Every example of these classes, whoever holds it, given one by one or as one list."""
    return Request(classes=_listed(labels))


def class_of_client(label: int, number: int) -> Request:
    """One client's examples of one class (the request of the cross-domain benchmark of Huang et al., 2025)."""
    return Request((require_whole("client to forget", number, 0),), (require_whole("class to forget", label, 0),))


def examples(indices) -> Request:
    """Single training examples: their indices, or a boolean mask that is True for them and has an entry for every training example.

    Zeros and ones that are no booleans are the indices 0 and 1.
    """
    array = plain_array("examples to forget", indices)
    if array.dtype != bool:
        return Request(examples=indices if array.ndim else (indices,))
    require(array.ndim == 1, f"the mask of examples to forget has shape {array.shape}, but must be flat.")
    request = Request(examples=tuple(np.flatnonzero(array).tolist()))
    object.__setattr__(request, "_masked", len(array))
    return request


def _listed(values: tuple):
    """What was given one by one, or as one list."""
    return values[0] if len(values) == 1 and np.ndim(plain_array("what to forget", values[0])) else values


def _distinct(name: str, values) -> tuple[int, ...]:
    numbers = whole_numbers(f"{name} to forget", values, 0)
    require(len(numbers) > 0, "a request needs at least one client, class or example.")
    return tuple(np.unique(numbers).tolist())
