"""The scripts of kept results run as they stand, on little."""

import importlib.util
import sys

import pytest

import fucore as fu
from notebooks import ROOT


@pytest.mark.long
def test_the_script_of_the_grid_runs_and_gives_what_the_explorer_reads(monkeypatch):
    spec = importlib.util.spec_from_file_location("grid", ROOT / "book" / "results" / "ratio_by_alpha.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    kept = {}
    monkeypatch.setattr(fu.results, "keep", lambda name, tables, record: kept.update(tables, record=record))
    options = "--name try --model cnn --precision fp32 --rounds 2 --retrained 3 --smallest 50 --alphas 0.5".split()
    monkeypatch.setattr(sys, "argv", ["ratio_by_alpha.py", "digits", *options])
    script.main()
    rows = kept[""]
    assert set(fu.results.table("ratio_by_alpha_cifar10").columns) == set(rows.columns)
    assert set(rows.group) == set(fu.results.table("ratio_by_alpha_cifar10").group)
    assert set(rows.answer.dropna()) <= {"too little", "as retraining", "too much", "undecided"} and "record" in kept


@pytest.mark.long
def test_the_script_of_the_server_rules_runs_and_gives_what_is_kept(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("rules", ROOT / "book" / "results" / "server_rules.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    kept = {}
    monkeypatch.setattr(fu.results, "keep", lambda name, tables, record: kept.update(tables, record=record))
    monkeypatch.setattr(script, "__file__", str(tmp_path / "server_rules.py"))
    monkeypatch.setattr(sys, "argv", ["server_rules.py", "digits", "--rounds", "1", "--seeds", "1"])
    script.main()
    before = fu.results.table("server_rules_mnist5k")
    assert set(before.columns) == set(kept[""].columns) and set(before.rule) == set(kept[""].rule)
    assert script.shown(before).to_csv(index=False) == (ROOT / "book" / "results" / "server_rules_mnist5k.csv").read_text()


@pytest.mark.parametrize(
    "numbers, expected",
    [
        ((0.2, 0.1, 0.5), "too little"),
        ((-0.2, 0.1, 0.5), "too much"),
        ((0.05, 0.1, 0.5), "as retraining"),
        ((0.05, 0.1, 0.08), "undecided"),
    ],
)
def test_what_the_grid_says(numbers, expected):
    spec = importlib.util.spec_from_file_location("grid", ROOT / "book" / "results" / "ratio_by_alpha.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.said(*numbers) == expected
