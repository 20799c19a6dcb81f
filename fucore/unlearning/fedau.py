"""FedAU: an auxiliary head that learned wrong labels, mixed into the last layer (Gu et al., IJCAI 2024)::

    head <- (1 - alpha) W + alpha mean_U A_u,     everything else unchanged

``mode="during"``: the clients that will leave train A_u beside the model in every round, from
A_u <- (1 - gamma) W + gamma A_u, on CE(W h(x), y) + CE(A_u h(x), y~) with one wrong label y~ for each example; the
auxiliary loss also trains the features, so the model differs from the original before anybody asks.  ``mode="posthoc"``
(the variant of another benchmark, FedQUIT's): a new head on the frozen features, trained on random labels.
The published learning-rate decay, weight decay and class mode are not copied.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch

from ..errors import require, require_choice, require_number, require_whole
from ..federation.training import Hooks, LocalTraining
from ..streams import Stream
from ._heads import features_of, head, matrix_and_bias
from ._losses import towards, wrong_labels
from .registry import method
from .task import Task


@method("fedau", needs=("forgotten data", "preparation"), citation="Gu et al., IJCAI 2024")
def fedau(task: Task, *, rounds: int = 0, mode: str = "posthoc", alpha: float | None = None, gamma: float = 0.5, lr: float | None = None):
    """Mix ``alpha`` of the auxiliary head in (default 0.9 during training, 0.96 post hoc); no recovery unless ``rounds``.

    ``lr`` of the auxiliary head: default 0.01 during training, 0.1 post hoc.
    """
    require_whole("rounds", rounds, 0)
    require_choice("mode", mode, ("during", "posthoc"))
    alpha = require_number("alpha", (0.9 if mode == "during" else 0.96) if alpha is None else alpha, 0.0, 1.0)
    require_number("gamma", gamma, 0.0, 1.0)
    lr = require_number("lr", (0.01 if mode == "during" else 0.1) if lr is None else lr, 0.0, math.inf)
    theta, auxiliary = during(task, gamma, lr) if mode == "during" else posthoc(task, lr)
    where = head(task.remaining.layout)
    theta = theta.clone()
    theta[where] = (1 - alpha) * theta[where] + alpha * auxiliary
    task.note(theta, "mixed")
    return task.train(theta, rounds)


def posthoc(task, lr: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(original weights, auxiliary head): 10 epochs on uniformly random labels, features frozen."""
    original, where = task.original.weights, head(task.remaining.layout)
    labels = torch.from_numpy(
        np.random.default_rng([task.seed, Stream.FEDAU_LABELS]).integers(0, classes(task), len(task.remaining.data.train))
    )
    start = original.clone()
    start[where] = 0.01 * task.normal(where.stop - where.start, Stream.FEDAU_HEAD)
    local = LocalTraining(epochs=10, batch=task.remaining.local.batch, optimizer="sgd", lr=lr)
    hooks = Hooks(
        loss=towards(labels),
        gradient=lambda step: step.gradient[: where.start].zero_(),
    )
    return original, (start + task.mean_update(start, on=dataclasses.replace(task.departed, local=local), hooks=hooks))[where]


def during(task, gamma: float, lr: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(weights, mean auxiliary head) of a training of everybody in which the clients that will leave also train a head."""
    everyone, layout, where = task.everyone, task.remaining.layout, head(task.remaining.layout)
    wrong = wrong_labels(everyone.data.train.labels.numpy(), classes(task), [task.seed, Stream.FEDAU_WRONG_LABELS])
    asked = np.zeros(len(wrong), dtype=bool)
    asked[task.departed.clients.examples] = True
    targets = torch.from_numpy(np.where(asked, wrong, everyone.data.train.labels.numpy()))
    heads: dict[int, torch.Tensor] = {}
    leaving = {client for client, indices in enumerate(task.departed.clients.indices) if len(indices)}

    def loss(step):
        plain = torch.nn.functional.cross_entropy(step.logits, step.labels)
        if step.client not in leaving:
            return plain
        if "head" not in step.state:
            step.state["head"] = (1 - gamma) * step.weights[where] + gamma * (
                heads[step.client] if step.client in heads else step.weights[where]
            )
            step.state["momentum"] = torch.zeros_like(step.state["head"])
        auxiliary = step.state["head"].clone().requires_grad_()
        matrix, bias = matrix_and_bias(auxiliary, layout)
        features, labels = features_of(step), targets[step.indices.cpu()].to(step.logits.device)
        (own,) = torch.autograd.grad(
            torch.nn.functional.cross_entropy(torch.nn.functional.linear(features.detach(), matrix, bias), labels), auxiliary
        )
        step.state["momentum"] = 0.9 * step.state["momentum"] + own
        step.state["head"] = step.state["head"] - lr * step.state["momentum"]
        heads[step.client] = step.state["head"]
        matrix, bias = matrix_and_bias(auxiliary.detach(), layout)
        return plain + torch.nn.functional.cross_entropy(torch.nn.functional.linear(features, matrix, bias), labels)

    start = everyone.initial_weights(task.original.config["seed"])
    theta = task.prepare(start, task.original.rounds, hooks=Hooks(loss=loss))
    require(
        bool(heads), "none of the clients that leave was ever drawn to train, so there is no auxiliary head: use a higher participation."
    )
    return theta, torch.stack([heads[client] for client in sorted(heads)]).mean(dim=0).cpu()


def classes(task) -> int:
    return len(task.remaining.data.classes)
