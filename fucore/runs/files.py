"""Files that appear whole or not at all, and how much room they take."""

from __future__ import annotations

import contextlib
import os
import pathlib
import uuid


def write_atomically(path: pathlib.Path, content: bytes) -> None:
    """Write a file so that readers and a sudden death see either the old content or all of the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        with open(scratch, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise


def bytes_on_disk(path: pathlib.Path) -> int:
    """Size of a file, or of all files in a folder; what another process removes meanwhile counts nothing."""
    total = 0
    for each in [path, *path.rglob("*")]:
        with contextlib.suppress(FileNotFoundError):
            total += 0 if each.is_dir() else each.lstat().st_size
    return total
