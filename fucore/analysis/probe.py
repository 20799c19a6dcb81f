"""Hidden knowledge: can a class still be read from the features of a model that no longer answers it?"""

from __future__ import annotations

import numpy as np
import torch

from ..data.dataset import Split
from ..errors import require
from ..federation.federation import Federation
from .embedding import features


def linear_probe(federation: Federation, weights: torch.Tensor, train: Split, test: Split, label: int) -> float:
    """Recall of class ``label`` on ``test`` by a new linear classifier on the frozen features, fitted to ``train``, 0..1.

    Compare with a retrained model: features of any good network separate even classes that it never saw to some degree.
    """
    from sklearn.linear_model import LogisticRegression

    require(bool((train.labels == label).any() and (test.labels == label).any()), f"train and test must have examples of class {label}.")
    seen, asked = (features(federation, weights, split) for split in (train, test))
    scale = seen.std(axis=0) + 1e-6
    fitted = LogisticRegression(max_iter=300).fit(seen / scale, train.labels.numpy())
    of_class = (test.labels == label).numpy()
    return float(np.mean(fitted.predict(asked[of_class] / scale) == label))
