"""Relearn time: how soon what was forgotten is known again (Golatkar et al., CVPR 2020; Tarun et al., TNNLS 2023)::

    from the unlearned weights train on the forgotten examples alone, until the original's loss on them is reached
    anamnesis index = time of the unlearned / time of the retrained models       (Chundawat et al., TIFS 2023): 1 as retraining

Below 1 something is left that makes relearning quicker; above 1 the network was spoilt for these examples.  Time is in passes over the
forgotten examples, which who was asked makes together, in federated rounds of one local pass each; between two passes the loss is taken to be a
straight line.  It trains, so no report and no power study computes it unasked, and references, which keep no retrained models, have no floor of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ...data.partition import Partition
from ...errors import require_number, require_whole
from ...federation.case import Case
from ...federation.randomness import derived_seed
from ...runs.run import Run, listed
from ...streams import Stream


def relearn_time(run: Run, case: Case, *, margin: float = 0.0, passes: int = 20, seed: int = 0) -> float:
    """Passes until the mean loss on the forgotten examples is at most (1 + ``margin``) times the original's; ``inf`` if not within ``passes``.

    Raises ``NotKept`` for a retrained model of a reference.
    """
    require_number("margin", margin, 0.0, 1e9)
    require_whole("passes", passes, 1)
    federation, seed = case.federation, derived_seed(seed, Stream.RELEARNING)
    asked = case.request.departed(federation.data.train.labels, federation.clients)
    local = dataclasses.replace(federation.local, epochs=1)
    alone = dataclasses.replace(federation, clients=Partition(asked, "those who were asked"), local=local, participation=1.0, store=None)
    target = (1 + margin) * case.look(case.original).loss.mean()
    before = case.look(run).loss.mean()
    if before <= target:
        return 0.0
    case.logits(run)  # refuses what a reference does not keep
    theta = run.weights
    for done in range(passes):
        theta = alone.train(1, seed, start=theta, first_round=done, horizon=passes, evaluate_every=passes).weights
        after = alone.evaluate(theta, case.departed)[1]
        if after <= target:
            return done + float((before - target) / (before - after))
        before = after
    return float("inf")


def relearn_times(candidates: Mapping[str, Run | Sequence[Run]], case: Case, **options) -> pd.DataFrame:
    """One row a candidate, "Retrained" first, the floor: ``passes`` (median over its runs), ``low`` and ``high`` (range), and ``index``.

    ``index``: the anamnesis index, of medians, not means, since a time may be infinite; ``options`` of :func:`relearn_time`.
    """
    groups = {"Retrained": list(case.retrained)} | listed(candidates)
    times = {name: np.array([relearn_time(run, case, **options) for run in runs]) for name, runs in groups.items()}
    floor = np.median(times["Retrained"])
    rows = [
        {"candidate": name, "passes": np.median(each), "low": each.min(), "high": each.max(), "index": np.median(each) / floor}
        for name, each in times.items()
    ]
    return pd.DataFrame(rows)
