"""A report's numbers in one table with plain columns, and the numbers that are shown as words."""

from __future__ import annotations

import numpy as np
import pandas as pd

#: Columns of ``to_pandas()``; a report has those that its cases allow, and one for each metric by its key, such as ``test_accuracy``.
COLUMNS = {
    "candidate": "name; Original and Retrained are the models that never forgot or never knew",
    "group": "percentiles of the memorization score, from the most memorized",
    "runs": "models behind the row",
    "examples": "forgotten examples in the group, over all cases",
    "accuracy": "share of the group that is classified correctly, 0..1",
    "accuracy_low": "lower end of its 95 % bootstrap interval (one case)",
    "accuracy_high": "upper end of it",
    "retrained": "accuracy of the retrained models, each on groups that it did not define",
    "retrained_low": "lower end of its 95 % bootstrap interval (one case)",
    "retrained_high": "upper end of it",
    "gap": "|accuracy - retrained| (one case)",
    "difference": "accuracy - retrained, mean over originals (several cases)",
    "low": "lower end of the 95 % interval of the difference: of one more retrained model (one case), of the mean (several)",
    "high": "upper end of it",
    "spread": "standard deviation between retrained models (one case)",
    "noise": "mean gap of another retrained model (one case)",
    "bound": "half width of the 95 % prediction interval of one more retrained model (one case)",
    "margin": "difference within which nobody would mind",
    "answer": "=, ≠ or ?, see fucore.evaluation.deciding; none for the retrained models",
    "detectable": "smallest difference that is seen in four of five experiments",
    "forgotten": "share of what there was to forget in the group, 0 as the original, 1 as retraining",
    "forgotten_low": "lower end of its 95 % interval",
    "forgotten_high": "upper end of it",
    "leaked": "share of the group that another client still holds (one case)",
    "originals": "independent originals behind the row (several cases)",
    "cases": "cases behind the row (several cases)",
    "distance": "root mean squared difference to retraining over groups, 0..1 (several cases)",
    "distance_low": "lower end of its 95 % interval",
    "distance_high": "upper end of it",
    "tail_forgotten": "share forgotten in the memorized groups together (several cases)",
    "tail_forgotten_low": "lower end of its 95 % interval",
    "tail_forgotten_high": "upper end of it",
    "test_low": "lower end of the 95 % interval of the difference in test accuracy to retraining (several cases)",
    "test_high": "upper end of it",
    "examples_processed": "forward-backward passes of a run",
    "uploaded": "bytes from clients to the server",
    "downloaded": "bytes from the server to clients",
    "stored": "bytes of stored updates that the method needs",
    "seconds": "wall time of a run",
    "examples_to_target": "passes until test accuracy is within half a point of retraining's best, infinite if never",
    "speed_up": "how many times sooner than retraining that is",
    "speed_up_below": "what the speed-up is surely below where the target was not reached",
}
_OF_SUMMARY = {"examples": "examples_processed"} | {f"forgotten{end}": f"tail_forgotten{end}" for end in ("", "_low", "_high")}


def tidy(groups: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """One row a candidate and group, with what the ``summary`` says of the candidate in each of its rows; columns as in :data:`COLUMNS`."""
    own = groups.drop(columns="runs", errors="ignore")
    return own.merge(summary.rename(columns=_OF_SUMMARY), on="candidate", how="left", validate="many_to_one")


def until(spent: float, budget: float) -> str:
    """Thousands of examples until the target was reached, or more than all that were processed: ``> 37``."""
    return f"{spent / 1000:.0f}" if np.isfinite(spent) else f"> {budget / 1000:.0f}"


def times(speed_up: float, below: float = float("nan")) -> str:
    """A speed-up in words: ``1.9×``; where the accuracy was not reached ``< 2.1×``, if that much is known, or ``never``."""
    return f"{speed_up:.1f}×" if speed_up > 0 else f"< {below:.1f}×" if below > 0 else "never"
