"""Tables and figures of the chapter on what must be forgotten."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .. import plots
from ..analysis import pid

#: Each term of the decomposition in words, with its colour and mark.
TERMS = {
    "redundancy": ("redundancy", "#cc79a7", "o"),
    "unique A": ("unique: departed client", plots.DEPARTED, "s"),
    "unique B": ("unique: the others", "#56b4e9", "^"),
    "synergy": ("synergy", "#8c6d1f", "D"),
}
#: What is removed, in words, with its colour and mark.
REMOVED = {
    "random": ("random examples", "#56b4e9", "o"),
    "class": ("examples of one class", "#cc79a7", "^"),
    "client": ("a client", plots.DEPARTED, "s"),
}


def gates_table(measures=("imin", "broja")) -> pd.DataFrame:
    """The terms of the canonical examples by each of ``measures``, as text: the optimiser behind BROJA is exact to about 1e-3."""
    found = {(name, measure): pid.decompose(pid.gate(name), measure) for name in pid.GATES for measure in measures}
    return pd.DataFrame(found).T.abs().map("{:.2f}".format).rename_axis(["gate", "measure"])


def shares_of_total(estimates: pd.DataFrame) -> str:
    """The terms of :func:`~fucore.analysis.pid.estimate` as shares of their sum, with intervals, in one sentence."""
    total = estimates.corrected.sum()
    terms = [f"{term} {row.corrected / total:.1%} ({row.low / total:.1%} to {row.high / total:.1%})" for term, row in estimates.iterrows()]
    return f"Of {total:.2f} bits over all ten questions: {', '.join(terms)}."


def terms_figure(panels: dict[str, dict[float, pd.DataFrame]]):
    """Terms with intervals, one panel a knob: ``panels`` is title to (value of the knob to a table of ``pid.estimate``)."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(panels), figsize=(4.5 * len(panels), 3.4), sharey=True, squeeze=False)
    for axis, (title, results) in zip(axes[0], panels.items()):
        for shift, (term, (label, colour, mark)) in enumerate(TERMS.items()):
            rows = pd.DataFrame([result.loc[term] for result in results.values()])
            sides = [(rows.corrected - rows.low).clip(lower=0), (rows.high - rows.corrected).clip(lower=0)]
            places = np.arange(len(rows)) + 0.12 * (shift - 1.5)
            axis.errorbar(places, rows.corrected, yerr=sides, fmt=mark, markersize=5, color=colour, label=label)
        axis.set_xticks(range(len(results)), ["IID" if value == float("inf") else f"{value:g}" for value in results])
        axis.set(xlabel=title)
    axes[0, 0].set_ylabel("bits, summed over classes")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


def kind_of(removed: str) -> str:
    """The kind of a removal of :func:`fucore.analysis.influence.removals` by its name: ``random 2 %``, ``class`` or ``client``."""
    first = removed.split(",")[0]
    return first if first.startswith("random") else first.split()[0]


def remainder_table(remainder: pd.DataFrame) -> pd.DataFrame:
    """Means of :func:`~fucore.analysis.influence.removal_remainder` by the ``kind`` of removal, and of what is missed the range too."""
    table = remainder.groupby("kind", sort=False)[["share", "moved", "remainder", "predictions"]].agg(["mean", "min", "max"])
    missed = [(column, how) for column in ("remainder", "predictions") for how in ("mean", "min", "max")]
    return table[[("share", "mean"), ("moved", "mean"), *missed]]


def remainder_figure(remainder: pd.DataFrame):
    """What the Newton step misses against how much is removed, one dot a removal."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6.5, 3.2))
    for kind, (label, colour, mark) in REMOVED.items():
        rows = remainder[remainder.removed.str.startswith(kind)]
        axis.plot(100 * rows.share, 100 * rows.remainder, mark, color=colour, label=label)
    axis.set(xlabel="share of the data removed, %", ylabel="what the Newton step misses, % of the way", xscale="log", ylim=(0, None))
    axis.legend()
    return figure
