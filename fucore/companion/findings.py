"""What each chapter found about a claim of the papers, kept in the store for the chapter that lists them all.

A chapter notes its findings at its end, with a verdict that follows from its run; the last chapter reads what is there.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib

import pandas as pd

from ..errors import require_choice
from ..federation.federation import Federation
from ..runs.fingerprint import hash_of_code
from ..runs.run import provenance
from ..runs.store import Store, write_atomically

#: What a run can say about a claim.
VERDICTS = ("reproduced", "direction only", "not reproduced", "undecided", "cannot be run here")


def verdict(full: bool, direction: bool = False, decided: bool = True) -> str:
    """``"reproduced"`` if all of a claim was seen, ``"direction only"`` if a part or the tendency, else ``"not reproduced"``.

    ``decided``: whether the run could have shown it at all; ``"undecided"`` if not, such as where the original model itself
    is no further from retraining than one more retrained model.
    """
    return VERDICTS[3] if not decided else VERDICTS[0] if full else VERDICTS[1] if direction else VERDICTS[2]


def claims() -> pd.DataFrame:
    """The papers' tables, figures and claims: ``paper, item, claim, printed, chapter``, one row each, by a short name."""
    return pd.read_csv(pathlib.Path(__file__).parent / "papers" / "claims.csv", index_col="name", keep_default_na=False)


def note(name: str, ours: str, judgement: str, federation: Federation, basis: str) -> None:
    """Keep what a run says about the claim ``name``: ``ours`` in words and numbers, and a verdict of :data:`VERDICTS`.

    ``basis``: on how much it rests (data, profile, changed parameters, models and runs), such as ``basis`` of
    :class:`fucore.companion.params.Parameters` says.  Kept in the federation's store with where it comes from; without a store nothing is kept.
    """
    require_choice("claim", name, list(claims().index))
    require_choice("verdict", judgement, VERDICTS)
    if federation.store is None:
        return
    record = {"ours": ours, "verdict": judgement, "provenance": provenance(federation.data), "local": dataclasses.asdict(federation.local)}
    record |= {"basis": basis, "code": hash_of_code()}
    write_atomically(_folder(federation.store) / f"{name}.json", json.dumps(record).encode())


def noted(store: Store) -> pd.DataFrame:
    """:func:`claims` with what was found: ``ours``, ``verdict`` and the ``basis`` it rests on, or that it was not run yet.

    What other code than the present found is marked as old.
    """
    table, rows = claims(), {}
    for name in table.index:
        try:
            record = json.loads((_folder(store) / f"{name}.json").read_text())
            old = "" if record["code"] == hash_of_code() else " (found by other code: run the chapter again)"
            rows[name] = {"ours": record["ours"] + old, "verdict": record["verdict"], "basis": record["basis"]}
        except (OSError, ValueError, KeyError):
            rows[name] = {"ours": "not run yet", "verdict": "–", "basis": "–"}
    return table.join(pd.DataFrame(rows).T)


def _folder(store: Store) -> pathlib.Path:
    return store.root / "findings"
