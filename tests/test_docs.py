"""The Python that README.md and the book show is run as it stands, on the small digits."""

import re
import subprocess
import sys

import pandas as pd
import pytest

from fucore.unlearning import METHODS
from notebooks import ROOT


@pytest.mark.parametrize("page", ["README.md", "book/rerun.md"])
@pytest.mark.long
def test_shown_code_runs(page, monkeypatch):
    from fucore.unlearning import METHODS

    known = dict(METHODS)
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S)
    code = (
        "\n".join(blocks)
        .replace('fu.load("mnist5k")', 'fu.load("digits")')
        .replace("rounds=10", "rounds=3")
        .replace("rounds=5", "rounds=1")
        .replace("clients=10", "clients=4")
    )
    assert "fu.compare" in code
    names = {"__name__": "shown"}
    try:
        exec(compile(code, page, "exec"), names)
    finally:
        for name in set(METHODS) - set(known):
            del METHODS[name]
    assert "FedMemPrune" in repr(names["report"])


def test_the_sweep_of_the_page_runs(tmp_path, monkeypatch):
    (code,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "book" / "many_runs.md").read_text(), re.M | re.S)
    for old, new in {'"mnist5k"': '"digits"', "rounds=10": "rounds=1", "rounds=5": "rounds=1", "[0, 1, 2]": "[0]"}.items():
        assert old in code
        code = code.replace(old, new)
    monkeypatch.setenv("FUCORE_STORE", str(tmp_path))
    names = {"__name__": "shown"}
    exec(compile(code, "many_runs.md", "exec"), names)
    assert len(names["result"].table) == 4 and not names["result"].failures


@pytest.mark.long
def test_the_benchmark_of_the_performance_page_runs(tmp_path):
    """It runs and reports every column of the kept table; how fast is no matter of a test."""
    command = [
        sys.executable,
        "benchmarks/speed.py",
        "--models",
        "logistic",
        "--clients",
        "10",
        "--repeats",
        "1",
        "--out",
        tmp_path / "speed",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    kept, fresh = pd.read_csv(ROOT / "book" / "results" / "speed.csv"), pd.read_csv(tmp_path / "speed.csv")
    assert list(kept.columns) == list(fresh.columns) and len(fresh) == 3
    assert (fresh.accuracy > 0.5).all() and (fresh["peak MB"] > 100).all()


def test_the_survey_names_every_method_and_what_it_needs():
    text = (ROOT / "book" / "survey.md").read_text()
    own = {name: method for name, method in METHODS.items() if method.function.__module__.startswith("fucore.")}
    assert set(own) <= set(re.findall(r"`([a-z-]+)`", text))
    needs = {"the forgotten data once more": "forgotten data", "every client's updates of the whole training": "history"}
    needs |= {"preparation before anybody asks": "preparation"}
    for words, need in needs.items():
        listed = re.search(rf"\* - {words}\n  - (.*)", text).group(1)
        assert set(re.findall(r"`([a-z-]+)`", listed)) == {name for name, method in own.items() if need in method.needs}
    listed = re.search(r"\* - nothing but the clients that stay\n  - (.*)", text).group(1)
    kinds = {"forgotten data", "history", "preparation"}
    assert set(re.findall(r"`([a-z-]+)`", listed)) == {name for name, method in own.items() if not kinds & set(method.needs)}
