"""Distances, backdoors, probes and alignment."""

import dataclasses

import numpy as np
import pytest
import torch

import fucore as fu
from fucore.analysis.alignment import aligned
from fucore.analysis.loss_path import loss_plane
from fucore.analysis.probe import linear_probe
from fucore.evaluation import backdoor
from fucore.evaluation.distance import cosine, distances, divergence, l2
from fucore.federation.models import build


def test_distances_of_equal_models_are_zero_one_zero_and_symmetric():
    a, b = torch.randn(2, 50, generator=torch.Generator().manual_seed(0))
    logits = torch.randn(2, 20, 5, generator=torch.Generator().manual_seed(1))
    assert (l2(a, a), cosine(a, a), divergence(logits[0], logits[0])) == pytest.approx((0, 1, 0), abs=1e-9)
    assert l2(a, b) == l2(b, a) == pytest.approx(float((a - b).square().sum()) ** 0.5) and cosine(a, b) == cosine(b, a)
    p, q = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.9, 0.1]])
    assert divergence(p.log(), q.log()) == pytest.approx(0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)) and divergence(*logits) > 0


def test_the_floor_is_between_different_retrained_models(judged):
    original, retrained, _ = judged
    table = distances({"Original": original, "itself": retrained[0]}, fu.Case(*judged))
    pairs = [l2(a.weights, b.weights) for a in retrained for b in retrained if a is not b]
    assert table.l2["Retrained"] == pytest.approx(np.mean(pairs), rel=1e-5)
    assert table.l2["itself"] == pytest.approx(np.mean([l2(retrained[0].weights, run.weights) for run in retrained]), rel=1e-5)


# ---- backdoors


def test_the_trigger_is_idempotent_and_only_others_are_poisoned(digits):
    images = digits.train.images[:5]
    assert torch.equal(backdoor.triggered(backdoor.triggered(images)), backdoor.triggered(images))
    assert not torch.equal(backdoor.triggered(images), images) and torch.equal(images, digits.train.images[:5])
    poisoned = backdoor.poison(digits, np.arange(100), target=3, share=0.5)
    changed = np.flatnonzero(poisoned.planted)
    others = int((digits.train.labels[:100] != 3).sum())
    assert len(changed) == round(0.5 * others) and changed.max() < 100
    assert (digits.train.labels[changed] != 3).all() and (poisoned.train.labels[changed] == 3).all()
    assert torch.equal(poisoned.test.images, digits.test.images)


def test_attack_success_of_a_constant_answer_is_one_and_of_the_truth_zero(fed, monkeypatch):
    labels = fed.data.test.labels
    others = labels[labels != 3]
    monkeypatch.setattr(fu.Federation, "logits", lambda self, weights, split: torch.nn.functional.one_hot(torch.full((len(split),), 3), 10))
    assert backdoor.attack_success(fed, None, 3) == 1
    monkeypatch.setattr(fu.Federation, "logits", lambda self, weights, split: torch.nn.functional.one_hot(split.labels, 10))
    assert backdoor.attack_success(fed, None, 3) == 0 and len(others) > 0


def test_a_backdoor_is_learned(digits, tmp_path):
    clients = fu.partition.iid(digits.train.labels, 3)
    poisoned = backdoor.poison(digits, clients.indices[0], target=0)
    local = fu.LocalTraining(epochs=2, batch=32)
    runs = [fu.Federation(data, clients, "cnn", local, store=tmp_path).train(5) for data in (digits, poisoned)]
    clean, bad = (backdoor.attack_success(run.federation, run.weights, 0) for run in runs)
    assert clean < 0.2 < 0.5 < bad


# ---- looking inside


def test_a_probe_finds_a_class_that_the_head_no_longer_answers(judged):
    original = judged[0]
    fed = original.federation
    weights = original.weights.clone()
    fed.layout.views(weights)[fed.layout.names[-1]][3] = -1e3
    of_class = fed.data.test.take((fed.data.test.labels == 3).nonzero()[:, 0])
    assert fed.evaluate(weights, of_class)[0] == 0
    assert linear_probe(fed, weights, fed.data.train, fed.data.test, 3) > 0.7


