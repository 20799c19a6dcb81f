"""What a result depends on, as hashes: values, functions of users, and the library's own code.

The code of the library is found from what is imported, never from a list of files: a module counts with every module of
fucore that it imports, directly or not.  What only shows results (:data:`PRESENTATION`) counts for none.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib.util
import json
import pathlib
import sys
from collections.abc import Iterable
from typing import Any

import torch

from .described import Describer

PACKAGE = __name__.partition(".")[0]
#: Modules that no stored result can depend on; the package itself only passes names on.
PRESENTATION = (
    PACKAGE,
    *(f"{PACKAGE}.{name}" for name in ("_version", "plots", "printing", "companion", "companion.widgets", "companion.explorers")),
)


def hash_of(config) -> str:
    """SHA-256 of a JSON value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=plain).encode()).hexdigest()


def hash_tensor(tensor: torch.Tensor) -> str:
    """SHA-256 of a tensor's bytes."""
    return hashlib.sha256(tensor.detach().cpu().contiguous().numpy().tobytes()).hexdigest()


# ---- the library


@functools.cache
def hash_of_code(*modules: str) -> str:
    """Hash of what these modules of fucore and all they import compute; without names of the whole library."""
    return hash_of({name: _syntax(name) for name in reached(*(modules or _all_modules()))})


def hash_of_modules(names: Iterable[str]) -> str:
    """Hash of these modules' code alone; a module that is no more has none."""
    return hash_of({name: _syntax(name) if _find(name) else "" for name in sorted(names)})


def loaded_modules() -> list[str]:
    """Names of fucore's modules that this process has imported, presentation excepted."""
    return sorted(name for name in list(sys.modules) if _of_fucore(name) and name not in PRESENTATION)


def reached(*modules: str) -> list[str]:
    """Names of fucore's modules that the given ones import, directly or not, themselves included, presentation excepted."""
    found, waiting = set(), list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found and name not in PRESENTATION:
            found.add(name)
            waiting += _imported(name)
    return sorted(found)


@functools.cache
def _imported(name: str) -> list[str]:
    """Modules of fucore that a module imports, inside functions too, but not for type checking."""
    path = _path(name)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    found: list[str] = []
    for node in waiting:
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            waiting += node.orelse
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            written = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(written, package) if node.level else written
            below = [f"{base}.{alias.name}" for alias in node.names]
            found += [base, *(each for each in below if _of_fucore(each) and _find(each))]
    return [each for each in found if _of_fucore(each)]


@functools.cache
def _path(name: str) -> pathlib.Path:
    """The file of a module of fucore; raises ``ValueError`` if there is none."""
    path = _find(name)
    if path is None:
        raise ValueError(f"there is no module {name}")
    return path


@functools.cache
def _find(name: str) -> pathlib.Path | None:
    """The file of a module of fucore, or ``None`` if there is no such module."""
    stem = pathlib.Path(__file__).parents[__name__.count(".")].joinpath(*name.split("."))
    return next((path for path in (stem / "__init__.py", stem.with_suffix(".py")) if path.is_file()), None)


def _all_modules() -> list[str]:
    root = _path(PACKAGE).parent
    return [".".join((PACKAGE, *path.relative_to(root).with_suffix("").parts)).removesuffix(".__init__") for path in root.rglob("*.py")]


@functools.cache
def _syntax(name: str) -> str:
    """Hash of a module's code, docstrings, layout and comments aside."""
    tree = ast.parse(_path(name).read_text())
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return hash_of(ast.dump(tree))


def _of_fucore(module: str | None) -> bool:
    return module is not None and module.partition(".")[0] == PACKAGE


# ---- functions and values


def source_of(value) -> str | None:
    """Hash of what a function, class, network or other value computes, or ``None`` if that cannot be told; the empty string for ``None``.

    See :mod:`fucore.runs.described`.
    """
    if value is None:
        return ""
    try:
        return hash_of(Describer(hash_of_code).describe(value))
    except Exception:  # something opaque, which may raise anything
        return None


def plain(value) -> Any:
    """``value`` as something JSON can hold, by content; raises TypeError where there is no such thing."""
    if isinstance(value, torch.Tensor):
        return (
            value.tolist()
            if value.numel() <= 1000
            else {"tensor": hash_tensor(value), "shape": list(value.shape), "dtype": str(value.dtype)}
        )
    if hasattr(value, "tolist"):
        return value.tolist()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{type(value).__name__} has no plain form")
