"""What a chapter depends on and what it finds, told to who executes the book: nothing is shown that is older than its sources."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
_told: set[tuple[str, str]] = set()
_inside = threading.local()


def trace(kind: str, name: str, digest: str) -> None:
    """Append (kind, name, digest of the content) to the file ``$FUCORE_TRACE``, if somebody wants to know.

    ``kind``: ``reads`` or ``finds`` (name is a claim), ``file``, ``folder`` or ``code`` (name is a path in the repository).
    """
    path = os.environ.get("FUCORE_TRACE")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps([kind, name, digest]) + "\n")


def _watch(event: str, arguments: tuple) -> None:
    """An audit hook: tells of every file of the repository that is read, every folder listed and every module of fucore imported."""
    if event not in ("open", "import", "os.listdir", "os.scandir") or getattr(_inside, "hook", False):
        return
    _inside.hook = True
    try:
        if event == "import":
            _imported(arguments[0])
        elif event == "open":
            if isinstance(arguments[0], (str, os.PathLike)) and (arguments[2] or 0) & os.O_ACCMODE != os.O_WRONLY:
                _reached("file", arguments[0])
        elif isinstance(arguments[0], (str, os.PathLike)) and "importlib" not in sys._getframe(1).f_code.co_filename:
            _reached("folder", arguments[0])
    except OSError:
        pass  # whoever opens it is told so
    finally:
        _inside.hook = False


def _reached(kind: str, path) -> None:
    path = pathlib.Path(os.path.abspath(path))
    if not path.is_relative_to(ROOT):
        return
    if not (path.is_file() if kind == "file" else path.is_dir()):
        if not path.exists() and not _made(path):  # looked for, and not there yet
            trace("file", str(path.relative_to(ROOT)), "")
        return
    name = path.relative_to(ROOT)
    if path.suffix not in (".py", ".pyc") and not _made(path):
        _tell(kind, str(name), path.read_bytes() if kind == "file" else listing(path))


def _made(path: pathlib.Path) -> bool:
    """Whether a path is of something that was made here, and is no source."""
    return any(
        part.startswith((".", "_build", "__pycache__", "__editable__")) or part.endswith((".egg-info", ".pyc"))
        for part in path.relative_to(ROOT).parts
    )


def listing(folder: pathlib.Path) -> bytes:
    """The names in a folder, Python's own files excepted."""
    return "\n".join(sorted(name for name in os.listdir(folder) if name != "__pycache__" and not name.endswith((".py", ".pyc")))).encode()


def _imported(module: str) -> None:
    """A module of this repository, wherever it is found: in a package, or beside what imports it."""
    places = [ROOT, *(pathlib.Path(entry or ".").absolute() for entry in sys.path)]
    for place in places:
        stem = place.joinpath(*module.split("."))
        path = next((path for path in (stem / "__init__.py", stem.with_suffix(".py")) if path.is_file()), None)
        if path is not None and path.is_relative_to(ROOT) and not _made(path):
            _tell("code", str(path.relative_to(ROOT)), path.read_bytes())
            return


def _tell(kind: str, name: str, content: bytes) -> None:
    if (kind, name) not in _told:
        _told.add((kind, name))
        trace(kind, name, hashlib.sha256(content).hexdigest())


if os.environ.get("FUCORE_TRACE"):
    for _module in [name for name in sys.modules if name.partition(".")[0] == "fucore"]:
        _imported(_module)
    sys.addaudithook(_watch)
