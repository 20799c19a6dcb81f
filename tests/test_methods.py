"""Exact properties of every unlearning method (the numbers name the specification's tests)."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import fucore as fu
from fucore.federation.training import Step
from fucore.federation.weights import Layout
from fucore.unlearning import (  # fmt: skip
    METHODS,
    Task,
    fedosd,
    fedrecovery,
    pga,
    rapid_retraining,
)
from fucore.unlearning import selected_reset as selection
from fucore.unlearning._curvature import empirical_fisher, hutchinson, squared_gradients
from fucore.unlearning._heads import head
from fucore.unlearning._losses import wrong_labels
from fucore.unlearning.driver import check_needs
from fucore.unlearning.not_ import negated

CLIENT = fu.forget.client(0)


def task_of(name, original, request=CLIENT, seed=0):
    return Task(original, request, METHODS[name], seed)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def a_step(module, inputs, labels):
    """A step as local training would hand it to a hook, for a module with its own parameters."""
    weights = torch.cat([parameter.detach().flatten() for parameter in module.parameters()])
    loss = F.cross_entropy(module(inputs), labels)
    gradient = torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(module.parameters()))])
    return Step(0, 0, 0, torch.arange(len(labels)), inputs, labels, weights, gradient, module, {}, module(inputs))


def linear(features=6, classes=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(features, classes))


# ---- what methods may have


def test_methods_are_refused_what_they_lack(trained, digits):
    plain = trained.federation.train(3, seed=0)
    for name, chosen in METHODS.items():
        if "history" in chosen.needs:
            with pytest.raises(fu.FucoreError, match="record_updates=True"):
                fu.unlearn(name, plain, CLIENT)
        if "whole clients" in chosen.needs:
            with pytest.raises(fu.FucoreError, match="all examples of some clients"):
                fu.unlearn(name, trained, fu.forget.classes(3))
    with pytest.raises(fu.FucoreError, match="all examples of some classes"):
        fu.unlearn("class-pruning", trained, CLIENT)
    check_needs(METHODS["class-pruning"], trained, fu.forget.classes(3))


@pytest.mark.parametrize("name", sorted(METHODS))
def test_only_declared_data_can_be_reached(trained, name):
    """A method that must not read the forgotten data cannot: asking raises, and what it trains on is blank."""
    task = task_of(name, trained)
    for need, ask in {
        "forgotten data": lambda: task.departed,
        "preparation": lambda: task.everyone,
        "history": lambda: next(task.past()),
    }.items():
        if need not in METHODS[name].needs:
            with pytest.raises(fu.FucoreError, match="does not declare"):
                ask()
    gone = trained.federation.forgotten(CLIENT)
    assert not task.remaining.data.train.images[gone].any()
    if not {"forgotten data", "preparation"} & set(METHODS[name].needs):
        with pytest.raises(fu.FucoreError, match="may train on task.remaining"):
            task.train(trained.weights, 1, on=trained.federation)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_gives_the_same_bits_again_and_an_account(trained, name):
    request = METHODS[name].example_request(client=0, label=3)
    before = trained.weights.clone()
    run = fu.unlearn(name, trained, request, seed=3)
    assert torch.equal(trained.weights, before)
    fresh = dataclasses.replace(trained, federation=dataclasses.replace(trained.federation, workers=1))
    task = task_of(name, fresh, request, seed=3)
    with torch.random.fork_rng(devices=[]):
        again = METHODS[name].function(task, **METHODS[name].defaults)
    assert torch.equal(run.weights, again) and not torch.equal(run.weights, trained.weights)
    assert run.history and 0 < run.history[-1]["test_accuracy"] < 1
    assert run.rounds == task.round and run.cost.examples == task.cost.examples


def test_the_history_replays_the_training(trained):
    task = task_of("federaser", trained)
    rounds = list(task.past())
    assert all(participants.tolist() == [0, 1, 2, 3, 4] for _, participants, _ in rounds)
    theta, _, updates = rounds[-1]
    assert torch.allclose(theta + updates.mean(dim=0), trained.weights, atol=1e-5)


# ---- projected gradient ascent


def test_pga_reference_is_the_mean_of_the_others(trained):
    """4.8 (i)."""
    locals_ = torch.randn(5, 40, generator=generator())
    reference = pga.without_share(locals_.mean(dim=0), locals_[2], 1 / 5)
    assert torch.allclose(reference, locals_[[0, 1, 3, 4]].mean(dim=0), atol=1e-6)
    assert task_of("pga", trained).share_leaving == pytest.approx(1 / 5)


def test_pga_stays_in_the_ball(trained):
    """4.8 (ii) and (iii)."""
    task = task_of("pga", trained)
    last = trained.weights + task.updates(trained.weights, on=task.departed).mean(dim=0)
    reference = pga.without_share(trained.weights, last, 1 / 5)
    still = fu.unlearn("pga", trained, CLIENT, scale=0.0, rounds=0)
    assert torch.allclose(still.weights, reference, atol=1e-6)
    small = fu.unlearn("pga", trained, CLIENT, scale=0.01, rounds=0, lr=0.1)
    assert 0 < (small.weights - reference).norm() <= small.log["radius"] * (1 + 1e-6)
    seen = []
    centre = torch.zeros(10)
    project = pga.projected(centre, 2.0)
    for size in (1.0, 3.0, 30.0):
        step = dataclasses.replace(a_step(linear(), torch.randn(4, 1, 2, 3), torch.tensor([0, 1, 2, 0])), weights=torch.full((10,), size))
        project(step)
        seen.append(float(step.weights.norm()))
    assert seen[0] <= 2 * (1 + 1e-6) and seen[1:] == pytest.approx([2.0, 2.0])


def test_pga_climbs_and_clips(trained):
    """4.8 (iv)."""
    forgotten = trained.federation.data.train.take(trained.federation.forgotten(CLIENT))
    climbed = fu.unlearn("pga", trained, CLIENT, rounds=0, epochs=1, lr=1e-3)
    still = fu.unlearn("pga", trained, CLIENT, rounds=0, epochs=0)
    assert trained.federation.evaluate(climbed.weights, forgotten)[1] > trained.federation.evaluate(still.weights, forgotten)[1]
    step = a_step(linear(), torch.randn(4, 1, 2, 3) * 100, torch.tensor([0, 1, 2, 0]))
    pga.clipped(0.5)(step)
    assert step.gradient.norm() == pytest.approx(0.5)


def test_pga_needs_somebody_who_stays(digits, tmp_path):
    fed = fu.Federation(digits, fu.partition.iid(digits.train.labels, 2), store=tmp_path)
    with pytest.raises(fu.FucoreError):
        fu.unlearn("pga", fed.train(1), fu.forget.clients(0, 1))


# ---- rapid retraining


class Bowl(nn.Module):
    """Loss 1/2 sum a (theta - b)^2, whatever the input."""

    def __init__(self):
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([3.0, -1.0, 0.5, 2.0]))

    b = torch.tensor([1.0, 1.0, -2.0, 0.0])

    def loss(self):
        return 0.5 * (torch.tensor([0.5, 2.0, 10.0, 1.0]) * (self.theta - self.b).square()).sum()


def test_hutchinson_is_exact_on_a_diagonal_hessian_and_one_step_reaches_the_minimum():
    """5.8 (i)."""
    bowl, curvatures = Bowl(), torch.tensor([0.5, 2.0, 10.0, 1.0])
    (gradient,) = torch.autograd.grad(bowl.loss(), [bowl.theta])
    step = Step(0, 0, 0, torch.arange(1), torch.zeros(1), torch.zeros(1), bowl.theta.detach().clone(), gradient.clone(), bowl, {})
    assert torch.allclose(hutchinson(step, bowl.loss()), curvatures)
    rule = rapid_retraining.preconditioned(lambda step: hutchinson(step, bowl.loss()), 1.0, 0.0, 0.0, 0.0)
    rule(step)
    assert torch.allclose(step.weights - step.gradient, Bowl.b, atol=1e-6)


def test_power_zero_is_momentum_and_identical_examples_give_squared_gradients():
    """5.8 (ii) and (iii)."""
    step = a_step(linear(), torch.randn(1, 1, 2, 3, generator=generator()).repeat(5, 1, 1, 1), torch.tensor([1] * 5))
    assert torch.allclose(empirical_fisher(step), step.gradient.square(), atol=1e-7)
    before = step.gradient.clone()
    rapid_retraining.preconditioned(empirical_fisher, 0.0, 0.0, 0.9, 0.999)(step)
    assert torch.allclose(step.gradient, before, atol=1e-6)


class UsedTwice(nn.Sequential):
    """A layer that is used twice: its gradient is a sum of two products."""

    def forward(self, inputs):
        return self[2](self[1](self[1](self[0](inputs)).relu()))


def shared_weights():
    first, second = nn.Linear(64, 64), nn.Linear(64, 64)
    second.weight = first.weight
    return nn.Sequential(nn.Flatten(), first, nn.ReLU(), second, nn.Linear(64, 3))


UNUSUAL = {
    "used twice": lambda: UsedTwice(nn.Flatten(), nn.Linear(64, 64), nn.Linear(64, 3)),
    "shared weights": shared_weights,
    "in place": lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(144, 3)),
}


@pytest.mark.parametrize("network", ["cnn", "cnn-groupnorm", "mlp", "vgg9", *UNUSUAL])
def test_squared_gradients_are_those_of_the_examples_one_by_one(network):
    module = UNUSUAL[network]() if network in UNUSUAL else fu.models.build(network, (1, 8, 8), 3, seed=0)
    inputs, labels = torch.randn(7, 1, 8, 8, generator=generator()), torch.arange(7) % 3
    expected = sum(a_step(module, inputs[k : k + 1], labels[k : k + 1]).gradient.square() for k in range(7))
    found = squared_gradients(a_step(module, inputs, labels))
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-6 * float(expected.max()))


@pytest.mark.parametrize("curvature", ["fim", "hutchinson"])
@pytest.mark.long
def test_second_order_steps_stay_finite_from_a_zero_gradient(trained, curvature):
    """5.8 (iv): all weights zero give zero gradients but in the last bias."""
    task = task_of("rapid-retraining", trained)
    rule = rapid_retraining.preconditioned(rapid_retraining.CURVATURES[curvature], 1.0, 1e-3, 0.9, 0.999, 100.0)
    local = fu.LocalTraining(epochs=25, batch=64, optimizer="sgd", lr=0.01)
    on = dataclasses.replace(task.remaining, local=local)
    assert torch.isfinite(task.train(torch.zeros_like(trained.weights), 1, on=on, hooks=fu.Hooks(gradient=rule))).all()


# ---- FedRecovery


def test_fedrecovery_residuals():
    """6.8 (i) and (iv): nothing to take out where u agrees; one round with weight one gives the others' mean."""
    updates = torch.randn(4, 30, generator=generator())
    agreeing = updates.clone()
    agreeing[1] = agreeing[[0, 2, 3]].mean(dim=0)
    assert torch.allclose(fedrecovery.residual(agreeing, range(4), [1]), torch.zeros(30), atol=1e-6)
    start = torch.randn(30, generator=generator(1))
    theta = start + updates.mean(dim=0)
    assert torch.allclose(theta - fedrecovery.residual(updates, range(4), [1]), start + updates[[0, 2, 3]].mean(dim=0), atol=1e-6)
    assert not fedrecovery.residual(updates, range(4), []).any() and not fedrecovery.residual(updates, range(4), range(4)).any()


