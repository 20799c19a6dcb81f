"""Measures of several models, where the answer is known: equal models, planted half-forgotten ones, closed forms for normal margins."""

import dataclasses
import itertools
import types

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import fucore as fu
from fucore.companion import measures
from fucore.evaluation import distributions
from fucore.evaluation.distributions import DISTRIBUTION_METRICS, at_size, compare_distributions, floor, permutation_p
from fucore.evaluation.metrics import calibration, worst
from fucore.evaluation.metrics.forgetting_quality import CAP, DELTA, epsilons, final_score, forgetting_quality
from fucore.evaluation.metrics.klom import klom, klom_gaussian
from fucore.evaluation.metrics.relearning import relearn_epochs, relearn_times
from fucore.evaluation.metrics.ulira import ulira, ulira_accuracy
from fucore.federation.case import NotKept


def margins(models, examples, shift=0.0, spread=1.0, seed=0):
    """Normal margins around examples of different hardness, [models, examples]."""
    hardness = np.linspace(-2, 6, examples)
    return hardness + shift + spread * np.random.default_rng(seed).normal(size=(models, examples))


# ---- KLOM


def test_klom_of_equal_models_is_zero_and_of_a_known_histogram_what_it_must_be():
    same = margins(16, 50)
    assert klom(same, same[::-1]) == pytest.approx(0, abs=20 * 1e-5), "no empty bin counts less than 1e-5"
    assert klom_gaussian(same, same[::-1]) == pytest.approx(0, abs=1e-12)
    ours, theirs = np.ones((4, 1)), np.array([[0.0], [0.0], [1.0], [1.0]])
    assert klom(ours, theirs) == pytest.approx(np.log(2), abs=3e-4)
    assert klom(theirs, ours)[0] == pytest.approx(0.5 * np.log(0.5 / 1e-5) + 0.5 * np.log(0.5), abs=3e-4), "unlearned first"
    assert klom(1e6 * ours, 1e3 * ours) == pytest.approx(0, abs=20 * 1e-5), "both are clipped to 100"


@pytest.mark.parametrize("shift, spread", [(0.5, 1.0), (1.0, 1.0), (0.0, 0.5), (1.0, 2.0)])
def test_klom_of_normal_margins_is_the_closed_form(shift, spread):
    known = np.log(1 / spread) + (spread**2 + shift**2) / 2 - 0.5
    ours, theirs = margins(20000, 4, shift, spread), margins(20000, 4, seed=1)
    assert klom_gaussian(ours, theirs).mean() == pytest.approx(known, abs=0.02)
    assert 0.8 * known - 0.02 < klom(ours, theirs).mean() < known + 0.02, "bins can only lose divergence"


@pytest.mark.parametrize("models", [8, 16])
def test_the_floor_of_gaussian_klom_is_the_known_bias(models):
    values = [klom_gaussian(margins(models, 400, seed=2 * k), margins(models, 400, seed=2 * k + 1)).mean() for k in range(20)]
    assert np.mean(values) == pytest.approx(((models - 1) * (1 + 2 / models) / (models - 3) - 1) / 2, rel=0.03)


# ---- forgetting quality


def tried(ours, theirs):
    """eps of one example by trying every attack in a loop."""
    values = np.unique([*ours, *theirs])
    cuts = [values[0] - 1, *(values[1:] + values[:-1]) / 2, values[-1] + 1]
    high, low = (ours, theirs) if np.median(ours) >= np.median(theirs) else (theirs, ours)
    narrow, wide = (ours, theirs) if np.ptp(ours) <= np.ptp(theirs) else (theirs, ours)
    rates = [((high < cut).mean(), (low >= cut).mean()) for cut in cuts]
    for left, right in itertools.combinations(cuts, 2):
        within = [(side > left) & (side < right) for side in (narrow, wide)]
        rates.append(((~within[0]).mean(), within[1].mean()))
    best = 0.0
    for missed, false in rates:
        if missed == false == 0:
            return CAP
        if missed > 0 and false > 0:
            pairs = [(1 - DELTA - false, missed), (1 - DELTA - missed, false)]
            best = max([best, *(np.log(over / under) for over, under in pairs if over > 0)])
    return min(best, CAP)


