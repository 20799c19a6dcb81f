import pytest
import torch
from torch import nn

import fucore as fu
from fucore.federation.models import FACTORIES, build, initial_bound, to_groupnorm
from fucore.federation.randomness import derived_seed
from fucore.federation.weights import FlatModel


@pytest.mark.parametrize(
    "name, shape, classes, parameters",
    [
        ("resnet18", (3, 224, 224), 10, 11_172_042),
        ("resnet34", (3, 32, 32), 100, 21_311_268),
        ("vgg9", (1, 28, 28), 26, 1_872_346),
        ("cnn", (1, 28, 28), 10, 105_866),
    ],
)
def test_parameter_counts(name, shape, classes, parameters):
    module = build(name, shape, classes, seed=0)
    assert sum(p.numel() for p in module.parameters()) == parameters
    if name.startswith("resnet"):
        norms = [m for m in module.modules() if isinstance(m, nn.GroupNorm)]
        assert {m.num_channels // m.num_groups for m in norms} == {16} and not any(m.affine for m in norms)
        assert {m.num_groups for m in norms} == {4, 8, 16, 32}


@pytest.mark.parametrize("name", FACTORIES)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32)])
def test_every_model_takes_small_images_and_starts_within_its_bounds(name, shape):
    module = build(name, shape, 7, seed=1)
    assert module(torch.zeros(2, *shape)).shape == (2, 7)
    standard = {"resnet32", "resnet18-affine", "convnet"}  # the usual scale 1 and shift 0
    norms = [part for part in module.modules() if name in standard and isinstance(part, nn.GroupNorm)]
    assert all((norm.weight == 1).all() and (norm.bias == 0).all() for norm in norms)
    of_norms = {id(parameter) for norm in norms for parameter in norm.parameters()}
    for parameter in (parameter for parameter in module.parameters() if id(parameter) not in of_norms):
        bound = initial_bound(parameter.shape)
        assert parameter.abs().max() <= bound
        if parameter.numel() > 1000:
            assert parameter.abs().max() > 0.99 * bound


def test_building_is_seeded_and_leaves_torch_random_state_alone():
    before = torch.get_rng_state()
    one, same, other = (FlatModel(build("cnn", (1, 8, 8), 10, seed)).weights for seed in (3, 3, 4))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)
    assert derived_seed(1, 2) != derived_seed(2, 1)


def test_flat_vectors_are_the_module():
    module = build("vgg9", (1, 8, 8), 10, seed=0)
    expected = torch.cat([p.detach().reshape(-1) for p in module.parameters()])
    net = FlatModel(module)
    assert torch.equal(net.weights, expected)
    net.weights.mul_(2)
    assert all(torch.equal(p, view) for p, view in zip(module.parameters(), net.layout.views(2 * expected).values()))
    net.differentiate(module(torch.ones(1, 1, 8, 8)).sum())
    module(torch.ones(1, 1, 8, 8)).sum().backward()
    views = net.layout.views(net.gradient)
    assert all(torch.equal(p.grad, views[name]) for name, p in module.named_parameters()) and net.gradient.any()
    assert net.layout.size == len(expected)


def test_batchnorm_is_refused_and_converted():
    module = nn.Sequential(nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.Flatten(), nn.Linear(16 * 36, 10))
    with pytest.raises(fu.FucoreError, match="to_groupnorm"):
        FlatModel(module)
    assert FlatModel(to_groupnorm(module)).module(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize(
    "model, sentence",
    [("resnet99", "must be one of: cnn"), (3, "must be one of"), (lambda shape, classes: 5, "must return a torch.nn.Module")],
)
def test_bad_models_are_refused(digits, model, sentence):
    with pytest.raises(fu.FucoreError, match=sentence):
        fu.Federation(digits, fu.partition.iid(digits.train.labels, 2), model, store=None).train(1)


def test_doubles_and_empty_models_are_refused():
    with pytest.raises(fu.FucoreError, match="no parameters"):
        FlatModel(nn.Flatten())
    with pytest.raises(fu.FucoreError, match="float32"):
        FlatModel(nn.Linear(2, 2).double())


def test_a_users_factory_trains_and_is_told_apart_from_others(digits, tmp_path):
    def narrow(shape, classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))

    clients = fu.partition.iid(digits.train.labels, 2)
    mine = fu.Federation(digits, clients, narrow, store=fu.Store(tmp_path)).train(1)
    assert mine.weights.numel() == 650 and mine.key != fu.Federation(digits, clients, "mlp", store=fu.Store(tmp_path)).train(1).key
