import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch

import fucore as fu
from fucore.evaluation.cost import smoothed, speed_up, speed_up_below, target_accuracy, time_to_accuracy
from fucore.evaluation.fairness import local_fairness
from fucore.evaluation.tidy import times, until


@pytest.fixture(scope="module")
def report(judged):
    original, retrained, request = judged
    return fu.compare(
        {
            "pruned": [fu.unlearn("fedmemprune", original, request, ratio=0.7, seed=s) for s in range(2)],
            "tuned": fu.unlearn("fine-tune", original, request),
        },
        original,
        retrained,
        request,
    )


def test_local_fairness():
    """Equal shifts give 0, var(a x) = a^2 var(x), mad <= std; a single client gives 0."""
    before, change = np.array([1.0, 2, 3, 4]), np.array([0.1, -0.2, 0.4, 0.0])
    assert all(local_fairness(before, before + 5, kind) == pytest.approx(0, abs=1e-12) for kind in ("mad", "var", "std"))
    assert local_fairness(before, before + 3 * change, "var") == pytest.approx(9 * local_fairness(before, before + change, "var"))
    assert local_fairness(before, before + change, "mad") <= local_fairness(before, before + change, "std")
    assert local_fairness(before[:1], before[:1] + 7) == 0
    assert local_fairness([0, 0], [0, 2]) == 1
    with pytest.raises(fu.FucoreError, match="kind is 'iqr'"):
        local_fairness(before, before, "iqr")


def test_losses_of_clients_skip_empty_ones_and_are_those_of_an_evaluation(judged):
    case = fu.Case(*judged)
    losses = case.losses(case.original)
    held = [indices for indices in case.without.clients.indices if len(indices)]
    alone = [case.federation.evaluate(case.original.weights, case.federation.data.train.take(indices))[1] for indices in held]
    assert losses.shape == (3,) and losses == pytest.approx(alone, rel=1e-4)


def history(*accuracies):
    return [{"round": i + 1, "test_accuracy": a, "examples": 100 * (i + 1), "seconds": float(i + 1)} for i, a in enumerate(accuracies)]


def test_time_to_accuracy_and_speed_up(judged):
    run = judged[0]
    slow = dataclasses.replace(run, history=history(0.1, 0.3, 0.5, 0.7, 0.9, 0.9, 0.9))
    quick = dataclasses.replace(run, history=history(0.9, 0.9, 0.9))
    never = dataclasses.replace(run, history=history(0.2, 0.3))
    lucky = dataclasses.replace(run, history=history(0.9, 0.5, 0.5, 0.5))
    assert smoothed([0.3, 0.6, 0.9, 0.9])[2:] == pytest.approx([0.6, 0.8]) and np.isnan(smoothed([0.9, 0.9])).all()
    assert target_accuracy([slow, slow]) == pytest.approx(0.895) and np.isnan(
        target_accuracy([dataclasses.replace(run, history=history(0.9))])
    )
    assert speed_up([slow], [slow]) == 1 and speed_up([quick], [slow]) == pytest.approx(7 / 3)
    assert np.isnan(speed_up([never], [slow])) and np.isnan(speed_up([lucky], [slow])), "a lucky first round is no speed"
    assert speed_up_below([never], [slow]) == pytest.approx(7 / 2) and np.isnan(speed_up_below([slow], [never]))
    assert times(float("nan"), 3.5) == "< 3.5×" and times(float("nan")) == "never" and times(2.0, 3.5) == "2.0×"
    assert until(37e3, 50e3) == "37" and until(np.inf, 37e3) == "> 37"
    assert speed_up([quick, quick, never], [slow]) == pytest.approx(7 / 3), "the median run counts"
    assert time_to_accuracy(slow, 0.5) == 400 and time_to_accuracy(slow, 0.5, "round") == 4 and time_to_accuracy(never, 0.5) == np.inf
    staged = dataclasses.replace(run, history=[{**history(0.95)[0], "stage": "reset"}, *history(0.1, 0.9, 0.9, 0.9)])
    located = dataclasses.replace(run, history=[*history(0.95, 0.95, 0.95), {**history(0.2)[0], "stage": "reset"}, *history(0.1, 0.9)])
    assert time_to_accuracy(located, 0.8) == np.inf, "what was reached before the reset has not forgotten yet"
    assert time_to_accuracy(staged, 0.9) == 400, "the moment after a reset is not a trained model"


def test_report_rows_are_complete_and_consistent(report, judged):
    original, retrained, request = judged
    assert list(report.groups.candidate.unique()) == ["Original", "Retrained", "pruned", "tuned"]
    for name, rows in report.groups.groupby("candidate"):
        forget = report.summary.set_index("candidate").loc[name, "forget_accuracy"]
        assert (rows.examples * rows.accuracy).sum() / rows.examples.sum() == pytest.approx(forget, abs=1e-9)
    summary = report.summary.set_index("candidate")
    assert summary.loc["Retrained", "speed_up"] == 1 and np.isnan(summary.loc["Original", "local_fairness"])
    assert summary.loc["pruned", "runs"] == 2 and summary.loc["tuned", "examples"] < summary.loc["Retrained", "examples"]
    assert report.scores.shape == report.indices.shape == (len(original.federation.forgotten(request)),)
    assert (report.groups.leaked == 0).all() and "pixel-equal copies" in report.leak
    assert "no example is held by two clients" in repr(report) and "4 retrained models" in report._repr_html_()


