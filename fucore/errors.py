"""The one exception a user should ever meet, and the checks that raise it."""

from __future__ import annotations

from typing import Any


class FucoreError(Exception):
    """A mistake the user can mend; the message is one sentence that says how."""

    def _render_traceback_(self) -> list[str]:
        """IPython asks for this: in a notebook the sentence is shown alone, without a stack of frames."""
        return [f"{type(self).__name__}: {self}"]


def require(condition: Any, sentence: str) -> None:
    """Raise ``FucoreError`` with ``sentence`` unless ``condition`` holds."""
    if not condition:
        raise FucoreError(sentence)


def require_whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    """``value`` as an int if it is a whole number in [low, high]; else one sentence naming ``name``."""
    allowed = f"a whole number of at least {low}" if high is None else f"a whole number from {low} to {high}"
    whole = not isinstance(value, bool) and hasattr(value, "__index__")
    require(whole and value >= low and (high is None or value <= high), f"{name} is {value!r}, but must be {allowed}.")
    return int(value)


def require_number(name: str, value: Any, low: float, high: float, *, open_low: bool = False) -> float:
    """``value`` as a float if low <= value <= high (low < value with ``open_low``); else one sentence."""
    allowed = f"a number in {'(' if open_low else '['}{low:g}, {high:g}]"
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    inside = (number > low if open_low else number >= low) and number <= high
    require(inside and not isinstance(value, (bool, str)), f"{name} is {value!r}, but must be {allowed}.")
    return number


def require_choice(name: str, value: Any, choices) -> str:
    """``value`` if it is one of ``choices``; else one sentence listing them."""
    require(value in choices, f"{name} is {value!r}, but must be one of: {', '.join(map(str, choices))}.")
    return value
