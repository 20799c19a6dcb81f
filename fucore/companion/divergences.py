"""Where papers and public code differ from what they describe: each as a small computation that can be checked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from ..errors import require
from ..evaluation.gme import Judges, assign_groups_as_published, group_accuracy
from ..evaluation.judging import judge_examples
from ..federation.case import Case
from ..federation.engine import one_thread
from ..federation.units import Units

#: Columns of the printed tables with accuracy in the groups that are called memorized.
GROUPS = ("g95_100", "g90_95", "g85_90", "g80_85")
#: std / mean of (0, v, v) is 1 / sqrt(2): what rounds to it in tables with two decimals.
ONE_ZERO = (0.705, 0.715)


def spread_ratios(table: pd.DataFrame) -> np.ndarray:
    """Printed std / mean of the retrained models in every memorized group of a printed table, float64 [cells].

    Cells whose mean or std is missing, or whose mean is 0, are left out.
    """
    rows = table[table.row.str.contains("Retrained")]
    ratios = np.array([rows[f"{group}_std"] / rows[group].replace(0, np.nan) for group in GROUPS], dtype=float)
    return ratios[np.isfinite(ratios)]


def one_is_zero(ratios: np.ndarray) -> np.ndarray:
    """Which of the ratios std / mean are those of three values of which one is 0 and the others are alike, bool."""
    return (ratios > ONE_ZERO[0]) & (ratios < ONE_ZERO[1])


def groups_as_published(judges: Judges) -> np.ndarray:
    """Groups [m] as the public code makes them, from the last retrained model alone; -1 for the examples it drops."""
    return assign_groups_as_published(judges.original - judges.retrained[-1])


def top_as_published(judges: Judges) -> np.ndarray:
    """Accuracy of each retrained model in the top group that the last of them defines, float64 [K] in 0..1; NaN if nobody is in it."""
    return group_accuracy(judges.retrained_hits, groups_as_published(judges), 1)[:, 0]


def top_cross_fitted(judges: Judges) -> np.ndarray:
    """Accuracy of each retrained model in the top group that the others define, float64 [K] in 0..1."""
    return np.array([hits[judges.groups_without(k) == 0].mean() for k, hits in enumerate(judges.retrained_hits)])


def top_examples(case: Case) -> set[int]:
    """Positions of the 5 % most memorized among a case's departed examples, at least one."""
    scores = judge_examples(case, {})[0].scores
    return set(np.argsort(-scores, kind="stable")[: max(1, len(scores) // 20)].tolist())


def leak(case: Case) -> dict[str, float]:
    """What a leak of the departed client's examples to others does to a case; per cent, per cent, and a score.

    Raises ``FucoreError`` unless the request is for one client.
    """
    asked = list(case.request.clients or ())
    require(len(asked) == 1, "a leak is told of one client: the case's request must be for one, such as fu.forget.client(0).")
    scores = judge_examples(case, {})[0].scores
    accuracy = [case.federation.evaluate(run.weights, case.departed)[0] for run in case.retrained]
    return {
        "held by others too": 100 * case.federation.clients.leak_audit().by_index[list(asked)].item(),
        "retrained, accuracy on the forgotten": 100 * float(np.mean(accuracy)),
        "mean memorization score of the top 5 %": float(np.sort(scores)[-max(1, len(scores) // 20) :].mean()),
    }


def held_by_others(share: float, clients: int = 10) -> float:
    """Share of a client's examples that somebody else holds as well, if each client draws ``share`` of all independently."""
    return 1 - (1 - share) ** (clients - 1)


def expected_accuracy(leaked: float, test_accuracy: float) -> float:
    """Accuracy on the forgotten, in per cent, of a retrained model that knows what others hold and is on the rest as on test images."""
    return 100 * leaked + (1 - leaked) * test_accuracy


def clients_with(block: tuple[float, ...], table: pd.DataFrame) -> list[str]:
    """Clients of the printed Table 6 of Huang et al. that have a ``block``'s accuracies (before, delete, relabel, zeroing) on class 0."""
    alike = np.isclose(table[["original", "delete", "relabel", "zeroing"]], block).all(axis=1)
    return table.client[alike].tolist()


def last_layer(module: torch.nn.Module, examples: int = 64) -> tuple[float, float, float]:
    """(effect, once, twice) of a network's last layer with units on P(class 0), means over random images 1 x 4 x 4.

    ``effect``: what silencing the layer takes from P; ``once`` and ``twice``: what its contributions sum to if the activation
    enters once, and if it enters outside of the integral as well as through its bound.
    """
    units, inputs = Units(module), torch.rand(examples, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    weights, last = units.net.weights.clone(), range(units.starts[-1], len(units))
    with one_thread():  # many small steps: more threads only wait for each other
        silenced = units.probabilities(weights, inputs, silent=last)
        effect = units.probabilities(weights, inputs)[:, 0] - silenced[:, 0]
        once = units.attributions(weights, inputs, torch.zeros(examples, dtype=torch.long), steps=200)[:, last]
        twice = once * units.activations(weights, inputs)[:, last]
    return float(effect.mean()), float(once.sum(dim=1).mean()), float(twice.sum(dim=1).mean())
