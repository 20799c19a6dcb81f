"""The page that lists all claims: its tables and its figure."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .findings import VERDICTS, claims

PAPERS = {"M": "Wei et al. (2026)", "W": "Huang et al. (2025)"}
#: Verdicts with their colours; ``–`` stands for a claim that was not run yet.
COLOURS = dict(zip((*VERDICTS, "–"), ("#009e73", "#e69f00", "#d55e00", "#7f7f7f", "#b0b0b0", "#dddddd")))
_SHADED = VERDICTS[:4]


def listed(found: pd.DataFrame, paper: str):
    """The claims of a paper with their verdicts; ``found``: of :func:`fucore.companion.findings.noted`."""
    rows = found[found.paper == paper]
    table = rows[["item", "verdict", "claim", "printed", "ours", "basis"]].rename(columns={"basis": "on"})
    table["item"] = [f'<a href="{chapter}.html">{item}</a>' for chapter, item in zip(rows.chapter, rows["item"])]
    shown = table.style.set_uuid(f"claims{paper}").hide(axis="index").set_caption(PAPERS[paper])
    return shown.map(lambda verdict: f"background-color:{COLOURS[verdict]}33" if verdict in _SHADED else "", subset=["verdict"])


def counts(found: pd.DataFrame) -> pd.DataFrame:
    """How many claims of each paper have each verdict: papers by verdicts, with a column of what was not run yet at the end."""
    table = found.groupby(["paper", "verdict"]).size().unstack(fill_value=0)
    return table.reindex(columns=list(COLOURS), fill_value=0)


def in_words(table: pd.DataFrame) -> str:
    """The table of :func:`counts` as a sentence."""
    parts = {paper: [f"{count} {_name(verdict)}" for verdict, count in row.items() if count] for paper, row in table.iterrows()}
    return "; ".join(f"{PAPERS[paper]}: {', '.join(told)}" for paper, told in parts.items())


def verdicts_figure(table: pd.DataFrame):
    """The table of :func:`counts` as stacked bars, one a paper."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 2.2))
    left, papers = np.zeros(len(table)), [PAPERS[paper] for paper in table.index]
    for verdict in table.columns[table.any()]:
        bars = axis.barh(papers, table[verdict], left=left, color=COLOURS[verdict], label=_name(verdict))
        axis.bar_label(bars, [count or "" for count in table[verdict]], label_type="center", color="#111", fontsize=9)
        left += table[verdict].to_numpy()
    axis.set(xlabel="claims")
    axis.grid(axis="y", visible=False)
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def stability(twice: pd.DataFrame) -> str:
    """How many verdicts are the same under both sets of seeds, and whether one goes from seen to not seen; ``twice``: the kept table ``stability``."""
    same, far = (twice["first"] == twice["second"]).sum(), _far(twice)
    turned = ", ".join(twice.claim[far]) or "none"
    return (
        f"{same} of {len(twice)} verdicts are the same under both sets of seeds. From *reproduced* to *not reproduced*, or back: {turned}."
    )


def moved(twice: pd.DataFrame):
    """The claims whose verdict is another under other seeds, with both."""
    table, names = twice[twice["first"] != twice["second"]], claims()
    rows = table.assign(claim=[f"{names.item[name]}: {names.claim[name]}" for name in table.claim])
    rows = rows.rename(columns={"first": "this book", "second": "other seeds", "ours, second": "found with other seeds"})
    return rows.style.set_uuid("claimsStability").hide(axis="index").set_caption("Verdicts that change with the seeds")


def _far(twice: pd.DataFrame) -> pd.Series:
    ends = twice[["first", "second"]]
    return (ends == VERDICTS[0]).any(axis=1) & (ends == VERDICTS[2]).any(axis=1)


def _name(verdict: str) -> str:
    return "not run yet" if verdict == "–" else verdict
