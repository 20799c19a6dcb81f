"""What this machine offers: cores, devices, the user's cache folder."""

from __future__ import annotations

import math
import os
import pathlib

import torch

from .errors import FucoreError, require_choice, require_whole, shown


def cache_folder() -> pathlib.Path:
    """The user's cache folder for fucore: ``$XDG_CACHE_HOME/fucore`` or ``~/.cache/fucore``."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "fucore"


def memory() -> int:
    """Bytes of this machine's memory; where the system does not tell, more than any has."""
    names = ("SC_PHYS_PAGES", "SC_PAGE_SIZE")
    return math.prod(map(os.sysconf, names)) if set(names) <= set(getattr(os, "sysconf_names", ())) else 2**63


def default_workers(device: str) -> int:
    """``$FUCORE_WORKERS`` if set; else one worker for each core that this process may use, at most 8; one where a GPU does the work."""
    if os.environ.get("FUCORE_WORKERS"):
        return require_whole("FUCORE_WORKERS", _number(os.environ["FUCORE_WORKERS"]), 1)
    if torch.device(device).type != "cpu":
        return 1
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def check_device(device: str, precision: str) -> None:
    """Refuse a device that is not there, or a precision that is not known, with a sentence."""
    require_choice("precision", precision, ("fp32", "bf16"))
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError, ValueError):
        raise FucoreError(
            f"device is {shown(device)}, which torch cannot use on this machine: choose 'cpu', or 'cuda' where there is a GPU."
        ) from None
