"""What a user's function, class or value computes, as a JSON value: two that could give other results are described otherwise.

Functions count by code, defaults, what they close over and the globals they name; classes by their bases, methods and
attributes; objects by their class and attributes; arrays and networks by content; files that are named by a path, and modules
of the user's with all of the user's that they import, by content; what is installed by name and version; what is fucore's own by
the code of its module.  What has no such description (generators of random numbers, open files, locks) raises ``TypeError``.
What a function reads from the environment or from the network is not seen.
"""

from __future__ import annotations

import builtins
import dataclasses
import dis
import enum
import functools
import hashlib
import json
import os
import pathlib
import re
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from .origins import files_of, installed, of_fucore, of_user

_PLAIN = {type(None), bool, int, float, complex, str}
_BY_REPR = (range, slice, torch.dtype, torch.device, torch.Size, torch.memory_format, np.dtype, re.Pattern, types.GenericAlias)
#: What Python and torch keep in a class or a network for themselves.
_MACHINERY = {"_abc_impl", "_backward_cls", "_autograd_function_id", "_parameters", "_buffers", "_modules"}
#: What Python writes into every class.
_PYTHONS = {
    "__module__",
    "__dict__",
    "__weakref__",
    "__doc__",
    "__slots__",
    "__annotations__",
    "__annotations_cache__",
    "__static_attributes__",
    "__firstlineno__",
    "__dataclass_fields__",
    "__dataclass_params__",
    "__match_args__",
    "__abstractmethods__",
    "__parameters__",
    "__orig_bases__",
}
_OF_EVERY_MODULE = set(vars(torch.nn.Module()))
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Describer:
    """One description; ``own_code(module)`` hashes a module of fucore.  What occurs again is described by its number."""

    def __init__(self, own_code):
        self.own_code, self.seen = own_code, {}

    def describe(self, value):
        """``value`` as JSON."""
        if type(value) in _PLAIN:
            return self._text(value) if isinstance(value, str) else [type(value).__name__, repr(value)]
        if isinstance(value, _BY_REPR):
            return [type(value).__name__, repr(value)]
        if type(value) in (tuple, frozenset, bytes):  # which Python may share or not, as it likes
            return self._builtin(value)
        if id(value) in self.seen:
            return ["again", self.seen[id(value)][0]]
        self.seen[id(value)] = (len(self.seen), value)  # kept alive, so that its id stays its own
        return self._builtin(value) if type(value) in (list, dict, set, bytearray) else self._new(value)

    def _builtin(self, value):
        kind = type(value).__name__
        if isinstance(value, dict):
            return [kind, [[self.describe(key), self.describe(each)] for key, each in value.items()]]
        if isinstance(value, (set, frozenset)):
            return [kind, sorted(json.dumps(Describer(self.own_code).describe(each)) for each in value)]
        if isinstance(value, (bytes, bytearray)):
            return [kind, hashlib.sha256(value).hexdigest()]
        return [kind, [self.describe(each) for each in value]]

    def _new(self, value):
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.ModuleType):
            return self._module(value.__name__)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.MethodType):
            return ["method", self.describe(value.__func__), self.describe(value.__self__)]
        if isinstance(value, types.BuiltinFunctionType):
            own = value.__self__ is None or isinstance(value.__self__, types.ModuleType)
            return ["builtin", f"{value.__module__}.{value.__qualname__}", None if own else self.describe(value.__self__)]
        if isinstance(value, (functools.partial, functools.partialmethod)):
            return [type(value).__name__, *map(self.describe, (value.func, value.args, value.keywords))]
        for wrapper in ("__wrapped__", "__func__", "fget", "func"):  # caches, class and static methods, properties
            if type(value).__module__ in ("builtins", "functools") and hasattr(value, wrapper):
                parts = [getattr(value, name, None) for name in (wrapper, "fset", "fdel")]
                return [type(value).__name__, *map(self.describe, parts)]
        return self._object(value)

    def _object(self, value):
        kind = type(value)
        if isinstance(value, torch.nn.Module):
            return self.network(value)
        if type(value) in (torch.Tensor, torch.nn.Parameter) and not vars(value):
            if value._backward_hooks:
                raise TypeError("a tensor with hooks")
            dense = value.detach().cpu().to_dense() if value.layout is not torch.strided else value.detach().cpu()
            content = hashlib.sha256(dense.contiguous().flatten().view(torch.uint8).numpy().tobytes()).hexdigest()
            return ["tensor", str(value.dtype), value.requires_grad, list(value.shape), content]
        if isinstance(value, np.ufunc):
            return ["ufunc", value.__name__, installed("numpy")]
        if type(value) is np.ndarray or (isinstance(value, np.generic) and not of_user(kind.__module__)):
            return [kind.__name__, self._array(np.asarray(value))]
        if isinstance(value, enum.Enum):
            return [self.describe(kind), value.name]
        if isinstance(value, pathlib.PurePath):
            return self._text(str(value))
        config = getattr(value, "config", None)
        if of_fucore(kind.__module__) and isinstance(config, dict):  # a federation or a run
            return [self._name(kind), self.describe(config)]
        return self._instance(value)

    def _instance(self, value):
        """An object of the user's by its class, attributes and items; another by what it is copied from."""
        kind = type(value)
        if not of_user(kind.__module__):
            try:
                reduced = value.__reduce_ex__(4)
            except Exception as error:
                raise TypeError(f"{kind.__name__} keeps what it is to itself") from error
            parts = [reduced] if isinstance(reduced, str) else [list(part) if isinstance(part, Iterator) else part for part in reduced]
            return [self._name(kind), [self.describe(part) for part in parts]]
        attributes = {name: each for name, each in getattr(value, "__dict__", {}).items() if not _cached(kind, name)}
        for base in kind.__mro__:
            slots = {name: slot for name, slot in vars(base).items() if isinstance(slot, types.MemberDescriptorType)}
            attributes |= {f"{base.__qualname__}.{name}": slot.__get__(value) for name, slot in slots.items() if _filled(slot, value)}
        containers: tuple[Any, ...] = (tuple, list, dict, set, frozenset, str, bytes, int, float, complex)
        for container in containers:
            if isinstance(value, container):
                attributes[" items"] = container(value)
        if isinstance(value, (torch.Tensor, np.ndarray)):
            raise TypeError(f"a {kind.__name__} may keep more than its numbers")
        return [self.describe(kind), [[name, self.describe(each)] for name, each in attributes.items() if name not in _MACHINERY]]

    # ---- functions and classes

    def _function(self, function: types.FunctionType):
        home = function.__globals__.get("__name__")  # __module__ is what a decorator says
        known = {"defaults": function.__defaults__, "keywords": function.__kwdefaults__, "attributes": dict(vars(function)) or None}
        known |= {f"closes over {name}": cell for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ())}
        if of_fucore(home):
            what = [function.__qualname__, home, self.own_code(home)]
        elif not of_user(home):
            what = [function.__qualname__, installed(home)]
        else:
            names = sorted(_named(function.__code__, "LOAD_GLOBAL", "LOAD_NAME"))
            known |= {f"global {name}": function.__globals__.get(name, getattr(builtins, name, None)) for name in names}
            imports = sorted(_named(function.__code__, "IMPORT_NAME"))
            what = [self._code(function.__code__, function.__doc__), [self._module(name) for name in imports]]
        return [what, {name: self.describe(_content(each)) for name, each in known.items() if each is not None}]

    def _code(self, code: types.CodeType, docstring: str | None = None) -> list:
        """Bytecode, names and constants: what is executed, without file names, line numbers or the docstring."""
        constants = [each for each in code.co_consts if each is None or each != docstring]
        return [
            code.co_code.hex(),
            code.co_exceptiontable.hex(),
            [code.co_flags, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount],
            [list(names) for names in (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)],
            [self._code(each) if isinstance(each, types.CodeType) else self.describe(each) for each in constants],
        ]

    def _class(self, kind: type):
        if of_fucore(kind.__module__):
            return [self._name(kind), self.own_code(kind.__module__)]
        if not of_user(kind.__module__):
            return self._name(kind)
        parts = {name: self.describe(each) for name, each in vars(kind).items() if _written(kind, name, each)}
        if dataclasses.is_dataclass(kind):
            parts |= {
                f"field {field.name}": [self.describe(_missing(part)) for part in (field.default, field.default_factory)]
                for field in dataclasses.fields(kind)
            }
        return [kind.__qualname__, self.describe(type(kind)), [self.describe(base) for base in kind.__bases__], parts]

    def network(self, module: torch.nn.Module):
        """A network: the classes of its parts, their plain attributes and hooks, all weights, frozen or not, and all buffers."""
        parts = {}
        for name, part in module.named_modules():
            hooks = [self.describe(hook) for kind in _HOOKS for hook in getattr(part, kind, {}).values()]
            own = of_user(type(part).__module__)
            attributes = {key: each for key, each in vars(part).items() if key not in _MACHINERY and (own or not key.startswith("_"))}
            attributes = {key: each for key, each in attributes.items() if key not in _OF_EVERY_MODULE}
            parts[name] = [
                self.describe(type(part)),
                part.training,
                [[key, self.describe(each)] for key, each in attributes.items()],
                hooks,
            ]
        tensors = [[name, self.describe(tensor)] for name, tensor in (*module.named_parameters(), *module.named_buffers())]
        return ["network", list(parts.items()), tensors]

    # ---- files, modules and what is installed

    def _text(self, text: str):
        """A string; with the content of the file that it is the path of."""
        path = text.partition(":")[2] if text.startswith(("npz:", "folder:")) else text
        if os.sep in path and len(path) < 4096 and "\0" not in path and os.path.isfile(path):
            return ["file", text, hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()]
        return ["str", text]

    @staticmethod
    def _array(array: np.ndarray):
        if array.dtype.hasobject:
            raise TypeError("an array of objects")
        return [str(array.dtype), list(array.shape), hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()]

    def _module(self, name: str):
        if of_fucore(name):
            return [name, self.own_code()]
        if not of_user(name):
            return installed(name)
        loaded = vars(sys.modules[name]) if name in sys.modules else {}  # settings that were changed since it was read
        settings = {key: repr(each) for key, each in loaded.items() if type(each) in _PLAIN and not key.startswith("__")}
        return [files_of(name), settings]

    def _name(self, thing):
        module = thing.__module__ if isinstance(thing.__module__, str) else "builtins"
        return [f"{module}.{thing.__qualname__}", *([] if of_user(module) or of_fucore(module) else [installed(module)])]


