"""What is said of clients that leave one by one, on planted tables."""

import numpy as np
import pandas as pd
import pytest

import fucore as fu
from fucore.companion import one_by_one


def planted(more, originals=4, steps=2):
    """A method "a" whose gap at the last step is 0.1 at once, and 0.1 plus ``more`` of each original one by one."""
    rows = []
    for original in range(originals):
        for step in range(1, steps + 1):
            for way, extra in (("one by one", more[original] if step == steps else 0), ("at once", 0)):
                spent = step if way == "one by one" else 1
                rows.append({"original": original, "step": step, "method": "a", "way": way, "gap": 0.1 + extra, "examples_so_far": spent})
            rows.append({"original": original, "step": step, "method": "Original", "way": np.nan, "gap": 0.3, "examples_so_far": 9})
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    "more, words",
    [
        ([0.05, 0.06, 0.05, 0.06], "farther from retraining one by one: a +5.5 ±0.9"),
        ([-0.05, -0.06, -0.05, -0.06], "closer one by one: a -5.5 ±0.9"),
        ([0.05, -0.06, 0.07, -0.04], "cannot be told apart: a +0.5 ±10."),
        ([0.0, 0.0, 0.0, 0.0], "cannot be told apart: a +0.0 ±0.0"),
    ],
)
def test_the_sentence_says_what_was_planted(more, words):
    """t(3) = 3.18 times the standard error of four differences."""
    assert words in one_by_one.sentence(planted(more))
    table = one_by_one.drift(planted(more))
    assert table.cost.tolist() == [2.0] and table.more.tolist() == pytest.approx([100 * np.mean(more)])
    assert table.half.tolist() == pytest.approx([100 * 3.182446 * np.std(more, ddof=1) / 2])


def test_one_original_decides_nothing():
    with pytest.raises(fu.FucoreError, match="at least 2 originals"):
        one_by_one.drift(planted([0.1], originals=1))


def test_tables_have_a_row_a_method_and_way():
    kept = pd.DataFrame(
        [("a", "one by one", 1, 0.5, 0.05, 0.9), ("a", "at once", 1, 1.25, 0.02, 0.91), ("Retrained", np.nan, 1, 1.0, np.nan, 0.92)],
        columns=["method", "way", "step", "forgotten", "gap", "test_accuracy"],
    )
    assert one_by_one.shares(kept)[1].to_dict() == {"a, one by one": 50, "a, at once": 125}
    assert one_by_one.cells(kept)[1].to_dict() == {"Retrained": "92.0", "a, one by one": "5.0 / 90.0", "a, at once": "2.0 / 91.0"}


@pytest.mark.long
def test_the_script_runs_and_gives_what_the_chapter_reads(monkeypatch):
    import importlib.util
    import sys

    from notebooks import ROOT

    spec = importlib.util.spec_from_file_location("leaving", ROOT / "book" / "results" / "one_by_one.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    kept = {}
    monkeypatch.setattr(fu.results, "keep", lambda name, tables, record: kept.update(tables, record=record))
    options = "--model cnn --rounds 2 --recovery 1 --originals 2 --steps 2 --retrained 3 --workers 1".split()
    monkeypatch.setattr(sys, "argv", ["one_by_one.py", "--data", "digits", *options])
    script.main()
    assert len(kept[""]) == 2 * (2 + 2 * len(script.METHODS)) and kept["record"]["originals"] == 2
    for suffix, name in (("", "one_by_one_mnist5k"), ("originals", "one_by_one_mnist5k.originals")):
        assert set(fu.results.table(name).columns) == set(kept[suffix].columns)
    first = kept[""][kept[""].step == 1].set_index(["method", "way"])
    assert all(first.gap[name, "one by one"] == first.gap[name, "at once"] for name in script.METHODS)
    assert "After 2 clients, over 2 originals" in one_by_one.sentence(kept["originals"])
