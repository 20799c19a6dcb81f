"""A run is a value: weights, history, configuration, cost and provenance."""

from __future__ import annotations

import ast
import dataclasses
import dis
import functools
import hashlib
import json
import pathlib
import platform
import sys
import types
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd
import torch

if TYPE_CHECKING:
    from .federation import Federation


@dataclass(frozen=True)
class Cost:
    """What a run spent.  ``examples``: forward-backward passes; the rest in bytes and seconds."""

    examples: int = 0
    uploaded: int = 0
    downloaded: int = 0
    stored: int = 0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(**{key: getattr(self, key) + value for key, value in dataclasses.asdict(other).items()})


@dataclass(frozen=True, eq=False)
class Run:
    """The result of training or unlearning.

    ``weights`` float32 [d]; ``history`` one dict a recorded round (``round``, ``test_accuracy``, ``test_loss``,
    ``seconds`` and ``examples`` since the start); ``config`` everything that determined it; ``key`` the hash of that, or
    ``None`` if something in it cannot be hashed; ``federation`` the one it was trained in (not stored); ``log`` whatever an
    unlearning method told.
    """

    weights: torch.Tensor
    history: list[dict]
    config: dict
    cost: Cost
    provenance: dict
    key: str | None
    federation: Federation | None = field(default=None, repr=False)
    log: dict = field(default_factory=dict)

    @property
    def curve(self) -> pd.DataFrame:
        """The history as a table, one row a recorded round."""
        return pd.DataFrame(self.history)

    @property
    def rounds(self) -> int:
        """Federated rounds that were run."""
        return self.history[-1]["round"] if self.history else 0

    def __repr__(self) -> str:
        last = self.history[-1] if self.history else {}
        accuracy = f", test accuracy {last['test_accuracy']:.3f}" if "test_accuracy" in last else ""
        return f"Run({self.config.get('method', 'fedavg')}, {self.rounds} rounds{accuracy})"


def listed(candidates: dict) -> dict[str, list[Run]]:
    """``{name: run or runs}`` as ``{name: [runs]}``."""
    return {name: [runs] if isinstance(runs, Run) else list(runs) for name, runs in candidates.items()}


def hash_of(config) -> str:
    """SHA-256 of a JSON value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=plain).encode()).hexdigest()


def hash_tensor(tensor: torch.Tensor) -> str:
    """SHA-256 of a tensor's bytes."""
    return hashlib.sha256(tensor.detach().cpu().contiguous().numpy().tobytes()).hexdigest()


@functools.cache
def hash_of_code(*files: str) -> str:
    """Hash of some of fucore's files (all without names), docstrings, layout and comments aside: what they compute."""
    folder = pathlib.Path(__file__).parent
    trees = [
        ast.parse((folder / file).read_text()) for file in files or sorted(str(path.relative_to(folder)) for path in folder.rglob("*.py"))
    ]
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return hash_of([ast.dump(tree) for tree in trees])


def source_of(function) -> str | None:
    """Hash of what a function computes, or ``None`` if that cannot be told; the empty string for ``None``.

    Covers its code, defaults, the values it closes over and the globals it names, functions among them in the same way.
    Modules, classes and functions of installed libraries count by name.  Bound methods and opaque objects cannot be told.
    """
    if function is None:
        return ""
    try:
        return hash_of(_computes(function, set()))
    except (TypeError, ValueError):  # an opaque object, or a cell that is not filled yet
        return None


def _computes(function, seen: set) -> list:
    if not isinstance(function, types.FunctionType):
        raise TypeError(f"{function!r} is no plain function")
    if function in seen:
        return [function.__qualname__]
    seen.add(function)
    cells = zip(function.__code__.co_freevars, function.__closure__ or ())
    known = {"defaults": function.__defaults__, "keywords": function.__kwdefaults__, **{name: cell.cell_contents for name, cell in cells}}
    known |= {name: function.__globals__[name] for name in sorted(_globals(function.__code__)) if name in function.__globals__}
    return [_code(function.__code__, function.__doc__), {name: _value(value, seen) for name, value in known.items()}]


def _code(code: types.CodeType, docstring: str | None = None) -> list:
    """Bytecode, names and constants: what is executed, without file names, line numbers or the docstring."""
    constants = [value for value in code.co_consts if value is None or value != docstring]
    return [code.co_code.hex(), list(code.co_names), list(code.co_varnames), [_constant(value) for value in constants]]


def _globals(code: types.CodeType) -> set[str]:
    """Names that the code, or code inside it, reads as globals; attributes of the same name do not count."""
    inner = [_globals(value) for value in code.co_consts if isinstance(value, types.CodeType)]
    return {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}.union(*inner)


def _constant(value):
    if isinstance(value, types.CodeType):
        return _code(value)
    return sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)


def _value(value, seen: set):
    if isinstance(value, types.FunctionType) and not _of_library(value.__module__):
        return _computes(value, seen)
    if isinstance(value, types.ModuleType):
        return value.__name__
    if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(getattr(value, "config", None), dict):  # a federation or a run
        return value.config
    if isinstance(value, (tuple, list)):
        return [_value(each, seen) for each in value]
    if isinstance(value, dict):
        return {str(key): _value(each, seen) for key, each in value.items()}
    return plain(value)


def _of_library(module: str | None) -> bool:
    """Whether functions of this module count by name: installed libraries, and the parts of fucore whose code is in every key."""
    module = module or ""
    own = module.startswith("fucore.") and not module.startswith("fucore.unlearning")
    return own or module.split(".")[0] in sys.stdlib_module_names | {"torch", "torchvision", "numpy", "scipy", "sklearn", "pandas"}


def provenance(data) -> dict:
    """Where a result comes from: versions, processor, data hash."""
    from . import __version__

    versions = {"fucore": __version__, "torch": torch.__version__, "python": platform.python_version(), "machine": platform.machine()}
    return {**versions, "data": data.name, "data_sha256": data.hash}


def plain(value):
    """``value`` as something JSON can hold, by content; raises TypeError where there is no such thing."""
    if isinstance(value, torch.Tensor):
        return value.tolist() if value.numel() <= 1000 else {"tensor": hash_tensor(value)}
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
