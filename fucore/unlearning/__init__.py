"""Unlearning methods: one short file each, one function, one decorator.

A method is a function ``(task, *, parameters...) -> weights [d]``, registered under a name::

    @method("fine-tune", citation="McMahan et al., AISTATS 2017")
    def fine_tune(task, *, rounds=4):
        return task.train(task.original.weights, rounds)

It then appears in ``fu.unlearn``, in every comparison and on the API page.  ``task`` offers only what the method
declares that it needs, and keeps the account of what it spends.
"""

import importlib
import pkgutil

from .driver import unlearn
from .registry import METHODS, NEEDS, Method, method
from .task import Task

__all__ = ["METHODS", "NEEDS", "Method", "Task", "method", "unlearn"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
