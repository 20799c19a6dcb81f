"""Results that take longer than a notebook should: small tables with where they come from, made by the scripts in ``book/results``."""

from __future__ import annotations

import json
import pathlib

import pandas as pd

from ...errors import require_choice
from ..tracing import traced

FOLDER = pathlib.Path(__file__).parent


def table(name: str) -> pd.DataFrame:
    """A kept table by name, such as ``all_methods_mnist5k``."""
    require_choice("table", name, sorted(path.name.removesuffix(".csv") for path in FOLDER.glob("*.csv")))
    return pd.read_csv(traced(FOLDER / f"{name}.csv"))


def record(name: str) -> dict:
    """Where a kept result comes from: versions, data, settings."""
    require_choice("record", name, sorted(path.stem for path in FOLDER.glob("*.json")))
    return json.loads(traced(FOLDER / f"{name}.json").read_text())


def keep(name: str, tables: dict[str, pd.DataFrame], origin: dict) -> None:
    """Write ``tables``, by suffix ("" for the main one), and where they come from; for the scripts that make them."""
    for suffix, rows in tables.items():
        rows.round(5).to_csv(FOLDER / f"{name}{suffix and '.' + suffix}.csv", index=False)
    (FOLDER / f"{name}.json").write_text(json.dumps(origin, indent=1) + "\n")
