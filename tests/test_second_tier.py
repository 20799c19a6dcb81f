"""Exact properties of the second tier of unlearning methods (the numbers name the specification's tests)."""

import dataclasses
import math
import types

import numpy as np
import pytest
import torch
from test_methods import CLIENT, generator, task_of

import fucore as fu
from fucore.federation.weights import Layout
from fucore.unlearning import METHODS, Task, class_pruning, conda, federaser, fedquit, knot, scrub, sifu, ssd
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


# ---- central unlearning's standards, run federated


@pytest.fixture(scope="module")
def few(digits):
    """Three clients with forty examples each, of whom the first leaves; an original that knows them a little."""
    clients = fu.Partition(tuple(np.arange(40 * client, 40 * client + 40) for client in range(3)))
    return fu.Federation(digits, clients, "cnn", fu.LocalTraining(epochs=1, batch=20), store=None, workers=1).train(3)


def mean_square(federation, weights, indices):
    """Mean over examples of their squared gradient, one example at a time."""
    total = torch.zeros_like(weights)
    for index in indices:
        total += dataclasses.replace(federation, clients=fu.Partition((np.array([index]),))).mean_gradient(weights).square()
    return total / len(indices)


@pytest.mark.parametrize("compared_with", ["remaining", "everyone"])
def test_ssd_is_its_equations(few, compared_with):
    """Importances are means over examples; what is alpha times as important for the forgotten is scaled by lambda I_D / I_f, and nothing else."""
    fed, theta = few.federation, few.weights
    leaving = mean_square(fed, theta, range(40))
    reference = mean_square(fed, theta, range(40, 120) if compared_with == "remaining" else range(120))
    for alpha, dampening in ((1.5, 1.0), (2.5, 0.5)):
        run = fu.unlearn("ssd", few, CLIENT, alpha=alpha, dampening=dampening, compared_with=compared_with)
        selected = leaving > alpha * reference
        away = (leaving / (alpha * reference) - 1).abs() > 1e-3  # at the edge round-off decides
        expected = torch.where(selected, (dampening * reference / leaving).clamp(max=1) * theta, theta)
        assert selected.any() and torch.allclose(run.weights[away], expected[away], rtol=1e-3, atol=1e-7)
        assert run.log["share dampened"] == pytest.approx(float(selected.float().mean()), abs=1e-3)
        assert run.cost.examples == 2 * 120 and run.rounds == 0


def test_ssd_never_enlarges_and_leaves_alone_what_matters_alike():
    theta, importance = torch.randn(50, generator=generator()), torch.rand(50, generator=generator(1)) + 0.1
    assert torch.equal(ssd.dampened(theta, importance, importance, 1.0, 1.0), theta)
    assert torch.equal(ssd.dampened(theta, importance, importance, 0.5, 1e9), theta), "beta is at most 1"
    assert torch.equal(ssd.dampened(theta, 0 * importance, 0 * importance, 0.0, 1.0), theta), "0 / 0 is no reason to act"
    assert torch.allclose(ssd.dampened(theta, 4 * importance, importance, 3.0, 1.0), theta / 4)
    assert not ssd.dampened(theta, importance, 0 * importance, 3.0, 1.0).any()


def test_ssd_says_when_it_can_select_nothing(few):
    with pytest.raises(fu.FucoreError, match="33% of all.*take alpha below 3"):
        fu.unlearn("ssd", few, CLIENT, alpha=3.0, compared_with="everyone")
    alike = dataclasses.replace(few.federation, clients=fu.Partition((np.arange(40), np.arange(40)))).train(2)
    with pytest.warns(UserWarning, match="nothing was dampened"):
        assert torch.equal(fu.unlearn("ssd", alike, CLIENT, alpha=1.5).weights, alike.weights)


