"""One thing changed at a time: settings trained and judged, and their rows beside the kept ones in tables, numbers and figures.

The rows of this module are those of :meth:`Ablation.rows` or of a kept table such as ``ablations_cifar10-10k``: one a
``setting``, ``candidate`` and memorization ``group`` of ``size`` examples, with the columns of
:func:`~fucore.evaluation.gme.grouped_memorization` and, repeated for each group, those of a report's summary.
Accuracies in rows are in 0..1; what functions return is in per cent or in percentage points.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..data.dataset import Dataset
from ..data.forgetting import Request
from ..errors import require_choice
from ..evaluation.comparing import compare
from ..evaluation.deciding import DIFFERENT, answered
from ..evaluation.report import Report, cell
from ..federation.federation import Federation
from ..plots import COLOURS, RETRAINED
from ..runs.run import Run
from .grid import CONTROL, NAMES, Grid
from .grid import RETRAINED as RETRAINED_MODELS
from .params import Parameters
from .widgets import shown

FINE_TUNING = "Fine-tuning"
_SUMMARY = ["candidate", "test_accuracy", "forget_accuracy", "local_fairness", "examples", "examples_to_target", "speed_up"]


def fedmemprune(ratio: float | str) -> str:
    """The name in tables of FedMemPrune with a ``ratio`` in 0..1 or ``"auto"``: ``FedMemPrune 40%``."""
    return f"FedMemPrune {ratio if isinstance(ratio, str) else format(ratio, '.0%')}"


@dataclass(eq=False)
class Ablation:
    """Settings on one data set, each with its own original, retrained models and unlearned ones, by name.

    ``p`` says how all of them are trained, but for who holds what and who leaves; ``bootstrap``: draws of the intervals.
    ``reports``: setting to report; ``runs``: setting to model to runs, the retrained ones under ``"Retrained"``.
    """

    p: Parameters
    data: Dataset
    bootstrap: int = 1000
    reports: dict[str, Report] = field(default_factory=dict)
    runs: dict[str, dict[str, list[Run]]] = field(default_factory=dict)

    def judge(self, setting: str, federation: Federation, request: Request, ratios: Iterable, fine_tuning: bool = False) -> Report:
        """Train and retrain one setting, unlearn with each of the ``ratios`` (and by fine-tuning alone), and keep the report under its name."""
        case = self.p.case(federation, request)
        candidates = {fedmemprune(ratio): self.p.unlearn("fedmemprune", case, ratio=ratio) for ratio in ratios}
        if fine_tuning:
            candidates[FINE_TUNING] = self.p.unlearn("fine-tune", case)
        self.reports[setting] = compare(candidates, case, bootstrap=self.bootstrap)
        self.runs[setting] = {"Retrained": list(case.retrained), **candidates}
        return self.reports[setting]

    def rows(self, *settings: str) -> pd.DataFrame:
        """The rows of some settings, in this order; raises ``FucoreError`` for one that was not judged."""
        parts = []
        for setting in settings:
            report = self.reports[require_choice("setting", setting, list(self.reports))]
            groups = report.groups.rename(columns={"examples": "size"})
            parts.append(groups.merge(report.summary[_SUMMARY], on="candidate").assign(setting=setting))
        return pd.concat(parts, ignore_index=True)

    def curves_figure(self, panels: dict[str, tuple[str, str]]):
        """Test accuracy against examples processed, retraining and unlearning; ``panels``: title to (setting, model)."""
        import matplotlib.pyplot as plt

        columns = 4 if len(panels) == 4 else min(3, len(panels))
        rows = -(-len(panels) // columns)
        figure, axes = plt.subplots(rows, columns, figsize=(2.6 * columns, 2.5 * rows), sharey=True, squeeze=False)
        for axis, (title, (setting, model)) in zip(axes.flat, panels.items()):
            _curves(axis, self.runs[setting]["Retrained"], RETRAINED, "retraining")
            _curves(axis, self.runs[setting][model], COLOURS[0], model.partition(" ")[0])
            axis.set(title=title, xlabel="examples, thousands")
        axes[0, 0].set_ylabel("test accuracy, %")
        axes[0, 0].legend(fontsize=9.5)
        return figure


def _curves(axis, runs: Sequence[Run], colour: str, label: str) -> None:
    """One line a run, without the moments between a method's stages, which are not trained."""
    for run in runs:
        history = [row for row in run.history if "stage" not in row]
        spent, accuracy = [row["examples"] / 1000 for row in history], [100 * row["test_accuracy"] for row in history]
        axis.plot(spent, accuracy, color=colour, linewidth=1.2, label=label if run is runs[0] else None)


