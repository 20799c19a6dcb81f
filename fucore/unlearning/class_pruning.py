"""Class-discriminative pruning: remove the channels that speak for the forgotten class, then fine-tune (Wang et al., WWW 2022)::

    A_{c,k}: mean activation (after ReLU, over pixels) of channel k for class c, averaged over clients
    score_{c,k} = A_{c,k} / sum_k A_{c,k} * log((1 + C) / (1 + #{c': A_{c',k} >= mean_k A_{c',.}}))
    prune the channels with the largest score for the forgotten class

It is for requests of whole classes, and for convolutions without a normalisation after them.
"""

from __future__ import annotations

import math

import torch

from ..errors import require, require_number, require_whole
from ..federation.models import build
from ..federation.training import EVALUATION_BATCH
from ..federation.worker import watched
from .registry import method
from .task import Task


@method("class-pruning", needs=("forgotten data", "whole classes"), citation="Wang et al., WWW 2022")
def class_pruning(task: Task, *, rounds: int = 4, ratio: float = 0.3):
    """Set the share ``ratio`` of the last convolution's channels to zero, then ``rounds`` of FedAvg on the remaining classes."""
    require_whole("rounds", rounds, 0)
    require_number("ratio", ratio, 0.0, 1.0)
    layout = task.remaining.layout
    convolutions = [(name, shape) for name, shape in zip(layout.names, layout.shapes) if len(shape) == 4]
    require(bool(convolutions), "class-pruning prunes channels of a convolution, but the model has none.")
    require(
        not any("Norm" in type(module).__name__ for module in build(task.remaining.model, task.remaining.data.shape, 2, 0).modules()),
        "class-pruning sets a channel to zero by its weights, which a normalisation after the convolution would undo: use a model without.",
    )
    name, shape = convolutions[-1]
    activity = class_activity(task)
    scores = discrimination(activity)[task.departed.held.labels.unique()].amax(dim=0)
    pruned = torch.argsort(scores, descending=True, stable=True)[: math.floor(ratio * shape[0])]
    theta = task.original.weights.clone()
    views = layout.views(theta)
    for tensor in (name, name.removesuffix("weight") + "bias"):
        if tensor in views:
            views[tensor][pruned] = 0.0
    task.log["channels"] = pruned.tolist()
    task.note(theta, "pruned")
    return task.train(theta, rounds)


def discrimination(activity: torch.Tensor) -> torch.Tensor:
    """TF-IDF of channels for classes, [classes, channels], from mean activations of the same shape."""
    frequency = activity / activity.sum(dim=1, keepdim=True).clamp_min(1e-30)
    holders = (activity >= activity.mean(dim=1, keepdim=True)).sum(dim=0)
    return frequency * torch.log((1 + len(activity)) / (1 + holders.double())).to(activity)


def class_activity(task) -> torch.Tensor:
    """Mean ReLU output of each channel of the last convolution for every class at the original weights, [classes, channels]."""
    sums, counts = 0.0, 0.0
    for federation in (task.remaining, task.departed):
        split = federation.held

        def job(worker, split=split):
            with watched(worker.net.module, torch.nn.Conv2d, outputs=True) as seen:
                for images in split.images.split(EVALUATION_BATCH):
                    worker.logits(task.original.weights, images)
            return torch.cat([outputs.relu().float().mean((2, 3)).cpu() for outputs in seen])

        (active,) = federation.engine.each([job])
        one_hot = torch.nn.functional.one_hot(split.labels, len(federation.data.classes)).float()
        sums, counts = sums + one_hot.T @ active, counts + one_hot.sum(dim=0)
    return sums / counts.clamp_min(1)[:, None]
