"""Relabel-Poison: the asking client gives the examples to forget random wrong labels and trains on, alone (Huang et al., 2025).

Each gets one label, drawn once and uniformly from the other classes.  The others keep the model they have, as
in :mod:`fucore.unlearning.delete_retrain`.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from ..data.partition import Partition
from ..federation.training import Hooks
from ..streams import Stream
from ._fair import fair_rounds
from ._losses import towards, wrong_labels
from .registry import method
from .task import Task


@method("relabel-poison", needs=("forgotten data",), citation="Huang et al., 2025")
def relabel_poison(task: Task, *, rounds: int = 10, inherit: str = "anchored", tolerance: float = 1e-4):
    """At most ``rounds`` rounds on all data of the asking clients, with wrong labels for what must be forgotten.

    ``inherit`` and ``tolerance`` as for ``delete-retrain``.
    """
    labels = task.departed.data.train.labels.numpy()
    asked = np.isin(np.arange(len(labels)), task.departed.clients.examples)
    wrong = wrong_labels(labels, len(task.remaining.data.classes), [task.seed, Stream.POISONED_LABELS])
    poisoned = torch.from_numpy(np.where(asked, wrong, labels))
    parts = zip(task.remaining.clients.indices, task.departed.clients.indices)
    own = [np.union1d(kept, gone) if client in task.asked else gone for client, (kept, gone) in enumerate(parts)]
    on = dataclasses.replace(task.departed, clients=Partition(tuple(own), "those who were asked"))
    return fair_rounds(task, on, rounds=rounds, inherit=inherit, tolerance=tolerance, hooks=Hooks(loss=towards(poisoned)))
