"""Models that only look as if they had forgotten, to see which measure can tell.

Both change nothing but the last layer, so all other layers still know what they knew.
"""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import torch

from ..errors import require, require_whole
from ..federation.case import Case
from ..federation.federation import Federation
from ..runs.run import Run
from .embedding import features

#: How much an example with a wrong label counts when the fake's last layer is fitted.
INSISTENCE = 5.0


def never_answering(federation: Federation, weights: torch.Tensor, label: int, bias: float = -100.0) -> torch.Tensor:
    """``weights`` [d] with one number changed, the last layer's bias of the class ``label``: by accuracy the class is forgotten."""
    require_whole("label", label, 0, len(federation.data.classes) - 1)
    faked = weights.clone()
    federation.layout.views(faked)[federation.layout.names[-1]][label] = bias
    return faked


def with_new_head(case: Case, wrong: int) -> Run:
    """The original with a last layer fitted anew to call ``wrong`` of the forgotten examples by a wrong label, and all others by their own.

    So accuracy on the forgotten and on test images can be made that of a retrained model.  Raises ``FucoreError`` if more
    examples are to be wrong than there are, and if the remaining and the forgotten examples do not show all classes, of at least three.
    """
    federation, original = case.federation, case.original
    labels, chosen = mislabelled(case, wrong)
    held = case.without.held
    seen = np.concatenate([features(federation, original.weights, split) for split in (held, case.departed)])
    importance = np.ones(len(seen))
    importance[len(held) + chosen] = INSISTENCE
    weights = original.weights.clone()
    views = federation.layout.views(weights)
    fitted = _fitted(seen, torch.cat([held.labels, labels]).numpy(), importance, len(federation.data.classes))
    for name, values in zip(federation.layout.names[-2:], fitted):
        views[name].copy_(torch.from_numpy(values))
    return dataclasses.replace(original, weights=weights)


def mislabelled(case: Case, wrong: int) -> tuple[torch.Tensor, np.ndarray]:
    """(labels of the forgotten examples, of which some are wrong; which ones): the ``wrong`` examples of which the original was least sure.

    Their label is the one that the original finds most probable after the true one.  int64 [m] and int64 [wrong].
    """
    labels = case.departed.labels.clone()
    require_whole("wrong", wrong, 0, len(labels))
    chances, everyone = case.logits(case.original, "departed").double().softmax(dim=1), torch.arange(len(labels))
    unsure = chances[everyone, labels].argsort()[:wrong]
    chances[everyone, labels] = -1
    labels[unsure] = chances.argmax(1)[unsure]
    return labels, unsure.numpy()


def _fitted(seen: np.ndarray, labels: np.ndarray, importance: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(weights [classes, features], bias [classes]) of a linear classifier."""
    from sklearn.linear_model import LogisticRegression

    require(len(np.unique(labels)) == classes > 2, "a new last layer needs examples of every class, and at least three classes.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that is stopped early is as good a fake
        fit = LogisticRegression(max_iter=300).fit(seen, labels, sample_weight=importance)
    return fit.coef_, fit.intercept_
