"""A run is a value: weights, history, configuration, cost and provenance."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import platform
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd
import torch

if TYPE_CHECKING:
    from .federation import Federation


@dataclass(frozen=True)
class Cost:
    """What a run spent.  ``examples``: forward-backward passes; the rest in bytes and seconds."""

    examples: int = 0
    uploaded: int = 0
    downloaded: int = 0
    stored: int = 0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(**{key: getattr(self, key) + value for key, value in dataclasses.asdict(other).items()})


@dataclass(frozen=True, eq=False)
class Run:
    """The result of training or unlearning.

    ``weights`` float32 [d]; ``history`` one dict a recorded round (``round``, ``test_accuracy``, ``test_loss``,
    ``seconds`` and ``examples`` since the start); ``config`` everything that determined it; ``key`` the hash of that, or
    ``None`` if something in it cannot be hashed; ``federation`` the one it was trained in (not stored).
    """

    weights: torch.Tensor
    history: list[dict]
    config: dict
    cost: Cost
    provenance: dict
    key: str | None
    federation: Federation | None = field(default=None, repr=False)
    log: dict = field(default_factory=dict)

    @property
    def curve(self) -> pd.DataFrame:
        """The history as a table, one row a recorded round."""
        return pd.DataFrame(self.history)

    @property
    def rounds(self) -> int:
        """Federated rounds that were run."""
        return self.history[-1]["round"] if self.history else 0

    def __repr__(self) -> str:
        last = self.history[-1] if self.history else {}
        accuracy = f", test accuracy {last['test_accuracy']:.3f}" if "test_accuracy" in last else ""
        return f"Run({self.config.get('method', 'fedavg')}, {self.rounds} rounds{accuracy})"


def hash_of(config) -> str:
    """SHA-256 of a JSON value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=_plain).encode()).hexdigest()


def hash_tensor(tensor: torch.Tensor) -> str:
    """SHA-256 of a tensor's bytes."""
    return hashlib.sha256(tensor.detach().cpu().contiguous().numpy().tobytes()).hexdigest()


def source_of(function) -> str | None:
    """What a function computes, as text: its source and the plain values it closes over; ``None`` if that cannot be told."""
    if function is None:
        return ""
    try:
        source = inspect.getsource(function)
        closure = {key: _plain(value) for key, value in inspect.getclosurevars(function).nonlocals.items()}
    except (OSError, TypeError):
        return None
    return source + json.dumps(closure, sort_keys=True, default=_plain)


def provenance(data) -> dict:
    """Where a result comes from: versions, processor, data hash."""
    from . import __version__

    return {
        "fucore": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "data": data.name,
        "data_sha256": data.hash,
    }


def _plain(value):
    """``value`` as something JSON can hold, by content; raises TypeError where there is no such thing."""
    if isinstance(value, torch.Tensor):
        return {"tensor": hash_tensor(value)}
    if hasattr(value, "tolist"):
        return value.tolist()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if value is None or isinstance(value, (bool, int, float, str, list, tuple, dict)):
        return value
    raise TypeError(f"{type(value).__name__} has no plain form")
