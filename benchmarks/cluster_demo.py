"""A sweep on a local Dask cluster of separate processes; one of the two workers is killed midway, and every point still finishes.

    make cluster-demo

On a real cluster only the first line of ``main`` differs: the scheduler is then started by dask-jobqueue or dask-kubernetes.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time

import joblib
from distributed import Client

import fucore as fu


def erased_digits(alpha: float, seed: int) -> dict:
    """Train, erase client 0, and say how accurate the result is."""
    data = fu.load("digits")
    fed = fu.Federation(data, fu.partition.dirichlet(data.train.labels, clients=5, alpha=alpha, seed=seed))
    original = fed.train(rounds=8, seed=seed)
    unlearned = fu.unlearn("fedmemprune", original, fu.forget.client(0), ratio=0.4, rounds=4, seed=seed)
    time.sleep(1)  # long enough for the kill to hit somebody at work
    return {"original": fed.evaluate(original.weights)[0], "unlearned": fed.evaluate(unlearned.weights)[0]}


def main() -> None:
    scheduler, workers, address = local_cluster()
    try:
        with Client(address) as client:
            client.wait_for_workers(2, timeout=60)
            client.run_on_scheduler(lambda dask_scheduler: None)
            killer = subprocess.Popen(
                [sys.executable, "-c", f"import os, time; time.sleep(6); os.kill({workers[0].pid}, {int(signal.SIGKILL)})"]
            )
            with joblib.parallel_config(backend="dask", wait_for_workers_timeout=60):
                result = fu.sweep(erased_digits, {"alpha": [0.1, 0.3, 1.0, 10.0], "seed": [0, 1, 2]})
            killer.wait()
            dead, alive = workers[0].wait(timeout=30), workers[1].poll() is None
        print(result.table.round(3).to_string(index=False))
        print(f"{len(result.table)} of 12 points finished; worker 1 was killed (exit {dead}), worker 2 is {'alive' if alive else 'dead'}.")
        if len(result.table) != 12 or dead != -signal.SIGKILL or not alive:
            sys.exit("the demonstration failed")
    finally:
        for process in (*workers, scheduler):
            process.kill()


def local_cluster():
    """A scheduler and two one-thread workers, each a process of its own, and the scheduler's address."""
    folder = tempfile.mkdtemp(prefix="fucore-cluster-")
    file = f"{folder}/scheduler.json"
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": open(f"{folder}/log.txt", "w")}
    scheduler = subprocess.Popen([*dask, "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file], **quiet)
    worker = [
        sys.executable,
        "-m",
        "distributed.cli.dask_worker",
        "--scheduler-file",
        file,
        "--nthreads",
        "1",
        "--no-nanny",
        "--no-dashboard",
    ]
    workers = [subprocess.Popen([*worker, "--local-directory", f"{folder}/{number}"], **quiet) for number in (1, 2)]
    import json
    import pathlib

    while not pathlib.Path(file).exists():
        time.sleep(0.1)
    return scheduler, workers, json.loads(pathlib.Path(file).read_text())["address"]


if __name__ == "__main__":
    main()
