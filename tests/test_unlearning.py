import dataclasses
import math

import pytest
import torch
from test_federation import poisoned

import fucore as fu
from fucore.federation.models import initial_bound
from fucore.unlearning import METHODS, Task, fedmemprune
from fucore.unlearning.fedmemprune import automatic_ratio, least_important, published_initial_values

CLIENT = fu.forget.client(0)


def task_of(judged, name="fedmemprune", seed=0):
    original, _, request = judged
    return Task(original, request, METHODS[name], seed)


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.37, 1.0])
def test_selection_takes_exactly_the_least_important(ratio):
    importance = torch.rand(1003, generator=torch.Generator().manual_seed(0))
    chosen = least_important(importance, ratio)
    assert len(chosen) == math.floor(ratio * 1003)
    rest = torch.ones(1003, dtype=bool).index_fill(0, chosen, False)
    if 0 < len(chosen) < 1003:
        assert importance[chosen].max() <= importance[rest].min()


def test_ties_go_to_the_lower_index():
    assert least_important(torch.tensor([1.0, 0, 1, 0, 0]), 0.4).tolist() == [1, 3]


@pytest.mark.parametrize("mode", ["paper", "code"])
@pytest.mark.parametrize("reinit", ["fresh_model", "code"])
def test_what_is_not_reset_is_untouched(judged, monkeypatch, mode, reinit):
    """Before fine-tuning, theta'[not M] is theta_o + g (code) or theta_o (paper), exactly."""
    original, _, request = judged
    seen = {}

    def spy(theta, chosen, task, how, real=fedmemprune.reset):
        seen.update(before=theta, chosen=chosen, after=real(theta, chosen, task, how))
        return seen["after"]

    monkeypatch.setattr(fedmemprune, "reset", spy)
    task = task_of(judged)
    METHODS["fedmemprune"].function(task, ratio=0.3, rounds=2, mode=mode, reinit=reinit)
    kept = torch.ones(len(original.weights), dtype=bool).index_fill(0, seen["chosen"], False)
    base = original.weights if mode == "paper" else task.remaining.train(1, task._stream, start=original.weights).weights
    assert torch.equal(seen["before"], base) and torch.equal(seen["after"][kept], base[kept])
    assert (seen["after"][~kept] != base[~kept]).float().mean() > 0.99


def test_ratio_zero_of_the_code_is_fine_tuning(judged):
    """Bit for bit."""
    original, _, request = judged
    pruned = fu.unlearn("fedmemprune", original, request, ratio=0.0, rounds=3, mode="code", seed=5)
    tuned = fu.unlearn("fine-tune", original, request, rounds=3, seed=5)
    assert torch.equal(pruned.weights, tuned.weights)
    paper = fu.unlearn("fedmemprune", original, request, ratio=0.0, rounds=3, mode="paper", seed=5)
    assert torch.equal(paper.weights, tuned.weights)


def test_reset_values_lie_within_the_published_bounds(judged):
    layout = judged[0].federation.layout
    values = published_initial_values(layout, seed=1)
    for shape, part in zip(layout.shapes, layout.views(values).values()):
        assert part.abs().max() <= (math.sqrt(6 / math.prod(shape[1:])) if len(shape) > 1 else 0.1) == initial_bound(shape)


def test_one_round_is_the_reset_and_rounds_include_locating(judged):
    original, _, request = judged
    code = fu.unlearn("fedmemprune", original, request, ratio=0.5, rounds=3)
    assert [row["round"] for row in code.history] == [1, 1, 2, 3] and code.history[1]["stage"] == "reset"
    assert fu.unlearn("fedmemprune", original, request, ratio=0.5, rounds=1).history[-1]["stage"] == "reset"
    examples = original.federation.without(request).clients.sizes.sum() * original.federation.local.epochs
    assert code.cost.examples == 3 * examples
    paper = fu.unlearn("fedmemprune", original, request, ratio=0.5, rounds=3, mode="paper")
    assert paper.cost.examples == 3 * examples + original.federation.without(request).clients.sizes.sum()


