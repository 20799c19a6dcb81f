import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

import fucore as fu
from fucore.data.dataset import hash_splits
from fucore.data.leaks import by_pixels, held_elsewhere


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
        held_elsewhere(by_pixels([np.arange(4000), np.arange(4000, 5000)], torch.cat([mnist5k.train.images, mnist5k.test.images])))[0] == 0
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
        ({"classes": np.array(["a", "b", "c", "a"])}, "names a class twice"),
        ({"classes": np.array("abcd")}, "must be a list of names"),
        ({"x_train": np.zeros((20, 6, 6), np.uint16)}, r"x_train is uint16.*\(x / 257\).round"),
        ({"x_test": np.zeros((8, 6, 6), np.int64)}, r"x_test is int64.*in 0..255 write x.astype"),
        ({"x_train": np.zeros((20, 6, 6), bool)}, r"x_train is bool.*\(255 \* x\)"),
        ({"x_train": np.zeros((20, 3, 6, 3), np.uint8)}, "channels may come first or last"),
        ({"y_train": np.array(["cat", "dog"] * 10)}, "whole numbers; numpy.unique"),
        ({"y_test": np.full(8, np.nan)}, "y_test is float64"),
        ({"y_train": np.arange(20) % 2 == 0}, "y_train is bool"),
        ({"y_train": np.array([0, 2**63] * 10, np.uint64)}, "has the label 9223372036854775808"),
        ({"y_train": np.eye(4, dtype=int)[np.arange(20) % 4]}, "one label an image"),
        ({"y_test": np.arange(8) - 1}, "outside 0 to 3"),
    ],
)
def test_malformed_archives_are_refused_with_file_and_reason(tmp_path, changes, reason):
    with pytest.raises(fu.FucoreError, match=reason) as error:
        fu.load(archive(tmp_path / "bad.npz", **changes))
    assert ("bad.npz" in str(error.value) or "classes" in changes) and str(error.value).endswith(".")


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
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(fu.FucoreError, match="one.npy is a single array"):
        fu.load(f"npz:{tmp_path}/one.npy")
    for place in (archive(tmp_path / "cut.npz"), archive(tmp_path / "flipped.npz")):
        file = tmp_path / place.rpartition("/")[2]
        content = bytearray(file.read_bytes())
        content[200:220] = bytes(20)
        file.write_bytes(content[:-30] if file.name == "cut.npz" else content)
        with pytest.raises(fu.FucoreError, match="cannot be read"):
            fu.load(place)


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


def test_pickled_objects_are_never_loaded(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=np.array([Bomb()], dtype=object), y_train=[0], x_test=[0], y_test=[0])
    with pytest.raises(fu.FucoreError, match="cannot be read as a NumPy archive of plain arrays"):
        fu.load(f"npz:{tmp_path}/a.npz")


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


@pytest.mark.long
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


PIXELS = np.random.default_rng(2).integers(0, 256, (12, 5, 4, 3), dtype=np.uint8)
KINDS = np.arange(12) % 3


def test_arrays_become_a_data_set_whatever_holds_them():
    made = fu.from_arrays(PIXELS, KINDS, PIXELS[:6], KINDS[:6], classes=["a", "b", "c"], name="mine")
    assert (made.name, made.shape, made.classes, len(made.test)) == ("mine", (3, 5, 4), ("a", "b", "c"), 6)
    first = torch.from_numpy(PIXELS.transpose(0, 3, 1, 2).copy())
    again = fu.from_arrays(first, torch.from_numpy(KINDS).to(torch.uint8), first[:6], KINDS[:6].tolist())
    assert again.hash == made.hash and torch.equal(made.train.images, first) and again.classes == ("0", "1", "2")
    assert fu.from_arrays(PIXELS[..., 0], KINDS, PIXELS[:6, ..., 0], KINDS[:6]).shape == (1, 5, 4)
    assert fu.from_arrays(PIXELS[:, ::-1], KINDS, PIXELS[:6], KINDS[:6]).train.images.is_contiguous()


def test_a_data_set_keeps_its_own_copy_of_the_arrays():
    pixels, tensor = PIXELS.copy(), torch.from_numpy(PIXELS.copy())
    made = [fu.from_arrays(each, KINDS, each[:6], KINDS[:6]) for each in (pixels, tensor)]
    pixels[:], tensor[:] = 0, 0
    split = fu.Split(PIXELS.transpose(0, 3, 1, 2), KINDS)
    assert all(torch.equal(each.train.images, split.images) for each in made) and split.images.data_ptr() != PIXELS.ctypes.data


