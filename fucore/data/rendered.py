"""Rendered colour digits on cluttered backgrounds: a synthetic domain that needs neither files nor a network.

It stands in for house numbers where SVHN cannot be downloaded: 32 x 32 colour images with a printed digit in the middle,
other digits cut off at the sides, uneven light and noise.  It is no real data set, and wherever it appears it is called
synthetic.
"""

from __future__ import annotations

import functools
import pathlib

import numpy as np

SIZE, SEED = 32, 20_011
TRAIN, TEST = 2000, 500
FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "STIXGeneral",
    "cmss10",
)


@functools.cache
def rendered_digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(training images uint8 [2000, 32, 32, 3], labels [2000], test images [500, 32, 32, 3], labels [500]); always the same."""
    rng = np.random.default_rng(SEED)
    labels = rng.permutation(np.arange(TRAIN + TEST) % 10)
    images = np.stack([_image(int(label), rng) for label in labels])
    return images[:TRAIN], labels[:TRAIN], images[TRAIN:], labels[TRAIN:]


def _image(label: int, rng: np.random.Generator) -> np.ndarray:
    """One picture of ``label``, uint8 [32, 32, 3]."""
    from PIL import Image

    ground, ink = _two_colours(rng)
    slope = rng.normal(0, 0.6, (2, 3))
    ramp = np.linspace(-20, 20, SIZE)
    canvas = Image.fromarray(_pixels(ground + ramp[:, None, None] * slope[0] + ramp[None, :, None] * slope[1]))
    for side in (-1, 1):
        if rng.random() < 0.6:  # a neighbour that is cut off
            _draw(canvas, int(rng.integers(10)), ink, side * rng.uniform(17, 22), rng)
    _draw(canvas, label, ink, rng.uniform(-2.5, 2.5), rng)
    noisy = np.asarray(canvas, dtype=np.float64) * rng.uniform(0.8, 1.1) + rng.normal(0, rng.uniform(2, 12), (SIZE, SIZE, 3))
    return _pixels(noisy)


def _draw(canvas, digit: int, ink: np.ndarray, shift: float, rng: np.random.Generator) -> None:
    """Put a tilted digit on ``canvas``, its middle ``shift`` pixels beside that of the image."""
    from PIL import Image, ImageDraw

    stamp = Image.new("L", (2 * SIZE, 2 * SIZE))
    font = _font(FONTS[rng.integers(len(FONTS))], int(rng.integers(20, 29)))
    ImageDraw.Draw(stamp).text((SIZE, SIZE), str(digit), fill=255, font=font, anchor="mm")
    stamp = stamp.rotate(rng.uniform(-15, 15), resample=Image.Resampling.BILINEAR)
    corner = (round(SIZE / 2 + shift) - SIZE, round(SIZE / 2 + rng.uniform(-2, 2)) - SIZE)
    canvas.paste(tuple(int(value) for value in ink), corner, stamp)


def _two_colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Colours of ground and ink that differ enough in brightness to be read."""
    while True:
        ground, ink = rng.uniform(0, 255, (2, 3))
        if abs(ground.mean() - ink.mean()) > 60:
            return ground, ink


@functools.cache
def _font(name: str, size: int):
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(pathlib.Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"), size)


def _pixels(values: np.ndarray) -> np.ndarray:
    return values.round().clip(0, 255).astype(np.uint8)
