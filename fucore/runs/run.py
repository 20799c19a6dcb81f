"""A run is a value: weights, history, configuration, cost and provenance."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch

from .._version import __version__
from ..errors import as_list, require, shown


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
    ``None`` if something in it cannot be hashed; ``federation`` the one it was trained in (not stored); ``log`` whatever an
    unlearning method told.
    """

    weights: torch.Tensor
    history: list[dict]
    config: dict
    cost: Cost
    provenance: dict
    key: str | None
    federation: Any = field(default=None, repr=False)
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


def listed(candidates: Mapping) -> dict[str, list[Run]]:
    """``{name: run or runs}`` as ``{name: [runs]}``."""
    found = {name: [runs] if isinstance(runs, Run) else as_list(runs) for name, runs in candidates.items()}
    for name, runs in found.items():
        wrong = not isinstance(name, str) or not runs or not all(isinstance(run, Run) for run in runs)
        require(not wrong, f"candidate {shown(name)} must be a name with a run, or with a list of runs.")
    return found


def provenance(data) -> dict:
    """Where a result comes from: versions, processor, data hash."""
    versions = {"fucore": __version__, "torch": torch.__version__, "python": platform.python_version(), "machine": platform.machine()}
    return {**versions, "data": data.name, "data_sha256": data.hash}
