import numpy as np
import pytest
import torch
from PIL import Image

import fucore as fu
from fucore.data.dataset import hash_splits


def archive(path, **changes):
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (20, 6, 6), dtype=np.uint8),
        "y_train": np.arange(20) % 4,
        "x_test": rng.integers(0, 256, (8, 6, 6), dtype=np.uint8),
        "y_test": np.arange(8) % 4,
    }
    arrays |= changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return f"npz:{path}"


def test_embedded_sets_are_real_balanced_and_uint8(mnist5k, digits):
    assert (len(mnist5k.train), len(mnist5k.test), mnist5k.shape) == (4000, 1000, (1, 28, 28))
    assert torch.bincount(mnist5k.train.labels).tolist() == [400] * 10
    assert (len(digits.train), len(digits.test), digits.shape) == (1438, 359, (1, 8, 8))
    assert mnist5k.train.images.dtype == torch.uint8 and mnist5k.train.images.max() == 255
    assert (
        fu.partition._held_elsewhere(
            fu.partition._by_pixels([np.arange(4000), np.arange(4000, 5000)], torch.cat([mnist5k.train.images, mnist5k.test.images]))
        )[0]
        == 0
    )


def test_loading_is_deterministic_and_hashed_by_content(mnist5k):
    again = fu.load("mnist5k")
    assert again.hash == mnist5k.hash
    altered = again.train.images.clone()
    altered[0, 0, 0, 0] ^= 1
    assert hash_splits(fu.Split(altered, again.train.labels), again.test) != again.hash


def test_npz_round_trip_with_colour_either_way(tmp_path):
    colour = np.random.default_rng(1).integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)
    last = fu.load(archive(tmp_path / "a.npz", x_train=colour, x_test=colour[:8]))
    first = fu.load(archive(tmp_path / "b.npz", x_train=colour.transpose(0, 3, 1, 2), x_test=colour[:8].transpose(0, 3, 1, 2)))
    assert last.shape == first.shape == (3, 6, 5)
    assert last.hash == first.hash
    assert np.array_equal(last.train.images.numpy().transpose(0, 2, 3, 1), colour)


def test_subset_keeps_class_shares_and_resize_changes_only_the_size(mnist5k):
    small = fu.load("mnist5k", train_size=500, image_size=14)
    assert small.shape == (1, 14, 14) and torch.bincount(small.train.labels).tolist() == [50] * 10
    assert small.train.images.float().mean().sub(mnist5k.train.images.float().mean()).abs() < 3


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"y_train": None}, "lacks y_train"),
        ({"x_train": np.zeros((20, 6, 6), np.float32)}, "must be uint8"),
        ({"x_train": np.zeros((0, 6, 6), np.uint8), "y_train": np.zeros(0, int)}, "N at least 1"),
        ({"x_train": np.zeros((20, 6, 6, 7), np.uint8)}, "1 or 3 channels"),
        ({"y_train": np.arange(19) % 4}, "one label an image"),
        ({"y_train": np.array([0, 2] * 10)}, r"lacks \[1\]"),
        ({"y_train": np.arange(20) % 4 - 1}, "negative labels"),
        ({"y_train": np.zeros(20, int), "y_test": np.zeros(8, int)}, "single class"),
        ({"y_train": np.linspace(0, 3, 20)}, "whole numbers"),
        ({"y_test": np.arange(8) % 4 + 2}, "outside 0 to 3"),
        ({"x_test": np.zeros((8, 5, 6), np.uint8)}, "must be alike"),
        ({"classes": np.array(["a", "b"])}, "names 2 classes"),
    ],
)
def test_malformed_archives_are_refused_with_file_and_reason(tmp_path, changes, reason):
    with pytest.raises(fu.FucoreError, match=reason) as error:
        fu.load(archive(tmp_path / "bad.npz", **changes))
    assert "bad.npz" in str(error.value)


