"""Figures.  Grey text on a transparent ground, so that they read on light and on dark pages alike."""

from __future__ import annotations

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

INK, GRID = "#7d8590", "#7d859055"
ORIGINAL, RETRAINED, UNLEARNED, DEPARTED = "#7f7f7f", "#009e73", "#0072b2", "#d55e00"  # models; the departed client's own data
COLOURS = (UNLEARNED, DEPARTED, RETRAINED, "#cc79a7", "#e69f00", "#56b4e9", "#8c6d1f", ORIGINAL)
#: Colour and mark of a model in every figure, by how its name begins; whatever has no line here takes the next of ``OTHERS``.
MODELS = {
    "original": (ORIGINAL, "s"),
    "retrain": (RETRAINED, "d"),
    "fedmemprune": (UNLEARNED, "o"),
    "fine-tun": ("#e69f00", "^"),
}
OTHERS = tuple(zip((DEPARTED, "#cc79a7", "#56b4e9", "#8c6d1f"), "vDPX")) + tuple(zip(("#cc79a7", "#56b4e9", "#8c6d1f", DEPARTED), "<>ph"))
MARKS = "osD^vPX"


def looks(names) -> dict[str, tuple[str, str]]:
    """Colour and mark for each of ``names``: those of :data:`MODELS` for the first of a kind, others as long as they last."""
    free, kinds, found = itertools.cycle(OTHERS), dict(MODELS), {}
    for name in names:
        kind = next((kind for kind in kinds if name.lower().startswith(kind)), None)
        found[name] = kinds.pop(kind) if kind else next(free)
    return found


def style() -> None:
    """Use the book's look for every figure of this session; in a notebook, show figures as SVG."""
    ink = ("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color", "axes.edgecolor", "legend.labelcolor")
    plt.rcParams.update(dict.fromkeys(ink, INK))
    plt.rcParams.update(dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor"), "none"))
    plt.rcParams.update({"axes.grid": True, "grid.color": GRID, "grid.linewidth": 0.6, "axes.axisbelow": True, "legend.frameon": False})
    plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.prop_cycle": plt.cycler(color=COLOURS)})
    plt.rcParams.update({"font.size": 10, "axes.titlesize": 11, "legend.fontsize": 9, "legend.title_fontsize": 9})
    plt.rcParams.update({"figure.constrained_layout.use": True, "figure.figsize": (7.2, 3.6)})
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "fucore", "savefig.dpi": 150})
    try:
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        get_ipython()  # noqa: F821  # pyright: ignore[reportUndefinedVariable]  defined in a notebook only
    except (ImportError, NameError):
        return
    set_matplotlib_formats("svg", metadata={"Date": None})


def partition_figure(partition, labels, classes=None):
    """Who holds what: stacked bars of examples per client, and one dot a client and class with area by count."""
    counts = partition.counts(labels)
    clients, kinds = counts.shape
    classes = [str(name) for name in (classes if classes is not None else range(kinds))]
    figure, (bars, dots) = plt.subplots(1, 2, figsize=(9.5, 3.6), width_ratios=(1, 1))
    colours = plt.get_cmap("tab20" if kinds > 10 else "tab10")(np.arange(kinds) % 20)
    bottom = np.zeros(clients)
    for kind in range(kinds):
        bars.bar(range(clients), counts[:, kind], bottom=bottom, color=colours[kind], width=0.8, label=classes[kind])
        bottom += counts[:, kind]
    bars.set(
        xlabel="client", ylabel="training examples", title="how much each client holds", xticks=range(clients) if clients <= 20 else []
    )
    bars.grid(axis="x", visible=False)
    client, kind = np.nonzero(counts)
    dots.scatter(client, kind, s=300 * counts[client, kind] / counts.max(), c=colours[kind], linewidths=0)
    dots.set(
        xlabel="client",
        ylabel="class",
        title="of which class (area: examples)",
        xticks=range(clients) if clients <= 20 else [],
        ylim=(-0.7, kinds - 0.3),
    )
    if kinds <= 26:
        dots.set_yticks(range(kinds), classes)
    return figure


