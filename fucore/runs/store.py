"""Content-addressed runs on disk: an equal run is returned instead of trained again.

One folder a run, named by its key, with ``weights.safetensors`` (never pickle, so entries of others are safe to open),
``run.json`` and, on request, ``updates/``.  An entry appears by one atomic rename, so a killed process leaves none by
halves; every file is checksummed, the key is the hash of the configuration inside, and whatever is read back is checked as
data from a stranger would be: a damaged entry is set aside with a warning and computed again.

The store reads, moves and removes nothing but its own entries: keys are 64 hexadecimal digits, no link is followed, and
whatever else lies in its folder stays as it is.

``python -m fucore`` shows what is there; ``python -m fucore prune --days 30`` makes room.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence

import torch
from safetensors.torch import save

from ..errors import FucoreError, require, require_number
from ..machine import cache_folder
from . import entries, looks, room
from .entries import NONSENSE, UPDATES, WEIGHTS, Damaged
from .files import appearing, bytes_on_disk, cure, reason, warn, write_atomically
from .fingerprint import plain
from .run import Run

BYTES_A_WEIGHT = 4
NOT_KEPT = (
    "this run will not be kept in the store, since what {} cannot be told from the code: "
    "make it a plain function that names only plain values, functions and modules; results are not affected."
)
_ABSENT = (FileNotFoundError, NotADirectoryError)


class Store:
    """The runs under ``root`` (default ``$FUCORE_STORE``, else ``store`` in the user's cache folder)."""

    def __init__(self, root: str | os.PathLike | None = None):
        try:
            self.root = pathlib.Path(root or os.environ.get("FUCORE_STORE") or cache_folder() / "store").expanduser().resolve()
        except (TypeError, ValueError, RuntimeError, OSError) as error:
            raise FucoreError(f"{root!r} is no folder for a store ({error}): give fu.Store(folder), or FUCORE_STORE, a path.") from None

    def get(self, key: str, size: int | None = None) -> Run | None:
        """The run with this key (64 hexadecimal digits), or ``None``; a damaged entry is moved to ``damaged/`` with a warning.

        ``size``: how many weights it must have.  What cannot be read is told by a warning.  Raises ``FucoreError`` for
        anything else than a key, and where a link leads out of the store.
        """
        folder = self._entry(key)
        try:
            os.stat(folder)
            run = entries.read(folder, key, size)
        except (*_ABSENT, Damaged) as error:
            if os.path.lexists(folder):  # otherwise there is none, or another process pruned it or set it aside
                self._set_aside(folder, error)
            return None
        except OSError as error:
            warn(f"a stored run could not be read from {self.root} ({reason(error)}) and is computed again: {cure(error)}.")
            return None
        with contextlib.suppress(OSError):  # a store may be read-only; its use is then not noted
            os.utime(folder)
        return run

    def put(self, run: Run) -> None:
        """Keep a run; if that cannot be, because of the disk or of what is in it, warn and go on without."""
        if run.key is None:
            return
        entry, scratch = self._entry(run.key), self.root / "tmp" / uuid.uuid4().hex
        try:
            body = plain({"config": run.config, "history": run.history, "cost": dataclasses.asdict(run.cost)})
            body |= plain({"provenance": run.provenance, "log": run.log, "files": {}})
            scratch.mkdir(parents=True)
            write_atomically(scratch / WEIGHTS, save({"weights": run.weights.cpu().contiguous()}))
            names = (
                [UPDATES.format(run.config["first_round"] + i + 1) for i in range(run.rounds)] if run.config.get("record_updates") else []
            )
            for name in names:
                self._share(self.checkpoint_folder(run.key) / name, scratch / name)
            body["files"] = {name: entries.checksum(scratch / name) for name in (WEIGHTS, *names)}
            entries.check_body(body, run.key)
            entries.check_tensor(run.weights, (None,), "weights")
            write_atomically(scratch / "run.json", json.dumps({"sha256": entries.digest(body), "body": body}, indent=1).encode())
            entry.parent.mkdir(parents=True, exist_ok=True)
            os.rename(scratch, entry)
        except (OSError, Damaged, *NONSENSE) as error:
            shutil.rmtree(scratch, ignore_errors=True)
            if not os.path.isdir(entry):  # otherwise another process was faster with the same run
                self._not_kept(run, error)
                if run.config.get("record_updates"):
                    return  # its updates can still be read from where they were written
        self.drop_checkpoint(run.key)

    @staticmethod
    def _share(source: pathlib.Path, target: pathlib.Path) -> None:
        """The same file under a second name, so that it takes no room twice; a copy where the disk has no such links."""
        target.parent.mkdir(exist_ok=True)
        try:
            os.link(source, target, follow_symlinks=False)
        except FileNotFoundError:
            raise
        except OSError:
            shutil.copyfile(source, target, follow_symlinks=False)

    def _not_kept(self, run: Run, error: Exception) -> None:
        if not isinstance(error, OSError):
            return warn(f"this run will not be kept in the store, since {error}; results are not affected.", 4)
        told = f"the run could not be kept in {self.root} ({reason(error)}): {cure(error)}; results are not affected"
        if run.config.get("record_updates"):
            updates = self.checkpoint_folder(run.key or "") / "updates"
            there = sum(path.suffix == ".safetensors" for path in updates.glob("*"))
            told += ", and its client updates can be read" if there == run.rounds else ", but its client updates are lost: train it again"
        warn(told + ".", 4)

    def drop_checkpoint(self, key: str) -> None:
        """Forget the unfinished state of a run."""
        shutil.rmtree(self.checkpoint_folder(key), ignore_errors=True)

    def updates(self, key: str, round_number: int, shape: Sequence[int | None] = (None, None)) -> torch.Tensor:
        """Client updates recorded in that round (from 1), float32 [participants, d], in the order of ``participants`` in the history.

        ``shape``: what their shape must be.  Raises ``FucoreError`` if they are damaged or gone.
        """
        name, entry = UPDATES.format(round_number), self._entry(key)
        finished = os.path.isdir(entry)
        try:
            checksum = entries.read_body(entry, key)["files"][name] if finished else None
            return entries.read_tensor((entry if finished else self.checkpoint_folder(key)) / name, "updates", shape, checksum)
        except (OSError, KeyError, Damaged) as error:
            if finished and not isinstance(error, PermissionError):
                self._set_aside(entry, error)
            why = reason(error) if isinstance(error, OSError) else error
            raise FucoreError(
                f"the client updates of round {round_number} cannot be read from {self.root} ({why}): train the run again with record_updates=True."
            ) from None

    @contextlib.contextmanager
    def writing_updates(self, key: str, round_number: int, clients: int, size: int) -> Iterator[Callable[[int, torch.Tensor], None]]:
        """``write(place, update)`` for each of ``clients`` updates [size], in any order: one file that appears when all are written.

        Rows go to disk one by one, so memory does not grow with the clients.  Raises ``FucoreError`` when they cannot be written.
        """
        path = self.checkpoint_folder(key) / UPDATES.format(round_number)
        row = BYTES_A_WEIGHT * size
        header = {"updates": {"dtype": "F32", "shape": [clients, size], "data_offsets": [0, clients * row]}}
        encoded = json.dumps(header).encode()
        encoded += b" " * (-len(encoded) % 8)
        with contextlib.ExitStack() as stack:
            with self._recording(key, round_number):
                file = stack.enter_context(appearing(path))
                file.write(len(encoded).to_bytes(8, "little") + encoded)

            def write(place: int, update: torch.Tensor) -> None:
                with self._recording(key, round_number):
                    file.seek(8 + len(encoded) + place * row)
                    file.write(update.detach().cpu().contiguous().numpy().tobytes())

            yield write
            with self._recording(key, round_number):
                stack.close()

    @contextlib.contextmanager
    def _recording(self, key: str, round_number: int) -> Iterator[None]:
        """Around what writes client updates: a sentence when it fails, unless another process finished the same run meanwhile."""
        try:
            yield
        except OSError as error:
            if isinstance(error, FileNotFoundError) and os.path.isdir(self._entry(key)):
                return
            raise FucoreError(
                f"the client updates of round {round_number} could not be written to {self.root} ({reason(error)}): {cure(error)}; "
                "training without record_updates=True needs no room for them."
            ) from None

    def checkpoint_folder(self, key: str) -> pathlib.Path:
        """Where the unfinished state of a run lies."""
        return self._inside("checkpoints", _checked(key))

    def save_checkpoint(self, key: str, tensors: dict[str, torch.Tensor], state: dict) -> None:
        """Replace the checkpoint of an unfinished run, atomically: ``weights`` and other ``tensors`` by name, and ``state``, a JSON value."""
        path = self.checkpoint_folder(key) / "checkpoint.safetensors"
        content = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        metadata = {"state": json.dumps(state), "sha256": entries.digest_of_state(key, tensors, state)}
        try:
            write_atomically(path, save(content, metadata))
        except OSError as error:
            if os.path.isdir(self._entry(key)):  # another process finished the same run meanwhile
                return
            warn(f"no checkpoint could be written to {self.root} ({reason(error)}), so an interrupted run would start anew: {cure(error)}.")

    def load_checkpoint(self, key: str) -> tuple[dict[str, torch.Tensor], dict] | None:
        """(tensors by name, state) of an unfinished run, or ``None``; a damaged checkpoint is ignored with a warning."""
        path = self.checkpoint_folder(key) / "checkpoint.safetensors"
        try:
            return entries.read_state(path, key)
        except _ABSENT:
            return None
        except OSError as error:
            warn(f"the checkpoint {path} cannot be read ({reason(error)}) and is ignored; the run starts anew.")
        except Damaged as error:
            warn(f"the checkpoint {path} is damaged ({error}) and is ignored; the run starts anew.")
        return None

    def row(self, key: str) -> dict | None:
        """The row of a sweep with this key, or ``None``; a damaged one is not taken, with a warning."""
        return self._small("row of the sweep", lambda: entries.read_row(self._row(key), key))

    def put_row(self, key: str, row: dict) -> None:
        """Keep a row of a sweep; if the disk is full or read-only, warn and go on without."""
        path = self._row(key)
        self._put_small("row of the sweep", path, json.dumps({"sha256": entries.digest([key, row]), "row": row}).encode())

    def look(self, key: str, count: int) -> looks.Look | None:
        """What a run makes of ``count`` examples, by a key of both, or ``None``; a damaged one is not taken, with a warning."""
        return self._small("look at a run's answers", lambda: looks.read(self._look(key), key, count))

    def put_look(self, key: str, look: looks.Look) -> None:
        """Keep what a run makes of examples; if the disk is full or read-only, warn and go on without."""
        path = self._look(key)
        self._put_small("look at a run's answers", path, looks.encoded(look, key))

    def _small(self, what: str, read: Callable):
        """What ``read`` gives, or ``None`` if there is nothing or nothing that can be trusted."""
        try:
            return read()
        except _ABSENT:
            return None
        except OSError as error:
            warn(f"a stored {what} could not be read from {self.root} ({reason(error)}) and is computed again.", 4)
        except Damaged as error:
            warn(f"a stored {what} is damaged ({error}) and is computed again.", 4)
        return None

    def _put_small(self, what: str, path: pathlib.Path, content: bytes) -> None:
        try:
            write_atomically(path, content)
        except OSError as error:
            warn(f"a {what} could not be kept in {self.root} ({reason(error)}): {cure(error)}; results are not affected.", 4)

    def keys(self) -> list[str]:
        """Keys of all finished runs."""
        return sorted(path.name for path in room.own(self.root, "runs/??"))

    def size(self) -> int:
        """Bytes on disk of all that is the store's own, checkpoints and damaged entries included."""
        return bytes_on_disk(*room.everything(self.root))

    def prune(self, *, days: float = 0.0) -> int:
        """Delete what was not used for so many days (0: everything); returns the bytes freed, and warns about what could not be."""
        require_number("days", days, 0.0, float("inf"))
        return room.prune(self.root, time.time() - days * 86400)

    def _entry(self, key: str) -> pathlib.Path:
        return self._inside("runs", _checked(key)[:2], key)

    def _row(self, key: str) -> pathlib.Path:
        return self._inside("rows", _checked(key)[:2], f"{key}.json")

    def _look(self, key: str) -> pathlib.Path:
        return self._inside("looks", _checked(key)[:2], f"{key}.safetensors")

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
            done = f"was moved to {aside}"
        except OSError as trouble:
            if not os.path.lexists(folder):  # another process was faster
                return
            done = f"could not be moved away from {folder} ({reason(trouble)})"
        why = f"{pathlib.Path(error.filename or folder).name}: {reason(error)}" if isinstance(error, OSError) else error
        warn(f"a stored run is damaged ({why}); it {done} and is computed again.", 4)

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r}: {len(self.keys())} runs, {self.size() / 1e6:.1f} MB)"


def _checked(key: str) -> str:
    if not isinstance(key, str) or not re.fullmatch("[0-9a-f]{64}", key):
        raise FucoreError(f"{key!r} is no key of a run: a key is 64 hexadecimal digits, such as run.key.")
    return key
