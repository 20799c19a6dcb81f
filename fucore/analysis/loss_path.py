"""The loss surface of the straight path between two models (Wei et al., App. H.4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from ..data.dataset import Split
from ..errors import require
from ..federation.federation import Federation

STEPS = tuple(np.round(np.arange(-0.1, 1.1001, 0.05), 10))


def loss_path(federation: Federation, start: torch.Tensor, end: torch.Tensor, splits: dict[str, Split], steps=STEPS) -> pd.DataFrame:
    """Accuracy and mean cross-entropy at ``start + s (end - start)`` for each ``s``.

    ``start`` and ``end`` are weights [d] of the same network; s = 0 and s = 1 evaluate exactly them.  Returns one row a
    step and split: ``step, split, accuracy, loss``.
    """
    require(start.shape == end.shape, f"the path needs two models of one shape, not {tuple(start.shape)} and {tuple(end.shape)} weights.")
    rows = []
    for step in steps:
        weights = torch.lerp(start, end, float(step))  # exact at 0 and 1, unlike start + s * (end - start)
        for name, split in splits.items():
            accuracy, loss = federation.evaluate(weights, split)
            rows.append({"step": float(step), "split": name, "accuracy": accuracy, "loss": loss})
    return pd.DataFrame(rows)


def barrier(path: pd.DataFrame, split: str = "test") -> float:
    """Highest loss on ``split`` above the line between the two models, from a table of :func:`loss_path`; 0 if none lies above it.

    Raises ``FucoreError`` if the path was not looked at in both models.
    """
    loss = path[(path.split == split) & path.step.between(0, 1)].set_index("step").loss
    require({0.0, 1.0} <= set(loss.index), f"a barrier needs the loss on {split} at steps 0 and 1.")
    line = loss[0.0] + loss.index.to_numpy() * (loss[1.0] - loss[0.0])
    return float((loss - line).max())


def loss_plane(
    federation: Federation, corners: Sequence[torch.Tensor], split: Split, *, points: int = 13, margin: float = 0.3
) -> tuple[pd.DataFrame, np.ndarray]:
    """(loss on a grid of the plane through three models, their coordinates [3, 2]).

    The first model is the origin, the second lies at (1, 0) times its distance; units are those of the weights.  The table
    has one row a point: ``x, y, loss, accuracy``.
    """
    origin, first, second = (corner.double() for corner in corners)
    along = first - origin
    require(float(along.norm()) > 0, "the plane needs three different models.")
    across = second - origin - ((second - origin) @ along / (along @ along)) * along
    require(float(across.norm()) > 1e-6 * float(along.norm()), "the three models lie on one line, which has no plane.")
    axes = torch.stack([along / along.norm(), across / across.norm()])
    places = torch.stack([axes @ (corner - origin) for corner in (origin, first, second)]).numpy()
    low, high = places.min(axis=0), places.max(axis=0)
    room = margin * (high - low)
    rows = []
    for y in np.linspace(low[1] - room[1], high[1] + room[1], points):
        for x in np.linspace(low[0] - room[0], high[0] + room[0], points):
            accuracy, loss = federation.evaluate((origin + x * axes[0] + y * axes[1]).float(), split)
            rows.append({"x": x, "y": y, "loss": loss, "accuracy": accuracy})
    return pd.DataFrame(rows), places
