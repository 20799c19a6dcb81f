"""Which measure tells which model from retraining: simulated truths, and cases of the embedded reference with sixteen models a side.

python book/results/measures.py [--cases 1]

Runs come from the store where they are there, so that an interrupted call goes on.
"""

from __future__ import annotations

import argparse

import pandas as pd

import fucore as fu
from fucore.companion import measures
from fucore.evaluation.power import metric_power
from fucore.runs.fingerprint import hash_of_code
from fucore.runs.run import provenance

#: Seeds of the other originals, and of models that are retrained besides those of the reference.
ORIGINALS, MORE = 1000, 5000
METHODS = {
    "fine-tuning": ("fine-tune", {"rounds": 5}),
    "FedMemPrune": ("fedmemprune", {"rounds": 5, "ratio": 0.4}),
    "SCRUB": ("scrub", {"rounds": 5}),
    "SSD": ("ssd", {}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1)
    parser.add_argument("--models", type=int, default=16)
    parser.add_argument("--experiments", type=int, default=40)
    options = parser.parse_args()
    reference = fu.reference("mnist5k")
    several, single = [], []
    for place, case in enumerate(reference.cases[: options.cases]):
        rounds = reference.record["rounds"]
        originals = case.federation.train_many(rounds, range(ORIGINALS, ORIGINALS + options.models))
        more = case.without.train_many(rounds, range(MORE, MORE + options.models + 3))
        starts = measures.from_originals(case, originals)
        candidates = {"retrained too": more[: options.models], "nothing": originals, "fake": measures.fakes(starts)}
        for name, (method, parameters) in METHODS.items():
            candidates[name] = [fu.unlearn(method, start, seed=seed, **parameters) for seed, start in enumerate(starts)]
        several.append(measures.told_apart(candidates, case).assign(case=place))
        one = {name: runs[0] for name, runs in candidates.items() if name != "retrained too"}
        one |= {f"one more {k}": run for k, run in enumerate(more[options.models :], start=1)}
        _, away = metric_power(one, fu.Case(originals[0], more[: options.models], case.request))
        rows = away.rename_axis("metric").reset_index().melt("metric", var_name="candidate", value_name="away")
        single.append(rows.assign(case=place))
        print(f"{place + 1} of {options.cases} cases", measures.power_table(pd.concat(several)), sep="\n", flush=True)
    simulated = measures.simulated(options.models, experiments=options.experiments)
    print(simulated.pivot(index="metric", columns="truth", values="told"), flush=True)
    record = {
        **provenance(reference.data),
        "code": hash_of_code(),
        "cases": options.cases,
        "models": options.models,
    }
    record |= {"experiments": options.experiments, "model": reference.record["model"], "methods": METHODS}
    fu.results.keep("measures_mnist5k", {"": pd.concat(several), "single": pd.concat(single), "simulated": simulated}, record)


if __name__ == "__main__":
    main()
