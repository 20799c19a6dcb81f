"""Arrays that a user brings, as whole numbers, positions or labels: nothing is rounded, wrapped around or guessed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..errors import FucoreError, require, shown

#: Class numbers are lower; what counts examples by class has room for as many.
MOST_CLASSES = 100_000


def plain_array(name: str, value: Any) -> np.ndarray:
    """``value`` as a NumPy array; raises where it is ragged, masked or of no plain type (it may still share the value's memory)."""
    try:
        array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    except Exception:  # a value of a foreign class may raise anything when it is asked for its elements
        array = np.asarray(None)
    if array.dtype == object or isinstance(value, np.ma.MaskedArray):  # shown only then: arrays may be large
        raise FucoreError(f"{name} is {shown(value)}, but must be an array of plain numbers without gaps.")
    return array


def whole_numbers(name: str, value: Any, low: int | None = None, high: int | None = None) -> np.ndarray:
    """``value`` as int64 [n] if it is a flat list or array of whole numbers in [low, high]; booleans and floats are none."""
    array = plain_array(name, value)
    mixed = array.dtype != bool and isinstance(value, (list, tuple)) and any(isinstance(each, (bool, np.bool_)) for each in value)
    require(not mixed, f"{name} mixes booleans and numbers, but must be a flat list of whole numbers.")
    whole = array.dtype.kind in "iu" or array.size == 0
    require(array.ndim == 1 and whole, f"{name} is {array.dtype} of shape {array.shape}, but must be a flat list of whole numbers.")
    if len(array):
        least, most = int(array.min()), int(array.max())
        low, high = np.iinfo(np.int64).min if low is None else low, np.iinfo(np.int64).max if high is None else high
        wrong = least if least < low else most
        require(low <= least and most <= high, f"{name} holds {wrong}, but must be whole numbers from {low} to {high}.")
    return array.astype(np.int64) if len(array) else np.zeros(0, np.int64)


def positions(name: str, value: Any, count: int) -> np.ndarray:
    """The places int64 [n] that ``value`` names among ``count``: a boolean mask of exactly that length, or whole numbers from 0.

    Zeros and ones that are no booleans are numbers of places, not a mask.
    """
    array = plain_array(name, value)
    if array.dtype != bool or array.size == 0:
        return whole_numbers(name, value, 0, count - 1)
    require(
        array.shape == (count,), f"{name} is a mask of shape {array.shape}, but must have one True or False for each of {count} examples."
    )
    return np.flatnonzero(array)


def class_labels(name: str, value: Any, low: int = 0) -> np.ndarray:
    """``value`` as int64 [N], N at least 1, if it is class numbers from ``low``."""
    labels = whole_numbers(name, value, low, MOST_CLASSES - 1)
    require(len(labels) > 0, f"{name} must be a non-empty list of class numbers.")
    return labels


def class_names(value: Any) -> tuple[str, ...]:
    """``value`` as names if it is a flat list of texts or numbers, all different; text in bytes is read as UTF-8."""
    array = plain_array("classes", value)
    require(array.ndim == 1 and array.dtype.kind in "USiu", f"classes is {shown(value)}, but must be a list of names.")
    try:
        names = tuple(name.decode() if isinstance(name, bytes) else str(name) for name in array.tolist())
    except UnicodeDecodeError:
        raise FucoreError("classes holds bytes that are no UTF-8 text: give the names as text.") from None
    require(len(set(names)) == len(names), f"classes names a class twice ({shown(list(names))}): give each class a name of its own.")
    return names
