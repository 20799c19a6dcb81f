"""Many independent computations: seeds, alphas, pruning ratios, methods; on this machine, or unchanged on a Dask or Ray cluster.

Everything that distributes is joblib's: its own worker processes by default, and whatever ``joblib.parallel_config`` names
otherwise.  What is trained inside goes through the store as always, so processes that share a store share their runs.
"""

from __future__ import annotations

import itertools
import os
import pathlib
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import joblib
import pandas as pd
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError

from ..errors import FucoreError, require, require_whole
from ..machine import default_workers
from ..progress import progress
from .fingerprint import hash_of, hash_of_code, plain, source_of
from .store import Store

ATTEMPTS = 3


@dataclass(frozen=True)
class Sweep:
    """``table``: one row a finished point, its parameters and what ``work`` returned; ``failures``: (point, what happened) of the others."""

    table: pd.DataFrame
    failures: list[tuple[dict, str]] = field(default_factory=list)

    def __repr__(self) -> str:
        lines = [f"{len(self.table)} finished, {len(self.failures)} failed", *(f"{point}: {reason}" for point, reason in self.failures)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return "".join(f"<p>failed: {point}: {reason}</p>" for point, reason in self.failures) + self.table.to_html(index=False)


def sweep(work: Callable[..., dict], points, *, jobs: int | None = None, store: Store | str | None = None) -> Sweep:
    """``work(**point)`` for every point, each a dict of parameters, in one-thread processes; rows in the order of ``points``.

    ``points``: a dict of lists, for all combinations, or a list of dicts.  ``work`` returns a dict of plain values.  ``jobs``:
    how many at a time (default: one a core, or what ``joblib.parallel_config(backend="dask")`` or ``"ray"`` says); 1 works in
    this process.  Equal points are computed once.  A finished row is kept in ``store`` and not computed again
    as long as ``work`` and fucore are the same; an interrupted sweep goes on where it was.  A point that raises is
    reported at the end, the others finish; when a worker process is killed, its point is tried again, three times at most.
    """
    points = _points(points)
    store = store if isinstance(store, Store) else Store(store)
    code = source_of(work)
    if code is None:
        warnings.warn(
            "rows of this sweep will not be kept: work names things whose code cannot be told, so make it a plain function over plain values.",
            stacklevel=2,
        )
    keys = [hash_of(["sweep", code, hash_of_code(), point]) for point in points]
    rows = {key: store.row(key) for key in keys} if code is not None else {}
    rows = {key: row for key, row in rows.items() if row is not None}
    failures: dict[str, str] = {}
    todo = {key: point for key, point in zip(keys, points) if key not in rows}
    done = len(set(keys)) - len(todo)
    for key, row, failure in progress(_results(work, todo, _jobs(jobs)), "sweep", done=done, total=len(set(keys))):
        if row is not None:
            rows[key] = row
            if code is not None:
                store.put_row(key, row)
        else:
            failures[key] = str(failure)
    table = pd.DataFrame([{**point, **rows[key]} for key, point in zip(keys, points) if key in rows])
    result = Sweep(table, [(todo[key], reason) for key, reason in failures.items()])
    if failures:
        warnings.warn(
            f"{len(failures)} of {len(set(keys))} points failed; see .failures, mend the cause and run the same sweep again.", stacklevel=2
        )
    return result


def _points(points) -> list[dict]:
    if isinstance(points, dict):
        require(
            all(isinstance(values, (list, tuple, range)) for values in points.values()),
            "each parameter of a grid must be a list of values.",
        )
        points = [dict(zip(points, values)) for values in itertools.product(*points.values())]
    points = list(points)
    require(
        bool(points) and all(isinstance(point, dict) for point in points),
        "points must be a dict of lists or a list of dicts, and not empty.",
    )
    try:
        return [plain(point) for point in points]
    except TypeError as error:
        raise FucoreError(f"a point must hold plain values (numbers, strings, lists), but {error}.") from None


def _jobs(jobs: int | None) -> int | None:
    """How many at a time; ``None`` leaves it to the cluster that joblib was given."""
    backend, active = cast(tuple[Any, int | None], joblib.parallel.get_active_backend())
    if jobs is not None:
        return require_whole("jobs", jobs, 1)
    local = type(backend).__name__ in ("LokyBackend", "SequentialBackend")
    return default_workers("cpu") if local else active


def _results(work, todo: dict[str, dict], jobs: int | None) -> Iterator[tuple[str, dict | None, str | None]]:
    """(key, row, failure) as they come; what died with its process is submitted again."""
    if jobs == 1 or not todo:
        yield from (_attempt(work, key, point) for key, point in todo.items())
        return
    left, attempts = dict(todo), 0
    while left:
        calls = [joblib.delayed(_alone)(work, key, point, os.getpid()) for key, point in left.items()]
        try:
            parallel: Any = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch="all", batch_size=1)  # pyright: ignore[reportArgumentType]
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


def _alone(work, key, point, parent: int):
    """In a worker process: one thread, so that as many processes as cores do not fight for them."""
    if os.getpid() != parent:  # joblib's threads are in the user's own process, whose settings are the user's
        os.environ.update(FUCORE_WORKERS="1", FUCORE_PROGRESS="0")
        torch.set_num_threads(1)
    return _attempt(work, key, point)


def _attempt(work, key, point):
    try:
        row = work(**point)
        require(isinstance(row, dict), f"work returned {type(row).__name__}, but must return a dict of plain values.")
        return key, plain(row), None
    except FucoreError as error:
        return key, None, str(error)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return key, None, f"{type(error).__name__}: {error} (line {where.lineno} of {pathlib.Path(where.filename).name})"