def test_epsilon_is_the_best_of_all_attacks():
    for seed, shift, spread in ((0, 0, 1), (1, 1, 1), (2, 0, 0.2), (3, -2, 1), (4, 0.5, 3)):
        ours, theirs = margins(7, 30, shift, spread, seed), margins(6, 30, seed=seed + 50)
        ours[:, ::3], theirs[:, ::3] = ours[:, ::3].round(), theirs[:, ::3].round()  # ties
        wide = np.sort([np.ptp(ours, axis=0), np.ptp(theirs, axis=0)], axis=0)
        expected = [CAP if a < 0.01 * b else tried(*each) for each, (a, b) in zip(zip(ours.T, theirs.T), wide.T)]
        assert epsilons(ours, theirs) == pytest.approx(expected)


def test_epsilon_of_randomised_answers_is_their_log_odds():
    """Twelve of sixteen unlearned models answer 1, four of sixteen retrained ones: eps is log 3, worth a quarter."""
    ours, theirs = (np.repeat([1.0, 0.0], [ones, 16 - ones])[:, None] for ones in (12, 4))
    assert epsilons(ours, theirs) == pytest.approx(np.log((0.75 - DELTA) / 0.25)) and forgetting_quality(ours, theirs) == 0.25
    assert forgetting_quality(theirs, theirs) == 1 and epsilons(theirs, theirs) == 0
    apart = margins(16, 9, shift=30), margins(16, 9)
    assert (epsilons(*apart) == CAP).all() and not forgetting_quality(*apart).any()
    still = np.tile(theirs.mean(axis=0), (16, 5))
    assert (epsilons(still, margins(16, 5)) == CAP).all(), "models that all say the same"


def test_many_models_are_judged_in_parts(monkeypatch):
    from fucore.evaluation.metrics import forgetting_quality as module

    ours, theirs = margins(8, 37, 0.5), margins(8, 37, seed=1)
    whole = epsilons(ours, theirs)
    monkeypatch.setattr(module, "AT_ONCE", 700)
    assert np.array_equal(epsilons(ours, theirs), whole)


# ---- U-LiRA


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0, 2.0])
def test_ulira_reaches_the_best_accuracy_for_normal_margins(shift):
    known = stats.norm.cdf(shift / 2)
    assert ulira_accuracy(margins(150, 200, shift), margins(150, 200, seed=1)).mean() == pytest.approx(known, abs=0.015)
    few = ulira_accuracy(margins(16, 3000, shift), margins(16, 3000, seed=1)).mean()
    assert few == pytest.approx(0.5, abs=0.01) if shift == 0 else 0.5 < few < known + 0.01


def test_ulira_is_fitted_without_the_model_that_it_attacks():
    ours, theirs = margins(5, 3), margins(4, 3, seed=1)
    scores = ulira(ours, theirs)
    assert scores[0].shape == scores[1].shape == (5, 3)
    for turn, (mine, other) in enumerate([(0, 0), (1, 1), (2, 2), (3, 3), (4, 0)]):
        fits = [stats.norm(rest.mean(axis=0), rest.std(axis=0, ddof=1)) for rest in (np.delete(ours, mine, 0), np.delete(theirs, other, 0))]
        assert scores[0][turn] == pytest.approx(fits[0].logpdf(ours[mine]) - fits[1].logpdf(ours[mine]))
        assert scores[1][turn] == pytest.approx(fits[0].logpdf(theirs[other]) - fits[1].logpdf(theirs[other]))
    assert (ulira_accuracy(margins(6, 4, 50), margins(6, 4)) == 1).all()


