"""The only training loop: federated rounds, with checkpoints, an early stop and an account of what they cost."""

from __future__ import annotations

import contextlib
import dataclasses
import time
import warnings

import numpy as np
import torch

from ..errors import FucoreError, require
from ..progress import progress
from ..runs.run import Cost, Run, provenance
from ..runs.store import BYTES_A_WEIGHT
from ..streams import Stream
from .randomness import derived_seed, seeded
from .server import Round
from .training import Hooks

CHECKPOINT_SECONDS, STATE = 5.0, "server."


def train(federation, start: torch.Tensor | None, server_state: dict | None, hooks: Hooks, config: dict, key: str | None) -> Run:
    """The run that ``config`` (of :meth:`Federation.train <fucore.federation.federation.Federation.train>`) describes.

    It starts at ``start`` [d] or a network drawn with the seed, or goes on from the checkpoint of ``key``; ``server_state``, if
    given, becomes what the server's rule remembers after the last round.  Raises ``FucoreError`` when training diverges, and
    where the rule cannot work with the local training.
    """
    federation.server.check(federation.local, hooks)
    rounds, seed, first, recording = config["rounds"], config["seed"], config["first_round"], config["record_updates"]
    store = federation.store if key else None
    theta = federation.initial_weights(seed) if start is None else start.detach().clone()
    size = federation.layout.size
    require(theta.shape == (size,), f"start has shape {tuple(theta.shape)}, but the model has {size} weights.")
    theta = theta.to(federation.device)
    given = {name: tensor.to(federation.device, copy=True) for name, tensor in (server_state or {}).items()}
    state, history, cost, done = given or federation.server.begin(theta), [], Cost(), 0
    checkpoint = store.load_checkpoint(key) if store and not recording else None
    tensors, record = checkpoint or ({}, {})
    if checkpoint and not fits(tensors, record, theta, state, config):
        warnings.warn("a stored checkpoint is not of this run and is ignored; the run starts anew.", stacklevel=4)
    elif checkpoint:
        theta = tensors.pop("weights").to(federation.device)
        state = {name.removeprefix(STATE): tensor.to(federation.device) for name, tensor in tensors.items()}
        history, cost, done = record["history"], Cost(**record["cost"]), record["done"]
    saved = clock = time.perf_counter()
    for index in progress(range(done, rounds), "rounds", done, rounds):
        participants = federation.participants(seed, first + index)
        lr = federation.local.rate(first + index, config["horizon"])
        theta = one_round(federation, theta, participants, lr, (seed, first + index), hooks, state, key if recording else None)
        if not torch.isfinite(theta).all():
            raise FucoreError(f"training diverged in round {index + 1}: the weights are no longer finite; lower lr (now {lr:g}).")
        now = time.perf_counter()
        traffic = len(participants) * size * BYTES_A_WEIGHT * federation.server.vectors
        examples = hooks.passes * federation.local.epochs * int(federation.clients.sizes[participants].sum())
        cost, clock = (
            cost + Cost(examples, traffic, traffic, len(participants) * size * BYTES_A_WEIGHT if recording else 0, now - clock),
            now,
        )
        if (index + 1) % config["evaluate_every"] == 0 or index + 1 == rounds:
            accuracy, loss = federation.evaluate(theta)
            row = {"round": index + 1, "test_accuracy": accuracy, "test_loss": loss, "seconds": cost.seconds, "examples": cost.examples}
            history.append({**row, "participants": participants.tolist()})
            clock = time.perf_counter()
            if config["until"] is not None and accuracy >= config["until"]:
                break
        if store and not recording and index + 1 < rounds and time.perf_counter() - saved >= CHECKPOINT_SECONDS:
            record = {"history": history, "cost": dataclasses.asdict(cost), "done": index + 1}
            kept = {f"{STATE}{name}": tensor.clone() for name, tensor in state.items()}  # a rule may hand out its own state
            store.save_checkpoint(key, {"weights": theta, **kept}, record)
            saved = clock = time.perf_counter()
    if server_state is not None:
        server_state.clear()
        server_state.update({name: tensor.cpu() for name, tensor in state.items()})
    return Run(theta.cpu(), history, config, cost, provenance(federation.data), key, federation)


def fits(tensors: dict, record: dict, theta: torch.Tensor, state: dict, config: dict) -> bool:
    """Whether a checkpoint can be of the run that ``config`` describes, which begins with ``theta`` [d] and the server's ``state``."""
    names = {"weights": theta, **{f"{STATE}{name}": tensor for name, tensor in state.items()}}
    kinds = {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}
    alike = all(kinds.get(name) == (tensor.dtype, tensor.shape) for name, tensor in names.items())
    known = all(name == "weights" or name.startswith(STATE) for name in tensors)
    evaluations = [row["round"] for row in record["history"]]
    due = list(range(config["evaluate_every"], record["done"] + 1, config["evaluate_every"]))
    return alike and known and record["done"] < config["rounds"] and evaluations == due


def one_round(federation, theta, participants, lr: float, stream: tuple[int, int], hooks: Hooks, state: dict, key: str | None):
    """theta(t+1) [d]: the clients' weighted mean, summed in float64 in an order that depends on the sizes alone, then the server's step.

    ``stream`` is (seed, round); with a ``key`` every client's update theta_i - theta(t) goes to the store.
    """
    rule = federation.server
    told = Round(theta, lr, federation.local, federation.clients.sizes)
    hooks = rule.hooks(hooks, told, state)
    order = np.argsort(-federation.clients.sizes[participants], kind="stable")  # the longest first, so that no worker waits at the end
    shares, mean = federation.shares(participants), torch.zeros_like(theta, dtype=torch.float64)
    recording = federation.store.writing_updates(key, stream[1] + 1, len(order), len(theta)) if key else contextlib.nullcontext()
    with recording as write:
        for place, local in zip(order, federation.local_models(theta, participants[order], lr, stream, hooks)):
            mean.add_(local, alpha=shares[place])
            rule.receive(int(participants[place]), local, told, state)
            if write:
                write(int(place), local - theta)
    if type(rule).__module__.startswith("fucore."):
        return rule.step(theta, mean, state).clone()
    with seeded(derived_seed(*stream, Stream.SERVER)):  # a rule may draw, as private averaging does
        return rule.step(theta, mean, state).clone()
