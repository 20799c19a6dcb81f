"""What a model makes of examples, in five bytes each: enough for any later measure of what it knows of them."""

from __future__ import annotations

import os
import pathlib
from dataclasses import dataclass

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save

from .entries import NONSENSE, Damaged, digest_of_state


@dataclass(frozen=True, eq=False)
class Look:
    """``log_odds`` float32 [n]: log p_y - log(1 - p_y) of the true class y; ``right`` bool [n]: whether it was the most probable."""

    log_odds: np.ndarray
    right: np.ndarray

    def __len__(self) -> int:
        return len(self.right)

    @property
    def probability(self) -> np.ndarray:
        """Of the true class, float64 [n]."""
        return np.exp(-self.loss)

    @property
    def loss(self) -> np.ndarray:
        """Cross-entropy, float64 [n], in nats."""
        return np.logaddexp(0, -self.log_odds.astype(np.float64))


def log_odds(logits: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """log p_y - log sum of the others' p, float64 [n]: finite for any finite ``logits`` [n, classes]."""
    logits = logits.double()
    own = logits.gather(1, labels[:, None])[:, 0]
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return (own - torch.logsumexp(others, dim=1)).numpy()


def look_at(logits: torch.Tensor, labels: torch.Tensor) -> Look:
    """What ``logits`` [n, classes] say of the true ``labels`` [n]."""
    logits, labels = logits.cpu(), labels.cpu()
    return Look(log_odds(logits, labels).astype(np.float32), (logits.argmax(1) == labels).numpy())


def encoded(look: Look, key: str) -> bytes:
    """As a file of a store; ``key`` says what was looked at by what."""
    tensors = {"log_odds": torch.from_numpy(look.log_odds), "right": torch.from_numpy(look.right)}
    return save(tensors, {"sha256": digest_of_state(key, tensors, {})})


def read(path: pathlib.Path, key: str, count: int) -> Look:
    """What :func:`encoded` wrote for this ``key``, of ``count`` examples; raises ``Damaged`` for anything else, ``OSError`` if it cannot be read."""
    os.stat(path)  # safetensors would say that a file is not there where it may not be read
    try:
        with safe_open(path, "pt") as file:
            tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()
        if digest_of_state(key, tensors, {}) != metadata["sha256"]:
            raise Damaged("it does not match its checksum")
        look = Look(tensors["log_odds"].numpy(), tensors["right"].numpy())
    except NONSENSE as error:
        raise Damaged(f"it makes no sense: {type(error).__name__}: {error}") from None
    if look.right.dtype != bool or look.log_odds.dtype != np.float32 or {look.right.shape, look.log_odds.shape} != {(count,)}:
        raise Damaged(f"it is not of {count} examples")
    return look
