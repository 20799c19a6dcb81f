"""Which measure of several models tells which model from retraining, where the truth is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from ..analysis.fakes import with_new_head
from ..evaluation.distributions import DISTRIBUTION_METRICS, compare_distributions, permutation_p
from ..federation.case import Case
from ..progress import progress
from ..runs.run import Run

#: By how much log-odds of one example in ten are shifted, of another one in ten, and how much their spread is scaled.
SIMULATED = {
    "as retraining": (0.0, 0.0, 1.0),
    "half forgotten": (1.0, 0.0, 1.0),
    "forgotten too much": (-2.0, 0.0, 1.0),
    "as many up as down": (1.0, -1.0, 1.0),
    "half the spread": (0.0, 0.0, 0.5),
}
#: What everybody measures, beside them: of hits bool [N, m] and [K, m].
PLAIN: dict[str, Callable] = {
    "accuracy": lambda ours, theirs: abs(ours.mean() - theirs.mean()),
    "accuracy by example": lambda ours, theirs: np.abs(ours.mean(axis=0) - theirs.mean(axis=0)).mean(),
}
TOLD = 0.05


def simulated(models: int = 16, examples: int = 100, experiments: int = 50, draws: int = 99, seed: int = 0) -> pd.DataFrame:
    """One row a planted truth of :data:`SIMULATED` and measure: ``told``, the share of ``experiments`` with p of at most 0.05.

    Log-odds of retrained models are normal with standard deviation 1 around means from -2 to 6; ``models`` of each side.
    """
    rng, rows, hardness = np.random.default_rng(seed), [], np.linspace(-2, 6, examples)
    first, second = (np.arange(examples) % 10 == place for place in (0, 5))
    for truth, (up, down, scale) in progress(SIMULATED.items(), "simulated"):
        told = {name: 0 for name in [*PLAIN, *DISTRIBUTION_METRICS]}
        for experiment in range(experiments):
            noise = rng.normal(size=(2, models, examples))
            ours = hardness + up * first + down * second + noise[0] * np.where(first | second, scale, 1.0)
            for name, p in _p_values(ours, hardness + noise[1], draws, experiment).items():
                told[name] += p <= TOLD
        rows += [{"truth": truth, "metric": name, "told": count / experiments} for name, count in told.items()]
    return pd.DataFrame(rows)


def _p_values(ours: np.ndarray, theirs: np.ndarray, draws: int, seed: int) -> dict[str, float]:
    plain = {name: permutation_p(metric, ours > 0, theirs > 0, draws=draws, seed=seed) for name, metric in PLAIN.items()}
    return plain | {
        name: permutation_p(metric, ours, theirs, worse=metric.worse, draws=draws, seed=seed)
        for name, metric in DISTRIBUTION_METRICS.items()
    }


def from_originals(case: Case, originals: Sequence[Run]) -> list[Case]:
    """The case again with each of ``originals`` of the same federation: a method's models then differ as retrained ones do, by where they started."""
    return [dataclasses.replace(case, original=original) for original in originals]


def fakes(cases: Sequence[Case]) -> list[Run]:
    """A model with a new head from each case's original, as often wrong on the forgotten examples as the case's retrained models."""
    right = np.mean([cases[0].look(run).right.mean() for run in cases[0].retrained])
    return [with_new_head(case, wrong=round((1 - right) * len(case.forgotten))) for case in progress(cases, "fakes")]


def told_apart(candidates: Mapping[str, Sequence[Run]], case: Case, draws: int = 50, permutations: int = 199) -> pd.DataFrame:
    """:func:`~fucore.evaluation.distributions.compare_distributions`, with rows of what everybody measures (their ``p`` and ``value`` alone)."""
    table = compare_distributions(candidates, case, draws=draws, permutations=permutations)
    theirs = np.stack([case.look(run).right for run in case.retrained])
    rows = []
    for name, runs in candidates.items():
        ours = np.stack([case.look(run).right for run in runs])
        for metric, function in PLAIN.items():
            p = permutation_p(function, ours, theirs, draws=permutations)
            rows.append({"candidate": name, "metric": metric, "models": len(runs), "value": function(ours, theirs), "p": p})
    return pd.concat([pd.DataFrame(rows), table], ignore_index=True)


def against_half(candidates: Mapping[str, Sequence[Run]], case: Case, **options) -> pd.DataFrame:
    """:func:`~fucore.evaluation.distributions.compare_distributions` with the second half of the retrained models, of the first ("retrained too") and ``candidates``."""
    half = len(case.retrained) // 2
    others = dataclasses.replace(case, retrained=case.retrained[half:])
    return compare_distributions({"retrained too": case.retrained[:half], **candidates}, others, **options)


def power_table(kept: pd.DataFrame) -> pd.DataFrame:
    """Measures by candidates: value (floor) and p, means over cases and the largest p of them."""
    rows = kept.groupby(["metric", "candidate"], sort=False).agg({"value": "mean", "floor": "mean", "p": "max"})
    cells = [f"{row.value:.2f}" + ("" if np.isnan(row.floor) else f" ({row.floor:.2f})") + f", p {row.p:.3f}" for row in rows.itertuples()]
    table = pd.Series(cells, index=rows.index).unstack()
    return table.loc[list(kept.metric.unique()), list(kept.candidate.unique())].rename_axis(None).rename_axis(columns=None)
