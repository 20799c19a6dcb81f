"""Explorers: a slider that recomputes in a live notebook and steps through recorded results in the rendered page.

An :class:`Explorer` holds a grid of results.  Shown anywhere it is plain HTML with a few lines of script, so it works in
the book without a kernel and without a network, follows the page's light or dark colours, and fits a phone.  Shown in
Jupyter with a kernel it is an ipywidget whose slider computes values that the grid lacks.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from .errors import FucoreError, require

_CSS = """
.fu-explorer{margin:1rem 0;padding:.9rem 1rem;border:1px solid #7d859066;border-radius:.5rem;font-size:.92rem;line-height:1.35}
.fu-explorer .fu-knob{display:flex;flex-wrap:wrap;align-items:center;gap:.3rem .8rem;margin-bottom:.7rem}
.fu-explorer .fu-knob input{flex:1 1 9rem;min-width:0;accent-color:#0072b2}
.fu-explorer .fu-knob output{min-width:3.2em;font-variant-numeric:tabular-nums;font-weight:600}
.fu-explorer .fu-row{display:grid;grid-template-columns:8.5em 1fr 8.2em;gap:.6rem;align-items:center;margin:.28rem 0}
.fu-explorer .fu-track{position:relative;height:1.25rem;border-bottom:1px solid #7d859055}
.fu-explorer .fu-track i{position:absolute;top:0;bottom:0}
.fu-explorer .fu-band{background:#009e7340;border-radius:3px}
.fu-explorer .fu-mark{width:2px;margin-left:-1px;background:#009e73}
.fu-explorer .fu-line{top:50%!important;bottom:auto!important;height:2px;margin-top:-1px;background:#0072b2}
.fu-explorer .fu-dot{width:.7rem;height:.7rem;margin:.27rem 0 0 -.35rem;border-radius:50%;background:#0072b2;box-shadow:0 0 0 2px #ffffffcc}
.fu-explorer .fu-line,.fu-explorer .fu-dot,.fu-explorer .fu-band,.fu-explorer .fu-mark{transition:left .25s,width .25s}
.fu-explorer .fu-value{font-variant-numeric:tabular-nums;white-space:nowrap}
.fu-explorer .fu-key{opacity:.85;font-size:.85em;margin-top:.6rem}
.fu-explorer .fu-key b{display:inline-block;width:.75em;height:.75em;border-radius:50%;margin:0 .3em 0 .8em}
.fu-explorer .fu-key b:first-child{margin-left:0}
@media(max-width:520px){.fu-explorer .fu-row{grid-template-columns:1fr auto;gap:.1rem .6rem}.fu-explorer .fu-track{grid-column:1/3;grid-row:2}}
"""

_SCRIPT = """
(function(){var box=document.getElementById("@ID@"),data=JSON.parse(box.querySelector("script[type='application/json']").textContent),
knobs=box.querySelectorAll("input"),rows=box.querySelectorAll(".fu-row"),note=box.querySelector(".fu-note");
function show(){var key=[];knobs.forEach(function(knob,k){var value=data.knobs[k].values[knob.value];key.push(knob.value);
knob.parentNode.querySelector("output").textContent=value;knob.setAttribute("aria-valuetext",value)});
var frame=data.frames[key.join(",")];note.textContent=frame.note;
frame.rows.forEach(function(row,r){var set=function(name,left,width){var part=rows[r].querySelector(name);part.style.left=left+"%";
if(width!==undefined)part.style.width=Math.max(0,width)+"%"};
set(".fu-band",row.reference_low,row.reference_high-row.reference_low);set(".fu-mark",row.reference);
set(".fu-line",row.low,row.high-row.low);set(".fu-dot",row.value);rows[r].querySelector(".fu-value").textContent=row.text})}
knobs.forEach(function(knob){knob.addEventListener("input",show)})})();
"""


@dataclass(frozen=True)
class Row:
    """One line of an explorer, all in per cent: a value with its interval beside a reference with its interval."""

    label: str
    value: float
    low: float
    high: float
    reference: float
    reference_low: float
    reference_high: float
    text: str


@dataclass(frozen=True)
class Frame:
    """What an explorer shows at one setting of its knobs."""

    rows: tuple[Row, ...]
    note: str = ""


@dataclass(eq=False)
class Explorer:
    """Sliders over a grid of frames.

    ``knobs``: name to the values on the slider; ``frames``: one :class:`Frame` for each combination, keyed by the tuple of
    values; ``start``: the combination shown first; ``compute``: function from values to a new frame, for settings off the grid
    in a live notebook.
    """

    title: str
    knobs: dict[str, tuple[float, ...]]
    frames: dict[tuple[float, ...], Frame]
    start: tuple[float, ...]
    value_name: str = "unlearned"
    reference_name: str = "retrained"
    compute: Callable[..., Frame] | None = field(default=None, repr=False)

    def __post_init__(self):
        expected = 1
        for values in self.knobs.values():
            expected *= len(values)
        require(
            len(self.frames) == expected and self.start in self.frames,
            f"the explorer has {len(self.frames)} frames for {expected} settings; every setting needs one, the start included.",
        )
        labels = {tuple(row.label for row in frame.rows) for frame in self.frames.values()}
        require(len(labels) == 1, "every frame of an explorer must have the same rows.")

    def to_html(self) -> str:
        """The explorer as self-contained HTML: works without a kernel and without a network."""
        places = [values.index(value) for values, value in zip(self.knobs.values(), self.start)]
        data = {
            "knobs": [{"name": name, "values": [f"{value:g}" for value in values]} for name, values in self.knobs.items()],
            "frames": {},
        }
        for key, frame in self.frames.items():
            index = ",".join(str(values.index(value)) for values, value in zip(self.knobs.values(), key))
            data["frames"][index] = {"note": frame.note, "rows": [_rounded(row) for row in frame.rows]}
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
        identity = "fu-" + hashlib.sha256(text.encode()).hexdigest()[:10]
        sliders = "".join(
            f'<label class="fu-knob"><span>{html.escape(name)}</span><input type="range" min="0" max="{len(values) - 1}" step="1" value="{place}" '
            f'aria-valuetext="{values[place]:g}"><output>{values[place]:g}</output></label>'
            for (name, values), place in zip(self.knobs.items(), places)
        )
        return (
            f'<div class="fu-explorer" id="{identity}"><style>{_CSS}</style><p><strong>{html.escape(self.title)}</strong></p>{sliders}{self._body(self.frames[self.start])}'
            f'<script type="application/json">{text}</script><script>{_SCRIPT.replace("@ID@", identity)}</script></div>'
        )

    def live(self):
        """The explorer as an ipywidget that computes settings its grid lacks (each is remembered)."""
        import ipywidgets

        picture, status = ipywidgets.HTML(), ipywidgets.HTML()
        boxes = [
            ipywidgets.FloatSlider(
                value=value, min=min(values), max=max(values), step=0.05, description=name.split(" ")[-1], continuous_update=False
            )
            for (name, values), value in zip(self.knobs.items(), self.start)
        ]
        known = dict(self.frames)

        def show(_=None):
            key = tuple(round(box.value, 6) for box in boxes)
            if key not in known:
                if self.compute is None:
                    status.value = "<em>not on the recorded grid</em>"
                    return
                status.value = "<em>computing …</em>"
                try:
                    known[key] = self.compute(*key)
                except FucoreError as error:
                    status.value = f"<em>{html.escape(str(error))}</em>"
                    return
            status.value = ""
            picture.value = f'<div class="fu-explorer"><style>{_CSS}</style><p><strong>{html.escape(self.title)}</strong></p>{self._body(known[key])}</div>'

        for box in boxes:
            box.observe(show, "value")
        show()
        return ipywidgets.VBox([*boxes, status, picture])

    def _body(self, frame: Frame) -> str:
        rows = "".join(
            f'<div class="fu-row"><span>{html.escape(row.label)}</span><span class="fu-track">'
            f'<i class="fu-band" style="left:{row.reference_low:.1f}%;width:{row.reference_high - row.reference_low:.1f}%"></i><i class="fu-mark" style="left:{row.reference:.1f}%"></i>'
            f'<i class="fu-line" style="left:{row.low:.1f}%;width:{max(0.0, row.high - row.low):.1f}%"></i><i class="fu-dot" style="left:{row.value:.1f}%"></i>'
            f'</span><span class="fu-value">{html.escape(row.text)}</span></div>'
            for row in frame.rows
        )
        key = f'<div class="fu-key"><b style="background:#0072b2"></b>{self.value_name}<b style="background:#009e73"></b>{self.reference_name}, with 95 % intervals (accuracies below the groups: ±2 standard deviations over models); scale 0–100 %</div>'
        return f'{rows}<div class="fu-note" aria-live="polite">{html.escape(frame.note)}</div>{key}'

    def _repr_mimebundle_(self, include=None, exclude=None):
        bundle = {"text/plain": repr(self), "text/html": self.to_html()}
        # FUCORE_RECORDING: a recorded notebook keeps no widget, for no kernel will answer it
        if self.compute is not None and os.environ.get("FUCORE_RECORDING") != "1" and _has_kernel():
            bundle |= {key: value for key, value in self.live()._repr_mimebundle_().items() if key != "text/plain"}
        return bundle

    def __repr__(self) -> str:
        return f"Explorer({self.title!r}: {' × '.join(f'{name} {len(values)}' for name, values in self.knobs.items())} settings)"


def ratio_frame(report, candidate: str) -> Frame:
    """A frame of group accuracies and test accuracy of one candidate of a :class:`~fucore.evaluation.report.Report`."""
    groups = report.groups[report.groups.candidate == candidate]
    summary = report.summary.set_index("candidate")
    rows = []
    for row in groups.itertuples():
        text = f"{100 * row.accuracy:.0f} vs {100 * row.retrained:.0f} %"
        numbers = (row.accuracy, row.accuracy_low, row.accuracy_high, row.retrained, row.retrained_low, row.retrained_high)
        rows.append(
            Row(f"group {row.group}", *(100 * number for number in numbers), text + (" ≈" if row.as_retrained and row.conclusive else ""))
        )
    for name in ("forget", "test"):
        value, reference = (100 * summary.loc[who, f"{name}_accuracy"] for who in (candidate, "Retrained"))
        half, reference_half = (2 * _finite(100 * summary.loc[who, f"{name}_accuracy_std"]) for who in (candidate, "Retrained"))
        text = f"{value:.1f} vs {reference:.1f} %"
        rows.append(
            Row(
                f"{name} accuracy",
                value,
                max(0, value - half),
                min(100, value + half),
                reference,
                max(0, reference - reference_half),
                min(100, reference + reference_half),
                text,
            )
        )
    return Frame(tuple(rows), report.verdict(candidate))


def _rounded(row: Row) -> dict:
    return {key: round(value, 1) if isinstance(value, float) else value for key, value in vars(row).items() if key != "label"}


def _finite(value: float) -> float:
    return value if value == value else 0.0


def _has_kernel() -> bool:
    try:
        return get_ipython().has_trait("kernel")  # noqa: F821  defined in IPython only
    except NameError:
        return False
