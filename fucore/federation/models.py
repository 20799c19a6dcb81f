"""Networks by name.

A factory is any function ``(shape, classes) -> nn.Module`` with ``shape = (channels, height, width)``.  The built-in
ones are initialised as in the public code of Wei et al.: tensors of two or more dimensions Kaiming-uniform for ReLU,
U(-sqrt(6/fan_in), sqrt(6/fan_in)), all others U(-0.1, 0.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from ..data._torchvision import torchvision
from ..errors import FucoreError, first_line, require, require_choice, shown
from ..runs.fingerprint import hash_of, source_of
from ..runs.registries import registry
from .randomness import seeded

KAIMING_1D_BOUND = 0.1


#: Networks by name, functions ``(shape, classes) -> nn.Module``.
FACTORIES: dict[str, Callable[..., nn.Module]] = registry("model")


def model(name: str):
    """Register a factory ``(shape, classes) -> nn.Module`` as the network ``name``.  Raises ``FucoreError`` for a built-in's name."""

    def register(factory):
        known = FACTORIES.get(name)
        own = known is not None and known.__module__.startswith("fucore.") and factory.__module__ != known.__module__
        require(not own, f"{name} is a network of fucore's own: call yours something else.")
        FACTORIES[name] = factory
        return factory

    return register


