"""Silencing units of the shared model, for the methods that choose which."""

from __future__ import annotations

import math
import threading
import warnings

import torch

from ..federation.models import build
from ..federation.units import Units

_own, _graphs = threading.local(), {}


def units_of(federation) -> Units:
    """The units of the federation's network; each thread has its own, for one network at a time.

    Call it before workers start: the network's graph is then followed once, while no other thread computes.
    """
    key = (federation.model, federation.input_shape, len(federation.data.classes), federation.device)
    if getattr(_own, "key", None) != key:
        _own.key, _own.units = key, Units(build(*key[:3], seed=0), federation.device, _graphs.get(key))
        _graphs[key] = _own.units.graph
    return _own.units


def silence_best(task, ranked: list[int], share: float) -> torch.Tensor:
    """The original weights [d] with the first of the ``ranked`` units silenced, ``share`` of all units.

    Units that weights alone cannot silence are passed over (see :meth:`fucore.federation.units.Units.silence`); a network with affine
    normalisation has none.  Warns where there are fewer candidates than that.
    """
    units, original = units_of(task.remaining), task.original.weights
    wanted = math.floor(share * len(units) + 0.5)
    _, impossible = units.silence(original, ranked)
    chosen = [unit for unit in ranked if unit not in set(impossible)][:wanted]
    if len(chosen) < wanted:
        warnings.warn(f"only {len(chosen)} units can be silenced, fewer than the {wanted} asked for.", stacklevel=2)
    theta, _ = units.silence(original, chosen)
    reached = ranked[: ranked.index(chosen[-1]) + 1] if chosen else []
    passed_over = set(reached if len(chosen) == wanted else ranked) & set(impossible)
    task.log |= {"passed over, since only a mask could silence them": len(passed_over)}
    task.log |= {"units": chosen, "layers": [units.locate(unit)[0].layer for unit in chosen], "units in all": len(units)}
    task.note(theta, "silenced")
    return theta
