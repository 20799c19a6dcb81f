"""A network with all its state in flat vectors, able to train any client and to evaluate any weights."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from ..data.dataset import Dataset, Split
from ..errors import FucoreError, first_line, require
from ..streams import Stream
from .models import build
from .probe import traits
from .randomness import derived_seed, drawing_nothing, seeded
from .training import EVALUATION_BATCH, Hooks, LocalTraining, Preprocessing, Step, augmented, batch_order
from .weights import FlatModel


class Worker:
    """One network with its flat weights, gradient and optimiser state, able to train any client and to evaluate any weights."""

    def __init__(self, model, data: Dataset, preprocessing: Preprocessing, device: str, precision: str):
        self.device, self.precision, self.preprocessing = device, precision, preprocessing
        channels, height, width = data.shape
        side = preprocessing.resize
        shape = (channels, side or height, side or width)
        self.traits = traits(model, shape, len(data.classes))
        self._build = lambda: self.traits.prepared(build(model, shape, len(data.classes), seed=0)).to(device)
        self.net = FlatModel(self._build(), device)
        sides = data.train.sides
        sizes = [(height, width)] if sides is None else [(int(side),) * 2 for side in sides.unique()]
        self.net.module.eval()  # nothing may draw here, where other threads may train
        for size in [(side, side)] if side else sizes:
            with torch.no_grad():
                outputs = _output_shape(self.net.module, torch.zeros(1, channels, *size, device=device))
            require(
                outputs == (1, len(data.classes)),
                f"the model gives outputs of shape {outputs} for one image, but must give (1, {len(data.classes)}), one logit a class.",
            )
        self.train_split = Split(data.train.images.to(device), data.train.labels.to(device), None if sides is None else sides.to(device))
        mean = torch.tensor(data.mean) if preprocessing.normalise else torch.zeros(channels)
        std = torch.tensor(data.std) if preprocessing.normalise else torch.full((channels,), 255.0)
        self.scale = (1 / std).view(-1, 1, 1).to(device)
        self.shift = (-mean / std).view(-1, 1, 1).to(device)
        self._drawing: list[Hooks] = []

    @functools.cached_property
    def stacks(self) -> bool:
        """Whether :meth:`train_together` can train this network: no augmentation, and nothing that ``torch.vmap`` cannot batch."""
        if self.preprocessing.augment or self.train_split.sides is not None or self.traits.draws or not self.traits.apart:
            return False
        module = self._build().train()  # one of its own: a failure may leave it unusable
        names = [name for name, _ in module.named_modules(remove_duplicate=False)]
        if len(names) > len(list(module.modules())):  # a part under two names
            return False
        images = self.inputs(self.train_split.images[:2]).unsqueeze(1)
        try:
            with drawing_nothing() as drawn:
                parameters = {name: view.requires_grad_() for name, view in self.net.layout.views(self.net.weights.repeat(2, 1)).items()}
                logits = torch.vmap(functools.partial(torch.func.functional_call, module))(parameters, images)
                torch.autograd.grad(logits.sum(), list(parameters.values()), materialize_grads=True)
        except Exception:  # data-dependent control flow, operations without a batching rule, and whatever else a network does
            return False
        return not drawn[0]

    def train(self, weights, indices, local: LocalTraining, lr: float, key: tuple[int, int, int], hooks: Hooks) -> torch.Tensor:
        """Weights [d] after local training from ``weights`` on the training examples ``indices``.

        ``key`` = (seed, round, client) seeds the batch order, and whatever else the network or the hooks draw.
        """
        if not self.traits.draws and not any(hooks is known for known in self._drawing):
            with drawing_nothing() as drawn:
                result = self._train(weights, indices, local, lr, key, hooks)
            if not drawn[0]:
                return result
            self._drawing.append(hooks)
        with seeded(derived_seed(*key, Stream.DRAWN_IN_TRAINING)):
            return self._train(weights, indices, local, lr, key, hooks)

    def _train(self, weights, indices, local: LocalTraining, lr: float, key: tuple[int, int, int], hooks: Hooks) -> torch.Tensor:
        net, train, (seed, turn, client) = self.net, self.train_split, key
        net.module.train()
        start = weights.to(self.device)
        net.weights.copy_(start)
        optimizer, state, rng = FlatOptimizer(net.weights, local, lr), {}, np.random.default_rng(key)
        for _ in range(local.epochs):
            for batch in torch.from_numpy(rng.permutation(indices)).to(self.device).split(local.batch):
                inputs = self.inputs(train.batch(batch), rng if self.preprocessing.augment else None)
                step = Step(
                    seed, turn, client, batch, inputs, train.labels[batch], net.weights, net.gradient, net.module, state, start=start
                )
                with self._autocast():
                    step.logits = logits = net.module(inputs).float()
                    loss = hooks.loss(step) if hooks.loss else torch.nn.functional.cross_entropy(logits, step.labels)
                net.differentiate(loss)
                if local.proximal:
                    net.gradient.add_(net.weights - start, alpha=local.proximal)
                if hooks.gradient is not None:
                    hooks.gradient(step)
                optimizer.step(net.gradient)
                if hooks.after is not None:
                    hooks.after(step)
        net.check_attached()
        return net.weights.clone()

    def train_together(self, weights, clients, local: LocalTraining, lr: float, keys) -> torch.Tensor:
        """:meth:`train` of several clients at once, ``clients`` a list of index arrays; weights [clients, d] in their order.

        One batched computation over stacked weights: a client's k-th step is done with the others' k-th steps, short batches
        are padded with weight zero, and clients that have finished drop out of the stack.
        """
        with drawing_nothing() as drawn:
            result = self._train_together(weights, clients, local, lr, keys)
        if not drawn[0]:
            return result
        return torch.stack([self.train(weights, indices, local, lr, key, Hooks()) for indices, key in zip(clients, keys)])

    def _train_together(self, weights, clients, local: LocalTraining, lr: float, keys) -> torch.Tensor:
        net, train = self.net, self.train_split
        net.module.train()
        steps = [batch_order(indices, local, np.random.default_rng(key)) for indices, key in zip(clients, keys)]
        longest_first = sorted(range(len(clients)), key=lambda k: -len(steps[k]))
        start = weights.to(self.device)
        stack = start.repeat(len(clients), 1)
        gradient, optimizer = torch.empty_like(stack), FlatOptimizer(stack, local, lr)
        for step in range(len(steps[longest_first[0]])):
            chosen, share = padded([steps[k][step] for k in longest_first if step < len(steps[k])], self.device)
            active = len(chosen)
            parameters = {name: view.requires_grad_() for name, view in net.layout.views(stack[:active].detach()).items()}
            inputs = self.inputs(train.images[chosen.flatten()]).unflatten(0, chosen.shape)
            with self._autocast():
                logits = torch.vmap(functools.partial(torch.func.functional_call, self.net.module))(parameters, inputs).float()
            losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), train.labels[chosen.flatten()], reduction="none")
            gradients = torch.autograd.grad(torch.dot(losses, share.flatten()), list(parameters.values()), materialize_grads=True)
            torch._foreach_copy_(list(net.layout.views(gradient[:active]).values()), gradients)
            if local.proximal:
                gradient[:active].add_(stack[:active] - start, alpha=local.proximal)
            optimizer.step(gradient[:active])
        return stack[torch.tensor(longest_first).argsort().to(self.device)]

    def logits(self, weights, images: torch.Tensor) -> torch.Tensor:
        """Logits [n, classes] of uint8 ``images`` [n, C, H, W] in evaluation mode, without augmentation; on the CPU."""
        self.net.module.eval()
        self.net.weights.copy_(weights)
        with torch.no_grad(), self._autocast():
            return self.net.module(self.inputs(images)).float().detach().cpu()

    def gradient(self, weights, indices) -> torch.Tensor:
        """Gradient [d] of the mean cross-entropy over ``indices`` at ``weights``, in evaluation mode."""
        net, train = self.net, self.train_split
        net.module.eval()
        net.weights.copy_(weights)
        total = torch.zeros_like(net.weights)
        for batch in torch.tensor(np.asarray(indices), device=self.device).split(EVALUATION_BATCH):
            with self._autocast():
                logits = net.module(self.inputs(train.batch(batch))).float()
                loss = torch.nn.functional.cross_entropy(logits, train.labels[batch], reduction="sum") / len(indices)
            net.differentiate(loss)
            total += net.gradient
        return total

    def inputs(self, images: torch.Tensor, rng: np.random.Generator | None = None) -> torch.Tensor:
        """uint8 [b, C, H, W] to normalised float32 in the network's memory format, augmented if ``rng`` is given."""
        images = images.to(self.device)
        if rng is not None:
            images = augmented(images, rng, flip=self.preprocessing.flip)
        inputs = self.traits.arranged(images)
        if self.preprocessing.resize is not None:
            inputs = torch.nn.functional.interpolate(inputs, size=(self.preprocessing.resize,) * 2, mode="bilinear", antialias=True)
        return inputs.mul_(self.scale).add_(self.shift)

    def _autocast(self):
        if self.precision != "bf16":
            return contextlib.nullcontext()
        # no cache: it is emptied only where the outermost autocast ends, and the engine's is outside, so a step would see old weights
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, cache_enabled=False)


