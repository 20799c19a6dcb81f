"""All methods in the fair arena on any data set: the tables behind the chapter "All methods compared".

python book/results/all_methods.py mnist5k --name mnist5k
python book/results/all_methods.py digits-embedded --name digits-embedded
"""

from __future__ import annotations

import argparse
import os

import pandas as pd

import fucore as fu
from fucore.evaluation import arena
from fucore.evaluation.membership import membership
from fucore.runs.run import provenance

TUNING_SEED, REFERENCE_SEED = 100, 1000


def federations_of(name: str, train_size: int | None) -> dict[str, fu.Federation]:
    """Splits by name: even and uneven of one data set, or the clients of a benchmark."""
    if name in fu.domains.BENCHMARKS:
        wild = fu.domains.load(name, train_size=train_size)
        return {"Real-Noniid": fu.Federation(wild.data, wild.clients, server=fu.FedAvg("size"))}
    data = fu.load(name, train_size=train_size)
    return {
        "IID": fu.Federation(data, fu.partition.iid(data.train.labels, 10)),
        "Dirichlet 0.5": fu.Federation(data, fu.partition.dirichlet(data.train.labels, 10, 0.5)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="a data set, or a benchmark of several: " + ", ".join(fu.domains.BENCHMARKS))
    parser.add_argument("--name", required=True, help="name of the tables and of the data in them")
    parser.add_argument("--train-size", type=int)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--recovery-rounds", type=int, default=5)
    parser.add_argument("--retrained", type=int, default=4)
    parser.add_argument("--originals", type=int, default=3)
    parser.add_argument("--jobs", type=int, help="runs at the same time (default: one a core)")
    options = parser.parse_args()
    request, federations = fu.forget.client(0), federations_of(options.dataset, options.train_size)
    some = next(iter(federations.values()))
    data = some.data
    rounds, budget, references = options.rounds, options.recovery_rounds, options.retrained  # plain values, so that rows have keys

    def original(split, seed):
        return federations[split].train(rounds, seed=seed, record_updates=True)

    def retrained(split, first):
        return federations[split].without(request).train_many(rounds, range(first, first + references))

    for split in federations:
        retrained(split, REFERENCE_SEED), retrained(split, TUNING_SEED + 1)
        [original(split, seed) for seed in (*range(options.originals), TUNING_SEED)]

    def case(split, seed, first=REFERENCE_SEED):
        return fu.Case(original(split, seed), retrained(split, first), request)

    def tuning(split, entry):
        point, table = arena.tune(entry, case(split, TUNING_SEED, TUNING_SEED + 1), budget, TUNING_SEED)
        return {"point": point, "table": table.drop(columns="entry").to_dict("list")}

    tuned = fu.sweep(tuning, {"split": list(federations), "entry": list(arena.ENTRIES)}, jobs=options.jobs)
    print(tuned.failures)
    points = {(row.split, row.entry): row.point for row in tuned.table.itertuples()}
    trials = [pd.DataFrame(row.table).assign(split=row.split, entry=row.entry) for row in tuned.table.itertuples()]

    def judged(split, entry, seed, chosen):
        run = arena.run_entry(arena.ENTRIES[entry], case(split, seed), budget, points[split, entry] if chosen else None, seed)
        return {"seconds": run.cost.seconds}

    grid = {"split": list(federations), "entry": list(arena.ENTRIES), "seed": list(range(options.originals)), "chosen": [True, False]}
    print(fu.sweep(judged, grid, jobs=options.jobs).failures)
    tables, attacks = [], []
    for split in federations:
        for chosen in (True, False):
            reports = []
            for seed in range(options.originals):
                judges = case(split, seed)
                runs = {
                    name: arena.run_entry(entry, judges, budget, points[split, name] if chosen else None, seed)
                    for name, entry in arena.ENTRIES.items()
                    if (split, name) in points
                }
                reports.append(fu.compare(runs, judges))
                if chosen:
                    attacks.append(membership(runs, judges).assign(split=split, original=seed))
            summary = pd.concat([report.summary for report in reports]).fillna(
                {"speed_up": 0.0}
            )  # never is a gain of nothing, not a run to leave out
            speeds = summary.groupby("candidate", sort=False).speed_up.median()
            summary = summary.groupby("candidate", sort=False).mean(numeric_only=True).assign(speed_up=speeds)
            summary = summary[["forget_accuracy", "local_fairness", "examples", "uploaded", "stored", "seconds", "speed_up"]].reset_index()
            pooled = arena.pooled(reports).assign(split=split, parameters="tuned" if chosen else "published")
            print(split, chosen, arena.pooled_table(pooled).to_string(), summary.round(3).to_string(), sep="\n", flush=True)
            tables.append(pooled.merge(summary, on="candidate"))
    chosen = {split: {entry: point for (of, entry), point in points.items() if of == split} for split in federations}
    record = {**provenance(data), "data": options.name, **{k: v for k, v in vars(options).items() if k not in ("dataset", "jobs")}}
    record |= {
        "local": some.config["local"],
        "model": some.config["model"],
        "cores": os.cpu_count(),
        "chosen": chosen,
    }
    attacks = pd.concat(attacks).groupby(["split", "candidate", "attack"], sort=False).mean(numeric_only=True)
    attacks = attacks.drop(columns="original").reset_index()
    fu.results.keep(f"all_methods_{options.name}", {"": pd.concat(tables), "tuning": pd.concat(trials), "membership": attacks}, record)


if __name__ == "__main__":
    main()