def test_report_saves_tidy_files(report, tmp_path):
    report.save(tmp_path / "result.v1")
    groups = pd.read_csv(tmp_path / "result.v1.groups.csv")
    assert len(groups) == len(report.groups) and groups.gap.tolist() == pytest.approx(report.groups.gap.tolist())
    record = json.loads((tmp_path / "result.v1.json").read_text())
    assert (
        record["retrained_models"] == 4
        and len(record["scores"]) == len(record["indices"])
        and len(pd.read_csv(tmp_path / "result.v1.summary.csv")) == 4
    )


def test_verdicts(report, judged):
    original, retrained, request = judged
    blank = dataclasses.replace(original, weights=torch.zeros_like(original.weights))
    wrong = fu.compare({"blank": blank}, original, retrained, request)
    differing = wrong.groups.query("candidate == 'blank' and answer == '≠'").group.tolist()
    assert differing
    assert (
        f"blank, this model against retraining: too much is gone in {len(differing)} of 5 groups ({', '.join(differing)})"
        in wrong.verdict("blank")
    )
    assert "was not tested" in report.verdict("Retrained")
    with pytest.raises(fu.FucoreError, match="candidate is 'nobody'"):
        report.verdict("nobody")


@pytest.mark.long
def test_the_retrained_model_itself_passes_as_retrained(judged):
    original, retrained, request = judged
    fresh = original.federation.without(request).train(6, seed=77)
    groups = fu.compare({"fresh": fresh}, original, retrained, request).groups
    assert (groups[groups.candidate == "fresh"].answer != "≠").sum() >= 4


def test_figures_are_drawn(report, judged):
    from fucore import plots

    figure = report.plot()
    assert len(figure.axes[0].get_xticks()) == 5
    assert plots.curves_figure({"a": judged[0], "b": judged[1]}).axes[0].lines
    fed = judged[0].federation
    assert len(plots.partition_figure(fed.clients, fed.data.train.labels).axes) == 2


@pytest.mark.parametrize(
    "act, sentence",
    [
        (lambda o, k, r: fu.compare({}, o, [], r), "needs retrained runs"),
        (lambda o, k, r: fu.compare({}, o, [o, o], r), "was not trained from a new start in federation.without"),
        (lambda o, k, r: fu.compare({}, o, [k[0], k[0]], r), "given twice"),
        (lambda o, k, r: fu.compare({}, o, [*k, o.federation.without(r).train(5, seed=9)], r), "different numbers of rounds"),
        (
            lambda o, k, r: fu.compare({}, o, [*k, o.federation.without(r).train(6, seed=9, start=o.weights)], r),
            "not trained from a new start",
        ),
        (
            lambda o, k, r: fu.compare({}, o, [*k, dataclasses.replace(o.federation, model="mlp").without(r).train(6)], r),
            "cannot be the reference",
        ),
        (lambda o, k, r: fu.compare({"u": fu.unlearn("fine-tune", o, fu.forget.client(1))}, o, k, r), "for another request than client 0"),
        (lambda o, k, r: fu.compare({"u": fu.unlearn("fine-tune", o.federation.train(1), r)}, o, k, r), "from another original model"),
        (lambda o, k, r: fu.compare({"Original": o}, o, k, r), "reserved name"),
        (lambda o, k, r: fu.compare(o, o, k, r), "must be a dict"),
        (lambda o, k, r: fu.compare({}, k, o, r), "original must be one run"),
        (lambda o, k, r: fu.compare({}, o, k[0], r), "retrained must be a list"),
        (lambda o, k, r: o.federation.train_many(1, 3), "seeds must be a list"),
        (lambda o, k, r: o.federation.train_many(1, [1, 1]), "seeds must be a list"),
        (lambda o, k, r: fu.compare({}, o, k[:1], r), "at least 2 retrained models"),
        (lambda o, k, r: fu.compare({}, o, k, r, protocol="mine"), "protocol is 'mine'"),
    ],
)
def test_errors_say_what_is_wrong(judged, act, sentence):
    with pytest.raises(fu.FucoreError, match=sentence):
        act(*judged)


def test_many_runs_of_the_original_are_equal(judged):
    assert torch.equal(judged[0].weights, judged[0].federation.train(6, seed=0).weights)


def test_leaked_examples_are_counted_by_group(digits):
    fed = fu.Federation(digits, fu.partition.overlapping(digits.train.labels, 4), local=fu.LocalTraining(epochs=1, batch=64))
    request = fu.forget.client(0)
    report = fu.compare({}, fed.train(3), fed.without(request).train_many(3, (1, 2, 3)), request)
    rows = report.groups.query("candidate == 'Original'")
    assert (rows.leaked * rows.examples).sum() / rows.examples.sum() == pytest.approx(fed.leak_audit.by_index[0])
