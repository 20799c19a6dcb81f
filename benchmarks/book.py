"""How long the book and the tests take, in a fresh clone of what is committed here, with a store of its own.

    python benchmarks/book.py          about 25 minutes on two cores

Writes ``book/results/book.csv`` and ``book.json``, the chapters' times to ``notebooks/timings.json``, and the table of the README.
"""

import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = ROOT / "book" / "results"
LIGHT = "14_add_your_own_method"
STEPS = (
    ("make .venv/ready", "install everything, from a near mirror"),
    ("make book", "the whole book, nothing stored"),
    ("make book", "again, nothing changed"),
    ("make book", "after an edit of one light chapter"),
    ("make book", "after an edit of the library, trained models stored"),
    ("make render", "render the recorded runs"),
    ("make check", "lint, types, layers, fast tests"),
    ("make test", "all tests, nothing stored"),
)


def prepare(what: str, clone: pathlib.Path, store: pathlib.Path) -> None:
    """What comes before a step: an edit, or emptying what would be taken from."""
    if "chapter" in what:
        text = clone / "notebooks" / f"{LIGHT}.md"
        text.write_text(text.read_text() + "\nOne more sentence.\n")
    if "library" in what:
        module = clone / "fucore" / "errors.py"
        module.write_text(module.read_text() + "\n# one more comment\n")
    if "render" in what or "all tests" in what:
        subprocess.run(["git", "checkout", "-q", "."], cwd=clone, check=True)
    if "all tests" in what:
        subprocess.run(["rm", "-rf", clone / "_build", store], check=True)


def processor() -> str:
    """Name of the processor, where Linux tells it."""
    try:
        return re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())[1]
    except (OSError, TypeError):
        return platform.processor()


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        clone, store = pathlib.Path(folder) / "fucore", pathlib.Path(folder) / "store"
        subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
        environment = {**os.environ, "FUCORE_STORE": str(store), "PYTHON": sys.executable}
        for command, what in STEPS:
            prepare(what, clone, store)
            began = time.perf_counter()
            log = subprocess.run(command.split(), cwd=clone, env=environment, capture_output=True, text=True)
            rows.append((command, what, round(time.perf_counter() - began)))
            print(*rows[-1], "" if log.returncode == 0 else f"FAILED\n{log.stdout[-2000:]}{log.stderr[-2000:]}", flush=True)
            if "nothing stored" in what and "book" in what:
                kept = {path.stem: json.loads(path.read_text()) for path in (clone / "_build" / "executed").glob("*.json")}
                seconds = {stem: round(each["seconds"]) for stem, each in kept.items()}
    text = "command,what,seconds\n" + "".join(f'{command},"{what}",{seconds}\n' for command, what, seconds in rows)
    (RESULTS / "book.csv").write_text(text)
    machine = f"{os.cpu_count()} cores of {processor()}, Python {platform.python_version()}"
    (RESULTS / "book.json").write_text(json.dumps({"machine": machine, "measured": time.strftime("%Y-%m-%d")}, indent=1) + "\n")
    (ROOT / "notebooks" / "timings.json").write_text(json.dumps(seconds, indent=1, sort_keys=True) + "\n")
    readme = ROOT / "README.md"
    readme.write_text(re.sub(r"(?s)<!-- times -->.*?<!-- /times -->", lambda _: table(), readme.read_text()))


def table() -> str:
    """The README's table of times, from the kept results."""
    lines = (RESULTS / "book.csv").read_text().splitlines()[1:]
    rows = [re.fullmatch(r'(.*?),"(.*)",(\d+)', line).groups() for line in lines]
    machine = json.loads((RESULTS / "book.json").read_text())["machine"]
    shown = [f"| `{command}` | {what} | {int(seconds) // 60} min {int(seconds) % 60:02d} s |" for command, what, seconds in rows]
    return "\n".join(["<!-- times -->", f"| {machine} | | |", "|---|---|---|", *shown, "<!-- /times -->"])


if __name__ == "__main__":
    main()
