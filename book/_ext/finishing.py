"""What is done to the finished pages: less to load, and readable by everybody.

* No icon script and no live kernels are loaded; of the style sheets only the rules that some page can need remain.
* Headers of tables say what they head, numbers on shaded cells have the contrast they need, icons are silent, lists are lists.
* ``404.html`` stands on its own, since nobody knows from which folder it will be shown.
"""

from __future__ import annotations

import pathlib
import re

from bs4 import BeautifulSoup

#: Parts of the theme that no page of this book uses, as the addresses of scripts and styles contain them.
UNUSED = ("scripts/fontawesome.js", "sphinx-thebe", "thebe")
#: Beginnings of classes that scripts put together from parts.
COMPOSED = ("bs-", "tooltip", "popover", "dropdown", "show", "fade", "modal", "fa-lg", "tippy")
#: The fonts that matplotlib names with each text of a picture.
FONTS = (
    "'DejaVu Sans', 'Bitstream Vera Sans', 'Computer Modern Sans Serif', 'Lucida Grande', 'Verdana', 'Geneva', 'Lucid', "
    "'Arial', 'Helvetica', 'Avant Garde', sans-serif"
)
NOT_FOUND = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Not here: {title}</title>{base}
<style>:root{{color-scheme:light dark}}a{{color:inherit}}body{{color:#222;background:#fff;font:1.1rem/1.6 system-ui,sans-serif;max-width:34rem;margin:4rem auto;padding:0 1rem}}@media(prefers-color-scheme:dark){{html,body{{color:#ddd;background:#121212}}}}</style></head>
<body><main><h1>This page is not here</h1><p>It may have moved. <a href="index.html">The first page of <em>{title}</em></a> has the contents of the book,
and <a href="search.html">the search</a> finds words in all of it.</p></main></body></html>
"""


def finish(app, exception) -> None:
    """Finish all pages of an HTML build."""
    if exception is not None or app.builder.format != "html":
        return
    folder = pathlib.Path(app.outdir)
    for path in folder.rglob("*.html"):
        if "_static" not in path.parts:
            path.write_text(finished(path.read_text()))
    address = app.config.html_baseurl
    base = f'<base href="{address}">' if address else ""
    (folder / "404.html").write_text(NOT_FOUND.format(title=app.config.html_title, base=base))
    make_lean(folder)


def finished(page: str) -> str:
    """A page as HTML, without what it does not use and with what readers who do not see it need."""
    soup = BeautifulSoup(page, "html.parser")
    for loads in soup.find_all(["script", "link"]):
        address = f"{loads.get('src', '')}{loads.get('href', '')}{loads.get('type', '')}"
        if any(name in address for name in UNUSED) or re.match(r"\s*(const THEBE|kernelName)", loads.string or ""):
            loads.decompose()
    if not soup.select_one("[class^=sd-], [class*=' sd-']"):
        for loads in soup.select("link[href*=sphinx-design], script[src*=design-tabs]"):
            loads.decompose()
    for icon in soup.select("i[class*=fa-], .sidebar-toggle span[class*=fa-]"):
        icon["aria-hidden"] = "true"
    for toggle in soup.select("summary:has(.toctree-toggle)"):
        toggle["aria-label"] = "Pages within"
    for listed in soup.select(".citation-list"):  # its entries have a role that lists do not accept
        del listed["role"]
        for entry in listed.select("[role=doc-biblioentry]"):
            del entry["role"]
    for table in soup.find_all("table"):
        _name_headers(table)
    for style in soup.find_all("style"):
        if style.string and "#T_" in style.string:
            style.string = re.sub(r"background-color: #([0-9a-f]{6});\s*color: #[0-9a-f]{6};", _readable, style.string)
    return str(soup)


def _name_headers(table) -> None:
    """Say of each header of a table whether it heads columns or a row; an empty one is no header."""
    for header in table.find_all("th"):
        if not header.get_text(strip=True):
            header.name = "td"
            del header["scope"]
        elif not header.get("scope"):
            across = header.find_parent("thead") is not None
            several = int(header.get("colspan" if across else "rowspan", 1)) > 1
            header["scope"] = ("col" if across else "row") + ("group" if several else "")


def _readable(shade: re.Match) -> str:
    """A background with black or white text on it, whichever has more contrast (WCAG 2, relative luminance)."""
    parts = [int(shade[1][at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return f"background-color: #{shade[1]}; color: {'#000000' if light > 0.179 else '#ffffff'};"


# ---- files


def make_lean(folder: pathlib.Path) -> None:
    """Drop what no page loads, rules for classes that occur nowhere, and digits of pictures that no screen shows."""
    static = folder / "_static"
    for pattern in ("**/*.map", "scripts/fontawesome*", "vendor/fontawesome/webfonts/*", "sphinx-thebe*"):
        for path in static.glob(pattern):
            path.unlink()
    words = set()
    for path in (*folder.rglob("*.html"), *static.rglob("*.js")):
        words.update(re.findall(r"[A-Za-z_][\w-]*", path.read_text(errors="ignore")))
    for path in static.rglob("*.css"):
        path.write_text(with_our_icons(needed_rules(path.read_text(), words)))
    for path in (folder / "_images").glob("*.svg"):
        drawn = re.sub(r"(?<![\w.])(-?\d*[1-9]\d*\.\d\d)\d+", r"\1", path.read_text())
        path.write_text(drawn.replace(FONTS, "'DejaVu Sans', Verdana, sans-serif"))


def with_our_icons(sheet: str) -> str:
    """The theme's style sheet with the few icons of ``icons.woff`` in place of its three fonts of thousands."""
    sheet = re.sub(r"@font-face\{[^}]*fa-(?:regular|brands)[^}]*\}", "", sheet)
    return re.sub(r"(@font-face\{[^}]*src:)[^}]*fa-solid-900[^}]*\}", r'\1url(../icons.woff) format("woff")}', sheet)


def needed_rules(sheet: str, words: set[str]) -> str:
    """The rules of a style sheet that have a selector of which all classes are among ``words``, or are put together by scripts."""
    kept = re.findall(r"/\*!.*?\*/", sheet, flags=re.S)  # licences
    for head, body in _rules(re.sub(r"/\*.*?\*/", "", sheet, flags=re.S)):
        if head.lstrip().startswith(("@media", "@supports", "@layer", "@container")):
            body = needed_rules(body, words)
            kept += [f"{head}{{{body}}}"] if body.strip() else []
        elif body is None or head.lstrip().startswith("@"):
            kept.append(head if body is None else f"{head}{{{body}}}")
        elif selectors := [each for each in _apart(head) if _needed(each, words)]:
            kept.append(f"{','.join(selectors)}{{{body}}}")
    return "".join(kept)


def _needed(selector: str, words: set[str]) -> bool:
    classes = re.findall(r"\.(-?[A-Za-z_][\w-]*)", re.sub(r":(?:not|is|where)\([^()]*\)|\"[^\"]*\"|\[[^\]]*\]", "", selector))
    return all(name in words or name.startswith(COMPOSED) for name in classes)


def _apart(head: str) -> list[str]:
    """The selectors of a rule; commas within brackets do not part them."""
    return re.split(r",(?![^(\[]*[)\]])", head)


def _rules(sheet: str):
    """(head, body) of each rule at the top of a style sheet; body ``None`` for a statement without one."""
    start = at = depth = 0
    head = ""
    for token in re.finditer(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|url\([^)"\']*\)|[{};]', sheet):
        if token[0] == "{":
            if depth == 0:
                head, at = sheet[start : token.start()], token.end()
            depth += 1
        elif token[0] == "}":
            depth -= 1
            if depth == 0:
                yield head, sheet[at : token.start()]
                start = token.end()
        elif token[0] == ";" and depth == 0:
            yield sheet[start : token.end()], None
            start = token.end()
