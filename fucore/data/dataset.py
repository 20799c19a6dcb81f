"""What is learned from: labelled images kept as uint8 tensors; :mod:`fucore.data.sources` loads them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import require, require_choice, require_kind, require_number, require_whole, shown
from ..machine import memory
from ..streams import Stream
from ._checks import class_names, plain_array, positions, whole_numbers

#: Pixels a side that images can be resized to.
MOST_PIXELS = 65_535
UNREADABLE = -1


@dataclass(frozen=True, eq=False)
class Split:
    """Images ``uint8 [N, C, H, W]`` and labels ``int64 [N]`` in 0..classes-1.

    Where images differ in size, ``sides`` int64 [N] is the height and width of each; it lies in the upper left corner, and
    the rest of its place is unused.  NumPy arrays are copied into tensors; a split may be empty, those of a :class:`~fucore.data.dataset.Dataset` not.

    Raises ``FucoreError`` if pixels are not uint8, labels or sides not whole numbers, or their numbers differ.
    """

    images: torch.Tensor
    labels: torch.Tensor
    sides: torch.Tensor | None = None

    def __post_init__(self):
        images = _pixels(self.images)
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "labels", _numbers("labels", self.labels, len(images)))
        if self.sides is not None:
            object.__setattr__(self, "sides", _numbers("sides", self.sides, len(images)))

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices) -> Split:
        """The examples at ``indices``, whole numbers from 0 in any order, or where a boolean mask [N] is True."""
        indices = torch.from_numpy(positions("indices", indices, len(self))).to(self.labels.device)
        return Split(self.images[indices], self.labels[indices], None if self.sides is None else self.sides[indices])

    def batch(self, indices) -> torch.Tensor:
        """Images at ``indices``, in their own size [b, C, side, side], which they must share."""
        if self.sides is None:
            return self.images[indices]
        sides = self.sides[indices].unique().tolist()
        require(len(sides) == 1, f"images of different sizes ({sides} pixels) cannot be in one batch: give each client images of one size.")
        return self.images[indices, :, : sides[0], : sides[0]]

    def batches(self, size: int) -> list[torch.Tensor]:
        """Indices in batches of at most ``size`` images that share their size, each example once."""
        if self.sides is None:
            return list(torch.arange(len(self)).split(size))
        return [part for side in self.sides.unique() for part in (self.sides == side).nonzero()[:, 0].split(size)]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test split with the class names.

    ``mean`` and ``std`` are those of the training pixels as loaded, per channel, in units of 0..255: constants of the data
    set that do not change when examples are forgotten or altered.  ``planted`` is ``None``, or the boolean mask ``[N]`` of training examples that :func:`fucore.data.planting.plant` altered.
    A training label is -1 where :meth:`without` has made an example unreadable.

    Raises ``FucoreError`` if the splits are empty or unlike each other, or labels lie outside the classes.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    planted: np.ndarray | None = None

    def __post_init__(self):
        require(isinstance(self.name, str), f"name is {shown(self.name)}, but must be a text.")
        object.__setattr__(self, "classes", class_names(self.classes))
        for part, low in (("train", UNREADABLE), ("test", 0)):
            _check_split(part, getattr(self, part), low, len(self.classes))
        shapes = [tuple(split.images.shape[1:]) for split in (self.train, self.test)]
        require(shapes[0] == shapes[1], f"training images are {shapes[0]}, test images {shapes[1]}; they must be alike.")
        for name, low in (("mean", 0.0), ("std", 0.0)):
            values = plain_array(name, getattr(self, name))
            require(values.shape == self.shape[:1], f"{name} is {shown(getattr(self, name))}, but must have one number for each channel.")
            numbers = tuple(require_number(name, value, low, 255.0, open_low=name == "std") for value in values.tolist())
            object.__setattr__(self, name, numbers)
        if self.planted is not None:
            planted = plain_array("planted", self.planted).copy()
            right = planted.dtype == bool and planted.shape == (len(self.train),)
            require(right, f"planted is {planted.dtype} of shape {planted.shape}, but must be boolean, one for each training example.")
            planted.setflags(write=False)
            object.__setattr__(self, "planted", planted)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    def without(self, mask) -> Dataset:
        """The same data with some training examples, a boolean mask [N] or indices, made unreadable: black, with a label no loss accepts."""
        gone = torch.from_numpy(positions("mask", mask, len(self.train)))
        images, labels = self.train.images.clone(), self.train.labels.clone()
        images[gone], labels[gone] = 0, UNREADABLE
        blank = dataclasses.replace(self, train=dataclasses.replace(self.train, images=images, labels=labels))
        blank.__dict__["hash"] = self.hash  # it is still this data set that results come from
        return blank

    def resized(self, size: int) -> Dataset:
        """All images made ``size`` pixels a side (bilinear, antialiased); pixel statistics stay."""
        size = require_whole("image_size", size, 1, MOST_PIXELS)
        require_memory(len(self.train) + len(self.test), self.shape[0], size, size)
        return dataclasses.replace(self, train=_resized(self.train, size), test=_resized(self.test, size))

    def only_classes(self, classes: Sequence[str]) -> Dataset:
        """The examples of these classes, numbered anew in their order; pixel statistics are theirs."""
        classes = class_names(classes)
        for name in classes:
            require_choice("class", name, self.classes)
        require(len(classes) > 1, "classes must name at least two different classes.")
        if classes == self.classes:
            return self
        numbers = torch.full((len(self.classes),), -1)
        numbers[[self.classes.index(name) for name in classes]] = torch.arange(len(classes))
        kept = {}
        for part in ("train", "test"):
            split = getattr(self, part)
            stays = (numbers[split.labels] >= 0) & (split.labels != UNREADABLE)
            require(stays.any(), f"{part} has no example of {', '.join(classes)}: choose other classes.")
            kept[part] = dataclasses.replace(split.take(stays), labels=numbers[split.labels[stays]])
            if part == "train" and self.planted is not None:
                kept["planted"] = self.planted[stays.numpy()]
        train = kept["train"]
        mean, std = pixel_statistics([train.images] if train.sides is None else [train.batch(part) for part in train.batches(len(train))])
        return dataclasses.replace(self, **kept, classes=classes, mean=mean, std=std)

    def sample(self, train_size: int | None = None, test_size: int | None = None, seed: int = 0) -> Dataset:
        """A random subset of so many examples (``None``: all), every class in its share; pixel statistics stay."""
        kept, seed = {}, require_whole("seed", seed, 0)
        for part, size in (("train", train_size), ("test", test_size)):
            split = getattr(self, part)
            if size is not None:
                chosen = stratified(split.labels.numpy(), require_whole(f"{part}_size", size, 1, len(split)), seed)
                kept[part] = split.take(chosen)
                if part == "train" and self.planted is not None:
                    kept["planted"] = self.planted[chosen]
        return dataclasses.replace(self, **kept)

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 of all pixels and labels: equal data have equal hashes whatever they are called."""
        self.check_unchanged()
        return hash_splits(self.train, self.test)

    @functools.cached_property
    def _checksum(self) -> int:
        return _checksum(self.train, self.test)

    def check_unchanged(self) -> None:
        """Raise ``FucoreError`` if a pixel or label is another than when this was first asked: a tensor cannot be made read-only."""
        require(
            self._checksum == _checksum(self.train, self.test),
            f"images or labels of {self.name} were changed after they had been used: make a new data set of the changed ones, "
            "so that no result mixes both.",
        )

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}: {len(self.train)} train, {len(self.test)} test, {self.shape}, {len(self.classes)} classes)"


