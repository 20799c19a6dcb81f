"""Distances between models: of their weights, and of what they say (Wei et al., App. G.1).

Distances of weights are weak evidence: two networks with permuted units are the same function, and two retrainings of one
network are as far apart as strangers.  So every table needs the distance between retrained models beside it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import pandas as pd
import torch

from ..data.dataset import Split
from ..errors import require
from ..federation.case import Case
from ..runs.run import Run, listed


def l2(a: torch.Tensor, b: torch.Tensor) -> float:
    """||a - b|| of two weight vectors [d] (not its square, as in the public code of Wei et al.)."""
    return float((a.double() - b.double()).norm())


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    """Cosine of the angle between two weight vectors [d]."""
    return float(torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=0))


def divergence(reference: torch.Tensor, other: torch.Tensor) -> float:
    """Mean over examples of KL(reference || other), in nats, from logits [n, classes]."""
    log_reference, log_other = (logits.double().log_softmax(dim=1) for logits in (reference, other))
    return float((log_reference.exp() * (log_reference - log_other)).sum(dim=1).mean())


def pairwise(runs: dict[str, Run], case: Case, split: str | Split = "test") -> dict[str, pd.DataFrame]:
    """Each of ``runs`` against each: ``l2``, ``cosine`` and ``kl`` to a table [runs, runs]; row a and column b of ``kl`` is KL(a || b) on ``split``."""
    said = {name: case.logits(run, split) for name, run in runs.items()}
    measures = {
        "l2": lambda a, b: l2(runs[a].weights, runs[b].weights),
        "cosine": lambda a, b: cosine(runs[a].weights, runs[b].weights),
        "kl": lambda a, b: divergence(said[a], said[b]),
    }
    return {name: pd.DataFrame({b: {a: measure(a, b) for a in runs} for b in runs}) for name, measure in measures.items()}


def distances(candidates: Mapping[str, Run | Sequence[Run]], case: Case, split: str | Split = "test") -> pd.DataFrame:
    """Mean distances of each candidate's runs to the case's retrained models; KL from their predictions on ``split``.

    ``split``: ``"test"``, ``"departed"`` or examples of your own.

    Columns ``l2, cosine, kl``; the row "Retrained" is the mean between different retrained models, the floor.
    """
    retrained = case.retrained
    require(len(retrained) >= 2, f"the floor of distances needs at least 2 retrained models, not {len(retrained)}.")

    def row(pairs):
        rows = [(l2(a.weights, b.weights), cosine(a.weights, b.weights), divergence(of_a, of_b)) for (a, of_a), (b, of_b) in pairs]
        return dict(zip(("l2", "cosine", "kl"), torch.tensor(rows, dtype=torch.float64).mean(dim=0).tolist()))

    known = [(run, case.logits(run, split)) for run in retrained]
    table = {"Retrained": row(itertools.permutations(known, 2))}
    for name, runs in listed(candidates).items():
        table[name] = row(itertools.product(known, [(run, case.logits(run, split)) for run in runs]))
    return pd.DataFrame(table).T
