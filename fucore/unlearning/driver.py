"""Unlearn: check what a method needs, look for an equal run, let it work, keep the result.

Requests may come one after another: a run that is itself unlearned is unlearned further.  Who left before is gone from the
federation that the method is given, the run's request is all that is gone by then, and it is judged like a run that forgot all
of it at once, on a case of the same original: ``fu.Case(original, retrained without both, first | second)``.
"""

from __future__ import annotations

import dataclasses
import numbers
import warnings

import numpy as np
import torch

from ..data.forgetting import Request, recorded
from ..errors import FucoreError, first_line, require, require_choice, require_seed, shown
from ..federation.case import Case
from ..federation.identity import can_be_told
from ..federation.randomness import derived_seed, seeded
from ..runs.fingerprint import hash_of, hash_of_code, hash_tensor, plain, source_of
from ..runs.run import Run, provenance
from ..runs.store import NOT_KEPT
from ..streams import Stream
from .registry import METHODS, NEEDS, Method
from .task import Task


def unlearn(name: str, original: Run | Case, request: Request | None = None, *, seed: int = 0, **parameters) -> Run:
    """Unlearn ``request`` from ``original``, or that of a case from its original, by the method ``name``.

    ``original`` may itself be the result of :func:`unlearn`: then ``request`` is what is asked next, of those who are still there.
    ``parameters`` are the method's own (see ``fu.METHODS[name].defaults``).  The result is a ``Run`` whose ``history`` and ``cost``
    cover everything the method did this time; an equal one is taken from the store.

    Raises ``FucoreError`` for an unknown method or parameter, or when the run lacks what the method needs, as an unlearned one
    lacks the recorded updates and the preparation of everybody.
    """
    chosen = METHODS[require_choice("method", name, METHODS)]
    if isinstance(original, Case):
        require(request is None, "a case brings its request along: give no other.")
        original, request = original.original, original.request
    if not isinstance(request, Request):
        raise FucoreError("what must be forgotten is missing: unlearn(method, original, request), or unlearn(method, case).")
    unknown = sorted(set(parameters) - set(chosen.defaults))
    require(not unknown, f"{name} has no parameter {unknown[0] if unknown else ''!r}, only: {', '.join(chosen.defaults) or 'none'}.")
    federation = original.federation
    if federation is None:
        raise FucoreError("this run does not know its federation: train it again (from the store) with Federation.train.")
    require_seed(seed)
    before = gone(original)
    if before is not None:  # who left before has no data in the federation that the method is given
        original = dataclasses.replace(original, federation=federation.without(before))
    check_needs(chosen, original, request)
    settings = {**chosen.defaults, **parameters}
    for key, value in parameters.items():
        try:
            plain(value)
        except TypeError:
            raise FucoreError(
                f"{key} is {shown(value)}, but a parameter must be a plain value: a number, a text, or a list of these."
            ) from None
    rounds = settings.get("rounds")
    task = Task(original, request, chosen, seed, planned=int(rounds) if isinstance(rounds, numbers.Integral) else None)
    weights_hash = hash_tensor(original.weights)
    described = {
        "method": name,
        "parameters": settings,
        "seed": seed,
        "request": dataclasses.asdict(request if before is None else before | request),
        "original": weights_hash if before is None else original.config["original"],
        "horizon": original.config["horizon"],
        "remaining": task.remaining.config,
        "forgotten": original.federation.config,
        "code": [source_of(chosen.function), hash_of_code(__name__)],
    }
    if before is not None:
        described |= {"asked": dataclasses.asdict(request), "from": weights_hash, "after": original.config}
    config = plain(described)  # as it is read back, so that the key is the hash of what is stored
    store = federation.store
    told = config["code"][0] is not None
    key = hash_of(config) if store is not None and told and can_be_told(federation.config) else None
    if key is None and store is not None:
        warnings.warn(NOT_KEPT.format(f"the method {name} computes" if not told else "the federation's hooks compute"), stacklevel=2)
    found = store.get(key, original.weights.numel()) if store and key else None
    if found:
        return dataclasses.replace(found, federation=federation)
    with seeded(derived_seed(seed, Stream.METHOD), alone=False):
        try:
            weights = chosen.function(task, **settings)
        except (TypeError, ValueError, OverflowError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError) or not parameters or not chosen.function.__module__.startswith("fucore."):
                raise  # a fault of the method's, whose author wants to see where
            given = ", ".join(f"{key}={shown(value)}" for key, value in parameters.items())
            raise FucoreError(
                f"{name} cannot work with {given} ({first_line(error)}): its defaults are {shown(chosen.defaults)}."
            ) from error
    require(
        isinstance(weights, torch.Tensor) and weights.shape == original.weights.shape,
        f"{name} must return weights of shape {tuple(original.weights.shape)}.",
    )
    if not torch.isfinite(weights).all():
        raise FucoreError(f"{name} diverged: its weights are no longer finite; try gentler parameters than {settings}.")
    run = Run(weights.cpu(), task.history, config, task.cost, provenance(federation.data), key, federation, plain(task.log))
    if store and key:
        store.put(run)
    return run


def gone(run: Run) -> Request | None:
    """All that a run was unlearned for, or ``None`` for one that was not."""
    return recorded(run.config["request"]) if "method" in run.config else None


def check_needs(chosen: Method, original: Run, request: Request) -> None:
    """Refuse a method where the run or the request lacks what it needs."""
    federation, needs, name = original.federation, chosen.needs, chosen.name
    asked = request.departed(federation.data.train.labels, federation.clients)
    asked = [(len(part), len(held)) for part, held in zip(asked, federation.clients.indices)]
    whole = all(part in (0, held) for part, held in asked)  # a client that keeps some of its data left traces in its old updates
    held = federation.clients.examples
    mask = request.mask(federation.data.train.labels, federation.clients)
    labels = federation.data.train.labels.numpy()
    classes = np.isin(labels[held], np.unique(labels[mask])) if mask.any() else np.zeros(len(held), bool)
    require(
        "history" not in needs or "method" not in original.config,
        f"{name} needs {NEEDS['history']}, and cannot go on from a run that is itself unlearned: "
        "forget all of it at once from the original, with first_request | second_request.",
    )
    require(
        "history" not in needs or bool(original.config.get("record_updates")),
        f"{name} needs {NEEDS['history']}: train the original with record_updates=True.",
    )
    require(
        "history" not in needs or (original.config["start"] is None and original.config["first_round"] == 0),
        f"{name} needs the history from the first round on: train the original from its own initial weights.",
    )
    require(
        "sum of updates" not in needs or federation.server.sums,
        f"{name} needs {NEEDS['sum of updates']}, not under {type(federation.server).__name__}.",
    )
    require("whole clients" not in needs or whole, f"{name} needs {NEEDS['whole clients']}, such as fu.forget.client(0), not {request}.")
    require(
        "whole classes" not in needs or bool((classes == mask[held]).all()),
        f"{name} needs {NEEDS['whole classes']}, such as fu.forget.classes(3), not {request}.",
    )
    emptied = [client for client, (part, held) in enumerate(asked) if 0 < part == held]
    require(
        "part of clients" not in needs or not emptied,
        f"client {emptied[0] if emptied else ''} would have nothing left to train on: {name} forgets part of a client's data.",
    )
    require(
        "class of a client" not in needs or (len(request.clients or ()), len(request.classes or ()), request.examples) == (1, 1, None),
        f"{name} needs {NEEDS['class of a client']}, such as fu.forget.class_of_client(3, 0), not {request}.",
    )
