"""What a network sees: penultimate features, drawn in two dimensions (Wei et al., Figure 1)."""

from __future__ import annotations

import numpy as np
import torch

from ..data.dataset import Split
from ..errors import require_choice
from ..federation.federation import Federation
from ..federation.training import EVALUATION_BATCH
from ..federation.worker import watched


def features(federation: Federation, weights: torch.Tensor, split: Split) -> np.ndarray:
    """Inputs of the last linear layer for ``split``, float32 [n, features]; raises if the model has no linear layer."""

    def job(worker):
        with watched(worker.net.module, torch.nn.Linear) as seen:
            for images in split.images.split(EVALUATION_BATCH):
                worker.logits(weights, images)
        return torch.cat(seen).float().cpu().numpy()

    (result,) = federation.engine.each([job])
    return result


def plane(points: np.ndarray, method: str = "tsne", seed: int = 0) -> np.ndarray:
    """Project ``points`` [n, features] to [n, 2] by t-SNE (neighbourhoods, no meaning in distances) or PCA (linear)."""
    require_choice("method", method, ("tsne", "pca"))
    if method == "pca":
        from sklearn.decomposition import PCA

        return PCA(2, random_state=seed).fit_transform(points)
    from sklearn.manifold import TSNE

    return TSNE(2, perplexity=min(30, (len(points) - 1) / 3), init="pca", random_state=seed).fit_transform(points)
