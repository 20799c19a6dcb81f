"""The built-in metrics, a few lines each; importing them registers them, in the order in which tables show them."""

from . import accuracy, fairness, weights, predictions, inference, groups, calibration, worst  # noqa: F401, I001  this order is that of tables
from . import klom, forgetting_quality, ulira, relearning  # noqa: F401, I001  of several models, see fucore.evaluation.distributions
