"""FedMemPrune's reset and recovery with other choices of what to reset (Wei et al., KDD 2026, App. F.3)::

    one locating round on the remaining clients;   reset the k = floor(ratio d) chosen entries;   FedAvg on the remaining

    salun            top of |Delta_u|, u's update at theta_o          salun-gradient   top of |gradient on D_u| (SalUn's own code)
    deep, shallow    as salun, but only tensors from / before ``split``
    localized        whole output channels of each tensor of >= 2 dimensions, by the mean of the 5 largest |theta * Delta_u|
    localized-global |theta * gradient on D_u|, mean of the top tenth of a channel, ranked over all tensors (the method's own code)
    information      top of (h_u / h_all)^2 / 2, h the diagonal of the empirical Fisher
    redundant        bottom of |mean update of the remaining|: FedMemPrune itself          random   any

Only ``redundant`` and ``random`` do without the departed client.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from ..errors import require_choice, require_number, require_whole
from ..federation.weights import Layout
from ..streams import Stream
from ._curvature import fisher_of
from .fedmemprune import least_important, reset
from .registry import METHODS, method
from .task import Task

STRATEGIES = ("salun", "salun-gradient", "localized", "localized-global", "deep", "shallow", "information", "redundant", "random")
LARGEST_IN_CHANNEL = 5


@method(
    "selected-reset",
    needs=("forgotten data",),
    citation="Wei et al., KDD 2026, App. F.3; Fan et al., ICLR 2024; Torkzadehmahani et al., TMLR 2025",
)
def selected_reset(task: Task, *, strategy: str = "salun", ratio: float = 0.4, rounds: int = 4, split: int | None = None):
    """Reset the share ``ratio`` of parameters that ``strategy`` chooses; ``rounds`` count the locating round.

    ``split``: index of the first deep tensor (default half of them; Wei et al. use 11 of ResNet-18's 22).
    """
    require_choice("strategy", strategy, STRATEGIES)
    require_number("ratio", ratio, 0.0, 1.0)
    require_whole("rounds", rounds, 1)
    located, chosen = located_and_chosen(task, strategy, ratio, split)
    task.log |= {"strategy": strategy, "share reset": len(chosen) / len(located)}
    theta = reset(located, chosen, task, "fresh_model")
    task.note(theta, "reset")
    return task.train(theta, rounds - task.round)


def located_and_chosen(task, strategy: str, ratio: float, split: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    """(weights after the locating round, indices to reset)."""
    original, tensors = task.original.weights, len(task.remaining.layout.names)
    split = tensors // 2 if split is None else require_whole("split", split, 0, tensors)
    located = task.train(original, 1)
    return located, choose(task, strategy, ratio, split, original, located - original)


def choose(task, strategy: str, ratio: float, split: int, original: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Indices of the parameters to reset; ``others``: the remaining clients' mean update."""
    layout, size = task.remaining.layout, math.floor(ratio * original.numel())
    if strategy == "redundant":
        return least_important(others.abs(), ratio)
    if strategy == "random":
        return torch.from_numpy(np.random.default_rng([task.seed, Stream.RANDOM_MASK]).permutation(original.numel())[:size])
    if strategy == "information":
        leaving = fisher_of(task, original, task.departed)
        return top((leaving / (leaving + fisher_of(task, original, task.remaining)).clamp_min(1e-30)).square() / 2, size)
    if strategy in ("salun-gradient", "localized-global"):
        gradient = task.mean_gradient(original, on=task.departed)
        return top(gradient.abs() if strategy == "salun-gradient" else channel_scores(original * gradient, layout), size)
    update = task.mean_update(original, on=task.departed)
    if strategy == "localized":
        return best_channels(original * update, layout, ratio)
    if strategy == "salun":
        return top(update.abs(), size)
    return top(update.abs(), size, eligible(layout, strategy, split))


def mask_of(original, request, strategy: str, ratio: float, seed: int = 0) -> set[int]:
    """Indices that ``strategy`` would reset of the run ``original``, to compare choices without unlearning."""
    task = Task(original, request, METHODS["selected-reset"], seed)
    return set(located_and_chosen(task, strategy, ratio, None)[1].tolist())


def reset_only(original, request, strategy: str, ratio: float, seed: int = 0) -> torch.Tensor:
    """The original weights [d] with what ``strategy`` chooses reset, and no training after it (Wei et al., App. H.1)."""
    chosen = torch.tensor(sorted(mask_of(original, request, strategy, ratio, seed)), dtype=torch.int64)
    return reset(original.weights, chosen, Task(original, request, METHODS["selected-reset"], seed), "fresh_model")


def top(score: torch.Tensor, size: int, allowed: torch.Tensor | None = None) -> torch.Tensor:
    """Indices of the ``size`` largest scores [d], never one that is not ``allowed``; ties go to the lower index."""
    order = torch.argsort(score, descending=True, stable=True)
    return (order if allowed is None else order[allowed[order]])[:size]


def eligible(layout: Layout, side: str, split: int) -> torch.Tensor:
    """Mask [d] of the tensors from number ``split`` on (``"deep"``) or before it (``"shallow"``)."""
    mask = torch.zeros(layout.size, dtype=torch.bool)
    for number, part in enumerate(layout.slices.values()):
        mask[part] = (number >= split) == (side == "deep")
    return mask


def best_channels(score: torch.Tensor, layout: Layout, ratio: float) -> torch.Tensor:
    """Indices of the floor(ratio channels) best output channels of every tensor of >= 2 dimensions, whole."""
    mask = torch.zeros(layout.size, dtype=torch.bool)
    for shape, part in zip(layout.shapes, layout.slices.values()):
        if len(shape) < 2:
            continue
        channels = score[part].view(shape[0], -1).abs()
        means = channels.topk(min(LARGEST_IN_CHANNEL, channels.shape[1]), dim=1).values.mean(dim=1)
        mask[part].view(shape[0], -1)[torch.argsort(means, descending=True, stable=True)[: math.floor(ratio * shape[0])]] = True
    return mask.nonzero().flatten()


def channel_scores(score: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Absolute ``score`` [d], constant over an output channel: the mean of its int(0.1 channels) largest; 1-D tensors keep their own."""
    result = score.abs().clone()
    for shape, part in zip(layout.shapes, layout.slices.values()):
        if len(shape) >= 2:
            channels = result[part].view(shape[0], -1)
            largest = channels.topk(min(max(1, int(0.1 * shape[0])), channels.shape[1]), dim=1).values
            channels.copy_(largest.mean(dim=1, keepdim=True).expand_as(channels))
    return result
