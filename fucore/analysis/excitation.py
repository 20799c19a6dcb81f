"""What the units of a network respond to: the images that excite each of them most."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..data.dataset import Split
from ..federation.training import EVALUATION_BATCH
from ..runs.run import Run
from ..unlearning._units import units_of

__all__ = ["most_exciting", "units_of"]


def most_exciting(run: Run, units: Sequence[int], split: Split, count: int = 10) -> dict[int, torch.Tensor]:
    """Positions in ``split`` of the ``count`` images that excite each of ``units`` most, the strongest first, int64 [count].

    ``units``: numbers as in :class:`fucore.federation.units.Units`; activations are means over an image's positions.
    """
    federation, units = run.federation, list(units)
    parts = split.batches(EVALUATION_BATCH)
    units_of(federation)  # follow the network's graph before workers start

    def activations(worker, part):
        inputs = worker.inputs(split.batch(part))
        return units_of(federation).activations(run.weights.to(worker.device), inputs)[:, units].cpu()

    active = torch.cat(list(federation.engine.each((lambda worker, part=part: activations(worker, part)) for part in parts)))
    order = torch.cat(parts)
    return {unit: order[active[:, column].argsort(descending=True, stable=True)[:count]] for column, unit in enumerate(units)}