def accepted(name, run):
    """A request that the method accepts, for client 0 or the class that it has most of."""
    labels = run.federation.data.train.labels[run.federation.clients.indices[0]]
    return METHODS[name].example_request(client=0, label=int(labels.bincount().argmax()))


@pytest.mark.long
def test_methods_without_need_cannot_read_the_forgotten(judged):
    """Same bits when what must be forgotten is replaced by examples that raise when read; and no other way leads to it."""
    original = judged[0]
    bare = dataclasses.replace(original, federation=dataclasses.replace(original.federation, store=None))
    for name in METHODS:
        if "forgotten data" in METHODS[name].needs or {"history", "preparation"} & set(METHODS[name].needs):
            continue
        request = accepted(name, original)
        weights = (
            METHODS[name].function(Task(bare, request, METHODS[name], 0), ratio=0.3)
            if name == "fedmemprune"
            else METHODS[name].function(Task(bare, request, METHODS[name], 0))
        )
        task = Task(bare, request, METHODS[name], 0)
        task.remaining = poisoned(bare.federation, request)
        assert torch.equal(METHODS[name].function(task, **({"ratio": 0.3} if name == "fedmemprune" else {})), weights), name
        assert task.original.federation is None
        with pytest.raises(fu.FucoreError, match="does not declare it"):
            _ = task.departed


def test_a_method_that_declares_it_reads_the_forgotten_and_pays(judged):
    original, _, request = judged

    @fu.method("relabel", needs=("forgotten data",))
    def relabel(task, *, rounds=1):
        return task.train(task.original.weights, rounds, on=task.departed)

    try:
        run = fu.unlearn("relabel", original, request)
    finally:
        del METHODS["relabel"]
    assert run.cost.examples == original.federation.local.epochs * len(original.federation.forgotten(request))


def test_whatever_changes_unlearning_changes_its_key(judged):
    original, _, request = judged
    slower = dataclasses.replace(original.federation, local=dataclasses.replace(original.federation.local, lr=1e-3))
    keys = {fu.unlearn("fine-tune", run, request, rounds=1).key for run in (original, dataclasses.replace(original, federation=slower))}
    keys |= {fu.unlearn("fine-tune", original, request, rounds=1, seed=1).key, fu.unlearn("fine-tune", original, request, rounds=2).key}
    assert len(keys) == 4


def test_recovery_does_not_replay_the_batches_of_training(judged):
    original, _, request = judged
    tuned = fu.unlearn("fine-tune", original, request, rounds=1, seed=0)
    assert not torch.equal(tuned.weights, original.federation.without(request).train(1, 0, start=original.weights).weights)


@pytest.mark.long
def test_the_original_is_never_changed(judged):
    original = judged[0]
    before = original.weights.clone()
    for name in [name for name, chosen in METHODS.items() if "history" not in chosen.needs]:
        fu.unlearn(name, original, accepted(name, original), seed=11)
    assert torch.equal(original.weights, before)


@pytest.mark.parametrize(
    "request_", [fu.forget.clients(0, 2), fu.forget.classes(3), fu.forget.class_of_client(1, 2), fu.forget.examples(range(50))], ids=str
)
def test_every_kind_of_request(judged, request_):
    original = judged[0]
    run = fu.unlearn("fedmemprune", original, request_, ratio=0.5, rounds=2)
    assert run.history[-1]["test_accuracy"] > 0.5


def test_automatic_ratio():
    """Permutation-invariant, unmoved by scaling with 10, monotone in the quantile, clamped; zeros are below all."""
    generator = torch.Generator().manual_seed(0)
    importance = 10 ** (torch.randn(20_000, generator=generator, dtype=torch.float64) * 1.2 - 4)
    ratio = automatic_ratio(importance)
    assert 0.05 < ratio < 0.9
    assert automatic_ratio(importance[torch.randperm(20_000, generator=generator)]) == ratio
    assert all(automatic_ratio(importance * 10.0**k) == pytest.approx(ratio, abs=1e-4) for k in (-3, -1, 1, 2))
    ratios = [automatic_ratio(importance, upper) for upper in (0.5, 0.9, 0.98, 0.999)]
    assert ratios == sorted(ratios)
    assert automatic_ratio(torch.ones(1000)) == 0.05
    assert automatic_ratio(torch.cat([torch.zeros(900), torch.ones(100)])) == 0.9
    with pytest.raises(fu.FucoreError, match="needs parameters that move"):
        automatic_ratio(torch.zeros(100))