# ---- numbers


def of(kept: pd.DataFrame, part: str, settings: Iterable[str]) -> pd.DataFrame:
    """The rows of a kept table that belong to some settings of one ``part`` (what was changed)."""
    return kept[(kept.part == part) & kept.setting.isin(list(settings))]


def mean_gap(rows: pd.DataFrame, setting: str, model: str) -> float:
    """Mean absolute gap of a model to retraining over the groups, in points; NaN if the setting has no such model."""
    rows = _model(rows, setting, model)
    return 100 * float((rows.accuracy - rows.retrained).abs().mean())


def noise(rows: pd.DataFrame, setting: str) -> float:
    """The gap of one more retrained model, mean over the groups, in points: smaller gaps mean nothing."""
    return 100 * float(_model(rows, setting, "Retrained").noise.mean())


def known(rows: pd.DataFrame, setting: str) -> float:
    """Accuracy of the original on the departed client's examples, in per cent: what can be forgotten at all."""
    rows = _model(rows, setting, "Original")
    return 100 * float(np.average(rows.accuracy, weights=rows["size"]))


def facts(rows: pd.DataFrame, models: dict[str, str]) -> pd.DataFrame:
    """What can be said of one model of each setting (``models``: setting to model), one row a setting.

    ``gap`` and ``original``: mean gaps of the model and of the original, in points; ``told``: whether there is a group in which the
    original can be told from a retrained model; ``alike``: whether the model cannot be, wherever the original can;
    ``speed_up``: how many times sooner than retraining, 0 for never.
    """
    rows, result = answered(rows, by=["setting"]), []
    for setting, model in models.items():
        mine = _model(rows, setting, model)
        told = mine[_model(rows, setting, "Original").answer.to_numpy() == DIFFERENT]
        alike, speed_up = bool((told.answer != DIFFERENT).all()), mine.speed_up.fillna(0).iloc[0]
        row = {"gap": mean_gap(rows, setting, model), "original": mean_gap(rows, setting, "Original")}
        result.append(row | {"alike": alike, "told": len(told) > 0, "speed_up": float(speed_up)})
    return pd.DataFrame(result, index=list(models))


def _model(rows: pd.DataFrame, setting: str, model: str) -> pd.DataFrame:
    return rows[(rows.setting == setting) & (rows.candidate == model)]


# ---- tables and sentences


def cells(rows: pd.DataFrame, measured: Sequence[str] = ("test",)) -> pd.DataFrame:
    """Accuracy (gap) by memorization group and the accuracies ``measured`` on other images, in per cent: one row a setting and model."""
    result = {}
    for (setting, model), groups in answered(rows, by=["setting"]).groupby(["setting", "candidate"], sort=False):
        row = {group.group: cell(group, model) for group in groups.itertuples()}
        result[setting, model] = row | {name: f"{100 * groups[f'{name}_accuracy'].iloc[0]:.1f}" for name in measured}
    return pd.DataFrame(result).T.fillna("–")


def table(rows: pd.DataFrame, caption: str):
    """:func:`cells` with a caption, as pages show it."""
    name = "".join(letter for letter in caption[:4] + rows.setting.iloc[0] if letter.isalnum())
    return cells(rows).style.set_caption(caption).set_uuid(name)


def gaps_in_words(seen: pd.DataFrame) -> str:
    """The gaps of :func:`facts`, beside the original's."""
    return "mean gaps " + ", ".join(f"{row.Index} {row.gap:.0f} (original {row.original:.0f})" for row in seen.itertuples())


