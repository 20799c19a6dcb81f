"""Figures of what is inside a network: how important its parameters are, and the landscape between two of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from ..analysis.importance import sorted_importance

#: Colour and dashes of the lines of two federations, and of three splits: remaining, forgotten, test.
LINES = (("#56b4e9", "-"), ("#cc79a7", "--"))
SPLITS = (("#56b4e9", "-"), ("#d55e00", "--"), ("#8c6d1f", ":"))


def importance_figure(importances: dict[str, torch.Tensor], ratios: dict[str, float]):
    """Sorted ``importances`` [d] of several federations by name, on a logarithmic scale, and dotted the ratio (0..1) read from each."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6.5, 3.2))
    for (name, importance), (colour, dashes) in zip(importances.items(), LINES):
        percentiles, values = sorted_importance(importance)
        axis.semilogy(percentiles, values.clamp_min(1e-9), dashes, color=colour, label=name)
        axis.axvline(100 * ratios[name], color=colour, linestyle=":", linewidth=1.4)
        axis.annotate(name, (100 * ratios[name], 1), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=9)
    axis.set(xlabel="percentile of parameters", ylabel="importance: |mean update of the others|", ylim=(1e-7, None))
    axis.legend(title="dotted: automatic ratio")
    return figure


def paths_figure(paths: dict[str, pd.DataFrame]):
    """Loss along straight paths, tables of :func:`~fucore.analysis.loss_path.loss_path` by name: one panel a path, one line a split."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(paths), figsize=(2.6 * len(paths), 3.2), sharey=True, squeeze=False)
    for axis, (name, path) in zip(axes[0], paths.items()):
        for split, (colour, dashes) in zip(path.split.unique(), SPLITS):
            rows = path[path.split == split]
            axis.plot(rows.step, rows.loss, dashes, color=colour, label=split)
        axis.set(title=name, xlabel="0: start, 1: end")
    axes[0, 0].set_ylabel("mean cross-entropy")
    axes[0, 0].legend()
    return figure


def plane_figure(surface: pd.DataFrame, places: np.ndarray, names: Sequence[str]):
    """Loss in the plane of three models, a grid and ``places`` [3, 2] of :func:`~fucore.analysis.loss_path.loss_plane`, with their ``names``."""
    import matplotlib.pyplot as plt

    grid = surface.pivot(index="y", columns="x", values="loss")
    figure, axis = plt.subplots(figsize=(5.8, 4))
    shades = axis.contourf(grid.columns, grid.index, np.log10(grid), levels=14, cmap="viridis_r")
    axis.plot(*places[[0, 1]].T, "--", color="white", linewidth=1)
    for place, name in zip(places, names):
        axis.plot(*place, "o", color="white", markeredgecolor="black")
        axis.annotate(name, place, textcoords="offset points", xytext=(6, 6), color="white", fontsize=9)
    axis.set(xlabel="distance in weights", ylabel="distance in weights", title="loss on test images in the plane of three models")
    axis.grid(visible=False)
    figure.colorbar(shades, label="log10 of mean cross-entropy")
    return figure