def test_channels_are_never_guessed():
    square = PIXELS[:, :3]  # [12, 3, 4, 3]
    with pytest.raises(fu.FucoreError, match="may come first or last: pass the arrays to fu.from_arrays with channels='first' or 'last'"):
        fu.from_arrays(square, KINDS, square, KINDS)
    last, first = (fu.from_arrays(square, KINDS, square, KINDS, channels=place) for place in ("last", "first"))
    assert last.shape == (3, 3, 4) and first.shape == (3, 4, 3)
    assert np.array_equal(last.train.images.permute(0, 2, 3, 1).numpy(), square) and np.array_equal(first.train.images.numpy(), square)
    with pytest.raises(fu.FucoreError, match="must have 1 or 3 channels first"):
        fu.from_arrays(PIXELS, KINDS, PIXELS, KINDS, channels="first")
    with pytest.raises(fu.FucoreError, match="channels is 'middle', but must be one of: first, last"):
        fu.from_arrays(PIXELS, KINDS, PIXELS, KINDS, channels="middle")


def small(planted=None, labels=KINDS):
    split = fu.Split(PIXELS.transpose(0, 3, 1, 2), labels)
    return fu.Dataset("small", split, split, ("a", "b", "c"), (1, 2.0, 3), (4.0, 5.0, np.float32(6)), planted)


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: fu.Split(PIXELS, KINDS[:5]), "there are 5 labels for 12 images"),
        (lambda: fu.Split(PIXELS[0], KINDS), "images are uint8 of shape"),
        (lambda: fu.Split(torch.zeros(3, 1, 2, 2), [0, 1, 2]), "images are float32 of shape"),
        (lambda: fu.Split(PIXELS, KINDS / 2), "labels is float64 of shape"),
        (lambda: fu.Split(PIXELS, KINDS > 0), "labels is bool"),
        (lambda: fu.Split(PIXELS, torch.zeros(12)), "labels is float32"),
        (lambda: fu.Split(PIXELS, KINDS, [4] * 11), "there are 11 sides for 12 images"),
        (lambda: small(labels=KINDS + 1), "train has the label 3, outside 0 to 2"),
        (lambda: small(labels=KINDS - 1), "train has the label -1, which only examples made unreadable have|test has the label -1"),
        (lambda: small(planted=[True] * 11), "planted is bool of shape"),
        (lambda: small(planted=[1] * 12), "planted is int64 of shape"),
        (lambda: dataclasses.replace(small(), mean=(1.0,)), "mean is .* one number for each channel"),
        (lambda: dataclasses.replace(small(), std=(0.0, 1.0, 1.0)), r"std is 0.0, but must be a number in \(0, 255\]"),
        (lambda: dataclasses.replace(small(), mean=(np.nan, 1.0, 1.0)), "mean is nan"),
        (lambda: dataclasses.replace(small(), classes=("a", "a", "b")), "names a class twice"),
        (lambda: dataclasses.replace(small(), classes="abc"), "classes is 'abc', but must be a list of names"),
        (lambda: dataclasses.replace(small(), name=None), "name is None"),
        (lambda: dataclasses.replace(small(), test=PIXELS), "test is .* but must be fu.Split"),
        (lambda: dataclasses.replace(small(), test=small().test.take([])), "test has no example"),
        (lambda: dataclasses.replace(small(), test=fu.Split(PIXELS, KINDS)), "they must be alike"),
        (lambda: dataclasses.replace(small(), train=fu.Split(small().train.images, KINDS, [9] * 12)), "sides outside 1 to 4"),
        (lambda: small().only_classes("ab"), "must be a list of names"),
        (lambda: small().only_classes(["a", "a"]), "names a class twice"),
        (lambda: small().sample(3, seed=-1), "seed is -1"),
        (lambda: small().sample(True), "train_size is True"),
        (lambda: small().resized(2.0), "image_size is 2.0"),
        (lambda: fu.load("digits", classes="01"), "must be a list of names"),
        (lambda: fu.load("digits", seed="x"), "seed is 'x'"),
        (lambda: fu.load("digits", root=5), "root is 5"),
        (lambda: fu.load("npz:" + "x" * 5000), "cannot be the path of data"),
        (lambda: fu.load("folder:~nobody-of-this-name/x"), "cannot be the path of data"),
    ],
)
def test_what_is_no_data_set_is_refused_at_once(make, sentence):
    with pytest.raises(fu.FucoreError, match=sentence) as error:
        make()
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


