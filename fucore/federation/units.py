"""Units of a network: what they do, what they contribute to a class, and how to silence them.

A *unit* is an output channel of a convolution or an output of a linear layer, the classifier's excepted.  Its activation
is taken after a normalisation and a ReLU that directly follow; of the last convolution of a residual block that is
before the addition.  The contribution of unit k with activation beta (a map for a convolution) to class c is an integrated gradient along the way
from a silent unit to the unit as it is (Huang et al., 2025, Eqs. 2 and 3, after Wu et al., EMNLP 2023)::

    Att_k(x) = sum over positions of  beta / J  sum_{j=1..J} dP(c|x; the unit's activation = j/J beta) / da

As they move one unit at a time, the sum is, for many steps J, P(c|x) - P(c|x; unit k silent), which needs no steps at all:
:meth:`Units.effects`.  The public code of Wu et al. moves all units of a layer together, in one pass a step for all of them; the
contributions of a layer then sum to P(c|x) - P(c|x; layer silent): :meth:`Units.attributions`.  Its price: where the next
layer is normalised, scaling a whole layer changes little, and so little is seen.
"""

from __future__ import annotations

import collections
import operator
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import fx, nn
from torch.fx.node import map_arg

from ..errors import FucoreError, require, require_choice, require_whole
from .weights import FlatModel

LAYERS = (nn.Conv2d, nn.Linear)
OUT_OF_PLACE = {operator.iadd: operator.add, operator.imul: operator.mul, operator.isub: operator.sub}
NORMS = (nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm2d)
#: Modules that pass channels on one by one, so that silencing can look through them.
CHANNELWISE = (nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Identity)


@dataclass(frozen=True)
class Site:
    """A layer with units.

    ``layer``: name of its convolution or linear module; ``units``: how many; ``site``: the graph's node whose output is
    their activation; ``norm``: name of the normalisation before that, if there is one.
    """

    layer: str
    units: int
    site: str
    norm: str | None


