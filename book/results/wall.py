"""A sheet of a departed client's images, and what each model says of them; see ``ratio_by_alpha.py``."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

import fucore as fu
from fucore.evaluation import judge_examples

COLUMNS, ROWS = 12, 8


def sheet(case: fu.Case, models: dict[str, fu.Run]) -> dict:
    """``COLUMNS`` x ``ROWS`` images of those who left, the most memorized first, and who is right about each (a digit a model or an image)."""
    scores = judge_examples(case, {})[0].scores
    shown = chosen(scores)
    right = lambda run: case.look(run).right[shown]
    retrained = np.stack([right(run) for run in case.retrained])
    return {
        "sprite": sprite(case.departed.take(shown).images.numpy()),
        "of": len(scores),
        "models": len(retrained),
        "classes": list(case.federation.data.classes),
        "labels": case.departed.labels[shown].tolist(),
        "scores": [round(float(score), 2) for score in scores[shown]],
        "retrained": [digits(column) for column in retrained.T],
        "original": digits(right(case.original)),
        "right": {name: digits(right(run)) for name, run in models.items()},
    }


def chosen(scores: np.ndarray) -> np.ndarray:
    """Places of the images shown, by falling score: the most memorized half of them, and as many spread evenly over the rest."""
    order, half = np.argsort(-scores, kind="stable"), COLUMNS * ROWS // 2
    return np.concatenate([order[:half], order[half:][np.linspace(0, len(order) - half - 1, half).round().astype(int)]])


def digits(right: np.ndarray) -> str:
    """``1`` where right, ``0`` elsewhere."""
    return "".join("1" if each else "0" for each in right)


def sprite(images: np.ndarray) -> str:
    """Images uint8 [n, channels, h, w] on one sheet, as a data address: grey ones without loss, colour ones as WebP of good quality."""
    _, channels, height, width = images.shape
    grid = images.reshape(ROWS, COLUMNS, channels, height, width).transpose(0, 3, 1, 4, 2)
    pixels = grid.reshape(ROWS * height, COLUMNS * width, channels)
    kind = "PNG" if channels == 1 else "WebP"
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze(-1) if channels == 1 else pixels).save(buffer, kind, optimize=True, quality=85)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
