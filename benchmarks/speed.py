"""Seconds a round of fucore, of the loop everyone writes, and of Flower, side by side in one run.

    python benchmarks/speed.py                       # (a) the research loop and (c) fucore; about half an hour on two cores
    python benchmarks/speed.py --flower PYTHON       # also (b), run by a Python that has torch, numpy and flwr[simulation]
    python benchmarks/speed.py --models mlp --clients 10 --repeats 1 --out /tmp/speed

Each simulator runs in a process of its own, one after another, in alternating order from repeat to repeat.  Reported: medians over
repeats and over rounds after the first; the ratio is the median of the ratios within repeats.  The roofline is the fp32 matmul
rate of all cores together, measured before each repeat.  Memory is the largest proportional set size of the whole process tree.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE / "simulators"))
from task import network  # noqa: E402

#: rounds, local epochs, training images and image shape by network: sized so that a cell takes a minute, not an hour.
SETTINGS = {
    "conv": dict(rounds=3, epochs=2, images=4000, shape=(1, 28, 28)),
    "logistic": dict(rounds=6, epochs=2, images=4000, shape=(1, 28, 28)),
    "mlp": dict(rounds=6, epochs=2, images=4000, shape=(1, 28, 28)),
    "conv, 8 retrainings": dict(rounds=3, epochs=2, images=4000, shape=(1, 28, 28), runs=8),
    "resnet18": dict(rounds=2, epochs=1, images=400, shape=(3, 32, 32)),
}


def archive(folder: pathlib.Path, images: int, shape) -> pathlib.Path:
    """Embedded MNIST as npz, padded and repeated to ``shape``; only speed is measured on it."""
    import fucore as fu

    data = fu.load("mnist5k")
    path = folder / f"{images}-{'x'.join(map(str, shape))}.npz"

    def fit(pixels):
        margin = (shape[1] - pixels.shape[2]) // 2
        return torch.nn.functional.pad(pixels, (margin,) * 4).expand(-1, *shape).numpy()

    train, test = data.train.take(np.random.default_rng(0).permutation(len(data.train))[:images]), data.test
    np.savez(path, x_train=fit(train.images), y_train=train.labels, x_test=fit(test.images), y_test=test.labels)
    return path


def flops_an_example(model: str, shape) -> float:
    """Floating-point operations of a forward and backward pass, as torch counts them (two for a multiply-add)."""
    net, images = network(model, shape, 10), torch.zeros(8, *shape)
    with FlopCounterMode(display=False) as counter:
        torch.nn.functional.cross_entropy(net(images), torch.zeros(8, dtype=torch.long)).backward()
    return counter.get_total_flops() / 8


def matmul_peak(dtype=torch.float32, size: int = 2048) -> float:
    """Floating-point operations a second of a square matmul on all cores."""
    a, times = torch.randn(size, size).to(dtype), []
    for _ in range(8):
        start = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times)


def memory_of_tree(root: int) -> int:
    """Proportional set size in bytes of a process and all its descendants."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    tree, grown = {root}, True
    while grown:
        grown = {child for child, parent in parents.items() if parent in tree} - tree
        tree |= grown
    total = 0
    for process in tree:
        try:
            lines = pathlib.Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
        except (OSError, StopIteration):
            continue
    return total


def measure(python: str, simulator: str, task: dict) -> dict:
    """One simulator on one task in a new process: what it reports, wall seconds and peak memory."""
    environment = {**os.environ, "FUCORE_PROGRESS": "0", "PYTHONPATH": str(HERE.parent), "RAY_DEDUP_LOGS": "0"}
    start, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [python, str(HERE / "simulators" / f"{simulator}.py"), json.dumps(task)], stdout=out, stderr=errors, env=environment
        )
        while process.poll() is None:
            peak = max(peak, memory_of_tree(process.pid))
            time.sleep(0.5)
        out.seek(0), errors.seek(0)
        if process.returncode:
            raise SystemExit(f"{simulator} failed:\n{errors.read()[-3000:]}")
        result = json.loads(out.read().strip().splitlines()[-1])
    return {**result, "wall": time.perf_counter() - start, "peak": peak}


