"""Ablations: settings judged and kept by name, and what is said of their rows."""

import numpy as np
import pandas as pd
import pytest

import fucore as fu
from fucore.companion import ablations
from fucore.companion.live import Desk
from fucore.companion.params import Parameters

QUICK = {
    "dataset": "digits",
    "train_size": 400,
    "clients": 4,
    "rounds": 3,
    "recovery_rounds": 2,
    "retrained_models": 3,
    "unlearning_seeds": 1,
}


@pytest.fixture(scope="module")
def ablation():
    p = Parameters(**QUICK, alpha=1.0, seed=1, local_epochs=1, model="mlp")
    data = p.load()
    done = ablations.Ablation(p, data, bootstrap=20)
    done.judge("reset", p.federation(data), fu.forget.client(0), (0.0, 0.4), fine_tuning=True)
    done.judge("two leave", p.federation(data), fu.forget.clients(0, 1), (0.4,))
    return done


@pytest.fixture
def rows():
    """Two settings of two groups: the model is told from retraining in a group of the first, nothing is told in the second."""
    blank = {"noise": 0.02, "test_accuracy": 0.9, "forget_accuracy": 0.8, "bound": 0.11, "gap": 0.0, "speed_up": np.nan}
    table = [
        ("a", "Original", "80–100 %", 20, 1.0, 0.5),
        ("a", "Original", "0–80 %", 80, 0.9, 0.8),
        ("a", "Retrained", "80–100 %", 20, 0.5, 0.5),
        ("a", "Retrained", "0–80 %", 80, 0.8, 0.8),
        ("a", "FedMemPrune 40%", "80–100 %", 20, 0.8, 0.5),
        ("a", "FedMemPrune 40%", "0–80 %", 80, 0.7, 0.8),
        ("b", "Original", "80–100 %", 20, 0.1, 0.1),
        ("b", "Original", "0–80 %", 80, 0.1, 0.2),
        ("b", "FedMemPrune 40%", "80–100 %", 20, 0.2, 0.1),
        ("b", "FedMemPrune 40%", "0–80 %", 80, 0.1, 0.2),
    ]
    columns = "setting candidate group size accuracy retrained".split()
    return pd.DataFrame(table, columns=columns).assign(**blank)


def test_models_are_named_by_the_share_reset():
    assert [ablations.fedmemprune(ratio) for ratio in (0.0, 0.45, "auto")] == ["FedMemPrune 0%", "FedMemPrune 45%", "FedMemPrune auto"]


def test_a_setting_is_the_case_of_the_parameters(ablation):
    p, federation = ablation.p, ablation.p.federation(ablation.data)
    original = federation.train(p.rounds, seed=p.seed)
    kept = ablation.reports["reset"].summary.set_index("candidate").test_accuracy
    assert kept["Original"] == original.history[-1]["test_accuracy"]
    assert list(ablation.runs["reset"]) == ["Retrained", "FedMemPrune 0%", "FedMemPrune 40%", "Fine-tuning"]
    assert [run.config["seed"] for run in ablation.runs["reset"]["Retrained"]] == [2, 3, 4]
    (again,) = p.unlearn("fedmemprune", p.case(federation, fu.forget.client(0)), ratio=0.4)
    assert ablation.runs["reset"]["FedMemPrune 40%"][0].history == again.history


def test_rows_of_settings_come_in_order_with_sizes_and_costs(ablation):
    rows = ablation.rows("two leave", "reset")
    assert list(rows.setting.unique()) == ["two leave", "reset"]
    assert list(rows[rows.setting == "two leave"].candidate.unique()) == ["Original", "Retrained", "FedMemPrune 40%"]
    departed = rows[(rows.setting == "reset") & (rows.candidate == "Original")]
    assert departed["size"].sum() == len(ablation.reports["reset"].indices) and departed.examples.nunique() == 1
    assert (departed.examples > departed["size"]).all(), "examples are those processed"
    with pytest.raises(fu.FucoreError, match="setting is 'three leave', but must be one of: reset, two leave"):
        ablation.rows("three leave")


def test_curves_leave_out_the_moments_between_stages(ablation):
    figure = ablation.curves_figure({"first": ("reset", "FedMemPrune 40%"), "second": ("two leave", "FedMemPrune 40%")})
    assert [axis.get_title() for axis in figure.axes] == ["first", "second"]
    *retrained, unlearned = figure.axes[0].lines
    trained = [row for row in ablation.runs["reset"]["FedMemPrune 40%"][0].history if "stage" not in row]
    assert len(retrained) == 3 and list(unlearned.get_ydata()) == [100 * row["test_accuracy"] for row in trained]
    assert [text.get_text() for text in figure.axes[0].get_legend().texts] == ["retraining", "FedMemPrune"]


def test_gaps_noise_and_what_was_known(rows):
    assert ablations.mean_gap(rows, "a", "FedMemPrune 40%") == pytest.approx(20)
    assert np.isnan(ablations.mean_gap(rows, "b", "Fine-tuning"))
    assert ablations.noise(rows, "a") == pytest.approx(2)
    assert ablations.known(rows, "a") == pytest.approx(92), "groups count by their size"


