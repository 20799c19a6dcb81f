"""The book's explorers: what the knobs show, from kept results and from a notebook's own runs.

Kept results are read with the standard library alone, since the front page is rendered where neither torch nor pandas is.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence

from ..errors import FucoreError, require
from . import grid
from .grid import ALPHA, RHO, held_row, line, of_report
from .widgets import Explorer, Frame, Knob, Panel, Part, View, logarithmic

RATIO_STOPS = tuple(round(0.05 * step, 2) for step in range(21))
ALPHA_STOPS = logarithmic(0.01, 100)
ALPHA_GRID = (0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 100.0, math.inf)
KEPT, LIVE = "kept results of", "this notebook's data"


# ---- both knobs


def both(compute: Callable[..., Frame] | None = None, *, compact: bool = False) -> Explorer:
    """ρ × α from the kept grids of CIFAR-10 and of the embedded digits.

    ``compute(rho, alpha)``: a frame of a notebook's own data (:func:`ratio_frame`), for a live kernel.  ``compact``: without curves and images.
    """
    views = [grid.view(name, compact=compact) for name in grid.NAMES]
    knobs = (Knob("rho", RHO, RATIO_STOPS, 0.4), Knob("alpha", ALPHA, ALPHA_STOPS, 0.5))
    return Explorer(
        "ratio-by-alpha" + ("-compact" if compact else ""),
        "A client is forgotten by FedMemPrune",
        [*views, *_live(knobs, compute)],
        KEPT,
        compact,
    )


def ratio(name: str = "digits", alpha: float = 0.5, compute: Callable[..., Frame] | None = None) -> Explorer:
    """ρ alone, at one α of the kept grid ``name``; ``compute(rho)`` as in :func:`both`.

    Raises ``FucoreError`` for an unknown grid and for an ``alpha`` that is not on it.
    """
    return Explorer(
        f"ratio-{name}",
        "A client is forgotten by FedMemPrune",
        [grid.view(name, alpha), *_live((Knob("rho", RHO, RATIO_STOPS, 0.4),), compute)],
        KEPT,
    )


def _live(knobs: tuple[Knob, ...], compute: Callable[..., Frame] | None) -> list[View]:
    """The view that a live notebook computes on its own data."""
    if compute is None:
        return []
    by = tuple(knob.key for knob in knobs)
    empty = {"base": Part(by, {}), "own": Part(by, {})}
    rows = {"rows": [*grid.GROUPS.values(), grid.TEST], "own": ["own"], "names": {"own": "unlearned"}}
    panels = (
        Panel("say", "The answer", {"say": Part(by, {})}),
        Panel("rows", "Right answers on the client's images, by memorization, in per cent", empty, rows, grid.MARKS),
        Panel(
            "curves",
            "Test accuracy by rounds",
            {"reference": Part(by, {}), "own": Part(by, {})},
            {"x": 0, "y": [0, 100], "label": "rounds"},
        ),
    )
    return [View(LIVE, knobs, panels, "Computed here, one case; 95 % intervals of one more retrained model.", guess=True, compute=compute)]


def ratio_frame(report, candidate: str, case=None, run=None) -> Frame:
    """What the explorers show of one candidate of a :class:`~fucore.evaluation.report.Report`; with curves if its ``case`` and ``run`` are given."""
    reference, own = [], []
    if case is not None and run is not None:
        curve = lambda each: list({row["round"]: row["test_accuracy"] for row in each.history if row["round"] > 0}.values())
        curves = [curve(each) for each in case.retrained]
        reference = [line("retraining", "reference", [sum(values) / len(values) for values in zip(*curves)])]
        own = [line("unlearning", "own", curve(run))]
    return of_report(report, candidate) | {"curves.reference": reference, "curves.own": own}


# ---- who holds what


def partition_frame(partition, labels, images=None, leaving: Sequence[int] = ()) -> Frame:
    """Who holds what of ``labels`` under a :class:`~fucore.data.partition.Partition`, with each client's label entropy in bits.

    In words: the mean entropy, and the leak audit, pixel by pixel if ``images`` are given.
    """
    counts = [list(map(int, row)) for row in partition.counts(labels).tolist()]
    rows = [held_row(f"client {client}", row, client in leaving) for client, row in enumerate(counts)]
    mean, sizes = sum(map(grid.entropy, counts)) / len(counts), [sum(row) for row in counts]
    note = (
        f"Labels of a client: {mean:.1f} bits on average, of at most {math.log2(len(counts[0])):.1f}; clients hold {min(sizes)} to {max(sizes)} images. "
        f"{partition.leak_audit(images)}"
    )
    return {"held.held": rows, "say.say": ["", note, ""]}


def partition(make: Callable, labels, classes, images=None, start: float = 0.5, leaving: Sequence[int] = ()) -> Explorer:
    """α alone: who holds what, for partitions ``make(alpha)`` of ``labels``; who is ``leaving`` is marked."""
    values = tuple(sorted({*ALPHA_GRID, start}))
    compute = lambda alpha: partition_frame(make(alpha), labels, images, leaving)
    frames = {alpha: compute(alpha) for alpha in values}
    part = lambda name: Part(("alpha",), {(alpha,): frame[name] for alpha, frame in frames.items()})
    panels = (
        Panel("held", "Images of each client by class", {"held": part("held.held")}, {"classes": list(map(str, classes))}),
        Panel("say", "In words", {"say": part("say.say")}),
    )
    knob = Knob("alpha", ALPHA, values, start, stops=ALPHA_STOPS)
    presets = {"almost one class a client": {"alpha": 0.01}, "as in the papers": {"alpha": 0.5}, "even": {"alpha": math.inf}}
    presets = {name: setting for name, setting in presets.items() if setting["alpha"] in values}
    note = (
        "A bar is a client, as long as it holds images; at the right, how many, and the entropy of its labels: 0 bits for a single class."
    )
    return Explorer("partition", "Who holds what", [View("partition", (knob,), panels, note, presets, compute=compute)])


# ---- two methods side by side, and a reader's own results

AXES = {
    "distance": ("distance to retraining, points", 100),
    "forgotten": ("share forgotten φ", 1),
    "forget_accuracy": ("accuracy on the forgotten, %", 100),
    "test_accuracy": ("test accuracy, %", 100),
    "local_fairness": ("local fairness", 1),
    "examples": ("examples processed, thousands", 0.001),
    "uploaded": ("uploaded, MB", 1e-6),
    "seconds": ("seconds", 1),
}


def methods(report, title: str = "Two methods side by side", start: Sequence[str] = ()) -> Explorer:
    """Any two candidates of a report, group by group, and all of them on any two axes; ``start``: the two shown first.

    ``report``: a :class:`~fucore.evaluation.report.Report` or :class:`~fucore.evaluation.several.MethodReport`.
    Raises ``FucoreError`` if it has fewer than two candidates.
    """
    names = [name for name in report.summary.candidate if name not in (grid.ORIGINAL, grid.RETRAINED)]
    require(len(names) > 1, "two methods are needed to put them side by side: give fu.compare(...) of several candidates.")
    first, second = start or names[:2]
    rows = {name: report.groups[report.groups.candidate == name].to_dict("records") for name in (grid.ORIGINAL, *names)}
    base = [
        [100 * row["retrained"], *(100 * (row["retrained"] + sign * row["margin"]) for sign in (-1, 1)), 100 * row["accuracy"]]
        for row in rows[grid.ORIGINAL]
    ]
    one = {(name,): [_mark(row) for row in rows[name]] for name in names}
    columns = report.summary.set_index("candidate")
    axes = {key: each for key, each in AXES.items() if key in columns}
    if "distance" not in axes:
        gaps = {name: sum(abs(row["accuracy"] - row["retrained"]) for row in each) / len(each) for name, each in rows.items()}
        columns, axes = columns.assign(gap=gaps), {"gap": ("mean gap to retraining, points", 100)} | axes
    points = [
        {"name": name, "reference": name == grid.RETRAINED}
        | {key: scale * float(columns.loc[name, key]) for key, (_, scale) in axes.items()}
        for name in (*names, grid.RETRAINED)
    ]
    points[-1] |= {"distance": 0.0, "forgotten": 1.0, "gap": 0.0}  # what all others are measured by
    labels = tuple(label for label, _ in axes.values())
    fixed = {"axes": [{"key": key, "label": label} for key, (label, _) in axes.items()], "points": points, "closer": _closer(report, names)}
    groups = {"rows": [grid.GROUPS.get(row["group"], row["group"]) for row in rows[grid.ORIGINAL]], "own": ["a", "b"], "names": {}}
    marks = (("a", "first"), ("b", "second"), *grid.MARKS[1:])
    panels = (
        Panel(
            "rows",
            "Right answers on the forgotten, by memorization, in per cent",
            {"base": Part((), {(): base}), "a": Part(("a",), one), "b": Part(("b",), one)},
            groups,
            marks,
        ),
        Panel(
            "dots",
            "All methods: touch one to make it the first",
            {},
            fixed,
            (("a", "first"), ("b", "second"), ("other", "others"), ("reference", "retrained")),
        ),
    )
    knobs = (Knob("a", "first method", tuple(names), first, "list"), Knob("b", "second method", tuple(names), second, "list"))
    knobs += (Knob("x", "across", labels, labels[0], "list"), Knob("y", "up", labels, columns_label(axes), "list"))
    return Explorer(
        "methods",
        title,
        [View("methods", knobs, panels, "95 % intervals; = as retraining, to within the margin; ≠ different; ? cannot be told.")],
    )


def columns_label(axes: dict) -> str:
    """The axis shown upwards first."""
    return axes["test_accuracy"][0] if "test_accuracy" in axes else next(iter(axes.values()))[0]


def _mark(row: dict) -> list:
    ends = [row["low"], row["high"]]
    if not all(map(math.isfinite, ends)):
        ends = [row["accuracy"] - row["retrained"]] * 2
    return [100 * row["accuracy"], *(100 * (row["retrained"] + end) for end in ends), row["answer"] or ""]


def _closer(report, names: list[str]) -> dict[str, dict[str, str]]:
    """Who is surely closer to retraining than whom, where the report can tell."""
    if not hasattr(report, "closest"):
        return {}
    beaten = report.closest().set_index("candidate").beaten_by
    wins = {name: set(beaten[name].split("; ")) for name in names}
    return {
        one: {other: "<" if one in wins[other] else ">" for other in names if one in wins[other] or other in wins[one]} for one in names
    }


def sweep(result, title: str = "What the sweep found") -> Explorer:
    """The rows of a :class:`~fucore.runs.sweep.Sweep` whose ``work`` returned shares in 0..1: a knob for each parameter that varies."""
    table = result.table
    require(len(table) > 0, "the sweep has no finished row to show.")
    numeric = [name for name in table if table[name].dtype.kind in "fiu"]
    shares = [name for name in numeric if table[name].between(0, 1).all() and table[name].nunique() > 1 and not name.startswith("seed")]
    points = [name for name in table if name not in shares and table[name].nunique() > 1 and name != "seed"]
    shares = [name for name in shares if name not in points]
    require(bool(points) and bool(shares), "an explorer needs a parameter that varies and a result in 0..1, such as an accuracy.")
    knobs = tuple(_knob_of(name, sorted(table[name].unique().tolist())) for name in points)
    frames, held = {}, table.groupby(points, sort=False)
    for values, rows in held:
        key = tuple(values) if isinstance(values, tuple) else (values,)
        frames[key] = [[100 * rows[name].mean(), 100 * rows[name].min(), 100 * rows[name].max(), ""] for name in shares]
    return Explorer("sweep", title, [_sweep_view(knobs, points, shares, frames)])


def _knob_of(name: str, values: list) -> Knob:
    return Knob(name, name, tuple(values), values[0], "slider" if all(isinstance(value, (int, float)) for value in values) else "list")


def _sweep_view(knobs: tuple[Knob, ...], points: list[str], shares: list[str], frames: dict) -> View:
    mean = [sum(frame[place][0] for frame in frames.values()) / len(frames) for place in range(len(shares))]
    base = Part((), {(): [[value, value, value, None] for value in mean]})
    fixed = {"rows": shares, "own": ["own"], "names": {"own": "this setting"}}
    marks = (("own", "this setting, from the least to the most over its rows"), ("reference", "mean of all settings"))
    return View("sweep", knobs, (Panel("rows", "In per cent", {"base": base, "own": Part(tuple(points), frames)}, fixed, marks),))


def explorer(results, **options) -> Explorer:
    """An explorer of a reader's own results: a report (:func:`methods`) or a sweep (:func:`sweep`)."""
    if hasattr(results, "groups") and hasattr(results, "summary"):
        return methods(results, **options)
    if hasattr(results, "table") and hasattr(results, "failures"):
        return sweep(results, **options)
    raise FucoreError(f"an explorer shows a report (fu.compare) or a sweep (fu.sweep), not {type(results).__name__}.")


# ---- the idea in one picture


def idea_picture(name: str = "cifar10", alpha: float = 0.5) -> str:
    """The idea of the book as a table of bars, from the kept grid: what each model still knows of the memorized fifth and of the rest."""
    found = grid.kept(name)
    away = lambda ratio: abs(1 - found.summary[alpha, f"{ratio:g}"]["forgotten"])
    best = min(found.ratios, key=away)
    models = {
        "original": (grid.ORIGINAL, "knows everything"),
        "retrained: the truth": (None, "never saw the client"),
        "unlearned, too little": ("0", "only trained on, ρ = 0"),
        "unlearned, closest": (f"{best:g}", f"FedMemPrune, ρ = {best:g}"),
        "unlearned, too much": ("1", "everything reset, ρ = 1"),
    }
    truth = _knows(found, alpha, None)
    body = "".join(_bars(model, words, _knows(found, alpha, candidate), truth) for model, (candidate, words) in models.items())
    head = "".join(f'<th scope="col">{part}</th>' for part in ("", "the memorized fifth", "the common rest", "test images"))
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
