"""Units of networks: attribution and silencing."""

import pytest
import torch
from torch import nn

import fucore as fu
from fucore.federation.models import FACTORIES, build
from fucore.federation.units import Units

SHAPE, CLASSES = (3, 16, 16), 10


def network(name, seed=0):
    module = build(name, SHAPE, CLASSES, seed)
    weights = torch.cat([parameter.detach().flatten() for parameter in module.parameters()])
    return Units(module), weights


def pictures(count=4):
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_every_network_has_units_and_is_computed_as_by_itself(name):
    units, weights = network(name)
    module = build(name, SHAPE, CLASSES, 0)
    with torch.no_grad():
        expected = torch.softmax(module(pictures(2)), dim=1)
    assert torch.allclose(units.probabilities(weights, pictures(2)), expected, atol=1e-6)
    assert units.activations(weights, pictures(2)).shape == (2, len(units))
    assert all(units.locate(start) == (site, 0) for start, site in zip(units.starts, units.sites))


def test_sites_follow_normalisation_and_relu_and_stop_before_an_addition():
    units, _ = network("resnet32")
    by_layer = {site.layer: site for site in units.sites}
    assert len(units.sites) == 31, "the stem and two convolutions in each of 15 blocks; the classifier has no units"
    assert (by_layer["3.conv1"].site, by_layer["3.conv1"].norm) == ("_3_relu", "3.norm1")
    assert (by_layer["3.conv2"].site, by_layer["3.conv2"].norm) == ("_3_norm2", "3.norm2")
    units, _ = network("resnet18")
    assert len(units.sites) == 20 and len(units) == 64 + 2 * (2 * 64 + 2 * 128 + 2 * 256 + 2 * 512) + 128 + 256 + 512


@pytest.mark.parametrize("name", ["cnn", "cnn-groupnorm", "vgg9", "resnet32"])
@pytest.mark.long
def test_attributions_of_a_layer_sum_to_what_the_layer_does(name):
    """Completeness: the error falls with the number of steps, faster by the midpoint rule.

    Only of the last layer where there are normalisations: they undo the scaling of all that comes before them.
    """
    units, weights = network(name)
    weights = 0.5 * weights
    inputs, classes = pictures(), torch.tensor([0, 3, 5, 9])
    full = units.probabilities(weights, inputs).gather(1, classes[:, None])[:, 0]
    sites = [len(units.sites) - 1] + [0] * (name == "cnn")
    errors = {}
    for rule, steps in (("right", 4), ("right", 32), ("midpoint", 32)):
        attributions = units.attributions(weights, inputs, classes, steps=steps, rule=rule)
        worst = 0.0
        for place in sites:
            span = range(units.starts[place], units.starts[place] + units.sites[place].units)
            silent = units.probabilities(weights, inputs, silent=list(span)).gather(1, classes[:, None])[:, 0]
            worst = max(worst, float((attributions[:, span].sum(dim=1) - (full - silent)).abs().max()))
        errors[rule, steps] = worst
    assert errors["right", 32] < max(0.4 * errors["right", 4], 1e-5)
    assert errors["midpoint", 32] < 1e-3 and errors["midpoint", 32] <= errors["right", 32] + 1e-6


@pytest.mark.long
def test_scaling_a_layer_is_undone_by_the_normalisation_after_it():
    """Why contributions in networks with GroupNorm miss most of what a layer does, however many steps are taken."""
    units, weights = network("resnet32")
    inputs, classes = pictures(), torch.tensor([0, 3, 5, 9])
    span = range(units.starts[1], units.starts[1] + units.sites[1].units)
    full, silent = (units.probabilities(weights, inputs, silent=some).gather(1, classes[:, None])[:, 0] for some in ((), list(span)))
    found = units.attributions(weights, inputs, classes, steps=20)[:, span].sum(dim=1)
    assert found.abs().max() < 0.1 * (full - silent).abs().max()


