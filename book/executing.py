"""Execute the chapters of the book: only those whose sources changed, side by side, each in a process and a kernel of its own.

An execution is kept in ``_build/executed`` with all that it depended on: its text, the files of the repository that it read, the
modules of fucore that it imported, what other chapters found, what is installed, and the kind of machine.  It is shown again
only if all of that is the same, by content.  (jupyter-cache, which comes with Jupyter Book, keeps by the text of the code
cells alone: it would show yesterday's results of a library that was changed today.)

    python book/executing.py <chapter>      one chapter, as the book executes it; the parent holds its standard input open
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import threading
import time

import kernels
import nbformat
from texts import BUILD, NOTEBOOKS, ROOT, normalised, twins, unexecuted

FOLDER = BUILD / "executed"
FINDINGS = FOLDER / "findings"
#: For every kernel.  One thread for each operation of torch, on any machine: a sum's last bit may depend on their number.
SETTINGS = {"FUCORE_RECORDING": "1", "FUCORE_PROGRESS": "0", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
#: Kinds of what a chapter depends on, as its trace names them.
KINDS = ("file", "folder", "code", "reads", "finds")


# ---- what is kept, and whether it may be shown


def why_stale(text: pathlib.Path) -> str | None:
    """Why a chapter must be executed, in words, or ``None`` if what is kept is of its present sources."""
    kept = _kept(text.stem)
    if kept is None:
        return "it was not executed yet"
    if kept["text"] != _sha256(text.read_bytes()):
        return "its text changed"
    if kept["environment"] != environment():
        return "other versions are installed, or this is another machine"
    for name, digest in (kept["file"] | kept["folder"] | kept["code"]).items():
        if digest_of(ROOT / name) != digest:
            return f"{name} changed"
    for claim, digest in kept["finds"].items():
        if _found(claim) != digest:
            return f"what it found about {claim} was overwritten"
    if kept["reads"] and kept["reads"] != findings():
        return "other chapters found something else"
    return None


def _kept(stem: str) -> dict | None:
    """What the kept execution of a chapter depended on; ``None`` if there is none, or a damaged one."""
    with contextlib.suppress(OSError, ValueError):
        kept = json.loads((FOLDER / f"{stem}.json").read_text())
        if {"notebook", "text", "environment", "seconds", *KINDS} <= set(kept):
            return kept if _sha256((FOLDER / f"{stem}.ipynb").read_bytes()) == kept["notebook"] else None
    return None


def _found(claim: str) -> str | None:
    with contextlib.suppress(OSError, ValueError, KeyError):
        return json.loads((FINDINGS / f"{claim}.json").read_text())["content"]
    return None


def findings() -> dict[str, str]:
    """What the kept executions of all chapters found: claim to digest."""
    found: dict[str, str] = {}
    for kept in filter(None, (_kept(text.stem) for text in twins())):
        found |= kept["finds"]
    return found


@functools.cache
def environment() -> str:
    """Digest of what is installed, of the interpreter and of the kind of machine: equal where the same bits are to be expected."""
    installed = sorted({(each.metadata["Name"], each.version) for each in importlib.metadata.distributions()})
    return _sha256(json.dumps([installed, sys.version, platform.machine(), sys.platform, _processor()]).encode())


def _processor() -> list[str]:
    """Model and instructions of the first core, which decide what the libraries of linear algebra choose."""
    with contextlib.suppress(OSError):
        lines = pathlib.Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        return [line for line in lines if line.startswith(("model", "flags", "vendor_id", "Features", "CPU part"))]
    return [platform.processor()]


def digest_of(path: pathlib.Path) -> str:
    """As the tracing in the kernel has it: of a file's content, or of the names in a folder."""
    if path.is_dir():
        names = sorted(name for name in os.listdir(path) if name != "__pycache__" and not name.endswith((".py", ".pyc")))
        return _sha256("\n".join(names).encode())
    return _sha256(path.read_bytes()) if path.is_file() else ""


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def depends(stem: str) -> dict:
    """What the kept execution of a chapter depended on, without what is true of this machine only."""
    kept = _kept(stem) or {}
    return {key: kept[key] for key in ("text", "file", "folder", "reads", "finds")}