@pytest.mark.parametrize(
    "use",
    [small().train.take, small().without, lambda which: fu.plant(small(), which, share=1.0)],
    ids=["take", "without", "plant"],
)
def test_masks_have_the_right_length_and_indices_are_whole(use):
    for wrong in (KINDS[:5] > 0, np.ones(13, bool), [0.0, 1.0], [np.nan], [12], [-1], "0", [[0], [1]], [[0], [1, 2]], 3, [True, 2], None):
        with pytest.raises(fu.FucoreError, match="must be|must have"):
            use(wrong)
    mask = KINDS == 1
    for right in (
        mask,
        torch.from_numpy(mask),
        mask.tolist(),
        np.flatnonzero(mask),
        np.flatnonzero(mask).tolist(),
        np.flatnonzero(mask).astype("u1"),
    ):
        result = use(right)
        if isinstance(result, fu.Split):
            assert torch.equal(result.images, small().train.images[torch.from_numpy(mask)])
        else:
            assert np.array_equal((result.train.labels != torch.from_numpy(KINDS)).numpy(), mask)


def test_indices_of_zeros_and_ones_are_no_mask():
    assert small().train.take([0, 1, 1]).labels.tolist() == [0, 1, 1]
    with pytest.raises(fu.FucoreError, match="names an example twice"):
        fu.plant(small(), (KINDS == 1).astype(int), share=1.0)


def test_planted_marks_go_with_their_examples():
    planted = fu.plant(small(), np.arange(12), share=0.5)
    assert not planted.planted.flags.writeable
    pixels = planted.train.images.flatten(1)
    for part in (planted.sample(6), planted.only_classes(["c", "a"])):
        where = [int((pixels == image).all(1).nonzero()) for image in part.train.images.flatten(1)]
        assert np.array_equal(part.planted, planted.planted[where])
    with pytest.raises(fu.FucoreError, match="planted or made unreadable already"):
        fu.plant(planted, np.arange(12), share=0.5)
    rest = fu.plant(planted, np.flatnonzero(~planted.planted), share=1.0)
    assert rest.planted.all() and (rest.train.labels != torch.from_numpy(KINDS)).all()


def test_an_image_that_shuffling_cannot_change_is_not_called_corrupt():
    flat = dataclasses.replace(small(), train=fu.Split(np.full((12, 3, 5, 4), 7, np.uint8), KINDS))
    with pytest.raises(fu.FucoreError, match="looks the same when its pixels are shuffled"):
        fu.plant(flat, [3], share=1.0, kind="corrupt")


def test_images_of_different_sizes_are_resized_and_shuffled_each_within_its_own():
    images = np.zeros((4, 1, 6, 6), np.uint8)
    images[:2], images[2:, :, :3, :3] = 100, np.arange(9).reshape(3, 3) + 50
    split = fu.Split(images, [0, 1, 0, 1], [6, 6, 3, 3])
    data = fu.Dataset("uneven", split, split, ("a", "b"), (1.0,), (1.0,))
    resized = data.resized(6).train
    assert resized.sides is None and resized.images[:2].eq(100).all() and resized.images[2:].min() == 50
    shuffled = fu.plant(data, [2], share=1.0, kind="corrupt").train.images[2, 0]
    assert sorted(shuffled[:3, :3].flatten().tolist()) == list(range(50, 59)) and shuffled.sum() == images[2].sum()
    swapped = data.only_classes(["b", "a"])
    pixels = [100.0] * 72 + list(range(50, 59)) * 2
    assert swapped.mean == pytest.approx((np.mean(pixels),), rel=1e-4), "the unused places are no pixels"


def test_what_is_unreadable_is_black_and_stays_out_of_classes():
    blank = small().without(KINDS == 0)
    assert blank.train.labels[KINDS == 0].eq(-1).all() and not blank.train.images[KINDS == 0].any() and blank.hash == small().hash
    assert blank.without([1]).train.labels.tolist().count(-1) == 5
    assert len(blank.only_classes(["b", "c"]).train) == 8
    with pytest.raises(fu.FucoreError, match="planted or made unreadable already"):
        fu.plant(blank, [0], share=1.0)
