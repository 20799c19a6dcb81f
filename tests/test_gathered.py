"""Data sets of other libraries, and clients that a column names.

What needs the optional package ``datasets`` runs where it is installed; what happens without it is tested everywhere.
"""

import importlib.util
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import fucore as fu

RNG = np.random.default_rng(0)
GREY, COLOUR = RNG.integers(0, 256, (6, 5, 4), np.uint8), RNG.integers(0, 256, (6, 5, 4, 3), np.uint8)
LABELS = [0, 1, 2, 0, 1, 2]
needs_datasets = pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="the optional package datasets is not installed")


class Pairs(torch.utils.data.Dataset):
    """A map-style data set of pairs."""

    def __init__(self, images, labels=LABELS, classes=None):
        self.images, self.labels = images, labels
        if classes is not None:
            self.classes = classes

    def __len__(self):
        return len(self.images)

    def __getitem__(self, place):
        return self.images[place], self.labels[place]


def drawn(pixels):
    return [Image.fromarray(each) for each in pixels]


@pytest.mark.parametrize(
    "images, pixels",
    [
        (GREY, GREY),
        (torch.from_numpy(GREY), GREY),
        (drawn(GREY), GREY),
        (COLOUR, COLOUR),
        (torch.from_numpy(COLOUR).permute(0, 3, 1, 2), COLOUR),
        (drawn(COLOUR), COLOUR),
        ([*drawn(GREY[:2]), *drawn(COLOUR[2:])], np.concatenate([np.repeat(GREY[:2, ..., None], 3, -1), COLOUR[2:]])),
        ([*drawn(COLOUR[:2]), *drawn(GREY[2:])], np.concatenate([COLOUR[:2], np.repeat(GREY[2:, ..., None], 3, -1)])),
    ],
    ids=["grey", "grey tensor", "grey drawn", "colour", "channels first", "colour drawn", "mixed, grey first", "mixed, colour first"],
)
def test_a_torch_data_set_is_the_same_as_its_arrays(images, pixels):
    train, test = Pairs(images, torch.tensor(LABELS), ["a", "b", "c"]), Pairs(images, np.array(LABELS))
    data, same = fu.from_torch(train, test), fu.from_arrays(pixels, LABELS, pixels, LABELS, classes=["a", "b", "c"])
    assert data.hash == same.hash and data.classes == same.classes and (data.mean, data.std) == (same.mean, same.std)
    assert fu.from_torch(train, test, classes=["x", "y", "z"], name="mine").classes == ("x", "y", "z")


def test_subsets_of_torch_and_training_on_them():
    whole = Pairs(torch.from_numpy(np.tile(GREY, (4, 1, 1))), LABELS * 4)
    data = fu.from_torch(torch.utils.data.Subset(whole, range(12)), torch.utils.data.Subset(whole, range(12, 24)))
    fed = fu.Federation(data, fu.partition.iid(data.train.labels, 2), "mlp", fu.LocalTraining(epochs=1, batch=4), store=None)
    assert len(data.train) == 12 and np.isfinite(fed.train(1).history[-1]["test_loss"])


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(())


class Random(Pairs):
    def __getitem__(self, place):
        return torch.randint(0, 256, (5, 4), dtype=torch.uint8), 0


GOOD = Pairs(GREY)