# ---- floors and permutations


def test_half_forgotten_lies_between_the_floor_and_the_original():
    """A quarter of the examples were memorized, by three nats; half of that is left, or all of it."""
    memorized = 3.0 * (np.arange(200) % 4 == 0)
    retrained = margins(32, 200, seed=1)
    for metric in DISTRIBUTION_METRICS.values():
        untouched, half, equal = (
            metric.worse * at_size(metric, margins(16, 200, part * memorized, seed=2), retrained, 16, draws=5).mean()
            for part in (1, 0.5, 0)
        )
        own = metric.worse * floor(metric, retrained, draws=20)
        assert untouched > half > own.max() and abs(equal - own.mean()) < half - own.mean(), metric.name


def test_permutation_accuses_one_in_twenty_honest_methods():
    gap = lambda ours, theirs: float(np.abs(ours.mean(axis=0) - theirs.mean(axis=0)).mean())
    values = [permutation_p(gap, margins(6, 5, seed=2 * k), margins(8, 5, seed=2 * k + 1), draws=99, seed=k) for k in range(300)]
    assert 0.02 < np.mean(np.array(values) <= 0.05) < 0.09 and np.mean(values) == pytest.approx(0.5, abs=0.06)
    assert permutation_p(gap, margins(6, 5, shift=5), margins(8, 5, seed=1), draws=99) == pytest.approx(0.01)
    away = margins(6, 5, shift=5), margins(8, 5, seed=1)
    assert permutation_p(lambda *both: -gap(*both), *away, worse=-1, draws=99) == pytest.approx(0.01)


def test_wrong_arrays_and_names_are_refused(judged):
    for wrong, sentence in {
        (1, 3, 4, 3): "at least 2 unlearned",
        (3, 3, 4, 2): "3 and 2 examples",
    }.items():
        with pytest.raises(fu.FucoreError, match=sentence):
            klom_gaussian(np.zeros(wrong[:2]), np.zeros(wrong[2:]))
    with pytest.raises(fu.FucoreError, match="not finite"):
        klom(np.full((3, 3), np.inf), np.zeros((3, 3)))
    with pytest.raises(fu.FucoreError, match="of fucore's own"):
        distributions.distribution_metric("KLOM")(klom_gaussian_of_mine)
    with pytest.raises(fu.FucoreError, match="worse is 0"):
        distributions.distribution_metric("mine", worse=0)
    case = fu.Case(*judged)
    with pytest.raises(fu.FucoreError, match="at least 6 retrained models, not 4"):
        compare_distributions({"one": case.original}, case)
    with pytest.raises(fu.FucoreError, match="metric is 'KL'"):
        compare_distributions({"one": case.original}, case, metrics=["KL"])


def klom_gaussian_of_mine(unlearned, retrained):
    return unlearned[0]


# ---- on models


@pytest.fixture(scope="module")
def whole():
    return fu.reference("mnist5k", workers=1).cases[0]


@pytest.fixture(scope="module")
def given(whole):
    """The first case of the embedded reference, in which half of the retrained models are a method of their own."""
    return dataclasses.replace(whole, retrained=whole.retrained[8:]), list(whole.retrained[:8])


def test_retrained_models_of_a_reference_are_at_their_floor(given, whole):
    case, honest = given
    with pytest.raises(fu.FucoreError, match="Alone has 2 run.*other seeds"):
        compare_distributions({"Alone": honest[:2]}, case)
    table = compare_distributions({"Retrained too": honest}, case, draws=30, permutations=99)
    assert list(table.metric) == list(DISTRIBUTION_METRICS) and set(table.models) == {4} and (table.p > 0.01).all()
    assert np.allclose(table.value, table.floor, rtol=0.25, atol=0.1)
    assert 0.5 < final_score(honest, case, remaining="sample") / forgetting_quality(*both(honest, case)).mean() < 2
    again = measures.against_half({}, whole, draws=30, permutations=99)
    pd.testing.assert_frame_equal(table.drop(columns="candidate"), again.drop(columns="candidate"))


