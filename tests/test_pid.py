"""Partial information decomposition and removal by influence: known answers."""

import numpy as np
import pytest
import torch

import fucore as fu
from fucore.analysis import influence, pid

# redundancy, unique A, unique B, synergy
IMIN = {"RDN": (1, 0, 0, 0), "UNQ": (1, 0, 0, 1), "XOR": (0, 0, 0, 1), "AND": (0.3113, 0, 0, 0.5), "SUM": (0.5, 0, 0, 1)}
BROJA = {"RDN": (1, 0, 0, 0), "UNQ": (0, 1, 1, 0), "XOR": (0, 0, 0, 1), "AND": (0.3113, 0, 0, 0.5), "SUM": (0.5, 0, 0, 1)}


@pytest.mark.parametrize("name", pid.GATES)
@pytest.mark.long
def test_canonical_gates(name):
    for measure, expected in (("imin", IMIN), ("broja", BROJA)):
        assert tuple(pid.decompose(pid.gate(name), measure).values()) == pytest.approx(expected[name], abs=1e-4)
        if pid.gate(name).shape == (2, 2, 2):
            assert pid.decompose_binary(pid.gate(name), measure) == pytest.approx(expected[name], abs=1e-3)


@pytest.mark.parametrize("measure", ["imin", "broja"])
@pytest.mark.long
def test_many_binary_decompositions_at_once_are_those_of_each_and_add_up(measure):
    """Two algorithms for BROJA, bisection and projections in turn; ``dit`` for I_min, whose optimiser for BROJA starts at random."""
    import dit

    rng = np.random.default_rng(0)
    joints = np.concatenate([rng.random((6, 2, 2, 2)), rng.integers(0, 2, (30, 2, 2, 2)), rng.random((4, 2, 2, 2)) ** 8])
    joints = joints[joints.sum(axis=(1, 2, 3)) > 0]
    ours = pid.decompose_binary(joints, measure)
    for joint, terms in list(zip(joints, ours))[:12]:
        assert terms == pytest.approx(list(pid.decompose(joint, measure).values()), abs=5e-5)
        if measure == "imin":
            places, values = np.argwhere(joint > 0).astype(str), joint[joint > 0] / joint.sum()
            lattice = dit.pid.PID_WB(dit.Distribution([tuple(place) for place in places], values.tolist()))
            assert terms == pytest.approx([float(lattice[node]) for node in (((0,), (1,)), ((0,),), ((1,),), ((0, 1),))], abs=1e-9)
    p = joints / joints.sum(axis=(1, 2, 3), keepdims=True)
    for first, second, axis in ((0, 1, 2), (0, 2, 1)):
        pair = p.sum(axis=axis)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = pair * np.log2(pair / (pair.sum(axis=2, keepdims=True) * pair.sum(axis=1, keepdims=True)))
        assert ours[:, first] + ours[:, second] == pytest.approx(np.nansum(terms, axis=(1, 2)), abs=1e-9)


def test_broja_is_the_least_information_that_a_fine_grid_finds():
    rng = np.random.default_rng(1)
    joints = np.concatenate([rng.random((3, 2, 2, 2)), rng.integers(0, 3, (9, 2, 2, 2))])
    for joint, terms in zip(joints, pid.decompose_binary(joints)):
        p = joint / joint.sum()
        label, of_both = p.sum((0, 1)), terms.sum()
        a, b = p.sum(1)[1], p.sum(0)[1]
        grids = np.meshgrid(*(np.linspace(low, high, 60) for low, high in zip(np.maximum(0, a + b - label), np.minimum(a, b))))
        both = np.stack([grid.ravel() for grid in grids], axis=1)
        q = np.clip(np.stack([label - a - b + both, b - both, a - both, both], axis=1), 0, None)
        least = np.min([mutual(each) for each in q])
        assert of_both - terms[3] == pytest.approx(least, abs=2e-3) and of_both - terms[3] <= least + 1e-6


