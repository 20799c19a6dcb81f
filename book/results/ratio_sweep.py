"""FedMemPrune's pruning ratio against retraining, on any data set: the table behind the page "Bigger runs".

python book/results/ratio_sweep.py npz:/path/cifar10.npz --train-size 10000 --rounds 20 --name cifar10-10k
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib

import pandas as pd

import fucore as fu
from fucore.run import provenance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--name", required=True, help="name of the table and of the data in it")
    parser.add_argument("--train-size", type=int)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--recovery-rounds", type=int, default=4)
    parser.add_argument("--retrained", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    data = fu.load(options.dataset, train_size=options.train_size)
    request = fu.forget.client(0)
    tables, short = [], []
    for split, clients in (
        ("Dirichlet 0.5", fu.partition.dirichlet(data.train.labels, 10, 0.5)),
        ("IID", fu.partition.iid(data.train.labels, 10)),
    ):
        fed = fu.Federation(data, clients)
        original = fed.train(options.rounds, seed=0)
        retrained = fed.without(request).train_many(options.rounds, range(1, 1 + options.retrained))

        def runs(ratio, original=original):
            return [
                fu.unlearn("fedmemprune", original, request, ratio=ratio, rounds=options.recovery_rounds, seed=seed)
                for seed in range(options.seeds)
            ]

        report = fu.compare({f"ρ={ratio}": runs(ratio) for ratio in (0, 0.2, 0.4, 0.6, 0.8, 1, "auto")}, original, retrained, request)
        print(split, report, sep="\n", flush=True)
        summary = report.summary[["candidate", "test_accuracy", "forget_accuracy", "local_fairness", "examples", "speed_up"]]
        tables.append(report.groups.merge(summary, on="candidate").assign(split=split, data=options.name))
        table = report.table().drop(columns=["local fairness", "examples ×1000"]).rename_axis("model").reset_index()
        short.append(table.assign(split=split).set_index("split").reset_index())
    stem = pathlib.Path(__file__).parent / f"ratio_sweep_{options.name}"
    pd.concat(tables).round(4).to_csv(stem.with_suffix(".csv"), index=False)
    pd.concat(short).to_csv(stem.with_suffix(".table.csv"), index=False)
    settings = {key: value for key, value in vars(options).items() if key != "dataset"}
    record = {
        **provenance(data),
        "data": options.name,
        **settings,
        "model": fed.config["model"],
        "local": fed.config["local"],
        "cores": os.cpu_count(),
    }
    stem.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