def test_missing_corrupt_and_pickled_archives(tmp_path):
    with pytest.raises(fu.FucoreError, match="is not a file"):
        fu.load(f"npz:{tmp_path}/none.npz")
    (tmp_path / "noise.npz").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(fu.FucoreError, match="cannot be read"):
        fu.load(f"npz:{tmp_path}/noise.npz")
    mixed = np.empty(20, dtype=object)
    mixed[:] = [np.zeros((n % 3 + 1, 2), np.uint8) for n in range(20)]
    with pytest.raises(fu.FucoreError, match="cannot be read"):
        fu.load(archive(tmp_path / "objects.npz", x_train=mixed))


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("train", 3), ("val", 2)):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(count):
                Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / part / name / f"{number}.png")
    return tmp_path


def test_image_folder(folder):
    data = fu.load(f"folder:{folder}")
    assert data.classes == ("cat", "dog") and data.train.labels.tolist() == [0, 0, 0, 1, 1, 1] and len(data.test) == 4
    first = np.asarray(Image.open(folder / "train" / "cat" / "0.png"))
    assert np.array_equal(data.train.images[0].permute(1, 2, 0).numpy(), first)


def test_bad_image_folders_name_the_file(folder):
    Image.new("RGB", (9, 8)).save(folder / "train" / "dog" / "9.png")
    with pytest.raises(fu.FucoreError, match="9.png is 9 x 8 pixels"):
        fu.load(f"folder:{folder}")
    assert fu.load(f"folder:{folder}", image_size=8).shape == (3, 8, 8)
    (folder / "train" / "dog" / "9.png").write_text("no image")
    with pytest.raises(fu.FucoreError, match="9.png cannot be read as an image"):
        fu.load(f"folder:{folder}")
    (folder / "train" / "dog" / "9.png").unlink()
    (folder / "val" / "bird").mkdir()
    with pytest.raises(fu.FucoreError, match="classes that train lacks: bird"):
        fu.load(f"folder:{folder}")
    with pytest.raises(fu.FucoreError, match="needs the folders train and test"):
        fu.load(f"folder:{folder / 'train'}")


def test_unknown_names_and_missing_downloads_say_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(fu.FucoreError, match="must be one of: mnist5k, digits, rendered-digits, mnist"):
        fu.load("imagenet")
    monkeypatch.setenv("https_proxy", "http://localhost:9")
    monkeypatch.setenv("http_proxy", "http://localhost:9")
    with pytest.raises(fu.FucoreError, match="FUCORE_DATA"):
        fu.load("usps", root=tmp_path)


def test_torchvision_files_on_disk_are_read(tmp_path):
    """MNIST in torchvision's own file format, made here: the loader needs no network once the files are there."""

    from torchvision_files import write_idx

    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("t10k", 10)):
        write_idx(raw / f"{part}-images-idx3-ubyte", rng.integers(0, 256, (count, 28, 28), dtype=np.uint8))
        write_idx(raw / f"{part}-labels-idx1-ubyte", (np.arange(count) % 10).astype(np.uint8))
    data = fu.load("mnist", root=tmp_path)
    assert (len(data.train), len(data.test), data.shape, len(data.classes)) == (30, 10, (1, 28, 28), 10)


@pytest.mark.parametrize("kind", ["mislabel", "corrupt"])
def test_planting_marks_exactly_what_it_changes(mnist5k, kind):
    indices = np.arange(100, 300)
    planted = fu.plant(mnist5k, indices, share=0.1, kind=kind, seed=3)
    assert planted.planted.sum() == 20 and set(np.flatnonzero(planted.planted)) <= set(indices)
    same_label = (planted.train.labels == mnist5k.train.labels).numpy()
    same_image = (planted.train.images == mnist5k.train.images).flatten(1).all(1).numpy()
    changed, kept = (same_label, same_image) if kind == "mislabel" else (same_image, same_label)
    assert np.array_equal(~changed, planted.planted) and kept.all()
    assert torch.equal(planted.train.images.flatten(1).sort().values, mnist5k.train.images.flatten(1).sort().values)
    assert (planted.mean, planted.std) == (mnist5k.mean, mnist5k.std)


def test_planting_nothing_is_refused(mnist5k):
    with pytest.raises(fu.FucoreError, match="less than one of the 5"):
        fu.plant(mnist5k, np.arange(5), share=0.05)
