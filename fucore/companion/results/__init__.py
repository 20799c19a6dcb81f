"""Results that take longer than a notebook should: small tables with where they come from, made by the scripts in ``book/results``."""

from __future__ import annotations

import json
import pathlib

import pandas as pd

from ...errors import require_choice
from ...evaluation.several import MethodReport

FOLDER = pathlib.Path(__file__).parent


def table(name: str) -> pd.DataFrame:
    """A kept table by name, such as ``all_methods_mnist5k``."""
    return pd.read_csv(_kept("table", name, ".csv"))


def report(name: str) -> MethodReport:
    """A kept report of several cases by name, such as ``judged_mnist5k``."""
    return MethodReport(table(name), table(f"{name}.summary"), table(f"{name}.cases"))


def record(name: str) -> dict:
    """Where a kept result comes from: versions, data, settings."""
    return json.loads(_kept("record", name, ".json").read_text())


def _kept(what: str, name: str, suffix: str) -> pathlib.Path:
    path = FOLDER / f"{name}{suffix}"
    if not path.is_file():  # all are listed only for the sentence: who reads one does not depend on the others
        require_choice(what, name, sorted(path.name.removesuffix(suffix) for path in FOLDER.glob(f"*{suffix}")))
    return path


def keep(name: str, tables: dict[str, pd.DataFrame], origin: dict) -> None:
    """Write ``tables``, by suffix ("" for the main one), and where they come from; for the scripts that make them."""
    for suffix, rows in tables.items():
        rows.round(5).to_csv(FOLDER / f"{name}{suffix and '.' + suffix}.csv", index=False)
    (FOLDER / f"{name}.json").write_text(json.dumps(origin, indent=1) + "\n")
