"""The book's own Sphinx extension: a rerun box on every notebook page, local mathematics, and no foreign hosts.

* Every page made from a notebook gets, under its title, the command that reruns it and the table of its parameters,
  read from the cell tagged ``parameters``.
* ``{explorer} both`` (or ``compact``) puts the explorer of both knobs on a page without a notebook, ``{explorer} idea`` the picture of the idea,
  ``{explorer} found`` what was found; all come from kept results and need neither a kernel nor torch.
* Mathematics is MathML, which browsers typeset and screen readers read without a script; ``\\tag{14}`` gives an equation the number it is printed with.
* Every page says what it is about to those who link to it, and how it is cited.
* The build fails when a page would load anything from another host.
"""

from __future__ import annotations

import ast
import html
import json
import pathlib
import re
import sys

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.utils.math.latex2mathml import tex2mathml
from finishing import finish
from sphinx.ext.autodoc.mock import mock
from sphinx.util import logging

logger = logging.getLogger(__name__)

# the API page imports fucore from the sources beside the book, whether or not the package is installed
sys.path.insert(0, str(next(folder for folder in pathlib.Path(__file__).resolve().parents if (folder / "fucore" / "__init__.py").exists())))

LOADS = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\bsrc\s*=\s*["'](?:https?:)?//([^/"']+)|<link\b(?=[^>]*\brel\s*=\s*["'](?:stylesheet|preload|icon|shortcut icon|preconnect)["'])[^>]*?\bhref\s*=\s*["'](?:https?:)?//([^/"']+)""",
    re.I,
)
STYLES = re.compile(r"""@import\s+(?:url\()?["']?(?:https?:)?//([^/"')]+)|url\(\s*["']?(?:https?:)?//([^/"')]+)""", re.I)


def parameters_of(notebook: dict) -> list[tuple[str, str, str]]:
    """(name, default, comment) of each assignment in the notebook's cell tagged ``parameters``."""
    cell = next((cell for cell in notebook["cells"] if "parameters" in cell.get("metadata", {}).get("tags", [])), None)
    if cell is None:
        return []
    source = "".join(cell["source"])
    lines = source.splitlines()
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign):
            comment = lines[node.end_lineno - 1].partition("#")[2].strip()
            found.append((node.targets[0].id, ast.unparse(node.value), comment))
    return found


def add_rerun_box(app, doctree):
    path = pathlib.Path(app.env.doc2path(app.env.docname))
    if path.suffix != ".ipynb":
        return
    notebook = json.loads(path.read_text())
    parameters = parameters_of(notebook)
    title = next(doctree.findall(nodes.title), None)
    if not parameters or title is None:
        return
    name = path.stem
    example = [
        f"-p {key} {value}"
        for key, value in (("pruning_ratio", "0.6"), ("alpha", "0.1"), ("seed", "3"))
        if key in {key for key, *_ in parameters}
    ]
    command = " ".join([f"papermill notebooks/{name}.ipynb out.ipynb", *example])
    timings = path.parent / "timings.json"
    seconds = json.loads(timings.read_text()).get(name) if timings.exists() else None
    box = nodes.admonition(classes=["rerun", "dropdown", "note"])
    box += nodes.title("", "Run this page yourself")
    if seconds is not None:
        box += nodes.paragraph(
            "",
            f"The quick profile took {seconds} s on one core with nothing stored; a second time the trained models are taken from the store.",
        )
    box += nodes.paragraph("", "With other parameters, in the environment that make book sets up (.venv/bin):")
    box += nodes.literal_block(command, command, language="bash")
    box += _table(("parameter", "default", "meaning"), parameters)
    title.parent.insert(title.parent.index(title) + 1, box)


def _table(head, rows):
    table = nodes.table(classes=["parameters"])
    group = nodes.tgroup(cols=len(head))
    table += group
    for _ in head:
        group += nodes.colspec(colwidth=1)
    header, body = nodes.thead(), nodes.tbody()
    group += [header, body]
    for part, cells_of in ((header, [head]), (body, rows)):
        for cells in cells_of:
            row = nodes.row()
            for place, text in enumerate(cells):
                entry = nodes.entry()
                content = nodes.literal(text, text) if part is body and place < 2 else nodes.Text(text)
                entry += nodes.paragraph("", "", content)
                row += entry
            part += row
    return table


class Explorer(Directive):
    """Kept results as an explorer or a picture."""

    required_arguments = 1

    def run(self):
        with mock(self.state.document.settings.env.config.autodoc_mock_imports):  # the page is rendered where there is no torch
            from fucore import explorers
            from fucore.companion import front
        makers = {
            "both": lambda: explorers.both().to_html(),
            "compact": lambda: explorers.both(compact=True).to_html(),
            "idea": front.idea_picture,
            "found": front.found,
        }
        if self.arguments[0] not in makers:
            raise self.error(f"there is no explorer {self.arguments[0]!r}, only: {', '.join(makers)}.")
        return [nodes.raw("", makers[self.arguments[0]](), format="html")]


