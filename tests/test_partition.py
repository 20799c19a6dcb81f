import time

import numpy as np
import pytest

import fucore as fu
from fucore.data.partition import Partition, dirichlet, iid, one_class_per_client, overlapping, shards

LABELS = np.random.default_rng(0).integers(0, 10, 3000)


@pytest.mark.parametrize(
    "partition",
    [
        iid(LABELS, 7),
        dirichlet(LABELS, 10, 0.5),
        dirichlet(LABELS, 500, 0.01),
        dirichlet(LABELS, 10, np.inf),
        one_class_per_client(LABELS, 10),
        one_class_per_client(LABELS, 23),
        shards(LABELS, 15, 2),
    ],
    ids=repr,
)
def test_disjoint_complete_and_deterministic(partition):
    everyone = np.concatenate(partition.indices)
    assert np.array_equal(np.sort(everyone), np.arange(len(LABELS)))
    assert partition.leak_audit().disjoint and not partition.leak_audit().by_index.any()
    maker = {"iid": iid, "dirichlet": dirichlet, "one class per client": one_class_per_client, "shards": shards}[partition.name]
    assert maker(LABELS, **partition.parameters).hash == partition.hash
    if repr(partition) != repr(one_class_per_client(LABELS, 10)):  # with a client a class there is nothing to draw
        assert maker(LABELS, **{**partition.parameters, "seed": 9}).hash != partition.hash


def test_dirichlet_goes_from_one_holder_to_even_shares():
    uneven, even = dirichlet(LABELS, 10, 0.01).counts(LABELS), dirichlet(LABELS, 10, np.inf).counts(LABELS)
    assert (uneven.max(axis=0) / uneven.sum(axis=0)).mean() > 0.85
    assert (even.max(axis=0) - even.min(axis=0)).max() <= 1


def test_dirichlet_has_the_variance_of_its_distribution():
    """Share of a class at a client: mean 1/n, variance (1/n)(1-1/n)/(n alpha+1)."""
    labels, n, alpha = np.zeros(1000, int), 5, 0.5
    share = np.array([dirichlet(labels, n, alpha, seed=s, min_examples=0).sizes / 1000 for s in range(400)])
    assert share.mean() == pytest.approx(1 / n, abs=1e-3)
    assert share.var() == pytest.approx((1 / n) * (1 - 1 / n) / (n * alpha + 1), rel=0.1)


def test_many_clients_small_alpha_is_quick_and_leaves_nobody_below_the_minimum():
    began = time.perf_counter()
    partition = dirichlet(LABELS, 500, 0.01, min_examples=3)
    assert partition.sizes.min() >= 3 and partition.sizes.sum() == len(LABELS)
    assert time.perf_counter() - began < 10


def test_one_class_per_client_and_shards_limit_classes():
    assert ((one_class_per_client(LABELS, 23).counts(LABELS) > 0).sum(axis=1) == 1).all()
    balanced = np.repeat(np.arange(10), 100)
    assert ((shards(balanced, 10, 2).counts(balanced) > 0).sum(axis=1) <= 2).all()


def test_overlapping_leaks_what_the_algebra_says():
    """Share of a client's examples that another client drew too: 1-(1-1/n)^(n-1) = 61.3 % for n = 10."""
    leak = overlapping(np.zeros(20_000, int), 10).leak_audit()
    assert not leak.disjoint
    assert leak.by_index.mean() == pytest.approx(1 - 0.9**9, abs=0.01)
    assert "61" in str(leak) or "62" in str(leak)


def test_pixel_copies_are_found_across_clients():
    images = np.random.default_rng(0).integers(0, 256, (6, 1, 4, 4), dtype=np.uint8)
    images[5] = images[0]
    audit = Partition((np.array([0, 1]), np.array([2, 3]), np.array([4, 5]))).leak_audit(images)
    assert audit.by_index.tolist() == [0, 0, 0] and audit.by_pixels.tolist() == [0.5, 0, 0.5]
    assert list(audit.table().columns) == ["same example elsewhere", "same pixels elsewhere"]


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: dirichlet(LABELS, 10, -1), r"alpha is -1, but must be a number in \[0.01, inf\]"),
        (lambda: dirichlet(LABELS, 10, "x"), "alpha is 'x'"),
        (lambda: dirichlet(LABELS, 10, float("nan")), "alpha is nan"),
        (lambda: dirichlet(LABELS, 0, 0.5), "clients is 0"),
        (lambda: dirichlet(LABELS, 5000, 0.5), "clients is 5000"),
        (lambda: dirichlet(LABELS, 1000, 0.5, min_examples=4), "need 4000, but there are 3000"),
        (lambda: iid(LABELS, 2.5), "clients is 2.5"),
        (lambda: iid(LABELS, 5, seed=-1), "seed is -1"),
        (lambda: one_class_per_client(LABELS, 9), "needs at least 10"),
        (lambda: shards(LABELS, 10, 0), "shards_per_client is 0"),
        (lambda: Partition((np.array([1, 1]),)), "holds an example twice"),
        (lambda: Partition((np.array([-1]),)), "negative index"),
        (lambda: Partition((np.array([], int),)), "every client of this partition is empty"),
    ],
)
def test_impossible_settings_say_what_is_allowed(make, sentence):
    with pytest.raises(fu.FucoreError, match=sentence):
        make()


def test_published_split_round_trip(tmp_path, digits, mnist5k):
    partition = dirichlet(digits.train.labels, 6, 0.3, seed=2)
    partition.save(tmp_path / "split.json", digits)
    again = Partition.load(tmp_path / "split.json", digits)
    assert again.hash == partition.hash and again.parameters == partition.parameters
    even = dirichlet(digits.train.labels, 6, np.inf)
    even.save(tmp_path / "even.json", digits)
    assert (
        "Infinity" not in (tmp_path / "even.json").read_text()
        and Partition.load(tmp_path / "even.json", digits).parameters == even.parameters
    )
    with pytest.raises(fu.FucoreError, match="was made for other data"):
        Partition.load(tmp_path / "split.json", mnist5k)
    (tmp_path / "split.json").write_text("{")
    with pytest.raises(fu.FucoreError, match="cannot be read"):
        Partition.load(tmp_path / "split.json", digits)
