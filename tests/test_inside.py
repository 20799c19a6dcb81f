"""Resetting alone, importance, barriers and what is known of a class; their figures."""

import numpy as np
import pandas as pd
import pytest
import torch

import fucore as fu
from fucore.analysis.importance import remaining_importance
from fucore.analysis.loss_path import barrier, loss_path, loss_plane
from fucore.analysis.probe import class_knowledge
from fucore.analysis.resets import accuracy_after_reset
from fucore.companion import inside
from fucore.evaluation.gme import group_names


def test_resets_are_judged_by_group_beside_the_original(judged):
    case = fu.Case(*judged)
    table = accuracy_after_reset(case, ratios=(0.0, 1.0), kinds={"random": "random"}, seeds=[0])
    assert list(table.columns) == group_names(len(case.forgotten))
    assert list(table.index) == [("", "original"), ("0% reset", "random"), ("100% reset", "random")]
    assert (table.iloc[1] == table.iloc[0]).all(), "with nothing reset it is the original"
    sizes = np.diff(np.round(np.array([0, 0.05, 0.1, 0.15, 0.2, 1]) * len(case.forgotten)))
    accuracy = case.federation.evaluate(case.original.weights, case.departed)[0]
    assert (table.iloc[0] * sizes).sum() / sizes.sum() == pytest.approx(accuracy)
    assert table.iloc[2, -1] < table.iloc[0, -1] - 0.3, "with everything reset hardly anything is known"


def test_importance_is_what_who_stays_would_change(judged):
    original, _, request = judged
    fed = original.federation
    importance = remaining_importance(original, request, seed=3)
    after = fed.without(request).train(1, seed=3, start=original.weights, first_round=6)
    assert torch.equal(importance, (after.weights - original.weights).abs()) and importance.max() > 0
    assert not torch.equal(importance, remaining_importance(original, fu.forget.client(1), seed=3)), "others stay"


def path_of(losses, steps=(-0.5, 0.0, 0.5, 1.0), split="test"):
    return pd.DataFrame({"step": steps, "split": split, "loss": losses})


def test_a_barrier_is_what_rises_above_the_line():
    assert barrier(path_of([9.0, 1.0, 5.0, 3.0])) == 3.0, "what lies beyond the ends does not count"
    assert barrier(path_of([9.0, 1.0, 0.5, 3.0])) == 0.0
    both = pd.concat([path_of([0.0, 0.0, 4.0, 0.0]), path_of([0.0, 0.0, 1.0, 0.0], split="forgotten")])
    assert barrier(both) == 4.0 and barrier(both, "forgotten") == 1.0
    with pytest.raises(fu.FucoreError, match="at steps 0 and 1"):
        barrier(path_of([1.0, 1.0, 1.0], steps=(-0.1, 0.1, 0.9)))


def test_what_is_known_of_a_class(judged):
    original = judged[0]
    fed = original.federation
    models = {"original": original.weights, "untrained": fed.initial_weights(9)}
    table = class_knowledge(fed, models, 3, fed.data.train.take(range(300)))
    assert list(table.columns) == ["class", "others", "probe"] and list(table.index) == list(models)
    share = (fed.data.test.labels == 3).double().mean()
    row = table.loc["original"]
    assert share * row["class"] + (1 - share) * row["others"] == pytest.approx(fed.evaluate(original.weights)[0])
    assert row["others"] > table.loc["untrained", "others"] + 0.3 and row.probe > 0.7


def test_figures_show_every_federation_path_and_model(judged):
    original, retrained, request = judged
    fed, models = original.federation, [original.weights, retrained[0].weights, retrained[1].weights]
    importance = remaining_importance(original, request)
    (axis,) = inside.importance_figure({"a": importance, "b": 2 * importance}, {"a": 0.2, "b": 0.4}).axes
    assert [line.get_xdata()[0] for line in axis.lines[1::2]] == pytest.approx([20, 40])
    path = loss_path(fed, *models[:2], {"test": fed.data.test, "forgotten": fed.data.train.take(range(20))}, steps=(0, 1))
    figure = inside.paths_figure({"one": path, "other": path})
    assert [axis.get_title() for axis in figure.axes] == ["one", "other"] and all(len(axis.lines) == 2 for axis in figure.axes)
    figure = inside.plane_figure(*loss_plane(fed, models, fed.data.test, points=3), ("first", "second", "third"))
    assert [text.get_text() for text in figure.axes[0].texts] == ["first", "second", "third"]