def hardware() -> str:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{name}, {os.cpu_count()} cores, torch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=list(SETTINGS), choices=SETTINGS)
    parser.add_argument("--clients", nargs="+", type=int, default=[10, 100, 1000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--flower", metavar="PYTHON", help="a Python with torch, numpy and flwr[simulation]")
    parser.add_argument("--out", type=pathlib.Path, default=HERE.parent / "book" / "results" / "speed")
    options = parser.parse_args()
    simulators = {"research loop": (sys.executable, "research", "fp32"), "fucore": (sys.executable, "ours", "fp32")}
    simulators["fucore bf16"] = (sys.executable, "ours", "bf16")
    if options.flower:
        simulators["Flower"] = (options.flower, "flower", "fp32")
    records = []
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models:
            setting = SETTINGS[model]
            path = archive(pathlib.Path(folder), setting["images"], setting["shape"])
            flops = flops_an_example(model.split(",")[0], setting["shape"])
            for clients in options.clients:
                if clients > (10 if "runs" in setting else setting["images"]):
                    continue
                for repeat in range(options.repeats):
                    peak = matmul_peak()
                    for name in sorted(simulators, reverse=repeat % 2 == 1):
                        python, simulator, precision = simulators[name]
                        if simulator == "flower" and "runs" in setting:
                            continue
                        task = {name: setting[name] for name in ("rounds", "epochs", "runs") if name in setting}
                        task |= {"archive": str(path), "model": model.split(",")[0], "clients": clients, "precision": precision}
                        result = measure(python, simulator, task)
                        later = statistics.median(result["seconds"][1:])
                        if "runs" in setting:
                            later = statistics.mean(result["seconds"]) / setting["rounds"]
                        rate = setting["images"] * setting["epochs"] / later
                        records.append(
                            {
                                "network": model,
                                "clients": clients,
                                "simulator": name,
                                "repeat": repeat,
                                "s/round": later,
                                "first round": result["seconds"][0],
                                "examples/s": rate,
                                "of fp32 peak, %": 100 * rate * flops / peak,
                                "peak MB": result["peak"] / 2**20,
                                "wall s": result["wall"],
                                "accuracy": result["accuracy"],
                            }
                        )
                        print(
                            {key: round(value, 3) if isinstance(value, float) else value for key, value in records[-1].items()}, flush=True
                        )
                    save(pd.DataFrame(records), options.out)


def save(records: pd.DataFrame, out: pathlib.Path) -> None:
    """Medians over repeats as ``out``.csv, in place of older ones of the same tasks; how they were measured as ``out``.json."""
    keys = ["network", "clients", "simulator"]
    base = records[records["simulator"] == "research loop"].set_index(["network", "clients", "repeat"])["s/round"]
    records = records.assign(**{"x research loop": [base[n, c, r] / s for n, c, r, s in records[[*keys[:2], "repeat", "s/round"]].values]})
    table = records.drop(columns="repeat").groupby(keys, sort=False).median().reset_index()
    digits = {
        "s/round": 3,
        "first round": 2,
        "examples/s": 0,
        "of fp32 peak, %": 0,
        "peak MB": 0,
        "wall s": 0,
        "accuracy": 3,
        "x research loop": 2,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    table.insert(3, "x research loop", table.pop("x research loop"))
    table["repeats"] = int(records["repeat"].max()) + 1
    if out.with_suffix(".csv").exists():
        old = pd.read_csv(out.with_suffix(".csv"))
        measured = old.set_index(keys[:2]).index.isin(table.set_index(keys[:2]).index)
        table = pd.concat([old[~measured], table])
    table.round(digits).astype({"examples/s": int, "peak MB": int, "wall s": int}).to_csv(out.with_suffix(".csv"), index=False)
    about = {
        "hardware": hardware(),
        "settings": {name: ", ".join(f"{key} {value}" for key, value in setting.items()) for name, setting in SETTINGS.items()},
        "command": "python benchmarks/speed.py",
    }
    out.with_suffix(".json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