def test_fedrecovery_moves_no_further_than_the_largest_residual(trained):
    """6.8 (ii) and (iii), since the weights sum to one; the variant "sum" moves by all of them."""
    task = task_of("fedrecovery", trained)
    residuals = [fedrecovery.residual(updates, participants, task.leaving) for _, participants, updates in task.past()]
    averaged, summed = (fu.unlearn("fedrecovery", trained, CLIENT, sigma=0.0, weights=kind).weights for kind in ("paper", "sum"))
    assert 0 < (averaged - trained.weights).norm() <= max(each.norm() for each in residuals) * (1 + 1e-6)
    assert torch.allclose(trained.weights - summed, torch.stack(residuals).sum(dim=0), atol=1e-6)


# ---- FedAU


@pytest.mark.parametrize("mode", ["posthoc", "during"])
def test_fedau_mixes_heads_linearly_and_touches_nothing_else(trained, mode):
    """7.8 (i) to (iii)."""
    none, half, all_ = (fu.unlearn("fedau", trained, CLIENT, mode=mode, alpha=alpha).weights for alpha in (0.0, 0.5, 1.0))
    where = head(trained.federation.layout)
    if mode == "posthoc":
        assert torch.equal(none, trained.weights)
    assert torch.equal(none[: where.start], half[: where.start]) and torch.equal(none[: where.start], all_[: where.start])
    assert torch.allclose(half, (none + all_) / 2, atol=1e-6) and not torch.equal(none[where], all_[where])


