"""What chapters found is kept with its origin and listed with the claims."""

import json
import re

import pytest

import fucore as fu
from fucore import findings
from notebooks import ROOT


def test_every_claim_has_a_chapter_that_judges_it():
    table = findings.claims()
    assert table.index.is_unique and set(table.paper) == {"M", "W"} and not (table == "").any(axis=None)
    for name, chapter in table.chapter.items():
        text = (ROOT / "notebooks" / f"{chapter}.md").read_text()
        judges = [line for line in text.splitlines() if re.search(r"findings\.note\(|^ *judge\(|^for ", line)]
        assert any(f'"{name}"' in line for line in judges), f"{chapter} does not judge {name}"


def test_every_printed_table_has_a_claim():
    items = " ".join(findings.claims()["item"])
    paths = list((ROOT / "fucore" / "companion" / "papers").glob("*table*.csv"))
    assert len(paths) == 13
    for path in paths:
        (label,) = re.match(r"(?:wild_)?table([FGH]?\d+)", path.stem).groups()
        assert re.search(rf"Tables? (\d+ to )?{label}\b", items), path.name


def test_ratios_of_leaving_clients_are_the_printed_ones():
    assert fu.papers.ratio_by_leaving_clients() == {2: 0.4, 4: 0.4, 6: 0.5, 8: 0.6}


def test_findings_are_kept_replaced_and_read(stored):
    assert set(findings.noted(stored.store).verdict) == {"–"}
    gap = "points between home and another source"
    assert findings.note("W-figure2", {gap: 5.0}, "5 points", stored, "one run") == "direction only"
    assert findings.note("W-figure2", {gap: 50.0}, "50 points", stored, "two runs") == "reproduced"
    row = findings.noted(stored.store).loc["W-figure2"]
    assert (row.ours, row.verdict, row.basis) == ("50 points", "reproduced", "two runs") and "Figure 2" in row["item"]
    record = json.loads((stored.store.root / "findings" / "W-figure2.json").read_text())
    assert record["provenance"]["data_sha256"] == stored.data.hash and record["statistics"] == {gap: 50.0}
    path = stored.store.root / "findings" / "W-figure2.json"
    path.write_text(json.dumps({**record, "code": "of other rules"}))
    assert "found by other code" in findings.noted(stored.store).loc["W-figure2"].ours
    path.write_text('{"ours": ')
    assert findings.noted(stored.store).loc["W-figure2"].ours == "not run yet"


def test_what_cannot_be_run_is_no_verdict_about_the_claim():
    assert findings.judge("W-figure2", None) == "cannot be run here"


@pytest.mark.parametrize(
    "statistic, verdict",
    [
        (50.0, "reproduced"),
        (20.0, "reproduced"),
        (5.0, "direction only"),
        (-5.0, "not reproduced"),
        (float("nan"), "not reproduced"),
        ((30.0, 25.0, 35.0), "reproduced"),
        ((30.0, 15.0, 45.0), "direction only"),
        ((5.0, -5.0, 15.0), "undecided"),
        ((5.0, -5.0, 45.0), "undecided"),
        ((-5.0, -9.0, -1.0), "not reproduced"),
    ],
)
def test_one_function_judges_values_and_intervals_by_rules(statistic, verdict):
    statistics = {"points between home and another source": statistic}
    assert findings.judge("W-figure2", statistics) == verdict
    assert findings.judge("W-figure2", statistics, decided=False) == "undecided", "what a run cannot show it does not decide"


def test_rules_are_whole():
    table, claims = findings.rules(), findings.claims()
    assert set(table.claim) == set(claims.index) and set(table.part) == {"full", "weaker"}
    assert (table.low <= table.high).all() and not table.duplicated(["claim", "part", "statistic"]).any()
    assert set(table[table.part == "full"].claim) == set(claims.index), "every claim says what would reproduce it"


def test_unknown_claims_and_statistics_are_refused_and_no_store_keeps_nothing(fed, stored):
    gap = {"points between home and another source": 5.0}
    with pytest.raises(fu.FucoreError, match="claim is 'M-table99'"):
        findings.note("M-table99", gap, "", stored, "")
    with pytest.raises(fu.FucoreError, match="differ in: another, points between"):
        findings.note("W-figure2", {"another": 1.0}, "", stored, "")
    findings.note("W-figure2", gap, "", fed, "")


def test_the_basis_says_what_was_changed():
    p = fu.params.check({"profile": "quick", "dataset": "mnist5k", "alpha": 0.1, "rounds": 5, "retrained_models": 4}, rounds=5)
    assert p.basis() == "mnist5k, quick, 4 retrained models, alpha 0.1"
