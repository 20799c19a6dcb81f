"""Tables and figures of the chapter on memorization, and what the printed tables of Wei et al. say about who defined their groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..analysis import embedding
from ..data.dataset import Split
from ..errors import require
from ..evaluation.gme import Judges, grouped_memorization
from ..evaluation.metrics.relearning import relearn_epochs
from ..evaluation.planted import planted_of
from ..federation.case import Case
from ..runs.run import Run
from . import papers

#: Who holds an image of the map of features, by number, with its colour, mark and the size of its dot.
PEOPLE = {
    "other clients": ("#b8bcc2", ".", 14.0),
    "remaining client A": ("#56b4e9", "s", 6.0),
    "remaining client B": ("#0072b2", "^", 8.0),
    "departed, still right": ("#f0b27a", "o", 9.0),
    "departed, lost by retraining": ("#c0392b", "X", 30.0),
}


# ---- the map of features


def neighbourhood(case: Case, near: int = 150, far: int = 40) -> tuple[Split, np.ndarray]:
    """(training images, holder int [n]): all departed ones (0), ``near`` of each of two remaining clients (1, 2), ``far`` of every other (3)."""
    fed, rng = case.federation, np.random.default_rng(0)
    departed = case.request.clients or ()
    others = [rng.permutation(held)[:near] for client, held in enumerate(fed.clients.indices) if client not in departed]
    parts = [case.forgotten, *others[:2], *(held[:far] for held in others[2:])]
    holder = np.repeat(np.minimum(np.arange(len(parts)), 3), [len(part) for part in parts])
    return fed.data.train.take(np.concatenate(parts)), holder


def features_figure(case: Case, runs: dict[str, Run]):
    """The neighbourhood of the departed images as each of ``runs`` (by title) sees it; what the first retrained model loses stands out."""
    import matplotlib.pyplot as plt

    split, holder = neighbourhood(case)
    right = (case.logits(case.retrained[0], split).argmax(1) == split.labels).numpy()
    masks = (holder == 3, holder == 1, holder == 2, (holder == 0) & right, (holder == 0) & ~right)
    figure, axes = plt.subplots(1, len(runs), figsize=(5 * len(runs), 4.6), squeeze=False)
    for axis, (title, run) in zip(axes[0], runs.items()):
        points = embedding.plane(embedding.features(case.federation, run.weights, split))
        for (name, (colour, mark, size)), mask in zip(PEOPLE.items(), masks):
            look = {"s": size, "color": colour, "marker": mark, "linewidths": 0, "alpha": 0.85, "rasterized": True}
            axis.scatter(*points[mask].T, label=f"{name} ({mask.sum()})", **look)
        axis.set(xticks=[], yticks=[], title=title)
        axis.grid(visible=False)
        axis.spines[:].set_visible(False)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, markerscale=1.6)
    return figure


def guesses(case: Case, run: Run, shown: np.ndarray) -> list[str]:
    """A title for each of the departed examples ``shown``: its class, and what ``run`` sees instead if it is wrong."""
    classes, labels = case.federation.data.classes, case.departed.labels[shown].tolist()
    seen = case.logits(run, "departed").argmax(1)[shown].tolist()
    return [classes[y] if guess == y else f"{classes[y]} (seen as {classes[guess]})" for y, guess in zip(labels, seen)]


# ---- the judge and the judged


def reference_by_protocol(judges: Judges) -> pd.DataFrame:
    """Accuracy of the retrained models in each group, in per cent, one row a protocol: the public code's, and cross-fitted."""
    rows = {}
    for name, protocol in (("as in the public code", "code"), ("cross-fitted", "cross-fitted")):
        table = grouped_memorization(judges, {"original": judges.original_hits}, protocol=protocol)
        rows[f"retrained, {name}"] = dict(zip(table.group, 100 * table.retrained))
    return pd.DataFrame(rows).T


def other_two(mean: float, std: float, first: float) -> tuple[float, float]:
    """The other two of three numbers with this mean and this (population) standard deviation, the lower one first."""
    half_sum = (3 * mean - first) / 2
    squares = 3 * (std**2 + mean**2) - first**2
    half_difference = np.sqrt(max(0.0, squares / 2 - half_sum**2))
    return half_sum - half_difference, half_sum + half_difference


def without_definer(setting: str) -> pd.DataFrame:
    """FedMemPrune's gap to retraining in a ``setting`` of Table 1, as printed and to the two retrained models that did not define the groups.

    One row a group, in per cent. The one model's value is the mean that Table F2 prints beside Table 1's standard deviation.
    Raises ``FucoreError`` for a setting that the tables lack.
    """
    tables = [papers.table(name) for name in ("table1_main", "tableF2_pruning_ratio")]
    main, ratios = (table[table.setting == setting].set_index("row") for table in tables)
    require(len(main) > 0 and len(ratios) > 0, f"setting is {setting!r}, but must be one of Tables 1 and F2.")
    reference, one_model = main.loc["Retrained Baseline"], ratios.loc["Retrained Baseline"]
    rows = {}
    for column, group in papers.GROUPS.items():
        mean, first, ours = reference[column], float(one_model[column]), main.loc["FedMemPrune", column]
        models = sorted(abs(round(value, 2)) for value in (first, *other_two(mean, reference[f"{column}_std"], first)))
        judged = np.mean(models[:2] if column == "g0_80" else models[1:])  # who defines the groups is worst on top, and best below
        rows[group] = {
            "the three models": " / ".join(f"{value:.1f}" for value in models),
            "reference": mean,
            "without definer": judged,
            "FedMemPrune": ours,
            "gap": abs(ours - mean),
            "gap without definer": abs(ours - judged),
        }
    return pd.DataFrame(rows).T.infer_objects()


# ---- planted examples


def planted_table(case: Case, candidates: dict[str, Sequence[Run]]) -> pd.DataFrame:
    """What models still know of a case's planted examples, one row a candidate (means over its runs)."""
    fed, planted = case.federation, case.departed.take(np.flatnonzero(planted_of(case)))
    rows = {}
    for name, runs in candidates.items():
        seen = np.array([fed.evaluate(run.weights, planted) for run in runs]).mean(axis=0)
        rows[name] = {
            "planted reproduced, %": 100 * seen[0],
            "loss on planted": seen[1],
            "test accuracy, %": 100 * np.mean([fed.evaluate(run.weights)[0] for run in runs]),
            "epochs to relearn": np.mean([relearn_epochs(run, case) for run in runs]),
        }
    return pd.DataFrame(rows).T


def way_to_retraining(table: pd.DataFrame, name: str) -> str:
    """A sentence on one row of :func:`planted_table`, between the rows ``original`` and ``retrained``."""
    known, epochs = table["planted reproduced, %"], table["epochs to relearn"]
    way = (known["original"] - known[name]) / max(1e-9, known["original"] - known["retrained"])
    middle = epochs[["original", "retrained"]].mean()
    near = "the original" if epochs[name] < middle else "a retrained model"
    return (
        f"{name} goes {way:.0%} of the way from the original to retraining on the planted images, "
        f"and relearns them about as quickly as {near}."
    )
