"""Hidden knowledge: can a class still be read from the features of a model that no longer answers it?"""

from __future__ import annotations

import numpy as np
import pandas as pd
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


def class_knowledge(federation: Federation, models: dict[str, torch.Tensor], label: int, train: Split) -> pd.DataFrame:
    """What each of ``models`` (weights [d]) knows of a class, one row a model, all in 0..1 on test images.

    Columns: accuracy on the ``class``, on the ``others``, and the recall of the class by a ``probe`` of the features fitted to ``train``.
    """
    test = federation.data.test
    of_class = test.labels == label
    inside, outside = (test.take(mask.nonzero()[:, 0]) for mask in (of_class, ~of_class))
    rows = {
        name: {
            "class": federation.evaluate(weights, inside)[0],
            "others": federation.evaluate(weights, outside)[0],
            "probe": linear_probe(federation, weights, train, test, label),
        }
        for name, weights in models.items()
    }
    return pd.DataFrame(rows).T