def test_scrub_losses_are_their_equations():
    teacher, student = torch.randn(2, 8, 5, generator=generator())
    labels = torch.arange(8) % 5
    step = types.SimpleNamespace(indices=torch.arange(8), logits=student.requires_grad_(), labels=labels)
    p, q = teacher.softmax(dim=1), student.softmax(dim=1)
    kl = (p * (p / q).log()).sum(dim=1).mean()
    assert torch.allclose(scrub.away_from(teacher, 1.0)(step), -kl, atol=1e-6)
    own = -q[torch.arange(8), labels].log().mean()
    assert torch.allclose(scrub.obeying(teacher, 0.3, 0.7, 1.0)(step), 0.3 * kl + 0.7 * own, atol=1e-6)
    (slope,) = torch.autograd.grad(scrub.away_from(student.detach(), 1.0)(step), student)
    assert slope.abs().max() < 1e-6, "the teacher itself is where the climb has no slope"


def test_scrub_alternates_and_without_a_teacher_it_is_fine_tuning(few):
    stages = [row.get("stage") for row in fu.unlearn("scrub", few, CLIENT, rounds=4, max_rounds=2).history]
    assert stages == ["climbed", None, "climbed", None, None, None]
    cosine = dataclasses.replace(few.federation, local=fu.LocalTraining(epochs=1, batch=20, schedule="cosine")).train(3)
    for original in (few, cosine):
        plain = fu.unlearn("fine-tune", original, CLIENT, rounds=3).weights
        assert torch.equal(fu.unlearn("scrub", original, CLIENT, rounds=3, max_rounds=0, alpha=0.0, gamma=1.0).weights, plain)
    still = fu.unlearn("scrub", few, CLIENT, rounds=2, max_rounds=0, alpha=0.0, gamma=0.0)
    assert torch.equal(still.weights, few.weights)


def test_scrub_climbs_on_the_forgotten_and_obeys_on_the_rest(few):
    """A max-epoch takes the student away from the teacher on the forgotten examples; a strong min-epoch brings it back on the others."""
    task = task_of("scrub", few)
    apart = lambda theta, on: float(divergence(scrub.teacher(task, on)[on.clients.examples], on.logits(theta, on.held)))
    assert apart(few.weights, task.departed) < 1e-6 and not scrub.teacher(task, task.departed)[40:].any()
    seen = []
    task.train = lambda theta, *rounds, **options: seen.append(theta) or Task.train(task, theta, *rounds, **options)
    end = METHODS["scrub"].function(task, rounds=1, max_rounds=1, lr=5e-3, alpha=50.0, gamma=0.0)
    (climbed,) = seen
    assert apart(climbed, task.departed) > 0.01 and apart(end, task.remaining) < apart(climbed, task.remaining)


def test_scrub_rewinds_to_the_round_with_the_error_that_is_due(few, monkeypatch):
    task, rounds = task_of("scrub", few), [few.weights + place for place in range(4)]
    errors = dict(zip(range(4), (0.1, 0.3, 0.6, 0.9)))
    monkeypatch.setattr(
        fu.Federation, "evaluate", lambda self, theta, split=None: (1 - errors[round(float((theta - few.weights).mean()))], 0.0)
    )
    for due, round_number in ((0.35, 2), (0.0, 1), (0.55, 3), (0.95, 4)):
        monkeypatch.setattr(scrub, "expected_error", lambda *arguments: due)
        assert torch.equal(scrub.rewound(task, rounds), rounds[round_number - 1]) and task.log["rewound to round"] == round_number


def test_the_error_that_is_due_has_the_classes_of_the_forgotten(few):
    task = task_of("scrub", few)
    test, answers = task.remaining.data.test, task.remaining.logits(few.weights, task.remaining.data.test).argmax(1)
    of_class = [float((answers != test.labels)[test.labels == label].double().mean()) for label in range(10)]
    assert scrub.expected_error(task, few.weights, torch.tensor([3, 3, 8])) == pytest.approx((2 * of_class[3] + of_class[8]) / 3)
