import json
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


@pytest.mark.long
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
        (lambda: Partition(()), "at least one client"),
        (lambda: Partition(([0, 1], [2.0])), "client 1 of this partition is float64"),
        (lambda: Partition(([np.nan],)), "client 0 of this partition is float64"),
        (lambda: Partition((np.array([True, False, True]),)), "client 0 of this partition is bool"),
        (lambda: Partition(([True, 5],)), "client 0 of this partition mixes booleans and numbers"),
        (lambda: Partition(([[0, 1], [2, 3]],)), r"client 0 of this partition is int64 of shape \(2, 2\)"),
        (lambda: Partition(([[0], [1, 2]],)), "client 0 of this partition is .* without gaps"),
        (lambda: Partition((np.ma.array([1, 2], mask=[0, 1]),)), "without gaps"),
        (lambda: Partition((["1"],)), "client 0 of this partition is <U1"),
        (lambda: Partition(([2**63],)), "client 0 of this partition"),
        (lambda: Partition((3, 4)), r"client 0 of this partition is int64 of shape \(\)"),
        (lambda: Partition({0: [1]}), "indices is .*, but must be a list with an array"),
        (lambda: Partition(([0],), name=3), "name is 3"),
        (lambda: Partition(([0],), parameters=[1]), "parameters is .*dict"),
        (lambda: Partition(([0, 3000],)).counts(LABELS), "names example 3000, but there are only 3000 labels"),
        (lambda: Partition(([0, 3000],)).leak_audit(np.zeros((3000, 1, 2, 2))), "only 3000 images"),
        (lambda: Partition(([0],)).leak_audit(5), "images has shape"),
        (lambda: iid(LABELS / 2, 5), "labels is float64"),
        (lambda: shards(LABELS[:, None], 5), "labels is int64 of shape"),
        (lambda: one_class_per_client(LABELS - 1, 10), "labels holds -1"),
        (lambda: dirichlet(LABELS.astype(str), 5, 0.5), "labels is <U"),
        (lambda: dirichlet(LABELS, 5, 0.5, min_examples="1"), "min_examples is '1'"),
        (lambda: iid([], 1), "labels must be a non-empty list"),
        (lambda: overlapping(LABELS, 5, 0), "examples_per_client is 0"),
        (lambda: iid(LABELS, True), "clients is True"),
        (lambda: iid(LABELS, np.array([2, 3])), "clients is array"),
    ],
)
def test_impossible_settings_say_what_is_allowed(make, sentence):
    with pytest.raises(fu.FucoreError, match=sentence) as error:
        make()
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_a_partition_is_no_view_of_what_it_was_made_of_and_a_change_is_noticed():
    mine, settings = np.array([3, 1, 2]), {"by": "hand"}
    partition = Partition((mine, np.array([0], np.uint8)), parameters=settings)
    before = partition.hash
    mine[0], settings["by"] = 9, "chance"
    assert partition.indices[0].tolist() == [1, 2, 3] and partition.parameters == {"by": "hand"}
    assert Partition(partition.indices).hash == before
    partition.check_unchanged()
    partition.indices[0][0] = 7
    with pytest.raises(fu.FucoreError, match="this partition was changed after it had been used"):
        partition.check_unchanged()
    assert Partition(np.array([[1, 2], [3, 4]])).sizes.tolist() == [2, 2], "a row for each client"


def test_numbers_of_numpy_and_pytorch_are_as_good_as_pythons():
    import torch

    plain = dirichlet(LABELS, 5, 0.5, seed=3)
    for whole in (np.int64, np.uint8, torch.tensor):
        again = dirichlet(torch.from_numpy(LABELS), whole(5), np.float64(0.5), seed=whole(3))
        assert again.hash == plain.hash and repr(again) == repr(plain)
    assert dirichlet(LABELS, 5, 1.7e308).sizes.sum() == len(LABELS)


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


@pytest.mark.parametrize(
    "change",
    [
        {"indices": [[0.5]]},
        {"indices": [[0, 0]]},
        {"indices": [[10**6]]},
        {"indices": "012"},
        {"indices": None},
        {"indices": {"0": [1]}},
        {"name": 5},
        {"parameters": [1, 2]},
        {"parameters": None},
    ],
    ids=str,
)
def test_a_damaged_published_split_is_told_by_its_name(tmp_path, digits, change):
    file = tmp_path / "split.json"
    iid(digits.train.labels, 3).save(file, digits)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(fu.FucoreError, match="split.json is damaged: ") as error:
        Partition.load(file, digits)
    assert str(error.value).endswith(".")


def test_what_cannot_be_published_is_told(tmp_path, digits):
    for act in (
        lambda: Partition(([10**6],)).save(tmp_path / "a.json", digits),
        lambda: Partition(([0],), parameters={"by": object()}).save(tmp_path / "a.json", digits),
        lambda: iid(digits.train.labels, 3).save(tmp_path, digits),
        lambda: iid(digits.train.labels, 3).save(5, digits),
        lambda: iid(digits.train.labels, 3).save(tmp_path / "a.json", digits.train),
        lambda: Partition.load(5, digits),
        lambda: Partition.load(tmp_path / "none.json", digits),
    ):
        with pytest.raises(fu.FucoreError):
            act()
    assert not (tmp_path / "a.json").exists()
    counted = Partition(([0],), parameters={"clients": np.int64(1), "shares": np.array([0.5])})
    counted.save(tmp_path / "a.json", digits)
    assert Partition.load(tmp_path / "a.json", digits).parameters == {"clients": 1, "shares": [0.5]}


def test_what_cannot_be_written_is_one_sentence_and_leaves_the_old_file(tmp_path, digits, monkeypatch):
    """Splits, scores and reports are written whole or not at all."""
    from fucore.evaluation import gme

    folder = tmp_path / "folder"
    folder.mkdir()
    writers = [
        lambda path: fu.partition.iid(digits.train.labels, 2).save(path, digits),
        lambda path: gme.save_scores(path, digits, [1, 2], [0.5, 0.25]),
    ]
    for write in writers:
        with pytest.raises(fu.FucoreError, match="cannot be written"):
            write(folder)
        path = tmp_path / "kept.json"
        write(path)
        before = path.read_bytes()
        with monkeypatch.context() as full:
            full.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            with pytest.raises(fu.FucoreError, match=r"cannot be written \(No space left on device\)"):
                write(path)
        assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir() if each.is_file()] == ["kept.json"]
        path.unlink()
