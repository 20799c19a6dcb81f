"""What bf16 changes: accuracy and memorization scores beside fp32, and beside fp32 with other seeds.

python benchmarks/precision.py
"""

from __future__ import annotations

import dataclasses
import pathlib

import pandas as pd
from scipy import stats

import fucore as fu


def main() -> None:
    data, request = fu.load("mnist5k"), fu.forget.client(0)
    fed = fu.Federation(data, fu.partition.dirichlet(data.train.labels, 10, 0.5))
    half = dataclasses.replace(fed, precision="bf16")

    def judged(federation, first):
        original = federation.train(10, seed=first)
        return fu.compare({}, original, federation.without(request).train_many(10, range(first + 1, first + 5)), request)

    reports = {"fp32": judged(fed, 0), "bf16, same seeds": judged(half, 0), "fp32, other seeds": judged(fed, 50)}
    rows = []
    for name, report in reports.items():
        groups = report.groups.set_index(["candidate", "group"]).accuracy
        top = report.groups.group.iloc[0]
        summary = report.summary.set_index("candidate")
        same = stats.spearmanr(reports["fp32"].scores, report.scores).statistic
        rows.append(
            {
                "run": name,
                "test, original, %": 100 * summary.test_accuracy["Original"],
                "test, retrained, %": 100 * summary.test_accuracy["Retrained"],
                "retrained on the most memorized, %": 100 * groups["Retrained", top],
                "rank correlation of scores with fp32": same,
            }
        )
    table = pd.DataFrame(rows).round(2)
    table.to_csv(pathlib.Path(__file__).parents[1] / "book" / "results" / "precision.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
