"""Pruning ratio by Dirichlet alpha, every setting with the same rounds: the table behind the explorer of both knobs.

For each alpha one original model is trained; two clients with enough images leave, one at a time; each case has its own
retrained models.  Runs are kept in the store, so a call that was stopped goes on where it was.

python book/results/ratio_by_alpha.py npz:/path/cifar10.npz --name cifar10
"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np
import pandas as pd

import fucore as fu
from fucore.evaluation.deciding import prediction_half_width
from fucore.evaluation.gme import TAIL_GROUPS
from fucore.runs.fingerprint import hash_of_code
from fucore.runs.run import provenance

CLIENTS, ALPHAS, RATIOS = 10, (0.1, 0.5, 1.0, 10.0, np.inf), (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


FIFTH = "80–100 %"


def with_fifth(case: pd.DataFrame) -> pd.DataFrame:
    """A case's table with rows for the tail groups together; half widths are averaged, as if the groups moved together."""
    case = case[case.candidate != "Retrained"]
    numbers = [f"{name}{side}" for name in ("accuracy", "retrained") for side in ("", "_low", "_high")] + ["spread"]
    tail = case[case.group.isin(case.group.unique()[:TAIL_GROUPS])]
    fifth = tail.groupby("candidate", sort=False)[numbers].mean().reset_index()
    return pd.concat([case, fifth.assign(group=FIFTH)], ignore_index=True)


def these_models(cases: list[pd.DataFrame], models: int) -> pd.DataFrame:
    """Means over ``cases`` that share one original, with the bound of one more retrained model in each: about these models, not the method."""
    tables = [with_fifth(case).set_index(["candidate", "group"]) for case in cases]
    parts = np.stack([table.loc[tables[0].index, ["accuracy", "retrained", "spread"]] for table in tables])
    result = pd.DataFrame(parts.mean(axis=0), index=tables[0].index, columns=["accuracy", "retrained", "spread"])
    for name in ("accuracy", "retrained"):
        for side, sign in (("low", -1), ("high", 1)):
            halves = np.stack([(table[f"{name}_{side}"] - table[name]).loc[tables[0].index] for table in tables])
            result[f"{name}_{side}"] = (result[name] + sign * np.sqrt((halves**2).sum(axis=0)) / len(tables)).clip(0, 1)
    result["spread"] = np.sqrt((parts[:, :, 2] ** 2).mean(axis=0))
    result["difference"] = result.accuracy - result.retrained
    result["bound"] = prediction_half_width(result.spread, models, len(tables))
    original = result.difference.xs("Original", level="candidate")
    result["answer"] = [said(row.difference, row.bound, original[group]) for (_, group), row in zip(result.index, result.itertuples())]
    return result.reset_index()


def said(difference: float, bound: float, original: float) -> str:
    """What the explorer says of a difference to retraining; nothing where even the original lies within the bound."""
    if abs(difference) > bound:
        return "too little" if difference > 0 else "too much"
    return "as retraining" if abs(original) > bound else "undecided"


def test_rows(cases: list[pd.DataFrame], references: list[list[float]]) -> pd.DataFrame:
    """Test accuracy of every model, mean over cases, beside that of the retrained models of each case.

    Intervals are two standard errors, from the spread between retrained models of one case.
    """
    mean, spread = np.mean(references), np.sqrt(np.mean([np.var(each, ddof=1) for each in references]))
    rows = []
    for candidate, values in pd.concat(cases).groupby("candidate", sort=False).test_accuracy:
        if candidate != "Retrained":
            row = {"candidate": candidate, "group": "test", "accuracy": values.mean(), "retrained": mean, "spread": spread}
            for name, count in (("accuracy", 1 if candidate == "Original" else len(values)), ("retrained", np.size(references))):
                row |= {f"{name}_low": row[name] - 2 * spread / np.sqrt(count), f"{name}_high": row[name] + 2 * spread / np.sqrt(count)}
            rows.append(row | {"difference": values.mean() - mean})
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--name", required=True, help="name of the data in the table")
    parser.add_argument("--model", default="convnet")
    parser.add_argument("--precision", default="bf16", help="bf16 or fp32")
    parser.add_argument("--train-size", type=int)
    parser.add_argument("--rounds", type=int, default=12, help="of training, one pass each; unlearning takes half of them")
    parser.add_argument("--retrained", type=int, default=4)
    parser.add_argument("--leaving", type=int, default=2, help="clients that leave, one at a time")
    parser.add_argument("--smallest", type=int, default=2000, help="images that a leaving client has at least")
    parser.add_argument("--alphas", type=float, nargs="+", default=ALPHAS)
    options = parser.parse_args()
    data = fu.load(options.dataset, train_size=options.train_size)
    local, began, done = fu.LocalTraining(epochs=1, batch=32, lr=3e-3), time.perf_counter(), 0
    steps = len(options.alphas) * (1 + options.leaving * (options.retrained + len(RATIOS)))

    def tell(count: int) -> None:
        nonlocal done
        done += count
        spent = time.perf_counter() - began
        print(f"{done} of {steps} runs, {spent / 60:.0f} min, about {spent / done * (steps - done) / 60:.0f} min left", flush=True)

    tables, cases = [], []
    for alpha in options.alphas:
        clients = fu.partition.dirichlet(data.train.labels, CLIENTS, alpha)
        fed = fu.Federation(data, clients, options.model, local, precision=options.precision)
        original = fed.train(options.rounds, seed=0)
        tell(1)
        leaving = np.flatnonzero(clients.sizes >= options.smallest)[: options.leaving]
        groups, tests, references = [], [], []
        for client in leaving.tolist():
            request = fu.forget.client(client)
            retrained = fed.without(request).train_many(options.rounds, range(1, 1 + options.retrained))
            tell(options.retrained)
            case, runs = fu.Case(original, retrained, request), {}
            for ratio in RATIOS:
                runs[f"{ratio:g}"] = fu.unlearn("fedmemprune", case, ratio=ratio, rounds=options.rounds // 2, seed=client)
                tell(1)
            report = fu.compare(runs, case)
            print(f"alpha {alpha:g}, client {client} of {len(report.indices)} images", report, sep="\n", flush=True)
            groups.append(report.groups)
            tests.append(report.summary)
            references.append([run.history[-1]["test_accuracy"] for run in retrained])
            speeds = report.summary[["candidate", "test_accuracy", "speed_up"]]
            cases.append(report.groups.merge(speeds, on="candidate").assign(alpha=alpha, client=client))
        tables.append(pd.concat([these_models(groups, options.retrained), test_rows(tests, references)]).assign(alpha=alpha))
    record = {**provenance(data), "data": options.name, "code": hash_of_code(), "model": options.model, "precision": options.precision}
    record |= {"local": fed.config["local"], "rounds": options.rounds, "recovery_rounds": options.rounds // 2, "clients": CLIENTS}
    record |= {"retrained": options.retrained, "leaving": options.leaving, "parameters": fed.layout.size, "cores": os.cpu_count()}
    columns = "alpha client candidate group examples accuracy retrained spread bound low high test_accuracy speed_up".split()
    fu.results.keep(f"ratio_by_alpha_{options.name}", {"": pd.concat(tables), "cases": pd.concat(cases)[columns]}, record)


if __name__ == "__main__":
    main()
