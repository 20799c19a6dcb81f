"""Routes under the fair protocol, FedCCCU, and who feels them."""

import dataclasses
import functools

import numpy as np
import pandas as pd
import pytest
import torch
from test_methods import task_of

import fucore as fu
from fucore.evaluation.clients import client_accuracy, side_effects
from fucore.federation.units import Units
from fucore.unlearning import fedcccu
from fucore.unlearning._fair import fair_rounds
from fucore.unlearning._units import units_of

REQUEST = fu.forget.class_of_client(3, 0)


@pytest.fixture(scope="module")
def small(digits, tmp_path_factory):
    """An original of four uneven clients, weighted by size."""
    clients = fu.partition.dirichlet(digits.train.labels, 4, 1.0, seed=1)
    store = fu.Store(tmp_path_factory.mktemp("wild"))
    local = fu.LocalTraining(epochs=2, batch=32)
    return fu.Federation(digits, clients, "cnn", local, server=fu.FedAvg("size"), store=store).train(6, seed=0)


# ---- the fair protocol


def test_only_the_asking_client_moves_the_model_and_by_its_weight(small):
    """theta(1) = p theta_u + (1 - p) theta_o, whatever is inherited; later rounds differ."""
    task = task_of("delete-retrain", small, REQUEST)
    on = task.remaining.only([0])
    one = fair_rounds(task, on, rounds=1, inherit="anchored", tolerance=0.0)
    by_hand = task_of("delete-retrain", small, REQUEST)
    update = by_hand.updates(small.weights, on=on)[0]
    share = small.federation.clients.sizes[0] / small.federation.clients.sizes.sum()
    assert torch.allclose(one, small.weights + share * update, atol=1e-6)
    by_hand.end_round(one)
    again = by_hand.updates(one, on=on)[0]
    for inherit, rest in (("anchored", small.weights), ("current", one)):
        two = fair_rounds(task_of("delete-retrain", small, REQUEST), on, rounds=2, inherit=inherit, tolerance=0.0)
        assert torch.allclose(two, share * (one + again) + (1 - share) * rest, atol=1e-6), inherit
    runs = {inherit: fu.unlearn("delete-retrain", small, REQUEST, rounds=3, inherit=inherit) for inherit in ("anchored", "current")}
    away = {inherit: float((run.weights - small.weights).norm()) for inherit, run in runs.items()}
    assert away["anchored"] < away["current"], "an anchored model cannot drift"
    assert runs["anchored"].cost.examples == 3 * 2 * len(task.remaining.clients.indices[0])
    assert runs["anchored"].cost.uploaded == 3 * 4 * len(small.weights), "one client, three rounds"


def test_a_client_without_weight_leaves_the_model_as_it_is(small, monkeypatch):
    task = task_of("delete-retrain", small, REQUEST)
    monkeypatch.setattr(task, "shares_of_all", lambda participants: [0.0] + [1 / 3] * 3)
    theta = fair_rounds(task, task.remaining.only([0]), rounds=2, inherit="anchored", tolerance=0.0)
    assert torch.equal(theta, small.weights)


def test_rounds_end_when_nothing_moves_any_more(small):
    first = fu.unlearn("delete-retrain", small, REQUEST, rounds=1, tolerance=0.0).weights
    moved = float((first - small.weights).norm() / small.weights.norm())
    assert fu.unlearn("delete-retrain", small, REQUEST, rounds=3, tolerance=1.01 * moved).rounds == 1
    assert fu.unlearn("delete-retrain", small, REQUEST, rounds=2, tolerance=0.99 * moved).rounds == 2
    assert fu.unlearn("delete-retrain", small, REQUEST, rounds=0).rounds == 0


def test_poisoned_labels_are_wrong_and_only_where_asked(small, monkeypatch):
    from fucore.unlearning import relabel_poison

    seen = {}
    monkeypatch.setattr(relabel_poison, "towards", lambda labels: seen.update(labels=labels))
    monkeypatch.setattr(relabel_poison, "fair_rounds", lambda task, on, **options: seen.setdefault("on", on) and task.original.weights)
    relabel_poison.relabel_poison(task_of("relabel-poison", small, REQUEST))
    truth, changed = small.federation.data.train.labels, small.federation.forgotten(REQUEST)
    different = (seen["labels"] != truth).nonzero()[:, 0].numpy()
    own = np.isin(different, small.federation.clients.examples)
    assert np.array_equal(different[own], changed)
    assert np.array_equal(seen["on"].clients.examples, small.federation.clients.indices[0])


