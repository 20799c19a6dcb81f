"""Tables and words of the chapters on clients of different sources: what a request did to whom."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..data.domains import Domains

#: Columns of :func:`fucore.evaluation.clients.side_effects` as tables call them.
EFFECTS = {
    "asked": "client's class",
    "over_forgetting": "below retraining",
    "others_class": "drop of the class elsewhere",
    "other_classes": "drop of other classes",
}
#: Up to so much more or less accuracy on the client's class than retrained models have counts as equal.
AS_RETRAINING = 0.05


def summary(everyone: pd.DataFrame, effects: pd.DataFrame) -> pd.DataFrame:
    """One row a candidate, in per cent and points: global accuracy and its half range beside the side effects."""
    accuracy = everyone.rename(columns={"mean": "all test images", "half_range": "±"})
    return 100 * pd.concat([accuracy, effects.rename(columns=EFFECTS).loc[everyone.index]], axis=1)


def shaded(table: pd.DataFrame):
    """A :func:`summary` as a page shows it, damage in orange."""
    damage = list(EFFECTS.values())[1:]
    shown = table.style.set_uuid("routes").format("{:.1f}", na_rep="–")
    return shown.background_gradient(subset=damage, cmap="Oranges", vmin=0, vmax=60)


def on_class(table: pd.DataFrame, label: int) -> pd.DataFrame:
    """Accuracy on a class in per cent, candidates by clients that have test images of it.

    ``table``: of :func:`fucore.evaluation.clients.client_accuracy`.
    """
    rows = table[table.label == label]
    return 100 * rows.pivot(index="candidate", columns="client", values="accuracy").loc[table.candidate.unique()]


def by_class(table: pd.DataFrame, clients: Sequence[int]) -> pd.DataFrame:
    """Accuracy of some ``clients`` in per cent, (client, label) by candidates: the layout of Huang et al., Tables 7 and 8."""
    rows = table[table.client.isin(clients)]
    return 100 * rows.pivot(index=["client", "label"], columns="candidate", values="accuracy")[table.candidate.unique()]


def tested(table: pd.DataFrame) -> pd.Series:
    """Test images by client and label, as the accuracies of ``table`` rest on them."""
    return table[table.candidate == table.candidate.iloc[0]].set_index(["client", "label"]).examples


def client_names(wild: Domains, counts: pd.Series) -> list[str]:
    """Names of clients over three lines: number, source, and test images, which ``counts`` has by client."""
    return [f"{client}\n{wild.names[wild.domain_of[client]].split()[0]}\nn={count}" for client, count in counts.items()]


def cell_names(wild: Domains, counts: pd.Series) -> list[str]:
    """Names of rows of :func:`by_class`: client, class, and test images, which ``counts`` has by client and label."""
    return [f"client {client} · {wild.data.classes[label]} · n={count}" for (client, label), count in counts.items()]


def one_of_each(wild: Domains, client: int) -> list[int]:
    """The client, and the first of each source that is not its own."""
    own = wild.domain_of[client]
    return [client, *(int(np.flatnonzero(wild.domain_of == domain)[0]) for domain in range(len(wild.names)) if domain != own)]


def in_words(effect: pd.Series) -> str:
    """What a row of :func:`fucore.evaluation.clients.side_effects` means: more, less or as much forgotten as by retraining."""
    below = effect.over_forgetting
    word = "as retraining" if abs(below) <= AS_RETRAINING else "over-forgets" if below > 0 else "forgets less than retraining"
    return f"{word} ({100 * below:+.0f} points below retraining), costs others {100 * effect.others_class:.0f} points on the class"


def largest_change(cells: pd.DataFrame, candidate: str, client: int) -> float:
    """The change of a class from "Original" to ``candidate`` that is largest in size among the clients other than ``client``, in points.

    ``cells``: of :func:`on_class`.
    """
    change = (cells.loc[candidate] - cells.loc["Original"]).drop(client)
    return float(change[change.abs().idxmax()])