class FlatOptimizer:
    """Adam or SGD as one fused kernel over a flat vector [d], or over a stack [clients, d] whose rows step together.

    ``torch.optim`` would do the same arithmetic, but costs more per step than the kernel itself, and 2 s to import its compiler.
    """

    def __init__(self, weights: torch.Tensor, local: LocalTraining, lr: float):
        self.weights, self.local, self.lr = weights, local, lr
        self.steps = torch.zeros((), device=weights.device)
        self.state = [torch.zeros_like(weights) for _ in range(2 if local.optimizer == "adam" else local.momentum > 0)]

    def step(self, gradient: torch.Tensor) -> None:
        """Step the first ``len(gradient)`` rows; rows left out once must be left out for good."""
        weights, *state = ([tensor[: len(gradient)]] for tensor in (self.weights, *self.state))
        self.steps += 1
        options: dict[str, Any] = {"weight_decay": self.local.weight_decay, "lr": self.lr, "maximize": False}
        if self.local.optimizer == "adam":
            means, squares = state
            torch._fused_adam_(
                weights, [gradient], means, squares, [], [self.steps], beta1=0.9, beta2=0.999, eps=1e-8, amsgrad=False, **options
            )
        else:
            options |= {"momentum": self.local.momentum, "dampening": 0.0, "nesterov": False, "is_first_step": False}
            torch._fused_sgd_(weights, [gradient], *(state or [[]]), **options)


