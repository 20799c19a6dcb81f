"""Who holds what: a panel of the explorers, and α alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .widgets import Explorer, Frame, Knob, Panel, Part, View, logarithmic

ALPHA = "Dirichlet α"
ALPHA_STOPS = logarithmic(0.01, 100)
ALPHA_GRID = (0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 100.0, math.inf)


def held_row(name: str, counts: list[int], leaving: bool = False) -> dict:
    """One client of the panel ``held``: how many images of each class, and the entropy of its labels in bits."""
    return {"name": name, "counts": counts, "text": f"{sum(counts)} · {entropy(counts):.1f} bits", "leaving": leaving}


def entropy(counts) -> float:
    """Entropy in bits of the mixture of classes with these counts; 0 for nobody and for one class."""
    total = sum(counts)
    return max(0.0, -sum(count / total * math.log2(count / total) for count in counts if count)) if total else 0.0


def partition_frame(partition, labels, images=None, leaving: Sequence[int] = ()) -> Frame:
    """Who holds what of ``labels`` under a :class:`~fucore.data.partition.Partition`, with each client's label entropy in bits.

    In words: the mean entropy, and the leak audit, pixel by pixel if ``images`` are given.
    """
    counts = [list(map(int, row)) for row in partition.counts(labels).tolist()]
    rows = [held_row(f"client {client}", row, client in leaving) for client, row in enumerate(counts)]
    mean, sizes = sum(map(entropy, counts)) / len(counts), [sum(row) for row in counts]
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
