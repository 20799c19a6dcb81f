"""No result is silently stale, and none is silently never kept."""

import dataclasses
import importlib
import importlib.util
import pathlib
import shutil

import pytest
import torch

import fucore as fu
from fucore.runs.fingerprint import source_of
from fucore.runs.store import Store
from fucore.unlearning._units import units_of


def test_helpers_and_globals_of_a_hook_count(monkeypatch):
    first = source_of(lambda w, g: helper(g))
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    assert source_of(lambda w, g: helper(g)) != first
    inside = lambda: source_of(lambda w, g: [helper(each) for each in g])
    before = inside()
    monkeypatch.setitem(globals(), "FACTOR", 4.0)
    assert inside() != before, "globals inside a comprehension count"
    monkeypatch.setitem(globals(), "original", object())
    assert source_of(lambda w, g: w.original) is not None, "an attribute is not the global of the same name"
    assert source_of(None) == "" and source_of(Store().get) is None


FACTOR = 2.0


def helper(gradient):
    """Scale."""
    return gradient.mul_(FACTOR)


@pytest.fixture
def twin(tmp_path):
    """A copy of the library to edit, and a function that gives the hash of some of its modules as they then are."""
    shutil.copytree(pathlib.Path(fu.__file__).parent, tmp_path / "twin", ignore=shutil.ignore_patterns("__pycache__"))

    def hashes(*modules):
        spec = importlib.util.spec_from_file_location("twin.runs.fingerprint", tmp_path / "twin" / "runs" / "fingerprint.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.hash_of_code(*(f"twin.{name}" for name in modules))

    return tmp_path / "twin", hashes


TRAINING, FEDCCCU, ALL = ("federation.federation",), ("unlearning.fedcccu",), ()


@pytest.mark.parametrize(
    "file, voided",
    [
        ("federation/training.py", {TRAINING, FEDCCCU, ALL}),
        ("data/dataset.py", {TRAINING, FEDCCCU, ALL}),
        ("data/partition.py", {TRAINING, FEDCCCU, ALL}),
        ("federation/models.py", {TRAINING, FEDCCCU, ALL}),
        ("data/forgetting.py", {TRAINING, FEDCCCU, ALL}),
        ("unlearning/_units.py", {FEDCCCU, ALL}),
        ("federation/units.py", {FEDCCCU, ALL}),
        ("unlearning/task.py", {FEDCCCU, ALL}),
        ("unlearning/pga.py", {ALL}),
        ("evaluation/gme.py", {ALL}),
        ("plots.py", set()),
        ("companion/explorers.py", set()),
        ("federation/server.py", {TRAINING, FEDCCCU, ALL}),
        ("companion/widgets.py", set()),
    ],
)
def test_a_change_of_code_voids_what_depends_on_it_and_nothing_else(twin, file, voided):
    folder, hashes = twin
    before = {modules: hashes(*modules) for modules in (TRAINING, FEDCCCU, ALL)}
    text = (folder / file).read_text()
    (folder / file).write_text(text.replace('"""', '"""Another docstring. ', 1) + "\n# a comment\n")
    assert {modules: hashes(*modules) for modules in before} == before, "words change nothing"
    (folder / file).write_text(text + "\nADDED = 1\n")
    assert {modules for modules in before if hashes(*modules) != before[modules]} == voided


def test_a_module_that_is_imported_in_a_function_counts(twin):
    folder, hashes = twin
    (folder / "federation" / "late.py").write_text("SHARE = 1\n")
    (folder / "federation" / "engine.py").write_text(
        (folder / "federation" / "engine.py").read_text() + "\ndef late():\n    from .late import SHARE\n    return SHARE\n"
    )
    before = hashes("federation.federation"), hashes("data.partition")
    (folder / "federation" / "late.py").write_text("SHARE = 2\n")
    assert hashes("federation.federation") != before[0] and hashes("data.partition") == before[1]


@pytest.mark.parametrize("name", sorted(fu.METHODS))
def test_every_method_can_be_told_from_its_code(name, digits):
    units_of(fu.Federation(digits, fu.partition.iid(digits.train.labels, 2), store=None))  # fills the state of its thread
    assert source_of(fu.METHODS[name].function) is not None


def test_code_of_the_library_that_a_function_names_counts():
    from fucore.evaluation import gme

    def by_name(step):
        return gme.assign_groups(step)

    def by_import(step):
        from fucore.evaluation.gme import assign_groups

        return assign_groups(step)

    keys = {source_of(by_name), source_of(by_import), source_of(lambda step: step)}
    assert len(keys) == 3 and None not in keys


def test_a_method_that_cannot_be_told_is_run_with_a_warning(judged):
    original, retrained, request = judged
    opaque = object()

    @fu.method("opaque")
    def opaque_method(task, *, rounds=1):
        assert opaque
        return task.train(task.original.weights, rounds)

    try:
        with pytest.warns(UserWarning, match="the method opaque computes cannot be told"):
            assert fu.unlearn("opaque", original, request).key is None
    finally:
        del fu.METHODS["opaque"]


def test_users_own_modules_and_classes_count_by_content(tmp_path, monkeypatch):
    """A helper module that is edited and loaded again, and a class named in a function, change what the function computes."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_losses.py").write_text("FACTOR = 1\n")
    own_losses = importlib.import_module("own_losses")
    named = lambda step: own_losses.FACTOR

    def imported(step):
        import own_losses as inside

        return inside.FACTOR

    before = source_of(named), source_of(imported)
    (tmp_path / "own_losses.py").write_text("FACTOR = 2\n")
    assert None not in before and source_of(named) != before[0] and source_of(imported) != before[1]
    keys = set()
    for factor in (1.0, 2.0):

        class Scale:
            by = factor

            def __call__(self, value):
                return self.by * value

        keys.add(source_of(lambda step, kind=Scale: kind()(step)))
    assert len(keys) == 2 and None not in keys


def test_values_that_look_alike_are_told_apart():
    @dataclasses.dataclass(frozen=True)
    class Mean:
        weight: float = 1.0

    @dataclasses.dataclass(frozen=True)
    class Median:
        weight: float = 1.0

    tensor = torch.arange(2000.0)
    values = (Mean(), Median(), tensor.view(40, 50), tensor.view(50, 40), tensor.view(40, 50).double())
    assert len({source_of(lambda step, value=value: value) for value in values}) == len(values)
    defaults = {"a": 1}  # a name like the slot of a function's own defaults
    assert source_of(lambda step, k=0.1: defaults["a"] * k) != source_of(lambda step, k=0.2: defaults["a"] * k)


def test_base_classes_and_attributes_of_a_network_count(digits, tmp_path):
    def network(temperature):
        class Base(torch.nn.Module):
            scale = temperature

            def __init__(self):
                super().__init__()
                self.layer = torch.nn.Linear(64, 10)

            def forward(self, images):
                return self.layer(images.flatten(1)) / self.scale

        class Net(Base):
            pass

        return lambda shape, classes: Net()

    clients = fu.partition.iid(digits.train.labels, 2)
    keys = {fu.Federation(digits, clients, network(scale), store=Store(tmp_path)).train(1).key for scale in (1.0, 2.0)}
    assert len(keys) == 2 and None not in keys
