"""Every aggregation rule against a few lines of NumPy, and what original, references and recovery share of it."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

import fucore as fu
from fucore.data.partition import Partition
from fucore.federation import servers
from fucore.federation.server import Server

PLAIN = fu.LocalTraining(epochs=1, batch=64, optimizer="sgd", lr=0.05)
RULES = {
    "fedavg": fu.FedAvg(),
    "fedavgm": fu.FedAvgM(beta=0.5, lr=0.7),
    "fedadagrad": fu.FedAdagrad(lr=0.02, beta1=0.3, tau=0.01),
    "fedadam": fu.FedAdam(lr=0.02, beta1=0.6, beta2=0.8, tau=0.01),
    "fedyogi": fu.FedYogi(lr=0.02, beta1=0.6, beta2=0.8, tau=0.01),
    "scaffold": fu.Scaffold(lr=0.8),
}
WITH_STATE = [name for name in RULES if name != "fedavg"]


def linear(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))


@pytest.fixture
def plain(stored):
    """Four uneven clients, a linear network, plain SGD, a store."""
    return dataclasses.replace(stored, model=linear, local=PLAIN)


def test_every_rule_is_exported_and_none_is_left_out_here():
    assert {type(rule).__name__ for rule in RULES.values()} == {*servers.__all__, "FedAvg"} <= set(fu.__all__)
    assert all(isinstance(rule, Server) for rule in RULES.values())


# ---- the equations, by hand

DELTAS = np.array([[0.1, -0.02, 0.0], [0.3, 0.02, 0.001]])


def fedavgm(rule, theta):
    v = np.zeros(3)
    for delta in DELTAS:
        v = rule.beta * v + delta
        theta = theta + rule.lr * v
    return theta


def fedopt(second):
    def steps(rule, theta):
        m, v = np.zeros(3), np.full(3, rule.tau**2)
        for delta in DELTAS:
            m = rule.beta1 * m + (1 - rule.beta1) * delta
            v = second(rule, v, delta**2)
            theta = theta + rule.lr * m / (np.sqrt(v) + rule.tau)
        return theta

    return steps


BY_HAND = {
    "fedavg": lambda rule, theta: theta + DELTAS.sum(axis=0),
    "fedavgm": fedavgm,
    "fedadagrad": fedopt(lambda rule, v, square: v + square),
    "fedadam": fedopt(lambda rule, v, square: rule.beta2 * v + (1 - rule.beta2) * square),
    "fedyogi": fedopt(lambda rule, v, square: v - (1 - rule.beta2) * square * np.sign(v - square)),
    "scaffold": lambda rule, theta: theta + rule.lr * DELTAS.sum(axis=0),
}


@pytest.mark.parametrize("name", list(RULES))
def test_two_steps_are_those_of_the_paper(name):
    """With an entry whose square is below v (0), above it (1), and an entry that does not move at first (2)."""
    rule, start = RULES[name], torch.tensor([1.0, -1.0, 0.5])
    theta, state = start, rule.begin(start)
    for delta in DELTAS:
        theta = rule.step(theta, theta.double() + torch.from_numpy(delta), state).clone()
    assert theta.dtype == torch.float32 and theta.numpy() == pytest.approx(BY_HAND[name](rule, start.double().numpy()), abs=1e-6)


def test_adam_and_yogi_differ_as_they_should():
    """v falls to a small square by a share of v (Adam), by a share of the square (Yogi)."""
    found = {}
    for rule in (fu.FedAdam(beta2=0.9, tau=1.0), fu.FedYogi(beta2=0.9, tau=1.0)):
        state = rule.begin(torch.zeros(1))
        rule.step(torch.zeros(1), torch.tensor([0.1], dtype=torch.float64), state)
        found[type(rule).__name__] = float(state["v"])
    assert found == pytest.approx({"FedAdam": 0.9 + 0.1 * 0.01, "FedYogi": 1.0 - 0.1 * 0.01})


@pytest.mark.parametrize("name", list(RULES))
def test_one_round_is_the_rule_on_the_mean_of_the_clients_models(name, plain):
    """In the first round variates are zero, so that every rule is given the same mean."""
    fed, start = dataclasses.replace(plain, server=RULES[name]), plain.initial_weights(0)
    mean = dataclasses.replace(plain, store=None).train(1, start=start).weights.double()
    expected = RULES[name].step(start, mean, RULES[name].begin(start))
    assert torch.allclose(fed.train(1, start=start).weights, expected, atol=1e-6)


def test_without_momentum_it_is_federated_averaging(plain):
    expected = plain.train(3).weights
    for rule in (fu.FedAvgM(beta=0.0, lr=1.0), fu.FedAvgM(weights="uniform", beta=0)):
        assert torch.allclose(dataclasses.replace(plain, server=rule).train(3).weights, expected, atol=1e-6)


# ---- FedProx


def test_no_pull_is_federated_averaging_to_the_bit(fed):
    free = dataclasses.replace(fed, local=dataclasses.replace(fed.local, proximal=0.0))
    assert torch.equal(free.train(2).weights, fed.train(2).weights)


def test_a_strong_pull_stays_at_the_start(plain):
    """lr mu = 1: every step begins anew from theta(t), so a client ends one gradient away from it, however many steps it takes."""
    start = plain.initial_weights(0)
    local = dataclasses.replace(PLAIN, lr=1e-4, proximal=1e4, epochs=5)
    held = dataclasses.replace(plain, local=local).train(1, start=start).weights
    free = dataclasses.replace(plain, local=dataclasses.replace(local, proximal=0.0)).train(1, start=start).weights
    one = dataclasses.replace(plain, local=dataclasses.replace(local, proximal=0.0, epochs=1, batch=10**6)).train(1, start=start).weights
    assert (held - start).norm() < 3 * (one - start).norm() < 0.2 * (free - start).norm()


def test_the_pull_is_the_gradient_of_mu_half_the_squared_distance(plain):
    """Against a hook that adds it, in training client by client and as a stack."""
    pulled = dataclasses.replace(PLAIN, epochs=3, proximal=0.5)
    hooked = fu.Hooks(gradient=lambda step: step.gradient.add_(0.5 * (step.weights - step.start)))
    for clients in (plain.clients, fu.partition.iid(plain.data.train.labels, 40)):
        fed = dataclasses.replace(plain, clients=clients, local=pulled, store=None)
        by_hand = dataclasses.replace(fed, local=dataclasses.replace(pulled, proximal=0.0), hooks=hooked)
        free = dataclasses.replace(by_hand, hooks=fu.Hooks())
        assert torch.allclose(fed.train(2).weights, by_hand.train(2).weights, atol=1e-5)
        assert not torch.allclose(fed.train(2).weights, free.train(2).weights, atol=1e-4)


@pytest.mark.long
def test_the_pull_is_shared_by_original_references_and_recovery(plain):
    """Also where a method brings a loss of its own, which would replace a federation's hooks."""
    fed, request = dataclasses.replace(plain, local=dataclasses.replace(PLAIN, proximal=19.0)), fu.forget.client(0)
    loose = plain.train(2, record_updates=True)
    held = dataclasses.replace(loose, federation=fed)  # the same weights, so that only recovery differs
    start = {"fine-tune": loose.weights, "knowledge-distillation": fu.unlearn("knowledge-distillation", loose, request, rounds=0).weights}
    for method, before in start.items():
        free, pulled = (fu.unlearn(method, each, request, rounds=1).weights - before for each in (loose, held))
        assert 0 < pulled.norm() < 0.5 * free.norm()
    with pytest.raises(fu.FucoreError, match="cannot be the reference: it had another local"):
        fu.compare({}, fed.train(2), plain.without(request).train_many(2, range(1, 3)), request)


