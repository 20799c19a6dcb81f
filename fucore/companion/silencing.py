"""FedCCCU beside Neuron-Zeroing: what each silences, what that does, and which of the two is gentler."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from .. import plots

#: R of a unit up to which it is the asking client's own, and above which it matters more to another.
DOMINANT, ELSEWHERE = 0.9, 1.1
#: Accuracy on the client's class under which a setting counts as forgetting, how much more of it FedCCCU may leave
#: than zeroing and still forget nearly as well, and how much more it may cost other classes where only the class elsewhere counts.
FORGOTTEN, NEARLY, LITTLE = 0.5, 0.15, 0.02
COLOURS = {"FedCCCU": "#0072b2", "Zeroing": "#d55e00", "Random units": "#7f7f7f"}
PANELS = {
    "asked": "client's class, accuracy %",
    "others_class": "drop of the class elsewhere",
    "other_classes": "drop of other classes",
}


def kinds(dominance: Sequence[tuple[int, float, float]]) -> dict[str, int]:
    """How many units of a FedCCCU run's ``log["dominance"]`` are dominant, shared, and more important elsewhere."""
    ratios = [ratio for _, ratio, _ in dominance]
    dominant, elsewhere = sum(ratio < DOMINANT for ratio in ratios), sum(ratio > ELSEWHERE for ratio in ratios)
    return {"dominant": dominant, "shared": len(ratios) - dominant - elsewhere, "elsewhere": elsewhere}


def against_zeroing(pairs: dict[str, tuple[pd.Series, pd.Series]]) -> pd.DataFrame:
    """One row a setting from ``pairs`` of side effects (FedCCCU's, zeroing's) with as many units silenced.

    ``forgets``: FedCCCU leaves less than half on the client's class.  Then ``gentler``: it forgets nearly as well, costs other classes less and
    the class elsewhere no more; ``partly``: it costs the class elsewhere less, and other classes hardly more.
    """
    rows = {}
    for name, (ours, zeroing) in pairs.items():
        forgets, nearly = ours.asked < FORGOTTEN, ours.asked <= zeroing.asked + NEARLY
        spares = ours.other_classes < zeroing.other_classes and ours.others_class <= zeroing.others_class
        partly = ours.others_class < zeroing.others_class and ours.other_classes <= zeroing.other_classes + LITTLE
        rows[name] = {"forgets": forgets, "gentler": forgets and nearly and spares, "partly": forgets and partly}
    return pd.DataFrame(rows).T.astype(bool)


def line(effect: pd.Series) -> str:
    """A row of side effects in words."""
    asked, others_class, other_classes = 100 * effect[["asked", "others_class", "other_classes"]]
    return f"{asked:4.0f} % on the client's class, others lose {others_class:3.0f} on it and {other_classes:3.0f} on other classes"


def elsewhere(ours: pd.Series, zeroing: pd.Series) -> str:
    """What FedCCCU costs others, beside zeroing."""
    return (
        f"the class elsewhere loses {100 * ours.others_class:.0f} points (zeroing {100 * zeroing.others_class:.0f}), "
        f"other classes {100 * ours.other_classes:.0f} (zeroing {100 * zeroing.other_classes:.0f})"
    )


def beside(ours: pd.Series, zeroing: pd.Series) -> str:
    """FedCCCU's side effects against zeroing's, all three."""
    return (
        f"{100 * ours.asked:.0f} against zeroing's {100 * zeroing.asked:.0f} % on the class, "
        f"the class elsewhere loses {100 * ours.others_class:.0f} against {100 * zeroing.others_class:.0f} points, "
        f"other classes {100 * ours.other_classes:.0f} against {100 * zeroing.other_classes:.0f}"
    )


def units_figure(effects: pd.DataFrame, counts: Sequence[int], total: int):
    """Side effects by how many units are silenced, of ``total``; rows of ``effects`` are called ``"FedCCCU 2"`` and so on."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(PANELS), figsize=(10, 3.3))
    for axis, (column, title) in zip(axes, PANELS.items()):
        for name, colour in COLOURS.items():
            values = [100 * effects.loc[f"{name} {count}", column] for count in counts]
            axis.plot(counts, values, "o-", color=colour, label=name)
        axis.set(title=title, xlabel=f"units silenced, of {total}", xscale="log", xticks=counts, xticklabels=counts)
        axis.minorticks_off()
    axes[0].axhline(100 * effects.loc["Retrained", "asked"], color=plots.RETRAINED, linewidth=1.5, label="Retrained")
    axes[0].legend(fontsize=9.5)
    return figure


def accuracy_figure(accuracy: pd.Series):
    """Global accuracy of each candidate in per cent, as bars; "Retrained" has its colour."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6.5, 2.6))
    colours = [plots.RETRAINED if name == "Retrained" else plots.COLOURS[0] for name in accuracy.index]
    bars = axis.barh(list(accuracy.index), accuracy.to_numpy(), color=colours)
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.bar_label(bars, fmt="%.1f", padding=3, fontsize=9.5, color=plots.INK)
    axis.set(xlabel="accuracy on all test images, % (the paper's Figure 4)", xlim=(0, 108))
    return figure
