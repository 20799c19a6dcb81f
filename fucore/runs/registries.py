"""What users register by name, wherever: known here, so that it can be told apart and sent to other processes."""

from __future__ import annotations

from typing import Any

from .fingerprint import PACKAGE, source_of

#: Registries by kind (``"method"``, ``"metric"``, ...), each of them entries by name.
REGISTRIES: dict[str, dict[str, Any]] = {}


def registry(kind: str) -> dict[str, Any]:
    """A new, empty registry of this kind; an entry is a function, or a dataclass with one in its field ``function``."""
    return REGISTRIES.setdefault(kind, {})


def of_users() -> dict[str, dict[str, Any]]:
    """Entries that are not fucore's own, by kind and name."""
    return {kind: {name: entry for name, entry in entries.items() if not _built_in(entry)} for kind, entries in REGISTRIES.items()}


def registered(entries: dict[str, dict[str, Any]]) -> None:
    """Register what :func:`of_users` gave in another process."""
    for kind, named in entries.items():
        registry(kind).update(named)


def described(entries: dict[str, dict[str, Any]]) -> dict[str, dict[str, str | None]]:
    """Hash of what each of these entries computes; ``None`` where that cannot be told."""
    return {kind: {name: source_of(entry) for name, entry in named.items()} for kind, named in entries.items()}


def _built_in(entry: Any) -> bool:
    function = getattr(entry, "function", entry)
    return str(getattr(getattr(function, "func", function), "__module__", "")).startswith(f"{PACKAGE}.")
