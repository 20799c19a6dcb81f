"""Whatever network a user brings, it stays theirs: the same function with the same gradients, the same bits for any number of
workers, or one sentence with the cure."""

import dataclasses
import functools
import random

import numpy as np
import pytest
import torch
import torch.utils.checkpoint
from torch import nn

import fucore as fu
from fucore.federation.models import FACTORIES, build
from fucore.federation.probe import traits
from fucore.federation.worker import Worker

SHAPE, CLASSES = (1, 8, 8), 10


def federation(digits, model, **options):
    clients = fu.partition.dirichlet(digits.train.labels, 4, 1.0, seed=1)
    return fu.Federation(digits, clients, model, fu.LocalTraining(epochs=1, batch=64), **{"store": None, "workers": 1, **options})


class Net(nn.Module):
    """A small network whose parts are replaced by the tests."""

    def __init__(self, body=None, head=None):
        super().__init__()
        self.body = body or nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.head = head or nn.Linear(64, CLASSES)

    def forward(self, images):
        return self.head(self.body(images).flatten(1))


class Picked(Net):
    """Uses the parts of its Sequential by number, so that their order must not change."""

    def forward(self, images):
        maps = self.body[2](self.body[0](images) - 0.5)
        return self.head(self.body[1](maps).flatten(1) + self.body[1](-maps).flatten(1))


class Viewed(Net):
    def forward(self, images):
        return self.head(self.body(images).view(len(images), -1))


class Strided(Net):
    """Reads memory by hand: another layout would be other numbers."""

    def forward(self, images):
        maps = self.body(images)
        return self.head(maps.as_strided((len(images), 64), (64, 1)))


class Noisy(Net):
    def forward(self, images):
        noise = 0.1 * torch.randn_like(images) if self.training else 0
        return super().forward(images + noise)


class NumpyNoise(Net):
    def forward(self, images):
        scale = 1 + 0.1 * np.random.rand() if self.training else 1.0
        return super().forward(images * scale)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, images):
        return self.head(self.inner(images.flatten(2)[:, 0].unflatten(1, (8, 8))).mean(1))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.head = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, CLASSES)
        self.two.weight = self.one.weight

    def forward(self, images):
        return self.head(self.two(self.one(images.flatten(1)).relu()).relu())


class Constant(Net):
    def __init__(self):
        super().__init__()
        self.register_buffer("position", torch.linspace(0, 1, 64).view(8, 8))

    def forward(self, images):
        return super().forward(images + self.position)


def frozen(shape, classes):
    network = Net()
    network.body.requires_grad_(False)
    return network


def lazy(shape, classes):
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes))


def dropout(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, classes))


def of(kind):
    return lambda shape, classes: kind()


QUIET = {"net": of(Net), "picked": of(Picked), "viewed": of(Viewed), "strided": of(Strided), "tied": of(Tied), "constant": of(Constant)}
QUIET |= {"frozen": frozen, "lazy": lazy}
DRAWING = {"dropout": dropout, "noisy": of(Noisy), "numpy": of(NumpyNoise), "attention": of(Attention)}


def plain_gradient(model, weights, images, labels):
    """What the user's own network computes, without anything of ours."""
    module = build(model, SHAPE, CLASSES, seed=0).train()
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    nn.utils.vector_to_parameters(weights.clone(), parameters)
    loss = nn.functional.cross_entropy(module(images), labels)
    return torch.cat([gradient.flatten() for gradient in torch.autograd.grad(loss, parameters)])


@pytest.mark.parametrize("name", QUIET)
def test_a_step_is_the_users_network_s_own(digits, name):
    fed = federation(digits, QUIET[name])
    weights, chosen = fed.initial_weights(3), np.arange(64)
    worker = Worker(fed.model, digits, fed.preprocessing, "cpu", "fp32")
    inputs = torch.empty(64, *SHAPE).copy_(worker.inputs(digits.train.images[chosen]))
    expected = plain_gradient(fed.model, weights, inputs, digits.train.labels[chosen])
    sgd = fu.LocalTraining(epochs=1, batch=64, optimizer="sgd", lr=1.0)
    step = worker.train(weights, chosen, sgd, 1.0, (0, 0, 0), fu.Hooks()) - weights
    assert torch.allclose(-step, expected, atol=1e-4 * float(expected.abs().max()))
    run = fed.train(1)
    assert len(run.weights) == len(weights) and run.history[-1]["test_accuracy"] > 0.1


