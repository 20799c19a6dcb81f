"""Data sets of other libraries: PyTorch's map-style ``Dataset`` and Hugging Face's ``datasets``, which fucore does not need.

Images may be Pillow images, arrays or tensors; pixels must be uint8, as in :func:`~fucore.data.arrays.from_arrays`.  Grey images keep
one channel, all other Pillow images become RGB by the rules of :mod:`fucore.data.images`.
"""

from __future__ import annotations

import contextlib
import importlib
import operator
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import FucoreError, first_line, require, require_choice, shown
from ._checks import plain_array
from .arrays import dataset_of
from .dataset import Dataset
from .images import upright

CURES = {"f": "leave out what scales them, such as ToTensor() (PILToTensor() does not)", "b": "write (255 * x).astype('uint8')"}
CALLED = ("train images", "train labels", "test images", "test labels")
PARTS = ("test", "validation", "valid", "val")


def from_torch(train, test, *, classes: Sequence[str] | None = None, channels: str | None = None, name: str = "torch") -> Dataset:
    """A data set from two PyTorch data sets (map-style) of pairs (image, label), each read once.

    ``classes``: names in the order of the labels; by default ``train.classes``, where there is such a list, or the numbers.
    ``channels`` as in :func:`~fucore.data.arrays.from_arrays`.  Raises ``FucoreError`` for random transforms, iterable data sets, images
    of different sizes, and pixels that are no uint8.
    """
    for part, split in (("train", train), ("test", test)):
        listed = hasattr(type(split), "__len__") and hasattr(type(split), "__getitem__")
        require(listed, f"{part} is {shown(split)}, but must be a map-style data set, with a length and numbered examples.")
        require(len(split) > 0, f"{part} has no example, but must have at least one.")
        first, again = (_pixels(f"{part}, example 0", _pair(part, split, 0)[0])[0] for _ in range(2))
        require(
            np.array_equal(first, again),
            f"{part} gives another image each time it is asked for example 0: leave random transforms out (fu.Preprocessing augments).",
        )
    parts = [_gathered(part, len(split), lambda place: _pair(part, split, place)) for part, split in (("train", train), ("test", test))]
    if classes is None and isinstance(getattr(train, "classes", None), (list, tuple)):
        classes = train.classes
    return dataset_of(name, *parts[0], *parts[1], classes, channels=channels, called=CALLED)


def from_huggingface(train, test, *, image: str | None = None, label: str | None = None, name: str = "huggingface") -> Dataset:
    """A data set from two splits of Hugging Face's ``datasets``, such as ``d["train"]`` and ``d["test"]``.

    ``image`` and ``label`` name the columns; by default the only one of type ``Image`` and the only one of type ``ClassLabel``, whose
    names become those of the classes.  Raises ``FucoreError`` where that is not clear, and for streams.
    """
    parts: list[tuple] = []
    classes = None
    for part, split in (("train", train), ("test", test)):
        if not all(hasattr(split, each) for each in ("features", "select_columns", "with_format", "__len__")):
            raise FucoreError(
                f"{part} is a {type(split).__name__}, but must be a split of the package datasets that is no stream, such as d['train']."
            )
        features = dict(split.features)
        columns = [_column(part, features, image, "Image", "image"), _column(part, features, label, "ClassLabel", "label")]
        if part == "train":
            classes = getattr(features[columns[1]], "names", None)
        names = getattr(features[columns[1]], "names", None)
        require(names == classes, f"{part} has other classes, or in another order, than train: {shown(names)}.")
        rows = split.select_columns(columns).with_format(None)
        parts.append(_gathered(part, len(rows), lambda place: operator.itemgetter(*columns)(rows[place])))
    (x, y), (x_test, y_test) = parts
    return dataset_of(name, x, y, x_test, y_test, classes, called=CALLED)


