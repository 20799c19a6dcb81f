"""Two networks in the same order of units: permutations by weight matching (Ainsworth et al., ICLR 2023).

Permuting the units of a layer together with the weights that read them leaves a network's function as it is.  So a path
between two networks should be drawn to the nearest of all equal ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from ..errors import require
from ..federation.federation import Federation
from ..federation.models import build
from ..federation.units import Units
from ..streams import Stream


def aligned(federation: Federation, weights: torch.Tensor, to: torch.Tensor, *, sweeps: int = 20, seed: int = 0) -> torch.Tensor:
    """``weights`` [d] with its units permuted to lie as near to the network ``to`` [d] as coordinate descent finds.

    For networks without normalisation and without additions, whose layers read each other's units channel by channel.
    """
    units = Units(build(federation.model, federation.input_shape, len(federation.data.classes), 0))
    consumers = [units._consumers(site) for site in units.sites]
    plain = all(site.norm is None for site in units.sites) and all(consumer is not None for consumer in consumers)
    require(plain, "units can be matched only in networks without normalisation and additions, such as cnn or mlp.")
    result, target = weights.clone(), units.net.layout.views(to)
    views, rng = units.net.layout.views(result), np.random.default_rng([seed, Stream.ALIGNMENT])
    for _ in range(sweeps):
        changed = False
        for place in rng.permutation(len(units.sites)):
            site, readers = units.sites[place], consumers[place]
            own = [name for name in (f"{site.layer}.weight", f"{site.layer}.bias") if name in views]
            likeness: Any = sum(
                views[name].flatten(1 if views[name].dim() > 1 else 0).view(site.units, -1) @ target[name].reshape(site.units, -1).T
                for name in own
            )
            likeness = likeness + sum(
                _by_unit(views[f"{name}.weight"], site.units) @ _by_unit(target[f"{name}.weight"], site.units).T for name in readers
            )
            _, order = linear_sum_assignment(likeness.T.numpy(), maximize=True)  # place i takes the unit order[i]
            if (order != np.arange(site.units)).any():
                changed = True
                for name in own:
                    views[name].copy_(views[name][order])
                for name in readers:
                    matrix = views[f"{name}.weight"]
                    parts = matrix.unflatten(1, (site.units, -1))
                    matrix.copy_(parts[:, order].flatten(1, 2))
        if not changed:
            break
    return result


def _by_unit(matrix: torch.Tensor, units: int) -> torch.Tensor:
    """[units, everything that reads one unit] of a reader's weights [outputs, units * positions, ...]."""
    return matrix.unflatten(1, (units, -1)).transpose(0, 1).flatten(1)
