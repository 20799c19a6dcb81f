"""What the client alone knows: its predictions and the others', what only it gets right, and what is removed from a regression."""

import numpy as np
import pandas as pd
import pytest
import torch

import fucore as fu
from fucore.analysis import influence, pid, unique
from fucore.companion import information
from fucore.evaluation import judge_examples


def test_sources_are_the_client_and_the_others(fed):
    seen = pid.client_and_others(fed, 1, 1, (3, 4))
    test = fed.data.test
    assert all(len(values) == 2 * len(test) for values in seen.values()) and set(seen) == {"a", "b", "labels", "images"}
    alone, others = fed.only([1]).train(1, seed=4), fed.without(fu.forget.client(1)).train(1, seed=3)
    assert np.array_equal(seen["a"][len(test) :], fed.logits(alone.weights, test).argmax(1))
    assert np.array_equal(seen["b"][: len(test)], fed.logits(others.weights, test).argmax(1))
    assert np.array_equal(seen["labels"][seen["images"] == 5], [int(test.labels[5])] * 2)
    assert list(pid.estimate(**seen, classes=10, resamples=5).index) == list(pid.TERMS)


def test_what_only_the_client_gets_right_is_counted_on_groups_of_others(judged):
    case = fu.Case(*judged)
    counts = unique.only_alone(case, case.original)
    judges, _ = judge_examples(case, {})
    assert counts.examples.sum() == 4 * len(case.forgotten) and len(counts) == 5
    assert counts.only.sum() == sum((judges.original_hits & ~hits).sum() for hits in judges.retrained_hits)
    groups = [judges.groups_without(k)[judges.original_hits & ~judges.retrained_hits[k]] for k in range(4)]
    assert counts.only.iloc[0] == sum((group == 0).sum() for group in groups) > 0


def test_share_on_top():
    counts = pd.DataFrame({"only": [6, 2, 2], "examples": [10, 10, 80]})
    assert unique.share_on_top(counts) == pytest.approx((0.8, 1.96 * np.sqrt(0.8 * 0.2 / 10)))
    assert unique.share_on_top(counts.assign(only=0)) == (0, 0)


def test_removals_are_named_sorted_and_of_the_stated_size(digits):
    labels = digits.train.labels[:400]
    clients = fu.partition.Partition((np.arange(400)[::2], np.arange(0), np.arange(400)[1::2]))
    sets = influence.removals(labels, clients, seed=1, draws=2)
    assert len(sets) == 4 * 2 + 2 + 2 and "client 1" not in sets
    assert len(sets["random 0.5 %, draw 0"]) == 2 and len(sets["random 40 %, draw 1"]) == 160
    assert not np.array_equal(sets["random 40 %, draw 0"], sets["random 40 %, draw 1"])
    assert np.array_equal(sets["class 0, 100% of it"], np.flatnonzero(labels == 0)) and np.array_equal(sets["client 2"], clients.indices[2])
    assert all((np.diff(indices) > 0).all() for indices in sets.values())
    assert {information.kind_of(name) for name in sets} == {"random 0.5 %", "random 2 %", "random 10 %", "random 40 %", "class", "client"}


def test_components_are_those_of_largest_variance(digits):
    split = digits.train.take(range(300))
    model = influence.on_components(split, 10, components=6)
    assert model.inputs.shape == (300, 7) and (model.inputs[:, -1] == 1).all()
    spread = model.inputs[:, :-1].var(dim=0, correction=0)
    values = torch.linalg.eigvalsh(torch.cov((split.images.flatten(1).double() / 255).T, correction=0)).flip(0)
    assert torch.allclose(spread, values[:6])


def test_tables_sentences_and_figures():
    table = information.gates_table(("imin",))
    assert list(table.index) == [(gate, "imin") for gate in pid.GATES] and table.loc[("XOR", "imin"), "synergy"] == "1.00"
    estimates = pd.DataFrame({"corrected": [1.0, 0.5, 0.5, 0.0], "low": 0.0, "high": 1.0}, index=list(pid.TERMS))
    assert information.shares_of_total(estimates).startswith(
        "Of 2.00 bits over all ten questions: redundancy 50.0% (0.0% to 50.0%), unique A"
    )
    figure = information.terms_figure({"α": {0.5: estimates, float("inf"): estimates}, "clients": {5: estimates}})
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["0.5", "IID"] and len(figure.legends[0].get_texts()) == 4
    remainder = pd.DataFrame({"removed": ["client 0", "client 1", "class 0, 20% of it"], "share": [0.1, 0.2, 0.3]})
    remainder = remainder.assign(moved=1.0, remainder=[0.2, 0.4, 0.5], predictions=0.1, kind=remainder.removed.map(information.kind_of))
    assert information.remainder_table(remainder).loc["client", ("remainder", "mean")] == pytest.approx(0.3)
    assert [len(line.get_xdata()) for line in information.remainder_figure(remainder).axes[0].lines] == [0, 1, 2]