def _output_shape(module: torch.nn.Module, images: torch.Tensor) -> tuple[int, ...]:
    try:
        return tuple(module(images).shape)
    except Exception as error:  # whatever a network of a user's raises
        raise FucoreError(
            f"the model cannot take images of {images.shape[-1]} x {images.shape[-2]} pixels ({first_line(error)}): "
            "for images of several sizes choose one that pools adaptively, such as resnet18, resnet32 or cnn-adaptive."
        ) from None


@contextlib.contextmanager
def watched(module: torch.nn.Module, kind: type, *, outputs: bool = False) -> Iterator[list[torch.Tensor]]:
    """While inside, what the last layer of that kind in ``module`` is given (or puts out) is appended to the list.

    Raises ``FucoreError`` if there is no such layer.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, kind)]
    require(bool(layers), f"this looks at the last {kind.__name__} layer of the model, which has none.")
    seen: list[Any] = []
    handle = layers[-1].register_forward_hook(lambda layer, given, put_out: seen.append(put_out if outputs else given[0]))
    try:
        yield seen
    finally:
        handle.remove()


def padded(batches: list[torch.Tensor], device) -> tuple[torch.Tensor, torch.Tensor]:
    """Batches of different sizes as one [n, longest] (padded with a repeated example) and each example's share of its mean loss."""
    chosen = torch.nn.utils.rnn.pad_sequence(batches, batch_first=True, padding_value=int(batches[0][0]))
    counts = torch.tensor([[len(batch)] for batch in batches])
    share = (torch.arange(chosen.shape[1]) < counts) / counts
    return chosen.to(device), share.to(device)
