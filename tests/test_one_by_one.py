"""Requests one after another."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

import fucore as fu
from fucore.data.forgetting import recorded
from fucore.data.partition import Partition, iid, overlapping
from fucore.runs.fingerprint import plain
from fucore.unlearning import METHODS

LABELS = np.tile(np.arange(5), 20)
CLIENTS = iid(LABELS, 4)
FIRST, SECOND = fu.forget.client(0), fu.forget.client(1)
KINDS = (
    fu.forget.client(1),
    fu.forget.clients(0, 2),
    fu.forget.classes(3),
    fu.forget.class_of_client(2, 1),
    fu.forget.examples([3, 50, 7]),
)


@pytest.fixture(scope="module")
def both(judged):
    """The case of two clients that are gone, and what it is made of."""
    original = judged[0]
    return fu.Case(original, original.federation.without(FIRST | SECOND).train_many(6, seeds=range(1, 5)), FIRST | SECOND)


@pytest.mark.parametrize("clients", [CLIENTS, overlapping(LABELS, 4, 50)], ids=["disjoint", "overlapping"])
@pytest.mark.parametrize("one, other", itertools.product(KINDS, KINDS), ids=str)
def test_what_is_gone_after_two_requests_is_their_union(clients, one, other):
    """One mask, and who holds what afterwards is the same at once and one after another, in either order."""
    union = one | other
    assert np.array_equal(union.mask(LABELS, clients), one.mask(LABELS, clients) | other.mask(LABELS, clients))
    at_once = union.retained(LABELS, clients)
    between = one.retained(LABELS, clients)
    held = np.isin(np.arange(len(LABELS)), between.examples)
    labels = np.where(one.mask(LABELS, clients) & ~held, -1, LABELS)  # as Federation.without leaves them
    try:
        after = other.retained(labels, between)
    except fu.FucoreError as error:
        assert "nothing to forget" in str(error)
        after = between
    assert all(np.array_equal(a, b) for a, b in zip(at_once.indices, after.indices))
    assert all(
        np.array_equal(np.sort(np.concatenate(parts)), before)
        for parts, before in zip(zip(at_once.indices, union.departed(LABELS, clients)), clients.indices)
    )


def test_unions_are_equal_in_any_order_and_without_what_others_hold():
    for one, two, three in itertools.permutations(KINDS, 3):
        assert (one | two) | three == one | (two | three) == three | one | two
        assert hash(one | two) == hash(two | one) and one | one == one
        assert recorded(plain(dataclasses.asdict(one | two | three))) == one | two | three
    assert FIRST | SECOND == fu.forget.clients(1, 0) and str(FIRST | SECOND) == "clients 0, 1"
    assert fu.forget.class_of_client(2, 1) | SECOND == SECOND
    assert str(FIRST | fu.forget.class_of_client(2, 1)) == "client 0 and class 2 of client 1"
    whole = fu.forget.examples(np.arange(100) < 5)
    with pytest.raises(fu.FucoreError, match="mask of examples to forget is for 100 examples, but there are 99"):
        (whole | fu.forget.examples([7])).mask(LABELS[:99], Partition((np.arange(99),)))
    with pytest.raises(fu.FucoreError, match="what to forget besides is 3, but must be a request"):
        FIRST | 3


def test_retraining_one_after_another_is_retraining_without_the_union(judged):
    fed = judged[0].federation
    one_by_one, at_once = fed.without(FIRST).without(SECOND), fed.without(FIRST | SECOND)
    assert torch.equal(one_by_one.train(2, 7).weights, at_once.train(2, 7).weights)
    assert torch.equal(one_by_one.data.train.labels, at_once.data.train.labels)
    assert torch.equal(one_by_one.data.train.images, at_once.data.train.images)
    case = fu.Case(judged[0], one_by_one.train_many(6, (1, 2)), FIRST | SECOND)
    assert np.array_equal(case.forgotten, np.union1d(*fed.clients.indices[:2]))


def test_the_order_changes_the_run_and_not_the_request(judged, both):
    original = judged[0]
    runs = []
    for one, other in ((FIRST, SECOND), (SECOND, FIRST)):
        runs.append(fu.unlearn("fine-tune", fu.unlearn("fine-tune", original, one, rounds=1), other, rounds=1))
    assert runs[0].config["request"] == runs[1].config["request"] == plain(FIRST | SECOND)
    assert runs[0].key != runs[1].key and not torch.equal(runs[0].weights, runs[1].weights)
    assert all(both.is_of(run) for run in runs)
    assert runs[0].config["after"] == fu.unlearn("fine-tune", original, FIRST, rounds=1).config


def test_a_key_depends_on_the_whole_chain(judged):
    original = judged[0]
    starts = [fu.unlearn("fine-tune", original, FIRST, rounds=1, seed=seed) for seed in (0, 1)] + [
        fu.unlearn("not", original, FIRST, rounds=1)
    ]
    ends = [fu.unlearn("fine-tune", start, SECOND, rounds=1) for start in starts]
    at_once = fu.unlearn("fine-tune", original, FIRST | SECOND, rounds=1)
    longer = fu.unlearn("fine-tune", ends[0], fu.forget.class_of_client(1, 2), rounds=1)
    assert len({run.key for run in (*starts, *ends, at_once, longer)}) == 8
    again = fu.unlearn("fine-tune", fu.unlearn("fine-tune", original, FIRST, rounds=1), SECOND, rounds=1)
    assert again.key == ends[0].key and torch.equal(again.weights, ends[0].weights)
    assert longer.config["after"]["after"] == starts[0].config
    assert recorded(longer.config["request"]) == FIRST | SECOND | fu.forget.class_of_client(1, 2)


@pytest.mark.parametrize("name", ["fedmemprune", "pga", "fedosd", "mode", "fedquit", "rapid-retraining", "fedau"])
def test_the_data_of_who_left_first_are_never_read(judged, name):
    """Same bits whatever the first client's images and labels are."""
    first = fu.unlearn("fine-tune", judged[0], FIRST, rounds=1)
    fed = dataclasses.replace(first.federation, store=None)
    gone, images, labels = fed.forgotten(FIRST), fed.data.train.images.clone(), fed.data.train.labels.clone()
    images[gone], labels[gone] = 255 - images[gone], (labels[gone] + 1) % 10
    other = dataclasses.replace(fed, data=dataclasses.replace(fed.data, train=fu.Split(images, labels)))
    settings = {"ratio": 0.3} if name == "fedmemprune" else {}
    runs = [fu.unlearn(name, dataclasses.replace(first, federation=each), SECOND, **settings) for each in (fed, other)]
    assert torch.equal(runs[0].weights, runs[1].weights) and runs[0].cost.examples == runs[1].cost.examples


