"""The fair comparison: choosing settings, pooling originals, membership inference."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

import fucore as fu
from fucore.evaluation import arena
from fucore.evaluation.membership import (
    attack_scores,
    lira,
    matched_non_members,
    measure,
    membership,
    rmia,
    rmia_ratio,
)
from fucore.runs.looks import log_odds


def test_every_entry_is_a_method_with_a_small_grid():
    for entry in arena.ENTRIES.values():
        chosen = fu.METHODS[entry.method]
        assert 1 <= len(entry.points()) <= 4
        assert all(set(entry.parameters(4, point)) <= set(chosen.defaults) for point in entry.points())
    assert {entry.method for entry in arena.ENTRIES.values()} >= {
        "pga",
        "rapid-retraining",
        "fedrecovery",
        "fedau",
        "fedosd",
        "not",
        "fedmemprune",
    }


def test_the_choice_is_the_closest_of_the_useful():
    table = pd.DataFrame({"gap": [0.01, 0.05, 0.03], "utility": [-0.5, 0.0, -0.019]})
    assert arena.choose(table) == 2
    assert arena.choose(table.assign(utility=[-0.5, -0.2, -0.3])) == 1


def test_tuning_tries_every_point(judged):
    original, retrained, request = judged
    point, table = arena.tune("FedMemPrune", fu.Case(original, retrained, request), rounds=2, seed=5)
    assert table.ratio.tolist() == [0.2, 0.4, 0.6, 0.8] and point == {"ratio": table.ratio[arena.choose(table)]}
    assert table.gap.between(0, 1).all()


def test_pooling_over_originals(judged):
    original, retrained, request = judged
    blank = dataclasses.replace(original, weights=torch.zeros_like(original.weights))
    good = fu.unlearn("fine-tune", original, request, rounds=3)
    reports = [fu.compare({"good": good, "also good": good, "blank": blank}, original, retrained, request, seed=s) for s in (0, 1)]
    table = arena.pooled(reports)
    test = table[table.column == "test"].set_index("candidate")
    assert test.best["good"] and test.tied["also good"] and not test.tied["blank"] and test.half_width["good"] == 0
    assert not table[table.candidate.isin(["Original", "Retrained"])][["best", "tied"]].any(axis=None)
    shown = arena.pooled_table(table)
    assert (
        shown.loc["good", "test"].endswith(" **")
        and shown.loc["also good", "test"].endswith(" *")
        and "*" not in shown.loc["blank", "test"]
    )
    alone = arena.pooled(reports[:1])
    assert alone.half_width.isna().all() and (alone.tied == alone.best).all()


def test_rank_correlation_over_what_both_rank():
    ours = pd.Series({"a": 1.0, "b": 2.0, "c": 3.0, "only ours": 0.0})
    assert arena.rank_correlation(ours, pd.Series({"a": 10.0, "b": 20.0, "c": 30.0})) == pytest.approx(1)
    assert arena.rank_correlation(ours, pd.Series({"a": 3.0, "b": 2.0, "c": 1.0})) == pytest.approx(-1)
    assert np.isnan(arena.rank_correlation(ours, pd.Series({"a": 3.0, "b": 2.0})))


# ---- membership inference (13.4)


def test_perfect_constant_and_swapped_scores():
    high, low = np.arange(10.0, 20.0), np.arange(10.0)
    assert measure(high, low) == (1.0, 1.0, 1.0)
    auc, balanced, rate = measure(np.zeros(10), np.zeros(12))
    assert auc == 0.5 and balanced == 0.5 and rate == 0
    rng = np.random.default_rng(0)
    members, others = rng.normal(0.3, 1, 50), rng.normal(0, 1, 70)
    assert measure(members, others)[0] == pytest.approx(1 - measure(others, members)[0])


def test_confidence_is_finite_and_exact():
    logits = torch.tensor([[1000.0, -1000.0, 0.0], [-1000.0, 1000.0, 0.0], [0.0, 0.0, 0.0]])
    confidence = log_odds(logits, torch.tensor([0, 0, 0]))
    assert np.isfinite(confidence).all() and confidence[2] == pytest.approx(np.log(1 / 2))
    probability = torch.softmax(torch.randn(1, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), 1)
    assert log_odds(probability.log(), torch.tensor([3]))[0] == pytest.approx(float(torch.logit(probability[0, 3])))


def test_lira_is_one_sided_and_pools_few_models():
    references = np.array([[0.0, 10.0], [2.0, 14.0]])
    pooled = np.sqrt((2.0 + 8.0) / 2)
    assert lira(np.array([3.0, 12.0]), references) == pytest.approx([2 / pooled, 0.0])
    assert (np.diff([lira(np.array([c, 0.0]), references)[0] for c in (-5.0, 0.0, 5.0)]) > 0).all()


def test_rmia_is_a_share_and_ignores_a_common_scale():
    rng = np.random.default_rng(0)
    own, references = rng.normal(size=30), rng.normal(size=(4, 30))
    ratios = rmia_ratio(own, references)
    scores = rmia(ratios[:10], ratios[10:])
    assert ((scores >= 0) & (scores <= 1)).all() and (scores == rmia(ratios[:10] ** 3, ratios[10:] ** 3)).all()
    expected = [(ratio > ratios[10:]).mean() for ratio in ratios[:10]]
    assert scores == pytest.approx(expected)


def test_non_members_have_the_class_mix(digits):
    labels = np.repeat([1, 4], [40, 10])
    chosen, population = matched_non_members(labels, digits.test, seed=0)
    counts = np.bincount(chosen.labels.numpy(), minlength=10)
    assert counts[1] == pytest.approx(4 * counts[4], abs=4) and set(np.flatnonzero(counts)) == {1, 4}
    assert len(chosen) + len(population) == len(digits.test)


def test_membership_of_original_and_retrained(judged):
    original, retrained, request = judged
    table = membership({"again": original}, original, retrained, request).set_index(["candidate", "attack"])
    assert set(table.index.get_level_values("attack")) == {"loss", "lira", "rmia"}
    assert table.auc["again"].to_dict() == table.auc["Original"].to_dict()
    for attack in ("lira", "rmia"):
        assert table.auc["Original", attack] > table.auc["Retrained", attack]
    assert table.auc_std["Retrained"].gt(0).all()
    with pytest.raises(fu.FucoreError, match="at least 3 retrained"):
        membership({}, original, retrained[:2], request)
    own = [np.array([1.0]), np.array([0.0]), np.array([0.5])]
    assert attack_scores("loss", own, [])[0] == pytest.approx(np.log(1 / (1 + np.exp(-1.0))))


def test_kept_results_are_of_these_entries():
    record, table = fu.results.record("all_methods_mnist5k"), fu.results.table("all_methods_mnist5k")
    for split, chosen in record["chosen"].items():
        assert set(chosen) == set(arena.ENTRIES)
        assert all(point in [dict(each) for each in arena.ENTRIES[name].points()] for name, point in chosen.items())
        rows = table[(table.split == split) & (table.parameters == "tuned")]
        assert set(rows.candidate) == {"Original", "Retrained", *arena.ENTRIES} and rows["mean"].between(0, 1).all()
    with pytest.raises(fu.FucoreError, match="table is 'nothing'"):
        fu.results.table("nothing")
