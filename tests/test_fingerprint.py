"""No result is silently stale, and none is silently never kept."""

import collections
import copy
import dataclasses
import enum
import functools
import importlib
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import types

import numpy as np
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
    monkeypatch.setitem(globals(), "original", threading.Lock())
    assert source_of(lambda w, g: w.original) is not None, "an attribute is not the global of the same name"
    assert source_of(None) == "" and source_of(threading.Lock().acquire) is None


FACTOR = 2.0


def helper(gradient):
    """Scale."""
    return gradient.mul_(FACTOR)


@pytest.fixture
def twin(tmp_path, monkeypatch):
    """A copy of the library to edit, and a function that gives the hash of some of its modules as they then are."""
    shutil.copytree(pathlib.Path(fu.__file__).parent, tmp_path / "twin", ignore=shutil.ignore_patterns("__pycache__"))

    for name, folder in (("twin", "twin"), ("twin.runs", "twin/runs")):
        package = types.ModuleType(name)
        package.__path__ = [str(tmp_path / folder)]
        monkeypatch.setitem(sys.modules, name, package)
    for name in ("described", "origins"):
        monkeypatch.setitem(sys.modules, f"twin.runs.{name}", importlib.import_module(f"fucore.runs.{name}"))

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
@pytest.mark.long
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
    opaque = threading.Lock()

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


class Plain:
    def __init__(self, scale):
        self.scale = scale

    def hook(self, step):
        return self.scale

    @property
    def twice(self):
        return 2 * self.scale

    @classmethod
    def made(cls, step):
        return cls(1)


class Slotted:
    __slots__ = ("scale",)

    def __init__(self, scale):
        self.scale = scale


class Listed(list):
    pass


class Colour(enum.Enum):
    RED, BLUE = 1, 2


def scaled(step, scale=1.0):
    return scale


def decorated(function, by):
    @functools.wraps(function)
    def inner(*given):
        return by * function(*given)

    return inner


def double_backward(factor):
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(context, value):
            return value

        @staticmethod
        def backward(context, gradient):
            return factor * gradient

    return Double.apply


def with_default(values):
    @dataclasses.dataclass
    class Settings:
        values: list = dataclasses.field(default_factory=lambda: list(values))

    return lambda step: Settings().values


def metaclass(value):
    class Meta(type):
        def __call__(cls, *given):
            return value

    return Meta("Made", (), {})


def cached(value):
    return functools.lru_cache(lambda step: value)


def handled(width):
    def function(step, *, floor=width):
        try:
            return step
        except ValueError:
            return floor

    return function


