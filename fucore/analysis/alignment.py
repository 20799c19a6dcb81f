"""Two networks in the same order of units: permutations by weight matching (Ainsworth et al., ICLR 2023).

Permuting the units of a layer together with the weights that read them leaves a network's function as it is.  So a path
between two networks should be drawn to the nearest of all equal ones.
"""

from __future__ import annotations

from types import NoneType
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn

from ..errors import require
from ..federation.federation import Federation
from ..federation.models import build
from ..federation.units import Units
from ..streams import Stream


def aligned(federation: Federation, weights: torch.Tensor, to: torch.Tensor, *, sweeps: int = 20, seed: int = 0) -> torch.Tensor:
    """``weights`` [d] with its units permuted to lie as near to the network ``to`` [d] as coordinate descent finds.

    For networks without additions, whose layers read each other's units channel by channel.  A GroupNorm leaves its function as
    it is only when channels stay together with those they are normalised with, so whole groups are matched, and channels in them.
    """
    module = build(federation.model, federation.input_shape, len(federation.data.classes), 0)
    units, modules = Units(module), dict(module.named_modules())
    consumers = [units.consumers(site) for site in units.sites]
    norms = [None if site.norm is None else modules[site.norm] for site in units.sites]
    plain = all(consumer is not None for consumer in consumers) and all(isinstance(norm, (NoneType, nn.GroupNorm)) for norm in norms)
    require(plain, "units can be matched only in networks without additions, such as cnn, cnn-groupnorm or mlp.")
    result, target = weights.clone(), units.net.layout.views(to)
    views, rng = units.net.layout.views(result), np.random.default_rng([seed, Stream.ALIGNMENT])
    for _ in range(sweeps):
        changed = False
        for place in rng.permutation(len(units.sites)):
            site, readers = units.sites[place], consumers[place]
            parts = [f"{part}.{kind}" for part in (site.layer, site.norm) for kind in ("weight", "bias")]
            own = [name for name in parts if name in views]
            likeness: Any = sum(
                views[name].flatten(1 if views[name].dim() > 1 else 0).view(site.units, -1) @ target[name].reshape(site.units, -1).T
                for name in own
            )
            likeness = likeness + sum(
                _by_unit(views[f"{name}.weight"], site.units) @ _by_unit(target[f"{name}.weight"], site.units).T for name in readers
            )
            order = best_order(likeness.T.numpy(), getattr(norms[place], "num_groups", 1))  # place i takes the unit order[i]
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


def best_order(likeness: np.ndarray, groups: int) -> np.ndarray:
    """The order of units, int64 [units], for which the sum of ``likeness`` [place, unit] is largest, groups of neighbours kept together."""
    size = len(likeness) // groups
    blocks = likeness.reshape(groups, size, groups, size).transpose(0, 2, 1, 3)  # [group of places, group of units, place, unit]
    orders = [[linear_sum_assignment(block, maximize=True)[1] for block in row] for row in blocks]
    value = np.array([[block[np.arange(size), order].sum() for block, order in zip(*pair)] for pair in zip(blocks, orders)])
    _, chosen = linear_sum_assignment(value, maximize=True)
    return np.concatenate([group * size + orders[place][group] for place, group in enumerate(chosen)])


def _by_unit(matrix: torch.Tensor, units: int) -> torch.Tensor:
    """[units, everything that reads one unit] of a reader's weights [outputs, units * positions, ...]."""
    return matrix.unflatten(1, (units, -1)).transpose(0, 1).flatten(1)
