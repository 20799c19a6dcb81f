"""Files that appear whole or not at all, and how much room they take."""

from __future__ import annotations

import contextlib
import os
import pathlib
import uuid
from collections.abc import Iterator
from typing import BinaryIO


@contextlib.contextmanager
def appearing(path: pathlib.Path) -> Iterator[BinaryIO]:
    """A file to write to that takes its place at ``path`` at the end: readers and a sudden death see the old content or all of the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        with open(scratch, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def write_atomically(path: pathlib.Path, content: bytes) -> None:
    """Write a whole file as :func:`appearing` does."""
    with appearing(path) as file:
        file.write(content)


def bytes_on_disk(path: pathlib.Path) -> int:
    """Size of a file, or of all files in a folder; what another process removes meanwhile counts nothing."""
    total = 0
    for each in [path, *path.rglob("*")]:
        with contextlib.suppress(FileNotFoundError):
            total += 0 if each.is_dir() else each.lstat().st_size
    return total
