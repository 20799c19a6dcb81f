"""The book's explorers: what each slider shows, from a run of the notebook or from kept results.

Kept results are read with the standard library alone, since the front page is rendered where neither torch nor pandas is.
"""

from __future__ import annotations

import csv
import html
import itertools
import json
import math
import pathlib
from collections.abc import Callable
from typing import Any

from ..errors import require
from .wall import kept as wall  # noqa: F401  fu.explorers.wall()
from .widgets import CLASS_COLOURS, Explorer, Frame, Held, Row, logarithmic, shown

RESULTS = pathlib.Path(__file__).parent / "results"
INTERVALS = ", with 95 % intervals; scale 0–100 %"
RATIO_KEY = (("#0072b2", "FedMemPrune"), ("#009e73", "retrained"), ("#7d8590", "before unlearning"))
RHO, ALPHA = "pruning ratio ρ", "Dirichlet α"
RATIO_STOPS = tuple(round(0.05 * step, 2) for step in range(21))
ALPHA_STOPS = logarithmic(0.01, 100)
ALPHA_GRID = (0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 100.0, math.inf)
ROWS = {
    "95–100 %": "95–100 %, memorized",
    "90–95 %": "90–95 %",
    "85–90 %": "85–90 %",
    "80–85 %": "80–85 %",
    "0–80 %": "0–80 %, common",
    "test": "test images",
}
FIFTH = "80–100 %"
WORDS = {"too little": "Too little forgotten", "as retraining": "As retraining", "too much": "Too much forgotten", "undecided": "Undecided"}


# ---- kept: pruning ratio by alpha


