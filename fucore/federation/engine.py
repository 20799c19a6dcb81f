"""How local training is executed: workers side by side, results in order.

Results are handed back in the order asked for, and how clients are grouped depends on the task alone; so any number of
workers gives the same bits.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import functools
import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator

import torch

from ..errors import require, require_whole
from .training import Hooks, LocalTraining
from .worker import Worker

#: Small networks are trained as stacks: measured to pay on CPUs up to this many weights a network and in a stack, see :func:`stack_size`.
SMALL_NETWORK, STACKED_WEIGHTS = 60_000, 1_250_000


if hasattr(os, "register_at_fork"):  # the child has none of OpenMP's threads, and torch would wait for them for ever
    os.register_at_fork(after_in_child=functools.partial(torch.set_num_threads, 1))


#: The engines whose jobs this thread is in.
_training = threading.local()


class Engine:
    """Runs jobs on workers: ``job(worker) -> result`` in, results out in the same order."""

    def __init__(self, make_worker: Callable[[], Worker], workers: int = 1):
        self.workers = require_whole("workers", workers, 1)
        self.stopped = threading.Event()
        self._make_worker = make_worker
        self._own = threading.local()
        self._threads: tuple[int, concurrent.futures.ThreadPoolExecutor | None] = (0, None)

    def train(self, weights, indices, local: LocalTraining, lr: float, keys, hooks: Hooks = Hooks()) -> Iterator[torch.Tensor]:
        """Weights after local training on each of ``indices``, seeded by the key at the same place, in order."""
        together = stack_size(len(weights), len(indices))
        if together == 1 or hooks != Hooks() or not self._stacks:
            jobs = ((lambda worker, i=i, key=key: worker.train(weights, i, local, lr, key, hooks)) for i, key in zip(indices, keys))
            return self.each(jobs)
        groups = [slice(start, start + together) for start in range(0, len(indices), together)]
        jobs = ((lambda worker, g=g: worker.train_together(weights, indices[g], local, lr, keys[g])) for g in groups)
        return itertools.chain.from_iterable(self.each(jobs))

    def each(self, jobs: Iterable[Callable[[Worker], object]]) -> Iterator:
        """Results in order; at most ``2 * workers`` of them exist at a time, so memory does not grow with the jobs.

        In a hook, another federation works in the hook's own thread; raises ``FucoreError`` for the one that is being trained.
        """
        busy = getattr(_training, "engines", [])
        require(self not in busy, "a hook cannot use the federation that it is a hook of: its network is being trained; use step.module.")
        if self.workers == 1 or busy:
            with one_thread():
                for job in jobs:
                    yield self._run(job)
            return
        waiting = collections.deque()
        with one_thread():
            for job in jobs:
                waiting.append(self._pool.submit(self._run, job))
                if len(waiting) == 2 * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def side_by_side(self, calls: Iterable[Callable[[], object]], threads: int) -> Iterator:
        """Results of whole computations that use this engine, ``threads`` at a time, in order; all are stopped when one fails."""
        with one_thread(), concurrent.futures.ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            futures = [pool.submit(call) for call in calls]
            try:
                for future in futures:
                    yield future.result()
            except BaseException:
                self.stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    @functools.cached_property
    def _stacks(self) -> bool:
        (result,) = self.each([lambda worker: worker.stacks])
        return result

    @property
    def _pool(self) -> concurrent.futures.ThreadPoolExecutor:
        process, pool = self._threads
        if pool is None or process != os.getpid():  # a process that was forked has none of its parent's threads
            pool = concurrent.futures.ThreadPoolExecutor(self.workers, initializer=torch.set_num_threads, initargs=(1,))
            self._threads = os.getpid(), pool
        return pool

    @property
    def worker(self) -> Worker:
        """The calling thread's worker, made once."""
        if not hasattr(self._own, "worker"):
            self._own.worker = self._make_worker()
        return self._own.worker

    def _run(self, job):
        if self.stopped.is_set():
            raise KeyboardInterrupt
        # whatever mode the caller is in: a worker's thread would not know of it, and the bits would depend on their number
        _training.engines = [*getattr(_training, "engines", []), self]
        try:
            with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", enabled=False):
                return job(self.worker)
        finally:
            _training.engines = _training.engines[:-1]


def stack_size(weights: int, clients: int) -> int:
    """How many clients of a round are trained as one stack; 1 means one by one.

    Stacks must fit the cache and leave at least four for the workers.  The rule depends on the task alone, never on the
    machine, so neither do the results.
    """
    size = min(STACKED_WEIGHTS // weights, clients // 4)
    return size if weights <= SMALL_NETWORK and size >= 5 else 1


@contextlib.contextmanager
def one_thread():
    """One torch thread inside: batches of this size gain nothing from more, and bits do not depend on the machine's cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