def test_routes_forget_part_of_a_client_only(small):
    with pytest.raises(fu.FucoreError, match="nothing left to train on"):
        fu.unlearn("delete-retrain", small, fu.forget.client(0))


def test_a_whole_client_can_be_poisoned(small):
    assert fu.unlearn("relabel-poison", small, fu.forget.client(0), rounds=1).rounds == 1


# ---- editing units


def test_zeroing_silences_what_the_class_excites_and_nothing_for_no_share(small):
    assert torch.equal(fu.unlearn("neuron-zeroing", small, REQUEST, share=0.0).weights, small.weights)
    run = fu.unlearn("neuron-zeroing", small, REQUEST, share=0.1)
    units = units_of(small.federation)
    split = small.federation.data.train.take(small.federation.forgotten(REQUEST))
    inputs = small.federation.engine.worker.inputs(split.images)
    before, after = (units.activations(weights, inputs).mean(dim=0) for weights in (small.weights, run.weights))
    assert len(run.log["units"]) == round(0.1 * len(units)) and not after[run.log["units"]].any()
    assert set(before.argsort(descending=True)[: len(run.log["units"])].tolist()) == set(run.log["units"])
    assert run.cost.examples == len(split) and run.history[-1]["stage"] == "silenced"
    control = fu.unlearn("neuron-zeroing", small, REQUEST, share=0.1, by="random")
    assert len(control.log["units"]) == len(run.log["units"]) and set(control.log["units"]) != set(run.log["units"])


def test_workers_share_a_graph_that_was_followed_before_they_start(small):
    """torch.fx replaces every module's call while it follows one: in a worker that would break the others."""
    two = dataclasses.replace(small.federation, workers=2, model="mlp")
    here = units_of(two).graph
    assert {id(graph) for graph in two.engine.each([lambda worker: units_of(two).graph] * 8)} == {id(here)}


def test_dominance_ranks_what_nobody_else_needs_first():
    """Eq. 5; ties go to the larger contribution."""
    own, others = {1: 0.5, 2: 0.4, 3: 0.2, 4: 0.9}, [{2: 0.1, 3: 0.4}, {2: 0.3}]
    assert fedcccu.dominance(own, others) == [(4, 0.0, 0.9), (1, 0.0, 0.5), (2, pytest.approx(0.75), 0.4), (3, pytest.approx(2.0), 0.2)]
    assert fedcccu.dominance({}, others) == [] and fedcccu.dominance({7: 1.0}, []) == [(7, 0.0, 1.0)]


def test_clients_upload_their_largest_positive_contributions_only():
    assert fedcccu.upload(torch.tensor([0.1, -0.5, 0.4, 0.0, 0.2]), 2) == {2: pytest.approx(0.4), 4: pytest.approx(0.2)}
    assert fedcccu.upload(torch.tensor([-1.0, 0.0]), 2) == {}


def test_fedcccu_silences_by_dominance_and_accounts_for_it(small):
    run = fu.unlearn("fedcccu", small, REQUEST, share=0.03, path="joint", steps=5)
    ratios = [ratio for _, ratio, _ in run.log["dominance"]]
    assert ratios == sorted(ratios) and run.log["units"] == [unit for unit, _, _ in run.log["dominance"]][: len(run.log["units"])]
    sizes = small.federation.clients.sizes
    lists = run.log["upload in bytes"]
    assert set(lists) == {str(client) for client in range(4)} and run.cost.uploaded == sum(lists.values())
    assert max(lists.values()) <= 8 * int(0.1 * run.log["units in all"]) and run.cost.downloaded == 4 * len(small.weights) * 4
    labels = small.federation.data.train.labels.numpy()
    of_class = sum(int((labels[indices] == 3).sum()) for indices in small.federation.clients.indices)
    sites = len(units_of(small.federation).sites)
    assert run.cost.examples == of_class * 5 * sites < sizes.sum() * 5 * sites
    elsewhere = dataclasses.replace(small, federation=dataclasses.replace(small.federation, store=None, workers=2))
    assert torch.equal(run.weights, fu.unlearn("fedcccu", elsewhere, REQUEST, share=0.03, path="joint", steps=5).weights)
    every = fu.unlearn("fedcccu", small, REQUEST, share=0.03, path="joint", steps=5, samples="all")
    has = [bool((labels[indices] == 3).any()) for indices in small.federation.clients.indices]
    assert every.cost.examples == sizes[has].sum() * 5 * sites, "who lacks the class uploads nothing"