#: Pairs that compute different things, and look alike to a careless eye.
PAIRS = {
    "bound methods": lambda n: Plain(n).hook,
    "objects": lambda n: lambda step, it=Plain(n): it.twice,
    "slots": lambda n: lambda step, it=Slotted(n): it.scale,
    "kinds of list": lambda n: lambda step, it=(Listed([1]), [1])[n]: it,
    "enums": lambda n: lambda step, it=tuple(Colour)[n]: it.value,
    "enum or int": lambda n: lambda step, it=(Colour.RED, 1)[n]: it,
    "partials": lambda n: functools.partial(scaled, scale=n),
    "nested partials": lambda n: functools.partial(functools.partial(scaled, scale=n), None),
    "decorators": lambda n: decorated(scaled, n),
    "wrapped": lambda n: functools.wraps(fu.load)(lambda step: n),
    "autograd functions": double_backward,
    "default factories": lambda n: with_default([n]),
    "metaclasses": lambda n: lambda step, it=metaclass(n): it(),
    "caches": cached,
    "defaults": handled,
    "arrays by type": lambda n: lambda step, it=np.ones(3, (np.float32, np.float64)[n]): it,
    "arrays by shape": lambda n: lambda step, it=np.ones(((2, 3), (3, 2))[n]): it,
    "large arrays": lambda n: lambda step, it=np.arange(5000) + n: it,
    "numbers by type": lambda n: lambda step, it=(1, 1.0)[n]: it,
    "true or one": lambda n: lambda step, it=(True, 1)[n]: it,
    "signs of zero": lambda n: lambda step, it=(0.0, -0.0)[n]: it,
    "keys by type": lambda n: lambda step, it=({1: 2}, {"1": 2})[n]: it,
    "order of keys": lambda n: lambda step, it=({"a": 1, "b": 2}, {"b": 2, "a": 1})[n]: list(it),
    "tuple or list": lambda n: lambda step, it=((1, 2), [1, 2])[n]: it,
    "bytes": lambda n: lambda step, it=bytes([n]): it,
    "sets": lambda n: lambda step, it={1, 2 + n}: it,
    "modules of torch": lambda n: lambda step, it=torch.nn.Dropout(0.1 + n / 10): it(step),
    "weights of networks": lambda n: lambda step, it=linear(n): it(step),
    "attention": lambda n: lambda step, it=attention(n): it,
    "ordered dicts": lambda n: lambda step, it=collections.OrderedDict([("a", n)]): it,
    "counters": lambda n: lambda step, it=collections.Counter("ab" if n else "aab"): it,
    "namespaces": lambda n: lambda step, it=types.SimpleNamespace(scale=n): it.scale,
    "states of generators": lambda n: lambda step, it=drawn(n): it.normal(),
    "classes of closures": lambda n: lambda step, it=type("Made", (), {"scale": n}): it.scale,
    "properties": lambda n: lambda step, it=type("Made", (), {"scale": property(lambda self: n)}): it().scale,
    "static methods": lambda n: lambda step, it=type("Made", (), {"scale": staticmethod(lambda: n)}): it.scale(),
    "frozen dataclasses": lambda n: lambda step, it=fu.LocalTraining(epochs=n + 1): it,
    "paths": lambda n: lambda step, it=pathlib.Path(f"folder{n}"): it,
    "operators": lambda n: (lambda step: step + 1, lambda step: step - 1)[n],
    "constants": lambda n: (lambda step: step + 1, lambda step: step + 2)[n],
    "names": lambda n: (lambda step: step.loss, lambda step: step.logits)[n],
    "arguments": lambda n: (lambda a, b: a, lambda b, a: a)[n],
    "builtins": lambda n: (lambda step: min(step), lambda step: max(step))[n],
    "functions of torch": lambda n: lambda step, it=(torch.add, torch.mul)[n]: it(step),
    "methods of lists": lambda n: [n].index,
    "modes of networks": lambda n: lambda step, it=torch.nn.Dropout().train(bool(n)): it(step),
    "order of parts": lambda n: lambda step, it=parts("ab" if n else "ba"): it,
    "order of attributes": lambda n: lambda step, it=Ordered("ab" if n else "ba"): vars(it),
    "private slots": lambda n: lambda step, it=Private(n): it.scale(),
    "partial methods": lambda n: lambda step, it=type("Made", (), {"__call__": functools.partialmethod(scaled, scale=n)}): it(),
    "methods that are functions of torch": lambda n: lambda step, it=type("Made", (), {"__call__": (torch.tanh, torch.sin)[n]}): it(),
    "kinds of float": lambda n: lambda step, it=Length(1.0, n): it.unit,
    "masks": lambda n: lambda step, it=np.ma.array([1, 2], mask=[n, 0]): it.sum(),
    "ufuncs": lambda n: lambda step, it=(np.add, np.multiply)[n]: it(step, step),
}


class Ordered:
    def __init__(self, names):
        for name in names:
            setattr(self, name, 1)


class Private:
    __slots__ = ("__scale",)

    def __init__(self, scale):
        self.__scale = scale

    def scale(self):
        return self.__scale


class Length(float):
    def __new__(cls, value, unit):
        made = super().__new__(cls, value)
        made.unit = unit
        return made


def parts(names):
    return torch.nn.ModuleDict({name: torch.nn.ReLU() for name in names})


def attention(n):
    torch.manual_seed(0)
    return torch.nn.MultiheadAttention(4, 2, dropout=n / 10)


