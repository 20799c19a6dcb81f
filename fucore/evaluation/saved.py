"""Reports as files: one JSON that is read back to the last bit, and a CSV of each table for other programs.

The JSON holds the tables row by row, what each column is, where the numbers come from, and a checksum of all that.  A number that
JSON has no word for is ``null`` (not a number), ``"inf"`` or ``"-inf"``.
"""

from __future__ import annotations

import hashlib
import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ..errors import FucoreError, first_line, require, shown
from ..federation.case import Case
from ..runs.files import publish
from ..runs.fingerprint import hash_tensor, plain
from ..runs.run import Run, provenance


def origin_of(case: Case, candidates: Mapping[str, list[Run]]) -> dict:
    """Where the numbers of a report come from: versions, data, federation (network and local training included), and every run by its
    seeds and parameters."""
    original, retrained = case.original.config, [run.config for run in case.retrained]
    unlearned = {
        name: [
            {key: run.config.get(key) for key in ("method", "parameters", "seed", "asked")} | {"weights": hash_tensor(run.weights)}
            for run in runs
        ]
        for name, runs in candidates.items()
    }
    found = {
        **provenance(case.federation.data),
        "federation": case.federation.config,
        "forgotten": str(case.request),
        "original": {"seed": original.get("seed"), "rounds": original.get("rounds"), "weights": hash_tensor(case.original.weights)},
        "retrained": {"seeds": [config.get("seed") for config in retrained], "rounds": retrained[0].get("rounds")},
        "candidates": unlearned,
    }
    return json.loads(json.dumps(plain(found)), parse_constant=str)  # an infinite parameter is told as text


def write(stem, kind: str, tables: Mapping[str, pd.DataFrame], record: Mapping[str, Any]) -> None:
    """Write ``<stem>.<name>.csv`` of each table, and ``<stem>.json`` of all, with ``record``, as :func:`read` reads it."""
    for name, table in tables.items():
        publish(f"{stem}.{name}.csv", table.to_csv(index=False))
    columns = {name: {str(column): _kind(table[column]) for column in table} for name, table in tables.items()}
    content = {"format": kind, **record, "columns": columns, **{name: _rows(table, columns[name]) for name, table in tables.items()}}
    publish(f"{stem}.json", json.dumps(content | {"sha256": _checksum(content)}, indent=1, allow_nan=False) + "\n")


def read(stem, kind: str, tables: tuple[str, ...], fields: tuple[str, ...]) -> tuple[dict[str, pd.DataFrame], dict]:
    """(tables, fields) of what :func:`write` wrote; raises ``FucoreError`` for a file of another kind, or one that is not whole."""
    path = pathlib.Path(f"{stem}.json")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FucoreError(
            f"{shown(str(path))} cannot be read as a report ({first_line(error)}): give the stem that it was saved by."
        ) from None
    found = content.get("format") if isinstance(content, dict) else None
    require(found == kind, f"{path} is {shown(found)}, but must be a file of the kind {kind!r}: give the stem of what .save wrote.")
    sum_, rest = content.get("sha256"), {name: value for name, value in content.items() if name != "sha256"}
    whole = _checksum(rest) == sum_ and not {*tables, *fields, "columns"} - set(rest)
    require(whole, f"{path} is damaged or was changed by hand: it does not match its checksum, so save the report again.")
    return {name: _table(content[name], content["columns"][name]) for name in tables}, {name: content[name] for name in fields}


def _kind(column: pd.Series) -> str:
    """``whole``, ``number``, ``text``, or ``optional text`` with ``None`` where there is none."""
    return {"i": "whole", "f": "number"}.get(column.dtype.kind, "optional text" if column.dtype == object else "text")


def _rows(table: pd.DataFrame, columns: Mapping[str, str]) -> list[dict]:
    told = {name: [_told(value, kind) for value in table[name]] for name, kind in columns.items()}
    return [dict(zip(told, row)) for row in zip(*told.values())]


def _told(value, kind: str):
    if kind == "whole":
        return int(value)
    if kind.endswith("text"):
        return None if pd.isna(value) else str(value)
    return float(value) if math.isfinite(value) else None if math.isnan(value) else str(float(value))


def _table(rows: list[dict], columns: Mapping[str, str]) -> pd.DataFrame:
    number = lambda value: math.nan if value is None else float(value)
    read = {
        "whole": lambda values: pd.Series(values, dtype="int64"),
        "number": lambda values: pd.Series([number(value) for value in values], dtype="float64"),
        "text": lambda values: pd.Series(values, dtype="str"),
        "optional text": lambda values: pd.Series(values, dtype="object"),
    }
    return pd.DataFrame({name: read[kind]([row[name] for row in rows]) for name, kind in columns.items()})


def _checksum(content: Mapping) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
