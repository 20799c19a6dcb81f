"""What is read back from a store, checked as data from a stranger would be."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from .fingerprint import hash_of
from .run import Cost, Run

BODY = {"config": dict, "history": list, "cost": dict, "provenance": dict, "log": dict, "files": dict}
WEIGHTS, UPDATES = "weights.safetensors", "updates/{:06d}.safetensors"
#: Numbers of a row of the history, and the highest that each can be.
HISTORY = {"round": 2**63, "test_accuracy": 1.0, "seconds": 2**63, "examples": 2**63}
#: What reading nonsense can raise; ``RecursionError`` comes from JSON that is nested without end.
NONSENSE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError)


class Damaged(Exception):
    """Something stored is not what it must be; the message says what."""


def read(folder: pathlib.Path, key: str, size: int | None = None) -> Run:
    """The run in ``folder``, which must be that of ``key``, with ``size`` weights if given; client updates are not read.

    Raises ``Damaged``, and ``OSError`` for what cannot be read.
    """
    if any(os.path.islink(os.path.join(where, name)) for where, *names in os.walk(folder) for name in names[0] + names[1]):
        raise Damaged("it holds links")
    body = read_body(folder, key)
    for name in body["files"]:
        if not (folder / name).is_file():
            raise Damaged(f"{name} is missing")
    weights = read_tensor(folder / WEIGHTS, "weights", (size,), body["files"][WEIGHTS])
    return Run(weights, body["history"], body["config"], Cost(**body["cost"]), body["provenance"], key, log=body["log"])


def read_body(folder: pathlib.Path, key: str) -> dict:
    """What ``run.json`` says about the run with this key; raises ``Damaged`` unless all of it can be so."""
    try:
        record = json.loads((folder / "run.json").read_bytes())
        if set(record) != {"sha256", "body"} or digest(record["body"]) != record["sha256"]:
            raise Damaged("run.json does not match its checksum")
        check_body(record["body"], key)
    except NONSENSE as error:
        raise Damaged(f"run.json makes no sense: {type(error).__name__}: {error}") from None
    except IsADirectoryError:
        raise Damaged("run.json is a folder") from None
    return record["body"]


def check_body(body: Any, key: str) -> None:
    """Raise ``Damaged`` unless ``body`` describes the run with this key: fields, types, ranges, and ``key`` the hash of its config."""
    if not isinstance(body, dict) or {name: type(value) for name, value in body.items()} != BODY:
        raise Damaged("run.json has other fields than a run")
    if hash_of(body["config"]) != key:
        raise Damaged("its configuration is that of another run")
    if not all(isinstance(value, str) for value in body["provenance"].values()):
        raise Damaged("its provenance is no text")
    check_cost(body["cost"])
    check_history(body["history"])
    config, last = body["config"], body["history"][-1]["round"] if body["history"] else 0
    if "method" not in config and not 1 <= last <= config["rounds"]:
        raise Damaged(f"its history ends in round {last}")
    first = config["first_round"] if config.get("record_updates") else 0
    recorded = range(first + 1, first + last + 1) if config.get("record_updates") else ()
    if set(body["files"]) != {WEIGHTS, *map(UPDATES.format, recorded)}:
        raise Damaged("run.json names other files than the run has")
    if not all(isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) for value in body["files"].values()):
        raise Damaged("run.json gives a file no checksum")


def check_cost(cost: Any) -> None:
    """Raise ``Damaged`` unless ``cost`` has the fields of a ``Cost``, each a finite number of at least 0."""
    if not isinstance(cost, dict) or set(cost) != {field.name for field in dataclasses.fields(Cost)}:
        raise Damaged("its cost has other fields")
    for name, value in cost.items():
        if not _number(value, 2**63):
            raise Damaged(f"its cost has {name} {value!r:.40}")


def check_history(history: Any) -> None:
    """Raise ``Damaged`` unless ``history`` is a list of rows as a run has, rounds ascending; a loss may be infinite, other numbers not."""
    before = 0
    for row in history if isinstance(history, list) else [None]:
        if not isinstance(row, dict) or not {*HISTORY, "test_loss"} <= set(row):
            raise Damaged("its history lacks columns")
        for name, highest in HISTORY.items():
            if not _number(row[name], highest):
                raise Damaged(f"its history has {name} {row[name]!r:.40}")
        if type(row["round"]) is not int or row["round"] < before:
            raise Damaged("the rounds of its history are not in order")
        if type(row["test_loss"]) not in (int, float) or not isinstance(row.get("stage", ""), str):
            raise Damaged("its history has a loss or a stage of another kind")
        clients = row.get("participants", [])
        if not isinstance(clients, list) or not all(type(client) is int and client >= 0 for client in clients):
            raise Damaged("its history has participants that are no clients")
        before = row["round"]


def check_tensor(tensor: torch.Tensor, shape: Sequence[int | None], name: str) -> None:
    """Raise ``Damaged`` unless ``tensor`` is float32, finite, not empty and of this ``shape``; ``None`` stands for any length."""
    fits = tensor.dim() == len(shape) and all(wanted in (None, length) for wanted, length in zip(shape, tensor.shape))
    if tensor.dtype != torch.float32 or not fits or tensor.numel() == 0:
        raise Damaged(f"{name} is {tensor.dtype} of shape {list(tensor.shape)}")
    if not np.isfinite(tensor.detach().cpu().numpy()).all():  # in one thread: torch's several wait for each other on a busy machine
        raise Damaged(f"{name} is not finite")


def read_tensor(path: pathlib.Path, name: str, shape: Sequence[int | None], sha256: str | None = None) -> torch.Tensor:
    """The one tensor of a file, float32 and finite; raises ``Damaged`` for anything else, or if the file has another checksum."""
    try:
        if sha256 is not None and checksum(path) != sha256:
            raise Damaged(f"{path.name} does not match its checksum")
        tensors = load_file(path)
    except NONSENSE as error:
        raise Damaged(f"{path.name} makes no sense: {type(error).__name__}: {error}") from None
    if list(tensors) != [name]:
        raise Damaged(f"{path.name} does not hold one tensor called {name}")
    check_tensor(tensors[name], shape, name)
    return tensors[name]


def read_state(path: pathlib.Path, key: str) -> tuple[dict[str, torch.Tensor], dict]:
    """(tensors by name, state) of the unfinished run with this key; raises ``Damaged`` unless that can be one."""
    os.stat(path)  # safetensors would say that a file is not there where it may not be read
    try:
        with safe_open(path, "pt") as file:
            tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()
        state = json.loads(metadata["state"])
        if digest_of_state(key, tensors, state) != metadata["sha256"]:
            raise Damaged("it does not match its checksum")
        check_state(tensors, state)
    except NONSENSE as error:
        raise Damaged(f"it makes no sense: {type(error).__name__}: {error}") from None
    return tensors, state


def read_row(path: pathlib.Path, key: str) -> dict:
    """The row of a sweep with this key; raises ``Damaged`` unless that is one."""
    try:
        record = json.loads(path.read_bytes())
        if not isinstance(record["row"], dict) or digest([key, record["row"]]) != record["sha256"]:
            raise Damaged("it does not match its checksum")
    except NONSENSE as error:
        raise Damaged(f"it makes no sense: {type(error).__name__}: {error}") from None
    return record["row"]


def checksum(path: str | os.PathLike) -> str:
    """SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value) -> str:
    """SHA-256 of a JSON value as it is read back."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def digest_of_state(key: str, tensors: dict[str, torch.Tensor], state: dict) -> str:
    """SHA-256 of the unfinished state of the run with this key."""
    result = hashlib.sha256(json.dumps([key, state], sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        plain = tensor.cpu().contiguous()
        result.update(f"{name} {plain.dtype} {list(plain.shape)}".encode() + plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return result.hexdigest()


def check_state(tensors: dict[str, torch.Tensor], state: Any) -> None:
    """Raise ``Damaged`` unless this can be the unfinished state of a run: ``weights`` [d], tensors of the server, rounds that were done."""
    if "weights" not in tensors or not isinstance(state, dict) or set(state) != {"history", "cost", "done"}:
        raise Damaged("it has other fields than the state of a run")
    check_tensor(tensors["weights"], (None,), "weights")
    check_cost(state["cost"])
    check_history(state["history"])
    last = state["history"][-1]["round"] if state["history"] else 0
    if type(state["done"]) is not int or not 1 <= state["done"] or last > state["done"]:
        raise Damaged(f"it says that {state['done']!r:.40} rounds were done")


def _number(value: Any, highest: float) -> bool:
    return type(value) in (int, float) and 0 <= value <= highest and value < 2**63
