"""One progress bar for long work, silent where nobody watches (``FUCORE_PROGRESS=0``)."""

from __future__ import annotations

import os
import threading


def progress(items, label: str, done: int = 0, total: int | None = None):
    """Iterate over ``items`` with a bar that appears after two seconds and disappears when done; threads beside the main one have none."""
    from tqdm.auto import tqdm

    hidden = os.environ.get("FUCORE_PROGRESS") == "0" or threading.current_thread() is not threading.main_thread()
    return tqdm(items, desc=label, initial=done, total=total, leave=False, delay=2, disable=hidden)