@pytest.mark.parametrize("model", ["cnn", "mlp", "cnn-groupnorm"])
def test_alignment_undoes_a_permutation_and_never_changes_the_function(digits, model):
    fed = fu.Federation(digits, fu.partition.iid(digits.train.labels, 2), model, store=None)
    weights = fed.initial_weights(0)
    module = build(model, digits.shape, 10, 0)
    names = [name for name, shape in zip(fed.layout.names, fed.layout.shapes) if len(shape) == 2][-2:]
    views = fed.layout.views(permuted := weights.clone())
    order = torch.randperm(views[names[0]].shape[0], generator=torch.Generator().manual_seed(0))
    for name in (names[0], names[0].replace("weight", "bias")):
        views[name].copy_(views[name][order])
    views[names[1]].copy_(views[names[1]][:, order])
    test = digits.test
    assert torch.allclose(fed.logits(permuted, test), fed.logits(weights, test), atol=1e-4) and not torch.equal(permuted, weights)
    assert torch.equal(aligned(fed, permuted, weights), weights)
    other = fed.initial_weights(1)
    moved = aligned(fed, other, weights)
    assert torch.allclose(fed.logits(moved, test), fed.logits(other, test), atol=1e-3)
    assert l2(moved, weights) < l2(other, weights) and module is not None
    with pytest.raises(fu.FucoreError, match="without additions"):
        aligned(dataclasses.replace(fed, model="resnet32"), weights, weights)


def test_the_plane_goes_through_its_models(judged):
    original, retrained, _ = judged
    fed = original.federation
    models = [original.weights, retrained[0].weights, retrained[1].weights]
    for turn in range(3):
        corners = models[turn:] + models[:turn]
        table, places = loss_plane(fed, corners, fed.data.test, points=3, margin=0.0)
        assert places[0] == pytest.approx([0, 0]) and places[1] == pytest.approx([l2(*corners[:2]), 0], rel=1e-5, abs=1e-5)
        assert np.linalg.norm(places[2]) == pytest.approx(l2(corners[0], corners[2]), rel=1e-5)
        on_the_line = table[np.isclose(table.y, 0, atol=1e-6)].set_index("x").loss
        for corner, end in zip(corners, (on_the_line.iloc[0], on_the_line.iloc[-1])):
            assert end == pytest.approx(fed.evaluate(corner)[1], rel=1e-3)
    with pytest.raises(fu.FucoreError, match="on one line"):
        loss_plane(fed, [original.weights, 2 * original.weights, 3 * original.weights], fed.data.test)


def test_metrics_are_calibrated_by_retrained_models(judged):
    """The original is told apart by some metrics; one more retrained model by next to none."""
    from fucore.evaluation.power import metric_power

    original, retrained, request = judged
    more = original.federation.without(request).train(6, seed=77)
    values, away = metric_power({"nothing": original, "retrained too": more}, original, retrained, request)
    assert list(values.index) == [name for name in fu.METRICS if name != "local fairness"] and list(away.columns) == [
        "nothing",
        "retrained too",
    ]
    forgotten = original.federation.data.train.take(original.federation.forgotten(request))
    accuracy = [original.federation.evaluate(run.weights, forgotten)[0] for run in retrained]
    assert values.loc["accuracy on the forgotten", "Retrained"] == pytest.approx(np.mean(accuracy))
    assert values.loc["accuracy on the forgotten", "nothing"] == pytest.approx(original.federation.evaluate(original.weights, forgotten)[0])
    assert (away["retrained too"] > 1).sum() <= 2 and (away["nothing"] > 1).sum() >= 2
    with pytest.raises(fu.FucoreError, match="at least 4 retrained"):
        metric_power({}, original, retrained[:3], request)


def test_prediction_intervals_hold_what_they_promise():
    """Synthetic metrics of each kind, of models that are all alike: one in twenty is accused."""
    from fucore.evaluation import power

    rng, runs, count = np.random.default_rng(0), 3000, 5
    names = ("test accuracy", "L2 to retrained weights", "GME, top group", "GME, mean gap")

    def measured(model, others):
        """Of a point in five dimensions: itself, its mean distance to the others, its difference from their mean, that over groups."""
        difference = model - others.mean(axis=0)
        return [model[0], np.linalg.norm(model - others, axis=1).mean(), difference[0], np.abs(difference).mean()]

    kinds, alarms = [fu.METRICS[name] for name in names], np.zeros(len(names))
    for _ in range(runs):
        points = rng.normal(size=(count + 1, 5))
        own = np.array([measured(points[k], np.delete(points[:count], k, axis=0)) for k in range(count)])
        values = np.mean([measured(points[-1], np.delete(points[:count], k, axis=0)) for k in range(count)], axis=0)
        alarms += power.away(values - own.mean(axis=0), kinds) > power.half_widths(own, kinds)
    assert np.all((alarms / runs > 0.02) & (alarms / runs < 0.085)), dict(zip(names, alarms / runs))