def resolution_figure(scenarios: dict[str, tuple]):
    """Three-dimensional bars as in Huang et al., Figure 2: client, classes it holds, and the size of its images as height.

    ``scenarios``: name to (examples by client and class [clients, classes], pixels a side of each client's images).
    """
    figure, axes = plt.subplots(1, len(scenarios), figsize=(3.4 * len(scenarios), 3.4), subplot_kw={"projection": "3d"})
    for axis, (name, (counts, sizes)) in zip(np.atleast_1d(axes), scenarios.items()):
        clients, classes = np.arange(len(counts)), (counts > 0).sum(axis=1)
        colours = plt.get_cmap("viridis")(np.asarray(sizes) / max(sizes))
        axis.bar3d(clients - 0.35, 0, 0, 0.7, classes, sizes, color=colours, shade=True)
        axis.set(title=name, xlabel="client", ylabel="classes", zlabel="pixels a side", zlim=(0, 36 if max(sizes) <= 36 else None))
        axis.tick_params(labelsize=8.5)
        axis.set_facecolor("none")
        for side in (axis.xaxis, axis.yaxis, axis.zaxis):
            side.set_pane_color((0.5, 0.5, 0.5, 0.06))
    return figure


def holdings_figure(scenarios: dict[str, tuple]):
    """The same in two dimensions: examples by client and class as shades, and beside each client the size of its images."""
    figure, axes = plt.subplots(1, len(scenarios), figsize=(3.4 * len(scenarios), 3.2))
    largest = max(counts.max() for counts, _ in scenarios.values()) ** 0.5
    for axis, (name, (counts, sizes)) in zip(np.atleast_1d(axes), scenarios.items()):
        axis.imshow(np.sqrt(counts), cmap="Blues", aspect="auto", vmin=0, vmax=largest)
        axis.set(title=name, xlabel="class", xticks=range(counts.shape[1]) if counts.shape[1] <= 12 else [])
        axis.set_yticks(range(len(counts)), [f"{client}: {size} px" for client, size in enumerate(sizes)])
        axis.grid(visible=False)
    np.atleast_1d(axes)[0].set_ylabel("client: size of its images")
    return figure