def to_groupnorm(module: nn.Module, channels_per_group: int = 16, affine: bool = True) -> nn.Module:
    """Replace every BatchNorm inside ``module``, in place, by a GroupNorm of that many channels a group; returns it."""
    for name, child in module.named_children():
        if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)):
            require(
                child.num_features % channels_per_group == 0,
                f"{name} has {child.num_features} channels, not a multiple of {channels_per_group} channels a group.",
            )
            setattr(module, name, nn.GroupNorm(child.num_features // channels_per_group, child.num_features, affine=affine))
        else:
            to_groupnorm(child, channels_per_group, affine)
    return module


def pool_before_relu(module: nn.Module) -> nn.Module:
    """Swap ReLU and the max-pooling right after it wherever a plain ``nn.Sequential`` says so; returns ``module``.

    The same function with the same gradients, since both are monotone, but ReLU then sees a quarter of the values.
    """
    for sequence in [part for part in module.modules() if type(part) is nn.Sequential]:
        for index in range(len(sequence) - 1):
            if type(sequence[index]) is nn.ReLU and type(sequence[index + 1]) is nn.MaxPool2d and not sequence[index + 1].return_indices:
                sequence[index], sequence[index + 1] = sequence[index + 1], sequence[index]
    return module


def initialise(module: nn.Module) -> nn.Module:
    """Draw all parameters from torch's global generator: Kaiming-uniform for >= 2-D tensors, U(-0.1, 0.1) for the others."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(-1, 1).mul_(initial_bound(parameter.shape))
    return module


def initial_bound(shape) -> float:
    """Half width of the initial uniform distribution of a parameter of this shape (He et al., 2015, for ReLU)."""
    return math.sqrt(6 / math.prod(shape[1:])) if len(shape) >= 2 else KAIMING_1D_BOUND


@model("cnn")
def cnn(shape, classes: int, groupnorm: bool = False) -> nn.Module:
    """The quick default: two strided convolutions and one hidden layer; 105,866 parameters for 28 x 28 digits."""
    channels, height, width = shape

    def norm(width):
        return [nn.GroupNorm(width // 8, width, affine=False)] if groupnorm else []

    flat = 32 * math.ceil(math.ceil(height / 2) / 2) * math.ceil(math.ceil(width / 2) / 2)
    return initialise(
        nn.Sequential(
            *[nn.Conv2d(channels, 16, 3, stride=2, padding=1), *norm(16), nn.ReLU()],
            *[nn.Conv2d(16, 32, 3, stride=2, padding=1), *norm(32), nn.ReLU()],
            *[nn.Flatten(), nn.Linear(flat, 64), nn.ReLU(), nn.Linear(64, classes)],
        )
    )


@model("cnn-groupnorm")
def cnn_groupnorm(shape, classes: int) -> nn.Module:
    """:func:`cnn` with non-affine GroupNorm after each convolution."""
    return cnn(shape, classes, groupnorm=True)


@model("cnn-adaptive")
def cnn_adaptive(shape, classes: int) -> nn.Module:
    """:func:`cnn` with its last maps pooled to 4 x 4, so that images of any size fit; 38,570 parameters for 10 classes in colour."""
    layers = [nn.Conv2d(shape[0], 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU()]
    return initialise(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, classes)))


@model("convnet")
def convnet(shape, classes: int) -> nn.Module:
    """Three strided 3 x 3 convolutions of 32, 64 and 128 channels, each with affine GroupNorm (16 channels a group), and a linear
    classifier; 113,962 parameters for CIFAR-10, of which it learns two thirds of the test images in a minute on two cores."""
    widths = [shape[0], 32, 64, 128]
    blocks = [
        [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False), nn.GroupNorm(outputs // 16, outputs), nn.ReLU()]
        for inputs, outputs in zip(widths, widths[1:])
    ]
    flat = widths[-1] * math.prod(math.ceil(side / 8) for side in shape[1:])
    return _plain_norms(initialise(nn.Sequential(*sum(blocks, []), nn.Flatten(), nn.Linear(flat, classes))))


@model("mlp")
def mlp(shape, classes: int) -> nn.Module:
    """Two hidden layers of 200 units (the 2NN of McMahan et al., 2017)."""
    return initialise(
        nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, classes))
    )


@model("resnet18")
def resnet18(shape, classes: int) -> nn.Module:
    """ResNet-18 with non-affine GroupNorm, 16 channels a group; 11,172,042 parameters for 10 classes at 224 x 224.

    Images of 64 pixels or more get the 7 x 7 stride-2 stem with max-pooling, smaller ones a 3 x 3 stem without.
    """
    return _resnet("resnet18", shape, classes)


@model("resnet34")
def resnet34(shape, classes: int) -> nn.Module:
    """ResNet-34, otherwise as :func:`resnet18`; 21,311,268 parameters for 100 classes at 32 x 32."""
    return _resnet("resnet34", shape, classes)


@model("resnet18-affine")
def resnet18_affine(shape, classes: int) -> nn.Module:
    """:func:`resnet18` whose GroupNorms have a scale and a shift for each channel, so that single channels can be silenced."""
    return _plain_norms(_resnet("resnet18", shape, classes, affine=True))


class _Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut without parameters: every other pixel, new channels zero (He et al., option A)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.stride, self.extra = (1 if inputs == outputs else 2), outputs - inputs
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=self.stride, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(outputs // 16, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(outputs // 16, outputs)
        self.relu = nn.ReLU()

    def forward(self, inputs):
        shortcut = nn.functional.pad(inputs[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))
        return self.relu(self.norm2(self.conv2(self.relu(self.norm1(self.conv1(inputs))))) + shortcut)


@model("resnet32")
def resnet32(shape, classes: int) -> nn.Module:
    """ResNet-32 for small images: 5 blocks each of 16, 32 and 64 channels (He et al., CVPR 2016, section 4.2), with affine
    GroupNorm, 16 channels a group; 464,154 parameters for 10 classes in colour."""
    stem = [nn.Conv2d(shape[0], 16, 3, padding=1, bias=False), nn.GroupNorm(1, 16), nn.ReLU()]
    widths = [16] * 6 + [32] * 5 + [64] * 5
    blocks = [_Block(inputs, outputs) for inputs, outputs in zip(widths, widths[1:])]
    return _plain_norms(initialise(nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))))


def _plain_norms(network: nn.Module) -> nn.Module:
    """Let every affine GroupNorm start as one without scale and shift."""
    for module in network.modules():
        if isinstance(module, nn.GroupNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    return network


def _resnet(name, shape, classes, affine=False):
    def norm(channels):
        return nn.GroupNorm(channels // 16, channels)

    network = getattr(torchvision().models, name)(num_classes=classes, norm_layer=norm)
    for module in network.modules():
        if isinstance(module, nn.GroupNorm) and not affine:  # torchvision can only build it affine
            module.affine = False
            module.register_parameter("weight", None)
            module.register_parameter("bias", None)
    small = shape[1] < 64
    if small or shape[0] != 3:
        network.conv1 = nn.Conv2d(shape[0], 64, 3 if small else 7, stride=1 if small else 2, padding=1 if small else 3, bias=False)
    if small:
        network.maxpool = nn.Identity()
    return initialise(network)


@model("vgg9")
def vgg9(shape, classes: int) -> nn.Module:
    """Four convolutions with affine GroupNorm in 8 groups and two linear layers; 1,872,346 parameters for 26 letters at 28 x 28."""
    channels, height, width = shape
    require(min(height, width) >= 4, f"vgg9 needs images of at least 4 x 4 pixels, not {height} x {width}.")

    def block(inputs, outputs):
        return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.GroupNorm(8, outputs), nn.ReLU()]

    features = [*block(channels, 64), *block(64, 64), nn.MaxPool2d(2), *block(64, 128), *block(128, 128), nn.MaxPool2d(2)]
    head = [nn.Flatten(), nn.Linear(128 * (height // 4) * (width // 4), 256), nn.ReLU(), nn.Linear(256, classes)]
    return initialise(nn.Sequential(*features, *head))


def build(model, shape, classes: int, seed: int) -> nn.Module:
    """The network that ``model`` (a name or a factory) makes when drawn with ``seed``; torch's own generator is left as it was."""
    if isinstance(model, str):
        model = FACTORIES[require_choice("model", model, FACTORIES)]
    require(
        callable(model),
        f"model is {shown(model)}, but must be one of {', '.join(FACTORIES)} or a function (shape, classes) -> torch.nn.Module.",
    )
    with seeded(seed):
        try:
            module = model(tuple(shape), classes)
        except FucoreError:
            raise
        except Exception as error:  # whatever a user's function raises
            raise FucoreError(
                f"the model's function cannot be called as model(shape, classes) ({type(error).__name__}: {first_line(error)})."
            ) from error
        require(isinstance(module, nn.Module), f"the model factory returned {type(module).__name__}, but must return a torch.nn.Module.")
        if any(isinstance(parameter, nn.parameter.UninitializedParameter) for parameter in module.parameters()):
            with torch.no_grad():
                module.eval()(torch.zeros(2, *shape))  # lazy layers learn their shapes, and draw their weights now
            module.train()
    return module


def fingerprint(model, module: nn.Module) -> str:
    """Hash of what the network computes: what its function does, and all that ``module``, drawn by it, is made of."""
    parts = source_of(FACTORIES[model] if isinstance(model, str) else model), source_of(module)
    require(
        None not in parts,
        f"what {model!r} computes cannot be told from its code, so its runs cannot be told apart: make the factory a plain function over plain values, or pass store=None.",
    )
    return hash_of([repr(module), *parts])
