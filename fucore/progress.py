"""One progress bar for long work, silent where nobody watches (``FUCORE_PROGRESS=0``)."""

from __future__ import annotations

import os


def progress(items, label: str, done: int = 0, total: int | None = None):
    """Iterate over ``items`` with a bar that appears after two seconds and disappears when done."""
    from tqdm.auto import tqdm

    return tqdm(items, desc=label, initial=done, total=total, leave=False, delay=2, disable=os.environ.get("FUCORE_PROGRESS") == "0")