def heat_figure(table, title: str = "", fmt: str = "{:.0f}", vmin=0.0, vmax=100.0, cmap: str = "RdYlBu_r", width: float = 0.62, axis=None):
    """A table of numbers (index: rows) as shades with the numbers in them, in a figure of its own or on ``axis``."""
    values = table.to_numpy(dtype=float)
    axis = axis or plt.subplots(figsize=(2.2 + width * table.shape[1], 1.1 + 0.34 * table.shape[0]))[1]
    axis.imshow(_light(values, cmap, vmin, vmax), aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            axis.text(column, row, fmt.format(value), ha="center", va="center", color="#111", fontsize=9.5)
    axis.set_xticks(range(table.shape[1]), [str(name) for name in table.columns])
    axis.set_yticks(range(table.shape[0]), [str(name) for name in table.index])
    axis.set(title=title, xlabel=table.columns.name or "")
    axis.grid(visible=False)
    return axis.figure


def _light(values, cmap: str, vmin: float, vmax: float):
    """Opaque colours [rows, columns, 3], two thirds of the way from white, so that dark numbers read on light and dark pages; white for NaN."""
    shades = plt.get_cmap(cmap)(plt.Normalize(vmin, vmax)(values))[..., :3]
    return np.where(np.isnan(values)[..., None], 1.0, 1 - 0.65 * (1 - shades))


def pictures_figure(rows: dict, scale: float = 0.75):
    """Rows of small pictures, name to uint8 images [n, C, H, W]."""
    longest = max(len(images) for images in rows.values())
    figure, axes = plt.subplots(len(rows), longest, figsize=(scale * longest + 1.6, scale * len(rows)), squeeze=False)
    for line, (name, images) in zip(axes, rows.items()):
        for axis in line:
            axis.axis("off")
        for axis, image in zip(line, images):
            axis.imshow(image.permute(1, 2, 0).squeeze(-1).numpy() if image.shape[0] == 3 else image[0].numpy(), cmap="gray")
        line[0].text(-0.15, 0.5, name, transform=line[0].transAxes, ha="right", va="center", fontsize=9.5)
    return figure


def dominance_figure(dominance, silenced, layer_of):
    """Units of a client's list: how much each contributes to the class (S), and how much more another client needs it (R)."""
    figure, axis = plt.subplots()
    layers = list(dict.fromkeys(layer_of(unit) for unit, _, _ in dominance))
    for layer, colour, mark in zip(layers, itertools.cycle(COLOURS), itertools.cycle(MARKS)):
        rows = [(ratio, score) for unit, ratio, score in dominance if layer_of(unit) == layer]
        axis.scatter(*zip(*rows), color=colour, marker=mark, s=34, label=f"layer {layer}")
    chosen = [(ratio, score) for unit, ratio, score in dominance if unit in silenced]
    if chosen:
        axis.scatter(*zip(*chosen), facecolors="none", edgecolors=INK, s=120, linewidths=1.3, label="silenced")
    axis.axvline(1, color=INK, linewidth=0.9, linestyle="--")
    axis.set(xlabel="R: largest contribution elsewhere / here   (left of 1: dominant, right: shared)", ylabel="S: contribution here")
    axis.legend()
    return figure


def group_figure(report, axes=None):
    """Accuracy per memorization group: retraining as a band (95 % interval), each candidate as dots with intervals."""
    reference = report.groups[report.groups.candidate == "Retrained"]
    band = reference[["accuracy_low", "accuracy", "accuracy_high"]].to_numpy()
    rows = report.groups[report.groups.candidate != "Retrained"]
    return _by_group(rows, ("accuracy_low", "accuracy", "accuracy_high"), band, "Retrained", "accuracy, %", (-3, 103), axes)


def difference_figure(report, axes=None):
    """Points of accuracy from retraining of each candidate of a ``MethodReport``, by memorization group; in the band nobody would mind."""
    margin = report.groups[report.groups.candidate == "Original"].margin.to_numpy()
    band = np.stack([-margin, 0 * margin, margin], axis=1)
    return _by_group(report.groups, ("low", "difference", "high"), band, "Margin", "accuracy above retraining, points", (None, None), axes)


def _by_group(rows, columns, band, banded, label, limits, axes):
    """Dots with intervals by group, ``columns`` (low, value, high) of ``rows`` in 0..1, on a ``band`` [groups, 3] of the same of retraining."""
    figure, axes = (axes.figure, axes) if axes is not None else plt.subplots(figsize=(8, 3.8), layout="constrained")
    names, candidates = list(rows.group.unique()), list(rows.candidate.unique())
    place = np.arange(len(names))
    for x, (low, value, high) in zip(place, 100 * band):
        axes.fill_between([x - 0.42, x + 0.42], low, high, color=RETRAINED, alpha=0.22, linewidth=0, label="" if x else banded)
        axes.plot([x - 0.42, x + 0.42], [value, value], color=RETRAINED, linewidth=1.5)
    offsets = np.linspace(-0.32, 0.32, len(candidates)) if len(candidates) > 1 else [0.0]
    for offset, (name, (colour, mark)) in zip(offsets, looks(candidates).items()):
        low, value, high = 100 * rows[rows.candidate == name].set_index("group").loc[names, list(columns)].to_numpy().T
        errors = np.stack([value - low, high - value]).clip(min=0)
        axes.errorbar(place + offset, value, yerr=errors, fmt=mark, markersize=5, linewidth=1.2, color=colour, label=name)
    axes.set_xticks(place, names)
    axes.set(xlabel="most memorized  ←  memorization percentile  →  least memorized", ylabel=label, ylim=limits)
    axes.grid(axis="x", visible=False)
    figure.legend(loc="outside right upper")
    return figure


def curves_figure(runs: dict, x: str = "examples"):
    """Test accuracy against ``x`` (``"examples"``, ``"round"`` or ``"seconds"``), one line a run or mean and range of several."""
    labels = {"examples": "training examples processed, thousands", "round": "round", "seconds": "seconds"}
    figure, axes = plt.subplots()
    for (name, several), (colour, mark) in zip(runs.items(), looks(runs).values()):
        several = several if isinstance(several, (list, tuple)) else [several]
        table = pd.concat([pd.DataFrame(run.history).assign(run=i) for i, run in enumerate(several)])
        grid = table.pivot_table(index=table.groupby("run").cumcount(), values=[x, "test_accuracy"], columns="run")
        xs = grid[x].mean(axis=1) / (1000 if x == "examples" else 1)
        accuracy = 100 * grid["test_accuracy"]
        axes.plot(xs, accuracy.mean(axis=1), color=colour, marker=mark, markersize=4, label=name)
        axes.fill_between(xs, accuracy.min(axis=1), accuracy.max(axis=1), color=colour, alpha=0.15, linewidth=0)
    axes.set(xlabel=labels[x], ylabel="test accuracy, %")
    axes.legend()
    return figure


def speed_figure(runs: dict, retrained, columns: int = 3):
    """Test accuracy against examples, one panel a method beside the mean of the retrained models (Wei et al., Figure 3)."""
    rows = -(-len(runs) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3.1 * columns, 1.75 * rows), sharex=True, sharey=True, squeeze=False)
    reference = np.mean([[100 * row["test_accuracy"] for row in run.history] for run in retrained], axis=0)
    spent = [row["examples"] / 1000 for row in retrained[0].history]
    for axis in axes.flat[len(runs) :]:
        axis.axis("off")
    for axis, (name, run) in zip(axes.flat, runs.items()):
        axis.plot(spent, reference, color=RETRAINED, linewidth=1.2)
        curve = [(row["examples"] / 1000, 100 * row["test_accuracy"]) for row in run.history]
        axis.plot(*zip(*curve), color=UNLEARNED, marker="o", markersize=2.5, linewidth=1.2)
        axis.set_title(name, fontsize=9.5)
    figure.supxlabel("training examples processed, thousands (line without dots: retraining)", color=INK, fontsize=10)
    figure.supylabel("test accuracy, %", color=INK, fontsize=10)
    return figure