def test_wrong_labels_are_wrong_and_fixed():
    """7.8 (iv)."""
    labels = np.arange(1000) % 10
    wrong = wrong_labels(labels, 10, 3)
    assert (wrong != labels).all() and (wrong == wrong_labels(labels, 10, 3)).all()
    assert set(wrong) == set(range(10))


# ---- FedOSD


def test_fedosd_direction_hurts_nobody_and_keeps_its_length():
    """8.8 (i) and (ii), also when gradients overlap strongly."""
    for overlap in (0.0, 0.99):
        base = torch.randn(1, 200, generator=generator())
        others = overlap * base + (1 - overlap) * torch.randn(4, 200, generator=generator(1))
        wanted = overlap * base[0] + (1 - overlap) * torch.randn(200, generator=generator(2))
        direction = fedosd.conflict_free(wanted, others)
        assert ((others @ direction).abs() <= 1e-5 * direction.norm() * others.norm(dim=1)).all()
        assert direction.norm() == pytest.approx(float(wanted.norm()), rel=1e-5)
    assert fedosd.conflict_free(others[0] + others[1], others) is None


def test_fedosd_loss_and_recovery():
    """8.8 (iii) and (iv)."""
    logits = torch.tensor([[-50.0, 50.0], [0.0, 0.0], [3.0, 0.0], [500.0, -500.0]])
    step = a_step(linear(), torch.randn(1, 1, 2, 3), torch.tensor([0]))
    losses = [float(fedosd.unlearning_loss(dataclasses.replace(step, logits=row[None]))) for row in logits]
    assert losses == sorted(losses) and losses[0] == pytest.approx(0, abs=1e-6) and losses[-1] == pytest.approx(math.log(2))
    gradients, away = torch.randn(3, 100, generator=generator()), torch.randn(100, generator=generator(1))
    for kind in ("code", "conditional"):
        turned = fedosd.aside(gradients, away, kind)
        assert torch.allclose(turned.norm(dim=1), gradients.norm(dim=1), rtol=1e-5)
        kept = (turned @ away).abs() <= 1e-5 * turned.norm(dim=1) * away.norm()
        assert kept.all() if kind == "code" else (kept == (gradients @ away > 0)).all()
    assert torch.equal(fedosd.aside(gradients, torch.zeros(100), "code"), gradients)