def inline_mathematics(self, node):
    """An expression within a line."""
    self.body.append(mathml(node))
    raise nodes.SkipNode


def displayed_mathematics(self, node):
    """An equation on a line of its own, with its number if it has one."""
    self.body.append(self.starttag(node, "div", CLASS="math"))
    if number := re.search(r"\\tag\{(.*?)\}", node.astext()):
        self.body.append(f'<span class="eqno">({number[1]})</span>')
    self.body.append(mathml(node, block=True) + "</div>")
    raise nodes.SkipNode


def number_as_printed(app, doctree):
    """References to an equation with a ``\\tag`` show the number it is printed with."""
    for node in doctree.findall(nodes.math_block):
        number = re.search(r"\\tag\{(.*?)\}", node.astext())
        if number and node.get("label"):
            app.env.get_domain("math").equations[node["label"]] = (app.env.docname, number[1])


def mathml(node, block: bool = False) -> str:
    """The TeX of a node as MathML; a warning, which fails the build, where it is not understood."""
    try:
        found = tex2mathml(re.sub(r"\\tag\{.*?\}", "", node.astext()), as_block=block)
        return re.sub("<mo>([‖⌊⌋])</mo>", r'<mo stretchy="false">\1</mo>', found)  # no taller than what they stand beside
    except Exception as error:
        logger.warning("mathematics that is not understood: %s (%s)", node.astext(), error, location=node)
        return f"<code>{html.escape(node.astext())}</code>"


def introduce(app, page, template, context, doctree):
    """What a page is about, for search engines and for previews of links to it; addresses only where the book has one (``html.baseurl``)."""
    cite = context["pathto"]("book/cite").rstrip("#")  # of that page itself it is only a #
    context["theme_extra_footer"] = f'<p><a href="{cite or "#"}">Cite this page</a> · <a href="{cite}#licence">Licence: MIT</a></p>'
    if doctree is None:
        return
    first = next((each.astext() for each in doctree.findall(nodes.paragraph) if isinstance(each.parent, nodes.section)), "")
    words = " ".join(first.split())
    words = words if len(words) < 200 else words[:200].rpartition(" ")[0] + " …"
    title = html.escape(re.sub("<[^>]*>", "", context["title"]))
    words = words or f"{title} of the book: {app.config.html_title}"
    told = {"og:type": "article", "og:title": title, "og:description": words, "og:site_name": app.config.html_title}
    if app.config.html_baseurl:
        address = app.config.html_baseurl.rstrip("/")
        told |= {"og:url": f"{address}/{page}.html", "og:image": f"{address}/_static/preview.png"}
    tags = [f'<meta name="description" content="{html.escape(words)}" />', '<meta name="twitter:card" content="summary" />']
    tags += [f'<meta property="{name}" content="{html.escape(content, quote=True)}" />' for name, content in told.items()]
    context["metatags"] = context.get("metatags", "") + "\n".join(tags)


def map_the_site(app, exception):
    """``sitemap.xml``, where the book has an address."""
    if exception is None and app.builder.format == "html" and app.config.html_baseurl:
        address = app.config.html_baseurl.rstrip("/")
        pages = "".join(f"<url><loc>{address}/{page}.html</loc></url>" for page in sorted(app.env.found_docs))
        sitemap = f'<?xml version="1.0" encoding="utf-8"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{pages}</urlset>'
        (pathlib.Path(app.outdir) / "sitemap.xml").write_text(sitemap)


def forbid_foreign_hosts(app, exception):
    if exception is not None or app.builder.format != "html":
        return
    folder = pathlib.Path(app.outdir)
    for path in sorted(folder.rglob("*.html")):
        for hosts in LOADS.findall(path.read_text(errors="ignore")):
            logger.warning("%s loads from another host: %s", path.relative_to(folder), "".join(hosts))
    for path in sorted(folder.rglob("*.css")):
        for hosts in STYLES.findall(path.read_text(errors="ignore")):
            logger.warning("%s loads from another host: %s", path.relative_to(folder), "".join(hosts))


def setup(app):
    app.add_directive("explorer", Explorer)
    app.connect("doctree-read", add_rerun_box)
    app.connect("doctree-read", number_as_printed)
    app.add_html_math_renderer("mathml", (inline_mathematics, None), (displayed_mathematics, None))
    app.connect("html-page-context", introduce)
    app.connect("build-finished", map_the_site)
    app.connect("build-finished", finish)
    app.connect("build-finished", forbid_foreign_hosts)
    return {"version": "1", "parallel_read_safe": True}
