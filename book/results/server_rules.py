"""Test accuracy under each aggregation rule with its default parameters; what was trained before is taken from the store.

python book/results/server_rules.py [mnist5k] [--rounds 10] [--seeds 2] [--workers 1]
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib

import pandas as pd

import fucore as fu
from fucore.runs.fingerprint import hash_of_code
from fucore.runs.run import provenance

RULES = {
    "FedAvg": fu.FedAvg(),
    "FedAvgM": fu.FedAvgM(),
    "FedAdagrad": fu.FedAdagrad(),
    "FedAdam": fu.FedAdam(),
    "FedYogi": fu.FedYogi(),
    "SCAFFOLD": fu.Scaffold(),
}
LOCAL = {"Adam": fu.LocalTraining(lr=3e-3), "SGD": fu.LocalTraining(optimizer="sgd", lr=0.05)}
PROXIMAL = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default="mnist5k")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    data = fu.load(options.data)
    clients = fu.partition.dirichlet(data.train.labels, 10, 0.5, seed=0)
    rows = []
    for step, local in LOCAL.items():
        settings = {name: (rule, local) for name, rule in RULES.items() if step == "SGD" or name != "SCAFFOLD"}
        settings["FedProx"] = (fu.FedAvg(), dataclasses.replace(local, proximal=PROXIMAL))
        for name, (rule, how) in settings.items():
            fed = fu.Federation(data, clients, "cnn-groupnorm", how, server=rule, workers=options.workers)
            runs = [fed.train(options.rounds, seed) for seed in range(options.seeds)]
            rows += [(name, step, seed, row["round"], row["test_accuracy"]) for seed, run in enumerate(runs) for row in run.history]
    table = pd.DataFrame(rows, columns=["rule", "local", "seed", "round", "accuracy"])
    record = {**provenance(data), "code": hash_of_code(), "partition": repr(clients), "model": "cnn-groupnorm", "rounds": options.rounds}
    record |= {"local": {step: dataclasses.asdict(local) for step, local in LOCAL.items()}, "proximal of FedProx": PROXIMAL}
    record |= {"rules": {name: dataclasses.asdict(rule) for name, rule in RULES.items()}}
    fu.results.keep(f"server_rules_{options.data}", {"": table}, record)
    shown(table).to_csv(pathlib.Path(__file__).parent / f"server_rules_{options.data}.csv", index=False)


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy after the last round in per cent, a row a rule, a column for each kind of local training: mean and the seeds' values."""
    last = table[table["round"] == table["round"].max()]
    cells = last.groupby(["rule", "local"], sort=False).accuracy.agg(
        lambda seeds: f"{100 * seeds.mean():.1f} ({', '.join(f'{100 * seed:.1f}' for seed in seeds)})"
    )
    wide = cells.unstack().reindex(["FedAvg", "FedProx", *(name for name in RULES if name != "FedAvg")])
    return wide.fillna("needs SGD").rename(columns=lambda step: f"local {step}").reset_index()


if __name__ == "__main__":
    main()
