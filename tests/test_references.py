"""References given to everybody: read, judged on, refused, made and verified."""

import dataclasses
import importlib.util
import pathlib
import pickle
import shutil

import numpy as np
import pytest
import torch

import fucore as fu
from fucore.companion import calibration
from fucore.evaluation import references
from fucore.evaluation.power import metric_power
from fucore.federation.case import NotKept
from notebooks import ROOT


@pytest.fixture(scope="module")
def reference():
    return fu.reference("mnist5k")


@pytest.fixture(scope="module")
def script():
    """The script that makes references, as a module."""
    spec = importlib.util.spec_from_file_location("making", ROOT / "book" / "results" / "references.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(script, tmp_path_factory):
    """A small reference of the digits, made as the others are, and where it lies."""
    folder, patch = tmp_path_factory.mktemp("references"), pytest.MonkeyPatch()
    recipe = {**script.DIGITS, "data": "digits", "model": "cnn", "rounds": 2, "originals": 2, "leaving": (0, 1), "retrained": 3}
    with patch.context() as patched:
        patched.setattr(references, "FOLDER", folder)
        patched.setitem(script.RECIPES, "tiny", recipe | {"local": fu.LocalTraining(epochs=1, batch=64)})
        script.make("tiny", "digits")
    return folder


def unchanged(task):
    """A method that forgets nothing, and takes no time."""
    return task.original.weights.clone()


@pytest.fixture
def nothing():
    fu.method("forgets-nothing")(unchanged)
    yield "forgets-nothing"
    del fu.METHODS["forgets-nothing"]


def test_what_the_embedded_reference_holds(reference):
    assert repr(reference).startswith("Reference('mnist5k': 14 cases of 7 originals, 16 retrained models each; cnn-groupnorm")
    clients = [case.request.clients for case in reference.cases]
    assert clients == [(0,), (1,)] * 7 and len({case.original.federation.clients.hash for case in reference.cases}) == 7
    for case in reference.cases:
        looks = [case.look(run, split) for run in case.retrained for split in references.SPLITS]
        assert all(np.isfinite(look.log_odds).all() for look in looks) and len(case.retrained) == 16
        seen = np.mean([case.look(run, "test").right.mean() for run in case.retrained])
        assert 0.9 < seen < 0.96 and abs(seen - np.mean([run.history[-1]["test_accuracy"] for run in case.retrained])) < 1e-3


def test_the_originals_answer_here_as_they_did(reference):
    """On another processor a few answers of a thousand may differ."""
    for case in reference.cases[::2]:
        for split in ("departed", "test"):
            part, kept = getattr(case, split), case.look(case.original, split)
            here = references.look_at(case.federation.logits(case.original.weights, part), part.labels)
            assert (here.right == kept.right).mean() > 0.995 and np.abs(here.log_odds - kept.log_odds).mean() < 0.05


def test_a_method_is_judged_with_nothing_to_retrain(reference, nothing, tmp_path):
    runs = reference.unlearn(nothing)
    report = fu.compare({"Nothing": runs}, reference)
    groups = report.groups.set_index(["candidate", "group"])
    assert (groups.loc["Nothing"].difference - groups.loc["Original"].difference).abs().max() < 0.01
    told = groups.loc["Original"]
    assert set(told[told.difference >= 0.1].answer) == {"≠"}, "every group with something to forget is decided"
    own = report.summary.set_index("candidate").loc["Nothing"]
    assert abs(own.forgotten) < 0.03 and own.runs == 14
    assert "too much is still known" in report.verdict("Nothing") and "the method" in report.verdict("Nothing")
    assert "14 cases together" in report.legend and "≠" in repr(report) and "φ" in report._repr_html_()
    assert "cannot be told" in report.closer("Nothing", "Original")
    report.save(tmp_path / "judged")
    assert {path.name for path in tmp_path.iterdir()} == {"judged.json"} | {f"judged.{part}.csv" for part in ("groups", "summary", "cases")}
    assert len(report.plot().axes[0].get_xticks()) == 5
    with pytest.raises(fu.FucoreError, match="no run in case 1"):
        fu.compare({"Nothing": runs[:1]}, reference)
    with pytest.raises(fu.FucoreError, match="unlearned in none of the cases"):
        fu.compare({"Nothing": [*runs, dataclasses.replace(runs[0], config={})]}, reference)


def test_one_case_of_it_is_judged_as_any_other(reference, nothing):
    case = reference.cases[3]
    report = fu.compare({"Nothing": fu.unlearn(nothing, case)}, case)
    assert report.retrained_models == 16 and report.groups.query("candidate == 'Nothing'").answer.iloc[0] == "≠"
    assert report.summary.set_index("candidate").local_fairness.notna()[["Retrained", "Nothing"]].all()


def test_what_needs_the_retrained_models_themselves_says_so(reference):
    case = reference.cases[0]
    for act in (
        lambda: case.logits(case.retrained[0]),
        lambda: case.look(case.retrained[0], "remaining"),
        lambda: metric_power({"original": case.original}, case),
    ):
        with pytest.raises(NotKept, match="train a case of your own"):
            act()
    with pytest.raises(fu.FucoreError, match="open the reference there"):
        pickle.dumps(case)


def test_a_metric_of_ones_own_is_a_dash_for_retrained_models(reference, nothing):
    @fu.metric("confidence here", key="confidence_here")
    def confidence(run, case, others):
        return float(case.logits(run, "departed").softmax(dim=1).max(dim=1).values.mean())

    try:
        summary = fu.compare({"Nothing": reference.unlearn(nothing)}, reference).summary.set_index("candidate")
        assert np.isnan(summary.confidence_here["Retrained"]) and summary.confidence_here["Nothing"] > 0.5
    finally:
        del fu.METRICS["confidence here"]


@pytest.mark.parametrize(
    "name, sentence",
    [
        ("nowhere", "reference is 'nowhere', but must be one of:"),
        ("some/where", "the reference some/where cannot be read"),
        (3, "name is 3, but must be"),
    ],
)
def test_unknown_references_are_refused(name, sentence):
    with pytest.raises(fu.FucoreError, match=sentence):
        fu.reference(name)


def test_other_data_are_refused(digits):
    with pytest.raises(fu.FucoreError, match="has other images or labels"):
        fu.reference("mnist5k", digits)


@pytest.mark.parametrize("damage", ["a byte", "half", "gone", "json", "format"])
def test_damaged_references_are_refused(made, tmp_path, damage):
    for path in made.iterdir():
        shutil.copy(path, tmp_path)
    answers, record = tmp_path / "tiny.answers.safetensors", tmp_path / "tiny.json"
    content = answers.read_bytes()
    if damage == "a byte":
        answers.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
    elif damage == "half":
        answers.write_bytes(content[: len(content) // 2])
    elif damage == "gone":
        answers.unlink()
    elif damage == "json":
        record.write_text(record.read_text()[:200])
    else:
        record.write_text(record.read_text().replace("fucore reference 1", "fucore reference 2"))
    with pytest.raises(fu.FucoreError, match="does not belong|cannot be read|is of format"):
        fu.reference(tmp_path / "tiny")


def test_a_reference_says_what_its_cases_say(made, script, digits):
    """The same runs judged by their models and by what is kept of them."""
    given = fu.reference(made / "tiny")
    federation = given.cases[0].federation
    trained = script.retrained(federation, given.cases[0].original, 0, 0, 3, 2)
    one, other = (fu.compare({}, case).groups for case in (trained, given.cases[0]))
    assert np.abs(one.accuracy - other.accuracy).max() < 0.02 and (one.answer.fillna("") == other.answer.fillna("")).mean() > 0.7
    assert [run.config["seed"] for run in given.cases[1].retrained] == [1100, 1101, 1102]
    fair = [fu.compare({}, case).summary.set_index("candidate").local_fairness["Retrained"] for case in (trained, given.cases[0])]
    assert fair[0] == pytest.approx(fair[1], rel=1e-2)


def test_verifying_trains_a_part_again_and_finds_the_same_bits(made, script, capsys, monkeypatch):
    monkeypatch.setattr(references, "FOLDER", made)
    script.verify("tiny", None)
    assert capsys.readouterr().out.count("the same bits") == 2
    monkeypatch.setattr(
        fu.Federation,
        "train",
        lambda fed, *args, **options: dataclasses.replace(TRAIN(fed, *args, **options), weights=torch.zeros(fed.layout.size)),
    )
    with pytest.raises(SystemExit, match="otherwise than it did"):
        script.verify("tiny", None)


TRAIN = fu.Federation.train


def test_a_network_that_changed_since_is_noticed(made, monkeypatch):
    from fucore.federation.models import FACTORIES

    before = FACTORIES["cnn"]

    def darker(shape, classes):
        network = before(shape, classes)
        network.insert(0, torch.nn.AvgPool2d(1, stride=1, padding=0, divisor_override=2))
        return network

    monkeypatch.setitem(FACTORIES, "cnn", darker)
    with pytest.raises(fu.FucoreError, match="answers otherwise"):
        fu.reference(made / "tiny", store=None)


def test_every_kept_reference_is_small_and_of_its_recipe(script):
    for name in references.names():
        recipe, files = script.RECIPES[name], list(references.FOLDER.glob(f"{name}.*"))
        assert len(files) == 3 and all(path.stat().st_size < 2e6 for path in files)
        record, tensors = references._read(references.FOLDER / name)
        assert (record["model"], record["rounds"], len(record["originals"])) == (recipe["model"], recipe["rounds"], recipe["originals"])
        assert [len(case["seeds"]) for case in record["cases"]] == [recipe["retrained"]] * len(recipe["leaving"]) * recipe["originals"]
        assert len({seed for case in record["cases"] for seed in case["seeds"]}) == sum(len(case["seeds"]) for case in record["cases"])
        assert tensors and f"make {name}" in record["made"]["command"]


@pytest.mark.long
def test_the_judge_is_right_about_real_models_of_known_truth(reference):
    """Hundreds of retrained networks stand trial; few draws of what the kept table has many of."""
    several = calibration.of_the_method(reference, 12, shares=(1.0, 0.5, 0.0))
    truth, half, none = (several[several.share == share].set_index("group") for share in (1.0, 0.5, 0.0))
    assert truth["≠"].mean() <= 0.1 and truth["="].mean() > 0.6 and truth.difference.abs().max() < 0.03
    assert half["≠"].iloc[0] == 1 and none["≠"].iloc[0] == 1 and half["="].iloc[0] == 0
    alone = calibration.of_one_model(reference, 6, shares=(1.0,))
    assert alone["≠"].mean() <= 0.08 and alone["="].iloc[0] < 0.1, "one case cannot show sameness in a small group"


def test_the_kept_trials_hold_what_the_judge_promises():
    trials, one = fu.results.table("calibration_mnist5k"), fu.results.table("calibration_mnist5k.one")
    alarms, missed = calibration.false_answers(trials)
    assert alarms <= 0.07 and missed <= 0.05
    lone = one[one.share == 1]
    assert (lone.groupby("models")["≠"].mean() < 0.06).all()
    assert pathlib.Path(references.FOLDER).is_dir() and len(calibration.answers_figure().axes[0].get_yticks()) == 5
