"""The methods by name, and what a method may need."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from ..data import forgetting
from ..data.forgetting import Request
from ..errors import require, require_choice
from ..runs.registries import registry

#: What a method may declare that it needs, and what that is.
NEEDS = {
    "forgotten data": "examples of the clients that leave, which still cooperate",
    "history": "every client's updates, recorded while the original was trained",
    "preparation": "a training of its own with everybody, before anyone asked",
    "sum of updates": "an original that is the sum of its rounds' mean updates, as under fu.FedAvg",
    "whole clients": "a request for all examples of some clients",
    "whole classes": "a request for all examples of some classes",
    "class of a client": "a request for one class of one client",
    "part of clients": "a request that leaves every asked client something to train on",
}


@dataclass(frozen=True)
class Method:
    """A registered method: its function, what it needs beyond the retained clients, and where it comes from."""

    name: str
    function: Callable
    needs: tuple[str, ...]
    citation: str

    @property
    def defaults(self) -> dict:
        """Its parameters and their default values."""
        return {p.name: p.default for p in inspect.signature(self.function).parameters.values() if p.kind is p.KEYWORD_ONLY}

    def example_request(self, client: int = 0, label: int = 0) -> Request:
        """A request that the method accepts: for a client, for a class, or for a class of a client, as it needs."""
        if {"class of a client", "part of clients"} & set(self.needs):
            return forgetting.class_of_client(label, client)
        return forgetting.classes(label) if "whole classes" in self.needs else forgetting.client(client)


#: Registered methods by name.
METHODS: dict[str, Method] = registry("method")


def method(name: str, *, needs: tuple[str, ...] = (), citation: str = ""):
    """Register a function ``(task, *, parameters...) -> weights [d]`` as the unlearning method ``name``.

    ``needs``: some of :data:`NEEDS`, such as ``("forgotten data",)`` if it reads what must be forgotten;
    ``task`` is a :class:`~fucore.unlearning.task.Task`.  Every parameter needs a default.  Raises ``FucoreError`` for an unknown need, a parameter
    without default, or a built-in's name.
    """
    needs = (needs,) if isinstance(needs, str) else tuple(needs)
    for need in needs:
        require_choice("needs", need, NEEDS)

    def register(function):
        own = (
            name in METHODS
            and METHODS[name].function.__module__.startswith("fucore.")
            and function.__module__ != METHODS[name].function.__module__
        )
        require(not own, f"{name} is a method of fucore's own: call yours something else.")
        bare = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
        require(not bare, f"{name}'s parameter {bare[0] if bare else ''} needs a default value.")
        METHODS[name] = Method(name, function, tuple(needs), citation)
        return function

    return register
