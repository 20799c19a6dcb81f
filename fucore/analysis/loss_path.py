"""The loss surface of the straight path between two models (Wei et al., App. H.4)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from ..data import Split
from ..errors import require
from ..federation import Federation

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
