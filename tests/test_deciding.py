"""Three answers from an interval and a margin: by value, and how often they are wrong."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import fucore as fu
from fucore.evaluation import deciding
from fucore.evaluation.deciding import DIFFERENT, OPEN, SAME, answered, decide
from fucore.evaluation.gme import Judges, group_names, grouped_memorization
from fucore.evaluation.pooling import by_original, differences, pooled, share_of_tail


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (-0.04, 0.04, SAME),
        (0.01, 0.04, SAME),  # a difference, but none that anybody minds
        (0.01, 0.2, DIFFERENT),
        (-0.2, -0.01, DIFFERENT),
        (-0.01, 0.2, OPEN),
        (-0.2, 0.2, OPEN),
        (np.nan, np.nan, OPEN),
        (-np.inf, np.inf, OPEN),
    ],
)
def test_the_three_answers(low, high, expected):
    assert decide(low, high, 0.05) == expected


def test_margins_follow_what_there_was_to_forget():
    assert deciding.margin(np.array([0.0, 0.1, 0.16, 0.6]), np.array([False] * 4)).tolist() == pytest.approx([0.05, 0.05, 0.08, 0.1])
    assert deciding.margin(0.6, True) == 0.02 and deciding.is_rest(pd.Series(group_names(100))).tolist() == [False] * 4 + [True]


def test_half_widths_by_value():
    assert deciding.prediction_half_width(0.03, 5) == pytest.approx(stats.t.ppf(0.975, 4) * 0.03 * np.sqrt(1 + 1 / 5))
    assert deciding.prediction_half_width(0.03, 5, cases=2) == pytest.approx(stats.t.ppf(0.975, 8) * 0.03 * np.sqrt((1 + 1 / 5) / 2))
    values = np.array([[0.1, 0.0], [0.3, 0.2], [0.2, 0.1]])
    assert deciding.confidence_half_width(values) == pytest.approx([stats.t.ppf(0.975, 2) * 0.1 / np.sqrt(3)] * 2)
    assert np.isinf(deciding.confidence_half_width(values[:1])).all(), "one case says nothing about the next"


def test_shares_forgotten():
    assert deciding.share_forgotten(np.array([0.5, 0.0, -0.25]), 0.5).tolist() == [0, 1, 1.5]


def case(accuracies, retrained, examples=(20, 80)):
    """A table as grouped memorization gives it, with two groups."""
    groups = ("95–100 %", "0–80 %")
    rows = [
        {"candidate": name, "group": group, "accuracy": accuracy, "retrained": reference, "bound": 0.1, "examples": count}
        for name, values in accuracies.items()
        for group, accuracy, reference, count in zip(groups, values, retrained, examples)
    ]
    return pd.DataFrame(rows)


def test_one_case_speaks_of_its_models():
    rows = answered(case({"Original": (0.9, 0.85), "mine": (0.5, 0.72), "Retrained": (0.45, 0.8)}, (0.45, 0.8)), models=5)
    mine = rows[rows.candidate == "mine"].set_index("group")
    assert mine.answer.tolist() == [OPEN, OPEN] and mine.low.tolist() == pytest.approx([-0.05, -0.18])
    assert mine.forgotten.iloc[0] == pytest.approx(1 - 0.05 / 0.45) and np.isnan(mine.forgotten.iloc[1]), "nothing was to be forgotten"
    assert (
        rows[rows.candidate == "Original"].answer.tolist() == [DIFFERENT, OPEN] and rows[rows.candidate == "Retrained"].answer.isna().all()
    )
    several = pd.concat([rows.assign(setting="a"), rows.assign(setting="b", bound=0.01)])
    assert answered(several, by=["setting"]).answer.tolist()[:4] == rows.answer.tolist()[:4]


def test_several_cases_by_value_and_originals_count_once():
    cases = [case({"Original": (0.9, 0.9), "mine": (0.4 + shift, 0.8)}, (0.4, 0.8)) for shift in (0.0, 0.1, 0.2, 0.3)]
    alone = pooled(cases).set_index(["candidate", "group"]).loc[("mine", "95–100 %")]
    half = stats.t.ppf(0.975, 3) * np.std([0, 0.1, 0.2, 0.3], ddof=1) / 2
    assert (alone.difference, alone.low, alone.high) == pytest.approx((0.15, 0.15 - half, 0.15 + half))
    assert alone.margin == pytest.approx(0.1) and alone.answer == OPEN and alone.examples == 80 and alone.originals == 4
    shared = pooled(cases, ["o", "o", "p", "p"]).set_index(["candidate", "group"]).loc[("mine", "95–100 %")]
    assert shared.originals == 2 and shared.high - shared.difference == pytest.approx(
        stats.t.ppf(0.975, 1) * np.std([0.05, 0.25], ddof=1) / np.sqrt(2)
    )
    assert by_original(np.array([[1.0], [3.0], [5.0]]), ["x", "x", "y"]).tolist() == [[2.0], [5.0]]
    assert pooled(cases).set_index(["candidate", "group"]).loc[("Original", "95–100 %")].answer == DIFFERENT
    own = differences(cases, range(4))
    assert share_of_tail(own["mine"], own["Original"]).value == pytest.approx(1 - 0.15 / 0.5)


def test_cases_that_do_not_fit_are_refused():
    good = case({"Original": (0.9, 0.9), "mine": (0.4, 0.8)}, (0.4, 0.8))
    for cases, sentence in (
        ([], "no case"),
        ([good, good.replace("mine", "other")], "same candidates and groups"),
        ([good[good.candidate == "mine"]], "and the original"),
    ):
        with pytest.raises(fu.FucoreError, match=sentence):
            pooled(cases)
    with pytest.raises(fu.FucoreError, match="1 originals are named"):
        pooled([good, good], ["o"])


def test_squared_distances_have_no_bias_and_jackknifes_cover():
    """What is exactly retraining has a squared distance of 0 on average, where the distance of the means has not."""
    rng = np.random.default_rng(0)
    truth, seen, plain, covered = np.array([0.1, 0.0, 0.05]), [], [], []
    for _ in range(800):
        sample = truth + rng.normal(0, 0.1, (8, 3))
        estimate = deciding.jackknife(deciding.squared_distance, sample)
        seen.append(estimate.value)
        plain.append((sample.mean(axis=0) ** 2).mean())
        covered.append(not estimate.excludes((truth**2).mean()))
    assert np.mean(seen) == pytest.approx((truth**2).mean(), abs=3 * np.std(seen) / np.sqrt(800))
    assert np.mean(plain) > (truth**2).mean() + 5 * np.std(plain) / np.sqrt(800)
    assert 0.90 <= np.mean(covered) <= 0.99
    assert deciding.distance(np.zeros((4, 3))) == deciding.Estimate(0, 0, 0)


@pytest.mark.parametrize("truth, answer, low, high", [(0.0, DIFFERENT, 0.02, 0.08), (0.1, SAME, 0.0, 0.04), (0.3, DIFFERENT, 0.99, 1.0)])
def test_how_often_the_method_is_misjudged(truth, answer, low, high):
    """At no difference "≠" in one of twenty; at the margin "=" in at most one of forty; what is large is found."""
    rng = np.random.default_rng(0)
    seen = 0
    for _ in range(2000):
        values = truth + rng.normal(0, 0.08, 8)
        half = float(deciding.confidence_half_width(values))
        seen += decide(values.mean() - half, values.mean() + half, 0.1) == answer
    assert low <= seen / 2000 <= high


def test_what_is_called_detectable_is_found_in_four_of_five():
    rng = np.random.default_rng(0)
    spread, count = 0.08, 8
    half = stats.t.ppf(0.975, count - 1) * spread / np.sqrt(count)
    gap, found = float(deciding.detectable(half, count - 1)), 0
    for _ in range(2000):
        values = gap + rng.normal(0, spread, count)
        found += values.mean() - float(deciding.confidence_half_width(values)) > 0
    assert 0.74 <= found / 2000 <= 0.88


@pytest.mark.long
def test_false_alarms_of_one_case_are_rare_and_what_never_forgot_is_found():
    """A further retrained model is called different in at most 5 % of groups, also when its run is given three times; "=" is rare in small groups."""
    rng = np.random.default_rng(0)
    alarms, copies, found = [], [], []
    for _ in range(200):
        difficulty = rng.random(400)
        hits = rng.random((6, 400)) < difficulty
        judges = Judges(np.ones(400), np.ones(400, bool), hits[:5] + 0.01 * rng.random((5, 400)), hits[:5])
        candidates = {"fresh": hits[5:], "thrice": hits[[5, 5, 5]], "Original": np.ones((1, 400), bool)}
        table = answered(grouped_memorization(judges, candidates, bootstrap=0), 5)
        alarms += list(table[table.candidate == "fresh"].answer == DIFFERENT)
        copies += list(table[table.candidate == "thrice"].answer == DIFFERENT)
        found.append(table[table.candidate == "Original"].answer.iloc[0] == DIFFERENT)
    assert 0.001 < np.mean(alarms) < 0.06 and copies == alarms and np.mean(found) > 0.9
