import numpy as np
import pandas as pd
import pytest

import fucore as fu
from fucore.evaluation import judge_examples
from fucore.evaluation.gme import (
    Judges,
    assign_groups,
    assign_groups_as_published,
    group_accuracy,
    group_names,
    grouped_memorization,
    load_scores,
    memorization_scores,
    save_scores,
)


@pytest.mark.parametrize("count", [1, 3, 4, 19, 20, 23, 100, 304, 4999])
def test_groups_are_disjoint_complete_and_of_nominal_size(count):
    """Sizes differ from nominal by at most one."""
    rng = np.random.default_rng(0)
    groups = assign_groups(rng.random(count))
    sizes = np.bincount(groups, minlength=len(group_names(count)))
    assert sizes.sum() == count and len(sizes) == len(group_names(count)) and (sizes > 0).all()
    if count >= 20:
        assert (np.abs(sizes - count * np.array([0.05] * 4 + [0.8])) <= 1).all()


def test_the_top_group_holds_the_highest_scores_and_ties_go_by_position():
    rng = np.random.default_rng(0)
    scores = rng.random(200)
    groups = assign_groups(scores)
    assert all(scores[groups == g].min() >= scores[groups == g + 1].max() for g in range(4))
    assert np.array_equal(assign_groups(np.zeros(100)), np.repeat([0, 1, 2, 3, 4], [5, 5, 5, 5, 80]))


def test_weighted_group_accuracies_are_the_overall_accuracy():
    rng = np.random.default_rng(0)
    hits, groups = rng.random(333) < 0.7, assign_groups(rng.random(333))
    assert np.bincount(groups) @ group_accuracy(hits, groups, 5) / 333 == pytest.approx(hits.mean(), abs=1e-12)


def test_identical_models_have_no_memorization():
    rng = np.random.default_rng(0)
    p = rng.random(50)
    assert not memorization_scores(p, np.stack([p, p, p])).any()


def test_crossfitting_is_unbiased_where_in_sample_groups_are_not():
    """K = 4 random predictors of accuracy 0.8."""
    rng = np.random.default_rng(0)
    in_sample, one, cross = [], [], []
    for _ in range(60):
        hits = rng.random((4, 2000)) < 0.8
        p = 0.5 + 0.5 * hits - 1e-6 * rng.random(hits.shape)
        judges = Judges(np.ones(2000), np.ones(2000, bool), p, hits)
        in_sample.append(group_accuracy(hits, assign_groups(judges.scores), 5)[:, 0].mean())
        one.append(group_accuracy(hits[-1], assign_groups(np.ones(2000) - p[-1]), 5)[0])
        cross.append(grouped_memorization(judges, {"new": rng.random((1, 2000)) < 0.8}, bootstrap=0).retrained[0])
    assert np.mean(one) == 0 and np.mean(in_sample) < 0.5
    assert abs(np.mean(cross) - 0.8) < 3 * np.std(cross) / np.sqrt(len(cross))


def test_intervals_cover_and_noise_is_that_of_retraining():
    rng = np.random.default_rng(0)
    hits = rng.random((5, 1000)) < 0.8
    table = grouped_memorization(
        Judges(np.ones(1000), np.ones(1000, bool), hits * 1.0 + 1e-3 * rng.random(hits.shape), hits), {"new": rng.random((2, 1000)) < 0.8}
    )
    assert ((table.accuracy_low <= table.accuracy) & (table.accuracy <= table.accuracy_high)).all()
    assert ((table.retrained_low <= table.retrained) & (table.retrained <= table.retrained_high)).all()
    assert (table.noise < 0.15).all() and table.runs.eq(2).all()


def test_the_published_protocol_drops_what_is_not_memorized():
    scores = np.concatenate([np.linspace(1, 0.1, 40), np.zeros(30), -np.ones(30)])
    groups = assign_groups_as_published(scores)
    assert (groups[40:] == -1).all() and (groups[:5] == 0).all() and np.bincount(groups[groups >= 0]).tolist() == [5, 5, 5, 5, 20]


def test_an_empty_group_is_nan():
    assert np.isnan(group_accuracy(np.ones(4, bool), np.zeros(4, int), 2)[1])


def test_few_models():
    rng = np.random.default_rng(0)
    hits = rng.random((2, 40)) < 0.5
    two = grouped_memorization(Judges(np.ones(40), np.ones(40, bool), hits * 1.0, hits), {"a": hits[:1]}, bootstrap=5)
    assert two.noise.isna().all() and two.bound.isna().all()
    with pytest.raises(fu.FucoreError, match="at least 2 retrained models, not 1"):
        grouped_memorization(Judges(np.ones(40), np.ones(40, bool), hits[:1] * 1.0, hits[:1]), {"a": hits[:1]})
    with pytest.raises(fu.FucoreError, match="evaluated on 39"):
        grouped_memorization(Judges(np.ones(40), np.ones(40, bool), hits * 1.0, hits), {"a": hits[:1, 1:]})


def test_scores_publish_and_load(tmp_path, digits, mnist5k):
    save_scores(tmp_path / "s.json", digits, [5, 2, 9], np.array([0.5, -0.25, 1 / 3]))
    indices, scores = load_scores(tmp_path / "s.json", digits)
    assert indices.tolist() == [5, 2, 9] and scores == pytest.approx([0.5, -0.25, 1 / 3], abs=1e-6)
    with pytest.raises(fu.FucoreError, match="other data"):
        load_scores(tmp_path / "s.json", mnist5k)
    with pytest.raises(fu.FucoreError, match="not a file of the kind"):
        fu.Partition.load(tmp_path / "s.json", digits)


@pytest.mark.long
def test_planted_examples_that_were_fitted_rank_on_top(mnist5k):
    """Planted ground truth on real images: shuffled pixels, of which the original model fits most."""
    import dataclasses

    from sklearn.metrics import roc_auc_score

    clients = fu.partition.iid(mnist5k.train.labels, 10)
    data = fu.plant(mnist5k, clients.indices[0], kind="corrupt")
    fed = fu.Federation(data, clients)
    request = fu.forget.client(0)
    original, retrained = fed.train(10), dataclasses.replace(fed).without(request).train_many(10, (1, 2, 3))
    indices = fed.forgotten(request)
    judges, _ = judge_examples(fu.Case(original, retrained, request), {})
    assert roc_auc_score(data.planted[indices], judges.scores) >= 0.95
    noise = data.train.take(indices[data.planted[indices]])
    kept = fed.evaluate(original.weights, noise)[0]
    unlearned = fed.evaluate(fu.unlearn("fedmemprune", original, request, ratio=0.8).weights, noise)[0]
    truth = np.mean([fed.evaluate(run.weights, noise)[0] for run in retrained])
    assert kept - truth > 0.3 and abs(unlearned - truth) < 0.5 * (kept - truth)


def test_recovered_models_of_the_printed_table():
    """Mean, standard deviation and one of three models fix the other two, and the definer scored 0."""
    mean, std, first = 12.15, 8.80, 15.89
    half_sum = (3 * mean - first) / 2
    half = np.sqrt(3 * (std**2 + mean**2) / 2 - first**2 / 2 - half_sum**2)
    assert sorted([half_sum - half, half_sum + half]) == pytest.approx([0.0, 20.56], abs=0.02)
    assert isinstance(fu.papers.table("table1_main"), pd.DataFrame)