def pareto_front(gap, accuracy) -> np.ndarray:
    """Mask [n] of the points that no other beats in both a smaller ``gap`` and a higher ``accuracy``."""
    gap, accuracy = np.asarray(gap, dtype=float), np.asarray(accuracy, dtype=float)
    beaten = [((gap <= g) & (accuracy >= a) & ((gap < g) | (accuracy > a))).any() for g, a in zip(gap, accuracy)]
    return ~np.array(beaten)


def pareto_figure(table: pd.DataFrame):
    """Forgetting against utility against cost: ``gap`` and ``test`` in per cent, ``examples`` as area; labelled where nobody is better in both.

    ``table``: one row a method, indexed by name.
    """
    figure, axes = plt.subplots(figsize=(7.2, 4.4))
    front = pareto_front(table.gap, table.test)
    area = 25 + 300 * table.examples / max(1, table.examples.max())
    for mask, colour, mark, label in ((~front, INK, "s", "beaten in both by another"), (front, UNLEARNED, "o", "beaten by none")):
        axes.scatter(table.gap[mask], table.test[mask], s=area[mask], color=colour, marker=mark, alpha=0.65, linewidths=0, label=label)
    on = table[front].sort_values("gap")
    axes.plot(on.gap, on.test, color=UNLEARNED, linewidth=0.8)
    for name, row in table.iterrows():
        axes.annotate(name, (row.gap, row.test), xytext=(4, 4), textcoords="offset points", fontsize=9.5)
    axes.set(xlabel="mean gap to retraining over the groups, points (small: as retrained)", ylabel="test accuracy, %")
    axes.legend(title="area: examples processed", loc="lower right")
    return figure


def images_figure(split, titles, columns: int = 8):
    """A gallery of images with a short title each."""
    count = len(titles)
    rows = -(-count // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(1.15 * columns, 1.45 * rows), squeeze=False)
    for place, axis in enumerate(axes.flat):
        axis.axis("off")
        if place < count:
            image = split.images[place].permute(1, 2, 0).numpy()
            axis.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axis.set_title(titles[place], fontsize=9)
    return figure


def scores_figure(scores: np.ndarray, planted: np.ndarray | None = None):
    """Histogram of memorization scores; planted examples apart."""
    figure, axes = plt.subplots(figsize=(7.2, 3))
    bins = np.linspace(min(-0.5, scores.min()), 1, 41).tolist()
    planted = np.zeros(len(scores), dtype=bool) if planted is None else planted
    axes.hist([scores[~planted], scores[planted]], bins=bins, stacked=True, color=[INK, DEPARTED], label=["as they are", "planted"])
    plt.setp(axes.containers[1], hatch="///", edgecolor="#7d3600", linewidth=0)
    axes.set(xlabel="memorization score s", ylabel="examples", yscale="symlog")
    if planted.any():
        axes.legend()
    return figure
