"""KNOT: clients train in clusters, and only the cluster of who leaves is trained again (Su & Li, INFOCOM 2023).

Clusters are drawn at random here; the paper assigns them by a linear program over training times and update directions.
The published aggregation is asynchronous, this one is not.  The model is the mean of the clusters' models.
"""

from __future__ import annotations

import numpy as np
import torch

from ..errors import require_whole
from ..streams import Stream
from .registry import method
from .task import Task


@method("knot", needs=("preparation", "whole clients"), citation="Su & Li, INFOCOM 2023")
def knot(task: Task, *, rounds: int | None = None, clusters: int = 3):
    """Train each of ``clusters`` clusters from the same start as long as the original, then those affected once more without the leavers.

    ``rounds`` of that second training (default: as many as the first).  What the first costs is told in the log as
    preparation.  The rounds in the history are those of a single cluster; the mean of all comes last.  Every cluster's training
    is one of its own: learning rates and the server's rule begin anew.
    """
    rounds = task.original.rounds if rounds is None else require_whole("rounds", rounds, 1)
    members = drawn_clusters(len(task.everyone.clients), require_whole("clusters", clusters, 1), task.seed)
    start = task.everyone.initial_weights(task.original.config["seed"])
    models, spent = [], task.log.setdefault("clusters", [])
    for cluster in members:
        affected = bool(np.isin(cluster, task.leaving).any())
        spent.append({"clients": cluster.tolist(), "trained again": affected})
        if not affected and np.isin(cluster, task.present).any():
            models.append(task.prepare(start, task.original.rounds, on=task.everyone.only(cluster)))
        elif np.isin(cluster, task.staying).any():
            models.append(task.train(start, rounds, on=task.remaining.only(cluster), first_round=0, horizon=rounds))
    theta = torch.stack(models).mean(dim=0)
    task.note(theta, "clusters averaged")
    return theta


def drawn_clusters(clients: int, clusters: int, seed: int) -> list[np.ndarray]:
    """Clients in ``clusters`` random groups of nearly equal size, each ascending."""
    order = np.random.default_rng([seed, Stream.KNOT_CLUSTERS]).permutation(clients)
    return [np.sort(part) for part in np.array_split(order, min(clusters, clients))]