def _content(value):
    """What is in a cell of a closure; raises ``TypeError`` if nothing is yet."""
    if not isinstance(value, types.CellType):
        return value
    try:
        return value.cell_contents
    except ValueError:
        raise TypeError("a name that is not bound yet") from None


def _filled(slot, value) -> bool:
    try:
        slot.__get__(value)
    except AttributeError:
        return False
    return True


def _cached(kind: type, name: str) -> bool:
    """Whether an attribute is what a ``cached_property`` remembers."""
    return isinstance(getattr(kind, name, None), functools.cached_property)


def _missing(value):
    return None if value is dataclasses.MISSING else value


def _written(kind: type, name: str, value) -> bool:
    """Whether a class's entry was written by its author: not made by Python, by ``dataclass`` or by torch."""
    if name in _MACHINERY or (issubclass(kind, enum.Enum) and name.startswith("_")):
        return False
    plain = getattr(value, "__func__", value)
    if isinstance(plain, types.FunctionType):
        made = name.startswith("__") and plain.__code__.co_filename in ("<string>", dataclasses.__file__)
        return not made and name not in ("__annotate__", "__annotate_func__")
    return name not in _PYTHONS and not isinstance(value, (types.MemberDescriptorType, types.GetSetDescriptorType))


def _named(code: types.CodeType, *operations: str) -> set[str]:
    """Names that the code, or code inside it, uses in these operations; attributes of the same name do not count."""
    inner = [_named(value, *operations) for value in code.co_consts if isinstance(value, types.CodeType)]
    return {step.argval for step in dis.get_instructions(code) if step.opname in operations}.union(*inner)
