"""The scripts of kept results run as they stand, on little."""

import importlib.util
import json
import sys

import pytest

import fucore as fu
from notebooks import ROOT


@pytest.mark.long
def test_the_script_of_the_grid_runs_and_gives_what_the_explorer_reads(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "book" / "results"))
    spec = importlib.util.spec_from_file_location("ratio_by_alpha", ROOT / "book" / "results" / "ratio_by_alpha.py")
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "ratio_by_alpha", script)
    spec.loader.exec_module(script)
    kept = {}
    monkeypatch.setattr(fu.results, "keep", lambda name, tables, record: kept.update(tables, record=record))
    suffixes = ("", ".summary", ".cases", ".one", ".rounds", ".holders")
    shown = {suffix.strip("."): set(fu.results.table(f"ratio_by_alpha_digits{suffix}").columns) for suffix in suffixes}
    recorded = set(fu.results.record("ratio_by_alpha_digits"))
    monkeypatch.setattr(fu.results, "FOLDER", tmp_path)
    plan = script.dataclasses.replace(script.PLANS["digits"], data="digits", ratios=(0.0, 1.0), model="mlp", references={})
    monkeypatch.setitem(script.PLANS, "digits", plan)
    options = "--alphas 0.1 inf --originals 2 --leaving 1 --retrained 3 --rounds 2 --recovery 1".split()
    monkeypatch.setattr(sys, "argv", ["ratio_by_alpha.py", "digits", *options])
    script.main()
    assert set(kept.pop("record")) == recorded and set(kept) == set(shown)
    for suffix, table in kept.items():
        assert set(table.columns) == shown[suffix] and set(table.alpha) == {0.1, float("inf")}, suffix
    walls = json.loads((tmp_path / "ratio_by_alpha_digits.walls.json").read_text())
    assert set(walls) == {"0.1", "inf"} and set(walls["inf"]["right"]) == {"0", "1"}


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
