"""How far apart clients are: in their labels, and in what a class looks like."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..data.domains import Domains
from ..federation.federation import Federation


def label_gap(counts: np.ndarray) -> float:
    """Mean total variation, 0..1, between the mixtures of classes of two clients; ``counts`` [clients, classes], nobody empty."""
    shares = np.asarray(counts) / np.sum(counts, axis=1, keepdims=True)
    return float(np.mean([abs(a - b).sum() / 2 for place, a in enumerate(shares) for b in shares[place + 1 :]]))


def transfer(federation: Federation, wild: Domains, rounds: int, seed: int = 0) -> pd.DataFrame:
    """Test accuracy, 0..1, by what a model learned from (rows: each domain alone, then all together) and is tested on (columns).

    ``federation``: of the clients of ``wild``; each model is trained for ``rounds`` rounds with ``seed``.
    """
    domains = range(len(wild.names))
    runs = {wild.names[k]: federation.only(np.flatnonzero(wild.domain_of == k)).train(rounds, seed) for k in domains}
    runs["all together"] = federation.train(rounds, seed)
    tests = {wild.names[k]: wild.test(k) for k in domains}
    rows = {name: {of: federation.evaluate(run.weights, test)[0] for of, test in tests.items()} for name, run in runs.items()}
    return pd.DataFrame(rows).T.rename_axis(columns="tested on")


def home_and_abroad(table: pd.DataFrame) -> tuple[float, float]:
    """(mean accuracy of the models of one domain on that domain, on the others), of a table of :func:`transfer`."""
    alone = table.iloc[:-1].to_numpy()
    return float(np.diag(alone).mean()), float(alone[~np.eye(len(alone), dtype=bool)].mean())