@pytest.mark.parametrize("name", FACTORIES)
@pytest.mark.long
def test_built_in_networks_are_what_they_say(name):
    """They are not tried out at the start; here they are, by the same code."""
    from fucore.federation.probe import _near, _trained, _try

    shape = (3, 16, 16)
    known, found = traits(name, shape, 7), _try(name, shape, 7)
    assert dataclasses.replace(known, pool_first=False) == found
    plain, ours = build(name, shape, 7, seed=0), known.prepared(build(name, shape, 7, seed=0))
    images = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))
    assert all(map(_near, _trained(ours, known.arranged(images), 7, 0), _trained(plain, images, 7, 0)))


def test_speed_ups_are_left_out_where_they_would_change_something():
    found = {name: traits(model, SHAPE, CLASSES) for name, model in {**QUIET, **DRAWING}.items()}
    assert found["net"].channels_last and not any(trait.pool_first for trait in found.values()), "parts stay where they are"
    assert not found["viewed"].channels_last and not found["strided"].channels_last
    assert {name for name, trait in found.items() if trait.draws} == set(DRAWING)


@pytest.mark.parametrize("name", DRAWING)
def test_dropout_and_noise_work_and_give_the_same_bits_for_any_number_of_workers(digits, name):
    runs = [federation(digits, DRAWING[name], workers=workers).train(2, seed=5) for workers in (1, 3)]
    assert torch.equal(runs[0].weights, runs[1].weights)
    one, two = federation(digits, DRAWING[name], workers=2).train_many(2, seeds=[5, 6])
    assert torch.equal(one.weights, runs[0].weights) and not torch.equal(one.weights, two.weights)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    federation(digits, DRAWING[name]).train(1)
    assert torch.equal(before[0], torch.get_rng_state()) and (before[1] == np.random.get_state()[1]).all(), "the user's generators stay"


def noisy_loss(step):
    return nn.functional.cross_entropy(step.logits + 0.1 * torch.randn_like(step.logits), step.labels)


def late_noise(step):
    if step.state.setdefault("steps", 0) >= 1 and step.client == 2:
        step.gradient.add_(torch.from_numpy(np.random.normal(size=len(step.gradient)).astype(np.float32)), alpha=0.01)
    step.state["steps"] += 1


@pytest.mark.parametrize("hooks", [fu.Hooks(loss=noisy_loss), fu.Hooks(gradient=late_noise)], ids=["loss", "late"])
def test_noise_in_hooks_is_seeded_whoever_draws_first(digits, hooks):
    runs = []
    for workers, disturbance in ((1, 0), (3, 1), (2, 7)):
        torch.manual_seed(disturbance)
        np.random.seed(disturbance)
        runs.append(federation(digits, "cnn", workers=workers, hooks=hooks).train(2, seed=5))
    assert torch.equal(runs[0].weights, runs[1].weights) and torch.equal(runs[0].weights, runs[2].weights)
    assert not torch.equal(runs[0].weights, federation(digits, "cnn").train(2, seed=5).weights)


class Counter(Net):
    calls = 0

    def forward(self, images):
        Counter.calls += 1
        return super().forward(images) * (1 + Counter.calls % 7)


class TupleOut(Net):
    def forward(self, images):
        return super().forward(images), images


class TupleWhenTraining(Net):
    def forward(self, images):
        return (super().forward(images), None) if self.training else super().forward(images)


class Company(Net):
    def forward(self, images):
        return super().forward(images - images.mean(0))


class AlwaysNoisy(Net):
    def forward(self, images):
        return super().forward(images + 0.1 * torch.randn_like(images))


class Running(Net):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(1))

    def forward(self, images):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * images.detach().mean()
        return super().forward(images)


def batchnorm(running):
    return of(
        lambda: Net(
            nn.Sequential(nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16, track_running_stats=running)), nn.Linear(256, 10)
        )
    )


