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
    paths = list((ROOT / "fucore" / "papers").glob("*table*.csv"))
    assert len(paths) == 13
    for path in paths:
        (label,) = re.match(r"(?:wild_)?table([FGH]?\d+)", path.stem).groups()
        assert re.search(rf"Tables? (\d+ to )?{label}\b", items), path.name


def test_ratios_of_leaving_clients_are_the_printed_ones():
    assert fu.papers.ratio_by_leaving_clients() == {2: 0.4, 4: 0.4, 6: 0.5, 8: 0.6}


def test_findings_are_kept_replaced_and_read(stored):
    assert set(findings.noted(stored.store).verdict) == {"–"}
    findings.note("M-table1", "first of 3", findings.verdict(False, True), stored, "one run")
    findings.note("M-table1", "first of 20", findings.verdict(True), stored, "two runs")
    row = findings.noted(stored.store).loc["M-table1"]
    assert (row.ours, row.verdict, row.basis) == ("first of 20", "reproduced", "two runs") and row["item"] == "Table 1"
    record = json.loads((stored.store.root / "findings" / "M-table1.json").read_text())
    assert record["provenance"]["data_sha256"] == stored.data.hash
    (stored.store.root / "findings" / "M-table1.json").write_text('{"ours": ')
    assert findings.noted(stored.store).loc["M-table1"].ours == "not run yet"


def test_a_run_that_cannot_show_it_decides_nothing():
    assert findings.verdict(True, True, decided=False) == findings.verdict(False, decided=False) == "undecided"
    assert [findings.verdict(*seen) for seen in ((True, False), (False, True), (False, False))] == list(findings.VERDICTS[:3])


def test_unknown_claims_and_verdicts_are_refused_and_no_store_keeps_nothing(fed, stored):
    with pytest.raises(fu.FucoreError, match="claim is 'M-table99'"):
        findings.note("M-table99", "", "reproduced", stored, "")
    with pytest.raises(fu.FucoreError, match="verdict is 'yes'"):
        findings.note("M-table1", "", "yes", stored, "")
    findings.note("M-table1", "", "reproduced", fed, "")


def test_the_basis_says_what_was_changed():
    p = fu.params.check({"profile": "quick", "dataset": "mnist5k", "alpha": 0.1, "rounds": 5, "retrained_models": 4}, rounds=5)
    assert p.basis() == "mnist5k, quick, 4 retrained models, alpha 0.1"
