r"""Tables of a report for a paper, in LaTeX with booktabs and siunitx; ASCII only.

In the preamble: ``\usepackage{booktabs, siunitx}``.  Numbers stand plain in ``S`` columns, what is no number in braces.
"""

from __future__ import annotations

import math
import unicodedata

from ..errors import FucoreError, require, require_choice
from .deciding import DIFFERENT, OPEN, SAME
from .registry import shown_metrics
from .tidy import until

PARTS = ("groups", "summary")
NONE = "{--}"
_SIGNS = {SAME: "$=$", DIFFERENT: r"$\neq$", OPEN: "{?}"}
_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_SPECIAL |= {sign: f"\\{sign}" for sign in "&%$#_{}"} | {sign: f"${sign}$" for sign in "<>|"} | {'"': "''"}
_GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi chi psi omega"
_MATH = {chr(0x3B1 + place + (place > 16)): name for place, name in enumerate(_GREEK.split())} | {
    "φ": "varphi",
    "ϕ": "phi",
    "ε": "varepsilon",
}
_MATH |= {name[1].upper(): name[0] for name in zip("Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega".split(), "γδθλξπσφψω")}
_MATH |= {
    "≠": "neq",
    "≤": "leq",
    "≥": "geq",
    "≈": "approx",
    "±": "pm",
    "×": "times",
    "·": "cdot",
    "→": "to",
    "←": "leftarrow",
    "∞": "infty",
}
_MATH |= {"∈": "in", "√": "surd", "′": "prime"}
_TEXT = {"–": "--", "—": "---", "…": r"\ldots{}", "’": "'", "‘": "`", "“": "``", "”": "''", "\N{NO-BREAK SPACE}": "~", "−": "$-$"}
_TEXT |= {"ß": r"{\ss}", "ø": r"{\o}", "Ø": r"{\O}", "æ": r"{\ae}", "œ": r"{\oe}", "ł": r"{\l}", "ı": r"{\i}", "ο": "o", "µ": r"$\mu$"}
_ACCENTS = {
    0x300: "`",
    0x301: "'",
    0x302: "^",
    0x303: "~",
    0x304: "=",
    0x306: "u",
    0x307: ".",
    0x308: '"',
    0x30A: "r",
    0x30C: "v",
    0x327: "c",
}


def tex(text: str) -> str:
    """``text`` as LaTeX shows it, in ASCII; raises ``FucoreError`` for a sign that has no LaTeX here."""
    return "".join(map(_sign, text))


def _sign(sign: str) -> str:
    if sign in _SPECIAL or sign in _TEXT:
        return _SPECIAL.get(sign) or _TEXT[sign]
    if sign in _MATH:
        return f"$\\{_MATH[sign]}$"
    if sign.isascii():
        return sign
    base, *marks = unicodedata.normalize("NFD", sign)
    if len(marks) == 1 and ord(marks[0]) in _ACCENTS and base.isascii():
        return f"\\{_ACCENTS[ord(marks[0])]}{{{base}}}"
    raise FucoreError(f"{sign!r} ({unicodedata.name(sign, 'no name')}) has no LaTeX here: give the candidate another name.")


def latex(report, part: str, caption: str | None, label: str) -> str:
    r"""One part of a report's table: ``"groups"``, accuracies by memorization group, or ``"summary"``, the rest.

    ``caption``: LaTeX of yours; by default the report's legend; ``""`` gives the bare ``tabular``, without a float.  ``label`` for ``\ref``.
    """
    require_choice("part", part, PARTS)
    for name, text in (("caption", caption or ""), ("label", label)):
        require(isinstance(text, str) and text.isascii(), f"{name} must be LaTeX in ASCII, such as \\'e for é.")
    body = tabular(*(_groups(report) if part == "groups" else _summary(report)))
    if caption == "":
        return body
    legend = report.legend.replace("\n", " ").replace("and in brackets the", "then the")  # it has a column of its own here
    told = tex(legend) if caption is None else caption
    note = f"\\caption{{{told}}}\n" + (f"\\label{{{label}}}\n" if label else "")
    return f"\\begin{{table*}}\n\\centering\n{note}{body}\\end{{table*}}\n"