def test_who_left_first_never_takes_part_again(judged):
    first, seen = fu.unlearn("fine-tune", judged[0], FIRST, rounds=1), []

    @fu.method("look around", needs=("forgotten data",))
    def look_around(task):
        seen.append(task)
        return task.train(task.original.weights, 1)

    try:
        run = fu.unlearn("look around", dataclasses.replace(first, federation=dataclasses.replace(first.federation, store=None)), SECOND)
    finally:
        del METHODS["look around"]
    (task,), sizes = seen, first.federation.clients.sizes
    assert task.staying.tolist() == [2, 3] and task.asked.tolist() == task.leaving.tolist() == [1] and task.present.tolist() == [1, 2, 3]
    assert np.array_equal(task.departed.held.images, first.federation.data.train.take(first.federation.forgotten(SECOND)).images)
    for held in (task.remaining, task.departed):
        assert (held.data.train.labels[first.federation.forgotten(FIRST)] == -1).all() and len(held.clients.indices[0]) == 0
    assert run.cost.examples == first.federation.local.epochs * sizes[2:].sum()
    assert torch.equal(task.original.weights, first.weights)


def test_whoever_has_left_cannot_leave_again(judged):
    first = fu.unlearn("fine-tune", judged[0], FIRST, rounds=1)
    with pytest.raises(fu.FucoreError, match="client 0 matches no training example: nothing to forget"):
        fu.unlearn("fine-tune", first, FIRST, rounds=1)
    with pytest.raises(fu.FucoreError, match="leaves no example to train on"):
        fu.unlearn("fine-tune", first, fu.forget.clients(1, 2, 3), rounds=1)