@pytest.mark.parametrize(
    "model, sentence",
    [
        (batchnorm(True), r"body\.1 is a BatchNorm.*fu\.models\.to_groupnorm"),
        (batchnorm(False), r"body\.1 is a BatchNorm.*fu\.models\.to_groupnorm"),
        (
            of(lambda: Net(nn.Sequential(nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4, track_running_stats=True)), nn.Linear(144, 10))),
            "body.1.running_mean changes",
        ),
        (of(Running), "mean changes while the model is trained"),
        (of(Counter), "other outputs or gradients when it is asked again"),
        (of(TupleOut), "returns tuple, but must return the logits alone"),
        (of(TupleWhenTraining), "returns tuple, but must return the logits alone"),
        (of(Company), "depends on what else is in the batch"),
        (of(AlwaysNoisy), "or on chance"),
        (of(lambda: Net(head=nn.Linear(64, 9))), r"outputs of shape \(3, 9\) for 3 images, but must give \(3, 10\)"),
        (of(lambda: Net(head=nn.Linear(65, 10))), r"cannot take 3 images of 8 x 8 pixels in 1 channels \(RuntimeError"),
        (of(lambda: Net().double()), r"parameters must be float32, but body\.0\.weight is float64: call \.float\(\)"),
        (of(lambda: Net().half()), "is float16"),
        (of(lambda: Net().requires_grad_(False)), "no parameters to train"),
        (of(lambda: nn.Flatten()), "no parameters to train"),
        (lambda shape, classes: 5, "must return a torch.nn.Module"),
        (lambda: Net(), r"cannot be called as model\(shape, classes\)"),
        (lambda shape, classes: 1 / 0, r"cannot be called as model\(shape, classes\) \(ZeroDivisionError"),
        (Net(), "model is a network, but must be a function"),
    ],
)
def test_what_cannot_be_trained_so_gets_one_sentence(digits, model, sentence):
    with pytest.raises(fu.FucoreError, match=sentence) as error:
        federation(digits, model).train(1)
    assert "\n" not in str(error.value)


def test_the_cure_for_batchnorm_is_right(digits):
    def cured(shape, classes):
        return fu.models.to_groupnorm(batchnorm(True)(shape, classes))

    assert federation(digits, cured).train(1).history


class Whole(nn.Module):
    """A class as a factory."""

    def __init__(self, shape, classes, width=16):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(shape[1] * shape[2], width), nn.ReLU(), nn.Linear(width, classes))

    def forward(self, images):
        return self.net(images)


class Maker:
    def __init__(self, width):
        self.width = width

    def __call__(self, shape, classes):
        return Whole(shape, classes, self.width)

    def make(self, shape, classes):
        return Whole(shape, classes, self.width)


def test_classes_partials_and_methods_are_factories_too_and_are_told_apart(digits, tmp_path):
    models = [
        Whole,
        functools.partial(Whole, width=8),
        functools.partial(Whole, width=9),
        Maker(10),
        Maker(11),
        Maker(12).make,
        Maker(13).make,
    ]
    keys = [federation(digits, model, store=fu.Store(tmp_path)).train(1).key for model in models]
    assert None not in keys and len(set(keys)) == len(models)
    again = [
        federation(digits, model, store=fu.Store(tmp_path)).train(1).key
        for model in (functools.partial(Whole, width=8), Maker(10), Maker(12).make)
    ]
    assert again == [keys[1], keys[3], keys[5]]


def test_what_a_network_is_made_of_counts(digits, tmp_path):
    """Attributes, buffers, hooks and frozen weights that repr does not show."""

    def network(kind, amount):
        def factory(shape, classes):
            net = Constant()
            if kind == "attribute":
                net.gain = amount
            if kind == "buffer":
                net.position.mul_(amount)
            if kind == "hook":
                net.body.register_forward_hook((lambda *given: given[-1] * 2) if amount == 2 else (lambda *given: given[-1] * 3))
            if kind == "frozen":
                net.body[0].weight.requires_grad_(amount == 2)
            return net

        return factory

    def key(kind, amount):
        import builtins

        builtins.chosen = network(kind, amount)  # the same code for all: only what it makes differs
        return (
            federation(digits, lambda shape, classes: __import__("builtins").chosen(shape, classes), store=fu.Store(tmp_path)).train(1).key
        )

    for kind in ("attribute", "buffer", "hook", "frozen"):
        assert key(kind, 2) != key(kind, 3) and key(kind, 2) == key(kind, 2), kind


def test_explain_says_which_speed_ups_apply(digits):
    words = federation(digits, dropout, workers=3).explain()
    assert "draws random numbers" in words and "one client at a time" in words
    words = federation(digits, "cnn", workers=3).explain()
    assert "channels-last" in words and "3 clients at a time" in words and "draws" not in words


class MaxNorm(nn.Linear):
    """EEGNet's: gives its weights other memory each time."""

    def forward(self, values):
        self.weight.data = torch.renorm(self.weight.data, 2, 0, 1.0)
        return super().forward(values)


class MaxNormInPlace(nn.Linear):
    def forward(self, values):
        self.weight.data.copy_(torch.renorm(self.weight.data, 2, 0, 1.0))
        return super().forward(values)


def test_a_parameter_that_leaves_the_flat_vector_is_noticed(digits):
    with pytest.raises(fu.FucoreError, match=r"1\.weight was given other memory.*copy_"):
        federation(digits, lambda shape, classes: nn.Sequential(nn.Flatten(), MaxNorm(64, classes))).train(1)

    def after(step):
        step.module[1].weight.data = step.module[1].weight.data.clone()

    plain = lambda shape, classes: nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
    with pytest.raises(fu.FucoreError, match="was given other memory"):
        federation(digits, plain, hooks=fu.Hooks(after=after)).train(1)
    run = federation(digits, lambda shape, classes: nn.Sequential(nn.Flatten(), MaxNormInPlace(64, classes))).train(3)
    assert run.history[-1]["test_accuracy"] > 0.5


