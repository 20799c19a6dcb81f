"""Figures for a paper: as wide as a column or a page, with text that can be read and fonts that publishers take.

Any figure of fucore's or of your own can be fitted and saved::

    fu.save_figure(report.plot(), "figures/groups", width="column")
"""

from __future__ import annotations

import io
import textwrap
from typing import Any

from .errors import require, require_choice, require_kind
from .runs.files import publish_bytes

#: Inches: columns and pages of two-column proceedings.
WIDTHS = {"column": 3.3, "page": 6.9}
SMALL, LARGE, BLACK = 7, 8, "#1f2328"
#: Fonts stay text: TrueType in PDF (Type 42, no Type 3), names in SVG; the same figure gives the same bytes.
FONTS: Any = {"pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "fucore"}


def fitted(figure, width: str | None):
    """The figure at the ``width`` of a ``"column"`` (3.3 inches) or a ``"page"`` (6.9), text 7 or 8 points and dark, the legend above; ``None`` leaves it."""
    if width is None:
        return figure
    from matplotlib.colors import same_color  # matplotlib is slow to import
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

    from .plots import INK

    require_choice("width", width, WIDTHS)
    _require_figure(figure)
    inches, before = WIDTHS[width], figure.get_size_inches()
    figure.set_layout_engine("constrained")
    lines = sum(_above(figure, legend, 2 if width == "column" else 5) for legend in list(figure.legends))
    high = min(max(inches * before[1] / before[0], 2.2) + 0.16 * lines, 9)
    figure.set_size_inches(inches, high)
    for line in figure.findobj(Line2D) if width == "column" else ():
        line.set_markersize(min(line.get_markersize(), 3))
    for text in figure.findobj(Text):
        text.set_fontsize(SMALL)
        if same_color(text.get_color(), INK):
            text.set_color(BLACK)
    for axes in figure.axes:
        axes.tick_params(labelsize=SMALL, color=BLACK, labelcolor=BLACK)
        for spine in axes.spines.values():
            spine.set_edgecolor(BLACK)
        grid = axes.get_subplotspec().get_gridspec() if axes.get_subplotspec() else None
        across, down = (grid.ncols, grid.nrows) if grid else (1, 1)
        for text, room in ((axes.xaxis.label, inches / across), (axes.title, inches / across), (axes.yaxis.label, high / down)):
            text.set_fontsize(LARGE)
            letters = int(0.75 * room * 72 / (LARGE / 2))  # they are about half as wide as high, and axes take some of the room
            text.set_text(textwrap.fill(text.get_text(), letters, break_long_words=False))
    return figure


def save_figure(figure, stem, *, width: str | None = None) -> None:
    """Write ``<stem>.pdf`` and ``<stem>.svg``, fitted to ``width`` if it is given, with text that stays text (Type 42 fonts)."""
    import matplotlib.pyplot as plt

    _require_figure(figure)
    named = str(stem).lower().endswith((".pdf", ".svg"))
    require(not named, f"{stem} names one file, but both a PDF and an SVG are written: leave the ending out.")
    fitted(figure, width)
    with plt.rc_context(FONTS):
        for ending, dates in (("pdf", {"CreationDate": None, "ModDate": None}), ("svg", {"Date": None})):
            buffer: Any = io.BytesIO()
            figure.savefig(buffer, format=ending, metadata=dates)
            publish_bytes(f"{stem}.{ending}", buffer.getvalue())


def _require_figure(figure) -> None:
    from matplotlib.figure import Figure

    require_kind("figure", figure, Figure, "a figure, such as report.plot()")


def _above(figure, legend, columns: int) -> int:
    """Put the same legend over the axes, in columns; returns how many lines it has."""
    handles, words = legend.legend_handles, [text.get_text() for text in legend.get_texts()]
    legend.remove()
    look = {"fontsize": SMALL, "labelcolor": BLACK, "frameon": False, "columnspacing": 1.0, "handletextpad": 0.4}
    figure.legend(handles, words, loc="outside upper center", ncols=columns, **look)
    return -(-len(words) // columns)
