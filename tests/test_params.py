import ast
import re

import jupytext
import pytest

import fucore as fu
from fucore.companion.params import Parameters, allowed, check
from notebooks import TEXTS, parameters_cell


@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"pruning_ratio": 1.5}, "pruning_ratio is 1.5, but must be a number in [0, 1], or auto."),
        ({"pruning_ratio": "half"}, "pruning_ratio is 'half', but must be a number in [0, 1], or auto."),
        ({"alpha": -1}, "alpha is -1, but must be a number in [0.01, inf]."),
        ({"alpha": "uneven"}, "alpha is 'uneven', but must be a number in [0.01, inf]."),
        ({"dataset": "imagenet"}, "dataset is 'imagenet', but must be one of: mnist5k,"),
        ({"clients": 10, "client": 99}, "client is 99, but must be a whole number from 0 to 9, since there are 10 clients."),
        ({"rounds": 0}, "rounds is 0, but must be a whole number of at least 1."),
        ({"rounds": "ten"}, "rounds is 'ten', but must be a whole number of at least 1."),
        ({"lr": True}, "lr is True, but must be a number in (0, 10]."),
        ({"alpha": "0.5"}, "alpha is '0.5'"),
        ({"rounds": 2.5}, "rounds is 2.5, but must be a whole number of at least 1."),
        ({"model": "transformer"}, "model is 'transformer', but must be one of: cnn,"),
        ({"lr": float("nan")}, "lr is nan, but must be a number in (0, 10]."),
        ({"In": ["", "alpha = 0.5\n", "# Parameters\nbeta = 3\n"]}, "beta is not a parameter of this notebook; it has: alpha."),
    ],
)
def test_a_bad_value_is_one_sentence(given, sentence):
    with pytest.raises(fu.FucoreError, match=re.escape(sentence)) as error:
        check(given)
    assert "\n" not in str(error.value)


def test_good_values_of_every_kind():
    p = check({"alpha": float("inf"), "pruning_ratio": "auto", "train_size": 100, "unrelated": "ignored without papermill"})
    assert p.alpha == float("inf") and p.pruning_ratio == "auto" and p.clients == 10
    assert check({"alpha": 1}).alpha == 1.0


def test_paper_profile_fills_in_what_was_not_chosen():
    p = check({"profile": "paper", "dataset": "mnist5k", "rounds": 10, "alpha": 0.5})
    assert (p.dataset, p.model, p.resize, p.lr, p.rounds, p.recovery_rounds, p.pruning_ratio) == (
        "cifar10",
        "resnet18",
        224,
        1e-4,
        100,
        30,
        0.4,
    )
    q = check(
        {
            "profile": "paper",
            "dataset": "cifar100",
            "partition": "iid",
            "rounds": 10,
            "In": ["", "rounds = 10\n", "# Parameters\nrounds = 10\n"],
        }
    )
    assert (q.model, q.optimizer, q.momentum, q.pruning_ratio, q.rounds) == ("resnet34", "sgd", 0.9, 0.8, 10)
    assert check({"profile": "paper", "rounds": 7}).rounds == 7
    assert check({"profile": "paper", "rounds": 6}, rounds=6).rounds == 100, "a chapter's own quick default is no choice of the user's"
    assert check({"profile": "paper", "benchmark": "digits-embedded", "model": "cnn"}).benchmark == "digits"
    assert check({"profile": "paper", "benchmark": "image-65", "model": "cnn"}, model="cnn").model == "resnet32"


def test_parameters_build_the_federation(digits):
    p = check({"dataset": "digits", "clients": 5, "partition": "iid", "batch": 16, "model": "mlp"})
    fed = p.federation(digits)
    assert len(fed.clients) == 5 and fed.local.batch == 16 and fed.model == "mlp"
    assert "partition sha256" in p.provenance(fed).index
    for name in ("dirichlet", "iid", "shards", "overlapping"):
        assert len(check({"partition": name}).split(digits.train.labels)) == 10
    assert len(check({"partition": "one-class"}).split(digits.train.labels)) == 10


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_notebooks_state_the_catalogue_defaults(text):
    """A parameter's default in a notebook is the catalogue's, has a comment, and papermill's help can show it."""
    values = {}
    notebook = jupytext.read(text)
    source = parameters_cell(notebook).source
    exec(source, {}, values)
    second = [cell for cell in notebook.cells if cell.cell_type == "code"][1].source
    (call,) = [node for node in ast.walk(ast.parse(second)) if isinstance(node, ast.Call) and ast.unparse(node.func) == "fu.params.check"]
    own = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    assert values == {name: Parameters.model_fields[name].default for name in values} | own
    assert all(own[name] != Parameters.model_fields[name].default for name in own)
    for line in source.splitlines():
        assert re.fullmatch(r"\w+ = \S+  # [^=]+", line), f"{line}: papermill drops parameters whose comment holds an equals sign"


def test_everything_allowed_is_said():
    assert all(allowed(name) for name in Parameters.model_fields)


def test_a_pages_own_limit_of_examples_is_no_wish_for_more_than_there_are():
    assert len(check({"dataset": "digits", "train_size": 2000}, train_size=2000).load().train) == len(fu.load("digits").train) < 2000
    with pytest.raises(fu.FucoreError, match="train_size is 2000, but must be a whole number from 1 to"):
        check({"dataset": "digits", "train_size": 2000}).load()


def test_images_are_resized_when_they_are_loaded():
    assert check({"dataset": "digits", "image_size": 12, "train_size": 50}).load().shape == (1, 12, 12)
    assert check({"benchmark": "digits-embedded", "image_size": 8, "train_size": 50}).real_noniid().data.shape == (3, 8, 8)
    for wrong in (0, 8.0, "8", True):
        with pytest.raises(fu.FucoreError, match="image_size is .*, but must be a whole number of at least 1, or None."):
            check({"image_size": wrong})
