"""Where papers and code differ from what they describe: each computation of that page, on cases whose answer is known."""

import numpy as np
import pandas as pd
import pytest

import fucore as fu
from fucore.companion import divergences, reproduction
from fucore.evaluation.gme import Judges


def test_one_of_three_that_is_zero_shows_in_the_printed_spread():
    values = np.array([[0.0, 7.31, 7.31], [5.0, 5.0, 9.0]])
    mean, std = values.mean(axis=1).round(2), values.std(axis=1).round(2)
    columns = {f"{group}{part}": [] for group in divergences.GROUPS for part in ("", "_std")}
    rows = pd.DataFrame({"row": ["Retrained", "Retrained (of 3)"], **{name: [np.nan, 0.0] for name in columns}})
    rows["g95_100"], rows["g95_100_std"] = mean, std
    rows.loc[2] = ["FedMemPrune", *[1.0] * (len(rows.columns) - 1)]
    ratios = divergences.spread_ratios(rows)
    assert len(ratios) == 2, "other rows, missing cells and means of 0 are left out"
    assert divergences.one_is_zero(ratios).tolist() == [True, False]


def judges_of(chance: float, count: int = 400, models: int = 4) -> Judges:
    """Retrained models that are independently right with probability ``chance`` about each of ``count`` alike examples."""
    rng = np.random.default_rng(0)
    hits, noise = rng.random((models, count)) < chance, rng.uniform(-0.1, 0.1, (models, count))
    return Judges(np.ones(count), np.ones(count, dtype=bool), np.where(hits, 0.8, 0.2) + noise, hits)


def test_a_model_fails_the_test_that_it_defines_and_no_other():
    judges = judges_of(0.9)
    published, fitted = divergences.top_as_published(judges), divergences.top_cross_fitted(judges)
    assert published[-1] == 0 and published[:-1].min() > 0.7
    assert fitted.min() > 0.7, "all examples are alike, so no group is harder for who did not define it"


def test_examples_that_a_retrained_model_knows_better_are_in_no_published_group():
    judges = judges_of(0.5)
    known = Judges(np.full(400, 0.5), judges.original_hits, judges.retrained, judges.retrained_hits)
    dropped = divergences.groups_as_published(known) < 0
    assert (dropped == known.retrained_hits[-1]).all()


def test_the_top_examples_are_those_of_the_largest_scores(judged):
    case = fu.Case(*judged)
    top = divergences.top_examples(case)
    scores = fu.compare({}, case).scores
    rest = np.delete(scores, list(top))
    assert len(top) == max(1, len(scores) // 20) and scores[list(top)].min() >= rest.max()


def test_who_shares_examples_leaks(digits):
    def leak(split):
        fed = fu.Federation(digits, split, "mlp", fu.LocalTraining(epochs=1, batch=64), store=None)
        return divergences.leak(fu.case(fed, fu.forget.client(0), 2, retrained=3))

    labels = digits.train.labels
    shared, apart = leak(fu.partition.overlapping(labels, 4, seed=0)), leak(fu.partition.iid(labels, 4, 0))
    assert apart["held by others too"] == 0 and 0 < apart["retrained, accuracy on the forgotten"] < 100
    expected = 100 * divergences.held_by_others(0.25, clients=4)
    assert shared["held by others too"] == pytest.approx(expected, abs=6)


def test_a_leak_is_of_one_client(judged):
    original, retrained, request = judged
    case = fu.Case(original, retrained, request)
    object.__setattr__(case, "request", fu.forget.clients(0, 1))
    with pytest.raises(fu.FucoreError, match="of one client"):
        divergences.leak(case)


def test_accuracy_that_follows_from_a_leak():
    assert divergences.held_by_others(0.1) == pytest.approx(1 - 0.9**9)
    assert divergences.held_by_others(0.1, clients=1) == pytest.approx(0)
    assert divergences.expected_accuracy(0.0, 75.0) == 75 and divergences.expected_accuracy(1.0, 75.0) == pytest.approx(100)


def test_blocks_are_found_by_their_numbers():
    rows = pd.DataFrame({"client": ["client1", "client2"], "original": [50.0, 60.0], "delete": 40.0, "relabel": 30.0, "zeroing": 0.0})
    assert divergences.clients_with((60.0, 40.0, 30.0, 0.0), rows) == ["client2"]
    assert divergences.clients_with((60.0, 40.0, 30.1, 0.0), rows) == []


def test_contributions_add_up_only_with_the_activation_once():
    effect, once, twice = divergences.last_layer(fu.models.build("mlp", (1, 4, 4), 3, seed=0))
    assert once == pytest.approx(effect, abs=0.005)
    assert abs(twice - effect) > 0.01


# ---- the page of all claims


@pytest.fixture
def found():
    columns = ["paper", "verdict", "item", "claim", "printed", "ours", "basis", "chapter"]
    rows = [["M", "reproduced", "Table 1"], ["M", "–", "Table 2"], ["W", "undecided", "Figure 1"], ["W", "undecided", "Figure 2"]]
    return pd.DataFrame([[*row, "c", "p", "o", "b", "02_data_and_partitions"] for row in rows], columns=columns)


def test_claims_are_counted_and_told(found):
    table = reproduction.counts(found)
    assert table.loc["M", "reproduced"] == table.loc["M", "–"] == 1 and table.loc["W"].sum() == table.loc["W", "undecided"] == 2
    assert reproduction.in_words(table) == "Wei et al. (2026): 1 reproduced, 1 not run yet; Huang et al. (2025): 2 undecided"
    labels = [text.get_text() for text in reproduction.verdicts_figure(table).legends[0].texts]
    assert labels == ["reproduced", "undecided", "not run yet"]


def test_claims_are_listed_with_links_and_colours(found):
    page = reproduction.listed(found, "M").to_html()
    assert '<a href="02_data_and_partitions.html">Table 1</a>' in page and "Figure 1" not in page
    assert f"{reproduction.COLOURS['reproduced']}33" in page and f"{reproduction.COLOURS['–']}33" not in page
    assert set(fu.findings.VERDICTS) < set(reproduction.COLOURS)
