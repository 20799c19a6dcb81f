"""The chapters as texts and as notebooks: ``notebooks/<name>.md`` is edited by hand, ``notebooks/<name>.ipynb`` is a recorded run of it."""

from __future__ import annotations

import hashlib
import pathlib
import re
import subprocess
import sys
import tempfile

import nbformat

ROOT = pathlib.Path(__file__).resolve().parents[1]
NOTEBOOKS, BUILD = ROOT / "notebooks", ROOT / "_build"
NOTEBOOK_WIDTH = ("--line-length", "110")
KEPT = ("tags", "mystnb")  # of a cell's metadata: what is done with it, and how its figure is shown
WIDGETS = ("application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json")


def twins() -> list[pathlib.Path]:
    """The text notebooks, in reading order."""
    return sorted(NOTEBOOKS.glob("*.md"))


def unexecuted(text: pathlib.Path) -> nbformat.NotebookNode:
    """The notebook that a text twin describes, with stable cell ids and no outputs."""
    import jupytext

    return normalised(jupytext.read(text))


def with_comments(text: str) -> str:
    """A text notebook whose parameters say what they are and may be, as :func:`fucore.companion.params.comment` has it."""
    from fucore.companion.params import comment

    lines, inside = [], False
    for line in text.split("\n"):
        inside = ":tags: [parameters" in line or (inside and line != "```")
        found = re.match(r"(\w+) = (.*?)  # ", line) if inside else None
        lines.append(f"{found[1]} = {found[2]}  # {comment(found[1])}" if found else line)
    return "\n".join(lines)


def formatted(text: str) -> str:
    """A text notebook with its code formatted by ruff, as cells of a notebook: the semicolon that hides an output stays."""
    fences = list(re.finditer(r"(?ms)^```\{code-cell\} ipython3\n((?::tags: .*?\n|---\n.*?^---\n)?\n?)(.*?)^```$", text))
    kept = ["tags: [parameters" in fence[1] for fence in fences]
    cells = [nbformat.v4.new_code_cell(fence[2].rstrip("\n")) for fence, keep in zip(fences, kept) if not keep]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "notebook.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        ruff = pathlib.Path(sys.executable).with_name("ruff")
        subprocess.run([ruff, "format", "-q", "--config", ROOT / "pyproject.toml", *NOTEBOOK_WIDTH, path], check=True)
        sources = iter(cell.source for cell in nbformat.read(path, 4).cells)
    parts, end = [], 0
    for fence, keep in zip(fences, kept):
        parts += [text[end : fence.start(2)], fence[2] if keep else next(sources) + "\n"]
        end = fence.end(2)
    return "".join([*parts, text[end:]])


def normalised(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The same notebook without anything that differs from run to run: random ids, times, progress bars, live widgets."""
    for place, cell in enumerate(notebook.cells):
        cell.id = hashlib.sha256(f"{place}\n{cell.source}".encode()).hexdigest()[:12]
        cell.metadata = {key: value for key, value in cell.metadata.items() if key in KEPT and value}
        if cell.cell_type == "code":
            cell.outputs = _joined([_plain_output(output) for output in cell.outputs if output.get("name") != "stderr"])
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "jupytext": {"text_representation": {"extension": ".md", "format_name": "myst"}},
    }
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def _joined(outputs: list) -> list:
    """Printed text in one piece: a busy machine's kernel sends it in several."""
    joined = []
    for output in outputs:
        if joined and output.output_type == joined[-1].output_type == "stream":
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def _plain_output(output):
    if "data" in output:
        output["data"] = {kind: content for kind, content in output["data"].items() if kind not in WIDGETS}
        if "text/plain" in output["data"]:  # an object without a name of its own is called by its address
            output["data"]["text/plain"] = re.sub(r" at 0x[0-9a-f]+", "", output["data"]["text/plain"])
    if "metadata" in output:
        output["metadata"] = {}
    return output