@pytest.mark.parametrize(
    "act, sentence",
    [
        (lambda: fu.from_torch(Stream(), GOOD), "train is .*, but must be a map-style data set"),
        (lambda: fu.from_torch(GOOD, Pairs([])), "test has no example"),
        (lambda: fu.from_torch(Random(GREY), GOOD), "gives another image each time .* leave random transforms out"),
        (lambda: fu.from_torch(Pairs(torch.from_numpy(GREY) / 255), GOOD), r"float32, but pixels must be uint8 .* such as ToTensor\(\)"),
        (
            lambda: fu.from_torch(Pairs([*GREY[:5], GREY[0][:4]]), GOOD),
            r"train, example 5, has the shape \(4, 4\), but those before it \(5, 4\)",
        ),
        (lambda: fu.from_torch(Pairs(GREY, list("abcdef")), GOOD), "example 0, has the label 'a', but labels must be whole numbers"),
        (lambda: fu.from_torch(Pairs(GREY, [0, 1, 2, 0, 1, 0.5]), GOOD), "example 5, has the label 0.5"),
        (lambda: fu.from_torch(Pairs(GREY, [0, 1, 3, 0, 1, 3]), GOOD), r"must use every label from 0 to 3, but lacks \[2\]"),
        (lambda: fu.from_torch([(GREY[0], 0, 1)], GOOD), "train, example 0, is .*, but must be a pair"),
        (lambda: fu.from_torch(Pairs([Image.fromarray(GREY[0]).convert("CMYK")] * 6), GOOD), "example 0 is in CMYK"),
        (lambda: fu.from_torch(Pairs(GREY), Pairs(GREY[:, :4])), "must be alike"),
        (lambda: fu.from_torch(3, GOOD), "train is 3, but must be a map-style data set"),
        (lambda: fu.from_huggingface(GOOD, GOOD), "train is a Pairs, but must be a split of the package datasets"),
    ],
)
def test_what_cannot_be_gathered_says_why(act, sentence):
    with pytest.raises(fu.FucoreError, match=sentence) as error:
        act()
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


