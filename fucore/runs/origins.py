"""Where a module comes from: the user, fucore, an installed library or Python; and what it then counts by."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import pathlib
import sys

PACKAGE = __name__.partition(".")[0]


def of_fucore(module: str | None) -> bool:
    """Whether a module is one of fucore's own."""
    return isinstance(module, str) and module.partition(".")[0] == PACKAGE


def of_user(module: str | None) -> bool:
    """Whether a module was written by the user: neither fucore's, nor of an installed library, nor Python's."""
    top = module.partition(".")[0] if isinstance(module, str) else "builtins"  # compiled types have none
    if top == "__main__":
        return True
    if of_fucore(module) or top in sys.stdlib_module_names or top == "builtins":
        return False
    return "-packages" not in str(file_of(top) or "")


@functools.cache
def installed(module: str) -> str:
    """Name and version of an installed library's module."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top == "builtins":
        return f"{module} of Python {sys.version_info.major}.{sys.version_info.minor}"
    names = _distributions().get(top, [top])
    versions = [importlib.metadata.version(name) for name in sorted(set(names)) if _known(name)]
    return f"{module} {' '.join(versions)}"


@functools.cache
def _distributions():
    return importlib.metadata.packages_distributions()


def _known(name: str) -> bool:
    try:
        return bool(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return False


def file_of(module: str) -> str | None:
    """The file of a module, loaded or not."""
    if module in sys.modules:
        loaded = sys.modules[module]
        return getattr(loaded, "__file__", None) or next(iter(getattr(loaded, "__path__", [])), None)
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return spec.origin if spec else None


def files_of(name: str) -> dict[str, str | None]:
    """Content of a user's module and of all modules of the user's that it imports, directly or not, by name."""
    found: dict[str, str | None] = {}
    waiting = [name]
    while waiting:
        module = waiting.pop()
        if module in found or of_fucore(module) or not of_user(module):
            continue
        path = file_of(module)
        if path is None or not path.endswith(".py") or not os.path.isfile(path):
            found[module] = None
            continue
        content = pathlib.Path(path).read_bytes()
        found[module] = hashlib.sha256(content).hexdigest()
        package = module if path.endswith("__init__.py") else module.rpartition(".")[0]
        for node in ast.walk(ast.parse(content)):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                base = importlib.util.resolve_name("." * node.level + (node.module or ""), package) if node.level else str(node.module)
                waiting += [base, *(each for alias in node.names if file_of(each := f"{base}.{alias.name}"))]
    return found