def nearness(seen: pd.DataFrame) -> dict[str, float]:
    """The statistics of a claim that a method stays near retraining, from :func:`facts`."""
    return {
        "settings that can be told from retraining": int((~seen.alike).sum()),
        "largest gap as a share of the original's": float((seen.gap / seen.original).max()),
    }


def summary(rows: pd.DataFrame, models: dict[str, str]) -> str:
    """In how many groups and settings something can be said (``models``: setting to model)."""
    rows, seen = answered(rows, by=["setting"]), facts(rows, models)
    original = rows[rows.candidate == "Original"]
    told, nearer = int((original.answer == DIFFERENT).sum()), int((seen.gap < seen.original).sum())
    return (
        f"groups in which the original can be told from retraining: {told} of {len(original)}; "
        f"FedMemPrune is nearer to retraining than the original in {nearer} of {len(models)} settings."
    )


# ---- figures


def ratio_figure(sides: dict[str, pd.DataFrame], ratios: Sequence[float]):
    """Gap to retraining against the share reset, one line a group; ``sides``: title to the rows of one setting."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(sides), figsize=(9.5, 3.2))
    for axis, (title, rows) in zip(axes, sides.items()):
        for part, colour in zip(rows.group.unique(), COLOURS):
            group = rows[rows.group == part].set_index("candidate")
            gaps = 100 * (group.accuracy - group.retrained).abs()
            axis.plot([100 * ratio for ratio in ratios], [gaps[fedmemprune(ratio)] for ratio in ratios], "o-", color=colour, label=part)
        axis.set(xlabel="parameters reset, %", title=title)
    axes[0].set_ylabel("gap to retraining, points")
    axes[-1].legend(title="memorization group", fontsize=9.5)
    return figure


def levels_figure(sides: dict[str, pd.DataFrame], levels: Sequence[str], colours: dict[str, str]):
    """Mean gap to retraining by level, one line a model that the rows have; the band is what one more retrained model shows.

    ``sides``: title to rows; ``levels``: settings from left to right; ``colours``: model to colour, in the order of the legend.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(sides), figsize=(9.5, 3.2), sharey=True)
    places = range(len(levels))
    for axis, (title, rows) in zip(axes, sides.items()):
        floor = [noise(rows, level) for level in levels]
        axis.fill_between(places, 0, floor, color=RETRAINED, alpha=0.2, linewidth=0, label="one more retrained model")
        for model, colour in colours.items():
            if model in set(rows.candidate):
                axis.plot([mean_gap(rows, level, model) for level in levels], "o-", color=colour, label=model)
        axis.set(ylabel="mean gap to retraining, points", ylim=(0, None), title=title)
        axis.set_xticks(places, [level.replace("α = ", "") for level in levels])
    axes[-1].legend(fontsize=9.5)
    return figure


def at_equal_forgetting(grid: Grid, alpha: float) -> str:
    """The ratio that forgets most nearly what retraining forgets: how much, at what accuracy, how soon, and beside retraining for as few rounds."""
    ratio = grid.closest(alpha)
    own, retrained = (100 * grid.summary[alpha, name]["test_accuracy"] for name in (shown(ratio), RETRAINED_MODELS))
    speed, report = grid.speed_up(alpha, ratio), grid.report(alpha)
    soon = f"retraining's accuracy is reached {speed:.1f} times sooner" if speed else "retraining's accuracy is not reached in these rounds"
    told = report.closer(shown(ratio), CONTROL).replace(f"{shown(ratio)} ", f"ρ = {shown(ratio)} ", 1)
    return (
        f"- **{NAMES[grid.name]}, α = {shown(alpha)}**: ρ = {shown(ratio)} forgets {grid.forgotten(alpha, ratio)} of it, with a test accuracy of {own:.1f} % "
        f"against {retrained:.1f} %; {soon}. Beside retraining for as few rounds: {told}."
    )