def _checksum(*splits: Split) -> int:
    """CRC-32 of the pixels and labels: every change of up to four bytes in a row is noticed, at the speed of memory."""
    value = 0
    for split in splits:
        for tensor in (split.images, split.labels, split.sides):
            if tensor is not None:
                value = zlib.crc32(tensor.contiguous().numpy().data, value)
    return value


def hash_splits(*splits: Split) -> str:
    """SHA-256 of the pixels and labels of some splits."""
    digest = hashlib.sha256()
    for split in splits:
        digest.update(repr(tuple(split.images.shape)).encode())
        digest.update(split.images.contiguous().numpy().tobytes())
        digest.update(split.labels.contiguous().numpy().tobytes())
        if split.sides is not None:
            digest.update(split.sides.contiguous().numpy().tobytes())
    return digest.hexdigest()


def pixel_statistics(images: Sequence[torch.Tensor]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of all pixels of several image tensors [N, C, H, W], per channel, in 0..255."""
    channels = [torch.cat([part[:, channel].flatten() for part in images]).double() for channel in range(images[0].shape[1])]
    values = ([c.mean() for c in channels], [max(c.std(), torch.tensor(1.0)) for c in channels])
    mean, std = (tuple(float(f"{value:.6g}") for value in each) for each in values)
    return mean, std


def require_memory(images: int, channels: int, height: int, width: int) -> None:
    """Raise ``FucoreError`` if so many images of this size do not fit into the machine's memory."""
    needed, have = images * channels * height * width, memory()
    require(
        needed < have,
        f"{images} images of {height} x {width} pixels take {needed >> 30} GiB, more than the {have >> 30} GiB of this machine: "
        "choose a smaller image_size.",
    )


def _resized(split: Split, size: int) -> Split:
    if split.sides is None and tuple(split.images.shape[-2:]) == (size, size):
        return split
    channels = split.images.shape[1]
    most = max(1, min(1000, 2**28 // (channels * size**2)))  # floats of a chunk take at most a gibibyte
    parts = split.batches(most)
    chunks = [
        torch.nn.functional.interpolate(split.batch(part).float(), size=(size, size), mode="bilinear", antialias=True)
        .round()
        .clamp(0, 255)
        .to(torch.uint8)
        for part in parts
    ]
    resized = torch.cat(chunks)
    return Split(resized if split.sides is None else resized[torch.cat(parts).argsort()], split.labels)


def _check_split(name: str, split: Split, low: int, classes: int) -> None:
    """Refuse a split that is empty or has labels outside low..classes-1; what is unreadable must be black."""
    require_kind(name, split, Split, "fu.Split(images, labels)")
    require(len(split) > 0, f"{name} has no example, but must have at least one.")
    least, most = int(split.labels.min()), int(split.labels.max())
    require(low <= least and most < classes, f"{name} has the label {least if least < low else most}, outside 0 to {classes - 1}.")
    room = min(split.images.shape[2:])
    fits = split.sides is None or bool(((split.sides > 0) & (split.sides <= room)).all())
    require(fits, f"{name} has sides outside 1 to {room}, the room for its images.")
    blank = least >= 0 or not split.images[split.labels == UNREADABLE].any()
    require(blank, f"{name} has the label {UNREADABLE}, which only examples made unreadable have: number the classes from 0.")


def _numbers(name: str, value, count: int) -> torch.Tensor:
    """Whole numbers int64 [count]; a tensor that is right stays as it is."""
    if not (isinstance(value, torch.Tensor) and value.dtype == torch.int64 and value.ndim == 1):
        value = torch.from_numpy(whole_numbers(name, value))
    require(len(value) == count, f"there are {len(value)} {name} for {count} images; there must be one for each.")
    return value


def _pixels(value) -> torch.Tensor:
    """Images uint8 [N, C, H, W]; a tensor that is right stays as it is."""
    array = value if isinstance(value, torch.Tensor) else plain_array("images", value)
    kind = str(array.dtype).removeprefix("torch.")
    require(
        kind == "uint8" and array.ndim == 4 and 0 not in array.shape[1:],
        f"images are {kind} of shape {tuple(array.shape)}, but must be uint8 [N, channels, height, width]; fu.from_arrays takes other shapes.",
    )
    return array if isinstance(array, torch.Tensor) else torch.from_numpy(np.array(array, order="C"))


def stratified(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """``size`` random indices, every class in its share (largest remainders), in random order."""
    rng = np.random.default_rng([seed, Stream.PLANTED_LABELS])
    classes, counts = np.unique(labels, return_counts=True)
    quota = counts * (size / len(labels))
    take = np.floor(quota).astype(int)
    take[np.argsort(take - quota, kind="stable")[: size - take.sum()]] += 1
    chosen = [rng.choice(np.flatnonzero(labels == label), n, replace=False) for label, n in zip(classes, take)]
    return rng.permutation(np.concatenate(chosen))