# ---- one chapter, in a process of its own


def execute(text: pathlib.Path) -> None:
    """Run a text notebook with papermill and keep the execution; raises ``SystemExit`` with one sentence if a cell fails."""
    import papermill

    FOLDER.mkdir(parents=True, exist_ok=True)
    stem, began = text.stem, time.perf_counter()
    source, target, trace = (FOLDER / f"{stem}.{kind}" for kind in ("source.ipynb", "running.ipynb", "trace"))
    kept = {"text": _sha256(text.read_bytes()), "environment": environment(), **{kind: {} for kind in KINDS}}
    nbformat.write(unexecuted(text), source)
    trace.write_text("")
    os.environ.update(FUCORE_TRACE=str(trace), FUCORE_FINDINGS=str(FINDINGS), **SETTINGS)
    quiet = {"log_output": False, "progress_bar": False, "extra_arguments": ["--log-level=40"]}
    try:
        papermill.execute_notebook(source, target, kernel_name=os.environ.get("FUCORE_KERNEL", "python3"), cwd=ROOT, **quiet)
        notebook = normalised(nbformat.read(target, 4))
        for kind, name, digest in map(json.loads, trace.read_text().splitlines()):
            if kept[kind].setdefault(name, digest) != digest:  # changed meanwhile: whichever was used, it is not what is there
                kept[kind][name] = "changed while the chapter ran"
        nbformat.write(notebook, target)
        kept |= {"notebook": _sha256(target.read_bytes()), "seconds": round(time.perf_counter() - began, 1)}
        os.replace(target, FOLDER / f"{stem}.ipynb")
        source.write_text(json.dumps(kept, indent=1, sort_keys=True))
        os.replace(source, FOLDER / f"{stem}.json")  # last: without it, or with another notebook, the execution does not count
    except papermill.PapermillExecutionError as error:
        last = (error.evalue.strip().splitlines() or [""])[-1]
        raise SystemExit(f"{stem} failed in cell {error.exec_count}: {error.ename}: {last}") from None
    finally:
        for path in (source, target, trace):
            path.unlink(missing_ok=True)


def _end_with_parent() -> None:
    """Stop this process and its kernel when the parent is gone, however it ended: its end of standard input is closed then."""
    while os.read(0, 1):  # not sys.stdin, whose lock this thread would hold when the interpreter ends
        pass
    _kill(os.getpid(), itself=False)
    os._exit(1)


def _kill(process: int, itself: bool = True) -> None:
    """Kill a process and all below it, kernels included, which have sessions of their own."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(process)
        for each in [*root.children(recursive=True), *([root] if itself else [])]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()


# ---- all chapters


@dataclasses.dataclass
class Running:
    """A chapter that is being executed."""

    text: pathlib.Path
    process: subprocess.Popen
    began: float


def execute_all(texts: list[pathlib.Path] | None = None, jobs: int | None = None) -> list[str]:
    """Execute the chapters (all without ``texts``) that are stale, ``jobs`` at a time (as many as there are cores), longest first.

    Chapters that read what others found come last, and not at all if one of those failed.  Returns the sentences of what
    failed; what succeeded is kept in any case.
    """
    texts = twins() if texts is None else texts
    readers = [text for text in texts if "findings.noted(" in text.read_text()]
    with contextlib.ExitStack() as stack:
        server = Server(stack)
        failed = _side_by_side([text for text in texts if text not in readers and why_stale(text)], len(texts), jobs, server)
        if failed:
            return [*failed, *(f"{text.stem} was not executed: it lists what the others found." for text in readers)]
        known = findings()
        for path in FINDINGS.glob("*.json"):
            if path.stem not in known:
                path.unlink()
        return _side_by_side([text for text in readers if why_stale(text)], len(texts), jobs, server)


class Server:
    """The process whose forks are the kernels of a build, see :mod:`kernels`; started when first needed."""

    def __init__(self, stack: contextlib.ExitStack):
        self.stack = stack

    @functools.cached_property
    def environment(self) -> dict[str, str]:
        """What a chapter's process needs to know; nothing where the server cannot import (the chapters then say what is wrong)."""
        folder = pathlib.Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="fucore-")))
        address = folder / "socket"
        process = self.stack.enter_context(
            subprocess.Popen(
                [sys.executable, kernels.__file__, "serve", address],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **SETTINGS},
                cwd=ROOT,
                start_new_session=True,
            )
        )
        while not address.exists():
            if process.poll() is not None:
                return {}
            time.sleep(0.05)
        return {"FUCORE_KERNEL": kernels.kernelspec(folder, str(address)), "JUPYTER_PATH": str(folder)}


