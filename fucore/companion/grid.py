"""The kept grid of pruning ratio by Dirichlet alpha, as views of an explorer; made by ``book/results/ratio_by_alpha.py``.

Read with the standard library alone, since the front page is rendered where neither torch nor pandas is.
"""

from __future__ import annotations

import csv
import functools
import json
import math
import pathlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..errors import require, require_choice
from .holders import ALPHA, held_row
from .widgets import Knob, Panel, Part, View, shown

RESULTS = pathlib.Path(__file__).parent / "results"
NAMES = {"cifar10": "CIFAR-10", "digits": "embedded digits"}
ALL, ONE = "all cases", "one case"
ORIGINAL, RETRAINED, CONTROL = "Original", "Retrained", "Retraining, same rounds"
GROUPS = {
    "95–100 %": "top 5 %",
    "90–95 %": "next 5 %",
    "85–90 %": "next 5 %",
    "80–85 %": "next 5 %",
    "0–80 %": "common 80 %",
}
TEST = "test images"
RHO = "pruning ratio ρ"
MARKS = (("own", "unlearned"), ("reference", "retrained, with the margin"), ("start", "before unlearning"))
LITTLE, AS, MUCH, OPEN, MIXED = (
    "Too little forgotten",
    "As retraining",
    "Too much forgotten",
    "Undecided",
    "Too much here, too little there",
)
#: How the sheets of images are laid out.
SHEET = {"columns": 12, "rows": 8}


@dataclass(frozen=True)
class Grid:
    """``rows``: (alpha, judged on, candidate, group) to numbers; ``summary``: (alpha, candidate) to numbers; ``rounds``: (alpha, candidate)
    to test accuracies; ``holders``: alpha to rows; ``walls``: alpha to a sheet of images; ``record``: where it comes from."""

    name: str
    rows: dict[tuple[float, str, str, str], dict]
    summary: dict[tuple[float, str], dict]
    rounds: dict[tuple[float, str], list[float]]
    holders: dict[float, list[dict]]
    walls: dict[float, dict]
    record: dict

    @property
    def alphas(self) -> tuple[float, ...]:
        return tuple(sorted(self.walls))

    @property
    def ratios(self) -> tuple[float, ...]:
        return tuple(sorted({float(candidate) for _, candidate in self.summary if candidate[0].isdigit()}))

    def group(self, alpha: float, judged: str, ratio: float) -> list[dict]:
        """The rows of one setting, a group each, the most memorized first."""
        return [self.rows[alpha, judged, shown(ratio), group] for group in GROUPS]

    def answer(self, alpha: float, judged: str, ratio: float) -> str:
        """What is said of one setting: only groups count in which the original itself is surely not as retraining, and the common one."""
        return in_a_word(self.group(alpha, judged, ratio), [self.rows[alpha, judged, ORIGINAL, group] for group in GROUPS])

    def closest(self, alpha: float) -> float:
        """The ratio whose share forgotten is nearest to that of retraining."""
        return min(self.ratios, key=lambda ratio: abs(1 - self.summary[alpha, shown(ratio)]["forgotten"]))

    def report(self, alpha: float):
        """The :class:`~fucore.evaluation.several.MethodReport` of one alpha; candidates are ratios and ``CONTROL``."""
        from ..evaluation.several import MethodReport
        from . import results

        tables = (results.table(f"ratio_by_alpha_{self.name}{suffix}") for suffix in ("", ".summary", ".cases"))
        return MethodReport(*(rows[rows.alpha == alpha].drop(columns="alpha").reset_index(drop=True) for rows in tables))

    def speed_up(self, alpha: float, ratio: float) -> float:
        """How many times sooner than retraining: the median of the cases, 0 if that is never as good."""
        value = self.summary[alpha, shown(ratio)]["speed_up"]
        return value if math.isfinite(value) else 0.0

    def forgotten(self, alpha: float, ratio: float):
        """The share of what was memorized that is forgotten, an :class:`~fucore.evaluation.deciding.Estimate`."""
        from ..evaluation.deciding import Estimate  # needs scipy, which is not everywhere where grids are read

        return Estimate(*(self.summary[alpha, shown(ratio)][f"forgotten{end}"] for end in ("", "_low", "_high")))

    def table(self):
        """Answers and shares forgotten, a row a ratio and a column an alpha, in words; a pandas Styler."""
        import pandas as pd

        def said(alpha: float, ratio: float) -> str:
            share = self.forgotten(alpha, ratio)
            return f"{self.answer(alpha, ALL, ratio)}: {share}" if math.isfinite(share.value) else "Nothing to forget"

        cells = {f"α = {shown(alpha)}": [said(alpha, ratio) for ratio in self.ratios] for alpha in self.alphas}
        rows = [f"ρ = {shown(ratio)}" for ratio in self.ratios]
        caption = f"{NAMES[self.name]}: what is said, and the share of what was memorized that is forgotten with its 95 % interval (1: as by retraining)"
        return pd.DataFrame(cells, index=rows).style.set_uuid(f"answers_{self.name}").set_caption(caption)