@pytest.mark.parametrize("name", ["cnn", "cnn-groupnorm", "resnet32"])
def test_effects_of_single_units_are_what_silencing_them_takes_away(name):
    """Eq. 3 of Huang et al., one unit at a time: P less P with the unit silent, and what its integral comes to."""
    units, weights = network(name)
    inputs, classes = pictures(), torch.tensor([0, 3, 5, 9])
    full = units.probabilities(weights, inputs).gather(1, classes[:, None])[:, 0]
    effects = units.effects(weights, inputs, classes)
    for unit in (0, units.starts[1] + 1, len(units) - 1):
        silent = units.probabilities(weights, inputs, silent=[unit]).gather(1, classes[:, None])[:, 0]
        assert torch.allclose(effects[:, unit], full - silent, atol=1e-6)
    site, values = units.sites[-1], units._run(weights, inputs)
    beta, total = values[site.site], torch.zeros(len(inputs))
    for j in range(200):  # the integral itself, by its midpoints, of the last layer's second unit
        activation = beta.clone()
        activation[:, 1] *= (j + 0.5) / 200
        activation.requires_grad_()
        chosen = torch.softmax(units._after(site, values, activation), dim=1).gather(1, classes[:, None]).sum()
        (gradient,) = torch.autograd.grad(chosen, activation)
        total += (beta * gradient / 200)[:, 1].flatten(1).sum(dim=1) if beta.dim() > 2 else (beta * gradient / 200)[:, 1]
    assert torch.allclose(effects[:, units.starts[-1] + 1], total, atol=1e-4)


def test_attribution_is_exact_for_any_number_of_steps_where_the_output_is_linear(monkeypatch):
    """With a linear head in place of the softmax one step suffices, and each unit's share is its own term."""
    units = Units(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3, bias=False)))
    monkeypatch.setattr(torch, "softmax", lambda logits, dim: logits)
    inputs, classes = torch.rand(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    weights = units.net.weights.clone()
    expected = units.activations(weights, inputs) * units.net.module[2].weight[classes]
    for steps in (1, 7):
        assert torch.allclose(units.attributions(weights, inputs, classes, steps=steps), expected, atol=1e-6)


def test_silencing_nothing_is_the_identity():
    units, weights = network("cnn")
    result, left = units.silence(weights, [])
    assert torch.equal(result, weights) and left == []


@pytest.mark.parametrize("name", ["cnn", "cnn-groupnorm", "cnn-adaptive", "mlp", "vgg9", "resnet32", "resnet18-affine"])
def test_silenced_units_change_nothing_any_more(name):
    """Weights alone do exactly what an activation mask on these units does, for any input."""
    units, weights = network(name)
    inputs = pictures()
    chosen = [start + shift for start, site in zip(units.starts, units.sites) for shift in (0, site.units - 1)]
    silenced, left = units.silence(weights, chosen)
    assert left == [] and not torch.equal(silenced, weights)
    masked = units.probabilities(weights, inputs, silent=chosen)
    assert torch.allclose(units.probabilities(silenced, inputs), masked, atol=1e-6)
    assert torch.allclose(units.probabilities(silenced, inputs, silent=chosen), masked, atol=1e-6)


def test_units_that_only_a_mask_can_silence_are_handed_back():
    """After a normalisation without scale before an addition no weight can make a channel zero."""
    units, weights = network("resnet18")
    places = {site.layer: start for site, start in zip(units.sites, units.starts)}
    inner, last = places["layer1.0.conv1"], places["layer1.0.conv2"]
    silenced, left = units.silence(weights, [inner, last])
    assert left == [last]
    expected = units.probabilities(weights, pictures(), silent=[inner])
    assert torch.allclose(units.probabilities(silenced, pictures()), expected, atol=1e-6)


def test_a_network_that_looks_at_its_input_is_refused():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(x) if x.sum() > 0 else x

    with pytest.raises(fu.FucoreError, match="cannot be told apart"):
        Units(Branches())
