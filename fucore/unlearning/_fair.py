"""Rounds in which only the asking clients compute, and all others keep what they have (Huang et al., 2025)::

    theta_u     = local training of asking client u from theta(t)
    theta(t+1)  = sum_u p_u theta_u + (1 - sum_u p_u) theta_inherited,        p_u: u's weight among all clients before the request

or what the federation's rule makes of that mean.  ``inherit="anchored"``: the others go on sending the original model;
``"current"``: the model of the last round.
"""

from __future__ import annotations

import numpy as np
import torch

from ..errors import require_choice, require_number, require_whole
from ..federation.training import Hooks


def fair_rounds(task, on, *, rounds: int, inherit: str, tolerance: float, hooks: Hooks = Hooks()) -> torch.Tensor:
    """At most ``rounds`` rounds with the clients ``on`` from the original weights; stops when a round moves the weights by less
    than ``tolerance`` times their length."""
    require_whole("rounds", rounds, 0)
    require_choice("inherit", inherit, ("anchored", "current"))
    require_number("tolerance", tolerance, 0.0, 1.0)
    share_of = dict(zip(task.present.tolist(), task.shares_of_all(task.present)))
    shares = torch.tensor([share_of[client] for client in np.flatnonzero(on.clients.sizes).tolist()])
    theta = task.original.weights
    for _ in range(rounds):
        inherited = task.original.weights if inherit == "anchored" else theta
        new = task.step(theta, inherited + shares @ (theta + task.updates(theta, on=on, hooks=hooks) - inherited))
        moved = float((new - theta).norm() / theta.norm())
        theta = new
        task.end_round(theta)
        if moved < tolerance:
            break
    return theta