def both(runs, case):
    return distributions.log_odds_of(runs, case), distributions.log_odds_of(case.retrained, case)


def test_what_needs_more_than_a_reference_keeps_says_so(given):
    case, _ = given
    retrained = case.retrained[0]
    for act in (
        lambda: fu.METRICS["calibration error"](retrained, case),
        lambda: fu.METRICS["worst client, accuracy"](retrained, case),
        lambda: relearn_epochs(retrained, case),
    ):
        with pytest.raises(NotKept, match="train a case of your own"):
            act()
    assert 0 < fu.METRICS["calibration error"](case.original, case) < 0.2 and np.isfinite(fu.METRICS["worst client, loss"](retrained, case))


def test_no_report_shows_them():
    assert all(
        fu.METRICS[name].column is None for name in ("calibration error", "Brier score", "worst client, loss", "worst client, accuracy")
    )


# ---- calibration


def test_calibration_of_known_probabilities():
    labels = torch.tensor([0, 0, 0, 1])  # 80 % sure of class 0, right in three of four
    logits = torch.tensor([0.8, 0.2]).log().repeat(4, 1)
    assert calibration.expected_calibration_error(logits, labels) == pytest.approx(0.05)
    assert calibration.brier_score(logits, labels) == pytest.approx((3 * 2 * 0.04 + 2 * 0.64) / 4)
    sure = torch.tensor([[50.0, 0.0]]).repeat(4, 1)
    assert calibration.expected_calibration_error(sure, labels) == pytest.approx(0.25)
    assert calibration.brier_score(sure, torch.ones(4, dtype=torch.int64)) == pytest.approx(2)
    two = torch.tensor([[0.8, 0.2], [0.4, 0.6]]).log()  # over- and underconfident in different bins do not cancel
    assert calibration.expected_calibration_error(two, torch.tensor([0, 0])) == pytest.approx((0.2 + 0.6) / 2)


def test_calibrated_answers_have_hardly_any_error():
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(40000, 3)))
    labels = torch.tensor([rng.choice(3, p=row / row.sum()) for row in logits.softmax(dim=1).numpy()])
    assert calibration.expected_calibration_error(logits, labels) < 0.02 < calibration.expected_calibration_error(3 * logits, labels)


# ---- the worst


def test_the_worst_client_is_the_one_who_lost_most(judged):
    losses = {"before": np.array([0.1, 0.2, 0.3]), "after": np.array([0.2, 0.9, 0.1])}
    case = types.SimpleNamespace(losses=losses.get, original="before")
    assert worst.worst_loss("after", case, ()) == pytest.approx(0.7) and worst.worst_loss("before", case, ()) == 0
    case = fu.Case(*judged)
    each, sizes = worst.client_accuracies(case.original, case), [len(held) for held in case.without.clients.indices if len(held)]
    assert len(each) == 3 and np.average(each, weights=sizes) == pytest.approx(case.look(case.original, "remaining").right.mean())
    drop = each - worst.client_accuracies(case.retrained[0], case)
    assert fu.METRICS["worst client, accuracy"](case.retrained[0], case) == pytest.approx(drop.max())
    assert fu.METRICS["worst client, accuracy"](case.original, case) == 0


def test_the_worst_case_is_the_farthest():
    rows = [("A", "top", 0, 0.5, 0.4), ("A", "top", 1, 0.1, 0.4), ("A", "rest", 0, 0.9, 0.9), ("A", "rest", 1, 1.0, 0.9)]
    cases = pd.DataFrame(rows, columns=["candidate", "group", "case", "accuracy", "retrained"])
    table = worst.worst_case(fu.MethodReport(pd.DataFrame(), pd.DataFrame(), cases)).set_index("group")
    assert table.case.to_dict() == {"top": 1, "rest": 1} and table.difference.to_dict() == pytest.approx({"top": -0.3, "rest": 0.1})


