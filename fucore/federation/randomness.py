"""Random numbers that networks and hooks draw while they train: the same for a client's round, whoever computes it and when.

The generators of torch, numpy and Python are one each for all threads.  So local trainings run side by side as long as
none draws (:func:`drawing_nothing`), and one that draws is done alone, from generators seeded for it (:func:`seeded`).
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch


def derived_seed(*parts: int) -> int:
    """One seed for torch's generators from several numbers; different numbers give unrelated streams."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


class _Gate:
    """Many threads that should not draw, or one that may; ``base`` is the generators' state since nobody was inside."""

    def __init__(self):
        self.changed, self.inside, self.base = threading.Condition(threading.RLock()), 0, None
        self.own = threading.local()

    @contextlib.contextmanager
    def shared(self):
        with self.changed:
            if self.inside == 0:
                self.base = _state()
            self.inside += 1
        self.own.depth = getattr(self.own, "depth", 0) + 1
        try:
            yield self.base
        finally:
            self.own.depth -= 1
            with self.changed:
                self.inside -= 1
                self.changed.notify_all()

    @contextlib.contextmanager
    def exclusive(self):
        with self.changed:
            if not getattr(self.own, "depth", 0):  # who is inside already cannot wait until nobody is
                self.changed.wait_for(lambda: self.inside == 0)
            yield


_gate = _Gate()


@contextlib.contextmanager
def drawing_nothing() -> Iterator[list[bool]]:
    """Work that should draw nothing; afterwards the list says, by one entry, whether somebody drew, and the draws are undone."""
    drawn: list[bool] = []
    with _gate.shared() as base:
        yield drawn
        drawn.append(not _equal(base, _state()))
    if drawn[0]:
        with _gate.exclusive():
            _restore(base)


@contextlib.contextmanager
def seeded(seed: int, alone: bool = True) -> Iterator[None]:
    """Work that may draw, from the generators of torch, numpy and Python seeded by ``seed``, which are as before afterwards.

    ``alone``: while nobody else trains.
    """
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    with _gate.exclusive() if alone else contextlib.nullcontext():
        before = _state()
        try:
            with torch.random.fork_rng(devices):
                torch.manual_seed(seed)
                np.random.seed(derived_seed(seed, 1) % 2**32)
                random.seed(derived_seed(seed, 2))
                yield
        finally:
            _restore(before)


def _state() -> tuple[torch.Tensor, bytes, tuple, tuple]:
    _, key, *rest = cast(Any, np.random.get_state())
    return torch.get_rng_state(), key.tobytes(), tuple(rest), random.getstate()


def _equal(one, other) -> bool:
    return one[1:] == other[1:] and torch.equal(one[0], other[0])


def _restore(state) -> None:
    torch.set_rng_state(state[0])
    np.random.set_state(("MT19937", np.frombuffer(state[1], np.uint32), *state[2]))
    random.setstate(state[3])
