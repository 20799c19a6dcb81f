"""The content of files and folders that a value names."""

from __future__ import annotations

import os
import stat
from typing import Any

from .entries import checksum


class Contents:
    """Hashes of files and folders by path, each read once."""

    def __init__(self):
        self._known: dict[str, Any] = {}

    def named_in(self, value: Any) -> list:
        """[path, content] of every string in a JSON value that is a path, or a kind and a path (``npz:/data/mine.npz``)."""
        if isinstance(value, dict):
            return [pair for key in sorted(value) for pair in self.named_in(value[key])]
        if isinstance(value, list):
            return [pair for each in value for pair in self.named_in(each)]
        if not isinstance(value, str):
            return []
        paths = {os.path.abspath(os.path.expanduser(path)) for path in (value, value.partition(":")[2]) if path and "\0" not in path}
        return [[path, self._content(path)] for path in sorted(paths) if os.path.exists(path)]

    def _content(self, path: str) -> Any:
        if path not in self._known:
            self._known[path] = _folder(path) if os.path.isdir(path) else _file(path)
        return self._known[path]


def _folder(path: str) -> list:
    """Names, sizes and hashes of all files in a folder and below."""
    files = (os.path.join(where, name) for where, _, names in os.walk(path) for name in names)
    return sorted([os.path.relpath(file, path), *_file(file)] for file in files)


def _file(path: str) -> list:
    """Size and hash of a file; of what is no file, or cannot be read, that it is so."""
    try:
        state = os.stat(path)
        return [state.st_size, checksum(path)] if stat.S_ISREG(state.st_mode) else [0, "no file"]
    except OSError as error:
        return [0, f"error {error.errno}"]