# ---- SCAFFOLD


def gradient(theta, images, labels, classes=10):
    """Of the mean cross-entropy of a linear network, [d], in NumPy."""
    matrix, bias = theta[: 64 * classes].reshape(classes, 64), theta[64 * classes :]
    logits = images @ matrix.T + bias
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    error = (chances - np.eye(classes)[labels]) / len(labels)
    return np.concatenate([(error.T @ images).ravel(), error.sum(axis=0)])


@pytest.mark.parametrize("participation", [1.0, 0.5])
def test_variates_are_those_of_algorithm_1(plain, participation):
    """Three rounds of two steps on whole data, by the paper's own updates of c_i and c, one of the clients having no data."""
    clients = Partition((*plain.clients.indices, plain.clients.indices[0][:0]))
    local = dataclasses.replace(PLAIN, epochs=2, batch=10**6, lr=0.1)
    fed = dataclasses.replace(plain, clients=clients, local=local, server=fu.Scaffold(lr=0.8), participation=participation)
    theta = fed.initial_weights(0).double().numpy()
    split, worker = fed.data.train, fed.engine.worker
    held = [(worker.inputs(split.images[i]).flatten(1).double().numpy(), split.labels[i].numpy()) for i in clients.indices[:4]]
    c, own, moved = np.zeros_like(theta), np.zeros((4, len(theta))), []
    for index in range(3):
        participants = fed.participants(7, index)
        fresh, models = own.copy(), []
        for client in participants:
            y = theta.copy()
            for _ in range(2):
                y -= 0.1 * (gradient(y, *held[client]) - own[client] + c)
            fresh[client] = own[client] - c + (theta - y) / (2 * 0.1)
            models.append(y)
        theta = theta + 0.8 * (np.mean(models, axis=0) - theta)
        moved.append(np.linalg.norm(c))
        before, c = c, c + (fresh - own).sum(axis=0) / 4
        own = fresh
    state = {}
    run = fed.train(3, seed=7, start=fed.initial_weights(0), server_state=state)
    assert np.allclose(run.weights.numpy(), theta, atol=1e-5) and min(moved[1:]) > 0.01
    taken_part = set(np.concatenate([fed.participants(7, index) for index in range(3)]).tolist())
    assert set(state) == {"c", *(f"client.{client}" for client in taken_part)}, "one variate a client that ever took part"
    for client in taken_part:
        assert np.allclose(state[f"client.{client}"].numpy(), own[client], atol=1e-4)
    assert np.allclose(state["c"].numpy(), before, atol=1e-4), "the c of the last round"
    assert run.cost.uploaded == 2 * 3 * len(participants) * 4 * run.weights.numel()


