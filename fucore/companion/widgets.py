"""Explorers: knobs over a grid of results, the same in the rendered page and in a live notebook.

An :class:`Explorer` holds what its panels show at each setting of the knobs.  In a page it is plain HTML with its data and its
script inside, so it needs no kernel and no network; in Jupyter with a kernel the same script is an anywidget, which asks for
settings that the grid lacks.  The script and the look are ``explorer.js`` and ``explorer.css``.

Nothing here needs torch: pages without a kernel are rendered where there is none.
"""

from __future__ import annotations

import functools
import html
import itertools
import json
import math
import os
import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import require
from .live import finite, serve

FOLDER = pathlib.Path(__file__).parent
EXPORT = "export default { render };"
KINDS = ("say", "rows", "held", "curves", "wall", "dots")
#: Of one setting: ``"kind.part"`` of a panel to what it shows.
Frame = dict[str, Any]


@dataclass(frozen=True)
class Knob:
    """What a reader turns: ``key`` in links and in ``Part.by``, ``name`` in words, its ``values``, and where it starts.

    ``kind``: ``slider``, ``choice`` (radio buttons) or ``list``.  ``stops``: further values, of a live notebook.
    """

    key: str
    name: str
    values: tuple
    start: Any
    kind: str = "slider"
    stops: tuple = ()


@dataclass(frozen=True)
class Part:
    """What a part of a panel shows: the values of the knobs named in ``by`` to plain data."""

    by: tuple[str, ...]
    frames: dict[tuple, Any]


@dataclass(frozen=True)
class Panel:
    """One picture: its ``kind``, a ``title``, ``parts`` that knobs change, and what stays, ``fixed``; ``key``: (style, words) of a legend.

    ========  =====================================  ======================================================================
    kind      parts                                  fixed
    ========  =====================================  ======================================================================
    say       say: [answer, sentence, sign]
    rows      base: rows of [retrained, low, high,   rows: labels; own: names of the parts that are shown; names: their words
              before]; each of ``own``: rows of
              [value, low, high, sign]; in per cent
    held      held: rows of {name, counts, text,     classes
              leaving}
    curves    reference, own: lines of {name,        x: last round; y: [low, high] in per cent; label of the axis
              style, points}
    wall      sheet, right: see ``book/results``     columns, rows of the sheet
    dots                                             axes: {key, label}; points: {name, ...}; closer: name, name to < or >
    ========  =====================================  ======================================================================
    """

    kind: str
    title: str
    parts: dict[str, Part] = field(default_factory=dict)
    fixed: dict[str, Any] = field(default_factory=dict)
    key: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class View:
    """Panels under their knobs; an explorer has one or several, to choose from.

    ``presets``: name to values by knob.  ``guess``: whether the reader may guess before the answer is shown.  ``compute``: a function
    of the knobs' values, by key, that makes a :data:`Frame`; a live notebook asks it for what the panels lack.
    """

    name: str
    knobs: tuple[Knob, ...]
    panels: tuple[Panel, ...]
    note: str = ""
    presets: dict[str, dict[str, Any]] = field(default_factory=dict)
    guess: bool = False
    compute: Callable[..., Frame] | None = None

    def __post_init__(self):
        keys = {knob.key: knob for knob in self.knobs}
        for panel in self.panels:
            require(panel.kind in KINDS, f"a panel's kind is {panel.kind!r}, but must be one of: {', '.join(KINDS)}.")
            for name, part in panel.parts.items():
                require(set(part.by) <= set(keys), f"{panel.kind}.{name} depends on {part.by}, but the knobs are {tuple(keys)}.")
                settings = list(itertools.product(*(keys[key].values for key in part.by)))
                lacking = [setting for setting in settings if setting not in part.frames]
                require(
                    self.compute is not None or not lacking,
                    f"{panel.kind}.{name} has nothing for {len(lacking)} of {len(settings)} settings, and there is no function that computes it.",
                )

    @property
    def shows(self) -> bool:
        """Whether there is something to show where it starts, without computing."""
        start = {knob.key: knob.start for knob in self.knobs}
        return all(tuple(start[key] for key in part.by) in part.frames for panel in self.panels for part in panel.parts.values())

    def as_data(self, live: bool) -> dict:
        """The view as plain data, keyed by what is shown of the knobs' values."""
        return {
            "name": self.name,
            "note": self.note,
            "guess": self.guess,
            "live": live and self.compute is not None,
            "presets": [
                {"name": name, "values": {key: shown(value) for key, value in values.items()}} for name, values in self.presets.items()
            ],
            "knobs": [
                {
                    "key": knob.key,
                    "name": knob.name,
                    "kind": knob.kind,
                    "values": [shown(value) for value in self.settings(knob, live)],
                    "start": shown(knob.start),
                }
                for knob in self.knobs
            ],
            "panels": [
                {
                    "kind": panel.kind,
                    "title": panel.title,
                    "fixed": panel.fixed,
                    "key": panel.key,
                    "parts": {
                        name: {"by": part.by, "frames": {_key(key): frame for key, frame in part.frames.items()}}
                        for name, part in panel.parts.items()
                    },
                }
                for panel in self.panels
            ],
        }

    def settings(self, knob: Knob, live: bool) -> list:
        """The values of a knob: with its further stops where they can be computed."""
        return sorted({*knob.values, *knob.stops}) if live and self.compute is not None and knob.stops else list(knob.values)

    def read(self, values: dict[str, str]) -> dict[str, Any]:
        """The knobs' values from what is shown of them."""
        return {knob.key: next(each for each in self.settings(knob, True) if shown(each) == values[knob.key]) for knob in self.knobs}


