"""The one exception a user should ever meet, and the checks that raise it."""

from __future__ import annotations

import operator
from typing import Any

LONGEST_SHOWN = 200
LARGEST_SEED = 2**63 - 1


class FucoreError(Exception):
    """A mistake the user can mend; the message is one sentence, in one line, that says how."""

    def __init__(self, sentence: str):
        super().__init__(" ".join(sentence.splitlines()))  # paths, names and other libraries' messages may hold line breaks

    def _render_traceback_(self) -> list[str]:
        """IPython asks for this: in a notebook the sentence is shown alone, without a stack of frames."""
        return [f"{type(self).__name__}: {self}"]


def shown(value: Any) -> str:
    """``value`` as it may stand in a sentence: one line of at most 200 characters, whatever it is."""
    try:
        text = " ".join(repr(value).split("\n"))
    except Exception:  # numbers of more than 4,300 digits have no repr, and users' objects may have a broken one
        text = f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def first_line(error: Exception) -> str:
    """The beginning of another library's message, to stand in a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:LONGEST_SHOWN].rstrip(".")


def require(condition: Any, sentence: str) -> None:
    """Raise ``FucoreError`` with ``sentence`` unless ``condition`` holds."""
    if not condition:
        raise FucoreError(sentence)


def require_whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    """``value`` as an int if it is one whole number in [low, high], of Python, NumPy or PyTorch; else one sentence naming ``name``."""
    allowed = f"a whole number of at least {low}" if high is None else f"a whole number from {low} to {high}"
    try:
        whole = operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        whole = low - 1
    single = getattr(value, "ndim", 0) == 0 and not _is_bool(value)
    require(single and whole >= low and (high is None or whole <= high), f"{name} is {shown(value)}, but must be {allowed}.")
    return whole


def require_seed(value: Any, name: str = "seed") -> int:
    """``value`` as an int if it can seed torch's generators; else one sentence."""
    return require_whole(name, value, 0, LARGEST_SEED)


def as_list(value: Any) -> list:
    """The items of ``value``, none where it has none: for a check that then says what is missing."""
    try:
        return list(value)
    except (TypeError, RuntimeError):
        return []


def require_number(name: str, value: Any, low: float, high: float, *, open_low: bool = False, open_high: bool = False) -> float:
    """``value`` as a float if it is one number in [low, high], an end left out where it is open; else one sentence."""
    allowed = f"a number in {'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        number = float("nan")
    inside = (number > low if open_low else number >= low) and (number < high if open_high else number <= high)
    single = getattr(value, "ndim", 0) == 0 and not _is_bool(value) and not isinstance(value, (str, bytes, bytearray))
    require(inside and single, f"{name} is {shown(value)}, but must be {allowed}.")
    return number


def require_choice(name: str, value: Any, choices) -> Any:
    """``value`` if it is one of ``choices``; else one sentence listing them."""
    try:
        known = hash(value) is not None and value in choices  # what has no hash, such as an array, is compared by its elements
    except (TypeError, ValueError, RuntimeError):
        known = False
    require(known, f"{name} is {shown(value)}, but must be one of: {', '.join(map(str, choices))}.")
    return value


def require_kind(name: str, value: Any, kind, example: str) -> Any:
    """``value`` if it is of a class (or one of several); else one sentence that names ``example`` of what it must be."""
    if not isinstance(value, kind):  # written out, since a sentence about a large store or tensor takes a while to make
        raise FucoreError(f"{name} is {shown(value)}, but must be {example}.")
    return value


def require_flag(name: str, value: Any) -> bool:
    """``value`` as a bool if it is True or False, of Python or NumPy; else one sentence."""
    require(_is_bool(value) and getattr(value, "ndim", 0) == 0, f"{name} is {shown(value)}, but must be True or False.")
    return bool(value)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool) or str(getattr(value, "dtype", "")) in ("bool", "torch.bool")
