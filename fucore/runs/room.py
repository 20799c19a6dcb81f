"""What in a store's folder is its own, and how to make room.  Links, and things with other names, are not its own."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import uuid

from .files import bytes_on_disk, reason, warn

#: What is the store's own, by folder: finished runs, unfinished ones, what is being written, what was damaged, rows of sweeps, what runs make of examples.
OWN = {
    "runs/??": r"[0-9a-f]{64}",
    "checkpoints": r"[0-9a-f]{64}",
    "tmp": r"[0-9a-f]{32}",
    "damaged": r"[0-9a-f]{64}-[0-9a-f]{8}",
    "rows/??": r"[0-9a-f]{64}\.json(\.[0-9a-f]{32})?",
    "looks/??": r"[0-9a-f]{64}\.safetensors(\.[0-9a-f]{32})?",
}


def everything(root: pathlib.Path) -> list[pathlib.Path]:
    """All that is the store's own."""
    return [entry for folder in OWN for entry in own(root, folder)]


def own(root: pathlib.Path, folder: str) -> list[pathlib.Path]:
    """The store's own entries in one of the folders of :data:`OWN`; warns about what cannot be read."""
    top, _, nested = folder.partition("/")
    parents = [path for path in _listed(root, root / top, "..") if os.path.isdir(path)] if nested else [root / top]
    return [entry for parent in parents for entry in _listed(root, parent, OWN[folder])]


def prune(root: pathlib.Path, limit: float) -> int:
    """Delete what was last used at ``limit`` (seconds since 1970) or before; returns the bytes freed, and warns about what could not be."""
    found = everything(root)
    before, places = bytes_on_disk(*found), []
    for entry in found:
        place = entry
        try:
            if entry.lstat().st_mtime <= limit:
                place = _apart(root, entry)
                shutil.rmtree(place) if os.path.isdir(place) else place.unlink()
        except FileNotFoundError:  # another process was faster
            pass
        except OSError as error:
            warn(f"{entry} could not be deleted ({reason(error)}{f': {error.filename}' if error.filename else ''}).")
        places.append(place)
    return before - bytes_on_disk(*places)


def _apart(root: pathlib.Path, entry: pathlib.Path) -> pathlib.Path:
    """Where an entry lies that is about to be deleted: it disappears as a whole, so that nobody reads one by halves."""
    doomed = root / "tmp" / uuid.uuid4().hex
    if entry.parent == doomed.parent or not os.path.isdir(entry):
        return entry
    doomed.parent.mkdir(exist_ok=True)
    return entry.rename(doomed)


def _listed(root: pathlib.Path, folder: pathlib.Path, pattern: str) -> list[pathlib.Path]:
    """What in a folder, unless that is a link, has such a name and is no link."""
    if os.path.islink(folder):
        return []
    try:
        with os.scandir(folder) as found:
            return [pathlib.Path(each.path) for each in found if re.fullmatch(pattern, each.name) and not each.is_symlink()]
    except FileNotFoundError:
        return []
    except OSError as error:
        where = root if isinstance(error, NotADirectoryError) else folder
        warn(f"{where} cannot be read ({reason(error)}), so what lies there is not counted.")
        return []
