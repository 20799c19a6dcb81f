"""A network is tried out on a few images before it is trained: whether it can be, and which speed-ups leave it the network that it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch._C._functorch import is_functorch_wrapped_tensor  # pyright: ignore[reportMissingModuleSource]

from ..errors import FucoreError, first_line, require
from ..runs.fingerprint import source_of
from .models import FACTORIES, build, pool_before_relu
from .randomness import seeded
from .weights import refuse_unflattenable, trainable

IMAGES, TOLERANCE = 3, 1e-2


@dataclass(frozen=True)
class Traits:
    """How a network is computed.

    ``channels_last``: images and features are kept so in memory; ``pool_first``: max-pooling before ReLU where a ``Sequential``
    says ReLU first, in networks of fucore's own, whose parts nobody asks for by number; ``draws``: random numbers while training, as
    dropout does, so clients are trained one after the other; ``apart``: in training, too, an image's answer is its own.
    """

    channels_last: bool
    pool_first: bool = False
    draws: bool = False
    apart: bool = True

    def prepared(self, module: nn.Module) -> nn.Module:
        """``module`` made ready, in place."""
        if self.pool_first:
            pool_before_relu(module)
        if self.channels_last:
            for flatten in (part for part in module.modules() if isinstance(part, nn.Flatten)):
                flatten.register_forward_pre_hook(_keep_gradient_channels_last)
        return module

    def arranged(self, images: torch.Tensor) -> torch.Tensor:
        """A float32 copy of ``images`` [b, C, H, W] as the network is given it.

        Strides are set even where one channel makes them a matter of taste: kernels go by them.
        """
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return torch.empty(images.shape, dtype=torch.float32, device=images.device, memory_format=layout).copy_(images)


def traits(model: str | Callable, shape: tuple[int, int, int], classes: int) -> Traits:
    """What was found out about the network that ``model`` makes for images of ``shape`` [C, H, W].

    Raises ``FucoreError`` for a network that cannot be trained by federated averaging of one vector of weights, that does not
    give one logit a class, or whose answers cannot be repeated.
    """
    factory = FACTORIES.get(model) if isinstance(model, str) else model
    if getattr(factory, "__module__", "").startswith("fucore.federation."):  # the built-in networks, which the tests try out
        return Traits(_convolves(build(model, shape, classes, seed=0)), pool_first=True)
    code = source_of(factory)
    if code is None:
        return _try(model, shape, classes)
    known = code, tuple(shape), classes
    if known not in _TRIED:
        _TRIED[known] = _try(model, shape, classes)
    return _TRIED[known]


#: Found out before, by what the network's function computes.
_TRIED: dict[tuple, Traits] = {}


def _convolves(module: nn.Module) -> bool:
    return any(isinstance(part, nn.Conv2d) for part in module.modules())


def _try(model: str | Callable, shape: tuple[int, int, int], classes: int) -> Traits:
    plain = build(model, shape, classes, seed=0)
    refuse_unflattenable(plain)
    images = torch.randn(IMAGES, *shape, generator=torch.Generator().manual_seed(0))
    buffers, attributes = {name: buffer.clone() for name, buffer in plain.named_buffers()}, _attributes(plain)
    first, again, other = (_trained(plain, images, classes, seed) for seed in (0, 0, 1))
    changed = [name for name, buffer in plain.named_buffers() if not torch.equal(buffer, buffers[name])]
    changed += [name for name, value in _attributes(plain).items() if attributes.get(name, value) != value or name not in attributes]
    require(
        not changed,
        f"{changed[0] if changed else ''} changes while the model is trained, which federated averaging of a vector of weights would lose: "
        "make it a parameter, or keep no running statistics and no count.",
    )
    require(
        _same(first, again),
        "the model gives other outputs or gradients when it is asked again, and not by the generators of torch, numpy or Python: "
        "let it draw from these, so that a run can be repeated.",
    )
    _check_evaluation(plain, images)
    draws = not _same(first, other)
    apart = not draws and _near(_trained(plain, images[:2], classes, 0)[0], first[0][:2])
    for option in dict.fromkeys([Traits(_convolves(plain)), Traits(False)]):
        module = option.prepared(build(model, shape, classes, seed=0))
        try:
            found = _trained(module, option.arranged(images), classes, 0)
        except FucoreError:  # such as view() on features that are channels-last
            continue
        if _near(found[0], first[0]) and all(map(_near, _by_parameter(plain, found[1]), _by_parameter(plain, first[1]))):
            return Traits(option.channels_last, draws=draws, apart=apart)
    raise FucoreError(
        "the model gives other outputs when it is built again with the same seed: let its function draw from torch's generator alone."
    )


def _trained(module: nn.Module, images: torch.Tensor, classes: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(logits [n, classes], gradient [d]) of one step in training mode, from generators seeded by ``seed``."""
    parameters = list(trainable(module).values())
    with seeded(seed):
        try:
            logits = module.train()(images)
            _check_logits(logits, len(images), classes)
            loss = nn.functional.cross_entropy(logits.float(), torch.arange(len(images)) % classes)
            gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
        except FucoreError:
            raise
        except Exception as error:  # whatever a network of a user's raises
            raise _failed(error, images) from error
    return logits.detach(), torch.cat([gradient.reshape(-1) for gradient in gradients])