@pytest.mark.parametrize("path", ["single", "joint"])
def test_sensitivities_are_each_clients_own_mean_contributions_to_the_class(small, path):
    """Eqs. 2 to 4, client by client, and the ratios of Eq. 5 from them."""
    fed, units = small.federation, units_of(small.federation)
    contributions = Units.effects if path == "single" else functools.partial(Units.attributions, steps=4)
    scores, _ = fedcccu.sensitivities(task_of("fedcccu", small, REQUEST), 3, contributions, "class")
    for client, indices in enumerate(fed.clients.indices):
        split = fed.data.train.take(indices)
        images = split.images[split.labels == 3]
        expected = torch.zeros(len(units))
        if len(images):
            inputs = fed.engine.worker.inputs(images)
            expected = contributions(units, small.weights, inputs, torch.full((len(images),), 3)).mean(dim=0)
        assert torch.allclose(scores[client], expected, rtol=1e-3, atol=1e-6)
    run = fu.unlearn("fedcccu", small, REQUEST, share=0.02, top=0.5, path=path, steps=4)
    size = int(0.5 * len(units))
    kept = [set(score.argsort(descending=True, stable=True)[:size].tolist()) for score in scores.values()]
    for unit, ratio, score in run.log["dominance"]:
        others = [float(scores[client][unit]) for client in range(1, 4) if unit in kept[client] and scores[client][unit] > 0]
        assert unit in kept[0] and score == pytest.approx(float(scores[0][unit]), rel=1e-3)
        assert ratio == pytest.approx(max(others, default=0.0) / score, rel=1e-3)
    assert ("attribution missed" in run.log) == (path == "joint")
    assert run.log["share in no other list"] == pytest.approx(np.mean([ratio == 0 for _, ratio, _ in run.log["dominance"]]))


def test_fedcccu_says_what_it_needs_and_warns_when_it_runs_out_of_units(small):
    with pytest.raises(fu.FucoreError, match="one class of one client, such as"):
        fu.unlearn("fedcccu", small, fu.forget.client(0))
    with pytest.warns(UserWarning, match="raise top"), pytest.warns(UserWarning, match="fewer than the"):
        fu.unlearn("fedcccu", small, REQUEST, share=1.0, steps=2)


# ---- who feels it


def test_accuracy_of_clients_and_classes(small):
    fed = small.federation
    tests = (np.arange(100), np.arange(100, 359))
    table = client_accuracy(fed, {"Original": small, "twice": [small, small]}, tests)
    hits = (fed.logits(small.weights, fed.data.test).argmax(1) == fed.data.test.labels).numpy()
    mean = table[table.candidate == "Original"].groupby("client").apply(lambda rows: np.average(rows.accuracy, weights=rows.examples))
    assert mean[0] == pytest.approx(hits[:100].mean()) and mean[1] == pytest.approx(hits[100:].mean())
    assert (table.low <= table.accuracy).all() and table.examples.sum() == 2 * 359


def test_side_effects_want_a_class_of_a_client_and_both_yardsticks():
    rows = pd.DataFrame([{"candidate": "edit", "client": 0, "label": 3, "examples": 1, "accuracy": 1.0}])
    with pytest.raises(fu.FucoreError, match="one class of one client"):
        side_effects(rows, fu.forget.client(0))
    with pytest.raises(fu.FucoreError, match="no candidate 'Original'"):
        side_effects(rows, REQUEST)


def test_side_effects_by_hand():
    rows = []
    for candidate, values in {"Original": (1.0, 0.9, 0.8, 0.8), "Retrained": (0.9, 0.9, 0.8, 0.8), "edit": (0.0, 0.3, 0.7, 0.8)}.items():
        for (client, label), value in zip(((0, 3), (1, 3), (0, 5), (1, 5)), values):
            rows.append({"candidate": candidate, "client": client, "label": label, "examples": 10, "accuracy": value})
    result = side_effects(pd.DataFrame(rows), REQUEST).loc["edit"]
    assert result.asked == 0 and result.over_forgetting == pytest.approx(0.9)
    assert result.others_class == pytest.approx(0.6) and result.other_classes == pytest.approx(0.05)
