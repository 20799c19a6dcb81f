"""FedCCCU: silence the units that only the asking client's class needs (Huang et al., 2025)::

    S_k^i: mean over client i's examples of the class of Att_k(x), the contribution of unit k to it       (Eqs. 2 to 4)
    each client uploads its N largest S_k^i;      S_other = max over the others, 0 if k is in nobody's list
    R_k = S_other / S_k^u  for the asking client u's list (Eq. 5);     silence the q units with the smallest R

Contributions are integrated gradients, see :mod:`fucore.federation.units`: of one unit at a time, as the paper writes
(``path="single"``), or of all units of a layer together (``path="joint"``), which misses most of what a layer does where the *next*
layer is normalised; how much is told in the log ("attribution missed").  The paper leaves N, the number of steps and q open.
Here the mean is over the class's examples, so that clients with different mixtures of classes are comparable;
``samples="all"`` is the text's.  Only the lists of the requested class are made and accounted for; the paper's clients
make one for each class, which costs so many times as much in bytes and in passes.
"""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch

from ..errors import require_choice, require_number, require_whole
from ..federation.training import EVALUATION_BATCH
from ..federation.units import Units
from ..runs.store import BYTES_A_WEIGHT
from ._units import silence_best, units_of
from .registry import method
from .task import Task

BYTES_AN_ENTRY = 8
#: (units, weights [d], inputs, classes [b]) to contributions, float32 [b, units].
Contributions = Callable[[Units, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@method("fedcccu", needs=("forgotten data", "class of a client"), citation="Huang et al., 2025")
def fedcccu(
    task: Task,
    *,
    share: float = 0.02,
    top: float = 0.1,
    path: str = "single",
    steps: int = 20,
    rule: str = "right",
    samples: str = "class",
    rounds: int = 0,
):
    """Silence ``share`` of all units, the least shared first; ``rounds`` of fine-tuning after it are an addition.

    ``top``: share of all units in a client's list, to be well above ``share``, else all of the list is silenced and the ranking
    decides nothing (a warning says so); ``path``: ``"single"`` or ``"joint"``; ``steps`` and ``rule`` of the joint integral; ``samples``: ``"class"`` or
    ``"all"`` of a client's examples.  Units with R = 0 are in no other list: if they are more than half, raise ``top``.
    """
    require_number("share", share, 0.0, 1.0)
    require_number("top", top, 0.0, 1.0, open_low=True)
    require_choice("path", path, ("single", "joint"))
    require_whole("steps", steps, 1)
    require_choice("rule", rule, ("right", "midpoint"))
    require_choice("samples", samples, ("class", "all"))
    require_whole("rounds", rounds, 0)
    began = time.perf_counter()
    client, label = *(task.request.clients or ()), *(task.request.classes or ())
    contributions = Units.effects if path == "single" else functools.partial(Units.attributions, steps=steps, rule=rule)
    scores, images = sensitivities(task, label, contributions, samples)
    units = units_of(task.remaining)
    # a pass forward is a third of one forward and back, and what follows a unit is half of the network
    passes = images * len(units) // 6 if path == "single" else images * steps * len(units.sites)
    size = max(1, int(top * len(scores[client])))
    lists = {number: upload(score, size) for number, score in scores.items()}
    ranked = dominance(lists[client], [entries for number, entries in lists.items() if number != client])
    if share * len(scores[client]) > 0.5 * len(ranked):
        warnings.warn(
            f"more than half of the asking client's list of {len(ranked)} units is silenced, so the ranking hardly matters: raise top.",
            stacklevel=2,
        )
    sent = BYTES_AN_ENTRY * sum(map(len, lists.values()))
    task.spend(began, examples=passes, uploaded=sent, downloaded=BYTES_A_WEIGHT * len(task.original.weights) * len(lists))
    task.log |= {
        "candidates": len(ranked),
        "share in no other list": float(np.mean([ratio == 0 for _, ratio, _ in ranked])) if ranked else 0.0,
        "dominance": [[unit, ratio, score] for unit, ratio, score in ranked],
        "upload in bytes, all classes": BYTES_AN_ENTRY * size * len(task.departed.data.classes),
        "upload in bytes": {str(number): BYTES_AN_ENTRY * len(entries) for number, entries in lists.items()},
    }
    if path == "joint":
        task.log["attribution missed"] = missing(task, client, label, contributions)
    return task.train(silence_best(task, [unit for unit, _, _ in ranked], share), rounds)


def sensitivities(task, label: int, contributions: Contributions, samples: str) -> tuple[dict[int, torch.Tensor], int]:
    """(S of each client, float32 [units], zeros for one without the class; how many images were looked at)."""
    scores, images = {}, 0
    for client in task.present.tolist():
        split = held_by(task, client)
        of_class = (split.labels == label).nonzero()[:, 0]
        split = split if samples == "all" and len(of_class) else split.take(of_class)
        jobs = (
            (lambda worker, part=part: total(worker, task, split.batch(part), label, contributions))
            for part in split.batches(EVALUATION_BATCH)
        )
        scores[client] = sum(task.remaining.engine.each(jobs), torch.zeros(len(units_of(task.remaining)))) / max(1, len(split))
        images += len(split)
    return scores, images


def held_by(task, client: int):
    """The training examples of a client, those to forget included."""
    held = np.union1d(task.remaining.clients.indices[client], task.departed.clients.indices[client])
    return task.departed.data.train.take(held)


def total(worker, task, images: torch.Tensor, label: int, contributions: Contributions) -> torch.Tensor:
    """Sum over ``images`` of every unit's contribution to ``label``, float32 [units]."""
    classes = torch.full((len(images),), label, device=worker.device)
    found = contributions(units_of(task.remaining), task.original.weights.to(worker.device), worker.inputs(images), classes)
    return found.sum(dim=0).cpu()


def missing(task, client: int, label: int, contributions: Contributions) -> float:
    """Largest distance over layers, on a batch of the client's class: mean sum of contributions from mean P less P with the layer silent."""
    split = held_by(task, client)
    split = split.take((split.labels == label).nonzero()[:, 0])

    def look(worker) -> float:
        units, weights, images = (
            units_of(task.remaining),
            task.original.weights.to(worker.device),
            split.batch(split.batches(EVALUATION_BATCH)[0]),
        )
        inputs, score = worker.inputs(images), total(worker, task, images, label, contributions) / len(images)
        full = units.probabilities(weights, inputs)[:, label].mean()
        gaps = []
        for start, site in zip(units.starts, units.sites):
            layer = range(start, start + site.units)
            effect = full - units.probabilities(weights, inputs, silent=layer)[:, label].mean()
            gaps.append(abs(float(score[start : start + site.units].sum()) - float(effect)))
        return max(gaps)

    (found,) = task.remaining.engine.each([look])
    return found


def upload(scores: torch.Tensor, size: int) -> dict[int, float]:
    """A client's list: its ``size`` largest positive scores by unit."""
    best = scores.argsort(descending=True, stable=True)[:size].tolist()
    return {unit: float(scores[unit]) for unit in best if scores[unit] > 0}


def dominance(own: dict[int, float], others: list[dict[int, float]]) -> list[tuple[int, float, float]]:
    """(unit, R, S) of the asking client's list, R ascending, the larger S first where R is equal."""
    rows = [(unit, max((entries.get(unit, 0.0) for entries in others), default=0.0) / score, score) for unit, score in own.items()]
    return sorted(rows, key=lambda row: (row[1], -row[2], row[0]))
