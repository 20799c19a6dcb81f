"""Judge all methods that need no stored history on the embedded reference, with their published defaults, and FedMemPrune at several ratios.

python book/results/judged.py [--rounds 5] [--seeds 2]

Runs come from the store where they are there, so that an interrupted call goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import time

import fucore as fu
from fucore.evaluation.arena import ENTRIES
from fucore.runs.fingerprint import hash_of_code
from fucore.runs.run import provenance

RATIOS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", default="mnist5k")
    parser.add_argument("--rounds", type=int, default=5, help="of unlearning")
    parser.add_argument("--seeds", type=int, default=2, help="runs of each method in each case")
    options = parser.parse_args()
    reference, began = fu.reference(options.reference), time.perf_counter()
    entries = {name: entry for name, entry in ENTRIES.items() if not {"history", "class of a client"} & set(fu.METHODS[entry.method].needs)}
    asked = {name: (entry.method, entry.parameters(options.rounds)) for name, entry in entries.items() if entry.method != "fedmemprune"}
    asked |= {f"FedMemPrune ρ={ratio:g}": ("fedmemprune", {"rounds": options.rounds, "ratio": ratio}) for ratio in RATIOS}
    candidates = {}
    for done, (name, (method, parameters)) in enumerate(asked.items()):
        try:
            candidates[name] = [run for seed in range(options.seeds) for run in reference.unlearn(method, seed=seed, **parameters)]
        except fu.FucoreError as error:
            print(f"{name}: left out, {error}", flush=True)
        spent = time.perf_counter() - began
        print(
            f"{done + 1} of {len(asked)} methods, {spent / 60:.0f} min, about {spent / (done + 1) * (len(asked) - done - 1) / 60:.0f} min left",
            flush=True,
        )
    report = fu.compare(candidates, reference)
    print(report)
    record = {
        **provenance(reference.data),
        "code": hash_of_code(),
        "reference": options.reference,
        "rounds": options.rounds,
        "seeds": options.seeds,
    }
    record |= {
        "model": reference.record["model"],
        "local": dataclasses.asdict(reference.cases[0].federation.local),
        "cases": len(reference.cases),
    }
    fu.results.keep(f"judged_{options.reference}", {"": report.groups, "summary": report.summary, "cases": report.cases}, record)


if __name__ == "__main__":
    main()