# ---- NoT


def test_negation(trained):
    """9.8 (i) to (iii)."""
    layout, theta = trained.federation.layout, trained.weights
    assert torch.equal(negated(theta, layout, ()), theta)
    once = negated(theta, layout)
    assert torch.equal(negated(once, layout), theta) and torch.equal(once.norm(), theta.norm())
    changed = {name for name, part in layout.slices.items() if not torch.equal(once[part], theta[part])}
    assert changed == {layout.names[0]}
    both = negated(theta, layout, include_bias=True)
    assert {name for name, part in layout.slices.items() if not torch.equal(both[part], theta[part])} == set(layout.names[:2])
    with pytest.raises(fu.FucoreError, match="no tensor 'nothing'"):
        negated(theta, layout, ("nothing",))


def test_negation_flips_the_normalised_activation():
    """9.8 (iv)."""
    block, images = nn.Sequential(nn.Conv2d(1, 16, 3, bias=False), nn.GroupNorm(2, 16, affine=False)), torch.randn(3, 1, 8, 8)
    before = block(images)
    block[0].weight.data *= -1
    assert torch.allclose(block(images), -before, atol=1e-5)


# ---- which parameters to reset


def test_selections_are_disjoint_and_partition_the_tensors():
    """10.8 (i) and (ii)."""
    score = torch.randn(1000, generator=generator()).abs()
    assert not set(selection.top(score, 500).tolist()) & set(selection.least_important(score, 0.5).tolist())
    layout = Layout(("a", "b", "c"), (torch.Size([4, 3]), torch.Size([4]), torch.Size([2, 4])))
    deep, shallow = (selection.eligible(layout, side, 1) for side in ("deep", "shallow"))
    assert (deep ^ shallow).all() and shallow[:12].all() and deep[12:].all()