def in_a_word(own: list[dict], before: list[dict]) -> str:
    """Too little, too much, or as retraining, from rows with ``answer`` and ``difference``, the last of them that of the common rest."""
    counted = [row for row, original in zip(own, before) if original["answer"] == "≠"] + [own[-1]]
    ways = {row["difference"] > 0 for row in counted if row["answer"] == "≠"}
    if len(ways) == 2:
        return MIXED
    if ways:
        return LITTLE if ways.pop() else MUCH
    return AS if len(counted) > 1 and all(row["answer"] == "=" for row in counted) else OPEN


@functools.cache
def kept(name: str) -> Grid:
    """The kept grid ``cifar10`` or ``digits``."""
    require_choice("grid", name, list(NAMES))
    rows = {(row["alpha"], ALL, row["candidate"], row["group"]): row for row in _read(name, "")}
    for row in _read(name, ".one"):
        if row["candidate"] != RETRAINED:
            rows[row["alpha"], ONE, row["candidate"], row["group"]] = row | {"difference": row["accuracy"] - row["retrained"]}
    rounds: dict[tuple[float, str], list[float]] = {}
    for row in _read(name, ".rounds"):
        rounds.setdefault((row["alpha"], row["candidate"]), []).append(row["test_accuracy"])
    holders: dict[float, list[dict]] = {}
    for row in _read(name, ".holders"):
        holders.setdefault(row["alpha"], []).append(row)
    files = (f"ratio_by_alpha_{name}.walls.json", f"ratio_by_alpha_{name}.json")
    walls, record = (json.loads((RESULTS / file).read_text(encoding="utf-8")) for file in files)
    summary = {(row["alpha"], row["candidate"]): row for row in _read(name, ".summary")}
    return Grid(name, rows, summary, rounds, holders, {float(alpha): sheet for alpha, sheet in walls.items()}, record)


def _read(name: str, suffix: str) -> list[dict[str, Any]]:
    words = ("candidate", "group", "answer", "class", "leaving")
    with open(RESULTS / f"ratio_by_alpha_{name}{suffix}.csv", newline="", encoding="utf-8") as file:
        return [{key: value if key in words else float(value or "nan") for key, value in row.items()} for row in csv.DictReader(file)]


# ---- views