def test_automatic_ratio_in_use(judged):
    original, _, request = judged
    run = fu.unlearn("fedmemprune", original, request, rounds=1)
    assert 0.05 <= run.log["ratio"] <= 0.9


def test_nothing_moved_is_warned_about(judged):
    original, _, request = judged
    fed = original.federation
    still = dataclasses.replace(fed, store=None, local=dataclasses.replace(fed.local, lr=0.0))
    with pytest.warns(UserWarning, match="no parameter moved"):
        fu.unlearn("fedmemprune", dataclasses.replace(original, federation=still), request, ratio=0.2, mode="code")


@pytest.fixture
def mine():
    @fu.method("shrink", citation="nobody")
    def shrink(task, *, rounds=1, factor=0.9):
        task.log["factor"] = factor
        return task.train(task.original.weights * factor, rounds)

    yield "shrink"
    del METHODS["shrink"]


def test_a_readers_method_in_one_function(judged, mine):
    original, retrained, request = judged
    run = fu.unlearn(mine, original, request, factor=0.8)
    assert run.log == {"factor": 0.8} and run.cost.examples > 0
    assert fu.unlearn(mine, original, request, factor=0.8).key == run.key
    assert "shrink" in fu.compare({"shrink": run}, original, retrained, request).table().index


@pytest.mark.parametrize(
    "act, sentence",
    [
        (lambda o, r: fu.unlearn("magic", o, r), "method is 'magic', but must be one of: class-pruning, conda"),
        (lambda o, r: fu.unlearn("fedmemprune", o, r, rho=0.4), "fedmemprune has no parameter 'rho', only: ratio, rounds, mode, reinit"),
        (lambda o, r: fu.unlearn("fedmemprune", o, r, ratio=1.5), r"ratio is 1.5, but must be a number in \[0, 1\]"),
        (lambda o, r: fu.unlearn("fedmemprune", o, r, ratio="half"), "ratio is 'half'"),
        (lambda o, r: fu.unlearn("fedmemprune", o, r, rounds=0), "rounds is 0"),
        (lambda o, r: fu.unlearn("fedmemprune", o, r, mode="best"), "mode is 'best'"),
        (lambda o, r: fu.unlearn("fedmemprune", o, r, mode="paper"), 'ratio "auto" is defined on client updates'),
        (lambda o, r: fu.unlearn("fine-tune", o, fu.forget.clients(0, 1, 2, 3)), "leaves no example"),
        (lambda o, r: fu.unlearn("fine-tune", dataclasses.replace(o, federation=None), r), "does not know its federation"),
    ],
)
def test_errors_say_what_is_allowed(judged, act, sentence):
    with pytest.raises(fu.FucoreError, match=sentence):
        act(judged[0], judged[2])


def test_methods_may_work_in_place_draw_numbers_and_stay_within_bounds(judged):
    original, _, request = judged
    fed, before = original.federation, original.weights.clone()
    bare = dataclasses.replace(original, federation=dataclasses.replace(fed, store=None))

    @fu.method("in place")
    def in_place(task, *, scale=0.01):
        return task.original.weights.add_(scale * torch.randn(len(task.original.weights)))

    @fu.method("cheat")
    def cheat(task, *, rounds=1):
        return task.train(task.original.weights, rounds, on=fed)

    try:
        assert torch.equal(*(fu.unlearn("in place", bare, request, seed=1).weights for _ in range(2)))
        assert torch.equal(original.weights, before)
        with pytest.raises(fu.FucoreError, match="cheat may train on task.remaining"):
            fu.unlearn("cheat", bare, request)
        with pytest.raises(fu.FucoreError, match="fine-tune is a method of fucore's own"):
            fu.method("fine-tune")(lambda task: task.original.weights)
        with pytest.raises(fu.FucoreError, match="parameter k needs a default value"):

            @fu.method("bare")
            def bare_method(task, *, k):
                return k

    finally:
        del METHODS["in place"], METHODS["cheat"]
