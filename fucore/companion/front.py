"""What the front page shows, from kept results: the idea in one picture, and what was found, in sentences.

Read with the standard library alone, since the front page is rendered where neither torch nor pandas is.
"""

from __future__ import annotations

import csv
import html

from . import grid

CHAPTERS = {
    "memorization": "03_memorization_and_gme",
    "methods": "05_all_methods",
    "ratio": "06_ablations",
    "wild": "12_both_papers",
    "verdicts": "13_papers_beside_reproduction",
}


def idea_picture(name: str = "cifar10", alpha: float = 0.5) -> str:
    """The idea of the book as a table of bars, from the kept grid: what each model still knows of the memorized fifth and of the rest."""
    found = grid.kept(name)
    best = found.closest(alpha)
    models = {
        "original": (grid.ORIGINAL, "knows everything"),
        "retrained: the truth": (None, "never saw the client"),
        "unlearned, too little": ("0", "only trained on, ρ = 0"),
        "unlearned, closest": (f"{best:g}", f"FedMemPrune, ρ = {best:g}"),
        "unlearned, too much": ("1", "everything reset, ρ = 1"),
    }
    truth = _knows(found, alpha, None)
    body = "".join(_bars(model, words, _knows(found, alpha, candidate), truth) for model, (candidate, words) in models.items())
    head = "".join(f'<th scope="col">{part}</th>' for part in ("model", "the memorized fifth", "the common rest", "test images"))
    made = found.record["alphas"][f"{alpha:g}"]
    caption = (
        f"Right answers, in per cent, on a departed client's images and on test images ({grid.NAMES[name]}, α = {alpha:g}, means of "
        f"{made['cases']} clients who left; kept results). The green line is retraining: good unlearning ends at it, everywhere."
    )
    return f'<div class="fu-idea"><table><caption>{html.escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _knows(found: grid.Grid, alpha: float, candidate: str | None) -> list[float]:
    """Accuracy in the memorized fifth, in the rest and on test images, 0..1; of the retrained models if there is no candidate."""
    column = "retrained" if candidate is None else "accuracy"
    rows = [found.rows[alpha, grid.ALL, candidate or grid.ORIGINAL, group][column] for group in grid.GROUPS]
    return [sum(rows[:-1]) / len(rows[:-1]), rows[-1], found.summary[alpha, candidate or grid.RETRAINED]["test_accuracy"]]


def _bars(name: str, words: str, values: list[float], truth: list[float]) -> str:
    cells = "".join(
        f'<td><span class="fu-bar"><i style="width:{100 * value:.0f}%"></i><u style="left:{100 * true:.0f}%"></u></span>{100 * value:.0f}</td>'
        for value, true in zip(values, truth)
    )
    kind = ' class="fu-truth"' if name.startswith("retrained") else ""
    return f'<tr{kind}><th scope="row">{html.escape(name)}<small>{html.escape(words)}</small></th>{cells}</tr>'


def found(alpha: float = 0.5) -> str:
    """What was found, in five sentences with links to the evidence, from kept results."""
    digits, colour = (grid.kept(name) for name in ("digits", "cifar10"))
    with open(grid.RESULTS / "judged_mnist5k.summary.csv", newline="", encoding="utf-8") as file:
        judged = {row["candidate"]: row for row in csv.DictReader(file)}
    knows = [_knows(each, alpha, None) for each in (digits, colour)]
    best = colour.closest(alpha)
    sentences = {
        "memorization": (
            "Forgetting is not failing.",
            f"Models that never saw the departed client are right about {_per_cent(knows[0][1])} (digits) and {_per_cent(knows[1][1])} (CIFAR-10) of what it "
            f"had in common with others, and about {_per_cent(knows[0][0])} and {_per_cent(knows[1][0])} of the memorized fifth. That is what unlearning must end at.",
        ),
        "ratio": (
            "The right pruning ratio belongs to the task.",
            f"Of what was memorized, FedMemPrune at the authors' ρ = 0.4 forgets {_share(judged['FedMemPrune ρ=0.4'])} on the digits, at ρ = 0.6 "
            f"{_share(judged['FedMemPrune ρ=0.6'])}; on CIFAR-10 {_share(colour.summary[alpha, '0.4'])} at 0.4, and nearest to all of it is ρ = {best:g}.",
        ),
        "methods": (
            "To train on is not enough, to start again is too much.",
            f"Fine-tuning forgets {_share(judged['Fine-tuning'])} of it; retraining for as few rounds as unlearning takes loses "
            f"{_share(judged[grid.CONTROL])}, more than only the client had taught, and ends {_points(judged, grid.CONTROL)} points of test accuracy below full retraining "
            f"(FedMemPrune, ρ = 0.6: {_points(judged, 'FedMemPrune ρ=0.6')}).",
        ),
        "wild": (
            "A low accuracy on the class is no proof of forgetting.",
            "Where clients differ in kind, models retrained by everybody keep most of what is to be forgotten, for others teach it too; what falls below them is damaged.",
        ),
        "verdicts": (
            "Claim by claim.",
            "Every table and figure of both papers has a rule, a verdict, and the evidence that it rests on; what two cores cannot decide is called open.",
        ),
    }
    rows = "".join(
        f'<li><a href="../notebooks/{CHAPTERS[key]}.html"><strong>{html.escape(head)}</strong></a> {html.escape(words)}</li>'
        for key, (head, words) in sentences.items()
    )
    return f'<ol class="fu-found">{rows}</ol>'


def _per_cent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _share(row: dict) -> str:
    value, low, high = (100 * float(row[f"forgotten{end}"]) for end in ("", "_low", "_high"))
    return f"{value:.0f} % [{low:.0f}, {high:.0f}]"


def _points(judged: dict, name: str) -> str:
    return f"{100 * (float(judged['Retrained']['test_accuracy']) - float(judged[name]['test_accuracy'])):.1f}"
