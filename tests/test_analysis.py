import numpy as np
import pytest
import torch

import fucore as fu
from fucore.analysis.embedding import features, plane
from fucore.analysis.importance import sorted_importance
from fucore.analysis.loss_path import loss_path


def test_loss_path_ends_exactly_at_its_models(judged):
    """S = 0 and s = 1 reproduce the metrics of the two models."""
    original, retrained, request = judged
    fed = original.federation
    splits = {"test": fed.data.test, "forgotten": fed.data.train.take(fed.forgotten(request))}
    table = loss_path(fed, original.weights, retrained[0].weights, splits, steps=(0.0, 0.5, 1.0)).set_index(["step", "split"])
    for name, split in splits.items():
        for step, run in ((0.0, original), (1.0, retrained[0])):
            assert tuple(table.loc[(step, name), ["accuracy", "loss"]]) == fed.evaluate(run.weights, split)
    assert table.loc[(0.5, "test"), "loss"] > table.loc[(1.0, "test"), "loss"], "a barrier lies between independent models"
    with pytest.raises(fu.FucoreError, match="two models of one shape"):
        loss_path(fed, original.weights, original.weights[1:], splits)


def test_sorted_importance():
    percentiles, values = sorted_importance(torch.arange(100).flip(0), points=5)
    assert percentiles.tolist() == [0, 25, 50, 75, 100] and values[0] == 0 and values[-1] == 99 and (values.diff() > 0).all()


def test_features_are_what_the_last_layer_sees(judged):
    original = judged[0]
    fed = original.federation
    seen = features(fed, original.weights, fed.data.test)
    head = fed.layout.views(original.weights)
    names = list(head)[-2:]
    logits = torch.from_numpy(seen) @ head[names[0]].T + head[names[1]]
    assert torch.allclose(logits, fed.logits(original.weights, fed.data.test), atol=1e-4)


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_plane(method):
    points = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    assert plane(points, method).shape == (40, 2) and np.array_equal(plane(points, method), plane(points, method))
