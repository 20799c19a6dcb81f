"""The kept comparison of all methods: overview, places, and its order beside the paper's."""

import numpy as np
import pandas as pd
import pytest

import fucore as fu
from fucore.companion import comparison


@pytest.fixture
def kept():
    """The paper's seven, fine-tuning and the control; the gap grows down the list, test accuracy falls."""
    names = [*reversed(comparison.SEVEN.values()), comparison.FINE_TUNING, comparison.CONTROL]
    rows = []
    for parameters, shift in (("tuned", 0.0), ("published", 0.025)):
        for number, name in enumerate(names):
            gap = 0.01 * number + (shift if name == "FedMemPrune" else 0)
            test = 0.9 - 0.02 * number
            rows += [(name, column, 0.5, gap, parameters, 1.0 + number) for column in ("95–100 %", "0–80 %")]
            rows.append((name, "test", test, np.nan, parameters, 1.0 + number))
        rows += [("Original", "test", 0.99, np.nan, parameters, np.nan), ("Retrained", "test", 0.95, np.nan, parameters, np.nan)]
    table = pd.DataFrame(rows, columns=["candidate", "column", "mean", "gap", "parameters", "local_fairness"])
    return table.assign(split="IID", examples=1000.0)


def test_the_overview_has_every_method_in_points(kept):
    table = comparison.overview(kept, "IID")
    assert len(table) == 9 and "Original" not in table.index
    assert table.gap[comparison.FINE_TUNING] == pytest.approx(7) and table.test["FedMemPrune"] == pytest.approx(90)
    with pytest.raises(fu.FucoreError, match="nothing is kept of the split 'shards'"):
        comparison.overview(kept, "shards")


def test_places_among_all_and_among_the_seven(kept):
    places = comparison.places(kept)
    assert places.loc[("IID", "tuned")].tolist() == ["0.0", "1 of 9", 1, 1, 1, "8.0"]
    assert places.loc[("IID", "not tuned"), "number among all"] == "3 of 9"
    statistics, said = comparison.first_of_seven(places["among the paper's seven"])
    assert statistics == {"worst place of FedMemPrune among the seven": 3, "worst place of FedMemPrune when tuned": 1}
    assert said == "IID, tuned: number 1; IID, not tuned: number 3 of 7"
    assert fu.findings.judge("M-table1-test", statistics) == "direction only"


def test_equals_share_the_better_place(kept):
    kept.loc[kept.candidate == "NoT", "gap"] = kept.gap[kept.candidate == "FedMemPrune"].max()
    assert comparison.places(kept).loc[("IID", "not tuned"), "among the paper's seven"] == 2


def test_words_name_the_closest_the_front_and_the_weak(kept):
    lines = comparison.in_words(kept, "IID").splitlines()
    assert lines[0].startswith("IID: closest to retraining on average are FedMemPrune (0.0 points), NoT (1.0 points)")
    assert lines[1] == ("  FedMemPrune is number 1 of 9 with 0.0 points, fine-tuning alone has 7.0, retraining for the same rounds 8.0.")
    assert lines[2].endswith("utility: FedMemPrune.") and lines[3].endswith("the best: PGA, Fine-tuning, Retraining, same rounds.")


def test_rank_correlations_are_one_for_the_papers_own_order():
    paper = fu.papers.table("table1_main")
    theirs = paper[(paper.setting == "CIFAR-10 IID") & paper.row.isin(comparison.SEVEN)]
    rows = []
    for row in theirs.itertuples():
        rows += [(comparison.SEVEN[row.row], group, np.nan, getattr(row, f"{key}_gap")) for key, group in fu.papers.GROUPS.items()]
        rows.append((comparison.SEVEN[row.row], "test", -row.test_acc, np.nan))
    kept = pd.DataFrame(rows, columns=["candidate", "column", "mean", "gap"]).assign(split="IID", parameters="tuned")
    table = comparison.rank_correlations(kept)
    assert list(table.index) == list(paper.setting.unique()) and list(table.columns) == [*fu.papers.GROUPS.values(), "test"]
    assert table.loc["CIFAR-10 IID"].tolist() == pytest.approx([1] * 5 + [-1])
    assert table.loc["CIFAR-10 Non-IID"].isna().all(), "no uneven split is kept here"


def test_attacks_see_only_what_is_beyond_twice_the_spread():
    values = {"Original": 0.8, "Retrained": 0.5, "PGA": 0.53, "NoT": 0.55, "FedAU": 0.4}
    rows = [(name, attack, value, 0.02) for name, value in values.items() for attack in ("loss", "lira", "rmia")]
    table = pd.DataFrame(rows, columns=["candidate", "attack", "auc", "auc_std"])
    order = ["Original", "Retrained", "NoT", "not attacked", "PGA", "FedAU"]
    assert list(comparison.attacks(table, order).index) == ["Original", "Retrained", "NoT", "PGA", "FedAU"]
    said = comparison.still_seen(table, order).splitlines()
    assert len(said) == 3 and said[0] == (
        "loss: retrained 0.500 ± 0.040 (twice the spread over retrained models). Above that: Original 0.800, NoT 0.550"
    )


def test_settings_in_words():
    table = comparison.settings_table({"IID": {"PGA": {"lr": 0.1, "epochs": 2}, "Fine-tuning": {}}, "uneven": {"PGA": {"lr": 0.3}}})
    assert table.loc["PGA"].tolist() == ["lr=0.1, epochs=2", "lr=0.3"] and table.loc["Fine-tuning", "IID"] == "–"


def test_the_kept_tables_have_what_is_asked_of_them():
    everything = pd.concat([fu.results.table("all_methods_mnist5k"), fu.results.table("all_methods_digits-embedded")])
    places = comparison.places(everything)
    assert [split for split, _ in places.index] == ["IID", "IID", "Dirichlet 0.5", "Dirichlet 0.5", "Real-Noniid", "Real-Noniid"]
