"""One answer from several cases, by value."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import fucore as fu
from fucore.evaluation.gme import group_names
from fucore.evaluation.pooling import ANSWERS, FIFTH, answer, pooled

GROUPS = group_names(100)


def case(candidate, retrained, spread, original=0.9, half=0.04):
    """A table as grouped memorization gives it, the same in every group."""
    rows = [
        {
            "candidate": name,
            "group": group,
            "accuracy": accuracy,
            "accuracy_low": accuracy - half,
            "accuracy_high": accuracy + half,
            "retrained": retrained,
            "retrained_low": retrained - half,
            "retrained_high": retrained + half,
            "spread": spread,
        }
        for name, accuracy in (("Original", original), ("Retrained", retrained), ("mine", candidate))
        for group in GROUPS
    ]
    return pd.DataFrame(rows)


def test_means_intervals_and_bound_by_value():
    table = pooled([case(0.5, 0.4, 0.03), case(0.7, 0.4, 0.04)], models=4).set_index(["candidate", "group"])
    row = table.loc["mine", GROUPS[0]]
    assert row.accuracy == pytest.approx(0.6) and row.difference == pytest.approx(0.2)
    assert row.accuracy_low == pytest.approx(0.6 - 0.04 / np.sqrt(2)) and row.accuracy_high == pytest.approx(0.6 + 0.04 / np.sqrt(2))
    assert row.bound == pytest.approx(stats.t.ppf(0.975, 6) * np.sqrt((0.03**2 + 0.04**2) / 2 * (1 + 1 / 4) / 2))
    assert "Retrained" not in table.index.get_level_values(0) and set(table.answer) <= set(ANSWERS)
    assert table.loc["mine", FIFTH].accuracy == pytest.approx(0.6), "four equal groups are as each of them"


@pytest.mark.parametrize(
    "numbers, expected",
    [
        ((0.2, 0.1, 0.5), "too little"),
        ((-0.2, 0.1, 0.5), "too much"),
        ((0.05, 0.1, 0.5), "as retraining"),
        ((0.05, 0.1, 0.08), "undecided"),
    ],
)
def test_the_four_answers(numbers, expected):
    assert answer(*numbers) == expected


@pytest.mark.long
def test_one_more_retrained_model_is_accused_in_one_of_twenty_cases():
    """The bound holds what it says when cases have retrained models of one distribution and the candidate is one of them."""
    rng = np.random.default_rng(0)
    accused = 0
    for _ in range(400):
        tables = []
        for _ in range(2):
            models = rng.normal(0.4, 0.03, 5)
            tables.append(case(models[0], models[1:].mean(), models[1:].std(ddof=1)))
        accused += pooled(tables, models=4).set_index(["candidate", "group"]).answer["mine", GROUPS[0]] in ("too little", "too much")
    assert 0.02 < accused / 400 < 0.09


def test_cases_that_do_not_fit_are_refused():
    with pytest.raises(fu.FucoreError, match="no case"):
        pooled([], models=4)
    with pytest.raises(fu.FucoreError, match="same candidates and groups"):
        pooled([case(0.5, 0.4, 0.03), case(0.5, 0.4, 0.03).replace("mine", "other")], models=4)
    with pytest.raises(fu.FucoreError, match="at least 3 retrained"):
        pooled([case(0.5, 0.4, float("nan"))], models=2)


def test_reports_of_real_runs_pool(judged):
    original, retrained, request = judged
    report = fu.compare({"mine": fu.unlearn("fine-tune", original, request, rounds=1)}, original, retrained, request)
    table = pooled([report.groups], len(retrained)).set_index(["candidate", "group"])
    own = report.groups.set_index(["candidate", "group"])
    top = ("mine", own.loc["mine"].index[0])
    assert table.loc[top].accuracy == pytest.approx(own.loc[top].accuracy) and table.loc[top].bound <= own.loc[top].bound + 1e-12
