"""Count how often the judge is right about models of which the truth is known, on the embedded reference.

python book/results/calibration.py [--draws 200]
"""

from __future__ import annotations

import argparse

import pandas as pd

import fucore as fu
from fucore.companion import calibration
from fucore.runs.fingerprint import hash_of_code
from fucore.runs.run import provenance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=200)
    options = parser.parse_args()
    reference = fu.reference("mnist5k")
    several = [calibration.of_the_method(reference, options.draws, runs=runs) for runs in (1, 2)]
    one = [calibration.of_one_model(reference, options.draws // 5, models=models).assign(models=models) for models in (3, 5, 10, 15)]
    record = {**provenance(reference.data), "code": hash_of_code(), "draws": options.draws, "cases": len(reference.cases)}
    record |= {"retrained": len(reference.cases[0].retrained), "model": reference.record["model"]}
    fu.results.keep("calibration_mnist5k", {"": pd.concat(several), "one": pd.concat(one)}, record)


if __name__ == "__main__":
    main()
