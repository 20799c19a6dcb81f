"""A metric, a method, an aggregation rule, a network and a data set of one's own: each in one place, and then everywhere."""

import contextlib
import dataclasses
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import fucore as fu
from fucore.data import sources
from fucore.evaluation import arena
from fucore.evaluation.power import metric_power
from fucore.federation import models


@contextlib.contextmanager
def registered(catalogue):
    """What is registered inside is forgotten afterwards."""
    before = dict(catalogue)
    try:
        yield
    finally:
        catalogue.clear()
        catalogue.update(before)


@pytest.fixture
def case(judged):
    return fu.Case(*judged)


def test_a_metric(case):
    with registered(fu.METRICS):

        @fu.metric("doubt", resolution=lambda case: 1e-6)
        def doubt(run, case, others):
            return 1 - case.logits(run, "departed").softmax(dim=1).max(dim=1).values.mean()

        report = fu.compare({"mine": fu.unlearn("fine-tune", case, rounds=1)}, case)
        values, _ = metric_power({"nothing": case.original}, case)
        assert "doubt" in report.table().columns and "doubt" in values.index
        shown = report.summary.set_index("candidate").doubt
        assert values.loc["doubt", "nothing"] == pytest.approx(shown["Original"])
        pooled = arena.pooled([report])
        assert "doubt" in arena.pooled_table(pooled).columns and pooled[pooled.column == "doubt"].best.any()
        with pytest.raises(fu.FucoreError, match="of fucore's own"):
            fu.metric("test accuracy")(doubt)
        with pytest.raises(fu.FucoreError, match="worse is 2"):
            fu.metric("other", worse=2)
    assert "doubt" not in fu.compare({}, case).table().columns


def test_a_method(case):
    with registered(fu.METHODS), registered(arena.ENTRIES):

        @fu.method("noise", needs=("forgotten data",))
        def noise(task, *, scale=0.01, rounds=1):
            draw = task.rng("noise").normal(size=len(task.original.weights))
            return task.train(task.original.weights + scale * torch.from_numpy(draw).float(), rounds)

        arena.ENTRIES["Noise"] = arena.Entry("noise", grid={"scale": (0.0, 0.1)})
        run = fu.unlearn("noise", case, seed=1)
        assert run.key is not None and torch.equal(run.weights, fu.unlearn("noise", case, seed=1).weights)
        assert not torch.equal(run.weights, fu.unlearn("noise", case, seed=2).weights)
        assert "noise" in fu.compare({"noise": run}, case).table().index
        point, table = arena.tune("Noise", case, rounds=1)
        assert point in ({"scale": 0.0}, {"scale": 0.1}) and len(table) == 2


@pytest.mark.long
def test_an_aggregation_rule(case):
    @dataclasses.dataclass(frozen=True)
    class Cautious(fu.Server):
        """Half of the way to the mean."""

        share: float = 0.5

        def step(self, theta, mean, state):
            return theta + self.share * (mean.float() - theta)

    fed = dataclasses.replace(case.federation, server=Cautious())
    own = fu.case(fed, fu.forget.client(0), 2, retrained=3)
    full = case.federation.train(1).weights - fed.initial_weights(0)
    half = fed.train(1).weights - fed.initial_weights(0)
    assert torch.allclose(half, 0.5 * full, atol=1e-6) and own.original.key is not None
    assert fu.compare({"mine": fu.unlearn("fedmemprune", own, ratio=0.3, rounds=2)}, own).summary is not None


def test_a_network(digits, tmp_path):
    with registered(models.FACTORIES):

        @fu.models.model("perceptron")
        def perceptron(shape, classes):
            return nn.Sequential(nn.Flatten(), nn.Linear(shape[1] * shape[2], classes))

        fed = fu.Federation(digits, fu.partition.iid(digits.train.labels, 3), "perceptron", store=fu.Store(tmp_path))
        assert fed.layout.size == 650 and fed.train(2).key is not None
        with pytest.raises(fu.FucoreError, match="of fucore's own"):
            fu.models.model("cnn")(perceptron)


def test_a_data_set():
    with registered(sources.SOURCES):

        @sources.source("stripes")
        def stripes(folder):
            labels = np.arange(60) % 2
            images = np.zeros((60, 8, 8), dtype=np.uint8)
            images[labels == 1, ::2] = 255
            return images[:40], labels[:40], images[40:], labels[40:], ("flat", "striped")

        data = fu.load("stripes")
        assert data.classes == ("flat", "striped") and len(data.train) == 40
        p = fu.params.check({"dataset": "stripes", "clients": 2, "partition": "iid"})
        assert p.federation().train(1).history[-1]["test_accuracy"] > 0.4
        with pytest.raises(fu.FucoreError, match="of fucore's own"):
            sources.source("digits")(stripes)
    with pytest.raises(fu.FucoreError, match="dataset is 'stripes'"):
        fu.load("stripes")


@pytest.mark.long
def test_cases_share_their_original_and_are_validated(judged):
    original, retrained, request = judged
    fed = original.federation
    one, other = fu.cases(fed, [0, fu.forget.client(1)], 6, retrained=3)
    assert one.original.key == other.original.key == original.key and one.retrained[0].key != other.retrained[0].key
    assert "client 0: " in repr(one) and (one.forgotten == fed.forgotten(request)).all()
    assert torch.equal(one.logits(original), fed.logits(original.weights, one.departed))
    for wrong, sentence in {
        (original, (), request): "needs retrained runs",
        (original, (original,), request): "cannot be the reference",
        (original, (*one.retrained, one.retrained[0]), request): "given twice",
        (original, one.retrained, fu.forget.client(2)): "cannot be the reference",
    }.items():
        with pytest.raises(fu.FucoreError, match=sentence):
            fu.Case(*wrong)
    with pytest.raises(fu.FucoreError, match="give nothing else"):
        fu.compare({}, one, retrained, request)
    with pytest.raises(fu.FucoreError, match="give no other"):
        fu.unlearn("fine-tune", one, request)
    with pytest.raises(fu.FucoreError, match="what must be forgotten is missing"):
        fu.unlearn("fine-tune", original)
    elsewhere = fu.unlearn("fine-tune", other, rounds=1)
    with pytest.raises(fu.FucoreError, match="for another request"):
        fu.compare({"mine": elsewhere}, one)


def test_a_case_computes_for_itself_only(case):
    """Predictions are remembered by a case, not by what is made from it, and a metric that is written again is computed again."""
    case.logits(case.original)
    assert not dataclasses.replace(case)._seen and not pickle.loads(pickle.dumps(case.__getstate__()))["_seen"]
    with registered(fu.METRICS):
        for value in (0.1, 0.2):
            fu.metric("again")(lambda run, case, others, value=value: value)
            assert fu.METRICS["again"](case.original, case) == value
