"""FedCCCU: silence the units that only the asking client's class needs (Huang et al., 2025)::

    S_k^i: mean over client i's examples of the class of Att_k(x), the contribution of unit k to it       (Eqs. 2 to 4)
    each client uploads its N largest S_k^i;      S_other = max over the others, 0 if k is in nobody's list
    R_k = S_other / S_k^u  for the asking client u's list (Eq. 5);     silence the q units with the smallest R

Contributions are integrated gradients, see :mod:`fucore.federation.units`.  The paper leaves N, the number of steps and q open.
Here the mean is over the class's examples, so that clients with different mixtures of classes are comparable;
``samples="all"`` is the text's.  Only the lists of the requested class are made and accounted for; the paper's clients
make one for each class, which costs so many times as much in bytes and in passes.  That all units of a layer are moved
together is ours, and so is its weakness: where the *next* layer is normalised, contributions miss most of what a layer
does, since the normalisation undoes the scaling; how much is told in the log ("attribution missed").
"""

from __future__ import annotations

import time
import warnings

import numpy as np
import torch

from ..errors import require_choice, require_number, require_whole
from ..federation.training import EVALUATION_BATCH
from ..runs.store import BYTES_A_WEIGHT
from ._units import silence_best, units_of
from .registry import method
from .task import Task

BYTES_AN_ENTRY = 8


@method("fedcccu", needs=("forgotten data", "class of a client"), citation="Huang et al., 2025")
def fedcccu(
    task: Task, *, share: float = 0.02, top: float = 0.1, steps: int = 20, rule: str = "right", samples: str = "class", rounds: int = 0
):
    """Silence ``share`` of all units, the least shared first; ``rounds`` of fine-tuning after it are an addition.

    ``top``: share of all units in a client's list, to be well above ``share``, else all of the list is silenced and the ranking
    decides nothing (a warning says so); ``steps`` and ``rule`` of the integral; ``samples``: ``"class"`` or
    ``"all"`` of a client's examples.  Units with R = 0 are in no other list: if they are more than half, raise ``top``.
    """
    require_number("share", share, 0.0, 1.0)
    require_number("top", top, 0.0, 1.0, open_low=True)
    require_whole("steps", steps, 1)
    require_choice("samples", samples, ("class", "all"))
    require_whole("rounds", rounds, 0)
    began = time.perf_counter()
    client, label = *(task.request.clients or ()), *(task.request.classes or ())
    scores, missed, passes = sensitivities(task, label, steps, rule, samples)
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
        "attribution missed": missed,
    }
    return task.train(silence_best(task, [unit for unit, _, _ in ranked], share), rounds)


def sensitivities(task, label: int, steps: int, rule: str, samples: str) -> tuple[dict[int, torch.Tensor], float, int]:
    """(S of each client, float32 [units]; what the asking client's contributions miss, see :func:`missing`; passes it took).

    A client without the class has zeros.
    """
    units = units_of(task.remaining)
    scores, missed, passes = {}, 0.0, 0
    for client in task.present.tolist():
        held = np.union1d(task.remaining.clients.indices[client], task.departed.clients.indices[client])
        split = task.departed.data.train.take(held)
        of_class = (split.labels == label).nonzero()[:, 0]
        split = split if samples == "all" and len(of_class) else split.take(of_class)
        jobs = (
            (lambda worker, part=part: total(worker, task, split.batch(part), label, steps, rule))
            for part in split.batches(EVALUATION_BATCH)
        )
        scores[client] = sum(task.remaining.engine.each(jobs), torch.zeros(len(units))) / max(1, len(split))
        passes += len(split) * steps * len(units.sites)
        if client in task.asked and len(split):
            (missed,) = task.remaining.engine.each([lambda worker: missing(worker, task, split, label, steps, rule)])
    return scores, missed, passes


def total(worker, task, images: torch.Tensor, label: int, steps: int, rule: str) -> torch.Tensor:
    """Sum over ``images`` of every unit's contribution to ``label``, float32 [units]."""
    classes = torch.full((len(images),), label, device=worker.device)
    found = units_of(task.remaining).attributions(
        task.original.weights.to(worker.device), worker.inputs(images), classes, steps=steps, rule=rule
    )
    return found.sum(dim=0).cpu()


def missing(worker, task, split, label: int, steps: int, rule: str) -> float:
    """Largest distance over layers, on one batch of ``split``: mean sum of contributions from mean P less P with the layer silent."""
    units, weights = units_of(task.remaining), task.original.weights.to(worker.device)
    images = split.batch(split.batches(EVALUATION_BATCH)[0])
    inputs, score = worker.inputs(images), total(worker, task, images, label, steps, rule) / len(images)
    full = units.probabilities(weights, inputs)[:, label].mean()
    gaps = []
    for start, site in zip(units.starts, units.sites):
        layer = range(start, start + site.units)
        effect = full - units.probabilities(weights, inputs, silent=layer)[:, label].mean()
        gaps.append(abs(float(score[start : start + site.units].sum()) - float(effect)))
    return max(gaps)


def upload(scores: torch.Tensor, size: int) -> dict[int, float]:
    """A client's list: its ``size`` largest positive scores by unit."""
    best = scores.argsort(descending=True, stable=True)[:size].tolist()
    return {unit: float(scores[unit]) for unit in best if scores[unit] > 0}


def dominance(own: dict[int, float], others: list[dict[int, float]]) -> list[tuple[int, float, float]]:
    """(unit, R, S) of the asking client's list, R ascending, the larger S first where R is equal."""
    rows = [(unit, max((entries.get(unit, 0.0) for entries in others), default=0.0) / score, score) for unit, score in own.items()]
    return sorted(rows, key=lambda row: (row[1], -row[2], row[0]))
