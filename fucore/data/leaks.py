"""What clients share: the same examples, or copies that are equal to the pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True, eq=False)
class LeakAudit:
    """What the clients share.  ``by_index`` and ``by_pixels`` are shares in 0..1 per client, float [clients].

    ``by_pixels`` counts an example as shared when another client holds an image with exactly the same pixels; it is
    ``None`` when no images were given.
    """

    by_index: np.ndarray
    by_pixels: np.ndarray | None

    @property
    def disjoint(self) -> bool:
        """No example is held by two clients."""
        return not self.by_index.any()

    def table(self) -> pd.DataFrame:
        columns = {"same example elsewhere": self.by_index}
        if self.by_pixels is not None:
            columns["same pixels elsewhere"] = self.by_pixels
        return pd.DataFrame(columns).rename_axis("client")

    def __str__(self) -> str:
        shared = (
            "no example is held by two clients"
            if self.disjoint
            else f"up to {self.by_index.max():.1%} of a client's examples are held by another client too"
        )
        copies = "" if self.by_pixels is None else f"; pixel-equal copies: up to {self.by_pixels.max():.1%} of a client"
        return f"Leak audit: {shared}{copies}."

    __repr__ = __str__


def held_elsewhere(indices) -> np.ndarray:
    """Share of each client's entries that also occur at another client."""
    unique = [np.unique(array) for array in indices]
    values, holders = np.unique(np.concatenate(unique), return_counts=True)
    shared = values[holders > 1]
    return np.array([np.isin(array, shared).mean() if len(array) else 0.0 for array in indices])


def by_pixels(indices, images) -> list[np.ndarray]:
    """Each client's examples renamed to the number of their distinct image."""
    flat = np.ascontiguousarray(np.asarray(images).reshape(len(images), -1))
    _, numbers = np.unique(flat.view([("", flat.dtype, flat.shape[1])]).ravel(), return_inverse=True)
    return [numbers.ravel()[array] for array in indices]
