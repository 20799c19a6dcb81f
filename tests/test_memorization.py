"""Planted examples, judges that judge themselves, and the tables and figures of the chapter on memorization."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import fucore as fu
from fucore.analysis.selection_bias import PROTOCOLS, seeming_accuracy
from fucore.companion import memorization
from fucore.evaluation import judge_examples
from fucore.evaluation.planted import detection, planted_of


@pytest.fixture(scope="module")
def case(judged):
    return fu.Case(*judged)


@pytest.fixture(scope="module")
def planted(judged):
    """The judged case once more, with a tenth of the departed images shuffled; who never saw them is the same."""
    original, retrained, request = judged
    fed = original.federation
    altered = fu.plant(fed.data, fed.forgotten(request), share=0.1, kind="corrupt", seed=0)
    return fu.Case(dataclasses.replace(fed, data=altered).train(6, seed=0), retrained[:2], request)


def test_planted_examples_are_found_by_their_scores(planted):
    found, alien = detection(planted), planted_of(planted)
    assert found["planted"] == alien.sum() == round(0.1 * len(alien)) and 0 < found["fitted"] <= found["planted"]
    judges, _ = judge_examples(planted, {})
    pairs = judges.scores[alien][:, None] - judges.scores[~alien]
    assert found["AUROC, all planted"] == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean()) and found["AUROC, all planted"] > 0.6


def test_too_few_fitted_examples_say_nothing_and_none_planted_is_refused(planted, case, monkeypatch):
    monkeypatch.setattr("fucore.evaluation.planted.ENOUGH", 10**6)
    assert np.isnan(detection(planted)["AUROC, fitted"]) and not np.isnan(detection(planted)["AUROC, all planted"])
    with pytest.raises(fu.FucoreError, match="nothing was planted"):
        planted_of(case)


def test_only_cross_fitted_groups_do_not_bias_who_defines_them():
    one, all_, cross = (seeming_accuracy(4, protocol, repeats=8) for protocol in PROTOCOLS)
    assert one == 0 and one < all_ < 0.6 and cross == pytest.approx(0.8, abs=0.03)
    with pytest.raises(fu.FucoreError, match="protocol is 'fair'"):
        seeming_accuracy(4, "fair")


def test_the_planted_table_counts_what_is_still_known(planted):
    table = memorization.planted_table(planted, {"original": [planted.original], "retrained": planted.retrained})
    noise = planted.departed.take(np.flatnonzero(planted_of(planted)))
    hits = (planted.logits(planted.original, noise).argmax(1) == noise.labels).double().mean()
    assert table.loc["original", "planted reproduced, %"] == pytest.approx(100 * float(hits))
    assert table.loc["original", "epochs to relearn"] == 0 < table.loc["retrained", "epochs to relearn"]


def test_the_way_to_retraining_in_words():
    table = pd.DataFrame(
        {"planted reproduced, %": [80.0, 0.0, 20.0, 70.0], "epochs to relearn": [0.0, 10.0, 9.0, 1.0]},
        index=["original", "retrained", "far", "near"],
    )
    assert "goes 75% of the way" in memorization.way_to_retraining(table, "far")
    assert memorization.way_to_retraining(table, "far").endswith("as a retrained model.")
    assert memorization.way_to_retraining(table, "near").endswith("as the original.")


def test_other_two_numbers_have_the_mean_and_spread():
    numbers = np.array([16.0, 3.0, 21.0])
    assert memorization.other_two(numbers.mean(), numbers.std(), 16.0) == pytest.approx((3.0, 21.0))


def test_the_reference_without_the_definer():
    table = memorization.without_definer("CIFAR-10 Non-IID")
    assert list(table.index) == list(fu.papers.GROUPS.values())
    top = table.loc["95–100 %"]
    assert sorted(float(value) for value in top["the three models"].split(" / "))[0] < top.reference < top["without definer"]
    assert top["gap without definer"] == pytest.approx(abs(top.FedMemPrune - top["without definer"]))
    with pytest.raises(fu.FucoreError, match="setting is 'CIFAR-1'"):
        memorization.without_definer("CIFAR-1")


def test_the_reference_by_protocol_is_lower_where_it_judges_itself(case):
    table = memorization.reference_by_protocol(judge_examples(case, {})[0])
    assert table.shape == (2, 5) and table.iloc[0, 0] <= table.iloc[1, 0]
    assert table.iloc[1, 0] == pytest.approx(100 * fu.compare({}, case).groups.retrained.iloc[0])


def test_the_neighbourhood_and_its_figure(case, monkeypatch):
    split, holder = memorization.neighbourhood(case, near=20, far=10)
    sizes = case.federation.clients.sizes
    assert np.bincount(holder).tolist() == [len(case.forgotten), 20, 20, 10] and len(split) == len(holder) and (sizes[1:] > 20).all()
    assert np.array_equal(split.labels[holder == 0], case.departed.labels)
    plane = memorization.embedding.plane
    monkeypatch.setattr(memorization.embedding, "plane", lambda points: plane(points, "pca"))
    figure = memorization.features_figure(case, {"original": case.original})
    assert [text.get_text().split(" (")[0] for text in figure.legends[0].get_texts()] == list(memorization.PEOPLE)


def test_titles_say_what_is_seen_instead(case):
    run = case.retrained[0]
    wrong = (case.logits(run).argmax(1) != case.departed.labels).numpy()
    titles = memorization.guesses(case, run, np.arange(len(wrong)))
    assert [("seen as" in title) for title in titles] == wrong.tolist() and wrong.any()
    assert titles[int(np.argmin(wrong))] == case.federation.data.classes[case.departed.labels[int(np.argmin(wrong))]]
