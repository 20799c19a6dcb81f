"""How local training is executed must not change what it gives."""

import dataclasses
import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import fucore as fu
from fucore.data.partition import Partition
from fucore.federation.engine import stack_size
from fucore.federation.models import pool_before_relu
from fucore.federation.worker import Worker
from fucore.machine import default_workers


def small_mlp(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[1] * shape[2], 32), nn.ReLU(), nn.Linear(32, classes))


def uneven(digits, clients=23):
    """Clients of 1 to some 150 examples."""
    sizes = np.random.default_rng(0).integers(1, 120, clients)
    cuts = np.cumsum(sizes)
    order = np.random.default_rng(1).permutation(len(digits.train))
    return Partition(tuple(np.sort(part) for part in np.split(order, cuts)[:-1] if len(part)))


@pytest.mark.parametrize("model", [small_mlp, "cnn", "cnn-groupnorm"])
@pytest.mark.parametrize(
    "local",
    [
        fu.LocalTraining(epochs=2, batch=32, lr=1e-3),
        fu.LocalTraining(epochs=2, batch=16, optimizer="sgd", lr=0.05, momentum=0.9, weight_decay=1e-3),
    ],
    ids=["adam", "sgd"],
)
def test_stacked_training_is_training_one_by_one(digits, model, local):
    """1e-5 relative after a round, for clients of very different sizes and incomplete batches."""
    clients = uneven(digits)
    fed = fu.Federation(digits, clients, model, local, store=None, workers=1)
    weights, keys = fed.initial_weights(0), [(0, 0, i) for i in range(len(clients.indices))]

    def both(worker):
        one_by_one = [worker.train(weights, indices, local, local.lr, key, fu.Hooks()) for indices, key in zip(clients.indices, keys)]
        return torch.stack(one_by_one), worker.train_together(weights, clients.indices, local, local.lr, keys)

    ((expected, stacked),) = fed.engine.each([both])
    assert (expected - weights).norm(dim=1).min() > 0
    assert ((stacked - expected).norm(dim=1) / expected.norm(dim=1)).max() < 1e-5


def test_stacks_are_used_and_bits_do_not_depend_on_workers(digits, monkeypatch):
    fed = fu.Federation(digits, fu.partition.iid(digits.train.labels, 40), small_mlp, store=None)
    calls = []
    original = Worker.train_together
    monkeypatch.setattr(Worker, "train_together", lambda self, w, c, *rest: calls.append(len(c)) or original(self, w, c, *rest))
    runs = [dataclasses.replace(fed, workers=workers).train(2, seed=3).weights for workers in (1, 2, 3)]
    assert all(torch.equal(runs[0], other) for other in runs[1:])
    assert calls == [10] * 24


def test_which_federations_are_stacked():
    assert stack_size(7_850, 1000) == 159 and stack_size(25_450, 100) == 25
    assert stack_size(7_850, 10) == stack_size(105_866, 1000) == stack_size(11_000_000, 100) == 1


class Undecided(nn.Module):
    """Looks at its weights before it decides what to do, which cannot be batched over clients."""

    def __init__(self, shape, classes):
        super().__init__()
        self.linear = nn.Linear(shape[1] * shape[2], classes)

    def forward(self, images):
        flat = images.flatten(1)
        return self.linear(flat if self.linear.bias.sum() > 0 else -flat)


def test_networks_that_cannot_be_stacked_and_hooks_are_trained_one_by_one(digits, monkeypatch):
    monkeypatch.setattr(Worker, "train_together", lambda *args: pytest.fail("stacked"))
    clients = fu.partition.iid(digits.train.labels, 24)
    fu.Federation(digits, clients, lambda shape, classes: Undecided(shape, classes), store=None).train(1)
    fed = fu.Federation(digits, clients, small_mlp, store=None)
    fed.train(1, hooks=fu.Hooks(loss=lambda step: F.cross_entropy(step.logits, step.labels)))
    dataclasses.replace(fed, preprocessing=fu.Preprocessing(augment=True)).train(1)
    with pytest.raises(pytest.fail.Exception, match="stacked"):
        fed.train(1)


