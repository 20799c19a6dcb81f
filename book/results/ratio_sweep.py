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
from fucore.evaluation.report import cell
from fucore.run import provenance


def short(table: pd.DataFrame) -> pd.DataFrame:
    """One row a split and candidate: accuracy (gap) by group, in per cent, as the page shows it."""
    rows = []
    for (split, candidate), groups in table.groupby(["split", "candidate"], sort=False):
        row = {"split": split, "model": candidate}
        row |= {group.group: cell(group, candidate) for group in groups.itertuples()}
        first = groups.iloc[0]
        rows.append(row | {"forget": f"{100 * first.forget_accuracy:.1f}", "test": f"{100 * first.test_accuracy:.1f}"})
    return pd.DataFrame(rows)


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
    tables = []
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
    stem = pathlib.Path(__file__).parent / f"ratio_sweep_{options.name}"
    table = pd.concat(tables).round(4)
    table.to_csv(stem.with_suffix(".csv"), index=False)
    short(table).to_csv(stem.with_suffix(".table.csv"), index=False)
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
