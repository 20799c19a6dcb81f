"""FedMemPrune when one thing is changed at a time, on any data set: the tables behind "Ablations" and "Bigger runs".

python book/results/ablations.py mnist5k --name mnist5k
python book/results/ablations.py npz:/path/cifar10.npz --train-size 10000 --rounds 20 --recovery-rounds 10 --name cifar10-10k
"""

from __future__ import annotations

import argparse
import os
import pathlib

import pandas as pd

import fucore as fu
from fucore.companion.ablations import Ablation, cells
from fucore.companion.params import Parameters
from fucore.runs.run import provenance

CLIENTS, RATIOS = 10, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, "auto")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--name", required=True, help="name of the table and of the data in it")
    parser.add_argument("--train-size", type=int)
    parser.add_argument("--rounds", type=int, default=10, help="of training; all settings but those of the reset take half of them")
    parser.add_argument("--recovery-rounds", type=int, default=5, help="of unlearning; likewise")
    parser.add_argument("--retrained", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3, help="runs of each method; all settings but those of the reset take one")
    options = parser.parse_args()
    parts: dict[str, Ablation] = {}
    data = fu.load(options.dataset, train_size=options.train_size)
    labels, leaves = data.train.labels, fu.forget.client(0)
    whole = Parameters(
        dataset=options.dataset,
        train_size=options.train_size,
        clients=CLIENTS,
        rounds=options.rounds,
        recovery_rounds=options.recovery_rounds,
        retrained_models=options.retrained,
        unlearning_seeds=options.seeds,
    )
    half = whole.model_copy(update={"rounds": options.rounds // 2, "recovery_rounds": options.recovery_rounds // 2, "unlearning_seeds": 1})

    def judge(part, setting, split, request, ratios, fine_tuning=False):
        """Train, retrain, unlearn and judge one setting of a part."""
        ablation = parts.setdefault(part, Ablation(whole if part == "reset" else half, data))
        report = ablation.judge(setting, whole.federation(data, split), request, ratios, fine_tuning)
        print(part, setting, report, sep="\n", flush=True)

    uneven, even = fu.partition.dirichlet(labels, CLIENTS, 0.5), fu.partition.iid(labels, CLIENTS)
    judge("reset", "α = 0.5", uneven, leaves, RATIOS)
    judge("reset", "IID", even, leaves, RATIOS)
    levels = {"one class": fu.partition.one_class_per_client(labels, max(CLIENTS, len(data.classes)))}
    levels |= {f"α = {alpha:g}": fu.partition.dirichlet(labels, CLIENTS, alpha) for alpha in (0.1, 0.5, 1.0, 10.0)}
    for setting, split in (levels | {"IID": even}).items():
        judge("uneven", setting, split, leaves, (0.4, 0.6), fine_tuning=True)
    for number, ratio in fu.papers.ratio_by_leaving_clients().items():
        judge("leaving", f"{number} leave", uneven, fu.forget.clients(*range(number)), (ratio,))
    for number in (10, 20, 50, 200):
        judge("clients", f"{number} clients", fu.partition.iid(labels, number), leaves, (0.4,))
    settings = {key: value for key, value in vars(options).items() if key != "dataset"}
    fed = whole.federation(data, even)
    record = {**provenance(data), "data": options.name, **settings, "model": fed.config["model"], "local": fed.config["local"]}
    pages, tables = pathlib.Path(__file__).parent / f"ablations_{options.name}", []
    for part, ablation in parts.items():
        tables.append(ablation.rows(*ablation.reports).assign(part=part))
        page = cells(tables[-1], ("forget", "test")).rename_axis(["setting", "model"])
        page.to_csv(f"{pages}.{part}.csv")
    fu.results.keep(f"ablations_{options.name}", {"": pd.concat(tables)}, record | {"cores": os.cpu_count()})


if __name__ == "__main__":
    main()
