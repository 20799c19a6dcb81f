"""What chapters found is kept with its origin and listed with the claims."""

import json

import pytest

import fucore as fu
from fucore import findings
from notebooks import ROOT


def test_every_claim_has_a_chapter_that_judges_it():
    table = findings.claims()
    assert table.index.is_unique and set(table.paper) == {"M", "W"} and not (table == "").any(axis=None)
    for name, chapter in table.chapter.items():
        text = (ROOT / "notebooks" / f"{chapter}.md").read_text()
        judges = [line for line in text.splitlines() if "findings.note(" in line or line.startswith("for claim")]
        assert any(f'"{name}"' in line for line in judges), f"{chapter} does not judge {name}"


def test_findings_are_kept_replaced_and_read(stored):
    assert set(findings.noted(stored.store).verdict) == {"–"}
    findings.note("M-table1", "first of 3", findings.verdict(False, True), stored)
    findings.note("M-table1", "first of 20", findings.verdict(True), stored)
    row = findings.noted(stored.store).loc["M-table1"]
    assert (row.ours, row.verdict) == ("first of 20", "reproduced") and row["item"] == "Table 1"
    record = json.loads((stored.store.root / "findings" / "M-table1.json").read_text())
    assert record["provenance"]["data_sha256"] == stored.data.hash
    (stored.store.root / "findings" / "M-table1.json").write_text('{"ours": ')
    assert findings.noted(stored.store).loc["M-table1"].ours == "not run yet"


def test_unknown_claims_and_verdicts_are_refused_and_no_store_keeps_nothing(fed, stored):
    with pytest.raises(fu.FucoreError, match="claim is 'M-table99'"):
        findings.note("M-table99", "", "reproduced", stored)
    with pytest.raises(fu.FucoreError, match="verdict is 'yes'"):
        findings.note("M-table1", "", "yes", stored)
    findings.note("M-table1", "", "reproduced", fed)
