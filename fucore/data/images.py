"""Folders of image files: ``train/<class>/<image>`` and ``test/<class>/<image>`` (or ``val``).

Every image becomes 8-bit colour (RGB); grey ones get three equal channels.

===================================  ================================================================================
black and white, grey, palette       turned into RGB, exactly
transparency (alpha, also palettes)  refused where any pixel is transparent; without effect where all are opaque
16-bit, 32-bit and float pixels      refused: how to scale them to 0..255 is not for us to guess
CMYK, LAB and others                 refused: the right colours depend on a printer's or screen's profile
EXIF orientation                     applied, so that images stand as viewers show them
animations, files of several pages   refused; of a camera's MPO file, a JPEG with previews behind it, the photograph is taken
colour profiles                      not applied
===================================  ================================================================================

What operating systems and tools leave behind (names that begin with a dot, ``Thumbs.db``, ``__MACOSX`` and the like) is skipped;
any other file that is no image is refused by name.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Sequence

import numpy as np

from ..errors import FucoreError, first_line, require
from .dataset import require_memory

LEFT_BEHIND = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "icon\r"}
EIGHT_BIT = {"1", "L", "P", "RGB", "LA", "PA", "RGBA"}
KINDS = {"I": "of 16 or 32 bits a pixel", "F": "of float pixels", "CMYK": "in CMYK, the colours of print"}


def load_folder(path: pathlib.Path, image_size: int | None, wanted: Sequence[str] | None = None) -> tuple:
    """Images uint8 [N, H, W, 3], labels [N], the same for testing, and the class names, sorted or as ``wanted``.

    Raises ``FucoreError`` naming the file or folder that is not as it should be.
    """
    test = next((path / part for part in ("test", "val") if (path / part).is_dir()), None)
    if test is None or not (path / "train").is_dir():
        raise FucoreError(f"{path} needs the folders train and test (or val), with one folder of images per class in each.")
    classes = _classes(path / "train")
    require(bool(classes), f"{path / 'train'} has no class folders: put the images of each class into a folder of its own.")
    if wanted is not None:
        missing = [name for name in wanted if name not in classes]
        require(not missing, f"{path / 'train'} lacks the class folders {', '.join(missing[:5])}.")
        classes = list(wanted)
    result = []
    for part in (path / "train", test):
        strangers = [] if wanted else sorted(set(_classes(part)) - set(classes))
        require(not strangers, f"{part} has classes that train lacks: {', '.join(strangers[:5])}.")
        files = [(file, label) for label, name in enumerate(classes) if (part / name).is_dir() for file in _entries(part / name)]
        require(bool(files), f"{part} holds no images.")
        labels = np.array([label for _, label in files])
        empty = sorted(set(range(len(classes))) - set(labels.tolist())) if part.name == "train" else []
        require(not empty, f"{part / classes[empty[0]] if empty else part} holds no images: put some in, or remove the folder.")
        result += [_stacked([file for file, _ in files], image_size), labels]
    return *result, classes


def read_image(file: pathlib.Path):
    """The image in ``file`` in 8-bit RGB, upright, as a Pillow image; raises ``FucoreError`` naming the file where that would be a guess."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            return upright(image, file)
    except FucoreError:
        raise
    except Exception as error:  # Pillow's readers raise errors of many kinds for damaged files
        raise FucoreError(f"{file} cannot be read as an image ({first_line(error)}): remove or replace it.") from None


def upright(image, name, grey: bool = False):
    """A Pillow image in 8-bit RGB (``grey``: or in one channel, if it has no more), upright; raises ``FucoreError`` with its ``name`` where that would be a guess."""
    from PIL import ImageOps

    several = getattr(image, "n_frames", 1) > 1 and image.format != "MPO"
    deep = any(re.match(r"\w+;16[BLN]$", str(text)) for tile in getattr(image, "tile", ()) for text in _texts(tile[3]))
    kind = KINDS["I"] if deep or image.mode.startswith("I;") else KINDS.get(image.mode, f"in the mode {image.mode}")
    require(not several, f"{name} holds several images: save the one that is meant as a file of its own.")
    require(image.mode in EIGHT_BIT and not deep, f"{name} is {kind}: save it with 8 bits a channel, in grey or RGB.")
    image.load()
    plain = grey and image.mode in ("1", "L")
    turned = ImageOps.exif_transpose(image)
    if turned.has_transparency_data:
        turned = turned.convert("RGBA")
        opaque = turned.getchannel("A").getextrema() == (255, 255)
        require(opaque, f"{name} has transparent pixels: put it on a background of your choice and save it without transparency.")
    return turned.convert("L" if plain else "RGB")


def _stacked(files: list[pathlib.Path], image_size: int | None) -> np.ndarray:
    """All images uint8 [N, H, W, 3], resized if asked; they must have one size."""
    from PIL import Image

    result = None
    for number, file in enumerate(files):
        image = read_image(file)
        if image_size is not None:
            image = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
        width, height = image.size
        if result is None:
            require_memory(len(files), 3, height, width)
            result = np.empty((len(files), height, width, 3), np.uint8)
        same = result.shape[1:3] == (height, width)
        require(same, f"{file} is {width} x {height} pixels, unlike the images before it: pass image_size to resize them all.")
        result[number] = np.asarray(image)
    assert result is not None, "there is at least one file"
    return result


def _texts(arguments) -> tuple:
    return arguments if isinstance(arguments, tuple) else (arguments,)


def _classes(folder: pathlib.Path) -> list[str]:
    return [entry.name for entry in _entries(folder) if entry.is_dir()]


def _entries(folder: pathlib.Path) -> list[pathlib.Path]:
    """What is in a folder, sorted, without what operating systems and tools leave there."""
    try:
        return sorted(each for each in folder.iterdir() if not each.name.startswith(".") and each.name.lower() not in LEFT_BEHIND)
    except OSError as error:
        raise FucoreError(f"{folder} cannot be read ({first_line(error)}): change its permissions.") from None
