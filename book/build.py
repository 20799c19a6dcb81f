"""Execute, record and render the book.

    python book/build.py book      execute every chapter that changed (quick profile, embedded data) and render the fresh results
    python book/build.py execute   only execute them
    python book/build.py record    execute them and keep the results as notebooks/*.ipynb
    python book/build.py cells     format the notebooks' code, and write the comments of their parameters anew, from the catalogue
    python book/build.py render    render the recordings in notebooks/*.ipynb; needs neither torch nor a kernel

``--chapter 06`` executes one chapter alone.  ``notebooks/<name>.md`` is the only file edited by hand; ``notebooks/<name>.ipynb``
is a recorded run of it.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

import executing
from texts import BUILD, NOTEBOOKS, ROOT, formatted, twins, with_comments

HTML = BUILD / "html"
FILES = ("_config.yml", "_toc.yml", "CITATION.cff", "LICENSE")  # of the root, that pages show or are made by
SOURCES = (ROOT / "book", ROOT / "fucore", *(ROOT / name for name in FILES), NOTEBOOKS / "timings.json")


def api_pages() -> dict[str, str]:
    """The API reference: a page for each package of fucore (``bottom``: what all use), and ``api``, which lists them."""
    pages, listed = {}, ["# API reference\n\nEverything public, from its docstrings. Imports run one way, down this list.\n"]
    for package in ("", "runs", "data", "federation", "unlearning", "evaluation", "analysis", "companion"):
        folder, page = ROOT / "fucore" / package, package or "bottom"
        words = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) if package else "What all packages use."
        parts = [f"# {package or 'At the bottom'}\n\n{(words or '').splitlines()[0]}\n"]
        files = sorted(folder.glob("*.py")) if not package else sorted(folder.rglob("*.py"))
        names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
        names += [f"fucore.companion.{name}" for name in ("papers", "results") if package == "companion"]
        for name in names:
            if not name.rpartition(".")[2].startswith("_"):
                parts.append(f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```\n")
        pages[f"api_{page}"] = "\n".join(parts)
        listed.append(f"{{doc}}`api_{page}`\n: {parts[0].splitlines()[-1]}\n")
    return {"api": "\n".join(listed), **pages}


def stale(recorded: dict) -> list[str]:
    """Why recordings are older than what they read, one sentence each; ``recorded``: chapter to what it depends on.

    By content: its text, the kept and printed tables it read, and what other chapters found.
    """
    found = {claim: (chapter, digest) for chapter, depends in recorded.items() for claim, digest in depends["finds"].items()}
    reasons = []
    for text in twins():
        depends = recorded.get(text.stem)
        if depends is None or depends["text"] != hashlib.sha256(text.read_bytes()).hexdigest():
            reasons.append(f"notebooks/{text.stem}.ipynb is a recording of another text")
            continue
        for name, digest in (depends["file"] | depends["folder"]).items():
            if executing.digest_of(ROOT / name) != digest:
                reasons.append(f"notebooks/{text.stem}.ipynb was recorded with another {name}")
        for claim, digest in depends["reads"].items():
            chapter, now = found.get(claim, ("no chapter", ""))
            if now != digest:
                reasons.append(f"notebooks/{text.stem}.ipynb lists another finding on {claim} than {chapter}")
    return reasons


def render(notebooks: dict[str, pathlib.Path]) -> pathlib.Path:
    """Render the book with these executed notebooks, by chapter; returns its first page.

    A book that was rendered from the same bytes stays as it is; the old one stays until the new one is complete.
    """
    for path in notebooks.values():
        if not path.exists():
            raise SystemExit(f"{path.relative_to(ROOT)} is missing: run 'make record' first.")
    made_from = _made_from(notebooks)
    with contextlib.suppress(OSError, ValueError):
        if json.loads((HTML / ".made").read_text()) == {"from": made_from, "files": _sizes(HTML)}:
            return HTML / "index.html"
    stage, fresh = BUILD / "stage", BUILD / "rendering"
    shutil.rmtree(stage, ignore_errors=True)
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(ROOT / "book", stage / "book", ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, stage)
    for name, text in api_pages().items():
        (stage / "book" / f"{name}.md").write_text(text)
    (stage / "notebooks").mkdir()
    for path in (*notebooks.values(), NOTEBOOKS / "timings.json"):
        shutil.copy(path, stage / "notebooks")
    jupyter_book = pathlib.Path(sys.executable).with_name("jupyter-book")
    command = [jupyter_book, "build", stage, "--path-output", fresh, "-n", "-W", "--keep-going", "-q"]
    if subprocess.run(command).returncode != 0:
        raise SystemExit("The book could not be rendered; the warnings above say why.")
    html = fresh / "_build" / "html"
    (html / ".made").write_text(json.dumps({"from": made_from, "files": _sizes(html)}))
    shutil.rmtree(HTML, ignore_errors=True)
    os.replace(html, HTML)
    shutil.rmtree(fresh, ignore_errors=True)
    return HTML / "index.html"


def _made_from(notebooks: dict[str, pathlib.Path]) -> str:
    files = [*notebooks.values()]
    for source in SOURCES:
        files += sorted(each for each in source.rglob("*") if "__pycache__" not in each.parts) if source.is_dir() else [source]
    parts = [(each.name, hashlib.sha256(each.read_bytes()).hexdigest()) for each in files if each.is_file()]
    return hashlib.sha256(json.dumps([parts, executing.environment()]).encode()).hexdigest()


def _sizes(folder: pathlib.Path) -> dict[str, int]:
    return {
        str(each.relative_to(folder)): each.stat().st_size for each in sorted(folder.rglob("*")) if each.is_file() and each.name != ".made"
    }


@contextlib.contextmanager
def alone():
    """Builds of one book, one after the other: they share ``_build``."""
    BUILD.mkdir(exist_ok=True)
    with open(BUILD / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another build of this book to end.", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def chapter_of(name: str) -> pathlib.Path:
    """The text of a chapter by its number or the beginning of its name; raises ``SystemExit`` if there is none, or several."""
    found = [text for text in twins() if text.stem.startswith(name)]
    if len(found) != 1:
        raise SystemExit(
            f"{name!r} is {'several chapters' if found else 'no chapter'}: choose of {', '.join(text.stem for text in twins())}."
        )
    return found[0]


def execute(chapters: list[pathlib.Path] | None) -> None:
    """Execute what is stale of these chapters, all without them; raises ``SystemExit`` with what failed."""
    try:
        failed = executing.execute_all(chapters)
    except KeyboardInterrupt:
        raise SystemExit("Stopped. What is finished is kept; the next call goes on from there.") from None
    if failed:
        raise SystemExit(
            f"{len(failed)} of {len(twins())} chapters were not executed (above); the others are kept. The next call tries again."
        )


def shown(chapters: list[pathlib.Path] | None) -> dict[str, pathlib.Path]:
    """The notebook to show of each chapter: its execution, or for one that was not asked for and has none its recording."""
    paths = {}
    for text in twins():
        executed = executing.FOLDER / f"{text.stem}.ipynb"
        if chapters is not None and text not in chapters and (why := executing.why_stale(text)):
            print(f"{text.stem} is shown as it was {'executed' if executed.exists() else 'recorded'} before: {why}.")
        paths[text.stem] = executed if executed.exists() or chapters is None else NOTEBOOKS / executed.name
    return paths


def record() -> None:
    """Keep the executions of all chapters as recordings, with what they depend on."""
    depends = {text.stem: executing.depends(text.stem) for text in twins()}
    for text in twins():
        shutil.copy(executing.FOLDER / f"{text.stem}.ipynb", NOTEBOOKS)
    (NOTEBOOKS / "recorded.json").write_text(json.dumps(depends, indent=1, sort_keys=True) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("book", "execute", "record", "render", "cells"))
    parser.add_argument("--chapter", default="", help="execute this one alone, such as 06")
    arguments = parser.parse_args()
    what, chapters = arguments.what, [chapter_of(arguments.chapter)] if arguments.chapter else None
    if what == "cells":
        for text in twins():
            text.write_text(formatted(with_comments(text.read_text())))
        return
    with alone():
        if what != "render":
            execute(chapters)
        if what == "record":
            record()
        elif what == "render":
            if reasons := stale(json.loads((NOTEBOOKS / "recorded.json").read_text())):
                raise SystemExit("\n".join([*reasons, "Run 'make record', or 'make book' for fresh results."]))
        if what in ("book", "render"):
            notebooks = shown(chapters) if what == "book" else {text.stem: NOTEBOOKS / f"{text.stem}.ipynb" for text in twins()}
            print(f"\nThe book is ready. Open {render(notebooks).as_uri()}")


if __name__ == "__main__":
    main()