def mutual(pair):
    """I(S;Y) of p(s, y) in bits."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nansum(pair * np.log2(pair / np.outer(pair.sum(1), pair.sum(0))))


def test_two_independent_bits_that_tell_equally_much_are_unique_by_broja_only():
    """Why the federation is decomposed by BROJA: I_min gives the weaker of two unrelated sources nothing of its own."""
    joint = np.zeros((2, 2, 2))
    for first in (0, 1):
        for second in (0, 1):
            for y in (0, 1):
                joint[first, second, y] = (0.9 if first == y else 0.1) * (0.8 if second == y else 0.2) / 2
    joint[1, :, :] += 0.02
    imin, broja = (pid.decompose_binary(joint, measure) for measure in ("imin", "broja"))
    assert imin.sum() == pytest.approx(broja.sum()) and imin[2] < 1e-3 <= broja[2] + 1e-3


@pytest.mark.long
def test_the_correction_takes_away_most_of_the_bias_of_every_term():
    """Independent predictions tell nothing: plug-in estimates of the terms are positive, corrected ones near zero."""
    tables = []
    for seed in range(30):
        a, b, y = np.random.default_rng(seed).integers(0, 5, (3, 300))
        tables.append(pid.estimate(a, b, y, 5, resamples=2, seed=seed)[["plug-in", "corrected"]])
    mean = sum(tables) / len(tables)
    assert mean["plug-in"].sum() > 0.02 and abs(mean.corrected.sum()) < 0.3 * mean["plug-in"].sum()
    for term in ("unique A", "unique B", "synergy"):
        assert abs(mean.corrected[term]) < 0.6 * mean["plug-in"][term], term


def test_estimates_are_seeded_have_intervals_and_refuse_nonsense():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 500)
    a, b = (np.where(rng.random(500) < share, y, rng.integers(0, 3, 500)) for share in (0.9, 0.5))
    table = pid.estimate(a, b, y, 3)
    assert table.equals(pid.estimate(a, b, y, 3)) and (table.low <= table.high).all()
    assert table.corrected["unique A"] > table.high["unique B"], "the better source has more of its own"
    with pytest.raises(fu.FucoreError, match="of one length"):
        pid.estimate(a, b[:5], y, 3)
    with pytest.raises(fu.FucoreError, match="measure is 'mmi'"):
        pid.estimate(a, b, y, 3, measure="mmi")


# ---- influence


def regression(n=120, p=4, classes=3):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(n, p, generator=generator)
    labels = (inputs @ torch.randn(p, classes, generator=generator) + torch.randn(n, classes, generator=generator)).argmax(1)
    return influence.Logistic(inputs, labels, classes)


def test_conjugate_gradients_solve():
    matrix = torch.randn(30, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrix, target = matrix @ matrix.T + torch.eye(30), torch.arange(30.0, dtype=torch.float64)
    assert torch.allclose(influence.conjugate_gradient(lambda v: matrix @ v, target, most=200), torch.linalg.solve(matrix, target))


def test_gradient_and_hessian_are_those_of_the_loss():
    model, chosen = regression(), np.arange(50)
    theta = torch.randn(15, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def loss(theta):
        logits = model.inputs[chosen] @ theta.view(model.shape)
        return torch.nn.functional.cross_entropy(logits, model.one_hot[chosen].argmax(1), reduction="sum") + model.ridge / 2 * theta @ theta

    assert float(loss(theta)) == pytest.approx(model.loss(theta, chosen))
    assert torch.allclose(torch.func.grad(loss)(theta), model.gradient(theta, chosen) + model.ridge * theta)
    v = torch.ones(15, dtype=torch.float64)
    assert torch.allclose(torch.func.hessian(loss)(theta) @ v, model.hessian_product(theta, chosen)(v))


def test_a_newton_step_is_nearly_exact_for_one_example_and_misses_more_for_many():
    model = regression()
    order = np.random.default_rng(0).permutation(120)
    table = influence.removal_remainder(model, {"one": order[:1], "tenth": order[:12], "half": order[:60]})
    assert (table.remainder.diff().dropna() > 0).all() and table.remainder[0] < 0.05 < table.remainder[2]
    with pytest.raises(fu.FucoreError, match="and not all"):
        influence.removal_remainder(model, {"all": order})
