"""What resetting alone destroys: some parameters are drawn anew, and nothing is trained after it (Wei et al., App. H.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from ..evaluation import gme
from ..evaluation.judging import judge_examples
from ..federation.case import Case
from ..unlearning.selected_reset import reset_only

#: What is reset by what it is called: the departed client's largest updates, the others' smallest, and any (a control).
KINDS = {"important": "salun", "redundant": "redundant", "random": "random"}


def accuracy_after_reset(
    case: Case, ratios: Sequence[float] = (0.05, 0.2), kinds: Mapping[str, str] = KINDS, seeds: Iterable[int] = range(3)
) -> pd.DataFrame:
    """Accuracy (0..1) on the forgotten examples, one column a memorization group, after a share of the parameters is reset.

    Rows: ``("", "original")``, then ``("5% reset", kind)`` and so on, each the mean over the ``seeds`` of the new values; ``kinds`` are
    strategies of the method ``selected-reset`` by name.  Groups come from all retrained models, since none of them is judged here.
    """
    judges, _ = judge_examples(case, {})
    groups, names = gme.assign_groups(judges.scores), gme.group_names(len(case.forgotten))

    def by_group(weights: torch.Tensor) -> np.ndarray:
        hits = (case.federation.logits(weights, case.departed).argmax(1) == case.departed.labels).numpy()
        return gme.group_accuracy(hits, groups, len(names))

    rows, seeds = {("", "original"): by_group(case.original.weights)}, list(seeds)
    for ratio in ratios:
        for kind, strategy in kinds.items():
            models = [reset_only(case.original, case.request, strategy, ratio, seed) for seed in seeds]
            rows[f"{ratio:.0%} reset", kind] = np.mean([by_group(weights) for weights in models], axis=0)
    return pd.DataFrame(rows, index=names).T
