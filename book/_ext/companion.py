"""The book's own Sphinx extension: a rerun box on every notebook page, local mathematics, and no foreign hosts.

* Every page made from a notebook gets, under its title, the command that reruns it and the table of its parameters,
  read from the cell tagged ``parameters``.
* ``{explorer} both`` (or ``compact``) puts the explorer of both knobs on a page without a notebook, ``{explorer} idea`` the picture of the idea,
  ``{explorer} found`` what was found; all come from kept results and need neither a kernel nor torch.
* MathJax is served from the book itself (files of the package sphinx-mathjax-offline).
* The build fails when a page would load anything from another host.
"""

from __future__ import annotations

import ast
import json
import pathlib
import re
import shutil
import sys

import sphinx
from docutils import nodes
from docutils.parsers.rst import Directive
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
            "cite": front.cite,
        }
        if self.arguments[0] not in makers:
            raise self.error(f"there is no explorer {self.arguments[0]!r}, only: {', '.join(makers)}.")
        return [nodes.raw("", makers[self.arguments[0]](), format="html")]


def drop_thebe(app, page, template, context, doctree):
    """Jupyter Book always adds Thebe's scripts, twice, which is an error in the browser; the book has no live kernels to offer."""
    context["script_files"] = [
        file for file in context.get("script_files", []) if "thebe" not in f"{file}{getattr(file, 'attributes', '')}".lower()
    ]


def add_mathjax(app, exception):
    """Copy MathJax and its fonts out of the package whose name Python cannot import."""
    if exception is not None or app.builder.format != "html":
        return
    package = pathlib.Path(sphinx.__file__).parents[1] / "sphinx-mathjax-offline"
    source, target = package / "static" / "mathjax", pathlib.Path(app.outdir) / "_static" / "mathjax"
    fonts = pathlib.Path("output/chtml/fonts/woff-v2")
    shutil.copytree(source / fonts, target / fonts, dirs_exist_ok=True)
    shutil.copy(source / "tex-chtml-full.js", target)


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
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("build-finished", add_mathjax)
    app.connect("build-finished", forbid_foreign_hosts)
    return {"version": "1", "parallel_read_safe": True}
