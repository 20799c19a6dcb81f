"""One progress bar for long work, silent where nobody watches (``FUCORE_PROGRESS=0``); a thread can have a listener in its place."""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable, Iterable

#: Called with (label, done, total or None) before each step of long work in this context; what it raises ends the work.
listener: contextvars.ContextVar[Callable[[str, int, int | None], None] | None] = contextvars.ContextVar("listener", default=None)


def progress(items: Iterable, label: str, done: int = 0, total: int | None = None):
    """Iterate over ``items`` with a bar that appears after two seconds and disappears when done; threads beside the main one have none."""
    tell = listener.get()
    if tell is not None:
        return _told(items, tell, label, done, total)
    from tqdm.auto import tqdm

    hidden = os.environ.get("FUCORE_PROGRESS") == "0" or threading.current_thread() is not threading.main_thread()
    return tqdm(items, desc=label, initial=done, total=total, leave=False, delay=2, disable=hidden)


def _told(items: Iterable, tell: Callable, label: str, done: int, total: int | None):
    total = len(items) if total is None and hasattr(items, "__len__") else total  # pyright: ignore[reportArgumentType]
    for number, item in enumerate(items, start=done):
        tell(label, number, total)
        yield item
