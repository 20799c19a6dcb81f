"""The verdict of every claim under two disjoint sets of seeds: every chapter executed once more, with other seeds.

python book/results/stability.py [--seed 1000]

Partitions, originals, retrained models and methods take seeds from the chapter's ``seed`` on, fewer than a thousand of them.  What a
verdict rests on that is kept does not change with it.  The first set is that of the recorded book; its findings are taken from the last build.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
import tempfile

import jupytext
import pandas as pd
import papermill

import fucore as fu
from fucore.runs.fingerprint import hash_of_code

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book"))
LAST = "13_papers_beside_reproduction"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument(
        "--first", type=pathlib.Path, default=ROOT / "_build" / "executed" / "findings", help="findings of the recorded book"
    )
    options = parser.parse_args()
    texts = sorted(path for path in (ROOT / "notebooks").glob("*.md") if path.stem != LAST)
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"FUCORE_FINDINGS": folder, "FUCORE_RECORDING": "1", "FUCORE_PROGRESS": "0"}
        for text in texts:
            notebook = pathlib.Path(folder) / f"{text.stem}.ipynb"
            jupytext.write(jupytext.read(text), notebook)
            out = notebook.with_suffix(".out.ipynb")
            papermill.execute_notebook(notebook, out, {"seed": options.seed}, cwd=ROOT, kernel_name="python3", progress_bar=False)
            print(text.stem, flush=True)
        second = verdicts(pathlib.Path(folder))
    first = verdicts(options.first)
    table = pd.DataFrame({"first": first.verdict, "second": second.verdict, "ours, second": second.ours}).rename_axis("claim").reset_index()
    fu.results.keep("stability", {"": table}, {"seed": options.seed, "code": hash_of_code(), "fucore": fu.__version__})
    print(table.to_string())


def verdicts(folder: pathlib.Path) -> pd.DataFrame:
    """What was found in a folder of findings, by claim."""
    os.environ["FUCORE_FINDINGS"] = str(folder)
    return fu.findings.noted(fu.Store())


if __name__ == "__main__":
    main()
