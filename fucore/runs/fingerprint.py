"""What a result depends on, as hashes: values, functions of users, and the library's own code.

The code of the library is found from what is imported, never from a list of files: a module counts with every module of
fucore that it imports, directly or not.  What only shows results (:data:`PRESENTATION`) counts for none.
"""

from __future__ import annotations

import ast
import dataclasses
import dis
import functools
import hashlib
import importlib.util
import json
import pathlib
import sys
import types
from collections.abc import Iterable
from typing import Any

import torch

PACKAGE = __name__.partition(".")[0]
#: Modules that no stored result can depend on; the package itself only passes names on.
PRESENTATION = (PACKAGE, *(f"{PACKAGE}.{name}" for name in ("_version", "plots", "companion", "companion.widgets", "companion.explorers")))


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


def source_of(function) -> str | None:
    """Hash of what a function computes, or ``None`` if that cannot be told; the empty string for ``None``.

    Covers its code, defaults, the values it closes over and the globals it names, functions among them in the same way; what
    is fucore's own counts by the code of its module, a module of the user's by the content of its file.  Modules, classes and functions of
    installed libraries count by name.  Bound methods and opaque objects cannot be told.
    """
    if function is None:
        return ""
    try:
        return hash_of(_computes(function, set()))
    except (TypeError, ValueError):  # an opaque object, or a cell that is not filled yet
        return None


def source_of_class(kind: type) -> str | None:
    """Hash of what a class and its bases do (their methods and plain attributes), or ``None`` if that cannot be told."""
    try:
        return hash_of([_class(each, set()) for each in kind.__mro__ if each is not object])
    except (TypeError, ValueError):
        return None


def _class(kind: type, seen: set) -> list:
    if _of_fucore(kind.__module__):
        return _own(kind)
    if _installed(kind.__module__):
        return [f"{kind.__module__}.{kind.__qualname__}"]
    parts = {name: getattr(value, "fget", None) or getattr(value, "__func__", value) for name, value in vars(kind).items()}
    return [kind.__qualname__, {name: _value(value, seen) for name, value in parts.items() if _written(name, value)}]


def _written(name: str, value) -> bool:
    """Whether a class's entry was written by its author: not made by Python, nor by ``dataclass``."""
    if isinstance(value, types.FunctionType):
        made = name.startswith("__") and value.__code__.co_filename in ("<string>", dataclasses.__file__)
        return not made and name not in ("__annotate__", "__annotate_func__")
    return not (name.startswith("__") and name.endswith("__"))


def _computes(function, seen: set) -> list:
    if not isinstance(function, types.FunctionType):
        raise TypeError(f"{function!r} is no plain function")
    if function in seen:
        return [function.__qualname__]
    seen.add(function)
    cells = zip(function.__code__.co_freevars, function.__closure__ or ())
    known = {" defaults": function.__defaults__, " keywords": function.__kwdefaults__, **{name: cell.cell_contents for name, cell in cells}}
    if _of_fucore(function.__globals__.get("__name__")):
        what = _own(function)
    else:
        known |= {name: function.__globals__[name] for name in sorted(_globals(function.__code__)) if name in function.__globals__}
        what = [_code(function.__code__, function.__doc__), *map(_module, sorted(_imports(function.__code__)))]
    return [what, {name: _value(value, seen) for name, value in known.items()}]


def _own(thing) -> list[str]:
    """Name and code of a function or class of fucore's."""
    return [f"{thing.__module__}.{thing.__qualname__}", hash_of_code(thing.__module__)]


def _code(code: types.CodeType, docstring: str | None = None) -> list:
    """Bytecode, names and constants: what is executed, without file names, line numbers or the docstring."""
    constants = [value for value in code.co_consts if value is None or value != docstring]
    return [code.co_code.hex(), list(code.co_names), list(code.co_varnames), [_constant(value) for value in constants]]


def _globals(code: types.CodeType) -> set[str]:
    """Names that the code, or code inside it, reads as globals; attributes of the same name do not count."""
    return _named(code, "LOAD_GLOBAL", "LOAD_NAME")


def _imports(code: types.CodeType) -> set[str]:
    """Modules that the code, or code inside it, imports."""
    return _named(code, "IMPORT_NAME")


def _named(code: types.CodeType, *operations: str) -> set[str]:
    inner = [_named(value, *operations) for value in code.co_consts if isinstance(value, types.CodeType)]
    return {step.argval for step in dis.get_instructions(code) if step.opname in operations}.union(*inner)


def _constant(value):
    if isinstance(value, types.CodeType):
        return _code(value)
    return sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)


def _value(value, seen: set):
    if isinstance(value, types.FunctionType) and not _installed(value.__module__):
        return _computes(value, seen)
    if isinstance(value, types.ModuleType):
        return _module(value.__name__)
    if isinstance(value, type) and not _installed(value.__module__) and value not in seen:
        return [_class(each, seen | {value}) for each in value.__mro__ if each is not object]
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and not _of_fucore(type(value).__module__):
        return [_value(type(value), seen), plain(value)]
    if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
        return f"{value.__module__}.{value.__qualname__}"
    config = getattr(value, "config", None)
    if isinstance(config, dict):  # a federation or a run
        return config
    if isinstance(value, (tuple, list)):
        return [_value(each, seen) for each in value]
    if isinstance(value, dict):
        return {str(key): _value(each, seen) for key, each in value.items()}
    return plain(value)


def _module(name: str) -> list[str]:
    """A module by name; the library's with all its code, a user's own with the content of its file."""
    if _of_fucore(name):
        return [name, hash_of_code()]
    file = getattr(sys.modules.get(name), "__file__", None)
    if _installed(name) or file is None:
        return [name]
    return [name, hashlib.sha256(pathlib.Path(file).read_bytes()).hexdigest()]


def _installed(module: str | None) -> bool:
    """Whether what is in this module counts by name: installed libraries."""
    top = (module or "").split(".")[0]
    if top in sys.stdlib_module_names | {"torch", "torchvision", "numpy", "scipy", "sklearn", "pandas"}:
        return True
    return "-packages" in str(getattr(sys.modules.get(top), "__file__", "") or "")


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
