"""Figures printed in the two papers, to stand beside ours; per cent unless noted, ``_std`` as printed, ``_gap`` to the retrained row.

``table1_main``, ``tableF2...`` to ``tableH10...``: Wei et al., "Rethinking Federated Unlearning via the Lens of Memorization", KDD 2026.  The scale factor of ``local_fairness`` is missing in our copy of the text: compare within one table only.
``wild_table4_routes``, ``wild_table5_6_class0_per_client`` and ``wild_table7_8_per_label``: Huang et al., "Federated Unlearning in the Wild",
Tables 4 to 8.  The blocks of Table 8 that are called clients 1 to 3 have the class-0 figures of clients 3 to 5 in Table 6.
"""

from __future__ import annotations

import pathlib

import pandas as pd

from ...errors import require_choice

#: Columns of the groups in tables of Wei et al., with their headings, from the most memorized on.
GROUPS = {"g95_100": "95–100 %", "g90_95": "90–95 %", "g85_90": "85–90 %", "g80_85": "80–85 %", "g0_80": "0–80 %"}
#: Columns that stand beside ours, with their headings.
HEADINGS = GROUPS | {"forget_acc": "forget acc.", "test_acc": "test acc."}


def table(name: str) -> pd.DataFrame:
    """A printed table by name, such as ``table1_main``."""
    path = pathlib.Path(__file__).parent / f"{name}.csv"
    if not (path.is_file() and "table" in name):
        require_choice("table", name, sorted(path.stem for path in path.parent.glob("*.csv") if "table" in path.stem))
    return pd.read_csv(path)


def printed(name: str, setting: str = "", measured: tuple[str, ...] = ("test_acc",)) -> pd.DataFrame:
    """A table of Wei et al. as pages show it: accuracies by memorization group and those ``measured``, by setting and row.

    ``setting``: only settings that begin so; ``measured``: of ``forget_acc`` and ``test_acc``.
    """
    names = {key: HEADINGS[require_choice("measured", key, HEADINGS)] for key in (*GROUPS, *measured)}
    rows = table(name)
    rows = rows[rows.setting.str.startswith(setting)].set_index(["setting", "row"])[list(names)].rename(columns=names)
    return rows.rename_axis(columns=f"printed, Table {name.removeprefix('table').partition('_')[0]}")


def ratio_by_leaving_clients() -> dict[int, float]:
    """Pruning ratio by number of leaving clients (of 10), as Table F5 of Wei et al. states it."""
    found = table("tableF5_multiple_clients").setting.str.extract(r"(\d+) Clients \(rho = ([\d.]+)\)").drop_duplicates()
    return {int(clients): float(ratio) for clients, ratio in found.to_numpy()}