def view(name: str, alpha: float | None = None, *, compact: bool = False, compute=None) -> View:
    """The grid ``name`` under both knobs, or under ρ alone at one ``alpha``; ``compact``: no curves and no images.

    Raises ``FucoreError`` for an ``alpha`` that is not on the grid.
    """
    grid = kept(name)
    require(alpha is None or alpha in grid.alphas, f"alpha is {alpha!r}, but the kept grid has: {', '.join(map(shown, grid.alphas))}.")
    alphas = grid.alphas if alpha is None else (alpha,)
    by = ("alpha",) if alpha is None else ()
    at = lambda value: (value,) if alpha is None else ()
    knobs = [Knob("rho", RHO, grid.ratios, 0.4), *([Knob("alpha", ALPHA, alphas, 0.5)] if alpha is None else [])]
    judged = Knob("judged", "judged on", (ALL,) if compact else (ALL, ONE), ALL, "choice")
    settings = [(ratio, each, mode) for ratio in grid.ratios for each in alphas for mode in judged.values]
    own = lambda make: Part(
        ("rho", *by, "judged"), {(ratio, *at(each), mode): make(grid, ratio, each, mode) for ratio, each, mode in settings}
    )
    of_alpha = lambda make: Part(by, {at(each): make(grid, each) for each in alphas})
    of_ratio = lambda make: Part(("rho", *by), {(ratio, *at(each)): make(grid, ratio, each) for ratio in grid.ratios for each in alphas})
    base = Part((*by, "judged"), {(*at(each), mode): _base(grid, each, mode) for each in alphas for mode in judged.values})
    panels = [
        Panel("say", "The answer", {"say": own(_say)}),
        Panel(
            "rows",
            "Right answers by memorization, in per cent",
            {"base": base, "own": own(_own)},
            {"rows": [*GROUPS.values(), TEST], "own": ["own"], "names": {"own": "unlearned"}},
            MARKS,
        ),
    ]
    classes = next(iter(grid.walls.values()))["classes"]
    if alpha is None:
        panels.append(Panel("held", "Who holds what (of one case)", {"held": of_alpha(_held)}, {"classes": classes}))
    if not compact:
        panels.append(
            Panel(
                "curves",
                "Test accuracy by rounds: recovery beside retraining",
                {"reference": of_alpha(_retraining), "own": of_ratio(_recovery)},
                {"x": grid.record["rounds"], "y": _range(grid, alphas), "label": "rounds"},
            )
        )
        sheet, right = (
            of_alpha(lambda grid, each: {key: value for key, value in grid.walls[each].items() if key != "right"}),
            of_ratio(_right),
        )
        panels.append(Panel("wall", "Images of one client who left, the most memorized first", {"sheet": sheet, "right": right}, SHEET))
    presets = {"only fine-tune": {"rho": 0.0}, "the paper's ratio": {"rho": 0.4}, "reset everything": {"rho": 1.0}}
    if alpha is None and not compact:
        presets |= {"nearly one class a client": {"alpha": min(alphas)}, "even": {"alpha": math.inf}}
    return View(NAMES[name], (*knobs, judged), tuple(panels), _note(grid, alphas), presets, guess=True, compute=compute)


def _note(grid: Grid, alphas: Iterable[float]) -> str:
    made, counts = grid.record, [grid.record["alphas"][f"{alpha:g}"] for alpha in alphas]
    many = lambda key: " to ".join(map(str, sorted({min(each[key] for each in counts), max(each[key] for each in counts)})))
    return (
        f"Kept results: {made['clients']} clients, network {made['model']}, {made['rounds']} rounds of training, {made['recovery']} of unlearning. "
        f"All cases: {many('cases')} clients who left, one at a time, of {many('originals')} originals for each α, "
        f"{many('retrained')} retrained models for each; 95 % intervals. = as retraining, to within the margin; ≠ different; ? more cases would have to tell."
    )


def reference_row(row: dict) -> list:
    """One row of the part ``base`` of the panel ``rows``, from a row of the original model: retrained with its margin, and before; in per cent."""
    middle, margin = row["retrained"], row["margin"]
    return [100 * middle, 100 * (middle - margin), 100 * (middle + margin), 100 * row["accuracy"]]


