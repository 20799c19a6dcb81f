"""Who feels an unlearning: accuracy of every client on every class of its own test images (Huang et al., 2025, Tables 5 to 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..data.forgetting import Request
from ..errors import require
from ..federation.federation import Federation
from ..runs.run import Run, listed


def client_accuracy(federation: Federation, candidates: Mapping[str, Run | Sequence[Run]], tests: Sequence[np.ndarray]) -> pd.DataFrame:
    """One row a candidate, client and class: ``candidate, client, label, examples, accuracy`` (0..1, mean over runs), ``low, high`` (range).

    ``tests``: indices of each client's test images, such as ``tests`` of :class:`fucore.data.domains.Domains`.  Classes that a client has no
    test image of have no row.
    """
    test, rows = federation.data.test, []
    require(any(len(part) for part in tests), "tests must give the indices of each client's test images, but all are empty.")
    require(max(int(part.max()) for part in tests if len(part)) < len(test), "tests name images that the federation's data do not have.")
    for name, runs in listed(candidates).items():
        hits = np.stack([(federation.logits(run.weights, test).argmax(1) == test.labels).numpy() for run in runs])
        for client, part in enumerate(tests):
            for label in np.unique(test.labels[part]):
                own = part[(test.labels[part] == label).numpy()]
                each = hits[:, own].mean(axis=1)
                row = {"candidate": name, "client": client, "label": int(label), "examples": len(own)}
                rows.append({**row, "accuracy": each.mean(), "low": each.min(), "high": each.max()})
    return pd.DataFrame(rows)


def global_accuracy(federation: Federation, candidates: Mapping[str, Run | Sequence[Run]]) -> pd.DataFrame:
    """Accuracy on all test images, one row a candidate: ``mean`` over its runs and ``half_range`` (NaN of a single run), in 0..1."""
    rows = {}
    for name, runs in listed(candidates).items():
        each = [federation.evaluate(run.weights)[0] for run in runs]
        rows[name] = {"mean": np.mean(each), "half_range": np.ptp(each) / 2 if len(each) > 1 else np.nan}
    return pd.DataFrame(rows).T


def side_effects(table: pd.DataFrame, request: Request, original: str = "Original", retrained: str = "Retrained") -> pd.DataFrame:
    """What a request for a class of a client did to whom, one row a candidate; all in 0..1.

    ``asked``: accuracy of the asking client on the class; ``over_forgetting``: how far that lies *below* the retrained
    models (negative: above); ``others_class``: mean drop from the original on the class at the other clients, each of
    them counted alike; ``other_classes``: mean drop on all other classes, every client and class counted alike.
    """
    require(
        len(request.clients or ()) == len(request.classes or ()) == 1,
        "side effects are those of a request for one class of one client: fucore.forget.class_of_client(class, client).",
    )
    client, label = *(request.clients or ()), *(request.classes or ())
    lacking = [name for name in (original, retrained) if name not in set(table.candidate)]
    require(not lacking, f"the table has no candidate {lacking[0] if lacking else ''!r}: give it to client_accuracy as well.")
    cells = table.pivot(index="candidate", columns=["client", "label"], values="accuracy").loc[table.candidate.unique()]
    require((client, label) in cells.columns, f"client {client} has no test image of class {label}, so forgetting it cannot be seen there.")
    clients, labels = (cells.columns.get_level_values(level) for level in ("client", "label"))
    drop = cells.loc[original] - cells
    asked = cells[client, label]
    return pd.DataFrame(
        {
            "asked": asked,
            "over_forgetting": asked[retrained] - asked,
            "others_class": drop.loc[:, (clients != client) & (labels == label)].mean(axis=1),
            "other_classes": drop.loc[:, labels != label].mean(axis=1),
        }
    )
