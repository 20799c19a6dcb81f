"""The book's explorers: what the knobs show, from kept results and from a notebook's own runs.

Kept results are read with the standard library alone, since the front page is rendered where neither torch nor pandas is.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from ..errors import FucoreError, require
from . import grid
from .grid import RHO, line
from .holders import ALPHA, ALPHA_STOPS, partition, partition_frame  # noqa: F401  fu.explorers.partition
from .widgets import Explorer, Frame, Knob, Panel, Part, View

RATIO_STOPS = tuple(round(0.05 * step, 2) for step in range(21))
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
        Panel("rows", "Right answers by memorization, in per cent", empty, rows, grid.MARKS),
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
        curves = [curve(each) for each in case.retrained]
        reference = [line("retraining", "reference", [sum(values) / len(values) for values in zip(*curves)])]
        own = [line("unlearning", "own", curve(run))]
    return _of_report(report, candidate) | {"curves.reference": reference, "curves.own": own}


def curve(run) -> list[float]:
    """Test accuracy of a run at the end of each of its rounds, 0..1."""
    return list({row["round"]: row["test_accuracy"] for row in run.history if row["round"] > 0}.values())


def _of_report(report, candidate: str) -> Frame:
    """What the panels of :func:`view` show of one candidate of a report on one case."""
    groups = report.groups
    rows = {name: groups[groups.candidate == name].to_dict("records") for name in (grid.ORIGINAL, candidate)}
    for each in rows.values():
        for row in each:
            row["difference"] = row["accuracy"] - row["retrained"]
    summary = report.summary.set_index("candidate")
    test = {name: 100 * float(summary.test_accuracy[name]) for name in (grid.ORIGINAL, grid.RETRAINED, candidate)}
    spread = 200 * float(summary.test_accuracy_std[grid.RETRAINED])
    near = [test[grid.RETRAINED] - spread, test[grid.RETRAINED] + spread]
    base, own = [grid.reference_row(row) for row in rows[grid.ORIGINAL]], [grid.own_row(row) for row in rows[candidate]]
    word = grid.in_a_word(rows[candidate], rows[grid.ORIGINAL]) if all(row["answer"] for row in rows[candidate]) else ""
    return {
        "say.say": [word, report.verdict(candidate), grid.sign_of(word)],
        "rows.base": [*base, [test[grid.RETRAINED], *near, test[grid.ORIGINAL]]],
        "rows.own": [*own, [test[candidate], test[candidate], test[candidate], ""]],
    }


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
    base = [grid.reference_row(row) for row in rows[grid.ORIGINAL]]
    one = {(name,): [grid.own_row(row) for row in rows[name]] for name in names}
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
            "Right answers by memorization, in per cent",
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
    knobs += (Knob("x", "across", labels, labels[0], "list"), Knob("y", "up", labels, axes.get("test_accuracy", (labels[0],))[0], "list"))
    return Explorer(
        "methods",
        title,
        [View("methods", knobs, panels, "95 % intervals; = as retraining, to within the margin; ≠ different; ? cannot be told.")],
    )


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
    """What the ``work`` of a :class:`~fucore.runs.sweep.Sweep` returned in 0..1: a knob for each parameter that varies, mean and range over the seeds.

    Raises ``FucoreError`` where nothing finished, nothing varies or nothing lies in 0..1.
    """
    table = result.table
    require(len(table) > 0, "the sweep has no finished row to show.")
    points = [name for name in result.parameters if table[name].nunique() > 1 and name != "seed"]
    numeric = [name for name in table if name not in result.parameters and table[name].dtype.kind in "fiu"]
    shares = [name for name in numeric if table[name].between(0, 1).all()]
    require(bool(points) and bool(shares), "an explorer needs a parameter that varies and a result in 0..1, such as an accuracy.")
    knobs = tuple(_knob_of(name, sorted(table[name].unique().tolist())) for name in points)
    frames: dict[tuple, list] = {key: [] for key in itertools.product(*(knob.values for knob in knobs))}  # what failed stays empty
    for key, rows in table.groupby(points, sort=False):
        frames[tuple(key)] = [[100 * rows[name].mean(), 100 * rows[name].min(), 100 * rows[name].max(), ""] for name in shares]
    return Explorer("sweep", title, [_sweep_view(knobs, points, shares, frames)])


def _knob_of(name: str, values: list) -> Knob:
    return Knob(name, name, tuple(values), values[0], "slider" if all(isinstance(value, (int, float)) for value in values) else "list")


def _sweep_view(knobs: tuple[Knob, ...], points: list[str], shares: list[str], frames: dict) -> View:
    done = [frame for frame in frames.values() if frame]
    mean = [sum(frame[place][0] for frame in done) / len(done) for place in range(len(shares))]
    base = Part((), {(): [[value, value, value, None] for value in mean]})
    fixed = {"rows": shares, "own": ["own"], "names": {"own": "this setting"}}
    marks = (("own", "this setting, from the least to the most over its rows"), ("reference", "mean of all settings"))
    return View("sweep", knobs, (Panel("rows", "In per cent", {"base": base, "own": Part(tuple(points), frames)}, fixed, marks),))


def silenced(effects, counts: Sequence[int], total: int, kinds: dict[str, str]) -> Explorer:
    """How many units are silenced, and chosen how: side effects on the asked class and on others.

    ``effects``: of :func:`~fucore.evaluation.clients.side_effects`, rows ``Original``, ``Retrained`` and, for each of ``kinds`` (name of the rows to
    words) and ``counts``, such as ``FedCCCU 2``; ``total``: how many units there are.
    """
    columns = ("asked", "others_class", "other_classes")
    at = lambda name: [100 * float(effects.loc[name, column]) for column in columns]
    base = [[true, true, true, before] for true, before in zip(at("Retrained"), at("Original"))]
    own = {
        (f"{count} of {total}", words): [[value, value, value, ""] for value in at(f"{name} {count}")]
        for name, words in kinds.items()
        for count in counts
    }
    said = {key: ["", _of_silencing(key[1], [row[0] for row in rows], base[0][0]), ""] for key, rows in own.items()}
    labels = tuple(f"{count} of {total}" for count in counts)
    ways = tuple(kinds.values())
    knobs = (Knob("units", "units silenced", labels, labels[len(labels) // 2]), Knob("by", "chosen by", ways, ways[0], "choice"))
    rows = {"rows": ["asked class", "lost elsewhere", "other classes"], "own": ["own"], "names": {"own": "this choice"}, "unit": ""}
    marks = (("own", "this choice"), ("reference", "retrained"), ("start", "before"))
    parts = {"base": Part((), {(): base}), "own": Part(("units", "by"), own)}
    panels = (
        Panel(
            "rows", "Accuracy on the asked class in per cent; points that others lose on it, and all on other classes", parts, rows, marks
        ),
        Panel("say", "In words", {"say": Part(("units", "by"), said)}),
    )
    return Explorer("silenced", "Which units, and how many?", [View("units", knobs, panels)])


def _of_silencing(by: str, values: list[float], retrained: float) -> str:
    asked, elsewhere, others = values
    place = (
        "below retraining: damage, not forgetting"
        if asked < retrained - 2
        else "above retraining"
        if asked > retrained + 2
        else "as retraining"
    )
    return (
        f"Chosen by {by}: {asked:.0f} % on the asked class, {place} ({retrained:.0f} %); "
        f"other clients lose {elsewhere:.0f} points on the class and {others:.0f} on other classes."
    )


def explorer(results, **options) -> Explorer:
    """An explorer of a reader's own results: a report (:func:`methods`) or a sweep (:func:`sweep`)."""
    if hasattr(results, "groups") and hasattr(results, "summary"):
        return methods(results, **options)
    if hasattr(results, "table") and hasattr(results, "failures"):
        return sweep(results, **options)
    raise FucoreError(f"an explorer shows a report (fu.compare) or a sweep (fu.sweep), not {type(results).__name__}.")
