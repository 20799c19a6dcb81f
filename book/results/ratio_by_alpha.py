"""Pruning ratio by Dirichlet alpha in several cases each: what stands behind the explorer of both knobs.

python book/results/ratio_by_alpha.py digits
python book/results/ratio_by_alpha.py cifar10 --data npz:/path/cifar10.npz

Every alpha has several originals, each with a partition and a seed of its own, and each case its own retrained models; where fucore
brings a reference along, its cases are used.  Beside FedMemPrune stands retraining for the same rounds.  Runs come from the store,
so that a call that was stopped goes on, and the tables are written again after each alpha.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
from wall import sheet

import fucore as fu
from fucore.companion.explorers import curve
from fucore.companion.grid import CONTROL
from fucore.evaluation.deciding import confidence_half_width
from fucore.evaluation.pooling import by_original
from fucore.runs.fingerprint import hash_of_code
from fucore.runs.run import provenance

CLIENTS, FEW = 10, 3


@dataclass(frozen=True)
class Plan:
    """What one grid is made of; ``references``: alpha to the reference that has its cases; ``few``: alphas with no more than FEW originals and models."""

    data: str
    local: fu.LocalTraining
    rounds: int
    recovery: int
    alphas: tuple[float, ...]
    ratios: tuple[float, ...]
    originals: int
    leaving: int
    retrained: int
    references: dict[float, str]
    model: str = "cnn-groupnorm"
    precision: str = "fp32"
    few: tuple[float, ...] = ()
    train_size: int | None = None


PLANS = {
    "digits": Plan(
        data="mnist5k",
        local=fu.LocalTraining(epochs=2, batch=32, lr=3e-3),
        rounds=10,
        recovery=5,
        alphas=(0.5, 0.1, np.inf),
        ratios=tuple(round(0.1 * step, 1) for step in range(11)),
        originals=5,
        leaving=2,
        retrained=8,
        references={0.5: "mnist5k"},
    ),
    "cifar10": Plan(
        data="cifar10",
        local=fu.LocalTraining(epochs=1, batch=32, lr=3e-3),
        rounds=12,
        recovery=6,
        alphas=(0.5, np.inf, 0.1),
        few=(np.inf, 0.1),
        ratios=(0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0),
        originals=4,
        leaving=1,
        retrained=4,
        references={},
        model="convnet",
        precision="bf16",
        train_size=20_000,
    ),
}


def cases_of(plan: Plan, alpha: float, data: fu.Dataset, workers: int | None) -> list[fu.Case]:
    """The cases of one alpha: those of a reference, or new ones; who leaves holds at least half the mean number of images."""
    if alpha in plan.references:
        return list(fu.reference(plan.references[alpha], data, workers=workers).cases)
    originals, retrained = (min(FEW, number) if alpha in plan.few else number for number in (plan.originals, plan.retrained))
    cases = []
    for place in range(originals):
        clients = fu.partition.dirichlet(data.train.labels, CLIENTS, alpha, place)
        leaving = np.flatnonzero(clients.sizes >= clients.sizes.mean() / 2)[: plan.leaving]
        federation = fu.Federation(data, clients, plan.model, plan.local, precision=plan.precision, workers=workers)
        for client in leaving.tolist():
            first = 1000 * (place + 1) + 100 * client
            case = fu.case(federation, fu.forget.client(client), plan.rounds, seed=place, retrained=retrained, after=first)
            cases.append(case)
    return cases


def rounds_of(candidates: dict[str, list[fu.Run]], cases: list[fu.Case], originals: list[int]) -> pd.DataFrame:
    """Test accuracy after each round of recovery, and of retraining from a new start: mean over originals with its 95 % interval."""
    curves = {name: [curve(run) for run in runs] for name, runs in candidates.items()}
    curves["Retrained"] = [np.mean([curve(run) for run in case.retrained], axis=0) for case in cases]
    rows = []
    for name, values in curves.items():
        each = by_original(np.array(values), originals)
        mean, half = each.mean(axis=0), confidence_half_width(each)
        rows += [
            {"candidate": name, "round": done, "test_accuracy": mean[done - 1], "half_width": half[done - 1]}
            for done in range(1, len(mean) + 1)
        ]
    return pd.DataFrame(rows)


def holders(case: fu.Case) -> pd.DataFrame:
    """How many images of each class every client holds, and who leaves."""
    federation = case.federation
    counts = federation.clients.counts(federation.data.train.labels)
    leaving = case.request.clients
    return pd.DataFrame(
        [
            {"client": client, "leaving": client in leaving, "class": federation.data.classes[label], "images": int(count)}
            for client, row in enumerate(counts)
            for label, count in enumerate(row)
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=tuple(PLANS))
    parser.add_argument("--data", help="where the data are, such as npz:/path; by default they are loaded by their name")
    parser.add_argument("--alphas", type=float, nargs="+", help="only these; a table of fewer is written")
    parser.add_argument("--workers", type=int)
    for option in ("originals", "leaving", "retrained", "rounds", "recovery"):
        parser.add_argument(f"--{option}", type=int, help="in place of the plan's")
    options = parser.parse_args()
    changes = {each.name: getattr(options, each.name) for each in dataclasses.fields(Plan) if getattr(options, each.name, None)}
    plan = dataclasses.replace(PLANS[options.name], **{key: value for key, value in changes.items() if key not in ("data", "alphas")})
    data, began = fu.load(options.data or plan.data, train_size=plan.train_size), time.perf_counter()
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in ("", "summary", "cases", "one", "rounds", "holders")}
    walls, made = {}, {}
    for alpha in options.alphas or plan.alphas:
        cases = cases_of(plan, alpha, data, options.workers)
        asked = {f"{ratio:g}": ("fedmemprune", {"ratio": ratio}) for ratio in plan.ratios} | {CONTROL: ("retrain", {})}
        candidates: dict[str, list[fu.Run]] = {}
        for name, (method, parameters) in asked.items():
            candidates[name] = [fu.unlearn(method, case, rounds=plan.recovery, **parameters) for case in cases]
            spent = time.perf_counter() - began
            print(f"alpha {alpha:g}, {len(cases)} cases, {name}: {len(candidates)} of {len(asked)}, {spent / 60:.0f} min", flush=True)
        report = fu.compare(candidates, cases)
        print(report, flush=True)
        originals = report.cases.groupby("case").original.first().tolist()
        one = fu.compare({name: runs[0] for name, runs in candidates.items()}, cases[0])
        tables = {"": report.groups, "summary": report.summary, "cases": report.cases, "one": one.groups, "holders": holders(cases[0])}
        for name, table in (tables | {"rounds": rounds_of(candidates, cases, originals)}).items():
            parts[name].append(table.assign(alpha=alpha))
        walls[f"{alpha:g}"] = sheet(cases[0], {name: runs[0] for name, runs in candidates.items() if name != CONTROL})
        made[f"{alpha:g}"] = {"originals": len(set(originals)), "cases": len(cases), "retrained": len(cases[0].retrained)}
        record = {
            **provenance(data),
            "data": plan.data,
            "code": hash_of_code(),
            "model": plan.model,
            "precision": plan.precision,
            "cores": os.cpu_count(),
        }
        record |= {
            "local": dataclasses.asdict(plan.local),
            "rounds": plan.rounds,
            "recovery": plan.recovery,
            "clients": CLIENTS,
            "alphas": made,
        }
        fu.results.keep(f"ratio_by_alpha_{options.name}", {name: pd.concat(tables) for name, tables in parts.items()}, record)
        path = pathlib.Path(fu.results.FOLDER) / f"ratio_by_alpha_{options.name}.walls.json"
        path.write_text(json.dumps(walls, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
