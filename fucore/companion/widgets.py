"""Explorers: sliders that recompute in a live notebook and step through recorded results in the rendered page.

An :class:`Explorer` holds a grid of results.  Shown anywhere it is plain HTML with a few lines of script, so it works in
the book without a kernel and without a network, follows the page's light or dark colours, and fits a phone.  Shown in
Jupyter with a kernel it is an ipywidget that computes what the grid lacks.

Nothing here needs torch: pages without a kernel are rendered where there is none.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..errors import FucoreError, require

#: Ten colours that can be told apart in light and dark pages (Okabe and Ito's, and two greys).
CLASS_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#8c6d1f", "#999999", "#5e4fa2")

_CSS = """
.fu-explorer{margin:1rem 0;padding:.9rem 1rem;border:1px solid #7d859066;border-radius:.5rem;font-size:.92rem;line-height:1.35}
.fu-explorer p{margin:0 0 .6rem}
.fu-explorer .fu-knob{display:flex;flex-wrap:wrap;align-items:center;gap:.3rem .8rem;margin-bottom:.5rem}
.fu-explorer .fu-knob span{min-width:10.4em}
.fu-explorer .fu-knob input{flex:1 1 9rem;min-width:0;height:1.6rem;accent-color:#0072b2}
.fu-explorer .fu-knob output{min-width:3.4em;font-variant-numeric:tabular-nums;font-weight:600}
.fu-explorer .fu-row{display:grid;grid-template-columns:11em 1fr 8.4em;gap:.6rem;align-items:center;margin:.28rem 0}
.fu-explorer .fu-track{position:relative;height:1.25rem;border-bottom:1px solid #7d859055}
.fu-explorer .fu-track i{position:absolute;top:0;bottom:0}
.fu-explorer .fu-band{background:#009e7340;border-radius:3px}
.fu-explorer .fu-mark{width:2px;margin-left:-1px;background:#009e73}
.fu-explorer .fu-before{width:0;margin-left:-1px;border-left:2px dotted #7d8590}
.fu-explorer .fu-line{top:50%!important;bottom:auto!important;height:2px;margin-top:-1px;background:#0072b2}
.fu-explorer .fu-dot{width:.7rem;height:.7rem;margin:.27rem 0 0 -.35rem;border-radius:50%;background:#0072b2;box-shadow:0 0 0 2px #ffffffcc}
.fu-explorer .fu-held{top:.15rem!important;bottom:.1rem!important}
.fu-explorer .fu-track i{transition:left .25s,width .25s}
.fu-explorer .fu-value{font-variant-numeric:tabular-nums;white-space:nowrap}
.fu-explorer .fu-say{margin:.6rem 0 .2rem;min-height:2.7em}
.fu-explorer .fu-answer{display:inline-block;border:2px solid #7d8590;border-radius:.35rem;padding:0 .4em;margin-right:.5em;font-weight:700}
.fu-explorer .fu-answer:empty{display:none}
.fu-explorer .fu-key{opacity:.85;font-size:.85em;margin-top:.5rem}
.fu-explorer .fu-key b{display:inline-block;width:.75em;height:.75em;border-radius:50%;margin:0 .3em 0 .8em}
.fu-explorer .fu-key b:first-child{margin-left:0}
.fu-explorer .fu-key b.fu-square{border-radius:0}
@media(max-width:520px){.fu-explorer .fu-knob{display:grid;grid-template-columns:1fr auto}.fu-explorer .fu-knob input{grid-row:2;grid-column:1/3;margin:0}
.fu-explorer .fu-row{grid-template-columns:1fr auto;gap:.1rem .6rem}.fu-explorer .fu-track{grid-column:1/3;grid-row:2}
.fu-explorer .fu-say{min-height:6.6em}}
"""

# Every frame fills the same slots: positions of the elements marked data-x, words of those marked data-t.
_SCRIPT = """
(function(){var box=document.getElementById("@ID@"),data=JSON.parse(box.querySelector("script[type='application/json']").textContent),
knobs=box.querySelectorAll("input"),marks=box.querySelectorAll("[data-x]"),words=box.querySelectorAll("[data-t]");
function show(){var key=[];knobs.forEach(function(knob,k){var value=data.knobs[k].values[knob.value];key.push(knob.value);
knob.parentNode.querySelector("output").textContent=value;knob.setAttribute("aria-valuetext",value)});
var frame=data.frames[key.join(",")];
frame.x.forEach(function(place,m){marks[m].style.left=place[0]+"%";if(place.length>1)marks[m].style.width=place[1]+"%"});
frame.t.forEach(function(text,t){if(words[t].textContent!==text)words[t].textContent=text})}
knobs.forEach(function(knob){knob.addEventListener("input",show)})})();
"""


@dataclass(frozen=True)
class Row:
    """One line of a frame, all in per cent: a value with its interval beside a reference with its interval.

    ``before``: where the value started from, if that is worth a mark.
    """

    label: str
    value: float
    low: float
    high: float
    reference: float
    reference_low: float
    reference_high: float
    text: str
    before: float | None = None

    def marks(self) -> list[tuple[str, tuple[float, ...]]]:
        """(class of the mark, (left,) or (left, width)) in per cent of the track."""
        found = [("fu-band", _span(self.reference_low, self.reference_high)), ("fu-mark", (round(self.reference, 1),))]
        found += [] if self.before is None else [("fu-before", (round(self.before, 1),))]
        return [*found, ("fu-line", _span(self.low, self.high)), ("fu-dot", (round(self.value, 1),))]


@dataclass(frozen=True)
class Held:
    """One line of a frame: how many examples of each class a client holds, ``longest`` being the length of the track."""

    label: str
    counts: tuple[int, ...]
    longest: int
    text: str

    def marks(self) -> list[tuple[str, tuple[float, float]]]:
        """(class of the mark, (left, width)) in per cent of the track, one a class."""
        ends = [100 * sum(self.counts[: place + 1]) / self.longest for place in range(len(self.counts))]
        return [("fu-held", _span(start, end)) for start, end in zip([0.0, *ends], ends)]


@dataclass(frozen=True)
class Frame:
    """What an explorer shows at one setting of its knobs: rows, an ``answer`` in a word or two, and a ``note`` in a sentence."""

    rows: tuple[Row | Held, ...]
    note: str = ""
    answer: str = ""

    def slots(self) -> dict:
        """What the page's script fills in: ``x``, places of the marks, and ``t``, words."""
        places = [list(place) for row in self.rows for _, place in row.marks()]
        return {"x": places, "t": [*(row.text for row in self.rows), self.answer, self.note]}

    def to_html(self) -> str:
        """The frame as HTML with the same slots."""
        rows = "".join(
            f'<div class="fu-row"><span>{html.escape(row.label)}</span><span class="fu-track">{_marks(row)}</span>'
            f'<span class="fu-value" data-t>{html.escape(row.text)}</span></div>'
            for row in self.rows
        )
        say = f'<b class="fu-answer" data-t>{html.escape(self.answer)}</b><span class="fu-note" data-t>{html.escape(self.note)}</span>'
        return f'{rows}<div class="fu-say" aria-live="polite">{say}</div>'


@dataclass(eq=False)
class Explorer:
    """Sliders over a grid of frames.

    ``knobs``: name to the values on the slider; ``frames``: one :class:`Frame` for each combination, keyed by the tuple of
    values; ``start``: the combination shown first; ``key``: pairs of colour and name for the legend, ``footnote`` after it.
    In a live notebook ``compute``, a function from values to a new frame, is asked for what the grid lacks, on sliders with
    the ``stops`` given for a knob (default: those of the grid).  Where ``fresh`` is given, the grid is of other data than
    ``compute`` works on, so that live everything is computed; it is the (title, footnote) of what is computed.
    """

    title: str
    knobs: dict[str, tuple[float, ...]]
    frames: dict[tuple[float, ...], Frame]
    start: tuple[float, ...]
    key: Sequence[tuple[str, str]] = (("#0072b2", "unlearned"), ("#009e73", "retrained"))
    footnote: str = ""
    compute: Callable[..., Frame] | None = field(default=None, repr=False)
    stops: dict[str, tuple[float, ...]] = field(default_factory=dict, repr=False)
    fresh: tuple[str, str] | None = None

    def __post_init__(self):
        expected = math.prod(map(len, self.knobs.values()))
        require(
            len(self.frames) == expected and self.start in self.frames,
            f"the explorer has {len(self.frames)} frames for {expected} settings; every setting needs one, the start included.",
        )
        labels = {tuple(row.label for row in frame.rows) for frame in self.frames.values()}
        require(len(labels) == 1, "every frame of an explorer must have the same rows.")

    def to_html(self) -> str:
        """The explorer as self-contained HTML: works without a kernel and without a network."""
        places = [values.index(value) for values, value in zip(self.knobs.values(), self.start)]
        data = {"knobs": [{"name": name, "values": list(map(shown, values))} for name, values in self.knobs.items()], "frames": {}}
        for key, frame in self.frames.items():
            index = ",".join(str(values.index(value)) for values, value in zip(self.knobs.values(), key))
            data["frames"][index] = frame.slots()
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
        identity = "fu-" + hashlib.sha256(text.encode()).hexdigest()[:10]
        sliders = "".join(
            f'<label class="fu-knob"><span>{html.escape(name)}</span><input type="range" min="0" max="{len(values) - 1}" step="1" value="{place}" '
            f'aria-valuetext="{shown(values[place])}"><output>{shown(values[place])}</output></label>'
            for (name, values), place in zip(self.knobs.items(), places)
        )
        return (
            f'<div class="fu-explorer" id="{identity}"><style>{_CSS}</style>{_title(self.title)}{sliders}{self._body(self.frames[self.start], self.footnote)}'
            f'<script type="application/json">{text}</script><script>{_SCRIPT.replace("@ID@", identity)}</script></div>'
        )

    def live(self):
        """The explorer as an ipywidget that computes settings its grid lacks (each is remembered)."""
        import ipywidgets

        picture, status, progress = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.Output()
        boxes = [
            ipywidgets.SelectionSlider(
                options=[(shown(each), each) for each in sorted({*values, *self.stops.get(name, ())})],
                value=value,
                description=name,
                continuous_update=False,
                style={"description_width": "11em"},
                layout={"width": "min(100%, 44em)"},
            )
            for (name, values), value in zip(self.knobs.items(), self.start)
        ]
        known = {} if self.fresh else dict(self.frames)

        def draw(frame: Frame, title: str, footnote: str) -> None:
            picture.value = f'<div class="fu-explorer"><style>{_CSS}</style>{_title(title)}{self._body(frame, footnote)}</div>'

        def show(_=None):
            key = tuple(box.value for box in boxes)
            if key not in known:
                if self.compute is None:
                    status.value = "<em>not on the recorded grid</em>"
                    return
                status.value = f"<em>computing {html.escape(', '.join(f'{box.description} = {shown(box.value)}' for box in boxes))} …</em>"
                try:
                    with progress, contextlib.ExitStack() as cleared:  # bars of the training go where the reader looks
                        cleared.callback(progress.clear_output)
                        known[key] = self.compute(*key)
                except FucoreError as error:
                    status.value = f"<em>{html.escape(str(error))}</em>"
                    return
            status.value = ""
            draw(known[key], *(self.fresh or (self.title, self.footnote)))

        for box in boxes:
            box.observe(show, "value")
        draw(self.frames[self.start], self.title, self.footnote)
        if self.fresh:
            status.value = "<em>Shown is the kept grid; move a slider to compute with this notebook's own data.</em>"
        return ipywidgets.VBox([*boxes, status, progress, picture])

    def _body(self, frame: Frame, footnote: str) -> str:
        squares = any(isinstance(row, Held) for row in frame.rows)
        names = "".join(
            f'<b{" class=fu-square" if squares else ""} style="background:{colour}"></b>{html.escape(name)}' for colour, name in self.key
        )
        return f'{frame.to_html()}<div class="fu-key">{names}{html.escape(footnote)}</div>'

    def _repr_mimebundle_(self, include=None, exclude=None):
        bundle = {"text/plain": repr(self), "text/html": self.to_html()}
        # FUCORE_RECORDING: a recorded notebook keeps no widget, for no kernel will answer it
        if self.compute is not None and os.environ.get("FUCORE_RECORDING") != "1" and _has_kernel():
            bundle |= {key: value for key, value in self.live()._repr_mimebundle_().items() if key != "text/plain"}
        return bundle

    def __repr__(self) -> str:
        return f"Explorer({self.title!r}: {' × '.join(f'{name} {len(values)}' for name, values in self.knobs.items())} settings)"


def shown(value: float) -> str:
    """A knob's value in words: an infinite Dirichlet concentration is an even split."""
    return "even" if math.isinf(value) else f"{value:g}"


def logarithmic(low: float, high: float, per_decade: int = 10) -> tuple[float, ...]:
    """Stops of a logarithmic slider from ``low`` to ``high``, rounded to two digits, and infinity (even) as the last."""
    steps = round(per_decade * math.log10(high / low))
    return (*dict.fromkeys(float(f"{low * (high / low) ** (step / steps):.2g}") for step in range(steps + 1)), math.inf)


def _title(words: str) -> str:
    return f"<p><strong>{html.escape(words)}</strong></p>"


def _span(low: float, high: float) -> tuple[float, float]:
    """(left, width) of a mark from ``low`` to ``high``."""
    return round(low, 1), round(max(0.0, high - low), 1)


def _marks(row: Row | Held) -> str:
    """The row's marks as HTML; the classes of what a client holds have colours of their own."""
    parts = []
    for number, (name, place) in enumerate(row.marks()):
        colour = f";background:{CLASS_COLOURS[number % len(CLASS_COLOURS)]}" if name == "fu-held" else ""
        left, *width = place
        style = "".join(f";width:{each}%" for each in width) + colour
        parts.append(f'<i class="{name}" data-x style="left:{left}%{style}"></i>')
    return "".join(parts)


def _has_kernel() -> bool:
    try:
        return get_ipython().has_trait("kernel")  # noqa: F821  # pyright: ignore[reportUndefinedVariable]  defined in IPython only
    except NameError:
        return False
