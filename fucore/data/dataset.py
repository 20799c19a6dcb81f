"""What is learned from: labelled images kept as uint8 tensors; :mod:`fucore.data.sources` loads them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import require, require_choice, require_number, require_whole
from ..streams import Stream


@dataclass(frozen=True, eq=False)
class Split:
    """Images ``uint8 [N, C, H, W]`` and labels ``int64 [N]`` in 0..classes-1.

    Where images differ in size, ``sides`` int64 [N] is the height and width of each; it lies in the upper left corner, and
    the rest of its place is unused.
    """

    images: torch.Tensor
    labels: torch.Tensor
    sides: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices) -> Split:
        indices = torch.as_tensor(indices)
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
    set that do not change when examples are forgotten or altered.  ``planted`` is ``None``, or the boolean mask ``[N]`` of training examples that :func:`plant` altered.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    planted: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    def without(self, mask) -> Dataset:
        """The same data with the masked training examples made unreadable: black, and with a label that no loss accepts."""
        gone = torch.as_tensor(mask)
        images, labels = self.train.images.clone(), self.train.labels.clone()
        images[gone], labels[gone] = 0, -1
        blank = dataclasses.replace(self, train=dataclasses.replace(self.train, images=images, labels=labels))
        blank.__dict__["hash"] = self.hash  # it is still this data set that results come from
        return blank

    def resized(self, size: int) -> Dataset:
        """All images made ``size`` pixels a side (bilinear, antialiased); pixel statistics stay."""
        require_whole("image_size", size, 1)
        return dataclasses.replace(self, train=_resized(self.train, size), test=_resized(self.test, size))

    def only_classes(self, classes: Sequence[str]) -> Dataset:
        """The examples of these classes, numbered anew in their order; pixel statistics are theirs."""
        for name in classes:
            require_choice("class", name, self.classes)
        require(1 < len(classes) == len(set(classes)), "classes must name at least two different classes.")
        if tuple(classes) == self.classes:
            return self
        numbers = torch.full((len(self.classes),), -1)
        numbers[[self.classes.index(name) for name in classes]] = torch.arange(len(classes))
        kept = {}
        for part in ("train", "test"):
            split = getattr(self, part)
            split = split.take((numbers[split.labels] >= 0).nonzero()[:, 0])
            kept[part] = dataclasses.replace(split, labels=numbers[split.labels])
        mean, std = pixel_statistics([kept["train"].images])
        return dataclasses.replace(self, **kept, classes=tuple(classes), mean=mean, std=std)

    def sample(self, train_size: int | None = None, test_size: int | None = None, seed: int = 0) -> Dataset:
        """A random subset of so many examples (``None``: all), every class in its share; pixel statistics stay."""
        kept = {}
        for part, size in (("train", train_size), ("test", test_size)):
            split = getattr(self, part)
            if size is not None:
                require_whole(f"{part}_size", size, 1, len(split))
                kept[part] = split.take(stratified(split.labels.numpy(), size, seed))
        return dataclasses.replace(self, **kept)

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 of all pixels and labels: equal data have equal hashes whatever they are called."""
        return hash_splits(self.train, self.test)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}: {len(self.train)} train, {len(self.test)} test, {self.shape}, {len(self.classes)} classes)"


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


def plant(data: Dataset, indices, *, share: float = 0.05, kind: str = "mislabel", seed: int = 0) -> Dataset:
    """Alter a known few training examples, so that memorization has a ground truth.

    Of ``indices`` (those of the client who will leave) a random ``share`` gets a wrong label (``kind="mislabel"``:
    uniform over the other classes) or its pixels shuffled (``kind="corrupt"``).  A model can only fit these by
    memorizing them.  Returns a new :class:`Dataset` whose ``planted`` marks them; raises if the share holds nobody.
    """
    require_number("share", share, 0.0, 1.0, open_low=True)
    require_choice("kind", kind, ("mislabel", "corrupt"))
    indices = np.asarray(indices)
    count = round(share * len(indices))
    require(count > 0, f"share is {share!r}, which is less than one of the {len(indices)} examples: raise it.")
    rng = np.random.default_rng([seed, Stream.SAMPLE])
    chosen = rng.choice(indices, count, replace=False)
    images, labels = data.train.images.clone(), data.train.labels.clone()
    if kind == "mislabel":
        shift = torch.from_numpy(rng.integers(1, len(data.classes), count))
        labels[chosen] = (labels[chosen] + shift) % len(data.classes)
    else:
        pixels = images.shape[-1] * images.shape[-2]
        for index in chosen:
            images[index] = images[index].flatten(1)[:, rng.permutation(pixels)].view(images.shape[1:])
    planted = np.zeros(len(labels), dtype=bool)
    planted[chosen] = True
    train = dataclasses.replace(data.train, images=images, labels=labels)
    return dataclasses.replace(data, name=f"{data.name} + planted", train=train, planted=planted)


def pixel_statistics(images: Sequence[torch.Tensor]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of all pixels of several image tensors [N, C, H, W], per channel, in 0..255."""
    channels = [torch.cat([part[:, channel].flatten() for part in images]).double() for channel in range(images[0].shape[1])]
    values = ([c.mean() for c in channels], [max(c.std(), torch.tensor(1.0)) for c in channels])
    mean, std = (tuple(float(f"{value:.6g}") for value in each) for each in values)
    return mean, std


def _resized(split: Split, size: int) -> Split:
    if tuple(split.images.shape[-2:]) == (size, size):
        return split
    chunks = [
        torch.nn.functional.interpolate(chunk.float(), size=(size, size), mode="bilinear", antialias=True)
        .round()
        .clamp(0, 255)
        .to(torch.uint8)
        for chunk in split.images.split(1000)
    ]
    return Split(torch.cat(chunks), split.labels)


def stratified(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """``size`` random indices, every class in its share (largest remainders), in random order."""
    rng = np.random.default_rng([seed, Stream.PLANTED_LABELS])
    classes, counts = np.unique(labels, return_counts=True)
    quota = counts * (size / len(labels))
    take = np.floor(quota).astype(int)
    take[np.argsort(take - quota, kind="stable")[: size - take.sum()]] += 1
    chosen = [rng.choice(np.flatnonzero(labels == label), n, replace=False) for label, n in zip(classes, take)]
    return rng.permutation(np.concatenate(chosen))