def test_hooks_see_the_step(fed):
    seen = []

    def look(step):
        assert torch.equal(step.labels, fed.data.train.labels[step.indices]) and len(step.logits) == len(step.inputs) == len(step.labels)
        step.state["count"] = step.state.get("count", 0) + 1
        seen.append((step.client, step.round, step.state["count"]))

    start = fed.initial_weights(0)
    frozen = fed.train(1, start=start, first_round=3, hooks=fu.Hooks(gradient=look, after=lambda step: step.weights.copy_(start)))
    assert torch.equal(frozen.weights, start)
    steps = {client: -(-len(indices) // 64) for client, indices in enumerate(fed.clients.indices)}
    assert sorted(seen) == [(client, 3, count + 1) for client in steps for count in range(steps[client])]


def test_pooling_before_relu_is_the_same_function_with_the_same_gradient():
    def net():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3))

    plain, swapped, images = net(), pool_before_relu(net()), torch.randn(5, 1, 8, 8)
    assert [type(part) for part in swapped[:3]] == [nn.Conv2d, nn.MaxPool2d, nn.ReLU]
    assert torch.equal(plain(images), swapped(images))
    for module in (plain, swapped):
        F.cross_entropy(module(images), torch.tensor([0, 1, 2, 0, 1])).backward()
    assert all(torch.equal(p.grad, q.grad) for p, q in zip(plain.parameters(), swapped.parameters()))


def test_parameters_without_influence_get_no_gradient(digits):
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Linear(64, 10), nn.Linear(3, 3)

        def forward(self, images):
            return self.used(images.flatten(1))

    fed = fu.Federation(digits, fu.partition.iid(digits.train.labels, 2), lambda shape, classes: Idle(), store=None)
    start, end = fed.initial_weights(0), fed.train(1, seed=0).weights
    assert torch.equal(start[-12:], end[-12:]) and not torch.equal(start[:-12], end[:-12])


def test_runs_side_by_side_are_runs_one_after_another(stored):
    fed = dataclasses.replace(stored, workers=2)
    together = fed.train_many(2, seeds=[5, 6, 7])
    assert [run.key for run in together] == [fed.train(2, seed=seed).key for seed in (5, 6, 7)]
    alone = dataclasses.replace(fed, store=None, workers=1)
    assert all(torch.equal(run.weights, alone.train(2, seed=seed).weights) for run, seed in zip(together, (5, 6, 7)))
    assert all(run.federation is fed for run in together)


def test_one_diverging_run_stops_the_others(fed):
    broken = dataclasses.replace(fed, workers=2, local=fu.LocalTraining(optimizer="sgd", lr=1e30))
    with pytest.raises(fu.FucoreError, match="training diverged"):
        broken.train_many(10**6, seeds=range(4))


def test_an_interrupt_stops_runs_side_by_side(fed, monkeypatch):
    def interrupted(seconds):
        time.sleep(seconds)
        raise KeyboardInterrupt

    fed = dataclasses.replace(fed, workers=2)
    calls = fed.engine.side_by_side([lambda: interrupted(0.2), lambda: fed.train(10**6)], 2)
    with pytest.raises(KeyboardInterrupt):
        list(calls)
    assert fed.engine.stopped.is_set(), "the other run ends at its next client, not after a million rounds"


def test_the_number_of_workers_can_be_set_from_outside(monkeypatch):
    monkeypatch.setenv("FUCORE_WORKERS", "3")
    assert default_workers("cpu") == 3
    monkeypatch.setenv("FUCORE_WORKERS", "many")
    with pytest.raises(fu.FucoreError, match="FUCORE_WORKERS is 'many'"):
        default_workers("cpu")