def tabular(columns: str, head: list[str], rows: list[list[str]]) -> str:
    """A booktabs ``tabular``; ``head`` are lines above the rows."""
    lines = [f"\\begin{{tabular}}{{{columns}}}", "\\toprule", *head, "\\midrule", *(" & ".join(row) + r" \\" for row in rows)]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def _groups(report) -> tuple[str, list[str], list[list[str]]]:
    """Accuracy in per cent, its difference to retraining (one case: their gap), how far that may be off, and the answer, in each group."""
    away = "difference" if "difference" in report.groups else "gap"
    names = list(report.groups.group.unique())
    table = {key: row for key, row in zip(zip(report.groups.candidate, report.groups.group), report.groups.itertuples())}
    reference = report.groups.drop_duplicates("group").set_index("group").retrained
    rows = []
    for candidate in report.summary.candidate:
        row = [tex(candidate)]
        for group in names:
            found = table.get((candidate, group))
            if found is None:  # of several cases, whose retrained models are what the others are compared with
                row += [_number(100 * reference[group]), NONE, NONE, ""]
            else:
                half = found.bound if away == "gap" else (found.high - found.low) / 2
                row += [_number(100 * value) for value in (found.accuracy, getattr(found, away), half)] + [_SIGNS.get(found.answer, "")]
        rows.append(row)
    spans = " & ".join(["", *(f"\\multicolumn{{4}}{{c}}{{{tex(name)}}}" for name in names)]) + r" \\"
    rules = " ".join(f"\\cmidrule(lr){{{2 + 4 * place}-{5 + 4 * place}}}" for place in range(len(names)))
    units = " & ".join([""] + ["{acc.}", f"{{{'diff.' if away == 'difference' else 'gap'}}}", r"{$\pm$}", ""] * len(names)) + r" \\"
    forms = "".join(
        f"S[table-format={_format([row[place] for row in rows])}]" + "@{\\,}c" * (place % 4 == 3)
        for place in range(1, 4 * len(names))
        if place % 4
    )
    return f"l{forms}", [spans, rules, units], rows


def _summary(report) -> tuple[str, list[str], list[list[str]]]:
    """Share forgotten and distance (several cases), metrics, cost and speed-up."""
    summary = report.summary
    columns = {"": ("l", [tex(name) for name in summary.candidate])}
    for name, head, scale, places in (("forgotten", r"$\varphi$", 1, 2), ("distance", "distance", 100, 1)):
        if f"{name}_low" in summary:
            values, low, high = (scale * summary[f"{name}{end}"] for end in ("", "_low", "_high"))
            columns[head] = ("S", [_number(value, places) for value in values])
            columns[f"{head}, 95 \\%"] = ("c", [_interval(*each, places) for each in zip(low, high)])
    for metric in shown_metrics():
        if metric.key in summary:
            values = summary[metric.key] * (100 if metric.unit == "%" else 1)
            columns[tex(str(metric.column))] = ("S", [_number(value, 1 if metric.unit == "%" else 4) for value in values])
    columns[r"examples, $10^3$"] = ("S", [_number(value / 1000, 0) for value in summary.examples])
    spent = [until(*each) for each in zip(summary.examples_to_target, summary.examples)]
    columns[r"to target, $10^3$"] = ("S", [value if value.isdigit() else f"{{{tex(value)}}}" for value in spent])
    columns["speed-up"] = ("S", [_speed(*each) for each in zip(summary.candidate, summary.speed_up, summary.speed_up_below)])
    form = "".join(kind if kind != "S" else f"S[table-format={_format(cells)}]" for kind, cells in columns.values())
    head = " & ".join(name and f"{{{name}}}" for name in columns) + r" \\"
    return form, [head], [list(row) for row in zip(*(cells for _, cells in columns.values()))]


def _number(value: float, places: int = 1) -> str:
    if math.isnan(value):
        return NONE
    return f"{value:.{places}f}" if math.isfinite(value) else f"{{${'-' if value < 0 else ''}\\infty$}}"


def _interval(low: float, high: float, places: int) -> str:
    if math.isnan(low):
        return "--"
    ends = (f"\\num{{{each:.{places}f}}}" if math.isfinite(each) else f"${'-' if each < 0 else ''}\\infty$" for each in (low, high))
    return f"{{[}}{', '.join(ends)}{{]}}"


def _speed(name: str, value: float, below: float) -> str:
    if name == "Original":
        return NONE
    return f"{value:.1f}" if value > 0 else f"{{$<$ {below:.1f}}}" if below > 0 else "{never}"


def _format(cells: list[str]) -> str:
    """siunitx's table-format for the plain numbers among cells: digits before and after the point, with a sign where one is."""
    plain = [cell for cell in cells if not cell.startswith("{")]
    parts = [cell.lstrip("-").partition(".") for cell in plain] or [("1", "", "")]
    whole, decimal = max(len(part[0]) for part in parts), max(len(part[2]) for part in parts)
    return f"{'-' if any(cell.startswith('-') for cell in plain) else ''}{whole}" + (f".{decimal}" if decimal else "")