def load_huggingface(where: str, name: str) -> Dataset:
    """What ``save_to_disk`` wrote to the folder ``where``, or the data set of that name in the local cache; nothing is downloaded."""
    try:
        datasets: Any = importlib.import_module("datasets")
    except ImportError:
        raise FucoreError(f"{name} needs the package datasets, which is not installed: pip install datasets.") from None
    folder = pathlib.Path(where).expanduser()
    try:
        with _offline(datasets):
            splits = datasets.load_from_disk(str(folder)) if folder.is_dir() else datasets.load_dataset(where)
    except Exception as error:  # the package raises errors of many kinds for what is not there
        raise FucoreError(
            f"{name} is neither a folder that save_to_disk wrote nor in the local cache ({type(error).__name__}: {first_line(error)}): "
            "load it once with datasets.load_dataset, or save it to disk."
        ) from None
    test = next((part for part in PARTS if isinstance(splits, dict) and part in splits), None)
    if test is None or "train" not in splits:
        found = ", ".join(splits) if isinstance(splits, dict) else "a single split"
        raise FucoreError(f"{name} must have the splits train and test (or validation), but has {found}: give both to fu.from_huggingface.")
    return from_huggingface(splits["train"], splits[test], name=name)


@contextlib.contextmanager
def _offline(datasets):
    """Without the network: what is in the cache is taken as it is."""
    places = [
        (module, key)
        for module in (datasets.config, _hub())
        if module
        for key in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
        if hasattr(module, key)
    ]
    before = [getattr(*place) for place in places]
    try:
        for module, key in places:
            setattr(module, key, True)
        yield
    finally:
        for (module, key), value in zip(places, before):
            setattr(module, key, value)


def _hub():
    with contextlib.suppress(ImportError):
        return importlib.import_module("huggingface_hub.constants")


def _column(part: str, features: dict, asked: str | None, kind: str, what: str) -> str:
    """The column of images or labels: the one asked for, or the only one of its kind."""
    if asked is not None:
        return require_choice(what, asked, list(features))
    found = [name for name, feature in features.items() if type(feature).__name__ == kind]
    require(
        len(found) == 1,
        f"{part} has {len(found)} columns of type {kind} among {', '.join(features)}: name one with fu.from_huggingface(..., {what}='...').",
    )
    return found[0]


def _pair(part: str, split, place: int) -> tuple:
    pair = split[place]
    require(
        isinstance(pair, (tuple, list)) and len(pair) == 2, f"{part}, example {place}, is {shown(pair)}, but must be a pair (image, label)."
    )
    return tuple(pair)


def _gathered(part: str, count: int, example: Callable[[int], tuple]) -> tuple[np.ndarray, np.ndarray]:
    """(images uint8 [count, ...], labels int64 [count]) of all examples; grey images among coloured ones get three equal channels."""
    require(count > 0, f"{part} has no example, but must have at least one.")
    images, labels = np.zeros(0, np.uint8), np.empty(count, np.int64)
    grey = False
    for place in range(count):
        image, label = example(place)
        pixels, drawn = _pixels(f"{part}, example {place}", image)
        if place == 0:
            images, grey = np.empty((count, *pixels.shape), np.uint8), drawn and pixels.ndim == 2
        elif drawn and grey and pixels.ndim == 3:
            images, grey = np.repeat(images[..., None], 3, axis=-1), False
        elif drawn and pixels.ndim == 2 and images.ndim == 4:
            pixels = np.repeat(pixels[..., None], 3, axis=-1)
        require(
            pixels.shape == images.shape[1:],
            f"{part}, example {place}, has the shape {pixels.shape}, but those before it {images.shape[1:]}: resize all to one size.",
        )
        images[place], labels[place] = pixels, _label(f"{part}, example {place}", label)
    return images, labels


def _pixels(name: str, image) -> tuple[np.ndarray, bool]:
    """(pixels uint8 [H, W] or with channels, whether it was a Pillow image)."""
    if hasattr(image, "getextrema"):
        return np.asarray(upright(image, name, grey=True)), True
    pixels = plain_array(name, image)
    cure = CURES.get(pixels.dtype.kind, "give the pixels themselves")
    require(pixels.dtype == np.uint8, f"{name}, is {pixels.dtype}, but pixels must be uint8 from 0 to 255; {cure}.")
    require(pixels.ndim in (2, 3), f"{name}, has the shape {pixels.shape}, but must be one image.")
    return pixels, False


def _label(name: str, label) -> int:
    value: Any = label.item() if isinstance(label, (torch.Tensor, np.generic)) and label.ndim == 0 else label
    require(
        isinstance(value, int) and not isinstance(value, bool), f"{name}, has the label {shown(label)}, but labels must be whole numbers."
    )
    return value
