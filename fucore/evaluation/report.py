"""One report for any number of unlearned models: groups, utility, fairness, cost, each beside retraining."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..data.dataset import Split
from ..data.forgetting import Request
from ..errors import require, require_choice
from ..federation.federation import Federation
from ..runs.fingerprint import hash_tensor, plain
from ..runs.run import Run, listed
from . import cost, fairness
from .gme import Judges, assign_groups, group_accuracy, group_names, grouped_memorization


@dataclass(frozen=True, eq=False)
class Report:
    """``groups``: tidy table of :func:`~fucore.evaluation.gme.grouped_memorization`, original and retrained included.

    ``summary``: one row a candidate with test and forget accuracy, their spread over runs, local fairness, cost and
    speed-up.  ``scores``: memorization scores of the forgotten examples, in the order of ``indices``.
    """

    groups: pd.DataFrame
    summary: pd.DataFrame
    indices: np.ndarray
    scores: np.ndarray
    leak: str
    protocol: str
    retrained_models: int

    def table(self) -> pd.DataFrame:
        """Table 1's layout: accuracy (gap) in per cent for each group.

        ``≈``: cannot be told from one more retrained model, in a group where the original model can; ``?``: the test cannot
        tell the original either.  The row of the retrained models shows their own gap and, after ±, the bound of the test.
        """
        columns = {}
        for candidate, rows in self.groups.groupby("candidate", sort=False):
            columns[candidate] = {row.group: cell(row, candidate) for row in rows.itertuples()}
        table = pd.DataFrame(columns).T
        summary = self.summary.set_index("candidate")
        table["forget acc."] = [f"{100 * value:.1f}" for value in summary.forget_accuracy]
        table["test acc."] = [f"{100 * value:.1f}" for value in summary.test_accuracy]
        table["local fairness"] = ["–" if np.isnan(value) else f"{value:.4f}" for value in summary.local_fairness]
        table["examples ×1000"] = [f"{value / 1000:.0f}" for value in summary.examples]
        table["to target ×1000"] = [f"{value / 1000:.0f}" if np.isfinite(value) else "never" for value in summary.examples_to_target]
        table["speed-up"] = ["–" if name == "Original" else times(value) for name, value in summary.speed_up.items()]
        table.index.name = None
        return table

    def plot(self, axes=None):
        """Accuracy in each group with intervals, one colour a candidate, retraining as a band; returns the figure."""
        from ..plots import group_figure  # imported here because figures stand above evaluation

        return group_figure(self, axes)

    def verdict(self, candidate: str) -> str:
        """One sentence: in which groups a candidate can be told from one more retrained model, each tested at 5 %."""
        rows = self.groups[self.groups.candidate == candidate]
        require(len(rows) > 0, f"candidate is {candidate!r}, but must be one of: {', '.join(self.groups.candidate.unique())}.")
        if rows.as_retrained.isna().any():
            return f"{candidate} was not tested against retraining: that needs at least 3 retrained models and cross-fitted groups."
        differs = [row.group for row in rows.itertuples() if not row.as_retrained]
        agrees = [row.group for row in rows.itertuples() if row.as_retrained and row.conclusive]
        open_ = [row.group for row in rows.itertuples() if row.as_retrained and not row.conclusive]
        parts = [
            f"{word} in {len(groups)} of {len(rows)} groups ({', '.join(groups)})"
            for word, groups in (("differs", differs), ("agrees", agrees), ("is undecided", open_))
            if groups
        ]
        return f"{candidate} against retraining: {'; '.join(parts)}."

    def save(self, stem) -> None:
        """Write ``<stem>.groups.csv``, ``<stem>.summary.csv`` and ``<stem>.json`` (everything, with the scores)."""
        stem = pathlib.Path(stem)
        stem.parent.mkdir(parents=True, exist_ok=True)
        self.groups.to_csv(stem.with_name(stem.name + ".groups.csv"), index=False)
        self.summary.to_csv(stem.with_name(stem.name + ".summary.csv"), index=False)
        record = {"protocol": self.protocol, "retrained_models": self.retrained_models, "leak_audit": self.leak}
        record |= {
            "groups": json.loads(self.groups.to_json(orient="records")),
            "summary": json.loads(self.summary.to_json(orient="records")),
        }
        record |= {"indices": self.indices.tolist(), "scores": self.scores.tolist()}
        stem.with_name(stem.name + ".json").write_text(json.dumps(record, indent=1) + "\n")

    @property
    def legend(self) -> str:
        """How to read the table, with the sizes of the groups."""
        first = self.groups[self.groups.candidate == "Original"]
        sizes = ", ".join(map(str, first.examples))
        return (
            f"Accuracy in per cent in groups of {sizes} forgotten examples, from the most to the least memorized (percentiles of the score), and in brackets the gap to retraining.\n"
            "≈ cannot be told from one more retrained model, where the original can; ? too few examples or models to tell even the original.\n"
            "Row Retrained: gap of another retrained model, ± largest gap that could be one. Local fairness: 0 is even. "
            "To target: examples until test accuracy is within half a point of retraining's best, counted from the last reset on. Speed-up: to that target, against retraining.\n"
            f"{self.retrained_models} retrained models, {self.protocol} groups. {self.leak}"
        )

    def __repr__(self) -> str:
        return f"{self.table().to_string()}\n{self.legend}"

    def _repr_html_(self) -> str:
        table, groups = self.table(), self.groups.group.nunique()
        note = self.legend.replace("\n", " ")
        return f"{table.iloc[:, :groups].to_html(border=0)}{table.iloc[:, groups:].to_html(border=0)}<p><small>{note}</small></p>"


def compare(
    candidates: dict[str, Run | Sequence[Run]],
    original: Run,
    retrained: Sequence[Run],
    request: Request,
    *,
    protocol: str = "cross-fitted",
    fairness_kind: str = "mad",
    bootstrap: int = 1000,
    seed: int = 0,
) -> Report:
    """Judge unlearned runs against retraining.

    ``candidates``: name to one run, or several runs of one method (other seeds).  ``retrained``: K >= 2 runs without the
    request, K >= 4 recommended.  The original and the retrained models appear as rows of their own.  See
    :func:`~fucore.evaluation.gme.grouped_memorization` for the numbers.

    Raises ``FucoreError`` if runs do not belong to one federation or if a "retrained" run saw the forgotten examples.
    """
    require(isinstance(original, Run), "original must be one run: compare(candidates, original, retrained, request).")
    require(isinstance(candidates, dict), "candidates must be a dict of names to runs, such as {'my method': run}.")
    require(not isinstance(retrained, Run), "retrained must be a list of runs: federation.without(request).train_many(...).")
    federation = original.federation
    require(federation is not None, "the original run does not know its federation: train it again (from the store).")
    retrained = list(retrained)
    without = federation.without(request)
    _check_retrained(retrained, without)
    if original.config.get("rounds") != retrained[0].config["rounds"]:
        warnings.warn("the original and the retrained models were trained for different numbers of rounds.", stacklevel=2)
    groups_of = {"Original": [original], "Retrained": retrained} | listed(candidates)
    for name, runs in listed(candidates).items():
        for run in runs:
            _check_candidate(name, run, original, request)
    clash = {"Original", "Retrained"} & set(candidates)
    require(not clash, f"{', '.join(clash)} is a reserved name: call your candidate something else.")
    indices = federation.forgotten(request)
    forgotten = federation.data.train.take(indices)
    judges, hits = judge_examples(
        federation, original, retrained, forgotten, {name: runs for name, runs in groups_of.items() if name != "Retrained"}
    )
    groups = grouped_memorization(judges, hits, protocol=protocol, bootstrap=bootstrap, seed=seed)
    held_by_others = np.isin(indices, np.concatenate(without.clients.indices))
    leaked = dict(zip(group_names(len(indices)), group_accuracy(held_by_others, assign_groups(judges.scores), groups.group.nunique())))
    groups["leaked"] = groups.group.map(leaked)
    groups = pd.concat([_retrained_rows(groups), groups], ignore_index=True)
    groups["order"] = groups.candidate.map({name: place for place, name in enumerate(groups_of)})
    groups = groups.sort_values("order", kind="stable").drop(columns="order").reset_index(drop=True)
    before = fairness.client_losses(without, original.weights)
    summary = pd.DataFrame(
        [_summary(name, runs, federation, without, before, retrained, forgotten, fairness_kind) for name, runs in groups_of.items()]
    )
    return Report(groups, summary, indices, judges.scores, str(federation.leak_audit), protocol, len(retrained))


def judge_examples(
    federation: Federation, original: Run, retrained: Sequence[Run], split: Split, candidates: dict[str, Sequence[Run]]
) -> tuple[Judges, dict[str, np.ndarray]]:
    """(judges, name to hits [runs, m]) of all models on ``split``."""

    def look(run):
        probabilities = federation.probabilities(run.weights, split)
        return probabilities[np.arange(len(split)), split.labels].numpy(), (probabilities.argmax(1) == split.labels).numpy()

    references = [look(run) for run in retrained]
    judges = Judges(*look(original), np.stack([p for p, _ in references]), np.stack([hit for _, hit in references]))
    return judges, {name: np.stack([look(run)[1] for run in runs]) for name, runs in candidates.items()}


def _summary(name, runs, federation, without, before, retrained, forgotten, kind):
    require_choice("fairness_kind", kind, fairness.KINDS)
    test = np.array([federation.evaluate(run.weights)[0] for run in runs])
    forget = np.array([federation.evaluate(run.weights, forgotten)[0] for run in runs])
    fair = [fairness.local_fairness(before, fairness.client_losses(without, run.weights), kind) for run in runs]
    row = {"candidate": name, "runs": len(runs), "test_accuracy": test.mean(), "test_accuracy_std": _std(test)}
    row |= {
        "forget_accuracy": forget.mean(),
        "forget_accuracy_std": _std(forget),
        "local_fairness": float("nan") if name == "Original" else float(np.mean(fair)),
    }
    for unit in ("examples", "uploaded", "downloaded", "stored", "seconds"):
        row[unit] = float(np.mean([getattr(run.cost, unit) for run in runs]))
    target = cost.target_accuracy(retrained)
    row["examples_to_target"] = float(np.median([cost.time_to_accuracy(run, target) for run in runs]))
    return row | {"speed_up": 1.0 if name == "Retrained" else float("nan") if name == "Original" else cost.speed_up(runs, retrained)}


def _check_retrained(retrained: list[Run], without: Federation) -> None:
    """Refuse references that are none: trained elsewhere, otherwise, from a given start, or one run given twice."""
    require(len(retrained) > 0, "compare needs retrained runs: federation.without(request).train_many(...).")
    expected = {key: value for key, value in plain(without.config).items() if key not in ("model_fingerprint", "code", "torch")}
    for run in retrained:
        same = {key: run.config.get(key) for key in expected} == expected and run.config["start"] is None
        require(
            same, "a run given as retrained was not trained from a new start in federation.without(request), so it cannot be the reference."
        )
    require(
        len({run.config["rounds"] for run in retrained}) == 1,
        "the retrained runs were trained for different numbers of rounds, so they are not one reference.",
    )
    require(
        len({hash_tensor(run.weights) for run in retrained}) == len(retrained),
        "the same retrained run is given twice: train with different seeds.",
    )


def _check_candidate(name: str, run: Run, original: Run, request: Request) -> None:
    """Refuse to judge a model unlearned from another original or for another request."""
    if "method" not in run.config:
        return
    require(
        run.config["original"] == hash_tensor(original.weights), f"{name} was unlearned from another original model than the one given."
    )
    require(run.config["request"] == plain(dataclasses.asdict(request)), f"{name} was unlearned for another request than {request}.")


def _retrained_rows(groups: pd.DataFrame) -> pd.DataFrame:
    """Rows for the retrained models themselves: their gap is the noise floor."""
    rows = groups[groups.candidate == groups.candidate.iloc[0]].copy()
    rows["candidate"] = "Retrained"
    rows[["accuracy", "accuracy_low", "accuracy_high"]] = rows[["retrained", "retrained_low", "retrained_high"]]
    rows["gap"] = rows["noise"]
    rows[["difference_low", "difference_high"]] = np.nan
    rows["as_retrained"] = None
    return rows


def cell(row, candidate: str) -> str:
    """One entry of a table: accuracy (gap) and mark, in per cent; for the retrained models the bound of the test after ±."""
    gap = "" if np.isnan(row.gap) else f" ({100 * row.gap:.1f})"
    if candidate == "Retrained":
        return f"{100 * row.accuracy:.1f}{gap}" + ("" if np.isnan(row.bound) else f" ±{100 * row.bound:.0f}")
    mark = "" if not row.as_retrained else " ≈" if row.conclusive else " ?"
    return f"{100 * row.accuracy:.1f}{gap}{mark}"


def times(speed_up: float) -> str:
    """A speed-up in words: ``1.9×``, or ``never`` where the accuracy was not reached."""
    return f"{speed_up:.1f}×" if speed_up > 0 else "never"


def _std(values: np.ndarray) -> float:
    """Sample standard deviation over runs, NaN for a single one."""
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")
