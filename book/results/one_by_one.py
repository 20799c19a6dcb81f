"""Clients that leave one after another, each forgotten from what the last unlearning left, against forgetting them all at once.

python book/results/one_by_one.py [--originals 5] [--steps 5]

Every original has a partition, a seed and a row of leaving clients of its own, and every step models that were retrained without all
who have left by then.  Runs come from the store, so that a call that was stopped goes on, and the tables are written again after each
original.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import time

import numpy as np
import pandas as pd

import fucore as fu
from fucore.runs.fingerprint import hash_of_code
from fucore.runs.run import provenance

CLIENTS, ALPHA = 10, 0.5
METHODS = {
    "FedMemPrune 40 %": ("fedmemprune", {"ratio": 0.4}),
    "FedMemPrune 60 %": ("fedmemprune", {"ratio": 0.6}),
    "Fine-tuning": ("fine-tune", {}),
    "NoT": ("not", {}),
    "PGA": ("pga", {}),
}
WAYS = ONE_BY_ONE, AT_ONCE = "one by one", "at once"


def cases_of(data: fu.Dataset, place: int, options: argparse.Namespace) -> list[fu.Case]:
    """The case of each step of one original; who leaves holds at least half the mean number of images."""
    clients = fu.partition.dirichlet(data.train.labels, CLIENTS, ALPHA, place)
    federation = fu.Federation(data, clients, options.model, fu.LocalTraining(epochs=2, batch=32, lr=3e-3), workers=options.workers)
    leaving = np.flatnonzero(clients.sizes >= clients.sizes.mean() / 2)[: options.steps].tolist()
    seeds = {"seed": place, "retrained": options.retrained}
    return [
        fu.case(federation, fu.forget.clients(leaving[:step]), options.rounds, **seeds, after=1000 * (place + 1) + 100 * step)
        for step in range(1, len(leaving) + 1)
    ]


def chains(cases: list[fu.Case], rounds: int) -> dict[str, list[fu.Run]]:
    """``method: way`` to its run after each step."""
    found: dict[str, list[fu.Run]] = {}
    for name, (method, parameters) in METHODS.items():
        chain = [cases[0].original]
        for before, case in zip([None, *cases], cases):
            asked = set(case.request.clients or ()) - set((before.request.clients if before else None) or ())
            chain.append(fu.unlearn(method, chain[-1], fu.forget.clients(sorted(asked)), rounds=rounds, **parameters))
        found[f"{name}: {ONE_BY_ONE}"] = chain[1:]
        found[f"{name}: {AT_ONCE}"] = [fu.unlearn(method, case, rounds=rounds, **parameters) for case in cases]
    return found


def apart(table: pd.DataFrame) -> pd.DataFrame:
    """The candidates' names as a ``method`` and a ``way``, empty for original and retrained."""
    parts = table.candidate.str.split(": ", n=1, expand=True)
    return table.drop(columns="candidate").assign(method=parts[0], way=parts[1].fillna(""))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist5k")
    parser.add_argument("--model", default="cnn-groupnorm")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--rounds", type=int, default=10, help="of training")
    parser.add_argument("--recovery", type=int, default=5, help="of unlearning, for each request")
    parser.add_argument("--originals", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="clients that leave")
    parser.add_argument("--retrained", type=int, default=4, help="models for each step")
    parser.add_argument("--name", help="of the kept table; by default one_by_one_<data>")
    options = parser.parse_args()
    data, began = fu.load(options.data), time.perf_counter()
    cases: list[list[fu.Case]] = []
    runs: list[dict[str, list[fu.Run]]] = []
    alone: list[pd.DataFrame] = []
    for place in range(options.originals):
        cases.append(cases_of(data, place, options))
        runs.append(chains(cases[-1], options.recovery))
        alone.append(fu.step_by_step(runs[-1], cases[-1]).assign(original=place))
        steps = list(zip(*cases))  # of each step, the case of each original
        together = fu.step_by_step({name: list(zip(*(each[name] for each in runs))) for name in runs[0]}, steps)
        kept = apart(together)
        spent = (time.perf_counter() - began) / 60
        print(f"{place + 1} of {options.originals} originals, {spent:.0f} min", kept.to_string(), sep="\n", flush=True)
        record = {**provenance(data), "code": hash_of_code(), "cores": os.cpu_count(), **vars(options), "originals": place + 1}
        record |= {"local": dataclasses.asdict(cases[0][0].federation.local), "clients": CLIENTS, "alpha": ALPHA}
        fu.results.keep(options.name or f"one_by_one_{options.data}", {"": kept, "originals": apart(pd.concat(alone))}, record)


if __name__ == "__main__":
    main()
