"""Relearn time: how soon what was forgotten is known again (Golatkar et al., CVPR 2020; Tarun et al., TNNLS 2023)::

    from the unlearned weights train on the forgotten examples alone, until the original's loss on them is reached
    anamnesis index = time of the unlearned models / time of the retrained ones          (Chundawat et al., TIFS 2023): 1 as retraining

Below 1 something is left that makes relearning quicker; above 1 the network was spoilt for these examples.  It trains, so no report and no power
study computes it unasked; references, which keep no retrained models, have no floor of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ...data.partition import Partition
from ...errors import require_whole
from ...federation.case import Case
from ...runs.run import Run, listed


def relearn_epochs(run: Run, case: Case, *, cap: int = 30, rate: float = 0.1, seed: int = 0) -> float:
    """Epochs of training on the forgotten examples until their mean loss is back at the original model's; NaN after ``cap``.

    0 if it already is.  The learning rate is ``rate`` times that of training, so that epochs resolve
    differences.  Raises ``NotKept`` for a retrained model of a reference.
    """
    require_whole("cap", cap, 1)
    case.logits(run)  # refuses what a reference does not keep
    federation, weights, departed = case.federation, run.weights, case.departed
    goal = federation.evaluate(case.original.weights, departed)[1]
    if federation.evaluate(weights, departed)[1] <= goal:
        return 0.0
    local = dataclasses.replace(federation.local, epochs=1, lr=rate * federation.local.lr)
    alone = dataclasses.replace(
        federation, data=dataclasses.replace(federation.data, test=departed), clients=Partition((case.forgotten,)), local=local
    )
    for epoch in range(cap):
        weights = alone.train(1, seed, start=weights, first_round=epoch, keep=False).weights
        if federation.evaluate(weights, departed)[1] <= goal:
            return epoch + 1.0
    return float("nan")


def relearn_times(candidates: Mapping[str, Run | Sequence[Run]], case: Case, **options) -> pd.DataFrame:
    """One row a candidate after "Retrained", the floor: ``epochs``, the median over its runs, ``low`` and ``high`` (range), and ``index``.

    ``index``: the anamnesis index, of medians; what was not relearned took infinitely long.  ``options`` of :func:`relearn_epochs`.
    """
    groups = {"Retrained": list(case.retrained)} | listed(candidates)
    rows = []
    for name, runs in groups.items():
        each = np.nan_to_num([relearn_epochs(run, case, **options) for run in runs], nan=np.inf)
        rows.append({"candidate": name, "epochs": np.median(each), "low": each.min(), "high": each.max()})
    table = pd.DataFrame(rows)
    return table.assign(index=table.epochs / table.epochs[0])
