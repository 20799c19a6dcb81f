"""Is the judge right as often as it says?  Models of which the truth is known, made of the answers of real retrained ones.

Of each case of a reference some retrained models are set aside.  A *candidate* answers each forgotten example as one of them
does with probability phi, and as the original does otherwise: it has forgotten the share phi, and phi = 1 is retraining itself.
It is judged by the other retrained models, and answers are counted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..evaluation.deciding import ANSWERS, SAME, answered
from ..evaluation.gme import Judges, grouped_memorization
from ..evaluation.pooling import pooled
from ..evaluation.references import Reference
from ..federation.case import Case
from ..plots import INK, RETRAINED, UNLEARNED
from ..runs.fingerprint import hash_tensor

SHARES = (1.0, 0.9, 0.75, 0.5, 0.0)


def candidates_of(
    case: Case, shares: Sequence[float], runs: int, models: int, rng: np.random.Generator
) -> tuple[Judges, dict[str, np.ndarray]]:
    """(judges: the original and ``models`` retrained models, share to the answers of a candidate, bool [runs, m])."""
    order = rng.permutation(len(case.retrained))
    source, rest = order[:runs], order[runs : runs + models]
    looks, before = [case.look(run) for run in case.retrained], case.look(case.original)
    judges = Judges(
        before.probability, before.right, np.stack([looks[k].probability for k in rest]), np.stack([looks[k].right for k in rest])
    )
    own = np.stack([looks[k].right for k in source])
    mixed = {f"{share:g}": np.where(rng.random(own.shape) < share, own, before.right) for share in shares}
    return judges, {"Original": before.right[None], **mixed}


def of_the_method(reference: Reference, draws: int, *, runs: int = 1, shares: Sequence[float] = SHARES, seed: int = 0) -> pd.DataFrame:
    """How often a method that forgets a share is given each answer, all cases together; a row a ``share`` and ``group``.

    ``difference`` and ``half``: mean difference to retraining and half width of its interval, in 0..1; the answers' shares of ``draws``.
    """
    rng = np.random.default_rng(seed)
    originals = [hash_tensor(case.original.weights) for case in reference.cases]
    models, tables = len(reference.cases[0].retrained) - runs, []
    for _ in range(draws):
        cases = [grouped_memorization(*candidates_of(case, shares, runs, models, rng), bootstrap=0) for case in reference.cases]
        tables.append(pooled(cases, originals))
    return _counted(tables, runs)


def of_one_model(reference: Reference, draws: int, *, models: int = 5, shares: Sequence[float] = SHARES, seed: int = 0) -> pd.DataFrame:
    """The same of single models in single cases with ``models`` retrained ones: ``draws`` in each case."""
    rng, tables = np.random.default_rng(seed), []
    for case in reference.cases:
        for _ in range(draws):
            rows = answered(grouped_memorization(*candidates_of(case, shares, 1, models, rng), bootstrap=0), models)
            tables.append(rows.assign(difference=rows.accuracy - rows.retrained))
    return _counted(tables, 1)


def _counted(tables: list[pd.DataFrame], runs: int) -> pd.DataFrame:
    rows = pd.concat(tables, ignore_index=True)
    rows = rows[rows.candidate != "Original"].assign(half=rows.high - rows.difference)
    means = rows.groupby(["candidate", "group"], sort=False)[["difference", "half"]].mean()
    counts = pd.DataFrame({answer: (rows.answer == answer).groupby([rows.candidate, rows.group], sort=False).mean() for answer in ANSWERS})
    return means.join(counts).reset_index().rename(columns={"candidate": "share"}).assign(runs=runs).astype({"share": float})


# ---- pictures


def answers_figure():
    """What the three answers look like: intervals beside the margin."""
    import matplotlib.pyplot as plt

    shown = {
        "=  surely within the margin": (0.01, 0.05),
        "=  a difference, but none to mind": (0.05, 0.03),
        "≠  too much is still known": (0.22, 0.12),
        "≠  too much is gone": (-0.2, 0.08),
        "?  holds zero, but reaches far: no evidence of sameness": (0.06, 0.2),
    }
    figure, axis = plt.subplots(figsize=(8, 2.6))
    axis.axvspan(-10, 10, color=RETRAINED, alpha=0.2, linewidth=0)
    axis.axvline(0, color=RETRAINED)
    for place, (value, half) in enumerate(shown.values()):
        axis.errorbar(100 * value, -place, xerr=100 * half, fmt="o", color=UNLEARNED)
    axis.set_yticks([-place for place in range(len(shown))], list(shown))
    axis.set(xlabel="accuracy above retraining in a group, points; the band is the margin", xlim=(-35, 40))
    axis.grid(axis="y", visible=False)
    return figure


def cases_figure(report, candidate: str, group: str, bounds: Sequence[float]):
    """One candidate in one group, case by case with what one more retrained model may be off (``bounds``, in 0..1), and all cases together."""
    import matplotlib.pyplot as plt

    rows = report.cases[(report.cases.candidate == candidate) & (report.cases.group == group)]
    alone = 100 * (rows.accuracy - rows.retrained).to_numpy()
    together = report.groups[(report.groups.candidate == candidate) & (report.groups.group == group)].iloc[0]
    figure, axis = plt.subplots(figsize=(8, 3.8))
    margin = 100 * together.margin
    axis.axhspan(-margin, margin, color=RETRAINED, alpha=0.2, linewidth=0)
    axis.axhline(0, color=RETRAINED)
    places = np.arange(len(alone))
    axis.errorbar(places, alone, yerr=100 * np.asarray(bounds), fmt="o", color=INK, label="one case: this model")
    half = 100 * (together.high - together.difference)
    axis.errorbar([len(alone) + 0.5], [100 * together.difference], yerr=[half], fmt="D", color=UNLEARNED, label="all cases: the method")
    axis.set_xticks(np.append(places, len(alone) + 0.5), [*(str(place + 1) for place in places), "all"])
    axis.set(xlabel="case", ylabel="accuracy above retraining, points", title=f"{candidate}, group {group}")
    axis.grid(axis="x", visible=False)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def false_answers(table: pd.DataFrame) -> tuple[float, float]:
    """(share of "≠" for retraining itself, highest over groups; share of "=" for what is beyond the margin, highest likewise)."""
    truth = table[table.share == 1.0]
    beyond = table[(table.difference.abs() > 0.1) & (table.share < 1)]
    return float(truth["≠"].max()), float(beyond[SAME].max()) if len(beyond) else float("nan")


def rates(table: pd.DataFrame, reference: Reference) -> pd.DataFrame:
    """How often, in per cent, each answer is given in the two most memorized groups and in the rest, a row a share forgotten."""
    groups = [*table.group.unique()[:2], table.group.unique()[-1]]
    rows = {}
    for share, each in table.groupby("share", sort=False):
        by_group = each.set_index("group")
        name = {1.0: "φ = 1, retraining", 0.0: "φ = 0, original"}.get(share, f"φ = {share:g}")
        rows[name] = {(group, answer): f"{100 * by_group.loc[group, answer]:.0f}" for group in groups for answer in ANSWERS}
    return pd.DataFrame(rows).T.rename_axis(index=None, columns=("group", f"answer, {len(reference.cases)} cases"))
