"""Many independent computations: seeds, alphas, pruning ratios, methods; on this machine, or unchanged on a Dask or Ray cluster.

Everything that distributes is joblib's: its own worker processes by default, and whatever ``joblib.parallel_config`` names
otherwise.  What is trained inside goes through the store as always, so processes that share a store share their runs.
"""

from __future__ import annotations

import functools
import itertools
import os
import pathlib
import pickle
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import cloudpickle
import joblib
import pandas as pd
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError

from ..errors import FucoreError, as_list, require, require_whole, shown
from ..machine import default_workers
from ..progress import progress
from .contents import Contents
from .fingerprint import hash_of, hash_of_code, plain, source_of
from .registries import described, of_users, registered
from .store import Store

ATTEMPTS, ORPHAN_SECONDS, AT_A_TIME = 3, 1.0, 4
NO_ROWS = (
    "rows of this sweep will not be kept: work, or a method, metric, network or data set that you registered, names things whose code "
    "cannot be told, so make it a plain function over plain values."
)
#: Stands for the store that is meant when none is named.
USUAL: Any = type("UsualStore", (), {"__repr__": lambda self: "Store()"})()


@dataclass(frozen=True)
class Sweep:
    """``table``: one row a finished point, its ``parameters`` (names) and what ``work`` returned; ``failures``: (point, what happened) of the others."""

    table: pd.DataFrame
    failures: list[tuple[dict, str]] = field(default_factory=list)
    parameters: tuple[str, ...] = ()

    def __repr__(self) -> str:
        lines = [f"{len(self.table)} finished, {len(self.failures)} failed", *(f"{point}: {reason}" for point, reason in self.failures)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return "".join(f"<p>failed: {point}: {reason}</p>" for point, reason in self.failures) + self.table.to_html(index=False)


def sweep(work: Callable[..., dict], points, *, jobs: int | None = None, store: Store | str | os.PathLike | None = USUAL) -> Sweep:
    """``work(**point)`` for every point, each a dict of parameters, in one-thread processes; rows in the order of ``points``.

    ``points``: a dict of lists, for all combinations, or a list of dicts.  ``work`` returns a dict of plain values.  ``jobs``:
    how many at a time (default: one a core, or what ``joblib.parallel_config(backend="dask")`` or ``"ray"`` says); 1 works in
    this process.  Equal points are computed once.  A finished row is kept in ``store`` (default: the usual one; ``None`` keeps
    nothing) and not computed again as long as ``work``, fucore, what is registered (methods, metrics, networks, data sets) and
    the files and folders that the point names are the same; an interrupted sweep goes on where it was.  A point that raises is
    reported at the end, the others finish; when a worker process is killed, its point is tried again, three times at most.
    """
    points = _points(points)
    require(callable(work), f"work is {shown(work)}, but must be a function of a point's parameters.")
    store = Store() if store is USUAL else store if store is None or isinstance(store, Store) else Store(store)
    users = of_users()
    keys = _keys(work, users, points)
    if keys is None:
        if store is not None:
            warnings.warn(NO_ROWS, stacklevel=2)
        store, keys = None, [hash_of(point) for point in points]
    rows = {} if store is None else {key: row for key in dict.fromkeys(keys) if (row := store.row(key)) is not None}
    failures: dict[str, str] = {}
    todo = {key: point for key, point in zip(keys, points) if key not in rows}
    done = len(set(keys)) - len(todo)
    for key, row, failure in progress(_results(work, users, todo, _jobs(jobs)), "sweep", done=done, total=len(set(keys))):
        if row is not None:
            rows[key] = row
            if store is not None:
                store.put_row(key, row)
        else:
            failures[key] = str(failure)
    table = pd.DataFrame([{**point, **rows[key]} for key, point in zip(keys, points) if key in rows])
    names = tuple(dict.fromkeys(name for point in points for name in point))
    result = Sweep(table, [(todo[key], reason) for key, reason in failures.items()], names)
    if failures:
        warnings.warn(
            f"{len(failures)} of {len(set(keys))} points failed; see .failures, mend the cause and run the same sweep again.", stacklevel=2
        )
    return result


def _keys(work, users: dict, points: list[dict]) -> list[str] | None:
    """What each point's row depends on, hashed; ``None`` if the code of ``work`` or of what users registered cannot be told."""
    code, others = source_of(work), described(users)
    if code is None or any(entry is None for entries in others.values() for entry in entries.values()):
        return None
    files = Contents()
    return [hash_of(["sweep", code, hash_of_code(), others, point, files.named_in(point)]) for point in points]


def _points(points) -> list[dict]:
    if isinstance(points, dict):
        require(
            all(isinstance(values, (list, tuple, range)) for values in points.values()),
            "each parameter of a grid must be a list of values.",
        )
        points = [dict(zip(points, values)) for values in itertools.product(*points.values())]
    points = as_list(points)
    require(
        bool(points) and all(isinstance(point, dict) for point in points),
        "points must be a dict of lists or a list of dicts, and not empty.",
    )
    try:
        return [plain(point) for point in points]
    except TypeError as error:
        raise FucoreError(f"a point must hold plain values (numbers, strings, lists), but {error}.") from None


def _jobs(jobs: int | None) -> int:
    """How many at a time; -1 for all that a cluster has."""
    backend, configured = cast(tuple[Any, int | None], joblib.parallel.get_active_backend())
    if jobs is not None:
        return require_whole("jobs", jobs, 1)
    if configured is not None:
        return configured
    return default_workers("cpu") if type(backend).__module__ == "joblib._parallel_backends" else -1


def _results(work, users: dict, todo: dict[str, dict], jobs: int) -> Iterator[tuple[str, dict | None, str | None]]:
    """(key, row, failure) as they come; what died with its process is submitted again."""
    if jobs == 1 or not todo:
        yield from (_attempt(work, key, point) for key, point in todo.items())
        return
    left, attempts = dict(todo), 0
    backend: Any = joblib.parallel.get_active_backend()[0]
    what = (work, users) if getattr(backend, "supports_sharedmem", False) else _packed(work, users)  # threads need no copies
    as_they_come = backend.supports_return_generator  # Ray's do not come before all are there: a few at a time, then
    count, returned = (len(todo), "generator_unordered") if as_they_come else (AT_A_TIME * joblib.effective_n_jobs(jobs), "list")
    while left:
        calls = [joblib.delayed(_alone)(what, key, point, os.getpid()) for key, point in itertools.islice(left.items(), count)]
        try:
            parallel: Any = joblib.Parallel(n_jobs=jobs, return_as=returned, pre_dispatch="all", batch_size=1)  # pyright: ignore[reportArgumentType]
            for key, row, failure in parallel(calls):
                del left[key]
                yield key, row, failure
        except TerminatedWorkerError:
            attempts += 1
            if attempts == ATTEMPTS:
                yield from (
                    (key, None, "its worker process was killed three times, perhaps for want of memory: use fewer jobs") for key in left
                )
                return


def _packed(*things) -> bytes:
    """Everything that a process which imports fucore anew must be sent."""
    try:
        return cloudpickle.dumps(things)
    except Exception as error:  # whatever the parts of a user's objects raise
        raise FucoreError(
            f"work cannot be sent to other processes ({type(error).__name__}: {error}): let it name plain values, or pass jobs=1."
        ) from None


def _alone(what, key, point, parent: int):
    """In a worker process: one thread, so that as many processes as cores do not fight for them."""
    if os.getpid() != parent:  # joblib's threads are in the user's own process, whose settings are the user's
        os.environ.update(FUCORE_WORKERS="1", FUCORE_PROGRESS="0")
        torch.set_num_threads(1)
        _end_with(parent)
    work, users = pickle.loads(what) if isinstance(what, bytes) else what
    registered(users)
    return _attempt(work, key, point)


@functools.cache
def _end_with(parent: int) -> None:
    """Let this process end soon after the one that started it, which may have been killed; elsewhere a cluster sees to that."""

    def watch():
        while os.getppid() == parent:
            time.sleep(ORPHAN_SECONDS)
        os._exit(1)

    if os.getppid() == parent:
        threading.Thread(target=watch, daemon=True).start()


def _attempt(work, key, point):
    try:
        row = work(**point)
        require(isinstance(row, dict), f"work returned {type(row).__name__}, but must return a dict of plain values.")
        try:
            return key, plain(row), None
        except TypeError as error:
            raise FucoreError(f"work must return a dict of plain values (numbers, strings, lists), but {error}.") from None
    except FucoreError as error:
        return key, None, str(error)
    except (Exception, SystemExit) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return key, None, f"{type(error).__name__}: {error} (line {where.lineno} of {pathlib.Path(where.filename).name})"