def test_facts_count_only_what_can_be_told(rows):
    seen = ablations.facts(rows.assign(speed_up=[np.nan] * 4 + [1.5] * 2 + [np.nan] * 4), dict.fromkeys("ab", "FedMemPrune 40%"))
    assert seen.gap.tolist() == pytest.approx([20, 10]) and seen.original.tolist() == pytest.approx([30, 5])
    assert seen.alike.tolist() == [False, True] and seen.told.tolist() == [True, False] and seen.speed_up.tolist() == [1.5, 0]
    assert ablations.nearness(seen) == {
        "settings that can be told from retraining": 1,
        "largest gap as a share of the original's": pytest.approx(2),
    }
    assert ablations.gaps_in_words(seen) == "mean gaps a 20 (original 30), b 10 (original 5)"


def test_the_summary_counts_groups_and_settings(rows):
    said = ablations.summary(rows, dict.fromkeys("ab", "FedMemPrune 40%"))
    assert "told from retraining: 1 of 4;" in said and "in 1 of 2 settings" in said


def test_cells_have_gaps_by_group_and_what_a_setting_lacks_is_a_dash(rows):
    rows = rows.assign(gap=(rows.accuracy - rows.retrained).abs())
    mixed = pd.concat([rows[rows.setting == "a"], rows[rows.setting == "b"].replace("80–100 %", "75–100 %")])
    table = ablations.cells(mixed, ("forget", "test"))
    assert list(table.columns) == ["80–100 %", "0–80 %", "forget", "test", "75–100 %"]
    assert table.loc[("a", "FedMemPrune 40%")].tolist() == ["80.0 (30.0) ≠", "70.0 (10.0) ?", "80.0", "90.0", "–"]
    assert "<caption>kept: here</caption>" in ablations.table(rows, "kept: here").to_html()


def test_kept_rows_are_chosen_by_part_and_setting():
    kept = fu.results.table("ablations_cifar10-10k")
    rows = ablations.of(kept, "leaving", {"2 leave": 0, "8 leave": 0})
    assert set(rows.setting) == {"2 leave", "8 leave"} and set(rows.part) == {"leaving"}
    assert {"size", "speed_up", "noise", "bound"} <= set(kept.columns)


def test_figures_show_every_model_that_the_rows_have(rows, ablation):
    both = pd.concat([rows, rows[(rows.setting == "a") & (rows.candidate == "Retrained")].assign(setting="b")])
    figure = ablations.levels_figure({"x": both, "y": both}, ["a", "b"], {"Original": "r", "Fine-tuning": "g", "FedMemPrune 40%": "b"})
    assert [list(line.get_ydata()) for line in figure.axes[1].lines] == [pytest.approx([30, 5]), pytest.approx([20, 10])]
    figure = ablations.ratio_figure({"here": ablation.rows("reset"), "there": ablation.rows("reset")}, (0.0, 0.4))
    groups = ablation.reports["reset"].groups
    assert len(figure.axes[0].lines) == groups.group.nunique()
    first = groups[groups.group == groups.group.iloc[0]].set_index("candidate")
    expected = [100 * first.gap[name] for name in ("FedMemPrune 0%", "FedMemPrune 40%")]
    assert list(figure.axes[0].lines[0].get_ydata()) == pytest.approx(expected)


def test_the_printed_tables_have_groups_and_test_accuracy():
    table = fu.papers.printed("table1_main", "CIFAR-10 ")
    assert list(table.columns) == [*fu.papers.GROUPS.values(), "test acc."] and table.columns.name == "printed, Table 1"
    assert {setting for setting, _ in table.index} == {"CIFAR-10 IID", "CIFAR-10 Non-IID"}
    assert fu.papers.printed("tableF4_parameter_selection").loc[("CIFAR-10 IID", "Deep"), "95–100 %"] == 26.8
    assert fu.papers.printed("tableH10_example_level", measured=("forget_acc",)).columns[-1] == "forget acc."
    with pytest.raises(fu.FucoreError, match="measured is 'speed'"):
        fu.papers.printed("table1_main", measured=("speed",))


@pytest.mark.long
def test_both_knobs_recompute_on_a_notebooks_own_data(digits):
    """As chapter 6 does it live: any stop of the sliders, α = even included, is trained, unlearned and judged."""
    few = {"dataset": "digits", "clients": 4, "rounds": 2, "recovery_rounds": 2, "retrained_models": 3, "unlearning_seeds": 1}
    p = fu.params.check(few)
    ablation = ablations.Ablation(p, digits, bootstrap=20)

    def here(rho, alpha):
        split = fu.partition.dirichlet(digits.train.labels, p.clients, alpha, p.seed)
        report = ablation.judge(f"{rho} {alpha}", p.federation(digits, split), p.request(), (rho,))
        return fu.explorers.ratio_frame(report, ablations.fedmemprune(rho))

    explorer = fu.explorers.both(here)
    assert [view.name for view in explorer.views][-1] == fu.explorers.LIVE and fu.explorers.LIVE not in explorer.to_html()
    live, sent = explorer.views[-1], []
    desk = Desk(explorer.views, sent.append)
    for rho, alpha in (("0.4", "even"), ("0.15", "even")):
        desk.hear({"view": 2, "values": {"rho": rho, "alpha": alpha}})
        desk.thread.join(300)
        panels = {live.panels[place].kind: key for place, _, key, _ in sent[-1]["frames"]}
        assert panels == dict.fromkeys(("say", "rows", "curves"), f"{rho}|{alpha}")
    assert set(ablation.reports) == {"0.4 inf", "0.15 inf"} and sum("progress" in message for message in sent) > 10