def _side_by_side(texts: list[pathlib.Path], of: int, jobs: int | None, server: Server) -> list[str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = min(jobs or cores, len(texts))
    measured, seconds = timings(), expected()
    failed, running, done = [], [], of - len(texts)
    waiting = sorted(texts, key=lambda text: -measured[text.stem])  # by what they take cold
    line = Line()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(_start(waiting.pop(0), max(1, cores // jobs), server))
            for each in [each for each in running if each.process.poll() is not None]:
                running.remove(each)
                done += 1
                if each.process.returncode:
                    failed.append(_failure(each.text.stem))
                    line.say(failed[-1])
                else:
                    line.say(f"{each.text.stem}: {time.perf_counter() - each.began:.0f} s", lasting=False)
            now = time.perf_counter()
            left = [max(1.0, seconds[each.text.stem] - (now - each.began)) for each in running]
            left += [seconds[text.stem] for text in waiting]
            if left:
                least = max(sum(left) / jobs, *left)
                line.show(f"{done} of {of} chapters · running {', '.join(each.text.stem for each in running)} · {_duration(least)} left")
            time.sleep(0.1)
    finally:
        line.clear()
        for each in running:  # interrupted
            _kill(each.process.pid)
    return failed


def _start(text: pathlib.Path, workers: int, server: Server) -> Running:
    FOLDER.mkdir(parents=True, exist_ok=True)
    process_environment = {"FUCORE_WORKERS": str(workers), **os.environ, **server.environment}
    with open(FOLDER / f"{text.stem}.log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, __file__, text.stem],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=process_environment,
            start_new_session=True,  # Ctrl-C is this process's to answer
        )
    return Running(text, process, time.perf_counter())


def _failure(stem: str) -> str:
    lines = [line for line in (FOLDER / f"{stem}.log").read_text(errors="replace").splitlines() if line.strip()]
    last = lines[-1] if lines else "its process was killed (out of memory?)"
    return last if last.startswith(stem) else f"{stem} failed: {last}"


def expected() -> dict[str, float]:
    """Seconds that each chapter took when it was last executed here, else where the times of the book were measured."""
    measured = timings()
    kept = {text.stem: _kept(text.stem) for text in twins()}
    return {stem: float(each["seconds"] if each else measured[stem]) for stem, each in kept.items()}


def timings() -> dict[str, float]:
    """Seconds that each chapter takes with nothing stored, by ``benchmarks/book.py``."""
    measured = json.loads((NOTEBOOKS / "timings.json").read_text())
    return {text.stem: float(measured.get(text.stem, 30)) for text in twins()}


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 100 else f"{seconds:.0f} s"


class Line:
    """One line of progress: rewritten in a terminal; elsewhere a line when something is said, and once a minute."""

    def __init__(self):
        self.live, self.shown, self.last = sys.stderr.isatty(), "", 0.0

    def show(self, words: str) -> None:
        """What is going on."""
        if self.live and words != self.shown:
            width = os.get_terminal_size(sys.stderr.fileno()).columns - 1
            sys.stderr.write("\r\033[K" + words[:width])
        elif not self.live and time.monotonic() - self.last > 60:
            self.last = time.monotonic()
            sys.stderr.write(words + "\n")
        sys.stderr.flush()
        self.shown = words

    def say(self, words: str, lasting: bool = True) -> None:
        """Something that stays readable; without ``lasting``, only where there is no terminal."""
        if lasting or not self.live:
            self.clear()
            sys.stderr.write(words + "\n")
            sys.stderr.flush()

    def clear(self) -> None:
        """Leave the line empty."""
        if self.live and self.shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    execute(NOTEBOOKS / f"{sys.argv[1]}.md")
