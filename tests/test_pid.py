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
def test_canonical_gates(name):
    assert tuple(pid.decompose(pid.gate(name), "imin").values()) == pytest.approx(IMIN[name], abs=1e-3)
    assert tuple(pid.decompose(pid.gate(name), "broja").values()) == pytest.approx(BROJA[name], abs=1e-3)
    assert tuple(pid.decompose_imin(pid.gate(name)).values()) == pytest.approx(IMIN[name], abs=1e-3)


def test_closed_form_is_the_librarys_and_terms_add_up():
    joint = np.random.default_rng(0).random((3, 4, 3))
    ours, theirs = pid.decompose_imin(joint), pid.decompose(joint, "imin")
    assert ours == pytest.approx(theirs, abs=1e-9)
    p = joint / joint.sum()
    a, y = p.sum(axis=(1, 2)), p.sum(axis=(0, 1))
    alone = (p.sum(axis=1) * np.log2(p.sum(axis=1) / np.outer(a, y))).sum()
    assert ours["redundancy"] + ours["unique A"] == pytest.approx(alone)


def test_the_correction_takes_away_most_of_the_bias():
    """Independent predictions tell nothing: the plug-in estimate is positive, the corrected one near zero."""
    plain, corrected = [], []
    for seed in range(20):
        a, b, y = np.random.default_rng(seed).integers(0, 5, (3, 200))
        table = pid.estimate(a, b, y, 5, resamples=2, seed=seed)
        plain.append(table["plug-in"].sum())
        corrected.append(table.corrected.sum())
    assert np.mean(plain) > 0.02 and abs(np.mean(corrected)) < 0.3 * np.mean(plain)


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
        pid.decompose(pid.gate("XOR"), "mmi")


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