class Scaled(Net):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, images):
        return self.scale * super().forward(images)


class TwoNames(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = self.two = nn.Linear(64, 64)
        self.head = nn.Linear(64, CLASSES)

    def forward(self, images):
        return self.head(self.two(self.one(images.flatten(1)).relu()).relu())


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(64, 32), nn.Linear(32, CLASSES)

    def forward(self, images):
        return self.head(torch.utils.checkpoint.checkpoint(self.body, images.flatten(1), use_reentrant=False).relu())


class Centred(nn.Module):
    """In training, each batch is centred, which padding would change."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, CLASSES)

    def forward(self, images):
        flat = images.flatten(1)
        return self.head(flat - flat.mean(0) if self.training else flat)


class LayerDrop(nn.Module):
    """Draws so seldom that trying it out may not show it."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(64, 64), nn.Linear(64, CLASSES)

    def forward(self, images):
        flat = images.flatten(1)
        return self.head(flat if self.training and random.random() < 0.1 else self.body(flat))


def scripted(shape, classes):
    return torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, classes)))


@dataclasses.dataclass
class Made:
    width: int = 8

    def __call__(self, shape, classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, self.width), nn.ReLU(), nn.Linear(self.width, classes))


ORDINARY = {
    "scalar": of(Scaled),
    "two names": of(TwoNames),
    "checkpointed": of(Checkpointed),
    "centred": of(Centred),
    "layer drop": of(LayerDrop),
}


@pytest.mark.parametrize("name", [*ORDINARY, "scripted", "dataclass"])
def test_ordinary_networks_are_the_same_stacked_or_not_for_any_number_of_workers(digits, name):
    """Twenty-four clients of a small network are what is stacked."""
    model = ORDINARY.get(name) or {"scripted": scripted, "dataclass": Made()}[name]
    clients = fu.partition.iid(digits.train.labels, 24)
    local = fu.LocalTraining(epochs=1, batch=32, optimizer="sgd", lr=0.05)
    fed = fu.Federation(digits, clients, model, local, store=None, workers=1)
    fed.explain()
    run = fed.train(2, seed=1)
    assert torch.equal(dataclasses.replace(fed, workers=2).train(2, seed=1).weights, run.weights)
    alone = dataclasses.replace(fed, hooks=fu.Hooks(loss=lambda step: nn.functional.cross_entropy(step.logits, step.labels)))
    assert (alone.train(2, seed=1).weights - run.weights).norm() <= 1e-5 * run.weights.norm()


class Counting(Net):
    def __init__(self):
        super().__init__()
        self.steps = 0

    def forward(self, images):
        self.steps += self.training
        return super().forward(images)


def test_a_count_in_a_plain_attribute_is_refused(digits):
    with pytest.raises(fu.FucoreError, match="steps changes while the model is trained"):
        federation(digits, of(Counting)).train(1)


@dataclasses.dataclass(frozen=True)
class Private(fu.Server):
    """Noise on the mean, from torch's generator."""

    def begin(self, theta):
        return {}

    def step(self, theta, mean, state):
        return mean.float() + 0.1 * torch.randn_like(theta)


def test_an_aggregation_rule_may_draw(digits):
    runs = []
    for caller in (1, 2):
        torch.manual_seed(caller)
        runs.append(federation(digits, "cnn", server=Private()).train(2, seed=3).weights)
    assert torch.equal(*runs) and not torch.equal(runs[0], federation(digits, "cnn", server=Private()).train(2, seed=4).weights)


@pytest.mark.parametrize("workers", [1, 2])
def test_federations_in_hooks(digits, workers):
    """Another one works in the hook's thread; the one that is being trained is refused."""
    inner = federation(digits, "mlp", workers=2)
    outer = federation(digits, "cnn", workers=workers, hooks=fu.Hooks(after=lambda step: inner.evaluate(inner.initial_weights(0))))
    plain = federation(digits, "cnn", workers=workers).train(1, seed=2)
    assert torch.equal(outer.train(1, seed=2).weights, plain.weights)
    own = []
    fed = federation(digits, "cnn", workers=workers, hooks=fu.Hooks(after=lambda step, own=own: own[0].evaluate(step.start)))
    own.append(fed)
    with pytest.raises(fu.FucoreError, match="a hook cannot use the federation|was changed after"):
        fed.train(1)