def test_the_floor_of_the_worst_case_is_below_what_the_original_shows():
    cases = fu.reference("mnist5k", workers=1).cases[:6]
    table = worst.worst_case_floor(cases).set_index("group")
    assert len(table) == 5 and (table["mean"] > 0).all() and (table.high >= table["mean"]).all()
    kept = fu.results.report("judged_mnist5k")
    found = worst.worst_case(kept).query("candidate == 'Original'").set_index("group").difference
    assert found.iloc[0] > table.high.iloc[0]


# ---- relearning


def test_what_was_never_forgotten_needs_no_time_and_retraining_is_the_floor(judged):
    case = fu.Case(*judged)
    assert relearn_epochs(case.original, case) == 0 < relearn_epochs(case.retrained[0], case)
    never = dataclasses.replace(case.original, weights=case.federation.initial_weights(9))
    assert np.isnan(relearn_epochs(never, case, cap=1))
    table = relearn_times({"Nothing": case.original, "Never": never}, case, cap=12).set_index("candidate")
    assert list(table.index) == ["Retrained", "Nothing", "Never"] and table["index"].iloc[:2].to_list() == [1, 0]
    assert (
        table.low["Retrained"] <= table.epochs["Retrained"] <= table.high["Retrained"] and table.epochs["Never"] > table.high["Retrained"]
    )


def test_epochs_are_counted_until_the_original_is_reached(judged, monkeypatch):
    """Losses as a script: the third epoch is the first that ends at the original's loss."""
    case = fu.Case(*judged)
    losses = iter([1.0, 3.0, 2.0, 1.5, 1.0, 0.5])  # of the original, of the run, and after each epoch
    monkeypatch.setattr(fu.Federation, "evaluate", lambda self, weights, split=None: (0.0, next(losses)))
    monkeypatch.setattr(fu.Federation, "train", lambda self, *rounds, start, **options: types.SimpleNamespace(weights=start))
    assert relearn_epochs(case.retrained[0], case) == 3


# ---- the power study


def test_simulated_truths_are_told_as_often_as_they_should_be():
    table = measures.simulated(models=8, examples=40, experiments=12, draws=39, seed=1).pivot(
        index="metric", columns="truth", values="told"
    )
    assert list(table.columns) == sorted(measures.SIMULATED) and set(table.index) == {*measures.PLAIN, *DISTRIBUTION_METRICS}
    assert (table["as retraining"] <= 0.34).all() and table.loc["KLOM, Gaussian", "forgotten too much"] > 0.6
    assert table.loc["accuracy", "as many up as down"] < table.loc["U-LiRA accuracy", "as many up as down"], "one compensates the other"


def test_fakes_of_several_originals_are_as_often_wrong_as_retrained_models(judged):
    case = fu.case(judged[0].federation, judged[2], 3, retrained=6)
    cases = measures.from_originals(case, case.federation.train_many(3, range(50, 53)))
    made, right = measures.fakes(cases), np.mean([case.look(run).right.mean() for run in case.retrained])
    assert len({start.original.config["seed"] for start in cases}) == 3 and not torch.equal(made[0].weights, made[1].weights)
    assert all(abs(case.look(run).right.mean() - right) < 0.1 for run in made)
    table = measures.told_apart({"fake": made, "honest": case.retrained[:3]}, case, draws=5, permutations=19)
    assert len(table) == 2 * (len(measures.PLAIN) + len(DISTRIBUTION_METRICS)) and table.p.between(0.05, 1).all()
    shown = measures.power_table(pd.concat([table, table.assign(p=1.0)]))
    assert list(shown.columns) == ["fake", "honest"] and shown.loc["KLOM", "honest"].endswith("), p 1.000")
    assert "(" not in shown.loc["accuracy", "fake"]
