"""SCRUB: leave the teacher on the forgotten data, obey it on the rest (Kurmanji et al., NeurIPS 2023)::

    d(x; theta) = KL(softmax z(x; theta_o) || softmax z(x; theta)),     the teacher is the original
    max-epoch:  theta climbs    mean over forgotten x of d(x; theta)
    min-epoch:  theta descends  mean over remaining (x, y) of  alpha d(x; theta) + gamma CE(x, y; theta)
    alternate; after ``max_rounds`` max-epochs only min-epochs
    rewind (SCRUB+R): if in the end more forgotten examples are wrong than they should be, go back to the round in which about as many were

Federated, an epoch of each kind makes one round: the asked clients climb on what they must forget and send their models, which are averaged; then
the remaining clients train by the federation's own local settings and are averaged.  Nobody's data leave it, and every client makes
the teacher's answers from the original that it has.  The paper's error to rewind to is that on validation images distributed as the forgotten
ones; here test images stand in, each class as often as among the forgotten, so a rewound model was chosen by looking at them.

The teacher is the student at first, where d has no slope: without dropout and batch normalisation the first max-epoch climbs from
round-off, which Adam makes large.  The public code has both kinds of epoch share one optimiser of rate 5e-4 with weight decay, and takes d at
a temperature, times its square: on large data SGD, temperature 4, alpha 0.001, gamma 0.99, 2 max-epochs of 3 with batches of 32
(the defaults here, but for optimiser and temperature), on small data Adam, 2, 0.5, 1, and 3 of 10.  Its moving average takes no part in the
loss, and its notebooks do not rewind.
"""

from __future__ import annotations

import dataclasses
import math

import torch

from ..errors import require_flag, require_number, require_whole
from ..federation.training import Hooks, LocalTraining
from ._losses import divergence, taught
from .registry import method
from .task import Task


@method("scrub", needs=("forgotten data",), citation="Kurmanji et al., NeurIPS 2023")
def scrub(
    task: Task,
    *,
    rounds: int = 4,
    max_rounds: int = 2,
    alpha: float = 0.001,
    gamma: float = 0.99,
    lr: float = 5e-4,
    batch: int = 32,
    temperature: float = 1.0,
    rewind: bool = False,
):
    """``rounds``, the first ``max_rounds`` of them (or all, if fewer) with a max-epoch by Adam of rate ``lr`` before the min-epochs."""
    require_whole("rounds", rounds, 1)
    require_whole("max_rounds", max_rounds, 0)
    for name, value in {"alpha": alpha, "gamma": gamma, "lr": lr}.items():
        require_number(name, value, 0.0, math.inf, open_high=True)
    require_whole("batch", batch, 1)
    require_number("temperature", temperature, 0.0, math.inf, open_low=True)
    require_flag("rewind", rewind)
    theta, reached = task.original.weights, []
    climbing = dataclasses.replace(task.departed, local=LocalTraining(epochs=1, batch=batch, optimizer="adam", lr=lr))
    climb = Hooks(loss=away_from(teacher(task, task.departed), temperature))
    obey = Hooks(loss=obeying(teacher(task, task.remaining), alpha, gamma, temperature))
    for done in range(rounds):
        if done < max_rounds:
            theta = theta + task.mean_update(theta, on=climbing, hooks=climb)
            task.note(theta, "climbed")
        theta = task.train(theta, 1, horizon=rounds, hooks=obey)
        reached.append(theta)
    return rewound(task, reached) if rewind else theta


def teacher(task, federation) -> torch.Tensor:
    """The original's logits on what ``federation``'s clients hold, 0 elsewhere, float32 [examples of the training split, classes]."""
    held, data = federation.clients.examples, federation.data.train
    logits = torch.zeros(len(data), len(federation.data.classes))
    logits[held] = federation.logits(task.original.weights, data.take(held))
    return logits


def away_from(logits: torch.Tensor, temperature: float):
    """What a max-epoch descends: -d."""
    likeness = taught(logits, temperature)
    return lambda step: -likeness(step)


def obeying(logits: torch.Tensor, alpha: float, gamma: float, temperature: float):
    """What a min-epoch descends: alpha d + gamma CE."""

    def loss(step):
        kl = divergence(logits[step.indices.cpu()].to(step.logits), step.logits, temperature)
        return alpha * kl + gamma * torch.nn.functional.cross_entropy(step.logits, step.labels)

    return loss


def rewound(task, reached: list[torch.Tensor]) -> torch.Tensor:
    """The last of the weights ``reached`` round by round, or those whose error on the forgotten data is closest to what it should be, if the last have more."""
    forgotten = task.departed.held
    wrong = [1 - task.departed.evaluate(theta, forgotten)[0] for theta in reached]
    due = expected_error(task, reached[-1], forgotten.labels)
    task.log |= {"error on the forgotten by round": wrong, "error it should be": due}
    chosen = min(range(len(wrong)), key=lambda place: abs(wrong[place] - due)) if wrong[-1] > due else len(wrong) - 1
    task.log["rewound to round"] = chosen + 1
    if chosen < len(wrong) - 1:
        task.note(reached[chosen], "rewound")
    return reached[chosen]


def expected_error(task, theta: torch.Tensor, labels: torch.Tensor) -> float:
    """Error of ``theta`` on test images, weighted so that classes are as frequent as among ``labels``; classes without test images are left out."""
    test, count = task.remaining.data.test, len(task.remaining.data.classes)
    wrong = (task.remaining.logits(theta, test).argmax(1) != test.labels).double()
    tested, asked = (
        test.labels.bincount(minlength=count).double(),
        labels.bincount(minlength=count).double() * (test.labels.bincount(minlength=count) > 0),
    )
    rate = torch.zeros(count, dtype=torch.float64).index_add_(0, test.labels, wrong) / tested.clamp_min(1)
    return float((rate * asked).sum() / asked.sum())