def test_localized_masks_take_whole_channels():
    """10.8 (iii)."""
    layout = Layout(("a", "b", "c"), (torch.Size([10, 3, 2, 2]), torch.Size([10]), torch.Size([4, 10])))
    score = torch.randn(layout.size, generator=generator())
    mask = torch.zeros(layout.size, dtype=torch.bool)
    mask[selection.best_channels(score, layout, 0.5)] = True
    views = layout.views(mask)
    assert views["a"].flatten(1).all(1).sum() == 5 and views["a"].flatten(1).any(1).sum() == 5
    assert views["c"].all(1).sum() == 2 and views["c"].any(1).sum() == 2 and not views["b"].any()
    constant = layout.views(selection.channel_scores(score, layout))
    assert (constant["a"].flatten(1).std(dim=1) == 0).all() and torch.equal(constant["b"], score[120:130].abs())


def test_selection_never_takes_an_ineligible_tensor(trained):
    """10.8 (iv): shallow tensors are few, so less than the asked share is reset, and the log says so."""
    score, allowed = torch.rand(100, generator=generator()), torch.arange(100) < 20
    assert sorted(selection.top(score, 50, allowed).tolist()) == list(range(20))
    run = fu.unlearn("selected-reset", trained, CLIENT, strategy="shallow", ratio=0.9, rounds=1, split=2)
    shallow = trained.federation.layout.slices[trained.federation.layout.names[1]].stop
    assert run.log["share reset"] == pytest.approx(shallow / trained.federation.layout.size)


def test_redundant_selection_is_fedmemprune(trained):
    ours = fu.unlearn("fedmemprune", trained, CLIENT, ratio=0.3, rounds=2)
    assert torch.equal(fu.unlearn("selected-reset", trained, CLIENT, strategy="redundant", ratio=0.3, rounds=2).weights, ours.weights)


def test_strategies_choose_differently(trained):
    chosen = {}
    for strategy in selection.STRATEGIES:
        task = task_of("selected-reset", trained)
        others = task.train(trained.weights, 1) - trained.weights
        chosen[strategy] = frozenset(selection.choose(task, strategy, 0.2, 4, trained.weights, others).tolist())
    assert len(set(chosen.values())) == len(chosen)


def test_resetting_alone_changes_the_chosen_entries_and_nothing_else(trained):
    for strategy in ("salun", "redundant"):
        moved = (selection.reset_only(trained, CLIENT, strategy, 0.05) != trained.weights).nonzero().flatten().tolist()
        assert set(moved) <= selection.mask_of(trained, CLIENT, strategy, 0.05) and len(moved) > 0.04 * len(trained.weights)
