"""What the chapters on clients of different sources say of side effects, by hand."""

import types

import numpy as np
import pandas as pd
import pytest
import torch

import fucore as fu
from fucore.analysis.excitation import most_exciting, units_of
from fucore.companion import routes, silencing, yardsticks
from fucore.evaluation.clients import client_accuracy, global_accuracy, side_effects


def effect(asked, others_class, other_classes, over_forgetting=0.0):
    return pd.Series({"asked": asked, "over_forgetting": over_forgetting, "others_class": others_class, "other_classes": other_classes})


@pytest.fixture
def table():
    """Accuracy of two candidates on two classes of three clients; client 2 has no test image of class 1."""
    values = {"Original": (1.0, 0.8, 0.6, 0.5, 0.4), "edit": (0.0, 0.9, 0.3, 0.5, 0.4)}
    places = ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0))
    return pd.DataFrame(
        [
            {"candidate": name, "client": client, "label": label, "examples": 10 + client, "accuracy": value}
            for name, row in values.items()
            for (client, label), value in zip(places, row)
        ]
    )


def test_tables_by_client_and_by_class(table):
    cells = routes.on_class(table, 0)
    assert list(cells.index) == ["Original", "edit"] and cells.loc["edit"].tolist() == [0, 30, 40]
    assert routes.on_class(table, 1).columns.tolist() == [0, 1]
    both = routes.by_class(table, [0, 2])
    assert both.index.tolist() == [(0, 0), (0, 1), (2, 0)] and both.columns.tolist() == ["Original", "edit"]
    assert routes.tested(table)[2, 0] == 12 and len(routes.tested(table)) == 5


def test_the_largest_change_is_of_others_and_keeps_its_sign(table):
    assert routes.largest_change(routes.on_class(table, 0), "edit", client=0) == pytest.approx(-30)
    assert routes.largest_change(routes.on_class(table, 0), "edit", client=1) == pytest.approx(-100)
    assert routes.largest_change(routes.on_class(table, 1), "edit", client=1) == pytest.approx(10)


def test_names_of_clients_and_cells(digits):
    wild = types.SimpleNamespace(names=("digits", "rendered (synthetic)"), domain_of=np.array([0, 0, 1]), data=digits)
    counts = pd.Series({0: 4, 2: 7})
    assert routes.client_names(wild, counts) == ["0\ndigits\nn=4", "2\nrendered\nn=7"]
    cells = pd.Series([4], index=pd.MultiIndex.from_tuples([(1, 3)]))
    assert routes.cell_names(wild, cells) == [f"client 1 · {digits.classes[3]} · n=4"]
    assert routes.one_of_each(wild, 1) == [1, 2] and routes.one_of_each(wild, 2) == [2, 0]


@pytest.mark.parametrize("below, word", [(0.05, "as retraining"), (0.06, "over-forgets"), (-0.06, "forgets less than retraining")])
def test_up_to_five_points_count_as_equal(below, word):
    told = routes.in_words(effect(0.5, 0.2, 0.0, below))
    assert told == f"{word} ({100 * below:+.0f} points below retraining), costs others 20 points on the class"


def test_units_are_dominant_shared_or_needed_elsewhere():
    dominance = [(4, 0.0, 1.0), (3, 0.89, 1.0), (2, 0.9, 1.0), (1, 1.1, 1.0), (0, 1.2, 1.0)]
    assert silencing.kinds(dominance) == {"dominant": 2, "shared": 2, "elsewhere": 1}


def test_gentler_than_zeroing():
    zeroing = effect(0.2, 0.6, 0.1)
    pairs = {
        "gentler": (effect(0.3, 0.6, 0.05), zeroing),
        "forgets too little of it": (effect(0.4, 0.1, 0.0), zeroing),
        "does not forget": (effect(0.6, 0.0, 0.0), zeroing),
        "harsher": (effect(0.2, 0.7, 0.3), zeroing),
        "spares the class only": (effect(0.2, 0.5, 0.11), zeroing),
    }
    judged = silencing.against_zeroing(pairs)
    assert judged.forgets.tolist() == [True, True, False, True, True]
    assert judged.gentler.tolist() == [True, False, False, False, False]
    assert judged.partly.tolist() == [False, True, False, False, True]
    ours = effect(0.1, 0.2, 0.3)
    assert silencing.beside(ours, zeroing).startswith(
        "10 against zeroing's 20 % on the class, the class elsewhere loses 20 against 60 points"
    )
    assert silencing.elsewhere(ours, zeroing).endswith("other classes 30 (zeroing 10)")
    assert silencing.line(ours) == "  10 % on the client's class, others lose  20 on it and  30 on other classes"


def test_figures_show_every_candidate():
    rows = {f"{name} {count}": effect(0.5, 0.1, 0.1) for name in silencing.COLOURS for count in (1, 5)}
    figure = silencing.units_figure(pd.DataFrame({**rows, "Retrained": effect(0.9, 0, 0)}).T, [1, 5], 100)
    assert len(figure.axes) == 3 and [len(axis.lines) for axis in figure.axes] == [4, 3, 3]
    bars = silencing.accuracy_figure(pd.Series({"Before": 90.0, "Retrained": 91.0})).axes[0].patches
    assert [bar.get_width() for bar in bars] == [90, 91]


def test_the_most_exciting_images_come_first(judged):
    original, _, _ = judged
    split, units = original.federation.data.train.take(np.arange(0, 900, 3)), units_of(original.federation)
    found = most_exciting(original, [3, 40], split, count=5)
    active = units.activations(original.weights, original.federation.engine.worker.inputs(split.images))
    for unit, places in found.items():
        assert active[places, unit].tolist() == pytest.approx(active[:, unit].topk(5).values.tolist(), rel=1e-4)
    assert set(found) == {3, 40} and found[3].dtype == torch.int64


