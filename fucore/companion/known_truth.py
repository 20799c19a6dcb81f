"""How measures of forgetting do where the truth is known: figures, and who tells what."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

#: Title and format of the distances of :func:`~fucore.evaluation.distance.pairwise`.
DISTANCES = {"l2": ("L2 distance", "{:.1f}"), "cosine": ("cosine similarity", "{:.2f}"), "kl": ("KL on test images", "{:.2f}")}


def distance_figure(tables: dict[str, pd.DataFrame]):
    """Distances of models to each other, tables of :func:`~fucore.evaluation.distance.pairwise`, side by side; the diagonal does not set the scale."""
    import matplotlib.pyplot as plt

    from ..plots import heat_figure

    figure, axes = plt.subplots(1, len(tables), figsize=(3.67 * len(tables), 3.6), squeeze=False)
    for axis, (name, table) in zip(axes[0], tables.items()):
        title, fmt = DISTANCES[name]
        off = table.to_numpy()[~np.eye(len(table), dtype=bool)]
        low, high = off.min() - 0.5 * np.ptp(off) - 1e-9, off.max() + 1e-9
        short = table.rename(columns=lambda column: column.replace("retrained ", "r"))
        heat_figure(short, title, fmt, low, high, cmap="Blues", width=0.55, axis=axis)
    return figure


def confidence_figure(confidence: np.ndarray):
    """Probability of the true label, [K, m], by K retrained models: mean and range, examples sorted by the mean."""
    import matplotlib.pyplot as plt

    from ..plots import RETRAINED

    mean = confidence.mean(axis=0)
    order = np.argsort(mean)
    lowest, highest = (side(axis=0)[order] for side in (confidence.min, confidence.max))
    figure, axis = plt.subplots(figsize=(7, 3.2))
    words = "range over retrained models"
    axis.fill_between(range(len(order)), lowest, highest, color=RETRAINED, alpha=0.25, linewidth=0, label=words)
    axis.plot(mean[order], color=RETRAINED, label="mean")
    axis.set(xlabel="forgotten examples, from the least to the most confident", ylabel="probability of the true label")
    axis.legend(loc="lower right")
    return figure


def departure_figure(stories: dict[str, pd.DataFrame], floors: Sequence[float], rounds: int):
    """Tables of :func:`~fucore.evaluation.backdoor.departure` by title, a panel each; after ``rounds`` the client is away.

    ``floors``: what models retrained without the client reach, 0..1, one for each panel.
    """
    import matplotlib.pyplot as plt

    from ..plots import DEPARTED, INK, RETRAINED

    figure, axes = plt.subplots(1, len(stories), figsize=(4.5 * len(stories), 3.1), sharey=True, squeeze=False)
    for axis, (title, rows), floor in zip(axes[0], stories.items(), floors):
        axis.axhline(100 * floor, color=RETRAINED, linestyle=":", label="departed client, retrained")
        axis.axvspan(rounds + 0.5, rows["round"].max() + 0.5, color=INK, alpha=0.12, linewidth=0)
        axis.plot(rows["round"], 100 * rows.test, color=INK, label="test accuracy")
        axis.plot(rows["round"], 100 * rows.departed, "--", color=DEPARTED, label="departed client")
        axis.set(title=title, xlabel="round (shaded: without the client)", ylim=(-3, 103))
    axes[0, 0].set_ylabel("%")
    axes[0, 0].legend()
    return figure


def who_tells(tells: pd.DataFrame, honest: Sequence[str]) -> dict[str, list[str]]:
    """Metrics by what they can tell, from a table of booleans: a row a metric, a column a model that it tells from retraining, or not.

    Columns ``nothing`` (the untouched original), ``fake``, ``FedMemPrune`` and ``fine-tuned``, and the ``honest`` retrained
    models, which no metric should tell.
    """
    accuses = tells[list(honest)].any(axis=1)
    chosen = {
        "Tell both the untouched model and the fake": tells["nothing"] & tells["fake"],
        "Tell the untouched model only": tells["nothing"] & ~tells["fake"],
        "Tell the fake only": ~tells["nothing"] & tells["fake"],
        "Tell neither": ~tells["nothing"] & ~tells["fake"],
        f"Accuse one of {len(honest)} honest retrained models": accuses,
        "Useful here (both told, no honest model accused)": tells["nothing"] & tells["fake"] & ~accuses,
        "Tell FedMemPrune": tells["FedMemPrune"],
        "Tell fine-tuning": tells["fine-tuned"],
    }
    return {words: list(tells.index[mask]) for words, mask in chosen.items()}