def test_variates_cancel_the_drift(plain):
    """Clients of three classes each, many local steps: federated averaging ends elsewhere than the minimum of the mean loss."""
    labels = plain.data.train.labels.numpy()
    clients = Partition(tuple(np.flatnonzero(labels // 3 == group)[:150] for group in range(3)))
    local = dataclasses.replace(PLAIN, epochs=10, batch=10**6, lr=0.02, weight_decay=0.5)
    norms = {}
    for rule in (fu.FedAvg(), fu.Scaffold()):
        fed = dataclasses.replace(plain, clients=clients, local=local, server=rule, store=None)
        theta = fed.train(100, evaluate_every=100).weights
        norms[type(rule).__name__] = float((fed.mean_gradient(theta) + 0.5 * theta).norm())
    assert norms["Scaffold"] < 0.05 * norms["FedAvg"]


@pytest.mark.parametrize("options", [{"optimizer": "adam"}, {"momentum": 0.5}, {"lr": 0.0}])
def test_scaffold_needs_plain_sgd(plain, options):
    fed = dataclasses.replace(plain, local=dataclasses.replace(PLAIN, **options), server=fu.Scaffold())
    with pytest.raises(fu.FucoreError, match="SCAFFOLD reads gradients off local steps: use"):
        fed.train(1)


def test_scaffold_and_what_changes_gradients_exclude_each_other(plain):
    fed = dataclasses.replace(plain, server=fu.Scaffold())
    with pytest.raises(fu.FucoreError, match="which a hook"):
        fed.train(1, hooks=fu.Hooks(gradient=lambda step: step.gradient.mul_(2)))
    with pytest.raises(fu.FucoreError, match="which a hook"):
        fu.unlearn("rapid-retraining", fed.train(1), fu.forget.client(0), rounds=1)


# ---- one run is one run


@pytest.mark.parametrize("name", list(RULES))
def test_bits_do_not_depend_on_workers_or_interruption(name, plain, interrupt):
    fed = dataclasses.replace(plain, server=RULES[name], participation=0.5)
    two = dataclasses.replace(fed, workers=2, store=None).train(4, seed=2)
    whole, begun = dataclasses.replace(fed, store=None).train(4, seed=2), interrupt()
    assert torch.equal(two.weights, whole.weights)
    with pytest.raises(KeyboardInterrupt):
        fed.train(4, seed=2)
    assert torch.equal(fed.train(4, seed=2).weights, whole.weights) and len(begun) == 5
    assert torch.equal(fed.train(4, seed=2).weights, whole.weights) and len(begun) == 5, "from the store"


@pytest.mark.parametrize("name", list(RULES))
def test_pieces_give_the_bits_of_the_whole(name, plain, interrupt):
    """With what the rule remembers handed on, under a cosine, and with a piece that is interrupted."""
    local = dataclasses.replace(PLAIN, schedule="cosine", decay=0.9)
    fed = dataclasses.replace(plain, server=RULES[name], local=local, participation=0.5)
    start, state = fed.initial_weights(0), {}
    whole = dataclasses.replace(fed, store=None).train(5, seed=1, start=start)
    piece = lambda weights, first, rounds: fed.train(rounds, 1, start=weights, first_round=first, horizon=5, server_state=state)
    theta = piece(start, 0, 1).weights
    interrupt()
    with pytest.raises(KeyboardInterrupt):
        piece(theta, 1, 4)
    assert torch.equal(piece(theta, 1, 4).weights, whole.weights)
    if name in WITH_STATE:
        assert state and not torch.equal(fed.train(4, 1, start=theta, first_round=1, horizon=5).weights, whole.weights)


def test_a_run_of_another_rule_is_never_served(plain):
    keys = {dataclasses.replace(plain, server=rule).train(1).key for rule in RULES.values()}
    keys |= {
        dataclasses.replace(plain, server=dataclasses.replace(RULES["fedadam"], **{name: 0.5})).train(1).key for name in ("beta1", "tau")
    }
    keys |= {dataclasses.replace(plain, local=dataclasses.replace(PLAIN, proximal=0.5)).train(1).key}
    assert len(keys) == len(RULES) + 3
    assert fu.FedAvgM(beta=np.float64(0.5)).config == fu.FedAvgM(beta=0.5).config


def test_memory_does_not_grow_with_the_clients(plain):
    for clients in (2, 20):
        fed = dataclasses.replace(plain, clients=fu.partition.iid(plain.data.train.labels, clients), store=None)
        for name, most in (("fedavgm", 1), ("fedadagrad", 2), ("fedadam", 2), ("fedyogi", 2), ("scaffold", clients + 1)):
            state = {}
            dataclasses.replace(fed, server=RULES[name]).train(1, server_state=state)
            assert sum(tensor.numel() for tensor in state.values()) == most * fed.layout.size


# ---- unlearning follows the rule


@pytest.fixture
def stepwise():
    """A method that trains in as many calls as rounds, and one that trains in one call."""

    @fu.method("stepwise")
    def stepwise(task, *, rounds=4, at_once=False):
        theta = task.original.weights
        if at_once:
            return task.train(theta, rounds)
        for _ in range(rounds):
            theta = task.train(theta, 1)
        return theta

    yield "stepwise"
    del fu.METHODS["stepwise"]


@pytest.mark.parametrize("name", list(RULES))
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_loop_of_single_rounds_is_one_call(name, schedule, plain, stepwise):
    """Clients drawn, learning rates and what the rule remembers go on by the global round."""
    fed = dataclasses.replace(
        plain, server=RULES[name], participation=0.5, local=dataclasses.replace(PLAIN, schedule=schedule, decay=0.8), store=None
    )
    original, request = fed.train(2), fu.forget.client(0)
    loop, once = (fu.unlearn(stepwise, original, request, rounds=3, at_once=at_once) for at_once in (False, True))
    assert torch.equal(loop.weights, once.weights) and not torch.equal(loop.weights, original.weights)
    drop = ("seconds", "examples")
    assert [{k: v for k, v in row.items() if k not in drop} for row in loop.history] == [
        {k: v for k, v in row.items() if k not in drop} for row in once.history
    ]
    assert torch.equal(once.weights, fu.unlearn("fine-tune", original, request, rounds=3).weights)


def test_rates_of_a_loop_are_those_of_one_call(plain, stepwise, monkeypatch):
    """1, 0.85, 0.5, 0.15 of a cosine over four rounds, where each round planned for itself it was 1, 0.5, 0.25, 0.15."""
    from fucore.federation.federation import Federation

    rates, real = [], Federation.local_models
    monkeypatch.setattr(
        Federation, "local_models", lambda self, weights, who, lr, *more: rates.append(lr) or real(self, weights, who, lr, *more)
    )
    fed = dataclasses.replace(plain, local=dataclasses.replace(PLAIN, lr=1.0, schedule="cosine"), store=None)
    original = fed.train(1)
    for at_once in (False, True):
        rates.clear()
        fu.unlearn(stepwise, original, fu.forget.client(0), rounds=np.int64(4), at_once=at_once)
        assert rates == pytest.approx([0.5 * (1 + np.cos(np.pi * index / 4)) for index in range(4)])


def test_recovery_begins_without_a_memory_of_the_original(plain):
    """And anew where a method changed the weights between its rounds."""
    fed, request = dataclasses.replace(plain, server=fu.FedAvgM(), store=None), fu.forget.client(0)
    original = fed.train(3)
    tuned = fu.unlearn("fine-tune", original, request, rounds=1).weights
    averaged = fu.unlearn(
        "fine-tune", dataclasses.replace(original, federation=dataclasses.replace(fed, server=fu.FedAvg())), request, rounds=1
    )
    assert torch.allclose(tuned, averaged.weights, atol=1e-6), "v was zero"

    @fu.method("jolted")
    def jolted(task, *, rounds=2):
        first = task.train(task.original.weights, 1) + 0.01
        task.log["moved"] = float((task.train(first, 1) - first).norm())
        alone = dataclasses.replace(task.remaining, server=fu.FedAvg())
        task.log["averaging"] = float((alone.train(1, task._stream, start=first, first_round=1).weights - first).norm())
        return first

    try:
        log = fu.unlearn("jolted", original, request).log
    finally:
        del fu.METHODS["jolted"]
    assert log["moved"] == pytest.approx(log["averaging"], rel=1e-4)


def test_nothing_reset_is_fine_tuning_under_every_rule(plain):
    for name in WITH_STATE:
        original = dataclasses.replace(plain, server=RULES[name], store=None).train(2)
        reset = fu.unlearn("fedmemprune", original, fu.forget.client(0), ratio=0.0, rounds=3)
        assert torch.equal(reset.weights, fu.unlearn("fine-tune", original, fu.forget.client(0), rounds=3).weights)


@pytest.mark.parametrize("name", WITH_STATE)
@pytest.mark.parametrize("method", ["fedrecovery", "sifu", "knowledge-distillation"])
def test_methods_that_take_updates_out_of_a_sum_refuse_rules_that_make_none(name, method, plain):
    original = dataclasses.replace(plain, server=RULES[name]).train(1, record_updates=True)
    with pytest.raises(
        fu.FucoreError, match=f"sum of its rounds' mean updates, as under fu.FedAvg, not under {type(RULES[name]).__name__}"
    ):
        fu.unlearn(method, original, fu.forget.client(0))


def test_federaser_hands_the_calibrated_sum_to_the_rule(plain):
    """beta = 0 and twice the step: every replayed round moves twice as far as the first did under averaging."""
    request, fed = fu.forget.client(0), dataclasses.replace(plain, server=fu.FedAvgM(beta=0.0, lr=2.0))
    original = fed.train(1, record_updates=True)
    start, shares = fed.initial_weights(0), torch.full((3,), 1 / 3)
    expected = start + 2.0 * (shares @ fed.updates(original, 1)[1:])
    assert torch.allclose(fu.unlearn("federaser", original, request).weights, expected, atol=1e-5)
    longer = fed.train(3, record_updates=True)
    twice = fu.unlearn("federaser", longer, request, interval=1).weights
    once = fu.unlearn(
        "federaser", dataclasses.replace(longer, federation=dataclasses.replace(fed, server=fu.FedAvg())), request, interval=1
    )
    assert not torch.allclose(twice, once.weights, atol=1e-3)


@pytest.mark.parametrize("name", WITH_STATE)
@pytest.mark.parametrize("method", ["delete-retrain", "mode", "knot", "fedosd", "retrain", "pga", "federaser"])
@pytest.mark.long
def test_methods_work_under_every_rule(name, method, plain):
    original = dataclasses.replace(plain, server=RULES[name]).train(2, record_updates=True)
    request = fu.METHODS[method].example_request(0, int(plain.data.train.labels[plain.clients.indices[0][0]]))
    run = fu.unlearn(method, original, request)
    assert torch.isfinite(run.weights).all() and not torch.equal(run.weights, original.weights)
    assert torch.equal(run.weights, fu.unlearn(method, dataclasses.replace(original), request).weights)


def test_clusters_of_knot_are_trained_as_if_each_were_the_first(plain):
    """Two that are both affected, under a cosine and with momentum."""
    fed = dataclasses.replace(plain, server=fu.FedAvgM(), local=dataclasses.replace(PLAIN, schedule="cosine"), store=None)
    rates = []
    hooks = fu.Hooks(gradient=lambda step: rates.append(step.round))
    original = dataclasses.replace(fed, hooks=hooks).train(3)
    rates.clear()
    fu.unlearn("knot", original, fu.forget.clients(0, 3), clusters=2, rounds=3)
    assert set(rates) == {0, 1, 2}


def test_references_of_another_rule_are_refused(plain):
    request = fu.forget.client(0)
    original, others = plain.train(1), dataclasses.replace(plain, server=fu.FedAdam()).without(request).train_many(1, range(1, 3))
    with pytest.raises(fu.FucoreError, match="cannot be the reference: it had another server") as error:
        fu.Case(original, others, request)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: fu.FedAvgM(beta=1.0), r"beta is 1.0, but must be a number in \[0, 1\)"),
        (lambda: fu.FedAvgM(lr=0.0), "lr is 0.0"),
        (lambda: fu.FedAvgM("size", beta="much"), "beta is 'much'"),
        (lambda: fu.FedAvgM("median"), "weights is 'median'"),
        (lambda: fu.FedAdagrad(beta1=-0.1), "beta1 is -0.1"),
        (lambda: fu.FedAdam(tau=0.0), r"tau is 0.0, but must be a number in \(0, inf\)"),
        (lambda: fu.FedAdam(beta2=1.0), "beta2 is 1.0"),
        (lambda: fu.FedYogi(lr=float("inf")), "lr is inf"),
        (lambda: fu.Scaffold("size"), "all clients count alike"),
        (lambda: fu.Scaffold(lr=-1), "lr is -1"),
        (lambda: fu.LocalTraining(proximal=-1.0), "proximal is -1.0"),
        (lambda: fu.LocalTraining(optimizer="sgd", lr=0.1, proximal=20.0), "lr times proximal is 2, but SGD diverges from 2 on"),
    ],
)
def test_bad_parameters_are_refused_in_a_sentence(make, sentence):
    with pytest.raises(fu.FucoreError, match=sentence) as error:
        make()
    assert "\n" not in str(error.value)
