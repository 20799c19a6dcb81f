"""Fakes, distances of models to each other, a client's departure, and who tells what."""

import numpy as np
import pandas as pd
import pytest
import torch

import fucore as fu
from fucore.analysis.fakes import mislabelled, never_answering, with_new_head
from fucore.companion import known_truth
from fucore.evaluation.backdoor import backdoored, departure, way_to_retraining
from fucore.evaluation.distance import cosine, divergence, l2, pairwise


@pytest.fixture(scope="module")
def case(judged):
    return fu.Case(*judged)


def test_the_fake_with_a_new_head_is_wrong_where_it_was_told_to_be(case):
    fed, wrong = case.federation, 12
    fake = with_new_head(case, wrong)
    misses = case.logits(fake, "departed").argmax(1) != case.departed.labels
    _, chosen = mislabelled(case, wrong)
    assert misses[chosen].float().mean() > 0.6 and misses.sum() <= 1.5 * wrong
    changed = fake.weights != case.original.weights
    views = fed.layout.views(changed.float())
    assert all((views[name].any().item()) == (name in fed.layout.names[-2:]) for name in fed.layout.names), "only the last layer is new"
    assert fed.evaluate(fake.weights)[0] > fed.evaluate(case.original.weights)[0] - 0.05


def test_wrong_labels_are_the_second_guess_where_the_original_was_least_sure(case):
    labels, chosen = mislabelled(case, 7)
    chances = case.federation.probabilities(case.original.weights, case.departed)
    own = chances[torch.arange(len(labels)), case.departed.labels]
    others = np.setdiff1d(np.arange(len(labels)), chosen)
    assert len(chosen) == 7 and own[chosen].max() <= own[others].min()
    assert (labels != case.departed.labels).nonzero().flatten().tolist() == sorted(chosen)
    likely = chances.argsort(dim=1, descending=True)[chosen, :2]
    assert (likely == labels[chosen][:, None]).any(dim=1).all()
    assert torch.equal(mislabelled(case, 0)[0], case.departed.labels)
    with pytest.raises(fu.FucoreError, match="wrong is"):
        mislabelled(case, len(labels) + 1)


def test_two_classes_are_too_few_for_a_new_head():
    from fucore.analysis import fakes

    with pytest.raises(fu.FucoreError, match="examples of every class"):
        fakes._fitted(np.eye(4), np.array([0, 1, 0, 1]), np.ones(4), 2)
    with pytest.raises(fu.FucoreError, match="examples of every class"):
        fakes._fitted(np.eye(4), np.array([0, 1, 2, 1]), np.ones(4), 4)


def test_a_silenced_class_is_never_answered_and_one_number_differs(case):
    fed, weights = case.federation, case.original.weights
    fake = never_answering(fed, weights, 3)
    assert (fake != weights).sum() == 1 and not (fed.logits(fake, fed.data.test).argmax(1) == 3).any()
    with pytest.raises(fu.FucoreError, match="label is 10"):
        never_answering(fed, weights, 10)


def test_distances_of_each_model_to_each(case):
    runs = {"original": case.original, "retrained 0": case.retrained[0], "retrained 1": case.retrained[1]}
    tables = pairwise(runs, case)
    a, b = case.original, case.retrained[0]
    pair = ("original", "retrained 0")
    assert tables["l2"].loc[pair] == l2(a.weights, b.weights) and tables["cosine"].loc[pair] == cosine(a.weights, b.weights)
    assert tables["kl"].loc[pair] == divergence(case.logits(a, "test"), case.logits(b, "test"))
    assert tables["kl"].loc[pair] != tables["kl"].loc[pair[::-1]] and tables["l2"].loc[pair] == tables["l2"].loc[pair[::-1]]
    assert np.allclose(np.diag(tables["l2"]), 0) and np.allclose(np.diag(tables["cosine"]), 1) and np.allclose(np.diag(tables["kl"]), 0)
    figure = known_truth.distance_figure(tables)
    assert [axis.get_title() for axis in figure.axes] == ["L2 distance", "cosine similarity", "KL on test images"]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["original", "r0", "r1"]


def test_a_departure_is_training_with_and_then_without(fed):
    request = fu.forget.client(0)
    story = departure(fed, request, 2, 1, lambda weights: float(weights[0]), seed=5)
    both = fed.train(2, seed=5, horizon=3).weights
    after = fed.without(request).train(1, seed=5, start=both, first_round=2, horizon=3).weights
    assert story["round"].tolist() == [1, 2, 3] and story.departed.tolist()[1:] == [float(both[0]), float(after[0])]
    assert story.test.iloc[-1] == fed.evaluate(after)[0]
    figure = known_truth.departure_figure({"one": story, "other": story}, [0.1, 0.2], rounds=2)
    assert [axis.lines[0].get_ydata()[0] for axis in figure.axes] == pytest.approx([10, 20])


def test_a_backdoored_federation_poisons_one_client_only(fed):
    bad = backdoored(fed, 1, target=0)
    altered = np.flatnonzero((bad.data.train.labels != fed.data.train.labels).numpy())
    assert len(altered) and np.isin(altered, fed.clients.indices[1]).all() and bad.clients is fed.clients
    assert (bad.local, bad.model, bad.server) == (fed.local, fed.model, fed.server)


def test_way_to_retraining():
    assert way_to_retraining(90, 90, 10) == 0 and way_to_retraining(90, 10, 10) == 1 and way_to_retraining(90, 70, 10) == 0.25
    assert way_to_retraining(90, 100, 10) < 0 and np.isnan(way_to_retraining(90, 80, 90))


def test_who_tells():
    columns = ["nothing", "fake", "fine-tuned", "FedMemPrune", "more 1", "more 2"]
    rows = {"both": "110000", "untouched": "101000", "fake only": "010100", "none": "000000", "accuser": "110001"}
    tells = pd.DataFrame([[mark == "1" for mark in marks] for marks in rows.values()], index=list(rows), columns=columns)
    assert known_truth.who_tells(tells, ["more 1", "more 2"]) == {
        "Tell both the untouched model and the fake": ["both", "accuser"],
        "Tell the untouched model only": ["untouched"],
        "Tell the fake only": ["fake only"],
        "Tell neither": ["none"],
        "Accuse one of 2 honest retrained models": ["accuser"],
        "Useful here (both told, no honest model accused)": ["both"],
        "Tell FedMemPrune": ["fake only"],
        "Tell fine-tuning": ["untouched"],
    }


def test_confidence_is_sorted_by_its_mean():
    confidence = np.array([[0.9, 0.2, 0.5], [0.7, 0.4, 0.7]])
    (axis,) = known_truth.confidence_figure(confidence).axes
    assert axis.lines[0].get_ydata() == pytest.approx([0.3, 0.6, 0.8])


def test_what_is_not_a_number_is_white():
    from fucore import plots

    figure = plots.heat_figure(pd.DataFrame({"a": [np.nan, 1.0], "b": [0.0, 1.0]}), vmax=1, cmap="YlOrRd")
    ((missing, low), (high, _)) = figure.axes[0].images[0].get_array()
    assert missing.tolist() == [1, 1, 1] and high[2] < low[2] and len(figure.axes[0].texts) == 3