@pytest.mark.parametrize("name", ["hf:mnist", "hf:/somewhere"])
def test_without_the_optional_package_one_sentence_says_so(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(fu.FucoreError, match=f"^{name} needs the package datasets, which is not installed: pip install datasets.$"):
        fu.load(name)


def test_fucore_does_not_import_what_it_does_not_need():
    assert "datasets" not in sys.modules or importlib.util.find_spec("datasets") is not None


# ---- with the package


def splits(**options):
    """A ``DatasetDict`` of the planted images, of three named classes and a writer each."""
    import datasets

    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b", "c"]), "writer": datasets.Value("string")}
    columns = {"image": drawn(options.get("pixels", COLOUR)), "label": LABELS, "writer": ["w2", "w1", "w1", "w3", "w2", "w2"]}
    split = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    return datasets.DatasetDict({"train": split, options.get("test", "test"): split.select(range(3))})


@needs_datasets
@pytest.mark.parametrize("pixels", [COLOUR, GREY], ids=["colour", "grey"])
def test_splits_of_hugging_face_are_the_same_as_their_arrays(pixels, tmp_path):
    found = splits(pixels=pixels)
    same = fu.from_arrays(pixels, LABELS, pixels[:3], LABELS[:3], classes=["a", "b", "c"])
    data = fu.from_huggingface(found["train"], found["test"])
    assert data.hash == same.hash and data.classes == same.classes
    assert fu.from_huggingface(found["train"].with_format("torch"), found["test"]).hash == same.hash
    found.save_to_disk(tmp_path / "kept")
    loaded = fu.load(f"hf:{tmp_path / 'kept'}")
    assert loaded.hash == same.hash and loaded.name == f"hf:{tmp_path / 'kept'}"
    assert len(fu.load(f"hf:{tmp_path / 'kept'}", train_size=3, image_size=8).train) == 3
    clients = fu.partition.by_column(found["train"]["writer"], data.train.labels)
    assert [held.tolist() for held in clients.indices] == [[1, 2], [0, 4, 5], [3]]


@needs_datasets
def test_a_validation_split_tests_and_others_are_refused(tmp_path):
    import datasets

    splits(test="validation").save_to_disk(tmp_path / "validation")
    assert len(fu.load(f"hf:{tmp_path / 'validation'}").test) == 3
    splits()["train"].save_to_disk(tmp_path / "single")
    with pytest.raises(fu.FucoreError, match="must have the splits train and test .* but has a single split"):
        fu.load(f"hf:{tmp_path / 'single'}")
    splits(test="extra").save_to_disk(tmp_path / "other")
    with pytest.raises(fu.FucoreError, match="but has train, extra: give both to fu.from_huggingface"):
        fu.load(f"hf:{tmp_path / 'other'}")
    with pytest.raises(fu.FucoreError, match="is neither a folder that save_to_disk wrote nor in the local cache"):
        fu.load("hf:nobody/nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(fu.FucoreError, match="is neither a folder that save_to_disk wrote nor in the local cache"):
        fu.load(f"hf:{tmp_path / 'empty'}")
    assert not datasets.config.HF_HUB_OFFLINE, "what was set is set back"


@needs_datasets
def test_columns_that_are_not_clear_must_be_named():
    found = splits()
    two = found.map(lambda row: {"coarse": row["label"] // 2}).cast_column("coarse", found["train"].features["label"])
    with pytest.raises(fu.FucoreError, match=r"2 columns of type ClassLabel among image, label, writer, coarse: name one .*label='...'"):
        fu.from_huggingface(two["train"], two["test"])
    assert fu.from_huggingface(two["train"], two["test"], label="label").hash == fu.from_huggingface(found["train"], found["test"]).hash
    with pytest.raises(fu.FucoreError, match="image is 'picture', but must be one of: image, label, writer"):
        fu.from_huggingface(found["train"], found["test"], image="picture")
    with pytest.raises(fu.FucoreError, match="train is a IterableDataset, but must be"):
        fu.from_huggingface(found["train"].to_iterable_dataset(), found["test"])


# ---- natural clients


@pytest.mark.parametrize(
    "ids, expected",
    [
        (["b", "a", "b", "c"], [[1], [0, 2], [3]]),
        ([7, 3, 7, 3], [[1, 3], [0, 2]]),
        (np.array([7, 3, 7, 3], np.uint8), [[1, 3], [0, 2]]),
        (np.array(["b", "a", "b"]), [[1], [0, 2]]),
        (torch.tensor([1, 0, 1]), [[1], [0, 2]]),
        (pd.Series(["x", "y", "x"]), [[0, 2], [1]]),
        (list(np.array([5, 5, 9])), [[0, 1], [2]]),
    ],
    ids=str,
)
def test_a_column_names_the_clients(ids, expected):
    partition = fu.partition.by_column(ids)
    assert [held.tolist() for held in partition.indices] == expected and partition.sizes.sum() == len(ids)
    assert all((np.asarray(ids)[held] == np.unique(np.asarray(ids))[client]).all() for client, held in enumerate(partition.indices))


@pytest.mark.parametrize(
    "act, sentence",
    [
        (lambda: fu.partition.by_column(["a", None, "b", None]), r"ids has no client for example 1 \(2 of 4 are missing\)"),
        (lambda: fu.partition.by_column(["a", " ", "b"]), "ids has no client for example 1"),
        (lambda: fu.partition.by_column(np.array([1.0, np.nan])), "ids has no client for example 1"),
        (lambda: fu.partition.by_column([3, -1]), "ids has no client for example 1"),
        (lambda: fu.partition.by_column(pd.Series(["a", None])), "ids has no client for example 1"),
        (lambda: fu.partition.by_column([1, "a"]), "ids is of int, str, but must be all texts or all whole numbers"),
        (lambda: fu.partition.by_column([1.0, 2.0]), "ids is of float"),
        (lambda: fu.partition.by_column([True, False]), "ids is of bool"),
        (lambda: fu.partition.by_column(np.zeros((2, 2), int)), "ids is of list"),
        (lambda: fu.partition.by_column([]), "ids is .*, but must be a list with the client of each training example"),
        (lambda: fu.partition.by_column("abc"), "ids is 'abc', but must be a list"),
        (lambda: fu.partition.by_column(5), "ids is 5, but must be a list"),
        (lambda: fu.partition.by_column(["a", "b"], [0, 1, 0]), "there are 2 ids for 3 labels"),
    ],
)
def test_columns_that_name_nobody_are_refused(act, sentence):
    with pytest.raises(fu.FucoreError, match=sentence) as error:
        act()
    assert "\n" not in str(error.value) and str(error.value).endswith(".")
