"""Data sets made of arrays, in memory or in a NumPy archive."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..errors import FucoreError, first_line, require, require_choice, shown
from ._checks import MOST_CLASSES, class_names, plain_array
from .dataset import Dataset, Split, pixel_statistics

ARCHIVE = ("x_train", "y_train", "x_test", "y_test")
#: Why pixels of a type are refused is the same for all; what mends it is not.
CURES = {
    "b": "write (255 * x).astype('uint8')",
    "f": "for pixels in 0..1 write (255 * x).round().astype('uint8'), for whole numbers in 0..255 x.astype('uint8')",
    "i": "if all are in 0..255 write x.astype('uint8')",
    "u": "for 16-bit pixels write (x / 257).round().astype('uint8'), and if all are in 0..255 x.astype('uint8')",
}


def from_arrays(
    x, y, x_test, y_test, *, classes: Sequence[str] | None = None, channels: str | None = None, name: str = "arrays"
) -> Dataset:
    """A data set from NumPy arrays or PyTorch tensors, which are copied.

    ``x`` and ``x_test``: training and test images, uint8 in 0..255, [N, H, W], [N, C, H, W] or [N, H, W, C] with C of 1 or 3.
    ``channels`` says where they are, ``"first"`` or ``"last"``; needed only where the shape would allow both.
    ``y`` and ``y_test``: labels, whole numbers [N]; every number from 0 to the highest must occur in ``y``.
    ``classes``: their names in that order (default: the numbers); ``name``: what the data set is called.

    Raises ``FucoreError`` with the cure for anything else: no pixel is scaled, rounded or clipped.
    """
    require(isinstance(name, str), f"name is {shown(name)}, but must be a text.")
    if channels is not None:
        require_choice("channels", channels, ("first", "last"))
    return dataset_of(name, x, y, x_test, y_test, classes, channels=channels, called=("x", "y", "x_test", "y_test"))


def dataset_of(name: str, x, y, x_test, y_test, classes, *, channels: str | None = None, called: Sequence[str] = ARCHIVE) -> Dataset:
    """A data set of equal-sized uint8 images with every class from 0 in training, or the reason why these are none."""
    names = [f"{name}: {each}" for each in called]
    images = [_images(names[0], x, channels), _images(names[2], x_test, channels)]
    train, test = (
        Split(torch.from_numpy(pixels), _labels(word, labels, len(pixels)))
        for word, labels, pixels in zip(names[1::2], (y, y_test), images)
    )
    shapes = [pixels.shape[1:] for pixels in images]
    require(shapes[0] == shapes[1], f"{name}: training images are {shapes[0]}, test images {shapes[1]}; they must be alike.")
    present = np.unique(train.labels.numpy())
    require(present[0] >= 0, f"{names[1]} must use every label from 0 to {present[-1]}, but has negative labels.")
    gaps = np.setdiff1d(np.arange(present[-1] + 1), present)[:5].tolist()
    require(not gaps, f"{names[1]} must use every label from 0 to {present[-1]}, but lacks {gaps}.")
    require(len(present) > 1, f"{names[1]} has a single class; at least two are needed.")
    if classes is None:
        classes = range(len(present))
    words = class_names(list(classes) if isinstance(classes, range) else classes)
    require(len(words) == len(present), f"{name}: classes names {len(words)} classes, but {called[1]} has {len(present)}.")
    inside = 0 <= int(test.labels.min()) and int(test.labels.max()) < len(words)
    require(inside, f"{names[3]} has labels outside 0 to {len(words) - 1}.")
    mean, std = pixel_statistics([train.images])
    return Dataset(name, train, test, words, mean, std)


def load_npz(path) -> tuple:
    """The arrays of a NumPy archive and its class names or ``None``; pickled objects are never loaded."""
    require(path.is_file(), f"{path} is not a file: give the path of a .npz archive after npz:.")
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.lib.npyio.NpzFile):
            with archive:
                missing = [key for key in ARCHIVE if key not in archive]
                require(not missing, f"{path} lacks {', '.join(missing)}: save x_train, y_train, x_test and y_test in it.")
                return *(archive[key] for key in ARCHIVE), archive["classes"] if "classes" in archive else None
    except FucoreError:
        raise
    except Exception as error:  # damaged archives raise zip, zlib, struct, tokenize, memory and other errors
        raise FucoreError(
            f"{path} cannot be read as a NumPy archive of plain arrays ({first_line(error)}): save it again with numpy.savez."
        ) from None
    raise FucoreError(f"{path} is a single array: save x_train, y_train, x_test and y_test in one archive with numpy.savez.")


def _images(name: str, value, channels: str | None) -> np.ndarray:
    """Pixels uint8 [N, C, H, W], a copy, of images whose channels come first, last or not at all."""
    images = plain_array(name, value)
    cure = CURES.get(images.dtype.kind, "give the pixels themselves")
    require(images.dtype == np.uint8, f"{name} is {images.dtype}, but pixels must be uint8 from 0 to 255; {cure}.")
    require(
        images.ndim in (3, 4) and images.size > 0,
        f"{name} has shape {images.shape}, but must be [N, H, W], [N, H, W, channels] or [N, channels, H, W], N at least 1.",
    )
    if images.ndim == 3:
        images = images[:, None]
    else:
        places = {place: images.shape[axis] in (1, 3) for place, axis in (("first", 1), ("last", 3))}
        possible = [place for place, fits in places.items() if fits and channels in (None, place)]
        where = "" if channels is None else f" {channels}"
        require(possible, f"{name} has shape {images.shape}, but images must have 1 or 3 channels{where}.")
        require(
            len(possible) == 1,
            f"{name} has shape {images.shape}, whose channels may come first or last: pass the arrays to fu.from_arrays with channels='first' or 'last'.",
        )
        images = images if possible == ["first"] else images.transpose(0, 3, 1, 2)
    return np.array(images, order="C")


def _labels(name: str, value, count: int) -> torch.Tensor:
    """Labels int64 [count]; negative ones are refused later, where it is known which there must be."""
    labels = plain_array(name, value)
    cure = (
        "numpy.unique(labels, return_inverse=True) numbers names" if labels.dtype.kind in "US" else "write labels.astype(int) if they are"
    )
    require(labels.dtype.kind in "iu", f"{name} is {labels.dtype}, but labels must be whole numbers; {cure}.")
    require(labels.shape == (count,), f"{name} has shape {labels.shape} for {count} images; there must be one label an image.")
    most = int(labels.max())
    require(most < MOST_CLASSES, f"{name} has the label {most}, but labels must be numbered from 0 and below {MOST_CLASSES}.")
    return torch.from_numpy(labels.astype(np.int64))