class Units:
    """The units of a network made by ``module``, whose weights are given as flat vectors [d].

    ``sites``: its layers with units in forward order; unit number n counts through them, see :meth:`locate`.
    ``graph``: of an equal network that was followed before; following one while other threads compute is not safe, since
    ``torch.fx`` replaces what every module does meanwhile.
    Raises ``FucoreError`` for networks whose computation depends on their input.
    """

    def __init__(self, module: nn.Module, device="cpu", graph: fx.Graph | None = None):
        self.net = FlatModel(module, device)
        module.eval().requires_grad_(False)
        try:
            self.graph = graph or fx.symbolic_trace(module).graph
        except Exception as error:  # fx raises many kinds for what it cannot follow
            raise FucoreError(f"the units of this model cannot be told apart: torch.fx cannot follow it ({error}).") from None
        self._nodes, self._modules = list(self.graph.nodes), dict(module.named_modules())
        self._work_out_of_place()
        self.sites = self._find_sites()
        require(bool(self.sites), "this model has no hidden convolution or linear layer, so there are no units.")
        self.starts = [sum(site.units for site in self.sites[:place]) for place in range(len(self.sites))]

    def __len__(self) -> int:
        return sum(site.units for site in self.sites)

    def locate(self, unit: int) -> tuple[Site, int]:
        """(site, channel) of unit number ``unit``."""
        place = max(place for place, start in enumerate(self.starts) if start <= unit)
        return self.sites[place], unit - self.starts[place]

    # ---- looking

    def activations(self, weights: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """Activation of every unit, mean over positions, float32 [b, units]."""
        with torch.no_grad():
            values = self._run(weights, inputs)
        return torch.cat([_by_channel(values[site.site]).mean(dim=2) for site in self.sites], dim=1)

    def attributions(
        self, weights: torch.Tensor, inputs: torch.Tensor, classes: torch.Tensor, *, steps: int = 20, rule: str = "right"
    ) -> torch.Tensor:
        """Contribution of every unit to the probability of ``classes`` [b] for each input, all of a layer together, float32 [b, units].

        ``rule``: where in each of ``steps`` intervals the gradient is taken, ``"right"`` (j/J, as in the paper) or
        ``"midpoint"``.  The sum over a layer's units misses P(c|x) - P(c|x; layer silent) by O(1/steps), or O(1/steps^2).
        """
        require_whole("steps", steps, 1)
        require_choice("rule", rule, ("right", "midpoint"))
        with torch.no_grad():
            values = self._run(weights, inputs)
        parts = []
        for site in self.sites:
            full = values[site.site]
            total = torch.zeros_like(full)
            for j in range(1, steps + 1):
                share = (j - (0.5 if rule == "midpoint" else 0.0)) / steps
                activation = (share * full).requires_grad_()
                chosen = torch.softmax(self._after(site, values, activation), dim=1).gather(1, classes[:, None])
                total += torch.autograd.grad(chosen.sum(), activation)[0]
            parts.append(_by_channel(full * total / steps).sum(dim=2))
        return torch.cat(parts, dim=1)

    def effects(self, weights: torch.Tensor, inputs: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """P(c|x) - P(c|x; unit silent) of every unit, one at a time, for ``classes`` [b] of each input, float32 [b, units]."""
        with torch.no_grad():
            values = self._run(weights, inputs)
            chosen = lambda logits: torch.softmax(logits, dim=1).gather(1, classes[:, None])[:, 0]
            full, parts = chosen(values[self._output]), []
            for site in self.sites:
                for unit in range(site.units):
                    activation = values[site.site].clone()
                    activation[:, unit] = 0
                    parts.append(full - chosen(self._after(site, values, activation)))
        return torch.stack(parts, dim=1)

    def probabilities(self, weights: torch.Tensor, inputs: torch.Tensor, silent: Sequence[int] = ()) -> torch.Tensor:
        """P(c|x), float32 [b, classes], with an activation mask on the units ``silent``."""
        with torch.no_grad():
            return torch.softmax(self._run(weights, inputs, self._masks(silent))[self._output], dim=1)

    # ---- silencing

    def silence(self, weights: torch.Tensor, units: Sequence[int]) -> tuple[torch.Tensor, list[int]]:
        """(new weights [d], units that weights cannot silence) such that no output depends on ``units`` any more.

        Without a normalisation the unit's incoming row and bias are set to zero, with an affine one its scale and shift; its row
        then stays, since it takes part in the statistics of other units.  After a normalisation without scale and shift
        the *outgoing* weights are set to zero; where an addition follows, only an activation mask would do, and the unit is handed
        back untouched (:meth:`probabilities` can mask it).
        """
        result = weights.clone()
        views, left = self.net.layout.views(result), []
        for unit in units:
            site, channel = self.locate(unit)
            if site.norm is None:
                _zero(views, site.layer, channel)
            elif f"{site.norm}.weight" in views:
                _zero(views, site.norm, channel)
            elif (consumers := self.consumers(site)) is not None:
                for name in consumers:
                    matrix = views[f"{name}.weight"]
                    width = matrix.shape[1] // site.units  # a channel is several columns after flattening
                    matrix[:, channel * width : (channel + 1) * width] = 0
            else:
                left.append(unit)
        return result, left

    # ---- the graph

    def _work_out_of_place(self) -> None:
        """Every node must keep its own value."""
        for node in self._nodes:
            node.target = OUT_OF_PLACE.get(node.target, node.target) if node.op == "call_function" else node.target
        for part in self._modules.values():
            if getattr(part, "inplace", False):
                setattr(part, "inplace", False)  # noqa: B010  nn.Module declares no such attribute

    def _find_sites(self) -> list[Site]:
        sites = []
        for node in self._nodes:
            if self._is(node, LAYERS) and not self._last(node):
                site = normed = self._follower(node, lambda user: self._is(user, NORMS)) or node
                site = self._follower(normed, self._is_relu) or normed
                module, norm = self._modules[node.target], normed.target if normed is not node else None
                sites.append(Site(node.target, len(module.get_parameter("weight")), site.name, norm))
        return sites

    def _last(self, node) -> bool:
        """Whether no further layer lies between ``node`` and the output: the classifier."""
        return all(user.op == "output" or (not self._is(user, LAYERS) and self._last(user)) for user in node.users)

    def _follower(self, node, accepts):
        """The one node that reads ``node``, if it is accepted."""
        users = list(node.users)
        return users[0] if len(users) == 1 and accepts(users[0]) else None

    def _is_relu(self, node) -> bool:
        return self._is(node, nn.ReLU) or node.target in (nn.functional.relu, torch.relu, "relu")

    def consumers(self, site: Site) -> list[str] | None:
        """Layers that read the site's units channel by channel, or ``None`` if something else reads them too."""
        found, waiting = [], [node for node in self._nodes if node.name == site.site]
        for node in waiting:
            for user in node.users:
                if self._is(user, LAYERS) and getattr(self._modules[user.target], "groups", 1) == 1:
                    found.append(user.target)
                elif self._is(user, CHANNELWISE) or self._is_relu(user) or user.target in (torch.flatten, "flatten"):
                    waiting.append(user)
                else:
                    return None
        return found

    def _is(self, node, kinds) -> bool:
        return node.op == "call_module" and isinstance(self._modules[node.target], kinds)

    @property
    def _output(self) -> str:
        (node,) = [node for node in self._nodes if node.op == "output"]
        return node.args[0].name

    def _masks(self, units: Sequence[int]) -> dict[str, list[int]]:
        masks: dict[str, list[int]] = {}
        for unit in units:
            site, channel = self.locate(unit)
            masks.setdefault(site.site, []).append(channel)
        return masks

    def _run(self, weights: torch.Tensor, inputs: torch.Tensor, masks: dict[str, list[int]] | None = None) -> dict[str, torch.Tensor]:
        """Output of every node by its name."""
        self.net.weights.copy_(weights)
        values: dict[str, torch.Tensor] = {}
        for node in self._nodes:
            if node.op == "placeholder":
                values[node.name] = inputs
            elif node.op != "output":
                values[node.name] = self._evaluate(node, values)
                if masks and node.name in masks:
                    values[node.name] = values[node.name].clone()
                    values[node.name][:, masks[node.name]] = 0
        return values

    def _after(self, site: Site, values: dict[str, torch.Tensor], activation: torch.Tensor) -> torch.Tensor:
        """The network's output when the site's activations are ``activation`` and what does not depend on them stays."""
        changed = {site.site: activation}
        known = collections.ChainMap(changed, values)
        for node in self._nodes:
            if node.op != "output" and node.name not in changed and any(source.name in changed for source in node.all_input_nodes):
                changed[node.name] = self._evaluate(node, known)
        return changed[self._output]

    def _evaluate(self, node, values):
        arguments = map_arg(node.args, lambda source: values[source.name])
        keywords = map_arg(node.kwargs, lambda source: values[source.name])
        if node.op == "call_module":
            return self._modules[node.target](*arguments, **keywords)
        if node.op == "get_attr":
            return operator.attrgetter(node.target)(self.net.module)
        return (
            node.target(*arguments, **keywords)
            if node.op == "call_function"
            else getattr(arguments[0], node.target)(*arguments[1:], **keywords)
        )


def _by_channel(values: torch.Tensor) -> torch.Tensor:
    """[b, units, positions] of maps [b, units, h, w] or of a layer [b, units]."""
    return values.flatten(2) if values.dim() > 2 else values[:, :, None]


def _zero(views: dict[str, torch.Tensor], name: str, channel: int) -> None:
    for part in (f"{name}.weight", f"{name}.bias"):
        if part in views:
            views[part][channel] = 0
