"""Exact properties of the second tier of unlearning methods (the numbers name the specification's tests)."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from test_methods import CLIENT, generator, task_of

import fucore as fu
from fucore.federation.weights import Layout
from fucore.unlearning import METHODS, Task, class_pruning, conda, federaser, fedquit, knot, sifu
from fucore.unlearning._losses import divergence


def test_federaser_lengths_directions_and_blindness(trained, monkeypatch):
    """12.1: calibrated lengths are the old ones, an old direction is replayed exactly, u's updates have no influence."""
    layout = Layout(("a", "b"), (torch.Size([3, 4]), torch.Size([5])))
    old, new = torch.randn(2, 17, generator=generator()), torch.randn(2, 17, generator=generator(1))
    result = federaser.calibrated(old, new, layout)
    for part in layout.slices.values():
        assert torch.allclose(result[:, part].norm(dim=1), old[:, part].norm(dim=1))
    assert torch.allclose(federaser.calibrated(old, 0.3 * old, layout), old, atol=1e-6)
    assert not federaser.calibrated(old, torch.zeros_like(old), layout).any()
    clean = METHODS["federaser"].function(task_of("federaser", trained))
    past = Task.past

    def poisoned(self):
        for theta, participants, updates in past(self):
            yield theta, participants, torch.where(torch.tensor(participants == 0)[:, None], torch.nan, updates)

    monkeypatch.setattr(Task, "past", poisoned)
    assert torch.equal(METHODS["federaser"].function(task_of("federaser", trained)), clean)


def test_distillation(trained):
    """12.2: nothing is subtracted for a client without updates, and a student that is the teacher has no loss."""
    logits = torch.randn(6, 10, generator=generator())
    assert divergence(logits, logits, 3.0).abs() < 1e-6 < divergence(logits, logits.flip(0), 3.0)
    task = task_of("knowledge-distillation", trained)
    expected = trained.weights - sum(updates[0] / 5 for _, _, updates in task.past())
    assert torch.allclose(fu.unlearn("knowledge-distillation", trained, CLIENT, rounds=0).weights, expected, atol=1e-6)


def test_class_pruning_ranks_the_exclusive_channel_first(trained):
    """12.3."""
    activity = torch.full((4, 6), 0.2)
    activity[2, 5] = 3.0
    activity[[0, 1, 3], 5] = 0.0
    assert class_pruning.discrimination(activity)[2].argmax() == 5
    run = fu.unlearn("class-pruning", trained, fu.forget.classes(3), rounds=0, ratio=0.25)
    views = trained.federation.layout.views(run.weights)
    convolution = [name for name, shape in zip(trained.federation.layout.names, trained.federation.layout.shapes) if len(shape) == 4][-1]
    assert (views[convolution].flatten(1) == 0).all(1).nonzero().flatten().tolist() == sorted(run.log["channels"]) and len(
        run.log["channels"]
    ) == 8


def test_class_pruning_refuses_a_normalisation_that_would_undo_it(trained):
    normed = dataclasses.replace(trained.federation, model="cnn-groupnorm").train(1)
    with pytest.raises(fu.FucoreError, match="normalisation after the convolution"):
        fu.unlearn("class-pruning", normed, fu.forget.classes(3))


def test_a_client_that_keeps_some_of_its_data_cannot_be_taken_out_of_the_history(digits, tmp_path):
    labels = digits.train.labels.numpy()
    clients = fu.Partition((np.flatnonzero(labels == 0)[:50], np.flatnonzero(labels != 1)[200:300], np.flatnonzero(labels == 0)[50:]))
    original = fu.Federation(digits, clients, store=tmp_path).train(1, record_updates=True)
    with pytest.raises(fu.FucoreError, match="all examples of some clients"):
        fu.unlearn("federaser", original, fu.forget.classes(0))


def test_mode_without_degrading_weight_stays(trained):
    """12.4: keep = 1 skips the degradation, and without guidance the model stays between the two."""
    assert torch.equal(fu.unlearn("mode", trained, CLIENT, keep=1.0, rounds=2, degrading=2).weights, trained.weights)
    other = fu.unlearn("mode", trained, CLIENT, keep=0.0, rounds=1, degrading=1).weights
    between = fu.unlearn("mode", trained, CLIENT, keep=0.25, rounds=1, degrading=1).weights
    assert torch.allclose(between, 0.25 * trained.weights + 0.75 * other, atol=1e-6)


def test_sifu_influence(trained):
    """12.5: the increment is what the round moves when the client is taken out, influence never falls, and rollback follows it."""
    updates, shares = torch.randn(4, 30, generator=generator()), [0.1, 0.2, 0.3, 0.4]
    without = (torch.tensor(shares[1:]) / 0.9) @ updates[1:]
    assert sifu.increments(updates, shares, [True, False, False, False]) == pytest.approx(
        float((torch.tensor(shares) @ updates - without).norm()), rel=1e-5
    )
    two = (torch.tensor(shares) @ updates - (torch.tensor(shares[2:]) / 0.7) @ updates[2:]).norm()
    assert sifu.increments(updates, shares, [True, True, False, False]) >= two
    assert sifu.increments(updates, shares, [False] * 4) == 0 and sifu.increments(updates, shares, [True] * 4) == math.inf
    generous, strict = (fu.unlearn("sifu", trained, CLIENT, epsilon=epsilon, rounds=0, sigma=1e-9).log for epsilon in (1e12, 1e-6))
    assert generous["rounds kept"] == 3 and strict["rounds kept"] == 0 and generous["influence"] > 0


def test_knot_retrains_only_the_cluster_of_who_leaves(trained):
    """12.6: the other clusters' models are the same bits, whoever of another cluster leaves."""
    clusters = knot.drawn_clusters(5, 2, seed=0)
    assert sorted(np.concatenate(clusters)) == list(range(5))
    seen = {}
    for client in (0, 1, 2, 3, 4):
        task = task_of("knot", trained, fu.forget.client(client))
        start = task.everyone.initial_weights(0)
        for number, cluster in enumerate(clusters):
            if client not in cluster:
                seen.setdefault(number, []).append(task.prepare(start, 2, on=task.everyone.only(cluster)))
    assert all(torch.equal(models[0], other) for models in seen.values() for other in models)
    log = fu.unlearn("knot", trained, CLIENT, clusters=2).log["clusters"]
    assert [entry["trained again"] for entry in log] == [0 in cluster for cluster in clusters]


def test_fedquit_teacher():
    """12.7."""
    logits, labels = torch.randn(20, 10, generator=generator()), torch.arange(20) % 10
    teacher = fedquit.without_true_class(logits, labels)
    assert (teacher.gather(1, labels[:, None])[:, 0] == teacher.min(dim=1).values).all()
    others = ~torch.nn.functional.one_hot(labels, 10).bool()
    assert torch.equal(teacher[others], logits[others])


def test_conda_dampens_what_the_leaving_client_moved_most():
    """12.8."""
    theta, forget, rest = torch.ones(4), torch.tensor([0.0, 1.0, 1.0, 1.0]), torch.tensor([1.0, 0.1, 0.6, 0.4])
    result, share = conda.dampened(theta, forget, rest, cutoff=0.5, dampening=0.5, bound=0.1)
    assert torch.allclose(result, torch.tensor([1.0, 0.05, 1.0, 0.1])) and share == 0.5
