"""Unlearned models judged by retrained ones."""

from . import metrics  # noqa: F401  registers the built-in ones
from .judging import judge_examples
from .registry import METRICS, Metric, metric
from .report import Report, compare

__all__ = ["METRICS", "Metric", "Report", "compare", "judge_examples", "metric"]
