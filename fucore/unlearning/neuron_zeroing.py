"""Neuron-Zeroing: silence the units that the examples to forget excite most (Huang et al., 2025)::

    a_k: mean activation of unit k over the examples to forget;        silence the q units with the largest a_k

No training, and no look at what else a unit does.  Activations of different layers are compared as they are.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from ..errors import require_choice, require_number, require_whole
from ..federation.training import EVALUATION_BATCH
from ..runs.store import BYTES_A_WEIGHT
from ..streams import Stream
from ._units import silence_best, units_of
from .registry import method
from .task import Task


@method("neuron-zeroing", needs=("forgotten data",), citation="Huang et al., 2025")
def neuron_zeroing(task: Task, *, share: float = 0.02, by: str = "activation", rounds: int = 0):
    """Silence ``share`` of all units; ``by="random"`` silences as many at random, the control that shows what choosing adds.

    ``rounds`` of fine-tuning after it are an addition (the paper has none).  After a normalisation without scale and shift some
    units cannot be silenced by weights and are passed over; a network with affine ones, such as ``resnet18-affine``, has none.
    """
    require_choice("by", by, ("activation", "random"))
    require_number("share", share, 0.0, 1.0)
    require_whole("rounds", rounds, 0)
    began, held, federation = time.perf_counter(), task.departed.held, task.departed
    parts, _ = held.batches(EVALUATION_BATCH), units_of(federation)
    jobs = ((lambda worker, part=part: summed_activations(worker, federation, task.original.weights, held.batch(part))) for part in parts)
    activation = torch.stack(list(federation.engine.each(jobs))).sum(dim=0) / len(held)
    entries, model = BYTES_A_WEIGHT * len(activation), BYTES_A_WEIGHT * len(task.original.weights)
    task.spend(began, examples=len(held), uploaded=entries * len(task.asked), downloaded=model * len(task.asked))
    ranked = activation.argsort(descending=True, stable=True)
    ranked = (
        ranked if by == "activation" else torch.from_numpy(np.random.default_rng([task.seed, Stream.RANDOM_UNITS]).permutation(len(ranked)))
    )
    theta = silence_best(task, ranked.tolist(), share)
    return task.train(theta, rounds)


def summed_activations(worker, federation, weights: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Sum over ``images`` of each unit's activation, float32 [units]."""
    return units_of(federation).activations(weights.to(worker.device), worker.inputs(images)).sum(dim=0).cpu()