def own_row(row: dict) -> list:
    """One row of a part of the panel ``rows``: accuracy, its interval and the answer, from a difference to retraining with its interval; in per cent."""
    ends = [row["low"], row["high"]]
    if not all(map(math.isfinite, ends)):
        ends = [row["accuracy"] - row["retrained"]] * 2
    return [100 * row["accuracy"], *(100 * (row["retrained"] + end) for end in ends), row["answer"] or ""]


def sign_of(word: str) -> str:
    """The sign of what is said in a word."""
    return {AS: "=", OPEN: "?"}.get(word, "≠")


def _base(grid: Grid, alpha: float, mode: str) -> list:
    found = [reference_row(grid.rows[alpha, mode, ORIGINAL, group]) for group in GROUPS]
    retrained, before = (100 * grid.summary[alpha, name]["test_accuracy"] for name in (RETRAINED, ORIGINAL))
    return [*found, [retrained, retrained, retrained, before] if mode == ALL else None]


def _own(grid: Grid, ratio: float, alpha: float, mode: str) -> list:
    rows = [own_row(row) for row in grid.group(alpha, mode, ratio)]
    own, retrained = (grid.summary[alpha, name] for name in (shown(ratio), RETRAINED))
    ends = [100 * (retrained["test_accuracy"] + own[f"test_{end}"]) for end in ("low", "high")]
    return [*rows, [100 * own["test_accuracy"], *ends, ""] if mode == ALL else None]


def _say(grid: Grid, ratio: float, alpha: float, mode: str) -> list[str]:
    word = grid.answer(alpha, mode, ratio)
    if mode == ONE:
        examples = sum(int(row["examples"]) for row in grid.group(alpha, ONE, ratio))
        return [
            word,
            f"One client, {examples} images: an interval is where one more retrained model would lie, so few groups can be told.",
            sign_of(word),
        ]
    own, retrained = (grid.summary[alpha, name] for name in (shown(ratio), RETRAINED))
    share = [100 * own[f"forgotten{end}"] for end in ("", "_low", "_high")]
    said = (
        f"Of what only the departed data had taught, {share[0]:.0f} % is gone (95 % interval {share[1]:.0f} to {share[2]:.0f}); by retraining, 100 %. "
        if all(map(math.isfinite, share))
        else "At this α there was hardly anything that only the departed data had taught. "
    )
    return [
        word,
        f"{said}Test accuracy {100 * own['test_accuracy']:.1f} %, retrained {100 * retrained['test_accuracy']:.1f} %.",
        sign_of(word),
    ]


def _held(grid: Grid, alpha: float) -> list[dict]:
    by_client: dict[int, list[dict]] = {}
    for row in grid.holders[alpha]:
        by_client.setdefault(int(row["client"]), []).append(row)
    return [
        held_row(f"client {client}", [int(row["images"]) for row in rows], rows[0]["leaving"] == "True")
        for client, rows in by_client.items()
    ]


def _retraining(grid: Grid, alpha: float) -> list[dict]:
    return [line("retraining", "reference", grid.rounds[alpha, RETRAINED])]


def _recovery(grid: Grid, ratio: float, alpha: float) -> list[dict]:
    return [line("unlearning", "own", grid.rounds[alpha, shown(ratio)])]


def line(name: str, style: str, accuracies: Iterable[float]) -> dict:
    """One line of the panel ``curves``: test accuracy, given in 0..1, after each round from the first on."""
    return {"name": name, "style": style, "points": [[done, 100 * value] for done, value in enumerate(accuracies, start=1)]}


def _range(grid: Grid, alphas: Iterable[float]) -> list[float]:
    values = [value for (alpha, _), each in grid.rounds.items() if alpha in alphas for value in each]
    return [10 * math.floor(10 * min(values)), min(100, 10 * math.ceil(10 * max(values)))]


def _right(grid: Grid, ratio: float, alpha: float) -> str:
    return grid.walls[alpha]["right"][shown(ratio)]
