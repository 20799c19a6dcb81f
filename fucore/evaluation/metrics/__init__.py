"""The built-in metrics, a few lines each; importing them registers them, in the order in which tables show them."""

from . import accuracy, fairness, weights, predictions, inference, groups  # noqa: F401, I001  this order is that of tables