# ---- two yardsticks


@pytest.fixture(scope="module")
def judged_class():
    """(case, candidates, report, side effects) of a request for a class of a client of the digits."""
    digits = fu.load("digits")
    clients = fu.partition.dirichlet(digits.train.labels, 3, 1.0, seed=1)
    fed = fu.Federation(digits, clients, "mlp", fu.LocalTraining(epochs=1, batch=64))
    case = fu.case(fed, fu.forget.class_of_client(3, 0), 3, retrained=3)
    candidates = {"Fine-tuning": fu.unlearn("fine-tune", case, rounds=1), "Nothing": case.original}
    candidates["Zeroing"] = fu.unlearn("neuron-zeroing", case, share=0.3)
    models = {"Original": case.original, "Retrained": case.retrained, **candidates}
    tests = tuple(np.array_split(np.arange(len(digits.test)), 3))
    return case, models, fu.compare(candidates, case), side_effects(client_accuracy(fed, models, tests), case.request)


def test_both_yardsticks_rank_the_methods(judged_class):
    case, models, report, effects = judged_class
    table = yardsticks.both(report, effects)
    assert list(table.index) == list(models) and np.isnan(table.loc["Retrained", yardsticks.GAP])
    assert table.loc["Nothing", yardsticks.GAP] == table.loc["Original", yardsticks.GAP]
    ranks = table.dropna()
    assert list(ranks.index) == ["Fine-tuning", "Nothing", "Zeroing"]
    assert ranks[yardsticks.ALIKE].idxmin() == ranks[yardsticks.GAP].idxmin() and ranks[yardsticks.LOW].min() == 1
    assert f"Closest to retraining: {ranks[yardsticks.GAP].idxmin()}, " in yardsticks.best(table)[1]
    assert "yardsticks" in yardsticks.shaded(table).to_html()


def test_rankings_may_agree_or_be_reversed():
    table = pd.DataFrame({yardsticks.LOW: [1.0, 2.0, 2.0, 4.0, np.nan], yardsticks.ALIKE: [4.0, 2.0, 2.0, 1.0, np.nan]})
    assert yardsticks.agreement(table) == (pytest.approx(-1), 4, 2)
    assert yardsticks.agreement(table.assign(**{yardsticks.ALIKE: table[yardsticks.LOW]}))[0] == pytest.approx(1)


def test_cells_and_who_did_not_move(judged_class):
    _, _, report, _ = judged_class
    found, groups = yardsticks.cells(report.groups), report.groups
    assert sum(found.values()) == 3 * groups.group.nunique()
    assert found["differ"] == (groups[~groups.candidate.isin(["Original", "Retrained"])].answer == "≠").sum()
    assert "Nothing" in yardsticks.unmoved(groups) and not {"Original", "Retrained"} & set(yardsticks.unmoved(groups))


def test_mean_gaps_are_sorted_and_leave_out_who_is_no_method():
    kept = pd.DataFrame({"candidate": ["Original", "a", "a", "b", "b"], "gap": [np.nan, 0.3, 0.5, 0.1, np.nan]})
    assert yardsticks.mean_gaps(kept).to_dict() == {"b": pytest.approx(10), "a": pytest.approx(40)}


def test_global_accuracy_and_its_summary(judged_class):
    case, models, _, effects = judged_class
    found = global_accuracy(case.federation, models)
    each = [case.federation.evaluate(run.weights)[0] for run in case.retrained]
    assert found.loc["Retrained"].tolist() == pytest.approx([np.mean(each), np.ptp(each) / 2])
    assert np.isnan(found.loc["Original", "half_range"])
    table = routes.summary(found, effects)
    assert list(table.index) == list(models)
    assert list(table.columns) == ["all test images", "±", *routes.EFFECTS.values()]
    assert table.loc["Zeroing", "below retraining"] == pytest.approx(100 * effects.over_forgetting["Zeroing"])
    assert "–" in routes.shaded(table).to_html()


# ---- verdicts


@pytest.mark.parametrize(
    "claim, values, verdict",
    [
        ("W-table4-exact", (-5, 0), "reproduced"),
        ("W-table4-exact", (-40, -2), "direction only"),
        ("W-table4-exact", (-40, -30), "not reproduced"),
        ("W-table4-zeroing", (24, 76, 11), "reproduced"),
        ("W-table4-zeroing", (24, 76, 1), "direction only"),
        ("W-table4-zeroing", (24, 10, 11), "not reproduced"),
        ("W-table5", (21, 50), "reproduced"),
        ("W-table5", (20, 50), "direction only"),
        ("W-table5", (5, 9), "not reproduced"),
        ("W-table7", (2, 0, 2), "reproduced"),
        ("W-table7", (2, 1, 1), "direction only"),
        ("W-table7", (0, 0, 0), "not reproduced"),
        ("W-figure4", (1, 2), "reproduced"),
        ("W-figure4", (-1, 2), "direction only"),
        ("W-figure4", (1, 0), "not reproduced"),
        ("W-argument", (40,), "reproduced"),
    ],
)
def test_verdicts_on_the_second_paper(claim, values, verdict):
    rules = fu.findings.rules()
    names = rules[rules.claim == claim].statistic.unique()
    assert fu.findings.judge(claim, dict(zip(names, values, strict=True))) == verdict
