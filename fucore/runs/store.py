"""Content-addressed runs on disk: an equal run is returned instead of trained again.

One folder a run, named by its key, with ``weights.safetensors`` (never pickle, so entries of others are safe to open),
``run.json`` and, on request, ``updates/``.  An entry appears by one atomic rename, so a killed process leaves none by
halves; every file is checksummed, and a damaged entry is set aside with a warning and computed again.

The store reads, moves and removes nothing but its own entries: keys are 64 hexadecimal digits, no link is followed, and
whatever else lies in its folder stays as it is.

``python -m fucore`` shows what is there; ``python -m fucore prune --days 30`` makes room.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import pathlib
import re
import shutil
import time
import uuid
import warnings
from collections.abc import Callable, Iterator

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from ..errors import FucoreError, require, require_number
from ..machine import cache_folder
from .files import appearing, bytes_on_disk, write_atomically
from .run import Cost, Run

BYTES_A_WEIGHT = 4
#: What is the store's own, by folder: finished runs, unfinished ones, what is being written, what was damaged, rows of sweeps.
OWN = {
    "runs/??/*": r"[0-9a-f]{64}",
    "checkpoints/*": r"[0-9a-f]{64}",
    "tmp/*": r"[0-9a-f]{32}",
    "damaged/*": r"[0-9a-f]{64}-[0-9a-f]{8}",
    "rows/??/*": r"[0-9a-f]{64}\.json(\.[0-9a-f]{32})?",
}
NOT_KEPT = (
    "this run will not be kept in the store, since what {} cannot be told from the code: "
    "make it a plain function that names only plain values, functions and modules; results are not affected."
)
FILES = r"weights\.safetensors|updates/[0-9]{6,}\.safetensors"


class Store:
    """The runs under ``root`` (default ``$FUCORE_STORE``, else ``store`` in the user's cache folder)."""

    def __init__(self, root: str | os.PathLike | None = None):
        self.root = pathlib.Path(root or os.environ.get("FUCORE_STORE") or cache_folder() / "store").expanduser().resolve()

    def get(self, key: str) -> Run | None:
        """The run with this key (64 hexadecimal digits), or ``None``; a damaged entry is moved to ``damaged/`` with a warning.

        Raises ``FucoreError`` for anything else than a key, and where a link leads out of the store.
        """
        folder = self._entry(key)
        if not folder.is_dir():
            return None
        try:
            if any(path.is_symlink() for path in folder.rglob("*")):
                raise ValueError("it holds links")
            record = json.loads((folder / "run.json").read_text())
            body, files = record["body"], record["body"]["files"]
            if _digest(body) != record["sha256"]:
                raise ValueError("run.json does not match its checksum")
            if "weights.safetensors" not in files or not all(re.fullmatch(FILES, name) for name in files):
                raise ValueError("run.json names other files than a run has")
            for name, expected in files.items():
                if hashlib.sha256((folder / name).read_bytes()).hexdigest() != expected:
                    raise ValueError(f"{name} does not match its checksum")
            weights = load_file(folder / "weights.safetensors")["weights"]
        except FileNotFoundError as error:
            if not folder.is_dir():  # another process pruned it or set it aside
                return None
            return self._set_aside(folder, error)
        except (ValueError, KeyError, TypeError, AttributeError, IsADirectoryError, NotADirectoryError, SafetensorError) as error:
            return self._set_aside(folder, error)
        with contextlib.suppress(OSError):  # a store may be read-only; its use is then not noted
            os.utime(folder)
        return Run(weights, body["history"], body["config"], Cost(**body["cost"]), body["provenance"], key, log=body["log"])

    def put(self, run: Run) -> None:
        """Keep a run; if the disk is full or read-only, warn and go on without."""
        if run.key is None:
            return
        self._entry(run.key)
        scratch = self.root / "tmp" / uuid.uuid4().hex
        try:
            scratch.mkdir(parents=True)
            write_atomically(scratch / "weights.safetensors", save({"weights": run.weights.cpu().contiguous()}))
            if run.config.get("record_updates"):
                own = self.checkpoint_folder(run.key) / "updates"
                shutil.copytree(
                    own, scratch / "updates", ignore=lambda _, names: [name for name in names if not name.endswith(".safetensors")]
                )
                if len(list((scratch / "updates").glob("*.safetensors"))) != run.rounds:
                    raise OSError(errno.ENOENT, "another process removed recorded client updates")
            files = {
                str(path.relative_to(scratch)): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in sorted(scratch.rglob("*.safetensors"))
            }
            body = {
                "config": run.config,
                "history": run.history,
                "cost": dataclasses.asdict(run.cost),
                "provenance": run.provenance,
                "log": run.log,
                "files": files,
            }
            write_atomically(scratch / "run.json", json.dumps({"sha256": _digest(body), "body": body}, indent=1).encode())
            self._entry(run.key).parent.mkdir(parents=True, exist_ok=True)
            os.rename(scratch, self._entry(run.key))
        except OSError as error:
            shutil.rmtree(scratch, ignore_errors=True)
            if not self._entry(run.key).is_dir():  # otherwise another process was faster with the same run
                warnings.warn(
                    f"the run could not be kept in {self.root} ({error.strerror or error}): free some space or set FUCORE_STORE to another folder; results are not affected.",
                    stacklevel=2,
                )
                if run.config.get("record_updates"):
                    return  # its updates can still be read from where they were written
        self.drop_checkpoint(run.key)

    def drop_checkpoint(self, key: str) -> None:
        """Forget the unfinished state of a run."""
        shutil.rmtree(self.checkpoint_folder(key), ignore_errors=True)

    def updates(self, key: str, round_number: int) -> torch.Tensor:
        """Client updates recorded in that round (from 1), float32 [participants, d], in the order of ``participants`` in the history."""
        name = f"{round_number:06d}.safetensors"
        finished = self._entry(key) / "updates" / name
        return load_file(finished if finished.exists() else self.checkpoint_folder(key) / "updates" / name)["updates"]

    @contextlib.contextmanager
    def writing_updates(self, key: str, round_number: int, clients: int, size: int) -> Iterator[Callable[[int, torch.Tensor], None]]:
        """``write(place, update)`` for each of ``clients`` updates [size], in any order: one file that appears when all are written.

        Rows go to disk one by one, so memory does not grow with the clients.
        """
        path = self.checkpoint_folder(key) / "updates" / f"{round_number:06d}.safetensors"
        row = BYTES_A_WEIGHT * size
        header = {"updates": {"dtype": "F32", "shape": [clients, size], "data_offsets": [0, clients * row]}}
        encoded = json.dumps(header).encode()
        encoded += b" " * (-len(encoded) % 8)
        with appearing(path) as file:
            file.write(len(encoded).to_bytes(8, "little") + encoded)

            def write(place: int, update: torch.Tensor) -> None:
                file.seek(8 + len(encoded) + place * row)
                file.write(update.detach().cpu().contiguous().numpy().tobytes())

            yield write

    def checkpoint_folder(self, key: str) -> pathlib.Path:
        """Where the unfinished state of a run lies."""
        return self._inside("checkpoints", _checked(key))

    def save_checkpoint(self, key: str, tensors: dict[str, torch.Tensor], state: dict) -> None:
        """Replace the checkpoint of an unfinished run, atomically: ``weights`` and other ``tensors`` by name, and ``state``, a JSON value."""
        try:
            write_atomically(
                self.checkpoint_folder(key) / "checkpoint.safetensors",
                save(
                    {name: tensor.cpu().contiguous() for name, tensor in tensors.items()},
                    {"state": json.dumps(state), "sha256": _checksum(tensors, state)},
                ),
            )
        except OSError as error:
            warnings.warn(
                f"no checkpoint could be written to {self.root} ({error.strerror}): an interrupted run would start anew.", stacklevel=2
            )

    def load_checkpoint(self, key: str) -> tuple[dict[str, torch.Tensor], dict] | None:
        """(tensors by name, state) of an unfinished run, or ``None``; a damaged checkpoint is ignored with a warning."""
        from safetensors import safe_open

        path = self.checkpoint_folder(key) / "checkpoint.safetensors"
        if not path.exists():
            return None
        try:
            with safe_open(path, "pt") as file:
                tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()
            state = json.loads(metadata["state"])
            if "weights" not in tensors or _checksum(tensors, state) != metadata["sha256"]:
                raise ValueError("it does not match its checksum")
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            warnings.warn(f"the checkpoint {path} is damaged ({error}) and is ignored; the run starts anew.", stacklevel=2)
            return None
        return tensors, state

    def row(self, key: str) -> dict | None:
        """The row of a sweep with this key, or ``None``; a damaged one is not taken."""
        try:
            record = json.loads(self._row(key).read_text())
            return record["row"] if _digest(record["row"]) == record["sha256"] else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put_row(self, key: str, row: dict) -> None:
        """Keep a row of a sweep; if the disk is full or read-only, warn and go on without."""
        try:
            write_atomically(self._row(key), json.dumps({"sha256": _digest(row), "row": row}).encode())
        except OSError as error:
            warnings.warn(
                f"a row of the sweep could not be kept ({error.strerror or error}): free some space; results are not affected.",
                stacklevel=3,
            )

    def keys(self) -> list[str]:
        """Keys of all finished runs."""
        return sorted(path.name for path in self._own("runs/??/*"))

    def size(self) -> int:
        """Bytes on disk of all that is the store's own, checkpoints and damaged entries included."""
        return sum(bytes_on_disk(entry) for pattern in OWN for entry in self._own(pattern))

    def prune(self, *, days: float = 0.0) -> int:
        """Delete what was not used for so many days (0: everything); returns the bytes freed."""
        require_number("days", days, 0.0, float("inf"))
        before, limit = self.size(), time.time() - days * 86400
        for entry in [entry for pattern in OWN for entry in self._own(pattern)]:
            with contextlib.suppress(OSError):
                if entry.lstat().st_mtime <= limit:
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        return before - self.size()

    def _own(self, pattern: str) -> list[pathlib.Path]:
        """The store's own entries in one of the folders of ``OWN``; links and things with other names are not."""
        kind = pathlib.Path.is_file if pattern.startswith("rows") else pathlib.Path.is_dir
        found = (path for path in self.root.glob(pattern) if re.fullmatch(OWN[pattern], path.name))
        return [path for path in found if path.resolve() == path and kind(path)]

    def _entry(self, key: str) -> pathlib.Path:
        return self._inside("runs", _checked(key)[:2], key)

    def _row(self, key: str) -> pathlib.Path:
        return self._inside("rows", _checked(key)[:2], f"{key}.json")

    def _inside(self, *parts: str) -> pathlib.Path:
        """A path in the store; raises ``FucoreError`` where a link leads elsewhere."""
        path = self.root.joinpath(*parts)
        require(path.resolve() == path, f"{path} is or lies behind a link, which the store never follows: remove the link.")
        return path

    def _set_aside(self, folder: pathlib.Path, error: Exception) -> None:
        aside = self.root / "damaged" / f"{folder.name}-{uuid.uuid4().hex[:8]}"
        try:
            aside.parent.mkdir(parents=True, exist_ok=True)
            os.rename(folder, aside)
        except OSError:  # another process was faster, or the store is read-only: the run is computed again all the same
            return
        warnings.warn(f"a stored run is damaged ({error}); it was moved to {aside} and is computed again.", stacklevel=3)

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r}: {len(self.keys())} runs, {self.size() / 1e6:.1f} MB)"


def _checked(key: str) -> str:
    if not isinstance(key, str) or not re.fullmatch("[0-9a-f]{64}", key):
        raise FucoreError(f"{key!r} is no key of a run: a key is 64 hexadecimal digits, such as run.key.")
    return key


def _digest(body) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _checksum(tensors: dict[str, torch.Tensor], state: dict) -> str:
    digest = hashlib.sha256(json.dumps(state, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