@dataclass(eq=False)
class Explorer:
    """One or several views of results: ``name`` in links, a ``title``, and what is chosen between views, in words (``choice``)."""

    name: str
    title: str
    views: Sequence[View]
    choice: str = "shown"
    compact: bool = False

    def as_data(self, live: bool = False) -> dict:
        """All of it as plain data; views that show nothing without computing are left out where nothing can be computed."""
        views = [view.as_data(live) for view in self.views if live or view.shows]
        require(len(views) > 0, "an explorer needs a view that shows something where its knobs start.")
        return finite({"name": self.name, "title": self.title, "choice": self.choice, "views": views})

    def to_html(self) -> str:
        """The explorer as self-contained HTML: works without a kernel and without a network, and prints as a table."""
        text = json.dumps(self.as_data(), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
        start = 'render({ model: { get: () => JSON.parse(el.querySelector("script").textContent) }, el });'
        script = f'const el = document.getElementById("{self.name}");\n{front("js").replace(EXPORT, start)}'
        return (
            f'<div class="fu-explorer{" fu-compact" if self.compact else ""}" id="{self.name}"><style>{front("css")}</style>'
            f'<script type="application/json">{text}</script>{self._still()}</div><script type="module">{script}</script>'
        )

    def live(self):
        """The explorer as a widget that computes what its grid lacks; each setting once."""
        return serve(self.as_data(live=True), list(self.views), front("js"), front("css"))

    def _still(self) -> str:
        """What is seen without a script: the numbers where the knobs start."""
        view = next(view for view in self.views if view.shows)
        values = {knob.key: knob.start for knob in view.knobs}
        at = lambda part: part.frames[tuple(values[key] for key in part.by)]
        rows = next((panel for panel in view.panels if panel.kind == "rows"), None)
        said = [at(panel.parts["say"]) for panel in view.panels if panel.kind == "say"]
        body = ""
        if rows is not None:
            base, own = at(rows.parts["base"]), at(rows.parts[rows.fixed["own"][0]])
            body = "".join(
                f"<tr><th>{html.escape(label)}</th><td>{mine[0]:.0f} %</td><td>{reference[0]:.0f} %</td></tr>"
                for label, mine, reference in zip(rows.fixed["rows"], own, base)
                if mine is not None and reference is not None
            )
        setting = "; ".join(f"{knob.name}: {shown(knob.start)}" for knob in view.knobs)
        words = "".join(f"<p>{html.escape(f'{answer}. {note}')}</p>" for answer, note, _ in said)
        table = f"<table><caption>{html.escape(f'{self.title}. {setting}.')}</caption><tr><th></th><th>this model</th><th>retrained</th></tr>{body}</table>"
        return f'<noscript></noscript><div class="fu-numbers">{table}{words}</div>'

    def _repr_mimebundle_(self, include=None, exclude=None):
        bundle = {"text/plain": repr(self), "text/html": self.to_html()}
        # FUCORE_RECORDING: a recorded notebook keeps no widget, for no kernel will answer it
        if any(view.compute for view in self.views) and os.environ.get("FUCORE_RECORDING") != "1" and _has_kernel():
            made = self.live()._repr_mimebundle_() or ({}, {})
            bundle |= {key: value for key, value in made[0].items() if key != "text/plain"}
        return bundle

    def __repr__(self) -> str:
        knobs = ["; ".join(f"{knob.name} {len(knob.values)}" for knob in view.knobs) for view in self.views]
        return f"Explorer({self.title!r}: {' | '.join(knobs)})"


@functools.cache
def front(suffix: str) -> str:
    """The text of ``explorer.js`` or ``explorer.css``."""
    return (FOLDER / f"explorer.{suffix}").read_text(encoding="utf-8")


def shown(value: Any) -> str:
    """A knob's value in words: an infinite Dirichlet concentration is an even split."""
    if isinstance(value, str):
        return value
    return "even" if math.isinf(value) else f"{value:g}"


def logarithmic(low: float, high: float, per_decade: int = 10) -> tuple[float, ...]:
    """Stops of a logarithmic slider from ``low`` to ``high``, rounded to two digits, and infinity (even) as the last."""
    steps = round(per_decade * math.log10(high / low))
    return (*dict.fromkeys(float(f"{low * (high / low) ** (step / steps):.2g}") for step in range(steps + 1)), math.inf)


def _key(values: tuple) -> str:
    return "|".join(map(shown, values))


def _has_kernel() -> bool:
    try:
        return get_ipython().has_trait("kernel")  # noqa: F821  # pyright: ignore[reportUndefinedVariable]  defined in IPython only
    except NameError:
        return False
