"""How far apart clients are, in labels and in pictures."""

import numpy as np
import pandas as pd
import pytest

import fucore as fu
from fucore.analysis.shift import home_and_abroad, label_gap, transfer


def test_label_gap_is_zero_for_equal_mixtures_and_one_for_none_shared():
    assert label_gap(np.array([[1, 2], [10, 20], [5, 10]])) == 0 and label_gap(np.eye(4)) == 1
    assert label_gap(np.array([[1, 1], [1, 0], [0, 1]])) == pytest.approx((0.5 + 0.5 + 1) / 3)


@pytest.mark.long
def test_models_of_one_source_are_better_at_home():
    wild = fu.domains.load(["digits", "rendered-digits"], clients=(2, 2), image_size=8, train_size=200, test_size=100)
    fed = fu.Federation(wild.data, wild.clients, "mlp", fu.LocalTraining(epochs=4, batch=32), store=None, workers=1)
    table = transfer(fed, wild, rounds=1, seed=1)
    assert list(table.index) == [*wild.names, "all together"] and list(table.columns) == list(wild.names)
    alone = fed.only([0, 1]).train(1, seed=1)
    assert table.iloc[0, 1] == fed.evaluate(alone.weights, wild.test(1))[0], "a row is a model, a column a test"
    at_home, abroad = home_and_abroad(table)
    assert at_home > abroad + 0.1


def test_home_and_abroad_leave_out_the_model_of_all():
    table = pd.DataFrame([[0.9, 0.1, 0.2], [0.3, 0.8, 0.4], [0.5, 0.6, 0.7], [0.0, 0.0, 0.0]])
    assert home_and_abroad(table) == pytest.approx((0.8, 0.35))