def kept_ratio_by_alpha() -> dict[tuple[float, str, str], dict[str, Any]]:
    """The kept grid, (alpha, model, group) to its numbers; a model is ``Original`` or a pruning ratio such as ``0.4``."""
    with open(RESULTS / "ratio_by_alpha_cifar10.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    words = ("candidate", "group", "answer")
    numbers: list[dict[str, Any]] = [{key: value if key in words else float(value or "nan") for key, value in row.items()} for row in rows]
    return {(row["alpha"], row["candidate"], row["group"]): row for row in numbers}


def ratio_by_alpha(alpha: float | None = None, compute: Callable[..., Frame] | None = None) -> Explorer:
    """Kept results of FedMemPrune on CIFAR-10: both knobs, or the pruning ratio alone at one of the grid's ``alpha``.

    ``compute``: a function of the knobs that computes a frame with a notebook's own data, for a live kernel.
    Raises ``FucoreError`` for an ``alpha`` that is not on the grid.
    """
    grid = kept_ratio_by_alpha()
    alphas = tuple(sorted({alpha for alpha, _, _ in grid}))
    ratios = tuple(sorted({float(model) for _, model, _ in grid if model != "Original"}))
    require(alpha is None or alpha in alphas, f"alpha is {alpha!r}, but the kept grid has: {', '.join(map(shown, alphas))}.")
    record = json.loads((RESULTS / "ratio_by_alpha_cifar10.json").read_text())
    setting = (
        f" {record['clients']} clients, network {record['model']}, {record['rounds']} rounds, unlearning takes {record['recovery_rounds']};"
        f" mean of {record['leaving']} clients that leave one at a time, {record['retrained']} retrained models each."
    )
    one = alpha is not None
    frames: dict[tuple[float, ...], Frame] = {}
    for ratio, each in itertools.product(ratios, alphas if alpha is None else (alpha,)):
        frames[(ratio,) if one else (ratio, each)] = _kept_frame(grid, each, ratio)
    return Explorer(
        title="A client is forgotten by FedMemPrune: CIFAR-10, 50,000 images" + (f", α = {shown(alpha)}" if one else ""),
        knobs={RHO: ratios} if one else {RHO: ratios, ALPHA: alphas},
        frames=frames,
        start=(0.4,) if one else (0.4, 0.5),
        key=(("#0072b2", "unlearned"), ("#009e73", "retrained"), ("#7d8590", "before unlearning")),
        footnote=f"{INTERVALS}.{setting}",
        compute=compute,
        stops={RHO: RATIO_STOPS, ALPHA: ALPHA_STOPS},
        fresh=("A client is forgotten by FedMemPrune: this notebook's own data", f"{INTERVALS}."),
    )


def _kept_frame(grid: dict, alpha: float, ratio: float) -> Frame:
    model, rows = f"{ratio:g}", []
    for group, label in ROWS.items():
        cell, before = grid[alpha, model, group], grid[alpha, "Original", group]
        value, reference = 100 * cell["accuracy"], 100 * cell["retrained"]
        low, high, least, most = (100 * cell[f"{name}_{side}"] for name in ("accuracy", "retrained") for side in ("low", "high"))
        text = f"{value:.0f} vs {reference:.0f} %"
        rows.append(Row(label, value, low, high, reference, least, most, text, 100 * before["accuracy"]))
    fifth, test = grid[alpha, model, FIFTH], grid[alpha, model, "test"]
    note = (
        f"In the most memorized fifth of the departed clients' images the unlearned models are right about {100 * fifth['accuracy']:.0f} %, "
        f"retrained ones about {100 * fifth['retrained']:.0f} % (one more retrained model in each case: within ±{100 * fifth['bound']:.0f}). "
        f"Test accuracy {100 * test['accuracy']:.1f} against {100 * test['retrained']:.1f} %."
    )
    return Frame(tuple(rows), note, WORDS[fifth["answer"]])


# ---- kept: pruning ratio in many cases of the embedded digits


def ratio_judged(compute: Callable[[float], Frame] | None = None) -> Explorer:
    """Kept results of FedMemPrune in all cases of the embedded reference: the pruning ratio, with answers.

    ``compute``: a function of the ratio that computes a frame with a notebook's own data, for a live kernel.
    """
    with open(RESULTS / "judged_mnist5k.csv", newline="", encoding="utf-8") as file:
        groups = {(row["candidate"], row["group"]): row for row in csv.DictReader(file)}
    with open(RESULTS / "judged_mnist5k.summary.csv", newline="", encoding="utf-8") as file:
        summary = {row["candidate"]: row for row in csv.DictReader(file)}
    record = json.loads((RESULTS / "judged_mnist5k.json").read_text())
    names = {0.0: "Fine-tuning"} | {float(name.partition("=")[2]): name for name in summary if name.startswith("FedMemPrune")}
    cases = f" {record['cases']} cases, {record['seeds']} runs in each, network {record['model']}, {record['rounds']} rounds of unlearning."
    return Explorer(
        title="A client is forgotten by FedMemPrune: embedded digits, many cases together",
        knobs={RHO: tuple(sorted(names))},
        frames={(ratio,): _judged_frame(groups, summary, names[ratio]) for ratio in sorted(names)},
        start=(0.6,),
        key=(("#0072b2", "unlearned"), ("#009e73", "retrained, and the margin"), ("#7d8590", "before unlearning")),
        footnote=f"{INTERVALS}.{cases}",
        compute=compute,
        stops={RHO: RATIO_STOPS},
        fresh=("A client is forgotten by FedMemPrune: this notebook's own data", f"{INTERVALS}."),
    )


def _judged_frame(groups: dict, summary: dict, name: str) -> Frame:
    rows, answers = [], []
    for group, label in ROWS.items():
        if group == "test":
            continue
        row, before = groups[name, group], groups["Original", group]
        known, reference, difference, low, high, margin = (
            100 * float(row[key]) for key in ("accuracy", "retrained", "difference", "low", "high", "margin")
        )
        ends = [min(100.0, max(0.0, reference + end)) for end in (low, high, -margin, margin)]
        text = f"{known:.0f} vs {reference:.0f} % {row['answer']}"
        least, most, lower, upper = ends
        rows.append(Row(label, known, least, most, reference, lower, upper, text, 100 * float(before["accuracy"])))
        if before["answer"] == "≠":
            answers.append("as retraining" if row["answer"] == "=" else "undecided" if row["answer"] == "?" else _way(difference))
    own, retrained = summary[name], summary["Retrained"]
    share = [100 * float(own[f"forgotten{end}"]) for end in ("", "_low", "_high")]
    note = (
        f"Of what there was to forget in the memorized groups, {share[0]:.0f} % is forgotten (95 % interval {share[1]:.0f} to {share[2]:.0f}); "
        f"100 % is as retraining. Test accuracy {100 * float(own['test_accuracy']):.1f} against {100 * float(retrained['test_accuracy']):.1f} %."
    )
    told = {answer for answer in answers if answer.startswith("too")}
    if len(told) == 2:
        return Frame(tuple(rows), note, "Too much here, too little there")
    return Frame(tuple(rows), note, WORDS[told.pop() if told else "as retraining" if set(answers) == {"as retraining"} else "undecided"])


def _way(difference: float) -> str:
    return "too little" if difference > 0 else "too much"


def idea_picture() -> str:
    """The idea of the book as a table of bars, from the kept grid: what each model still knows of the memorized fifth and of the rest."""
    grid = kept_ratio_by_alpha()
    alpha, ratios = _telling_alpha(grid)
    models = {
        "original": ("Original", "knows everything"),
        "unlearned, too little": (ratios["too little"], f"FedMemPrune, ρ = {ratios['too little']}"),
        "unlearned, as retraining": (ratios["as retraining"], f"FedMemPrune, ρ = {ratios['as retraining']}"),
        "unlearned, too much": (ratios["too much"], f"FedMemPrune, ρ = {ratios['too much']}"),
    }
    parts = {"the memorized fifth": FIFTH, "the common rest": "0–80 %", "test images": "test"}
    rows = [(name, words, [grid[alpha, model, group]["accuracy"] for group in parts.values()]) for name, (model, words) in models.items()]
    truth = ("retrained: the truth", "never saw the client", [grid[alpha, "Original", group]["retrained"] for group in parts.values()])
    head = "".join(f'<th scope="col">{name}</th>' for name in ("", *parts))
    body = "".join(_bars(name, words, values, truth[2]) for name, words, values in [rows[0], truth, *rows[1:]])
    caption = (
        f"Right answers, in per cent, on a departed client's images and on test images (CIFAR-10, α = {shown(alpha)}; kept results). "
        "The green line is retraining: good unlearning ends at it, everywhere."
    )
    return f'<div class="fu-idea"><table><caption>{html.escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _telling_alpha(grid: dict) -> tuple[float, dict[str, str]]:
    """(alpha, answer to pruning ratio): the first alpha of the kept grid at which all three answers occur, 0.5 before others."""
    for alpha in sorted({alpha for alpha, _, _ in grid}, key=lambda each: (each != 0.5, each)):
        found = {
            grid[alpha, model, FIFTH]["answer"]: model
            for each, model, group in sorted(grid)
            if each == alpha and group == FIFTH and model != "Original"
        }
        lowest = min(model for each, model, _ in grid if each == alpha and model != "Original")
        if {"too little", "as retraining", "too much"} <= set(found):
            return alpha, {**found, "too little": lowest}
    raise LookupError("the kept grid has no alpha at which too little, enough and too much is forgotten")


def _bars(name: str, words: str, values: list[float], truth: list[float]) -> str:
    cells = "".join(
        f'<td><span class="fu-bar"><i style="width:{100 * value:.0f}%"></i><u style="left:{100 * true:.0f}%"></u></span>{100 * value:.0f}</td>'
        for value, true in zip(values, truth)
    )
    kind = ' class="fu-truth"' if name.startswith("retrained") else ""
    return f'<tr{kind}><th scope="row">{html.escape(name)}<small>{html.escape(words)}</small></th>{cells}</tr>'


# ---- live: a notebook's own runs


def ratio_frame(report, candidate: str) -> Frame:
    """A frame of group accuracies and test accuracy of one candidate of a :class:`~fucore.evaluation.report.Report`."""
    groups = report.groups[report.groups.candidate == candidate]
    before = report.groups[report.groups.candidate == "Original"].set_index("group").accuracy
    summary = report.summary.set_index("candidate")
    rows = []
    for row in groups.itertuples():
        text = f"{100 * row.accuracy:.0f} vs {100 * row.retrained:.0f} %" + f" {row.answer or ''}".rstrip()
        value, low, high = (100 * number for number in (row.accuracy, row.accuracy_low, row.accuracy_high))
        reference, least, most = (100 * number for number in (row.retrained, row.retrained_low, row.retrained_high))
        rows.append(Row(f"group {row.group}", value, low, high, reference, least, most, text, 100 * before[row.group]))
    for name in ("forget", "test"):
        value, reference = (100 * summary.loc[who, f"{name}_accuracy"] for who in (candidate, "Retrained"))
        half, other = (2 * _finite(100 * summary.loc[who, f"{name}_accuracy_std"]) for who in (candidate, "Retrained"))
        low, high, least, most = (max(0.0, min(100.0, end)) for end in (value - half, value + half, reference - other, reference + other))
        text, start = f"{value:.1f} vs {reference:.1f} %", 100 * summary.loc["Original", f"{name}_accuracy"]
        rows.append(Row(f"{name} accuracy", value, low, high, reference, least, most, text, start))
    return Frame(tuple(rows), report.verdict(candidate), _in_a_word(groups))


def _in_a_word(groups) -> str:
    """What a report says of a candidate: too much, too little or both where it differs from retraining, else as retraining or undecided."""
    if groups.answer.isna().any():
        return ""
    off = groups[groups.answer == "≠"]
    over, under = (off.accuracy < off.retrained).any(), (off.accuracy > off.retrained).any()
    if over and under:
        return "Too much here, too little there"
    if over or under:
        return WORDS["too much" if over else "too little"]
    return WORDS["as retraining" if (groups.answer == "=").all() else "undecided"]


def partition_frame(partition, labels, classes, images=None) -> Frame:
    """Who holds what of ``labels`` under a :class:`~fucore.data.partition.Partition`: a bar a client, with its label entropy in bits.

    The note is the mean entropy and the leak audit, pixel by pixel if ``images`` are given.
    """
    counts = partition.counts(labels)
    longest = int(max(counts.sum(axis=1)))
    entropies = [entropy(row) for row in counts.tolist()]
    rows = [
        Held(f"client {client}", tuple(map(int, row)), longest, f"{sum(row)} · {bits:.1f} bits")
        for client, (row, bits) in enumerate(zip(counts.tolist(), entropies))
    ]
    mean = sum(entropies) / len(entropies)
    smallest = min(sum(row) for row in counts.tolist())
    note = (
        f"Labels of a client: {mean:.1f} bits on average, of at most {math.log2(len(classes)):.1f}; "
        f"clients hold {smallest} to {longest} images. {partition.leak_audit(images)}"
    )
    return Frame(tuple(rows), note)


def partition_explorer(make: Callable, labels, classes, images=None, start: float = 0.5) -> Explorer:
    """α alone: who holds what, for partitions ``make(alpha)`` of ``labels``."""
    frame = lambda alpha: partition_frame(make(alpha), labels, classes, images)
    grid = tuple(sorted({*ALPHA_GRID, start}))
    return Explorer(
        title="Who holds what",
        knobs={ALPHA: grid},
        frames={(alpha,): frame(alpha) for alpha in grid},
        start=(start,),
        key=tuple((CLASS_COLOURS[number % len(CLASS_COLOURS)], str(name)) for number, name in enumerate(classes)),
        footnote=" (classes); images and label entropy of each client at the right",
        compute=frame,
        stops={ALPHA: ALPHA_STOPS},
    )


def entropy(counts) -> float:
    """Entropy in bits of the mixture of classes with these counts; 0 for nobody and for one class."""
    total = sum(counts)
    return max(0.0, -sum(count / total * math.log2(count / total) for count in counts if count)) if total else 0.0


def _finite(value: float) -> float:
    return value if value == value else 0.0