def test_methods_that_need_what_is_gone_say_so(trained):
    """History and preparation are of everybody; what needs neither goes on."""
    first = fu.unlearn("fine-tune", trained, FIRST, rounds=1)
    needing = [name for name in METHODS if "history" in METHODS[name].needs]
    assert len(needing) > 3
    for name in needing:
        with pytest.raises(fu.FucoreError, match=f"{name} needs every client's updates.* with first_request . second_request"):
            fu.unlearn(name, first, SECOND)
    for name, parameters in (("knot", {}), ("fedau", {"mode": "during"})):
        with pytest.raises(
            fu.FucoreError, match=f"{name} needs a training of its own with everybody, before anyone asked, and cannot go on"
        ):
            fu.unlearn(name, first, SECOND, **parameters)


def test_a_case_of_all_that_is_gone_judges_both_ways(judged, both):
    original = judged[0]
    chain = [fu.unlearn("fine-tune", original, FIRST, rounds=1)]
    chain.append(fu.unlearn("fine-tune", chain[0], SECOND, rounds=1))
    at_once = [chain[0], fu.unlearn("fine-tune", both, rounds=1)]
    first = fu.Case(*judged)
    assert [first.is_of(run) for run in chain] == [True, False] and [both.is_of(run) for run in chain] == [False, True]
    with pytest.raises(fu.FucoreError, match="late was unlearned for another request than client 0"):
        fu.compare({"late": chain[1]}, first)
    with pytest.raises(fu.FucoreError, match="the original is itself unlearned: give the run that everybody trained"):
        fu.Case(chain[0], both.retrained, SECOND)
    table = fu.step_by_step({"one by one": chain, "at once": at_once}, [first, both]).set_index(["step", "candidate"])
    report = fu.compare({"one by one": chain[1]}, both)
    rows = report.groups[report.groups.candidate == "one by one"]
    assert table.gap[2, "one by one"] == pytest.approx((rows.accuracy - rows.retrained).abs().mean())
    assert table.test_accuracy[2, "one by one"] == chain[1].history[-1]["test_accuracy"]
    assert table.forgotten[2, "Original"] == 0 and np.isclose(table.forgotten[1, "Retrained"], 1)
    sizes = original.federation.clients.sizes
    assert table.gone[1, "at once"] == sizes[0] and table.gone[2, "at once"] == sizes[:2].sum()
    epochs = original.federation.local.epochs
    assert table.examples_so_far[2, "one by one"] == epochs * (sizes[1:].sum() + sizes[2:].sum())
    assert table.examples_so_far[2, "at once"] == table.examples[2, "at once"] == epochs * sizes[2:].sum()
    several = fu.step_by_step({"one by one": [[run] for run in chain]}, [[first], [both]])
    assert {"distance", "forgotten_low"} <= set(several) and len(several) == 6


@pytest.mark.parametrize(
    "candidates, cases, sentence",
    [
        (lambda chain: {"a": chain[:1]}, lambda one, two: [one, two], "a must have one run .* for each of 2 steps"),
        (lambda chain: {"a": chain[1:]}, lambda one, two: [two], "not among those of the step before"),
        (lambda chain: {"a": chain}, lambda one, two: [], "a case for each step"),
    ],
)
def test_steps_that_do_not_follow_each_other_are_refused(judged, both, candidates, cases, sentence):
    chain = [fu.unlearn("fine-tune", judged[0], FIRST, rounds=1)]
    chain.append(fu.unlearn("fine-tune", chain[0], SECOND, rounds=1))
    with pytest.raises(fu.FucoreError, match=sentence):
        fu.step_by_step(candidates(chain), cases(fu.Case(*judged), both))


def test_a_second_step_that_was_stopped_goes_on_to_the_same_bits(judged, tmp_path, interrupt):
    """A new store, and a method that trains three rounds at one go."""
    original = judged[0]
    chain = lambda store: fu.unlearn("fine-tune", unlearned(store), SECOND, rounds=4)
    unlearned = lambda store: fu.unlearn(
        "fine-tune", dataclasses.replace(original, federation=dataclasses.replace(original.federation, store=store)), FIRST, rounds=1
    )
    whole, store = chain(fu.Store(tmp_path / "whole")), fu.Store(tmp_path / "stopped")
    unlearned(store)
    begun = interrupt()
    with pytest.raises(KeyboardInterrupt):
        chain(store)
    again = chain(store)
    assert torch.equal(again.weights, whole.weights) and again.key == whole.key and again.cost.examples == whole.cost.examples
    assert len(begun) == 5, "rounds 1 and 2 were not trained again: 3 begun before the stop, 2 after it"
