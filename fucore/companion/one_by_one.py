"""Clients that leave one after another against all at once, from the tables that ``book/results/one_by_one.py`` keeps."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..errors import require
from ..evaluation.deciding import confidence_half_width

ONE_BY_ONE, AT_ONCE = "one by one", "at once"
ORIGINAL, RETRAINED = "Original", "Retrained"


def shares(kept: pd.DataFrame) -> pd.DataFrame:
    """Share forgotten in per cent after each step: 0 as the original, 100 as retraining; a row a method and way, a column a step."""
    return _wide(kept[kept.way.isin((ONE_BY_ONE, AT_ONCE))], 100 * kept.forgotten)


def cells(kept: pd.DataFrame) -> pd.DataFrame:
    """Mean gap to retraining over the groups, in points, and test accuracy in per cent after each step: ``4.4 / 93.5``."""
    gap = [f"{100 * value:.1f} / " if np.isfinite(value) else "" for value in kept.gap]
    return _wide(kept, [f"{away}{100 * accuracy:.1f}" for away, accuracy in zip(gap, kept.test_accuracy)])


def drift(originals: pd.DataFrame) -> pd.DataFrame:
    """How much farther from retraining a method is after the last step one by one than at once, a row a method.

    ``more``: the difference of the mean gaps, in points, mean over originals, and ``half``, half of its 95 % interval, from the same
    originals.  ``cost``: examples processed in all steps by those who go one by one, as a multiple of those of the last step at once.
    """
    last = originals[originals.step == originals.step.max()]
    require(last.original.nunique() > 1, "differences between one by one and at once need at least 2 originals.")
    rows = []
    for method, part in last[last.way.isin((ONE_BY_ONE, AT_ONCE))].groupby("method", sort=False):
        gap, spent = (part.pivot(index="original", columns="way", values=column) for column in ("gap", "examples_so_far"))
        more = 100 * (gap[ONE_BY_ONE] - gap[AT_ONCE]).to_numpy()
        cost = float((spent[ONE_BY_ONE] / spent[AT_ONCE]).mean())
        rows.append({"method": method, "more": more.mean(), "half": float(confidence_half_width(more)), "cost": cost})
    return pd.DataFrame(rows)


def sentence(originals: pd.DataFrame) -> str:
    """What the table of :func:`drift` says."""
    table, count = drift(originals), originals.original.nunique()
    told = {"farther from retraining one by one": table[table.more > table.half], "closer one by one": table[table.more < -table.half]}
    told["cannot be told apart"] = table[table.more.abs() <= table.half]
    parts = [f"{words}: " + ", ".join(_each(row) for row in rows.itertuples()) for words, rows in told.items() if len(rows)]
    steps, cost = originals.step.max(), (table.cost.min(), table.cost.max())
    return f"After {steps} clients, over {count} originals (difference of the mean gaps in points): {'; '.join(parts)}. One by one costs {cost[0]:.1f} to {cost[1]:.1f} times as much in all."


def _each(row) -> str:
    return f"{row.method} {row.more:+.1f} ±{row.half:.1f}"


def _wide(rows: pd.DataFrame, values) -> pd.DataFrame:
    """Values by method and way (in their order in the table) and step."""
    named = rows.assign(name=(rows.method + ", " + rows.way.fillna("")).str.removesuffix(", "), value=values)
    table = named.pivot(index="name", columns="step", values="value").loc[named.name.unique()]
    first = [name for name in (ORIGINAL, RETRAINED) if name in table.index]
    table = table.loc[first + [name for name in table.index if name not in first]]
    return table.rename_axis(index=None, columns="clients that have left")
