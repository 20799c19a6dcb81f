"""Execute, record and render the book.

    python book/build.py book      execute every notebook (quick profile, embedded data) and render the fresh results
    python book/build.py record    execute every notebook and keep the results as notebooks/*.ipynb
    python book/build.py cells     format the notebooks' code, and write the comments of their parameters anew, from the catalogue
    python book/build.py render    render the recordings in notebooks/*.ipynb; needs neither torch nor a kernel

``notebooks/<name>.md`` is the only file edited by hand; ``notebooks/<name>.ipynb`` is a recorded run of it.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import nbformat

ROOT = pathlib.Path(__file__).resolve().parents[1]
NOTEBOOKS, BUILD = ROOT / "notebooks", ROOT / "_build"
NOTEBOOK_WIDTH = ("--line-length", "110")
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
    fences = list(re.finditer(r"(?ms)^```\{code-cell\} ipython3\n((?::tags: .*?\n)?\n?)(.*?)^```$", text))
    kept = ["parameters" in fence[1] for fence in fences]
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


def api_page() -> str:
    """The API reference: every public module of fucore, by package, with the packages' own words."""
    parts = ["# API reference\n\nEverything public, from its docstrings. Imports run one way, down this page.\n"]
    for package in ("", "runs", "data", "federation", "unlearning", "evaluation", "analysis", "companion"):
        folder = ROOT / "fucore" / package
        words = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
        parts.append(f"## {package or 'At the bottom'}\n\n" + (words.splitlines()[0] + "\n" if package else "Used by all packages.\n"))
        files = sorted(folder.glob("*.py")) if not package else sorted(folder.rglob("*.py"))
        names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
        names += [f"fucore.companion.{name}" for name in ("papers", "results") if package == "companion"]
        for name in names:
            if not name.rpartition(".")[2].startswith("_"):
                parts.append(f"### {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```\n")
    return "\n".join(parts)


def execute(text: pathlib.Path, folder: pathlib.Path) -> dict:
    """Run a text notebook with papermill into ``folder``, normalised; returns what it depends on, see :func:`stale`."""
    import papermill

    folder.mkdir(parents=True, exist_ok=True)
    source, target = folder / f"{text.stem}.source.ipynb", folder / f"{text.stem}.ipynb"
    nbformat.write(unexecuted(text), source)
    trace = folder / f"{text.stem}.trace"
    trace.write_text("")
    with _environment(FUCORE_RECORDING="1", FUCORE_PROGRESS="0", FUCORE_TRACE=str(trace), OMP_WAIT_POLICY="passive"):
        papermill.execute_notebook(
            source,
            target,
            kernel_name="python3",
            cwd=ROOT,
            log_output=False,
            extra_arguments=["--log-level=40"],  # the kernel's warning about its local connection is no news here
            progress_bar={"desc": text.stem, "leave": True},
        )
    source.unlink()
    nbformat.write(normalised(nbformat.read(target, 4)), target)
    depends = {"text": _sha256(text.read_bytes()), "file": {}, "reads": {}, "finds": {}}
    for kind, name, digest in map(json.loads, trace.read_text().splitlines()):
        depends[kind][name] = digest
    trace.unlink()
    return depends


def stale(recorded: dict) -> list[str]:
    """Why recordings are older than what they read, one sentence each; ``recorded``: chapter to what it depends on.

    By content: its text, the kept and printed tables it read, and what other chapters found.
    """
    found = {claim: (chapter, digest) for chapter, depends in recorded.items() for claim, digest in depends["finds"].items()}
    reasons = []
    for text in twins():
        depends = recorded.get(text.stem)
        if depends is None or depends["text"] != _sha256(text.read_bytes()):
            reasons.append(f"notebooks/{text.stem}.ipynb is a recording of another text")
            continue
        for name, digest in depends["file"].items():
            path = ROOT / "fucore" / name
            if not path.exists() or _sha256(path.read_bytes()) != digest:
                reasons.append(f"notebooks/{text.stem}.ipynb was recorded with another fucore/{name}")
        for claim, digest in depends["reads"].items():
            chapter, now = found.get(claim, ("no chapter", ""))
            if now != digest:
                reasons.append(f"notebooks/{text.stem}.ipynb lists another finding on {claim} than {chapter}")
    return reasons


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def normalised(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The same notebook without anything that differs from run to run: random ids, times, progress bars, live widgets."""
    for place, cell in enumerate(notebook.cells):
        cell.id = hashlib.sha256(f"{place}\n{cell.source}".encode()).hexdigest()[:12]
        cell.metadata = {key: value for key, value in cell.metadata.items() if key == "tags" and value}
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


def execute_all(folder: pathlib.Path) -> tuple[dict[str, int], dict[str, dict]]:
    """Execute every notebook into ``folder``; returns the seconds each took, rounded to ten, and what each depends on."""
    seconds, depends = {}, {}
    for number, text in enumerate(twins(), start=1):
        print(f"[{number}/{len(twins())}] {text.stem}", flush=True)
        began = time.perf_counter()
        depends[text.stem] = execute(text, folder)
        seconds[text.stem] = max(10, round((time.perf_counter() - began) / 10) * 10)
    return seconds, depends


def render(notebooks: pathlib.Path) -> pathlib.Path:
    """Render the book with the executed notebooks in a folder; returns its first page."""
    stage = BUILD / "stage"
    shutil.rmtree(stage, ignore_errors=True)
    shutil.copytree(ROOT / "book", stage / "book", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, stage)
    (stage / "book" / "api.md").write_text(api_page())
    (stage / "notebooks").mkdir()
    for text in twins():
        executed = notebooks / f"{text.stem}.ipynb"
        if not executed.exists():
            raise SystemExit(f"{executed.relative_to(ROOT)} is missing: run 'make record' first.")
        shutil.copy(executed, stage / "notebooks")
    shutil.copy(NOTEBOOKS / "timings.json", stage / "notebooks")
    shutil.rmtree(BUILD / "html", ignore_errors=True)
    jupyter_book = pathlib.Path(sys.executable).with_name("jupyter-book")
    command = [jupyter_book, "build", stage, "--path-output", ROOT, "-n", "-W", "--keep-going", "-q"]
    if subprocess.run(command).returncode != 0:
        raise SystemExit("The book could not be rendered; the warnings above say why.")
    return BUILD / "html" / "index.html"


@contextlib.contextmanager
def _environment(**values):
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("book", "record", "render", "cells"))
    what = parser.parse_args().what
    if what == "cells":
        for text in twins():
            text.write_text(formatted(with_comments(text.read_text())))
        return
    if what == "record":
        seconds, depends = execute_all(BUILD / "record")
        for text in twins():
            os.replace(BUILD / "record" / f"{text.stem}.ipynb", NOTEBOOKS / f"{text.stem}.ipynb")
        (NOTEBOOKS / "timings.json").write_text(json.dumps(seconds, indent=1, sort_keys=True) + "\n")
        (NOTEBOOKS / "recorded.json").write_text(json.dumps(depends, indent=1, sort_keys=True) + "\n")
        return
    if what == "render" and (reasons := stale(json.loads((NOTEBOOKS / "recorded.json").read_text()))):
        raise SystemExit("\n".join([*reasons, "Run 'make record', or 'make book' for fresh results."]))
    if what == "book":
        execute_all(BUILD / "fresh")
    first = render(BUILD / "fresh" if what == "book" else NOTEBOOKS)
    print(f"\nThe book is ready. Open {first.as_uri()}")


if __name__ == "__main__":
    main()
