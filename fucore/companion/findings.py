"""What each chapter found about a claim of the papers, kept in the store for the chapter that lists them all.

A chapter notes its findings at its end, with a verdict that follows from its run; the last chapter reads what is there.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib

import numpy as np
import pandas as pd

from ..errors import require, require_choice
from ..federation.federation import Federation
from ..runs.files import write_atomically
from ..runs.fingerprint import hash_of, hash_of_modules, loaded_modules, plain
from ..runs.run import provenance
from ..runs.store import Store
from .tracing import trace

FOLDER = pathlib.Path(__file__).parent / "papers"
#: What a run can say about a claim.
VERDICTS = ("reproduced", "direction only", "not reproduced", "undecided", "cannot be run here")


def judge(claim: str, statistics: dict[str, float | tuple[float, float, float]] | None, decided: bool = True) -> str:
    """One of :data:`VERDICTS` for ``statistics`` (a value, or a value with its interval, by name) by the rules of the claim.

    Rules are data, see :func:`rules`: regions in which the statistics must lie for the claim to be ``full``, and weaker ones.
    With intervals: inside means that all of it is.  ``"reproduced"`` if all full regions are met, ``"direction only"`` if all weaker
    ones are, ``"cannot be run here"`` without statistics (``None``), ``"undecided"`` if no weaker region is missed for certain, or if the run could not have shown it (``decided``), else
    ``"not reproduced"``; a value that is not a number misses.

    Raises ``FucoreError`` for a claim without rules, and for statistics that the rules do not name or lack.
    """
    table = rules()
    table = table[table.claim == require_choice("claim", claim, list(claims().index))]
    require(len(table) > 0, f"{claim} has no rules: add them to rules.csv.")
    if statistics is None:
        return "cannot be run here"
    unlike = set(table.statistic) ^ set(statistics)
    require(not unlike, f"the rules of {claim} and the statistics given differ in: {', '.join(sorted(unlike))}.")
    if not decided:
        return "undecided"
    places = {
        part: [_place(statistics[row.statistic], row.low, row.high) for row in rows.itertuples()] for part, rows in table.groupby("part")
    }
    for part, word in (("full", "reproduced"), ("weaker", "direction only")):
        if part in places and all(place == "inside" for place in places[part]):
            return word
    open_ = any(place == "across" for part in places.values() for place in part)
    return "undecided" if open_ and "outside" not in places.get("weaker", places["full"]) else "not reproduced"


def _place(statistic, low: float, high: float) -> str:
    """Where a value or (value, low, high) lies relative to a region: inside, outside or across its edge; NaN is outside."""
    value, *interval = statistic if isinstance(statistic, tuple) else (statistic,)
    least, most = interval or (value, value)
    if not least <= most or most < low or least > high:  # NaN compares as false
        return "outside"
    return "inside" if low <= least and most <= high else "across"


def rules() -> pd.DataFrame:
    """What must be seen for a verdict: ``claim, part, statistic, low, high``; ``part`` is ``full`` or ``weaker``, an empty bound is none.

    Bounds belong to the region.  All rows of a part must hold.
    """
    table = pd.read_csv(FOLDER / "rules.csv")
    return table.fillna({"low": -np.inf, "high": np.inf})


def claims() -> pd.DataFrame:
    """The papers' tables, figures and claims: ``paper, item, claim, printed, chapter``, one row each, by a short name."""
    return pd.read_csv(FOLDER / "claims.csv", index_col="name", keep_default_na=False)


def note(
    claim: str,
    statistics: dict[str, float | tuple[float, float, float]] | None,
    ours: str,
    federation: Federation,
    basis: str,
    decided: bool = True,
) -> str:
    """Keep what a run says about a claim, ``ours`` in words and numbers, and return the verdict of :func:`judge`.

    ``basis``: on how much it rests (data, profile, changed parameters, models and runs), such as ``basis`` of
    :class:`fucore.companion.params.Parameters` says.  Kept in the federation's store (in ``$FUCORE_FINDINGS`` where the book is executed) with where it comes from; without a store
    nothing is kept.
    """
    judgement = judge(claim, statistics, decided)
    if federation.store is not None:
        modules = loaded_modules()
        record = {"ours": ours, "verdict": judgement, "basis": basis, "statistics": plain(statistics)}
        record |= {"modules": modules, "code": _rules_and_code(modules), "content": hash_of([ours, judgement, basis])}
        record |= {"provenance": provenance(federation.data), "local": dataclasses.asdict(federation.local)}
        write_atomically(_folder(federation.store) / f"{claim}.json", json.dumps(record).encode())
        trace("finds", claim, record["content"])
    return judgement


def noted(store: Store) -> pd.DataFrame:
    """:func:`claims` with what was found: ``ours``, ``verdict`` and the ``basis`` it rests on, or that it was not run yet.

    What other code or rules than the present found is marked as old.
    """
    table, rows = claims(), {}
    for name in table.index:
        try:
            record = json.loads((_folder(store) / f"{name}.json").read_text())
            old = "" if record["code"] == _rules_and_code(record["modules"]) else " (found by other code: run the chapter again)"
            rows[name] = {"ours": record["ours"] + old, "verdict": record["verdict"], "basis": record["basis"]}
            trace("reads", name, record["content"])
        except (OSError, ValueError, KeyError):
            rows[name] = {"ours": "not run yet", "verdict": "–", "basis": "–"}
    return table.join(pd.DataFrame(rows).T)


def _rules_and_code(modules: list[str]) -> str:
    return hash_of([hash_of_modules(modules), (FOLDER / "rules.csv").read_text()])


def _folder(store: Store) -> pathlib.Path:
    """Chapters of one build tell each other what they found, not what somebody found with other parameters."""
    return pathlib.Path(os.environ.get("FUCORE_FINDINGS") or store.root / "findings")
