"""Files that appear whole or not at all, how much room they take, and what to do when they cannot be written."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import uuid
import warnings
from collections.abc import Iterator
from typing import BinaryIO

from ..errors import FucoreError, first_line, shown

_ELSEWHERE = "use another folder (fu.Store(folder), or FUCORE_STORE)"
_FULL = f"free some space there, or {_ELSEWHERE}"
_DENIED = f"get the right to write there, or {_ELSEWHERE}"
_CURES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _FULL),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _DENIED),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), f"a file lies where a folder is needed: remove it, or {_ELSEWHERE}"),
    errno.ENAMETOOLONG: f"the path is too long: {_ELSEWHERE}",
    errno.ENOENT: "another process removed it meanwhile: do not prune while runs are written",
}


def warn(sentence: str, level: int = 3) -> None:
    """Tell a user, at the line that called what called this."""
    warnings.warn(sentence, stacklevel=level + 1)


def reason(error: OSError) -> str:
    """What the operating system said, in words."""
    return error.strerror or str(error) or type(error).__name__


def cure(error: OSError) -> str:
    """What a user can do about a file of the store that could not be written."""
    return _CURES.get(error.errno or 0, f"mend that, or {_ELSEWHERE}")


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
        with contextlib.suppress(OSError):  # what went wrong is told by the error that is on its way
            scratch.unlink()
        raise


def write_atomically(path: pathlib.Path, content: bytes) -> None:
    """Write a whole file as :func:`appearing` does."""
    with appearing(path) as file:
        file.write(content)


def publish(path: str | os.PathLike, text: str) -> None:
    """Write a text file that the user asked for, whole or not at all; raises ``FucoreError`` with the reason if it cannot be written."""
    publish_bytes(path, text.encode())


def publish_bytes(path: str | os.PathLike, content: bytes) -> None:
    """:func:`publish` for what is no text."""
    try:
        write_atomically(pathlib.Path(path), content)
    except (OSError, TypeError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else first_line(error)
        raise FucoreError(f"{shown(path)} cannot be written ({why}): give the path of a file in a folder that can be written to.") from None


def bytes_on_disk(*paths: pathlib.Path) -> int:
    """Size of these files and of all files in these folders, hard links to one file once; what cannot be looked at counts nothing."""
    sizes = {}
    for path in paths:
        below = (os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
        for each in below if os.path.isdir(path) else [path]:
            with contextlib.suppress(OSError):
                state = os.lstat(each)
                sizes[state.st_dev, state.st_ino] = state.st_size
    return sum(sizes.values())