def linear(seed):
    torch.manual_seed(seed)
    return torch.nn.Linear(2, 2)


def drawn(times):
    generator = np.random.default_rng(0)
    generator.normal(size=times)
    return generator


@pytest.mark.parametrize("name", PAIRS)
def test_what_computes_something_else_has_another_hash_and_the_same_the_same(name):
    make = PAIRS[name]
    one, other = source_of(make(0)), source_of(make(1))
    assert None not in (one, other) and one != other
    assert source_of(make(0)) == one, "made again"


@pytest.mark.parametrize(
    "opaque", [threading.Lock(), open(__file__), (n for n in range(3)), memoryview(b"ab")], ids=lambda it: type(it).__name__
)
def test_what_cannot_be_told_has_none(opaque):
    assert source_of(lambda step, it=opaque: it) is None


@pytest.mark.long
def test_a_hash_is_the_same_in_another_process(tmp_path):
    """No address, no order of a set, no number of this process."""
    script = tmp_path / "mine.py"
    script.write_text(
        "import functools, torch, enum\nfrom fucore.runs.fingerprint import source_of\n"
        "class A(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.names = {'x', 'y', 'z'}\n"
        "class F(torch.autograd.Function):\n    @staticmethod\n    def forward(c, x): return x\n"
        "def f(step, it=A(), *, also=functools.partial(print, frozenset('abc'))): return F.apply(it) if step in {'a', 'b'} else (also, C)"
        "\nclass E(enum.Enum):\n    RED, BLUE, GREEN = 1, 2, 3\nC = {E.RED, E.BLUE, E.GREEN}\n"
        "print(source_of(f))\n".replace("\\\n", "\n")
    )
    found = {
        subprocess.run([sys.executable, script], capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": str(seed)}).stdout
        for seed in range(3)
    }
    assert len(found) == 1 and len(found.pop().strip()) == 64


def test_files_that_are_named_by_a_path_count_by_content(tmp_path):
    table = tmp_path / "weights.csv"
    hooks = [lambda step: open(table).read(), lambda step, path=str(table): open(path).read(), functools.partial(scaled, scale=table)]
    table.write_text("1")
    before = [source_of(hook) for hook in hooks]
    table.write_text("2")
    assert None not in before and all(source_of(hook) != old for hook, old in zip(hooks, before))


def test_modules_that_a_users_module_imports_count(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package" / "__init__.py").write_text("")
    (tmp_path / "own_package" / "deep.py").write_text("FACTOR = 1\n")
    (tmp_path / "own_package" / "top.py").write_text("from .deep import FACTOR\nfrom . import deep\n")
    top = importlib.import_module("own_package.top")
    before = source_of(lambda step: top.FACTOR)
    (tmp_path / "own_package" / "deep.py").write_text("FACTOR = 2\n")
    assert before and source_of(lambda step: top.FACTOR) != before


def test_data_and_code_that_change_under_a_federation_are_noticed(digits):
    """A tensor cannot be made read-only, and a notebook's globals change."""
    scale = [1.0]

    def network(shape, classes):
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, int(10 * scale[0])))

    def fresh():
        data = copy.deepcopy(digits)
        return fu.Federation(data, fu.partition.iid(data.train.labels, 2), network, fu.LocalTraining(epochs=1), store=None)

    for change in (
        lambda fed: fed.data.train.labels.__setitem__(3, (fed.data.train.labels[3] + 1) % 10),
        lambda fed: fed.data.train.images.numpy().__setitem__((5, 0, 1, 1), 200),
        lambda fed: fed.clients.indices[0].__setitem__(0, fed.clients.indices[0][0] + 1),
        lambda fed: fed.data.test.labels.numpy().__setitem__(0, 9 - int(fed.data.test.labels[0])),
    ):
        fed = fresh()
        fed.train(1)
        change(fed)
        for use in (lambda: fed.train(1), lambda: fed.without(fu.forget.client(0)), lambda: dataclasses.replace(fed, workers=1)):
            with pytest.raises(fu.FucoreError, match="changed after (they|it) had been used"):
                use()
    fed = fresh()
    fed.train(1)
    scale[0] = 1.05
    with pytest.raises(fu.FucoreError, match="was changed after this federation had been used"):
        fed.train(2)


