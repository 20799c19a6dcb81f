"""What a page reads and what it finds, told to who executes the book, so that a recording older than its sources is refused."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib


def trace(kind: str, name: str, content: bytes) -> None:
    """Append (kind, name, SHA-256 of the content) to the file ``$FUCORE_TRACE``, if somebody wants to know.

    ``kind``: ``file`` (name is its path below the package), ``reads`` or ``finds`` (name is a claim).
    """
    path = os.environ.get("FUCORE_TRACE")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps([kind, name, hashlib.sha256(content).hexdigest()]) + "\n")


def traced(path: pathlib.Path) -> pathlib.Path:
    """A file of the package that is about to be read."""
    trace("file", str(path.relative_to(pathlib.Path(__file__).parents[1])), path.read_bytes())
    return path
