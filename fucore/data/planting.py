"""Examples altered on purpose, so that memorization has a ground truth."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from ..errors import require, require_choice, require_kind, require_number, require_whole
from ..streams import Stream
from ._checks import positions
from .dataset import UNREADABLE, Dataset


def plant(data: Dataset, indices, *, share: float = 0.05, kind: str = "mislabel", seed: int = 0) -> Dataset:
    """Alter a known few training examples, so that memorization has a ground truth.

    Of ``indices`` (those of the client who will leave; whole numbers, or a boolean mask [N]) a random ``share`` gets a wrong
    label (``kind="mislabel"``: uniform over the other classes) or its pixels shuffled (``kind="corrupt"``).  A model can only
    fit these by memorizing them.  Returns a new :class:`~fucore.data.dataset.Dataset` whose ``planted`` marks them, and those planted before.

    Raises ``FucoreError`` if the share holds nobody, an example was planted already, or shuffling cannot change an image.
    """
    share = require_number("share", share, 0.0, 1.0, open_low=True)
    require_choice("kind", kind, ("mislabel", "corrupt"))
    require_kind("data", data, Dataset, "a data set such as fu.load('mnist5k')")
    indices = positions("indices", indices, len(data.train))
    require(len(np.unique(indices)) == len(indices), "indices names an example twice: give each once, or a boolean mask.")
    planted = np.zeros(len(data.train), dtype=bool) if data.planted is None else data.planted.copy()
    spoilt = planted[indices].any() or bool((data.train.labels[indices] == UNREADABLE).any())
    require(not spoilt, "indices names examples that were planted or made unreadable already: leave them out.")
    require(len(data.classes) > 1, "a wrong label needs at least two classes.")
    count = round(share * len(indices))
    require(count > 0, f"share is {share!r}, which is less than one of the {len(indices)} examples: raise it.")
    rng = np.random.default_rng([require_whole("seed", seed, 0), Stream.SAMPLE])
    chosen = rng.choice(indices, count, replace=False)
    images, labels = data.train.images.clone(), data.train.labels.clone()
    if kind == "mislabel":
        shift = torch.from_numpy(rng.integers(1, len(data.classes), count))
        labels[chosen] = (labels[chosen] + shift) % len(data.classes)
    else:
        for index in chosen:
            image = data.train.batch(torch.tensor([index]))[0]
            shuffled = image.flatten(1)[:, rng.permutation(image[0].numel())].view(image.shape)
            require(
                not torch.equal(shuffled, image), f"example {index} looks the same when its pixels are shuffled: leave it out of indices."
            )
            images[index, :, : image.shape[1], : image.shape[2]] = shuffled
    planted[chosen] = True
    train = dataclasses.replace(data.train, images=images, labels=labels)
    return dataclasses.replace(data, name=f"{data.name} + planted", train=train, planted=planted)