def test_what_cannot_be_told_is_never_taken_for_something_else(digits, tmp_path):
    """Neither trained nor unlearned, where hooks, or classes that stand for the library's own, are opaque."""
    clients = fu.partition.iid(digits.train.labels, 3)

    def pushed(by):
        lock = threading.Lock()

        def hook(step, lock=lock):
            with lock:
                step.weights.add_(by)

        return fu.Hooks(after=hook)

    seen = []
    for by in (0.0, 0.01):
        fed = fu.Federation(digits, clients, "mlp", fu.LocalTraining(epochs=1), hooks=pushed(by), store=fu.Store(tmp_path))
        with pytest.warns(UserWarning, match="cannot be told"):
            original = fed.train(1)
        with pytest.warns(UserWarning, match="the federation's hooks compute cannot be told"):
            seen.append(fu.unlearn("fine-tune", original, fu.forget.client(0), rounds=1))
        assert original.key is None and seen[-1].key is None
    assert not torch.equal(seen[0].weights, seen[1].weights)


def test_classes_that_stand_for_the_librarys_own_count(digits, tmp_path):
    def slower(by):
        class Slower(fu.LocalTraining):
            def rate(self, round_index, rounds):
                return by * super().rate(round_index, rounds)

        return Slower(epochs=1)

    clients = fu.partition.iid(digits.train.labels, 2)
    locals_ = [fu.LocalTraining(epochs=1), slower(1.0), slower(0.5)]
    keys = [fu.Federation(digits, clients, "mlp", local, store=fu.Store(tmp_path)).train(1).key for local in locals_]
    assert None not in keys and len(set(keys)) == 3


def test_the_callers_modes_of_torch_change_nothing(digits):
    clients = fu.partition.iid(digits.train.labels, 2)
    fed = fu.Federation(digits, clients, "cnn", fu.LocalTraining(epochs=1), store=None, workers=1)
    plain = fed.train(1)
    for mode in (torch.no_grad(), torch.inference_mode(), torch.autocast("cpu", torch.bfloat16)):
        with mode:
            assert torch.equal(dataclasses.replace(fed).train(1).weights, plain.weights)
    before = torch.get_float32_matmul_precision()
    config = fed.config
    try:
        torch.set_float32_matmul_precision("medium")
        assert dataclasses.replace(fed).config != config, "other arithmetic is another run"
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_network_registered_anew_under_its_name_is_another(digits, tmp_path):
    clients = fu.partition.iid(digits.train.labels, 2)

    def register(activation):
        @fu.models.model("mine, registered")
        def mine(shape, classes):
            return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8), activation(), torch.nn.Linear(8, classes))

    try:
        register(torch.nn.ReLU)
        fed = fu.Federation(digits, clients, "mine, registered", fu.LocalTraining(epochs=1), store=fu.Store(tmp_path))
        first = fed.train(1)
        register(torch.nn.Tanh)
        with pytest.raises(fu.FucoreError, match="was changed after this federation had been used"):
            fed.train(1)
        assert dataclasses.replace(fed).train(1).key != first.key
    finally:
        del fu.models.FACTORIES["mine, registered"]


def test_settings_of_a_users_module_that_were_changed_since_it_was_read_count(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_settings.py").write_text("FACTOR = 1\n")
    own_settings = importlib.import_module("own_settings")
    hook = lambda step: own_settings.FACTOR
    before = source_of(hook)
    own_settings.FACTOR = 2
    assert before and source_of(hook) != before


def test_what_an_object_remembers_of_its_own_is_no_other_object():
    class Remembering:
        @functools.cached_property
        def table(self):
            return [1, 2]

    it = Remembering()
    hook = lambda step: it.table
    before = source_of(hook)
    assert it.table and source_of(hook) == before is not None