def _by_parameter(module: nn.Module, vector: torch.Tensor) -> list[torch.Tensor]:
    return list(vector.split([parameter.numel() for parameter in trainable(module).values()]))


def _attributes(module: nn.Module) -> dict[str, object]:
    """Plain attributes of all parts, by name."""
    parts = [
        (f"{name}.{key}".lstrip("."), value)
        for name, part in module.named_modules()
        for key, value in vars(part).items()
        if key != "training"
    ]
    return {name: value for name, value in parts if isinstance(value, (bool, int, float, str))}


def _check_logits(logits, images: int, classes: int) -> None:
    require(
        isinstance(logits, torch.Tensor),
        f"the model returns {type(logits).__name__}, but must return the logits alone, one tensor [images, classes]: wrap it in a module that does.",
    )
    require(
        tuple(logits.shape) == (images, classes),
        f"the model gives outputs of shape {tuple(logits.shape)} for {images} images, but must give ({images}, {classes}), one logit a class.",
    )


def _check_evaluation(module: nn.Module, images: torch.Tensor) -> None:
    """In evaluation mode an image has one answer: whatever else is in the batch, whenever it is asked."""
    with torch.no_grad():
        module.eval()
        try:
            with seeded(0):
                together = module(images)
            with seeded(1):
                alone = torch.cat([module(image) for image in images.split(1)])
        except Exception as error:
            raise _failed(error, images) from error
    require(
        together.shape == alone.shape and _near(alone, together),
        "in evaluation mode the model's answer to an image depends on what else is in the batch, or on chance: "
        "let statistics of the batch and noise depend on self.training.",
    )


def _failed(error: Exception, images: torch.Tensor) -> FucoreError:
    return FucoreError(
        f"the model cannot take {len(images)} images of {images.shape[-1]} x {images.shape[-2]} pixels in {images.shape[1]} channels "
        f"({type(error).__name__}: {first_line(error)})."
    )


def _same(one, other) -> bool:
    return all(torch.equal(mine, theirs) for mine, theirs in zip(one, other))


def _near(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal up to rounding, and up to the few units that rounding switches at the edge of a ReLU."""
    return bool((one - other).norm() <= TOLERANCE * other.norm().clamp_min(1e-6))


def _keep_gradient_channels_last(flatten, inputs) -> None:
    """Before flattening: hand the gradient back in the layout of the features; kernels for mixed layouts take several times longer."""
    if inputs[0].requires_grad and inputs[0].dim() == 4 and not is_functorch_wrapped_tensor(inputs[0]):
        inputs[0].register_hook(lambda gradient: gradient.contiguous(memory_format=torch.channels_last))
