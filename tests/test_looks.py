"""What runs make of examples is computed once and kept, and never taken for something else."""

import dataclasses

import numpy as np
import pytest
import torch

import fucore as fu
from fucore.runs.looks import log_odds, look_at


@pytest.fixture
def case(stored):
    request = fu.forget.client(0)
    return fu.Case(stored.train(1), tuple(stored.without(request).train_many(1, (1, 2, 3))), request)


def again(case):
    """The same case in what could be another session."""
    return dataclasses.replace(case)


def test_log_odds_by_value():
    logits, labels = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]), torch.tensor([2, 0])
    probabilities = torch.softmax(logits.double(), dim=1)[torch.arange(2), labels]
    look = look_at(logits, labels)
    assert look.log_odds == pytest.approx(torch.logit(probabilities).numpy(), rel=1e-6) and look.right.tolist() == [True, True]
    assert look.probability == pytest.approx(probabilities.numpy(), rel=1e-6)
    assert look.loss == pytest.approx(torch.nn.functional.cross_entropy(logits, labels, reduction="none").numpy(), rel=1e-6)
    assert np.isfinite(log_odds(torch.tensor([[1e4, 0.0], [-1e4, 0.0]]), torch.tensor([0, 0]))).all()


def test_a_second_judgement_computes_nothing(case, monkeypatch):
    first = fu.compare({}, case)
    monkeypatch.setattr(fu.Federation, "logits", lambda *args: pytest.fail("looked twice"))
    second = fu.compare({}, again(case))
    assert second.groups.equals(first.groups) and second.summary.equals(first.summary)


def test_other_weights_other_images_or_another_scale_are_looked_at_anew(case):
    seen = case.look(case.original)
    blank = dataclasses.replace(case.original, weights=torch.zeros_like(case.original.weights))
    assert blank.key == case.original.key and not np.array_equal(again(case).look(blank).log_odds, seen.log_odds)
    assert not np.array_equal(case.look(case.original, "sample").log_odds[: len(seen)], seen.log_odds)
    fed = case.federation
    other = dataclasses.replace(fed, preprocessing=dataclasses.replace(fed.preprocessing, normalise=False))
    moved = fu.Case(
        dataclasses.replace(case.original, federation=other), tuple(other.without(case.request).train_many(1, (1, 2, 3))), case.request
    )
    assert not np.array_equal(moved.look(case.original).log_odds, seen.log_odds)


@pytest.mark.parametrize(
    "damage", [lambda content: content[:40], lambda content: content[:-1] + bytes([content[-1] ^ 1]), lambda content: b""]
)
def test_a_damaged_look_is_told_and_computed_again(case, damage):
    seen = case.look(case.original)
    (path,) = case.federation.store.root.glob("looks/??/*.safetensors")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match="look at a run's answers is damaged .* computed again"):
        assert np.array_equal(again(case).look(case.original).log_odds, seen.log_odds)
    assert np.array_equal(again(case).look(case.original).log_odds, seen.log_odds)


def test_looks_are_pruned_with_the_rest_and_a_store_that_cannot_be_written_is_no_obstacle(case, monkeypatch):
    store = case.federation.store
    case.look(case.original)
    assert list(store.root.glob("looks/??/*")) and store.prune() > 0 and not list(store.root.glob("looks/??/*"))

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fucore.runs.store.write_atomically", full)
    with pytest.warns(UserWarning, match="a look at a run's answers could not be kept .* results are not affected"):
        again(case).look(case.original)


def test_without_a_store_nothing_is_kept(fed):
    request = fu.forget.client(0)
    alone = fu.Case(fed.train(1), tuple(fed.without(request).train_many(1, (1, 2))), request)
    assert len(alone.look(alone.original)) == len(alone.forgotten)


def test_several_cases_of_ones_own(stored):
    cases = fu.cases(stored, [0, 1, 2], 2, retrained=3)
    runs = [fu.unlearn("fine-tune", each, rounds=1) for each in cases]
    report = fu.compare({"Fine-tuning": runs}, cases)
    assert "given the one original that they share" in report.legend and report.groups.cases.eq(3).all()
    assert report.cases.original.nunique() == 1 and set(report.closest().candidate) == {"Fine-tuning"}
    assert list(report.only("Fine-tuning").summary.candidate) == ["Original", "Retrained", "Fine-tuning"]
    for wrong, sentence in (({"protocol": "code"}, "protocol is 'code'"), ({"retrained": [1]}, "bring their retrained models")):
        with pytest.raises(fu.FucoreError, match=sentence):
            fu.compare({"Fine-tuning": runs}, cases, **wrong)
